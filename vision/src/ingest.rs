//! The threads that read the cameras' streams; nothing else is done on them.
//!
//! ```text
//!  looked at, or small for tiles ──▶ "cameras"     each packet as it comes
//!  only recorded, over TCP       ──▶ "recorded"    the same while somebody watches one of them, else all together every beat
//! ```
//! Sessions hand over by reference and never wait for another's work. On the threads of all tasks each packet woke one, and that
//! one a second to look for more work; what waits in a socket for a beat costs nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How long packets of streams that nobody watches wait for each other. No multiple of a camera's interval: the earliest
/// arrivals, which tell a camera's clock from ours, then come at any moment of it.
const BEAT: Duration = Duration::from_millis(37);

/// How many watch a stream, or one of some streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchers(Arc<AtomicUsize>);

impl Watchers {
    /// One more watches.
    pub(crate) fn come(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One who came watches no more.
    pub(crate) fn go(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How long packets wait for each other.
    fn pause(&self) -> Option<Duration> {
        (self.0.load(Ordering::Relaxed) == 0).then_some(BEAT)
    }
}

/// The threads; they end, and with them every stream, when this is dropped.
pub(crate) struct Ingest {
    cameras: Reader,
    recorded: Reader,
    watchers: Watchers,
}

impl Ingest {
    /// Starts them without streams.
    pub(crate) fn start() -> io::Result<Self> {
        let watchers = Watchers::default();
        let cameras = Reader::start("cameras", None)?;
        let recorded = Reader::start("recorded", Some(watchers.clone()))?;
        Ok(Self { cameras, recorded, watchers })
    }

    /// To be told of those who watch a stream that is only recorded.
    pub(crate) fn watchers(&self) -> Watchers {
        self.watchers.clone()
    }

    /// Reads a stream until it is aborted; one that is `only_recorded` tells [`watchers`](Self::watchers) of its own.
    pub(crate) fn run(&self, stream: impl Future<Output = ()> + Send + 'static, only_recorded: bool) -> AbortHandle {
        let reader = if only_recorded { &self.recorded } else { &self.cameras };
        reader.runtime.spawn(stream).abort_handle()
    }
}

/// A thread with its own runtime.
struct Reader {
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

impl Reader {
    /// `watchers`: while there are none, what comes waits for the next beat.
    fn start(name: &str, watchers: Option<Watchers>) -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        if let Some(watchers) = watchers {
            builder.on_thread_park(move || watchers.pause().into_iter().for_each(std::thread::sleep));
        }
        let runtime = builder.enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, gone) = oneshot::channel::<()>();
        let run = move || {
            let _ = runtime.block_on(gone);
            // A camera's name that is being looked up is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(Self { runtime: handle, _alive: alive })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Hub;
    use tokio::sync::mpsc;

    #[test]
    fn packets_wait_while_nobody_watches_one_of_the_streams() {
        let watchers = Watchers::default();
        let hubs = [Hub::told(watchers.clone()), Hub::told(watchers.clone())].map(Arc::new);
        assert_eq!(watchers.pause(), Some(BEAT));
        let viewers = (hubs[0].watch(), hubs[1].watch(), hubs[1].watch());
        drop((viewers.0, viewers.1));
        assert_eq!(watchers.pause(), None);
        drop(viewers.2);
        assert_eq!(watchers.pause(), Some(BEAT));
        hubs[0].close();
        drop(hubs[0].watch());
        assert_eq!(watchers.pause(), Some(BEAT));
    }

    #[tokio::test]
    async fn streams_end_with_it() {
        let ingest = Ingest::start().unwrap();
        let (alive, mut ends) = mpsc::channel::<()>(1);
        ingest.run(
            async move {
                let _alive = alive;
                std::future::pending().await
            },
            true,
        );
        drop(ingest);
        assert_eq!(ends.recv().await, None);
    }
}
