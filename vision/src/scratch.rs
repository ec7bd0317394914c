//! Buffers kept between calls, so that a frame costs no fresh megabytes.

use std::sync::{Mutex, PoisonError};

/// Idle buffers shared by worker threads; never more than were in use at once.
#[derive(Debug, Default)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// An idle buffer, or a new one.
    pub(crate) fn take(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives a buffer back for the next call.
    pub(crate) fn give(&self, buffer: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
