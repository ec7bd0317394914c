//! What only the bench asks of the database.

use crate::copy::Rows;
use crate::error::{Doing, StoreError};
use jiff::Timestamp;
use sqlx::PgPool;

const DOING: &str = "serve the bench";

/// So many readings of as many series by COPY in the binary format.
pub(in crate::telemetry) async fn copy(pool: &PgPool, readings: usize, at: Timestamp) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for n in 0..readings {
        let (series, segment) =
            (i32::try_from(n % 1_000).unwrap_or_default(), i16::try_from(n % 10).unwrap_or_default());
        rows.row(4).timestamptz(Some(at)).float8(Some(n as f64)).int4(series).int2(segment);
    }
    let mut conn = pool.acquire().await.doing(DOING)?;
    let statement = "copy telemetry (observed_at, number, series, segment) from stdin (format binary)";
    rows.copy(&mut conn, statement).await.doing(DOING)?;
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
