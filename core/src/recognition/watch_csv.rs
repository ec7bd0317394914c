//! A watch list out of a CSV file: every line becomes an entry, or an error that names line and column.
//!
//! `plate,note,valid_until` with or without that heading; the note and the time may be missing. RFC 4180, comma or
//! semicolon, with or without a byte order mark, as spreadsheets write it.

use super::watchlist::pattern;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Lines read; beyond, the file is refused.
pub const MOST_LINES: usize = 20_000;
/// Errors told at once.
const MOST_ERRORS: usize = 100;
/// Characters of a note.
pub const MOST_NOTE: usize = 200;

/// One line that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In the file, from 1.
    pub line: usize,
    /// The plate or pattern, in stored form.
    pub pattern: String,
    /// The note.
    pub note: String,
    /// In force until; none: for good.
    pub until: Option<Timestamp>,
}

/// What is wrong in a file. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// In the file, from 1.
    pub line: usize,
    /// The cell, from 1.
    pub column: usize,
    /// A word that pages translate: `plate`, `note_long`, `valid_until`, `quote`, `cells`, `twice`, `too_long`.
    pub code: &'static str,
    /// One sentence in English.
    pub message: String,
}

/// A cell with where it begins.
struct Row {
    line: usize,
    cells: Vec<String>,
    unclosed: Option<usize>,
}

/// Reads a file; `zone` is of dates without a time, which last to the end of that day. The errors of all lines, or all lines.
pub fn read(text: &str, zone: &TimeZone) -> Result<Vec<Line>, Vec<Wrong>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<Line> = Vec::new();
    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for (n, row) in rows(text).into_iter().enumerate() {
        if n > MOST_LINES {
            let message = format!("a file has at most {MOST_LINES} lines: split it");
            wrong.push(Wrong { line: row.line, column: 1, code: "too_long", message });
            break;
        }
        if n == 0 && row.cells.first().is_some_and(|cell| is_heading(cell)) {
            continue;
        }
        match line(&row, zone) {
            Ok(line) => match seen.insert(line.pattern.clone(), line.line) {
                Some(first) => {
                    let message = format!("{} stands in line {first} already", line.pattern);
                    wrong.push(Wrong { line: line.line, column: 1, code: "twice", message });
                }
                None => lines.push(line),
            },
            Err(error) => wrong.push(error),
        }
        if wrong.len() >= MOST_ERRORS {
            break;
        }
    }
    if wrong.is_empty() { Ok(lines) } else { Err(wrong) }
}

fn is_heading(cell: &str) -> bool {
    matches!(cell.trim().to_lowercase().as_str(), "plate" | "车牌" | "车牌号" | "pattern")
}

fn line(row: &Row, zone: &TimeZone) -> Result<Line, Wrong> {
    let wrong = |column, code, message: String| Wrong { line: row.line, column, code, message };
    if let Some(column) = row.unclosed {
        return Err(wrong(column, "quote", "the quote that begins here is not closed".into()));
    }
    if row.cells.len() > 3 {
        return Err(wrong(4, "cells", format!("{} cells: plate, note and valid_until are read", row.cells.len())));
    }
    let cell = |n: usize| row.cells.get(n).map_or("", |cell| cell.trim());
    let pattern = pattern(cell(0)).map_err(|error| wrong(1, "plate", error.to_string()))?;
    let note = cell(1).to_owned();
    if note.chars().count() > MOST_NOTE {
        return Err(wrong(2, "note_long", format!("a note has at most {MOST_NOTE} characters")));
    }
    let until = match cell(2) {
        "" => None,
        text => Some(moment(text, zone).ok_or_else(|| {
            wrong(3, "valid_until", format!("{text:?} is no time: write 2026-12-31 or 2026-12-31T18:00:00+08:00"))
        })?),
    };
    Ok(Line { line: row.line, pattern, note, until })
}

/// A moment, or the end of a day.
fn moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day: Date = text.replace('/', "-").parse().ok()?;
    day.tomorrow().ok()?.to_zoned(zone.clone()).ok().map(|start| start.timestamp())
}

/// The rows that are not empty; a quoted cell may hold separators, quotes (doubled) and line breaks.
fn rows(text: &str) -> Vec<Row> {
    let (mut line, mut row) = (1, Row { line: 1, cells: Vec::new(), unclosed: None });
    let (mut cell, mut quoted) = (String::new(), false);
    let separator = separator(text);
    let mut chars = text.chars().peekable();
    let mut rows = Vec::new();
    let mut end = |row: &mut Row, cell: &mut String, next: usize| {
        row.cells.push(std::mem::take(cell));
        let whole = std::mem::replace(row, Row { line: next, cells: Vec::new(), unclosed: None });
        if whole.cells.iter().any(|cell| !cell.trim().is_empty()) {
            rows.push(whole);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            '\n' => {
                line += 1;
                if quoted {
                    cell.push(c);
                } else {
                    end(&mut row, &mut cell, line);
                }
            }
            '\r' if !quoted => {}
            c if c == separator && !quoted => row.cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    if quoted {
        row.unclosed = Some(row.cells.len() + 1);
    }
    end(&mut row, &mut cell, line);
    rows
}

/// Comma, or the semicolon of spreadsheets whose decimal sign is the comma.
fn separator(text: &str) -> char {
    let first = text.lines().next().unwrap_or_default();
    if !first.contains(',') && first.contains(';') { ';' } else { ',' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(8))
    }

    #[test]
    fn a_file_as_spreadsheets_write_it_is_read() {
        let text = "\u{feff}plate,note,valid_until\r\n粤b·12345,\"fetches, daily\",2026-12-31\r\n\r\n京A*1\r\n";
        let lines = read(text, &zone()).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[0].line, lines[0].pattern.as_str(), lines[0].note.as_str()),
            (2, "粤B12345", "fetches, daily")
        );
        assert_eq!(lines[0].until, Some("2026-12-31T16:00:00Z".parse().unwrap()), "to the end of the day, there");
        assert_eq!((lines[1].line, lines[1].until), (4, None));
        assert_eq!(read("粤B12345;x;2026-12-31T08:00:00Z", &zone()).unwrap()[0].note, "x");
        assert_eq!(read("", &zone()), Ok(vec![]));
    }

    #[test]
    fn every_error_names_its_line_and_column() {
        let text = "plate,note\n粤B1/345,\n粤B12345,ok,someday\n粤B12345,a\n粤B12345,b\n粤B1,a,,d\n粤B2,\"open\nstill";
        let told: Vec<_> =
            read(text, &zone()).unwrap_err().into_iter().map(|wrong| (wrong.line, wrong.column, wrong.code)).collect();
        assert_eq!(told, [(2, 1, "plate"), (3, 3, "valid_until"), (5, 1, "twice"), (6, 4, "cells"), (7, 2, "quote")]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_lines_or_errors(text in "[\\PC\n\r\",;]{0,200}") {
            match read(&text, &zone()) {
                Ok(lines) => proptest::prop_assert!(lines.iter().all(|line| line.line >= 1)),
                Err(wrong) => proptest::prop_assert!(wrong.iter().all(|w| w.line >= 1 && w.column >= 1)),
            }
        }
    }
}
