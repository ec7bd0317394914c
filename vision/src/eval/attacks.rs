//! Presentation attacks on a door, made from photographs of the very person whom it lets in, against its own decision.
//!
//! ```text
//!  photograph ─▶ scene of 640 × 360, five a second, held as the attack holds it ─▶ the models, once a picture of its cycle
//!             ─▶ visits of a minute each, begun anywhere in the cycle ─▶ FaceWatch: passive alone, challenge alone, both
//! ```
//! What it cannot say: prints, screens and masks before a real lens, other people, other light. The attacks are drawn, and
//! so is the person who obeys; they show which kind of thing the decision withstands, not how often.

use super::EvalError;
use crate::face::{FaceOptions, FaceRead, Gallery, Template};
use crate::frame::Rgb;
use crate::pipeline::decide::FaceWatch;
use crate::pipeline::doorway::Prompt;
use crate::recognizer::{RecognizeError, Recognizer};
use gatehouse_core::id::PersonId;
use gatehouse_core::recognition::Seen;
use gatehouse_core::recognition::challenge::{Action, ChallengePolicy};
use gatehouse_core::recognition::face::FacePolicy;
use serde::Serialize;
use std::f32::consts::TAU;
use std::time::Duration;
use uuid::Uuid;

/// The scene, and how wide the face in it is: well above what a door wants.
const SCENE: (u32, u32) = (640, 360);
const FACE: f32 = 112.0;
const MIDDLE: [f32; 2] = [320.0, 170.0];
/// Pictures a second, in a visit, and in an attack's cycle.
const EVERY: Duration = Duration::from_millis(200);
const VISIT: u64 = 300;
const CYCLE: usize = 20;
/// Pictures for which a film shows each pose.
const FILMED: usize = 4;
/// Pictures after which whoever obeys does what is said.
const REACTS: usize = 3;

/// One person's photograph, and the same face turned and with closed eyes: all of one size.
#[derive(Debug, Clone)]
pub struct Performer {
    /// Whose.
    pub name: String,
    /// Into the camera: this one is enrolled.
    pub straight: Rgb,
    /// The head turned to the person's own left.
    pub turn_left: Rgb,
    /// The head turned to the person's own right.
    pub turn_right: Rgb,
    /// Both eyes closed.
    pub close_eyes: Rgb,
}

/// How one attack fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttackRow {
    /// Whose face was used.
    pub face: String,
    /// What was done with it.
    pub attack: &'static str,
    /// Whether it is the person's own way in, and so to pass.
    pub genuine: bool,
    /// Visits of a minute.
    pub visits: usize,
    /// Of those, visits that opened the door by passive liveness alone.
    pub passive: usize,
    /// By the challenge alone.
    pub challenge: usize,
    /// By both, as a door that asks decides.
    pub both: usize,
    /// Mean passive liveness of its pictures, 0–1.
    pub liveness: f32,
    /// Least and greatest measured turn of the head.
    pub turn: [f32; 2],
    /// Least measured share of open eyes.
    pub eyes_open: f32,
}

/// What all attacks came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttacksReport {
    /// A row an attack and face.
    pub rows: Vec<AttackRow>,
}

/// Plays every attack with every performer, `visits` times each.
pub fn attacks(recognizer: &Recognizer, performers: &[Performer], visits: usize) -> Result<AttacksReport, EvalError> {
    let mut rows = Vec::new();
    for performer in performers {
        rows.extend(Stage::new(recognizer, performer)?.play(visits)?);
    }
    Ok(AttacksReport { rows })
}

/// How a flat photograph is held; `at` 0–1 through the cycle. What is sampled for a point of the scene, relative to the
/// middle of the face.
#[derive(Debug, Clone, Copy)]
enum Held {
    Still,
    Sideways,
    Tilted,
    Turned,
    Zoomed,
    Bent,
}

