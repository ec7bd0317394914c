//! Retransmissions, strangers, parts that fail.

use gatehouse_actors::testkit::Part;
use gatehouse_actors::{EventQuery, Policy, staff};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{PresenceCause, Refused, Uplink};
use gatehouse_tests::compound::{Compound, Ground, id};
use gatehouse_tests::database::take_away;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_read_sent_twice_counts_once_also_over_a_restart() {
    let mut site = Compound::start().await;
    let at = Some(site.now());
    let read = |seq, observed_at| Uplink::CardRead {
        device: id("door-1"),
        seq: Some(seq),
        observed_at,
        card: "1001".into(),
        pin: None,
    };
    site.say(read(7, at)).await.unwrap();
    site.say(read(7, at)).await.unwrap();
    site.say(read(8, None)).await.unwrap();
    site.cut_and_restart().await;
    site.say(read(7, at)).await.unwrap();
    site.say(read(8, None)).await.unwrap();
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 2);
    // A reader without a clock counts from 1 again after its own restart: minutes later the same number is a new read.
    site.advance(600);
    site.say(read(8, None)).await.unwrap();
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_and_counted() {
    let site = Compound::start().await;
    let stranger = Uplink::Presence { device: id("nobody"), online: true, cause: PresenceCause::Birth };
    assert_eq!(site.say(stranger).await, Err(Refused::UnknownDevice(id("nobody"))));
    site.system.intake().undecodable("mqtt", "not JSON");
    let health = site.system.ingress();
    assert_eq!(health[0].refused, 1);
    let mqtt = health.iter().find(|source| source.source == "mqtt").unwrap();
    assert_eq!((mqtt.undecodable, mqtt.last_error.as_str()), (1, "not JSON"));
    site.system.stop().await;
    let late = Uplink::Presence { device: id("door-1"), online: true, cause: PresenceCause::Birth };
    assert_eq!(site.say(late).await, Err(Refused::Stopping));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_again_and_again_is_quarantined_with_an_alarm_and_the_rest_goes_on() {
    let policy = Policy {
        intensity: 3,
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(2),
        ..Policy::default()
    };
    let mut site = Compound::start_with(policy).await;
    for _ in 0..4 {
        site.settle().await;
        site.system.drill_panic(Part::Device(id("door-2")));
        let failures =
            site.count("select count(*) from event_log where code in ('actor.restarted', 'actor.quarantined')").await;
        site.until("the failure is told", |system| {
            let health = system.actors().into_iter().find(|actor| actor.key == "door-2")?;
            (i64::from(health.restarts) > failures || health.state == "quarantined").then_some(())
        })
        .await;
    }
    let alarm = site.alarm("door-2", AlarmKind::ActorQuarantined, |_| true).await;
    assert_eq!(alarm.title["actor"], "door-2");
    site.card("door-1", "1001", 1).await;
    site.told("door-1").await;
    let events = site.system.events(EventQuery { limit: 100, code: "actor.quarantined".into(), ..Default::default() });
    assert_eq!(events.await.unwrap().len(), 1);

    // What came meanwhile waits in the log for the engineer who starts it again.
    site.card("door-2", "1001", 1).await;
    assert_eq!(site.system.actor_restart("door-1").await.unwrap_err().code(), "not_quarantined");
    assert_eq!(site.system.actor_restart("door-9").await.unwrap_err().code(), "not_found");
    site.system.actor_restart("door-2").await.unwrap();
    site.told("door-2").await;
    site.alarm("door-2", AlarmKind::ActorQuarantined, |alarm| !alarm.active).await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 2);
    let health = site.system.actors().into_iter().find(|actor| actor.key == "door-2").unwrap();
    assert_eq!((health.state.as_str(), health.reason.is_empty()), ("running", false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_shows_an_edit_a_deletion_and_a_swap() {
    let site = Compound::start().await;
    let entry = |n: i32| staff::AuditEntry {
        at: site.now(),
        by: "wang".into(),
        action: "POST /api/alarms".into(),
        target: n.to_string(),
        outcome: "200".into(),
        address: "127.0.0.1".into(),
    };
    for n in 0..20 {
        staff::audit(&site.pool, entry(n)).await.unwrap();
    }
    assert_eq!(staff::audit_verify(&site.pool).await.unwrap(), staff::AuditCheck { rows: 20, broken_at: None });
    for (harm, heal, at) in [
        ("update audit set target = 'x' where id = 5", "update audit set target = '4' where id = 5", 5),
        ("update audit set id = 1000 where id = 9", "update audit set id = 9 where id = 1000", 10),
        (
            "update audit set hash = set_byte(hash, 3, get_byte(hash, 3) # 1) where id = 12",
            "update audit set hash = set_byte(hash, 3, get_byte(hash, 3) # 1) where id = 12",
            12,
        ),
    ] {
        sqlx::query(harm).execute(&site.pool).await.unwrap();
        assert_eq!(staff::audit_verify(&site.pool).await.unwrap().broken_at, Some(at), "{harm}");
        sqlx::query(heal).execute(&site.pool).await.unwrap();
    }
    assert!(staff::audit_verify(&site.pool).await.unwrap().intact());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_that_hears_nothing_writes_nothing() {
    let mut site = Compound::start().await;
    site.flag("smoke-1", "smoke", true).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    site.settle().await;
    let events = site.count("select count(*) from event_log").await;
    // Each of these is a commit; none of them may be the cause of the next.
    for _ in 0..20 {
        site.settle().await;
    }
    assert_eq!(site.count("select count(*) from event_log").await, events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_spill_doors_go_on_while_the_database_is_away_and_acknowledgements_are_withheld() {
    let mut site = Compound::start().await;
    site.settle().await;
    let outage = take_away(&site.pool).await;
    let system = site.system.clone();
    let read =
        Uplink::CardRead { device: id("door-1"), seq: Some(1), observed_at: None, card: "1001".into(), pin: None };
    let offered = tokio::spawn(async move { system.intake().offer(read).await });
    site.told("door-1").await;
    site.until("the journal says it waits", |system| {
        system.actors().into_iter().find(|actor| actor.key == "journal" && actor.state == "waiting")
    })
    .await;
    assert!(!offered.is_finished(), "the read is not acknowledged before it is safe");
    outage.end().await;
    assert_eq!(offered.await.unwrap(), Ok(()));
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record where granted").await, 1);
    site.until("the gap is told", |system| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::StoreAway && alarm.letter == "D")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_dies_while_the_database_is_away_waits_for_it_and_is_not_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy { intensity: 1, backoff_min: Duration::from_millis(1), ..Policy::default() };
    let ground = Ground { policy, ..Ground::spilling(dir.path(), 16 << 20) };
    let mut site = Compound::start_on(gatehouse_tests::database::fresh().await, ground).await;
    site.settle().await;
    let outage = take_away(&site.pool).await;
    site.card("door-2", "1001", 1).await;
    site.until("the journal spills", |system| (system.journal().state == "spilling").then_some(())).await;
    for part in [Part::Device(id("door-1")), Part::Alarm] {
        site.system.drill_kill(part);
    }
    site.until("both wait", |system| {
        let waits = |key: &str| system.actors().into_iter().any(|actor| actor.key == key && actor.state == "waiting");
        (waits("door-1") && waits("alarm")).then_some(())
    })
    .await;
    // Taken and safe, though its door cannot decide yet.
    site.card("door-1", "1001", 2).await;
    assert!(site.system.journal().spilled > 0);
    outage.end().await;
    site.told("door-1").await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record where granted").await, 2);
    assert_eq!(site.count("select count(*) from event_log where code = 'actor.quarantined'").await, 0);
    let restarts = site.system.actors().into_iter().filter(|actor| actor.key == "door-1").map(|actor| actor.restarts);
    assert_eq!(restarts.sum::<u32>(), 1, "waiting is no restart");
    site.until("the gap is told", |system| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::StoreAway && alarm.letter == "D")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_is_an_alarm_and_changes_no_order() {
    let mut site = Compound::start().await;
    site.card("door-1", "1001", 1).await;
    site.settle().await;
    site.hand.jump(jiff::SignedDuration::from_hours(-2));
    site.card("door-1", "1001", 2).await;
    let alarm = site
        .until("the jump is told", |system| system.open_alarms().into_iter().find(|a| a.kind == AlarmKind::ClockJump))
        .await;
    assert_eq!((alarm.priority, alarm.active, alarm.title["step_s"].as_str()), (3, false, "-7200"));
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record where granted").await, 2);
    // The number is the order, and the ids follow it although the moments do not.
    let rows: Vec<(uuid::Uuid, i64)> =
        sqlx::query_as("select id, seq from event_log order by seq").fetch_all(&site.pool).await.unwrap();
    assert!(rows.is_sorted_by_key(|(id, _)| *id));
    assert!(
        site.count(
            "select count(*) from event_log a join event_log b on b.seq > a.seq and b.received_at < a.received_at"
        )
        .await
            > 0
    );
    site.cut_and_restart().await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 2);
}
