//! Label files: comma-separated, a heading line, quotes where a field holds a comma (RFC 4180).

use std::path::{Path, PathBuf};

use super::{EvalError, RowError};

/// A label file in memory.
#[derive(Debug, Clone)]
pub(super) struct Table {
    path: PathBuf,
    heading: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
}

/// One line of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'t> {
    /// Line in the file, the heading being 1.
    pub number: usize,
    heading: &'t [String],
    fields: &'t [String],
}

impl Table {
    pub(super) fn read(path: &Path) -> Result<Self, EvalError> {
        let bytes = std::fs::read(path).map_err(|source| EvalError::Labels { path: path.to_owned(), source })?;
        Ok(Self::parse(path, &String::from_utf8_lossy(&bytes)))
    }

    fn parse(path: &Path, text: &str) -> Self {
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
        let heading = lines.next().map(|(_, line)| split(line)).unwrap_or_default();
        let rows = lines.filter(|(_, line)| !line.trim().is_empty()).map(|(i, line)| (i + 1, split(line))).collect();
        Self { path: path.to_owned(), heading: heading.iter().map(|name| name.to_lowercase()).collect(), rows }
    }

    /// Fails when one of the columns is missing; `wanted` lists them for the message.
    pub(super) fn need(&self, columns: &[&'static str], wanted: &'static str) -> Result<(), EvalError> {
        match columns.iter().find(|column| !self.has(column)) {
            Some(column) => Err(EvalError::Column { path: self.path.clone(), column, wanted }),
            None => Ok(()),
        }
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.heading.iter().any(|name| name == column)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(number, fields)| Row { number: *number, heading: &self.heading, fields })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl<'t> Row<'t> {
    /// The field of a column; `None` where the row or the heading is too short, or the field is empty.
    pub(super) fn get(&self, column: &str) -> Option<&'t str> {
        let at = self.heading.iter().position(|name| name == column)?;
        self.fields.get(at).map(|field| field.trim()).filter(|field| !field.is_empty())
    }

    /// The field of a column every row must fill.
    pub(super) fn need(&self, column: &str) -> Result<&'t str, RowError> {
        self.get(column).ok_or_else(|| RowError::new(self.number, column, "is empty", format!("fill in {column}")))
    }

    /// A number in a column, if filled.
    pub(super) fn number(&self, column: &str) -> Result<Option<f32>, RowError> {
        self.get(column)
            .map(|field| {
                field.parse::<f32>().ok().filter(|n| n.is_finite()).ok_or_else(|| {
                    RowError::new(self.number, column, format!("{field:?} is no number"), "write a decimal number")
                })
            })
            .transpose()
    }

    /// Yes or no: 1, 0, true, false, yes, no.
    pub(super) fn truth(&self, column: &str) -> Result<bool, RowError> {
        let field = self.need(column)?;
        match field.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "same" => Ok(true),
            "0" | "false" | "no" | "different" => Ok(false),
            _ => Err(RowError::new(self.number, column, format!("{field:?} is neither 1 nor 0"), "write 1 or 0")),
        }
    }
}

fn split(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_rows_keep_their_line() {
        let table = Table::parse(Path::new("labels.csv"), "\u{feff}File,plate\r\n\r\n\"a,b.jpg\",京A88731\r\nc.jpg\n");
        let rows: Vec<_> = table.rows().collect();
        assert_eq!((table.len(), rows[0].number, rows[1].number), (2, 3, 4));
        assert_eq!(rows[0].get("file"), Some("a,b.jpg"));
        assert_eq!(rows[0].get("plate"), Some("京A88731"));
        assert_eq!(rows[1].need("plate").expect_err("is missing").field, "plate");
        assert!(table.need(&["file", "kind"], "file, kind").is_err());
    }

    #[test]
    fn a_wrong_number_or_truth_names_its_row_and_field() {
        let table = Table::parse(Path::new("pairs.csv"), "a,same\nx,maybe\ny,TRUE\nnan,0\n");
        let rows: Vec<_> = table.rows().collect();
        let error = rows[0].truth("same").expect_err("maybe is neither");
        assert_eq!((error.row, error.field.as_str()), (2, "same"));
        assert_eq!(rows[1].truth("same"), Ok(true));
        assert!(rows[2].number("a").is_err());
        assert_eq!(rows[2].number("b"), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_table(text in "\\PC{0,80}") {
            let table = Table::parse(Path::new("x"), &text);
            for row in table.rows() {
                let _ = (row.get("a"), row.truth("a"), row.number("a"));
            }
        }
    }
}
