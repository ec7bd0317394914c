//! From a reader's probabilities a step to a text that is a number plate.
//!
//! Prefix beam search over CTC (Hannun et al., 2014), in which a prefix may only grow along a form of GA 36. The answer's
//! probability is the sum over all alignments of that text, so a text the picture does not support stays improbable,
//! however well it fits a form.

use gatehouse_core::recognition::plate_grammar::{FORMS, Form, PROVINCES, PlateColour, Slot};

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
/// What the province counts that a reader says when it cannot see. A clear one (0.99 and more) stays above the accept score.
const FAVOURED_WEIGHT: f64 = 0.1;
/// What readers of all writing say between the characters of a plate: nothing, on a plate.
const SEPARATORS: &[char] = &['·', '•', '・', '-', '.', ' ', '\u{3000}'];
/// Most characters that plates have, and the blank: their places in a step are a byte, their sets 128 bits.
const PLACES: usize = 128;

/// What a reader's classes mean on plates and, for each form and place, the characters allowed. Of the classes only the
/// blank and the characters of plates are looked at, whatever else the reader knows.
#[derive(Debug, Clone)]
pub struct Grammar {
    /// Numbers in one step of the reader.
    classes: usize,
    /// Classes that count as the blank beside it.
    separators: Vec<usize>,
    /// Class and character of each character that plates have.
    alphabet: Vec<(usize, char)>,
    allowed: Vec<Vec<u128>>,
    favours: Option<char>,
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
    /// Reads an alphabet: one character a line, class i on line i − 1; a reader may have one class more for the space.
    ///
    /// `favours`: a province that the reader says when it cannot see. An error says what the alphabet lacks.
    pub fn new(alphabet: &str, favours: Option<char>) -> Result<Self, String> {
        let listed: Vec<char> = alphabet.lines().map(|line| line.trim().chars().next().unwrap_or(' ')).collect();
        let on_plates = |c: char| FORMS.iter().flat_map(|form| form.slots).any(|slot| slot.admits(c));
        let alphabet: Vec<(usize, char)> =
            listed.iter().enumerate().filter(|(_, c)| on_plates(**c)).map(|(i, c)| (i + 1, *c)).collect();
        if let Some((class, c)) = alphabet.iter().find(|(class, c)| listed[..class - 1].contains(c)) {
            return Err(format!("character {c} of line {class} is listed before"));
        }
        let needed = PROVINCES.chars().chain('0'..='9').chain(('A'..='Z').filter(|c| !matches!(c, 'I' | 'O')));
        let lacking: String = needed.filter(|c| !listed.contains(c)).collect();
        if !lacking.is_empty() {
            return Err(format!("{} lines without {lacking}, which plates have", listed.len()));
        }
        let mask = |slot: &Slot| {
            alphabet
                .iter()
                .enumerate()
                .filter(|(_, (_, c))| slot.admits(*c))
                .fold(0u128, |mask, (i, _)| mask | 1 << (i + 1))
        };
        let allowed = FORMS.iter().map(|form| form.slots.iter().map(mask).collect()).collect();
        let separators = (1..).zip(&listed).filter(|(_, c)| SEPARATORS.contains(c)).map(|(class, _)| class).collect();
        Ok(Self { classes: listed.len() + 1, separators, alphabet, allowed, favours })
    }

    /// Numbers in one step of the reader.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Takes a reader of so many classes; whether it is one of this alphabet: as many, or one more for the space.
    pub fn fit(&mut self, classes: usize) -> bool {
        let space = classes == self.classes + 1;
        let fits = space || classes == self.classes;
        self.separators.extend(space.then_some(self.classes));
        self.classes = classes;
        fits
    }

    /// The blank and the characters of plates out of one step.
    fn of_plates(&self, step: &[f32], out: &mut [f32; PLACES]) {
        out[0] = step[0] + self.separators.iter().map(|class| step[*class]).sum::<f32>();
        for (place, (class, _)) in out[1..].iter_mut().zip(&self.alphabet) {
            *place = step[*class];
        }
    }

