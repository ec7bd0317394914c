//! The few threads that run models, for all cameras.
//!
//! Each camera has one place: a newer frame takes the place of one that waits (newest wins, the loss is counted), and a
//! camera is worked on by one thread at a time, so that its tracks see frames in order. Cameras take turns.

use super::cars::{PlateSeen, PlateWatch};
use super::decide::{Decision, FaceWatch};
use super::doorway::Prompts;
use super::picture;
use crate::face::{FaceOptions, FaceRead, Gallery};
use crate::figures::Latency;
use crate::frame::Frame;
use crate::overlay::{self, Boxed, Boxes, Mark, Overlays};
use crate::recognizer::{RecognizeError, Recognizer};
use gatehouse_core::id::{DeviceId, DeviceKey, PersonId, PictureId};
use gatehouse_core::recognition::plate::PlatePolicy;
use gatehouse_core::recognition::region::Region;
use gatehouse_core::recognition::{Observation, Seen};
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

/// What looks at frames; the models in production, scripted in tests.
pub trait Readers: Send + Sync {
    /// Plates of a frame, read or not.
    fn plates(&self, frame: &Frame, sight: &Sight) -> Result<Vec<PlateSeen>, RecognizeError>;
    /// Faces of a frame, described; with their gaze where that is asked for.
    fn faces(&self, frame: &Frame, sight: &Sight, gaze: bool) -> Result<Vec<FaceRead>, RecognizeError>;
}

impl Readers for Recognizer {
    fn plates(&self, frame: &Frame, sight: &Sight) -> Result<Vec<PlateSeen>, RecognizeError> {
        let reader = self.plate_reader();
        let options = reader.options();
        let mut seen = Vec::new();
        let found = reader.find(frame, &options)?.into_iter().filter(|found| sight.wants(found.bounds, frame));
        for found in found.take(options.reads_max) {
            let read = reader.read_at(frame, &found, &options)?;
            seen.push(PlateSeen { bounds: found.bounds, score: found.score, read });
        }
        Ok(seen)
    }

    fn faces(&self, frame: &Frame, sight: &Sight, gaze: bool) -> Result<Vec<FaceRead>, RecognizeError> {
        let (options, reader) = (FaceOptions::default(), self.face_reader());
        let mut faces = Vec::new();
        let found = reader.find(frame, &options)?.into_iter().filter(|found| sight.wants(found.bounds, frame));
        for found in found.take(options.faces_max) {
            faces.extend(reader.read_at(frame, &found, gaze)?);
        }
        Ok(faces)
    }
}

/// Loads the readers; called on a worker thread.
pub type Loader = Box<dyn Fn() -> Result<Arc<dyn Readers>, RecognizeError> + Send + Sync>;
/// Where observations go.
pub type Sink = Arc<dyn Fn(Observation) + Send + Sync>;
/// Where problems go: a code to count, the camera where it is about one, a sentence.
pub type OnProblem = Arc<dyn Fn(&'static str, Option<&DeviceKey>, &str) + Send + Sync>;

/// What of a camera's pictures is its business.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Where.
    pub region: Region,
    /// How wide things must be, pixels.
    pub min_width: f32,
}

impl Sight {
    /// Whether something with these bounds (x1, y1, x2, y2 in pixels) is.
    pub fn wants(&self, bounds: [f32; 4], frame: &Frame) -> bool {
        bounds[2] - bounds[0] >= self.min_width && self.region.holds(bounds, (frame.width(), frame.height()))
    }
}

/// A camera as the pool sees it.
#[derive(Debug)]
pub struct Subject {
    /// The camera.
    pub id: DeviceId,
    /// Its name, for problems.
    pub key: DeviceKey,
    /// What of its pictures is looked at.
    pub sight: Sight,
    /// Cars, where plates are its business.
    pub plates: Option<Mutex<PlateWatch>>,
    /// Faces, where they are.
    pub faces: Option<Mutex<FaceWatch>>,
}

impl Subject {
    /// Whether there is no hurry: the cars in view are read, and faces are not its business.
    pub fn settled(&self) -> bool {
        self.faces.is_none() && self.plates.as_ref().is_some_and(|watch| lock(watch).settled())
    }

