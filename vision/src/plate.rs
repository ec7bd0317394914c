//! Number plates in a picture: found, flattened, read.
//!
//! ```text
//!  frame ─▶ long side 960 ─▶ detect (boxes, corners) ─▶ flatten 188×48 ─▶ strip ─▶ read ─▶ GA 36 search ─▶ sure?
//!                                                             └─ colour ─────────────────────▲     no: second reader
//! ```
//! The corners are found on the small picture, the characters are read from the full one. A second reader is asked only where the
//! site wants one, only about reads that are likely and not sure, and without being told what was read.

mod colour;
mod ctc;
pub(crate) mod detect;
mod reader;
mod rectify;

use gatehouse_core::recognition::plate::{self as rule, PlateColour, PlateKind, edit_distance};
use gatehouse_core::recognition::plate_grammar::Slot;

use crate::eval::thread_cpu;
use crate::frame::Frame;
use crate::models::{self, RuntimePaths};
use crate::onnx::{Model, OnnxError};
use crate::scratch::Pool;
use ctc::{Candidate, combine};
pub use detect::FoundPlate;
use reader::{Strip, StripReader};

/// How a frame is searched for plates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlateOptions {
    /// The frame is resized so that its longer side is this, pixels. 640 is fastest, 1280 reads farther.
    pub long_side: u32,
    /// Least detector confidence of a plate that is read. Far and small plates score low and still read well.
    pub score_min: f32,
    /// Most plates read in one frame, best detections first: bounds the time of a frame full of false boxes.
    pub reads_max: usize,
    /// Reads at or above this are sure: they are not looked at twice. Of the reader that set-up brings, unless asked for by
    /// [`PlateReader::options`].
    pub sure: f32,
    /// Most further looks in one frame, each a run of a reader: bounds the time of a frame full of doubtful plates.
    pub looks_max: usize,
}

impl Default for PlateOptions {
    fn default() -> Self {
        Self { long_side: 960, score_min: 0.3, reads_max: 8, sure: 0.9, looks_max: 6 }
    }
}

/// A plate read in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateRead {
    /// The text, in stored form.
    pub text: String,
    /// Probability of the text over all alignments of the reader's output, 0–1.
    pub confidence: f32,
    /// Ground colour.
    pub colour: PlateColour,
    /// One row or two.
    pub kind: PlateKind,
    /// Top left, top right, bottom right, bottom left, frame pixels.
    pub corners: [[f32; 2]; 4],
    /// x1, y1, x2, y2, frame pixels.
    pub bounds: [f32; 4],
    /// The detector's confidence, 0–1.
    pub score: f32,
    /// What a second reader made of it, where one was asked.
    pub second: Option<SecondRead>,
}

/// What a second reader made of a plate.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondRead {
    /// Its text, empty when none fits.
    pub text: String,
    /// Its confidence, 0–1.
    pub confidence: f32,
    /// Whether it confirms the first reader's.
    pub confirms: bool,
    /// CPU time it took, milliseconds.
    pub cpu_ms: f32,
}

impl PlateRead {
    /// What it says, for the vote.
    pub fn said(&self) -> rule::Read<'_> {
        let confirmed = self.second.as_ref().is_some_and(|second| second.confirms);
        rule::Read { text: &self.text, confidence: self.confidence, confirmed }
    }
}

