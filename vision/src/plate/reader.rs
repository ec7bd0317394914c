//! One network that reads strips, with its alphabet: what set-up brings, a site's own, or the second one.

use gatehouse_core::recognition::plate::PlateColour;

use super::PlateError;
use super::ctc::{Candidate, Grammar};
use crate::frame::Rgb;
use crate::models::{self, Alphabet, ReaderModel, RuntimePaths, TextNetwork};
use crate::onnx::{Model, OnnxError};
use crate::scratch::Pool;

/// A step's probabilities sum to 1 within this: less exact runtimes round a little.
const WHOLE: f32 = 0.02;

/// What a reader is shown of a plate.
#[derive(Debug, Clone)]
pub(super) struct Strip {
    /// The flattened plate.
    pub picture: Rgb,
    /// Whether it is shown wide and without colour.
    wide: bool,
}

impl Strip {
    pub(super) fn plain(picture: Rgb) -> Self {
        Self { picture, wide: false }
    }

    pub(super) fn wide_grey(picture: &Rgb) -> Self {
        Self { picture: picture.view().to_luma().to_rgb(), wide: true }
    }
}

/// The network, its alphabet and the size of what it is shown.
#[derive(Debug)]
pub(super) struct StripReader {
    model: Model,
    grammar: Grammar,
    size: (usize, usize),
    width: u32,
    wide_width: Option<u32>,
    planes: [(usize, [f32; 256]); 3],
    /// Whether the graph takes several strips at once.
    together: bool,
    strips: Pool<Vec<f32>>,
}

impl StripReader {
    /// Loads the reader of plates.
    pub(super) fn of_plates(reader: &ReaderModel, paths: &RuntimePaths) -> Result<Self, PlateError> {
        let opened = Self::open(&reader.network, reader.favours, paths)?;
        Ok(Self { wide_width: reader.wide_width, ..opened })
    }

    /// Loads a network and its alphabet, and holds the graph to what it will be given and must give.
    pub(super) fn open(network: &TextNetwork, favours: Option<char>, paths: &RuntimePaths) -> Result<Self, PlateError> {
        let model = Model::open(&network.spec, paths)?;
        let (listed, field) = match &network.alphabet {
            Alphabet::File(spec) => {
                let bytes = models::read_verified(spec, &paths.models_dir).map_err(OnnxError::from)?;
                (String::from_utf8(bytes).ok(), spec.field("file"))
            }
            Alphabet::Metadata(key) => (model.metadata(key), network.spec.field("alphabet")),
        };
        let refused = |problem: String| PlateError::Alphabet { field: field.clone(), problem };
        let remedy = "name the file that lists the reader's characters, one a line in UTF-8";
        let listed = listed.ok_or_else(|| refused(format!("there is none to read: {remedy}")))?;
        let grammar = Grammar::new(&listed, favours).map_err(|lack| refused(format!("{lack}: {remedy}")))?;
        let (height, padded) = (network.height as usize, network.padded_width as usize);
        let batch = model.need_input(&[0, 3, height, padded])?.shape[0];
        let mut reader = Self {
            model,
            grammar,
            size: (padded, height),
            width: network.width,
            wide_width: None,
            planes: network.scaling.planes(),
            together: batch != 1,
            strips: Pool::default(),
        };
        reader.measure(&field)?;
        Ok(reader)
    }

    /// Runs the network once: its steps must be probabilities of as many classes as the alphabet has.
    fn measure(&mut self, alphabet: &str) -> Result<(), PlateError> {
        let output = self.model.need_output()?.name.clone();
        let noise = (0..188 * 48 * 3).map(|i| (i * 7919 % 256) as u8).collect();
        let picture = Rgb::from_bytes(188, 48, noise).map_err(|error| self.model.unfit("file", error.to_string()))?;
        let run = |values: &[i64], steps: &[f32]| (values.to_vec(), steps.to_vec());
        let (shape, steps) = self.run(&[Strip::plain(picture)], run)?.pop().unwrap_or_default();
        let classes = match shape[..] {
            [1, steps, classes] if steps > 0 && classes > 1 => usize::try_from(classes).unwrap_or(0),
            _ => {
                let problem =
                    format!("output {output} of the graph is {shape:?}, 1×steps×classes is wanted: name another");
                return Err(self.model.unfit("output", problem).into());
            }
        };
        let listed = self.grammar.classes() - 1;
        if !self.grammar.fit(classes) {
            let problem = format!(
                "lists {listed} characters, the reader has {classes} classes: {} are wanted, the blank being class 0",
                classes.saturating_sub(1)
            );
            return Err(PlateError::Alphabet { field: alphabet.to_owned(), problem });
        }
        let whole = |step: &[f32]| (step.iter().sum::<f32>() - 1.0).abs() <= WHOLE && step.iter().all(|p| *p >= 0.0);
        if !steps.chunks_exact(classes).all(whole) {
            let problem = format!("output {output} of the graph holds no probabilities: export it with its softmax");
            return Err(self.model.unfit("output", problem).into());
        }
        Ok(())
    }

