//! The database as a backup sees it: what the catalogue lists, one table after the other out and in by COPY.
//!
//! Tables are discovered, not listed here, so a migration needs no line in this file. COPY's text form is the same in every
//! version; statements that carry names take them from the catalogue, quoted.

use super::manifest::{Migration, Partition, Sequence, hex};
use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::collections::{BTreeMap, BTreeSet};

/// Not copied: the migrations' own table is in the manifest, and who was signed in signs in again.
const LEFT_OUT: [&str; 2] = ["_sqlx_migrations", "session"];

/// How values are written and read, whatever the server's configuration says.
const SETTINGS: &str =
    "set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres';
    set local bytea_output = 'hex'; set local extra_float_digits = 1; set local client_encoding = 'UTF8';
    set local search_path = public; set local statement_timeout = 0; set local lock_timeout = 0;
    set local idle_in_transaction_session_timeout = 0";

#[derive(sqlx::FromRow)]
struct ListedRow {
    name: String,
    columns: Vec<String>,
    bytes: i64,
    parts: Vec<String>,
    partitioned: bool,
}

/// A table as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub name: String,
    pub columns: Vec<String>,
    /// Bytes on disk, without indexes.
    pub bytes: u64,
    /// What its rows lie in, as SQL takes it: itself, or its partitions.
    pub parts: Vec<String>,
    /// Whether the parts are partitions, which may be dropped at any moment.
    pub partitioned: bool,
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn listed(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// One moment of a database.
///
/// One connection holds the moment and reads the catalogue; another reads table after table at that moment and lets go of
/// each: a partition that is to be dropped, or a migration, waits for one table and not for the whole backup.
pub(super) struct Snapshot {
    conn: PgConnection,
    reader: PgConnection,
    options: PgConnectOptions,
    moment: String,
    pub taken_at: Timestamp,
    pub postgres: String,
    pub timescale: bool,
}

impl Snapshot {
    /// Begins the transaction that everything is read in.
    pub(super) async fn open(options: &PgConnectOptions) -> anyhow::Result<Self> {
        let options = options.clone().application_name("gatehouse backup");
        let mut conn = PgConnection::connect_with(&options).await.context("connecting to the database")?;
        sqlx::raw_sql("begin isolation level repeatable read read only").execute(&mut conn).await?;
        sqlx::raw_sql(SETTINGS).execute(&mut conn).await?;
        // The first query fixes the moment; its clock is read with it.
        let (moment, at, postgres, timescale): (String, i64, String, bool) = sqlx::query_as(
            "select pg_export_snapshot(), (extract(epoch from clock_timestamp()) * 1000000)::bigint, current_setting('server_version'),
                    exists (select from pg_extension where extname = 'timescaledb')",
        )
        .fetch_one(&mut conn)
        .await?;
        let reader = PgConnection::connect_with(&options).await.context("connecting to the database")?;
        Ok(Self { conn, reader, options, moment, taken_at: Timestamp::from_microsecond(at)?, postgres, timescale })
    }

    /// The tables of the schema `public`, the largest last: what a partition's removal would wait for is read late.
    pub(super) async fn tables(&mut self) -> anyhow::Result<Vec<Listed>> {
        // Not pg_partition_tree(): it would hold a lock on every partition until the end.
        let rows: Vec<ListedRow> = sqlx::query_as(
            "with recursive tree (root, part) as (
               select c.oid, c.oid from pg_class c where c.relkind = 'p' and not c.relispartition
               union all
               select tree.root, i.inhrelid from tree join pg_inherits i on i.inhparent = tree.part
             ), leaf as (
               select tree.root, format('%I.%I', n.nspname, c.relname) as name, pg_table_size(c.oid) as bytes
               from tree
               join pg_class c on c.oid = tree.part
               join pg_namespace n on n.oid = c.relnamespace
               where c.relkind = 'r'
             )
             select c.relname::text as name,
                    array(select a.attname::text
                          from pg_attribute a
                          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
                          order by a.attnum) as columns,
                    (case c.relkind
                       when 'p' then (select coalesce(sum(leaf.bytes), 0) from leaf where leaf.root = c.oid)
                       else coalesce(pg_table_size(c.oid), 0)
                     end)::bigint as bytes,
                    case c.relkind
                      when 'p' then array(select leaf.name from leaf where leaf.root = c.oid order by 1)
                      else array[format('%I.%I', n.nspname, c.relname)]
                    end as parts,
                    c.relkind = 'p' as partitioned
             from pg_class c
             join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
               and not exists (select from pg_depend d
                               where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
             order by 3, 1",
        )
        .fetch_all(&mut self.conn)
        .await
        .context("listing the tables")?;
        let tables = rows.into_iter().filter(|row| !LEFT_OUT.contains(&row.name.as_str()));
        Ok(tables
            .map(|ListedRow { name, columns, bytes, parts, partitioned }| Listed {
                name,
                columns,
                bytes: u64::try_from(bytes).unwrap_or(0),
                parts,
                partitioned,
            })
            .collect())
    }

    /// The partitions of those tables, parents first.
    pub(super) async fn partitions(&mut self) -> anyhow::Result<Vec<Partition>> {
        let rows: Vec<(String, String, String, Option<String>)> = sqlx::query_as(
            "select c.relname::text, p.relname::text, pg_get_expr(c.relpartbound, c.oid),
                    case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end
             from pg_inherits i
             join pg_class c on c.oid = i.inhrelid
             join pg_class p on p.oid = i.inhparent
             join pg_namespace n on n.oid = p.relnamespace
             where c.relispartition and c.relkind in ('r', 'p') and n.nspname = 'public'
             order by c.relkind = 'p' desc, c.oid",
        )
        .fetch_all(&mut self.conn)
        .await
        .context("listing the partitions")?;
        Ok(rows.into_iter().map(|(name, parent, bound, by)| Partition { name, parent, bound, by }).collect())
    }

    /// The sequences that gave a value.
    pub(super) async fn sequences(&mut self) -> anyhow::Result<Vec<Sequence>> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select sequencename::text, last_value
             from pg_sequences
             where schemaname = 'public' and last_value is not null
             order by 1",
        )
        .fetch_all(&mut self.conn)
        .await
        .context("listing the sequences")?;
        Ok(rows.into_iter().map(|(name, last)| Sequence { name, last }).collect())
    }

    /// The migrations it had.
    pub(super) async fn schema(&mut self) -> anyhow::Result<Vec<Migration>> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
                .fetch_all(&mut self.conn)
                .await
                .context("reading the schema's version: is this a database of gatehouse?")?;
        Ok(rows.into_iter().map(|(version, sum)| Migration { version, checksum: hex(&sum) }).collect())
    }

    /// The site's name.
    pub(super) async fn site(&mut self) -> anyhow::Result<String> {
        let name: Option<Option<String>> =
            sqlx::query_scalar("select definition ->> 'name' from site").fetch_optional(&mut self.conn).await?;
        Ok(name.flatten().unwrap_or_default())
    }

    /// Gives the rows of a table to `sink`, piece by piece.
    pub(super) async fn copy_out(
        &mut self,
        table: &Listed,
        mut sink: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        for part in &table.parts {
            let begin = format!(
                "begin isolation level repeatable read read only; set transaction snapshot '{}'; {SETTINGS}",
                self.moment
            );
            run(&mut self.reader, &begin).await?;
            match self.copy_part(&table.columns, part, &mut sink).await {
                // Dropped since it was listed: what was in it has passed its time. A COPY that is refused leaves the
                // connection out of step (sqlx 0.9 does not read the end of its answer): a new one goes on.
                Err(error) if table.partitioned && is_gone(&error) => {
                    self.reader = PgConnection::connect_with(&self.options).await?;
                }
                copied => {
                    copied?;
                    run(&mut self.reader, "rollback").await?;
                }
            }
        }
        Ok(())
    }

    async fn copy_part(
        &mut self,
        columns: &[String],
        part: &str,
        sink: &mut impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        // A query, not the bare table: it reads the chunks of a hypertable, too.
        let sql = format!("copy (select {} from {part}) to stdout", listed(columns));
        let mut pieces = self.reader.copy_out_raw(&sql).await?;
        while let Some(piece) = pieces.try_next().await? {
            sink(&piece)?;
        }
        Ok(())
    }

    /// Ends the transaction.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        sqlx::raw_sql("rollback").execute(&mut self.conn).await?;
        self.reader.close().await?;
        Ok(self.conn.close().await?)
    }
}

