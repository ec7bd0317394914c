//! Chinese number plates after GA 36: 440 × 140 mm, new energy 480 × 140 mm.

use super::PlateColour;
use super::paint::{Paint, Path, Rgba, alpha, fbm, mix, rgb};
use super::text::paint_filling;

/// Height of every plate in millimetres.
const HEIGHT: f32 = 140.0;

/// Width of a plate in millimetres.
pub(crate) fn width_mm(colour: PlateColour) -> f32 {
    if colour == PlateColour::Green { 480.0 } else { 440.0 }
}

/// Left edge and width of each character in millimetres (GA 36-2018, figures A.1 and A.11).
fn cells(colour: PlateColour) -> Vec<(f32, f32)> {
    match colour {
        PlateColour::Green => {
            let rest = (0..6).map(|i| (161.5 + i as f32 * 52.0, 43.0));
            [(15.5, 45.0), (69.5, 43.0)].into_iter().chain(rest).collect()
        }
        PlateColour::Blue | PlateColour::Yellow => {
            let rest = (0..5).map(|i| (151.5 + i as f32 * 57.0, 45.0));
            [(15.5, 45.0), (72.5, 45.0)].into_iter().chain(rest).collect()
        }
    }
}

/// Draws a plate `width` pixels wide on transparent paper. Characters no font has are left blank.
pub(crate) fn draw(text: &str, colour: PlateColour, width: usize) -> Paint {
    let k = width as f32 / width_mm(colour);
    let height = (HEIGHT * k).round() as usize;
    let mut p = Paint::new(width, height);
    let (w, h) = (width as f32, height as f32);
    let (ink, ground): (Rgba, [Rgba; 2]) = match colour {
        PlateColour::Blue => (rgb(0xf6f8fb), [rgb(0x1450b8), rgb(0x0f43a4)]),
        PlateColour::Green => (rgb(0x10140f), [rgb(0xf1f7ee), rgb(0x3fb464)]),
        PlateColour::Yellow => (rgb(0x14120c), [rgb(0xf9bf16), rgb(0xf0ae08)]),
    };
    // Dirt and a fall of light: a plate as flat as a drawing is not what readers were taught on.
    let brush = |c: Rgba, x: f32, y: f32| {
        let grain = 0.94 + 0.1 * fbm(x / 9.0, y / 9.0, 3, 77) - 0.03 * y / h;
        [c[0] * grain, c[1] * grain, c[2] * grain, c[3]]
    };
    p.fill(&Path::round_rect(0.0, 0.0, w, h, 10.0 * k), |x, y| {
        let t = if colour == PlateColour::Green { (y / h - 0.1) / 0.9 } else { y / h };
        brush(mix(ground[0], ground[1], t), x, y)
    });
    let (outer, inner) = (5.0 * k, 5.0 * k + (2.4 * k).max(1.0));
    let ring = Path::round_rect(outer, outer, w - 2.0 * outer, h - 2.0 * outer, 8.0 * k);
    let hole = Path::round_rect(inner, inner, w - 2.0 * inner, h - 2.0 * inner, 7.0 * k).mirrored(w / 2.0);
    p.flat(&ring.and(hole), alpha(ink, 0.9));
    for ((left, wide), c) in cells(colour).into_iter().zip(text.chars()) {
        paint_filling(&mut p, c, [left * k, 25.0 * k, wide * k, 90.0 * k], ink);
    }
    if colour != PlateColour::Green {
        p.flat(&Path::ellipse(134.5 * k, 70.0 * k, 5.0 * k, 5.0 * k), ink);
    }
    for x in [0.22, 0.78] {
        for y in [0.09, 0.91] {
            p.flat(&Path::ellipse(x * w, y * h, 3.4 * k, 3.4 * k), rgb(0xb9bec4));
            p.flat(&Path::ellipse(x * w, y * h, 1.6 * k, 1.6 * k), rgb(0x5d636b));
        }
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_inside_the_plate_and_apart() {
        for colour in [PlateColour::Blue, PlateColour::Green, PlateColour::Yellow] {
            let cells = cells(colour);
            assert_eq!(cells.len(), if colour == PlateColour::Green { 8 } else { 7 });
            assert!(cells.windows(2).all(|c| c[0].0 + c[0].1 + 8.0 < c[1].0), "{cells:?}");
            let last = cells[cells.len() - 1];
            assert!((width_mm(colour) - (last.0 + last.1) - 15.5).abs() < 0.6, "{last:?}");
        }
    }

    #[test]
    fn each_kind_has_its_ground_and_ink() {
        let plate = draw("粤B12345", PlateColour::Blue, 440);
        assert!(plate.px[35 * 440 + 135][2] > plate.px[35 * 440 + 135][0] * 2.0, "blue ground");
        assert!(plate.px[70 * 440 + 134][0] > 0.8, "white dot");
        assert_eq!(draw("粤BD12345", PlateColour::Green, 480).h, 140);
    }
}
