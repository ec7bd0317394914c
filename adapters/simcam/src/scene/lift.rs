//! The lobby of two lifts: steel doors, floor displays, a lift that comes.

use super::Cue;
use super::camera::{Layer, Scene};
use super::lens::Lens;
use super::paint::{Paint, Path, alpha, fbm, mix, noise, ramp, rgb, shade, smooth};
use super::scenery::{crown, finish};
use super::sprite::{Placing, Sprite};
use super::text::paint_line;
use std::sync::Arc;

const BACK: f32 = 4.6;
const TOP: f32 = 2.8;
/// Middle of each lift, and half its doorway.
const LIFTS: [f32; 2] = [-1.25, 1.25];
const HALF: f32 = 0.55;
const TALL: f32 = 2.15;
/// Seconds: coming down, doors opening, standing open.
const COME_S: f32 = 1.6;
const MOVE_S: f32 = 1.2;
const OPEN_S: f32 = 5.0;
const FLOORS: usize = 8;

pub(crate) struct LiftLobby {
    w: f32,
    h: f32,
    lens: Lens,
    leaf: Arc<Sprite>,
    figures: Vec<Arc<Sprite>>,
    called: f32,
}

impl LiftLobby {
    pub(crate) fn new(w: usize, h: usize) -> Self {
        let (wf, hf) = (w as f32, h as f32);
        let lens = Lens { focal: 1.18 * hf, centre: [wf * 0.5, hf * 0.43], height: 1.6, side: 1.0 };
        let figures = (1..=FLOORS).map(|n| Arc::new(Sprite::new(&figure(n)))).collect();
        Self { w: wf, h: hf, lens, leaf: Arc::new(Sprite::new(&leaf(lens))), figures, called: -1e3 }
    }

    /// How far the left lift's doors are open, and the floor it shows.
    fn state(&self, t: f32) -> (f32, usize) {
        let s = t - self.called - COME_S;
        if s > MOVE_S * 2.0 + OPEN_S + 4.0 || self.called < -100.0 {
            return (0.0, 5);
        }
        let open = smooth(0.0, MOVE_S, s) * (1.0 - smooth(MOVE_S + OPEN_S, 2.0 * MOVE_S + OPEN_S, s));
        let floor = if s < 0.0 { 1 + ((-s / COME_S * 4.0).ceil() as usize).min(4) } else { 1 };
        (open, floor)
    }
}

impl Scene for LiftLobby {
    fn background(&self, w: usize, h: usize) -> Paint {
        let lens = self.lens;
        let mut p = Paint::new(w, h);
        p.fill(&Path::rect(0.0, 0.0, self.w, self.h), |_, y| mix(rgb(0xece8e1), rgb(0xcfc9be), y / self.h));
        let marble = |x: f32, y: f32, seed: u32| {
            let turn = fbm(x * 0.9, y * 0.9, 4, seed);
            smooth(0.04, 0.0, (fbm(x + 2.0 * turn, y + turn, 4, seed + 9) - 0.5).abs())
        };
        p.fill(&Path::rect(0.0, lens.at(0.0, 0.0, BACK)[1], self.w, self.h), |x, y| {
            let [gx, gz] = lens.ground(x, y);
            let joint = ((gx + 20.4) / 0.8).fract() < 0.012 || (gz / 0.8).fract() < 0.014;
            // Steel doors and lamps are mirrored in the polished floor.
            let mirror = LIFTS.iter().map(|l| smooth(HALF + 0.25, HALF - 0.1, (gx * BACK / gz - l).abs())).sum::<f32>()
                * smooth(2.2, BACK, gz);
            let stone = mix(rgb(0xd7d0c4), rgb(0xa89f92), 0.55 * marble(gx, gz, 3));
            mix(shade(stone, if joint { 0.84 } else { 0.93 }), rgb(0x9aa0a6), 0.30 * mirror)
        });
        p.fill(&lens.front(-6.0, 6.0, 0.0, TOP, BACK), |x, y| {
            let (gx, gy) = ((x - lens.centre[0]) / lens.scale(BACK), (y - lens.centre[1]) / lens.scale(BACK));
            let stone = mix(rgb(0xb9aa94), rgb(0x94836c), 0.6 * marble(gx * 1.3, gy * 1.3, 30));
            let lamp =
                0.88 + 0.2 * LIFTS.iter().map(|l| (-(gx - l).powi(2) / 1.2).exp()).sum::<f32>() * smooth(0.9, -1.2, gy);
            shade(stone, lamp)
        });
        for i in 1..4 {
            let y = i as f32 * 0.7;
            p.flat(&lens.front(-6.0, 6.0, y, y + 0.012, BACK), alpha(rgb(0x5f5342), 0.6));
        }
        for (n, x) in LIFTS.into_iter().enumerate() {
            p.soft(
                &lens.front(x - HALF - 0.15, x + HALF + 0.15, 0.0, TALL + 0.15, BACK),
                6.0,
                alpha(rgb(0x1c1812), 0.45),
            );
            p.fill(&lens.front(x - HALF - 0.13, x + HALF + 0.13, 0.0, TALL + 0.13, BACK), |px, _| {
                ramp(&[(0.0, rgb(0x7d838a)), (0.5, rgb(0xc8cdd2)), (1.0, rgb(0x838a91))], (px / 17.0).fract())
            });
            // The cabin behind the doors.
            p.fill(&lens.front(x - HALF, x + HALF, 0.0, TALL, BACK), |_, y| {
                mix(rgb(0xf3efe6), rgb(0x9d958a), (y - 80.0) / 230.0)
            });
            p.fill(&lens.front(x - HALF + 0.14, x + HALF - 0.14, 0.12, TALL - 0.16, BACK), |px, y| {
                shade(
                    mix(rgb(0xd9c7a6), rgb(0xa88f68), (y - 90.0) / 220.0),
                    0.9 + 0.15 * noise(px * 0.1, 0.5, n as u32),
                )
            });
            p.flat(&lens.front(x - HALF + 0.14, x + HALF - 0.14, 0.95, 1.0, BACK), rgb(0xe9edf0));
            p.flat(&lens.front(x - 0.26, x + 0.26, TALL + 0.20, TALL + 0.46, BACK), rgb(0x15181c));
        }
        // Call panel, bin, plant, floor number.
        p.soft(&lens.front(-0.10, 0.12, 0.98, 1.40, BACK), 4.0, alpha(rgb(0x000000), 0.4));
        p.flat(&lens.front(-0.10, 0.10, 1.0, 1.40, BACK), rgb(0xbfc5ca));
        for y in [1.12, 1.27] {
            let [x, y] = lens.at(0.0, y, BACK);
            p.flat(&Path::ellipse(x, y, 4.4, 4.4), rgb(0x6a7177));
            p.flat(&Path::ellipse(x, y, 3.4, 3.4), rgb(0xf0c24c));
        }
        let [sx, sy] = lens.at(-0.13, 1.72, BACK);
        paint_line(&mut p, "1F", 30.0, sx, sy, rgb(0x4b3f30));
        let k = lens.scale(BACK - 0.5);
        for (x, seed) in [(-2.45, 5), (2.45, 8)] {
            let [px, foot] = lens.at(x, 0.0, BACK - 0.5);
            p.soft(&Path::ellipse(px, foot, 0.3 * k, 0.06 * k), 7.0, alpha(rgb(0x000000), 0.45));
            p.fill(&Path::round_rect(px - 0.2 * k, foot - 0.55 * k, 0.4 * k, 0.55 * k, 5.0), |x, _| {
                mix(rgb(0x54585d), rgb(0x24272b), (x - px) / (0.4 * k) + 0.5)
            });
            crown(&mut p, px, foot - 1.0 * k, 0.32 * k, 0.5 * k, rgb(0x4f7d3d), seed);
        }
        for (x0, x1) in [(-2.1, -0.4), (0.4, 2.1)] {
            let lamp = lens.face(&[[x0, TOP, 2.2], [x1, TOP, 2.2], [x1, TOP, 3.0], [x0, TOP, 3.0]]);
            p.soft(&lamp, 16.0, alpha(rgb(0xfff6e4), 0.6));
            p.flat(&lamp, rgb(0xfffaf0));
        }
        finish(&mut p, 0.014);
        p
    }

