//! How well recognition does on labelled pictures: the figures of `gatehouse eval`.
//!
//! Pictures go through [`crate::recognizer::Recognizer`], the code the pipeline runs. A label or file that cannot be used
//! is an error of its row; the rest is still measured.

mod attacks;
mod faces;
mod figures;
mod plates;
mod table;
pub mod targets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::frame::Frame;
pub use attacks::{AttackRow, AttacksReport, Performer, attacks};
pub use faces::{FacesReport, OneToMany, PairsReport, Separation, faces, pairs};
pub use figures::{Spread, Threshold, TrueAccept};
pub use plates::{AboveConfidence, PlateAccuracy, PlateMiss, PlatesReport, SecondOpinions, plates};

/// A row that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// Row of the file, the heading being row 1; 0: the file as a whole.
    pub row: usize,
    /// The column at fault.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl RowError {
    fn new(row: usize, field: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { row, field: field.to_owned(), message: message.into(), remedy: remedy.into() }
    }
}

/// Why nothing could be measured at all.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The label file is missing or unreadable.
    #[error("{path} cannot be read; give a folder with a labels.csv, or a pairs file", path = .path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A column every row needs is not in the heading.
    #[error("{path} has no column {column:?}; its first line must name the columns {wanted}", path = .path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: &'static str,
        /// All columns that are needed.
        wanted: &'static str,
    },
    /// A photograph that attacks are to be made of shows no face.
    #[error(
        "the photograph of {name} shows no face that can be enrolled; give one from the front, sharp and evenly lit"
    )]
    NoFace {
        /// Whose.
        name: String,
    },
    /// Recognition failed on a picture it should have taken.
    #[error(transparent)]
    Recognition(#[from] crate::recognizer::RecognizeError),
}

/// How an evaluation runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalOptions {
    /// Long side plates are searched at, pixels.
    pub long_side: u32,
    /// Pictures worked on at once; 1 gives undisturbed CPU times.
    pub workers: usize,
    /// Confidence above which a plate read counts as accepted; none: that of the reader.
    pub accept: Option<f32>,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self { long_side: 960, workers: 1, accept: None }
    }
}

/// A clip and the plate of the car it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClipLabel {
    /// Row in labels.csv.
    pub row: usize,
    /// The file, below the folder.
    pub file: String,
    /// The label.
    pub plate: String,
}

/// The labels of a folder of clips: labels.csv with file and plate; and the rows that name none.
pub fn clips(folder: &Path) -> Result<(Vec<ClipLabel>, Vec<RowError>), EvalError> {
    let table = table::Table::read(&folder.join("labels.csv"))?;
    table.need(&["file", "plate"], "file, plate")?;
    let (mut labels, mut errors) = (Vec::new(), Vec::new());
    for row in table.rows() {
        let label = row.need("file").and_then(|file| Ok((file.to_owned(), row.need("plate")?.to_uppercase())));
        match label {
            Ok((file, plate)) => labels.push(ClipLabel { row: row.number, file, plate }),
            Err(error) => errors.push(error),
        }
    }
    Ok((labels, errors))
}

/// CPU time this thread has used: what a stage costs, whatever else the machine does.
pub(crate) fn thread_cpu() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Reads a picture of a row, or says what is wrong with it.
fn picture(folder: &Path, file: &str, row: usize, field: &str) -> Result<Frame, RowError> {
    let path = folder.join(file);
    let bytes = std::fs::read(&path).map_err(|error| {
        RowError::new(
            row,
            field,
            format!("{} cannot be read: {error}", path.display()),
            "put the picture there or correct the row",
        )
    })?;
    Frame::from_image_bytes(&bytes).map_err(|error| {
        RowError::new(row, field, format!("{}: {error}", path.display()), "replace it by a whole JPEG or PNG file")
    })
}

/// Applies `work` to every item on `workers` threads; answers in the items' order.
fn in_parallel<I: Sync, T: Send>(items: &[I], workers: usize, work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    if workers <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut answers: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.min(items.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(item) = items.get(i) else { return mine };
                        mine.push((i, work(item)));
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    answers.sort_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_answers_keep_the_order_of_their_items() {
        let items: Vec<usize> = (0..100).collect();
        for workers in [0, 1, 4] {
            assert_eq!(in_parallel(&items, workers, |i| i * 2), (0..100).map(|i| i * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn cpu_time_grows_with_work_and_not_with_waiting() {
        let before = thread_cpu();
        std::thread::sleep(Duration::from_millis(30));
        let waited = thread_cpu() - before;
        assert!(waited < Duration::from_millis(25), "{waited:?} of CPU while asleep");
        let mut x = 1u64;
        while thread_cpu() - before < Duration::from_millis(2) {
            x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
        }
    }
}
