//! What an account keeps of its pages: one bounded document, changed only by who has seen its newest version.

use crate::error::{Doing, Error, StoreError};
use gatehouse_core::id::UserId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

/// Largest document, bytes of its JSON.
pub const PREFERENCE_MAX: usize = 64 * 1024;

/// The document with its version; 0 where nothing was kept yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PreferenceRow {
    /// Counts the changes.
    pub version: i64,
    /// A JSON object, as it was written.
    pub content: String,
}

/// What an account keeps.
pub async fn preference(pool: &PgPool, user: UserId) -> Result<PreferenceRow, StoreError> {
    let row = sqlx::query_as("select version, content::text as content from preference where app_user = $1")
        .bind(user.0)
        .fetch_optional(pool)
        .await
        .doing("read an account's preferences")?;
    Ok(row.unwrap_or_else(|| PreferenceRow { version: 0, content: "{}".to_owned() }))
}

/// Keeps a document in the place of version `seen` and gives the new version. Another version there is a conflict
/// (`preferences_changed`), a document larger than [`PREFERENCE_MAX`] is invalid (`preferences_large`).
pub async fn preference_put(
    pool: &PgPool,
    user: UserId,
    seen: i64,
    content: &str,
    now: Timestamp,
) -> Result<i64, Error> {
    if content.len() > PREFERENCE_MAX {
        let sentence = format!("{} bytes are more than the {PREFERENCE_MAX} that are kept: remove some", content.len());
        return Err(Error::invalid("preferences_large", "preferences", sentence));
    }
    let version: Option<i64> = sqlx::query_scalar(
        "insert into preference as kept (app_user, version, content, changed_at)
         select $1, 1, $3::text::json, $4
         where $2 = 0 or exists (select from preference where app_user = $1)
         on conflict (app_user) do update
         set version = kept.version + 1, content = excluded.content, changed_at = excluded.changed_at
         where kept.version = $2
         returning version",
    )
    .bind(user.0)
    .bind(seen)
    .bind(content)
    .bind(now.to_sqlx())
    .fetch_optional(pool)
    .await
    .doing("keep an account's preferences")?;
    version.ok_or_else(|| Error::Conflict {
        code: "preferences_changed",
        message: "these preferences were changed meanwhile: read them again".to_owned(),
    })
}