    fn cue(&mut self, cue: &Cue, t: f32) -> bool {
        let called = matches!(cue, Cue::LiftArrives);
        if called {
            self.called = t;
        }
        called
    }

    fn layers(&mut self, t: f32, out: &mut Vec<Layer>) {
        let (open, floor) = self.state(t);
        let k = self.lens.scale(BACK);
        for (n, lift) in LIFTS.into_iter().enumerate() {
            let shift = if n == 0 { open * HALF * 0.96 } else { 0.0 };
            for (x, side) in [(lift - HALF, -1.0), (lift, 1.0)] {
                let [px, py] = self.lens.at(x, TALL, BACK);
                // Leaves slide behind the frame: what is left of them narrows.
                let left = 1.0 - shift / HALF;
                let mut at = Placing::at(if side < 0.0 { px } else { px + shift * k }, py);
                at.sx = left.max(0.02);
                out.push(Layer { sprite: self.leaf.clone(), at });
            }
            let shown = if n == 0 { floor } else { 3 };
            let [x, y] = self.lens.at(lift, TALL + 0.33, BACK);
            let scale = self.h / 360.0 * 0.62;
            out.push(Layer {
                sprite: self.figures[shown - 1].clone(),
                at: Placing::scaled(x - 24.0 * scale, y - 20.0 * scale, scale),
            });
        }
    }
}

fn leaf(lens: Lens) -> Paint {
    let k = lens.scale(BACK);
    let (w, h) = (HALF * k, TALL * k);
    let mut p = Paint::new(w.round() as usize, h.round() as usize);
    p.wash(|x, y| {
        let brush = noise(x * 2.1, y * 0.02, 41) + 0.6 * noise(x * 0.5, y * 0.01, 42);
        let sheen = ramp(
            &[
                (0.0, rgb(0x8e949b)),
                (0.3, rgb(0xc5cacf)),
                (0.55, rgb(0xa3a9af)),
                (0.8, rgb(0xd3d7db)),
                (1.0, rgb(0x8a9097)),
            ],
            x / w,
        );
        shade(sheen, 0.86 + 0.09 * brush + 0.08 * (1.0 - y / h))
    });
    p.flat(&Path::rect(0.0, 0.0, 1.0, h), alpha(rgb(0x1c2024), 0.8));
    p.flat(&Path::rect(w - 1.0, 0.0, 1.0, h), alpha(rgb(0x1c2024), 0.8));
    p
}

/// A floor number in red lamps.
fn figure(n: usize) -> Paint {
    let mut p = Paint::new(48, 40);
    let mut glow = Paint::new(48, 40);
    paint_line(&mut glow, &n.to_string(), 34.0, 14.0, 33.0, rgb(0xff5238));
    let sharp = glow.clone();
    glow.blur(2);
    p.lay(&glow, 0, 0, 0.8);
    p.lay(&sharp, 0, 0, 1.0);
    p
}
