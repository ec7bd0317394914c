//! Room on the disk: what stops when, and when it goes on.
//!
//! ```text
//!  Enough ──below 512 MB──▶ Low: recording stops ──below 256 MB──▶ Scarce: the history of readings stops too
//!     ◀──── above 768 MB ────┘       ◀──── above 384 MB ────┘
//! ```
//! Alarms, doors, commands and the log of events never stop for it: they need little, and they are what the rest is for. The
//! recorder keeps 1 GiB free by forgetting its oldest; below that something else fills the disk.

/// Below it recording stops, bytes.
pub const LOW: u64 = 512_000_000;
/// Below it the history of readings stops too, bytes.
pub const SCARCE: u64 = 256_000_000;

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Everything is kept.
    #[default]
    Enough,
    /// Nothing is recorded.
    Low,
    /// And no readings are kept.
    Scarce,
}

impl Room {
    /// The room with so many bytes free. It must come back to half as much again before anything goes on: recording would
    /// fill it at once and stop and go.
    pub fn with(self, free: u64) -> Self {
        let below = |limit: u64, already: bool| free < if already { limit + limit / 2 } else { limit };
        if below(SCARCE, self == Room::Scarce) {
            Room::Scarce
        } else if below(LOW, self >= Room::Low) {
            Room::Low
        } else {
            Room::Enough
        }
    }

    /// The word in logs and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Room::Enough => "enough",
            Room::Low => "low",
            Room::Scarce => "scarce",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_goes_on_only_with_half_as_much_again() {
        let mut room = Room::Enough;
        for (free_mb, expect) in [
            (513, Room::Enough),
            (511, Room::Low),
            (600, Room::Low),
            (255, Room::Scarce),
            (300, Room::Scarce),
            (385, Room::Low),
            (767, Room::Low),
            (768, Room::Enough),
            (0, Room::Scarce),
            (5_000, Room::Enough),
        ] {
            room = room.with(free_mb * 1_000_000);
            assert_eq!(room, expect, "{free_mb} MB");
        }
    }
}
