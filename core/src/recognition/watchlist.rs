//! Plates a site looks out for, turns away or lets pass: named lists, and what a read that meets one means.
//!
//! An entry names a plate by a pattern (`?` one character, `*` any run) and is in force for a time. A read is compared
//! exactly; a read one look-alike away from a plain entry is *near*: it is told as such and never opens anything.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plate::one_look_alike;
use super::plate_grammar::normalise;
use crate::alarm::Priority;
use crate::id::{WatchEntryId, WatchListId};

/// Entries that all lists of a site may have together: each read is held against all of them.
pub const MOST_ENTRIES: usize = 20_000;
/// Lists of a site.
pub const MOST_LISTS: usize = 50;

/// What a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Looked for: told, and otherwise treated like everyone.
    Wanted,
    /// Never opened to automatically: the guard is asked.
    Blocked,
    /// Welcome; opened to where the list says so.
    Welcome,
}

impl Listing {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Listing::Wanted => "wanted",
            Listing::Blocked => "blocked",
            Listing::Welcome => "welcome",
        }
    }

    /// The listing of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Listing::Wanted, Listing::Blocked, Listing::Welcome].into_iter().find(|listing| listing.word() == word)
    }
}

/// A named list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchList {
    /// Its id.
    pub id: WatchListId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub listing: Listing,
    /// The priority of the alarm that a read of one of its plates raises; none: no alarm.
    pub alarm: Option<Priority>,
    /// Whether a sure read of one of its plates opens the barrier. Only of a [`Listing::Welcome`] list.
    pub opens: bool,
    /// Its lines.
    pub entries: Vec<WatchEntry>,
}

/// One line of a watch list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEntry {
    /// Its id.
    pub id: WatchEntryId,
    /// A plate, in stored form (see [`normalise`]); `?` stands for one character, `*` for any run.
    pub pattern: String,
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

/// A list that a read met, as a passage keeps it. Field names are the wire's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchHit {
    /// Which list.
    pub list: WatchListId,
    /// Its name at that time.
    pub name: String,
    /// What it is for.
    pub listing: Listing,
    /// The entry's pattern.
    pub pattern: String,
    /// The entry's note.
    pub reason: String,
    /// Whether the read only resembles the entry.
    pub near: bool,
}

/// Why a pattern cannot be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing is left of it.
    #[error("a plate is missing: write e.g. 粤B12345, ? for one character, * for any")]
    Empty,
    /// Longer than any plate.
    #[error("{0} characters are too many: a plate or pattern has at most 12")]
    Long(usize),
    /// A character that no plate has.
    #[error("{0:?} is not a character of a plate: letters, digits, Chinese characters, ? and * are")]
    Character(char),
    /// It would meet every plate.
    #[error("a pattern needs at least two characters besides ? and *: it would meet too many plates")]
    Wide,
}

/// Brings a typed plate or pattern to the stored form.
pub fn pattern(text: &str) -> Result<String, PatternError> {
    let text = normalise(text);
    let length = text.chars().count();
    if length == 0 {
        return Err(PatternError::Empty);
    }
    if let Some(odd) = text.chars().find(|c| !c.is_alphanumeric() && !matches!(c, '?' | '*')) {
        return Err(PatternError::Character(odd));
    }
    if length > 12 {
        return Err(PatternError::Long(length));
    }
    if text.chars().filter(|c| !matches!(c, '?' | '*')).count() < 2 {
        return Err(PatternError::Wide);
    }
    Ok(text)
}

impl WatchEntry {
    /// Whether the entry is in force at `now`.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Whether and how a read meets this entry.
    pub fn hit(&self, text: &str) -> Option<Hit> {
        let plain = !self.pattern.contains(['?', '*']);
        match plain {
            true if self.pattern == text => Some(Hit::Exact),
            true if one_look_alike(&self.pattern, text) => Some(Hit::Near),
            false if fits(&self.pattern, text) => Some(Hit::Exact),
            true | false => None,
        }
    }
}

/// A met list, the line that was met, and how.
pub type Met<'a> = (&'a WatchList, &'a WatchEntry, Hit);

/// The entries in force that a read meets: of each list the best one, exact ones first, each group in the order of
/// [`Listing`]. A car that was not read meets none.
pub fn watch<'a>(text: &str, lists: &'a [WatchList], now: Timestamp) -> Vec<Met<'a>> {
    if text.is_empty() {
        return Vec::new();
    }
    let best = |list: &'a WatchList| {
        let hits =
            list.entries.iter().filter(|entry| entry.in_force(now)).filter_map(|entry| Some((entry, entry.hit(text)?)));
        hits.min_by_key(|(_, hit)| *hit == Hit::Near).map(|(entry, hit)| (list, entry, hit))
    };
    let mut hits: Vec<_> = lists.iter().filter_map(best).collect();
    hits.sort_by_key(|(list, _, hit)| (*hit == Hit::Near, list.listing));
    hits
}

