//! The outbox: what leaves the system, written down before it is sent and sent until it is taken.
//!
//! ```text
//! event log ──consumer──▶ Delivery: Waiting ──taken──▶ Done
//!                           ▲   │  ▲   └─ refused, no answer: again after 5 s · 2ⁿ, up to 1 h
//!                           │   └──┘
//!                           └─ send again ── Dead ◀── three days without success
//! ```
//! A delivery keeps its id however often it is sent: a receiver that knows the id has it already. What answers mean for a
//! delivery is in `delivery.rs`, for its target in `target.rs`; the text of a notice is in `notice.rs`.

mod delivery;
mod notice;
mod target;

pub use delivery::{Answer, Delivery, DeliveryState, KEPT_FOR, Parcel, pause};
pub use notice::{Origin, test_notice, write};
pub use target::{Health, Target, TargetMove, TargetState, kind_words};

use serde::{Deserialize, Serialize};

/// A record of the outbox: the newest version of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outgoing {
    /// A delivery.
    Delivery(Delivery),
    /// How a target does.
    Target(TargetState),
}
