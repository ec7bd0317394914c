//! What the active challenge asks, as the screen beside its door shows it.

use super::protocol::ScreenFrame;
use super::session::{FollowScreen, ScreenStream};
use crate::app::App;
use futures_util::StreamExt;
use gatehouse_core::recognition::challenge::Failure;
use gatehouse_vision::pipeline::doorway::Prompt;
use jiff::Timestamp;
use std::sync::Arc;

/// Follows the screens of the doors that have a challenge.
pub fn follow(app: &Arc<App>) -> FollowScreen {
    let app = app.clone();
    Arc::new(move |door| {
        let compound = app.system().compound();
        let pair = compound.face_doors.iter().find(|pair| pair.door == door && pair.challenge)?;
        let receiver = app.vision()?.prompt(pair.camera)?;
        let system = app.system().clone();
        // The newest at once, then each change.
        let newest = futures_util::stream::unfold((receiver, true), |(mut receiver, first)| async move {
            if !first {
                receiver.changed().await.ok()?;
            }
            let prompt = *receiver.borrow_and_update();
            Some((prompt, (receiver, false)))
        });
        let stream: ScreenStream = newest.map(move |prompt| frame(prompt, system.now())).boxed();
        Some(stream)
    })
}

fn frame(prompt: Prompt, now: Timestamp) -> ScreenFrame {
    let idle = ScreenFrame { say: "idle", action: None, step_of: None, why: None, left_ms: None };
    let left = prompt.until().map(|until| until.duration_since(now).as_millis());
    // What is over is not said to a screen that comes later.
    let left_ms = left.map(|ms| u64::try_from(ms).unwrap_or(0));
    if left_ms == Some(0) {
        return idle;
    }
    match prompt {
        Prompt::Idle => idle,
        Prompt::Ask { action, step, of, .. } => {
            ScreenFrame { say: "ask", action: Some(action.word()), step_of: Some((step, of)), left_ms, ..idle }
        }
        Prompt::Straight { step, of, .. } => {
            ScreenFrame { say: "straight", step_of: Some((step, of)), left_ms, ..idle }
        }
        Prompt::Passed { .. } => ScreenFrame { say: "passed", left_ms, ..idle },
        Prompt::Failed { why, .. } => ScreenFrame { say: "failed", why: Some(word(why)), left_ms, ..idle },
        Prompt::Paused { .. } => ScreenFrame { say: "paused", left_ms, ..idle },
    }
}

fn word(why: Failure) -> &'static str {
    match why {
        Failure::TooLate => "too_late",
        Failure::WrongAction => "wrong_action",
        Failure::OtherPerson => "other_person",
        Failure::Gone => "gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_idle_and_what_holds_says_for_how_long() {
        let at = |ms: i64| Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap();
        let passed = Prompt::Passed { until: at(3_000) };
        assert_eq!((frame(passed, at(1_000)).say, frame(passed, at(1_000)).left_ms), ("passed", Some(2_000)));
        assert_eq!((frame(passed, at(3_000)).say, frame(passed, at(9_000)).say), ("idle", "idle"));
        assert_eq!(frame(Prompt::Idle, at(0)).left_ms, None);
    }
}
