//! A lobby: glass doors, a wall panel, and somebody who comes close to the camera.

use super::Cue;
use super::camera::{Layer, Prop, Scene};
use super::lens::Lens;
use super::paint::{Paint, Path, alpha, fbm, mix, noise, ramp, rgb, shade, smooth};
use super::person::{self, Person};
use super::pose::Pose;
use super::scenery::{crown, finish};
use super::sprite::{Placing, Sprite};
use std::path::PathBuf;
use std::sync::Arc;

/// Width of a face as a share of the picture's: about 108 of 640 pixels, well above the 80 a door wants.
const FACE: f32 = 0.168;
/// Seconds somebody takes to step before the camera, and away.
const STEP_S: f32 = 1.3;
const DOOR_S: f32 = 1.1;
/// The back wall, and the doorway in it.
const BACK: f32 = 6.0;
const DOORWAY: [f32; 2] = [-1.15, 1.05];

pub(crate) struct Lobby {
    w: f32,
    h: f32,
    lens: Lens,
    faces: Option<PathBuf>,
    visitor: Option<Visitor>,
    /// Left leaf, right leaf.
    leaves: [Arc<Sprite>; 2],
    lamps: [Arc<Sprite>; 2],
    door_to: f32,
    door_from: f32,
    door_since: f32,
}

struct Visitor {
    person: Prop<Person>,
    pose: Pose,
    /// Set when the picture is ready.
    since: Option<f32>,
    stay: f32,
    leaves_at: Option<f32>,
}

impl Lobby {
    pub(crate) fn new(w: usize, h: usize, faces: Option<PathBuf>) -> Self {
        let (wf, hf) = (w as f32, h as f32);
        let lens = Lens { focal: 1.28 * hf, centre: [wf * 0.5, hf * 0.40], height: 1.55, side: 1.0 };
        let leaves = [leaf(lens, true), leaf(lens, false)].map(|p| Arc::new(Sprite::new(&p)));
        let lamps = [rgb(0xff4a3d), rgb(0x38e070)].map(|c| {
            let mut p = Paint::new(24, 24);
            p.soft(&Path::ellipse(12.0, 12.0, 4.0, 4.0), 6.0, alpha(c, 0.7));
            p.flat(&Path::ellipse(12.0, 12.0, 3.4, 3.4), shade(c, 1.2));
            Arc::new(Sprite::new(&p))
        });
        Self {
            w: wf,
            h: hf,
            lens,
            faces,
            visitor: None,
            leaves,
            lamps,
            door_to: 0.0,
            door_from: 0.0,
            door_since: -10.0,
        }
    }

    fn door_at(&self, t: f32) -> f32 {
        self.door_from + (self.door_to - self.door_from) * smooth(0.0, DOOR_S, t - self.door_since)
    }

    fn visitor_layer(&mut self, t: f32) -> Option<Layer> {
        let visitor = self.visitor.as_mut()?;
        let person = visitor.person.get()?;
        let since = *visitor.since.get_or_insert(t);
        let leaves_at = *visitor.leaves_at.get_or_insert(since + STEP_S + visitor.stay);
        let (here, gone) = (smooth(0.0, STEP_S, t - since), smooth(0.0, STEP_S, t - leaves_at));
        if gone >= 1.0 {
            self.visitor = None;
            return None;
        }
        // Nobody stands like a picture on a wall: a little sway, a little to and fro.
        let sway = self.w * (0.0050 * (0.83 * t).sin() + 0.0024 * (2.1 * t).sin());
        let bob = self.h * 0.0035 * (1.7 * t + 0.5).sin();
        let near = 1.0 + 0.014 * (0.61 * t).sin() - 0.10 * (1.0 - here) - 0.06 * gone;
        let scale = FACE * self.w * near / person.face_width;
        let x = self.w * (0.47 + 0.72 * (1.0 - here) - 0.74 * gone) + sway;
        let y = self.h * 0.44 + bob;
        let at = Placing::scaled(x - person.face[0] * scale, y - person.face[1] * scale, scale);
        Some(Layer { sprite: person.sprite(visitor.pose).clone(), at })
    }
}

