//! What to do about an alarm: cause, consequence, steps, in both languages.

use super::AlarmKind;
use serde::{Deserialize, Serialize};

/// A text in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bilingual {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// One step of a procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its id within the procedure.
    pub id: String,
    /// What to do.
    pub text: Bilingual,
}

/// The procedure for an alarm kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sop {
    /// What it is called.
    pub title: Bilingual,
    /// What has probably happened.
    pub cause: Bilingual,
    /// What happens if nothing is done.
    pub consequence: Bilingual,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// English and Chinese of one text.
type Pair = (&'static str, &'static str);

/// The procedure of a kind when the site has none of its own.
pub fn default_sop(kind: AlarmKind) -> Sop {
    let (title, cause, consequence, steps) = super::procedures::text(kind);
    let both = |(en, zh): Pair| Bilingual { en: en.to_owned(), zh: zh.to_owned() };
    Sop {
        title: both(title),
        cause: both(cause),
        consequence: both(consequence),
        steps: steps
            .iter()
            .enumerate()
            .map(|(at, text)| Step { id: format!("s{}", at + 1), text: both(*text) })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_kind_has_a_procedure_in_both_languages() {
        for kind in AlarmKind::ALL {
            let sop = default_sop(*kind);
            let texts = [&sop.title, &sop.cause, &sop.consequence].into_iter().chain(sop.steps.iter().map(|s| &s.text));
            for text in texts {
                assert!(!text.en.is_empty() && text.en.is_ascii(), "{kind}: {text:?}");
                assert!(text.zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{kind}: {text:?}");
            }
            assert!(sop.steps.len() >= 2, "{kind}");
        }
    }
}
