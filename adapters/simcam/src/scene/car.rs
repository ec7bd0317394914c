//! A car seen from the front, as the lane camera sees it.

use super::paint::{Paint, Path, Point, Rgba, alpha, fbm, mix, ramp, rgb, shade, smooth};
use super::sprite::Sprite;
use super::{BodyColour, PlateColour, plate};
use std::sync::Arc;

/// Pixels per metre of the finished picture: a little more than a stopped car is shown with.
pub(crate) const SCALE: f32 = 460.0;
/// Half the width of the sheet in metres.
const HALF: f32 = 1.12;
/// Ground line above the sheet's lower edge, in metres: room for the shadow.
const BELOW: f32 = 0.10;
const HEIGHT: f32 = 1.58;
/// How far the body sits lower than its drawing's numbers say.
const DROP: f32 = 0.055;
/// The middle of the plate above the ground, in metres.
const PLATE_HEIGHT: f32 = 0.47;

/// A car ready to be driven: the sprite and the point of it that stands on the ground.
#[derive(Debug)]
pub(crate) struct Car {
    pub(crate) sprite: Arc<Sprite>,
    pub(crate) foot: Point,
}

fn body_colour(colour: BodyColour) -> Rgba {
    rgb(match colour {
        BodyColour::White => 0xe9ebec,
        BodyColour::Silver => 0xb4bac1,
        BodyColour::Graphite => 0x484d55,
        BodyColour::Navy => 0x1f3358,
        BodyColour::Burgundy => 0x6d1a24,
        BodyColour::Forest => 0x27453a,
    })
}

/// Points in metres (x from the middle, y above the ground) to sheet pixels.
fn to_px(p: Point) -> Point {
    on_ground([p[0], p[1] - DROP])
}

fn on_ground(p: Point) -> Point {
    [(HALF + p[0]) * SCALE, (HEIGHT - p[1]) * SCALE]
}

/// A symmetric outline from its right half, top to bottom.
fn both(right: &[Point]) -> Path {
    let left = right.iter().rev().map(|p| [-p[0], p[1]]);
    let all: Vec<Point> = right.iter().copied().chain(left).collect();
    Path::curve(&all).map(to_px)
}

fn one(points: &[Point]) -> Path {
    Path::curve(points).map(to_px)
}

/// Height above the ground of a sheet row.
fn up(py: f32) -> f32 {
    HEIGHT + DROP - py / SCALE
}

fn across(px: f32) -> f32 {
    px / SCALE - HALF
}

/// Draws the car with its plate.
pub(crate) fn draw(text: &str, plate_colour: PlateColour, body: BodyColour) -> Car {
    let mut p = Paint::new((2.0 * HALF * SCALE) as usize, ((HEIGHT + BELOW) * SCALE) as usize);
    let paint = body_colour(body);
    shadow_and_tyres(&mut p);
    cabin(&mut p, paint);
    bonnet(&mut p, paint);
    fascia(&mut p, paint);
    lamps(&mut p);
    let width = (plate::width_mm(plate_colour) / 1000.0 * SCALE) as usize;
    let sheet = plate::draw(text, plate_colour, width);
    let [x, y] = to_px([0.0, PLATE_HEIGHT]);
    let (x, y) = (x - sheet.w as f32 / 2.0, y - sheet.h as f32 / 2.0);
    p.soft(&Path::rect(x - 2.0, y + 2.0, sheet.w as f32 + 4.0, sheet.h as f32 + 3.0), 8.0, alpha(rgb(0x000000), 0.55));
    p.flat(&Path::round_rect(x - 4.0, y - 3.0, sheet.w as f32 + 8.0, sheet.h as f32 + 6.0, 6.0), rgb(0x16181b));
    p.lay(&sheet, x.round() as i32, y.round() as i32, 1.0);
    Car { sprite: Arc::new(Sprite::new(&p)), foot: on_ground([0.0, 0.0]) }
}

