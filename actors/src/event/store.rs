//! The event log and the positions of the machines in it.

use super::{EventQuery, EventRow, EventView};
use crate::address::Name;
use crate::copy::Rows;
use crate::error::{Doing, StoreError};
use crate::journal::{Logged, Mark};
use gatehouse_core::event::{Audience, Event, code_of};
use gatehouse_core::id::{DeviceId, EventId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use uuid::Uuid;

/// So many events are copied, which takes two more words with the server; fewer are inserted.
const COPIED: usize = 32;

/// How events are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    /// As is quickest: refused whole when a device said one of them before.
    Quick,
    /// One that a device said before is left out.
    Once,
}

/// An event as the log keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub logged: &'a Logged,
    /// The event that led to it, as far as that is kept.
    pub cause: Option<EventId>,
}

/// Appends events.
pub(crate) async fn append(conn: &mut PgConnection, events: &[Line<'_>], how: Append) -> Result<(), sqlx::Error> {
    if how == Append::Quick && events.len() >= COPIED { copy(conn, events).await } else { insert(conn, events).await }
}

/// Whether events were refused because a device said one of them before.
pub(crate) fn said_before(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.constraint() == Some("event_log_source"))
}

fn number(event: &Event) -> Result<i64, sqlx::Error> {
    i64::try_from(event.seq).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn json(event: &Event) -> Result<String, sqlx::Error> {
    serde_json::to_string(&event.body).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

async fn copy(conn: &mut PgConnection, events: &[Line<'_>]) -> Result<(), sqlx::Error> {
    let mut rows = Rows::default();
    for Line { logged: Logged { event, source_key }, cause } in events.iter().copied() {
        let body = json(event)?;
        rows.row(12)
            .int8(number(event)?)
            .uuid(Some(event.id.0))
            .timestamptz(Some(event.received_at))
            .timestamptz(event.observed_at)
            .uuid(event.device.map(|id| id.0))
            .uuid(event.place.map(|id| id.0))
            .uuid(cause.map(|id| id.0))
            .text(Some(&event.by))
            .text(Some(code_of(&body)))
            .boolean(Some(event.body.shown()))
            .text(source_key.as_deref())
            .jsonb(&body);
    }
    let statement =
        "copy event_log (seq, id, received_at, observed_at, device, place, cause, by, code, shown, source_key, body)
                     from stdin (format binary)";
    rows.copy(conn, statement).await
}

async fn insert(conn: &mut PgConnection, events: &[Line<'_>]) -> Result<(), sqlx::Error> {
    let n = events.len();
    let (mut seqs, mut ids, mut received, mut observed) =
        (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut devices, mut places, mut causes) = (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut bys, mut codes, mut shown, mut sources, mut bodies) = (vec![], vec![], vec![], vec![], vec![]);
    for Line { logged: Logged { event, source_key }, cause } in events.iter().copied() {
        let body = json(event)?;
        seqs.push(number(event)?);
        ids.push(event.id.0);
        received.push(event.received_at.to_sqlx());
        observed.push(event.observed_at.map(ToSqlx::to_sqlx));
        devices.push(event.device.map(|id| id.0));
        places.push(event.place.map(|id| id.0));
        causes.push(cause.map(|id| id.0));
        bys.push(event.by.as_str());
        codes.push(code_of(&body).to_owned());
        shown.push(event.body.shown());
        sources.push(source_key.as_deref());
        bodies.push(body);
    }
    sqlx::query(
        "insert into event_log (seq, id, received_at, observed_at, device, place, cause, by, code, shown, source_key, body)
         select seq, id, received_at, observed_at, device, place, cause, by, code, shown, source_key, body::jsonb
         from unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::uuid[], $7::uuid[],
                     $8::text[], $9::text[], $10::boolean[], $11::text[], $12::text[])
           as event (seq, id, received_at, observed_at, device, place, cause, by, code, shown, source_key, body)
         on conflict (device, source_key) where source_key is not null and observed_at is not null do nothing",
    )
    .bind(seqs)
    .bind(ids)
    .bind(received)
    .bind(observed)
    .bind(devices)
    .bind(places)
    .bind(causes)
    .bind(bys)
    .bind(codes)
    .bind(shown)
    .bind(sources)
    .bind(bodies)
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores where machines stand; of several marks of one machine the last counts. None goes back: what was spilled may come late.
pub(crate) async fn mark(conn: &mut PgConnection, marks: &[&Mark]) -> Result<(), sqlx::Error> {
    let last: BTreeMap<&str, &Mark> = marks.iter().map(|mark| (mark.key.as_str(), *mark)).collect();
    let keys: Vec<&str> = last.keys().copied().collect();
    let seqs: Vec<i64> = last.values().map(|mark| i64::try_from(mark.seq).unwrap_or(i64::MAX)).collect();
    let states: Vec<&str> = last.values().map(|mark| mark.state.as_str()).collect();
    sqlx::query(
        "insert into machine (key, seq, state)
         select key, seq, state::jsonb from unnest($1::text[], $2::bigint[], $3::text[]) as mark (key, seq, state)
         on conflict (key) do update set seq = excluded.seq, state = excluded.state
         where machine.seq <= excluded.seq",
    )
    .bind(keys)
    .bind(seqs)
    .bind(states)
    .execute(conn)
    .await?;
    Ok(())
}

/// Where a machine stands.
pub(crate) async fn machine(pool: &PgPool, key: &str) -> Result<Option<(u64, serde_json::Value)>, StoreError> {
    let row: Option<(i64, serde_json::Value)> = sqlx::query_as("select seq, state from machine where key = $1")
        .bind(key)
        .fetch_optional(pool)
        .await
        .doing("read a machine's state")?;
    Ok(row.map(|(seq, state)| (u64::try_from(seq).unwrap_or(0), state)))
}

/// Whether any of these events is in the log.
pub(crate) async fn knows(pool: &PgPool, events: &[&Event]) -> Result<bool, sqlx::Error> {
    let seqs: Vec<i64> = events.iter().map(|event| i64::try_from(event.seq).unwrap_or(i64::MAX)).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id.0).collect();
    sqlx::query_scalar(
        "select exists (select from event_log join unnest($1::bigint[], $2::uuid[]) as asked (seq, id) using (seq, id))",
    )
    .bind(seqs)
    .bind(ids)
    .fetch_one(pool)
    .await
}

/// The events that a machine has not stepped on.
pub(crate) async fn missed(pool: &PgPool, name: Name, seq: u64) -> Result<Vec<Event>, StoreError> {
    let (device, audience) = match name {
        Name::Device(id) => (Some(id.0), Audience::Device),
        Name::LifeSafety => (None, Audience::LifeSafety),
        Name::Rule => (None, Audience::Rule),
        Name::Operator => (None, Audience::Operator),
        Name::Alarm => (None, Audience::Alarm),
        Name::WorkOrder => (None, Audience::WorkOrder),
    };
    let rows: Vec<EventRow> = sqlx::query_as(
        "select seq, id, received_at, observed_at, device, place, cause, by, code, body
         from event_log
         where seq > $1
           and code = any($2)
           and ($3::uuid is null or device = $3)
         order by seq",
    )
    .bind(i64::try_from(seq).unwrap_or(i64::MAX))
    .bind(audience.codes())
    .bind(device)
    .fetch_all(pool)
    .await
    .doing("read the event log")?;
    rows.into_iter().map(Event::try_from).collect()
}

/// Where the machines of devices stand.
pub(crate) async fn device_machines(
    pool: &PgPool,
    devices: &[DeviceId],
) -> Result<Vec<(DeviceId, u64, serde_json::Value)>, StoreError> {
    let ids: Vec<Uuid> = devices.iter().map(|id| id.0).collect();
    let rows: Vec<(Uuid, i64, serde_json::Value)> = sqlx::query_as(
        "select id, seq, state
         from unnest($1::uuid[]) as wanted (id)
         join machine on key = 'device:' || id",
    )
    .bind(ids)
    .fetch_all(pool)
    .await
    .doing("read the machines' states")?;
    Ok(rows.into_iter().map(|(id, seq, state)| (DeviceId(id), u64::try_from(seq).unwrap_or(0), state)).collect())
}

/// The events that the machines of devices have not stepped on, given where each stands; in their order.
pub(crate) async fn missed_by_devices(pool: &PgPool, positions: &[(DeviceId, u64)]) -> Result<Vec<Event>, StoreError> {
    let ids: Vec<Uuid> = positions.iter().map(|(id, _)| id.0).collect();
    let seqs: Vec<i64> = positions.iter().map(|(_, seq)| i64::try_from(*seq).unwrap_or(i64::MAX)).collect();
    // `offset 0`: one look into the index per device, however many rows the planner believes there are.
    let rows: Vec<EventRow> = sqlx::query_as(
        "select log.seq, log.id, received_at, observed_at, log.device, place, cause, by, code, body
         from unnest($1::uuid[], $2::bigint[]) as stands (device, seq)
         cross join lateral (
           select *
           from event_log
           where event_log.device = stands.device and event_log.seq > stands.seq and code = any($3)
           offset 0
         ) as log
         order by log.seq",
    )
    .bind(ids)
    .bind(seqs)
    .bind(Audience::Device.codes())
    .fetch_all(pool)
    .await
    .doing("read the event log")?;
    rows.into_iter().map(Event::try_from).collect()
}

/// The number of the last event.
pub(crate) async fn last_seq(pool: &PgPool) -> Result<u64, StoreError> {
    let seq: i64 = sqlx::query_scalar(
        "select greatest(coalesce(max(seq), 0), (select coalesce(max(seq), 0) from machine)) from event_log",
    )
    .fetch_one(pool)
    .await
    .doing("read the event log")?;
    Ok(u64::try_from(seq).unwrap_or(0))
}

/// What devices said since a moment, by their own numbers.
pub(crate) async fn said_since(
    pool: &PgPool,
    since: Timestamp,
) -> Result<Vec<(DeviceId, String, Timestamp)>, StoreError> {
    let rows: Vec<(Uuid, String, jiff_sqlx::Timestamp)> = sqlx::query_as(
        "select device, source_key, received_at
         from event_log
         where source_key is not null and device is not null and received_at >= $1
         order by seq
         limit 100000",
    )
    .bind(since.to_sqlx())
    .fetch_all(pool)
    .await
    .doing("read the event log")?;
    Ok(rows.into_iter().map(|(device, number, at)| (DeviceId(device), number, at.to_jiff())).collect())
}

/// The timeline.
pub(crate) async fn list(pool: &PgPool, query: &EventQuery) -> Result<Vec<EventView>, StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "select seq, id, received_at, observed_at, device, place, cause, by, code, body
         from event_log
         where shown
           and ($1::timestamptz is null or received_at < $1)
           and ($2::uuid is null or device = $2)
           and ($3 = '' or code = $3)
           and ($4 = '' or by ilike '%' || $4 || '%' or body::text ilike '%' || $4 || '%'
                or device in (select id from device where key ilike '%' || $4 || '%' or name ilike '%' || $4 || '%'))
         order by received_at desc, seq desc
         limit $5",
    )
    .bind(query.before.map(ToSqlx::to_sqlx))
    .bind(query.device.map(|id| id.0))
    .bind(&query.code)
    .bind(&query.q)
    .bind(query.limit.clamp(1, 10_000))
    .fetch_all(pool)
    .await
    .doing("read the event log")?;
    Ok(rows.into_iter().map(EventView::from).collect())
}

/// Removes what only machines said to each other, once it is old.
pub(crate) async fn forget(pool: &PgPool, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query("delete from event_log where not shown and received_at < $1")
        .bind(before.to_sqlx())
        .execute(pool)
        .await
        .doing("remove old events")?;
    Ok(())
}
