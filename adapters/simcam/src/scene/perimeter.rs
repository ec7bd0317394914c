//! A wall at dusk with lamps; somebody may climb over and walk along it.

use super::Cue;
use super::camera::{Layer, Scene};
use super::lens::Lens;
use super::paint::{Paint, Path, Point, alpha, fbm, mix, noise, ramp, rgb, shade, smooth};
use super::scenery::{crown, finish};
use super::sprite::{Placing, Sprite};
use std::f32::consts::TAU;
use std::sync::Arc;

/// The wall runs from left to right and away: from (x, z) to (x, z).
const WALL: [[f32; 2]; 2] = [[-6.5, 6.0], [5.0, 17.0]];
const WALL_TALL: f32 = 2.6;
/// Steps drawn of one stride.
const FRAMES: usize = 12;
/// Seconds: over the wall, and the walk after it.
const CLIMB_S: f32 = 2.2;
const WALK_S: f32 = 9.0;
/// Sheet of the figure: pixels, and where its feet are.
const SHEET: [f32; 2] = [150.0, 230.0];
const TALL: f32 = 1.76;

pub(crate) struct Perimeter {
    w: f32,
    h: f32,
    lens: Lens,
    steps: Vec<Arc<Sprite>>,
    intruder: Option<f32>,
}

impl Perimeter {
    pub(crate) fn new(w: usize, h: usize) -> Self {
        let (wf, hf) = (w as f32, h as f32);
        let lens = Lens { focal: 1.15 * hf, centre: [wf * 0.5, hf * 0.36], height: 3.4, side: 1.0 };
        let steps = (0..FRAMES).map(|n| Arc::new(Sprite::new(&walker(n as f32 / FRAMES as f32)))).collect();
        Self { w: wf, h: hf, lens, steps, intruder: None }
    }

    fn walk(&mut self, t: f32) -> Option<Layer> {
        let since = t - self.intruder?;
        if since > CLIMB_S + WALK_S {
            self.intruder = None;
            return None;
        }
        // Down from the top of the wall, then along its foot and out on the left, towards the camera.
        let down = smooth(0.0, CLIMB_S, since);
        let along = ((since - CLIMB_S) / WALK_S).clamp(0.0, 1.0);
        let share = 0.62 - 0.66 * along;
        let (x, z) = on_wall(share);
        let off = 0.75 * smooth(0.4, 1.0, down);
        let (x, z) = (x + 0.6 * off, z - off - 1.0 * along);
        let step = (since * 1.05 * FRAMES as f32) as usize % FRAMES;
        let step = if along > 0.0 { step } else { FRAMES / 4 };
        let scale = self.lens.scale(z) * TALL / (SHEET[1] - 16.0);
        let [px, py] = self.lens.at(x, WALL_TALL * (1.0 - down * down), z);
        let mut at = Placing::scaled(px - SHEET[0] / 2.0 * scale, py - (SHEET[1] - 6.0) * scale, scale);
        at.opacity = smooth(0.0, 0.4, since);
        Some(Layer { sprite: self.steps[step].clone(), at })
    }
}

/// A point at the wall's foot: 0 its near end, 1 its far end.
fn on_wall(share: f32) -> (f32, f32) {
    let [[x0, z0], [x1, z1]] = WALL;
    (x0 + (x1 - x0) * share, z0 + (z1 - z0) * share)
}

