//! Whether a device is there: its link's word, its silence, its gateway, and links that come and go.
//!
//! ```text
//!  Unknown ──heard──▶ Online ──silent for its time──▶ Stale ──as long again──▶ Offline
//!                        └──────────── will message, connection lost ────────────▶┘
//!  any ──gone three times in a minute──▶ Flapping ──a minute without──▶ what the link then is
//!  any ──gateway lost──▶ Offline ──gateway back──▶ Unknown ──not heard in its time──▶ Offline
//! ```
//! It belongs to the device's machine alone: no report, topic or route writes it. Timeouts count by the wall clock: one that
//! goes back makes nobody offline and holds nobody online longer than its own time.

use super::plus;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Losses within [`FLAP_WINDOW`] that are flapping: ISA-18.2 and EEMUA 191 call an alarm that comes three times in a minute
/// chattering.
pub const FLAP_LOSSES: usize = 3;

/// The minute of [`FLAP_LOSSES`]; a link without a loss for as long is stable again.
pub const FLAP_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How long a device without a time of its own has to be heard after its gateway is back: three keep-alives of 20 s.
pub const AFTER_GATEWAY_MS: i64 = 60_000;

/// Whether a device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Heard in time.
    Online,
    /// Silent for longer than its profile says.
    Stale,
    /// Gone.
    Offline,
    /// Nothing heard since it was configured, or since its gateway is back.
    Unknown,
    /// It comes and goes.
    Flapping,
}

/// What a device's machine knows of its presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    presence: Presence,
    heard_at: Option<Timestamp>,
    /// How the link stands, where that is not what is shown: while it flaps.
    #[serde(default)]
    link: Option<Presence>,
    /// The last losses, oldest first.
    #[serde(default)]
    losses: Vec<Timestamp>,
    /// Behind a gateway that is gone.
    #[serde(default)]
    cut_off: bool,
    /// To be heard by then: its gateway is back.
    #[serde(default)]
    awaited: Option<Timestamp>,
}

/// What changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What is shown, before and after.
    pub told: Option<(Presence, Presence)>,
    /// The device is back on its link.
    pub back: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            presence: Presence::Unknown,
            heard_at: None,
            link: None,
            losses: Vec::new(),
            cut_off: false,
            awaited: None,
        }
    }
}

impl Watch {
    /// What is shown.
    pub fn shown(&self) -> Presence {
        self.presence
    }

    /// Whether the device could hear a command.
    pub fn reachable(&self) -> bool {
        self.link() != Presence::Offline
    }

    fn link(&self) -> Presence {
        self.link.unwrap_or(self.presence)
    }

    /// The device was heard, or its link tells.
    pub fn hear(&mut self, to: Presence, now: Timestamp) -> Turn {
        if to == Presence::Online {
            self.heard_at = Some(now);
            (self.cut_off, self.awaited) = (false, None);
        }
        if self.cut_off {
            // Nothing but its own voice comes through a lost gateway.
            return Turn::default();
        }
        let was = self.link();
        if to == Presence::Offline && matches!(was, Presence::Online | Presence::Stale) {
            self.losses.push(now);
            if self.losses.len() > FLAP_LOSSES {
                self.losses.remove(0);
            }
        }
        let flaps = to == Presence::Offline
            && self.losses.len() == FLAP_LOSSES
            && self.losses.first().is_some_and(|first| now.duration_since(*first) <= FLAP_WINDOW);
        let shown = if flaps || self.presence == Presence::Flapping { Presence::Flapping } else { to };
        self.turn(to, shown)
    }

    fn turn(&mut self, link: Presence, shown: Presence) -> Turn {
        let was = std::mem::replace(&mut self.link, (link != shown).then_some(link)).unwrap_or(self.presence);
        let from = std::mem::replace(&mut self.presence, shown);
        Turn {
            told: (from != shown).then_some((from, shown)),
            back: was == Presence::Offline && link == Presence::Online,
        }
    }

    /// The gateway it is behind is gone (true) or back.
    pub fn gateway(&mut self, lost: bool, timeout_ms: Option<i64>, now: Timestamp) -> Turn {
        if lost {
            self.losses.clear();
            (self.cut_off, self.awaited) = (true, None);
            return self.turn(Presence::Offline, Presence::Offline);
        }
        if !std::mem::take(&mut self.cut_off) {
            return Turn::default();
        }
        self.awaited = Some(plus(now, timeout_ms.map_or(AFTER_GATEWAY_MS, |ms| ms.saturating_mul(2))));
        self.turn(Presence::Unknown, Presence::Unknown)
    }

    fn calm_at(&self) -> Option<Timestamp> {
        let last = self.losses.last().filter(|_| self.presence == Presence::Flapping)?;
        last.checked_add(FLAP_WINDOW).ok()
    }

    fn silent_at(&self, timeout_ms: Option<i64>) -> Option<(Timestamp, Presence)> {
        let (heard_at, ms) = (self.heard_at?, timeout_ms?);
        match self.link() {
            Presence::Online => Some((plus(heard_at, ms), Presence::Stale)),
            Presence::Stale => Some((plus(heard_at, ms.saturating_mul(2)), Presence::Offline)),
            Presence::Offline | Presence::Unknown | Presence::Flapping => None,
        }
    }