fn shadow_and_tyres(p: &mut Paint) {
    let [cx, cy] = on_ground([0.0, 0.03]);
    p.soft(&Path::ellipse(cx, cy, 0.93 * SCALE, 0.075 * SCALE), 0.09 * SCALE, alpha(rgb(0x05070a), 0.85));
    for side in [-1.0, 1.0] {
        let [x, y] = on_ground([side * 0.755 - 0.11, 0.36]);
        let (w, h) = (0.22 * SCALE, 0.36 * SCALE);
        p.fill(&Path::round_rect(x, y, w, h, 0.05 * SCALE), |px, _| {
            let t = (px - x) / w;
            mix(rgb(0x0c0d0f), rgb(0x2a2c30), smooth(0.0, 0.5, t) * smooth(1.0, 0.5, t))
        });
        for groove in 1..4 {
            let gx = x + w * groove as f32 / 4.0;
            p.flat(&Path::rect(gx - 1.5, y, 3.0, h - 4.0), alpha(rgb(0x000000), 0.6));
        }
    }
    // The underside between the wheels.
    p.flat(&both(&[[0.0, 0.34], [0.66, 0.34], [0.66, 0.34], [0.64, 0.15], [0.64, 0.15], [0.0, 0.14]]), rgb(0x08090b));
}

fn cabin(p: &mut Paint, paint: Rgba) {
    let shell = both(&[
        [0.0, 1.515],
        [0.30, 1.508],
        [0.47, 1.478],
        [0.545, 1.43],
        [0.60, 1.30],
        [0.685, 1.12],
        [0.73, 1.0],
        [0.73, 1.0],
        [0.0, 1.0],
    ]);
    p.fill(&shell, |x, y| {
        let (h, side) = (up(y), across(x));
        let light = 0.62 + 0.5 * smooth(1.42, 1.52, h) + 0.12 * smooth(0.4, -0.6, side);
        shade(paint, light)
    });
    // Side glass, seen at a flat angle behind the pillars.
    for side in [-1.0, 1.0] {
        let glass = one(&[
            [side * 0.555, 1.40],
            [side * 0.555, 1.40],
            [side * 0.70, 1.09],
            [side * 0.70, 1.09],
            [side * 0.672, 1.08],
            [side * 0.672, 1.08],
            [side * 0.545, 1.375],
        ]);
        p.flat(&glass, rgb(0x141a20));
    }
    let glass = both(&[
        [0.0, 1.462],
        [0.30, 1.456],
        [0.455, 1.432],
        [0.50, 1.40],
        [0.56, 1.26],
        [0.64, 1.055],
        [0.64, 1.055],
        [0.3, 1.03],
        [0.0, 1.025],
    ]);
    p.fill(&glass, |x, y| {
        let (h, side) = (up(y), across(x));
        let depth =
            ramp(&[(1.03, rgb(0x10161b)), (1.18, rgb(0x1f2a33)), (1.36, rgb(0x3c4d5b)), (1.46, rgb(0x6f8799))], h);
        // Trees and sky mirrored in the screen.
        let sky = smooth(0.52, 0.75, fbm(side * 5.0 + 2.0, h * 9.0, 3, 5)) * smooth(1.1, 1.4, h);
        mix(depth, rgb(0xaec4d4), 0.42 * sky)
    });
    // Seats, driver, wheel: dark shapes behind the glass.
    for (x, tall) in [(-0.29, 1.275), (0.29, 1.245)] {
        let head = one(&[
            [x, tall],
            [x + 0.072, tall - 0.03],
            [x + 0.075, tall - 0.105],
            [x, tall - 0.135],
            [x - 0.075, tall - 0.105],
            [x - 0.072, tall - 0.03],
        ]);
        p.flat(&head, alpha(rgb(0x07090b), 0.72));
        let back = one(&[
            [x - 0.13, 1.13],
            [x + 0.13, 1.13],
            [x + 0.2, 1.04],
            [x + 0.2, 1.04],
            [x - 0.2, 1.04],
            [x - 0.2, 1.04],
        ]);
        p.flat(&back, alpha(rgb(0x07090b), 0.66));
    }
    let [wx, wy] = to_px([0.29, 1.045]);
    let rim = Path::ellipse(wx, wy, 0.13 * SCALE, 0.07 * SCALE)
        .and(Path::ellipse(wx, wy, 0.115 * SCALE, 0.056 * SCALE).mirrored(wx));
    p.flat(&rim, alpha(rgb(0x020304), 0.8));
    p.flat(&both(&[[0.0, 1.44], [0.085, 1.437], [0.08, 1.4], [0.0, 1.395]]), alpha(rgb(0x06080a), 0.85));
    // A slanting gleam.
    let gleam = one(&[
        [-0.36, 1.445],
        [-0.36, 1.445],
        [-0.22, 1.455],
        [-0.22, 1.455],
        [-0.38, 1.04],
        [-0.38, 1.04],
        [-0.56, 1.05],
        [-0.56, 1.05],
    ]);
    p.flat(&gleam, alpha(rgb(0xdfeaf2), 0.10));
    for side in [-1.0, 1.0] {
        let arm = one(&[[side * 0.70, 1.12], [side * 0.82, 1.13], [side * 0.82, 1.09], [side * 0.70, 1.07]]);
        p.flat(&arm, shade(paint, 0.45));
        let mirror = one(&[
            [side * 0.77, 1.18],
            [side * 0.90, 1.20],
            [side * 0.965, 1.165],
            [side * 0.955, 1.08],
            [side * 0.86, 1.055],
            [side * 0.775, 1.085],
        ]);
        p.fill(&mirror, |_, y| shade(paint, 0.55 + 0.55 * smooth(1.06, 1.2, up(y))));
    }
    for (from, to) in [([0.02, 1.035], [-0.46, 1.075]), ([0.30, 1.037], [0.58, 1.085])] {
        let blade =
            one(&[from, from, to, to, [to[0], to[1] - 0.012], [to[0], to[1] - 0.012], [from[0], from[1] - 0.014]]);
        p.flat(&blade, rgb(0x050607));
    }
}

