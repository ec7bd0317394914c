//! The history of readings: what is written is read at every resolution, on partitions and on a real TimescaleDB.

use anyhow::{Context, Result};
use gatehouse_actors::telemetry::{Bucket, Chart, ChartQuery, History, Keep, Line, Resolution};
use gatehouse_actors::testkit::HandClock;
use gatehouse_actors::{Clock, store};
use gatehouse_core::device::link::Uplink;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceId;
use gatehouse_tests::compound::id;
use gatehouse_tests::product::Product;
use gatehouse_tests::{database, timescale};
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A history on a database of its own with a hand-wound clock.
struct Bed {
    pool: PgPool,
    history: History,
    hand: HandClock,
    work: JoinHandle<()>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Bed {
    async fn on(pool: PgPool, start: Timestamp, keep: Keep, depth: usize) -> Self {
        store::migrate(&pool).await.expect("it migrates");
        let (clock, hand) = Clock::hand_wound(start);
        let (history, work) = History::open_with(pool.clone(), clock, keep, depth).await.expect("the history opens");
        Self { pool, history, hand, work: tokio::spawn(work) }
    }

    async fn fresh(start: Timestamp, keep: Keep) -> Self {
        Self::on(database::fresh().await, start, keep, 200_000).await
    }

    async fn write(&self, readings: &[Reading]) {
        // The TimescaleDB peer's socket ends at a message of more than 64 kB: small batches.
        for some in readings.chunks(500) {
            for reading in some {
                self.history.push(reading.device, &[(reading.point.to_owned(), reading.value.clone())], reading.at);
            }
            self.history.settle().await;
        }
    }

    async fn pass(&self) {
        self.history.pass().await.expect("the keeper passes");
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a count")
    }

    async fn chart(&self, device: &str, point: &str, from: Timestamp, to: Timestamp, points: u32) -> Chart {
        let query = ChartQuery { device: id(device), point: point.into(), from, to, points };
        self.history.chart(&query).await.expect("a chart")
    }
}

#[derive(Clone, Debug)]
struct Reading {
    device: DeviceId,
    point: &'static str,
    at: Timestamp,
    value: Value,
}

fn reading(device: &str, point: &'static str, at: Timestamp, value: Value) -> Reading {
    Reading { device: id(device), point, at, value }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// Three days of a thermometer (with forty silent minutes), a contact and a lift.
fn three_days(base: Timestamp) -> Vec<Reading> {
    let mut readings = Vec::new();
    for n in 0..3 * 24 * 60 {
        let minute = base + SignedDuration::from_mins(n);
        let silent = (n / 60 == 30) && (10..50).contains(&(n % 60));
        if !silent {
            let celsius = 20.0 + ((n * 37) % 101) as f64 / 10.0 - (n % 7) as f64;
            readings.push(reading(
                "temp-1",
                "temperature",
                minute + SignedDuration::from_secs(n % 50),
                Value::Number(celsius),
            ));
        }
        if n % 5 == 0 {
            let open = (n / 35) % 2 == 0;
            readings.push(reading("door-1", "contact", minute + SignedDuration::from_millis(700), Value::Bool(open)));
        }
        if n % 11 == 0 {
            let word = ["up", "down", "stopped"][(n as usize / 22) % 3];
            readings.push(reading(
                "lift-1",
                "direction",
                minute + SignedDuration::from_secs(3),
                Value::Text(word.into()),
            ));
        }
    }
    // Two in one minute, so that a minute has a first and a last, and a mixed state.
    let extra = base + SignedDuration::from_secs(90 * 60 + 55);
    readings.push(reading("temp-1", "temperature", extra, Value::Number(-40.5)));
    readings.push(reading("door-1", "contact", extra, Value::Bool(false)));
    readings.push(reading("lift-1", "direction", base + SignedDuration::from_secs(33), Value::Text("down".into())));
    readings
}

/// A row of a rollup, however it came about.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Rolled {
    count: i64,
    min: Option<f64>,
    max: Option<f64>,
    sum: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
    flag: Option<bool>,
    word: Option<String>,
    mixed: bool,
}

type Rollup = BTreeMap<(String, i64), Rolled>;

/// What a rollup should be, the slow way.
fn brute_force(readings: &[Reading], step_s: i64) -> Rollup {
    let mut groups: BTreeMap<(String, i64), Vec<&Reading>> = BTreeMap::new();
    for reading in readings {
        let bucket = reading.at.as_second().div_euclid(step_s) * step_s;
        groups.entry((reading.point.to_owned(), bucket)).or_default().push(reading);
    }
    groups
        .into_iter()
        .map(|(key, mut group)| {
            group.sort_by_key(|reading| reading.at);
            let number = |reading: &&Reading| match reading.value {
                Value::Number(n) => Some(n),
                Value::Bool(on) => Some(f64::from(u8::from(on))),
                Value::Text(_) => None,
            };
            let numbers: Vec<f64> = group.iter().filter_map(number).collect();
            let newest = &group[group.len() - 1].value;
            let rolled = Rolled {
                count: group.len() as i64,
                min: numbers.iter().copied().reduce(f64::min),
                max: numbers.iter().copied().reduce(f64::max),
                sum: (!numbers.is_empty()).then(|| numbers.iter().sum()),
                first: numbers.first().copied(),
                last: numbers.last().copied(),
                flag: if let Value::Bool(on) = newest { Some(*on) } else { None },
                word: if let Value::Text(word) = newest { Some(word.clone()) } else { None },
                mixed: !matches!(newest, Value::Number(_)) && group.iter().any(|reading| reading.value != *newest),
            };
            (key, rolled)
        })
        .collect()
}

async fn stored(bed: &Bed, step_s: i64) -> Rollup {
    let sql = match step_s {
        60 => "select point, extract(epoch from bucket)::bigint as second, * from reading_1min",
        3_600 => "select point, extract(epoch from bucket)::bigint as second, * from reading_1h",
        _ => "select point, extract(epoch from bucket)::bigint as second, * from reading_1d",
    };
    #[derive(sqlx::FromRow)]
    struct Row {
        point: String,
        second: i64,
        #[sqlx(flatten)]
        rolled: Rolled,
    }
    let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&bed.pool).await.expect("the view reads");
    let total = rows.len();
    let rollup: Rollup = rows.into_iter().map(|row| ((row.point, row.second), row.rolled)).collect();
    assert_eq!(rollup.len(), total, "one row a bucket");
    rollup
}

