//! From the reads of one passage to one plate, and from a plate to a known car.
//!
//! A gate camera reads the same car in many frames; [`PlateVote`] weighs them and says whether the text may be acted on.
//! [`find_known`] then looks the text up among known plates, forgiving the look-alikes that readers confuse, but never
//! choosing between two cars that fit equally well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::plate_grammar::{PlateColour, PlateKind};

/// When a vote is good enough to act on. The confidences belong to the reader that gave them: those of another one mean
/// something else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlatePolicy {
    /// A read at or above this confidence is sure, and accepted when no other text has as much weight. Below it a text may be
    /// accepted because frames agree, but nothing is opened on the word of a list alone.
    pub accept: f32,
    /// Frames that must agree when none reaches `accept`.
    pub agree_frames: u32,
    /// Mean confidence those frames need.
    pub agree_confidence: f32,
    /// Share of the whole weight the winning text needs, so that two cars in one passage do not blend.
    pub share: f32,
}

impl Default for PlatePolicy {
    /// Of the reader that set-up brings: 99.6 % of its reads above 0.9 were right where it was measured.
    fn default() -> Self {
        Self { accept: 0.9, agree_frames: 3, agree_confidence: 0.7, share: 0.5 }
    }
}

/// What the frames of a passage say so far.
#[derive(Debug, Clone, PartialEq)]
pub enum PlateVerdict {
    /// No read yet.
    Nothing,
    /// A text, but not sure enough: a question for the guard.
    Uncertain {
        /// The likeliest text.
        text: String,
        /// Its best confidence.
        confidence: f32,
    },
    /// A text to act on.
    Accepted {
        /// The plate.
        text: String,
        /// Its best confidence.
        confidence: f32,
        /// Frames that read it.
        frames: u32,
        /// Whether a single read was sure ([`Read::is_sure`]), not only several alike.
        sure: bool,
    },
}

/// What one frame says of a plate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Read<'t> {
    /// The text.
    pub text: &'t str,
    /// The reader's confidence, 0–1.
    pub confidence: f32,
    /// Whether a second reader said the same: [`agrees`].
    pub confirmed: bool,
}

impl Read<'_> {
    /// Whether it is sure by the limit of its reader, or because a second one confirmed it.
    pub fn is_sure(&self, policy: &PlatePolicy) -> bool {
        // Written so that a NaN is never sure.
        self.confirmed || self.confidence >= policy.accept
    }
}

/// Least confidence of a read that a second reader may confirm: below it the first one guesses among many texts.
pub const CONFIRM_FIRST: f32 = 0.5;
/// Least confidence of the second reader's own read.
pub const CONFIRM_SECOND: f32 = 0.5;

/// Whether a second reader, of another kind and asked without knowing the first one's text, confirms an unsure read: both
/// texts are the same to the character, the first read was more likely than not, and so was the second.
pub fn agrees((text, confidence): (&str, f32), (second, second_confidence): (&str, f32)) -> bool {
    // Written so that a NaN confirms nothing.
    !text.is_empty() && text == second && confidence >= CONFIRM_FIRST && second_confidence >= CONFIRM_SECOND
}

/// Reads of one tracked car. Holds at most [`PlateVote::MAX_TEXTS`] different texts; the weakest is dropped for a new one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlateVote {
    tally: BTreeMap<String, Count>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Count {
    frames: u32,
    /// Sum of confidences in thousandths: whole numbers, so that the order of frames cannot tip a tie.
    weight: u64,
    best: f32,
    confirmed: bool,
}

impl PlateVote {
    /// Different texts held for one car.
    pub const MAX_TEXTS: usize = 32;

    /// Counts one frame's read; a confidence outside 0–1 counts as 0.
    pub fn add(&mut self, Read { text, confidence, confirmed }: Read<'_>) {
        let confidence = if (0.0..=1.0).contains(&confidence) { confidence } else { 0.0 };
        if !self.tally.contains_key(text) && self.tally.len() >= Self::MAX_TEXTS {
            let weakest = self.tally.iter().min_by(|a, b| a.1.weight.cmp(&b.1.weight)).map(|(text, _)| text.clone());
            if let Some(weakest) = weakest {
                self.tally.remove(&weakest);
            }
        }
        let count = self.tally.entry(text.to_owned()).or_default();
        count.frames = count.frames.saturating_add(1);
        count.weight += (confidence * 1000.0).round() as u64;
        count.best = count.best.max(confidence);
        count.confirmed |= confirmed;
    }

