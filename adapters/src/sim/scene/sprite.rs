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
}

impl Placing {
    /// At its own size.
    pub fn at(x: f32, y: f32) -> Self {
        Self { x, y, sx: 1.0, sy: 1.0, opacity: 1.0 }
    }

    /// Scaled evenly.
    pub fn scaled(x: f32, y: f32, scale: f32) -> Self {
        Self { x, y, sx: scale, sy: scale, opacity: 1.0 }
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
        let (sw, sh) = self.size();
        Rect::around(at.x, at.y, at.x + sw * at.sx, at.y + sh * at.sy, w, h)
    }

    /// Draws it onto the canvas, clipped.
    pub fn draw(&self, canvas: &mut I420, at: Placing) {
        let Some(r) = self.bounds(at, canvas.w, canvas.h) else { return };
        let opacity = (at.opacity.clamp(0.0, 1.0) * 256.0) as u32;
        if opacity == 0 || at.sx <= 0.0 || at.sy <= 0.0 {
            return;
        }
        let level = self.level_for(at.sx.max(at.sy));
        let k = level.w as f32 / self.size().0;
        let (kx, ky) = (k / at.sx, level.h as f32 / self.size().1 / at.sy);
        let w = canvas.w;
        for y in r.y0..r.y1 {
            let v = (y as f32 + 0.5 - at.y) * ky;
            let line = &mut canvas.y[y * w + r.x0..y * w + r.x1];
            level.row(v, (r.x0 as f32 + 0.5 - at.x) * kx, kx, line.len(), |i, s| {
                line[i] = over(line[i], u32::from(s[0]), u32::from(s[3]), opacity);
            });
        }
        // Chroma wants half the resolution: sampling at the middle of 2 × 2 pixels from the next smaller copy.
        let level = self.level_for(at.sx.max(at.sy) / 2.0);
        let (kx, ky) = (level.w as f32 / self.size().0 / at.sx, level.h as f32 / self.size().1 / at.sy);
        let half = w / 2;
        for cy in r.y0 / 2..r.y1 / 2 {
            let v = (2.0 * cy as f32 + 1.0 - at.y) * ky;
            let span = cy * half + r.x0 / 2..cy * half + r.x1 / 2;
            let (us, vs) = (&mut canvas.u[span.clone()], &mut canvas.v[span]);
            level.row(v, (r.x0 as f32 + 1.0 - at.x) * kx, 2.0 * kx, us.len(), |i, s| {
                us[i] = over(us[i], u32::from(s[1]), u32::from(s[3]), opacity);
                vs[i] = over(vs[i], u32::from(s[2]), u32::from(s[3]), opacity);
            });
        }
    }

    fn level_for(&self, scale: f32) -> &Level {
        let wanted = (1.0 / scale.max(1e-3)).log2().floor().max(0.0) as usize;
        &self.levels[wanted.min(self.levels.len() - 1)]
    }
}

fn over(d: u8, s: u32, a: u32, opacity: u32) -> u8 {
    let (s, a) = (s * opacity >> 8, a * opacity >> 8);
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

    /// Samples `n` points of one row, `step` apart, and hands over those that are not transparent.
    fn row(&self, v: f32, u0: f32, step: f32, n: usize, mut put: impl FnMut(usize, [u8; 4])) {
        let v = v - 0.5;
        if v < -0.5 || v > self.h as f32 - 0.5 {
            return;
        }
        let y0 = (v.floor().max(0.0) as usize).min(self.h - 1);
        let y1 = (y0 + 1).min(self.h - 1);
        let fy = ((v - y0 as f32).clamp(0.0, 1.0) * 256.0) as u32;
        let (upper, lower) = (&self.px[y0 * self.w..(y0 + 1) * self.w], &self.px[y1 * self.w..(y1 + 1) * self.w]);
        for i in 0..n {
            let u = u0 + i as f32 * step - 0.5;
            if u < -0.5 || u > self.w as f32 - 0.5 {
                continue;
            }
            let x0 = (u.max(0.0) as usize).min(self.w - 1);
            let x1 = (x0 + 1).min(self.w - 1);
            let fx = ((u - x0 as f32).clamp(0.0, 1.0) * 256.0) as u32;
            let (a, b, c, d) = (upper[x0], upper[x1], lower[x0], lower[x1]);
            if a[3] | b[3] | c[3] | d[3] == 0 {
                continue;
            }
            let s = std::array::from_fn(|k| {
                let top = u32::from(a[k]) * (256 - fx) + u32::from(b[k]) * fx;
                let bottom = u32::from(c[k]) * (256 - fx) + u32::from(d[k]) * fx;
                ((top * (256 - fy) + bottom * fy + 32_768) >> 16) as u8
            });
            put(i, s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scene::paint::{Path, alpha, rgb};
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

    proptest! {
        #[test]
        fn any_placing_is_clipped(x in -1e4f32..1e4, y in -1e4f32..1e4, sx in -1f32..50.0, sy in -1f32..50.0, opacity in -1f32..2.0) {
            patch().draw(&mut I420::black(64, 36), Placing { x, y, sx, sy, opacity });
        }
    }
}
