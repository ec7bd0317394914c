//! A fresh database per test: of the cluster named by `GATEHOUSE_TEST_DATABASE_URL`, else of the test process's own.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Connections of one test.
const CONNECTIONS: u32 = 8;

/// A pool on a fresh, empty database.
pub async fn fresh() -> PgPool {
    let options = match std::env::var("GATEHOUSE_TEST_DATABASE_URL") {
        Ok(url) => on_cluster(&url).await,
        Err(_) => gatehouse_console::provision::testkit::database().await.options,
    };
    PgPoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await.expect("the test database connects")
}

/// A connection to another database of the same cluster.
pub async fn another(pool: &PgPool, name: &str) -> PgPool {
    let options = PgConnectOptions::clone(&pool.connect_options()).database(name);
    PgPoolOptions::new().max_connections(1).connect_with(options).await.expect("the cluster answers")
}

/// A database that nobody can reach, until [`Outage::end`].
pub struct Outage {
    admin: PgPool,
    name: String,
}

/// Takes a test's database away: its connections are ended and no new one is allowed.
pub async fn take_away(pool: &PgPool) -> Outage {
    let name = pool.connect_options().get_database().expect("the pool names its database").to_owned();
    let outage = Outage { admin: another(pool, "postgres").await, name };
    outage.allow(false).await;
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(&outage.name)
        .execute(&outage.admin)
        .await
        .expect("the connections end");
    outage
}

impl Outage {
    async fn allow(&self, on: bool) {
        // The name is of the harness's own making.
        let sql = sqlx::AssertSqlSafe(format!("alter database {} with allow_connections {on}", self.name));
        sqlx::query(sql).execute(&self.admin).await.expect("the cluster answers");
    }

    /// The database is back.
    pub async fn end(self) {
        self.allow(true).await;
    }
}

async fn on_cluster(url: &str) -> PgConnectOptions {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let options = PgConnectOptions::from_str(url).expect("GATEHOUSE_TEST_DATABASE_URL is a PostgreSQL URL");
    let name = format!("it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let admin =
        PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await.expect("the cluster answers");
    // Only digits and underscores of our own making.
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}")))
        .execute(&admin)
        .await
        .expect("a database is made");
    options.database(&name)
}
