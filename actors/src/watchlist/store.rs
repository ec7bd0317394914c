//! Watch lists and their lines.

use super::{Imported, WatchEntryView, WatchListView};
use crate::error::{Doing, StoreError};
use crate::store::column;
use gatehouse_core::alarm::Priority;
use gatehouse_core::id::{WatchEntryId, WatchListId};
use gatehouse_core::recognition::watchlist::{Listing, MOST_ENTRIES, WatchEntry, WatchList};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How a change went.
pub(super) enum Put {
    Done,
    /// There is none, or it is not the version that was seen.
    Stale,
    /// Another has the name or plate.
    Taken,
}

fn put(result: Result<sqlx::postgres::PgQueryResult, sqlx::Error>, doing: &'static str) -> Result<Put, StoreError> {
    match result {
        Ok(done) if done.rows_affected() == 0 => Ok(Put::Stale),
        Ok(_) => Ok(Put::Done),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Put::Taken),
        Err(error) => Err(error).doing(doing),
    }
}

#[derive(sqlx::FromRow)]
struct ListRow {
    id: Uuid,
    name: String,
    listing: String,
    alarm: Option<i16>,
    opens: bool,
    version: i32,
    by: String,
    at: jiff_sqlx::Timestamp,
    entries: i64,
}

impl TryFrom<ListRow> for WatchListView {
    type Error = StoreError;

    fn try_from(row: ListRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: WatchListId(row.id),
            name: row.name,
            listing: Listing::parse(&row.listing).ok_or(StoreError::Unreadable { what: "watch list" })?,
            alarm: row.alarm.and_then(|priority| u8::try_from(priority).ok()),
            opens: row.opens,
            version: row.version,
            by: row.by,
            at: row.at.to_jiff(),
            entries: row.entries,
        })
    }
}

/// All lists that are not deleted, by name; their lines counted that are in force.
pub(super) async fn lists(pool: &PgPool, now: Timestamp) -> Result<Vec<WatchListView>, StoreError> {
    let rows: Vec<ListRow> = sqlx::query_as(
        "select id, name, listing, alarm, opens, version, by, at,
                (select count(*)
                 from watch_entry
                 where list = watch_list.id and removed_at is null and (until is null or until > $1)) as entries
         from watch_list
         where deleted_at is null
         order by name, id",
    )
    .bind(now.to_sqlx())
    .fetch_all(pool)
    .await
    .doing("read watch lists")?;
    rows.into_iter().map(WatchListView::try_from).collect()
}

/// Stores a list that is new; false when its name is taken.
pub(super) async fn create(pool: &PgPool, list: &WatchListView) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "insert into watch_list (id, name, listing, alarm, opens, version, by, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict do nothing",
    )
    .bind(list.id.0)
    .bind(&list.name)
    .bind(list.listing.word())
    .bind(list.alarm.map(i16::from))
    .bind(list.opens)
    .bind(list.version)
    .bind(&list.by)
    .bind(list.at.to_sqlx())
    .execute(pool)
    .await
    .doing("store a watch list")?;
    Ok(done.rows_affected() > 0)
}

/// Stores the next version of a list.
pub(super) async fn change(pool: &PgPool, list: &WatchListView) -> Result<Put, StoreError> {
    let done = sqlx::query(
        "update watch_list
         set name = $2, listing = $3, alarm = $4, opens = $5, version = $6, by = $7, at = $8
         where id = $1 and version = $6 - 1 and deleted_at is null",
    )
    .bind(list.id.0)
    .bind(&list.name)
    .bind(list.listing.word())
    .bind(list.alarm.map(i16::from))
    .bind(list.opens)
    .bind(list.version)
    .bind(&list.by)
    .bind(list.at.to_sqlx())
    .execute(pool)
    .await;
    put(done, "store a watch list")
}

/// Deletes a list, or brings it back; false when there is none to.
pub(super) async fn delete(
    pool: &PgPool,
    id: WatchListId,
    by: &str,
    at: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update watch_list
         set deleted_at = $2, by = $3, version = version + 1
         where id = $1 and (deleted_at is null) = ($2::timestamptz is not null)",
    )
    .bind(id.0)
    .bind(at.map(ToSqlx::to_sqlx))
    .bind(by)
    .execute(pool)
    .await;
    Ok(matches!(put(done, "delete a watch list")?, Put::Done))
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: Uuid,
    list: Uuid,
    pattern: String,
    note: String,
    until: Option<jiff_sqlx::Timestamp>,
    by: String,
    at: jiff_sqlx::Timestamp,
}

impl From<EntryRow> for WatchEntryView {
    fn from(row: EntryRow) -> Self {
        Self {
            id: WatchEntryId(row.id),
            list: WatchListId(row.list),
            plate: row.pattern,
            note: row.note,
            valid_until: row.until.map(|at| at.to_jiff()),
            by: row.by,
            at: row.at.to_jiff(),
        }
    }
}

/// Lines of a list, by plate.
pub(super) async fn entries(
    pool: &PgPool,
    list: WatchListId,
    q: &str,
    limit: i64,
) -> Result<Vec<WatchEntryView>, StoreError> {
    let rows: Vec<EntryRow> = sqlx::query_as(
        "select id, list, pattern, note, until, by, at
         from watch_entry
         where list = $1
           and removed_at is null
           and ($2 = '' or position(upper($2) in pattern) > 0 or position(lower($2) in lower(note)) > 0)
         order by pattern
         limit $3",
    )
    .bind(list.0)
    .bind(q.trim())
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read a watch list")?;
    Ok(rows.into_iter().map(WatchEntryView::from).collect())
}

