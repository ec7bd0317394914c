//! Supervised actors, the store and time.
//!
//! An actor here is a shell: take the message, read the clock, let `core` decide, carry out the effects. What must not be
//! lost is in the journal before anyone is told. See `README.md` for the supervision tree and the mailbox policy.

// What is submitted to the journal is on its way at once; waiting for its receipt is the caller's choice.
#![allow(clippy::let_underscore_future)]

mod address;
mod board;
mod bus;
#[cfg(feature = "chaos")]
pub mod chaos;
mod clock;
mod copy;
mod error;
mod health;
mod ingress;
mod journal;
mod meter;
mod prepared;
mod root;
mod shell;
mod supervise;
mod trace;
mod watch;

pub mod access;
pub mod alarm;
pub mod command;
pub mod consumer;
pub mod event;
pub mod outbox;
pub mod passage;
pub mod patrol;
pub mod people;
pub mod rule;
pub mod staff;
pub mod store;
pub mod telemetry;
pub mod testkit;
pub mod video;
pub mod watchlist;
pub mod workorder;
pub mod yardstick;

pub use board::Board;
pub use bus::Change;
pub use clock::Clock;
pub use error::{Error, ErrorKind, StoreError};
pub use ingress::IngressHealth;
pub use journal::{JournalError, JournalHealth, SpillConfig};
pub use meter::{Distribution, Figures, JournalFigures};
pub use root::{StartError, System, SystemConfig};
pub use supervise::{ActorHealth, Policy};
pub use trace::Trace;
pub use video::marks::MarkQuery;
pub use video::{Bookmark, NoVideo, VideoLink};
pub use watch::FreeSpace;

pub use access::AccessQuery;
pub use alarm::AlarmQuery;
pub use command::CommandRequest;
pub use event::EventQuery;
pub use gatehouse_core::command::CommandRefused;
pub use outbox::{Courier, OutboxConfig, Sending};
pub use passage::PassageQuery;
pub use patrol::{AttestInput, RoundQuery, RouteInput};
pub use people::{ConsentInput, CredentialInput, FaceInput, Gallery, GalleryFace, PersonInput};
pub use rule::{DryRunError, RuleInput};
pub use watchlist::{WatchEntryInput, WatchListInput};
pub use workorder::WorkOrderInput;

/// What pages are shown: field names are the wire's.
pub mod views {
    pub use crate::access::{AccessView, LevelView};
    pub use crate::alarm::{AlarmCounts, AlarmDetail, AlarmList, AlarmView, ClipView, NoteView, StepDone};
    pub use crate::command::CommandView;
    pub use crate::consumer::ConsumerHealth;
    pub use crate::event::EventView;
    pub use crate::ingress::IngressHealth;
    pub use crate::journal::JournalHealth;
    pub use crate::outbox::{DeliveryView, TargetView};
    pub use crate::passage::{Corrected, Found, PassageView};
    pub use crate::patrol::RouteView;
    pub use crate::people::face::{FaceCase, FacesView, RemovalView, Removing};
    pub use crate::people::{CredentialView, FaceView, PersonView};
    pub use crate::rule::{DryRun, RuleView, VersionView, Words};
    pub use crate::store::DatabaseHealth;
    pub use crate::supervise::ActorHealth;
    pub use crate::telemetry::{Chart, TelemetryHealth};
    pub use crate::video::ClipRow;
    pub use crate::video::marks::{Mark, MarkKind, Marks};
    pub use crate::watchlist::{Imported, WatchEntryView, WatchListView};
    pub use crate::workorder::WorkOrderView;
    pub use gatehouse_core::device::shadow::DeviceView;
    pub use gatehouse_core::place::Place as PlaceView;
}
