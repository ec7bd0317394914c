//! The audit log's hash chain: each row's SHA-256 covers the row and the hash before it, so an edit, a deletion or a
//! change of order shows.

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::Serialize;

/// Hash before the first row.
pub const GENESIS: [u8; 32] = [0; 32];

/// What somebody did.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who, by name.
    pub by: String,
    /// What: method and route.
    pub action: String,
    /// To what.
    pub target: String,
    /// How it ended: a status or a code.
    pub outcome: String,
    /// From where.
    pub address: String,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditRow {
    /// Its number: 1, 2, 3 … without gaps.
    pub id: i64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who, by name.
    pub by: String,
    /// What: method and route.
    pub action: String,
    /// To what.
    pub target: String,
    /// How it ended.
    pub outcome: String,
    /// From where.
    pub address: String,
    /// Hash of the row and of everything before it.
    #[serde(skip)]
    pub hash: Vec<u8>,
}

/// What a walk along the chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCheck {
    /// Rows walked.
    pub rows: i64,
    /// Number of the first row that does not fit, where there is one.
    pub broken_at: Option<i64>,
}

impl AuditCheck {
    /// Whether every row fits.
    pub fn intact(&self) -> bool {
        self.broken_at.is_none()
    }
}

/// The hash of row `seq`, given the one before it. Each field goes in with its length, so none can pass into the next.
pub fn link(before: &[u8], seq: i64, entry: &AuditEntry) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(&seq.to_be_bytes());
    // PostgreSQL keeps microseconds.
    context.update(&entry.at.as_microsecond().to_be_bytes());
    for field in [&entry.by, &entry.action, &entry.target, &entry.outcome, &entry.address] {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Walks rows in order; `before` and `next` are the hash and number to begin with. Gives the first that does not fit.
pub fn walk(mut before: Vec<u8>, mut next: i64, rows: &[AuditRow]) -> Result<(Vec<u8>, i64), i64> {
    for row in rows {
        let entry = AuditEntry {
            at: row.at,
            by: row.by.clone(),
            action: row.action.clone(),
            target: row.target.clone(),
            outcome: row.outcome.clone(),
            address: row.address.clone(),
        };
        if row.id != next || link(&before, row.id, &entry).as_slice() != row.hash {
            return Err(next);
        }
        before.clone_from(&row.hash);
        next += 1;
    }
    Ok((before, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(count: i64) -> Vec<AuditRow> {
        let mut before = GENESIS.to_vec();
        (1..=count)
            .map(|id| {
                let entry = AuditEntry {
                    at: Timestamp::UNIX_EPOCH,
                    by: format!("user {id}"),
                    action: "POST /api".into(),
                    target: "x".into(),
                    outcome: "200".into(),
                    address: String::new(),
                };
                before = link(&before, id, &entry).to_vec();
                let AuditEntry { at, by, action, target, outcome, address } = entry;
                AuditRow { id, at, by, action, target, outcome, address, hash: before.clone() }
            })
            .collect()
    }

    fn intact(rows: &[AuditRow]) -> bool {
        walk(GENESIS.to_vec(), 1, rows).is_ok()
    }

    #[test]
    fn an_untouched_log_fits() {
        assert!(intact(&log(20)));
    }

    proptest! {
        #[test]
        fn an_edit_a_deletion_or_a_swap_shows(at in 0usize..19, kind in 0u8..4) {
            let mut rows = log(20);
            match kind {
                0 => rows[at].by.push('x'),
                1 => { rows.remove(at); }
                2 => rows.swap(at, at + 1),
                _ => { let moved = rows[at].target.clone(); rows[at].action.push_str(&moved); rows[at].target.clear(); }
            }
            prop_assert!(!intact(&rows));
        }
    }
}
