//! What recognition should reach, beside what it reached: the targets the models were chosen for.
//!
//! A target that a set cannot show (no plate of two rows in it, too few pairs for a rate of 1e-3) is unmeasured, never met.

use serde::Serialize;

use super::{FacesReport, PairsReport, PlateAccuracy, PlatesReport};
use crate::cost::RecognitionFigures;

/// A figure beside what it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// What it should be.
    pub want: String,
    /// What it is.
    pub got: String,
    /// Whether that is enough.
    pub outcome: Outcome,
    /// What failed, one by one.
    pub failed: Vec<String>,
}

/// Whether a target is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// The set cannot show it.
    Unmeasured,
}

impl Outcome {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Met => "met",
            Outcome::Missed => "MISSED",
            Outcome::Unmeasured => "not shown by this set",
        }
    }

    fn of(met: bool) -> Self {
        if met { Outcome::Met } else { Outcome::Missed }
    }
}

impl Target {
    /// A share of things that should be right, at least `least`.
    fn share(what: &str, least: f64, (right, of): (usize, usize), failed: Vec<String>) -> Self {
        let got =
            if of == 0 { "none in this set".to_owned() } else { format!("{right} of {of}, {}", percent(right, of)) };
        let outcome = match of {
            0 => Outcome::Unmeasured,
            _ => Outcome::of(right as f64 >= least * of as f64 - 1e-9),
        };
        Self { what: what.to_owned(), want: format!("≥ {} %", round(100.0 * least)), got, outcome, failed }
    }

    /// A rate that needs so many things to show at all.
    fn rate(what: &str, least: f64, rate: f64, shown_by: &str, enough: bool) -> Self {
        let outcome = if enough { Outcome::of(rate >= least) } else { Outcome::Unmeasured };
        let (want, got) = (format!("≥ {} %", round(100.0 * least)), format!("{:.2} %, {shown_by}", 100.0 * rate));
        Self { what: what.to_owned(), want, got, outcome, failed: Vec::new() }
    }

    fn cost(what: &str, most: f64, ms: f64) -> Self {
        let (want, got) = (format!("≤ {most} ms"), format!("{ms:.1} ms"));
        Self { what: what.to_owned(), want, got, outcome: Outcome::of(ms <= most), failed: Vec::new() }
    }
}

/// Least share of the main plates read at a long side, where it has one.
const MAIN: [(u32, f64); 2] = [(960, 0.97), (1280, 0.98)];
/// The long side at which the other targets of plates are set.
const USUAL_SIDE: u32 = 960;
const ALL: f64 = 0.92;
const SURE_RIGHT: f64 = 0.995;
/// Four of six.
const DOUBLE: f64 = 4.0 / 6.0;
/// Five of eight.
const MARKED: f64 = 5.0 / 8.0;
const ACCURACY: f64 = 0.992;
const TRUE_ACCEPTS: f64 = 0.985;
const IDENTIFIED: f64 = 0.99;
const FACE_FRAME_MS: f64 = 14.0;
const PLATE_FRAME_MS: f64 = 30.0;

/// The targets of plates, out of the same pictures searched at several long sides.
pub fn of_plates(reports: &[PlatesReport]) -> Vec<Target> {
    let at = |side: u32| reports.iter().find(|report| report.long_side == side);
    let counted = |accuracy: &PlateAccuracy| (accuracy.exact, accuracy.rows);
    let mut targets: Vec<Target> = MAIN
        .into_iter()
        .filter_map(|(side, least)| {
            let report = at(side)?;
            let failed = report.failed(|miss| miss.main);
            Some(Target::share(&format!("main plates, long side {side}"), least, counted(&report.main), failed))
        })
        .collect();
    let Some(report) = at(USUAL_SIDE) else { return targets };
    targets.push(Target::share("all plates", ALL, counted(&report.overall), report.failed(|_| true)));
    let sure = format!("reads of {:.2} and above that are right", report.accept);
    let wrong = report.failed(|miss| f64::from(miss.confidence) >= report.accept);
    targets.push(Target::share(&sure, SURE_RIGHT, (report.accepted_right, report.accepted), wrong));
    let double = report.kinds.get("double").copied().unwrap_or_default();
    let failed = report.failed(|miss| miss.kind.as_deref() == Some("double"));
    targets.push(Target::share("plates of two rows", DOUBLE, counted(&double), failed));
    let failed = report.failed(|miss| miss.marked);
    targets.push(Target::share("学 警 领 使 港 澳 挂", MARKED, counted(&report.marked), failed));
    targets
}

