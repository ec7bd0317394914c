//! What the whole-compound tests share.

pub mod compound;
pub mod database;
pub mod product;
