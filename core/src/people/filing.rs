//! How many people's faces a site may keep before the authorities must know.
//!
//! The 2025 measures on face recognition: whoever stores the faces of 100 000 people files with the provincial authority
//! within 30 working days.

use serde::{Deserialize, Serialize};

/// People with stored faces from which a filing is due.
pub const FILING_AT: u64 = 100_000;
/// People from which managers are warned: four fifths.
pub const WARN_AT: u64 = 80_000;

/// Where a site stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filing {
    /// Far from it.
    Below,
    /// Prepare it.
    Near,
    /// It is due.
    Due,
}

/// Where a site with so many people's faces stands.
pub fn filing(people: u64) -> Filing {
    match people {
        FILING_AT.. => Filing::Due,
        WARN_AT.. => Filing::Near,
        _ => Filing::Below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_warned_at_four_fifths_and_told_at_the_limit() {
        assert_eq!(WARN_AT * 5, FILING_AT * 4);
        let at = |people| filing(people);
        assert_eq!((at(0), at(WARN_AT - 1), at(WARN_AT)), (Filing::Below, Filing::Below, Filing::Near));
        assert_eq!((at(FILING_AT - 1), at(FILING_AT), at(u64::MAX)), (Filing::Near, Filing::Due, Filing::Due));
    }
}