    /// Whether it reads marks better wide.
    pub(super) fn looks_wide(&self) -> bool {
        self.wide_width.is_some()
    }

    /// Reads several strips and searches each answer for texts.
    pub(super) fn look(&self, strips: &[Strip], colour: PlateColour) -> Result<Vec<Vec<Candidate>>, OnnxError> {
        self.run(strips, |_, steps| self.grammar.search(steps, colour))
    }

    /// Runs the network over strips, at once where the graph can; `take` gets the shape of an answer, its batch being 1, and the
    /// answer to each strip.
    fn run<T>(&self, strips: &[Strip], take: impl Fn(&[i64], &[f32]) -> T) -> Result<Vec<T>, OnnxError> {
        let (padded, height) = self.size;
        let one = 3 * height * padded;
        let mut answers = Vec::with_capacity(strips.len());
        for strips in strips.chunks(if self.together { strips.len().max(1) } else { 1 }) {
            let mut input = self.strips.take();
            input.resize(one * strips.len(), 0.0);
            for (strip, values) in strips.iter().zip(input.chunks_exact_mut(one)) {
                self.lay(strip, values);
            }
            let ran = self.model.run(&[strips.len(), 3, height, padded], &input, |out| {
                let (shape, values) = out.tensor_with_shape(0)?;
                let mut of_one = shape.to_vec();
                of_one.iter_mut().take(1).for_each(|batch| *batch = 1);
                let length = (values.len() / strips.len()).max(1);
                answers.extend(values.chunks_exact(length).map(|steps| take(&of_one, steps)));
                Ok(())
            });
            self.strips.give(input);
            ran?;
        }
        Ok(answers)
    }

    /// Writes a flat plate into the network's input, at the left, zeros beyond it.
    fn lay(&self, strip: &Strip, input: &mut [f32]) {
        let (padded, height) = self.size;
        let width = self.wide_width.filter(|_| strip.wide).unwrap_or(self.width);
        input.fill(0.0);
        let small = strip.picture.view().resize_bilinear(width, height as u32);
        for ((byte, numbers), plane) in self.planes.iter().zip(input.chunks_exact_mut(height * padded)) {
            let rows = small.data().chunks_exact(3 * width as usize).zip(plane.chunks_exact_mut(padded));
            for (row, values) in rows {
                for (pixel, value) in row.chunks_exact(3).zip(values) {
                    *value = numbers[pixel[*byte] as usize];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strip_is_bgr_at_the_left_and_zero_beyond() {
        let paths = crate::testkit::runtime();
        let reader = StripReader::of_plates(&paths.models.plate_reader, &paths).expect("the runtime files are there");
        let mut input = vec![9.0; 3 * 32 * 320];
        let flat = Rgb::from_bytes(188, 48, [255, 0, 127].repeat(188 * 48)).expect("sized");
        reader.lay(&Strip::plain(flat.clone()), &mut input);
        let at = |input: &[f32], plane: usize, x: usize| input[(plane * 32 + 10) * 320 + x];
        assert!((at(&input, 0, 50) - (127.0 / 127.5 - 1.0)).abs() < 1e-6);
        assert!(at(&input, 1, 50) == -1.0 && at(&input, 2, 50) == 1.0);
        assert!((0..3).all(|plane| at(&input, plane, 100) == 0.0 && at(&input, plane, 319) == 0.0));
        reader.lay(&Strip::wide_grey(&flat), &mut input);
        assert!(at(&input, 0, 199) != 0.0 && at(&input, 0, 199) == at(&input, 2, 199) && at(&input, 0, 200) == 0.0);
    }

    #[test]
    fn several_strips_are_read_as_each_alone() {
        let paths = crate::testkit::runtime();
        let reader = StripReader::of_plates(&paths.models.plate_reader, &paths).expect("the runtime files are there");
        let strip = |seed: usize| {
            let bytes = (0..188 * 48 * 3).map(|i| (i * seed % 251) as u8).collect();
            Strip::plain(Rgb::from_bytes(188, 48, bytes).expect("sized"))
        };
        let strips: Vec<_> = [7, 31, 1009].into_iter().map(strip).collect();
        let said = |strips: &[Strip]| reader.run(strips, |_, steps| steps.to_vec()).expect("runs");
        let together = said(&strips);
        let alone: Vec<_> = strips.chunks(1).flat_map(said).collect();
        let apart =
            together.iter().flatten().zip(alone.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(together.len() == 3 && apart < 1e-4, "{apart}");
    }
}
