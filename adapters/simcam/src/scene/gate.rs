//! A gate lane by day: a car drives up, the barrier rises, the car goes in.

use super::Cue;
use super::camera::{Layer, Prop, Scene};
use super::car::{self, Car};
use super::lens::Lens;
use super::paint::{Paint, Path, Rgba, alpha, fbm, mix, noise, ramp, rgb, shade, smooth};
use super::scenery::{crown, day_sky, facade, finish, tree};
use super::sprite::{Placing, Sprite};
use std::sync::Arc;

/// Metres from the camera: where a car stops, where it comes into sight, the barrier's plane.
const STOP: f32 = 6.3;
const FAR: f32 = 34.0;
const BOOM_Z: f32 = 5.75;
/// The car's line and the lane's edges, metres from the line of sight.
const LINE: f32 = 0.16;
/// How far past the stop line and to the right a car is out of the picture.
const PASSED: f32 = 3.7;
const BESIDE: f32 = 2.7;
const LANE: [f32; 2] = [-1.26, 1.86];
const PIVOT: [f32; 2] = [-1.36, 0.98];
const ARM: f32 = 3.4;
/// Seconds: driving up, leaving, the arm's way.
const ARRIVE_S: f32 = 5.5;
const LEAVE_S: f32 = 2.6;
const BACK_S: f32 = 6.0;
const DEPART_S: f32 = 9.0;
const ARM_S: f32 = 1.6;

pub(crate) struct Gate {
    lens: Lens,
    /// Sets this gate apart from others: other houses, other trees, another hour of the day.
    variant: u32,
    car: Option<(Prop<Car>, Drive)>,
    arm_from: f32,
    arm_to: f32,
    arm_since: f32,
    /// The arm lying level, with red and with green lamps, and where its pivot is on the sheet.
    arms: [Arc<Sprite>; 2],
    pivot: [f32; 2],
}

/// What a car does, and since when; `None` until it has been painted.
#[derive(Clone, Copy)]
enum Drive {
    Arriving(Option<f32>),
    Departing(Option<f32>),
    Leaving(f32),
    Backing(f32),
}

impl Gate {
    pub(crate) fn new(w: usize, h: usize, variant: u32) -> Self {
        let k = h as f32 / 720.0;
        let side = if variant.is_multiple_of(2) { 1.0 } else { -1.0 };
        let lens = Lens { focal: 2_400.0 * k, centre: [w as f32 / 2.0, 84.0 * k], height: 1.6, side };
        let (sheet, pivot) = arm(lens, rgb(0xff4038));
        let arms = [sheet, arm(lens, rgb(0x35e06f)).0].map(|p| Arc::new(Sprite::new(&p)));
        Self { lens, variant, car: None, arm_from: 0.0, arm_to: 0.0, arm_since: -10.0, arms, pivot }
    }

    /// How far up the arm is, 0–1.
    fn arm_at(&self, t: f32) -> f32 {
        self.arm_from + (self.arm_to - self.arm_from) * smooth(0.0, ARM_S, t - self.arm_since)
    }

    fn car_layer(&mut self, t: f32) -> Option<Layer> {
        let (prop, drive) = self.car.as_mut()?;
        let car = prop.get()?;
        let (x, z) = match drive {
            Drive::Arriving(since) => {
                let s = ((t - *since.get_or_insert(t)) / ARRIVE_S).min(1.0);
                // Braking evenly: fast at first, standing at the end.
                (LINE, FAR + (STOP - FAR) * (1.0 - (1.0 - s) * (1.0 - s)))
            }
            Drive::Departing(since) => {
                let s = ((t - *since.get_or_insert(t)) / DEPART_S).min(1.0);
                let z = STOP - PASSED + (FAR - STOP + PASSED) * s * s;
                (LINE + BESIDE * (1.0 - (z - STOP + PASSED) / PASSED).max(0.0), z)
            }
            Drive::Leaving(since) => {
                let s = ((t - *since) / LEAVE_S).min(1.0);
                // The camera stands beside the lane: the car passes it on the right.
                (LINE + BESIDE * s * s, STOP - PASSED * s * s)
            }
            Drive::Backing(since) => (LINE, STOP + (FAR - STOP) * smooth(0.0, BACK_S, t - *since)),
        };
        if matches!(drive, Drive::Leaving(since) if t - *since >= LEAVE_S)
            || matches!(drive, Drive::Backing(since) if t - *since >= BACK_S)
            || matches!(drive, Drive::Departing(Some(since)) if t - *since >= DEPART_S)
        {
            self.car = None;
            return None;
        }
        let scale = self.lens.scale(z) / car::SCALE;
        let [px, py] = self.lens.at(x, 0.0, z);
        let mut at = Placing::scaled(px - car.foot[0] * scale, py - car.foot[1] * scale, scale);
        // Far cars come out of the haze.
        at.opacity = smooth(FAR, FAR - 4.0, z);
        Some(Layer { sprite: car.sprite.clone(), at })
    }

