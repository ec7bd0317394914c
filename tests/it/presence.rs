//! Whether devices are there, and how we know.

use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Announcement, DeviceKind, Uplink, Verb};
use gatehouse_core::device::shadow::Presence;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::recognition::Seen;
use gatehouse_tests::compound::{Compound, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_makes_a_device_offline_at_once_and_its_birth_ends_the_alarm() {
    let mut site = Compound::start().await;
    site.link("smoke-1", true).await;
    site.link("smoke-1", false).await;
    site.alarm("smoke-1", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    assert_eq!(site.system.device(id("smoke-1")).unwrap().presence, Presence::Offline);
    let refused = site.system.command(site.request("door-1", gatehouse_core::device::link::Verb::Lock, 1)).await;
    assert!(refused.is_ok(), "others are not touched");
    site.link("smoke-1", true).await;
    site.settle().await;
    site.advance(2);
    site.alarm("smoke-1", AlarmKind::DeviceOffline, |alarm| !alarm.active).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_device_is_stale_then_offline_also_when_it_died_while_we_were_away() {
    let mut site = Compound::start().await;
    let is = |presence| {
        move |system: &gatehouse_actors::System| {
            system.device(id("temp-1")).filter(|d| d.presence == presence).map(|_| ())
        }
    };
    site.report("temp-1", &[("temperature", Value::Number(20.0))]).await;
    site.until("online", is(Presence::Online)).await;
    site.advance(50);
    site.report("temp-1", &[("temperature", Value::Number(21.0))]).await;
    site.settle().await;
    site.until("the newer value", |system| {
        let device = system.device(id("temp-1"))?;
        (device.points["temperature"].value == Value::Number(21.0)).then_some(())
    })
    .await;
    site.advance(50);
    site.settle().await;
    assert_eq!(site.system.device(id("temp-1")).unwrap().presence, Presence::Online, "heard 50 s ago");
    site.advance(11);
    site.until("stale", is(Presence::Stale)).await;
    site.settle().await;
    site.cut_and_restart().await;
    site.advance(121);
    site.until("offline", is(Presence::Offline)).await;
    site.alarm("temp-1", AlarmKind::DeviceOffline, |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_stream_is_an_alarm_and_its_return_ends_it() {
    let mut site = Compound::start().await;
    site.seen("cam-1", Seen::Stream { live: true, reason: String::new() }).await;
    site.state("cam-1", "live").await;
    site.seen("cam-1", Seen::Stream { live: false, reason: "unauthorised".into() }).await;
    site.state("cam-1", "unauthorised").await;
    site.settle().await;
    assert!(site.system.open_alarms().is_empty(), "a hiccup is no alarm");
    site.advance(4);
    site.alarm("cam-1", AlarmKind::StreamStalled, |alarm| alarm.active && alarm.title["state"] == "unauthorised").await;
    site.seen("cam-1", Seen::Stream { live: true, reason: String::new() }).await;
    site.settle().await;
    site.advance(3);
    site.alarm("cam-1", AlarmKind::StreamStalled, |alarm| !alarm.active).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_introduces_itself_is_a_device_also_after_a_restart() {
    let mut site = Compound::start().await;
    let announcement = Announcement {
        key: "ha.kitchen-smoke".parse().unwrap(),
        name: "Kitchen smoke".into(),
        kind: DeviceKind::Sensor,
        class: "smoke".into(),
        point: "smoke".into(),
        unit: String::new(),
        area: Some("Yard".into()),
        model: "ACME S1".into(),
    };
    site.say(Uplink::Announce(announcement.clone())).await.unwrap();
    site.say(Uplink::Announce(announcement)).await.unwrap();
    site.flag("ha.kitchen-smoke", "smoke", true).await;
    let alarm = site.alarm("ha.kitchen-smoke", AlarmKind::Smoke, |_| true).await;
    assert!(!alarm.cameras.is_empty(), "it is seen by the cameras of its place");
    site.settle().await;
    site.cut_and_restart().await;
    let device = site.system.device(id("ha.kitchen-smoke")).unwrap();
    assert!(device.announced && device.state == "active" && device.model == "ACME S1");
    site.link("ha.kitchen-smoke", false).await;
    site.alarm("ha.kitchen-smoke", AlarmKind::DeviceOffline, |_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_and_goes_is_one_alarm_until_it_is_stable() {
    let mut site = Compound::start().await;
    for _ in 0..6 {
        site.link("smoke-1", true).await;
        site.advance(2);
        site.link("smoke-1", false).await;
        site.advance(2);
    }
    site.alarm("smoke-1", AlarmKind::DeviceFlapping, |alarm| alarm.active && alarm.occurrences == 1).await;
    site.alarm("smoke-1", AlarmKind::DeviceOffline, |alarm| !alarm.active).await;
    assert_eq!(site.system.device(id("smoke-1")).unwrap().presence, Presence::Flapping);
    site.settle().await;
    assert!(site.count("select sum(occurrences)::bigint from alarm where kind = 'device_offline'").await <= 2);
    site.link("smoke-1", true).await;
    site.settle().await;
    // A restart neither ends it early nor forgets it.
    site.cut_and_restart().await;
    site.advance(57);
    site.settle().await;
    assert_eq!(site.system.device(id("smoke-1")).unwrap().presence, Presence::Flapping);
    site.link("smoke-1", true).await;
    site.advance(2);
    site.alarm("smoke-1", AlarmKind::DeviceFlapping, |alarm| !alarm.active).await;
    site.until("online", |system| {
        system.device(id("smoke-1")).filter(|device| device.presence == Presence::Online).map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_written_by_no_report() {
    let mut site = Compound::start().await;
    site.link("smoke-1", true).await;
    site.link("smoke-1", false).await;
    site.alarm("smoke-1", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    let is = |presence| {
        move |system: &gatehouse_actors::System| {
            system.device(id("smoke-1")).filter(|device| device.presence == presence).map(|_| ())
        }
    };
    // It is heard, so it is online; what it says about itself is a point like any other.
    site.word("smoke-1", "presence", "flapping").await;
    site.until("online", is(Presence::Online)).await;
    site.report("smoke-1", &[("presence", Value::Text("offline".into())), ("link", Value::Text("offline".into()))])
        .await;
    site.settle().await;
    assert_eq!(site.system.device(id("smoke-1")).unwrap().presence, Presence::Online);
    for topic in ["gh/smoke-1/presence", "gh/smoke-1/set", "gh/smoke-1/state/presence"] {
        assert!(gatehouse_adapters::mqtt::codec::decode(topic, b"online").is_err(), "{topic}");
    }
    let set = Verb::Set { point: "presence".into(), value: Value::Text("offline".into()) };
    let command = site.system.command(site.request("smoke-1", set, 1)).await.unwrap();
    site.command_is(command.id, "sent").await;
    assert_eq!(site.system.device(id("smoke-1")).unwrap().presence, Presence::Online);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_gateway_is_one_alarm_that_says_who_is_behind_it() {
    let mut site = Compound::start().await;
    site.link("gateway", true).await;
    site.flag("leak-1", "leak", false).await;
    site.flag("leak-2", "leak", false).await;
    // One of them is missed a moment before its gateway is.
    site.link("leak-1", false).await;
    site.settle().await;
    site.link("gateway", false).await;
    let lost = site.alarm("gateway", AlarmKind::GatewayLost, |alarm| alarm.active).await;
    assert_eq!(lost.title["behind"], "2");
    assert!(lost.title["devices"].contains("leak-1") && lost.title["devices"].contains("leak-2"), "{:?}", lost.title);
    site.until("behind it", |system| {
        system.device(id("leak-2")).filter(|device| device.presence == Presence::Offline).map(|_| ())
    })
    .await;
    for _ in 0..3 {
        site.advance(60);
        site.settle().await;
    }
    assert_eq!(site.count("select count(*) from alarm where kind = 'device_offline'").await, 0);

    site.link("gateway", true).await;
    site.flag("leak-1", "leak", true).await;
    site.flag("leak-1", "leak", false).await;
    site.until("awaited", |system| {
        system.device(id("leak-2")).filter(|device| device.presence == Presence::Unknown).map(|_| ())
    })
    .await;
    site.settle().await;
    site.advance(3);
    site.alarm("gateway", AlarmKind::GatewayLost, |alarm| !alarm.active).await;
    site.flag("leak-1", "leak", true).await;
    site.settle().await;
    site.advance(38);
    site.settle().await;
    site.advance(3);
    site.until("still silent", |system| {
        system.device(id("leak-2")).filter(|device| device.presence == Presence::Offline).map(|_| ())
    })
    .await;
    site.settle().await;
    site.advance(3);
    site.alarm("leak-2", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    assert!(
        site.system
            .open_alarms()
            .iter()
            .all(|alarm| alarm.device != Some(id("leak-1")) || alarm.kind != AlarmKind::DeviceOffline)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_safety_device_that_falls_silent_is_an_alarm_within_ten_seconds() {
    let mut site = Compound::start().await;
    site.flag("beam", "armed", true).await;
    site.settle().await;
    // Heartbeats keep it.
    for _ in 0..5 {
        site.advance(2);
        site.report("beam", &[]).await;
        site.settle().await;
    }
    assert_eq!(site.system.device(id("beam")).unwrap().presence, Presence::Online);
    site.flag("beam", "armed", false).await;
    site.settle().await;
    let last = site.now();
    site.advance(4);
    site.settle().await;
    site.advance(4);
    let alarm = site.alarm("beam", AlarmKind::DeviceOffline, |alarm| alarm.active).await;
    assert!(alarm.raised_at.duration_since(last) <= jiff::SignedDuration::from_secs(10));
}
