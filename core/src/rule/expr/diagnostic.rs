//! What is wrong with a rule's text: where, what, and what would be right.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A stretch of the text, in bytes. Two things that differ only in where they stand are the same thing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// First byte.
    pub from: usize,
    /// The byte after the last.
    pub to: usize,
}

impl Span {
    /// From the beginning of one to the end of another.
    pub fn with(self, other: Span) -> Span {
        Span { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A node with where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The node.
    pub node: T,
    /// Where.
    pub span: Span,
}

/// One thing that is wrong, in bytes of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// Where.
    pub span: Span,
    /// Word that pages translate.
    pub code: &'static str,
    /// What the sentence of the code needs.
    pub params: BTreeMap<&'static str, String>,
    /// Sentence.
    pub message: String,
}

impl Wrong {
    pub(super) fn new(span: Span, code: &'static str, message: impl Into<String>) -> Self {
        Self { span, code, params: BTreeMap::new(), message: message.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.params.insert(name, value.to_string());
        self
    }

    /// Adds "did you mean", where something known is near to what was written.
    pub(super) fn near<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(written, known) {
            Some(near) => {
                let message = format!("{}: did you mean {near}?", self.message);
                Self { message, ..self }.with("near", near)
            }
            None => self,
        }
    }
}

/// One thing that is wrong, as an editor marks it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Diagnostic {
    /// Word that pages translate.
    pub code: String,
    /// What the sentence of the code needs.
    pub params: BTreeMap<String, String>,
    /// Sentence in English.
    pub message: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// First unit, in UTF-16 units of the text: what a browser counts.
    pub start: usize,
    /// The unit after the last.
    pub end: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Diagnostic {
    /// Counts lines, columns and units of a text.
    pub fn new(text: &str, wrong: &Wrong) -> Self {
        let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (from, to) = (floor(wrong.span.from), floor(wrong.span.to.max(wrong.span.from)));
        let before = &text[..from];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            code: wrong.code.to_owned(),
            params: wrong.params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            message: wrong.message.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            start: before.encode_utf16().count(),
            end: text[..to].encode_utf16().count(),
        }
    }
}

/// The known word nearest to a written one, when it is near enough to be meant.
fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let most = (written.chars().count() / 3).clamp(1, 4);
    let part =
        |word: &str| written.len() >= 4 && (word.contains(&written) || written.contains(word) && word.len() >= 4);
    known
        .into_iter()
        .filter_map(|word| {
            let far = distance(&written, &word.to_lowercase());
            (far <= most).then_some((far, word)).or_else(|| part(word).then_some((most + 1, word)))
        })
        .min_by_key(|(far, word)| (*far, word.len()))
        .map(|(_, word)| word)
}

/// Levenshtein's distance, over at most 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut left_above = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = left_above + usize::from(x != *y);
            left_above = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(left_above + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_what_was_meant() {
        let known = ["door-lobby", "door-garage", "temp-1"];
        assert_eq!(nearest("door-loby", known), Some("door-lobby"));
        assert_eq!(nearest("lobby", known), Some("door-lobby"));
        assert_eq!(nearest("hydrant", known), None);
    }

    #[test]
    fn positions_are_counted_as_people_and_browsers_count() {
        let text = "# 温度 🌡\nwhen x";
        let at = text.find('x').unwrap();
        let found = Diagnostic::new(text, &Wrong::new(Span { from: at, to: at + 1 }, "c", "m"));
        assert_eq!((found.line, found.column, found.start, found.end), (2, 6, 13, 14));
    }
}