/// Every resolution is what the slow way gives; sums to a billionth.
async fn agrees(bed: &Bed, readings: &[Reading], when: &str) {
    assert_eq!(bed.count("select count(*) from reading").await, readings.len() as i64, "{when}: raw");
    for step_s in [60, 3_600, 86_400] {
        let (mut found, mut wanted) = (stored(bed, step_s).await, brute_force(readings, step_s));
        for (key, rolled) in &mut found {
            let sum = wanted.get_mut(key).and_then(|wanted| wanted.sum.as_mut());
            if let (Some(found), Some(wanted)) = (rolled.sum.as_mut(), sum)
                && (*found - *wanted).abs() < 1e-6
            {
                *found = *wanted;
            }
        }
        if let Some((key, rolled)) = wanted.iter().find(|(key, rolled)| found.get(key) != Some(rolled)) {
            panic!("{when}: {step_s} s at {key:?}: {rolled:?} wanted, {:?} found", found.get(key));
        }
        assert_eq!(found.len(), wanted.len(), "{when}: {step_s} s");
    }
}

/// Rows that come hours and days after their time, in closed minutes, hours and days, old and new series.
fn late(base: Timestamp) -> Vec<Reading> {
    let minutes = |n: i64| base + SignedDuration::from_secs(n * 60 + 58);
    vec![
        reading("temp-1", "temperature", minutes(5), Value::Number(99.0)),
        reading("temp-1", "temperature", minutes(30 * 60 + 20), Value::Number(-5.0)),
        reading("temp-1", "temperature", minutes(31 * 60), Value::Number(12.0)),
        reading("door-1", "contact", minutes(700), Value::Bool(true)),
        reading("lift-1", "direction", minutes(1_441), Value::Text("up".into())),
        reading("meter-9", "total", minutes(10), Value::Number(1.5)),
    ]
}

