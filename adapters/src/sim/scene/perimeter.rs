//! A plain scene.

use super::Cue;
use super::camera::{Layer, Scene};
use super::paint::{Paint, Path, mix, rgb};
use super::sprite::{Placing, Sprite};
use std::sync::Arc;

pub(crate) struct Perimeter {
    w: usize,
    h: usize,
    ball: Arc<Sprite>,
}

impl Perimeter {
    pub(crate) fn new(w: usize, h: usize) -> Self {
        let mut p = Paint::new(80, 80);
        p.fill(&Path::ellipse(40.0, 40.0, 36.0, 36.0), |x, y| mix(rgb(0xffc040), rgb(0x803010), (x + y) / 160.0));
        Self { w, h, ball: Arc::new(Sprite::new(&p)) }
    }
}

impl Scene for Perimeter {
    fn background(&self, w: usize, h: usize) -> Paint {
        let mut p = Paint::new(w, h);
        p.wash(|_, y| mix(rgb(0x86a8c8), rgb(0x30343a), y / h as f32));
        p
    }

    fn cue(&mut self, _cue: &Cue, _t: f32) -> bool {
        false
    }

    fn layers(&mut self, t: f32, out: &mut Vec<Layer>) {
        let x = (t * 0.7).sin() * 0.35 + 0.45;
        let at = Placing::at(x * self.w as f32, self.h as f32 * 0.45);
        out.push(Layer { sprite: self.ball.clone(), at });
    }
}
