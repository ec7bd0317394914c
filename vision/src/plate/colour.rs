//! The ground colour of a plate from its flattened picture.

use gatehouse_core::recognition::plate::PlateColour;

use crate::frame::Rgb;

/// Least share of the pixels that must speak for a colour.
const SHARE: f32 = 0.25;

/// Estimates the ground colour by counting hues; the ground covers most of a plate, the characters the rest.
///
/// The outer tenth is left out: bumper and frame. A plate without colour is white or black by
/// its median brightness, which is the ground's.
pub(super) fn estimate(plate: &Rgb) -> PlateColour {
    let (w, h) = (plate.width(), plate.height());
    let (mx, my) = (w / 10, h / 10);
    let (mut blue, mut yellow, mut green, mut grey, mut all) = (0u32, 0u32, 0u32, 0u32, 0u32);
    let mut values = [0u32; 256];
    for y in my..h - my {
        for x in mx..w - mx {
            let (hue, saturation, value) = hsv(plate.pixel(x, y));
            all += 1;
            values[value as usize] += 1;
            match hue {
                _ if saturation < 60 => grey += 1,
                _ if value < 40 => {}
                195..=265 => blue += 1,
                22..=68 => yellow += 1,
                69..=194 => green += 1,
                _ => {}
            }
        }
    }
    let share = |count: u32| count as f32 / all.max(1) as f32;
    let (colour, count) = [(PlateColour::Blue, blue), (PlateColour::Yellow, yellow), (PlateColour::Green, green)]
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .unwrap_or((PlateColour::Unknown, 0));
    if share(count) >= SHARE {
        colour
    } else if share(grey) >= 0.6 {
        let mut below = 0;
        let median = values.iter().position(|count| {
            below += count;
            2 * below >= all
        });
        match median {
            Some(0..=75) => PlateColour::Black,
            Some(125..) => PlateColour::White,
            _ => PlateColour::Unknown,
        }
    } else {
        PlateColour::Unknown
    }
}

/// Hue 0–359°, saturation and value 0–255.
fn hsv(pixel: &[u8]) -> (u16, u8, u8) {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let span = max - min;
    if span == 0 {
        return (0, 0, max as u8);
    }
    let sixth = if max == r {
        60 * (g - b) / span
    } else if max == g {
        120 + 60 * (b - r) / span
    } else {
        240 + 60 * (r - g) / span
    };
    (sixth.rem_euclid(360) as u16, (255 * span / max) as u8, max as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plate of one ground colour with a third of its columns in the glyph colour.
    fn plate(ground: [u8; 3], glyph: [u8; 3]) -> Rgb {
        let data = (0..48 * 188).flat_map(|i| if i % 3 == 0 { glyph } else { ground }).collect();
        Rgb::from_bytes(188, 48, data).expect("sized")
    }

    #[test]
    fn the_grounds_of_ga36_are_told_apart() {
        let (white, black) = ([235, 235, 235], [20, 20, 20]);
        for (ground, glyph, want) in [
            ([20, 60, 160], white, PlateColour::Blue),
            ([30, 45, 90], [120, 125, 130], PlateColour::Blue),
            ([225, 170, 30], black, PlateColour::Yellow),
            ([90, 200, 140], black, PlateColour::Green),
            (white, black, PlateColour::White),
            ([25, 25, 28], white, PlateColour::Black),
            ([100, 100, 100], black, PlateColour::Unknown),
        ] {
            assert_eq!(estimate(&plate(ground, glyph)), want, "{ground:?}");
        }
    }
}
