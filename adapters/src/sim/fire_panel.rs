//! A simulated fire alarm panel with six detector lines.
//!
//! A line that has alarmed stays so until a reset finds its cause gone. Sounders follow the first alarm and are silenced by
//! command; test mode ends by itself after ten minutes.

use super::hardware::{HEARTBEAT, Hardware, Input, Moment, Output, Stimulus, flag, word};
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::telemetry::Value;
use std::time::{Duration, Instant};

/// Detector lines.
pub const POINTS: usize = 6;
/// Test mode ends after this.
const TEST: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Normal,
    Fault,
    PreAlarm,
    Alarm,
}

impl Line {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "normal" => Line::Normal,
            "fault" => Line::Fault,
            "pre_alarm" => Line::PreAlarm,
            "alarm" => Line::Alarm,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Line::Normal => "normal",
            Line::Fault => "fault",
            Line::PreAlarm => "pre_alarm",
            Line::Alarm => "alarm",
        }
    }
}

/// A fire panel.
#[derive(Debug)]
pub struct FirePanel {
    cause: [Line; POINTS],
    shown: [Line; POINTS],
    sounder: bool,
    test_until: Option<Instant>,
}

impl Default for FirePanel {
    fn default() -> Self {
        Self { cause: [Line::Normal; POINTS], shown: [Line::Normal; POINTS], sounder: false, test_until: None }
    }
}

impl FirePanel {
    fn set(&mut self, at: usize, line: Line) {
        self.cause[at] = line;
        // Latched: it only rises; a fault is not latched.
        let shown = &mut self.shown[at];
        if line > *shown || *shown == Line::Fault {
            *shown = line;
        }
        if line == Line::Alarm && self.test_until.is_none() {
            self.sounder = true;
        }
    }

    /// Resets what can be; returns the first line whose cause persists.
    fn reset(&mut self) -> Option<usize> {
        self.shown = self.cause;
        let persists = self.cause.iter().position(|line| *line >= Line::PreAlarm);
        self.sounder &= self.cause.contains(&Line::Alarm);
        persists.map(|at| at + 1)
    }
}

impl Hardware for FirePanel {
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output> {
        match input {
            Input::Command(command) => match command.verb {
                Verb::Silence => {
                    self.sounder = false;
                    vec![Output::accepted(command.id), Output::executed(command.id)]
                }
                Verb::Reset => match self.reset() {
                    Some(line) => vec![Output::failed(command.id, &format!("point {line} still sees its cause"))],
                    None => vec![Output::accepted(command.id), Output::executed(command.id)],
                },
                _ => vec![Output::failed(command.id, "not a command for a fire panel")],
            },
            Input::Stimulus(Stimulus::FirePoint { point, state }) => {
                let at = usize::from(*point).wrapping_sub(1);
                if let (true, Some(line)) = (at < POINTS, Line::parse(state)) {
                    self.set(at, line);
                }
                vec![]
            }
            Input::Stimulus(Stimulus::KeyReset) => {
                self.reset();
                vec![]
            }
            Input::Stimulus(Stimulus::Test(on)) => {
                self.test_until = on.then(|| now.at + TEST);
                vec![]
            }
            Input::Stimulus(_) => vec![],
            Input::Wake => {
                if self.test_until.is_some_and(|until| until <= now.at) {
                    self.test_until = None;
                }
                vec![]
            }
        }
    }

    fn points(&self, _: Moment) -> Vec<(String, Value)> {
        let lines = self.shown.iter().enumerate();
        let mut points: Vec<_> = lines.map(|(at, line)| word(&format!("point.{}", at + 1), line.word())).collect();
        // Test mode before the lines that are tested: the names sort so on the wire.
        points.push(word("mode", if self.test_until.is_some() { "test" } else { "normal" }));
        points.push(flag("sounder", self.sounder));
        points
    }

    fn wake(&self) -> Option<Instant> {
        self.test_until
    }

    fn heartbeat(&self) -> Option<Duration> {
        Some(HEARTBEAT)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hardware::testing::{Bench, secs};
    use super::*;
    use gatehouse_core::device::link::Outcome;

    #[test]
    fn an_alarm_is_latched_until_a_reset_finds_its_cause_gone() {
        let mut panel = Bench::new(FirePanel::default());
        panel.act(Stimulus::FirePoint { point: 3, state: "pre_alarm" });
        assert_eq!((panel.point("point.3"), panel.point("sounder")), ("pre_alarm".into(), "false".into()));
        panel.act(Stimulus::FirePoint { point: 3, state: "alarm" });
        assert_eq!((panel.point("point.3"), panel.point("sounder")), ("alarm".into(), "true".into()));
        panel.ask(Verb::Silence);
        assert_eq!((panel.point("point.3"), panel.point("sounder")), ("alarm".into(), "false".into()));
        let (_, outputs) = panel.ask(Verb::Reset);
        assert!(matches!(&outputs[..], [Output::Result(_, Outcome::Failed { reason })] if reason.contains("point 3")));
        panel.act(Stimulus::FirePoint { point: 3, state: "normal" });
        assert_eq!(panel.point("point.3"), "alarm");
        let (id, outputs) = panel.ask(Verb::Reset);
        assert_eq!(outputs, [Output::accepted(id), Output::executed(id)]);
        assert_eq!(panel.point("point.3"), "normal");
    }

    #[test]
    fn a_test_sounds_nothing_and_ends_by_itself() {
        let mut panel = Bench::new(FirePanel::default());
        panel.act(Stimulus::Test(true));
        panel.act(Stimulus::FirePoint { point: 1, state: "alarm" });
        assert_eq!((panel.point("mode"), panel.point("sounder")), ("test".into(), "false".into()));
        panel.pass(TEST + secs(1));
        assert_eq!(panel.point("mode"), "normal");
        panel.act(Stimulus::FirePoint { point: 9, state: "alarm" });
        panel.act(Stimulus::FirePoint { point: 0, state: "alarm" });
    }
}
