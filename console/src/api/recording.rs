//! What was recorded: when, what happened then, pieces to play, and exact exports.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At};
use crate::media::vision;
use crate::rbac::Permission;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use gatehouse_actors::MarkQuery;
use gatehouse_actors::views::Mark;
use gatehouse_core::id::DeviceId;
use gatehouse_vision::Vision;
use gatehouse_vision::recorder::ClipError;
use gatehouse_vision::transcode::{SmallPieceError, TranscodeError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::{IntoParams, ToSchema};

/// The longest stretch of a timeline.
const TIMELINE: SignedDuration = SignedDuration::from_hours(24 * 31);
/// The longest piece to play: players ask again.
const PIECE: SignedDuration = SignedDuration::from_secs(60);
/// The longest export.
const EXPORT: SignedDuration = SignedDuration::from_mins(15);
/// A timeline is some thousand pixels wide: shorter gaps than this part of it are not told.
const GAP_SHARE: i32 = 4_000;
/// The shortest gap that is told.
const GAP: SignedDuration = SignedDuration::from_secs(1);
/// Exports held in memory at the same time, each up to 1 GiB.
const EXPORTS: usize = 1;
/// Bytes handed to the connection at a time.
const CHUNK: usize = 256 * 1024;

/// Turns at exporting.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(EXPORTS)));

/// Which span of time.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
pub struct Query {
    /// Beginning, RFC 3339.
    pub from: String,
    /// End, RFC 3339.
    pub to: String,
}

/// Which piece, and for whom.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct PieceQuery {
    /// Beginning, RFC 3339.
    pub from: String,
    /// End, RFC 3339.
    pub to: String,
    /// Whether the browser reads nothing but H.264.
    pub transcode: bool,
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Stretch {
    /// Its beginning.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// Its end.
    #[schema(value_type = String)]
    pub to: Timestamp,
}

/// What is recorded of a camera in a span, and what happened then.
#[derive(Serialize, ToSchema)]
pub struct Recording {
    /// The camera.
    #[schema(value_type = String)]
    pub camera: DeviceId,
    /// The beginning as asked.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// The end as asked.
    #[schema(value_type = String)]
    pub to: Timestamp,
    /// The first recorded moment there is of this camera.
    #[schema(value_type = Option<String>)]
    pub first: Option<Timestamp>,
    /// The last.
    #[schema(value_type = Option<String>)]
    pub last: Option<Timestamp>,
    /// What is recorded.
    pub stretches: Vec<Stretch>,
    /// What is not, up to now.
    pub gaps: Vec<Stretch>,
    /// What happened: `kind` (`alarm`, `plate`, `face`, `motion`), `at`, `to` for what lasts, `id`, `word`, `text`, `priority`.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub marks: Vec<Mark>,
    /// Whether there were too many marks: a shorter span tells them all.
    pub more: bool,
}

/// What is recorded of a camera in a span, at most 31 days; the last hour when left out.
#[utoipa::path(get, path = "/api/cameras/{id}/recording", params(("id" = uuid::Uuid, Path), Query),
    responses((status = 200, body = Recording)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(camera): At<DeviceId>,
    Ask(query): Ask<Query>,
) -> Result<Json<Recording>, ApiError> {
    let vision = known(&app, camera)?;
    let now = app.system().now();
    let (from, to) = span(&query, TIMELINE, Some(now))?;
    let hole = GAP.max(to.duration_since(from) / GAP_SHARE);
    let stretches = vision.stretches(camera, from, to, hole).ok_or_else(|| ApiError::not_found("camera"))?;
    let stretches: Vec<Stretch> = stretches.into_iter().map(|(from, to)| Stretch { from, to }).collect();
    let gaps = gaps(&stretches, from, to.min(now), hole);
    let people = who.role.may(Permission::AccessRead);
    let told = app.system().marks(&MarkQuery { camera, from, to, people }).await?;
    let (first, last) = vision.recorded(camera).unzip();
    Ok(Json(Recording { camera, from, to, first, last, stretches, gaps, marks: told.marks, more: told.more }))
}

/// A piece to play: whole groups of pictures as fragmented MP4, untouched, from the key frame at or before `from`.
///
/// `to` is at most a minute later. The headers `gatehouse-from` and `gatehouse-to` tell its time, `gatehouse-next` where to ask on.
/// With `transcode=true` what is not H.264 comes small, as H.264 and some seconds at a time; `gatehouse-transcoded` tells what it was.
#[utoipa::path(get, path = "/api/cameras/{id}/playback.mp4", params(("id" = uuid::Uuid, Path), PieceQuery),
    responses((status = 200, content_type = "video/mp4")))]
