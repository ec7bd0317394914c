//! `gatehouse eval plates`: exact matches, by kind, and how far confidence can be trusted.

use std::collections::BTreeMap;
use std::path::Path;

use gatehouse_core::recognition::plate_grammar::form_of;
use serde::Serialize;

use super::figures::Spread;
use super::table::{Row, Table};
use super::{EvalError, EvalOptions, RowError, in_parallel, ms, picture, thread_cpu};
use crate::frame::Frame;
use crate::plate::{FoundPlate, PlateOptions, PlateRead, SecondRead};
use crate::recognizer::{RecognizeError, Recognizer};

/// Plates of one sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct PlateAccuracy {
    /// Labelled plates.
    pub rows: usize,
    /// Read without any error.
    pub exact: usize,
    /// Found, well or badly read.
    pub found: usize,
    /// exact / rows.
    pub exact_rate: f64,
}

/// Reads above one confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AboveConfidence {
    /// Confidence at or above which reads count.
    pub threshold: f64,
    /// Labelled plates read at that confidence.
    pub reads: usize,
    /// Those without error.
    pub right: usize,
    /// right / reads.
    pub precision: f64,
    /// right / labelled plates.
    pub recall: f64,
}

/// A labelled plate that was not read exactly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlateMiss {
    /// Row in labels.csv.
    pub row: usize,
    /// The picture.
    pub file: String,
    /// The label.
    pub want: String,
    /// The label's kind, where it has one.
    pub kind: Option<String>,
    /// Whether it is the plate the picture is about.
    pub main: bool,
    /// Whether the label is of a marked form: 学, 警 and the like.
    pub marked: bool,
    /// What was read there; none: not found.
    pub got: Option<String>,
    /// Its confidence.
    pub confidence: f32,
    /// Whether a second reader said the same wrong text: it counts as sure.
    pub confirmed: bool,
}

/// One character read as another, in reads as long as their label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// The label's character.
    pub want: char,
    /// What was read.
    pub got: char,
    /// How often.
    pub times: usize,
}

/// What a second reader made of the reads of labelled plates that were not sure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SecondOpinions {
    /// Reads below the accept confidence.
    pub below_accept: usize,
    /// Those right by themselves.
    pub below_right: usize,
    /// Those likely enough to ask the second reader about.
    pub asked: usize,
    /// Those it confirmed: they count as sure.
    pub confirmed: usize,
    /// Of these, without error.
    pub confirmed_right: usize,
    /// Of these, wrong: reads that became sure and should not have.
    pub confirmed_wrong: usize,
    /// Reads it answered with another text, that were right.
    pub contradicted_right: usize,
    /// Texts of its own that were right, of those asked.
    pub second_right: usize,
    /// CPU time a call, milliseconds.
    pub cpu_ms: Spread,
}

/// The figures of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlatesReport {
    /// Pictures looked at.
    pub images: usize,
    /// Rows of labels.csv.
    pub rows: usize,
    /// Long side plates were searched at, pixels.
    pub long_side: u32,
    /// Share of all labelled plates read exactly.
    pub exact_match: f64,
    /// The same, with counts.
    pub overall: PlateAccuracy,
    /// Rows with main = 1: the plate a gate is about.
    pub main: PlateAccuracy,
    /// Rows of a marked form: 学, 警, 领, 使, 港, 澳, 挂.
    pub marked: PlateAccuracy,
    /// By the label's kind.
    pub kinds: BTreeMap<String, PlateAccuracy>,
    /// By the label's colour.
    pub colours: BTreeMap<String, PlateAccuracy>,
    /// Share of found plates whose colour was estimated as labelled; none without labels.
    pub colour_right: Option<f64>,
    /// Confidence above which a read counts as accepted.
    pub accept: f64,
    /// Accepted reads of labelled plates.
    pub accepted: usize,
    /// Those without error.
    pub accepted_right: usize,
    /// accepted_right / accepted.
    pub precision_above_accept: f64,
    /// Accepted reads where no plate is labelled: strangers in the picture, or inventions.
    pub accepted_unlabelled: usize,
    /// What the second reader made of the rest, where one is used.
    pub second: Option<SecondOpinions>,
    /// Precision and recall by confidence.
    pub thresholds: Vec<AboveConfidence>,
    /// CPU time a picture, decoding excluded.
    pub cpu_ms: Spread,
    /// Labelled plates not read exactly.
    pub misses: Vec<PlateMiss>,
    /// Characters taken for others, most frequent first.
    pub confusions: Vec<Confusion>,
    /// Rows that could not be measured.
    pub errors: Vec<RowError>,
}

