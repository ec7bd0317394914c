//! Whether devices are there, and how we know.

use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Announcement, DeviceKind, Uplink};
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
