//! Pictures in I420 (BT.601, limited range), as the encoder takes them.

use super::paint::{Paint, Rgba};

/// A rectangle in pixels; even on every side, because chroma has half the resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x0: usize,
    /// Upper edge.
    pub y0: usize,
    /// One past the right edge.
    pub x1: usize,
    /// One past the lower edge.
    pub y1: usize,
}

impl Rect {
    /// The smallest even rectangle around these bounds, inside w × h; `None` when nothing is left.
    pub fn around(left: f32, top: f32, right: f32, bottom: f32, w: usize, h: usize) -> Option<Self> {
        let low = |v: f32, max: usize| (v.floor().clamp(0.0, max as f32) as usize) & !1;
        let high = |v: f32, max: usize| (((v.ceil().clamp(0.0, max as f32) as usize) + 1) & !1).min(max);
        let rect = Self { x0: low(left, w), y0: low(top, h), x1: high(right, w), y1: high(bottom, h) };
        (rect.x0 < rect.x1 && rect.y0 < rect.y1).then_some(rect)
    }
}

/// A planar 4:2:0 picture of even width and height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I420 {
    /// Width in pixels.
    pub w: usize,
    /// Height in pixels.
    pub h: usize,
    /// Luma.
    pub y: Vec<u8>,
    /// Blue difference.
    pub u: Vec<u8>,
    /// Red difference.
    pub v: Vec<u8>,
}

impl I420 {
    /// A black picture; odd sizes are rounded down.
    pub fn black(w: usize, h: usize) -> Self {
        let (w, h) = (w & !1, h & !1);
        Self { w, h, y: vec![16; w * h], u: vec![128; w * h / 4], v: vec![128; w * h / 4] }
    }

    /// A picture from opaque paint of the same size.
    pub fn from_paint(paint: &Paint) -> Self {
        let mut out = Self::black(paint.w, paint.h);
        let (w, half) = (out.w, out.w / 2);
        for y in 0..out.h {
            for x in 0..w {
                // A hash as dither: gradients would band in eight bits and the encoder keep the bands.
                let d = ((x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca6b))
                    .wrapping_mul(0xc2b2_ae35);
                out.y[y * w + x] = (luma(paint.px[y * paint.w + x]) + (d >> 24) as f32 / 256.0).min(235.0) as u8;
            }
        }
        for cy in 0..out.h / 2 {
            for cx in 0..half {
                let at = |dx: usize, dy: usize| paint.px[(2 * cy + dy) * paint.w + 2 * cx + dx];
                let (a, b, c, d) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
                let mean: Rgba = std::array::from_fn(|k| (a[k] + b[k] + c[k] + d[k]) / 4.0);
                let [u, v] = chroma(mean);
                out.u[cy * half + cx] = (u + 0.5) as u8;
                out.v[cy * half + cx] = (v + 0.5) as u8;
            }
        }
        out
    }

    /// Copies a rectangle from a picture of the same size.
    pub fn copy_rect(&mut self, from: &I420, r: Rect) {
        let half = self.w / 2;
        for y in r.y0..r.y1 {
            self.y[y * self.w + r.x0..y * self.w + r.x1].copy_from_slice(&from.y[y * self.w + r.x0..y * self.w + r.x1]);
        }
        for y in r.y0 / 2..r.y1 / 2 {
            let span = y * half + r.x0 / 2..y * half + r.x1 / 2;
            self.u[span.clone()].copy_from_slice(&from.u[span.clone()]);
            self.v[span.clone()].copy_from_slice(&from.v[span]);
        }
    }

    /// Fills the whole from a part of another picture: left, top, width, height in its pixels, enlarged bilinearly.
    pub fn window(&mut self, from: &I420, (left, top, width, height): (f32, f32, f32, f32)) {
        let (w, h) = (self.w, self.h);
        enlarge(&from.y, (from.w, from.h), &mut self.y, (w, h), (left, top, width, height));
        let (half, part) = ((from.w / 2, from.h / 2), (left / 2.0, top / 2.0, width / 2.0, height / 2.0));
        enlarge(&from.u, half, &mut self.u, (w / 2, h / 2), part);
        enlarge(&from.v, half, &mut self.v, (w / 2, h / 2), part);
    }

    /// Sets a rectangle to a grey (luma 16–235).
    pub fn grey(&mut self, r: Rect, luma: u8) {
        let half = self.w / 2;
        for y in r.y0..r.y1 {
            self.y[y * self.w + r.x0..y * self.w + r.x1].fill(luma);
        }
        for y in r.y0 / 2..r.y1 / 2 {
            self.u[y * half + r.x0 / 2..y * half + r.x1 / 2].fill(128);
            self.v[y * half + r.x0 / 2..y * half + r.x1 / 2].fill(128);
        }
    }

