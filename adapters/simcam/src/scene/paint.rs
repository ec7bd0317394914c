//! A small anti-aliased painter: filled paths, gradients, soft shadows, value noise.
//!
//! It draws what is drawn once (backgrounds, cars, plates); what moves is a [`super::sprite::Sprite`] made from it.

/// Red, green, blue, alpha, 0–1, not premultiplied, in the picture's own (gamma) scale.
pub type Rgba = [f32; 4];
/// A point in pixels.
pub type Point = [f32; 2];

/// Vertical samples per pixel row; horizontally coverage is exact.
const ROWS: usize = 4;

/// An opaque colour from `0xRRGGBB`.
pub fn rgb(hex: u32) -> Rgba {
    let c = |shift: u32| ((hex >> shift) & 0xff) as f32 / 255.0;
    [c(16), c(8), c(0), 1.0]
}

/// The same colour with this alpha.
pub fn alpha(c: Rgba, a: f32) -> Rgba {
    [c[0], c[1], c[2], c[3] * a]
}

/// A colour between two.
pub fn mix(a: Rgba, b: Rgba, t: f32) -> Rgba {
    let t = t.clamp(0.0, 1.0);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// The colour made lighter (`by` > 1) or darker.
pub fn shade(c: Rgba, by: f32) -> Rgba {
    [(c[0] * by).min(1.0), (c[1] * by).min(1.0), (c[2] * by).min(1.0), c[3]]
}

/// A colour out of a list of stops `(position, colour)`, positions rising.
pub fn ramp(stops: &[(f32, Rgba)], t: f32) -> Rgba {
    let after = stops.iter().position(|s| s.0 > t);
    match (after, stops) {
        (_, []) => [0.0; 4],
        (Some(0), [first, ..]) => first.1,
        (None, [.., last]) => last.1,
        (Some(n), _) => {
            let (a, b) = (stops[n - 1], stops[n]);
            mix(a.1, b.1, (t - a.0) / (b.0 - a.0))
        }
    }
}

/// Smooth 0 to 1 as `t` goes from `a` to `b`.
pub fn smooth(a: f32, b: f32, t: f32) -> f32 {
    let t = ((t - a) / (b - a)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn hash(x: i32, y: i32, seed: u32) -> f32 {
    let mut h =
        (x as u32).wrapping_mul(0x85eb_ca6b) ^ (y as u32).wrapping_mul(0xc2b2_ae35) ^ seed.wrapping_mul(0x27d4_eb2f);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2c1b_3c6d);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297a_2d39);
    h ^= h >> 15;
    (h >> 8) as f32 / (1 << 24) as f32
}

/// Value noise 0–1 with features about one unit wide.
pub fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (xi, yi) = (x.floor(), y.floor());
    let (fx, fy) = (smooth(0.0, 1.0, x - xi), smooth(0.0, 1.0, y - yi));
    let at = |dx, dy| hash(xi as i32 + dx, yi as i32 + dy, seed);
    let (top, bottom) = (at(0, 0) + (at(1, 0) - at(0, 0)) * fx, at(0, 1) + (at(1, 1) - at(0, 1)) * fx);
    top + (bottom - top) * fy
}

/// Noise over several scales, 0–1.
pub fn fbm(x: f32, y: f32, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut weight, mut total, mut k) = (0.0, 1.0, 0.0, 1.0);
    for octave in 0..octaves {
        sum += weight * noise(x * k, y * k, seed + octave);
        total += weight;
        weight *= 0.5;
        k *= 2.0;
    }
    sum / total
}

/// Outlines, filled by the nonzero rule.
#[derive(Debug, Clone, Default)]
pub struct Path {
    loops: Vec<Vec<Point>>,
}

impl Path {
    /// A closed polygon.
    pub fn polygon(points: &[Point]) -> Self {
        Self { loops: vec![points.to_vec()] }
    }

