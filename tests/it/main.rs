//! One binary for every whole-compound test: one module per story.

mod authz;
mod demo;
mod garbage;
mod kill;
mod sensor;
mod tidy;
mod video;
