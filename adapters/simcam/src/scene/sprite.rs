//! What moves: pictures with alpha, in YUV already, drawn at any place and scale.

use super::canvas::{I420, Rect, chroma, luma};
use super::paint::Paint;

/// A picture with alpha and its halved copies, so that drawing it small does not flicker.
#[derive(Debug)]
pub struct Sprite {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    w: usize,
    h: usize,
    /// Y, U, V premultiplied by alpha, and alpha.
    px: Vec<[u8; 4]>,
}

/// Where and how a sprite is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placing {
    /// Left edge on the canvas, in pixels.
    pub x: f32,
    /// Upper edge on the canvas, in pixels.
    pub y: f32,
    /// Horizontal scale.
    pub sx: f32,
    /// Vertical scale.
    pub sy: f32,
    /// 0 invisible to 1.
    pub opacity: f32,
    /// Turned anticlockwise by this, in radians.
    pub turn: f32,
    /// The point of the sprite, in its own pixels, that stays where it is when turned.
    pub pivot: [f32; 2],
}

impl Placing {
    /// At its own size.
    pub fn at(x: f32, y: f32) -> Self {
        Self::scaled(x, y, 1.0)
    }

    /// Scaled evenly.
    pub fn scaled(x: f32, y: f32, scale: f32) -> Self {
        Self { x, y, sx: scale, sy: scale, opacity: 1.0, turn: 0.0, pivot: [0.0, 0.0] }
    }
}

impl Placing {
    /// Where the pivot is on the canvas.
    fn foot(&self) -> [f32; 2] {
        [self.x + self.pivot[0] * self.sx, self.y + self.pivot[1] * self.sy]
    }

    /// Where a scaled sprite point lands on the canvas.
    fn turned(&self, p: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.turn.sin_cos();
        let foot = self.foot();
        let (dx, dy) = (p[0] - self.pivot[0] * self.sx, p[1] - self.pivot[1] * self.sy);
        [foot[0] + dx * cos + dy * sin, foot[1] - dx * sin + dy * cos]
    }
}

/// A straight way through a level: where it starts and how far each sample is from the one before.
struct Ray {
    start: [f32; 2],
    step: [f32; 2],
}

impl Ray {
    /// Which of `n` samples lie on a level of w × h.
    fn inside(&self, n: usize, w: usize, h: usize) -> std::ops::Range<usize> {
        let (mut first, mut last) = (0.0f32, n as f32);
        for (start, step, size) in [(self.start[0], self.step[0], w as f32), (self.start[1], self.step[1], h as f32)] {
            if step.abs() < 1e-6 {
                if start < 0.0 || start > size {
                    return 0..0;
                }
                continue;
            }
            let (a, b) = (-start / step, (size - start) / step);
            first = first.max(a.min(b).ceil());
            last = last.min(a.max(b).floor() + 1.0);
        }
        if last > first { first as usize..last as usize } else { 0..0 }
    }
}

impl Sprite {
    /// A sprite that may be drawn at any scale.
    pub fn new(paint: &Paint) -> Self {
        let mut levels = vec![Level::from_paint(paint)];
        while let Some(last) = levels.last().filter(|l| l.w >= 8 && l.h >= 8 && levels.len() < 7) {
            levels.push(last.halved());
        }
        Self { levels }
    }

    /// Width and height at scale 1.
    pub fn size(&self) -> (f32, f32) {
        (self.levels[0].w as f32, self.levels[0].h as f32)
    }

    /// What it would cover on a canvas of w × h.
    pub fn bounds(&self, at: Placing, w: usize, h: usize) -> Option<Rect> {
        let (sw, sh) = (self.size().0 * at.sx, self.size().1 * at.sy);
        if at.turn == 0.0 {
            return Rect::around(at.x, at.y, at.x + sw, at.y + sh, w, h);
        }
        let corners = [[0.0, 0.0], [sw, 0.0], [0.0, sh], [sw, sh]].map(|c| at.turned(c));
        let low = |k: usize| corners.iter().map(|c| c[k]).fold(f32::MAX, f32::min);
        let high = |k: usize| corners.iter().map(|c| c[k]).fold(f32::MIN, f32::max);
        Rect::around(low(0), low(1), high(0), high(1), w, h)
    }