impl Scene for Perimeter {
    fn background(&self, w: usize, h: usize) -> Paint {
        let lens = self.lens;
        let mut p = Paint::new(w, h);
        let horizon = lens.centre[1];
        p.fill(&Path::rect(0.0, 0.0, self.w, horizon + 4.0), |x, y| {
            let t = y / horizon;
            let sky =
                ramp(&[(0.0, rgb(0x18243f)), (0.5, rgb(0x3c4a6b)), (0.8, rgb(0x8a6a72)), (1.0, rgb(0xd08a5c))], t);
            let bank = smooth(0.5, 0.75, fbm(x / 130.0, y / 22.0, 4, 51)) * smooth(0.1, 0.7, t);
            mix(sky, rgb(0x5a4a5c), 0.6 * bank)
        });
        // Roofs and trees outside, dark before the sky.
        for i in 0..9 {
            let r = |s| noise(i as f32 * 2.9 + 0.5, 0.5, s);
            let (x, tall) = (i as f32 * 80.0 - 20.0, 18.0 + 44.0 * r(1));
            p.flat(&Path::rect(x, horizon - tall, 58.0, tall + 6.0), rgb(0x242a3b));
            for f in 0..(tall / 8.0) as i32 {
                for c in 0..5 {
                    if noise(c as f32 * 1.7 + 0.5, f as f32 * 1.3 + 0.5, i + 9) > 0.62 {
                        p.flat(
                            &Path::rect(x + 6.0 + c as f32 * 10.0, horizon - tall + 4.0 + f as f32 * 8.0, 4.0, 4.0),
                            rgb(0xe2b46a),
                        );
                    }
                }
            }
        }
        for i in 0..18 {
            let r = |s| noise(i as f32 * 4.1 + 0.5, 3.5, s);
            crown(
                &mut p,
                i as f32 * 38.0,
                horizon - 2.0,
                24.0 + 18.0 * r(1),
                14.0 + 12.0 * r(2),
                rgb(0x232c2c),
                60 + i,
            );
        }
        p.fill(&Path::rect(0.0, horizon + 2.0, self.w, self.h), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let grass = mix(rgb(0x28331f), rgb(0x43502c), fbm(gx * 6.0, gz * 3.0, 4, 55));
            let (pools, _) = lamps().iter().fold((0.0f32, 0), |(sum, n), (lx, lz)| {
                (sum + (-((gx - lx).powi(2) + (gz - lz + 1.0).powi(2)) / 7.0).exp(), n)
            });
            mix(shade(grass, 0.7 + 0.25 * smooth(20.0, 4.0, gz)), rgb(0xc7a765), (0.62 * pools).min(0.75))
        });
        // A path along the wall.
        let path = |share: f32, off: f32| {
            let (x, z) = on_wall(share);
            [x + 0.72 * off, 0.0, (z - 0.69 * off).max(0.9)]
        };
        p.fill(&lens.face(&[path(-0.3, 1.4), path(1.1, 1.4), path(1.1, 2.6), path(-0.3, 2.6)]), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let pools: f32 =
                lamps().iter().map(|(lx, lz)| (-((gx - lx).powi(2) + (gz - lz + 1.0).powi(2)) / 7.0).exp()).sum();
            mix(shade(rgb(0x6b6a6c), 0.62 + 0.3 * noise(gx * 7.0, gz * 7.0, 5)), rgb(0xf0cf8d), (0.6 * pools).min(0.7))
        });
        wall(&mut p, lens);
        for (x, z) in lamps() {
            lamp(&mut p, lens, x, z);
        }
        let [bx, by] = lens.at(3.2, 0.0, 6.4);
        for i in 0..5 {
            crown(&mut p, bx + i as f32 * 46.0, by - 8.0, 44.0, 30.0, rgb(0x2c3a22), 90 + i);
        }
        finish(&mut p, 0.035);
        p
    }

    fn cue(&mut self, cue: &Cue, t: f32) -> bool {
        let seen = matches!(cue, Cue::Intruder);
        if seen {
            self.intruder = Some(t);
        }
        seen
    }

    fn layers(&mut self, t: f32, out: &mut Vec<Layer>) {
        out.extend(self.walk(t));
    }
}

fn lamps() -> [(f32, f32); 3] {
    [0.16, 0.50, 0.84].map(on_wall)
}

