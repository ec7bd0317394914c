//! The audit: each row carries the hash of the one before it, so that an edit, a deletion or a reorder shows.

mod store;

use crate::error::StoreError;
use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::Serialize;
use sqlx::PgPool;

/// Something an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AuditEntry {
    pub at: Timestamp,
    pub by: String,
    pub action: String,
    pub target: String,
    pub outcome: String,
    pub address: String,
}

/// A row of the audit. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AuditRow {
    pub id: i64,
    #[schema(value_type = String)]
    pub at: Timestamp,
    pub by: String,
    pub action: String,
    pub target: String,
    pub outcome: String,
    pub address: String,
    #[serde(skip)]
    pub(crate) previous: Vec<u8>,
    #[serde(skip)]
    pub(crate) hash: Vec<u8>,
}

/// What a check of the audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AuditCheck {
    pub rows: i64,
    /// The first row that does not fit, if any.
    pub broken_at: Option<i64>,
}

impl AuditCheck {
    /// Whether every row fits.
    pub fn intact(&self) -> bool {
        self.broken_at.is_none()
    }
}

/// The hash of the row before the first.
pub(crate) const START: [u8; 32] = [0; 32];

/// The hash of a row: of everything in it, each field with its length, and the hash before.
pub(crate) fn hash(id: i64, entry: &AuditEntry, previous: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(&id.to_be_bytes());
    context.update(&entry.at.as_microsecond().to_be_bytes());
    for field in [&entry.by, &entry.action, &entry.target, &entry.outcome, &entry.address] {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    context.update(previous);
    context.finish().as_ref().to_vec()
}

/// Appends to the audit.
pub async fn audit(pool: &PgPool, entry: AuditEntry) -> Result<AuditRow, StoreError> {
    store::append(pool, entry).await
}

/// The audit, newest first.
pub async fn audit_list(pool: &PgPool, before: Option<Timestamp>, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    store::list(pool, before, limit.clamp(1, 10_000)).await
}

/// Reads the whole audit and checks its chain. Rows cut off at the end show only against a count kept elsewhere.
pub async fn audit_verify(pool: &PgPool) -> Result<AuditCheck, StoreError> {
    let (mut rows, mut previous) = (0, START.to_vec());
    loop {
        let page = store::page(pool, rows).await?;
        if page.is_empty() {
            return Ok(AuditCheck { rows, broken_at: None });
        }
        for row in page {
            let entry = AuditEntry {
                at: row.at,
                by: row.by,
                action: row.action,
                target: row.target,
                outcome: row.outcome,
                address: row.address,
            };
            let fits = row.id == rows + 1 && row.previous == previous && row.hash == hash(row.id, &entry, &previous);
            if !fits {
                return Ok(AuditCheck { rows, broken_at: Some(row.id) });
            }
            (rows, previous) = (row.id, row.hash);
        }
    }
}