/// Whether a statement failed because its table is not there.
fn is_gone(error: &anyhow::Error) -> bool {
    let database = error.downcast_ref::<sqlx::Error>().and_then(|error| error.as_database_error());
    database.is_some_and(|error| error.code().as_deref() == Some("42P01"))
}

/// A fresh database being filled, in one transaction.
pub(super) struct Loader {
    conn: PgConnection,
    triggers: BTreeSet<String>,
    /// The tables that are tables here, too. One that is derived here is made anew from the others.
    pub tables: BTreeSet<String>,
}

impl Loader {
    /// Begins: empties the tables (migrations may have put rows there) and makes the partitions as they were.
    pub(super) async fn open(
        options: &PgConnectOptions,
        tables: &[&str],
        partitions: &[Partition],
    ) -> anyhow::Result<Self> {
        let options = options.clone().application_name("gatehouse restore");
        let mut conn = PgConnection::connect_with(&options).await.context("connecting to the database")?;
        let mut tx = String::from("begin;");
        tx += SETTINGS;
        tx += "; set constraints all deferred";
        run(&mut conn, &tx).await?;
        let there: Vec<String> = sqlx::query_scalar(
            "select c.relname::text
             from pg_class c
             join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relname = any($1)",
        )
        .bind(tables.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .fetch_all(&mut conn)
        .await?;
        keep_own_facts(&mut conn).await?;
        if !there.is_empty() {
            // What is left out of a backup refers to what is in it, and has no rows of its own in a fresh database.
            let sessions: Option<String> =
                sqlx::query_scalar("select to_regclass('public.session')::text").fetch_one(&mut conn).await?;
            let all = there.iter().chain(&sessions).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            run(&mut conn, &format!("truncate {all}")).await?;
        }
        make_partitions(&mut conn, partitions).await?;
        let rows: Vec<String> = sqlx::query_scalar(
            "select distinct c.relname::text
             from pg_trigger t
             join pg_class c on c.oid = t.tgrelid
             join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'public' and not t.tgisinternal and not c.relispartition
               and t.tgname not like 'ts\\_%' and c.relname = any($1)",
        )
        .bind(tables.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .fetch_all(&mut conn)
        .await?;
        // What triggers did is in the rows already.
        for name in &rows {
            run(&mut conn, &format!("alter table {} disable trigger user", quoted(name))).await?;
        }
        Ok(Self { conn, triggers: rows.into_iter().collect(), tables: there.into_iter().collect() })
    }

    /// The tables in an order in which none refers to a later one.
    pub(super) async fn order(&mut self, tables: &[&str]) -> anyhow::Result<Vec<String>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select c.relname::text, f.relname::text
             from pg_constraint k
             join pg_class c on c.oid = k.conrelid
             join pg_class f on f.oid = k.confrelid
             join pg_namespace n on n.oid = c.relnamespace
             where k.contype = 'f' and k.conparentid = 0 and n.nspname = 'public' and c.oid <> f.oid",
        )
        .fetch_all(&mut self.conn)
        .await?;
        Ok(in_order(tables, &rows))
    }

