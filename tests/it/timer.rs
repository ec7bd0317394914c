//! Timers are functions of what is stored: each fires exactly once, whether its moment falls into a downtime or after it, and
//! whatever the wall clock does.

use gatehouse_actors::{AccessQuery, CredentialInput, WorkOrderInput};
use gatehouse_core::access::CredentialKind;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::presence::Presence;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::PersonId;
use gatehouse_core::recognition::Seen;
use gatehouse_tests::compound::{Compound, id};
use jiff::SignedDuration;

/// Sets every kind of timer off.
async fn wound() -> Compound {
    let mut site = Compound::start().await;
    // Flood: ten raises, to end below five in ten minutes.
    for _ in 0..10 {
        site.flag("smoke-1", "smoke", true).await;
        site.flag("smoke-1", "smoke", false).await;
    }
    // Shelved for an hour.
    site.word("door-2", "contact", "open").await;
    let forced = site.alarm("door-2", AlarmKind::DoorForced, |alarm| alarm.active).await;
    site.system.shelve(forced.id, "wang", 60, "being repaired".into()).await.unwrap();
    // Off-delay, two seconds.
    site.link("fence", true).await;
    site.link("fence", false).await;
    site.alarm("fence", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    site.link("fence", true).await;
    // On-delay, three seconds.
    site.seen("cam-1", Seen::Stream { live: true, reason: String::new() }).await;
    site.seen("cam-1", Seen::Stream { live: false, reason: "refused".into() }).await;
    // Presence, a minute and two.
    site.report("temp-1", &[("temperature", Value::Number(20.0))]).await;
    // A command, five seconds.
    let lock = site.system.command(site.request("door-1", Verb::Lock, 1)).await.unwrap();
    site.command_is(lock.id, "sent").await;
    // A work order: a quarter of an hour to take it up, an hour to do it.
    let input = WorkOrderInput { title: "Lamp".into(), device: None, place: None, priority: 1 };
    site.system.work_order_create(input, "wang").await.unwrap();
    let input = WorkOrderInput { title: "Lamp".into(), device: None, place: None, priority: 2 };
    site.system.work_order_create(input, "wang").await.unwrap();
    // A card, half a minute.
    let input = CredentialInput {
        kind: CredentialKind::Card,
        value: "3003".into(),
        valid_from: None,
        valid_until: Some(site.now() + SignedDuration::from_secs(30)),
    };
    site.system.credential_add(PersonId::from_key("li"), input, "wang").await.unwrap();
    site.settle().await;
    site.all_told();
    site
}

async fn fired_once(site: &mut Compound) {
    site.alarm("cam-1", AlarmKind::StreamStalled, |alarm| alarm.active).await;
    site.alarm("fence", AlarmKind::DeviceOffline, |alarm| !alarm.active).await;
    site.alarm("door-2", AlarmKind::DoorForced, |alarm| alarm.shelved_until.is_none()).await;
    site.alarm("door-1", AlarmKind::CommandFailed, |alarm| alarm.zone == "lock").await;
    site.alarm("temp-1", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    site.settle().await;
    for (what, sql) in [
        (
            "on-delay",
            "select count(*) from alarm_note n join alarm a on a.id = n.alarm where n.code = 'raised' and a.kind = 'stream_stalled'",
        ),
        (
            "off-delay",
            "select count(*) from alarm_note n join alarm a on a.id = n.alarm where n.code = 'returned' and a.kind = 'device_offline'",
        ),
        (
            "shelf",
            "select count(*) from alarm_note n join alarm a on a.id = n.alarm where n.code = 'unshelved' and a.kind = 'door_forced'",
        ),
        ("flood", "select count(*) from event_log where code = 'alarm.flood' and body ->> 'active' = 'false'"),
        ("command", "select count(*) from event_log where code = 'command.state' and body ->> 'state' = 'timed_out'"),
        (
            "response",
            "select count(*) from event_log where code = 'work_order.overdue' and body ->> 'what' = 'response' and body ->> 'number' = (select min(number)::text from work_order where kind = 'manual')",
        ),
        (
            "resolution",
            "select count(*) from event_log where code = 'work_order.overdue' and body ->> 'what' = 'resolution' and body ->> 'number' = (select min(number)::text from work_order where kind = 'manual')",
        ),
        ("card", "select count(*) from event_log where code = 'credential.expired'"),
        (
            "presence",
            "select count(*) from event_log where code = 'device.presence' and body ->> 'to' = 'offline' and by = 'temp-1'",
        ),
    ] {
        site.counts(what, sql, 1).await;
    }
    let orders = site.system.work_orders(true, 50).await.unwrap();
    let second = orders.iter().filter(|order| order.kind == "manual").max_by_key(|order| order.number).unwrap();
    assert!(second.late_response_at.is_some() && second.overdue_at.is_none(), "one hour of four");
    site.card("door-3", "3003", 77).await;
    site.settle().await;
    let records = site.system.access_records(AccessQuery { limit: 1, ..Default::default() }).await.unwrap();
    assert_eq!((records[0].granted, records[0].reason.as_str()), (false, "CredentialExpired"));
    assert!(site.all_told().iter().all(|downlink| downlink.device != id("door-3")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_whose_moment_falls_into_a_downtime_fires_once_after_it() {
    let mut site = wound().await;
    site.system.drill_power_cut().await;
    site.advance(4_000);
    site.restart().await;
    site.settle().await;
    // Nobody listened while we were away: silence counts from the start.
    assert_ne!(site.system.device(id("temp-1")).unwrap().presence, Presence::Offline);
    site.advance(121);
    fired_once(&mut site).await;
    site.cut_and_restart().await;
    fired_once(&mut site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_whose_moment_comes_after_a_restart_fires_once() {
    let mut site = wound().await;
    site.cut_and_restart().await;
    site.settle().await;
    site.advance(4_000);
    fired_once(&mut site).await;
    site.cut_and_restart().await;
    fired_once(&mut site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_an_hour_takes_no_device_away_replays_nothing_and_holds_nothing_up() {
    let mut site = wound().await;
    let opened = site.system.command(site.request("door-3", Verb::Unlock { for_ms: 5_000 }, 3)).await.unwrap();
    site.command_is(opened.id, "sent").await;
    site.settle().await;
    let before = site.count("select count(*) from event_log where code like 'device.%' or code like '%overdue'").await;
    site.advance(-3_600);
    site.settle().await;
    assert_eq!(site.system.device(id("temp-1")).unwrap().presence, Presence::Online);
    let after = site.count("select count(*) from event_log where code like 'device.%' or code like '%overdue'").await;
    assert_eq!(after, before, "going back makes nothing due");
    // What waits seconds does not wait an hour longer.
    site.advance(6);
    site.alarm("cam-1", AlarmKind::StreamStalled, |alarm| alarm.active).await;
    site.alarm("door-1", AlarmKind::CommandFailed, |alarm| alarm.zone == "lock").await;
    site.advance(60);
    site.until("stale", |system| system.device(id("temp-1")).filter(|d| d.presence == Presence::Stale).map(|_| ()))
        .await;
    let again = site.system.command(site.request("door-3", Verb::Unlock { for_ms: 5_000 }, 4)).await;
    assert!(again.is_ok(), "a door opened an hour ahead was not opened a moment ago: {again:?}");
    assert_eq!(
        site.count("select count(*) from event_log where code = 'credential.expired'").await,
        0,
        "its hour comes again"
    );
    site.advance(4_000);
    site.settle().await;
    site.advance(4_000);
    site.settle().await;
    for (what, sql) in [
        ("card", "select count(*) from event_log where code = 'credential.expired'"),
        (
            "presence",
            "select count(*) from event_log where code = 'device.presence' and body ->> 'to' = 'offline' and by = 'temp-1'",
        ),
        (
            "lock",
            "select count(*) from event_log where code = 'command.state' and body ->> 'state' = 'timed_out' and body ->> 'verb' = 'lock'",
        ),
        (
            "order",
            "select count(*) from event_log where code = 'work_order.overdue' and body ->> 'what' = 'resolution' and body ->> 'number' = (select min(number)::text from work_order where kind = 'manual')",
        ),
    ] {
        site.counts(what, sql, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_forward_an_hour_fires_what_is_due_once_and_devices_come_back() {
    let mut site = wound().await;
    site.advance(3_600);
    site.until("silent", |system| {
        system.device(id("temp-1")).filter(|device| device.presence == Presence::Offline).map(|_| ())
    })
    .await;
    site.settle().await;
    site.advance(3);
    site.alarm("temp-1", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    site.report("temp-1", &[("temperature", Value::Number(20.5))]).await;
    site.settle().await;
    site.advance(3);
    site.alarm("temp-1", AlarmKind::DeviceOffline, |alarm| !alarm.active).await;
    site.counts("card", "select count(*) from event_log where code = 'credential.expired'", 1).await;
}