    /// Does what is due; each turn is one change.
    pub fn tick(&mut self, timeout_ms: Option<i64>, now: Timestamp) -> Vec<Turn> {
        let mut turns = Vec::new();
        if self.awaited.is_some_and(|at| at <= now) {
            self.awaited = None;
            turns.push(self.turn(Presence::Offline, Presence::Offline));
        }
        if let (Some(heard_at), Some(ms)) = (self.heard_at, timeout_ms) {
            let gone = now >= plus(heard_at, ms.saturating_mul(2));
            match self.silent_at(timeout_ms) {
                // Long silent at once, after a downtime: gone, without a look at stale.
                Some((at, _)) if at <= now && gone => turns.push(self.hear(Presence::Offline, now)),
                Some((at, to)) if at <= now => turns.push(self.hear(to, now)),
                Some(_) | None => {}
            }
        }
        if self.calm_at().is_some_and(|at| at <= now) {
            self.losses.clear();
            let link = self.link();
            turns.push(self.turn(link, link));
        }
        turns
    }

    /// When something is due.
    pub fn wake(&self, timeout_ms: Option<i64>) -> Option<Timestamp> {
        let silent = self.silent_at(timeout_ms).map(|(at, _)| at);
        [silent, self.awaited, self.calm_at()].into_iter().flatten().min()
    }

    /// After a restart: nobody listened while we were away, so silence counts from now, and what no silence would tell is not
    /// known.
    pub fn restored(&mut self, timeout_ms: Option<i64>, now: Timestamp) -> Turn {
        if self.heard_at.is_some() {
            self.heard_at = Some(now);
        }
        if self.awaited.is_some() {
            self.awaited = Some(plus(now, timeout_ms.map_or(AFTER_GATEWAY_MS, |ms| ms.saturating_mul(2))));
        }
        if timeout_ms.is_none() && matches!(self.link(), Presence::Online | Presence::Stale) {
            return self.hear(Presence::Unknown, now);
        }
        Turn::default()
    }

    /// The clock went back: what lies in its future is as of now.
    pub fn rewind(&mut self, timeout_ms: Option<i64>, now: Timestamp) {
        self.heard_at = self.heard_at.map(|at| at.min(now));
        let span = timeout_ms.map_or(AFTER_GATEWAY_MS, |ms| ms.saturating_mul(2));
        self.awaited = self.awaited.map(|at| at.min(plus(now, span)));
        self.losses.iter_mut().for_each(|at| *at = (*at).min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        plus("2026-05-01T08:00:00Z".parse().unwrap(), ms)
    }

    #[test]
    fn three_losses_in_a_minute_flap_until_a_minute_without() {
        let mut watch = Watch::default();
        for (n, shown) in [Presence::Offline, Presence::Offline, Presence::Flapping].into_iter().enumerate() {
            let n = i64::try_from(n).unwrap() * 20_000;
            watch.hear(Presence::Online, at(n));
            watch.hear(Presence::Offline, at(n + 5_000));
            assert_eq!(watch.shown(), shown);
        }
        assert!(watch.hear(Presence::Online, at(50_000)).back, "the device itself is told that it is back");
        assert_eq!(watch.shown(), Presence::Flapping);
        assert_eq!(watch.wake(None), Some(at(105_000)));
        assert_eq!(watch.tick(None, at(104_999)), []);
        let calm = Turn { told: Some((Presence::Flapping, Presence::Online)), back: false };
        assert_eq!(watch.tick(None, at(105_000)), [calm]);
        // Three in more than a minute are three losses.
        for n in 0..4 {
            watch.hear(Presence::Online, at(200_000 + n * 40_000));
            watch.hear(Presence::Offline, at(210_000 + n * 40_000));
            assert_eq!(watch.shown(), Presence::Offline);
        }
    }

    #[test]
    fn behind_a_lost_gateway_it_is_offline_and_afterwards_has_its_own_time() {
        let mut watch = Watch::default();
        watch.hear(Presence::Online, at(0));
        let cut = watch.gateway(true, Some(10_000), at(1_000));
        assert_eq!(cut.told, Some((Presence::Online, Presence::Offline)));
        assert_eq!(watch.wake(Some(10_000)), None, "its silence is its gateway's");
        assert_eq!(watch.gateway(false, Some(10_000), at(60_000)).told, Some((Presence::Offline, Presence::Unknown)));
        assert_eq!(watch.wake(Some(10_000)), Some(at(80_000)));
        let mut heard = watch.clone();
        heard.hear(Presence::Online, at(70_000));
        assert_eq!(heard.tick(Some(20_000), at(80_000)), []);
        assert_eq!(watch.tick(Some(10_000), at(80_000)).len(), 1);
        assert_eq!(watch.shown(), Presence::Offline);
        assert_eq!(watch.gateway(false, Some(10_000), at(90_000)), Turn::default(), "said twice is said once");
    }

    #[test]
    fn what_was_stored_before_there_was_flapping_reads() {
        let stored = serde_json::json!({"presence": "stale", "heard_at": "2026-05-01T08:00:00Z"});
        let watch: Watch = serde_json::from_value(stored).unwrap();
        assert_eq!((watch.shown(), watch.wake(Some(4_000))), (Presence::Stale, Some(at(8_000))));
    }

    proptest! {
        #[test]
        fn a_clock_that_goes_back_neither_loses_a_device_nor_holds_it_for_ever(
            heard in 0..3_600_000_i64, jump in 1..7_200_000_i64, timeout in 1_000..60_000_i64,
        ) {
            let mut watch = Watch::default();
            watch.hear(Presence::Online, at(heard));
            let now = at(heard - jump);
            watch.rewind(Some(timeout), now);
            prop_assert!(watch.tick(Some(timeout), now).is_empty());
            prop_assert_eq!(watch.wake(Some(timeout)), Some(plus(now, timeout)));
        }
    }
}
