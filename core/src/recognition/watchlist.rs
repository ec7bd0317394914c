//! Plates and people a site looks out for, or lets pass.
//!
//! An entry names a plate by a pattern (`?` one character, `*` any run) and is in force for a time. A read is compared
//! exactly; a read one look-alike away from a plain entry is reported as *near*, so that a guard can look.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plate::half_distance;

/// Why an entry is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Tell the guard at once.
    Wanted,
    /// Refuse entry.
    Blocked,
    /// Let pass and greet.
    Welcome,
}

/// One line of a watch list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEntry {
    /// A plate, in stored form (see [`super::plate_grammar::normalise`]); `?` stands for one character, `*` for any run.
    pub pattern: String,
    /// Why it is listed.
    pub listing: Listing,
    /// What the guard is told.
    pub reason: String,
    /// In force from; none: since ever.
    pub from: Option<Timestamp>,
    /// In force until, exclusive; none: for good.
    pub until: Option<Timestamp>,
}

/// How a read met an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// The read fits the entry.
    Exact,
    /// The read is one look-alike character away from the entry.
    Near,
}

impl WatchEntry {
    /// Whether the entry is in force at `now`.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Whether and how a read meets this entry.
    pub fn hit(&self, text: &str) -> Option<Hit> {
        if fits(&self.pattern, text) {
            Some(Hit::Exact)
        } else if !self.pattern.contains(['?', '*']) && half_distance(&self.pattern, text) <= 1 {
            Some(Hit::Near)
        } else {
            None
        }
    }
}

/// The entries in force that a read meets, exact ones first, each group in the order of [`Listing`].
pub fn watch<'a>(text: &str, list: &'a [WatchEntry], now: Timestamp) -> Vec<(&'a WatchEntry, Hit)> {
    let mut hits: Vec<_> =
        list.iter().filter(|entry| entry.in_force(now)).filter_map(|entry| Some((entry, entry.hit(text)?))).collect();
    hits.sort_by_key(|(entry, hit)| (*hit == Hit::Near, entry.listing));
    hits
}

/// Whether a text fits a pattern of `?` and `*`. Linear in text × pattern, whatever the pattern.
fn fits(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // reach[i]: the pattern so far can end before text[i].
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for p in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        for i in 0..=text.len() {
            if p == '*' {
                next[i] = reach[i] || (i > 0 && next[i - 1]);
            } else if i > 0 {
                next[i] = reach[i - 1] && (p == '?' || p == text[i - 1]);
            }
        }
        reach = next;
    }
    reach[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pattern: &str, listing: Listing) -> WatchEntry {
        WatchEntry { pattern: pattern.into(), listing, reason: "test".into(), from: None, until: None }
    }

    #[test]
    fn patterns_fit_as_a_guard_expects() {
        for (pattern, text, want) in [
            ("京A88731", "京A88731", true),
            ("京A88731", "京A8873", false),
            ("京A????1", "京A88731", true),
            ("京A????1", "京A8831", false),
            ("*887*", "京A88731", true),
            ("*", "", true),
            ("?", "", false),
            ("京*1", "京1", true),
        ] {
            assert_eq!(fits(pattern, text), want, "{pattern} on {text}");
        }
    }

    #[test]
    fn exact_hits_come_before_near_ones_and_wanted_before_welcome() {
        let list = [
            entry("京AB8731", Listing::Wanted),
            entry("京A*", Listing::Welcome),
            entry("京A88731", Listing::Blocked),
            entry("沪*", Listing::Wanted),
        ];
        let hits = watch("京A88731", &list, Timestamp::UNIX_EPOCH);
        let order: Vec<_> = hits.iter().map(|(entry, hit)| (entry.listing, *hit)).collect();
        assert_eq!(
            order,
            [(Listing::Blocked, Hit::Exact), (Listing::Welcome, Hit::Exact), (Listing::Wanted, Hit::Near)]
        );
    }

    #[test]
    fn an_entry_works_only_in_its_time() {
        let at = |seconds| Timestamp::from_second(seconds).expect("small");
        let timed = WatchEntry { from: Some(at(10)), until: Some(at(20)), ..entry("*", Listing::Wanted) };
        assert_eq!([9, 10, 19, 20].map(|s| timed.in_force(at(s))), [false, true, true, false]);
    }

    proptest::proptest! {
        #[test]
        fn every_text_fits_itself_and_stars(text in "[京A-Z0-9]{0,9}") {
            let wrapped = format!("*{text}*");
            proptest::prop_assert!(fits(&text, &text) && fits("*", &text) && fits(&wrapped, &text));
        }
    }
}
