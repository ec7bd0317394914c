//! A strict reader of Prometheus' text format: what a scraper, or the next reader of the page, could stumble over is an error.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its labels, in order.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

#[derive(Default)]
struct Family {
    help: bool,
    kind: Option<String>,
    closed: bool,
}

/// Reads a page, or says what is wrong with which line.
pub fn lint(page: &str) -> Result<Vec<Series>, String> {
    if !page.is_empty() && !page.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for line in page.split_terminator('\n') {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let (word, rest) = rest.split_once(' ').ok_or_else(|| wrong("no such comment"))?;
            let (name, text) = rest.split_once(' ').ok_or_else(|| wrong("nothing said"))?;
            if !is_name(name) || text.trim().is_empty() {
                return Err(wrong("a name and a text are wanted"));
            }
            if name != current {
                if let Some(before) = families.get_mut(&current) {
                    before.closed = true;
                }
                current = name.to_owned();
            }
            let family = families.entry(name.to_owned()).or_default();
            if family.closed {
                return Err(wrong("the family's lines are not together"));
            }
            match word {
                "HELP" if !family.help => family.help = true,
                "TYPE" if family.kind.is_none() && ["counter", "gauge", "histogram"].contains(&text) => {
                    family.kind = Some(text.to_owned());
                }
                _ => return Err(wrong("said twice, or no such type")),
            }
            continue;
        }
        let series = series(line).map_err(|what| wrong(&what))?;
        let family = family_of(&series.name, &families).ok_or_else(|| wrong("no HELP and TYPE before it"))?;
        if family != current {
            return Err(wrong("not among the lines of its family"));
        }
        check(&series, families.get(&family).and_then(|f| f.kind.as_deref())).map_err(|what| wrong(&what))?;
        if !seen.insert(format!("{} {:?}", series.name, series.labels)) {
            return Err(wrong("the same series twice"));
        }
        all.push(series);
    }
    for (name, family) in &families {
        if !family.help || family.kind.is_none() {
            return Err(format!("{name} lacks HELP or TYPE"));
        }
    }
    Ok(all)
}

/// The family that a series belongs to: its own name, or what a histogram's parts are parts of.
fn family_of(name: &str, families: &BTreeMap<String, Family>) -> Option<String> {
    let whole = |name: &str| families.get(name).is_some_and(|family| family.help && family.kind.is_some());
    if whole(name) {
        return Some(name.to_owned());
    }
    ["_bucket", "_sum", "_count"].iter().find_map(|part| {
        let base = name.strip_suffix(part)?;
        let histogram = families.get(base)?.kind.as_deref() == Some("histogram");
        (histogram && whole(base)).then(|| base.to_owned())
    })
}

fn check(series: &Series, kind: Option<&str>) -> Result<(), String> {
    let counts = series.value >= 0.0;
    match kind {
        Some("counter") if !series.name.ends_with("_total") => Err("a counter's name ends in _total".into()),
        Some("gauge") if series.name.ends_with("_total") => Err("a gauge's name does not end in _total".into()),
        Some("counter" | "histogram") if !counts => Err("a count is no negative number".into()),
        Some("counter" | "gauge") if ["_bucket", "_sum", "_count"].iter().any(|part| series.name.ends_with(part)) => {
            Err("a name that ends like a histogram's part".into())
        }
        _ if ["_ms", "_mb", "_percent", "_minutes"].iter().any(|unit| series.name.ends_with(unit)) => {
            Err("units are seconds, bytes and ratios".into())
        }
        _ => Ok(()),
    }
}

fn series(line: &str) -> Result<Series, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("no name of a series".into());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            if !is_name(label) || label.contains(':') || labels.iter().any(|(known, _)| known == label) {
                return Err(format!("label {label:?}"));
            }
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').ok_or("labels are set apart by commas")?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("a value follows after one space")?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        plain if plain.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            plain.parse().map_err(|_| format!("{plain:?} is no number"))?
        }
        other => return Err(format!("{other:?} is no number")),
    };
    Ok(Series { name: name.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, char @ ('"' | '\\'))) => value.push(char),
                _ => return Err("no such escape".into()),
            },
            char => value.push(char),
        }
    }
    Err("a label's value does not end".into())
}

fn is_name(name: &str) -> bool {
    let head = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(head) && name.chars().all(|c| head(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_scraper_stumbles_over_is_told() {
        let head = "# HELP a_total Things\n# TYPE a_total counter\n";
        assert_eq!(lint(&format!("{head}a_total 1\n")).map(|all| all.len()), Ok(1));
        for wrong in [
            "a_total 1\n",
            "# HELP a_total Things\na_total 1\n",
            &format!("{head}a_total 1"),
            &format!("{head}a_total 1\na_total 2\n"),
            &format!("{head}a_total -1\n"),
            &format!("{head}a_total  1\n"),
            &format!("{head}a_total{{x=\"y}} 1\n"),
            &format!("{head}a_total{{x=\"1\",x=\"2\"}} 1\n"),
            &format!("{head}b_total 1\n"),
            &format!("{head}{head}a_total 1\n"),
            &format!("{head}# HELP b B\n# TYPE b gauge\na_total 1\n"),
            "# HELP a Things\n# TYPE a counter\na 1\n",
            "# HELP a_sum Sum\n# TYPE a_sum gauge\na_sum 1\n",
            "# HELP a_ms Time\n# TYPE a_ms gauge\na_ms 1\n",
        ] {
            assert!(lint(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[#a-z_{}\"=, 0-9.\n\\\\]{0,120}") {
            let _ = lint(&text);
        }
    }
}