struct Label {
    row: usize,
    plate: String,
    kind: Option<String>,
    colour: Option<String>,
    main: bool,
    /// Centre and size, where the file has them.
    place: Option<[f32; 4]>,
}

/// One labelled plate and what was read there.
struct Outcome<'l> {
    file: &'l str,
    label: &'l Label,
    read: Option<PlateRead>,
}

/// Evaluates the folder's labels.csv: columns file and plate; kind, color, main, box_cx, box_cy, box_w, box_h if known.
///
/// Without box columns a row is met by the read that fits best anywhere in its picture, and a picture small and long
/// enough to be a cut-out plate is read as one.
pub fn plates(recognizer: &Recognizer, folder: &Path, options: &EvalOptions) -> Result<PlatesReport, EvalError> {
    let table = Table::read(&folder.join("labels.csv"))?;
    table.need(&["file", "plate"], "file, plate")?;
    let mut errors = Vec::new();
    let mut by_file: BTreeMap<String, Vec<Label>> = BTreeMap::new();
    for row in table.rows() {
        match label(&row) {
            Ok((file, label)) => by_file.entry(file).or_default().push(label),
            Err(error) => errors.push(error),
        }
    }
    let accept = options.accept.unwrap_or(recognizer.plate_reader().options().sure);
    let search = PlateOptions { long_side: options.long_side, sure: accept, ..PlateOptions::default() };
    let files: Vec<_> = by_file.iter().collect();
    let answers = in_parallel(&files, options.workers, |(file, labels)| {
        let row = labels.first().map_or(0, |label| label.row);
        let frame = picture(folder, file, row, "file").map_err(Failure::Row)?;
        let cut_out = labels.iter().all(|label| label.place.is_none()) && is_cut_out(&frame);
        let before = thread_cpu();
        let reads =
            if cut_out { read_cut_out(recognizer, &frame, &search) } else { recognizer.plates(&frame, &search) };
        Ok((reads.map_err(Failure::All)?, ms(thread_cpu() - before)))
    });
    let (mut outcomes, mut unlabelled, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for ((file, labels), answer) in files.iter().zip(answers) {
        match answer {
            Ok((reads, time)) => {
                times.push(time);
                unlabelled.extend(assign(file, labels, reads, &mut outcomes));
            }
            // One unreadable picture fails every row that names it.
            Err(Failure::Row(error)) => errors.extend(labels.iter().map(|l| RowError { row: l.row, ..error.clone() })),
            Err(Failure::All(error)) => return Err(error.into()),
        }
    }
    errors.sort_by_key(|error| error.row);
    let second = recognizer.plate_reader().has_second().then(|| second_opinions(&outcomes, accept));
    let mut report = report(&table, (options.long_side, accept), outcomes, &unlabelled, times, errors);
    report.second = second;
    Ok(report)
}

enum Failure {
    Row(RowError),
    All(RecognizeError),
}

fn label(row: &Row<'_>) -> Result<(String, Label), RowError> {
    let file = row.need("file")?;
    let plate = row.need("plate")?;
    let plausible = (4..=10).contains(&plate.chars().count()) && plate.chars().all(char::is_alphanumeric);
    if !plausible {
        let message = format!("{plate:?} is no plate");
        return Err(RowError::new(
            row.number,
            "plate",
            message,
            "write the plate without spaces or dots, e.g. 京A88731",
        ));
    }
    let main = if row.get("main").is_some() { row.truth("main")? } else { true };
    let place = match (row.number("box_cx")?, row.number("box_cy")?, row.number("box_w")?, row.number("box_h")?) {
        (Some(cx), Some(cy), Some(w), Some(h)) if w > 0.0 && h > 0.0 => Some([cx, cy, w, h]),
        (None, None, None, None) => None,
        _ => {
            let message = "the box is incomplete or has no size";
            return Err(RowError::new(
                row.number,
                "box_w",
                message,
                "fill in box_cx, box_cy, box_w and box_h, or none",
            ));
        }
    };
    let text = |column| row.get(column).map(str::to_owned);
    let label = Label {
        row: row.number,
        plate: plate.to_uppercase(),
        kind: text("kind"),
        colour: text("color").or_else(|| text("colour")),
        main,
        place,
    };
    Ok((file.to_owned(), label))
}

/// Whether a picture is the size and shape of one plate cut out of a photograph.
fn is_cut_out(frame: &Frame) -> bool {
    let (w, h) = (frame.width(), frame.height());
    w <= 256 && 10 * w >= 15 * h && w <= 6 * h
}

/// Reads a cut-out: its edges are the plate's.
fn read_cut_out(
    recognizer: &Recognizer,
    frame: &Frame,
    options: &PlateOptions,
) -> Result<Vec<PlateRead>, RecognizeError> {
    let (w, h) = (frame.width() as f32, frame.height() as f32);
    let whole = FoundPlate { bounds: [0.0, 0.0, w, h], corners: [[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]], score: 1.0 };
    let read = recognizer.plate_reader().read_cut_out(frame, &whole, options)?;
    Ok(read.into_iter().collect())
}

/// Gives each label the nearest read within its box, each read once; returns the reads nobody labelled.
fn assign<'l>(
    file: &'l str,
    labels: &'l [Label],
    reads: Vec<PlateRead>,
    outcomes: &mut Vec<Outcome<'l>>,
) -> Vec<PlateRead> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (l, label) in labels.iter().enumerate() {
        for (r, read) in reads.iter().enumerate() {
            let distance = match label.place {
                Some([cx, cy, w, h]) => {
                    let [x1, y1, x2, y2] = read.bounds;
                    let apart = ((x1 + x2) / 2.0 - cx).hypot((y1 + y2) / 2.0 - cy);
                    // Some label files give the sides of a turned box in either order.
                    if apart > 0.5 * w.max(h) { continue } else { apart }
                }
                None if read.text == label.plate => 0.0,
                None => 2.0 - read.confidence,
            };
            pairs.push((distance, l, r));
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut reads: Vec<Option<PlateRead>> = reads.into_iter().map(Some).collect();
    let mut found: Vec<Option<PlateRead>> = labels.iter().map(|_| None).collect();
    for (_, l, r) in pairs {
        if found[l].is_none() {
            found[l] = reads[r].take();
        }
    }
    outcomes.extend(labels.iter().zip(found).map(|(label, read)| Outcome { file, label, read }));
    reads.into_iter().flatten().collect()
}

fn report(
    table: &Table,
    (long_side, accept): (u32, f32),
    outcomes: Vec<Outcome<'_>>,
    unlabelled: &[PlateRead],
    times: Vec<f64>,
    errors: Vec<RowError>,
) -> PlatesReport {
    let [mut overall, mut main, mut marked] = [PlateAccuracy::default(); 3];
    let mut kinds: BTreeMap<String, PlateAccuracy> = BTreeMap::new();
    let mut colours: BTreeMap<String, PlateAccuracy> = BTreeMap::new();
    let (mut coloured, mut colour_right) = (0usize, 0usize);
    let mut misses = Vec::new();
    for outcome in &outcomes {
        let Outcome { file, label, read } = outcome;
        let exact = outcome.exact();
        overall.count(exact, read.is_some());
        if label.main {
            main.count(exact, read.is_some());
        }
        if label.is_marked() {
            marked.count(exact, read.is_some());
        }
        if let Some(kind) = &label.kind {
            kinds.entry(kind.clone()).or_default().count(exact, read.is_some());
        }
        if let Some(colour) = &label.colour {
            colours.entry(colour.clone()).or_default().count(exact, read.is_some());
            if let Some(read) = read {
                coloured += 1;
                colour_right += usize::from(format!("{:?}", read.colour).eq_ignore_ascii_case(colour));
            }
        }
        if !exact {
            misses.push(PlateMiss {
                row: label.row,
                file: (*file).to_owned(),
                want: label.plate.clone(),
                kind: label.kind.clone(),
                main: label.main,
                marked: label.is_marked(),
                got: read.as_ref().map(|read| read.text.clone()),
                confidence: read.as_ref().map_or(0.0, |read| read.confidence),
                confirmed: read.as_ref().is_some_and(|read| read.said().confirmed),
            });
        }
    }
    misses.sort_by_key(|miss| miss.row);
    let above = |threshold: f64| {
        let reads = outcomes.iter().filter(|o| o.read.as_ref().is_some_and(|r| f64::from(r.confidence) >= threshold));
        let (reads, right) = reads.fold((0, 0), |(reads, right), o| (reads + 1, right + usize::from(o.exact())));
        AboveConfidence {
            threshold,
            reads,
            right,
            precision: share(right, reads),
            recall: share(right, outcomes.len()),
        }
    };
    let accepted = above(f64::from(accept));
    PlatesReport {
        images: times.len(),
        rows: table.len(),
        long_side,
        exact_match: overall.exact_rate,
        overall,
        main,
        marked,
        kinds,
        colours,
        colour_right: (coloured > 0).then(|| share(colour_right, coloured)),
        accept: (f64::from(accept) * 1e4).round() / 1e4,
        accepted: accepted.reads,
        accepted_right: accepted.right,
        precision_above_accept: accepted.precision,
        accepted_unlabelled: unlabelled.iter().filter(|read| read.confidence >= accept).count(),
        second: None,
        thresholds: [0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99].map(above).to_vec(),
        cpu_ms: Spread::of(times),
        confusions: confusions(&misses),
        misses,
        errors,
    }
}

fn confusions(misses: &[PlateMiss]) -> Vec<Confusion> {
    let mut times: BTreeMap<(char, char), usize> = BTreeMap::new();
    for miss in misses {
        let Some(got) = miss.got.as_ref().filter(|got| got.chars().count() == miss.want.chars().count()) else {
            continue;
        };
        for pair in miss.want.chars().zip(got.chars()).filter(|(want, got)| want != got) {
            *times.entry(pair).or_default() += 1;
        }
    }
    let mut confusions: Vec<_> = times.into_iter().map(|((want, got), times)| Confusion { want, got, times }).collect();
    confusions.sort_by_key(|confusion| std::cmp::Reverse(confusion.times));
    confusions
}

fn second_opinions(outcomes: &[Outcome<'_>], accept: f32) -> SecondOpinions {
    let below: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome, outcome.read.as_ref()?)))
        .filter(|(_, read)| read.confidence < accept)
        .collect();
    let asked: Vec<_> = below.iter().filter_map(|(outcome, read)| Some((outcome, read.second.as_ref()?))).collect();
    let count = |wanted: &dyn Fn(bool, &SecondRead, &Label) -> bool| {
        asked.iter().filter(|(outcome, second)| wanted(outcome.exact(), second, outcome.label)).count()
    };
    SecondOpinions {
        below_accept: below.len(),
        below_right: below.iter().filter(|(outcome, _)| outcome.exact()).count(),
        asked: asked.len(),
        confirmed: count(&|_, second, _| second.confirms),
        confirmed_right: count(&|exact, second, _| second.confirms && exact),
        confirmed_wrong: count(&|exact, second, _| second.confirms && !exact),
        contradicted_right: count(&|exact, second, label| exact && second.text != label.plate),
        second_right: count(&|_, second, label| second.text == label.plate),
        cpu_ms: Spread::of(asked.iter().map(|(_, second)| f64::from(second.cpu_ms)).collect()),
    }
}

