//! From the reader's 73 probabilities a step to a text that is a number plate.
//!
//! Prefix beam search over CTC (Hannun et al., 2014), in which a prefix may only grow along a form of GA 36. The answer's
//! probability is the sum over all alignments of that text, so a text the picture does not support stays improbable,
//! however well it fits a form.

use gatehouse_core::recognition::plate_grammar::{FORMS, Form, PlateColour, Slot};

/// Classes of the reader: the blank and 72 characters.
pub(super) const CLASSES: usize = 73;
/// Longest form.
const MAX_LEN: usize = 8;
/// Prefixes kept a step.
const BEAM: usize = 16;
/// Characters below this are not tried at a step.
const FLOOR: f32 = 1e-6;
/// A step this sure of the blank is passed over.
const SILENCE: f32 = 0.9999;
/// Weight of an ordinary form on a plate of another colour: colour estimates err at night.
const ORDINARY_ELSEWHERE: f64 = 0.1;
/// Weight of a marked form (学, 警 …) on its colour, and elsewhere: they are rarer than the civil form.
const MARKED: [f64; 2] = [0.5, 0.02];
/// The reader was trained on a collection taken in one province, and says its character when it cannot see: an Anhui read
/// counts a tenth, unless the site is there. A clear 皖 (0.99 and more) stays above the accept score.
const TRAINED_IN: char = '皖';
const TRAINED_IN_WEIGHT: f64 = 0.1;

/// The reader's alphabet and, for each form and place, the classes allowed.
#[derive(Debug, Clone)]
pub struct Grammar {
    alphabet: Vec<char>,
    allowed: Vec<Vec<u128>>,
}

/// One text the picture may say.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The text.
    pub text: String,
    /// Its probability over all alignments, corrected for what the reader was trained on, 0–1.
    pub probability: f32,
    /// The probability times how well the form suits the colour: what candidates are ranked by.
    pub rank: f32,
    /// Its form.
    pub form: &'static Form,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Prefix {
    text: [u8; MAX_LEN],
    len: u8,
    /// Bit i: form i may still be filled.
    alive: u16,
    blank: f64,
    glyph: f64,
}

impl Prefix {
    /// The class it ends on.
    fn last(&self) -> Option<u8> {
        self.len.checked_sub(1).map(|i| self.text[i as usize])
    }
}

impl Grammar {
    /// Reads the alphabet file: one character a line, class i on line i − 1. `None` when it has not 72 lines.
    pub fn new(alphabet: &str) -> Option<Self> {
        let alphabet: Vec<char> = alphabet.lines().filter_map(|line| line.trim().chars().next()).collect();
        if alphabet.len() + 1 != CLASSES {
            return None;
        }
        let mask = |slot: &Slot| {
            alphabet
                .iter()
                .enumerate()
                .filter(|(_, c)| slot.admits(**c))
                .fold(0u128, |mask, (i, _)| mask | 1 << (i + 1))
        };
        let allowed = FORMS.iter().map(|form| form.slots.iter().map(mask).collect()).collect();
        Some(Self { alphabet, allowed })
    }