impl Held {
    fn point(self, [x, y]: [f32; 2], at: f32) -> [f32; 2] {
        let wave = (TAU * at).sin();
        match self {
            Held::Still => [x, y],
            Held::Sideways => [x - 90.0 * wave, y],
            Held::Tilted => {
                let (sin, cos) = (25f32.to_radians() * wave).sin_cos();
                [x * cos + y * sin, y * cos - x * sin]
            }
            Held::Turned => {
                // About a vertical axis, seen from this many pixels away.
                const AWAY: f32 = 900.0;
                let (sin, cos) = (35f32.to_radians() * wave).sin_cos();
                let along = x / (cos - x * sin / AWAY);
                [along, y * (1.0 + along * sin / AWAY)]
            }
            Held::Zoomed => {
                let scale = 1.0 + 0.28 * wave;
                [x / scale, y / scale]
            }
            // A curl that runs across the sheet.
            Held::Bent => [x + 18.0 * (TAU * (x / 260.0 + at)).sin(), y],
        }
    }
}

/// One performer before one camera.
struct Stage<'a> {
    recognizer: &'a Recognizer,
    performer: &'a Performer,
    /// Middle of the face in the photograph, and pixels of it a pixel of the scene.
    face: [f32; 2],
    scale: f32,
    gallery: Gallery<PersonId>,
}

/// What a visit shows: pictures that go round, or what the screen's words make of them.
enum Shown {
    Cycle(Vec<Vec<FaceRead>>),
    /// Straight, left, right, closed.
    Obeys([Vec<FaceRead>; 4]),
}

impl<'a> Stage<'a> {
    fn new(recognizer: &'a Recognizer, performer: &'a Performer) -> Result<Self, EvalError> {
        let reader = recognizer.face_reader();
        let photo = performer.straight.clone().into_frame(Duration::ZERO);
        let mut gallery = Gallery::new(reader.model_id(), reader.dimension());
        let options = FaceOptions::default();
        let no_face = || EvalError::NoFace { name: performer.name.clone() };
        let found = reader.find(&photo, &options).map_err(RecognizeError::from)?;
        let found = found.first().copied().ok_or_else(no_face)?;
        let read = reader.read_at(&photo, &found, false).map_err(RecognizeError::from)?.ok_or_else(no_face)?;
        let template = Template::enrol(reader.model_id(), [&read.embedding]).map_err(|_| no_face())?;
        gallery.insert(person(), &template).map_err(|_| no_face())?;
        let [x1, y1, x2, y2] = found.bounds;
        Ok(Self {
            recognizer,
            performer,
            face: [(x1 + x2) / 2.0, (y1 + y2) / 2.0],
            scale: found.width() / FACE,
            gallery,
        })
    }

    fn play(&self, visits: usize) -> Result<Vec<AttackRow>, EvalError> {
        let p = self.performer;
        let held = |held: Held| -> Result<Shown, EvalError> {
            let pictures = (0..CYCLE).map(|n| {
                let at = n as f32 / CYCLE as f32;
                self.read(self.scene(&p.straight, |point| held.point(point, at)))
            });
            Ok(Shown::Cycle(pictures.collect::<Result<_, _>>()?))
        };
        let pose = |photo: &Rgb| self.read(self.scene(photo, |point| point));
        let poses = [pose(&p.straight)?, pose(&p.turn_left)?, pose(&p.turn_right)?, pose(&p.close_eyes)?];
        let screened = |photo: &Rgb| self.read(screen(self.scene(photo, |point| point)));
        let [straight, left, right, closed] =
            [screened(&p.straight)?, screened(&p.turn_left)?, screened(&p.turn_right)?, screened(&p.close_eyes)?];
        let film = [&left, &straight, &right, &straight, &closed, &straight];
        let film = film.into_iter().flat_map(|pose| std::iter::repeat_n(pose.clone(), FILMED)).collect();
        let covered = self.read(cover(self.scene(&p.straight, |point| point), &poses[0]))?;
        let strip = (0..CYCLE).map(|n| if n < CYCLE / 2 { poses[0].clone() } else { covered.clone() }).collect();
        let shown = [
            ("person who obeys (drawn)", Shown::Obeys(poses.clone())),
            ("photograph, still", held(Held::Still)?),
            ("photograph, moved sideways", held(Held::Sideways)?),
            ("photograph, tilted in its plane", held(Held::Tilted)?),
            ("photograph, turned about its axis", held(Held::Turned)?),
            ("photograph, nearer and farther", held(Held::Zoomed)?),
            ("photograph, bent", held(Held::Bent)?),
            ("photograph, its eyes covered now and then", Shown::Cycle(strip)),
            ("screen with the photograph", Shown::Cycle(vec![straight.clone()])),
            ("screen with a film of all actions, in a circle", Shown::Cycle(film)),
        ];
        Ok(shown.into_iter().map(|(attack, shown)| self.row(attack, &shown, visits)).collect())
    }