    /// The picture as RGB bytes, for screenshots and tests.
    pub fn to_rgb(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.w * self.h * 3);
        for y in 0..self.h {
            for x in 0..self.w {
                let c = (y / 2) * (self.w / 2) + x / 2;
                let l = (f32::from(self.y[y * self.w + x]) - 16.0) * 255.0 / 219.0;
                let (u, v) =
                    ((f32::from(self.u[c]) - 128.0) * 255.0 / 224.0, (f32::from(self.v[c]) - 128.0) * 255.0 / 224.0);
                for value in [l + 1.402 * v, l - 0.344_136 * u - 0.714_136 * v, l + 1.772 * u] {
                    out.push((value + 0.5).clamp(0.0, 255.0) as u8);
                }
            }
        }
        out
    }
}

impl openh264::formats::YUVSource for I420 {
    fn dimensions(&self) -> (usize, usize) {
        (self.w, self.h)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.w, self.w / 2, self.w / 2)
    }

    fn y(&self) -> &[u8] {
        &self.y
    }

    fn u(&self) -> &[u8] {
        &self.u
    }

    fn v(&self) -> &[u8] {
        &self.v
    }
}

/// One plane of [`I420::window`], in fixed point with eight bits of fraction.
fn enlarge(
    from: &[u8],
    (from_w, from_h): (usize, usize),
    to: &mut [u8],
    (w, h): (usize, usize),
    (left, top, width, height): (f32, f32, f32, f32),
) {
    let fixed = |start: f32, size: f32, n: usize, of: usize, most: usize| {
        let at = start + (n as f32 + 0.5) * size / of as f32 - 0.5;
        let at = (at.clamp(0.0, (most - 1) as f32) * 256.0) as usize;
        (at >> 8, ((at >> 8) + 1).min(most - 1), (at & 255) as u32)
    };
    let columns: Vec<_> = (0..w).map(|x| fixed(left, width, x, w, from_w)).collect();
    for (y, row) in to.chunks_exact_mut(w).enumerate().take(h) {
        let (upper, lower, fy) = fixed(top, height, y, h, from_h);
        let (upper, lower) = (&from[upper * from_w..][..from_w], &from[lower * from_w..][..from_w]);
        for (pixel, (x0, x1, fx)) in row.iter_mut().zip(&columns) {
            let blend = |row: &[u8]| u32::from(row[*x0]) * (256 - fx) + u32::from(row[*x1]) * fx;
            *pixel = ((blend(upper) * (256 - fy) + blend(lower) * fy + 32_768) >> 16) as u8;
        }
    }
}

/// Luma of a colour, 16–235 (BT.601). For premultiplied colours scale the offset by alpha.
pub fn luma(c: Rgba) -> f32 {
    16.0 + 219.0 * (0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2])
}

/// Chroma of a colour, 16–240 (BT.601).
pub fn chroma(c: Rgba) -> [f32; 2] {
    let y = 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
    [128.0 + 224.0 * (c[2] - y) / 1.772, 128.0 + 224.0 * (c[0] - y) / 1.402]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::paint::rgb;

    #[test]
    fn colours_survive_the_way_to_i420_and_back() {
        for hex in [0xff0000, 0x00ff00, 0x2040c0, 0xffffff, 0x000000, 0xf0a020] {
            let mut p = Paint::new(4, 4);
            p.wash(|_, _| rgb(hex));
            let back = I420::from_paint(&p).to_rgb();
            for (k, shift) in [16, 8, 0].into_iter().enumerate() {
                assert!(u32::from(back[k]).abs_diff((hex >> shift) & 0xff) <= 4, "{hex:06x} gave {:?}", &back[..3]);
            }
        }
    }

    #[test]
    fn a_window_over_the_whole_is_the_whole_and_over_a_corner_its_colour() {
        let mut scene = I420::black(40, 20);
        scene.grey(Rect { x0: 20, y0: 0, x1: 40, y1: 10 }, 200);
        let mut seen = I420::black(40, 20);
        seen.window(&scene, (0.0, 0.0, 40.0, 20.0));
        assert_eq!(seen, scene);
        seen.window(&scene, (24.0, 0.0, 10.0, 5.0));
        assert!(seen.y.iter().all(|y| *y == 200), "{:?}", &seen.y[..8]);
    }

    #[test]
    fn rectangles_are_even_and_inside() {
        assert_eq!(Rect::around(-5.0, 3.2, 7.1, 99.0, 20, 10), Some(Rect { x0: 0, y0: 2, x1: 8, y1: 10 }));
        assert_eq!(Rect::around(30.0, 0.0, 40.0, 5.0, 20, 10), None);
        assert_eq!(Rect::around(5.0, 0.0, f32::NAN, 5.0, 20, 10), None);
    }
}
