//! The event log as operators read it.

pub(crate) mod store;

use crate::error::{Error, StoreError};
use crate::root::System;
use gatehouse_core::event::{Event, Params, params_of};
use gatehouse_core::id::{DeviceId, EventId, PlaceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line of the timeline. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EventView {
    pub id: EventId,
    pub at: Timestamp,
    pub code: String,
    pub device: Option<DeviceId>,
    pub place: Option<PlaceId>,
    pub by: String,
    pub params: Params,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        let body = serde_json::to_value(&event.body).unwrap_or_default();
        Self {
            id: event.id,
            at: event.received_at,
            code: body.get("code").and_then(|code| code.as_str()).unwrap_or_default().to_owned(),
            device: event.device,
            place: event.place,
            by: event.by.clone(),
            params: params_of(&body),
        }
    }
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventQuery {
    /// Before then.
    pub before: Option<Timestamp>,
    /// At most so many; 1 to 10 000.
    pub limit: i64,
    /// About this device.
    pub device: Option<DeviceId>,
    /// With this code; empty for all.
    pub code: String,
    /// That contain this text; empty for all.
    pub q: String,
}

impl System {
    /// The timeline, newest first.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<EventView>, Error> {
        Ok(store::list(self.pool(), &query).await?)
    }
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            id: EventId(row.id),
            at: row.received_at.to_jiff(),
            code: row.code,
            device: row.device.map(DeviceId),
            place: row.place.map(PlaceId),
            by: row.by,
            params: params_of(&row.body),
        }
    }
}

/// A row of the log.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct EventRow {
    pub seq: i64,
    pub id: uuid::Uuid,
    pub received_at: jiff_sqlx::Timestamp,
    pub observed_at: Option<jiff_sqlx::Timestamp>,
    pub device: Option<uuid::Uuid>,
    pub place: Option<uuid::Uuid>,
    pub cause: Option<uuid::Uuid>,
    pub by: String,
    pub code: String,
    pub body: serde_json::Value,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Event {
            id: EventId(row.id),
            seq: u64::try_from(row.seq).map_err(|_| StoreError::Unreadable { what: "event" })?,
            received_at: row.received_at.to_jiff(),
            observed_at: row.observed_at.map(|at| at.to_jiff()),
            device: row.device.map(DeviceId),
            place: row.place.map(PlaceId),
            cause: row.cause.map(EventId),
            by: row.by,
            body: serde_json::from_value(row.body).map_err(|_| StoreError::Unreadable { what: "event" })?,
        })
    }
}