    fn row(&self, attack: &'static str, shown: &Shown, visits: usize) -> AttackRow {
        let passive = self.recognizer.face_reader().thresholds().policy();
        let blind = FacePolicy { liveness: f32::NEG_INFINITY, ..passive };
        let asked = Some(ChallengePolicy::default());
        let passes = |policy, challenge: Option<ChallengePolicy>| {
            (0..visits).filter(|n| self.visit(shown, *n, policy, challenge)).count()
        };
        let faces: Vec<&FaceRead> = match shown {
            Shown::Cycle(pictures) => pictures.iter().flatten().collect(),
            Shown::Obeys(poses) => poses.iter().flatten().collect(),
        };
        let turns = faces.iter().map(|face| face.quality.turn);
        let eyes = faces.iter().filter_map(|face| face.gaze).map(|gaze| gaze.eyes_open);
        AttackRow {
            face: self.performer.name.clone(),
            attack,
            genuine: matches!(shown, Shown::Obeys(_)),
            visits,
            passive: passes(passive, None),
            challenge: passes(blind, asked),
            both: passes(passive, asked),
            liveness: faces.iter().map(|face| face.liveness).sum::<f32>() / faces.len().max(1) as f32,
            turn: [turns.clone().fold(0.0, f32::min), turns.fold(0.0, f32::max)],
            eyes_open: eyes.fold(1.0, f32::min),
        }
    }

    /// Whether a minute before the camera opens the door; the n-th begins that much into the cycle.
    fn visit(&self, shown: &Shown, n: usize, policy: FacePolicy, challenge: Option<ChallengePolicy>) -> bool {
        let mut watch = FaceWatch::new(policy, challenge);
        let begin = Duration::from_secs(1_800_000_000);
        let mut heard = std::collections::VecDeque::from([None; REACTS]);
        (0..VISIT).any(|frame| {
            heard.push_back(watch.prompt());
            let said = heard.pop_front().flatten();
            let faces = match shown {
                Shown::Cycle(pictures) => pictures.get((n + frame as usize) % pictures.len().max(1)),
                Shown::Obeys(poses) => poses.get(pose_for(said)),
            };
            let faces = faces.map_or(&[][..], Vec::as_slice);
            let now = begin + EVERY * frame as u32;
            let decisions = watch.update(faces, &self.gallery, now);
            decisions.iter().any(|decision| matches!(decision.seen, Seen::Face { accepted: true, .. }))
        })
    }

    /// A photograph before a wall; `hold` says which point of it, in pixels of the scene from the face's middle, is seen where.
    fn scene(&self, photo: &Rgb, hold: impl Fn([f32; 2]) -> [f32; 2]) -> Rgb {
        let mut scene = Rgb::new(SCENE.0, SCENE.1);
        for (i, pixel) in scene.data_mut().chunks_exact_mut(3).enumerate() {
            let (x, y) = (i as u32 % SCENE.0, i as u32 / SCENE.0);
            let [u, v] = hold([x as f32 - MIDDLE[0], y as f32 - MIDDLE[1]]);
            let wall = 150 + (y / 6) as u8;
            let seen = sample(photo, self.face[0] + u * self.scale, self.face[1] + v * self.scale);
            pixel.copy_from_slice(&seen.unwrap_or([wall, wall, wall - 8]));
        }
        scene
    }

    fn read(&self, scene: Rgb) -> Result<Vec<FaceRead>, EvalError> {
        let options = FaceOptions { gaze: true, ..FaceOptions::default() };
        Ok(self.recognizer.faces(&scene.into_frame(Duration::ZERO), &options)?)
    }
}

fn person() -> PersonId {
    PersonId(Uuid::from_u128(1))
}

