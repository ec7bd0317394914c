//! Consent to face recognition: separate, informed, in writing, and withdrawn as easily as given.
//!
//! After PIPL art. 14–16 and 29 and the 2025 measures on face recognition: the text that was shown is kept with its time and
//! channel; without it no template may be stored; when it is withdrawn the templates are gone, not hidden.

use jiff::Timestamp;

/// The shortest text that can inform anyone of purpose, storage and withdrawal.
const SHORTEST_TEXT: usize = 20;

/// A person's consent as far as templates are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Never asked.
    None,
    /// Given.
    Given {
        /// When.
        at: Timestamp,
    },
    /// Taken back.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
}

impl Consent {
    /// Whether templates may be kept.
    pub fn permits_templates(&self) -> bool {
        match self {
            Consent::Given { .. } => true,
            Consent::None | Consent::Withdrawn { .. } => false,
        }
    }
}

/// Why a consent cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// No text.
    #[error("consent text is missing or too short to inform anyone: record the text that the person was shown")]
    TextMissing,
    /// Nobody knows how it was given.
    #[error("consent channel is missing: say how it was given, e.g. \"signed at the desk\"")]
    ChannelMissing,
}

/// Checks a consent before it is recorded.
pub fn check(text: &str, channel: &str) -> Result<(), ConsentError> {
    if text.trim().chars().count() < SHORTEST_TEXT {
        return Err(ConsentError::TextMissing);
    }
    if channel.trim().is_empty() {
        return Err(ConsentError::ChannelMissing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_needs_its_text_and_its_channel() {
        let text = "I agree that my face opens the doors of building 1.";
        assert_eq!(check("yes", "desk"), Err(ConsentError::TextMissing));
        assert_eq!(check(text, " "), Err(ConsentError::ChannelMissing));
        assert_eq!(check(text, "desk"), Ok(()));
        assert!(!Consent::Withdrawn { at: Timestamp::UNIX_EPOCH }.permits_templates());
    }
}
