//! What waits for a writer, in order: pictures and sound until its next beat, everything else calls it at once.
//!
//! A thread woken for every picture of every camera spends more on waking than on writing. What waits is bounded: what does
//! not fit is given back to who brought it.

use super::writer::Command;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Commands that may wait: some ten seconds of sixteen cameras. Beyond, a camera pauses until a key frame.
pub(super) const QUEUE_MAX: usize = 4096;
/// So many wait for no beat.
const CALLS_AT: usize = QUEUE_MAX / 8;
/// Most that are taken at a time: they count no longer.
const TAKE_MAX: usize = 256;

/// Why a command does not wait.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// There is no room; it is given back.
    Full(Command),
    /// The writer has stopped.
    Stopped,
}

/// The way in.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

/// The writer's end.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Command>,
    /// Whether the writer is not to wait for its beat.
    called: bool,
    /// Whether nobody is left to send, or to receive.
    closed: bool,
}

/// A queue's two ends.
pub(super) fn queue() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender(shared.clone()), Receiver(shared))
}

impl Sender {
    /// Lets a command wait.
    pub(super) fn send(&self, command: Command) -> Result<(), NotTaken> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(NotTaken::Stopped);
        }
        if state.waiting.len() >= QUEUE_MAX {
            return Err(NotTaken::Full(command));
        }
        let calls = !command.can_wait() || state.waiting.len() + 1 >= CALLS_AT;
        state.waiting.push_back(command);
        if calls && !std::mem::replace(&mut state.called, true) {
            drop(state);
            self.0.called.notify_one();
        }
        Ok(())
    }
}

impl Receiver {
    /// Waits until it is called or `beat` is over and takes what came, oldest first; `None` when nobody can send any more
    /// and everything is taken.
    pub(super) fn take(&self, beat: Duration) -> Option<VecDeque<Command>> {
        let until = Instant::now() + beat;
        let mut state = self.0.lock();
        while !state.called && !state.closed {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            state = self.0.called.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed && state.waiting.is_empty() {
            return None;
        }
        let rest = state.waiting.len().min(TAKE_MAX);
        let rest = state.waiting.split_off(rest);
        state.called = !rest.is_empty();
        Some(std::mem::replace(&mut state.waiting, rest))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.called.notify_one();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Who waits for an answer learns that none comes.
        let mut state = self.0.lock();
        state.closed = true;
        drop(std::mem::take(&mut state.waiting));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_core::id::DeviceKey;
    use tokio::sync::oneshot;

    const LONG: Duration = Duration::from_secs(60);

    fn key(name: &str) -> DeviceKey {
        name.parse().unwrap()
    }

    fn close(name: &str) -> Command {
        Command::Close { key: key(name) }
    }

    fn names(taken: &VecDeque<Command>) -> Vec<String> {
        let name = |command: &Command| match command {
            Command::Close { key } => key.to_string(),
            other => format!("{other:?}"),
        };
        taken.iter().map(name).collect()
    }

    #[test]
    fn what_cannot_wait_calls_and_everything_comes_in_order() {
        let (sender, receiver) = queue();
        sender.send(close("a")).unwrap();
        sender.send(close("b")).unwrap();
        assert_eq!(names(&receiver.take(LONG).unwrap()), ["a", "b"]);
        assert!(receiver.take(Duration::ZERO).unwrap().is_empty());
        let later = std::thread::spawn(move || names(&receiver.take(LONG).unwrap()));
        sender.send(close("c")).unwrap();
        assert_eq!(later.join().unwrap(), ["c"]);
    }

    #[test]
    fn what_does_not_fit_is_given_back_and_the_rest_comes_without_a_beat() {
        let (sender, receiver) = queue();
        (0..QUEUE_MAX).for_each(|n| sender.send(close(&format!("c{n}"))).unwrap());
        let Err(NotTaken::Full(Command::Close { key })) = sender.send(close("more")) else { panic!("it fits") };
        assert_eq!(key.as_str(), "more");
        drop(sender);
        let mut all = Vec::new();
        while let Some(taken) = receiver.take(LONG) {
            assert!(taken.len() <= TAKE_MAX);
            all.extend(names(&taken));
        }
        assert_eq!(all, (0..QUEUE_MAX).map(|n| format!("c{n}")).collect::<Vec<_>>());
    }

    #[test]
    fn who_asks_a_writer_that_ended_is_told() {
        let (sender, receiver) = queue();
        let (reply, mut answer) = oneshot::channel();
        sender.send(Command::Stop { reply }).unwrap();
        drop(receiver);
        assert!(answer.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert!(matches!(sender.send(close("a")), Err(NotTaken::Stopped)));
    }
}
