//! Pictures, clips and live video: media go from the vision pipeline to the browser without passing any mailbox.

use crate::api::recording;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Ask, At};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use gatehouse_core::id::{ClipId, DeviceId, PictureId};
use gatehouse_vision::hub::{Delivery, Viewer};
use gatehouse_vision::pipeline::picture::crop_path;
use gatehouse_vision::snapshot::SnapshotError;
use gatehouse_vision::transcode::TranscodeError;
use gatehouse_vision::{Vision, Which};
use std::sync::Arc;

/// Which stream of a camera is asked for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Asked {
    stream: Which,
    /// Whether the browser cannot read what the camera sends.
    transcode: bool,
}

/// `GET /ws/video/{id}?stream=sub|main`: one camera's access units, as the camera sent them. Unasked the sub-stream; of a
/// camera without one its only stream. With `transcode=true` what is not H.264 comes small and as H.264, as far as the budget
/// for that reaches.
pub async fn live(
    State(app): State<Arc<App>>,
    Extension(who): Extension<crate::auth::SignedIn>,
    At(id): At<DeviceId>,
    Ask(asked): Ask<Asked>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let vision = vision(&app)?;
    let hub = vision.hub_of(id, asked.stream).ok_or_else(|| ApiError::not_found("camera"))?;
    let ended = who.ended.clone();
    // A tile never sends more than a close.
    let upgrade = upgrade.max_message_size(1024);
    // What is H.264 already needs nothing; before the first picture nobody knows.
    if !asked.transcode || hub.config().is_none_or(|config| config.is_h264()) {
        return Ok(upgrade.on_upgrade(async move |socket| stream(socket, hub.watch(), ended).await));
    }
    let lane = vision.transcoded(id, asked.stream).ok_or_else(|| ApiError::not_found("camera"))?;
    Ok(upgrade.on_upgrade(async move |socket| match lane {
        Ok(lane) => stream(socket, lane.hub().watch(), ended).await,
        Err(error) => refuse(socket, &error).await,
    }))
}

/// Says why there is no transcoded picture. The socket stays until the browser asks again.
async fn refuse(mut socket: WebSocket, error: &TranscodeError) {
    let code = match error {
        TranscodeError::Busy(_) => "transcode_busy",
        TranscodeError::Thread | TranscodeError::Turns | TranscodeError::Off | TranscodeError::Undecodable => {
            "transcode_failed"
        }
    };
    tracing::warn!(code, "A live picture was not transcoded: {error}");
    let said = Message::Text(serde_json::json!({ "t": "error", "code": code }).to_string().into());
    let close = Message::Close(Some(CloseFrame { code: 1013, reason: "too many streams are transcoded".into() }));
    // The browser may be gone already.
    let _ = socket.send(said).await;
    let _ = socket.send(close).await;
}