/// The targets of faces, out of every picture against every other.
pub fn of_faces(report: &FacesReport) -> Vec<Target> {
    let s = &report.separation;
    let mut targets = vec![
        true_accepts(s.same_pairs, s.different_pairs, s.tar_at_far_1e3.tar, s.tar_at_far_1e3.resolved),
        false_accepts(s.at_open.false_accepts, s.different_pairs, s.at_open.threshold),
    ];
    let one = &report.one_to_many;
    let what = format!("3 photographs enrolled, found at {:.2}", one.threshold);
    let mut found = Target::share(&what, IDENTIFIED, (one.right, one.probes), one.failed.clone());
    if one.probes == 0 {
        found.got = "nobody has four pictures".to_owned();
    } else {
        found.got += &format!("; {} of {} strangers taken for somebody", one.strangers_accepted, one.strangers);
    }
    targets.push(found);
    targets
}

/// The targets of a list of pairs.
pub fn of_pairs(report: &PairsReport) -> Vec<Target> {
    let s = &report.separation;
    let pairs = format!("{} pairs", report.rows);
    let accuracy = report.accuracy.unwrap_or_default();
    vec![
        Target::rate("accuracy over ten folds", ACCURACY, accuracy, &pairs, report.accuracy.is_some()),
        true_accepts(s.same_pairs, s.different_pairs, s.tar_at_far_1e3.tar, s.tar_at_far_1e3.resolved),
        false_accepts(s.at_open.false_accepts, s.different_pairs, s.at_open.threshold),
    ]
}

/// The targets of processor time, by one thread of this machine and build.
pub fn of_cost(figures: &RecognitionFigures) -> Vec<Target> {
    vec![
        Target::cost("CPU of a face frame", FACE_FRAME_MS, figures.face_frame_ms.p50),
        Target::cost("CPU of a plate frame, one read", PLATE_FRAME_MS, figures.plate_frame_ms.p50),
    ]
}

fn true_accepts(same: usize, different: usize, tar: f64, resolved: bool) -> Target {
    let shown_by = format!("{same} pairs of one person, {different} of two");
    Target::rate("true accepts at a false accept rate of 1e-3", TRUE_ACCEPTS, tar, &shown_by, resolved && same > 0)
}

fn false_accepts(accepted: usize, of: usize, threshold: f64) -> Target {
    Target {
        what: format!("pairs of two people at or above {threshold:.2}"),
        want: "0".to_owned(),
        got: format!("{accepted} of {of}"),
        outcome: if of == 0 { Outcome::Unmeasured } else { Outcome::of(accepted == 0) },
        failed: Vec::new(),
    }
}

fn percent(part: usize, of: usize) -> String {
    format!("{:.2} %", 100.0 * part as f64 / of as f64)
}

fn round(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_met_missed_or_not_shown() {
        let outcome = |right, of| Target::share("x", 2.0 / 3.0, (right, of), vec![]).outcome;
        assert_eq!([outcome(4, 6), outcome(3, 6), outcome(0, 0)], [Outcome::Met, Outcome::Missed, Outcome::Unmeasured]);
        let target = Target::share("x", 0.995, (199, 200), vec![]);
        assert_eq!((target.want.as_str(), target.got.as_str()), ("≥ 99.5 %", "199 of 200, 99.50 %"));
        assert_eq!(target.outcome, Outcome::Met);
    }

    #[test]
    fn a_rate_that_too_few_pairs_show_is_never_met() {
        assert_eq!(true_accepts(7, 59, 1.0, false).outcome, Outcome::Unmeasured);
        assert_eq!(true_accepts(0, 5000, 1.0, true).outcome, Outcome::Unmeasured);
        assert_eq!(true_accepts(700, 5000, 0.98, true).outcome, Outcome::Missed);
        assert_eq!(false_accepts(0, 59, 0.5).outcome, Outcome::Met);
        assert_eq!(false_accepts(1, 59, 0.5).outcome, Outcome::Missed);
        assert_eq!(false_accepts(0, 0, 0.5).outcome, Outcome::Unmeasured);
        assert_eq!(Target::cost("x", 14.0, 14.1).outcome, Outcome::Missed);
    }
}