impl PlatesReport {
    /// The misses of one sort, for people.
    pub(super) fn failed(&self, wanted: impl Fn(&PlateMiss) -> bool) -> Vec<String> {
        let said = |miss: &PlateMiss| {
            let got = miss.got.as_deref().unwrap_or("not found");
            format!("{} (row {}): {} read as {got} ({:.2})", miss.file, miss.row, miss.want, miss.confidence)
        };
        self.misses.iter().filter(|miss| wanted(miss)).map(said).collect()
    }
}

impl Label {
    fn is_marked(&self) -> bool {
        form_of(&self.plate).is_some_and(|form| !form.is_ordinary())
    }
}

impl Outcome<'_> {
    fn exact(&self) -> bool {
        self.read.as_ref().is_some_and(|read| read.text == self.label.plate)
    }
}

impl PlateAccuracy {
    fn count(&mut self, exact: bool, found: bool) {
        self.rows += 1;
        self.exact += usize::from(exact);
        self.found += usize::from(found);
        self.exact_rate = share(self.exact, self.rows);
    }
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_core::recognition::plate::{PlateColour, PlateKind};

    fn read(text: &str, confidence: f32, x: f32) -> PlateRead {
        PlateRead {
            text: text.into(),
            confidence,
            colour: PlateColour::Blue,
            kind: PlateKind::Single,
            corners: [[0.0; 2]; 4],
            bounds: [x, 0.0, x + 100.0, 30.0],
            score: 1.0,
            second: None,
        }
    }

