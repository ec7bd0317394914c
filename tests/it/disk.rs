//! A disk that fills up: told before it fails, and what matters least stops first.
//!
//! The free space is a number that the test sets; the recorder's own part is tested beside it, the spill on a full disk in `spill`.

use gatehouse_actors::FreeSpace;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::disk::Room;
use gatehouse_tests::compound::{Compound, Ground};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_recording_then_the_history_never_doors_and_alarms() {
    let free = Arc::new(AtomicU64::new(100_000_000_000));
    let look: FreeSpace = Arc::new({
        let free = free.clone();
        move || Ok(free.load(Ordering::Relaxed))
    });
    let ground = Ground { free: Some(look), ..Ground::default() };
    let mut site = Compound::start_on(gatehouse_tests::database::fresh().await, ground).await;
    let zone = |zone: &'static str, active: bool| {
        move |system: &gatehouse_actors::System| {
            let open = system.open_alarms();
            open.into_iter().find(|a| a.kind == AlarmKind::DiskFull && a.zone == zone && a.active == active)
        }
    };
    let temperature = |n: f64| [("temperature", Value::Number(n))];
    site.report("temp-1", &temperature(20.0)).await;

    free.store(400_000_000, Ordering::Relaxed);
    let alarm = site.until("recording stops", zone("recording", true)).await;
    assert_eq!((alarm.priority, alarm.title["free_mb"].as_str()), (2, "400"));
    assert_eq!(*site.system.room().borrow(), Room::Low);
    free.store(100_000_000, Ordering::Relaxed);
    site.until("the history stops", zone("history", true)).await;
    let dropped = |site: &Compound| site.system.ingress()[1].refused;
    let before = dropped(&site);
    site.report("temp-1", &temperature(21.0)).await;
    assert_eq!(dropped(&site), before + 1);
    // Alarms and doors do not care.
    site.flag("smoke-1", "smoke", true).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| alarm.active).await;
    site.card("door-1", "1001", 1).await;
    site.told("door-1").await;
    // A limit is told although the reading is not kept.
    site.report("temp-1", &temperature(55.0)).await;
    site.alarm("temp-1", AlarmKind::Limit, |alarm| alarm.active).await;

    free.store(600_000_000, Ordering::Relaxed);
    site.until("the history goes on", zone("history", false)).await;
    assert_eq!(*site.system.room().borrow(), Room::Low, "recording waits for more room");
    free.store(100_000_000_000, Ordering::Relaxed);
    site.until("recording goes on", zone("recording", false)).await;
    site.report("temp-1", &temperature(22.0)).await;
    assert_eq!(site.system.room().borrow().word(), "enough");
    site.settle().await;
}
