//! The thread that reads every camera's stream: a runtime of its own, on which nothing else is done.
//!
//! ```text
//!  sockets ──▶ sessions ──▶ hub, recorder, analysis     all by handing over a reference: no session waits for another's work
//! ```
//! On the threads of all tasks each packet woke one, and that one a second to look for more work.

use std::io;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// The thread; it ends, and with it every stream, when this is dropped.
pub(crate) struct Ingest {
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

impl Ingest {
    /// Starts it without streams.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, gone) = oneshot::channel::<()>();
        let run = move || {
            let _ = runtime.block_on(gone);
            // A camera's name that is being looked up is not waited for.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("cameras".into()).spawn(run)?;
        Ok(Self { runtime: handle, _alive: alive })
    }

    /// Reads a stream until it is aborted.
    pub(crate) fn run(&self, stream: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.spawn(stream).abort_handle()
    }
}
