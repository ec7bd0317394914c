//! Accounts and sessions.

use crate::error::{Doing, Error, StoreError};
use gatehouse_core::id::UserId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use uuid::Uuid;

/// An operator's account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct UserRow {
    pub id: UserId,
    pub name: String,
    pub role: String,
    pub password_hash: String,
    pub enabled: bool,
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SessionRow {
    /// Hash of the token; the token itself is not stored.
    pub token_hash: Vec<u8>,
    pub user: UserId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub address: String,
    pub agent: String,
}

#[derive(sqlx::FromRow)]
struct User {
    id: Uuid,
    name: String,
    role: String,
    password_hash: String,
    enabled: bool,
}

impl From<User> for UserRow {
    fn from(row: User) -> Self {
        let User { id, name, role, password_hash, enabled } = row;
        Self { id: UserId(id), name, role, password_hash, enabled }
    }
}

/// The roles there are.
const ROLES: [&str; 6] = ["admin", "operator", "guard", "engineer", "manager", "screen"];

fn check_role(role: &str) -> Result<(), Error> {
    if ROLES.contains(&role) {
        return Ok(());
    }
    Err(Error::invalid("role", "role", format!("{role:?} is no role: {}", ROLES.join(", "))))
}

/// Adds an account.
pub async fn user_create(
    pool: &PgPool,
    name: &str,
    role: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<UserRow, Error> {
    check_role(role)?;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 64 {
        return Err(Error::invalid("name", "name", "an account needs a name of at most 64 characters"));
    }
    let row: Option<User> = sqlx::query_as(
        "insert into app_user (id, name, role, password_hash, created_at, changed_at)
         values ($1, $2, $3, $4, $5, $5)
         on conflict (name) do nothing
         returning id, name, role, password_hash, enabled",
    )
    .bind(crate::clock::uuid_at(now))
    .bind(name)
    .bind(role)
    .bind(password_hash)
    .bind(now.to_sqlx())
    .fetch_optional(pool)
    .await
    .doing("add an account")?;
    row.map(UserRow::from)
        .ok_or_else(|| Error::Conflict { code: "name_taken", message: "an account of this name exists already".into() })
}

/// An account by its name.
pub async fn user_by_name(pool: &PgPool, name: &str) -> Result<Option<UserRow>, StoreError> {
    let row: Option<User> =
        sqlx::query_as("select id, name, role, password_hash, enabled from app_user where name = $1")
            .bind(name)
            .fetch_optional(pool)
            .await
            .doing("read an account")?;
    Ok(row.map(UserRow::from))
}

/// An account by its id.
pub async fn user(pool: &PgPool, id: UserId) -> Result<Option<UserRow>, StoreError> {
    let row: Option<User> = sqlx::query_as("select id, name, role, password_hash, enabled from app_user where id = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await
        .doing("read an account")?;
    Ok(row.map(UserRow::from))
}

/// All accounts.
pub async fn users(pool: &PgPool) -> Result<Vec<UserRow>, StoreError> {
    let rows: Vec<User> = sqlx::query_as("select id, name, role, password_hash, enabled from app_user order by name")
        .fetch_all(pool)
        .await
        .doing("read accounts")?;
    Ok(rows.into_iter().map(UserRow::from).collect())
}

/// How many accounts there are.
pub async fn users_count(pool: &PgPool) -> Result<i64, StoreError> {
    sqlx::query_scalar("select count(*) from app_user").fetch_one(pool).await.doing("count accounts")
}

/// Changes an account; without a new password hash the old one stays. Disabling it or a new password ends its sessions.
pub async fn user_update(
    pool: &PgPool,
    id: UserId,
    role: &str,
    enabled: bool,
    password_hash: Option<String>,
) -> Result<UserRow, Error> {
    check_role(role)?;
    let ends_sessions = !enabled || password_hash.is_some();
    let row: Option<User> = sqlx::query_as(
        "update app_user
         set role = $2, enabled = $3, password_hash = coalesce($4, password_hash), changed_at = now()
         where id = $1
         returning id, name, role, password_hash, enabled",
    )
    .bind(id.0)
    .bind(role)
    .bind(enabled)
    .bind(password_hash)
    .fetch_optional(pool)
    .await
    .doing("change an account")?;
    if ends_sessions {
        sessions_delete_of(pool, id).await?;
    }
    row.map(UserRow::from).ok_or(Error::NotFound { what: "account" })
}

/// Signs a browser in.
pub async fn session_create(pool: &PgPool, session: SessionRow) -> Result<(), StoreError> {
    sqlx::query(
        "insert into session (token_hash, app_user, created_at, seen_at, expires_at, address, agent)
         values ($1, $2, $3, $3, $4, $5, $6)",
    )
    .bind(&session.token_hash)
    .bind(session.user.0)
    .bind(session.created_at.to_sqlx())
    .bind(session.expires_at.to_sqlx())
    .bind(&session.address)
    .bind(&session.agent)
    .execute(pool)
    .await
    .doing("sign in")?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Session {
    token_hash: Vec<u8>,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    address: String,
    agent: String,
    #[sqlx(flatten)]
    user: User,
}

/// A session that has not expired, of an account that is enabled.
pub async fn session(
    pool: &PgPool,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<(SessionRow, UserRow)>, StoreError> {
    let row: Option<Session> = sqlx::query_as(
        "update session s
         set seen_at = $2
         from app_user u
         where s.token_hash = $1 and s.expires_at > $2 and u.id = s.app_user and u.enabled
         returning s.token_hash, s.created_at, s.expires_at, s.address, s.agent,
                   u.id, u.name, u.role, u.password_hash, u.enabled",
    )
    .bind(token_hash)
    .bind(now.to_sqlx())
    .fetch_optional(pool)
    .await
    .doing("read a session")?;
    Ok(row.map(|row| {
        let session = SessionRow {
            token_hash: row.token_hash,
            user: UserId(row.user.id),
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            address: row.address,
            agent: row.agent,
        };
        (session, row.user.into())
    }))
}

/// Signs a browser out.
pub async fn session_delete(pool: &PgPool, token_hash: &[u8]) -> Result<(), StoreError> {
    sqlx::query("delete from session where token_hash = $1").bind(token_hash).execute(pool).await.doing("sign out")?;
    Ok(())
}

/// Signs all browsers of an account out.
pub async fn sessions_delete_of(pool: &PgPool, user: UserId) -> Result<(), StoreError> {
    sqlx::query("delete from session where app_user = $1").bind(user.0).execute(pool).await.doing("sign out")?;
    Ok(())
}
