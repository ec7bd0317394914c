//! Backups of a site that goes on writing, and what comes back from them.

use anyhow::{Context, Result};
use gatehouse_actors::{FaceInput, System, staff};
use gatehouse_console::backup::{self, Manifest, Meter, shelf};
use gatehouse_console::compose::Options;
use gatehouse_console::provision::Silent;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::Uplink;
use gatehouse_core::id::{AlarmId, DeviceId, PersonId};
use gatehouse_tests::compound::consented;
use gatehouse_tests::product::{PATIENCE, Product, config, fresh_data_dir};
use reqwest::{Method, StatusCode};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::process::Command;

/// Arguments for the process that a test starts, a line each.
const ARGUMENTS: &str = "GATEHOUSE_BACKUP_TEST_ARGUMENTS";

const SITE: &str = r#"
name = "Warehouse 7"
zone = "Asia/Shanghai"

[[places]]
key = "site"
kind = "site"
name = "Warehouse 7"

[[devices]]
key = "office"
kind = "door"
name = "Office door"
place = "site"

[face_consent]
controller = "Warehouse 7 Ltd"
contact = "the office"

[[levels]]
key = "everywhere"
name = "Everywhere"
doors = ["*"]

[[people]]
key = "li-wei"
name = "Li Wei"
kind = "staff"
levels = ["everywhere"]
cards = ["0012345678"]
"#;

/// Not a test by itself: `gatehouse` with the arguments of [`ARGUMENTS`], in a process of its own.
#[test]
fn the_program_that_backs_up() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let code = gatehouse_console::cli::run_with(arguments.lines().map(std::ffi::OsString::from));
    assert!(code == std::process::ExitCode::SUCCESS, "it failed");
}

fn gatehouse(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "backup::the_program_that_backs_up", "--nocapture", "--test-threads=1"]);
    let lines: Vec<&str> = std::iter::once("gatehouse").chain(arguments.iter().copied()).collect();
    command.env(ARGUMENTS, lines.join("\n")).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

async fn run(arguments: &[&str]) -> Result<Output> {
    Ok(gatehouse(arguments)?.output().await?)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is text")
}