    /// Whether someone is being challenged: no picture is left out then.
    pub fn challenging(&self) -> bool {
        self.faces.as_ref().is_some_and(|watch| lock(watch).is_challenging())
    }

    /// Whether a car or a face is in view.
    pub fn occupied(&self) -> bool {
        self.plates.as_ref().is_some_and(|watch| lock(watch).occupied())
            || self.faces.as_ref().is_some_and(|watch| lock(watch).occupied())
    }
}

/// A frame to look at.
#[derive(Debug)]
pub struct Job {
    /// Whose.
    pub subject: Arc<Subject>,
    /// The picture.
    pub frame: Frame,
    /// When it was taken, on our clock.
    pub captured: Timestamp,
    /// When it reached us.
    pub received: Instant,
}

/// The pool.
pub struct Pool {
    places: Mutex<Places>,
    work: Condvar,
    output: Output,
    gallery: RwLock<Arc<Gallery<PersonId>>>,
    plate_policy: PlatePolicy,
    /// Frames looked at, frames that gave way to newer ones.
    pub(crate) looked: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) plate_time: Latency,
    pub(crate) face_time: Latency,
    pub(crate) overlays: Overlays,
    pub(crate) prompts: Prompts,
}

/// What becomes of decisions.
struct Output {
    pictures: PathBuf,
    sink: Sink,
    on_problem: OnProblem,
}

#[derive(Debug, Default)]
struct Places {
    waiting: HashMap<DeviceId, Place>,
    /// Cameras with a frame that waits and nobody at work on them.
    turns: VecDeque<DeviceId>,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Place {
    job: Option<Job>,
    busy: bool,
}

impl Pool {
    /// Starts `workers` threads; the first loads the readers, and until then frames only wait.
    pub fn start(
        workers: usize,
        pictures: PathBuf,
        plate_policy: PlatePolicy,
        load: Option<Loader>,
        sink: Sink,
        on_problem: OnProblem,
    ) -> std::io::Result<Arc<Self>> {
        let pool = Arc::new(Self {
            places: Mutex::default(),
            work: Condvar::new(),
            output: Output { pictures, sink, on_problem },
            gallery: RwLock::new(Arc::new(Gallery::default())),
            plate_policy,
            looked: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            plate_time: Latency::default(),
            face_time: Latency::default(),
            overlays: Overlays::default(),
            prompts: Prompts::default(),
        });
        let Some(load) = load else { return Ok(pool) };
        let main = pool.clone();
        std::thread::Builder::new().name("recognise-0".into()).spawn(move || {
            let readers = match load() {
                Ok(readers) => readers,
                Err(error) => {
                    (main.output.on_problem)("recognition_unavailable", None, &error.to_string());
                    lock(&main.places).stopped = true;
                    return;
                }
            };
            for worker in 1..workers.max(1) {
                let (pool, readers) = (main.clone(), readers.clone());
                let name = format!("recognise-{worker}");
                // One thread fewer is slower, not wrong.
                let _ = std::thread::Builder::new().name(name).spawn(move || pool.work(&*readers));
            }
            main.work(&*readers);
        })?;
        Ok(pool)
    }

