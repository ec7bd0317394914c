//! One virtual camera without its clock and encoder: a scene, its layers, the burned-in text.

use super::canvas::{I420, Rect};
use super::paint::Paint;
use super::sprite::{Placing, Sprite};
use super::text::Caption;
use super::{CameraConfig, Cue, SceneKind, corridor, gate, lift, lobby, perimeter, strip};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

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
            SceneKind::Gate => Box::new(gate::Gate::new(w, h)),
            SceneKind::Lobby => Box::new(lobby::Lobby::new(w, h, faces)),
            SceneKind::Corridor => Box::new(corridor::Corridor::new(w, h)),
            SceneKind::LiftLobby => Box::new(lift::LiftLobby::new(w, h)),
            SceneKind::Perimeter => Box::new(perimeter::Perimeter::new(w, h)),
        };
        let background = I420::from_paint(&scene.background(w, h));
        Self {
            scene,
            stage: background.clone(),
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
                    self.picture.clone_from(&self.stage);
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
        if self.blackout {
            self.picture.grey(whole, 18);
        } else {
            for r in self.written.drain(..) {
                self.picture.copy_rect(&self.stage, r);
            }
        }
        self.write(clock, epoch_ms);
        &self.picture
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
        if !self.blackout {
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
