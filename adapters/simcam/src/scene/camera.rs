//! One virtual camera without its clock and encoder: a scene, its layers, the burned-in text.

use super::canvas::{I420, Rect};
use super::head::Position;
use super::paint::Paint;
use super::sprite::{Placing, Sprite};
use super::text::Caption;
use super::{CameraConfig, Cue, SceneKind, corridor, gate, lift, lobby, perimeter, strip};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Something a scene shows now; equal to before means nothing moved.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) sprite: Arc<Sprite>,
    pub(crate) at: Placing,
}

impl PartialEq for Layer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sprite, &other.sprite) && self.at == other.at
    }
}

/// A scene: a still background and what moves before it. Times are seconds since the camera started.
pub(crate) trait Scene: Send {
    /// The background, drawn once.
    fn background(&self, w: usize, h: usize) -> Paint;
    /// Takes a cue; false when it means nothing here.
    fn cue(&mut self, cue: &Cue, t: f32) -> bool;
    /// The layers at `t`, back to front.
    fn layers(&mut self, t: f32, out: &mut Vec<Layer>);
}

/// A thing that takes longer than a picture to draw: made on a thread of its own, shown when ready.
#[derive(Debug)]
pub(crate) struct Prop<T>(Arc<OnceLock<T>>);

impl<T: Send + Sync + 'static> Prop<T> {
    pub(crate) fn make(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Self {
        let cell = Arc::new(OnceLock::new());
        let filled = cell.clone();
        let spawned = std::thread::Builder::new().name(format!("prop-{name}")).spawn(move || {
            let _ = filled.set(work());
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "A virtual camera cannot draw its {name}: the system gives no more threads");
        }
        Self(cell)
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }
}

/// A virtual camera: give it cues and moments, take pictures.
pub struct Camera {
    config: CameraConfig,
    scene: Box<dyn Scene>,
    background: I420,
    /// Background and layers, without text.
    stage: I420,
    /// The part of it that the head looks at, where there is a head.
    view: I420,
    /// Where the head looked when that was taken; `None` when the stage has changed since.
    looked: Option<Position>,
    /// What is encoded.
    picture: I420,
    shown: Vec<Layer>,
    next: Vec<Layer>,
    caption: Caption,
    written: Vec<Rect>,
    blackout: bool,
    frozen: bool,
}

