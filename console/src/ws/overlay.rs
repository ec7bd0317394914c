//! What recognition found, as a page draws it over a camera's video.

use super::protocol::{OverlayBox, OverlayFrame};
use super::session::{Follow, OverlayStream};
use crate::app::App;
use futures_util::StreamExt;
use gatehouse_actors::System;
use gatehouse_vision::overlay::{Boxed, Boxes, Mark};
use std::sync::Arc;

/// Follows cameras of the running vision.
pub fn follow(app: &Arc<App>) -> Follow {
    let app = app.clone();
    Arc::new(move |camera| {
        let receiver = app.vision()?.overlay(camera)?;
        let system = app.system().clone();
        let newest = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.changed().await.ok()?;
            let boxes = receiver.borrow_and_update().clone();
            Some((boxes, receiver))
        });
        let stream: OverlayStream = newest.map(move |boxes| frame(&boxes, &system)).boxed();
        Some(stream)
    })
}

fn frame(boxes: &Boxes, system: &System) -> OverlayFrame {
    let boxed = |Boxed { bounds: [x, y, w, h], mark }: &Boxed| {
        let (kind, text, sure) = match mark {
            Mark::Plate { text, sure } => ("plate", text.clone(), *sure),
            Mark::Face(None) => ("face", String::new(), false),
            Mark::Face(Some(person)) => ("face", system.holder_name(*person).unwrap_or_default(), true),
        };
        OverlayBox { kind, x: *x, y: *y, w: *w, h: *h, text, sure }
    };
    OverlayFrame { at_us: boxes.at.as_microsecond(), boxes: boxes.boxes.iter().map(boxed).collect() }
}