    /// Takes a frame to look at; one of the same camera that waits gives way.
    pub fn offer(&self, job: Job) {
        let mut places = lock(&self.places);
        if places.stopped {
            return;
        }
        let id = job.subject.id;
        let place = places.waiting.entry(id).or_default();
        let replaced = place.job.replace(job).is_some();
        let turn = !replaced && !place.busy;
        if replaced {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if turn {
            places.turns.push_back(id);
            drop(places);
            self.work.notify_one();
        }
    }

    /// Sets the people known.
    pub fn set_gallery(&self, gallery: Gallery<PersonId>) {
        *self.gallery.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(gallery);
    }

    /// Ends the threads after what they are at.
    pub fn stop(&self) {
        lock(&self.places).stopped = true;
        self.work.notify_all();
    }

    /// Reports a decision with the picture that shows it.
    pub fn report(&self, job: &Job, decision: Decision) {
        let picture = self.picture(job, &decision);
        (self.output.sink)(Observation {
            camera: job.subject.id,
            observed_at: job.captured,
            latency_ms: job.received.elapsed().as_millis().min(u128::from(u32::MAX)) as u32,
            picture,
            seen: decision.seen,
        });
    }

    /// Stores the picture of a decision. A stranger has consented to nothing: of their face none is kept.
    fn picture(&self, job: &Job, decision: &Decision) -> Option<PictureId> {
        if matches!(decision.seen, Seen::Face { candidate: None, .. }) {
            return None;
        }
        let (frame, bounds) = match &decision.better {
            Some((frame, bounds)) => (frame, Some(*bounds)),
            None => (&job.frame, decision.bounds),
        };
        let crop = matches!(decision.seen, Seen::Plate { .. });
        match picture::store(&self.output.pictures, frame, bounds, crop, job.captured) {
            Ok(id) => Some(id),
            Err(error) => {
                let text = format!("the picture of an observation could not be stored: {error}");
                (self.output.on_problem)("picture_failed", Some(&job.subject.key), &text);
                None
            }
        }
    }

    fn work(&self, readers: &dyn Readers) {
        while let Some(job) = self.next() {
            let id = job.subject.id;
            // A panic in a model's glue code must not take the thread, nor leave the camera's place taken.
            let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.look(&job, readers)));
            if looked.is_err() {
                let text = "recognition panicked on a frame; the frame was dropped";
                (self.output.on_problem)("recognition_panic", Some(&job.subject.key), text);
            }
            let mut places = lock(&self.places);
            if let Some(place) = places.waiting.get_mut(&id) {
                place.busy = false;
                if place.job.is_some() {
                    places.turns.push_back(id);
                    drop(places);
                    self.work.notify_one();
                }
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut places = lock(&self.places);
        loop {
            if places.stopped {
                return None;
            }
            while let Some(id) = places.turns.pop_front() {
                if let Some(place) = places.waiting.get_mut(&id)
                    && let Some(job) = place.job.take()
                {
                    place.busy = true;
                    return Some(job);
                }
            }
            places = self.work.wait(places).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn look(&self, job: &Job, readers: &dyn Readers) {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let mut decisions = Vec::new();
        let mut boxes = Vec::new();
        let size = (job.frame.width(), job.frame.height());
        let now = job.frame.pts();
        if let Some(watch) = &job.subject.plates {
            let began = Instant::now();
            match readers.plates(&job.frame, &job.subject.sight) {
                Ok(seen) => {
                    self.plate_time.record(began.elapsed());
                    decisions.extend(lock(watch).look(&seen, &job.frame));
                    boxes.extend(overlay::plates(&seen, size, &self.plate_policy));
                }
                Err(error) => self.failed(job, &error),
            }
        }
        if let Some(watch) = &job.subject.faces {
            let began = Instant::now();
            let gaze = lock(watch).is_challenging();
            match readers.faces(&job.frame, &job.subject.sight, gaze) {
                Ok(faces) => {
                    self.face_time.record(began.elapsed());
                    let gallery = self.gallery.read().unwrap_or_else(PoisonError::into_inner).clone();
                    let mut watch = lock(watch);
                    decisions.extend(watch.update(&faces, &gallery, now));
                    if let Some(prompt) = watch.prompt() {
                        self.prompts.show(job.subject.id, prompt);
                    }
                    boxes.extend(watch.shown().iter().filter_map(|(bounds, person)| {
                        Some(Boxed { bounds: overlay::relative(*bounds, size)?, mark: Mark::Face(*person) })
                    }));
                }
                Err(error) => self.failed(job, &error),
            }
        }
        if self.overlays.followed(job.subject.id) {
            self.overlays.show(job.subject.id, Boxes { at: job.captured, boxes });
        }
        for decision in decisions {
            self.report(job, decision);
        }
    }

    fn failed(&self, job: &Job, error: &RecognizeError) {
        (self.output.on_problem)("recognition_failed", Some(&job.subject.key), &error.to_string());
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