/// One line that was not removed.
pub(super) async fn entry(pool: &PgPool, id: WatchEntryId) -> Result<Option<WatchEntryView>, StoreError> {
    let row: Option<EntryRow> = sqlx::query_as(
        "select id, list, pattern, note, until, by, at
         from watch_entry
         where id = $1 and removed_at is null",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("read a line of a watch list")?;
    Ok(row.map(WatchEntryView::from))
}

/// Lines of all lists.
pub(super) async fn count(pool: &PgPool) -> Result<i64, StoreError> {
    sqlx::query_scalar("select count(*) from watch_entry where removed_at is null")
        .fetch_one(pool)
        .await
        .doing("count lines of watch lists")
}

/// Stores a line that is new; false when the plate is listed.
pub(super) async fn add(pool: &PgPool, entry: &WatchEntryView) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "insert into watch_entry (id, list, pattern, note, until, by, at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing",
    )
    .bind(entry.id.0)
    .bind(entry.list.0)
    .bind(&entry.plate)
    .bind(&entry.note)
    .bind(entry.valid_until.map(ToSqlx::to_sqlx))
    .bind(&entry.by)
    .bind(entry.at.to_sqlx())
    .execute(pool)
    .await
    .doing("store a line of a watch list")?;
    Ok(done.rows_affected() > 0)
}

/// Stores a changed line.
pub(super) async fn change_entry(pool: &PgPool, entry: &WatchEntryView) -> Result<Put, StoreError> {
    let done = sqlx::query(
        "update watch_entry
         set pattern = $2, note = $3, until = $4, by = $5, at = $6
         where id = $1 and removed_at is null",
    )
    .bind(entry.id.0)
    .bind(&entry.plate)
    .bind(&entry.note)
    .bind(entry.valid_until.map(ToSqlx::to_sqlx))
    .bind(&entry.by)
    .bind(entry.at.to_sqlx())
    .execute(pool)
    .await;
    put(done, "store a line of a watch list")
}

/// Removes a line, or brings it back.
pub(super) async fn remove(
    pool: &PgPool,
    id: WatchEntryId,
    by: &str,
    at: Option<Timestamp>,
) -> Result<Put, StoreError> {
    let done = sqlx::query(
        "update watch_entry
         set removed_at = $2, by = $3
         where id = $1 and (removed_at is null) = ($2::timestamptz is not null)",
    )
    .bind(id.0)
    .bind(at.map(ToSqlx::to_sqlx))
    .bind(by)
    .execute(pool)
    .await;
    put(done, "remove a line of a watch list")
}

/// Stores many lines of one list in one transaction: new ones are added, those that differ are changed. `None`, and nothing
/// stored, when the lists would have too many.
pub(super) async fn import(pool: &PgPool, rows: &[WatchEntryView]) -> Result<Option<Imported>, StoreError> {
    const DOING: &str = "import a watch list";
    let mut tx = pool.begin().await.doing(DOING)?;
    let refs: Vec<&WatchEntryView> = rows.iter().collect();
    let added: Vec<bool> = sqlx::query_scalar(
        "insert into watch_entry as held (id, list, pattern, note, until, by, at)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
                              $7::timestamptz[])
         on conflict (list, pattern) where removed_at is null do update
         set note = excluded.note, until = excluded.until, by = excluded.by, at = excluded.at
         where held.note <> excluded.note or held.until is distinct from excluded.until
         returning xmax = 0",
    )
    .bind(column(&refs, |row| row.id.0))
    .bind(column(&refs, |row| row.list.0))
    .bind(column(&refs, |row| row.plate.as_str()))
    .bind(column(&refs, |row| row.note.as_str()))
    .bind(column(&refs, |row| row.valid_until.map(ToSqlx::to_sqlx)))
    .bind(column(&refs, |row| row.by.as_str()))
    .bind(column(&refs, |row| row.at.to_sqlx()))
    .fetch_all(&mut *tx)
    .await
    .doing(DOING)?;
    let all: i64 = sqlx::query_scalar("select count(*) from watch_entry where removed_at is null")
        .fetch_one(&mut *tx)
        .await
        .doing(DOING)?;
    if all > MOST_ENTRIES as i64 {
        return Ok(None);
    }
    tx.commit().await.doing(DOING)?;
    let new = added.iter().filter(|new| **new).count();
    let (changed, unchanged) = (added.len() - new, rows.len() - added.len());
    Ok(Some(Imported { added: new, changed, unchanged, errors: vec![] }))
}

/// The lists as the gate holds reads against them.
pub(crate) async fn in_force(pool: &PgPool, now: Timestamp) -> Result<Vec<WatchList>, StoreError> {
    let lists = lists(pool, now).await?;
    let rows: Vec<EntryRow> = sqlx::query_as(
        "select id, list, pattern, note, until, by, at
         from watch_entry
         where removed_at is null and (until is null or until > $1)
         order by pattern",
    )
    .bind(now.to_sqlx())
    .fetch_all(pool)
    .await
    .doing("read watch lists")?;
    let mut of: BTreeMap<Uuid, Vec<WatchEntry>> = BTreeMap::new();
    for row in rows {
        of.entry(row.list).or_default().push(WatchEntry {
            id: WatchEntryId(row.id),
            pattern: row.pattern,
            reason: row.note,
            from: None,
            until: row.until.map(|at| at.to_jiff()),
        });
    }
    let list = |list: WatchListView| WatchList {
        id: list.id,
        name: list.name,
        listing: list.listing,
        alarm: list.alarm.and_then(|priority| Priority::try_from(priority).ok()),
        opens: list.opens,
        entries: of.remove(&list.id.0).unwrap_or_default(),
    };
    Ok(lists.into_iter().map(list).collect())
}