impl Scene for Lobby {
    fn background(&self, w: usize, h: usize) -> Paint {
        let lens = self.lens;
        let mut p = Paint::new(w, h);
        let (left, right, top) = (-3.3, 3.3, 2.95);
        // Ceiling with light bands, floor of polished stone, side walls.
        p.fill(&Path::rect(0.0, 0.0, self.w, self.h), |_, y| mix(rgb(0xe9e4da), rgb(0xd7cfc2), y / self.h));
        p.fill(&lens.face(&[[left, 0.0, 1.0], [right, 0.0, 1.0], [right, 0.0, BACK], [left, 0.0, BACK]]), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let vein = fbm(gx * 1.7 + 0.6 * fbm(gx, gz, 3, 5), gz * 1.7, 4, 6);
            let joint = ((gx + 20.0) / 0.8).fract() < 0.012 || ((gz + 20.0) / 0.8).fract() < 0.014;
            let stone = mix(rgb(0xb3a899), rgb(0xd3c9ba), vein);
            // The doors' light lies on the floor.
            let gleam = (-((gx + 0.05) / (0.5 + 0.16 * (BACK - gz))).powi(2)).exp() * smooth(1.5, BACK, gz);
            mix(shade(stone, if joint { 0.86 } else { 0.96 }), rgb(0xf3f6f6), 0.55 * gleam)
        });
        for (x, light) in [(left, 0.86), (right, 0.92)] {
            p.fill(&lens.side(x, 0.0, top, 1.0, BACK), |px, py| {
                let far = smooth(0.0, 1.0, 1.0 - (px - self.w / 2.0).abs() / (self.w / 2.0));
                let wood = fbm(px * 0.02, py * 0.35, 3, 14);
                shade(mix(rgb(0xb08d68), rgb(0xc9a883), wood), light + 0.12 * far)
            });
            for z in [1.6, 2.4, 3.2, 4.0, 4.8, 5.6] {
                p.flat(&lens.side(x, 0.0, top, z, z + 0.02), alpha(rgb(0x3a2a1c), 0.5));
            }
        }
        p.fill(&lens.front(left, right, 0.0, top, BACK), |x, y| {
            let stone = fbm(x * 0.02, y * 0.03, 4, 15);
            mix(rgb(0xcfc4b3), rgb(0xded5c7), stone)
        });
        for i in 0..5 {
            let y = 0.59 * i as f32 + 0.59;
            p.flat(&lens.front(left, right, y, y + 0.015, BACK), alpha(rgb(0x8d806f), 0.5));
        }
        for (x0, x1) in [(-2.0, -1.3), (-0.35, 0.35), (1.3, 2.0)] {
            let panel = lens.face(&[[x0, top, 2.0], [x1, top, 2.0], [x1, top, BACK - 0.4], [x0, top, BACK - 0.4]]);
            p.soft(&panel, 10.0, alpha(rgb(0xfffaf0), 0.5));
            p.flat(&panel, rgb(0xfffdf6));
        }
        outside(&mut p, lens);
        // The frame of the doorway.
        for (x0, x1, y0, y1) in [
            (DOORWAY[0] - 0.12, DOORWAY[0], 0.0, 2.42),
            (DOORWAY[1], DOORWAY[1] + 0.12, 0.0, 2.42),
            (DOORWAY[0] - 0.12, DOORWAY[1] + 0.12, 2.30, 2.42),
        ] {
            p.fill(&lens.front(x0, x1, y0, y1, BACK), |x, _| mix(rgb(0x4a4f55), rgb(0x6c737a), noise(x * 0.2, 0.5, 3)));
        }
        reader(&mut p, lens);
        plant(&mut p, lens, -2.35, 4.6);
        plant(&mut p, lens, 2.5, 4.9);
        // Letter boxes on the right.
        for row in 0..4 {
            for column in 0..4 {
                let (z0, y0) = (2.9 + column as f32 * 0.42, 0.85 + row as f32 * 0.30);
                p.fill(&lens.side(right - 0.02, y0, y0 + 0.27, z0, z0 + 0.38), |_, y| {
                    mix(rgb(0x9aa1a8), rgb(0xc3c9ce), (y / 90.0).fract())
                });
                p.flat(&lens.side(right - 0.03, y0 + 0.19, y0 + 0.21, z0 + 0.06, z0 + 0.32), rgb(0x30353a));
            }
        }
        // The camera looks at who stands near: the room behind is a little out of focus.
        p.blur(1);
        finish(&mut p, 0.012);
        p
    }

    fn cue(&mut self, cue: &Cue, t: f32) -> bool {
        match cue {
            Cue::PersonAtDoor { photo, stay } => {
                let (faces, name) = (self.faces.clone(), photo.clone());
                let person = Prop::make("person", move || {
                    person::load(faces.as_deref(), &name).unwrap_or_else(|error| {
                        tracing::warn!(%error, "A virtual door camera has no face to show");
                        person::silhouette()
                    })
                });
                self.visitor = Some(Visitor {
                    person,
                    pose: Pose::Straight,
                    since: None,
                    stay: stay.as_secs_f32(),
                    leaves_at: None,
                });
            }
            Cue::Pose(pose) => {
                if let Some(visitor) = &mut self.visitor {
                    visitor.pose = *pose;
                }
            }
            Cue::PersonGone => {
                if let Some(visitor) = &mut self.visitor {
                    visitor.leaves_at = Some(visitor.leaves_at.map_or(t, |at| at.min(t)));
                }
            }
            Cue::Door { open } => {
                self.door_from = self.door_at(t);
                self.door_to = if *open { 1.0 } else { 0.0 };
                self.door_since = t;
            }
            _ => return false,
        }
        true
    }

    fn layers(&mut self, t: f32, out: &mut Vec<Layer>) {
        let open = self.door_at(t);
        let middle = (DOORWAY[0] + DOORWAY[1]) / 2.0;
        let slide = 0.86 * (middle - DOORWAY[0]) * open;
        for (n, x) in [(0, DOORWAY[0] - slide), (1, middle + slide)] {
            let [px, py] = self.lens.at(x, 2.30, BACK);
            // Open leaves stand before the wall, as sliding doors do.
            out.push(Layer { sprite: self.leaves[n].clone(), at: Placing::at(px, py) });
        }
        let [x, y] = self.lens.at(DOORWAY[1] + 0.46, 1.43, BACK);
        out.push(Layer {
            sprite: self.lamps[usize::from(self.door_to > 0.5)].clone(),
            at: Placing::at(x - 12.0, y - 12.0),
        });
        out.extend(self.visitor_layer(t));
    }
}

