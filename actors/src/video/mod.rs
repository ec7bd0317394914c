//! Stretches of recording that belong to alarms, and what happened before a camera.

pub mod marks;
pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use gatehouse_core::alarm::Clip;
use gatehouse_core::id::{AlarmId, ClipId, DeviceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A stretch of recording to protect and cut out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Bookmark {
    pub clip: ClipId,
    pub alarm: AlarmId,
    pub camera: DeviceId,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl From<&Clip> for Bookmark {
    fn from(clip: &Clip) -> Self {
        Self { clip: clip.id, alarm: clip.alarm, camera: clip.camera, from: clip.from, to: clip.to }
    }
}

/// The recorder.
pub trait VideoLink: Send + Sync {
    /// Asks for a stretch of recording. Must not block; asked again after a restart until [`System::clip_ready`] or
    /// [`System::clip_failed`] is called.
    fn bookmark(&self, bookmark: Bookmark);
}

/// No recorder: clips stay pending.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVideo;

impl VideoLink for NoVideo {
    fn bookmark(&self, _: Bookmark) {}
}

/// A clip as stored. Field names are the wire's, but for `path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ClipRow {
    pub id: ClipId,
    pub alarm: AlarmId,
    pub camera: DeviceId,
    pub from: Timestamp,
    pub to: Timestamp,
    pub ready: bool,
    /// Where the recorder put it, empty until it is ready.
    pub path: String,
    /// Why there will be none, empty while there may be.
    pub failed: String,
}

impl System {
    /// The recorder has cut a clip. Waits for the clip's row while that is in the spill.
    pub async fn clip_ready(&self, id: ClipId, path: String) -> Result<(), Error> {
        self.shared().journal.flush().await;
        let clip = store::ready(self.pool(), id, &path).await?.ok_or(Error::NotFound { what: "clip" })?;
        self.alarm_touched(clip).await
    }

    /// The recorder cannot cut a clip. Waits for the clip's row while that is in the spill.
    pub async fn clip_failed(&self, id: ClipId, reason: String) -> Result<(), Error> {
        self.shared().journal.flush().await;
        let clip = store::failed(self.pool(), id, &reason).await?.ok_or(Error::NotFound { what: "clip" })?;
        self.alarm_touched(clip).await
    }

    /// One clip.
    pub async fn clip(&self, id: ClipId) -> Result<ClipRow, Error> {
        store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "clip" })
    }

    /// Clips that are still to be cut.
    pub async fn clips_pending(&self) -> Result<Vec<Bookmark>, Error> {
        Ok(store::pending(self.pool()).await?)
    }
}
