//! What the whole-compound tests share.

pub mod product;
