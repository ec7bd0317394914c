//! Watch lists as operators edit them. Committed before they are answered; in force at the next read.

pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use gatehouse_core::event::Body;
use gatehouse_core::id::{WatchEntryId, WatchListId};
use gatehouse_core::recognition::watch_csv::{self, MOST_NOTE, Wrong};
use gatehouse_core::recognition::watchlist::{Listing, MOST_ENTRIES, MOST_LISTS, pattern};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A list. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WatchListView {
    pub id: WatchListId,
    pub name: String,
    pub listing: Listing,
    /// Priority of the alarm that a read raises, none for no alarm.
    pub alarm: Option<u8>,
    pub opens: bool,
    pub version: i32,
    pub by: String,
    pub at: Timestamp,
    /// Lines in force now.
    pub entries: i64,
}

/// A line of a list. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WatchEntryView {
    pub id: WatchEntryId,
    pub list: WatchListId,
    pub plate: String,
    pub note: String,
    pub valid_until: Option<Timestamp>,
    pub by: String,
    pub at: Timestamp,
}

/// A list as someone writes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WatchListInput {
    pub name: String,
    pub listing: Listing,
    #[serde(default)]
    pub alarm: Option<u8>,
    #[serde(default)]
    pub opens: bool,
    /// The version that was seen; only of a change.
    #[serde(default)]
    pub version: i32,
}

/// A line as someone writes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WatchEntryInput {
    pub plate: String,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
}

/// What an import did, or why it did nothing. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Imported {
    pub added: usize,
    pub changed: usize,
    pub unchanged: usize,
    /// With errors nothing was taken.
    pub errors: Vec<Wrong>,
}

fn checked(input: &WatchListInput) -> Result<String, Error> {
    let name = input.name.trim();
    if name.is_empty() || name.chars().count() > 60 {
        return Err(Error::invalid("watch_name", "name", "a list needs a name of at most 60 characters"));
    }
    if input.alarm.is_some_and(|priority| !(1..=4).contains(&priority)) {
        return Err(Error::invalid("watch_alarm", "alarm", "the alarm's priority is 1, 2, 3 or 4, or none"));
    }
    if input.opens && input.listing != Listing::Welcome {
        return Err(Error::invalid("watch_opens", "opens", "only a welcome list opens: make it one, or do not open"));
    }
    Ok(name.to_owned())
}

fn checked_entry(input: &WatchEntryInput) -> Result<(String, String), Error> {
    let plate = pattern(&input.plate).map_err(|error| Error::invalid("watch_plate", "plate", error))?;
    let note = input.note.trim();
    if note.chars().count() > MOST_NOTE {
        let message = format!("a note has at most {MOST_NOTE} characters");
        return Err(Error::invalid("watch_note", "note", message));
    }
    Ok((plate, note.to_owned()))
}

fn stale() -> Error {
    Error::Conflict {
        code: "watch_changed",
        message: "someone else changed this list meanwhile: read it again and repeat your change".into(),
    }
}

fn listed(plate: &str) -> Error {
    Error::Conflict { code: "watch_listed", message: format!("{plate} is on this list already") }
}

const NO_LIST: Error = Error::NotFound { what: "watch list" };
const NO_ENTRY: Error = Error::NotFound { what: "line of a watch list" };

impl System {
    /// All lists, by name.
    pub async fn watch_lists(&self) -> Result<Vec<WatchListView>, Error> {
        Ok(store::lists(self.pool(), self.now()).await?)
    }

    async fn watch_list(&self, id: WatchListId) -> Result<WatchListView, Error> {
        self.watch_lists().await?.into_iter().find(|list| list.id == id).ok_or(NO_LIST)
    }

    /// Lines of a list whose plate or note contains a text, by plate.
    pub async fn watch_entries(&self, list: WatchListId, q: &str, limit: i64) -> Result<Vec<WatchEntryView>, Error> {
        self.watch_list(list).await?;
        Ok(store::entries(self.pool(), list, q, limit.clamp(1, MOST_ENTRIES as i64)).await?)
    }

    /// Adds a list.
    pub async fn watch_list_create(&self, input: WatchListInput, by: &str) -> Result<WatchListView, Error> {
        let name = checked(&input)?;
        let lists = self.watch_lists().await?;
        if lists.len() >= MOST_LISTS {
            let message = format!("a site has at most {MOST_LISTS} lists: delete one first");
            return Err(Error::Conflict { code: "too_many_lists", message });
        }
        let id = WatchListId(self.clock().uuid());
        let list = WatchListView {
            id,
            name,
            listing: input.listing,
            alarm: input.alarm,
            opens: input.opens,
            version: 1,
            by: by.to_owned(),
            at: self.now(),
            entries: 0,
        };
        if !store::create(self.pool(), &list).await? {
            return Err(taken(&list.name));
        }
        self.watch_moved(&list, "", "created", by).await?;
        Ok(list)
    }

    /// Changes a list whose newest version is the one that the caller saw.
    pub async fn watch_list_update(
        &self,
        id: WatchListId,
        input: WatchListInput,
        by: &str,
    ) -> Result<WatchListView, Error> {
        let name = checked(&input)?;
        let before = self.watch_list(id).await?;
        if before.version != input.version {
            return Err(stale());
        }
        let list = WatchListView {
            name,
            listing: input.listing,
            alarm: input.alarm,
            opens: input.opens,
            version: before.version + 1,
            by: by.to_owned(),
            at: self.now(),
            ..before
        };
        match store::change(self.pool(), &list).await? {
            store::Put::Done => {}
            store::Put::Stale => return Err(stale()),
            store::Put::Taken => return Err(taken(&list.name)),
        }
        self.watch_moved(&list, "", "changed", by).await?;
        Ok(list)
    }

