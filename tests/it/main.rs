//! One binary for every whole-compound test: one module per story.

#![allow(clippy::unwrap_used)]

mod alarm;
mod authz;
mod demo;
mod door;
mod faults;
mod fire;
mod garbage;
mod gate;
mod kill;
mod openapi;
mod outbox;
mod presence;
mod restart;
mod sensor;
mod tidy;
mod video;