    fn arm_layer(&self, t: f32) -> Layer {
        let up = self.arm_at(t);
        let [x, y] = self.lens.at(PIVOT[0], PIVOT[1], BOOM_Z);
        let placing = Placing::at(x - self.pivot[0], y - self.pivot[1]);
        let at = Placing { turn: self.lens.side * up * 84f32.to_radians(), pivot: self.pivot, ..placing };
        Layer { sprite: self.arms[usize::from(up > 0.95)].clone(), at }
    }
}

/// The barrier's arm on a sheet of its own, and its pivot there.
fn arm(lens: Lens, lamp: Rgba) -> (Paint, [f32; 2]) {
    let k = lens.scale(BOOM_Z);
    let pivot = [0.34 * k, 0.10 * k];
    let mut p = Paint::new(((ARM + 0.36) * k) as usize, (0.20 * k) as usize);
    let bar = |from: f32, to: f32, low: f32, high: f32| {
        Path::rect(pivot[0] + from * k, pivot[1] - high * k, (to - from) * k, (high - low) * k)
    };
    p.flat(&bar(-0.28, ARM, -0.045, 0.045), rgb(0xf3f4f5));
    for i in (0..(ARM / 0.36) as i32).step_by(2) {
        let from = i as f32 * 0.36;
        p.flat(&bar(from, (from + 0.36).min(ARM), -0.045, 0.045), rgb(0xd3262f));
    }
    // Light from above, shade below, and a strip of lamps.
    p.flat(&bar(-0.28, ARM, 0.022, 0.045), alpha(rgb(0xffffff), 0.35));
    p.flat(&bar(-0.28, ARM, -0.045, -0.020), alpha(rgb(0x000000), 0.30));
    p.soft(&bar(0.1, ARM, -0.066, -0.046), 0.015 * k, alpha(lamp, 0.5));
    p.flat(&bar(0.1, ARM, -0.060, -0.047), lamp);
    p.flat(&bar(-0.30, 0.10, -0.075, 0.075), rgb(0x23272c));
    if lens.side < 0.0 {
        let w = p.w;
        p.px.chunks_exact_mut(w).for_each(<[Rgba]>::reverse);
        return (p, [w as f32 - pivot[0], pivot[1]]);
    }
    (p, pivot)
}

