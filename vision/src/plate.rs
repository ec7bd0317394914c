//! Number plates in a picture: found, flattened, read.
//!
//! ```text
//!  frame ─▶ long side 960 ─▶ detect (boxes, corners) ─▶ flatten 188×48 ─▶ strip 32×100 in 320 ─▶ read ─▶ GA 36 search
//!                                                             └─ colour ───────────────────────────────────────▲
//! ```
//! The corners are found on the small picture, the characters are read from the full one.

mod colour;
mod ctc;
pub(crate) mod detect;
mod rectify;

use gatehouse_core::recognition::plate::{PlateColour, PlateKind, edit_distance};
use gatehouse_core::recognition::plate_grammar::Slot;

use crate::frame::{Frame, Rgb};
use crate::models::{self, RuntimePaths};
use crate::onnx::{Model, OnnxError};
use crate::scratch::Pool;
use ctc::{CLASSES, Candidate, Grammar, combine};
pub use detect::FoundPlate;
pub(crate) use rectify::PADDED as STRIP_WIDTH;

/// How a frame is searched for plates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlateOptions {
    /// The frame is resized so that its longer side is this, pixels. 640 is fastest, 1280 reads farther.
    pub long_side: u32,
    /// Least detector confidence of a plate that is read. Far and small plates score low and still read well.
    pub score_min: f32,
    /// Most plates read in one frame, best detections first: bounds the time of a frame full of false boxes.
    pub reads_max: usize,
    /// Reads at or above this are not looked at twice.
    pub sure: f32,
    /// Most further looks in one frame, each a run of the reader: bounds the time of a frame full of doubtful plates.
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
}

/// Why plates cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlateError {
    /// A model could not be loaded or run.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The alphabet file is not the reader's.
    #[error("the plate alphabet has not 72 lines; delete clp_dict.txt and run `gatehouse setup`")]
    Alphabet,
}

/// The plate stages: detector, reader, grammar.
#[derive(Debug)]
pub struct PlateReader {
    detector: Model,
    reader: Model,
    grammar: Grammar,
    pictures: Pool<Vec<f32>>,
    strips: Pool<Vec<f32>>,
}

impl PlateReader {
    /// Loads both models and the alphabet.
    pub fn open(paths: &RuntimePaths) -> Result<Self, PlateError> {
        let alphabet = models::read_verified(&models::PLATE_ALPHABET, &paths.models_dir).map_err(OnnxError::from)?;
        let grammar = std::str::from_utf8(&alphabet).ok().and_then(Grammar::new).ok_or(PlateError::Alphabet)?;
        Ok(Self {
            detector: Model::open(&models::PLATE_DETECT, paths)?,
            reader: Model::open(&models::PLATE_READ, paths)?,
            grammar,
            pictures: Pool::default(),
            strips: Pool::default(),
        })
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
        let first = self.look(&[Strip::plain(flat)], colour)?.pop().unwrap_or_default();
        let sure = first.first().map_or(0.0, |best| best.probability);
        let ordinary = matches!(colour, PlateColour::Blue | PlateColour::Green);
        if ordinary && sure >= enough {
            return Ok(PlateRead::from_best(first, colour, PlateKind::Single, found));
        }
        let mut strips: Vec<(View, Strip)> = Vec::new();
        if sure >= SECOND_LOOK
            && let Some(tight) = rectify::single(frame, &found.corners, rectify::TIGHT)
        {
            if !ordinary {
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
        for (view, said) in views.into_iter().zip(self.look(&strips, colour)?) {
            match view {
                View::Again => single.push(said),
                View::Marked => marked.extend(said.into_iter().find(|c| !c.form.is_ordinary())),
                View::Double => double.extend(said.into_iter().find(|c| c.form.slots.len() == 7)),
            }
        }
        let single = combine(&single);
        let marked = marked.into_iter().filter(|mark| may_be_marked(mark, single.first())).max_by(by_probability);
        let double = double.into_iter().max_by(by_probability);
        let plain = single.first().map_or(0.0, |best| best.probability);
        let (best, kind) = match (marked, double) {
            (_, Some(double)) if double.probability > plain.max(DOUBLE_MIN) => (vec![double], PlateKind::Double),
            (Some(marked), _) => (vec![marked], PlateKind::Single),
            _ => (single, PlateKind::Single),
        };
        Ok(PlateRead::from_best(best, colour, kind, found))
    }

    /// Runs the reader once over several strips and searches each answer for texts.
    fn look(&self, strips: &[Strip], colour: PlateColour) -> Result<Vec<Vec<Candidate>>, OnnxError> {
        if strips.is_empty() {
            return Ok(Vec::new());
        }
        let one = 3 * rectify::STRIP.1 as usize * rectify::PADDED;
        let mut input = self.strips.take();
        input.resize(one * strips.len(), 0.0);
        for (strip, values) in strips.iter().zip(input.chunks_exact_mut(one)) {
            rectify::strip_into(&strip.picture, strip.width, values);
        }
        let shape = [strips.len(), 3, rectify::STRIP.1 as usize, rectify::PADDED];
        let answer = self.reader.run(&shape, &input, |out| {
            let (shape, values) = out.tensor_with_shape(0)?;
            let steps = (shape[1].max(1) as usize) * CLASSES;
            Ok(values.chunks_exact(steps).map(|steps| self.grammar.search(steps, colour)).collect())
        });
        self.strips.give(input);
        answer
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

/// What the reader is shown of a plate.
#[derive(Debug, Clone)]
struct Strip {
    picture: Rgb,
    width: u32,
}

impl Strip {
    fn plain(picture: Rgb) -> Self {
        Self { picture, width: rectify::STRIP.0 }
    }

    fn wide_grey(picture: &Rgb) -> Self {
        Self { picture: picture.view().to_luma().to_rgb(), width: rectify::WIDE }
    }
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
        })
    }
}