pub async fn playback(
    State(app): State<Arc<App>>,
    At(camera): At<DeviceId>,
    Ask(query): Ask<PieceQuery>,
) -> Result<Response, ApiError> {
    let vision = known(&app, camera)?;
    let (from, to) = span(&Query { from: query.from, to: query.to }, PIECE, None)?;
    let piece = match query.transcode {
        false => vision.piece(camera, from, to).await.map_err(|error| refused(error, "there"))?,
        true => vision.small_piece(camera, from, to).await.map_err(|error| match error {
            SmallPieceError::Clip(error) => refused(error, "there"),
            SmallPieceError::Transcode(error) => {
                let (code, remedy) = match error {
                    TranscodeError::Undecodable => ("not_decodable", "export it and play it elsewhere"),
                    TranscodeError::Off => {
                        ("transcodes_off", "raise limits.transcodes, or export it and play it elsewhere")
                    }
                    TranscodeError::Turns | TranscodeError::Busy(_) | TranscodeError::Thread => {
                        ("not_transcoded", "try again in a few seconds, or export it and play it elsewhere")
                    }
                };
                ApiError::unavailable(code, error.to_string()).remedy(remedy)
            }
        })?,
    };
    let mut response = piece.mp4.into_response();
    let out = response.headers_mut();
    put(out, header::CONTENT_TYPE, &format!("video/mp4; codecs=\"{}\"", piece.codecs));
    put(out, header::CACHE_CONTROL, "no-store");
    put(out, FROM, &piece.from.to_string());
    put(out, TO, &piece.to.to_string());
    put(out, FRAMES, &piece.frames.to_string());
    if let Some(next) = piece.next {
        put(out, NEXT, &next.to_string());
    }
    if let Some(was) = piece.was {
        put(out, TRANSCODED, &was);
    }
    Ok(response)
}

/// An exact cut as MP4, at most fifteen minutes, with its SHA-256 in `gatehouse-sha256` and `content-digest`.
///
/// Who exported what is in the audit log before the first byte is sent.
#[utoipa::path(get, path = "/api/cameras/{id}/export.mp4", params(("id" = uuid::Uuid, Path), Query),
    responses((status = 200, content_type = "video/mp4")))]
