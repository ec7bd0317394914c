//! One binary for every whole-compound test: one module per story.

#![allow(clippy::unwrap_used)]

mod alarm;
mod authz;
mod chaos;
mod command;
mod demo;
mod disk;
mod door;
mod faults;
mod fire;
mod garbage;
mod gate;
mod kill;
mod openapi;
mod presence;
mod restart;
mod sensor;
mod spill;
mod tidy;
mod timer;
mod video;
