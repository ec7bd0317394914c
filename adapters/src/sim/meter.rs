//! Simulated meters: what a building of eighty flats draws over the day.
//!
//! The total is a function of the wall clock, so it never shrinks, not even when the program was stopped in between.

use super::hardware::{Hardware, Input, Moment, Output, number};
use gatehouse_core::device::telemetry::Value;
use std::time::{Duration, Instant};

/// A reading is sent so often.
const EVERY: Duration = Duration::from_secs(10);

/// Share of a day's use by hour. Shapes after household load curves: a small morning peak, a large evening one.
const POWER_BY_HOUR: [f64; 24] = [
    2.6, 2.3, 2.1, 2.0, 2.1, 2.5, 3.4, 4.4, 4.6, 4.3, 4.1, 4.2, 4.5, 4.2, 3.9, 3.9, 4.2, 5.0, 6.2, 7.0, 7.1, 6.4, 5.0,
    4.0,
];
const WATER_BY_HOUR: [f64; 24] = [
    1.0, 0.6, 0.4, 0.4, 0.7, 2.0, 5.6, 7.6, 6.6, 5.0, 4.6, 5.2, 5.4, 4.0, 3.4, 3.4, 4.0, 5.6, 7.2, 8.0, 7.4, 5.8, 4.0,
    2.1,
];

/// What is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// kWh and kW.
    Power,
    /// m³ and m³/h.
    Flow,
}

/// A meter.
#[derive(Debug)]
pub struct Meter {
    medium: Medium,
    daily: f64,
    wakes_at: Option<Instant>,
}

impl Meter {
    /// A meter of this class (`power`, `electricity`, `energy`; all else flows); `seed` sets its size apart from the others.
    pub fn new(class: &str, seed: u32) -> Self {
        let medium = if matches!(class, "power" | "electricity" | "energy") { Medium::Power } else { Medium::Flow };
        let size = 0.6 + f64::from(seed % 97) / 97.0;
        let daily = match medium {
            Medium::Power => 620.0 * size,
            Medium::Flow => 34.0 * size,
        };
        Self { medium, daily, wakes_at: None }
    }

    fn by_hour(&self) -> &'static [f64; 24] {
        match self.medium {
            Medium::Power => &POWER_BY_HOUR,
            Medium::Flow => &WATER_BY_HOUR,
        }
    }

    /// Use per hour, between the hours' values.
    fn rate(&self, hour: f64) -> f64 {
        let (curve, at) = (self.by_hour(), hour.rem_euclid(24.0));
        self.daily * curve[at as usize % 24] / curve.iter().sum::<f64>()
    }

    fn total(&self, local_s: f64) -> f64 {
        // Metered since the compound was finished, 1 January 2024.
        let since = (local_s - 1_704_067_200.0).max(0.0) / 3600.0;
        let (days, hour) = ((since / 24.0).floor(), since.rem_euclid(24.0));
        let curve = self.by_hour();
        let whole: f64 = curve.iter().take(hour as usize).sum();
        let part = curve[hour as usize % 24] * hour.fract();
        self.daily * (days + (whole + part) / curve.iter().sum::<f64>())
    }
}

impl Hardware for Meter {
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output> {
        match input {
            Input::Command(command) => vec![Output::failed(command.id, "a meter takes no commands")],
            Input::Wake => {
                self.wakes_at = Some(now.at + EVERY);
                vec![]
            }
            Input::Stimulus(_) => vec![],
        }
    }

    fn points(&self, now: Moment) -> Vec<(String, Value)> {
        // A reading is taken at the tick, so that the same reading asked twice is the same.
        let at = (now.local_s / EVERY.as_secs_f64()).floor() * EVERY.as_secs_f64();
        let rate = self.rate(at / 3600.0);
        let unrest = 1.0 + 0.06 * (at / 47.0).sin() + 0.04 * (at / 13.0).cos();
        match self.medium {
            Medium::Power => vec![number("total", self.total(at), 2), number("power", rate * unrest, 2)],
            Medium::Flow => vec![number("total", self.total(at), 3), number("flow", rate * unrest, 3)],
        }
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
    fn a_total_never_shrinks_and_a_day_is_a_days_use() {
        for class in ["power", "water", "gas"] {
            let mut meter = Bench::new(Meter::new(class, 7));
            let read = |m: &Bench<Meter>| m.point("total").parse::<f64>().expect("a number");
            let first = read(&meter);
            let mut last = first;
            for _ in 0..24 * 60 {
                meter.now = meter.now.later(Duration::from_secs(60));
                let now = read(&meter);
                assert!(now >= last, "{class}: {now} after {last}");
                last = now;
            }
            let day = last - first;
            assert!((day - meter.machine.daily).abs() < 0.01 * meter.machine.daily, "{class}: {day}");
        }
    }

    #[test]
    fn evenings_draw_more_than_nights() {
        let meter = Meter::new("power", 1);
        assert!(meter.rate(20.5) > 2.0 * meter.rate(3.5));
        assert!(meter.rate(3.5) > 0.0);
    }
}