/// Which of straight, left, right, closed is asked for.
fn pose_for(said: Option<Prompt>) -> usize {
    match said {
        Some(Prompt::Ask { action: Action::TurnLeft, .. }) => 1,
        Some(Prompt::Ask { action: Action::TurnRight, .. }) => 2,
        Some(Prompt::Ask { action: Action::CloseEyes, .. }) => 3,
        Some(
            Prompt::Idle
            | Prompt::Straight { .. }
            | Prompt::Passed { .. }
            | Prompt::Failed { .. }
            | Prompt::Paused { .. },
        )
        | None => 0,
    }
}

/// Between four pixels; `None` outside.
fn sample(photo: &Rgb, x: f32, y: f32) -> Option<[u8; 3]> {
    let (w, h) = (photo.width(), photo.height());
    if !(x >= 0.0 && y >= 0.0 && x < (w - 1) as f32 && y < (h - 1) as f32) {
        return None;
    }
    let (x0, y0, fx, fy) = (x as u32, y as u32, x.fract(), y.fract());
    let [a, b, c, d] = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| photo.pixel(x0 + dx, y0 + dy));
    let between = |k: usize| {
        let mix = |p: &[u8], q: &[u8]| f32::from(p[k]) * (1.0 - fx) + f32::from(q[k]) * fx;
        (mix(a, b) * (1.0 - fy) + mix(c, d) * fy).round() as u8
    };
    Some([between(0), between(1), between(2)])
}

/// The scene as a screen shows it: bluish, with a frame around it, and the beat of its lines with the camera's.
fn screen(mut scene: Rgb) -> Rgb {
    for (i, pixel) in scene.data_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i as u32 % SCENE.0) as f32, (i as u32 / SCENE.0) as f32);
        let [u, v] = [(x - MIDDLE[0]).abs(), (y - MIDDLE[1]).abs()];
        if (175.0..190.0).contains(&u) && v < 165.0 || (150.0..165.0).contains(&v) && u < 190.0 {
            pixel.copy_from_slice(&[12, 12, 14]);
        } else if u < 175.0 && v < 150.0 {
            let beat = 1.0 + 0.10 * (TAU * (x + 0.35 * y) / 3.2).sin() * (TAU * y / 47.0).cos();
            for (value, tint) in pixel.iter_mut().zip([0.94, 1.0, 1.10]) {
                *value = (f32::from(*value) * tint * beat).min(255.0) as u8;
            }
        }
    }
    scene
}

/// A strip of paper in the colour of the cheeks over the eyes of the face that was read there.
fn cover(mut scene: Rgb, faces: &[FaceRead]) -> Rgb {
    let Some([left, right, nose, ..]) = faces.first().map(|face| face.landmarks) else { return scene };
    let apart = right[0] - left[0];
    let cheek = sample(&scene, left[0], (left[1] + nose[1]) / 2.0 + 0.1 * apart).unwrap_or([190, 150, 130]);
    for (i, pixel) in scene.data_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i as u32 % SCENE.0) as f32, (i as u32 / SCENE.0) as f32);
        let middle = left[1] + (right[1] - left[1]) * (x - left[0]) / apart;
        if x > left[0] - 0.4 * apart && x < right[0] + 0.4 * apart && (y - middle).abs() < 0.16 * apart {
            pixel.copy_from_slice(&cheek);
        }
    }
    scene
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_that_is_held_still_is_itself_and_every_hold_comes_back() {
        for held in [Held::Still, Held::Sideways, Held::Tilted, Held::Turned, Held::Zoomed] {
            let [x, y] = held.point([30.0, -20.0], 0.0);
            assert!((x - 30.0).abs() < 1e-3 && (y + 20.0).abs() < 1e-3, "{held:?}: {x}, {y}");
        }
        for at in [0.0, 0.3, 0.8] {
            let xs: Vec<f32> = (-150..150).map(|x| Held::Bent.point([x as f32, 0.0], at)[0]).collect();
            assert!(xs.windows(2).all(|pair| pair[1] > pair[0]), "paper does not fold over itself");
        }
    }

    #[test]
    fn who_obeys_does_what_was_said() {
        let until = jiff::Timestamp::UNIX_EPOCH;
        let ask = |action| Some(Prompt::Ask { action, step: 1, of: 3, until });
        assert_eq!(Action::ALL.map(|action| pose_for(ask(action))), [1, 2, 3]);
        assert_eq!((pose_for(None), pose_for(Some(Prompt::Straight { step: 1, of: 3, until }))), (0, 0));
    }
}