    fn labelled(row: usize, plate: &str, x: Option<f32>) -> Label {
        let place = x.map(|x| [x + 50.0, 15.0, 30.0, 100.0]);
        Label {
            row,
            plate: plate.into(),
            kind: Some("single".into()),
            colour: Some("blue".into()),
            main: row == 2,
            place,
        }
    }

    #[test]
    fn reads_go_to_the_nearest_label_and_the_rest_is_unlabelled() {
        let labels = [labelled(2, "京A88731", Some(0.0)), labelled(3, "京B12345", Some(400.0))];
        let mut outcomes = Vec::new();
        let reads = vec![read("京B12345", 0.95, 405.0), read("京A88731", 0.97, 3.0), read("沪C00001", 0.93, 800.0)];
        let rest = assign("x.jpg", &labels, reads, &mut outcomes);
        assert!(outcomes.iter().all(Outcome::exact));
        assert_eq!(rest.len(), 1);
    }

    #[test]
    fn the_report_counts_what_it_says() {
        let labels =
            [labelled(2, "京A88731", Some(0.0)), labelled(3, "京B12345", Some(400.0)), labelled(4, "津C1234学", None)];
        let mut outcomes = Vec::new();
        let rest = assign(
            "x.jpg",
            &labels[..2],
            vec![read("京A88731", 0.97, 0.0), read("京B12845", 0.92, 400.0)],
            &mut outcomes,
        );
        assign("y.jpg", &labels[2..], vec![], &mut outcomes);
        let table = Table::read(Path::new("/nonexistent/labels.csv"));
        assert!(matches!(table, Err(EvalError::Labels { .. })));
        let dir = tempfile::tempdir().expect("a scratch directory");
        std::fs::write(dir.path().join("labels.csv"), "file,plate\nx.jpg,京A88731\nx.jpg,京B12345\ny.jpg,津C1234学\n")
            .expect("writes");
        let table = Table::read(&dir.path().join("labels.csv")).expect("reads");
        let report = report(&table, (960, 0.9), outcomes, &rest, vec![20.0, 30.0], vec![]);
        assert_eq!((report.rows, report.images), (3, 2));
        assert_eq!((report.overall.exact, report.overall.found, report.main.rows), (1, 2, 1));
        assert_eq!((report.accepted, report.accepted_right), (2, 1));
        assert_eq!(report.misses.iter().map(|miss| miss.row).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(report.kinds["single"].rows, 3);
        assert_eq!(
            report.confusions,
            [Confusion { want: '3', got: '8', times: 1 }],
            "what was not found confuses nothing"
        );
    }

    #[test]
    fn a_bad_label_names_its_row_and_field() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("labels.csv");
        let rows = "file,plate,main,box_cx,box_cy,box_w,box_h\na.jpg,京A88731,1,1,1,5,5\n,京A88731,1,1,1,5,5\nb.jpg,京 A,1,1,1,5,5\nc.jpg,京A88731,2,1,1,5,5\nd.jpg,京A88731,1,x,1,5,5\ne.jpg,京A88731,1,1,,5,5\n";
        std::fs::write(&path, rows).expect("writes");
        let table = Table::read(&path).expect("reads");
        let errors: Vec<_> = table.rows().filter_map(|row| label(&row).err()).map(|e| (e.row, e.field)).collect();
        let want = [(3, "file"), (4, "plate"), (5, "main"), (6, "box_cx"), (7, "box_w")];
        assert_eq!(errors, want.map(|(row, field)| (row, field.to_owned())));
    }
}
