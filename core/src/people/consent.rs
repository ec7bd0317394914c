//! Consent to face recognition: separate, informed, voluntary, and withdrawn as easily as given.
//!
//! After PIPL art. 14–16, 29–31 and the 2025 measures on face recognition: the text that was shown is kept with its version,
//! time and channel; without it no picture is looked at and no template stored; when it is withdrawn the templates are gone,
//! not hidden. Of a person under 14 the guardian consents.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Below this age the guardian consents (PIPL art. 31).
pub const OF_AGE: i16 = 14;

/// Who consents for a person under [`OF_AGE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardian {
    /// Name.
    pub name: String,
    /// What they are to the person, e.g. `mother`.
    pub relation: String,
}

/// A consent as someone records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Version of the text that was shown.
    pub version: &'a str,
    /// How it was given, e.g. `signed at the desk`.
    pub channel: &'a str,
    /// Whether the person is under [`OF_AGE`].
    pub under_14: bool,
    /// Date of birth: asked of a person under [`OF_AGE`] only, to know when their own consent is due.
    pub born: Option<Date>,
    /// Who consents for them.
    pub guardian: Option<&'a Guardian>,
}

/// Why a consent cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// Another text is in force.
    #[error("another version of the text is in force: show that one and ask again")]
    OtherVersion,
    /// Nobody knows how it was given.
    #[error("consent channel is missing: say how it was given, e.g. \"signed at the desk\"")]
    ChannelMissing,
    /// A child without date of birth.
    #[error("date of birth is missing: of a person under 14 it says when their own consent is due")]
    BornMissing,
    /// The date says that the person is not under 14, or not born.
    #[error("date of birth is not that of a person under 14")]
    BornWrong,
    /// A child's own consent.
    #[error("guardian is missing: for a person under 14 the guardian consents, by name and relation")]
    GuardianMissing,
    /// What is not needed is not kept.
    #[error("date of birth and guardian are recorded of persons under 14 only: leave them out")]
    NotNeeded,
}

impl ConsentError {
    /// A short code for interfaces.
    pub fn code(self) -> &'static str {
        match self {
            ConsentError::OtherVersion => "consent_version",
            ConsentError::ChannelMissing => "consent_channel",
            ConsentError::BornMissing | ConsentError::BornWrong => "consent_born",
            ConsentError::GuardianMissing => "guardian_missing",
            ConsentError::NotNeeded => "consent_minimal",
        }
    }

    /// The input field concerned.
    pub fn field(self) -> &'static str {
        match self {
            ConsentError::OtherVersion => "version",
            ConsentError::ChannelMissing => "channel",
            ConsentError::BornMissing | ConsentError::BornWrong => "born",
            ConsentError::GuardianMissing => "guardian",
            ConsentError::NotNeeded => "under_14",
        }
    }
}

/// Checks a consent before it is recorded; `current` is the version of the text in force, `today` the site's date.
pub fn check(asked: &Asked<'_>, current: &str, today: Date) -> Result<(), ConsentError> {
    if asked.version != current {
        return Err(ConsentError::OtherVersion);
    }
    if asked.channel.trim().is_empty() {
        return Err(ConsentError::ChannelMissing);
    }
    if !asked.under_14 {
        let spare = asked.born.is_some() || asked.guardian.is_some();
        return if spare { Err(ConsentError::NotNeeded) } else { Ok(()) };
    }
    let born = asked.born.ok_or(ConsentError::BornMissing)?;
    if born > today || is_of_age(born, today) {
        return Err(ConsentError::BornWrong);
    }
    let named = |text: &str| !text.trim().is_empty() && text.chars().count() <= 100;
    match asked.guardian {
        Some(guardian) if named(&guardian.name) && named(&guardian.relation) => Ok(()),
        Some(_) | None => Err(ConsentError::GuardianMissing),
    }
}

/// Whether someone born then has reached [`OF_AGE`]; one born on 29 February has on 1 March.
fn is_of_age(born: Date, today: Date) -> bool {
    (today.year() - OF_AGE, today.month(), today.day()) >= (born.year(), born.month(), born.day())
}

