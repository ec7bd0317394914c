//! Simulated sensors: a class is a point, measured or on and off.

use super::hardware::{Hardware, Input, Moment, Output, Stimulus, flag, number};
use gatehouse_core::device::telemetry::Value;
use std::time::{Duration, Instant};

/// A measured value is sent so often.
const EVERY: Duration = Duration::from_secs(15);

/// A sensor.
#[derive(Debug)]
pub struct Sensor {
    class: String,
    phase: f64,
    forced: Option<Value>,
    tamper: bool,
    wakes_at: Option<Instant>,
}

impl Sensor {
    /// A sensor of this class; `seed` sets its measures apart from the others'.
    pub fn new(class: &str, seed: u32) -> Self {
        Self { class: class.to_owned(), phase: f64::from(seed % 360), forced: None, tamper: false, wakes_at: None }
    }

    /// Mean, swing over the day, unrest and decimals of a measured class.
    fn measure(&self) -> Option<(f64, f64, f64, i32)> {
        Some(match self.class.as_str() {
            "temperature" => (22.0, 3.5, 0.15, 1),
            "humidity" => (55.0, 9.0, 0.8, 0),
            "hydrant_pressure" => (0.42, 0.015, 0.004, 3),
            "co2" => (620.0, 180.0, 15.0, 0),
            "pm25" => (18.0, 7.0, 2.0, 0),
            _ => return None,
        })
    }
}

impl Hardware for Sensor {
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output> {
        match input {
            Input::Command(command) => return vec![Output::failed(command.id, "a sensor takes no commands")],
            Input::Stimulus(Stimulus::Measure { point, value }) if *point == self.class => self.forced = value.clone(),
            Input::Stimulus(Stimulus::Tamper(on)) => self.tamper = *on,
            Input::Stimulus(_) => {}
            Input::Wake => self.wakes_at = self.measure().map(|_| now.at + EVERY),
        }
        vec![]
    }

    fn points(&self, now: Moment) -> Vec<(String, Value)> {
        let value = match (&self.forced, self.measure()) {
            (Some(forced), _) => (self.class.clone(), forced.clone()),
            (None, Some((mean, swing, unrest, decimals))) => {
                let at = (now.local_s / EVERY.as_secs_f64()).floor() * EVERY.as_secs_f64();
                // Warmest at three in the afternoon.
                let day = ((at / 3600.0 - 9.0) / 24.0 * std::f64::consts::TAU).sin();
                let noise = ((at / 31.0 + self.phase).sin() + (at / 7.3 + self.phase).cos()) / 2.0;
                number(&self.class, mean + swing * day + unrest * noise, decimals)
            }
            (None, None) => flag(&self.class, false),
        };
        vec![value, flag("tamper", self.tamper)]
    }

    fn wake(&self) -> Option<Instant> {
        self.wakes_at
    }
}

#[cfg(test)]
mod tests {
    use super::super::hardware::testing::Bench;
    use super::*;

    #[test]
    fn classes_measure_or_switch() {
        let temperature =
            Bench::new(Sensor::new("temperature", 3)).point("temperature").parse::<f64>().expect("a number");
        assert!((10.0..35.0).contains(&temperature));
        let pressure =
            Bench::new(Sensor::new("hydrant_pressure", 3)).point("hydrant_pressure").parse::<f64>().expect("a number");
        assert!((0.38..0.46).contains(&pressure));
        let mut smoke = Bench::new(Sensor::new("smoke", 1));
        assert_eq!(smoke.point("smoke"), "false");
        smoke.act(Stimulus::Measure { point: "smoke".into(), value: Some(Value::Bool(true)) });
        assert_eq!(smoke.point("smoke"), "true");
        smoke.act(Stimulus::Measure { point: "smoke".into(), value: None });
        assert_eq!(smoke.point("smoke"), "false");
    }
}
