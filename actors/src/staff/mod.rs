//! Operators: accounts, sessions, what they keep of their pages, and the audit of what they did. Passwords are hashed by whoever asks.

mod audit;
mod preference;
mod store;

pub use audit::{AuditCheck, AuditEntry, AuditRow, audit, audit_list, audit_verify};
pub use preference::{PREFERENCE_MAX, PreferenceRow, preference, preference_put};
pub use store::{
    SessionRow, UserRow, session, session_create, session_delete, sessions_delete_of, user, user_by_name, user_create,
    user_update, users, users_count,
};