    /// A rectangle.
    pub fn rect(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self::polygon(&[[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    }

    /// A rectangle with round corners.
    pub fn round_rect(x: f32, y: f32, w: f32, h: f32, r: f32) -> Self {
        let r = r.min(w / 2.0).min(h / 2.0);
        let corner = |cx: f32, cy: f32, from: f32| {
            (0..=8).map(move |i| {
                let a = (from + i as f32 * 90.0 / 8.0).to_radians();
                [cx + r * a.cos(), cy + r * a.sin()]
            })
        };
        let points = corner(x + w - r, y + h - r, 0.0)
            .chain(corner(x + r, y + h - r, 90.0))
            .chain(corner(x + r, y + r, 180.0))
            .chain(corner(x + w - r, y + r, 270.0));
        Self { loops: vec![points.collect()] }
    }

    /// An ellipse by centre and radii.
    pub fn ellipse(cx: f32, cy: f32, rx: f32, ry: f32) -> Self {
        let n = ((rx + ry) as usize).clamp(16, 160);
        let at = |i: usize| {
            let a = i as f32 / n as f32 * std::f32::consts::TAU;
            [cx + rx * a.cos(), cy + ry * a.sin()]
        };
        Self { loops: vec![(0..n).map(at).collect()] }
    }

    /// A closed smooth outline through the points (Catmull–Rom); a point given twice makes a corner.
    pub fn curve(points: &[Point]) -> Self {
        let n = points.len();
        let mut out = Vec::with_capacity(n * 10);
        for i in 0..n {
            let [p0, p1, p2, p3] = [points[(i + n - 1) % n], points[i], points[(i + 1) % n], points[(i + 2) % n]];
            if p1 == p2 {
                out.push(p1);
                continue;
            }
            for step in 0..10 {
                let t = step as f32 / 10.0;
                let (t2, t3) = (t * t, t * t * t);
                out.push(std::array::from_fn(|k| {
                    0.5 * (2.0 * p1[k]
                        + (p2[k] - p0[k]) * t
                        + (2.0 * p0[k] - 5.0 * p1[k] + 4.0 * p2[k] - p3[k]) * t2
                        + (3.0 * p1[k] - p0[k] - 3.0 * p2[k] + p3[k]) * t3)
                }));
            }
        }
        Self { loops: vec![out] }
    }

    /// Both outlines together.
    pub fn and(mut self, other: Path) -> Self {
        self.loops.extend(other.loops);
        self
    }

    /// The mirror image about the vertical line at `x`.
    pub fn mirrored(&self, x: f32) -> Self {
        self.map(|p| [2.0 * x - p[0], p[1]])
    }

    /// Every point sent through `f`.
    pub fn map(&self, f: impl Fn(Point) -> Point) -> Self {
        Self { loops: self.loops.iter().map(|l| l.iter().map(|p| f(*p)).collect()).collect() }
    }

    fn bounds(&self) -> Option<[f32; 4]> {
        let mut points = self.loops.iter().flatten();
        let first = points.next()?;
        Some(points.fold([first[0], first[1], first[0], first[1]], |b, p| {
            [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])]
        }))
    }

    /// Calls `row(y, x of the first value, coverage 0–1)` for each pixel row the path touches inside w × h.
    fn scan(&self, w: usize, h: usize, mut row: impl FnMut(usize, usize, &[f32])) {
        let Some([left, top, right, bottom]) = self.bounds() else { return };
        let (x0, x1) = (left.floor().clamp(0.0, w as f32) as usize, right.ceil().clamp(0.0, w as f32) as usize);
        let (y0, y1) = (top.floor().clamp(0.0, h as f32) as usize, bottom.ceil().clamp(0.0, h as f32) as usize);
        if x0 >= x1 {
            return;
        }
        let mut edges: Vec<(Point, Point, i32)> = Vec::new();
        for points in &self.loops {
            for (i, &a) in points.iter().enumerate() {
                let b = points[(i + 1) % points.len()];
                if a[1] < b[1] {
                    edges.push((a, b, 1));
                } else if b[1] < a[1] {
                    edges.push((b, a, -1));
                }
            }
        }
        edges.sort_by(|a, b| a.0[1].total_cmp(&b.0[1]));
        let mut coverage = vec![0.0f32; x1 - x0];
        let mut crossings: Vec<(f32, i32)> = Vec::new();
        for y in y0..y1 {
            coverage.fill(0.0);
            for sub in 0..ROWS {
                let sy = y as f32 + (sub as f32 + 0.5) / ROWS as f32;
                crossings.clear();
                for &(a, b, winding) in edges.iter().take_while(|e| e.0[1] <= sy) {
                    if b[1] > sy {
                        crossings.push((a[0] + (sy - a[1]) / (b[1] - a[1]) * (b[0] - a[0]), winding));
                    }
                }
                crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
                let (mut winding, mut from) = (0, 0.0);
                for &(x, step) in &crossings {
                    if winding == 0 {
                        from = x;
                    }
                    winding += step;
                    if winding == 0 {
                        span(&mut coverage, from - x0 as f32, x - x0 as f32);
                    }
                }
            }
            row(y, x0, &coverage);
        }
    }
}

fn span(coverage: &mut [f32], from: f32, to: f32) {
    let (from, to) = (from.max(0.0), to.min(coverage.len() as f32));
    if to <= from {
        return;
    }
    let (first, last) = (from as usize, (to as usize).min(coverage.len() - 1));
    for (x, c) in coverage.iter_mut().enumerate().take(last + 1).skip(first) {
        *c += (to.min(x as f32 + 1.0) - from.max(x as f32)).max(0.0) / ROWS as f32;
    }
}

/// Paper to paint on: premultiplied, at first transparent.
#[derive(Debug, Clone)]
pub struct Paint {
    /// Width in pixels.
    pub w: usize,
    /// Height in pixels.
    pub h: usize,
    /// Premultiplied pixels, row by row.
    pub px: Vec<Rgba>,
}

impl Paint {
    /// Transparent paper.
    pub fn new(w: usize, h: usize) -> Self {
        Self { w, h, px: vec![[0.0; 4]; w * h] }
    }

