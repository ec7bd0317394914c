//! Brings alarms their video: pins the recording around an alarm and tells when the clip is whole.

use gatehouse_actors::{Bookmark, ErrorKind, System, VideoLink};
use gatehouse_vision::Vision;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Bookmarks waiting. One that finds no room stays pending in the store and is taken up at the next start.
const QUEUE: usize = 1024;

/// Clips being kept at the same time; the others wait in the queue.
const AT_ONCE: usize = 256;

/// After the clip's end, the recorder may need this long to flush its last part.
const FLUSH: SignedDuration = SignedDuration::from_secs(2);

/// While the database is away, a clip's state is stored again after these pauses, seconds.
const RETRIES_S: [u64; 5] = [1, 5, 30, 120, 600];

/// The actors' end: never blocks.
#[derive(Clone)]
pub struct Bookmarks(mpsc::Sender<Bookmark>);

/// The other end, until video is there to serve it.
pub struct Waiting(mpsc::Receiver<Bookmark>);

/// A queue between the actors and the recorder.
pub fn queue() -> (Bookmarks, Waiting) {
    let (tx, rx) = mpsc::channel(QUEUE);
    (Bookmarks(tx), Waiting(rx))
}

impl VideoLink for Bookmarks {
    fn bookmark(&self, bookmark: Bookmark) {
        if self.0.try_send(bookmark).is_err() {
            tracing::error!("Too many clips are waiting: one is left for the next start");
        }
    }
}

impl Waiting {
    /// Serves bookmarks, each on its own: what was recorded before the alarm is pinned at once.
    pub async fn serve(mut self, system: System, vision: Vision) {
        let system = Arc::new(system);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(bookmark) = self.0.recv().await {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let keeping = keep(system.clone(), vision.clone(), bookmark);
            tokio::spawn(async move {
                keeping.await;
                drop(place);
            });
        }
    }
}

async fn keep(system: Arc<System>, vision: Vision, bookmark: Bookmark) {
    let Bookmark { clip, camera, from, to, .. } = bookmark;
    let outcome = match vision.pin(camera, from, to).await {
        Err(error) => Err(error.to_string()),
        Ok(()) => {
            let left = (to + FLUSH).duration_since(Timestamp::now());
            tokio::time::sleep(left.try_into().unwrap_or_default()).await;
            // Flushed now: what the recorder holds of it is what there is.
            match vision.clip(camera, from, to).await {
                Ok(found) if found.frames > 0 => Ok(()),
                Ok(_) => Err("the camera recorded nothing in that time".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
    };
    if let Err(reason) = &outcome {
        tracing::warn!(%camera, %reason, "Clip of an alarm could not be kept");
    }
    for pause_s in RETRIES_S {
        let told = match &outcome {
            Ok(()) => system.clip_ready(clip, String::new()).await,
            Err(reason) => system.clip_failed(clip, reason.clone()).await,
        };
        match told {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::Away => tokio::time::sleep(Duration::from_secs(pause_s)).await,
            Err(error) => return tracing::error!(%error, "Clip's state could not be stored"),
        }
    }
    tracing::error!("Clip's state could not be stored: it is taken up again at the next start");
}
