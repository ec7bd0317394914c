//! The ways in that a door offers.

use serde::{Deserialize, Serialize};

/// Ways in besides the face that a door must have before a face may open it: nobody is made to show their face.
pub const OTHER_WAYS: usize = 2;

/// A way in that a door offers, as its site says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryMethod {
    /// A face at its camera or terminal: follows from `face_doors` and `faces`, and is not written.
    Face,
    /// A card at its reader.
    Card,
    /// A number at its keypad.
    Pin,
    /// A code shown to its reader.
    Qr,
    /// A call, and the guard or a resident opens.
    Intercom,
    /// A key in its cylinder.
    Key,
}

impl EntryMethod {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            EntryMethod::Face => "face",
            EntryMethod::Card => "card",
            EntryMethod::Pin => "pin",
            EntryMethod::Qr => "qr",
            EntryMethod::Intercom => "intercom",
            EntryMethod::Key => "key",
        }
    }
}