    /// Deletes a list with its lines; [`System::watch_list_undelete`] brings it back whole.
    pub async fn watch_list_delete(&self, id: WatchListId, by: &str) -> Result<WatchListView, Error> {
        let list = self.watch_list(id).await?;
        store::delete(self.pool(), id, by, Some(self.now())).await?;
        self.watch_moved(&list, "", "deleted", by).await?;
        Ok(list)
    }

    /// Takes a deletion back.
    pub async fn watch_list_undelete(&self, id: WatchListId, by: &str) -> Result<WatchListView, Error> {
        if !store::delete(self.pool(), id, by, None).await? {
            return Err(NO_LIST);
        }
        let list = self.watch_list(id).await?;
        self.watch_moved(&list, "", "undeleted", by).await?;
        Ok(list)
    }

    /// Adds a line.
    pub async fn watch_entry_add(
        &self,
        list: WatchListId,
        input: WatchEntryInput,
        by: &str,
    ) -> Result<WatchEntryView, Error> {
        let (plate, note) = checked_entry(&input)?;
        let list = self.watch_list(list).await?;
        if store::count(self.pool()).await? >= MOST_ENTRIES as i64 {
            return Err(full());
        }
        let entry = WatchEntryView {
            id: WatchEntryId(self.clock().uuid()),
            list: list.id,
            plate,
            note,
            valid_until: input.valid_until,
            by: by.to_owned(),
            at: self.now(),
        };
        if !store::add(self.pool(), &entry).await? {
            return Err(listed(&entry.plate));
        }
        self.watch_moved(&list, &entry.plate, "entry_added", by).await?;
        Ok(entry)
    }

    /// Changes a line.
    pub async fn watch_entry_update(
        &self,
        id: WatchEntryId,
        input: WatchEntryInput,
        by: &str,
    ) -> Result<WatchEntryView, Error> {
        let (plate, note) = checked_entry(&input)?;
        let before = store::entry(self.pool(), id).await?.ok_or(NO_ENTRY)?;
        let list = self.watch_list(before.list).await?;
        let entry =
            WatchEntryView { plate, note, valid_until: input.valid_until, by: by.to_owned(), at: self.now(), ..before };
        match store::change_entry(self.pool(), &entry).await? {
            store::Put::Done => {}
            store::Put::Stale => return Err(NO_ENTRY),
            store::Put::Taken => return Err(listed(&entry.plate)),
        }
        self.watch_moved(&list, &entry.plate, "entry_changed", by).await?;
        Ok(entry)
    }

    /// Removes a line; [`System::watch_entry_restore`] brings it back.
    pub async fn watch_entry_remove(&self, id: WatchEntryId, by: &str) -> Result<WatchEntryView, Error> {
        let entry = store::entry(self.pool(), id).await?.ok_or(NO_ENTRY)?;
        let list = self.watch_list(entry.list).await?;
        store::remove(self.pool(), id, by, Some(self.now())).await?;
        self.watch_moved(&list, &entry.plate, "entry_removed", by).await?;
        Ok(entry)
    }

    /// Takes a removal back.
    pub async fn watch_entry_restore(&self, id: WatchEntryId, by: &str) -> Result<WatchEntryView, Error> {
        match store::remove(self.pool(), id, by, None).await? {
            store::Put::Done => {}
            store::Put::Stale => return Err(NO_ENTRY),
            store::Put::Taken => {
                let message = "the plate was put on this list again meanwhile".to_owned();
                return Err(Error::Conflict { code: "watch_listed", message });
            }
        }
        let entry = store::entry(self.pool(), id).await?.ok_or(NO_ENTRY)?;
        let list = self.watch_list(entry.list).await?;
        self.watch_moved(&list, &entry.plate, "entry_restored", by).await?;
        Ok(entry)
    }

    /// Takes the lines of a CSV file: what is on the list already is changed, nothing is removed. All of them or, with an
    /// error in any, none.
    pub async fn watch_import(&self, list: WatchListId, text: &str, by: &str) -> Result<Imported, Error> {
        let list = self.watch_list(list).await?;
        let zone = self.shared().access.get().zone.clone();
        let lines = match watch_csv::read(text, &zone) {
            Ok(lines) => lines,
            Err(errors) => return Ok(Imported { errors, ..Imported::default() }),
        };
        let rows = lines.into_iter().map(|line| WatchEntryView {
            id: WatchEntryId(self.clock().uuid()),
            list: list.id,
            plate: line.pattern,
            note: line.note,
            valid_until: line.until,
            by: by.to_owned(),
            at: self.now(),
        });
        let rows: Vec<_> = rows.collect();
        let Some(imported) = store::import(self.pool(), &rows).await? else { return Err(full()) };
        self.watch_moved(&list, "", "imported", by).await?;
        Ok(imported)
    }

    /// Lets the gate follow what is stored, and tells it on the timeline.
    async fn watch_moved(&self, list: &WatchListView, plate: &str, what: &str, by: &str) -> Result<(), Error> {
        self.refresh_access().await?;
        let body = Body::WatchChanged {
            list: list.id,
            name: list.name.clone(),
            plate: plate.to_owned(),
            what: what.to_owned(),
        };
        self.tell_about(by, body).await
    }
}

fn taken(name: &str) -> Error {
    Error::Conflict { code: "watch_name_taken", message: format!("there is a list named {name:?} already") }
}

fn full() -> Error {
    let message = format!("all lists together have at most {MOST_ENTRIES} lines: remove some first");
    Error::Conflict { code: "watch_full", message }
}