fn bonnet(p: &mut Paint, paint: Rgba) {
    let lid = both(&[
        [0.0, 1.045],
        [0.42, 1.04],
        [0.68, 1.02],
        [0.80, 0.985],
        [0.872, 0.93],
        [0.895, 0.84],
        [0.895, 0.84],
        [0.0, 0.78],
    ]);
    p.fill(&lid, |x, y| {
        let (h, side) = (up(y), across(x));
        // The sky lies on the lid; it darkens where it bends towards the front and the sides.
        let sky = 0.74 + 0.5 * smooth(0.84, 1.03, h) - 0.26 * smooth(0.5, 0.9, side.abs());
        let crease = 0.08 * (1.0 - ((side.abs() - 0.46 - 0.18 * (h - 0.9)) / 0.03).powi(2)).max(0.0);
        let clouds = 0.10 * (fbm(side * 3.0, h * 14.0, 3, 9) - 0.5) * smooth(0.86, 1.0, h);
        mix(shade(paint, sky + crease + clouds), rgb(0xdfe9f0), 0.16 * smooth(0.92, 1.03, h))
    });
    for side in [-1.0f32, 1.0] {
        let seam = one(&[
            [side * 0.66, 1.02],
            [side * 0.74, 0.93],
            [side * 0.77, 0.86],
            [side * 0.758, 0.86],
            [side * 0.725, 0.93],
            [side * 0.648, 1.02],
        ]);
        p.flat(&seam, alpha(rgb(0x000000), 0.35));
    }
}