impl Scene for Gate {
    fn background(&self, w: usize, h: usize) -> Paint {
        let lens = self.lens;
        let mut p = Paint::new(w, h);
        let (wf, hf, k) = (w as f32, h as f32, h as f32 / 720.0);
        let horizon = lens.centre[1];
        let (seed, side) = (self.variant * 101, lens.side);
        day_sky(&mut p, horizon + 30.0 * k, seed);
        for (n, (x, width, top)) in
            [(-0.02, 0.13, -0.2), (0.16, 0.10, 0.02), (0.63, 0.12, 0.0), (0.80, 0.16, -0.3)].into_iter().enumerate()
        {
            let wall = [rgb(0xcfc4b4), rgb(0xb9bfc6), rgb(0xd6cdbd), rgb(0xc2b29f)][(n + self.variant as usize) % 4];
            let x = if side < 0.0 { 1.0 - x - width } else { x };
            facade(&mut p, [x * wf, top * horizon, width * wf, horizon * (1.12 - top)], wall, 0.45, n as u32 + seed);
        }
        for i in 0..16 {
            let r = |s| noise(i as f32 * 3.7 + 0.5, 0.5, s + seed);
            let green = mix(rgb(0x6f9150), rgb(0x8faf6c), r(1));
            crown(
                &mut p,
                (i as f32 + r(2)) / 15.5 * wf,
                horizon + 8.0 * k,
                (34.0 + 26.0 * r(3)) * k,
                (26.0 + 16.0 * r(4)) * k,
                mix(green, rgb(0xd5e0e8), 0.28),
                i + 40 + seed,
            );
        }
        // Lawn, then everything on it.
        p.fill(&Path::rect(0.0, horizon + 22.0 * k, wf, hf), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let blades = fbm(gx * 22.0, gz * 8.0, 4, 11);
            mix(shade(rgb(0x7c9a4e), 0.72 + 0.5 * blades), rgb(0xb9c9a8), smooth(14.0, 60.0, gz) * 0.7)
        });
        // The street the car turns in from.
        p.fill(&lens.floor(-30.0, 30.0, 30.0, 44.0), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            shade(rgb(0x9a9c9e), 0.93 + 0.12 * fbm(gx, gz, 3, 2))
        });
        pavement(&mut p, lens);
        lane(&mut p, lens);
        hedge(&mut p, lens, LANE[1] + 1.35, 9.0, 30.0);
        hedge(&mut p, lens, LANE[0] - 1.5, 12.0, 30.0);
        for (n, (x, z, tall)) in
            [(-4.6, 26.0, 5.2), (-3.5, 17.5, 4.2), (4.9, 27.0, 5.6), (-6.9, 30.0, 6.0), (6.4, 31.0, 6.2)]
                .into_iter()
                .enumerate()
        {
            let [px, foot] = lens.at(x, 0.0, z);
            tree(
                &mut p,
                px,
                foot,
                tall * lens.scale(z),
                [rgb(0x5f8a3f), rgb(0x6d9446), rgb(0x587f3c)][n % 3],
                n as u32 * 13 + 3 + seed,
            );
        }
        booth(&mut p, lens);
        post(&mut p, lens);
        // Shade of a tree outside the picture lies across the lane.
        for i in 0..26 {
            let r = |s| noise(i as f32 * 5.3 + 0.5, 1.5, s);
            let [x, y] = lens.at(-2.6 + 2.4 * r(1), 0.0, 5.6 + 6.0 * r(2) * r(2));
            p.soft(
                &Path::ellipse(x, y, 46.0 * k * (0.5 + r(3)), 9.0 * k * (0.5 + r(3))),
                10.0 * k,
                alpha(rgb(0x101820), 0.13),
            );
        }
        if side < 0.0 {
            // The other gate looks west: a later, warmer light.
            p.px.iter_mut().for_each(|c| *c = [(c[0] * 1.03).min(1.0), c[1] * 0.965, c[2] * 0.87, c[3]]);
        }
        finish(&mut p, 0.018);
        p
    }

    fn cue(&mut self, cue: &Cue, t: f32) -> bool {
        match cue {
            Cue::CarArrives { plate, colour, body } => {
                let (plate, colour, body) = (plate.clone(), *colour, *body);
                let prop = Prop::make("car", move || car::draw(&plate, colour, body));
                self.car = Some((prop, Drive::Arriving(None)));
            }
            Cue::CarDeparts { plate, colour, body } => {
                let (plate, colour, body) = (plate.clone(), *colour, *body);
                let prop = Prop::make("car", move || car::draw(&plate, colour, body));
                self.car = Some((prop, Drive::Departing(None)));
            }
            Cue::CarLeaves => {
                let open = self.arm_to > 0.5;
                if let Some((_, drive)) = &mut self.car {
                    *drive = if open { Drive::Leaving(t) } else { Drive::Backing(t) };
                }
            }
            Cue::Barrier { open } => {
                self.arm_from = self.arm_at(t);
                self.arm_to = if *open { 1.0 } else { 0.0 };
                self.arm_since = t;
            }
            _ => return false,
        }
        true
    }

    fn layers(&mut self, t: f32, out: &mut Vec<Layer>) {
        out.extend(self.car_layer(t));
        out.push(self.arm_layer(t));
    }
}

