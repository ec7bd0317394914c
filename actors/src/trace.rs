//! What the parts note down for traces: one branch where nobody wants any.
//!
//! A note goes into a bounded queue and never waits; a task of its own puts notes together to spans
//! ([`gatehouse_core::trace::Chains`]) and offers them to whoever sends them on. A note that finds no room is left out and
//! counted: the spans it would have been are missing in their trace.

use crate::clock::Clock;
use gatehouse_core::trace::{Chains, Note, Share, Sink};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Notes that may wait, some 100 bytes each: a burst of as many as the journal takes in a second.
const NOTES: usize = 16_384;

tokio::task_local! {
    /// The request that this task answers.
    static REQUEST: Uuid;
}

/// Where notes go; by default nowhere.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<On>>);

struct On {
    clock: Clock,
    notes: mpsc::Sender<Note>,
    sink: Arc<dyn Sink>,
}

/// The request that this task answers.
pub(crate) fn request() -> Option<Uuid> {
    REQUEST.try_with(|request| *request).ok()
}

impl Trace {
    /// Notes put together and offered to `sink`, and the work of doing it. `share`: of the chains that hold no alarm.
    pub fn new(clock: Clock, share: Share, sink: Arc<dyn Sink>) -> (Self, impl Future<Output = ()> + Send) {
        let (notes, mut noted) = mpsc::channel(NOTES);
        let work = {
            let sink = sink.clone();
            async move {
                let mut chains = Chains::new(share);
                while let Some(note) = noted.recv().await {
                    for span in chains.take(note) {
                        sink.offer(span);
                    }
                }
            }
        };
        (Self(Some(Arc::new(On { clock, notes, sink }))), work)
    }

    /// Whether anybody wants traces.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Now, where anybody wants traces: when something begins.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|on| on.clock.now())
    }

    /// Notes something down, made with the moment now.
    pub(crate) fn note(&self, make: impl FnOnce(Timestamp) -> Note) {
        if let Some(on) = &self.0
            && on.notes.try_send(make(on.clock.now())).is_err()
        {
            on.sink.missed();
        }
    }

    /// Answers a request of the API, and notes down how. `answer` gives its answer and the HTTP status of that. What its
    /// task gives to the system belongs to the request's trace.
    pub async fn request<T>(
        &self,
        method: &'static str,
        route: &'static str,
        answer: impl Future<Output = T>,
        status: impl FnOnce(&T) -> u16,
    ) -> T {
        let Some(on) = &self.0 else { return answer.await };
        let (request, began) = (on.clock.uuid(), on.clock.now());
        let answered = REQUEST.scope(request, answer).await;
        let status = status(&answered);
        self.note(|ended| Note::Answered { request, method, route, status, began, ended });
        answered
    }
}