    /// The likeliest texts, best first, weighted by how well their form suits the colour; at most [`BEAM`].
    ///
    /// `steps`: T × 73 probabilities. An empty answer means no form can be filled.
    pub fn search(&self, steps: &[f32], colour: PlateColour) -> Vec<Candidate> {
        let every_form = (1u16 << FORMS.len()) - 1;
        let mut beam = vec![Prefix { text: [0; MAX_LEN], len: 0, alive: every_form, blank: 1.0, glyph: 0.0 }];
        let mut next: Vec<Prefix> = Vec::with_capacity(BEAM * 8);
        for step in steps.chunks_exact(CLASSES) {
            if step[0] >= SILENCE {
                // Most steps say nothing: no prefix grows, none merge.
                for prefix in &mut beam {
                    let whole = prefix.blank + prefix.glyph;
                    let again = prefix.last().map_or(0.0, |c| prefix.glyph * f64::from(step[c as usize]));
                    (prefix.blank, prefix.glyph) = (whole * f64::from(step[0]), again);
                }
                continue;
            }
            next.clear();
            let likely: Vec<u8> = (1..CLASSES as u8).filter(|&c| step[c as usize] > FLOOR).collect();
            for prefix in &beam {
                let whole = prefix.blank + prefix.glyph;
                let last = prefix.last();
                let again = last.map_or(0.0, |c| prefix.glyph * f64::from(step[c as usize]));
                merge(&mut next, Prefix { blank: whole * f64::from(step[0]), glyph: again, ..*prefix });
                for &c in &likely {
                    let alive = self.alive_after(prefix, c);
                    if alive != 0 {
                        let from = if Some(c) == last { prefix.blank } else { whole };
                        let mut text = prefix.text;
                        text[prefix.len as usize] = c;
                        let glyph = from * f64::from(step[c as usize]);
                        merge(&mut next, Prefix { text, len: prefix.len + 1, alive, blank: 0.0, glyph });
                    }
                }
            }
            next.retain(|p| p.blank + p.glyph > 1e-12);
            next.sort_by(|a, b| (b.blank + b.glyph).total_cmp(&(a.blank + a.glyph)));
            next.truncate(BEAM);
            std::mem::swap(&mut beam, &mut next);
        }
        self.finish(&beam, colour)
    }

    /// Forms a prefix may still fill when it grows by class `c`.
    fn alive_after(&self, prefix: &Prefix, c: u8) -> u16 {
        let place = prefix.len as usize;
        if place == MAX_LEN {
            return 0;
        }
        self.allowed
            .iter()
            .enumerate()
            .filter(|(i, slots)| prefix.alive >> i & 1 == 1 && slots.get(place).is_some_and(|mask| mask >> c & 1 == 1))
            .fold(0, |alive, (i, _)| alive | 1 << i)
    }