fn wall(p: &mut Paint, lens: Lens) {
    let [[x0, z0], [x1, z1]] = WALL;
    let face = |from: f32, to: f32, low: f32, high: f32| {
        let ((xa, za), (xb, zb)) = (on_wall(from), on_wall(to));
        lens.face(&[[xa, low, za], [xb, low, zb], [xb, high, zb], [xa, high, za]])
    };
    let (near, far) = (-0.2, 1.35);
    let foot = face(near, far, -0.05, 0.12);
    p.fill(&face(near, far, 0.0, WALL_TALL), |x, y| {
        // Where on the wall this pixel is: the ray meets the wall's plane.
        let slope = (x - lens.centre[0]) / lens.focal;
        let share = (slope * z0 - x0) / ((x1 - x0) - slope * (z1 - z0));
        let (wx, wz) = on_wall(share);
        let high = lens.height - (y - lens.centre[1]) * wz / lens.focal;
        let along = share * 16.0;
        let course = (high / 0.24).floor();
        let brick = ((along / 0.5 + 0.5 * (course % 2.0)).floor(), course);
        let joint = (high / 0.24).fract() < 0.09 || (along / 0.5 + 0.5 * (course % 2.0)).fract() < 0.05;
        let tone = noise(brick.0 * 1.7 + 0.5, brick.1 * 2.3 + 0.5, 7);
        let stain = fbm(along * 0.6, high * 0.9, 3, 8);
        let base = if joint { rgb(0x4a4642) } else { mix(rgb(0x5c4740), rgb(0x7a5d50), tone) };
        let light: f32 = lamps()
            .iter()
            .map(|(lx, lz)| {
                let d = (wx - lx).hypot(wz - lz);
                (-(d * d) / 5.0).exp() * smooth(-0.6, 2.6, high)
            })
            .sum();
        mix(shade(base, 0.42 + 0.25 * stain), rgb(0xffc878), (0.55 * light).min(0.6))
    });
    p.flat(&face(near, far, WALL_TALL, WALL_TALL + 0.14), rgb(0x6e665f));
    p.flat(&face(near, far, WALL_TALL + 0.11, WALL_TALL + 0.14), rgb(0x8d7f70));
    p.soft(&foot, 5.0, alpha(rgb(0x000000), 0.5));
    // A fence of four wires on the coping.
    for i in 0..40 {
        let share = near + (far - near) * i as f32 / 39.0;
        let (x, z) = on_wall(share);
        let (a, b) = (lens.at(x, WALL_TALL + 0.14, z), lens.at(x, WALL_TALL + 0.72, z));
        p.flat(
            &Path::polygon(&[[a[0] - 0.8, a[1]], [a[0] + 0.8, a[1]], [b[0] + 0.8, b[1]], [b[0] - 0.8, b[1]]]),
            rgb(0x2a2d33),
        );
    }
    for i in 0..4 {
        let y = WALL_TALL + 0.26 + 0.14 * i as f32;
        p.flat(&face(near, far, y, y + 0.018), alpha(rgb(0x9aa0a8), 0.75));
    }
}

fn lamp(p: &mut Paint, lens: Lens, x: f32, z: f32) {
    let k = lens.scale(z);
    let (foot, head) = (lens.at(x, 0.0, z - 0.3), lens.at(x, 4.1, z - 0.3));
    let w = 0.05 * k;
    p.flat(
        &Path::polygon(&[
            [foot[0] - w, foot[1]],
            [foot[0] + w, foot[1]],
            [head[0] + w * 0.7, head[1]],
            [head[0] - w * 0.7, head[1]],
        ]),
        rgb(0x1d2026),
    );
    let bulb = Path::round_rect(head[0] - 0.22 * k, head[1] - 0.06 * k, 0.44 * k, 0.13 * k, 3.0);
    p.soft(&Path::ellipse(head[0], head[1] + 0.1 * k, 0.9 * k, 0.8 * k), 0.9 * k, alpha(rgb(0xffc166), 0.28));
    p.soft(&bulb, 0.25 * k, alpha(rgb(0xffe2ab), 0.9));
    p.flat(&bulb, rgb(0xfff3d6));
}

