//! Work orders: what someone has to do, and what became of it.

mod dispatch;
mod state;

pub use dispatch::{Desk, DeskCall, DeskError, NewOrder};
pub use state::{Move, NoSuchMove, WorkNote, WorkOrder, WorkOrderState, transition};
