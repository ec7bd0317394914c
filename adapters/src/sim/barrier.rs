//! A simulated vehicle barrier with its induction loop.
//!
//! The boom takes 1.5 s either way, never falls on an occupied loop, and closes by itself 2 s after the vehicle has left or
//! 15 s after opening for nobody.

use super::hardware::{Hardware, Input, Moment, Output, Stimulus, earliest, flag, word};
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::CommandId;
use std::time::{Duration, Instant};

/// Travel of the boom.
pub const TRAVEL: Duration = Duration::from_millis(1_500);
/// From the loop falling free to the boom's way down.
const CLEAR: Duration = Duration::from_secs(2);
/// An open boom that nobody passes comes down after this.
const UNUSED: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boom {
    Down,
    Rising(Instant),
    Up,
    Falling(Instant),
}

/// A barrier.
#[derive(Debug)]
pub struct Barrier {
    boom: Boom,
    vehicle: bool,
    hit: bool,
    closes_at: Option<Instant>,
    /// The order that the boom's end switch will answer.
    order: Option<CommandId>,
}

impl Default for Barrier {
    fn default() -> Self {
        Self { boom: Boom::Down, vehicle: false, hit: false, closes_at: None, order: None }
    }
}

impl Barrier {
    fn order(&mut self, id: CommandId) -> Vec<Output> {
        let mut outputs = vec![Output::accepted(id)];
        if let Some(before) = self.order.replace(id) {
            outputs.insert(0, Output::failed(before, "another order came"));
        }
        outputs
    }

    fn command(&mut self, id: CommandId, verb: &Verb, now: Instant) -> Vec<Output> {
        if self.hit && matches!(verb, Verb::Open | Verb::Close) {
            return vec![Output::failed(id, "the boom is off its hinge")];
        }
        match (verb, self.boom) {
            (Verb::Open, Boom::Up) => {
                self.closes_at = Some(now + UNUSED).filter(|_| !self.vehicle);
                vec![Output::accepted(id), Output::executed(id)]
            }
            (Verb::Open, Boom::Rising(_)) => self.order(id),
            (Verb::Open, Boom::Down | Boom::Falling(_)) => {
                self.boom = Boom::Rising(now + TRAVEL);
                self.closes_at = None;
                self.order(id)
            }
            (Verb::Close, Boom::Down) => vec![Output::accepted(id), Output::executed(id)],
            (Verb::Close, _) if self.vehicle => vec![Output::failed(id, "a vehicle is on the loop")],
            (Verb::Close, Boom::Falling(_)) => self.order(id),
            (Verb::Close, Boom::Up | Boom::Rising(_)) => {
                self.boom = Boom::Falling(now + TRAVEL);
                self.closes_at = None;
                self.order(id)
            }
            _ => vec![Output::failed(id, "not a command for a barrier")],
        }
    }

    fn act(&mut self, stimulus: &Stimulus, now: Instant) {
        match stimulus {
            Stimulus::VehicleArrives => {
                self.vehicle = true;
                self.closes_at = None;
                // The light curtain: a falling boom turns round.
                if matches!(self.boom, Boom::Falling(_)) {
                    self.boom = Boom::Rising(now + TRAVEL);
                }
            }
            Stimulus::VehicleLeaves => {
                self.vehicle = false;
                if matches!(self.boom, Boom::Up | Boom::Rising(_)) {
                    self.closes_at = Some(now + CLEAR);
                }
            }
            Stimulus::Hit(hit) => self.hit = *hit,
            _ => {}
        }
    }

    fn time(&mut self, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        match self.boom {
            Boom::Rising(at) if at <= now => {
                self.boom = Boom::Up;
                outputs.extend(self.order.take().map(Output::executed));
                if !self.vehicle && self.closes_at.is_none() {
                    self.closes_at = Some(now + UNUSED);
                }
            }
            Boom::Falling(at) if at <= now => {
                self.boom = Boom::Down;
                outputs.extend(self.order.take().map(Output::executed));
            }
            Boom::Down | Boom::Up | Boom::Rising(_) | Boom::Falling(_) => {}
        }
        if self.closes_at.is_some_and(|at| at <= now) {
            self.closes_at = None;
            if self.boom == Boom::Up && !self.vehicle {
                self.boom = Boom::Falling(now + TRAVEL);
            }
        }
        outputs
    }
}

impl Hardware for Barrier {
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output> {
        match input {
            Input::Command(command) => self.command(command.id, &command.verb, now.at),
            Input::Stimulus(stimulus) => {
                self.act(stimulus, now.at);
                vec![]
            }
            Input::Wake => self.time(now.at),
        }
    }

    fn points(&self, _: Moment) -> Vec<(String, Value)> {
        let position = match self.boom {
            Boom::Down => "down",
            Boom::Up => "up",
            Boom::Rising(_) | Boom::Falling(_) => "moving",
        };
        vec![word("position", position), flag("loop", self.vehicle), word("boom", if self.hit { "hit" } else { "ok" })]
    }

    fn wake(&self) -> Option<Instant> {
        let end = match self.boom {
            Boom::Rising(at) | Boom::Falling(at) => Some(at),
            Boom::Down | Boom::Up => None,
        };
        earliest([end, self.closes_at])
    }
}

#[cfg(test)]
mod tests {
    use super::super::hardware::testing::{Bench, secs};
    use super::*;
    use gatehouse_core::device::link::Outcome;

    #[test]
    fn it_opens_for_a_car_and_closes_behind_it() {
        let mut barrier = Bench::new(Barrier::default());
        barrier.act(Stimulus::VehicleArrives);
        let (id, outputs) = barrier.ask(Verb::Open);
        assert_eq!(outputs, [Output::accepted(id)]);
        assert_eq!(barrier.point("position"), "moving");
        assert_eq!(barrier.pass(TRAVEL), [Output::executed(id)]);
        barrier.pass(secs(60));
        assert_eq!(barrier.point("position"), "up", "it waits for the car on its loop");
        barrier.act(Stimulus::VehicleLeaves);
        barrier.pass(CLEAR + TRAVEL);
        assert_eq!((barrier.point("position"), barrier.point("loop")), ("down".into(), "false".into()));
    }

    #[test]
    fn it_never_closes_on_a_car() {
        let mut barrier = Bench::new(Barrier::default());
        barrier.ask(Verb::Open);
        barrier.pass(TRAVEL);
        barrier.act(Stimulus::VehicleArrives);
        let (_, outputs) = barrier.ask(Verb::Close);
        assert!(matches!(&outputs[..], [Output::Result(_, Outcome::Failed { reason })] if reason.contains("loop")));
        barrier.act(Stimulus::VehicleLeaves);
        barrier.ask(Verb::Close);
        barrier.act(Stimulus::VehicleArrives);
        barrier.pass(TRAVEL);
        assert_eq!(barrier.point("position"), "up");
    }

    #[test]
    fn opened_for_nobody_it_closes_by_itself() {
        let mut barrier = Bench::new(Barrier::default());
        barrier.ask(Verb::Open);
        barrier.pass(TRAVEL + UNUSED + TRAVEL);
        assert_eq!(barrier.point("position"), "down");
    }

    #[test]
    fn an_order_overtaken_by_another_fails() {
        let mut barrier = Bench::new(Barrier::default());
        let (open, _) = barrier.ask(Verb::Open);
        let (close, outputs) = barrier.ask(Verb::Close);
        assert_eq!(outputs, [Output::failed(open, "another order came"), Output::accepted(close)]);
        assert_eq!(barrier.pass(TRAVEL), [Output::executed(close)]);
    }
}