    /// Frames counted.
    pub fn frames(&self) -> u32 {
        self.tally.values().fold(0, |sum, count| sum.saturating_add(count.frames))
    }

    /// The verdict on what was counted; equal weights go to the text that sorts first.
    pub fn verdict(&self, policy: &PlatePolicy) -> PlateVerdict {
        let total: u64 = self.tally.values().map(|count| count.weight).sum();
        let Some((text, count)) =
            self.tally.iter().max_by(|a, b| a.1.weight.cmp(&b.1.weight).then_with(|| b.0.cmp(a.0)))
        else {
            return PlateVerdict::Nothing;
        };
        let ahead = count.weight as f64 > f64::from(policy.share) * total as f64;
        let sure = Read { text, confidence: count.best, confirmed: count.confirmed }.is_sure(policy);
        let agreed = count.frames >= policy.agree_frames
            && count.weight as f64 >= 1000.0 * f64::from(policy.agree_confidence) * f64::from(count.frames);
        if ahead && (sure || agreed) {
            PlateVerdict::Accepted { text: text.clone(), confidence: count.best, frames: count.frames, sure }
        } else {
            PlateVerdict::Uncertain { text: text.clone(), confidence: count.best }
        }
    }
}

/// Characters to change, add or drop to turn one text into the other (Levenshtein).
pub fn edit_distance(a: &str, b: &str) -> u32 {
    distance(a, b, |x, y| if x == y { 0 } else { 2 }) / 2
}

/// [`edit_distance`] in halves, where a pair of look-alikes costs one half instead of a whole.
pub fn half_distance(a: &str, b: &str) -> u32 {
    distance(a, b, |x, y| match (x == y, alike(x, y)) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    })
}

/// Pairs that readers confuse on worn or small plates. No plate has I or O in its serial, but people type them.
const LOOK_ALIKES: &[(char, char)] = &[
    ('0', 'D'),
    ('0', 'Q'),
    ('0', 'C'),
    ('D', 'Q'),
    ('1', 'L'),
    ('1', 'T'),
    ('1', 'J'),
    ('2', 'Z'),
    ('5', 'S'),
    ('6', 'G'),
    ('8', 'B'),
    ('3', '8'),
    ('C', 'G'),
    ('E', 'F'),
    ('M', 'W'),
    ('M', 'N'),
    ('H', 'N'),
    ('U', 'V'),
    ('X', 'Y'),
    ('V', 'Y'),
    ('7', 'T'),
    ('4', 'A'),
    ('9', '学'),
    ('0', 'O'),
    ('D', 'O'),
    ('Q', 'O'),
    ('1', 'I'),
    ('L', 'I'),
];

fn alike(a: char, b: char) -> bool {
    LOOK_ALIKES.iter().any(|&(x, y)| (x, y) == (a, b) || (y, x) == (a, b))
}

/// What a reader may have made of a character, itself first.
pub fn confusions(c: char) -> impl Iterator<Item = char> {
    let others = LOOK_ALIKES.iter().filter_map(move |&(x, y)| match () {
        () if x == c => Some(y),
        () if y == c => Some(x),
        () => None,
    });
    std::iter::once(c).chain(others)
}