    /// Lays `c` over one pixel, `coverage` of it.
    fn over(&mut self, at: usize, c: Rgba, coverage: f32) {
        let a = c[3] * coverage.min(1.0);
        let d = &mut self.px[at];
        *d = [
            c[0] * a + d[0] * (1.0 - a),
            c[1] * a + d[1] * (1.0 - a),
            c[2] * a + d[2] * (1.0 - a),
            a + d[3] * (1.0 - a),
        ];
    }

    /// Fills a path; `brush` gives the colour at a pixel's centre.
    pub fn fill(&mut self, path: &Path, brush: impl Fn(f32, f32) -> Rgba) {
        let (w, h) = (self.w, self.h);
        path.scan(w, h, |y, x0, coverage| {
            for (i, c) in coverage.iter().enumerate().filter(|(_, c)| **c > 0.0) {
                let x = x0 + i;
                self.over(y * w + x, brush(x as f32 + 0.5, y as f32 + 0.5), *c);
            }
        });
    }

    /// Fills a path with one colour.
    pub fn flat(&mut self, path: &Path, c: Rgba) {
        self.fill(path, |_, _| c);
    }

    /// Fills everything.
    pub fn wash(&mut self, brush: impl Fn(f32, f32) -> Rgba) {
        for at in 0..self.px.len() {
            let c = brush((at % self.w) as f32 + 0.5, (at / self.w) as f32 + 0.5);
            self.over(at, c, 1.0);
        }
    }

    /// Fills a path whose edge is blurred over `radius` pixels: shadows, glows.
    pub fn soft(&mut self, path: &Path, radius: f32, c: Rgba) {
        let Some([left, top, right, bottom]) = path.bounds() else { return };
        let margin = (radius * 2.0).ceil();
        let (ox, oy) = ((left - margin).floor().max(-margin), (top - margin).floor().max(-margin));
        let w = ((right + margin).min(self.w as f32 + margin) - ox).ceil().max(0.0) as usize;
        let h = ((bottom + margin).min(self.h as f32 + margin) - oy).ceil().max(0.0) as usize;
        if w == 0 || h == 0 {
            return;
        }
        let mut mask = vec![0.0f32; w * h];
        path.map(|p| [p[0] - ox, p[1] - oy]).scan(w, h, |y, x0, coverage| {
            mask[y * w + x0..][..coverage.len()].iter_mut().zip(coverage).for_each(|(m, c)| *m = c.min(1.0));
        });
        box_blur(&mut mask, w, h, (radius / 2.0).max(1.0) as usize, 3);
        for (i, m) in mask.iter().enumerate().filter(|(_, m)| **m > 0.002) {
            let (x, y) = ((i % w) as f32 + ox, (i / w) as f32 + oy);
            if x >= 0.0 && y >= 0.0 && x < self.w as f32 && y < self.h as f32 {
                self.over(y as usize * self.w + x as usize, c, *m);
            }
        }
    }

    /// Blurs the whole sheet by a few box passes.
    pub fn blur(&mut self, radius: usize) {
        for k in 0..4 {
            let mut plane: Vec<f32> = self.px.iter().map(|p| p[k]).collect();
            box_blur(&mut plane, self.w, self.h, radius, 2);
            self.px.iter_mut().zip(plane).for_each(|(p, v)| p[k] = v);
        }
    }

