//! The latest picture of a camera as JPEG.

use crate::decode::{Any, DecodeError, Decoder};
use crate::frame::FrameError;
use crate::hub::Hub;
use crate::pipeline::Newest;
use bytes::Bytes;
use jiff::Timestamp;

/// JPEG quality.
const QUALITY: u8 = 85;
/// Most units decoded for one picture; of a longer group the key frame is shown.
const UNITS_MAX: usize = 75;
/// A picture that analysis decoded is taken when it is at most this much older than the newest unit, ms.
const RECENT_MS: i64 = 300;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The camera is not known.
    #[error("no such camera")]
    UnknownCamera,
    /// Nothing arrived yet, or the stream is lost.
    #[error("the camera gives no picture now")]
    NoPicture,
    /// What arrived could not be decoded.
    #[error("the camera's picture could not be decoded")]
    Decode(#[from] DecodeError),
    /// The picture could not be written.
    #[error("the picture could not be written")]
    Encode(#[from] FrameError),
}

/// Makes the picture, and says when it was taken: from what analysis decoded when that is recent, else from the cached group of pictures.
///
/// Takes some 10–200 ms of computing: call it where blocking is allowed.
pub fn jpeg(hub: &Hub, newest: Option<Newest>) -> Result<(Bytes, Timestamp), SnapshotError> {
    let latest = hub.newest().ok_or(SnapshotError::NoPicture)?;
    if let Some((frame, at)) = newest
        && (latest.captured.as_millisecond() - at.as_millisecond()).abs() <= RECENT_MS
    {
        return Ok((frame.to_jpeg(QUALITY)?.into(), at));
    }
    let group = hub.group_of_pictures();
    let group = if group.len() > UNITS_MAX { &group[..1] } else { &group[..] };
    let mut decoder = Any::default();
    let mut picture = None;
    let mut failed = None;
    for unit in group {
        match decoder.decode(unit) {
            Ok(frame) => picture = frame.map(|frame| (frame, unit.captured)).or(picture),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    match (picture, failed) {
        (Some((frame, at)), _) => Ok((frame.to_jpeg(QUALITY)?.into(), at)),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(SnapshotError::NoPicture),
    }
}
