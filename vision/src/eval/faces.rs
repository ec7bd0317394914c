//! `gatehouse eval faces` and `gatehouse eval pairs`: who is told from whom, and at which threshold.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::figures::{Scores, Spread, Threshold, TrueAccept, ten_fold};
use super::table::Table;
use super::{EvalError, EvalOptions, RowError, in_parallel, ms, picture, thread_cpu};
use crate::face::{Embedding, FaceOptions, FaceRead, Gallery, Template};
use crate::frame::Frame;
use crate::recognizer::{RecognizeError, Recognizer};

/// What both evaluations say about scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Separation {
    /// Pairs of one person.
    pub same_pairs: usize,
    /// Pairs of two people.
    pub different_pairs: usize,
    /// True accepts at a false accept rate of 1e-3.
    pub tar_at_far_1e3: TrueAccept,
    /// True accepts at a false accept rate of 1e-4.
    pub tar_at_far_1e4: TrueAccept,
    /// True and false accepts by threshold.
    pub thresholds: Vec<Threshold>,
    /// The same at the cosine that opens a door.
    pub at_open: Threshold,
}

/// The figures of a folder of labelled faces: every picture against every other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FacesReport {
    /// Pictures looked at.
    pub images: usize,
    /// Rows of labels.csv.
    pub rows: usize,
    /// People.
    pub identities: usize,
    /// Pictures in which no face was found: their pairs count as not alike.
    pub no_face: usize,
    /// Scores of all pairs.
    #[serde(flatten)]
    pub separation: Separation,
    /// Pictures whose nearest other picture is of the same person, among those with another of that person.
    pub rank1: f64,
    /// Finding people enrolled with three pictures among the others.
    pub one_to_many: OneToMany,
    /// Pairs judged wrongly at the door's cosine, one by one; at most 200.
    pub misses: Vec<FaceMiss>,
    /// Share of pictures whose passive liveness reaches the door's threshold.
    pub live: f64,
    /// CPU time a picture, decoding excluded.
    pub cpu_ms: Spread,
    /// Rows that could not be measured.
    pub errors: Vec<RowError>,
}

/// Everybody with four pictures or more is enrolled with their first three; the rest are looked for among them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OneToMany {
    /// Cosine at or above which somebody is found: midway between the embedder's candidate and its door.
    pub threshold: f64,
    /// People enrolled.
    pub enrolled: usize,
    /// Further pictures of theirs.
    pub probes: usize,
    /// Those that found their own person.
    pub right: usize,
    /// Pictures of people who are not enrolled.
    pub strangers: usize,
    /// Those that found somebody.
    pub strangers_accepted: usize,
    /// Probes that found nobody, or another, and strangers that found somebody: one by one.
    pub failed: Vec<String>,
}

/// A pair judged wrongly at the door's cosine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaceMiss {
    /// One picture.
    pub a: String,
    /// The other.
    pub b: String,
    /// Whether they show one person.
    pub same: bool,
    /// Their cosine; −1 when one shows no face.
    pub cosine: f32,
}

/// Most wrong pairs named.
const MISSES_MAX: usize = 200;
/// Pictures a person is enrolled with.
const ENROLLED: usize = 3;

/// The figures of a list of pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairsReport {
    /// Pictures looked at.
    pub images: usize,
    /// Rows of the file.
    pub rows: usize,
    /// Pictures in which no face was found: their pairs count as not alike.
    pub no_face: usize,
    /// Accuracy over ten folds, each judged at the threshold best on the other nine; none below 20 pairs.
    pub accuracy: Option<f64>,
    /// Its standard deviation over the folds.
    pub accuracy_sd: Option<f64>,
    /// Scores of all pairs.
    #[serde(flatten)]
    pub separation: Separation,
    /// CPU time a picture, decoding excluded.
    pub cpu_ms: Spread,
    /// Rows that could not be measured.
    pub errors: Vec<RowError>,
}