pub async fn export(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(camera): At<DeviceId>,
    Ask(query): Ask<Query>,
) -> Result<Response, ApiError> {
    let vision = known(&app, camera)?;
    let (from, to) = span(&query, EXPORT, None)?;
    let turn = TURNS.clone().try_acquire_owned().map_err(|_| {
        ApiError::unavailable("exports_busy", "another export is on its way")
            .remedy("try again when it is done: one goes at a time")
    })?;
    let clip = vision.clip(camera, from, to).await.map_err(|error| refused(error, "between from and to"))?;
    let mp4 = clip.mp4.clone();
    let digest = tokio::task::spawn_blocking(move || Sha256::digest(&mp4)).await.map_err(ApiError::internal)?;
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = app.system().device(camera).map(|device| device.key.to_string()).unwrap_or_default();
    let target = format!("{key} {} – {} sha256:{hash}", clip.from, clip.to);
    app.audit(&who.name, "GET /api/cameras/{id}/export.mp4", &target, StatusCode::OK.as_str()).await?;
    let length = clip.mp4.len();
    let mut response = Body::from_stream(handed_out(clip.mp4, turn)).into_response();
    let out = response.headers_mut();
    put(out, header::CONTENT_TYPE, "video/mp4");
    put(out, header::CONTENT_LENGTH, &length.to_string());
    put(out, header::CACHE_CONTROL, "no-store");
    put(out, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", file_name(&key, clip.from)));
    put(out, FROM, &clip.from.to_string());
    put(out, TO, &clip.to.to_string());
    put(out, FRAMES, &clip.frames.to_string());
    put(out, COMPLETE, if clip.complete { "true" } else { "false" });
    put(out, SHA256, &hash);
    // RFC 9530.
    put(out, HeaderName::from_static("content-digest"), &format!("sha-256=:{}:", BASE64.encode(digest)));
    Ok(response)
}

/// When the first picture of an answer was taken.
pub(crate) const AT: HeaderName = HeaderName::from_static("gatehouse-at");
pub(crate) const FROM: HeaderName = HeaderName::from_static("gatehouse-from");
/// When its last picture ends.
pub(crate) const TO: HeaderName = HeaderName::from_static("gatehouse-to");
const NEXT: HeaderName = HeaderName::from_static("gatehouse-next");
const FRAMES: HeaderName = HeaderName::from_static("gatehouse-frames");
/// The codec that a piece was transcoded from.
const TRANSCODED: HeaderName = HeaderName::from_static("gatehouse-transcoded");
/// Whether the whole span is there.
pub(crate) const COMPLETE: HeaderName = HeaderName::from_static("gatehouse-complete");
const SHA256: HeaderName = HeaderName::from_static("gatehouse-sha256");

/// Sets a header; a value that cannot be one is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The bytes piece by piece; the turn ends with them, or with the connection.
fn handed_out(
    mp4: Bytes,
    turn: OwnedSemaphorePermit,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::unfold((mp4, turn), async |(mut rest, turn)| {
        (!rest.is_empty()).then(|| (Ok(rest.split_to(rest.len().min(CHUNK))), (rest, turn)))
    })
}

/// `gate.camera_2026-05-01T08-00-00Z.mp4`: what sorts and every system stores.
fn file_name(key: &str, from: Timestamp) -> String {
    let second = from.round(jiff::Unit::Second).unwrap_or(from);
    format!("{key}_{}.mp4", second.to_string().replace(':', "-"))
}

fn known(app: &App, camera: DeviceId) -> Result<&Vision, ApiError> {
    let vision = vision(app)?;
    vision.status(camera).map(|_| vision).ok_or_else(|| ApiError::not_found("camera"))
}

fn refused(error: ClipError, when: &str) -> ApiError {
    match error {
        ClipError::UnknownCamera => ApiError::not_found("camera"),
        ClipError::NotRecorded => {
            ApiError::new(StatusCode::NOT_FOUND, "not_recorded", format!("nothing is recorded {when}"))
                .field("from")
                .remedy("ask /recording what there is")
        }
        ClipError::TooLong => {
            ApiError::invalid("to", "too_long", error.to_string()).remedy("ask for a shorter span, one after the other")
        }
        error @ (ClipError::Empty | ClipError::Read(_) | ClipError::Mp4(_)) => ApiError::internal(error),
    }
}

/// Checks a span, field by field; what is left out is an hour up to `now`, where that is given.
fn span(query: &Query, longest: SignedDuration, now: Option<Timestamp>) -> Result<(Timestamp, Timestamp), ApiError> {
    let moment = |field: &str, text: &str| {
        let refused = if text.is_empty() {
            ApiError::invalid(field, "missing", format!("{field} is missing"))
        } else {
            ApiError::invalid(field, "not_a_time", format!("{text:?} is not a moment"))
        };
        text.parse::<Timestamp>().map_err(|_| {
            refused.remedy("write it as RFC 3339 with its offset, e.g. 2026-05-01T08:00:00Z (a + in a URL is %2B)")
        })
    };
    let to = match now {
        Some(now) if query.to.is_empty() => now,
        Some(_) | None => moment("to", &query.to)?,
    };
    let from = match now {
        Some(_) if query.from.is_empty() => to.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(to),
        Some(_) | None => moment("from", &query.from)?,
    };
    if from >= to {
        let refused = ApiError::invalid("from", "not_before_to", format!("{from} is not before {to}"));
        return Err(refused.remedy("let from be earlier than to"));
    }
    if to.duration_since(from) > longest {
        let refused = ApiError::invalid("to", "too_long", format!("{from} to {to} is longer than {longest:#}"));
        return Err(refused.remedy(format!("ask for {longest:#} at most, one after the other")));
    }
    Ok((from, to))
}

/// What lies between stretches, from `from` to `to`; a rest of up to `hole` at the end is the newest part on its way.
fn gaps(stretches: &[Stretch], from: Timestamp, to: Timestamp, hole: SignedDuration) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut covered = from;
    for stretch in stretches {
        if stretch.from > covered {
            found.push(Stretch { from: covered, to: stretch.from });
        }
        covered = covered.max(stretch.to);
    }
    if to.duration_since(covered) > hole {
        found.push(Stretch { from: covered, to });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + s).unwrap()
    }

    fn stretch(from: i64, to: i64) -> Stretch {
        Stretch { from: at(from), to: at(to) }
    }

    #[test]
    fn gaps_are_what_lies_between() {
        let of = |stretches: &[Stretch]| gaps(stretches, at(0), at(100), GAP);
        assert_eq!(of(&[]), [stretch(0, 100)]);
        assert_eq!(of(&[stretch(0, 100)]), []);
        assert_eq!(of(&[stretch(10, 20), stretch(30, 99)]), [stretch(0, 10), stretch(20, 30)]);
        assert_eq!(of(&[stretch(0, 40)]), [stretch(40, 100)]);
        assert_eq!(gaps(&[], at(0), at(-5), GAP), [], "a span that has not come yet has no gaps");
    }

    fn answer(from: &str, to: &str, now: Option<Timestamp>) -> String {
        match span(&Query { from: from.into(), to: to.into() }, PIECE, now) {
            Ok((from, to)) => format!("{from} {to}"),
            Err(error) => {
                let body = error.into_body();
                assert!(body.remedy.is_some(), "{body:?}");
                format!("{} {}", body.field.unwrap_or_default(), body.code)
            }
        }
    }

    #[test]
    fn a_span_that_does_not_fit_is_named_with_its_field() {
        assert_eq!(
            answer("2026-05-01T08:00:00Z", "2026-05-01T08:01:00Z", None),
            "2026-05-01T08:00:00Z 2026-05-01T08:01:00Z"
        );
        assert_eq!(answer("", "2026-05-01T08:01:00Z", None), "from missing");
        assert_eq!(answer("2026-05-01T08:00:00Z", "", None), "to missing");
        assert_eq!(answer("yesterday", "2026-05-01T08:01:00Z", None), "from not_a_time");
        assert_eq!(answer("2026-05-01T08:00:00Z", "2026-05-01T08:00:00Z", None), "from not_before_to");
        assert_eq!(answer("2026-05-01T08:00:00Z", "2026-05-01T08:01:00.1Z", None), "to too_long");
        let now = "2026-05-01T08:01:00Z".parse().unwrap();
        assert_eq!(answer("2026-05-01T08:00:30Z", "", Some(now)), "2026-05-01T08:00:30Z 2026-05-01T08:01:00Z");
    }

    #[test]
    fn a_file_name_is_one_that_every_system_stores() {
        assert_eq!(file_name("gate.camera", at(0)), "gate.camera_2026-05-28T20-26-40Z.mp4");
    }

    #[tokio::test]
    async fn a_turn_ends_with_the_last_byte() {
        let turns = Arc::new(Semaphore::new(1));
        let body = Bytes::from(vec![7; CHUNK * 2 + 1]);
        let turn = turns.clone().try_acquire_owned().unwrap();
        let mut stream = Box::pin(handed_out(body, turn));
        let mut total = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            assert_eq!(turns.available_permits(), 0);
            total += chunk.len();
        }
        assert_eq!(total, CHUNK * 2 + 1);
        drop(stream);
        assert_eq!(turns.available_permits(), 1);
    }
}
