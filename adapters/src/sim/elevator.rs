//! A simulated lift: calls, travel, doors, recall, and someone shut in.

use super::hardware::{Hardware, Input, Moment, Output, Stimulus, flag, number, word};
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::CommandId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Travel from floor to floor.
const FLOOR: Duration = Duration::from_millis(1_800);
/// Doors stay open so long.
const DWELL: Duration = Duration::from_secs(3);
/// Calls kept.
const CALLS: usize = 16;
/// Lowest and highest floor.
const RANGE: std::ops::RangeInclusive<i32> = -1..=12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cabin {
    /// Doors closed, nothing to do.
    Rests,
    /// On its way; the next floor is reached then.
    Travels(Instant),
    /// Doors open until then.
    Boards(Instant),
    /// Recalled and there, doors open.
    Waits,
    /// Stuck between floors.
    Stuck,
}

/// A lift.
#[derive(Debug)]
pub struct Elevator {
    floor: i32,
    cabin: Cabin,
    calls: VecDeque<i32>,
    recall: Option<i32>,
    order: Option<CommandId>,
    tamper: bool,
}

impl Default for Elevator {
    fn default() -> Self {
        Self { floor: 1, cabin: Cabin::Rests, calls: VecDeque::new(), recall: None, order: None, tamper: false }
    }
}

impl Elevator {
    fn target(&self) -> Option<i32> {
        self.recall.or_else(|| self.calls.front().copied())
    }

    fn set_off(&mut self, now: Instant) -> Vec<Output> {
        match self.target() {
            Some(to) if to == self.floor => self.arrive(now),
            Some(_) => {
                self.cabin = Cabin::Travels(now + FLOOR);
                vec![]
            }
            None => {
                self.cabin = Cabin::Rests;
                vec![]
            }
        }
    }

    fn arrive(&mut self, now: Instant) -> Vec<Output> {
        if self.recall == Some(self.floor) {
            self.cabin = Cabin::Waits;
            return self.order.take().map(Output::executed).into_iter().collect();
        }
        self.calls.retain(|call| *call != self.floor);
        self.cabin = Cabin::Boards(now + DWELL);
        vec![]
    }

    fn command(&mut self, id: CommandId, verb: &Verb, now: Instant) -> Vec<Output> {
        match verb {
            Verb::Recall { .. } | Verb::Resume if self.cabin == Cabin::Stuck => {
                vec![Output::failed(id, "the cabin is stuck between floors")]
            }
            Verb::Recall { floor } if !RANGE.contains(floor) => vec![Output::failed(id, "there is no such floor")],
            Verb::Recall { floor } => {
                self.recall = Some(*floor);
                self.calls.clear();
                let mut outputs: Vec<Output> = self
                    .order
                    .replace(id)
                    .map(|before| Output::failed(before, "another order came"))
                    .into_iter()
                    .collect();
                outputs.push(Output::accepted(id));
                if !matches!(self.cabin, Cabin::Travels(_)) {
                    outputs.extend(self.set_off(now));
                }
                outputs
            }
            Verb::Resume => {
                let mut outputs: Vec<Output> = self
                    .order
                    .take()
                    .map(|before| Output::failed(before, "resumed before it arrived"))
                    .into_iter()
                    .collect();
                self.recall = None;
                if self.cabin == Cabin::Waits {
                    self.cabin = Cabin::Boards(now + DWELL);
                }
                outputs.extend([Output::accepted(id), Output::executed(id)]);
                outputs
            }
            _ => vec![Output::failed(id, "not a command for a lift")],
        }
    }

    fn act(&mut self, stimulus: &Stimulus, now: Instant) -> Vec<Output> {
        match stimulus {
            Stimulus::Call(floor) if RANGE.contains(floor) && self.recall.is_none() && self.cabin != Cabin::Stuck => {
                if self.calls.len() < CALLS && !self.calls.contains(floor) {
                    self.calls.push_back(*floor);
                }
                if self.cabin == Cabin::Rests { self.set_off(now) } else { vec![] }
            }
            Stimulus::Trap => {
                self.cabin = Cabin::Stuck;
                vec![Output::happening("lift_call")]
            }
            Stimulus::Free if self.cabin == Cabin::Stuck => {
                self.calls.clear();
                self.cabin = Cabin::Boards(now + DWELL);
                vec![]
            }
            Stimulus::Tamper(on) => {
                self.tamper = *on;
                vec![]
            }
            _ => vec![],
        }
    }
}