/// The face a picture is about, if it shows one.
struct Shot {
    face: Option<(Embedding, f32)>,
    cpu_ms: f64,
}

enum Failure {
    Row(RowError),
    All(RecognizeError),
}

/// Evaluates the folder's labels.csv: columns file and identity.
pub fn faces(recognizer: &Recognizer, folder: &Path, options: &EvalOptions) -> Result<FacesReport, EvalError> {
    let table = Table::read(&folder.join("labels.csv"))?;
    table.need(&["file", "identity"], "file, identity")?;
    let mut errors = Vec::new();
    let mut rows = Vec::new();
    for row in table.rows() {
        match row.need("file").and_then(|file| Ok((row.number, file, row.need("identity")?))) {
            Ok(row) => rows.push(row),
            Err(error) => errors.push(error),
        }
    }
    let shots = in_parallel(&rows, options.workers, |(row, file, _)| shoot(recognizer, folder, file, *row, "file"));
    let (mut taken, mut files): (Vec<(&str, Shot)>, Vec<&str>) = (Vec::new(), Vec::new());
    for ((_, file, identity), shot) in rows.iter().zip(shots) {
        match shot {
            Ok(shot) => {
                taken.push((identity, shot));
                files.push(file);
            }
            Err(Failure::Row(error)) => errors.push(error),
            Err(Failure::All(error)) => return Err(error.into()),
        }
    }
    let mut scores = Scores::default();
    let mut nearest: Vec<Option<(f32, bool)>> = vec![None; taken.len()];
    let door = recognizer.face_reader().thresholds().door;
    let mut misses = Vec::new();
    for (i, (who, a)) in taken.iter().enumerate() {
        for (j, (other, b)) in taken.iter().enumerate().skip(i + 1) {
            let (cosine, same) = (a.cosine(b), who == other);
            scores.add(cosine, same);
            if (cosine >= door) != same && misses.len() < MISSES_MAX {
                misses.push(FaceMiss { a: files[i].to_owned(), b: files[j].to_owned(), same, cosine });
            }
            for at in [i, j] {
                if nearest[at].is_none_or(|(best, _)| cosine > best) {
                    nearest[at] = Some((cosine, same));
                }
            }
        }
    }
    let mut people: BTreeMap<&str, usize> = BTreeMap::new();
    taken.iter().for_each(|(who, _)| *people.entry(who).or_default() += 1);
    let ranked: Vec<bool> = taken
        .iter()
        .zip(&nearest)
        .filter(|((who, _), _)| people[who] > 1)
        .map(|((_, shot), nearest)| shot.face.is_some() && nearest.is_some_and(|(_, same)| same))
        .collect();
    let found: Vec<f32> =
        taken.iter().filter_map(|(_, shot)| shot.face.as_ref().map(|(_, liveness)| *liveness)).collect();
    let policy = gatehouse_core::recognition::face::FacePolicy::default();
    let one_to_many = one_to_many(recognizer, &taken, &files);
    errors.sort_by_key(|error| error.row);
    Ok(FacesReport {
        images: taken.len(),
        rows: table.len(),
        identities: people.len(),
        no_face: taken.len() - found.len(),
        separation: separation(&scores, recognizer),
        one_to_many,
        misses,
        rank1: share(ranked.iter().filter(|right| **right).count(), ranked.len()),
        live: share(found.iter().filter(|liveness| **liveness >= policy.liveness).count(), found.len()),
        cpu_ms: Spread::of(taken.iter().map(|(_, shot)| shot.cpu_ms).collect()),
        errors,
    })
}

