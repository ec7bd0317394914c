//! Credentials and who holds them.

use crate::id::{CredentialId, PersonId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A card by its number.
    Card,
    /// A car by its plate.
    Plate,
}

impl CredentialKind {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            CredentialKind::Card => "card",
            CredentialKind::Plate => "plate",
        }
    }
}

/// Something a person presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Whose.
    pub person: PersonId,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Valid from then.
    pub valid_from: Option<Timestamp>,
    /// Valid until then.
    pub valid_until: Option<Timestamp>,
}

/// Someone who holds credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name.
    pub name: String,
    /// Keys of their access levels.
    pub levels: Vec<String>,
}

/// A card number as compared: upper case, nothing but letters and digits, no leading zeros (readers differ in padding).
pub fn normal_card(card: &str) -> String {
    let kept: String = card.chars().filter(char::is_ascii_alphanumeric).collect();
    kept.trim_start_matches('0').to_ascii_uppercase()
}

/// A plate as compared: upper case, without spaces and separators.
pub fn normal_plate(plate: &str) -> String {
    plate.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_people_write_them() {
        assert_eq!(normal_card("00 12-34ab"), normal_card("1234AB"));
        assert_eq!(normal_plate("粤b·12345"), "粤B12345");
    }
}