fn fascia(p: &mut Paint, paint: Rgba) {
    let front = both(&[
        [0.0, 0.872],
        [0.45, 0.868],
        [0.74, 0.85],
        [0.895, 0.86],
        [0.925, 0.76],
        [0.93, 0.60],
        [0.915, 0.42],
        [0.90, 0.30],
        [0.86, 0.225],
        [0.70, 0.195],
        [0.0, 0.19],
    ]);
    p.fill(&front, |x, y| {
        let (h, side) = (up(y), across(x));
        let form = ramp(
            &[
                (0.19, rgb(0x6a6a6a)),
                (0.30, rgb(0x9a9a9a)),
                (0.40, rgb(0xb0b0b0)),
                (0.56, rgb(0xd2d2d2)),
                (0.72, rgb(0xe6e6e6)),
                (0.86, rgb(0xffffff)),
            ],
            h,
        )[0];
        let round = 1.0 - 0.42 * smooth(0.62, 0.95, side.abs());
        let left = 1.0 + 0.06 * smooth(0.3, -0.8, side);
        shade(paint, (0.1 + form) * round * left)
    });
    // The edge under the bonnet and a bright line on it.
    p.flat(
        &both(&[[0.0, 0.872], [0.45, 0.868], [0.70, 0.852], [0.70, 0.845], [0.45, 0.860], [0.0, 0.864]]),
        alpha(rgb(0x000000), 0.45),
    );
    p.flat(
        &both(&[[0.0, 0.884], [0.45, 0.88], [0.70, 0.864], [0.70, 0.858], [0.45, 0.873], [0.0, 0.877]]),
        alpha(rgb(0xffffff), 0.28),
    );
    // Upper grille.
    let mouth = both(&[
        [0.0, 0.825],
        [0.40, 0.818],
        [0.47, 0.785],
        [0.47, 0.785],
        [0.40, 0.625],
        [0.40, 0.625],
        [0.30, 0.605],
        [0.0, 0.603],
    ]);
    let frame = both(&[
        [0.0, 0.84],
        [0.415, 0.833],
        [0.49, 0.79],
        [0.49, 0.79],
        [0.415, 0.61],
        [0.415, 0.61],
        [0.305, 0.59],
        [0.0, 0.588],
    ]);
    p.fill(&frame, |_, y| mix(rgb(0x7d838a), rgb(0xe8ecef), smooth(0.6, 0.83, up(y))));
    p.flat(&mouth, rgb(0x0b0c0e));
    for i in 0..6 {
        let y = 0.80 - i as f32 * 0.033;
        let half = 0.455 - (0.80 - y) * 0.40;
        let slat = both(&[
            [0.0, y],
            [half, y - 0.003],
            [half, y - 0.003],
            [half, y - 0.013],
            [half, y - 0.013],
            [0.0, y - 0.011],
        ]);
        p.fill(&slat, |x, _| mix(rgb(0x8a9098), rgb(0x34383d), (across(x).abs() / 0.46).min(1.0)));
    }
    let [bx, by] = to_px([0.0, 0.725]);
    p.flat(&Path::ellipse(bx, by, 0.062 * SCALE, 0.062 * SCALE), rgb(0x23272c));
    p.fill(&Path::ellipse(bx, by, 0.056 * SCALE, 0.056 * SCALE), |x, y| {
        mix(rgb(0xf4f6f8), rgb(0x7c838b), ((x - bx + y - by) / 40.0 + 0.5).clamp(0.0, 1.0))
    });
    p.flat(&Path::ellipse(bx, by, 0.042 * SCALE, 0.042 * SCALE), rgb(0x2c3a4c));
    p.flat(&both(&[[0.0, 0.752], [0.012, 0.73], [0.03, 0.70], [0.03, 0.70], [0.0, 0.715]]), rgb(0xdfe4e8));
    // Lower intake and its lip.
    let lower =
        both(&[[0.0, 0.385], [0.44, 0.382], [0.56, 0.36], [0.56, 0.36], [0.50, 0.255], [0.50, 0.255], [0.0, 0.245]]);
    p.flat(&lower, rgb(0x0b0c0e));
    for i in 0..3 {
        let y = 0.355 - i as f32 * 0.034;
        p.flat(&both(&[[0.0, y], [0.49, y - 0.004], [0.49, y - 0.012], [0.0, y - 0.010]]), rgb(0x22252a));
    }
    let lip =
        both(&[[0.0, 0.238], [0.55, 0.245], [0.80, 0.265], [0.87, 0.29], [0.84, 0.222], [0.68, 0.192], [0.0, 0.186]]);
    p.flat(&lip, rgb(0x14161a));
    for side in [-1.0, 1.0] {
        let pocket = one(&[
            [side * 0.635, 0.425],
            [side * 0.80, 0.475],
            [side * 0.865, 0.455],
            [side * 0.845, 0.335],
            [side * 0.80, 0.30],
            [side * 0.655, 0.315],
        ]);
        p.flat(&pocket, rgb(0x121417));
        let [fx, fy] = to_px([side * 0.745, 0.375]);
        p.flat(&Path::ellipse(fx, fy, 0.036 * SCALE, 0.030 * SCALE), rgb(0x70767d));
        p.fill(&Path::ellipse(fx, fy, 0.029 * SCALE, 0.024 * SCALE), |_, y| {
            mix(rgb(0xf2f4f5), rgb(0x98a0a8), (y - fy) / 20.0 + 0.5)
        });
        // A crease runs from lamp to pocket.
        let crease = one(&[
            [side * 0.53, 0.60],
            [side * 0.70, 0.56],
            [side * 0.90, 0.60],
            [side * 0.90, 0.588],
            [side * 0.70, 0.547],
            [side * 0.53, 0.59],
        ]);
        p.flat(&crease, alpha(rgb(0x000000), 0.22));
    }
}