/// Presents cards until told to stop; counts those whose read is committed.
async fn read_cards(system: System, stop: Arc<AtomicBool>, taken: Arc<AtomicU64>) {
    let mut seq = 0;
    while !stop.load(Ordering::Relaxed) {
        seq += 1;
        let card = if seq % 2 == 0 { "0012345678" } else { "99\t\\N\n\"x'" };
        let device = DeviceId::from_key("office");
        let at = Some(system.now());
        let read = Uplink::CardRead { device, seq: Some(seq), observed_at: at, card: card.into(), pin: None };
        if system.intake().offer(read).await.is_ok() {
            taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn until_taken(taken: &AtomicU64, more: u64) -> Result<u64> {
    let wanted = taken.load(Ordering::Relaxed) + more;
    let waited = async {
        while taken.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.context("the reads were not taken in time")?;
    Ok(taken.load(Ordering::Relaxed))
}

async fn count(pool: &sqlx::PgPool, table: &str) -> Result<u64> {
    let sql = format!("select count(*) from {table}");
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await?;
    Ok(u64::try_from(rows)?)
}

fn rows(manifest: &Manifest, table: &str) -> u64 {
    manifest.tables.iter().find(|found| found.name == table).map_or(0, |found| found.rows)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(files_below(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// An acknowledged alarm with a comment and a work order, a face, and their ids.
async fn live_a_little(system: &System) -> Result<(AlarmId, FaceInput)> {
    let door = Some(DeviceId::from_key("office"));
    system.raise(AlarmKind::Tamper, door, "lid", Default::default()).await?;
    let raised = async {
        loop {
            if let Some(alarm) = system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::Tamper) {
                return alarm.id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let alarm = tokio::time::timeout(PATIENCE, raised).await?;
    system.ack(alarm, "wang", Some("on my way\nwith a ladder".into())).await?;
    let ordered = async {
        while system.work_orders(true, 10).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, ordered).await.context("tampering orders work by itself")??;
    let face = FaceInput { templates: vec![vec![0.25, -1.5, 0.1], vec![0.4, 0.5, 0.6]], model: "fr_feature".into() };
    consented(system, PersonId::from_key("li-wei")).await;
    system.face_set(PersonId::from_key("li-wei"), face.clone(), "wang").await?;
    for n in 0..20 {
        let entry = staff::AuditEntry {
            at: system.now(),
            by: "wang".into(),
            action: "POST /api/alarms".into(),
            target: n.to_string(),
            outcome: "200".into(),
            address: "127.0.0.1".into(),
        };
        staff::audit(system.pool(), entry).await?;
    }
    Ok((alarm, face))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_before_a_backup_of_the_running_site_is_there_after_a_restore() -> Result<()> {
    let product = Product::site(SITE, |config| config.recognition.enabled = false).await?;
    let password = product.password().to_owned();
    let system = product.running.app.system().clone();
    let (alarm, face) = live_a_little(&system).await?;
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let cards = tokio::spawn(read_cards(system.clone(), stop.clone(), taken.clone()));
    let before = until_taken(&taken, 50).await?;

    let backups = tempfile::tempdir()?;
    let place = backups.path().join("backups");
    let output = run(&["backup", text(&place)?, "--data", text(&product.data)?]).await?;
    assert!(output.status.success() && said(&output).contains("KEEP IT SAFE"), "{}", said(&output));
    until_taken(&taken, 10).await?;
    stop.store(true, Ordering::Relaxed);
    cards.await?;
    let after = taken.load(Ordering::Relaxed);
    product.stop().await;

    let (dir, manifest) = backup::verify(&place, &Meter::default())?;
    let reads = rows(&manifest, "access_record");
    assert!(before <= reads && reads < after, "{before} reads before it, {reads} in it, {after} in the end");
    println!("backup: {} rows, {} bytes, {} s, under reads", manifest.rows(), manifest.bytes(), manifest.seconds);

    // A byte changed anywhere is found, and the file is named.
    let all = files_below(&dir);
    assert!(all.len() > manifest.tables.len() + 2, "{all:?}");
    for path in all {
        let whole = std::fs::read(&path)?;
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&path, &bytes)?;
        let refused = backup::verify(&dir, &Meter::default()).err().context("a changed byte was accepted")?;
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        let named = refused.to_string();
        assert!(named.contains(name) || name == "manifest.sha256" && named.contains("sum"), "{name}: {named}");
        std::fs::write(&path, &whole)?;
    }

    let target = fresh_data_dir()?;
    let data = text(target.path())?;
    let output = run(&["restore", text(&place)?, "--data", data]).await?;
    assert!(output.status.success() && said(&output).contains("the chain is unbroken"), "{}", said(&output));
    let output = run(&["restore", text(&dir)?, "--data", data]).await?;
    assert!(!output.status.success() && said(&output).contains("--replace"), "{}", said(&output));
    let output = run(&["restore", text(&dir)?, "--data", data, "--replace"]).await?;
    assert!(output.status.success() && said(&output).contains("before-restore-"), "{}", said(&output));

    // Stopped, and before anything starts on it, it is the same to the byte.
    let second = backups.path().join("second");
    let output = run(&["backup", text(&second)?, "--data", data]).await?;
    assert!(output.status.success(), "{}", said(&output));
    let (_, again) = backup::verify(&second, &Meter::default())?;
    // The order in the manifest is that of sizes on disk, which a fresh load makes smaller.
    let by_name = |manifest: &Manifest| {
        let mut tables = manifest.tables.clone();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        tables
    };
    assert_eq!(by_name(&again), by_name(&manifest));
    assert_eq!((&again.sequences, &again.partitions), (&manifest.sequences, &manifest.partitions));
    let secrets = |manifest: &Manifest| -> Vec<_> {
        manifest.files.iter().filter(|file| file.path.starts_with("secrets/")).cloned().collect()
    };
    assert!(secrets(&manifest).len() >= 3 && secrets(&again) == secrets(&manifest));

    let file = target.path().join("site.toml");
    std::fs::write(&file, SITE)?;
    let mut config = config();
    config.site = Some(file);
    config.recognition.enabled = false;
    let options = Options { data: target.path().to_owned(), config, demo: false, auto: false, cameras: 0 };
    let product = Product::start(options, None, Some(password)).await?;
    let system = product.running.app.system();
    for table in ["face_template", "consent", "person", "credential"] {
        assert_eq!(count(system.pool(), table).await?, rows(&manifest, table), "{table}");
    }
    // A read whose decision was not committed at that moment is decided at the start: each once.
    system.drill_settle().await;
    let decided = count(system.pool(), "access_record").await?;
    assert_eq!(decided, count(system.pool(), "event_log where code = 'in.card_read'").await?);
    assert!(decided >= rows(&manifest, "access_record"));
    // What the start itself does comes on top.
    for table in ["event_log", "alarm", "alarm_note", "work_order", "command"] {
        assert!(count(system.pool(), table).await? >= rows(&manifest, table), "{table}");
    }
    let audit = staff::audit_verify(system.pool()).await?;
    assert!(audit.intact() && u64::try_from(audit.rows)? >= rows(&manifest, "audit") && audit.rows >= 20, "{audit:?}");
    let gallery = system.gallery().await?;
    let templates: Vec<_> = gallery.faces.into_iter().map(|face| face.template).collect();
    assert_eq!(templates, face.templates, "the faces are read with the restored key");
    let admin = product.admin().await.context("the administrator's password is the old one")?;
    let detail = admin.get(&format!("/api/alarms/{alarm}")).await?;
    assert_eq!(detail["alarm"]["acked_by"], "wang");
    assert!(detail.to_string().contains("with a ladder"), "{detail}");
    system.comment(alarm, "wang", "numbers go on after the last".into()).await?;
    drop(product.stop().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_leaves_nothing_that_a_restore_accepts() -> Result<()> {
    let product = Product::site(SITE, |config| config.recognition.enabled = false).await?;
    live_a_little(product.running.app.system()).await?;
    let backups = tempfile::tempdir()?;
    let place = backups.path().join("backups");
    // The backup begins, gets as far as this table, and waits.
    let mut lock = product.running.app.pool().begin().await?;
    sqlx::query("lock table event_log in access exclusive mode").execute(&mut *lock).await?;
    let mut child = gatehouse(&["backup", text(&place)?, "--data", text(&product.data)?])?.spawn()?;
    let begun = async {
        loop {
            let partial = std::fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path());
            let partial = partial.into_iter().find(|path| path.extension().is_some_and(|end| end == "partial"));
            if let Some(partial) = partial {
                return partial;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let partial = tokio::time::timeout(PATIENCE, begun).await.context("the backup did not begin")?;
    child.kill().await?;
    lock.rollback().await?;
    assert!(partial.is_dir() && shelf::list(&place).is_empty());
    let target = fresh_data_dir()?;
    for from in [&partial, &place] {
        let output = run(&["restore", text(from)?, "--data", text(target.path())?]).await?;
        assert!(!output.status.success(), "{}", said(&output));
    }
    assert!(!target.path().join("pg").exists() && !target.path().join("secrets").exists(), "nothing was touched");
    // The same with a name that promises more: without its manifest it is no backup.
    let renamed = place.join("20260101T000000Z");
    std::fs::rename(&partial, &renamed)?;
    assert!(backup::verify(&renamed, &Meter::default()).is_err());
    std::fs::rename(&renamed, &partial)?;

    // Stopped, the backup starts the database for the time; what the killed one left goes.
    let data = product.data.clone();
    let dir = product.stop().await;
    let output = run(&["backup", text(&place)?, "--data", text(&data)?, "--without-secrets", "--keep", "1"]).await?;
    assert!(output.status.success() && said(&output).contains("face templates cannot be read"), "{}", said(&output));
    assert!(!partial.exists());
    let output = run(&["backup", "--verify", text(&place)?]).await?;
    assert!(output.status.success() && said(&output).contains("is whole"), "{}", said(&output));
    let (whole, manifest) = backup::verify(&place, &Meter::default())?;
    assert!(!manifest.secrets && !whole.join("secrets").exists());
    assert_eq!((rows(&manifest, "alarm"), rows(&manifest, "face_template")), (1, 2));
    drop(dir);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_newer_or_foreign_schema_is_refused_and_an_older_one_is_migrated() -> Result<()> {
    let pool = gatehouse_tests::database::fresh().await;
    gatehouse_actors::store::migrate_to(&pool, 4).await?;
    sqlx::query(
        "insert into person (id, name, kind, created_at)
         values ('0190b5a0-0000-7000-8000-000000000001', 'Li\tWei \\N', 'staff', now())",
    )
    .execute(&pool)
    .await?;
    let unknown = "create table probe (at date not null) partition by range (at);
        create table probe_1 partition of probe for values from ('2026-01-01') to ('2026-02-01');
        insert into probe values ('2026-01-02'), ('2026-01-03')";
    sqlx::raw_sql(unknown).execute(&pool).await?;
    let dir = tempfile::tempdir()?;
    let order = backup::Order {
        data: dir.path().join("data"),
        shelf: dir.path().join("backups"),
        config: None,
        secrets: true,
        video: Default::default(),
        keep: 1,
    };
    let backup::Taken { path: whole, manifest, .. } =
        backup::take(&order, &pool.connect_options(), &Meter::default()).await?;
    assert_eq!((manifest.version(), rows(&manifest, "probe"), manifest.partitions.len()), (4, 2, 1));

    let forge = |change: &dyn Fn(&mut Manifest)| -> Result<()> {
        for name in ["manifest.json", "manifest.sha256"] {
            std::fs::remove_file(whole.join(name))?;
        }
        let mut forged = manifest.clone();
        change(&mut forged);
        forged.write(&whole)
    };
    let target = fresh_data_dir()?;
    let restore = async || run(&["restore", text(&whole)?, "--data", text(target.path())?]).await;
    let newest = gatehouse_actors::store::schema().last().context("a schema")?.0;
    let newer = backup::manifest::Migration { version: newest + 1, checksum: "00".into() };
    forge(&|forged| forged.schema.push(newer.clone()))?;
    let said_newer = said(&restore().await?);
    assert!(said_newer.contains(&format!("schema version {}", newest + 1)), "{said_newer}");
    forge(&|forged| forged.schema[0].checksum = "00".into())?;
    let said_foreign = said(&restore().await?);
    assert!(said_foreign.contains("another make"), "{said_foreign}");
    assert!(!target.path().join("pg").exists(), "nothing was touched");

    forge(&|_| {})?;
    let output = restore().await?;
    assert!(output.status.success(), "{}", said(&output));
    let second = dir.path().join("second");
    let output = run(&["backup", text(&second)?, "--data", text(target.path())?]).await?;
    assert!(output.status.success(), "{}", said(&output));
    let (_, again) = backup::verify(&second, &Meter::default())?;
    assert_eq!((again.version(), rows(&again, "person")), (newest, 1));

    // Into a server of one's own, where a database that holds something is left alone, or moved aside.
    let own = gatehouse_tests::database::fresh().await;
    let target = |replace| backup::restore::Target {
        data: dir.path().join("own"),
        external: Some(sqlx::postgres::PgConnectOptions::clone(&own.connect_options())),
        replace,
    };
    let meter = Meter::default();
    backup::restore(&whole, &target(false), &meter, &mut Silent).await?;
    assert_eq!(count(&own, "person").await?, 1);
    let refused = backup::restore(&whole, &target(false), &meter, &mut Silent).await.err().context("it was refused")?;
    assert!(refused.to_string().contains("--replace"), "{refused}");
    let restored = backup::restore(&whole, &target(true), &meter, &mut Silent).await?;
    assert!(restored.moved.iter().any(|moved| moved.to_string_lossy().contains("before_restore_")), "{restored:?}");
    assert_eq!(count(&own, "person").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_takes_backups_and_one_that_fails_by_itself_is_an_alarm_until_one_succeeds() -> Result<()> {
    let place = tempfile::tempdir()?;
    let thesis = place.path().join("thesis.txt");
    std::fs::write(&thesis, "not ours")?;
    let product = Product::site(SITE, |config| {
        config.recognition.enabled = false;
        config.backup.dir = Some(place.path().to_owned());
        config.backup.every_hours = 24;
    })
    .await?;
    let (app, admin) = (&product.running.app, product.admin().await?);
    app.backup().tick(app.system()).await;
    let mut live = admin.live(&["alarms"]).await?;
    let alarm = live.object("alarms", |alarm| alarm["type"] == "backup_failed" && alarm["active"] == true).await?;
    assert_eq!(alarm["priority"], 3);
    let health = admin.get("/api/health").await?["backup"].clone();
    assert!(health["last_error"].as_str().is_some_and(|error| error.contains("left alone")), "{health}");
    assert!(thesis.exists());

    std::fs::remove_file(&thesis)?;
    let begun = admin.post("/api/backup", serde_json::json!({})).await?;
    assert!(begun["running"]["by"] == "admin" || !begun["last"].is_null(), "{begun}");
    live.object("alarms", |alarm| alarm["type"] == "backup_failed" && alarm["active"] == false).await?;
    let health = admin.get("/api/backup").await?;
    let path = health["last"]["path"].as_str().context("the last backup")?.to_owned();
    assert!(health["overdue"] == false && health["running"].is_null() && health["last_error"] == "", "{health}");
    backup::verify(Path::new(&path), &Meter::default())?;
    let audit = admin.get("/api/audit").await?;
    let told = |action: &str, outcome: &str| {
        let rows = audit["rows"].as_array().into_iter().flatten();
        rows.into_iter()
            .any(|row| row["action"] == action && row["outcome"].as_str().unwrap_or("").starts_with(outcome))
    };
    assert!(told("POST /api/backup", "202") && told("backup", "taken") && told("backup", "failed"), "{audit}");
    let (status, _) = admin.request(Method::PUT, "/api/backup", None).await?;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    product.stop().await;
    Ok(())
}
