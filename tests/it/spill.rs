//! The database goes away under load: what happens is acknowledged, shown at once, survives kill -9, and is stored once.

use crate::kill;
use anyhow::{Context, Result};
use futures_util::future::join_all;
use gatehouse_actors::alarm::AlarmQuery;
use gatehouse_console::provision::{Cluster, ClusterOptions, Provision, Silent, testkit};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Refused, Uplink, Verb};
use gatehouse_tests::compound::{Compound, Ground, id};
use gatehouse_tests::database::{fresh, take_away};
use gatehouse_tests::product::{Client, PATIENCE, fresh_data_dir, read_secret};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ROOMY: u64 = 64 << 20;

fn read(door: &str, seq: u64, card: &str) -> Uplink {
    Uplink::CardRead { device: id(door), seq: Some(seq), observed_at: None, card: card.into(), pin: None }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("spill")).map_or(0, |entries| entries.count())
}

async fn caught_up(site: &mut Compound) {
    site.until("everything spilled is stored", |system| (system.journal().state == "running").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_database_away_all_is_acknowledged_shown_at_once_and_stored_once_when_it_is_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), ROOMY)).await;
    site.card("door-1", "1001", 0).await;
    site.settle().await;
    let outage = take_away(&site.pool).await;

    for seq in 1..=50 {
        site.say(read("door-1", seq, "1001")).await?;
    }
    site.told("door-1").await;
    site.flag("smoke-1", "smoke", true).await;
    let smoke = site.alarm("smoke-1", AlarmKind::Smoke, |alarm| alarm.active).await;
    let away = |system: &gatehouse_actors::System| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::StoreAway && alarm.active)
    };
    site.until("the database away is shown while it is away", away).await;
    // Operators go on working: acknowledged, commented, commanded, the same command asked twice entered once.
    let detail = site.system.ack(smoke.id, "wang", Some("on my way".into())).await?;
    assert_eq!((detail.alarm.acked_by.as_deref(), detail.sop.steps.is_empty()), (Some("wang"), false));
    site.system.comment(smoke.id, "wang", "burnt toast".into()).await?;
    // What is open is listed as it is, not as the database last had it.
    let open = async |q: &str| -> Result<Vec<_>> {
        let query = AlarmQuery { open: true, limit: 100, q: q.into(), ..AlarmQuery::default() };
        Ok(site.system.alarms(query).await?.alarms)
    };
    let listed = open("smoke").await?;
    assert_eq!(listed.iter().map(|alarm| (alarm.id, alarm.acked)).collect::<Vec<_>>(), [(smoke.id, true)]);
    assert!(open("").await?.len() == 2 && open("nothing like it").await?.is_empty());
    let first = site.system.command(site.request("door-2", Verb::Lock, 7)).await?;
    assert_eq!(site.system.command(site.request("door-2", Verb::Lock, 7)).await?.id, first.id);
    let health = site.system.journal();
    assert!(health.spilled > 50 && health.spilled_bytes > 0 && health.oldest_at.is_some(), "{health:?}");
    assert_eq!((health.state.as_str(), health.spill_limit), ("spilling", ROOMY));

    outage.end().await;
    caught_up(&mut site).await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record where granted").await, 51);
    assert_eq!(site.count("select count(*) from event_log where code = 'in.card_read'").await, 51);
    assert_eq!(site.count("select count(*) from alarm where kind = 'smoke' and acked_by = 'wang'").await, 1);
    let note = "select count(*) from alarm_note where code in ('acknowledged', 'commented') and by = 'wang'";
    assert_eq!(site.count(note).await, 2);
    assert_eq!(
        site.count("select count(*) from command where device <> all(select device from access_record)").await,
        1
    );
    site.until("the alarm ends", |system| away(system).is_none().then_some(())).await;
    assert_eq!((site.system.journal().spilled, files(dir.path())), (0, 0), "nothing is left on the disk");
    // And it goes on as before.
    site.cut_and_restart().await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 51);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_while_spilled_or_in_the_middle_of_the_drain_loses_and_doubles_nothing() -> Result<()> {
    const READS: u64 = 1_500;
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), ROOMY)).await;
    site.settle().await;
    let mut seq = 0;
    let mut in_the_middle = 0;
    for round in 0..4_u64 {
        let outage = take_away(&site.pool).await;
        let reads: Vec<_> = (seq..seq + READS).map(|seq| read("door-1", seq, "1001")).collect();
        for some in reads.chunks(250) {
            for said in join_all(some.iter().map(|read| site.say(read.clone()))).await {
                said?;
            }
        }
        seq += READS;
        outage.end().await;
        if round % 2 == 1 {
            // Cut once the database has a part of it.
            site.until("the drain runs", |system| {
                matches!(system.journal().state.as_str(), "draining" | "running").then_some(())
            })
            .await;
            in_the_middle += u64::from(site.system.journal().spilled > 0);
        }
        site.cut_and_restart().await;
        site.settle().await;
        let expected = i64::try_from(seq)?;
        assert_eq!(site.count("select count(*) from access_record").await, expected, "round {round}");
        assert_eq!(
            site.count("select count(distinct source_key) from event_log where code = 'in.card_read'").await,
            expected
        );
        assert_eq!(site.count("select count(*) from event_log where code = 'access.granted'").await, expected);
        assert_eq!((site.system.journal().refused, files(dir.path())), (0, 0));
    }
    println!(
        "spill: {seq} reads over four power cuts, {in_the_middle} of them in the middle of a drain, 0 lost, 0 doubled"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_is_kept_aside_with_an_alarm_and_holds_up_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), ROOMY)).await;
    site.settle().await;
    sqlx::query("alter table access_record add constraint poison check (not granted)").execute(&site.pool).await?;
    let outage = take_away(&site.pool).await;
    for seq in 0..20 {
        site.say(read("door-1", seq, if seq == 7 { "1001" } else { "4711" })).await?;
    }
    outage.end().await;
    caught_up(&mut site).await;
    let refused = |system: &gatehouse_actors::System| {
        system.open_alarms().into_iter().find(|a| a.kind == AlarmKind::StoreAway && a.zone == "refused" && a.active)
    };
    site.until("the refusal is an alarm", refused).await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record where not granted").await, 19);
    assert_eq!(site.system.journal().refused, 1);
    let kept = std::fs::read_to_string(dir.path().join("spill/refused.journal"))?;
    assert!(kept.lines().count() == 1 && kept.contains("poison") && kept.contains("access.granted"), "{kept}");
    // The same while the database is there: one more, and it is known after a restart.
    site.say(read("door-2", 1, "1001")).await?;
    site.until("the second is counted", |system| (system.journal().refused == 2).then_some(())).await;
    site.cut_and_restart().await;
    assert_eq!(site.system.journal().refused, 2);
    site.until("the alarm stands", refused).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_bound_the_acknowledgement_is_withheld_until_the_database_is_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), 30_000)).await;
    site.settle().await;
    let outage = take_away(&site.pool).await;
    let system = site.system.clone();
    let said = tokio::spawn(async move {
        for seq in 0.. {
            let offered = system.intake().offer(read("door-1", seq, "1001")).await;
            if offered.is_err() || system.journal().state == "running" {
                return (seq, offered);
            }
        }
        (0, Ok(()))
    });
    site.until("it is full", |system| (system.journal().state == "waiting").then_some(())).await;
    assert!(site.system.journal().spilled_bytes <= 30_000);
    assert!(!said.is_finished(), "what is not safe is not acknowledged");
    outage.end().await;
    let (last, offered) = said.await?;
    assert!(last > 0 && matches!(offered, Ok(()) | Err(Refused::StoreAway)), "{offered:?}");
    caught_up(&mut site).await;
    site.settle().await;
    assert!(site.count("select count(*) from access_record").await >= i64::try_from(last)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spill_that_cannot_be_written_withholds_too() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), ROOMY)).await;
    site.settle().await;
    // The directory is gone from under it, as a disk may be.
    std::fs::remove_dir_all(dir.path().join("spill"))?;
    let outage = take_away(&site.pool).await;
    let system = site.system.clone();
    let offered = tokio::spawn(async move { system.intake().offer(read("door-1", 1, "1001")).await });
    site.told("door-1").await;
    site.until("it waits", |system| (system.journal().state == "waiting").then_some(())).await;
    assert!(!offered.is_finished());
    outage.end().await;
    offered.await??;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_to_write_for_want_of_room_goes_the_same_way() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), ROOMY)).await;
    site.settle().await;
    // As PostgreSQL says it when it cannot extend a file: SQLSTATE 53100.
    for sql in [
        "create function full_disk() returns trigger language plpgsql as
         $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$",
        "create trigger full_disk before insert on event_log execute function full_disk()",
    ] {
        sqlx::query(sql).execute(&site.pool).await?;
    }
    site.say(read("door-1", 1, "1001")).await?;
    site.until("it spills", |system| (system.journal().state == "spilling").then_some(())).await;
    assert_eq!(site.count("select count(*) from access_record").await, 0);
    sqlx::query("drop trigger full_disk on event_log").execute(&site.pool).await?;
    caught_up(&mut site).await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 1);
    assert_eq!(site.system.journal().refused, 0);
    Ok(())
}

