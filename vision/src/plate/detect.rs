//! Where the plates are: priors, decoding, suppression, corners.

use crate::frame::Rgb;
use crate::onnx::{Model, OnnxError};
use crate::scratch::Pool;

/// A plate found in a picture, in that picture's pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundPlate {
    /// x1, y1, x2, y2.
    pub bounds: [f32; 4],
    /// Top left, top right, bottom right, bottom left, as the plate reads.
    pub corners: [[f32; 2]; 4],
    /// The detector's confidence, 0–1.
    pub score: f32,
}

/// Sides of the square priors and the stride of their grid, finest first.
const GRIDS: [(u32, [f32; 2]); 3] = [(8, [24.0, 48.0]), (16, [96.0, 192.0]), (32, [384.0, 768.0])];
/// Variances of the centre and of the size the network was trained with.
const VARIANCE: [f32; 2] = [0.1, 0.2];
/// What is subtracted from B, G and R.
const MEAN: [f32; 3] = [104.0, 117.0, 123.0];
/// Boxes that overlap more than this are one plate.
const IOU_MAX: f32 = 0.4;
/// Boxes looked at before suppression: bounds its quadratic cost on any picture.
const TOP: usize = 300;

/// Finds plates of at least `score_min`, best first.
pub(super) fn detect(
    model: &Model,
    buffers: &Pool<Vec<f32>>,
    picture: &Rgb,
    score_min: f32,
) -> Result<Vec<FoundPlate>, OnnxError> {
    let (width, height) = (picture.width(), picture.height());
    let plane = width as usize * height as usize;
    let mut input = buffers.take();
    input.resize(3 * plane, 0.0);
    let (blue, rest) = input.split_at_mut(plane);
    let (green, red) = rest.split_at_mut(plane);
    for (((pixel, b), g), r) in picture.data().chunks_exact(3).zip(blue).zip(green).zip(red) {
        *b = f32::from(pixel[2]) - MEAN[0];
        *g = f32::from(pixel[1]) - MEAN[1];
        *r = f32::from(pixel[0]) - MEAN[2];
    }
    let found = model.run(&[1, 3, height as usize, width as usize], &input, |out| {
        Ok(decode(out.tensor(0)?, out.tensor(1)?, out.tensor(2)?, width, height, score_min))
    });
    buffers.give(input);
    found
}

/// Turns the network's three tensors into plates. Rows beyond the priors are ignored; missing rows end the search.
fn decode(loc: &[f32], conf: &[f32], corners: &[f32], width: u32, height: u32, score_min: f32) -> Vec<FoundPlate> {
    let rows = loc.chunks_exact(4).zip(conf.chunks_exact(2)).zip(corners.chunks_exact(8));
    let mut found: Vec<FoundPlate> = rows
        .zip(priors(width, height))
        .filter(|(((_, conf), _), _)| conf[1] >= score_min)
        .map(|(((loc, conf), points), (cx, cy, side))| {
            let (x, y) = (cx + loc[0] * VARIANCE[0] * side, cy + loc[1] * VARIANCE[0] * side);
            let (w, h) = (side * (loc[2] * VARIANCE[1]).exp(), side * (loc[3] * VARIANCE[1]).exp());
            let point =
                |i: usize| [cx + points[2 * i] * VARIANCE[0] * side, cy + points[2 * i + 1] * VARIANCE[0] * side];
            FoundPlate {
                bounds: [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
                // The network's order is bottom right, bottom left, top left, top right.
                corners: [point(2), point(3), point(0), point(1)],
                score: conf[1],
            }
        })
        .filter(|plate| plate.bounds.iter().chain(plate.corners.iter().flatten()).all(|v| v.is_finite()))
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(TOP);
    let boxes: Vec<_> = found.iter().map(|plate| plate.bounds).collect();
    suppress(&boxes, IOU_MAX).into_iter().map(|i| found[i]).collect()
}

/// Centre and side of each prior in pixels, in the network's order: grid, row, column, side.
fn priors(width: u32, height: u32) -> impl Iterator<Item = (f32, f32, f32)> {
    GRIDS.into_iter().flat_map(move |(stride, sides)| {
        (0..height.div_ceil(stride)).flat_map(move |row| {
            (0..width.div_ceil(stride)).flat_map(move |column| {
                let at = move |i: u32| (i as f32 + 0.5) * stride as f32;
                sides.into_iter().map(move |side| (at(column), at(row), side))
            })
        })
    })
}

/// Keeps the first box of each overlapping group; `boxes` come best first as (x1, y1, x2, y2) in pixels.
///
/// Greedy, after Neubeck & Van Gool (ICPR 2006); areas count both edge pixels, as the network's own code does.
pub(crate) fn suppress(boxes: &[[f32; 4]], iou_max: f32) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for (i, b) in boxes.iter().enumerate() {
        if kept.iter().all(|&k| overlap(&boxes[k], b) <= iou_max) {
            kept.push(i);
        }
    }
    kept
}

/// Intersection over union of two pixel boxes, edge pixels counted.
pub(crate) fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |b: &[f32; 4]| (b[2] - b[0] + 1.0) * (b[3] - b[1] + 1.0);
    let w = (a[2].min(b[2]) - a[0].max(b[0]) + 1.0).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1]) + 1.0).max(0.0);
    w * h / (area(a) + area(b) - w * h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priors_run_grid_by_grid_row_by_row() {
        let all: Vec<_> = priors(20, 9).collect();
        // Grids of 3×2, 2×1 and 1×1 cells, two sides each.
        assert_eq!(all.len(), 2 * (6 + 2 + 1));
        assert_eq!(all[..3], [(4.0, 4.0, 24.0), (4.0, 4.0, 48.0), (12.0, 4.0, 24.0)]);
        assert_eq!(all[6], (4.0, 12.0, 24.0));
        assert_eq!(all[12], (8.0, 8.0, 96.0));
        assert_eq!(all[17], (16.0, 16.0, 768.0));
    }

    #[test]
    fn a_row_decodes_to_its_prior_shifted_and_scaled() {
        let n = priors(8, 8).count();
        let (mut loc, mut conf, mut corners) = (vec![0.0; 4 * n], vec![0.0; 2 * n], vec![0.0; 8 * n]);
        conf[1] = 0.9; // first prior: centre (4, 4), side 24
        loc[0] = 1.0; // +0.1 of a side to the right
        corners[4..6].copy_from_slice(&[-5.0, -2.5]); // third point is the top left
        let found = decode(&loc, &conf, &corners, 8, 8, 0.5);
        assert_eq!(found.len(), 1);
        assert!((found[0].bounds[0] - (4.0 + 2.4 - 12.0)).abs() < 1e-4);
        assert!((found[0].corners[0][0] - (4.0 - 12.0)).abs() < 1e-4);
        assert!((found[0].corners[0][1] - (4.0 - 6.0)).abs() < 1e-4);
    }

    #[test]
    fn the_better_of_two_overlapping_boxes_stays() {
        let boxes = [[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 11.0, 11.0], [50.0, 0.0, 60.0, 10.0]];
        assert_eq!(suppress(&boxes, 0.4), [0, 2]);
        assert!(suppress(&[], 0.4).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_tensor_decodes_without_panic(values in proptest::collection::vec(-1e9f32..1e9, 0..200), w in 1u32..64, h in 1u32..64) {
            decode(&values, &values, &values, w, h, 0.3);
        }
    }
}
