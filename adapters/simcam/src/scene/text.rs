//! Letters: burned-in captions and the glyphs of plates.

use super::canvas::{I420, Rect};
use super::paint::{Paint, Path, Rgba, alpha, rgb};
use super::sprite::{Placing, Sprite};
use fontdue::{Font, FontSettings};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static LATIN: LazyLock<Font> = LazyLock::new(|| font(include_bytes!("assets/plate-latin.ttf")));
static CJK: LazyLock<Font> = LazyLock::new(|| font(include_bytes!("assets/plate-cjk.ttf")));

fn font(bytes: &'static [u8]) -> Font {
    let settings = FontSettings { scale: 160.0, ..FontSettings::default() };
    Font::from_bytes(bytes, settings).expect("the embedded fonts are whole: a test reads them")
}

/// The font that has this character.
pub fn font_for(c: char) -> Option<&'static Font> {
    [&*LATIN, &*CJK].into_iter().find(|f| f.lookup_glyph_index(c) != 0)
}

/// Paints one character so that its ink fills the box exactly, stretched as plates do it; false when no font has it.
pub fn paint_filling(paint: &mut Paint, c: char, [x, y, w, h]: [f32; 4], colour: Rgba) -> bool {
    let Some(font) = font_for(c) else { return false };
    let (metrics, bitmap) = font.rasterize(c, h.max(w) * 2.0);
    if metrics.width == 0 || metrics.height == 0 {
        return true;
    }
    let (gw, gh) = (metrics.width as f32, metrics.height as f32);
    let sample = |px: f32, py: f32| {
        // The mean of the ink that falls on this pixel: glyphs are rastered about twice too large.
        let (from_x, to_x) = ((px - 0.5 - x) / w * gw, (px + 0.5 - x) / w * gw);
        let (from_y, to_y) = ((py - 0.5 - y) / h * gh, (py + 0.5 - y) / h * gh);
        let (mut sum, mut n) = (0.0, 0.0);
        for sy in from_y.floor().max(0.0) as usize..to_y.ceil().clamp(0.0, gh) as usize {
            for sx in from_x.floor().max(0.0) as usize..to_x.ceil().clamp(0.0, gw) as usize {
                sum += f32::from(bitmap[sy * metrics.width + sx]);
                n += 1.0;
            }
        }
        if n == 0.0 { 0.0 } else { sum / n / 255.0 }
    };
    paint.fill(&Path::rect(x.floor(), y.floor(), w.ceil() + 1.0, h.ceil() + 1.0), |px, py| {
        alpha(colour, sample(px, py))
    });
    true
}

/// Paints a line of text with its baseline at `y`; returns where the next letter would start.
pub fn paint_line(paint: &mut Paint, text: &str, size: f32, x: f32, y: f32, colour: Rgba) -> f32 {
    let mut pen = x;
    for c in text.chars() {
        let Some(font) = font_for(c) else { continue };
        let (m, bitmap) = font.rasterize(c, size);
        let (left, top) = (pen.round() as i32 + m.xmin, y.round() as i32 - m.height as i32 - m.ymin);
        for (i, ink) in bitmap.iter().enumerate().filter(|(_, ink)| **ink > 0) {
            let (px, py) = (left + (i % m.width) as i32, top + (i / m.width) as i32);
            paint.flat(&Path::rect(px as f32, py as f32, 1.0, 1.0), alpha(colour, f32::from(*ink) / 255.0));
        }
        pen += m.advance_width;
    }
    pen
}

/// Captions burned into a stream: white letters with a dark rim, readable on anything.
#[derive(Debug)]
pub struct Caption {
    size: f32,
    glyphs: BTreeMap<char, (Sprite, f32)>,
}

impl Caption {
    /// Captions of this letter size in pixels.
    pub fn new(size: f32) -> Self {
        Self { size, glyphs: BTreeMap::new() }
    }

    /// Width of a text in pixels. Figures are all equally wide, so a clock does not dance.
    pub fn width(&mut self, text: &str) -> f32 {
        text.chars().map(|c| self.glyph(c).1).sum()
    }

    /// The area a text of this width covers with its rim.
    pub fn area(&self, x: f32, y: f32, width: f32, canvas: &I420) -> Option<Rect> {
        Rect::around(x - 3.0, y, x + width + 4.0, y + self.size * 1.35, canvas.w, canvas.h)
    }

    /// Draws a text with its upper left corner at (x, y).
    pub fn draw(&mut self, canvas: &mut I420, text: &str, x: f32, y: f32) {
        let mut pen = x;
        for c in text.chars() {
            let (sprite, advance) = self.glyph(c);
            sprite.draw(canvas, Placing::at((pen - 3.0).round(), y.round()));
            pen += *advance;
        }
    }

    fn glyph(&mut self, c: char) -> &(Sprite, f32) {
        let size = self.size;
        self.glyphs.entry(c).or_insert_with(|| {
            let Some(font) = font_for(c) else { return (Sprite::new(&Paint::new(1, 1)), 0.0) };
            let advance = font.metrics(if c.is_ascii_digit() { '0' } else { c }, size).advance_width.round();
            let (w, h) = (advance as usize + 8, (size * 1.35) as usize);
            let mut ink = Paint::new(w, h);
            paint_line(&mut ink, &c.to_string(), size, 3.0, size, rgb(0xf4f6f8));
            let mut rim = Paint::new(w, h);
            paint_line(&mut rim, &c.to_string(), size, 3.0, size, rgb(0x05070a));
            let mut out = Paint::new(w, h);
            for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1), (1, 1)] {
                out.lay(&rim, dx, dy, 0.75);
            }
            out.lay(&ink, 0, 0, 1.0);
            (Sprite::new(&out), advance)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_fonts_have_every_character_of_a_plate() {
        let provinces = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼学警港澳·";
        for c in provinces.chars().chain(('0'..='9').chain('A'..='Z')) {
            assert!(font_for(c).is_some(), "no glyph for {c}");
        }
    }

    #[test]
    fn a_stretched_glyph_fills_its_box() {
        for c in ['粤', 'B', '1', '8'] {
            let mut p = Paint::new(80, 120);
            assert!(paint_filling(&mut p, c, [17.0, 13.0, 45.0, 90.0], rgb(0xffffff)));
            let ink = |x: usize, y: usize| p.px[y * 80 + x][3] > 0.3;
            let rows: Vec<_> = (0..120).filter(|y| (0..80).any(|x| ink(x, *y))).collect();
            let cols: Vec<_> = (0..80).filter(|x| (0..120).any(|y| ink(*x, y))).collect();
            assert!(rows[0].abs_diff(13) <= 2 && rows[rows.len() - 1].abs_diff(102) <= 2, "{c}: rows {rows:?}");
            assert!(cols[0].abs_diff(17) <= 2 && cols[cols.len() - 1].abs_diff(61) <= 2, "{c}: columns {cols:?}");
        }
    }

    #[test]
    fn a_clock_keeps_its_width_and_unknown_letters_are_skipped() {
        let mut caption = Caption::new(20.0);
        assert_eq!(caption.width("11:11:11.111"), caption.width("08:48:29.640"));
        let mut canvas = I420::black(200, 60);
        caption.draw(&mut canvas, "鬱 1", 4.0, 4.0);
        assert!(canvas.y.iter().any(|y| *y > 200));
    }
}
