//! What only the bench asks of the database.

use crate::error::{Doing, StoreError};
use jiff::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;

const DOING: &str = "serve the bench";
/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, microseconds.
const EPOCH_US: i64 = 946_684_800_000_000;

/// So many readings of as many series by COPY in the binary format.
pub(in crate::telemetry) async fn copy(pool: &PgPool, readings: usize, at: Timestamp) -> Result<(), StoreError> {
    let mut bytes = Vec::with_capacity(19 + readings * 40);
    bytes.extend(b"PGCOPY\n\xff\r\n\0");
    bytes.extend([0; 8]);
    let time = (at.as_microsecond() - EPOCH_US).to_be_bytes();
    for n in 0..readings {
        bytes.extend(4_i16.to_be_bytes());
        bytes.extend(8_i32.to_be_bytes());
        bytes.extend(time);
        bytes.extend(8_i32.to_be_bytes());
        bytes.extend((n as f64).to_be_bytes());
        bytes.extend(4_i32.to_be_bytes());
        bytes.extend(i32::try_from(n % 1_000).unwrap_or_default().to_be_bytes());
        bytes.extend(2_i32.to_be_bytes());
        bytes.extend(i16::try_from(n % 10).unwrap_or_default().to_be_bytes());
    }
    bytes.extend((-1_i16).to_be_bytes());
    let mut copy = pool
        .copy_in_raw("copy telemetry (observed_at, number, series, segment) from stdin (format binary)")
        .await
        .doing(DOING)?;
    copy.send(bytes).await.doing(DOING)?;
    copy.finish().await.doing(DOING)?;
    Ok(())
}

/// Bytes of the raw history with its index.
pub(in crate::telemetry) async fn size(pool: &PgPool) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
         from pg_inherits
         where inhparent = 'telemetry'::regclass",
    )
    .fetch_one(pool)
    .await
    .doing(DOING)
}

/// Removes every raw reading and the latest values.
pub(in crate::telemetry) async fn empty(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::query("truncate telemetry, latest_value").execute(pool).await.doing(DOING)?;
    Ok(())
}