/// Whether two texts of one length differ in a single character, and that by a look-alike.
pub fn one_look_alike(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.chars(), b.chars());
    let mut differ = 0;
    loop {
        match (a.next(), b.next()) {
            (None, None) => return differ == 1,
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) if differ == 0 && alike(x, y) => differ = 1,
            (Some(_), Some(_)) | (None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

fn distance(a: &str, b: &str, change: impl Fn(char, char) -> u32) -> u32 {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<u32> = (0..=b.len() as u32).map(|i| 2 * i).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = 2 * (i as u32 + 1);
        for (j, &y) in b.iter().enumerate() {
            let best = (diagonal + change(x, y)).min(row[j] + 2).min(row[j + 1] + 2);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

/// How a read fits the known plates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a> {
    /// The very text.
    Exact(&'a str),
    /// The one known plate within the tolerance, and its distance in halves (see [`half_distance`]).
    Near(&'a str, u32),
    /// Several known plates are equally near: a person decides.
    Ambiguous,
    /// None is near enough.
    Unknown,
}

/// Looks a read up among known plates. `tolerance` is in halves: 0 exact only, 1 one look-alike, 2 one character.
///
/// A near plate counts only if every other known plate is farther away: a barrier never opens on a guess between two cars.
pub fn find_known<'a>(text: &str, known: impl IntoIterator<Item = &'a str>, tolerance: u32) -> Known<'a> {
    let mut nearest: Option<(&'a str, u32)> = None;
    let mut tied = false;
    for plate in known {
        if plate == text {
            return Known::Exact(plate);
        }
        let apart = half_distance(text, plate);
        match nearest {
            Some((held, best)) if apart == best && held != plate => tied = true,
            Some((_, best)) if apart >= best => {}
            _ => {
                nearest = Some((plate, apart));
                tied = false;
            }
        }
    }
    match nearest {
        Some((_, apart)) if apart > tolerance => Known::Unknown,
        Some(_) if tied => Known::Ambiguous,
        Some((plate, apart)) => Known::Near(plate, apart),
        None => Known::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str, confidence: f32) -> Read<'_> {
        Read { text, confidence, confirmed: false }
    }

    fn verdict(reads: &[(&str, f32)]) -> PlateVerdict {
        let mut vote = PlateVote::default();
        reads.iter().for_each(|&(text, confidence)| vote.add(said(text, confidence)));
        vote.verdict(&PlatePolicy::default())
    }

    #[test]
    fn one_sure_read_is_enough_and_one_unsure_read_is_a_question() {
        assert_eq!(verdict(&[]), PlateVerdict::Nothing);
        assert!(matches!(verdict(&[("京A88731", 0.97)]), PlateVerdict::Accepted { frames: 1, .. }));
        assert!(matches!(verdict(&[("京A88731", 0.89)]), PlateVerdict::Uncertain { .. }));
    }

    #[test]
    fn three_fair_frames_agree_but_two_do_not() {
        let read = ("京A88731", 0.75);
        assert!(matches!(verdict(&[read; 2]), PlateVerdict::Uncertain { .. }));
        assert!(matches!(verdict(&[read; 3]), PlateVerdict::Accepted { frames: 3, .. }));
        assert!(matches!(verdict(&[("京A88731", 0.5); 9]), PlateVerdict::Uncertain { .. }));
    }

    #[test]
    fn a_second_reader_confirms_only_the_same_text_of_a_likely_read() {
        let first = ("京A88731", 0.6);
        assert!(agrees(first, ("京A88731", 0.7)));
        for second in [("京A88781", 0.99), ("京A88731", 0.49), ("京A88731", f32::NAN), ("", 0.9)] {
            assert!(!agrees(first, second), "{second:?}");
        }
        for first in [("京A88731", 0.49), ("京A88731", f32::NAN)] {
            assert!(!agrees(first, ("京A88731", 0.99)), "{first:?}");
        }
        assert!(!agrees(("", 0.9), ("", 0.9)), "nothing read twice is still nothing");
    }

    #[test]
    fn a_confirmed_read_is_sure_and_frames_that_agree_are_accepted_without_being_so() {
        let verdict = |reads: &[Read<'_>], policy: &PlatePolicy| {
            let mut vote = PlateVote::default();
            reads.iter().for_each(|read| vote.add(*read));
            vote.verdict(policy)
        };
        let policy = PlatePolicy::default();
        let confirmed = Read { confirmed: true, ..said("京A88731", 0.6) };
        assert!(matches!(verdict(&[confirmed], &policy), PlateVerdict::Accepted { sure: true, frames: 1, .. }));
        let other = said("京A88781", 0.9);
        assert!(
            matches!(verdict(&[confirmed, other, other], &policy), PlateVerdict::Accepted { text, .. } if text == "京A88781")
        );
        let fair = said("京A88731", 0.75);
        assert!(matches!(verdict(&[fair; 3], &policy), PlateVerdict::Accepted { sure: false, .. }));
        let of_another_reader = PlatePolicy { accept: 0.7, ..policy };
        assert!(matches!(verdict(&[fair], &of_another_reader), PlateVerdict::Accepted { sure: true, .. }));
        assert!(!said("京A88731", f32::NAN).is_sure(&policy));
    }

    #[test]
    fn two_texts_of_equal_weight_are_nobodys_plate() {
        assert!(matches!(verdict(&[("京A88731", 0.95), ("京A88781", 0.95)]), PlateVerdict::Uncertain { .. }));
    }

    #[test]
    fn a_wrong_first_read_is_outvoted() {
        let reads = [("皖A99VK1", 0.91), ("京A88731", 0.95), ("京A88731", 0.93)];
        assert!(matches!(verdict(&reads), PlateVerdict::Accepted { text, frames: 2, .. } if text == "京A88731"));
    }

    #[test]
    fn distances_count_characters_not_bytes() {
        assert_eq!(edit_distance("京A88731", "津A88731"), 1);
        assert_eq!(edit_distance("京A88731", "京A8873"), 1);
        assert_eq!(edit_distance("", "京A"), 2);
        assert_eq!(half_distance("京A88731", "京AB8731"), 1);
        assert_eq!(half_distance("京A88731", "京A8S73L"), 3, "8→S a whole, 1→L a half");
    }

    #[test]
    fn a_look_alike_is_one_character_and_confusions_are_mutual() {
        assert!(one_look_alike("京A88731", "京AB8731"));
        for other in ["京A88731", "京ABB731", "京A98731", "京A8873", "京A887311", ""] {
            assert!(!one_look_alike("京A88731", other), "{other}");
        }
        for c in ('0'..='9').chain('A'..='Z') {
            assert_eq!(confusions(c).next(), Some(c));
            assert!(confusions(c).all(|other| confusions(other).any(|back| back == c)), "{c}");
        }
    }

    #[test]
    fn a_near_plate_is_found_unless_two_fit() {
        let known = ["京A88731", "沪B12345"];
        assert_eq!(find_known("京A88731", known, 2), Known::Exact("京A88731"));
        assert_eq!(find_known("京AB8731", known, 1), Known::Near("京A88731", 1));
        assert_eq!(find_known("京A98731", known, 1), Known::Unknown);
        assert_eq!(find_known("京A98731", ["京A88731", "京A96731"], 2), Known::Ambiguous);
        assert_eq!(find_known("京A98731", ["京A88731", "京A88731"], 2), Known::Near("京A88731", 2), "listed twice");
        assert_eq!(find_known("京A98731", [], 2), Known::Unknown);
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in "[京津A-C0-38]{0,8}", b in "[京津A-C0-38]{0,8}", c in "[京津A-C0-38]{0,8}") {
            prop_assert_eq!(edit_distance(&a, &b), edit_distance(&b, &a));
            prop_assert_eq!(edit_distance(&a, &b) == 0, a == b);
            prop_assert!(edit_distance(&a, &c) <= edit_distance(&a, &b) + edit_distance(&b, &c));
            prop_assert!(half_distance(&a, &b) <= 2 * edit_distance(&a, &b));
        }

        #[test]
        fn only_a_text_that_was_read_is_accepted_and_the_order_of_frames_does_not_matter(
            reads in proptest::collection::vec(("[AB][0-2]", 0u8..=100), 0..60),
        ) {
            let mut vote = PlateVote::default();
            let mut back = PlateVote::default();
            reads.iter().for_each(|(text, c)| vote.add(said(text, f32::from(*c) / 100.0)));
            reads.iter().rev().for_each(|(text, c)| back.add(said(text, f32::from(*c) / 100.0)));
            prop_assert_eq!(vote.frames(), reads.len() as u32);
            let (a, b) = (vote.verdict(&PlatePolicy::default()), back.verdict(&PlatePolicy::default()));
            if let (PlateVerdict::Accepted { text, .. }, PlateVerdict::Accepted { text: other, .. }) = (&a, &b) {
                prop_assert!(reads.iter().any(|(read, _)| read == text));
                prop_assert_eq!(text, other);
            }
        }

        #[test]
        fn a_flood_of_different_texts_stays_bounded(n in 0usize..200) {
            let mut vote = PlateVote::default();
            (0..n).for_each(|i| vote.add(said(&format!("T{i}"), 0.5)));
            prop_assert!(vote.tally.len() <= PlateVote::MAX_TEXTS);
        }
    }
}