    /// Loads one table; `next` gives its bytes until there are none. Says how many rows the server took.
    pub(super) async fn copy_in(
        &mut self,
        table: &str,
        columns: &[String],
        mut next: impl FnMut(&mut Vec<u8>) -> std::io::Result<bool>,
    ) -> anyhow::Result<u64> {
        let sql = format!("copy {} ({}) from stdin", quoted(table), listed(columns));
        let mut copy = self.conn.copy_in_raw(&sql).await?;
        let mut piece = Vec::with_capacity(256 * 1024);
        loop {
            piece.clear();
            match next(&mut piece) {
                Ok(true) => copy.send(piece.as_slice()).await.map(|_| ())?,
                Ok(false) => return Ok(copy.finish().await?),
                Err(error) => {
                    copy.abort(error.to_string()).await?;
                    return Err(error.into());
                }
            }
        }
    }

    /// Counts a table's rows.
    pub(super) async fn count(&mut self, table: &str) -> anyhow::Result<u64> {
        let sql = format!("select count(*) from {}", quoted(table));
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.conn).await?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Checks every reference, sets the sequences, makes what is derived, and commits.
    pub(super) async fn finish(mut self, sequences: &[Sequence]) -> anyhow::Result<()> {
        run(&mut self.conn, "set constraints all immediate").await.context("the rows do not fit together")?;
        put_own_facts(&mut self.conn).await?;
        for name in &self.triggers {
            run(&mut self.conn, &format!("alter table {} enable trigger user", quoted(name))).await?;
        }
        for sequence in sequences {
            sqlx::query("select setval(format('public.%I', $1::text)::regclass, $2)")
                .bind(&sequence.name)
                .bind(sequence.last)
                .execute(&mut self.conn)
                .await
                .with_context(|| format!("sequence {}", sequence.name))?;
        }
        let views: Vec<String> =
            sqlx::query_scalar("select matviewname::text from pg_matviews where schemaname = 'public'")
                .fetch_all(&mut self.conn)
                .await?;
        for view in views {
            run(&mut self.conn, &format!("refresh materialized view {}", quoted(&view))).await?;
        }
        run(&mut self.conn, "commit").await?;
        self.refresh_aggregates().await?;
        run(&mut self.conn, "analyze").await?;
        Ok(self.conn.close().await?)
    }