    /// Draws it onto the canvas, clipped.
    pub fn draw(&self, canvas: &mut I420, at: Placing) {
        let Some(r) = self.bounds(at, canvas.w, canvas.h) else { return };
        let opacity = (at.opacity.clamp(0.0, 1.0) * 256.0) as u32;
        if opacity == 0 || at.sx <= 0.0 || at.sy <= 0.0 {
            return;
        }
        let level = self.level_for(at.sx.max(at.sy));
        let w = canvas.w;
        for y in r.y0..r.y1 {
            let line = &mut canvas.y[y * w + r.x0..y * w + r.x1];
            let ray = self.ray(level, at, [r.x0 as f32 + 0.5, y as f32 + 0.5], 1.0);
            level.row(ray, line.len(), |i, s| line[i] = over(line[i], u32::from(s[0]), u32::from(s[3]), opacity));
        }
        // Chroma wants half the resolution: sampling at the middle of 2 × 2 pixels from the next smaller copy.
        let level = self.level_for(at.sx.max(at.sy) / 2.0);
        let half = w / 2;
        for cy in r.y0 / 2..r.y1 / 2 {
            let span = cy * half + r.x0 / 2..cy * half + r.x1 / 2;
            let (us, vs) = (&mut canvas.u[span.clone()], &mut canvas.v[span]);
            let ray = self.ray(level, at, [r.x0 as f32 + 1.0, 2.0 * cy as f32 + 1.0], 2.0);
            level.row(ray, us.len(), |i, s| {
                us[i] = over(us[i], u32::from(s[1]), u32::from(s[3]), opacity);
                vs[i] = over(vs[i], u32::from(s[2]), u32::from(s[3]), opacity);
            });
        }
    }

    /// The way through a level that a canvas row from `from`, `step` pixels at a time, takes.
    fn ray(&self, level: &Level, at: Placing, from: [f32; 2], step: f32) -> Ray {
        let (kx, ky) = (level.w as f32 / self.size().0 / at.sx, level.h as f32 / self.size().1 / at.sy);
        let (sin, cos) = at.turn.sin_cos();
        let foot = at.foot();
        let (dx, dy) = (from[0] - foot[0], from[1] - foot[1]);
        let (x, y) = (dx * cos - dy * sin, dx * sin + dy * cos);
        Ray {
            start: [(x + at.pivot[0] * at.sx) * kx, (y + at.pivot[1] * at.sy) * ky],
            step: [step * cos * kx, step * sin * ky],
        }
    }

    fn level_for(&self, scale: f32) -> &Level {
        let wanted = (1.0 / scale.max(1e-3)).log2().floor().max(0.0) as usize;
        &self.levels[wanted.min(self.levels.len() - 1)]
    }
}

fn over(d: u8, s: u32, a: u32, opacity: u32) -> u8 {
    let (s, a) = ((s * opacity) >> 8, (a * opacity) >> 8);
    (s + (u32::from(d) * (255 - a) + 127) / 255).min(255) as u8
}

impl Level {
    fn from_paint(paint: &Paint) -> Self {
        let px = paint.px.iter().map(|&p| {
            let a = p[3].clamp(0.0, 1.0);
            // luma() and chroma() add offsets for opaque colours: premultiplied ones carry alpha times the offset.
            let [u, v] = chroma(p);
            let values = [luma(p) - 16.0 * (1.0 - a), u - 128.0 * (1.0 - a), v - 128.0 * (1.0 - a), 255.0 * a];
            values.map(|v| (v + 0.5).clamp(0.0, 255.0) as u8)
        });
        Self { w: paint.w, h: paint.h, px: px.collect() }
    }

    fn halved(&self) -> Self {
        let (w, h) = (self.w / 2, self.h / 2);
        let px = (0..w * h).map(|i| {
            let (x, y) = (i % w * 2, i / w * 2);
            let at = |dx: usize, dy: usize| self.px[(y + dy) * self.w + x + dx];
            let (a, b, c, d) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
            std::array::from_fn(|k| {
                ((u16::from(a[k]) + u16::from(b[k]) + u16::from(c[k]) + u16::from(d[k]) + 2) / 4) as u8
            })
        });
        Self { w, h, px: px.collect() }
    }