/// Asks until there is an answer, for so long.
async fn watch<T>(
    patience: Duration,
    ask: impl AsyncFn() -> Result<Option<T>, sqlx::Error>,
) -> Result<Option<T>, sqlx::Error> {
    let until = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < until {
        let answer = ask().await?;
        if answer.is_some() {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_given_up_in_the_middle_of_its_rows_leaves_nothing_behind_on_its_connection() -> Result<()> {
    const READS: u64 = 100;
    let dir = tempfile::tempdir()?;
    let mut site = Compound::start_on(fresh().await, Ground::spilling(dir.path(), ROOMY)).await;
    site.settle().await;
    // A disk that stalls: many rows take longer than an answer is waited for.
    for sql in [
        "create function stalls() returns trigger language plpgsql as $$ begin
           if (select count(*) from fresh) >= 32 then perform pg_sleep(6); end if; return null; end $$",
        "create trigger stalls after insert on event_log referencing new table as fresh
         for each statement execute function stalls()",
    ] {
        sqlx::query(sql).execute(&site.pool).await?;
    }
    // What that connection answers later is the answer to what was given up: nobody may ask it anything more.
    let copying = "select pid from pg_stat_activity
                   where datname = current_database() and state = 'active' and query ilike 'copy event_log %'";
    let copying = async || sqlx::query_scalar::<_, i32>(copying).fetch_optional(&site.pool).await;
    let said = join_all((1..=READS).map(|seq| site.say(read("door-1", seq, "1001"))));
    let (said, backend) = tokio::join!(said, watch(PATIENCE, copying));
    for taken in said {
        taken?;
    }
    let backend = backend?.context("rows are copied")?;
    site.until("it spills", |system| (system.journal().spilled > 0).then_some(())).await;
    let state = async || {
        let state = sqlx::query_scalar::<_, String>("select state from pg_stat_activity where pid = $1");
        state.bind(backend).fetch_optional(&site.pool).await
    };
    let stalls = async || Ok((state().await?.as_deref() != Some("active")).then_some(()));
    watch(PATIENCE, stalls).await?.context("the stall ends")?;
    let gone = async || Ok(state().await?.is_none().then_some(()));
    watch(Duration::from_secs(3), gone).await?.context("its connection is closed")?;
    sqlx::query("drop trigger stalls on event_log").execute(&site.pool).await?;
    caught_up(&mut site).await;
    for round in 1..=3 {
        for taken in join_all((1..=READS).map(|seq| site.say(read("door-1", round * READS + seq, "1001")))).await {
            taken?;
        }
        site.settle().await;
        let wanted = i64::try_from((round + 1) * READS)?;
        assert_eq!(site.count("select count(*) from event_log where code = 'in.card_read'").await, wanted);
        assert_eq!(site.count("select count(*) from access_record").await, wanted);
    }
    assert_eq!(site.system.journal().refused, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_under_load_and_started_again_has_every_acknowledged_read_once() -> Result<()> {
    let home = tempfile::tempdir()?;
    let dir = tempfile::tempdir()?;
    let programs = tokio::task::block_in_place(|| Provision::new(testkit::data_dir()).ensure_postgres(&mut Silent))?;
    let options = || ClusterOptions { durable: false, ..ClusterOptions::default() };
    let cluster = Cluster::start(&programs, home.path(), options()).await?;
    cluster.create_database("load").await?;
    let pool = PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(5));
    let pool = pool.connect_with(cluster.options("load")).await?;
    let mut site = Compound::start_on(pool, Ground::spilling(dir.path(), ROOMY)).await;
    site.settle().await;

    let acknowledged = AtomicU64::new(0);
    let stop = tokio_util::sync::CancellationToken::new();
    let load = async {
        let mut seq = 0;
        while !stop.is_cancelled() {
            let some: Vec<_> = (seq..seq + 20).map(|seq| read("door-1", seq, "1001")).collect();
            seq += 20;
            for said in join_all(some.into_iter().map(|read| site.say(read))).await {
                acknowledged.fetch_add(u64::from(said.is_ok()), Ordering::Relaxed);
            }
        }
        seq
    };
    let story = async {
        let at_least = async |n: u64| {
            while acknowledged.load(Ordering::Relaxed) < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        at_least(100).await;
        cluster.stop().await?;
        drop(cluster);
        let during = acknowledged.load(Ordering::Relaxed);
        at_least(during + 400).await;
        let again = Cluster::start(&programs, home.path(), options()).await?;
        at_least(during + 600).await;
        stop.cancel();
        anyhow::Ok(again)
    };
    let (said, again) = tokio::join!(load, story);
    let again = again?;
    caught_up(&mut site).await;
    site.settle().await;
    let acknowledged = acknowledged.into_inner();
    let (reads, records) = (
        site.count("select count(*) from event_log where code = 'in.card_read'").await,
        site.count("select count(*) from access_record").await,
    );
    println!(
        "spill: {said} said, {acknowledged} acknowledged over a stop of the server, {reads} stored, {records} decided"
    );
    assert_eq!(acknowledged, said, "none was refused");
    assert_eq!((reads, records), (i64::try_from(said)?, i64::try_from(said)?));
    site.system.stop().await;
    site.pool.close().await;
    again.stop().await?;
    Ok(())
}

const SITE: &str = r#"
name = "Spill"
[[places]]
key = "site"
kind = "site"
name = "Spill"
[[devices]]
key = "door"
kind = "door"
name = "Door"
place = "site"
[[levels]]
key = "all"
name = "All"
doors = ["*"]
[[people]]
key = "li"
name = "Li"
kind = "resident"
levels = ["all"]
cards = ["1001"]
"#;

/// Presents cards over MQTT, QoS 1, and waits until the broker has acknowledged them all.
async fn present(data: &Path, broker: &str, seqs: std::ops::Range<u64>) -> Result<()> {
    let (host, port) = broker.rsplit_once(':').context("the broker's address")?;
    let mut options = MqttOptions::new("door", host, port.parse()?);
    options.set_credentials("door", read_secret(data, "mqtt-door")?);
    options.set_inflight(10);
    let (client, mut events) = AsyncClient::new(options, 64);
    let mut left = seqs.clone().count();
    for seq in seqs {
        let said = json!({ "seq": seq, "type": "card_read", "card": "1001" }).to_string();
        client.publish("gh/door/event", QoS::AtLeastOnce, false, said).await?;
    }
    let acknowledged = async {
        while left > 0 {
            if let Event::Incoming(Packet::PubAck(_)) = events.poll().await? {
                left -= 1;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), acknowledged).await.context("a read was not acknowledged")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_spilled_loses_no_acknowledged_read_and_doubles_none() -> Result<()> {
    let database = testkit::database().await;
    let dir = fresh_data_dir()?;
    let data = dir.path();
    std::fs::write(data.join("database.url"), &database.url)?;
    std::fs::write(data.join("site.toml"), SITE)?;
    let config = "site = \"site.toml\"\n[database]\nurl_file = \"database.url\"\n[recognition]\nenabled = false\n";
    std::fs::write(data.join("gatehouse.toml"), config)?;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(database.options.clone()).await?;

    let mut first = kill::start(data).await?;
    let password = first.password.take().context("the first run prints the password")?;
    let admin = Client::sign_in(first.address, "admin", &password).await?;
    let broker = admin.get("/api/health").await?["broker"]["listen"].as_str().context("the broker")?.to_owned();
    let mut live = admin.live(&["alarms", "access"]).await?;
    present(data, &broker, 0..5).await?;
    let outage = take_away(&pool).await;
    present(data, &broker, 5..45).await?;
    live.object("alarms", |alarm| alarm["type"] == "store_away" && alarm["active"] == true).await?;
    let health = admin.get("/api/health").await?;
    assert_eq!(health["journal"]["state"], "spilling", "{health}");
    first.child.kill().await?;
    assert!(files(&data.join(".")) > 0, "what was acknowledged lies on the disk");
    outage.end().await;

    for _ in 0..2 {
        let mut next = kill::start(data).await?;
        let admin = Client::sign_in(next.address, "admin", &password).await?;
        let access = admin.get("/api/access?limit=1000").await?;
        let records = access["records"].as_array().or_else(|| access["access"].as_array()).context("records")?;
        assert_eq!(records.len(), 45, "each acknowledged read once");
        assert_eq!(admin.get("/api/health").await?["journal"]["state"], "running");
        next.child.kill().await?;
    }
    Ok(())
}