impl std::fmt::Debug for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Camera").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Camera {
    /// Draws the background; `faces` is where photographs of people are looked for.
    pub fn new(config: CameraConfig, faces: Option<PathBuf>) -> Self {
        let (w, h) = (config.width.max(400) & !1, config.height.max(200) & !1);
        let scene: Box<dyn Scene> = match config.kind {
            SceneKind::Gate => Box::new(gate::Gate::new(w, h, config.variant)),
            SceneKind::Lobby => Box::new(lobby::Lobby::new(w, h, faces)),
            SceneKind::Corridor => Box::new(corridor::Corridor::new(w, h)),
            SceneKind::LiftLobby => Box::new(lift::LiftLobby::new(w, h)),
            SceneKind::Perimeter => Box::new(perimeter::Perimeter::new(w, h)),
        };
        let background = I420::from_paint(&scene.background(w, h));
        Self {
            scene,
            stage: background.clone(),
            view: background.clone(),
            looked: None,
            picture: background.clone(),
            background,
            shown: Vec::new(),
            next: Vec::new(),
            caption: Caption::new(if h >= 600 { 24.0 } else { 15.0 }),
            written: Vec::new(),
            blackout: false,
            frozen: false,
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &CameraConfig {
        &self.config
    }

    /// True while the stream stalls.
    pub fn frozen(&self) -> bool {
        self.frozen
    }

    /// Takes a cue at `t` seconds; false when this scene has no use for it.
    pub fn cue(&mut self, cue: &Cue, t: f32) -> bool {
        match cue {
            Cue::Freeze(on) => self.frozen = *on,
            Cue::Blackout(on) => {
                if self.blackout && !on {
                    self.picture.clone_from(if self.config.head.is_some() { &self.view } else { &self.stage });
                }
                self.blackout = *on;
            }
            other => return self.scene.cue(other, t),
        }
        true
    }

    /// Draws the picture of `t` seconds, with `clock` (local time as text) and the moment burned in.
    pub fn picture(&mut self, t: f32, clock: &str, epoch_ms: u64) -> &I420 {
        let whole = Rect { x0: 0, y0: 0, x1: self.stage.w, y1: self.stage.h };
        self.next.clear();
        self.scene.layers(t, &mut self.next);
        if self.next != self.shown {
            self.redraw();
        }
        self.look();
        if self.blackout {
            self.written.clear();
            self.picture.grey(whole, 18);
        } else {
            let seen = if self.config.head.is_some() { &self.view } else { &self.stage };
            for r in self.written.drain(..) {
                self.picture.copy_rect(seen, r);
            }
        }
        self.write(clock, epoch_ms);
        &self.picture
    }

    /// Takes the part of the stage that the head looks at, when either has changed.
    fn look(&mut self) {
        let Some(head) = &self.config.head else { return };
        let at = head.position(Instant::now());
        if self.looked == Some(at) {
            return;
        }
        self.view.window(&self.stage, at.window(self.stage.w, self.stage.h));
        self.looked = Some(at);
        if !self.blackout {
            self.picture.clone_from(&self.view);
            self.written.clear();
        }
    }

    /// Restores what the old layers covered, draws the new ones.
    fn redraw(&mut self) {
        let (w, h) = (self.stage.w, self.stage.h);
        let changed = |a: &[Layer], b: &[Layer]| {
            let alone: Vec<_> =
                a.iter().filter(|l| !b.contains(l)).filter_map(|l| l.sprite.bounds(l.at, w, h)).collect();
            alone
        };
        let mut dirty = changed(&self.shown, &self.next);
        dirty.extend(changed(&self.next, &self.shown));
        // A layer under or over a changed area must be drawn again; whole layers are simplest, so their areas join.
        let mut grew = true;
        while grew {
            grew = false;
            for layer in &self.next {
                let Some(r) = layer.sprite.bounds(layer.at, w, h) else { continue };
                if !dirty.contains(&r) && dirty.iter().any(|d| overlap(*d, r)) {
                    dirty.push(r);
                    grew = true;
                }
            }
        }
        for r in &dirty {
            self.stage.copy_rect(&self.background, *r);
        }
        for layer in &self.next {
            if layer.sprite.bounds(layer.at, w, h).is_some_and(|r| dirty.contains(&r)) {
                layer.sprite.draw(&mut self.stage, layer.at);
            }
        }
        self.looked = None;
        if !self.blackout && self.config.head.is_none() {
            for r in &dirty {
                self.picture.copy_rect(&self.stage, *r);
            }
        }
        std::mem::swap(&mut self.shown, &mut self.next);
    }

    fn write(&mut self, clock: &str, epoch_ms: u64) {
        let (w, h) = (self.picture.w as f32, self.picture.h as f32);
        let margin = (h / 45.0).round();
        let name_width = self.caption.width(&self.config.name);
        let line = if h >= 600.0 { 33.0 } else { 21.0 };
        for (text, x, y) in [
            (clock, margin, margin * 0.6),
            (self.config.name.as_str(), w - name_width - margin, h - line - margin * 0.4),
        ] {
            let width = self.caption.width(text);
            self.caption.draw(&mut self.picture, text, x, y);
            self.written.extend(self.caption.area(x, y, width, &self.picture));
        }
        strip::draw(&mut self.picture, epoch_ms);
        let y0 = (self.picture.h - strip::BLOCK) & !1;
        self.written.push(Rect { x0: 0, y0, x1: (strip::BITS * strip::BLOCK).min(self.picture.w), y1: self.picture.h });
    }
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{BodyColour, PlateColour};
    use std::time::Duration;

    const CLOCK: &str = "2026-11-18 14:26:40.000";
    const MOMENT: u64 = 1_795_000_000_000;

    fn camera(kind: SceneKind) -> Camera {
        Camera::new(CameraConfig { width: 640, height: 360, ..CameraConfig::new("Test", kind) }, None)
    }

    /// Plays from `from` to `to` seconds in steps; returns the last picture.
    fn play(camera: &mut Camera, from: f32, to: f32) -> I420 {
        let steps = ((to - from) / 0.2).ceil() as usize;
        for i in 1..steps {
            camera.picture(from + (to - from) * i as f32 / steps as f32, CLOCK, MOMENT);
        }
        camera.picture(to, CLOCK, MOMENT).clone()
    }

    /// Waits until what a cue asked for has been painted, at standing time.
    fn appears(camera: &mut Camera, t: f32) {
        let layers = camera.shown.len();
        let deadline = Instant::now() + Duration::from_secs(60);
        while camera.shown.len() <= layers {
            assert!(Instant::now() < deadline, "nothing appeared");
            std::thread::yield_now();
            camera.picture(t, CLOCK, MOMENT);
        }
    }

    /// How many luma pixels differ clearly.
    fn difference(a: &I420, b: &I420) -> usize {
        a.y.iter().zip(&b.y).filter(|(a, b)| a.abs_diff(**b) > 20).count()
    }

    #[test]
    fn every_scene_is_drawn_and_a_quiet_one_changes_only_its_text() {
        for kind in [SceneKind::Gate, SceneKind::Lobby, SceneKind::Corridor, SceneKind::LiftLobby, SceneKind::Perimeter]
        {
            let mut camera = camera(kind);
            let first = camera.picture(0.1, CLOCK, MOMENT).clone();
            let second = camera.picture(0.2, "2026-11-18 14:26:40.083", MOMENT + 83).clone();
            let spread = first.y.iter().max().zip(first.y.iter().min()).map(|(a, b)| a - b);
            assert!(spread > Some(120), "{kind:?} is flat");
            let inside = |i: usize| i / 640 < 30 || i / 640 >= 350;
            assert!((0..640 * 360).all(|i| inside(i) || first.y[i] == second.y[i]), "{kind:?} moved");
            assert_eq!(strip::read(&second.y, 640, 360, MOMENT), Some(MOMENT + 83));
        }
    }

    #[test]
    fn a_car_comes_stops_and_backs_off_without_leaving_a_trace() {
        let mut camera = camera(SceneKind::Gate);
        let empty = play(&mut camera, 0.0, 1.0);
        let cue = Cue::CarArrives { plate: "京N50172".into(), colour: PlateColour::Blue, body: BodyColour::White };
        assert!(camera.cue(&cue, 1.0));
        appears(&mut camera, 1.0);
        let standing = play(&mut camera, 1.0, 8.0);
        assert_eq!(play(&mut camera, 8.0, 8.4), standing, "a stopped car stands still");
        assert!(difference(&standing, &empty) > 25_000);
        let blue = |p: &I420| (0..180 * 320).filter(|i| p.u[*i] > 160 && p.v[*i] < 120).count();
        assert!(blue(&standing) > blue(&empty) + 120, "the plate's blue is seen: {}", blue(&standing));
        assert!(camera.cue(&Cue::CarLeaves, 8.4), "the barrier is down: it backs off");
        assert_eq!(play(&mut camera, 8.4, 16.0), empty);
    }

    #[test]
    fn a_car_from_behind_the_camera_drives_away_and_is_gone() {
        let mut camera = camera(SceneKind::Gate);
        let empty = play(&mut camera, 0.0, 1.0);
        let cue = Cue::CarDeparts { plate: "京N50172".into(), colour: PlateColour::Blue, body: BodyColour::White };
        assert!(camera.cue(&cue, 1.0));
        let deadline = Instant::now() + Duration::from_secs(60);
        while camera.shown.len() < 2 {
            assert!(Instant::now() < deadline, "it is painted");
            std::thread::yield_now();
            camera.picture(1.0, CLOCK, MOMENT);
        }
        let (near, far) = (play(&mut camera, 1.0, 4.3), play(&mut camera, 4.3, 8.5));
        assert!(difference(&near, &empty) > 4 * difference(&far, &empty), "it becomes small");
        assert_eq!(play(&mut camera, 8.5, 10.2), empty);
    }

    #[test]
    fn the_barrier_rises_lets_the_car_in_and_falls() {
        let mut camera = camera(SceneKind::Gate);
        let empty = play(&mut camera, 0.0, 1.0);
        camera
            .cue(&Cue::CarArrives { plate: "京N50172".into(), colour: PlateColour::Blue, body: BodyColour::Navy }, 1.0);
        appears(&mut camera, 1.0);
        play(&mut camera, 1.0, 7.0);
        camera.cue(&Cue::Barrier { open: true }, 7.0);
        play(&mut camera, 7.0, 9.0);
        camera.cue(&Cue::CarLeaves, 9.0);
        let open = play(&mut camera, 9.0, 12.5);
        assert!(difference(&open, &empty) > 2_000, "the arm is up");
        camera.cue(&Cue::Barrier { open: false }, 12.5);
        assert_eq!(play(&mut camera, 12.5, 14.5), empty);
    }

    #[test]
    fn without_a_photograph_a_silhouette_comes_to_the_door_and_goes() {
        let mut camera = camera(SceneKind::Lobby);
        let empty = play(&mut camera, 0.0, 1.0);
        camera.cue(&Cue::PersonAtDoor { photo: "nobody".into(), stay: Duration::from_secs(60) }, 1.0);
        appears(&mut camera, 1.0);
        let there = play(&mut camera, 1.0, 4.0);
        assert!(difference(&there, &empty) > 15_000);
        assert_ne!(play(&mut camera, 4.0, 4.6), there, "nobody stands like a picture");
        camera.cue(&Cue::PersonGone, 4.6);
        assert_eq!(play(&mut camera, 4.6, 7.0), empty);
    }

    #[test]
    fn smoke_fills_the_corridor_and_clears() {
        let mut camera = camera(SceneKind::Corridor);
        let clear = play(&mut camera, 0.0, 1.0);
        camera.cue(&Cue::Smoke(true), 1.0);
        assert!(difference(&play(&mut camera, 1.0, 16.0), &clear) > 60_000);
        camera.cue(&Cue::Smoke(false), 16.0);
        assert_eq!(play(&mut camera, 16.0, 26.0), clear);
    }

    #[test]
    fn an_intruder_and_a_lift_come_and_go() {
        for (kind, cue, seen_at, gone_at) in
            [(SceneKind::Perimeter, Cue::Intruder, 6.0, 14.0), (SceneKind::LiftLobby, Cue::LiftArrives, 5.0, 18.0)]
        {
            let mut camera = camera(kind);
            let quiet = play(&mut camera, 0.0, 1.0);
            assert!(camera.cue(&cue, 1.0));
            assert!(difference(&play(&mut camera, 1.0, seen_at), &quiet) > 150, "{cue:?}");
            assert_eq!(play(&mut camera, seen_at, gone_at), quiet, "{cue:?}");
            assert!(!camera.cue(&Cue::CarLeaves, gone_at), "a cue of another scene is refused");
        }
    }

    #[test]
    fn a_camera_on_a_head_shows_a_part_of_its_scene_and_finds_it_again() {
        let head = Arc::new(crate::scene::Head::new());
        let still = Instant::now() + Duration::from_secs(3600);
        let config = CameraConfig { width: 640, height: 360, ..CameraConfig::new("Test", SceneKind::Lobby) };
        let mut camera = Camera::new(config.on(head.clone()), None);
        let home = camera.picture(0.1, CLOCK, MOMENT).clone();
        // Where the head is an hour from now is where it stays.
        head.turn(Position { pan: 0.8, tilt: -0.5, zoom: 0.5 }, Instant::now());
        head.position(still);
        let turned = camera.picture(0.2, CLOCK, MOMENT).clone();
        assert!(difference(&home, &turned) > 20_000, "{}", difference(&home, &turned));
        assert_eq!(strip::read(&turned.y, 640, 360, MOMENT), Some(MOMENT), "text stays where it is");
        camera.cue(&Cue::Blackout(true), 0.3);
        camera.picture(0.4, CLOCK, MOMENT);
        camera.cue(&Cue::Blackout(false), 0.5);
        assert_eq!(camera.picture(0.6, CLOCK, MOMENT), &turned);
        head.turn(Position::default(), still);
        head.position(still + Duration::from_secs(60));
        assert_eq!(camera.picture(0.7, CLOCK, MOMENT), &home);
    }

    #[test]
    fn a_covered_lens_is_dark_but_still_tells_the_time() {
        let mut camera = camera(SceneKind::Lobby);
        let before = play(&mut camera, 0.0, 1.0);
        camera.cue(&Cue::Blackout(true), 1.0);
        let dark = play(&mut camera, 1.0, 2.0);
        assert!(camera.written.len() < 10, "what is to be restored does not pile up in the dark");
        assert!(dark.y[100 * 640..300 * 640].iter().all(|y| *y < 25));
        assert_eq!(strip::read(&dark.y, 640, 360, MOMENT), Some(MOMENT));
        camera.cue(&Cue::Blackout(false), 2.0);
        assert_eq!(play(&mut camera, 2.0, 3.0), before);
    }
}
