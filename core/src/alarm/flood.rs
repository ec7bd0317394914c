//! Alarm flood: ten alarms in ten minutes begin one, fewer than five end it (ISA-18.2, EEMUA 191).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const WINDOW: SignedDuration = SignedDuration::from_mins(10);
const BEGINS: usize = 10;
const ENDS: usize = 5;
/// Counts alarms of the last ten minutes, as far as that matters: up to [`BEGINS`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flood {
    raised: VecDeque<Timestamp>,
    active: bool,
}

impl Flood {
    /// Whether there is one.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Alarms in the window, at most ten.
    pub fn alarms(&self) -> u32 {
        u32::try_from(self.raised.len()).unwrap_or(u32::MAX)
    }

    /// Counts a raise; tells when a flood begins.
    pub fn raise(&mut self, now: Timestamp) -> Option<bool> {
        self.raised.push_back(now);
        while self.raised.len() > BEGINS {
            self.raised.pop_front();
        }
        self.tick(now)
    }

    /// Forgets what is past the window; tells when a flood begins (true) or ends (false).
    pub fn tick(&mut self, now: Timestamp) -> Option<bool> {
        while self.raised.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.raised.pop_front();
        }
        let is = match self.active {
            true => self.raised.len() >= ENDS,
            false => self.raised.len() >= BEGINS,
        };
        (std::mem::replace(&mut self.active, is) != is).then_some(is)
    }

    /// The clock went back: what it counted is as of now.
    pub fn rewind(&mut self, now: Timestamp) {
        self.raised.iter_mut().for_each(|at| *at = (*at).min(now));
    }

    /// When the next count leaves the window, while there is a flood to end.
    pub fn wake(&self) -> Option<Timestamp> {
        let first = self.raised.front().filter(|_| self.active)?;
        first.checked_add(WINDOW).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_ten_minutes_begin_a_flood_and_fewer_than_five_end_it() {
        let mut flood = Flood::default();
        let at = |s: i64| Timestamp::from_second(1_780_000_000 + s).unwrap();
        for s in 0..9 {
            assert_eq!(flood.raise(at(s * 50)), None);
        }
        assert_eq!(flood.raise(at(450)), Some(true));
        assert_eq!(flood.tick(at(700)), None);
        assert_eq!(flood.tick(at(900)), Some(false));
    }

    #[test]
    fn a_storm_is_remembered_by_its_last_ten_and_ends_when_it_is_over() {
        let mut flood = Flood::default();
        let at = |s: i64| Timestamp::from_second(1_780_000_000 + s).unwrap();
        let told: Vec<_> = (0..5_000).filter_map(|s| flood.raise(at(s / 10))).collect();
        assert_eq!((told, flood.alarms(), flood.raised.len()), (vec![true], 10, 10));
        assert_eq!((flood.tick(at(1_098)), flood.tick(at(1_099))), (None, Some(false)));
    }
}
