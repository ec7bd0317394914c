//! What the store holds afterwards, beside what was acknowledged.

use super::ledger::{Ledger, Noted};
use crate::provision::{Cluster, ClusterOptions, Provision, Silent};
use anyhow::Result;
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use uuid::Uuid;

/// What is wrong.
#[derive(Debug, Default)]
pub struct Found {
    /// Acknowledged and not there.
    pub missing: u64,
    /// There more than once.
    pub doubled: u64,
    /// What exactly, a sentence each.
    pub sentences: Vec<String>,
}

impl Found {
    fn missing(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.missing += count;
        self.say(count, "missing", what);
    }

    fn doubled(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.doubled += count;
        self.say(count, "too many", what);
    }

    fn say(&mut self, count: u64, how: &str, what: impl FnOnce() -> String) {
        if count > 0 && self.sentences.len() < 50 {
            self.sentences.push(format!("{}: {count} {how}", what()));
        }
    }
}

/// Opens the database of a directory and compares.
pub async fn look(provisioned: &Path, data: &Path, ledger: &Ledger) -> Result<Found> {
    let provided = tokio::task::block_in_place(|| Provision::new(provisioned).ensure_all(&mut Silent))?;
    let cluster = Cluster::start(&provided.postgres, data, ClusterOptions::default()).await?;
    let pool = PgPool::connect_with(cluster.options("gatehouse")).await?;
    let found = compare(&pool, &ledger.noted()).await;
    pool.close().await;
    cluster.stop().await?;
    found
}

async fn compare(pool: &PgPool, noted: &Noted) -> Result<Found> {
    let mut found = Found::default();
    reads(pool, noted, &mut found).await?;
    alarms(pool, noted, &mut found).await?;
    commands(pool, noted, &mut found).await?;
    Ok(found)
}

fn surplus(there: i64, wanted: i64) -> u64 {
    u64::try_from(there - wanted).unwrap_or(0)
}

/// Every read is in the log once, and every read in the log was decided once.
async fn reads(pool: &PgPool, noted: &Noted, found: &mut Found) -> Result<()> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select body ->> 'card', count(*)
         from event_log
         where code = 'in.card_read'
         group by 1",
    )
    .fetch_all(pool)
    .await?;
    let there: HashMap<String, i64> = rows.into_iter().collect();
    for card in &noted.reads {
        found.missing(u64::from(!there.contains_key(card)), || format!("read {card} in the log"));
    }
    for (card, count) in &there {
        found.doubled(surplus(*count, 1), || format!("read {card} in the log"));
    }
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select id, (select count(*) from event_log where device = d.id and code = 'in.card_read'),
                (select count(*) from access_record where device = d.id)
         from device d
         where kind = 'door'",
    )
    .fetch_all(pool)
    .await?;
    for (door, said, decided) in rows {
        found.missing(surplus(said, decided), || format!("decisions at door {door}"));
        found.doubled(surplus(decided, said), || format!("decisions at door {door}"));
    }
    Ok(())
}

/// Every alarm raised is a row, every operator's acknowledgement is on it, and nothing is on a timeline twice.
async fn alarms(pool: &PgPool, noted: &Noted, found: &mut Found) -> Result<()> {
    let rows: Vec<(Uuid, i64)> =
        sqlx::query_as("select device, count(*) from alarm where kind = 'leak' and device is not null group by device")
            .fetch_all(pool)
            .await?;
    let there: HashMap<Uuid, i64> = rows.into_iter().collect();
    for (sensor, (begun, acknowledged)) in &noted.alarms {
        let count = there.get(&sensor.0).copied().unwrap_or(0);
        found.missing(surplus(i64::from(*acknowledged), count), || format!("alarms of sensor {sensor}"));
        found.doubled(surplus(count, i64::from(*begun)), || format!("alarms of sensor {sensor}"));
    }
    let acked: HashSet<Uuid> = sqlx::query_scalar(
        "select a.id
         from alarm a
         join alarm_note n on n.alarm = a.id and n.code = 'acknowledged'
         where a.acked and a.acked_by = 'admin'",
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .collect();
    for alarm in &noted.acks {
        found.missing(u64::from(!acked.contains(alarm)), || format!("acknowledgement of alarm {alarm}"));
    }
    let twice: Vec<(Uuid, String, i64)> = sqlx::query_as(
        "select alarm, n.code, count(*)
         from alarm_note n
         join alarm a on a.id = n.alarm
         where a.kind = 'leak'
         group by alarm, n.code
         having count(*) > 1",
    )
    .fetch_all(pool)
    .await?;
    for (alarm, code, count) in twice {
        found.doubled(surplus(count, 1), || format!("note {code} of alarm {alarm}"));
    }
    Ok(())
}

/// Every command entered is in the ledger, and none was sent twice.
async fn commands(pool: &PgPool, noted: &Noted, found: &mut Found) -> Result<()> {
    let there: HashSet<Uuid> =
        sqlx::query_scalar("select id from command").fetch_all(pool).await?.into_iter().collect();
    for command in &noted.commands {
        found.missing(u64::from(!there.contains(&command.0)), || format!("command {command} in the ledger"));
    }
    let twice: Vec<(String, i64)> = sqlx::query_as(
        "select body ->> 'command', count(*)
         from event_log
         where code = 'command.state' and body ->> 'state' = 'sent'
         group by 1
         having count(*) > 1",
    )
    .fetch_all(pool)
    .await?;
    for (command, count) in twice {
        found.doubled(surplus(count, 1), || format!("command {command} sent"));
    }
    Ok(())
}
