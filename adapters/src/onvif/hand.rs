//! The hand on a camera's head: who moves it, and that it stops when the hand lets go.
//!
//! ```text
//!  press ─▶ ContinuousMove ── renewed within a second ──▶ goes on
//!              │                    └─ not: Stop (the browser, the network or the person is gone)
//!              └─ another presses, a preset is called ──▶ the first is told who took it at the next renewal
//! ```

use super::camera::Camera;
use super::codec::Position;
use super::soap::OnvifError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A head stops when nobody has renewed its move for so long.
pub const DEAD_MAN: Duration = Duration::from_secs(1);
/// Whoever moved it last is named for so long.
const HELD: Duration = Duration::from_secs(10);
/// What the camera is told as its own limit: it stops by itself when we are gone.
const CAMERA_LIMIT: Duration = Duration::from_secs(3);
/// A move is said to the camera again after so long.
const SAY_AGAIN: Duration = Duration::from_millis(1_500);
/// A stop that does not arrive is said so often.
const STOPS: u32 = 3;

/// Who moved a head last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name; empty for a command of the ledger.
    pub name: String,
    /// Whether it moves by that hand now.
    pub moving: bool,
}

/// Why a move was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// Someone else, or a command, has it now.
    #[error("{0} moves this camera now")]
    Taken(String),
    /// The camera.
    #[error(transparent)]
    Camera(#[from] OnvifError),
}

#[derive(Debug)]
struct Grip {
    number: u64,
    name: String,
    velocity: Position,
    /// Let go by then; none when the move ended.
    until: Option<Instant>,
    said: Instant,
    since: Instant,
}

/// What a press or renewal comes to.
struct Turn {
    number: u64,
    /// Whether the camera is told.
    say: bool,
    /// Whether a new move begins that is to be watched.
    begins: bool,
}

/// The hand on one head.
#[derive(Debug, Default)]
pub struct Hand(Mutex<(u64, Option<Grip>)>);

impl Hand {
    fn state(&self) -> MutexGuard<'_, (u64, Option<Grip>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who moved it within the last ten seconds.
    pub fn holder(&self) -> Option<Holder> {
        let state = self.state();
        let grip = state.1.as_ref().filter(|grip| grip.until.is_some() || grip.since.elapsed() < HELD)?;
        Some(Holder { name: grip.name.clone(), moving: grip.until.is_some() })
    }

    /// Moves a head: takes it, or with the number of an earlier press renews that. Gives the number.
    pub async fn drive(
        self: &Arc<Self>,
        camera: &Arc<Camera>,
        name: &str,
        velocity: Position,
        renews: Option<u64>,
    ) -> Result<u64, MoveError> {
        let now = Instant::now();
        let Turn { number, say, begins } = self.grip(name, velocity, renews, now)?;
        if say && let Err(error) = camera.drive(velocity, CAMERA_LIMIT).await {
            self.end(number);
            // It may have heard and its answer be lost.
            let _ = camera.stop().await;
            return Err(error.into());
        }
        if begins {
            let (hand, camera) = (self.clone(), camera.clone());
            tokio::spawn(async move { hand.watch(number, &camera).await });
        }
        Ok(number)
    }

    /// Takes the head, or holds on to it.
    fn grip(&self, name: &str, velocity: Position, renews: Option<u64>, now: Instant) -> Result<Turn, MoveError> {
        let mut state = self.state();
        match (renews, &mut state.1) {
            (Some(number), Some(grip)) if grip.number == number => {
                // Let go by itself a moment ago, and nobody else has it: the network hung.
                let begins = grip.until.replace(now + DEAD_MAN).is_none();
                let say = begins || grip.velocity != velocity || grip.said + SAY_AGAIN <= now;
                if say {
                    (grip.velocity, grip.said) = (velocity, now);
                }
                Ok(Turn { number, say, begins })
            }
            (Some(_), Some(grip)) => Err(MoveError::Taken(grip.name.clone())),
            (Some(_), None) | (None, _) => {
                state.0 += 1;
                let number = state.0;
                let until = Some(now + DEAD_MAN);
                state.1 = Some(Grip { number, name: name.to_owned(), velocity, until, said: now, since: now });
                Ok(Turn { number, say: true, begins: true })
            }
        }
    }

    /// Waits until a press is no longer renewed, and stops the head then.
    async fn watch(&self, number: u64, camera: &Camera) {
        loop {
            let until = match &self.state().1 {
                Some(Grip { number: current, until: Some(until), .. }) if *current == number => *until,
                // Ended, or in another hand.
                Some(_) | None => return,
            };
            if until > Instant::now() {
                tokio::time::sleep_until(until).await;
                continue;
            }
            if self.end(number) {
                still(camera).await;
            }
            return;
        }
    }

    /// Ends a press; whether it was the one that moves.
    fn end(&self, number: u64) -> bool {
        match &mut self.state().1 {
            Some(grip) if grip.number == number && grip.until.is_some() => {
                (grip.until, grip.since) = (None, Instant::now());
                true
            }
            Some(_) | None => false,
        }
    }

    /// Stops the head, whoever moves it.
    pub async fn stop(&self, camera: &Camera, name: &str) -> Result<(), MoveError> {
        // A renewal that is still on its way moves it no more.
        self.take(name);
        Ok(camera.stop().await?)
    }

    /// Takes the head out of every hand: whoever pressed is told at the next renewal.
    pub fn take(&self, name: &str) {
        let (mut state, now) = (self.state(), Instant::now());
        state.0 += 1;
        let (number, velocity) = (state.0, Position::default());
        state.1 = Some(Grip { number, name: name.to_owned(), velocity, until: None, said: now, since: now });
    }
}

/// Stops a head, again when that does not arrive; the camera's own limit is the last resort.
async fn still(camera: &Camera) {
    for _ in 0..STOPS {
        match camera.stop().await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "A camera's head was not stopped; trying again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_press_has_the_head_and_the_one_before_is_told_whose_it_is() {
        let (hand, now) = (Hand::default(), Instant::now());
        let right = Position { pan: 1.0, ..Position::default() };
        let wang = hand.grip("wang", right, None, now).unwrap();
        assert!(wang.say && wang.begins);
        let renewed = hand.grip("wang", right, Some(wang.number), now).unwrap();
        assert!(!renewed.say && !renewed.begins);
        assert!(hand.grip("wang", right, Some(wang.number), now + SAY_AGAIN).unwrap().say, "the camera's limit nears");
        let li = hand.grip("li", right, None, now).unwrap();
        let taken = hand.grip("wang", right, Some(wang.number), now).err();
        assert_eq!(taken, Some(MoveError::Taken("li".into())));
        assert_eq!(hand.holder(), Some(Holder { name: "li".into(), moving: true }));
        assert!(hand.end(li.number) && !hand.end(li.number));
        assert_eq!(hand.holder(), Some(Holder { name: "li".into(), moving: false }));
        assert!(hand.grip("li", right, Some(li.number), now).unwrap().begins, "the network hung and is back");
        hand.take("");
        assert!(hand.grip("li", right, Some(li.number), now).is_err(), "a preset was called");
    }
}