    /// The texts of the prefixes that fill a form, ranked.
    fn finish(&self, beam: &[Prefix], colour: PlateColour) -> Vec<Candidate> {
        let whole: Vec<(String, f64, f64, &'static Form)> = beam.iter().filter_map(|p| self.whole(p, colour)).collect();
        let prior = |text: &str| if text.starts_with(TRAINED_IN) { TRAINED_IN_WEIGHT } else { 1.0 };
        // What no candidate explains keeps its full weight: correcting must not make a poor read look sure.
        let explained: f64 = whole.iter().map(|(_, p, ..)| p).sum();
        let corrected: f64 = whole.iter().map(|(text, p, ..)| p * prior(text)).sum();
        let total = (1.0 - explained).max(0.0) + corrected;
        let mut candidates: Vec<Candidate> = whole
            .into_iter()
            .map(|(text, p, weight, form)| {
                let probability = (p * prior(&text) / total.max(f64::MIN_POSITIVE)).min(1.0);
                Candidate { text, probability: probability as f32, rank: (probability * weight) as f32, form }
            })
            .collect();
        candidates.sort_by(|a, b| b.rank.total_cmp(&a.rank));
        candidates
    }

    /// The text of a prefix that fills a form: text, probability, weight of the form that suits the colour best.
    fn whole(&self, prefix: &Prefix, colour: PlateColour) -> Option<(String, f64, f64, &'static Form)> {
        let (weight, form) = FORMS
            .iter()
            .enumerate()
            .filter(|(i, form)| prefix.alive >> i & 1 == 1 && form.slots.len() == prefix.len as usize)
            .map(|(_, form)| (weight(form, colour), form))
            .max_by(|a, b| a.0.total_cmp(&b.0))?;
        let text = prefix.text[..prefix.len as usize]
            .iter()
            .filter_map(|&c| self.alphabet.get((c as usize).checked_sub(1)?))
            .collect();
        Some((text, (prefix.blank + prefix.glyph).min(1.0), weight, form))
    }
}

/// Several looks at one plate as one: the mean of what each says of a text, none said counting as 0.
pub(super) fn combine(looks: &[Vec<Candidate>]) -> Vec<Candidate> {
    let share = 1.0 / looks.len().max(1) as f32;
    let mut combined: Vec<Candidate> = Vec::new();
    for candidate in looks.iter().flatten() {
        let (probability, rank) = (candidate.probability * share, candidate.rank * share);
        match combined.iter_mut().find(|held| held.text == candidate.text) {
            Some(held) => {
                held.probability += probability;
                held.rank += rank;
            }
            None => combined.push(Candidate { probability, rank, ..candidate.clone() }),
        }
    }
    combined.sort_by(|a, b| b.rank.total_cmp(&a.rank));
    combined
}

/// How much a form counts on a plate of this colour.
fn weight(form: &Form, colour: PlateColour) -> f64 {
    match (form.is_ordinary(), form.issued_on(colour)) {
        (true, true) => 1.0,
        (true, false) => ORDINARY_ELSEWHERE,
        (false, true) => MARKED[0],
        (false, false) => MARKED[1],
    }
}

fn merge(list: &mut Vec<Prefix>, prefix: Prefix) {
    match list.iter_mut().find(|held| held.len == prefix.len && held.text == prefix.text) {
        Some(held) => {
            held.blank += prefix.blank;
            held.glyph += prefix.glyph;
        }
        None => list.push(prefix),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The reader's alphabet, written out so that these tests need no model file.
    pub(in crate::plate) fn grammar() -> Grammar {
        let alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ云京使冀吉学宁川挂新晋桂沪津浙渝港湘澳琼甘皖粤苏蒙藏警豫贵赣辽鄂闽陕青领鲁黑";
        let lines: Vec<String> = alphabet.chars().map(String::from).collect();
        Grammar::new(&lines.join("\n")).expect("72 characters")
    }

    /// Steps that say each character for one step at `sure`, with a blank between.
    fn steps(grammar: &Grammar, spoken: &[&[(char, f32)]]) -> Vec<f32> {
        let mut out = Vec::new();
        for options in spoken {
            let mut step = [0f32; CLASSES];
            for (c, p) in *options {
                let class = grammar.alphabet.iter().position(|a| a == c).expect("in the alphabet") + 1;
                step[class] = *p;
            }
            step[0] = 1.0 - step.iter().sum::<f32>();
            out.extend(step);
            let mut blank = [0f32; CLASSES];
            blank[0] = 1.0;
            out.extend(blank);
        }
        out
    }

    fn best(spoken: &[&[(char, f32)]], colour: PlateColour) -> Option<(String, f32)> {
        let grammar = grammar();
        let found = grammar.search(&steps(&grammar, spoken), colour);
        found.first().map(|candidate| (candidate.text.clone(), candidate.probability))
    }

    const SURE: f32 = 0.99;

    #[test]
    fn a_clear_text_is_read_with_its_probability() {
        let spoken: Vec<[(char, f32); 1]> = "京A88731".chars().map(|c| [(c, SURE)]).collect();
        let spoken: Vec<&[(char, f32)]> = spoken.iter().map(|s| s.as_slice()).collect();
        let (text, probability) = best(&spoken, PlateColour::Blue).expect("fills a form");
        assert_eq!(text, "京A88731");
        assert!((probability - SURE.powi(7)).abs() < 1e-4, "{probability}");
    }

    #[test]
    fn a_letter_where_the_form_wants_one_wins_over_a_likelier_digit() {
        // The authority must be a letter: 8 is likelier than B in the picture.
        let text = best(
            &[
                &[('京', SURE)],
                &[('8', 0.6), ('B', 0.4)],
                &[('1', SURE)],
                &[('2', SURE)],
                &[('3', SURE)],
                &[('4', SURE)],
                &[('5', SURE)],
            ],
            PlateColour::Blue,
        );
        assert_eq!(text.map(|(text, _)| text).as_deref(), Some("京B12345"));
    }

    #[test]
    fn the_colour_settles_a_close_call_between_a_mark_and_a_serial() {
        let close: [&[(char, f32)]; 7] = [
            &[('渝', SURE)],
            &[('B', SURE)],
            &[('3', SURE)],
            &[('5', SURE)],
            &[('8', SURE)],
            &[('7', SURE)],
            &[('9', 0.3), ('学', 0.65)],
        ];
        assert_eq!(best(&close, PlateColour::Yellow).expect("fills").0, "渝B3587学");
        assert_eq!(best(&close, PlateColour::Blue).expect("fills").0, "渝B35879");
    }

    #[test]
    fn a_new_energy_plate_has_eight_places() {
        let spoken: Vec<[(char, f32); 1]> = "粤BD12345".chars().map(|c| [(c, SURE)]).collect();
        let spoken: Vec<&[(char, f32)]> = spoken.iter().map(|s| s.as_slice()).collect();
        assert_eq!(best(&spoken, PlateColour::Green).expect("fills").0, "粤BD12345");
        assert_eq!(best(&spoken, PlateColour::Unknown).expect("fills").0, "粤BD12345");
    }

    #[test]
    fn a_double_digit_needs_a_blank_between() {
        let spoken: Vec<[(char, f32); 1]> = "川A88888".chars().map(|c| [(c, SURE)]).collect();
        let spoken: Vec<&[(char, f32)]> = spoken.iter().map(|s| s.as_slice()).collect();
        assert_eq!(best(&spoken, PlateColour::Blue).expect("fills").0, "川A88888");
    }

    #[test]
    fn the_province_the_reader_was_trained_in_must_be_clear() {
        let spoken = |sure: f32| -> Vec<[(char, f32); 2]> {
            let rest = "A88731".chars().map(|c| [(c, 0.9999), ('皖', 0.0)]);
            std::iter::once([('皖', sure), ('沪', 0.999 - sure)]).chain(rest).collect()
        };
        let read = |sure: f32| {
            let spoken = spoken(sure);
            let spoken: Vec<&[(char, f32)]> = spoken.iter().map(|s| s.as_slice()).collect();
            best(&spoken, PlateColour::Blue).expect("fills a form")
        };
        assert!(matches!(read(0.9985), (text, p) if text == "皖A88731" && p > 0.97));
        assert!(matches!(read(0.95), (text, p) if text == "皖A88731" && p < 0.8), "{:?}", read(0.95));
        assert!(matches!(read(0.85), (text, _) if text == "沪A88731"));
    }

    #[test]
    fn looks_that_agree_outweigh_one_that_does_not() {
        let candidate = |text: &str, p: f32| Candidate { text: text.into(), probability: p, rank: p, form: &FORMS[0] };
        let looks = [
            vec![candidate("京A88731", 0.6), candidate("京A88781", 0.3)],
            vec![candidate("京A88781", 0.5), candidate("京A88731", 0.5)],
        ];
        let combined = combine(&looks);
        assert_eq!(combined[0].text, "京A88731");
        assert!((combined[0].probability - 0.55).abs() < 1e-6 && (combined[1].probability - 0.4).abs() < 1e-6);
        assert!(combine(&[]).is_empty());
    }

    #[test]
    fn an_alphabet_of_another_length_is_refused_and_no_text_is_no_answer() {
        assert!(Grammar::new("0\n1\n2\n").is_none());
        assert_eq!(best(&[&[('京', SURE)]], PlateColour::Blue), None);
        assert!(grammar().search(&[], PlateColour::Blue).is_empty());
    }

    proptest! {
        #[test]
        fn every_answer_fills_a_form_and_is_a_probability(
            raw in proptest::collection::vec(0f32..1.0, (CLASSES * 4)..(CLASSES * 14)),
        ) {
            let whole = raw.len() / CLASSES * CLASSES;
            let mut steps = raw[..whole].to_vec();
            for step in steps.chunks_exact_mut(CLASSES) {
                step.iter_mut().for_each(|p| *p = p.powi(8));
                let sum: f32 = step.iter().sum::<f32>().max(1e-6);
                step.iter_mut().for_each(|p| *p /= sum);
            }
            for candidate in grammar().search(&steps, PlateColour::Unknown) {
                prop_assert!(candidate.form.matches(&candidate.text), "{}", candidate.text);
                prop_assert!((0.0..=1.0).contains(&candidate.probability));
            }
        }
    }
}
