//! The REST interface: one file per word, with its handlers and the types it sends.
//!
//! The browser's types are generated from these through `openapi.json`.

pub mod access;
pub mod actor;
pub mod alarm;
pub mod audit;
pub mod backup;
mod csv;
pub mod demo;
pub mod device;
pub mod discover;
pub mod event;
pub mod face;
pub mod health;
pub mod metrics;
pub mod passage;
pub mod patrol;
pub mod people;
pub mod place;
pub mod preference;
pub mod ptz;
pub mod recording;
pub mod rule;
pub mod session;
pub mod telemetry;
pub mod user;
pub mod watchlist;
pub mod webhook;
pub mod work_order;