fn pavement(p: &mut Paint, lens: Lens) {
    for (x0, x1) in [(LANE[0] - 1.25, LANE[0]), (LANE[1], LANE[1] + 1.1)] {
        p.fill(&lens.floor(x0, x1, 3.0, 31.0), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let joint = |v: f32, size: f32, wide: f32| ((v / size).fract().abs() * size) < wide;
            let line = joint(gx + 20.0, 0.3, 0.012)
                || joint(gz + if (gx / 0.3).floor() as i32 % 2 == 0 { 0.15 } else { 0.0 }, 0.3, 0.018);
            let tile = noise((gx / 0.3).floor() + 0.5, (gz / 0.3).floor() + 0.5, 8);
            let base = mix(rgb(0xb7aea3), rgb(0xa79c92), tile);
            shade(base, (0.92 + 0.14 * fbm(gx * 9.0, gz * 9.0, 3, 4)) * if line && gz < 16.0 { 0.82 } else { 1.0 })
        });
    }
}

fn lane(p: &mut Paint, lens: Lens) {
    p.fill(&lens.floor(LANE[0], LANE[1], 3.0, 31.0), |x, y| {
        let [gx, gz] = lens.ground(x, y);
        let stone = fbm(gx * 38.0, gz * 16.0, 3, 21);
        let patch = fbm(gx * 1.3 + 7.0, gz * 0.45, 3, 22);
        let track = (-((gx - LINE).abs() - 0.72).powi(2) / 0.05).exp();
        let oil = (-((gx - LINE) / 0.22).powi(2)).exp() * smooth(0.45, 0.8, fbm(gx * 2.0, gz * 0.8, 3, 23));
        let light = 0.78 + 0.22 * stone + 0.22 * (patch - 0.5) - 0.10 * track - 0.14 * oil;
        mix(shade(rgb(0x70747a), light), rgb(0xaab2b8), smooth(10.0, 40.0, gz) * 0.55)
    });
    // Stop line, arrow, edge lines: worn paint.
    let worn = |x: f32, y: f32| {
        let [gx, gz] = lens.ground(x, y);
        alpha(rgb(0xe4e3dd), 0.62 + 0.28 * smooth(0.22, 0.42, fbm(gx * 14.0, gz * 9.0, 3, 30)))
    };
    p.fill(&lens.floor(LANE[0] + 0.2, LANE[1] - 0.2, 6.02, 6.27), worn);
    p.fill(&lens.floor(LANE[0] + 0.1, LANE[0] + 0.2, 6.3, 31.0), worn);
    p.fill(&lens.floor(LANE[1] - 0.2, LANE[1] - 0.1, 6.3, 31.0), worn);
    let c = LINE + 0.1;
    let arrow = [
        [c - 0.08, 0.0, 15.0],
        [c + 0.08, 0.0, 15.0],
        [c + 0.08, 0.0, 11.6],
        [c + 0.3, 0.0, 11.6],
        [c, 0.0, 9.4],
        [c - 0.3, 0.0, 11.6],
        [c - 0.08, 0.0, 11.6],
    ];
    p.fill(&lens.face(&arrow), worn);
    // Kerbs, painted in turns.
    for (x0, x1, inner) in [(LANE[0] - 0.16, LANE[0], LANE[0]), (LANE[1], LANE[1] + 0.16, LANE[1])] {
        for i in 0..40 {
            let (z0, z1) = (3.6 + i as f32 * 0.7, 4.3 + i as f32 * 0.7);
            let paint = if i % 2 == 0 { rgb(0xe3b62c) } else { rgb(0x34373b) };
            let paint = mix(paint, rgb(0xaab2b8), smooth(8.0, 40.0, z0) * 0.5);
            p.fill(&lens.side(inner, 0.0, 0.13, z0, z1), |x, y| shade(paint, 0.66 + 0.14 * noise(x * 0.3, y * 0.3, 6)));
            let top = lens.face(&[[x0, 0.13, z0], [x1, 0.13, z0], [x1, 0.13, z1], [x0, 0.13, z1]]);
            p.fill(&top, |x, y| shade(paint, 0.92 + 0.16 * noise(x * 0.3, y * 0.3, 7)));
        }
    }
}

