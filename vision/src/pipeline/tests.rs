//! The pipeline on made-up pictures and readers: what wakes it, what it decides, what it drops.

use super::cars::PlateSeen;
use super::pool::Readers;
use super::*;
use crate::face::FaceRead;
use crate::frame::YuvRange;
use crate::hub::StreamConfig;
use crate::plate::PlateRead;
use crate::recognizer::RecognizeError;
use crate::recorder::fmp4::tests::config;
use bytes::Bytes;
use gatehouse_core::id::{DeviceKey, PersonId};
use gatehouse_core::recognition::plate::{PlateColour, PlateKind};
use gatehouse_core::recognition::travel::Moves;
use std::sync::mpsc;
use std::time::Instant;

const T0: i64 = 1_773_483_300_000_000;

/// Decodes what a test wrote into the unit: whether a square is in the picture, and where.
struct Scripted(Arc<AtomicU64>);

fn unit(config: &Arc<StreamConfig>, frame: i64, key: bool, bytes: usize, square: Option<u8>) -> Arc<AccessUnit> {
    let mut data = vec![0; bytes.max(2)];
    data[0] = square.unwrap_or(255);
    Arc::new(AccessUnit {
        data: Bytes::from(data),
        key,
        captured: Timestamp::from_microsecond(T0 + frame * 40_000).unwrap(),
        pts: frame * 3600,
        received: Instant::now(),
        config: config.clone(),
    })
}

impl Decoder for Scripted {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError> {
        if unit.data[0] == 254 {
            return Err(DecodeError::Framing);
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        let (width, height) = (320_usize, 180_usize);
        let mut y = vec![90_u8; width * height];
        if unit.data[0] != 255 {
            for row in 60..120 {
                y[row * width + usize::from(unit.data[0])..][..60].fill(200);
            }
        }
        let chroma = vec![128; width * height / 4];
        let strides = [width, width / 2, width / 2];
        let size = (width as u32, height as u32);
        Ok(Some(Frame::from_i420(size, [&y, &chroma, &chroma], strides, YuvRange::Limited, time_of(unit))?))
    }
}

/// Plays a scene: what happened at which frame.
struct Scene {
    eye: Eye,
    decoded: Arc<AtomicU64>,
    config: Arc<StreamConfig>,
    motion: Vec<(i64, bool)>,
    looks: Vec<i64>,
    failed: usize,
}

impl Scene {
    fn new() -> Self {
        let decoded = Arc::new(AtomicU64::new(0));
        let eye = Eye::new(Box::new(Scripted(decoded.clone())));
        Self { eye, decoded, config: Arc::new(config()), motion: vec![], looks: vec![], failed: 0 }
    }