    /// Samples `n` points along a ray and hands over those that are not transparent.
    fn row(&self, ray: Ray, n: usize, mut put: impl FnMut(usize, [u8; 4])) {
        let inside = ray.inside(n, self.w, self.h);
        let (right, bottom) = (self.w - 1, self.h - 1);
        // 16.16 fixed point: the same few adds and shifts for every sample.
        let fixed = |v: f32| (f64::from(v) * 65_536.0) as i64;
        let (mut u, mut v) = (
            fixed(ray.start[0] - 0.5) + fixed(ray.step[0]) * inside.start as i64,
            fixed(ray.start[1] - 0.5) + fixed(ray.step[1]) * inside.start as i64,
        );
        let (du, dv) = (fixed(ray.step[0]), fixed(ray.step[1]));
        for i in inside.start..inside.end.min(n) {
            let (x0, y0) = (((u >> 16).max(0) as usize).min(right), ((v >> 16).max(0) as usize).min(bottom));
            let (x1, y1) = ((x0 + 1).min(right), (y0 + 1).min(bottom));
            let (fx, fy) = ((u.max(0) >> 8 & 0xff) as u32, (v.max(0) >> 8 & 0xff) as u32);
            (u, v) = (u + du, v + dv);
            let (upper, lower) = (y0 * self.w, y1 * self.w);
            let (a, b, c, d) = (self.px[upper + x0], self.px[upper + x1], self.px[lower + x0], self.px[lower + x1]);
            if a[3] | b[3] | c[3] | d[3] == 0 {
                continue;
            }
            let s = std::array::from_fn(|k| {
                let top = u32::from(a[k]) * (256 - fx) + u32::from(b[k]) * fx;
                let low = u32::from(c[k]) * (256 - fx) + u32::from(d[k]) * fx;
                ((top * (256 - fy) + low * fy + 32_768) >> 16) as u8
            });
            put(i, s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::paint::{Path, alpha, rgb};
    use proptest::prelude::*;

    fn patch() -> Sprite {
        let mut p = Paint::new(40, 20);
        p.flat(&Path::rect(0.0, 0.0, 40.0, 20.0), rgb(0xffffff));
        Sprite::new(&p)
    }

    #[test]
    fn an_opaque_sprite_replaces_what_it_covers_and_nothing_else() {
        for scale in [0.2, 0.5, 1.0, 1.7] {
            let mut canvas = I420::black(160, 90);
            patch().draw(&mut canvas, Placing::scaled(20.0, 10.0, scale));
            assert_eq!(
                canvas.y[(10 + (10.0 * scale) as usize) * 160 + 20 + (20.0 * scale) as usize],
                235,
                "inside at {scale}"
            );
            assert_eq!((canvas.y[5 * 160 + 30], canvas.y[80 * 160 + 30]), (16, 16), "outside at {scale}");
        }
    }

    #[test]
    fn half_transparent_white_over_black_is_grey() {
        let mut p = Paint::new(40, 20);
        p.flat(&Path::rect(0.0, 0.0, 40.0, 20.0), alpha(rgb(0xffffff), 0.5));
        let mut canvas = I420::black(64, 32);
        Sprite::new(&p).draw(&mut canvas, Placing::at(4.0, 4.0));
        let got = canvas.y[12 * 64 + 20];
        assert!(got.abs_diff(126) <= 2, "{got}");
        assert!(canvas.u[6 * 32 + 10].abs_diff(128) <= 1);
    }

    #[test]
    fn a_quarter_turn_about_its_corner_stands_the_sprite_up() {
        let mut canvas = I420::black(100, 100);
        patch().draw(&mut canvas, Placing { turn: std::f32::consts::FRAC_PI_2, ..Placing::at(50.0, 60.0) });
        let white = |x: usize, y: usize| canvas.y[y * 100 + x] > 200;
        assert!(white(60, 40) && white(52, 25) && white(68, 58), "40 × 20 stands upwards of (50, 60)");
        assert!(!white(60, 70) && !white(40, 40) && !white(60, 15) && !white(75, 40));
    }

    proptest! {
        #[test]
        fn any_placing_is_clipped(x in -1e4f32..1e4, y in -1e4f32..1e4, sx in -1f32..50.0, sy in -1f32..50.0, opacity in -1f32..2.0, turn in -7f32..7.0) {
            let pivot = [sx, y];
            patch().draw(&mut I420::black(64, 36), Placing { x, y, sx, sy, opacity, turn, pivot });
        }
    }
}