/// Whether a read may be opened to on the word of a list: the list opens, the read fits exactly, and it is sure.
pub fn opens((list, _, hit): &Met<'_>, sure: bool) -> bool {
    list.listing == Listing::Welcome && list.opens && *hit == Hit::Exact && sure
}

/// Whether a list forbids automatic opening. A near hit does so only where the car itself was not known exactly: another
/// car's look-alike must not shut out a resident.
pub fn blocks((list, _, hit): &Met<'_>, known_exactly: bool) -> bool {
    list.listing == Listing::Blocked && (*hit == Hit::Exact || !known_exactly)
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

    fn entry(pattern: &str) -> WatchEntry {
        let id = WatchEntryId::from_key(pattern);
        WatchEntry { id, pattern: pattern.into(), reason: "test".into(), from: None, until: None }
    }

    fn list(listing: Listing, patterns: &[&str]) -> WatchList {
        let (id, name) = (WatchListId::from_key(listing.word()), listing.word().to_owned());
        let entries = patterns.iter().map(|pattern| entry(pattern)).collect();
        WatchList { id, name, listing, alarm: None, opens: true, entries }
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
    fn exact_hits_come_before_near_ones_and_of_a_list_the_best_counts() {
        let lists = [
            list(Listing::Wanted, &["京AB8731", "沪*1"]),
            list(Listing::Welcome, &["京AB8731", "京A*"]),
            list(Listing::Blocked, &["京A88731"]),
        ];
        let hits = watch("京A88731", &lists, Timestamp::UNIX_EPOCH);
        let order: Vec<_> = hits.iter().map(|(list, _, hit)| (list.listing, *hit)).collect();
        assert_eq!(
            order,
            [(Listing::Blocked, Hit::Exact), (Listing::Welcome, Hit::Exact), (Listing::Wanted, Hit::Near)]
        );
        assert!(watch("", &lists, Timestamp::UNIX_EPOCH).is_empty(), "an unread car is on no list");
    }

    #[test]
    fn only_a_sure_exact_read_opens_and_only_where_the_list_says_so() {
        let vip = list(Listing::Welcome, &["京A88731"]);
        let quiet = WatchList { opens: false, ..vip.clone() };
        let wanted = list(Listing::Wanted, &["京A88731"]);
        let met = |list: &WatchList, text: &str, sure: bool| {
            watch(text, std::slice::from_ref(list), Timestamp::UNIX_EPOCH).iter().any(|met| opens(met, sure))
        };
        assert!(met(&vip, "京A88731", true));
        assert!(!met(&vip, "京A88731", false), "not sure");
        assert!(!met(&vip, "京AB8731", true), "near");
        assert!(!met(&quiet, "京A88731", true));
        assert!(!met(&wanted, "京A88731", true));
    }

    #[test]
    fn a_near_hit_shuts_out_only_who_is_not_known_exactly() {
        let lists = [list(Listing::Blocked, &["京A88731"])];
        let met = |text: &str| watch(text, &lists, Timestamp::UNIX_EPOCH)[0];
        assert!(blocks(&met("京A88731"), true) && blocks(&met("京AB8731"), false));
        assert!(!blocks(&met("京AB8731"), true));
    }

    #[test]
    fn an_entry_works_only_in_its_time() {
        let at = |seconds| Timestamp::from_second(seconds).expect("small");
        let timed = WatchEntry { from: Some(at(10)), until: Some(at(20)), ..entry("*") };
        assert_eq!([9, 10, 19, 20].map(|s| timed.in_force(at(s))), [false, true, true, false]);
    }

    #[test]
    fn what_is_typed_is_brought_to_the_stored_form_or_refused_with_the_reason() {
        assert_eq!(pattern("粤b·123 45").as_deref(), Ok("粤B12345"));
        assert_eq!(pattern("粤B*"), Ok("粤B*".into()));
        assert_eq!(pattern(" - "), Err(PatternError::Empty));
        assert_eq!(pattern("粤B12/45"), Err(PatternError::Character('/')));
        assert_eq!(pattern("粤*"), Err(PatternError::Wide));
        assert_eq!(pattern(&"1".repeat(13)), Err(PatternError::Long(13)));
    }

    proptest::proptest! {
        #[test]
        fn every_text_fits_itself_and_stars(text in "[京A-Z0-9]{0,9}") {
            let wrapped = format!("*{text}*");
            proptest::prop_assert!(fits(&text, &text) && fits("*", &text) && fits(&wrapped, &text));
        }

        #[test]
        fn a_near_hit_is_never_an_exact_one(a in "[京A-C0-38]{7}", b in "[京A-C0-38]{7}") {
            let hit = entry(&a).hit(&b);
            proptest::prop_assert_eq!(hit == Some(Hit::Exact), a == b);
        }
    }
}
