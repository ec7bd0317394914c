//! Where a command waits until its entry is on the disk, before the link has it.
//!
//! ```text
//!  shell ──┬─ urgent (fire) ───────────────────────────▶ link        the link full: failed at once
//!          └─ others ──▶ queue ── committed, or 300 ms ─▶ link        withdrawn: never sent
//! ```
//! What is sent is in the ledger first, so a command that a crash leaves unsent is found queued and never doubled. A person does
//! not wait at a door for a disk that is away: after 300 ms the command goes and the ledger follows.

use crate::address::Addresses;
use crate::journal::Receipt;
use crate::shell::Message;
use crate::trace::Trace;
use gatehouse_core::device::link::Downlink;
use gatehouse_core::device::shadow::TwinCall;
use gatehouse_core::id::{CommandId, DeviceId};
use gatehouse_core::trace::Note;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

/// Steps whose commands may wait; beyond it a command fails at once.
const QUEUE: usize = 4_096;
/// The longest a command waits for its commit: a door answers within the 2 s of GB 50396 with room to spare.
const COMMIT_WITHIN: Duration = Duration::from_millis(300);

struct Batch {
    downlinks: Vec<Downlink>,
    committed: Receipt,
    forward: oneshot::Sender<bool>,
    since: Instant,
}

struct Inner {
    link: mpsc::Sender<Downlink>,
    queue: mpsc::Sender<Batch>,
    waiting: Mutex<BTreeMap<CommandId, DeviceId>>,
    batches: AtomicUsize,
    addresses: Arc<Addresses>,
    trace: Trace,
}

/// The dispatch.
#[derive(Clone)]
pub(crate) struct Dispatch(Arc<Inner>);

