//! People: who lives and works here, and what they consented to.

pub mod consent;
pub mod filing;
mod notice;

pub use notice::FaceNotice;

use serde::{Deserialize, Serialize};

/// Why someone is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// Lives here, owns.
    Resident,
    /// Lives here, rents.
    Tenant,
    /// Works here.
    Staff,
    /// Comes for a while.
    Visitor,
}

impl PersonKind {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            PersonKind::Resident => "resident",
            PersonKind::Tenant => "tenant",
            PersonKind::Staff => "staff",
            PersonKind::Visitor => "visitor",
        }
    }
}
