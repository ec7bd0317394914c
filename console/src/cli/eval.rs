//! `gatehouse eval`: accuracy, trust and cost of recognition on labelled pictures, by the code the pipeline runs.

mod clips;
mod targets;

use super::Machine;
use super::check::columns;
use super::serve::fail;
use crate::performers::performers;
use crate::provision::{Lines, Provision};
use anyhow::Context;
use gatehouse_vision::RuntimePaths;
use gatehouse_vision::eval::{self, EvalOptions, PlatesReport, RowError, Spread, Threshold, TrueAccept};
use gatehouse_vision::models::{Models, TextNetwork};
use gatehouse_vision::recognizer::Recognizer;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures recognition on labelled pictures.
#[derive(Debug, clap::Args)]
pub struct Eval {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A folder of photographs of cars with labels.csv: file, plate; kind, color, main and box_cx … box_h where known
    Plates(Plates),
    /// A folder of portraits with labels.csv: file, identity; every picture is compared with every other
    Faces(Faces),
    /// A file of pairs: file_a, file_b, same (1 or 0); paths relative to the file
    Pairs(Pairs),
    /// Attacks on a face door, made of the demo's portraits: photographs held and moved, screens, films
    Attacks(Attacks),
    Clips(clips::Clips),
    Targets(targets::Targets),
}