fn outside(p: &mut Paint, lens: Lens) {
    let opening = lens.front(DOORWAY[0], DOORWAY[1], 0.0, 2.30, BACK);
    let [_, top] = lens.at(0.0, 2.30, BACK);
    let [_, foot] = lens.at(0.0, 0.0, BACK);
    p.fill(&opening, |x, y| {
        let t = (y - top) / (foot - top);
        let view = ramp(
            &[
                (0.0, rgb(0xd8e8f3)),
                (0.40, rgb(0xeef3f2)),
                (0.47, rgb(0xa9bf97)),
                (0.62, rgb(0x86a46c)),
                (0.70, rgb(0xc9c6bd)),
                (1.0, rgb(0xb4b0a6)),
            ],
            t,
        );
        let leaves = smooth(0.45, 0.75, fbm(x * 0.07, y * 0.07, 4, 61)) * smooth(0.66, 0.35, t) * smooth(0.02, 0.2, t);
        mix(view, rgb(0x7f9f66), 0.7 * leaves)
    });
}

/// One leaf of the sliding doors, on a sheet of its own.
fn leaf(lens: Lens, left: bool) -> Paint {
    let k = lens.scale(BACK);
    let (w, h) = ((DOORWAY[1] - DOORWAY[0]) / 2.0 * k, 2.30 * k);
    let mut p = Paint::new(w.ceil() as usize, h.ceil() as usize);
    p.fill(&Path::rect(0.0, 0.0, w, h), |x, y| {
        let gleam = smooth(0.35, 0.5, ((x + y * 0.35) / w).fract()) * smooth(0.8, 0.6, ((x + y * 0.35) / w).fract());
        alpha(mix(rgb(0x8fb0bd), rgb(0xe8f3f6), 0.6 * gleam), 0.34)
    });
    let frame = 0.05 * k;
    for (x, y, fw, fh) in
        [(0.0, 0.0, w, frame), (0.0, h - 1.6 * frame, w, 1.6 * frame), (0.0, 0.0, frame, h), (w - frame, 0.0, frame, h)]
    {
        p.flat(&Path::rect(x, y, fw, fh), rgb(0x50565d));
    }
    p.flat(&Path::rect(0.0, h * 0.50, w, 2.0), alpha(rgb(0xffffff), 0.55));
    p.flat(&Path::rect(0.0, h * 0.53, w, 2.0), alpha(rgb(0xffffff), 0.55));
    let x = if left { w - frame * 2.6 } else { frame * 1.8 };
    p.flat(&Path::round_rect(x, h * 0.42, frame * 0.8, h * 0.22, 2.0), rgb(0xd3d8dc));
    p
}

fn reader(p: &mut Paint, lens: Lens) {
    let x = DOORWAY[1] + 0.34;
    let body = lens.front(x, x + 0.24, 1.02, 1.50, BACK);
    p.soft(&body.map(|q| [q[0] + 2.0, q[1] + 3.0]), 5.0, alpha(rgb(0x000000), 0.4));
    p.flat(&body, rgb(0x22272d));
    p.fill(&lens.front(x + 0.03, x + 0.21, 1.22, 1.38, BACK), |_, y| {
        mix(rgb(0x1d4f86), rgb(0x3a83c9), (y / 40.0).fract())
    });
    for i in 0..9 {
        let (cx, cy) = (x + 0.06 + (i % 3) as f32 * 0.06, 1.17 - (i / 3) as f32 * 0.045);
        let [px, py] = lens.at(cx, cy, BACK);
        p.flat(&Path::ellipse(px, py, 1.4, 1.4), rgb(0x9aa3ab));
    }
}

fn plant(p: &mut Paint, lens: Lens, x: f32, z: f32) {
    let k = lens.scale(z);
    let [px, foot] = lens.at(x, 0.0, z);
    p.soft(&Path::ellipse(px, foot, 0.34 * k, 0.07 * k), 8.0, alpha(rgb(0x000000), 0.4));
    let pot = Path::polygon(&[
        [px - 0.20 * k, foot - 0.5 * k],
        [px + 0.20 * k, foot - 0.5 * k],
        [px + 0.15 * k, foot],
        [px - 0.15 * k, foot],
    ]);
    p.fill(&pot, |x, _| mix(rgb(0xf1efec), rgb(0xa9a49c), (x - px) / (0.5 * k) + 0.5));
    crown(p, px, foot - 0.98 * k, 0.34 * k, 0.52 * k, rgb(0x4f7d3d), 90);
}