/// A dark figure walking to the left, `phase` 0–1 of a stride.
fn walker(phase: f32) -> Paint {
    let mut p = Paint::new(SHEET[0] as usize, SHEET[1] as usize);
    let (cx, hip) = (SHEET[0] / 2.0, 118.0);
    let swing = |shift: f32| ((phase + shift) * TAU).sin();
    let rise = 3.0 * ((phase * 2.0) * TAU).cos();
    let (cloth, rim) = (rgb(0x11141a), rgb(0x8a6a45));
    let limb = |p: &mut Paint, from: Point, angle: f32, bend: f32, upper: f32, lower: f32, thick: f32, c| {
        let knee = [from[0] - upper * angle.sin(), from[1] + upper * angle.cos()];
        let end = [knee[0] - lower * (angle - bend).sin(), knee[1] + lower * (angle - bend).cos()];
        for (a, b, ta, tb) in [(from, knee, thick, thick * 0.8), (knee, end, thick * 0.8, thick * 0.55)] {
            let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
            let n = dx.hypot(dy).max(0.1);
            let (nx, ny) = (-dy / n, dx / n);
            p.flat(
                &Path::polygon(&[
                    [a[0] + nx * ta, a[1] + ny * ta],
                    [b[0] + nx * tb, b[1] + ny * tb],
                    [b[0] - nx * tb, b[1] - ny * tb],
                    [a[0] - nx * ta, a[1] - ny * ta],
                ]),
                c,
            );
            p.flat(&Path::ellipse(a[0], a[1], ta, ta), c);
            p.flat(&Path::ellipse(b[0], b[1], tb, tb), c);
        }
        end
    };
    let shoulder = [cx - 5.0, 62.0 + rise];
    for (side, c) in [(0.5, shade(cloth, 0.8)), (0.0, cloth)] {
        let angle = 0.52 * swing(side);
        let bend = 0.28 + 0.42 * swing(side - 0.22).max(0.0);
        let foot = limb(&mut p, [cx, hip + rise], angle, -bend, 50.0, 50.0, 12.0, c);
        p.flat(&Path::ellipse(foot[0] - 7.0, foot[1] + 3.0, 13.0, 5.5), shade(c, 0.7));
        if side > 0.0 {
            limb(&mut p, shoulder, -0.5 * swing(side), 0.5, 34.0, 32.0, 8.0, c);
        }
    }
    let torso = Path::curve(&[
        [cx - 12.0, 50.0 + rise],
        [cx + 10.0, 50.0 + rise],
        [cx + 21.0, 66.0 + rise],
        [cx + 17.0, 98.0 + rise],
        [cx + 13.0, 128.0 + rise],
        [cx - 13.0, 128.0 + rise],
        [cx - 18.0, 96.0 + rise],
        [cx - 22.0, 64.0 + rise],
    ]);
    p.flat(&torso, cloth);
    // A hood, a bag on the back.
    p.flat(&Path::ellipse(cx - 9.0, 32.0 + rise, 15.0, 19.0), cloth);
    p.flat(&Path::ellipse(cx - 15.0, 34.0 + rise, 7.5, 11.0), rgb(0x3a2f29));
    p.flat(&Path::ellipse(cx + 19.0, 80.0 + rise, 11.0, 22.0), shade(cloth, 1.5));
    limb(&mut p, shoulder, 0.5 * -swing(0.0), 0.5, 34.0, 32.0, 8.5, shade(cloth, 1.3));
    // Lamp light on the head and the shoulder.
    p.soft(&Path::ellipse(cx - 6.0, 15.0 + rise, 9.0, 1.6), 3.0, alpha(rim, 0.8));
    p.soft(&Path::ellipse(cx + 4.0, 51.0 + rise, 13.0, 1.4), 3.0, alpha(rim, 0.7));
    p
}
