//! What can go wrong when the console asks for something.

use gatehouse_core::alarm::AlarmCallError;
use gatehouse_core::workorder::DeskError;

/// A store's trouble.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error("the database could not {doing}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A row that does not read back.
    #[error("a stored {what} cannot be read: the database was written by another version")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
    },
}

impl StoreError {
    /// Whether the database is away, rather than something wrong with what was asked.
    pub fn is_away(&self) -> bool {
        matches!(self, StoreError::Database { source, .. } if !crate::journal::is_refusal(source))
    }
}

/// Adds what was tried to a database error.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Database { doing, source })
    }
}

/// Why something asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing.
    #[error("no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// It does not fit the present state.
    #[error("{message}")]
    Conflict {
        /// Word that pages translate.
        code: &'static str,
        /// Sentence.
        message: String,
    },
    /// The input is wrong.
    #[error("{message}")]
    Invalid {
        /// Word that pages translate.
        code: &'static str,
        /// Which field.
        field: &'static str,
        /// Sentence.
        message: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The part that would do it is being restarted, or everything stops.
    #[error("{0} is not there now: try again in a moment")]
    Away(&'static str),
}

/// The kinds of [`Error`], as far as a caller acts on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such thing.
    NotFound,
    /// It does not fit the present state.
    Conflict,
    /// The input is wrong.
    Invalid,
    /// Try again later.
    Away,
}

impl Error {
    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::Conflict { .. } => ErrorKind::Conflict,
            Error::Invalid { .. } => ErrorKind::Invalid,
            Error::Store(_) | Error::Away(_) => ErrorKind::Away,
        }
    }

    /// Word that pages translate.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound { .. } => "not_found",
            Error::Conflict { code, .. } | Error::Invalid { code, .. } => code,
            Error::Store(_) => "store_away",
            Error::Away(_) => "away",
        }
    }

    /// The field that is wrong.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Error::Invalid { field, .. } => Some(field),
            Error::NotFound { .. } | Error::Conflict { .. } | Error::Store(_) | Error::Away(_) => None,
        }
    }

    pub(crate) fn invalid(code: &'static str, field: &'static str, message: impl ToString) -> Self {
        Error::Invalid { code, field, message: message.to_string() }
    }
}

impl From<AlarmCallError> for Error {
    fn from(error: AlarmCallError) -> Self {
        let message = error.to_string();
        match error {
            AlarmCallError::NotOpen(_) => Error::Conflict { code: "alarm_closed", message },
            AlarmCallError::AlreadyAcknowledged(_) => Error::Conflict { code: "already_acknowledged", message },
            AlarmCallError::NotShelved(_) => Error::Conflict { code: "not_shelved", message },
            AlarmCallError::Shelve(gatehouse_core::alarm::ShelveError::Minutes) => {
                Error::Invalid { code: "shelve_minutes", field: "minutes", message }
            }
            AlarmCallError::Shelve(gatehouse_core::alarm::ShelveError::Reason) => {
                Error::Invalid { code: "shelve_reason", field: "reason", message }
            }
        }
    }
}

impl From<DeskError> for Error {
    fn from(error: DeskError) -> Self {
        let message = error.to_string();
        match error {
            DeskError::NotOpen(_) => Error::Conflict { code: "work_order_closed", message },
            DeskError::NoSuchMove(_) => Error::Conflict { code: "no_such_move", message },
        }
    }
}
