//! Things several scenes have: sky, trees, facades, grain.

use super::paint::{Paint, Path, Rgba, alpha, fbm, mix, noise, ramp, rgb, shade, smooth};

/// A day sky down to the horizon, with thin clouds.
pub(crate) fn day_sky(p: &mut Paint, horizon: f32, seed: u32) {
    let w = p.w as f32;
    p.fill(&Path::rect(0.0, 0.0, w, horizon), |x, y| {
        let t = y / horizon;
        let base = ramp(&[(0.0, rgb(0x7fb0dc)), (0.6, rgb(0xb5d2ea)), (1.0, rgb(0xe6eef3))], t);
        let cloud = smooth(0.48, 0.78, fbm(x / w * 6.0, t * 3.0, 5, 31 + seed));
        mix(base, rgb(0xf7f9fa), cloud * 0.75)
    });
}

/// A leafy crown: blobs of leaves, lit from the upper left.
pub(crate) fn crown(p: &mut Paint, cx: f32, cy: f32, rx: f32, ry: f32, green: Rgba, seed: u32) {
    let count = 70;
    for i in 0..count {
        let r = |k: u32| noise(i as f32 * 7.31 + 0.5, k as f32 * 3.7 + 0.5, seed);
        // The golden angle spreads blobs evenly; which ring comes when is shuffled.
        let (angle, reach) = (i as f32 * 2.399_96 + r(1), ((i * 37 % count) as f32 / count as f32).sqrt());
        let (x, y) = (cx + rx * reach * angle.cos(), cy + ry * reach * angle.sin());
        let size = (rx * 0.30).max(3.0) * (0.55 + 0.6 * r(3));
        // Blobs are laid back to front, low ones first, so light ones come on top.
        let light = 0.62 + 0.5 * smooth(cy + ry, cy - ry, y) + 0.16 * (r(4) - 0.5) + 0.10 * smooth(cx + rx, cx - rx, x);
        let leaf = shade(green, light * (0.7 + 0.4 * i as f32 / count as f32));
        p.fill(&Path::ellipse(x, y, size, size * 0.8), |px, py| {
            let ragged = noise(px * 0.9, py * 0.9, seed + 9) + 0.35 * noise(px * 0.35, py * 0.35, seed + 5);
            let edge = 1.0 - ((px - x) / size).hypot((py - y) / (size * 0.8));
            alpha(shade(leaf, 0.82 + 0.3 * ragged), smooth(0.0, 0.28, edge + 0.5 * (ragged - 0.62)))
        });
    }
}

/// A trunk with a crown.
pub(crate) fn tree(p: &mut Paint, x: f32, foot: f32, height: f32, green: Rgba, seed: u32) {
    let w = height * 0.035;
    let trunk = Path::polygon(&[
        [x - w, foot],
        [x + w, foot],
        [x + w * 0.6, foot - height * 0.6],
        [x - w * 0.6, foot - height * 0.6],
    ]);
    p.fill(&trunk, |px, py| {
        shade(rgb(0x5c4a39), 0.7 + 0.5 * noise(px * 0.6, py * 0.12, seed) - 0.3 * smooth(x - w, x + w, px))
    });
    crown(p, x, foot - height * 0.66, height * 0.30, height * 0.34, green, seed);
}

/// A block of flats by its facade's rectangle: rows of windows and balconies.
pub(crate) fn facade(p: &mut Paint, [x, y, w, h]: [f32; 4], wall: Rgba, haze: f32, seed: u32) {
    let far = rgb(0xd5e0e8);
    p.fill(&Path::rect(x, y, w, h), |px, _| mix(shade(wall, 1.03 - 0.12 * (px - x) / w), far, haze));
    let (columns, floors) = ((w / 15.0).max(2.0) as i32, (h / 13.0).max(2.0) as i32);
    let (cw, ch) = (w / columns as f32, h / floors as f32);
    for i in 0..columns * floors {
        let (c, f) = ((i % columns) as f32, (i / columns) as f32);
        let lit = noise(c * 3.1 + 0.5, f * 2.3 + 0.5, seed);
        let glass = mix(rgb(0x4c5f6e), rgb(0xb9cbd6), lit);
        p.flat(&Path::rect(x + c * cw + cw * 0.2, y + f * ch + ch * 0.22, cw * 0.6, ch * 0.5), mix(glass, far, haze));
        if i % 3 == 0 {
            p.flat(
                &Path::rect(x + c * cw + cw * 0.12, y + f * ch + ch * 0.66, cw * 0.76, ch * 0.16),
                mix(shade(wall, 0.78), far, haze),
            );
        }
    }
    p.flat(&Path::rect(x, y, w, 2.0), mix(shade(wall, 0.7), far, haze));
}

/// What a lens and a sensor add: darker corners, a little grain.
pub(crate) fn finish(p: &mut Paint, grain: f32) {
    let (w, h) = (p.w as f32, p.h as f32);
    for i in 0..p.px.len() {
        let (x, y) = ((i % p.w) as f32, (i / p.w) as f32);
        let d = ((x / w - 0.5).powi(2) + (y / h - 0.5).powi(2)) * 2.0;
        let dark = 1.0 - 0.30 * d * d.sqrt();
        let speck = 1.0 + grain * (noise(x * 0.93, y * 0.93, 3) - 0.5) * 2.0;
        let px = &mut p.px[i];
        (0..3).for_each(|k| px[k] = (px[k] * dark * speck).min(1.0));
    }
}
