//! Shelving: an operator puts an alarm aside for a while, with a reason; it comes back by itself.

/// The longest an alarm may be put aside: one shift.
pub const MAX_SHELVE_MINUTES: u32 = 12 * 60;

/// Why an alarm cannot be shelved like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShelveError {
    /// For how long?
    #[error("shelving lasts from 1 minute to {MAX_SHELVE_MINUTES} minutes (one shift)")]
    Minutes,
    /// Why?
    #[error("shelving needs a reason: the next shift reads it")]
    Reason,
}

/// Checks a wish to shelve.
pub(super) fn check(minutes: u32, reason: &str) -> Result<(), ShelveError> {
    if !(1..=MAX_SHELVE_MINUTES).contains(&minutes) {
        return Err(ShelveError::Minutes);
    }
    if reason.trim().is_empty() { Err(ShelveError::Reason) } else { Ok(()) }
}
