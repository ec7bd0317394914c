//! Which part of a camera's picture is searched, and how wide things there must be.

use serde::{Deserialize, Serialize};

/// Corners that a region may have.
const CORNERS: std::ops::RangeInclusive<usize> = 3..=16;
/// Least area, as a share of the picture: one that is smaller was meant otherwise.
const LEAST_AREA: f32 = 0.01;

/// A polygon in shares of the picture, x to the right and y down; without corners the whole picture. Where sides
/// cross, what is enclosed twice is outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(Vec<[f32; 2]>);

impl Region {
    /// A region of these corners, in order.
    pub fn new(corners: Vec<[f32; 2]>) -> Self {
        Self(corners)
    }

    /// Whether it is the whole picture.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Why it is no region, with what to do.
    pub fn problem(&self) -> Option<String> {
        if self.is_whole() {
            return None;
        }
        if !CORNERS.contains(&self.0.len()) {
            return Some(format!("has {} corners: give 3 to 16, or leave it out for the whole picture", self.0.len()));
        }
        let outside = self.0.iter().flatten().find(|share| !(0.0..=1.0).contains(*share));
        if let Some(share) = outside {
            return Some(format!("has {share}: corners are shares of the picture, 0 to 1, x before y"));
        }
        // A nearly empty area, or sides that cross and take away what they gave.
        (self.area() < LEAST_AREA).then(|| "encloses next to nothing: go around it in order".to_owned())
    }

    /// Whether a point, in shares of the picture, lies in it.
    pub fn contains(&self, [x, y]: [f32; 2]) -> bool {
        // Even-odd rule: a ray to the right crosses the outline an odd number of times.
        let crossed = self
            .sides()
            .filter(|&([x1, y1], [x2, y2])| (y1 > y) != (y2 > y) && x < x1 + (y - y1) / (y2 - y1) * (x2 - x1));
        self.is_whole() || crossed.count() % 2 == 1
    }

    /// Whether the middle of a box (x1, y1, x2, y2 in pixels) of a picture of this size lies in it.
    pub fn holds(&self, [x1, y1, x2, y2]: [f32; 4], (width, height): (u32, u32)) -> bool {
        let share = |a: f32, b: f32, side: u32| (a + b) / 2.0 / side.max(1) as f32;
        self.contains([share(x1, x2, width), share(y1, y2, height)])
    }

    fn sides(&self) -> impl Iterator<Item = ([f32; 2], [f32; 2])> {
        self.0.iter().copied().zip(self.0.iter().copied().cycle().skip(1))
    }

    /// By the shoelace formula, of the picture's.
    fn area(&self) -> f32 {
        self.sides().map(|([x1, y1], [x2, y2])| x1 * y2 - x2 * y1).sum::<f32>().abs() / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower_left() -> Region {
        Region::new(vec![[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]])
    }

    #[test]
    fn a_point_is_in_or_out_and_the_whole_picture_holds_all() {
        let region = lower_left();
        assert!(region.contains([0.25, 0.75]) && !region.contains([0.75, 0.75]) && !region.contains([0.25, 0.25]));
        assert!(Region::default().contains([0.99, 0.01]) && Region::default().is_whole());
        // A dent from above: what lies in it is outside.
        let dented = Region::new(vec![[0.0, 0.0], [0.5, 0.6], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
        assert!(!dented.contains([0.5, 0.3]) && dented.contains([0.5, 0.8]) && dented.contains([0.05, 0.3]));
    }

    #[test]
    fn a_box_is_where_its_middle_is() {
        let region = lower_left();
        assert!(region.holds([300.0, 500.0, 400.0, 560.0], (1280, 720)));
        assert!(!region.holds([900.0, 500.0, 1000.0, 560.0], (1280, 720)));
        assert!(!region.holds([0.0, 0.0, 10.0, 10.0], (0, 0)), "a picture of no size does not panic");
    }

    #[test]
    fn what_is_no_region_says_why() {
        let problem = |corners: &[[f32; 2]]| Region::new(corners.to_vec()).problem();
        assert_eq!(lower_left().problem(), None);
        assert_eq!(Region::default().problem(), None);
        assert!(problem(&[[0.0, 0.0], [1.0, 1.0]]).is_some_and(|why| why.contains("2 corners")));
        assert!(problem(&[[0.0, 0.0], [640.0, 0.0], [0.0, 1.0]]).is_some_and(|why| why.contains("640")));
        assert!(problem(&[[0.0, 0.0], [f32::NAN, 0.0], [0.0, 1.0]]).is_some_and(|why| why.contains("NaN")));
        assert!(problem(&[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).is_some_and(|why| why.contains("in order")));
    }
}