    /// Lays another sheet over this one with its corner at (x, y).
    pub fn lay(&mut self, other: &Paint, x: i32, y: i32, opacity: f32) {
        for row in 0..other.h as i32 {
            for col in 0..other.w as i32 {
                let (dx, dy) = (x + col, y + row);
                if dx < 0 || dy < 0 || dx >= self.w as i32 || dy >= self.h as i32 {
                    continue;
                }
                let s = other.px[row as usize * other.w + col as usize];
                let d = &mut self.px[dy as usize * self.w + dx as usize];
                *d = std::array::from_fn(|k| s[k] * opacity + d[k] * (1.0 - s[3] * opacity));
            }
        }
    }

    /// The premultiplied colour between pixels; outside it is transparent.
    pub fn sample(&self, x: f32, y: f32) -> Rgba {
        let (x, y) = (x - 0.5, y - 0.5);
        let (xi, yi) = (x.floor(), y.floor());
        let (fx, fy) = (x - xi, y - yi);
        let at = |dx: i32, dy: i32| {
            let (px, py) = (xi as i32 + dx, yi as i32 + dy);
            let inside = px >= 0 && py >= 0 && (px as usize) < self.w && (py as usize) < self.h;
            if inside { self.px[py as usize * self.w + px as usize] } else { [0.0; 4] }
        };
        let (a, b, c, d) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
        std::array::from_fn(|k| (a[k] * (1.0 - fx) + b[k] * fx) * (1.0 - fy) + (c[k] * (1.0 - fx) + d[k] * fx) * fy)
    }
}

/// Blurs a plane by `passes` of a box of 2 · radius + 1; edges repeat.
pub fn box_blur(plane: &mut [f32], w: usize, h: usize, radius: usize, passes: usize) {
    let mut line = vec![0.0f32; w.max(h)];
    for _ in 0..passes {
        for y in 0..h {
            blur_line(&mut plane[y * w..(y + 1) * w], 1, w, radius, &mut line);
        }
        for x in 0..w {
            blur_line(&mut plane[x..], w, h, radius, &mut line);
        }
    }
}

fn blur_line(data: &mut [f32], stride: usize, n: usize, radius: usize, line: &mut [f32]) {
    for (i, v) in line[..n].iter_mut().enumerate() {
        *v = data[i * stride];
    }
    let at = |i: isize| line[i.clamp(0, n as isize - 1) as usize];
    let r = radius as isize;
    let mut sum: f32 = (-r..=r).map(at).sum();
    let scale = 1.0 / (2 * r + 1) as f32;
    for i in 0..n as isize {
        data[i as usize * stride] = sum * scale;
        sum += at(i + r + 1) - at(i - r);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(p: &Paint) -> f32 {
        p.px.iter().map(|c| c[3]).sum()
    }

    #[test]
    fn a_filled_path_covers_its_area() {
        let mut p = Paint::new(100, 80);
        p.flat(&Path::rect(10.25, 10.0, 20.5, 30.5), rgb(0xffffff));
        assert!((ink(&p) - 20.5 * 30.5).abs() < 1.0, "{}", ink(&p));
        let mut p = Paint::new(100, 80);
        p.flat(&Path::ellipse(50.0, 40.0, 30.0, 20.0), rgb(0xffffff));
        assert!((ink(&p) - std::f32::consts::PI * 600.0).abs() < 20.0, "{}", ink(&p));
    }

    #[test]
    fn what_lies_outside_is_clipped() {
        let mut p = Paint::new(20, 10);
        p.flat(&Path::rect(-50.0, -50.0, 60.0, 55.0), rgb(0xffffff));
        assert!((ink(&p) - 50.0).abs() < 0.5, "{}", ink(&p));
        p.soft(&Path::rect(-500.0, 300.0, 10.0, 10.0), 20.0, rgb(0xffffff));
        p.flat(&Path::default(), rgb(0xffffff));
        assert!((ink(&p) - 50.0).abs() < 0.5);
    }

    #[test]
    fn a_blur_keeps_the_sum() {
        let mut plane = vec![0.0; 40 * 30];
        plane[15 * 40 + 20] = 1.0;
        box_blur(&mut plane, 40, 30, 3, 2);
        assert!((plane.iter().sum::<f32>() - 1.0).abs() < 1e-3);
        assert!(plane[15 * 40 + 20] < 0.1);
    }
}
