//! Where the faces are: the detector's boxes, thinned out.

use crate::plate::detect::suppress;

/// A face found in a picture, in that picture's pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundFace {
    /// x1, y1, x2, y2 as the detector drew it.
    pub bounds: [f32; 4],
    /// The square the next stages look at, as high as the box, clipped to the picture, whole pixels.
    pub square: [u32; 4],
    /// The detector's confidence, 0–1.
    pub score: f32,
}

/// Boxes that overlap more than this are one face.
const IOU_MAX: f32 = 0.4;
/// Boxes looked at before suppression: bounds its quadratic cost.
const TOP: usize = 300;

impl FoundFace {
    /// Width of the detector's box, pixels.
    pub fn width(&self) -> f32 {
        self.bounds[2] - self.bounds[0]
    }

    /// Area of the detector's box, pixels².
    pub fn area(&self) -> f32 {
        self.width() * (self.bounds[3] - self.bounds[1])
    }

    /// A face at known bounds of a picture `(width, height)`; `None` when nothing of it is inside.
    pub fn at(bounds: [f32; 4], score: f32, (width, height): (u32, u32)) -> Option<Self> {
        let [x1, y1, x2, y2] = bounds;
        let (half, cx, cy) = ((y2 - y1) / 2.0, (x1 + x2) / 2.0, (y1 + y2) / 2.0);
        let edge = |v: f32, side: u32| v.clamp(0.0, (side.max(1) - 1) as f32) as u32;
        let square = [edge(cx - half, width), edge(cy - half, height), edge(cx + half, width), edge(cy + half, height)];
        let inside = bounds.iter().all(|v| v.is_finite()) && square[2] > square[0] && square[3] > square[1];
        inside.then_some(Self { bounds, square, score })
    }
}

/// Turns scores (background, face) and boxes (corners, 0–1) into faces, best first.
pub(super) fn decode(scores: &[f32], boxes: &[f32], size: (u32, u32), score_min: f32) -> Vec<FoundFace> {
    let (w, h) = (size.0 as f32, size.1 as f32);
    let mut faces: Vec<FoundFace> = scores
        .chunks_exact(2)
        .zip(boxes.chunks_exact(4))
        .filter(|(score, _)| score[1] >= score_min)
        .filter_map(|(score, b)| FoundFace::at([b[0] * w, b[1] * h, b[2] * w, b[3] * h], score[1], size))
        .collect();
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(TOP);
    let bounds: Vec<_> = faces.iter().map(|face| face.bounds).collect();
    suppress(&bounds, IOU_MAX).into_iter().map(|i| faces[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_is_as_high_as_the_box_and_stays_inside() {
        let face = FoundFace::at([40.0, 10.0, 60.0, 50.0], 0.9, (100, 100)).expect("inside");
        assert_eq!(face.square, [30, 10, 70, 50]);
        let edge = FoundFace::at([-5.0, 60.0, 15.0, 110.0], 0.9, (100, 100)).expect("partly inside");
        assert_eq!(edge.square, [0, 60, 30, 99]);
        assert!(FoundFace::at([200.0, 10.0, 220.0, 50.0], 0.9, (100, 100)).is_none());
        assert!(FoundFace::at([f32::NAN; 4], 0.9, (100, 100)).is_none());
    }

    #[test]
    fn two_boxes_on_one_face_become_one() {
        let scores = [0.1, 0.9, 0.2, 0.8, 0.9, 0.1];
        let boxes = [0.1, 0.1, 0.5, 0.5, 0.11, 0.1, 0.51, 0.5, 0.6, 0.6, 0.9, 0.9];
        let faces = decode(&scores, &boxes, (100, 100), 0.65);
        assert_eq!(faces.len(), 1);
        assert_eq!(faces[0].score, 0.9);
    }

    proptest::proptest! {
        #[test]
        fn any_tensor_decodes_without_panic(values in proptest::collection::vec(-1e9f32..1e9, 0..200)) {
            decode(&values, &values, (64, 48), 0.5);
        }
    }
}
