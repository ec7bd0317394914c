//! One binary for every whole-compound test: one module per story.

#![allow(clippy::unwrap_used)]

mod alarm;
mod audio;
mod authz;
mod backup;
mod challenge;
mod chaos;
mod command;
mod crash;
mod decode;
mod demo;
mod disk;
mod door;
mod enrolment;
mod faults;
mod fire;
mod garbage;
mod gate;
mod interop;
mod kill;
mod metrics;
mod models;
mod onvif;
mod openapi;
mod outbox;
mod patrol;
mod preference;
mod presence;
mod recognition;
mod replay;
mod restart;
mod rule;
mod sensor;
mod sight;
mod spill;
mod streams;
mod telemetry;
mod tidy;
mod timer;
mod traces;
mod transcode;
mod travel;
mod video;
mod view;