fn lamps(p: &mut Paint) {
    for side in [-1.0, 1.0] {
        let s = |x: f32, y: f32| [side * x, y];
        let housing = [
            s(0.515, 0.80),
            s(0.515, 0.80),
            s(0.70, 0.832),
            s(0.85, 0.862),
            s(0.905, 0.868),
            s(0.905, 0.868),
            s(0.912, 0.78),
            s(0.885, 0.722),
            s(0.80, 0.702),
            s(0.62, 0.705),
            s(0.535, 0.735),
        ];
        p.flat(&one(&housing).map(|q| [q[0], q[1] + 1.5]), alpha(rgb(0x000000), 0.5));
        p.fill(&one(&housing), |_, y| mix(rgb(0x15191d), rgb(0x4a535c), smooth(0.70, 0.86, up(y))));
        for (x, r) in [(0.655, 0.047), (0.785, 0.050)] {
            let [cx, cy] = to_px(s(x, 0.768));
            p.flat(&Path::ellipse(cx, cy, r * SCALE, r * SCALE), rgb(0x9aa3ab));
            p.fill(&Path::ellipse(cx, cy, r * 0.86 * SCALE, r * 0.86 * SCALE), |px, py| {
                let d = ((px - cx + 4.0).hypot(py - cy + 5.0)) / (r * SCALE);
                mix(rgb(0xe9f1f6), rgb(0x2b333b), d.powf(0.8))
            });
            p.flat(&Path::ellipse(cx - 4.0, cy - 6.0, 0.011 * SCALE, 0.008 * SCALE), rgb(0xffffff));
        }
        // Daytime running light: a bright hook along the lower edge.
        let hook = [
            s(0.54, 0.752),
            s(0.63, 0.722),
            s(0.80, 0.717),
            s(0.872, 0.735),
            s(0.897, 0.785),
            s(0.899, 0.842),
            s(0.884, 0.842),
            s(0.879, 0.79),
            s(0.858, 0.753),
            s(0.795, 0.735),
            s(0.635, 0.740),
            s(0.553, 0.765),
        ];
        p.soft(&one(&hook), 0.03 * SCALE, alpha(rgb(0xe8f3ff), 0.65));
        p.flat(&one(&hook), rgb(0xfbfdff));
        let gleam = [s(0.60, 0.812), s(0.74, 0.835), s(0.86, 0.852), s(0.86, 0.845), s(0.74, 0.825), s(0.60, 0.803)];
        p.flat(&one(&gleam), alpha(rgb(0xffffff), 0.35));
    }
}