/// A consent that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// When.
    pub at: Timestamp,
    /// Of which text; empty for one that was recorded before texts had versions.
    pub version: String,
    /// Date of birth, where a guardian consented.
    pub born: Option<Date>,
}

/// Why a person is asked again, although their consent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskAgain {
    /// The text changed.
    NewText,
    /// The guardian consented, and the person is of age now.
    OfAge,
    /// It was given too long ago.
    LongAgo,
}

/// Whether a person whose consent stands is to be asked again, and why; `renew_days` after they were asked last.
pub fn ask_again(given: &Given, current: &str, renew_days: u32, now: Timestamp, today: Date) -> Option<AskAgain> {
    let age_days = now.duration_since(given.at).as_hours() / 24;
    if given.version != current {
        Some(AskAgain::NewText)
    } else if given.born.is_some_and(|born| is_of_age(born, today)) {
        Some(AskAgain::OfAge)
    } else if age_days >= i64::from(renew_days) {
        Some(AskAgain::LongAgo)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const TODAY: Date = date(2026, 11, 28);

    fn adult() -> Asked<'static> {
        Asked { version: "1.a", channel: "desk", under_14: false, born: None, guardian: None }
    }

    #[test]
    fn a_consent_is_of_the_text_in_force_and_says_how_it_was_given() {
        assert_eq!(check(&adult(), "1.a", TODAY), Ok(()));
        assert_eq!(check(&adult(), "1.b", TODAY), Err(ConsentError::OtherVersion));
        assert_eq!(check(&Asked { channel: " ", ..adult() }, "1.a", TODAY), Err(ConsentError::ChannelMissing));
        let born = Some(date(1990, 1, 1));
        assert_eq!(check(&Asked { born, ..adult() }, "1.a", TODAY), Err(ConsentError::NotNeeded));
    }

    #[test]
    fn for_a_child_the_guardian_consents_by_name_and_relation() {
        let mother = Guardian { name: "Chen Ling".into(), relation: "mother".into() };
        let nameless = Guardian { name: " ".into(), ..mother.clone() };
        let child = Asked { under_14: true, born: Some(date(2015, 5, 1)), guardian: Some(&mother), ..adult() };
        let refused = |asked: &Asked<'_>| check(asked, "1.a", TODAY).err();
        assert_eq!(refused(&child), None);
        assert_eq!(refused(&Asked { guardian: None, ..child.clone() }), Some(ConsentError::GuardianMissing));
        assert_eq!(refused(&Asked { guardian: Some(&nameless), ..child.clone() }), Some(ConsentError::GuardianMissing));
        assert_eq!(refused(&Asked { born: None, ..child.clone() }), Some(ConsentError::BornMissing));
        assert_eq!(refused(&Asked { born: Some(date(2012, 11, 29)), ..child.clone() }), None, "14 tomorrow");
        let birthday = Some(date(2012, 11, 28));
        assert_eq!(refused(&Asked { born: birthday, ..child.clone() }), Some(ConsentError::BornWrong));
        assert_eq!(refused(&Asked { born: Some(date(2027, 1, 1)), ..child }), Some(ConsentError::BornWrong));
    }

    #[test]
    fn a_person_is_asked_again_for_a_new_text_at_14_and_after_a_year() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
        let given = Given { at, version: "1.a".into(), born: None };
        let why = |given: &Given, version, renew| ask_again(given, version, renew, now, TODAY);
        assert_eq!(why(&given, "1.a", 365), None);
        assert_eq!(why(&given, "2.b", 365), Some(AskAgain::NewText));
        assert_eq!(why(&given, "1.a", 331), Some(AskAgain::LongAgo));
        assert_eq!(why(&given, "1.a", 332), None);
        let child = Given { born: Some(date(2012, 11, 28)), ..given };
        assert_eq!(why(&child, "1.a", 365), Some(AskAgain::OfAge));
        assert!(!is_of_age(date(2012, 2, 29), date(2026, 2, 28)) && is_of_age(date(2012, 2, 29), date(2026, 3, 1)));
    }
}