/// Why plates cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlateError {
    /// A model could not be loaded or run.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The alphabet is not the reader's.
    #[error("{field}: {problem}")]
    Alphabet {
        /// The file by name, or the key of the configuration.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The plate stages: detector, reader, and a second reader where the site wants one.
#[derive(Debug)]
pub struct PlateReader {
    detector: Model,
    reader: StripReader,
    second: Option<StripReader>,
    accept: f32,
    pictures: Pool<Vec<f32>>,
}

impl PlateReader {
    /// Loads the models and their alphabets.
    pub fn open(paths: &RuntimePaths) -> Result<Self, PlateError> {
        let models::Models { plate_reader, second_reader, .. } = &paths.models;
        Ok(Self {
            detector: Model::open(&models::PLATE_DETECT, paths)?,
            reader: StripReader::of_plates(plate_reader, paths)?,
            second: second_reader.as_ref().map(|network| StripReader::open(network, None, paths)).transpose()?,
            accept: plate_reader.accept,
            pictures: Pool::default(),
        })
    }

    /// Whether a second reader is asked about what is not sure.
    pub fn has_second(&self) -> bool {
        self.second.is_some()
    }

    /// The usual options, sure being what it is for this reader.
    pub fn options(&self) -> PlateOptions {
        PlateOptions { sure: self.accept, ..PlateOptions::default() }
    }

    /// Finds plates without reading them, in frame pixels, best first.
    pub fn find(&self, frame: &Frame, options: &PlateOptions) -> Result<Vec<FoundPlate>, PlateError> {
        let scale = f64::from(options.long_side) / f64::from(frame.width().max(frame.height()));
        let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        let small = frame.rgb_resized(side(frame.width()), side(frame.height()));
        let (sx, sy) = (frame.width() as f32 / small.width() as f32, frame.height() as f32 / small.height() as f32);
        let mut found = detect::detect(&self.detector, &self.pictures, &small, options.score_min)?;
        for plate in &mut found {
            plate.corners.iter_mut().for_each(|[x, y]| (*x, *y) = (*x * sx, *y * sy));
            let [x1, y1, x2, y2] = plate.bounds;
            plate.bounds = [x1 * sx, y1 * sy, x2 * sx, y2 * sy];
        }
        Ok(found)
    }

    /// Finds and reads the plates of a frame, best detection first. Boxes in which no plate text fits are left out.
    pub fn read(&self, frame: &Frame, options: &PlateOptions) -> Result<Vec<PlateRead>, PlateError> {
        let mut reads = Vec::new();
        let mut looks_left = options.looks_max;
        for found in self.find(frame, options)?.into_iter().take(options.reads_max) {
            let read = self.read_with(frame, &found, rectify::SINGLE, options.sure, &mut looks_left)?;
            reads.extend(read.filter(|read| read.confidence >= SAID_MIN));
        }
        Ok(reads)
    }

    /// Reads the plate at known corners.
    pub fn read_at(
        &self,
        frame: &Frame,
        found: &FoundPlate,
        options: &PlateOptions,
    ) -> Result<Option<PlateRead>, PlateError> {
        self.read_with(frame, found, rectify::SINGLE, options.sure, &mut { options.looks_max })
    }

    /// Reads a plate whose corners are exact, as those of a cut-out picture are: no margins are added.
    pub fn read_cut_out(
        &self,
        frame: &Frame,
        found: &FoundPlate,
        options: &PlateOptions,
    ) -> Result<Option<PlateRead>, PlateError> {
        self.read_with(frame, found, rectify::EXACT, options.sure, &mut { options.looks_max })
    }

    fn read_with(
        &self,
        frame: &Frame,
        found: &FoundPlate,
        margins: rectify::Margins,
        enough: f32,
        looks_left: &mut usize,
    ) -> Result<Option<PlateRead>, PlateError> {
        let Some(flat) = rectify::single(frame, &found.corners, margins) else { return Ok(None) };
        let colour = colour::estimate(&flat);
        let plain = Strip::plain(flat);
        let first = self.reader.look(std::slice::from_ref(&plain), colour)?.pop().unwrap_or_default();
        let sure = first.first().map_or(0.0, |best| best.probability);
        let ordinary = matches!(colour, PlateColour::Blue | PlateColour::Green);
        if ordinary && sure >= enough {
            return Ok(PlateRead::from_best(first, colour, PlateKind::Single, found));
        }
        let mut strips: Vec<(View, Strip)> = Vec::new();
        if sure >= SECOND_LOOK
            && let Some(tight) = rectify::single(frame, &found.corners, rectify::TIGHT)
        {
            if !ordinary && self.reader.looks_wide() {
                strips.push((View::Marked, Strip::wide_grey(&tight)));
            }
            if sure < enough {
                strips.push((View::Again, Strip::plain(tight)));
            }
        }
        // Only large vehicles carry two rows, on yellow.
        let perhaps_double = matches!(colour, PlateColour::Yellow | PlateColour::Unknown);
        if perhaps_double && sure < enough && rectify::aspect(&found.corners) < DOUBLE_ASPECT {
            let lifted = rectify::LIFTS.iter().filter_map(|lift| rectify::double(frame, &found.corners, *lift));
            strips.extend(lifted.map(|flat| (View::Double, Strip::plain(flat))));
        }
        strips.truncate(*looks_left);
        *looks_left -= strips.len();
        let (views, strips): (Vec<_>, Vec<_>) = strips.into_iter().unzip();
        let (mut single, mut marked, mut double) = (vec![first], Vec::new(), Vec::new());
        let said = self.reader.look(&strips, colour)?;
        for ((view, strip), said) in views.into_iter().zip(strips).zip(said) {
            match view {
                View::Again => single.push(said),
                View::Marked => marked.extend(said.into_iter().find(|c| !c.form.is_ordinary())),
                View::Double => double.extend(said.into_iter().find(|c| c.form.slots.len() == 7).map(|c| (c, strip))),
            }
        }
        let single = combine(&single);
        let marked = marked.into_iter().filter(|mark| may_be_marked(mark, single.first())).max_by(by_probability);
        let double = double.into_iter().max_by(|(a, _), (b, _)| by_probability(a, b));
        let likely = single.first().map_or(0.0, |best| best.probability);
        let (best, kind, strip) = match (marked, double) {
            (_, Some((double, strip))) if double.probability > likely.max(DOUBLE_MIN) => {
                (vec![double], PlateKind::Double, strip)
            }
            (Some(marked), _) => (vec![marked], PlateKind::Single, plain),
            _ => (single, PlateKind::Single, plain),
        };
        let Some(mut read) = PlateRead::from_best(best, colour, kind, found) else { return Ok(None) };
        if (rule::CONFIRM_FIRST..enough).contains(&read.confidence) && *looks_left > 0 {
            read.second = self.second_opinion(&read, &strip)?;
            *looks_left -= usize::from(read.second.is_some());
        }
        Ok(Some(read))
    }

    /// Asks the second reader, if there is one, about the picture that the first one's text came from.
    fn second_opinion(&self, read: &PlateRead, strip: &Strip) -> Result<Option<SecondRead>, OnnxError> {
        let Some(second) = &self.second else { return Ok(None) };
        let before = thread_cpu();
        let said =
            second.look(std::slice::from_ref(strip), read.colour)?.pop().and_then(|said| said.into_iter().next());
        let cpu_ms = (thread_cpu() - before).as_secs_f32() * 1000.0;
        let (text, confidence) = said.map_or_else(Default::default, |best| (best.text, best.probability));
        let confirms = rule::agrees((&read.text, read.confidence), (&text, confidence));
        Ok(Some(SecondRead { text, confidence, confirms, cpu_ms }))
    }
}

/// Why a plate is looked at again.
#[derive(Debug, Clone, Copy)]
enum View {
    /// Unsure: the same row, cut tighter.
    Again,
    /// Neither blue nor green: wider and without colour, where 学, 警 and the like can be told from digits.
    Marked,
    /// Not blue, not green and not long: perhaps two rows.
    Double,
}

/// A read less likely than this says nothing: no plate, or one that cannot be read.
const SAID_MIN: f32 = 0.05;
/// A single row read less surely than this is not worth a second look: it is no plate, or has two rows.
const SECOND_LOOK: f32 = 0.1;
/// Width over height below which a plate may have two rows: 2 by the norm, 3.1 and more for one row; turned away, a one-row
/// plate gets shorter too.
const DOUBLE_ASPECT: f32 = 2.9;
/// Least probability of a two-row read.
const DOUBLE_MIN: f32 = 0.3;
/// Least probability of a marked text in the wide view.
const MARKED_MIN: f32 = 0.5;

/// Whether the wide view's marked text is to be believed: sure enough, and but for the mark what the ordinary view read.
fn may_be_marked(marked: &Candidate, plain: Option<&Candidate>) -> bool {
    let unmarked = |c: &Candidate| -> String {
        c.text.chars().zip(c.form.slots).filter(|(_, slot)| !matches!(slot, Slot::Is(_))).map(|(c, _)| c).collect()
    };
    let common = unmarked(marked);
    marked.probability >= MARKED_MIN && plain.is_none_or(|plain| edit_distance(&plain.text, &common) <= 2)
}

fn by_probability(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    a.probability.total_cmp(&b.probability)
}

impl PlateRead {
    fn from_best(best: Vec<Candidate>, colour: PlateColour, kind: PlateKind, found: &FoundPlate) -> Option<Self> {
        best.into_iter().next().map(|best| Self {
            text: best.text,
            confidence: best.probability,
            colour,
            kind,
            corners: found.corners,
            bounds: found.bounds,
            score: found.score,
            second: None,
        })
    }
}