async fn stream(socket: WebSocket, mut viewer: Viewer, ended: tokio_util::sync::CancellationToken) {
    let (mut sink, mut incoming) = socket.split();
    loop {
        tokio::select! {
            delivery = viewer.next() => {
                let message = match delivery {
                    None => break,
                    Some(Delivery::Config(config)) => Message::Text(config.wire_json().into()),
                    Some(Delivery::Lost(loss)) => Message::Text(loss.wire_json().into()),
                    Some(Delivery::Unit { unit, skipped }) => {
                        let header = unit.wire_header(skipped);
                        let mut frame = BytesMut::with_capacity(header.len() + unit.data.len());
                        frame.extend_from_slice(&header);
                        frame.extend_from_slice(&unit.data);
                        Message::Binary(frame.freeze())
                    }
                };
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            () = ended.cancelled() => break,
            message = incoming.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    // The browser may be gone already.
    let _ =
        sink.send(Message::Close(Some(CloseFrame { code: 1001, reason: "camera removed or signed out".into() }))).await;
}

/// `GET /api/cameras/{id}/snapshot.jpg`: the newest picture of a camera.
pub async fn snapshot(State(app): State<Arc<App>>, At(id): At<DeviceId>) -> Result<Response, ApiError> {
    match vision(&app)?.snapshot_jpeg(id).await {
        Ok((jpeg, at)) => {
            let kind = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")];
            let mut response = (kind, jpeg).into_response();
            // When it was taken, for what is drawn over it.
            recording::put(response.headers_mut(), recording::AT, &at.to_string());
            Ok(response)
        }
        Err(SnapshotError::UnknownCamera) => Err(ApiError::not_found("camera")),
        Err(error) => Err(ApiError::unavailable("no_picture", error.to_string())),
    }
}

/// `GET /api/pictures/{id}.jpg`: the picture of an observation; `{id}-plate.jpg`: its plate by itself.
pub async fn picture(State(app): State<Arc<App>>, At(file): At<String>) -> Result<Response, ApiError> {
    let name = file.strip_suffix(".jpg").ok_or_else(|| ApiError::not_found("picture"))?;
    let (id, crop) = name.strip_suffix("-plate").map_or((name, false), |id| (id, true));
    let id: PictureId = id.parse().map_err(|_| ApiError::not_found("picture"))?;
    for path in app.picture_paths(id) {
        let path = if crop { crop_path(&path) } else { path };
        if let Ok(jpeg) = tokio::fs::read(&path).await {
            return Ok((
                [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=86400")],
                jpeg,
            )
                .into_response());
        }
    }
    Err(ApiError::not_found("picture"))
}

/// `GET /api/clips/{id}.mp4`: the recording around an alarm, exact to the frame; answers range requests so players can seek.
pub async fn clip(State(app): State<Arc<App>>, At(file): At<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let id: ClipId =
        file.strip_suffix(".mp4").and_then(|id| id.parse().ok()).ok_or_else(|| ApiError::not_found("clip"))?;
    let row = app.clip(id).await?.ok_or_else(|| ApiError::not_found("clip"))?;
    let clip = vision(&app)?.clip(row.camera, row.from, row.to).await.map_err(|error| {
        ApiError::unavailable("clip_not_there", error.to_string()).remedy("try again in a few seconds")
    })?;
    let mut response = ranged(clip.mp4, &headers);
    let out = response.headers_mut();
    // What is there of it so far: the recording of an alarm is asked for before it is whole.
    recording::put(out, recording::FROM, &clip.from.to_string());
    recording::put(out, recording::TO, &clip.to.to_string());
    recording::put(out, recording::COMPLETE, if clip.complete { "true" } else { "false" });
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&format!("inline; filename=\"{id}.mp4\"")) {
        out.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Answers with the whole body or the one range asked for (RFC 9110 §14; several ranges get the whole).
fn ranged(body: Bytes, headers: &HeaderMap) -> Response {
    let total = body.len();
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|text| range(text, total));
    let mut response = match asked {
        None => body.into_response(),
        Some(Err(())) => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{total}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            response
        }
        Some(Ok((from, to))) => {
            let mut response = (StatusCode::PARTIAL_CONTENT, body.slice(from..to)).into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes {from}-{}/{total}", to - 1)) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            response
        }
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// Reads `bytes=a-b`, `bytes=a-` and `bytes=-n`: start and end (exclusive) within `total`; an error when nothing is left.
fn range(text: &str, total: usize) -> Option<Result<(usize, usize), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(from), Ok(last)) => (from, last.saturating_add(1).min(total)),
        (Ok(from), Err(_)) if last.is_empty() => (from, total),
        (Err(_), Ok(count)) if first.is_empty() => (total.saturating_sub(count), total),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => return None,
    };
    Some(if from < to { Ok((from, to)) } else { Err(()) })
}

pub(crate) fn vision(app: &App) -> Result<&Vision, ApiError> {
    app.vision().ok_or_else(|| ApiError::unavailable("no_video", "this site has no cameras"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_as_browsers_ask_for_them() {
        assert_eq!(range("bytes=0-", 10), Some(Ok((0, 10))));
        assert_eq!(range("bytes=2-3", 10), Some(Ok((2, 4))));
        assert_eq!(range("bytes=-4", 10), Some(Ok((6, 10))));
        assert_eq!(range("bytes=5-999", 10), Some(Ok((5, 10))));
        assert_eq!(range("bytes=10-", 10), Some(Err(())));
        assert_eq!(range("bytes=1-2,4-5", 10), None);
    }

    proptest! {
        #[test]
        fn a_range_stays_within_the_body(text in "bytes=[0-9]{0,25}-[0-9]{0,25}", total in 0usize..1000) {
            if let Some(Ok((from, to))) = range(&text, total) {
                prop_assert!(from < to && to <= total);
            }
        }
    }
}