impl Dispatch {
    /// The dispatch before a link, and its work.
    pub(crate) fn new(
        link: mpsc::Sender<Downlink>,
        addresses: Arc<Addresses>,
        away: watch::Receiver<bool>,
        trace: Trace,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, batches) = mpsc::channel(QUEUE);
        let inner = Inner { link, queue, waiting: Mutex::default(), batches: AtomicUsize::new(0), addresses, trace };
        let dispatch = Self(Arc::new(inner));
        (dispatch.clone(), dispatch.work(batches, away))
    }

    /// Takes the commands of a step; the receipt resolves as the step's own does.
    pub(crate) fn take(&self, downlinks: Vec<Downlink>, committed: Receipt) -> Receipt {
        let (urgent, others): (Vec<_>, Vec<_>) = downlinks.into_iter().partition(|downlink| downlink.verb.urgent());
        for downlink in urgent {
            self.overtake(downlink.device);
            self.give(downlink);
        }
        if others.is_empty() {
            return committed;
        }
        {
            let mut waiting = self.waiting();
            waiting.extend(others.iter().map(|downlink| (downlink.command, downlink.device)));
        }
        let (forward, receipt) = oneshot::channel();
        self.0.batches.fetch_add(1, Ordering::AcqRel);
        let batch = Batch { downlinks: others, committed, forward, since: Instant::now() };
        if let Err(error) = self.0.queue.try_send(batch) {
            let (mpsc::error::TrySendError::Full(batch) | mpsc::error::TrySendError::Closed(batch)) = error;
            for downlink in batch.downlinks {
                self.refuse(&downlink, "link_full");
            }
            self.0.batches.fetch_sub(1, Ordering::AcqRel);
            return batch.committed;
        }
        receipt
    }

    /// Takes a command back; true when it was still here and will not be sent.
    pub(crate) fn withdraw(&self, id: CommandId) -> bool {
        self.waiting().remove(&id).is_some()
    }

    /// Whether everything taken was given on.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.batches.load(Ordering::Acquire) == 0
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<CommandId, DeviceId>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fire overtakes what waits for the same device: an unlock that came after its release would lock again behind it.
    fn overtake(&self, device: DeviceId) {
        let overtaken: Vec<CommandId> = {
            let mut waiting = self.waiting();
            let of_device: Vec<_> = waiting.iter().filter(|(_, of)| **of == device).map(|(id, _)| *id).collect();
            waiting.retain(|_, of| *of != device);
            of_device
        };
        for id in overtaken {
            self.report(device, id, Some("fire_holds".into()));
        }
    }

    fn give(&self, downlink: Downlink) {
        let (device, id) = (downlink.device, downlink.command);
        let refused = match self.0.link.try_send(downlink) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(_)) => Some("link_full"),
            Err(mpsc::error::TrySendError::Closed(_)) => Some("link_gone"),
        };
        if let Some(reason) = refused {
            warn!(device.id = %device, reason, "The link did not take a command");
        }
        self.report(device, id, refused.map(str::to_owned));
    }

    fn refuse(&self, downlink: &Downlink, reason: &str) {
        if self.waiting().remove(&downlink.command).is_some() {
            self.report(downlink.device, downlink.command, Some(reason.to_owned()));
        }
    }

    /// Tells the device's shell. One that is being restarted finds the command queued, and waits for its answer or deadline.
    fn report(&self, device: DeviceId, command: CommandId, refused: Option<String>) {
        let taken = refused.is_none();
        self.0.trace.note(|at| Note::Handed { command, taken, at });
        if let Some(shell) = self.0.addresses.device(device) {
            let call = TwinCall::Handed { command, refused };
            let _ = shell.cast(Message::call(call, "system", None));
        }
    }

    async fn work(self, mut batches: mpsc::Receiver<Batch>, away: watch::Receiver<bool>) {
        while let Some(Batch { downlinks, mut committed, forward, since }) = batches.recv().await {
            let left = if *away.borrow() { Duration::ZERO } else { COMMIT_WITHIN.saturating_sub(since.elapsed()) };
            let outcome = tokio::time::timeout(left, &mut committed).await;
            for downlink in downlinks {
                match outcome {
                    Ok(Ok(true)) | Err(_) => {
                        // Under the lock only for the look: who withdraws later is too late.
                        if self.withdraw(downlink.command) {
                            self.give(downlink);
                        }
                    }
                    Ok(Ok(false)) => self.refuse(&downlink, "not_recorded"),
                    // The journal is gone and the program with it: what is not in the ledger is not sent.
                    Ok(Err(_)) => {}
                }
            }
            match outcome {
                Ok(Ok(done)) => drop(forward.send(done)),
                Ok(Err(_)) => {}
                Err(_) => {
                    tokio::spawn(async move {
                        if let Ok(done) = committed.await {
                            let _ = forward.send(done);
                        }
                    });
                }
            }
            self.0.batches.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_core::device::link::Verb;

    fn downlink(n: u128, verb: Verb) -> Downlink {
        let deadline = "2026-05-01T08:00:05Z".parse().unwrap();
        Downlink { device: DeviceId::from_key("door-1"), command: CommandId(uuid::Uuid::from_u128(n)), verb, deadline }
    }

    fn dispatch(room: usize) -> (Dispatch, mpsc::Receiver<Downlink>) {
        let (link, told) = mpsc::channel(room);
        let (_, away) = watch::channel(false);
        let (dispatch, work) = Dispatch::new(link, Arc::default(), away, Trace::default());
        tokio::spawn(work);
        (dispatch, told)
    }

    #[tokio::test]
    async fn a_command_goes_once_its_entry_is_on_the_disk_and_not_when_it_is_withdrawn_or_refused() {
        let (dispatch, mut told) = dispatch(8);
        let (first, receipt) = oneshot::channel();
        let forwarded = dispatch.take(vec![downlink(1, Verb::Lock), downlink(2, Verb::Lock)], receipt);
        assert!(dispatch.withdraw(downlink(1, Verb::Lock).command) && !dispatch.is_idle());
        assert!(told.try_recv().is_err());
        first.send(true).unwrap();
        assert!(forwarded.await.unwrap());
        assert_eq!(told.recv().await.unwrap().command, downlink(2, Verb::Lock).command);
        assert!(!dispatch.withdraw(downlink(2, Verb::Lock).command), "it is gone");

        let (refused, receipt) = oneshot::channel();
        let forwarded = dispatch.take(vec![downlink(3, Verb::Lock)], receipt);
        refused.send(false).unwrap();
        assert!(!forwarded.await.unwrap());
        // A power cut: the receipt never resolves.
        let (cut, receipt) = oneshot::channel::<bool>();
        let forwarded = dispatch.take(vec![downlink(4, Verb::Lock)], receipt);
        drop(cut);
        assert!(forwarded.await.is_err());
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_release_waits_for_nothing_and_overtakes_an_unlock() {
        let (dispatch, mut told) = dispatch(8);
        let (unlocked, receipt) = oneshot::channel();
        let _unlocking = dispatch.take(vec![downlink(1, Verb::Unlock { for_ms: 5_000 })], receipt);
        let (_never, receipt) = oneshot::channel();
        let _releasing = dispatch.take(vec![downlink(2, Verb::Release)], receipt);
        assert_eq!(told.try_recv().unwrap().verb, Verb::Release);
        unlocked.send(true).unwrap();
        while !dispatch.is_idle() {
            tokio::task::yield_now().await;
        }
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_person_does_not_wait_for_a_disk_that_hangs() {
        let (dispatch, mut told) = dispatch(8);
        let (disk, receipt) = oneshot::channel();
        let forwarded = dispatch.take(vec![downlink(1, Verb::Unlock { for_ms: 5_000 })], receipt);
        assert_eq!(told.recv().await.unwrap().command, downlink(1, Verb::Lock).command);
        disk.send(true).unwrap();
        assert!(forwarded.await.unwrap());
    }
}