    /// Plays frames with a key frame every 50 (two seconds); `scene` gives size and square.
    fn play(
        &mut self,
        frames: std::ops::Range<i64>,
        occupied: bool,
        scene: impl Fn(i64) -> (usize, Option<u8>),
    ) -> u64 {
        let before = self.decoded.load(Ordering::Relaxed);
        for frame in frames {
            let (bytes, square) = scene(frame);
            let key = frame % 50 == 0;
            let unit = unit(&self.config, frame, key, if key { 9000 } else { bytes }, square);
            for out in self.eye.take(unit, Duration::ZERO, occupied) {
                let index = |at: Timestamp| (at.as_microsecond() - T0) / 40_000;
                match out {
                    Out::Motion { active, at } => self.motion.push((index(at), active)),
                    Out::Look { captured, .. } => self.looks.push(index(captured)),
                    Out::Failed(_) => self.failed += 1,
                    Out::Decoded { .. } | Out::View { .. } => {}
                }
            }
        }
        self.decoded.load(Ordering::Relaxed) - before
    }
}

fn still(_: i64) -> (usize, Option<u8>) {
    (500, None)
}

#[test]
fn a_quiet_camera_decodes_key_frames_only() {
    let mut scene = Scene::new();
    scene.play(0..200, false, still);
    assert!(!scene.looks.is_empty(), "at the start somebody may be there already");
    let looks = scene.looks.len();
    assert_eq!(scene.play(200..1200, false, still), 20);
    assert_eq!((scene.looks.len(), scene.motion.len()), (looks, 0));
    assert_eq!(scene.play(1200..1400, true, still), 4);
    assert_eq!(scene.looks.len(), looks + 4, "what is in view keeps its track");
}

#[test]
fn motion_between_key_frames_wakes_at_once_by_its_size() {
    let mut scene = Scene::new();
    scene.play(0..510, false, still);
    let looks = scene.looks.len();
    let cross = |frame: i64| match frame {
        510..=560 => (5000, Some((frame - 510) as u8 * 4)),
        _ => (500, None),
    };
    let decoded = scene.play(510..900, false, cross);
    let (began, active) = scene.motion[0];
    assert!(active && began <= 512, "{began}: key frame at 550 would be too late");
    let first = scene.looks[looks];
    assert!(first <= 512, "{first}");
    assert!((8..=40).contains(&(scene.looks.len() - looks)), "{:?}", &scene.looks[looks..]);
    assert!(scene.looks.windows(2).all(|pair| pair[1] - pair[0] >= 5), "at most 5.5 a second");
    let (ended, active) = scene.motion[1];
    assert!(!active && (620..760).contains(&ended), "{ended}");
    assert!(decoded < 300, "{decoded}: asleep again");
}

#[test]
fn a_trigger_looks_at_full_rate_for_seconds() {
    let mut scene = Scene::new();
    scene.play(0..710, false, still);
    let looks = scene.looks.len();
    scene.eye.trigger(Duration::from_micros((T0 + 710 * 40_000) as u64));
    let decoded = scene.play(710..1000, false, still);
    assert_eq!(scene.looks[looks], 710);
    assert!((18..=23).contains(&(scene.looks.len() - looks)), "{:?}", &scene.looks[looks..]);
    assert!((110..150).contains(&decoded), "{decoded}");
}

#[test]
fn a_broken_picture_costs_the_rest_of_its_group() {
    let mut scene = Scene::new();
    scene.play(0..40, false, |frame| (500, (frame == 10).then_some(254)));
    assert_eq!((scene.failed, scene.decoded.load(Ordering::Relaxed)), (1, 10));
    assert_eq!(scene.play(40..60, false, still), 10, "again from the key frame at 50");
}

/// Decodes a unit to a picture as wide as its first byte says, in sixteens.
struct Sized;

impl Decoder for Sized {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError> {
        let (width, height) = (16 * usize::from(unit.data[0]), 9 * usize::from(unit.data[0]));
        let (y, chroma) = (vec![90_u8; width * height], vec![128_u8; width.div_ceil(2) * height.div_ceil(2)]);
        let strides = [width, width.div_ceil(2), width.div_ceil(2)];
        let size = (width as u32, height as u32);
        Ok(Some(Frame::from_i420(size, [&y, &chroma, &chroma], strides, YuvRange::Limited, time_of(unit))?))
    }
}

#[test]
fn a_stream_that_changes_its_size_goes_on() {
    let mut eye = Eye::new(Box::new(Sized));
    eye.view = Some(ViewWatch::new(ViewOptions::default()));
    let config = Arc::new(config());
    let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Any);
    let (mut sizes, mut failed) = (Vec::new(), 0);
    for (n, size) in [40_u8, 40, 120, 1, 0, 80, 255].into_iter().enumerate() {
        let unit = unit(&config, n as i64 * 50, true, 9, Some(size));
        for out in eye.take(unit, Duration::ZERO, true) {
            match out {
                Out::Decoded { frame, .. } => {
                    let far = [4000.0, 2000.0, 4150.0, 2050.0];
                    let _ = watch.look(&[PlateSeen { bounds: far, score: 0.9, read: None }], &frame);
                    sizes.push(frame.width());
                }
                Out::Failed(DecodeError::Frame(_)) => failed += 1,
                Out::Failed(error) => panic!("{error}"),
                Out::Motion { .. } | Out::Look { .. } | Out::View { .. } => {}
            }
        }
    }
    assert_eq!((sizes, failed), (vec![640, 640, 1920, 16, 1280, 4080], 1), "a picture of no size is an error");
}

#[test]
fn the_surest_frame_of_a_car_is_the_one_kept() {
    let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Any);
    let config = Arc::new(config());
    let mut decoder = Scripted(Arc::default());
    let mut decisions = Vec::new();
    for (n, confidence) in [0.72_f32, 0.85, 0.71].into_iter().enumerate() {
        let frame = decoder.decode(&unit(&config, n as i64 * 5, true, 9, None)).unwrap().unwrap();
        let bounds = [100.0 + n as f32, 60.0, 160.0, 80.0];
        let read = PlateRead {
            text: "粤B12345".into(),
            confidence,
            colour: PlateColour::Blue,
            kind: PlateKind::Single,
            corners: [[0.0; 2]; 4],
            bounds,
            score: 0.9,
            second: None,
        };
        decisions.extend(watch.look(&[PlateSeen { bounds, score: 0.9, read: Some(read) }], &frame));
    }
    let [decision] = &decisions[..] else { panic!("{decisions:?}") };
    let (frame, bounds) = decision.better.as_ref().expect("the second read was the surest");
    assert_eq!((frame.pts().as_micros() as i64 - T0) / 40_000, 5);
    assert_eq!(bounds[0], 101.0);
}

