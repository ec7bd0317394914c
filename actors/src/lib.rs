//! Supervised actors, the store and time.
//!
//! An actor here is a shell: take the message, read the clock, let `core` decide, carry out the effects. What must not be
//! lost is in the journal before anyone is told. See `README.md` for the supervision tree and the mailbox policy.

mod address;
mod board;
mod bus;
mod clock;
mod error;
mod ingress;
mod journal;
mod root;
mod shell;
mod supervise;

pub mod access;
pub mod alarm;
pub mod command;
pub mod event;
pub mod passage;
pub mod people;
pub mod staff;
pub mod store;
pub mod telemetry;
pub mod testkit;
pub mod video;
pub mod workorder;

pub use board::Board;
pub use bus::Change;
pub use clock::Clock;
pub use error::{Error, ErrorKind, StoreError};
pub use ingress::IngressHealth;
pub use root::{StartError, System, SystemConfig};
pub use supervise::{ActorHealth, Policy};
pub use video::{Bookmark, NoVideo, VideoLink};
