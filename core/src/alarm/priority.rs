//! Priorities: 1 critical to 4 low. EEMUA 191 wants about 5 / 15 / 80 % of alarms in the upper three.

use serde::{Deserialize, Serialize};

/// How soon someone must do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Priority {
    /// Life, at once.
    Critical,
    /// Within minutes.
    High,
    /// Within the hour.
    Medium,
    /// To know, or when there is time.
    Low,
}

impl Priority {
    /// The priority of 1, 2, 3 or 4.
    pub fn of_number(n: f64) -> Option<Self> {
        [Priority::Critical, Priority::High, Priority::Medium, Priority::Low]
            .into_iter()
            .find(|priority| f64::from(priority.number()) == n)
    }

    /// 1 to 4.
    pub fn number(self) -> u8 {
        match self {
            Priority::Critical => 1,
            Priority::High => 2,
            Priority::Medium => 3,
            Priority::Low => 4,
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.number()
    }
}

/// A number that is no priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no priority: 1 critical, 2 high, 3 medium, 4 low")]
pub struct NoPriority(pub u8);

impl TryFrom<u8> for Priority {
    type Error = NoPriority;

    fn try_from(number: u8) -> Result<Self, NoPriority> {
        match number {
            1 => Ok(Priority::Critical),
            2 => Ok(Priority::High),
            3 => Ok(Priority::Medium),
            4 => Ok(Priority::Low),
            _ => Err(NoPriority(number)),
        }
    }
}
