//! What benches ask of the database: what is there, and what PostgreSQL alone takes.

use jiff::Timestamp;
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Rows of one commit made by hand: as many entries as the journal commits together.
const GROUP: usize = 2_048;

/// Alarms of calls for help on the timelines, every occurrence counted.
pub async fn occurrences(pool: &PgPool) -> anyhow::Result<i64> {
    let count = sqlx::query_scalar(
        "select count(*)
         from alarm_note n
         join alarm a on a.id = n.alarm
         where a.kind = 'help_call' and n.code in ('raised', 'raised_again')",
    );
    Ok(count.fetch_one(pool).await?)
}

/// Plates that cameras told of since a moment: the text, and from frame to decision, ms.
pub async fn plates(pool: &PgPool, since: Timestamp) -> anyhow::Result<Vec<(String, f64)>> {
    let rows = sqlx::query_as(
        "select body ->> 'text', (body ->> 'latency_ms')::float8
         from event_log
         where code = 'plate.read' and received_at >= $1::text::timestamptz",
    );
    Ok(rows.bind(since.to_string()).fetch_all(pool).await?)
}

type Row = (Uuid, oneshot::Sender<()>);

/// So many writers, each with so many rows one after the other, committed in groups; seconds in all, and ms of each.
pub async fn bare(pool: &PgPool, writers: u32, each: u32) -> anyhow::Result<(f64, Vec<f64>)> {
    sqlx::query(
        "create table bench_alarm (id uuid primary key, at timestamptz not null default now(), body jsonb not null)",
    )
    .execute(pool)
    .await?;
    let (queue, rows) = mpsc::channel(20_000);
    let began = Instant::now();
    let mut writing = JoinSet::new();
    for _ in 0..writers {
        let queue = queue.clone();
        writing.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..each {
                let (done, committed) = oneshot::channel();
                let said = Instant::now();
                if queue.send((Uuid::now_v7(), done)).await.is_err() || committed.await.is_err() {
                    break;
                }
                times.push(said.elapsed());
            }
            times
        });
    }
    drop(queue);
    commit(pool, rows).await?;
    let took = began.elapsed().as_secs_f64();
    let times = writing.join_all().await.concat();
    sqlx::query("drop table bench_alarm").execute(pool).await?;
    Ok((took, times.iter().map(Duration::as_secs_f64).map(|s| s * 1e3).collect()))
}

async fn commit(pool: &PgPool, mut rows: mpsc::Receiver<Row>) -> anyhow::Result<()> {
    let mut group = Vec::with_capacity(GROUP);
    while rows.recv_many(&mut group, GROUP).await > 0 {
        let ids: Vec<Uuid> = group.iter().map(|(id, _)| *id).collect();
        sqlx::query(
            "insert into bench_alarm (id, body)
             select id, '{\"code\": \"in.happening\", \"what\": \"help_call\"}' from unnest($1::uuid[]) as row (id)",
        )
        .bind(ids)
        .execute(pool)
        .await?;
        for (_, done) in group.drain(..) {
            // Who waited may be gone.
            let _ = done.send(());
        }
    }
    Ok(())
}