    /// The likeliest texts, best first, weighted by how well their form suits the colour; at most [`BEAM`].
    ///
    /// `steps`: T × [`classes`](Self::classes) probabilities. An empty answer means no form can be filled.
    pub fn search(&self, steps: &[f32], colour: PlateColour) -> Vec<Candidate> {
        let every_form = (1u16 << FORMS.len()) - 1;
        let mut beam = vec![Prefix { text: [0; MAX_LEN], len: 0, alive: every_form, blank: 1.0, glyph: 0.0 }];
        let mut next: Vec<Prefix> = Vec::with_capacity(BEAM * 8);
        let mut step = [0f32; PLACES];
        for of_reader in steps.chunks_exact(self.classes) {
            self.of_plates(of_reader, &mut step);
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
            let likely: Vec<u8> = (1..=self.alphabet.len() as u8).filter(|&c| step[c as usize] > FLOOR).collect();
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
        let favoured = |text: &str| self.favours.is_some_and(|province| text.starts_with(province));
        let prior = |text: &str| if favoured(text) { FAVOURED_WEIGHT } else { 1.0 };
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
            .filter_map(|&c| Some(self.alphabet.get((c as usize).checked_sub(1)?)?.1))
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
        Grammar::new(&lines.join("\n"), Some('皖')).expect("72 characters")
    }

    /// Steps that say each character for one step at `sure`, with a blank between.
    fn steps(grammar: &Grammar, spoken: &[&[(char, f32)]]) -> Vec<f32> {
        let mut out = Vec::new();
        for options in spoken {
            let mut step = vec![0f32; grammar.classes()];
            for (c, p) in *options {
                let class = grammar.alphabet.iter().find(|(_, a)| a == c).expect("in the alphabet").0;
                step[class] = *p;
            }
            step[0] = 1.0 - step.iter().sum::<f32>();
            out.extend(step);
            let mut blank = vec![0f32; grammar.classes()];
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
    fn an_alphabet_without_what_plates_have_is_refused_and_no_text_is_no_answer() {
        assert!(Grammar::new("0\n1\n2\n", None).is_err_and(|said| said.contains("京") && said.contains("3 lines")));
        let lines: Vec<String> = grammar().alphabet.iter().map(|(_, c)| c.to_string()).collect();
        let twice = format!("{}\n京", lines.join("\n"));
        assert!(Grammar::new(&twice, None).is_err_and(|said| said.contains("京 of line 73")));
        assert_eq!(best(&[&[('京', SURE)]], PlateColour::Blue), None);
        assert!(grammar().search(&[], PlateColour::Blue).is_empty());
    }

    #[test]
    fn a_reader_of_all_writing_reads_plates_by_their_characters_alone() {
        // The same alphabet strewn among characters that no plate has, dots, and a class more for the space.
        let small = grammar();
        let strewn: Vec<String> =
            small.alphabet.iter().flat_map(|(_, c)| ["疗".into(), c.to_string(), "·".into()]).collect();
        let mut large = Grammar::new(&strewn.join("\n"), Some('皖')).expect("has them all");
        assert!(!large.clone().fit(small.classes()) && large.fit(strewn.len() + 2));
        let spoken: Vec<[(char, f32); 1]> = "京A88731".chars().map(|c| [(c, SURE)]).collect();
        let spoken: Vec<&[(char, f32)]> = spoken.iter().map(|s| s.as_slice()).collect();
        let (a, b) = (steps(&small, &spoken), steps(&large, &spoken));
        assert_eq!(small.search(&a, PlateColour::Blue), large.search(&b, PlateColour::Blue));
        // The dot behind the authority, and the space, which has no line.
        let (dot, space) = (large.separators[0], large.classes() - 1);
        let mut dotted = b.clone();
        for step in dotted.chunks_exact_mut(large.classes()).filter(|step| step[0] == 1.0) {
            (step[0], step[dot], step[space]) = (0.2, 0.5, 0.3);
        }
        let best = large.search(&dotted, PlateColour::Blue).swap_remove(0);
        assert!(best.text == "京A88731" && (best.probability - SURE.powi(7)).abs() < 1e-4, "{best:?}");
    }

    proptest! {
        #[test]
        fn every_answer_fills_a_form_and_is_a_probability(
            raw in proptest::collection::vec(0f32..1.0, (73 * 4)..(73 * 14)),
        ) {
            let whole = raw.len() / 73 * 73;
            let mut steps = raw[..whole].to_vec();
            for step in steps.chunks_exact_mut(73) {
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