/// Evaluates a file of pairs: columns file_a, file_b and same (1 or 0); paths are relative to the file.
pub fn pairs(recognizer: &Recognizer, file: &Path, options: &EvalOptions) -> Result<PairsReport, EvalError> {
    let table = Table::read(file)?;
    table.need(&["file_a", "file_b", "same"], "file_a, file_b, same")?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut errors = Vec::new();
    let mut rows = Vec::new();
    for row in table.rows() {
        let pair = row.need("file_a").and_then(|a| Ok((row.number, a, row.need("file_b")?, row.truth("same")?)));
        match pair {
            Ok(pair) => rows.push(pair),
            Err(error) => errors.push(error),
        }
    }
    // Each picture is described once, however many pairs name it.
    let mut pictures: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (row, a, b, _) in &rows {
        pictures.entry(a).or_insert((*row, "file_a"));
        pictures.entry(b).or_insert((*row, "file_b"));
    }
    let files: Vec<_> = pictures.iter().map(|(file, (row, field))| (*file, *row, *field)).collect();
    let shots = in_parallel(&files, options.workers, |(file, row, field)| shoot(recognizer, folder, file, *row, field));
    let mut by_file: BTreeMap<&str, Result<Shot, RowError>> = BTreeMap::new();
    for ((file, ..), shot) in files.iter().zip(shots) {
        let shot = match shot {
            Ok(shot) => Ok(shot),
            Err(Failure::Row(error)) => Err(error),
            Err(Failure::All(error)) => return Err(error.into()),
        };
        by_file.insert(file, shot);
    }
    let (mut scores, mut scored) = (Scores::default(), Vec::new());
    for (row, a, b, same) in &rows {
        match (&by_file[a], &by_file[b]) {
            (Ok(a), Ok(b)) => {
                scores.add(a.cosine(b), *same);
                scored.push((a.cosine(b), *same));
            }
            (a, b) => {
                let failed = [("file_a", a), ("file_b", b)]
                    .into_iter()
                    .filter_map(|(field, shot)| Some((field, shot.as_ref().err()?)));
                errors.extend(failed.map(|(field, e)| RowError { row: *row, field: field.to_owned(), ..e.clone() }));
            }
        }
    }
    let accuracy = ten_fold(&scored);
    let taken: Vec<&Shot> = by_file.values().filter_map(|shot| shot.as_ref().ok()).collect();
    errors.sort_by_key(|error| error.row);
    Ok(PairsReport {
        images: taken.len(),
        rows: table.len(),
        no_face: taken.iter().filter(|shot| shot.face.is_none()).count(),
        accuracy: accuracy.map(|(mean, _)| mean),
        accuracy_sd: accuracy.map(|(_, sd)| sd),
        separation: separation(&scores, recognizer),
        cpu_ms: Spread::of(taken.iter().map(|shot| shot.cpu_ms).collect()),
        errors,
    })
}

fn one_to_many(recognizer: &Recognizer, taken: &[(&str, Shot)], files: &[&str]) -> OneToMany {
    let thresholds = recognizer.face_reader().thresholds();
    let threshold = (thresholds.candidate + thresholds.door) / 2.0;
    let mut people: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    taken.iter().enumerate().for_each(|(i, (who, _))| people.entry(who).or_default().push(i));
    let mut gallery = Gallery::new(recognizer.face_model(), recognizer.face_dimension());
    let mut report = OneToMany {
        threshold: (f64::from(threshold) * 1e4).round() / 1e4,
        enrolled: 0,
        probes: 0,
        right: 0,
        strangers: 0,
        strangers_accepted: 0,
        failed: Vec::new(),
    };
    let mut probes: Vec<(usize, bool)> = Vec::new();
    for (who, pictures) in people {
        let (first, rest) = pictures.split_at(if pictures.len() > ENROLLED { ENROLLED } else { 0 });
        let faces = first.iter().filter_map(|i| Some(&taken[*i].1.face.as_ref()?.0));
        let enrolled = Template::enrol(recognizer.face_model(), faces).is_ok_and(|it| gallery.insert(who, &it).is_ok());
        report.enrolled += usize::from(enrolled);
        probes.extend(rest.iter().map(|i| (*i, !first.is_empty())));
    }
    for (i, known) in probes {
        let (who, shot) = &taken[i];
        let best = shot.face.as_ref().and_then(|(face, _)| gallery.best(face));
        let found = best.filter(|best| best.cosine >= threshold);
        let right = known && found.is_some_and(|found| found.person == *who);
        match known {
            true => (report.probes, report.right) = (report.probes + 1, report.right + usize::from(right)),
            false => {
                report.strangers += 1;
                report.strangers_accepted += usize::from(found.is_some());
            }
        }
        if right != known || (!known && found.is_some()) {
            let (named, cosine) = best.map_or(("nobody", -1.0), |best| (best.person, best.cosine));
            report.failed.push(format!("{} of {who}: nearest {named} ({cosine:.2})", files[i]));
        }
    }
    report
}

