//! A corridor on an upper floor; smoke may come out of a door and fill it.

use super::Cue;
use super::camera::{Layer, Scene};
use super::lens::Lens;
use super::paint::{Paint, Path, alpha, fbm, mix, noise, ramp, rgb, shade, smooth};
use super::scenery::finish;
use super::sprite::{Placing, Sprite};
use std::sync::Arc;

const HALF: f32 = 1.25;
const TOP: f32 = 2.6;
const END: f32 = 15.0;
/// The door the smoke comes from: right wall, metres ahead.
const SOURCE_Z: f32 = 5.6;
/// Seconds until the corridor is full of smoke, and until it is clear again.
const FILL_S: f32 = 14.0;
const CLEAR_S: f32 = 8.0;
const PUFFS: usize = 20;
const PUFF_S: f32 = 7.0;

pub(crate) struct Corridor {
    w: f32,
    h: f32,
    lens: Lens,
    puff: Arc<Sprite>,
    haze: Arc<Sprite>,
    /// When smoke began or ended, and how much there was then.
    smoking: bool,
    since: f32,
    from: f32,
}

impl Corridor {
    pub(crate) fn new(w: usize, h: usize) -> Self {
        let (wf, hf) = (w as f32, h as f32);
        let lens = Lens { focal: 0.95 * hf, centre: [wf * 0.47, hf * 0.36], height: 2.1, side: 1.0 };
        Self {
            w: wf,
            h: hf,
            lens,
            puff: Arc::new(Sprite::new(&puff())),
            haze: Arc::new(Sprite::new(&haze())),
            smoking: false,
            since: -1e3,
            from: 0.0,
        }
    }

    /// How much smoke there is, 0–1.
    fn density(&self, t: f32) -> f32 {
        let s = t - self.since;
        if self.smoking {
            self.from + (1.0 - self.from) * smooth(0.0, FILL_S, s)
        } else {
            self.from * (1.0 - smooth(0.0, CLEAR_S, s))
        }
    }
}

