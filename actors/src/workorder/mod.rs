//! Work orders as people see and move them.

pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use crate::shell::Message;
use gatehouse_core::alarm::Priority;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Params;
use gatehouse_core::id::{DeviceId, PlaceId, WorkOrderId};
use gatehouse_core::workorder::{DeskCall, Move, NewOrder, WorkOrder, WorkOrderState};
use std::time::Duration;
use tokio::sync::oneshot;

/// A work order as people see it: the work order itself.
pub type WorkOrderView = WorkOrder;

/// A work order as someone writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkOrderInput {
    /// What is to be done.
    pub title: String,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Where.
    pub place: Option<PlaceId>,
    /// 1 to 4.
    pub priority: u8,
}

impl System {
    /// Work orders, newest first.
    pub async fn work_orders(&self, open: bool, limit: i64) -> Result<Vec<WorkOrderView>, Error> {
        Ok(store::list(self.pool(), open, limit.clamp(1, 10_000)).await?)
    }

    /// One work order.
    pub async fn work_order(&self, id: WorkOrderId) -> Result<WorkOrderView, Error> {
        store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "work order" })
    }

    /// Opens one. Committed before it returns.
    pub async fn work_order_create(&self, input: WorkOrderInput, by: &str) -> Result<WorkOrderView, Error> {
        if input.title.trim().is_empty() {
            return Err(Error::invalid("empty", "title", "a work order needs a title"));
        }
        let priority =
            Priority::try_from(input.priority).map_err(|error| Error::invalid("priority", "priority", error))?;
        let id = WorkOrderId(self.clock().uuid());
        let title = Params::from([("text".to_owned(), Value::Text(input.title))]);
        let place = input.place.or_else(|| input.device.and_then(|id| self.compound().device(id).map(|s| s.place)));
        let order = NewOrder {
            id,
            title,
            kind: "manual".into(),
            priority,
            device: input.device,
            place,
            alarm: None,
            by: by.into(),
        };
        self.desk_call(DeskCall::Open(order), by).await?;
        self.work_order(id).await
    }

    /// Moves one. Committed before it returns.
    pub async fn work_order_state(
        &self,
        id: WorkOrderId,
        to: WorkOrderState,
        note: String,
        by: &str,
    ) -> Result<WorkOrderView, Error> {
        self.work_order(id).await?;
        let step = Move { to, by: by.to_owned(), note, at: self.now() };
        self.desk_call(DeskCall::Move(id, step), by).await?;
        self.work_order(id).await
    }

    pub(crate) async fn desk_call(&self, call: DeskCall, by: &str) -> Result<(), Error> {
        let away = || Error::Away("the work order desk");
        let desk = self.desk().ok_or_else(away)?;
        let (answer, answered) = oneshot::channel();
        desk.cast(Message::call(call, by, Some(answer))).map_err(|_| away())?;
        let (reply, receipt) =
            tokio::time::timeout(Duration::from_secs(5), answered).await.map_err(|_| away())?.map_err(|_| away())?;
        reply?;
        self.committed(receipt).await
    }
}