impl Hardware for Elevator {
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output> {
        match (input, self.cabin) {
            (Input::Command(command), _) => self.command(command.id, &command.verb, now.at),
            (Input::Stimulus(stimulus), _) => self.act(stimulus, now.at),
            (Input::Wake, Cabin::Travels(at)) if at <= now.at => {
                self.floor += self.target().map_or(0, |to| (to - self.floor).signum());
                self.set_off(now.at)
            }
            (Input::Wake, Cabin::Boards(until)) if until <= now.at => self.set_off(now.at),
            (Input::Wake, _) => vec![],
        }
    }

    fn points(&self, _: Moment) -> Vec<(String, Value)> {
        let direction = match (self.cabin, self.target()) {
            (Cabin::Travels(_), Some(to)) if to > self.floor => "up",
            (Cabin::Travels(_), Some(to)) if to < self.floor => "down",
            _ => "none",
        };
        let open = matches!(self.cabin, Cabin::Boards(_) | Cabin::Waits);
        let mode = match self.cabin {
            Cabin::Stuck => "trapped",
            _ if self.recall.is_some() => "recall",
            _ => "normal",
        };
        vec![
            number("floor", f64::from(self.floor), 0),
            word("doors", if open { "open" } else { "closed" }),
            word("direction", direction),
            word("mode", mode),
            flag("call", self.cabin == Cabin::Stuck),
        ]
    }

    fn wake(&self) -> Option<Instant> {
        match self.cabin {
            Cabin::Travels(at) | Cabin::Boards(at) => Some(at),
            Cabin::Rests | Cabin::Waits | Cabin::Stuck => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hardware::testing::{Bench, secs};
    use super::*;
    use gatehouse_core::device::link::Outcome;

    #[test]
    fn it_travels_floor_by_floor_and_opens() {
        let mut lift = Bench::new(Elevator::default());
        lift.act(Stimulus::Call(4));
        assert_eq!(lift.point("direction"), "up");
        lift.pass(FLOOR);
        assert_eq!(lift.point("floor"), "2");
        lift.pass(FLOOR * 2);
        assert_eq!(
            (lift.point("floor"), lift.point("doors"), lift.point("direction")),
            ("4".into(), "open".into(), "none".into())
        );
        lift.pass(DWELL);
        assert_eq!(lift.point("doors"), "closed");
    }

    #[test]
    fn a_recall_is_executed_when_it_stands_there_open_and_calls_are_deaf_until_resumed() {
        let mut lift = Bench::new(Elevator::default());
        lift.act(Stimulus::Call(8));
        lift.pass(FLOOR * 3);
        let (id, outputs) = lift.ask(Verb::Recall { floor: 1 });
        assert_eq!(outputs, [Output::accepted(id)]);
        assert_eq!(lift.pass(FLOOR * 4), [Output::executed(id)]);
        assert_eq!(
            (lift.point("mode"), lift.point("doors"), lift.point("floor")),
            ("recall".into(), "open".into(), "1".into())
        );
        lift.act(Stimulus::Call(5));
        lift.pass(secs(60));
        assert_eq!(lift.point("floor"), "1");
        lift.ask(Verb::Resume);
        lift.pass(DWELL);
        assert_eq!((lift.point("mode"), lift.point("doors")), ("normal".into(), "closed".into()));
    }

    #[test]
    fn someone_shut_in_calls_and_a_stuck_cabin_cannot_be_recalled() {
        let mut lift = Bench::new(Elevator::default());
        lift.act(Stimulus::Call(6));
        lift.pass(FLOOR);
        assert_eq!(lift.act(Stimulus::Trap), [Output::happening("lift_call")]);
        assert_eq!(
            (lift.point("mode"), lift.point("call"), lift.point("direction")),
            ("trapped".into(), "true".into(), "none".into())
        );
        let (_, outputs) = lift.ask(Verb::Recall { floor: 1 });
        assert!(matches!(&outputs[..], [Output::Result(_, Outcome::Failed { .. })]));
        lift.act(Stimulus::Free);
        assert_eq!((lift.point("mode"), lift.point("doors")), ("normal".into(), "open".into()));
    }
}
