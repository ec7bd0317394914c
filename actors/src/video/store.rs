//! Clips, and the marks on a camera's recording.

use super::marks::{Mark, MarkKind, MarkQuery};
use super::{Bookmark, ClipRow};
use crate::error::{Doing, StoreError};
use crate::store::column;
use gatehouse_core::alarm::Clip;
use gatehouse_core::id::{AlarmId, ClipId, DeviceId};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores clips that are wanted; one that is there already stays as it is.
pub(crate) async fn put(conn: &mut PgConnection, rows: &[&Clip]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into clip (id, alarm, camera, \"from\", \"to\")
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
         on conflict (id) do nothing",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.alarm.0))
    .bind(column(rows, |row| row.camera.0))
    .bind(column(rows, |row| row.from.to_sqlx()))
    .bind(column(rows, |row| row.to.to_sqlx()))
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    alarm: Uuid,
    camera: Uuid,
    from: jiff_sqlx::Timestamp,
    to: jiff_sqlx::Timestamp,
    ready: bool,
    path: String,
    failed: String,
}

impl From<Row> for ClipRow {
    fn from(row: Row) -> Self {
        Self {
            id: ClipId(row.id),
            alarm: AlarmId(row.alarm),
            camera: DeviceId(row.camera),
            from: row.from.to_jiff(),
            to: row.to.to_jiff(),
            ready: row.ready,
            path: row.path,
            failed: row.failed,
        }
    }
}

/// Marks a clip as cut; its alarm.
pub(crate) async fn ready(pool: &PgPool, id: ClipId, path: &str) -> Result<Option<AlarmId>, StoreError> {
    let alarm: Option<Uuid> =
        sqlx::query_scalar("update clip set ready = true, path = $2, failed = '' where id = $1 returning alarm")
            .bind(id.0)
            .bind(path)
            .fetch_optional(pool)
            .await
            .doing("mark a clip")?;
    Ok(alarm.map(AlarmId))
}

/// Marks a clip as impossible; its alarm.
pub(crate) async fn failed(pool: &PgPool, id: ClipId, reason: &str) -> Result<Option<AlarmId>, StoreError> {
    let alarm: Option<Uuid> = sqlx::query_scalar("update clip set failed = $2 where id = $1 returning alarm")
        .bind(id.0)
        .bind(reason)
        .fetch_optional(pool)
        .await
        .doing("mark a clip")?;
    Ok(alarm.map(AlarmId))
}

/// One clip.
pub(crate) async fn get(pool: &PgPool, id: ClipId) -> Result<Option<ClipRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, alarm, camera, \"from\", \"to\", ready, path, failed
         from clip
         where id = $1",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("read a clip")?;
    Ok(row.map(ClipRow::from))
}

/// The clips of an alarm.
pub(crate) async fn of_alarm(pool: &PgPool, alarm: AlarmId) -> Result<Vec<ClipRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, alarm, camera, \"from\", \"to\", ready, path, failed
         from clip
         where alarm = $1
         order by \"from\", camera",
    )
    .bind(alarm.0)
    .fetch_all(pool)
    .await
    .doing("read an alarm's clips")?;
    Ok(rows.into_iter().map(ClipRow::from).collect())
}

/// Clips that are still to be cut.
pub(crate) async fn pending(pool: &PgPool) -> Result<Vec<Bookmark>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, alarm, camera, \"from\", \"to\", ready, path, failed
         from clip
         where not ready and failed = ''
         order by \"from\"
         limit 1000",
    )
    .fetch_all(pool)
    .await
    .doing("read pending clips")?;
    Ok(rows
        .into_iter()
        .map(ClipRow::from)
        .map(|row| Bookmark { clip: row.id, alarm: row.alarm, camera: row.camera, from: row.from, to: row.to })
        .collect())
}

#[derive(sqlx::FromRow)]
struct MarkRow {
    id: Uuid,
    at: jiff_sqlx::Timestamp,
    word: String,
    text: String,
    priority: i16,
}

impl MarkRow {
    fn mark(self, kind: MarkKind) -> Mark {
        let Self { id, at, word, text, priority } = self;
        Mark { kind, at: at.to_jiff(), to: None, id, word, text, priority: u8::try_from(priority).unwrap_or(0) }
    }
}

/// Alarms that a camera sees, in the order of time.
pub(crate) async fn alarm_marks(pool: &PgPool, query: &MarkQuery, most: i64) -> Result<Vec<Mark>, StoreError> {
    let rows: Vec<MarkRow> = sqlx::query_as(
        "select id, raised_at as at, kind as word, '' as text, priority
         from alarm
         where raised_at >= $2
           and raised_at < $3
           and $1 = any(cameras)
         order by raised_at, id
         limit $4",
    )
    .bind(query.camera.0)
    .bind(query.from.to_sqlx())
    .bind(query.to.to_sqlx())
    .bind(most)
    .fetch_all(pool)
    .await
    .doing("read alarms of a camera")?;
    Ok(rows.into_iter().map(|row| row.mark(MarkKind::Alarm)).collect())
}

/// Cars that came to a camera's lane, in the order of time.
pub(crate) async fn passage_marks(pool: &PgPool, query: &MarkQuery, most: i64) -> Result<Vec<Mark>, StoreError> {
    let rows: Vec<MarkRow> = sqlx::query_as(
        "select id, at, decision as word, plate as text, 0::smallint as priority
         from passage
         where at >= $2
           and at < $3
           and camera = $1
         order by at, id
         limit $4",
    )
    .bind(query.camera.0)
    .bind(query.from.to_sqlx())
    .bind(query.to.to_sqlx())
    .bind(most)
    .fetch_all(pool)
    .await
    .doing("read passages of a camera")?;
    Ok(rows.into_iter().map(|row| row.mark(MarkKind::Plate)).collect())
}

#[derive(sqlx::FromRow)]
struct Read {
    id: Uuid,
    at: jiff_sqlx::Timestamp,
    code: String,
    text: String,
    accepted: bool,
}

/// Plates and faces that a camera read, in the order of time.
///
/// A camera's clock and ours differ by less than an hour, or an alarm says so: the index is on ours.
pub(crate) async fn read_marks(pool: &PgPool, query: &MarkQuery, most: i64) -> Result<Vec<Mark>, StoreError> {
    let rows: Vec<Read> = sqlx::query_as(
        "select id, coalesce(observed_at, received_at) as at, code, coalesce(body ->> 'text', '') as text,
                coalesce((body ->> 'accepted')::boolean, false) as accepted
         from event_log
         where shown
           and received_at >= $2::timestamptz - interval '1 hour'
           and received_at < $3::timestamptz + interval '1 hour'
           and code in ('plate.read', 'face.seen')
           and device = $1
           and coalesce(observed_at, received_at) >= $2
           and coalesce(observed_at, received_at) < $3
         order by at, seq
         limit $4",
    )
    .bind(query.camera.0)
    .bind(query.from.to_sqlx())
    .bind(query.to.to_sqlx())
    .bind(most)
    .fetch_all(pool)
    .await
    .doing("read what a camera saw")?;
    let mark = |row: Read| Mark {
        kind: if row.code == "plate.read" { MarkKind::Plate } else { MarkKind::Face },
        at: row.at.to_jiff(),
        to: None,
        id: row.id,
        word: match (row.code.as_str(), row.accepted) {
            ("face.seen", true) => "accepted".to_owned(),
            ("face.seen", false) => "unknown".to_owned(),
            (_, true | false) => String::new(),
        },
        text: row.text,
        priority: 0,
    };
    Ok(rows.into_iter().map(mark).collect())
}