impl Scene for Corridor {
    fn background(&self, w: usize, h: usize) -> Paint {
        let lens = self.lens;
        let mut p = Paint::new(w, h);
        p.wash(|_, _| rgb(0xbdb8ae));
        let along = |y: f32| [[-HALF, y, 0.8], [HALF, y, 0.8], [HALF, y, END], [-HALF, y, END]];
        let dim = |z: f32| 1.0 - 0.025 * z;
        p.fill(&lens.face(&along(TOP)), |x, y| {
            let z = lens.focal * (TOP - lens.height) / (lens.centre[1] - y).max(0.5);
            let tile =
                (((x - lens.centre[0]) * z / lens.focal + 20.0) / 0.6).fract() < 0.03 || (z / 0.6).fract() < 0.03;
            shade(rgb(0xe8e6e1), dim(z) * if tile { 0.9 } else { 1.0 })
        });
        p.fill(&lens.face(&along(0.0)), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let weave = noise(gx * 90.0, gz * 60.0, 3);
            let border = smooth(0.98, 1.02, gx.abs());
            let motif = smooth(0.46, 0.54, fbm(gx * 3.0, gz * 3.0, 2, 7));
            let carpet = mix(mix(rgb(0x55606f), rgb(0x64707f), motif), rgb(0x3d4652), border);
            // Lamps of the ceiling lie as pools on the floor.
            let pool = (-((gz - 2.4) % 3.0 - 1.5).powi(2) / 0.5).exp() * (-gx * gx / 0.8).exp();
            shade(carpet, (0.86 + 0.2 * weave + 0.22 * pool) * dim(gz))
        });
        for side in [-1.0f32, 1.0] {
            let x = side * HALF;
            p.fill(&lens.side(x, 0.0, TOP, 0.8, END), |px, py| {
                let z = (lens.focal * HALF / (px - lens.centre[0]).abs().max(0.5)).min(END);
                let y = lens.height - (py - lens.centre[1]) * z / lens.focal;
                let wall =
                    if y < 1.0 { mix(rgb(0xa9967c), rgb(0xb8a68c), noise(z * 6.0, y * 1.5, 9)) } else { rgb(0xe2dccf) };
                // Lamps throw a scallop of light down the wall.
                let scallop = (-((z - 2.4).rem_euclid(3.0) - 1.5).powi(2) / 0.4).exp() * smooth(0.6, 2.5, y);
                shade(wall, (if side < 0.0 { 0.84 } else { 0.92 } + 0.14 * scallop) * dim(z))
            });
            p.flat(&lens.side(x, 0.98, 1.04, 0.8, END), alpha(rgb(0x6b5b46), 0.9));
            p.flat(&lens.side(x, 0.0, 0.12, 0.8, END), rgb(0x5d5142));
            for (n, z) in [2.2, 5.2, 8.2, 11.2].into_iter().enumerate() {
                door(&mut p, lens, x, z + if side < 0.0 { 0.9 } else { 0.0 }, n);
            }
        }
        end_wall(&mut p, lens);
        for i in 0..5 {
            let z = 2.4 + 3.0 * i as f32;
            let lamp =
                lens.face(&[[-0.28, TOP, z - 0.5], [0.28, TOP, z - 0.5], [0.28, TOP, z + 0.5], [-0.28, TOP, z + 0.5]]);
            p.soft(&lamp, 12.0, alpha(rgb(0xfffaf0), 0.55));
            p.flat(&lamp, rgb(0xfffdf8));
        }
        // A smoke detector, a sign, an extinguisher.
        let [dx, dy] = lens.at(0.55, TOP, 3.9);
        p.flat(&Path::ellipse(dx, dy + 1.0, 9.0, 3.4), rgb(0xf6f5f2));
        p.flat(&Path::ellipse(dx, dy + 2.0, 5.0, 1.9), rgb(0xc9c7c2));
        p.flat(&Path::ellipse(dx + 2.0, dy + 2.2, 1.0, 0.8), rgb(0xd53a2f));
        p.flat(&lens.side(-HALF, 0.35, 0.95, 4.25, 4.55), rgb(0xb4251f));
        p.flat(&lens.side(-HALF, 0.42, 0.88, 4.30, 4.50), rgb(0x7a1713));
        exit_sign(&mut p, lens);
        finish(&mut p, 0.014);
        p
    }

    fn cue(&mut self, cue: &Cue, t: f32) -> bool {
        let Cue::Smoke(on) = cue else { return false };
        self.from = self.density(t);
        self.smoking = *on;
        self.since = t;
        true
    }

    fn layers(&mut self, t: f32, out: &mut Vec<Layer>) {
        let density = self.density(t);
        if density < 0.01 {
            return;
        }
        for n in 0..PUFFS {
            // Each puff lives PUFF_S seconds, over and over; who is born before the smoke is not shown.
            let phase = t / PUFF_S + n as f32 / PUFFS as f32;
            let (life, round) = (phase.fract(), phase.floor());
            let born = t - life * PUFF_S;
            if self.smoking && born < self.since && self.from < 0.05 {
                continue;
            }
            let r = |seed: u32| noise(n as f32 * 3.7 + 0.5, round * 1.9 + 0.5, seed);
            // Out of the door, up to the ceiling, then along it towards the camera.
            let z = SOURCE_Z + (3.0 - 7.0 * r(1)) * smooth(0.15, 1.0, life);
            let x = HALF - 0.1 - 2.0 * smooth(0.0, 0.6, life) * (0.3 + 0.7 * r(2));
            let y = 0.5 + 1.9 * smooth(0.0, 0.5, life) * (0.6 + 0.4 * r(3)) - 0.5 * life * r(4);
            let size = (0.7 + 2.3 * life) * self.lens.scale(z.max(1.5)) / 256.0 * (0.7 + 0.5 * r(5));
            let [px, py] = self.lens.at(x, y, z.max(1.5));
            let mut at = Placing::scaled(px - 128.0 * size, py - 128.0 * size, size);
            at.opacity = density.sqrt() * smooth(0.0, 0.12, life) * smooth(1.0, 0.55, life);
            out.push(Layer { sprite: self.puff.clone(), at });
        }
        let mut at = Placing::at(0.0, 0.0);
        (at.sx, at.sy) = (self.w / 64.0, self.h / 64.0);
        // In steps: a haze that changes with every picture would make every picture a large one.
        at.opacity = (density * 24.0).floor() / 24.0 * 0.62;
        out.push(Layer { sprite: self.haze.clone(), at });
    }
}