fn values(chart: &Chart) -> &[Bucket] {
    match &chart.line {
        Line::Numbers { buckets } => buckets,
        Line::States { .. } => panic!("numbers were asked for"),
    }
}

/// The charts of three days whose last reading is some ten minutes old.
async fn charts(bed: &Bed, base: Timestamp) {
    let day = bed.chart("temp-1", "temperature", base + DAY, base + DAY + DAY, 600).await;
    assert_eq!((day.resolution, day.step_s), (Resolution::Minute, 180));
    let holes: Vec<_> = values(&day).iter().filter(|bucket| bucket.count == 0).collect();
    assert_eq!(holes.len(), 1, "the silence is a hole, and nothing else is: {holes:?}");
    let begins = holes[0].at.duration_since(base).as_secs();
    assert!((30 * 3_600 + 600..=30 * 3_600 + 960).contains(&begins) && holes[0].avg.is_none(), "{begins}");
    let hour = bed.chart("temp-1", "temperature", base, base + SignedDuration::from_hours(1), 600).await;
    assert_eq!(hour.resolution, Resolution::Raw);
    let whole = bed.chart("temp-1", "temperature", base, base + DAY * 3, 100).await;
    assert_eq!(whole.resolution, Resolution::Hour);
    assert!(values(&whole).iter().filter_map(|bucket| bucket.min).any(|min| min == -40.5), "an extreme is never lost");
    let year = bed.chart("temp-1", "temperature", base - DAY * 362, base + DAY * 3, 600).await;
    assert_eq!((year.resolution, values(&year).len()), (Resolution::Day, 3));

    let from = base + SignedDuration::from_mins(20);
    let door = bed.chart("door-1", "contact", from, from + SignedDuration::from_mins(60), 600).await;
    let Line::States { stretches } = &door.line else { panic!("states were asked for") };
    let shown: Vec<_> =
        stretches.iter().map(|s| (s.from.duration_since(base).as_secs() / 60, s.state.clone(), s.mixed)).collect();
    let expected = [(20, Value::Bool(true), false), (35, Value::Bool(false), false), (70, Value::Bool(true), false)];
    assert_eq!((door.resolution, shown.as_slice()), (Resolution::Raw, &expected[..]));
    let lift = bed.chart("lift-1", "direction", base, base + DAY * 3, 600).await;
    let Line::States { stretches } = &lift.line else { panic!("states were asked for") };
    assert!(stretches.iter().any(|s| s.mixed), "a minute with two words says so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_read_at_every_resolution_late_readings_included() {
    let base = at("2026-05-01T00:00:00Z");
    let bed = Bed::fresh(base + DAY * 3 + SignedDuration::from_mins(10), Keep::default()).await;
    let mut readings = three_days(base);
    bed.write(&readings).await;
    agrees(&bed, &readings, "before any pass").await;
    bed.pass().await;
    assert!(bed.count("select count(*) from telemetry_1min").await > 5_000, "the minutes are in their table");
    agrees(&bed, &readings, "after a pass").await;
    charts(&bed, base).await;

    let came_late = late(base);
    bed.write(&came_late).await;
    readings.extend(came_late);
    assert_eq!(bed.count("select count(*) from telemetry_late").await, 6);
    bed.pass().await;
    agrees(&bed, &readings, "late readings").await;
    assert_eq!(bed.count("select count(*) from telemetry_late").await, 0);
    bed.pass().await;
    agrees(&bed, &readings, "a pass too many").await;
    let health = bed.history.health();
    assert_eq!((health.written, health.dropped, health.depth), (readings.len() as u64, 0, 0));
    assert_eq!((health.store.as_str(), health.rolled_s), ("partitions", Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_a_real_timescaledb() {
    let Some(peer) = timescale::start().await else { return };
    // Its policies go by its own clock: the days before today.
    let today = Timestamp::from_second(Timestamp::now().as_second().div_euclid(86_400) * 86_400).unwrap();
    let base = today - DAY * 4;
    let bed = Bed::on(peer.pool.clone(), Timestamp::now(), Keep::default(), 200_000).await;
    assert_eq!(bed.history.health().store, "timescale");
    let mut readings = three_days(base);
    bed.write(&readings).await;
    agrees(&bed, &readings, "before any refresh").await;
    bed.pass().await;
    agrees(&bed, &readings, "after the first filling").await;
    charts(&bed, base).await;

    let came_late = late(base);
    bed.write(&came_late).await;
    readings.extend(came_late);
    // A refresh in batches sees what the finer one changed at its next run.
    for _ in 0..2 {
        run_jobs(&bed, "policy_refresh_continuous_aggregate").await;
    }
    agrees(&bed, &readings, "late readings").await;

    run_jobs(&bed, "policy_compression").await;
    let compressed = bed
        .count(
            "select count(*) from timescaledb_information.chunks where hypertable_name = 'telemetry' and is_compressed",
        )
        .await;
    assert!(compressed >= 2, "{compressed} chunks are in the columnstore");
    agrees(&bed, &readings, "out of the columnstore").await;

    let old = [reading("temp-1", "temperature", today - DAY * 120, Value::Number(1.0))];
    bed.write(&old).await;
    assert_eq!(bed.count("select count(*) from reading").await, readings.len() as i64 + 1);
    run_jobs(&bed, "policy_retention").await;
    assert_eq!(bed.count("select count(*) from reading").await, readings.len() as i64, "only what is too old went");
    // The scheduler that the peer lacks would find these.
    let jobs = bed.count("select count(*) from timescaledb_information.jobs where job_id >= 1000").await;
    assert_eq!(jobs, 7, "columnstore, three refreshes, three retentions");
}

/// Runs the jobs of a kind, as TimescaleDB's scheduler would.
async fn run_jobs(bed: &Bed, kind: &str) {
    let jobs: Vec<i32> = sqlx::query_scalar(
        "select job_id from timescaledb_information.jobs where proc_name = $1 and job_id >= 1000 order by job_id",
    )
    .bind(kind)
    .fetch_all(&bed.pool)
    .await
    .expect("jobs are listed");
    assert!(!jobs.is_empty(), "there is a job {kind}");
    for job in jobs {
        sqlx::query("call run_job($1)")
            .bind(job)
            .execute(&bed.pool)
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_drops_what_is_too_old_and_nothing_else() {
    let start = at("2026-05-04T12:00:00Z");
    let keep = Keep { raw_days: 3, minute_days: 40, hour_days: 400 };
    let bed = Bed::fresh(start, keep).await;
    let first = vec![
        reading("temp-1", "temperature", start - SignedDuration::from_hours(30), Value::Number(1.0)),
        reading("temp-1", "temperature", start - SignedDuration::from_mins(5), Value::Number(2.0)),
    ];
    bed.write(&first).await;
    bed.pass().await;
    agrees(&bed, &first, "at the start").await;
    assert_eq!(bed.count("select count(*) from telemetry_rest").await, 0, "yesterday got its own day");

    // What belongs to no day yet waits in the default partition, and moves when its day is made.
    let soon = reading("temp-1", "temperature", start + DAY * 6, Value::Number(6.0));
    bed.write(std::slice::from_ref(&soon)).await;
    assert_eq!(bed.count("select count(*) from telemetry_rest").await, 1);
    bed.hand.advance(DAY * 5);
    bed.pass().await;
    assert_eq!(bed.count("select count(*) from telemetry_rest").await, 0);
    assert_eq!(bed.count("select count(*) from reading").await, 1, "raw readings of the first days are gone");
    assert_eq!(bed.count("select count(*) from reading_1min").await, 3, "their minutes are not");

    bed.hand.advance(DAY * 85);
    bed.pass().await;
    assert_eq!(bed.count("select count(*) from telemetry_1min").await, 0);
    assert_eq!(bed.count("select count(*) from reading_1h").await, 3);
    bed.hand.advance(DAY * 800);
    bed.pass().await;
    assert_eq!(bed.count("select count(*) from telemetry_1h").await, 0);
    assert_eq!(bed.count("select count(*) from reading_1d").await, 3, "days are kept for good");

    // A device that comes back after years cannot change what its days were.
    bed.write(&[reading("temp-1", "temperature", start - SignedDuration::from_mins(5), Value::Number(77.0))]).await;
    bed.pass().await;
    assert_eq!(bed.count("select count(*) from reading").await, 0);
    assert_eq!(bed.count("select count(*) from reading_1d where max > 70").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_outlives_the_database_and_drops_the_oldest() {
    let start = at("2026-05-04T12:00:00Z");
    let bed = Bed::on(database::fresh().await, start, Keep::default(), 100).await;
    let number = |point: &'static str, second: i64| {
        reading("meter-1", point, start + SignedDuration::from_secs(second), Value::Number(second as f64))
    };
    bed.write(&[number("known", 0)]).await;
    let admin = database::another(&bed.pool, "postgres").await;
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&bed.pool).await.unwrap();
    // The name is of the harness's own making.
    let allow = |on: bool| sqlx::AssertSqlSafe(format!("alter database {name} with allow_connections {on}"));
    sqlx::query(allow(false)).execute(&admin).await.unwrap();
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(&name)
        .execute(&admin)
        .await
        .unwrap();
    let push = |reading: &Reading| {
        bed.history.push(reading.device, &[(reading.point.to_owned(), reading.value.clone())], reading.at);
    };
    // Each of the two writers takes one and tries again and again; the rest waits in the queue.
    for second in [1, 2] {
        push(&number("known", second));
        until("a writer holds it", || bed.history.health().depth == 0).await;
    }
    until("they try again", || bed.history.health().failed_batches >= 4).await;
    push(&number("quiet", 7));
    for second in 10..310 {
        push(&number("busy", second));
    }
    let health = bed.history.health();
    assert_eq!((health.depth, health.dropped, health.written), (100, 201, 1), "{health:?}");
    assert!(!health.last_error.is_empty());
    sqlx::query(allow(true)).execute(&admin).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), bed.history.settle()).await.expect("what waited is written");
    assert_eq!(bed.count("select count(*) from reading where point = 'known'").await, 3, "each once");
    let kept: (i64, f64, f64) =
        sqlx::query_as("select count(*), min(number), max(number) from reading where point = 'busy'")
            .fetch_one(&bed.pool)
            .await
            .unwrap();
    assert_eq!(kept, (100, 210.0, 309.0), "the newest hundred");
    let quiet: f64 =
        sqlx::query_scalar("select number from latest where point = 'quiet'").fetch_one(&bed.pool).await.unwrap();
    assert_eq!(quiet, 7.0, "a dropped reading is still the latest value of its point");
    assert_eq!(bed.history.health().written, 103);
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_history_comes_along_whole() {
    let pool = database::fresh().await;
    for earlier in [
        include_str!("../../migrations/0001_site.sql"),
        include_str!("../../migrations/0002_event.sql"),
        include_str!("../../migrations/0003_alarm.sql"),
        include_str!("../../migrations/0004_people.sql"),
        include_str!("../../migrations/0005_telemetry.sql"),
    ] {
        sqlx::raw_sql(earlier).execute(&pool).await.unwrap();
    }
    sqlx::raw_sql(
        "insert into telemetry
         select md5((n % 7)::text)::uuid, 'temperature', now() - n * interval '3 hours', n, null, null from generate_series(0, 500) n;
         insert into telemetry values (md5('1')::uuid, 'contact', '1971-01-01', null, 'open', null);
         insert into telemetry values (md5('1')::uuid, 'contact', now() + interval '3 years', null, null, true);
         insert into latest select md5('1')::uuid, 'contact', now(), null, 'open', null;",
    )
    .execute(&pool)
    .await
    .unwrap();
    for now in [
        include_str!("../../migrations/0011_telemetry_history.sql"),
        include_str!("../../migrations/0012_telemetry_rollup.sql"),
    ] {
        sqlx::raw_sql(now).execute(&pool).await.unwrap();
    }
    let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool);
    assert_eq!(count("select count(*) from reading").await.unwrap(), 503);
    assert_eq!(count("select sum(number)::bigint from reading").await.unwrap(), 125_250);
    assert_eq!(count("select count(*) from latest where word = 'open'").await.unwrap(), 1);
    assert_eq!(count("select count(*) from telemetry_rest").await.unwrap(), 2, "only what belongs to no day");
    assert_eq!(count("select sum(count)::bigint from reading_1d").await.unwrap(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_chart_a_table_and_a_clear_refusal() -> Result<()> {
    let definition = "name = \"Boiler room\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Site\"\n\
                      [[devices]]\nkey = \"temp-1\"\nkind = \"sensor\"\nclass = \"temperature\"\nname = \"Boiler\"\nplace = \"site\"\n";
    let product = Product::site(definition, |config| config.telemetry.raw_days = 30).await?;
    let admin = product.admin().await?;
    let system = product.running.app.system().clone();
    let now = system.now();
    for n in (0..30).filter(|n| !(10..20).contains(n)) {
        let observed_at = Some(now - SignedDuration::from_mins(n));
        let points = vec![("temperature".to_owned(), Value::Number(-20.0 - n as f64))];
        let report = Uplink::Report { device: id("temp-1"), seq: None, observed_at, points };
        system.intake().offer(report).await?;
    }
    system.history().settle().await;
    let path = format!("/api/devices/{}/telemetry", id("temp-1"));
    let chart = admin.get(&format!("{path}?point=temperature&from={}", now - SignedDuration::from_mins(31))).await?;
    assert_eq!((chart["resolution"].as_str(), chart["kind"].as_str()), (Some("raw"), Some("numbers")), "{chart}");
    let buckets = chart["buckets"].as_array().context("buckets")?;
    assert_eq!(buckets.iter().filter(|bucket| bucket["avg"].is_null()).count(), 1, "one hole");
    assert_eq!(buckets.iter().filter_map(|bucket| bucket["count"].as_i64()).sum::<i64>(), 20);
    assert_eq!(buckets.last().context("the newest")?["last"], -20.0);
    for (question, field, remedy) in [
        ("", "point", "point=NAME"),
        ("?point=humidity", "point", "temperature"),
        ("?point=temperature&from=yesterday", "from", "RFC 3339"),
        ("?point=temperature&to=2020-01-01T00:00:00Z&from=2021-01-01T00:00:00Z", "from", "earlier"),
        ("?point=temperature&points=1", "points", "10 to 2000"),
    ] {
        let (status, answer) = admin.request(reqwest::Method::GET, &format!("{path}{question}"), None).await?;
        let error = &answer["error"];
        assert_eq!((status.as_u16(), error["field"].as_str()), (422, Some(field)), "{question}: {answer}");
        assert!(error["remedy"].as_str().is_some_and(|text| text.contains(remedy)), "{question}: {answer}");
    }
    let health = serde_json::to_value(system.figures().telemetry)?;
    assert_eq!((health["written"].as_u64(), health["dropped"].as_u64()), (Some(20), Some(0)), "{health}");
    product.stop().await;
    Ok(())
}
