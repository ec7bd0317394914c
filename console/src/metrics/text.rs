//! Writes Prometheus' text format 0.0.4: families with help and type, each once, labels escaped.

use gatehouse_actors::Distribution;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What the answer says it is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the program starts again.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A page of families.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    names: BTreeSet<&'static str>,
}

/// A family being written.
pub struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Page {
    /// Begins a family.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, word, help);
        Family { page: self, name }
    }

    /// Writes how durations spread.
    pub fn histogram(&mut self, name: &'static str, help: &str, spread: &Distribution) {
        self.head(name, "histogram", help);
        for (bound, count) in &spread.classes {
            self.line(&format!("{name}_bucket"), &[("le", &bound.to_string())], *count as f64);
        }
        self.line(&format!("{name}_bucket"), &[("le", "+Inf")], spread.count as f64);
        self.line(&format!("{name}_sum"), &[], spread.sum);
        self.line(&format!("{name}_count"), &[], spread.count as f64);
    }

    /// The page.
    pub fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, name: &'static str, kind: &str, help: &str) {
        debug_assert!(self.names.insert(name), "{name} is written twice");
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (n, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{value}\"", if n == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = match value {
            value if value == f64::INFINITY => writeln!(self.text, " +Inf"),
            value if value == f64::NEG_INFINITY => writeln!(self.text, " -Inf"),
            value => writeln!(self.text, " {value}"),
        };
    }
}

impl Family<'_> {
    /// Writes one series.
    pub fn put(&mut self, labels: &[(&str, &str)], value: f64) {
        self.page.line(self.name, labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::lint::lint;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_reads_as_the_format_says() {
        let mut page = Page::default();
        page.family("gate_opened_total", Kind::Counter, "Times\nopened").put(&[("gate", "a\"b\\c\n")], 3.0);
        let spread = Distribution { classes: vec![(0.01, 1), (2.5, 2)], count: 3, sum: 4.5 };
        page.histogram("wait_seconds", "Waits", &spread);
        assert_eq!(
            page.finish(),
            "# HELP gate_opened_total Times\\nopened\n# TYPE gate_opened_total counter\n\
             gate_opened_total{gate=\"a\\\"b\\\\c\\n\"} 3\n\
             # HELP wait_seconds Waits\n# TYPE wait_seconds histogram\n\
             wait_seconds_bucket{le=\"0.01\"} 1\nwait_seconds_bucket{le=\"2.5\"} 2\nwait_seconds_bucket{le=\"+Inf\"} 3\n\
             wait_seconds_sum 4.5\nwait_seconds_count 3\n"
        );
    }

    proptest! {
        #[test]
        fn whatever_a_label_holds_and_a_value_is_the_page_stays_well_formed(label in ".*", value in any::<f64>()) {
            let mut page = Page::default();
            page.family("x", Kind::Gauge, "Some figure").put(&[("source", &label)], value);
            let series = lint(&page.finish()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&series[0].labels[0].1, &label);
        }
    }
}
