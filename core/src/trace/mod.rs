//! Traces: the way of an event through the parts of the system, as spans that any collector of OpenTelemetry understands.
//!
//! ```text
//! intake in.happening ─┬─ commit in.happening
//!                      └─ step device ─┬─ commit device.happening ── publish device.happening
//!                                      └─ step rule ─┬─ commit ask.raise
//!                                                    └─ step alarm ─┬─ commit alarm.moved ── publish alarm.moved
//! ```
//! Who caused what is in the event log already: a trace is its root event with everything that followed. Ids are derived from
//! the events' own, so nothing is carried along for the sake of traces. A span holds codes, ids and times: never a name, a
//! plate, a card or a word that somebody typed.

mod chain;

pub use chain::{Chains, MOST_EVENTS, MOST_HELD};

use crate::event::Event;
use crate::id::{CommandId, DeviceId, EventId};
use jiff::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// A trace: the 128 bits of the id of what it began with, an event or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceId(pub Uuid);

/// A span of a trace; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId(pub u64);

impl SpanId {
    /// The span of what was done with something, derived from both.
    pub fn of(id: Uuid, done: &str) -> Self {
        let bytes = Uuid::new_v5(&id, done.as_bytes()).into_bytes();
        Self(bytes.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)).max(1))
    }
}

/// Which side of a conversation a span is, as OpenTelemetry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither.
    Internal,
    /// Answers a request.
    Server,
    /// Asks another program: the database.
    Client,
    /// Sends what is answered later.
    Producer,
    /// Takes what was sent.
    Consumer,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word of ours.
    Word(&'static str),
    /// An id or a code.
    Text(String),
    /// A number.
    Number(i64),
}

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// What it was done for.
    pub parent: Option<SpanId>,
    /// Another trace that it goes on from, where the way there is forgotten.
    pub link: Option<(TraceId, SpanId)>,
    /// Which side it is.
    pub kind: Kind,
    /// What was done, of few different words.
    pub name: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; never before it began.
    pub ended: Timestamp,
    /// What else is known.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, in a word.
    pub failed: Option<&'static str>,
}

/// Where an entry of the log became safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// In the database.
    Database,
    /// In the spill on the local disk, for the database later.
    Spill,
    /// Nowhere: the database will never take it.
    Refused,
}

/// What a part of the system notes down while it works.
#[derive(Clone, Debug)]
pub enum Note {
    /// An event got its number.
    Queued {
        /// The event.
        event: Arc<Event>,
        /// The machine that concluded it.
        machine: Option<String>,
        /// The request it came by.
        request: Option<Uuid>,
        /// When.
        at: Timestamp,
    },
    /// A machine stepped on an event.
    Stepped {
        /// Which event.
        event: EventId,
        /// Which machine.
        machine: String,
        /// When it began.
        began: Timestamp,
        /// When it had decided.
        ended: Timestamp,
        /// How many things follow.
        effects: usize,
    },
    /// Events became safe together.
    Written {
        /// Which.
        events: Vec<EventId>,
        /// Entries of the log that they are of.
        entries: usize,
        /// Where.
        safe: Safe,
        /// When.
        at: Timestamp,
    },
    /// Events were told to consoles.
    Told {
        /// Which.
        events: Vec<EventId>,
        /// When.
        at: Timestamp,
    },
    /// A machine wants something of a device.
    Ordered {
        /// The command's ledger id.
        command: CommandId,
        /// The device.
        device: DeviceId,
        /// What.
        verb: &'static str,
        /// The event it follows from.
        cause: Option<EventId>,
        /// The machine.
        machine: String,
        /// The request it came by.
        request: Option<Uuid>,
        /// When.
        at: Timestamp,
    },
    /// The device's link took a command, or it will not go.
    Handed {
        /// Which.
        command: CommandId,
        /// Whether the link took it.
        taken: bool,
        /// When.
        at: Timestamp,
    },
    /// A request of the API was answered.
    Answered {
        /// Its id.
        request: Uuid,
        /// HTTP method.
        method: &'static str,
        /// The template of its path: what is in the braces is not told.
        route: &'static str,
        /// HTTP status.
        status: u16,
        /// When it came.
        began: Timestamp,
        /// When it was answered.
        ended: Timestamp,
    },
}

/// Takes spans on their way to a collector. Never waits.
pub trait Sink: Send + Sync {
    /// Takes a span, or drops and counts it.
    fn offer(&self, span: Span);

    /// Counts what could not even be noted.
    fn missed(&self);
}

/// The share of traces that are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    /// A share of 0 to 1; nothing for any other number.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Whether a trace is of the share: the same answer for the same trace, always and everywhere.
    pub fn keeps(self, trace: TraceId) -> bool {
        // Ids of one moment resemble each other: stirred, after splitmix64.
        let (high, low) = trace.0.as_u64_pair();
        let mut mixed = high ^ low.rotate_left(32);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        #[allow(clippy::cast_precision_loss, reason = "the upper 53 bits are what fits")]
        let place = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_kept_and_the_same_trace_is_always_judged_alike() {
        let kept = |share: f64| {
            let share = Share::new(share).unwrap();
            (0..20_000_u128).filter(|n| share.keeps(TraceId(Uuid::from_u128(0x0190_0000_0000_7000 << 64 | n)))).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 20_000));
        assert!((150..250).contains(&kept(0.01)), "{}", kept(0.01));
        assert!((9_700..10_300).contains(&kept(0.5)), "{}", kept(0.5));
        assert_eq!(Share::new(1.01), None);
        assert_eq!(Share::new(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn what_a_small_share_keeps_a_larger_keeps_too(id in any::<u128>(), a in 0.0..=1.0, b in 0.0..=1.0) {
            let (small, large) = if a < b { (a, b) } else { (b, a) };
            let trace = TraceId(Uuid::from_u128(id));
            prop_assert!(!Share::new(small).unwrap().keeps(trace) || Share::new(large).unwrap().keeps(trace));
        }
    }
}