/// Readers that find one plate and take their time.
struct Slow(Mutex<mpsc::Receiver<()>>);

impl Readers for Slow {
    fn plates(&self, _: &Frame, _: &Sight) -> Result<Vec<PlateSeen>, RecognizeError> {
        let _ = lock(&self.0).recv();
        let bounds = [100.0, 60.0, 160.0, 80.0];
        let read = PlateRead {
            text: "粤B12345".into(),
            confidence: 0.97,
            colour: PlateColour::Blue,
            kind: PlateKind::Single,
            corners: [[0.0; 2]; 4],
            bounds,
            score: 0.9,
            second: None,
        };
        Ok(vec![PlateSeen { bounds, score: 0.9, read: Some(read) }])
    }

    fn faces(&self, _: &Frame, _: &Sight, _: bool) -> Result<Vec<FaceRead>, RecognizeError> {
        panic!("no camera looks for faces here")
    }
}

#[test]
fn the_newest_frame_wins_and_a_decision_has_its_picture() {
    let dir = tempfile::tempdir().unwrap();
    let (go, wait) = mpsc::channel();
    let (seen, observed) = mpsc::channel();
    let readers: Arc<dyn Readers> = Arc::new(Slow(Mutex::new(wait)));
    let sink: Sink = Arc::new(move |observation| seen.send(observation).unwrap());
    let on_problem: OnProblem = Arc::new(|code, _, text| panic!("{code} {text}"));
    let load: pool::Loader = Box::new(move || Ok(readers.clone()));
    let pool = Pool::start(2, dir.path().to_owned(), PlatePolicy::default(), Some(load), sink, on_problem).unwrap();
    let key: DeviceKey = "gate-1.camera".parse().unwrap();
    let plates = Some(Mutex::new(PlateWatch::new(PlatePolicy::default(), Moves::Any)));
    let subject = Arc::new(Subject { id: key.id(), key, sight: Sight::default(), plates, faces: None });
    let mut decoder = Scripted(Arc::default());
    let config = Arc::new(config());
    for i in 0..10 {
        let unit = unit(&config, i, true, 9, Some(100));
        let frame = decoder.decode(&unit).unwrap().unwrap();
        pool.offer(Job { subject: subject.clone(), frame, captured: unit.captured, received: unit.received });
    }
    for _ in 0..10 {
        go.send(()).unwrap();
    }
    let Observation { camera, observed_at, picture, seen, .. } = observed.recv().unwrap();
    assert_eq!(camera, subject.id);
    assert!(matches!(seen, Seen::Plate { text, votes: 1, .. } if text == "粤B12345"));
    let stored = picture::path(dir.path(), picture.unwrap(), observed_at);
    assert!(Frame::from_image_bytes(&std::fs::read(stored).unwrap()).is_ok());
    // One was being looked at or waited, the newest waited: the rest gave way.
    assert!(pool.dropped.load(Ordering::Relaxed) >= 8);
    pool.stop();
}

#[test]
fn of_a_strangers_face_no_picture_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (told, observed) = mpsc::channel();
    let sink: Sink = Arc::new(move |observation| told.send(observation).unwrap());
    let on_problem: OnProblem = Arc::new(|code, _, text| panic!("{code} {text}"));
    let pool = Pool::start(1, dir.path().to_owned(), PlatePolicy::default(), None, sink, on_problem).unwrap();
    let key: DeviceKey = "door-lobby.camera".parse().unwrap();
    let subject = Arc::new(Subject { id: key.id(), key, sight: Sight::default(), plates: None, faces: None });
    let unit = unit(&Arc::new(config()), 0, true, 9, Some(100));
    let frame = Scripted(Arc::default()).decode(&unit).unwrap().unwrap();
    let job = Job { subject, frame, captured: unit.captured, received: unit.received };
    let kept = |candidate| {
        let seen = Seen::Face { candidate, accepted: false, width_px: 100, liveness: 0.9, agreeing: 0 };
        pool.report(&job, decide::Decision { seen, bounds: None, better: None });
        observed.recv().unwrap().picture
    };
    assert_eq!(kept(None), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing lies on the disk");
    assert!(kept(Some((PersonId(uuid::Uuid::from_u128(1)), 0.45))).is_some(), "the guard decides on a likeness");
    pool.stop();
}
