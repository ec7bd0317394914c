//! `gatehouse eval targets`: everything that a folder of labelled pictures shows, each figure beside its target.

use super::{Common, Told, plates_text};
use crate::cli::check::columns;
use anyhow::{Context, Result, ensure};
use gatehouse_vision::cost;
use gatehouse_vision::eval::targets::{self, Outcome, Target};
use gatehouse_vision::eval::{self, EvalOptions, FacesReport, PairsReport, PlatesReport, RowError};
use serde::Serialize;
use std::path::PathBuf;

/// Long sides plates are searched at.
const SIDES: [u32; 3] = [640, 960, 1280];
/// Frames that are timed.
const FRAMES: usize = 20;

/// A folder with plates/labels.csv, faces/labels.csv and pairs.csv, those that are there: every figure beside its target
#[derive(Debug, clap::Args)]
pub(super) struct Targets {
    /// The folder
    folder: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Serialize)]
struct TargetsReport {
    targets: Vec<Target>,
    plates: Vec<PlatesReport>,
    faces: Option<FacesReport>,
    pairs: Option<PairsReport>,
}

impl Targets {
    pub(super) fn measure(&self) -> Result<Told> {
        let paths = self.common.paths()?;
        let recognizer = self.common.recognizer()?;
        let (plates, faces, pairs) = ["plates", "faces", "pairs.csv"].map(|part| self.folder.join(part)).into();
        let there = [plates.join("labels.csv"), faces.join("labels.csv"), pairs.clone()].map(|file| file.is_file());
        ensure!(
            there.contains(&true),
            "{} has no plates/labels.csv, faces/labels.csv or pairs.csv: name the folder above them",
            self.folder.display()
        );
        let options = self.common.options();
        let mut report = TargetsReport { targets: Vec::new(), plates: Vec::new(), faces: None, pairs: None };
        if there[0] {
            for long_side in SIDES {
                let options = EvalOptions { long_side, ..options };
                report.plates.push(eval::plates(&recognizer, &plates, &options)?);
            }
            report.targets.extend(targets::of_plates(&report.plates));
        }
        if there[1] {
            let measured = eval::faces(&recognizer, &faces, &options)?;
            report.targets.extend(targets::of_faces(&measured));
            report.faces = Some(measured);
        }
        if there[2] {
            let measured = eval::pairs(&recognizer, &pairs, &options)?;
            report.targets.extend(targets::of_pairs(&measured));
            report.pairs = Some(measured);
        }
        let figures = cost::recognition(&paths, FRAMES, 960).context("timing frames")?;
        report.targets.extend(targets::of_cost(&figures));
        let mut errors: Vec<RowError> = report.plates.iter().flat_map(|plates| plates.errors.clone()).collect();
        errors.extend(report.faces.iter().flat_map(|faces| faces.errors.clone()));
        errors.extend(report.pairs.iter().flat_map(|pairs| pairs.errors.clone()));
        errors.dedup();
        let mut told = Told::new(&report, &errors, text(&report))?;
        told.failed = report.targets.iter().any(|target| target.outcome == Outcome::Missed);
        Ok(told)
    }
}

fn text(report: &TargetsReport) -> String {
    let mut text: String = report.plates.iter().map(|plates| plates_text(plates) + "\n").collect();
    for miss in report.faces.iter().flat_map(|faces| &faces.misses) {
        let why = if miss.same { "one person, not taken for one" } else { "two people, taken for one" };
        text += &format!("{} and {}: {why} ({:.2})\n", miss.a, miss.b, miss.cosine);
    }
    let rows: Vec<[String; 4]> = report
        .targets
        .iter()
        .map(|target| [&target.what, &target.want, &target.got, target.outcome.word()].map(|cell| cell.to_string()))
        .collect();
    text += "\n";
    text += &columns(&["figure", "target", "here", "outcome"], &rows);
    for target in report.targets.iter().filter(|target| target.outcome == Outcome::Missed) {
        for failed in &target.failed {
            text += &format!("{}: {failed}\n", target.what);
        }
    }
    text
}
