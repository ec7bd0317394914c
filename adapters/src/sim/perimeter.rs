//! A simulated perimeter zone: an infrared beam along a fence.

use super::hardware::{HEARTBEAT, Hardware, Input, Moment, Output, Stimulus, flag, word};
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::telemetry::Value;
use std::time::{Duration, Instant};

/// A zone; armed when it starts.
#[derive(Debug)]
pub struct Perimeter {
    armed: bool,
    broken: bool,
    tamper: bool,
}

impl Default for Perimeter {
    fn default() -> Self {
        Self { armed: true, broken: false, tamper: false }
    }
}

impl Hardware for Perimeter {
    fn step(&mut self, input: Input<'_>, _: Moment) -> Vec<Output> {
        match input {
            Input::Command(command) => {
                match command.verb {
                    Verb::Arm => self.armed = true,
                    Verb::Disarm => self.armed = false,
                    _ => return vec![Output::failed(command.id, "not a command for a perimeter zone")],
                }
                vec![Output::accepted(command.id), Output::executed(command.id)]
            }
            Input::Stimulus(Stimulus::Beam(broken)) => {
                self.broken = *broken;
                vec![]
            }
            Input::Stimulus(Stimulus::Tamper(on)) => {
                self.tamper = *on;
                vec![]
            }
            Input::Stimulus(_) | Input::Wake => vec![],
        }
    }

    fn points(&self, _: Moment) -> Vec<(String, Value)> {
        vec![
            flag("armed", self.armed),
            word("beam", if self.broken { "broken" } else { "ok" }),
            flag("tamper", self.tamper),
        ]
    }

    fn wake(&self) -> Option<Instant> {
        None
    }

    fn heartbeat(&self) -> Option<Duration> {
        Some(HEARTBEAT)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hardware::testing::Bench;
    use super::*;

    #[test]
    fn the_beam_is_told_whether_armed_or_not() {
        let mut zone = Bench::new(Perimeter::default());
        zone.act(Stimulus::Beam(true));
        assert_eq!((zone.point("beam"), zone.point("armed")), ("broken".into(), "true".into()));
        let (id, outputs) = zone.ask(Verb::Disarm);
        assert_eq!(outputs, [Output::accepted(id), Output::executed(id)]);
        assert_eq!((zone.point("beam"), zone.point("armed")), ("broken".into(), "false".into()));
    }
}