    /// TimescaleDB's continuous aggregates are made anew from the readings; that cannot be part of a transaction.
    async fn refresh_aggregates(&mut self) -> anyhow::Result<()> {
        let there: bool = sqlx::query_scalar("select exists (select from pg_extension where extname = 'timescaledb')")
            .fetch_one(&mut self.conn)
            .await?;
        if !there {
            return Ok(());
        }
        let names: Vec<String> = sqlx::query_scalar(
            "select view_name::text from timescaledb_information.continuous_aggregates where view_schema = 'public'",
        )
        .fetch_all(&mut self.conn)
        .await?;
        for name in names {
            sqlx::query("call refresh_continuous_aggregate(format('public.%I', $1::text)::regclass, null, null)")
                .bind(&name)
                .execute(&mut self.conn)
                .await
                .with_context(|| format!("making {name} anew"))?;
        }
        Ok(())
    }
}

/// Columns that say what the database at hand can do, and not what a site has done: a restore leaves them as they are.
const OWN_FACTS: [(&str, &[&str]); 1] = [("telemetry_store", &["hypertable", "columnstore", "aggregates", "filled"])];

/// The own columns of a table of one row that are there, as the list of an update.
async fn own_columns(conn: &mut PgConnection, table: &str, columns: &[&str]) -> anyhow::Result<Option<String>> {
    let there: Vec<String> = sqlx::query_scalar(
        "select column_name::text
         from information_schema.columns
         where table_schema = 'public' and table_name = $1 and column_name = any($2)",
    )
    .bind(table)
    .bind(columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let set = there.iter().map(|name| format!("{0} = own.{0}", quoted(name))).collect::<Vec<_>>().join(", ");
    Ok(Some(set).filter(|set| !set.is_empty()))
}

async fn keep_own_facts(conn: &mut PgConnection) -> anyhow::Result<()> {
    for (table, columns) in OWN_FACTS {
        if own_columns(conn, table, columns).await?.is_some() {
            run(conn, &format!("create temp table own_{table} on commit drop as select * from public.{table}")).await?;
        }
    }
    Ok(())
}

async fn put_own_facts(conn: &mut PgConnection) -> anyhow::Result<()> {
    for (table, columns) in OWN_FACTS {
        if let Some(set) = own_columns(conn, table, columns).await? {
            run(conn, &format!("update public.{table} set {set} from own_{table} own")).await?;
        }
    }
    Ok(())
}

/// Replaces the empty partitions that migrations made by those of the backup, where the table is partitioned here too.
async fn make_partitions(conn: &mut PgConnection, partitions: &[Partition]) -> anyhow::Result<()> {
    for partition in partitions {
        let parent: Option<String> = sqlx::query_scalar(
            "select c.relkind::text
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'public' and c.relname = $1",
        )
        .bind(&partition.parent)
        .fetch_optional(&mut *conn)
        .await?;
        if parent.as_deref() != Some("p") {
            continue;
        }
        run(conn, &format!("drop table if exists {}", quoted(&partition.name))).await?;
        let by = partition.by.as_ref().map(|by| format!(" partition by {by}")).unwrap_or_default();
        let (name, parent, bound) = (quoted(&partition.name), quoted(&partition.parent), &partition.bound);
        run(conn, &format!("create table {name} partition of {parent} {bound}{by}"))
            .await
            .with_context(|| format!("making the partition {}", partition.name))?;
    }
    Ok(())
}

/// A database of its own, as a restore into a server of somebody else finds it.
pub(super) async fn tables_in_public(options: &PgConnectOptions) -> anyhow::Result<usize> {
    let mut conn = PgConnection::connect_with(options).await.context("connecting to the database")?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'").fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Moves what the schema `public` holds aside under another name.
pub(super) async fn move_aside(options: &PgConnectOptions, name: &str) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect_with(options).await.context("connecting to the database")?;
    let sql = format!("begin; alter schema public rename to {}; create schema public; commit", quoted(name));
    run(&mut conn, &sql).await.context("moving the tables aside")?;
    Ok(conn.close().await?)
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    // Audited: constants, and names and bounds out of a catalogue, quoted.
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(|_| ())
}

/// Sorts names so that each comes after those it refers to; what refers in a circle comes last, as it was.
fn in_order(tables: &[&str], refers: &[(String, String)]) -> Vec<String> {
    let mut waits: BTreeMap<&str, BTreeSet<&str>> = tables.iter().map(|name| (*name, BTreeSet::new())).collect();
    for (from, to) in refers {
        if tables.contains(&to.as_str())
            && let Some(waits) = waits.get_mut(from.as_str())
        {
            waits.insert(to);
        }
    }
    let mut sorted: Vec<String> = Vec::with_capacity(tables.len());
    let mut left: Vec<&str> = tables.to_vec();
    loop {
        let ready = |name: &&str| waits[*name].iter().all(|to| sorted.iter().any(|done| done == to));
        let (now, later): (Vec<&str>, Vec<&str>) = left.iter().partition(|name| ready(name));
        if now.is_empty() {
            sorted.extend(later.into_iter().map(str::to_owned));
            return sorted;
        }
        sorted.extend(now.into_iter().map(str::to_owned));
        left = later;
    }
}

/// Refuses a schema this program does not know.
pub(super) fn check_schema(theirs: &[Migration], ours: &[Migration]) -> anyhow::Result<()> {
    let Some(newest) = theirs.last() else { bail!("the backup names no schema version") };
    let known = ours.last().map_or(0, |step| step.version);
    if newest.version > known {
        bail!(
            "the backup is of schema version {}, this program knows up to {known}: use the gatehouse that took it or a newer one",
            newest.version
        );
    }
    for step in theirs {
        if !ours.contains(step) {
            bail!(
                "migration {} of the backup is not the one this program has: it was taken by a program of another make",
                step.version
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_referred_to_comes_first() {
        let refers = [("clip", "alarm"), ("note", "alarm"), ("face", "key"), ("key", "person"), ("x", "elsewhere")];
        let refers: Vec<_> = refers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let order = in_order(&["clip", "face", "key", "note", "alarm", "person"], &refers);
        let place = |name: &str| order.iter().position(|found| found == name).unwrap();
        assert!(place("alarm") < place("clip") && place("person") < place("key") && place("key") < place("face"));
        assert_eq!(order.len(), 6);
    }

    proptest! {
        #[test]
        fn every_table_is_in_the_order_once_whatever_refers_to_what(
            refers in proptest::collection::vec((0usize..6, 0usize..6), 0..20)
        ) {
            let names = ["a", "b", "c", "d", "e", "f"];
            let refers: Vec<_> =
                refers.into_iter().map(|(x, y)| (names[x].to_owned(), names[y].to_owned())).collect();
            let mut order = in_order(&names, &refers);
            order.sort();
            prop_assert_eq!(order, names);
        }
    }

    #[test]
    fn a_newer_or_another_schema_is_refused_and_an_older_one_is_not() {
        let step = |version, sum: &str| Migration { version, checksum: sum.into() };
        let ours = [step(1, "a"), step(2, "b")];
        assert!(check_schema(&ours[..1], &ours).is_ok());
        assert!(check_schema(&ours, &ours).is_ok());
        let newer = [step(1, "a"), step(2, "b"), step(3, "c")];
        assert!(check_schema(&newer, &ours).unwrap_err().to_string().contains("version 3"));
        assert!(check_schema(&[step(1, "z")], &ours).unwrap_err().to_string().contains("another make"));
        assert!(check_schema(&[], &ours).is_err());
    }

    async fn ask(conn: &mut PgConnection, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
    }

    /// What any later migration may bring: partitions with a default one, triggers, references in a circle with themselves,
    /// identities, generated columns, views of the kept sort, and facts of the database at hand.
    const SCHEMA: &str = "
        create table reading (at timestamptz not null, n integer) partition by range (at);
        create table reading_rest partition of reading default;
        create index on reading using brin (at);
        create table place (id integer primary key, above integer references place (id), \"Name\" text,
                            long integer generated always as (length(\"Name\")) stored);
        create table note (id bigint generated always as identity primary key, place integer not null references place (id));
        create function refuse() returns trigger language plpgsql as $$ begin raise exception 'append only'; end $$;
        create trigger guard before insert on note for each row execute function refuse();
        create materialized view per_place as select place, count(*) as notes from note group by place;
        create table telemetry_store (singleton boolean primary key default true, hypertable boolean not null, raw_from date);
        insert into telemetry_store values (true, false, '-infinity')";

    #[tokio::test]
    async fn partitions_triggers_identities_and_derived_views_come_back_and_facts_of_the_database_stay() {
        let testkit = crate::provision::testkit::database;
        let (from, to) = (testkit().await, testkit().await);
        let mut source = PgConnection::connect_with(&from.options).await.unwrap();
        let mut target = PgConnection::connect_with(&to.options).await.unwrap();
        run(&mut source, SCHEMA).await.unwrap();
        run(&mut target, SCHEMA).await.unwrap();
        let fill =
            "create table reading_20261124 partition of reading for values from ('2026-11-24Z') to ('2026-11-25Z');
            insert into reading values ('2026-11-24T10:00Z', 1), ('2026-11-20Z', 2), ('2026-11-20Z', null);
            insert into place values (1, null, E'Hof\\t\\n\\\\.'), (2, 1, 'Tor');
            alter table note disable trigger user; insert into note (place) values (2), (1), (2);
            update telemetry_store set hypertable = true, raw_from = '2026-01-01'";
        run(&mut source, fill).await.unwrap();

        let mut snapshot = Snapshot::open(&from.options).await.unwrap();
        let tables = snapshot.tables().await.unwrap();
        let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["note", "place", "reading", "telemetry_store"], "a partitioned table is one");
        let (partitions, sequences) = (snapshot.partitions().await.unwrap(), snapshot.sequences().await.unwrap());
        assert_eq!((partitions.len(), sequences.len()), (2, 1));
        // Committed after the snapshot: not in it; dropped after it was listed: no failure.
        run(&mut source, "insert into place values (3, null, 'later')").await.unwrap();
        let mut rows = BTreeMap::new();
        for table in &tables {
            let mut bytes = Vec::new();
            snapshot
                .copy_out(table, |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })
                .await
                .unwrap();
            rows.insert(table.name.clone(), bytes);
        }
        let reading = tables.iter().find(|table| table.name == "reading").unwrap();
        run(&mut source, "drop table reading_20261124").await.unwrap();
        let mut left = Vec::new();
        snapshot
            .copy_out(reading, |piece| {
                left.extend_from_slice(piece);
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(left.iter().filter(|byte| **byte == b'\n').count(), 2);
        snapshot.close().await.unwrap();

        let mut loader = Loader::open(&to.options, &names, &partitions).await.unwrap();
        for name in loader.order(&names).await.unwrap() {
            let columns = &tables.iter().find(|table| table.name == name).unwrap().columns;
            let mut bytes = Some(rows[&name].clone());
            let next = |piece: &mut Vec<u8>| Ok(bytes.take().map(|all| *piece = all).is_some());
            loader.copy_in(&name, columns, next).await.unwrap();
        }
        assert_eq!(loader.count("reading").await.unwrap(), 3);
        loader.finish(&sequences).await.unwrap();

        assert_eq!(ask(&mut target, "select count(*) from reading_20261124").await, 1);
        assert_eq!(ask(&mut target, "select sum(long)::bigint from place").await, 10);
        assert_eq!(ask(&mut target, "select count(*) from place").await, 2);
        assert_eq!(ask(&mut target, "select sum(notes)::bigint from per_place").await, 3);
        let facts = "select count(*) from telemetry_store where not hypertable and raw_from = '2026-01-01'";
        assert_eq!(ask(&mut target, facts).await, 1);
        let refused = run(&mut target, "insert into note (place) values (1)").await.unwrap_err();
        assert!(refused.to_string().contains("append only"), "the trigger is back: {refused}");
        run(&mut target, "alter table note disable trigger user; insert into note (place) values (1)").await.unwrap();
        // The refused row had taken 4.
        assert_eq!(ask(&mut target, "select max(id) from note").await, 5);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
