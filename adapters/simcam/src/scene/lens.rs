//! A pinhole camera on a pole, looking level: where a point of the world falls in the picture.

use super::paint::{Path, Point};

/// Position and focal length. World: x to the right, y up from the ground, z ahead, metres.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lens {
    /// Focal length in pixels: pixels per metre at one metre.
    pub(crate) focal: f32,
    /// Where the line of sight meets the picture.
    pub(crate) centre: Point,
    /// Height above the ground.
    pub(crate) height: f32,
    /// 1, or −1 for a world seen in a mirror: the same place from the other side.
    pub(crate) side: f32,
}

impl Lens {
    /// The picture point of a world point before the camera.
    pub(crate) fn at(&self, x: f32, y: f32, z: f32) -> Point {
        let k = self.focal / z.max(0.05);
        [self.centre[0] + self.side * x * k, self.centre[1] + (self.height - y) * k]
    }

    /// The ground point (x, z) seen at a picture point below the horizon.
    pub(crate) fn ground(&self, px: f32, py: f32) -> [f32; 2] {
        let z = self.focal * self.height / (py - self.centre[1]).max(0.5);
        [self.side * (px - self.centre[0]) * z / self.focal, z]
    }

    /// Pixels per metre at a distance.
    pub(crate) fn scale(&self, z: f32) -> f32 {
        self.focal / z
    }

    /// A polygon of world points.
    pub(crate) fn face(&self, points: &[[f32; 3]]) -> Path {
        let points: Vec<_> = points.iter().map(|p| self.at(p[0], p[1], p[2])).collect();
        Path::polygon(&points)
    }

    /// A rectangle on the ground.
    pub(crate) fn floor(&self, x0: f32, x1: f32, z0: f32, z1: f32) -> Path {
        self.face(&[[x0, 0.0, z0], [x1, 0.0, z0], [x1, 0.0, z1], [x0, 0.0, z1]])
    }

    /// An upright rectangle along the line of sight, at `x`.
    pub(crate) fn side(&self, x: f32, y0: f32, y1: f32, z0: f32, z1: f32) -> Path {
        self.face(&[[x, y0, z0], [x, y0, z1], [x, y1, z1], [x, y1, z0]])
    }

    /// An upright rectangle across the line of sight, at `z`.
    pub(crate) fn front(&self, x0: f32, x1: f32, y0: f32, y1: f32, z: f32) -> Path {
        self.face(&[[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
    }
}