#[derive(Debug, clap::Args)]
struct Plates {
    /// The folder with labels.csv
    folder: PathBuf,
    /// Long side plates are searched at, pixels
    #[arg(long, default_value_t = 960, value_parser = clap::value_parser!(u32).range(320..=3840))]
    long_side: u32,
    /// Confidence above which a read counts as accepted [default: the reader's own]
    #[arg(long)]
    accept: Option<f32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Faces {
    /// The folder with labels.csv
    folder: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Pairs {
    /// The file of pairs
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Attacks {
    /// Visits of a minute for each attack and portrait
    #[arg(long, default_value_t = 100)]
    visits: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    machine: Machine,
    /// Asks the second reader about plates that are not sure, whatever the configuration says
    #[arg(long)]
    second_reader: bool,
    /// Prints one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Pictures worked on at once; 1 gives undisturbed CPU times
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

impl Eval {
    /// Runs the evaluation; succeeds only when every row was measured and no target was missed.
    pub fn run(&self) -> ExitCode {
        let (common, outcome) = match &self.what {
            What::Plates(plates) => (&plates.common, plates.measure()),
            What::Faces(faces) => (&faces.common, faces.measure()),
            What::Pairs(pairs) => (&pairs.common, pairs.measure()),
            What::Attacks(attacks) => (&attacks.common, attacks.measure()),
            What::Clips(clips) => (&clips.common, clips.measure()),
            What::Targets(targets) => (&targets.common, targets.measure()),
        };
        match outcome {
            Ok(told) => {
                for error in &told.errors {
                    eprintln!("row {}, {}: {}; {}", error.row, error.field, error.message, error.remedy);
                }
                let printed = super::print(if common.json { &told.json } else { &told.text });
                if told.errors.is_empty() && !told.failed { printed } else { ExitCode::FAILURE }
            }
            Err(error) => fail(&error),
        }
    }
}

/// A report in both forms, and the rows that failed.
struct Told {
    json: String,
    text: String,
    errors: Vec<RowError>,
    /// Whether something else makes it a failure.
    failed: bool,
}

impl Told {
    fn new(report: &impl Serialize, errors: &[RowError], text: String) -> anyhow::Result<Self> {
        Ok(Self { json: serde_json::to_string(report)? + "\n", text, errors: errors.to_vec(), failed: false })
    }
}

impl Common {
    /// The models of the configuration, with the second reader where it is asked for.
    fn models(&self) -> anyhow::Result<Models> {
        let mut models = self.machine.config()?.recognition.models()?;
        if self.second_reader {
            models.second_reader = Some(TextNetwork::second());
        }
        Ok(models)
    }

    /// What runs, provided where it is missing.
    fn paths(&self) -> anyhow::Result<RuntimePaths> {
        let config = self.machine.config()?;
        let models = self.models()?;
        let provision = Provision::new(self.machine.data(&config)).with_second_reader(models.second_reader.is_some());
        let library = provision.ensure_onnxruntime(&mut Lines::stderr())?;
        let models_dir = provision.ensure_models(&mut Lines::stderr())?;
        Ok(RuntimePaths { models, ..config.recognition.paths(&library, &models_dir)? })
    }

    fn recognizer(&self) -> anyhow::Result<Recognizer> {
        Recognizer::open(&self.paths()?).context("opening the recognition models")
    }

    fn options(&self) -> EvalOptions {
        EvalOptions { workers: self.workers.clamp(1, 64), ..EvalOptions::default() }
    }
}

impl Plates {
    fn measure(&self) -> anyhow::Result<Told> {
        let options = EvalOptions { long_side: self.long_side, accept: self.accept, ..self.common.options() };
        let report = eval::plates(&self.common.recognizer()?, &self.folder, &options)?;
        let text = plates_text(&report);
        Told::new(&report, &report.errors, text)
    }
}

impl Faces {
    fn measure(&self) -> anyhow::Result<Told> {
        let report = eval::faces(&self.common.recognizer()?, &self.folder, &self.common.options())?;
        let mut text = format!(
            "{} pictures of {} people, {} without a face; nearest other picture is the same person: {} %; live: {} %\n",
            report.images,
            report.identities,
            report.no_face,
            percent(report.rank1),
            percent(report.live)
        );
        let s = &report.separation;
        text += &separation(s.same_pairs, s.different_pairs, &[s.tar_at_far_1e3, s.tar_at_far_1e4], &s.thresholds);
        text += &cost(&report.cpu_ms);
        Told::new(&report, &report.errors, text)
    }
}

impl Pairs {
    fn measure(&self) -> anyhow::Result<Told> {
        let report = eval::pairs(&self.common.recognizer()?, &self.file, &self.common.options())?;
        let mut text =
            format!("{} pairs, {} pictures, {} without a face\n", report.rows, report.images, report.no_face);
        if let (Some(mean), Some(sd)) = (report.accuracy, report.accuracy_sd) {
            let _ = writeln!(text, "accuracy over ten folds: {} % ± {}", percent(mean), percent(sd));
        }
        let s = &report.separation;
        text += &separation(s.same_pairs, s.different_pairs, &[s.tar_at_far_1e3, s.tar_at_far_1e4], &s.thresholds);
        text += &cost(&report.cpu_ms);
        Told::new(&report, &report.errors, text)
    }
}

impl Attacks {
    fn measure(&self) -> anyhow::Result<Told> {
        let recognizer = self.common.recognizer()?;
        let data = self.common.machine.data(&self.common.machine.config()?);
        let demo = Provision::new(data).ensure_demo_faces(&mut Lines::stderr())?;
        let report = eval::attacks(&recognizer, &performers(&demo.join("faces"))?, self.visits)?;
        let rows = report.rows.iter().map(|row| {
            let of = |passes: usize| format!("{passes} of {}", row.visits);
            let (face, attack) = (row.face.clone(), row.attack.to_owned());
            let seen = format!("{:.2} {:+.2} {:+.2} {:.2}", row.liveness, row.turn[0], row.turn[1], row.eyes_open);
            [face, attack, of(row.passive), of(row.challenge), of(row.both), seen]
        });
        let heading = ["face", "shown", "passive alone", "challenge alone", "both", "live, turn, eyes"];
        let text = columns(&heading, &rows.collect::<Vec<_>>());
        Told::new(&report, &[], text)
    }
}

/// A report of plates for people.
fn plates_text(report: &PlatesReport) -> String {
    let kinds = report.kinds.iter().map(|(kind, accuracy)| (format!("kind {kind}"), accuracy));
    let colours = report.colours.iter().map(|(colour, accuracy)| (format!("colour {colour}"), accuracy));
    let groups = [("all", &report.overall), ("main", &report.main), ("marked", &report.marked)];
    let groups = groups.map(|(name, accuracy)| (name.to_owned(), accuracy));
    let rows: Vec<[String; 5]> = groups
        .into_iter()
        .chain(kinds)
        .chain(colours)
        .map(|(name, a)| [name, a.rows.to_string(), a.found.to_string(), a.exact.to_string(), percent(a.exact_rate)])
        .collect();
    let mut text = format!("{} pictures, {} rows, long side {}\n\n", report.images, report.rows, report.long_side);
    text += &columns(&["plates", "rows", "found", "exact", "exact %"], &rows);
    let rows: Vec<[String; 5]> = report
        .thresholds
        .iter()
        .map(|t| {
            [
                format!("{:.2}", t.threshold),
                t.reads.to_string(),
                t.right.to_string(),
                percent(t.precision),
                percent(t.recall),
            ]
        })
        .collect();
    text.push('\n');
    text += &columns(&["confidence ≥", "reads", "right", "precision %", "recall %"], &rows);
    let _ = writeln!(
        text,
        "\naccepted (≥ {:.2}): {} of {} right; {} more where no plate is labelled",
        report.accept, report.accepted_right, report.accepted, report.accepted_unlabelled
    );
    if let Some(second) = &report.second {
        text += &columns(
            &[
                "below accept",
                "right",
                "asked",
                "confirmed",
                "right",
                "wrong",
                "contradicted though right",
                "second right",
                "CPU ms a call",
            ],
            &[[
                second.below_accept.to_string(),
                second.below_right.to_string(),
                second.asked.to_string(),
                second.confirmed.to_string(),
                second.confirmed_right.to_string(),
                second.confirmed_wrong.to_string(),
                second.contradicted_right.to_string(),
                second.second_right.to_string(),
                format!("p50 {:.1}, p99 {:.1}", second.cpu_ms.p50, second.cpu_ms.p99),
            ]],
        );
    }
    text += &cost(&report.cpu_ms);
    if !report.confusions.is_empty() {
        let pairs = report.confusions.iter().map(|c| format!("{} as {} ({}×)", c.want, c.got, c.times));
        let _ = writeln!(text, "read: {}", pairs.collect::<Vec<_>>().join(", "));
    }
    for miss in &report.misses {
        let got = miss.got.as_deref().unwrap_or("not found");
        let sure = if miss.confirmed { ", confirmed by the second reader" } else { "" };
        let (row, file, want, confidence) = (miss.row, &miss.file, &miss.want, miss.confidence);
        let _ = writeln!(text, "row {row}: {file} is {want}, got {got} ({confidence:.2}{sure})");
    }
    text
}

fn separation(same: usize, different: usize, at: &[TrueAccept], thresholds: &[Threshold]) -> String {
    let mut text = format!("{same} pairs of one person, {different} of two\n\n");
    let rows: Vec<[String; 5]> = thresholds
        .iter()
        .map(|t| {
            let (yes, no) = (t.true_accepts.to_string(), t.false_accepts.to_string());
            [format!("{:.2}", t.threshold), yes, percent(t.tar), no, format!("{:.6}", t.far)]
        })
        .collect();
    text += &columns(&["cosine ≥", "accepted", "TAR %", "falsely", "FAR"], &rows);
    text.push('\n');
    for t in at {
        let few = if t.resolved { "" } else { " (too few pairs of two people to tell)" };
        let _ = writeln!(text, "TAR {} % at FAR {:e}, cosine {:.3}{few}", percent(t.tar), t.far_max, t.threshold);
    }
    text
}

fn cost(cpu_ms: &Spread) -> String {
    format!("CPU a picture: p50 {:.1} ms, p99 {:.1} ms\n", cpu_ms.p50, cpu_ms.p99)
}

fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_too_few_pairs_can_show_says_so() {
        let at = TrueAccept { far_max: 1e-3, tar: 1.0, threshold: 0.31, far: 0.0, resolved: false };
        let text = separation(7, 59, &[at], &[]);
        assert!(text.contains("TAR 100.00 % at FAR 1e-3, cosine 0.310 (too few pairs"), "{text}");
    }
}