fn hedge(p: &mut Paint, lens: Lens, x: f32, z0: f32, z1: f32) {
    let foot = lens.at(x, 0.0, z0);
    p.soft(&lens.floor(x - 0.3, x + 1.0, z0 - 0.2, z1), 8.0, alpha(rgb(0x16200f), 0.4));
    let leaves = |seed: u32| {
        move |px: f32, py: f32| {
            let leaf = fbm(px * 0.16, py * 0.16, 4, seed);
            let light = ramp(&[(0.25, rgb(0x24391c)), (0.5, rgb(0x3f6129)), (0.75, rgb(0x739a47))], leaf);
            mix(light, rgb(0xb4c5b0), smooth(foot[1], foot[1] - 260.0, py) * 0.35)
        }
    };
    let outer = if x > 0.0 { x + 0.9 } else { x - 0.9 };
    p.fill(&lens.side(x, 0.0, 0.85, z0, z1), leaves(50));
    p.fill(&lens.face(&[[x, 0.85, z0], [x, 0.85, z1], [outer, 0.85, z1], [outer, 0.85, z0]]), |px, py| {
        shade(leaves(51)(px, py), 1.35)
    });
    let front = if x > 0.0 { (x, outer) } else { (outer, x) };
    p.fill(&lens.front(front.0, front.1, 0.0, 0.85, z0), |px, py| shade(leaves(52)(px, py), 0.85));
}

fn booth(p: &mut Paint, lens: Lens) {
    let (x0, x1, z0, z1) = (3.0, 6.0, 14.5, 18.0);
    p.soft(&lens.floor(x0 - 0.2, x1, z0 - 0.5, z1), 12.0, alpha(rgb(0x0d1216), 0.45));
    p.fill(&lens.side(x0, 0.0, 2.75, z0, z1), |_, y| shade(rgb(0xd9d3c7), 0.78 + 0.0004 * y));
    p.fill(&lens.front(x0, x1, 0.0, 2.75, z0), |x, y| shade(rgb(0xe6e1d6), 0.94 + 0.06 * noise(x * 0.05, y * 0.05, 3)));
    p.flat(&lens.front(x0, x1, 0.0, 0.35, z0), rgb(0x596069));
    p.flat(&lens.front(x0 - 0.15, x1, 2.72, 2.95, z0 - 0.2), rgb(0x2d4c78));
    p.flat(&lens.front(x0 + 0.25, x1, 0.98, 2.12, z0), rgb(0x39424b));
    for (from, to) in [(0.32, 1.25), (1.33, 2.9)] {
        p.fill(&lens.front(x0 + from, x0 + to, 1.05, 2.05, z0), |x, y| {
            let glass = ramp(&[(0.0, rgb(0x9fb8c8)), (1.0, rgb(0x46586a))], (y - 60.0) / 130.0);
            mix(glass, rgb(0xdbe7ee), 0.5 * smooth(0.5, 0.62, fbm(x * 0.012 + y * 0.01, y * 0.004, 2, 8)))
        });
    }
    p.flat(&lens.side(x0, 0.95, 2.05, z0 + 0.5, z0 + 2.2), rgb(0x6f8394));
}

fn post(p: &mut Paint, lens: Lens) {
    let (z0, z1) = (BOOM_Z - 0.16, BOOM_Z + 0.2);
    let (x0, x1) = (PIVOT[0] - 0.26, PIVOT[0] + 0.10);
    p.soft(&lens.floor(x0 - 0.1, x1 + 0.25, z0 - 0.1, z1 + 0.1), 14.0, alpha(rgb(0x080b0e), 0.6));
    p.flat(&lens.side(x1, 0.0, 1.16, z0, z1), rgb(0xb5651a));
    p.fill(&lens.front(x0, x1, 0.0, 1.16, z0), |x, y| {
        let [left, top] = lens.at(x0, 1.16, z0);
        mix(rgb(0xf29a2e), rgb(0xd87a18), (x - left) / 160.0 + (y - top) / 900.0)
    });
    p.flat(&lens.front(x0, x1, 0.0, 0.08, z0), rgb(0x2d3136));
    p.flat(&lens.front(x0 - 0.01, x1 + 0.01, 1.14, 1.19, z0), rgb(0x33383e));
    for i in 0..3 {
        let y = 0.62 - i as f32 * 0.13;
        p.flat(
            &lens.face(&[[x0, y, z0], [x1, y + 0.10, z0], [x1, y + 0.16, z0], [x0, y + 0.06, z0]]),
            alpha(rgb(0xffffff), 0.85),
        );
    }
}