fn puff() -> Paint {
    let mut p = Paint::new(256, 256);
    p.wash(|x, y| {
        let d = (x - 128.0).hypot(y - 128.0) / 128.0;
        let curl = fbm(x / 46.0 + 0.8 * fbm(x / 60.0, y / 60.0, 3, 71), y / 46.0, 5, 70);
        let grey = mix(rgb(0x3c3c3e), rgb(0x8e8d8b), smooth(0.3, 0.75, curl) * (1.1 - 0.4 * y / 256.0));
        alpha(grey, smooth(1.0, 0.2, d + 0.55 * (curl - 0.5)) * (0.55 + 0.4 * curl))
    });
    p
}

fn haze() -> Paint {
    let mut p = Paint::new(64, 64);
    p.wash(|x, y| {
        let t = y / 64.0;
        let thick = ramp(&[(0.0, rgb(0xffffff)), (0.45, rgb(0xd8d8d8)), (1.0, rgb(0x585858))], t)[0];
        alpha(
            mix(rgb(0x5c5b5a), rgb(0x777573), fbm(x / 16.0, y / 16.0, 3, 72)),
            thick * (0.85 + 0.3 * (fbm(x / 14.0, y / 14.0, 3, 73) - 0.5)),
        )
    });
    p
}

fn door(p: &mut Paint, lens: Lens, x: f32, z: f32, n: usize) {
    let wide = 0.95;
    p.flat(&lens.side(x, 0.0, 2.16, z - 0.07, z + wide + 0.07), rgb(0x4d4032));
    p.fill(&lens.side(x, 0.0, 2.10, z, z + wide), |px, py| {
        let grain = fbm(px * 0.25, py * 0.03, 3, 20 + n as u32);
        shade(mix(rgb(0x7b5a3b), rgb(0x966f4a), grain), if x < 0.0 { 0.86 } else { 0.95 } - 0.02 * z)
    });
    let (near, far) = (z + 0.1, z + 0.16);
    p.flat(&lens.side(x, 0.98, 1.06, near, far + 0.08), rgb(0xcfd3d6));
    p.flat(&lens.side(x, 1.55, 1.68, z + wide + 0.14, z + wide + 0.34), rgb(0x2f4f78));
    p.flat(&lens.side(x, 1.60, 1.63, z + wide + 0.18, z + wide + 0.30), rgb(0xe8edf2));
}

fn end_wall(p: &mut Paint, lens: Lens) {
    p.fill(&lens.front(-HALF, HALF, 0.0, TOP, END), |_, y| mix(rgb(0xc9c3b6), rgb(0xa59e90), y / 200.0));
    p.flat(&lens.front(-0.72, 0.72, 0.0, 2.12, END), rgb(0x55606a));
    for (x0, x1) in [(-0.66, -0.03), (0.03, 0.66)] {
        p.fill(&lens.front(x0, x1, 0.05, 2.06, END), |x, y| {
            mix(rgb(0x8fa9bd), rgb(0xd9e6ee), smooth(0.3, 0.8, noise(x * 0.2, y * 0.1, 4)))
        });
        p.flat(&lens.front(x0, x1, 0.95, 1.02, END), rgb(0xc7cdd2));
    }
}

fn exit_sign(p: &mut Paint, lens: Lens) {
    let z = 12.2;
    let plate = lens.front(-0.42, 0.42, 2.24, 2.52, z);
    p.soft(&plate, 8.0, alpha(rgb(0x35e07c), 0.5));
    p.flat(&plate, rgb(0x0f9a4e));
    let [x, y] = lens.at(0.0, 2.38, z);
    let k = lens.scale(z);
    // An arrow and a running figure, a few pixels each.
    p.flat(&Path::ellipse(x - 0.20 * k, y - 0.07 * k, 0.035 * k, 0.035 * k), rgb(0xf2fff7));
    p.flat(
        &Path::polygon(&[
            [x - 0.26 * k, y - 0.03 * k],
            [x - 0.15 * k, y - 0.03 * k],
            [x - 0.12 * k, y + 0.10 * k],
            [x - 0.18 * k, y + 0.03 * k],
            [x - 0.27 * k, y + 0.10 * k],
        ]),
        rgb(0xf2fff7),
    );
    p.flat(
        &Path::polygon(&[
            [x + 0.02 * k, y - 0.025 * k],
            [x + 0.18 * k, y - 0.025 * k],
            [x + 0.18 * k, y - 0.08 * k],
            [x + 0.30 * k, y],
            [x + 0.18 * k, y + 0.08 * k],
            [x + 0.18 * k, y + 0.025 * k],
            [x + 0.02 * k, y + 0.025 * k],
        ]),
        rgb(0xf2fff7),
    );
}