impl Shot {
    /// Cosine of two pictures; one without a face is like nobody.
    fn cosine(&self, other: &Self) -> f32 {
        match (&self.face, &other.face) {
            (Some((a, _)), Some((b, _))) => a.cosine(b),
            _ => -1.0,
        }
    }
}

fn shoot(recognizer: &Recognizer, folder: &Path, file: &str, row: usize, field: &str) -> Result<Shot, Failure> {
    let frame = picture(folder, file, row, field).map_err(Failure::Row)?;
    let options = FaceOptions { width_min: 16.0, ..FaceOptions::default() };
    let before = thread_cpu();
    let reader = recognizer.face_reader();
    let found = reader.find(&frame, &options).map_err(|error| Failure::All(error.into()))?;
    let subject = found.iter().max_by(|a, b| standing(a.bounds, &frame).total_cmp(&standing(b.bounds, &frame)));
    let read = match subject {
        Some(found) => reader.read_at(&frame, found, false).map_err(|error| Failure::All(error.into()))?,
        None => None,
    };
    let cpu_ms = ms(thread_cpu() - before);
    Ok(Shot { face: read.map(|FaceRead { embedding, liveness, .. }| (embedding, liveness)), cpu_ms })
}

/// How likely a picture is about a face: its area, less twice the squared distance from the picture's middle. A labelled
/// portrait may have a larger stranger at its edge.
fn standing([x1, y1, x2, y2]: [f32; 4], frame: &Frame) -> f32 {
    let (dx, dy) = ((x1 + x2 - frame.width() as f32) / 2.0, (y1 + y2 - frame.height() as f32) / 2.0);
    (x2 - x1) * (y2 - y1) - 2.0 * (dx * dx + dy * dy)
}

fn separation(scores: &Scores, recognizer: &Recognizer) -> Separation {
    let open = recognizer.face_reader().thresholds().door;
    let (same_pairs, different_pairs) = scores.counts();
    Separation {
        same_pairs,
        different_pairs,
        tar_at_far_1e3: scores.true_accept_at(1e-3),
        tar_at_far_1e4: scores.true_accept_at(1e-4),
        thresholds: scores.table(),
        at_open: scores.at(f64::from(open)),
    }
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_picture_without_a_face_is_like_nobody() {
        let mut numbers = [0f32; 512];
        numbers[3] = 2.0;
        let face = Embedding::normalised(&numbers);
        let with = Shot { face: face.map(|face| (face, 0.9)), cpu_ms: 1.0 };
        let without = Shot { face: None, cpu_ms: 1.0 };
        assert_eq!((with.cosine(&with), with.cosine(&without), without.cosine(&without)), (1.0, -1.0, -1.0));
    }

    #[test]
    fn the_middle_face_stands_before_a_slightly_larger_one_at_the_edge() {
        let frame = crate::frame::Rgb::new(250, 250).into_frame(Duration::ZERO);
        assert!(standing([75.0, 65.0, 175.0, 185.0], &frame) > standing([140.0, 120.0, 250.0, 250.0], &frame));
    }
}
