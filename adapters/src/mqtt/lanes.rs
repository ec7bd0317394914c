//! Keeps what one device says in order, and devices out of each other's way.
//!
//! ```text
//! publish ─▶ lane of its device ─▶ Intake::offer (an event waits for its commit) ─▶ PUBACK
//! ```
//! A lane exists while it has something in it. A device's event that waits for the store holds up that device only. A lane
//! holds at most 512 messages: then the oldest telemetry falls (newer is behind it); events are never dropped here, their
//! number is bounded by the broker's window of unacknowledged messages.

use super::config::{KnownDevices, MqttHealth};
use super::gate::Gate;
use crate::reconnect::Backoff;
use gatehouse_core::device::link::{Intake, Refused, Uplink};
use gatehouse_core::id::{DeviceId, DeviceKey};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::v5::Publish;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages waiting for one device.
const LANE: usize = 512;

/// A message's acknowledgement, sent when the last uplink made from it is taken.
#[derive(Debug)]
pub(super) struct Ack {
    client: AsyncClient,
    publish: Publish,
    gate: Option<Arc<Gate>>,
    withheld: AtomicBool,
}

impl Ack {
    pub(super) fn new(client: AsyncClient, publish: Publish, gate: Option<Arc<Gate>>) -> Arc<Self> {
        Arc::new(Self { client, publish, gate, withheld: AtomicBool::new(false) })
    }

    fn withhold(&self) {
        self.withheld.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.withheld.load(Ordering::Relaxed) {
            return;
        }
        if let Some(gate) = &self.gate {
            gate.taken(&self.publish.topic, &self.publish.payload);
        }
        if self.client.try_ack(&self.publish).is_err() {
            // The connection is gone, or going: the broker sends the message again on the next one.
            tracing::debug!("an MQTT message was not acknowledged: its connection is gone");
        }
    }
}

struct Item {
    uplink: Uplink,
    native: Option<DeviceKey>,
    ack: Option<Arc<Ack>>,
}

/// The lanes of all devices.
pub(super) struct Lanes {
    waiting: Mutex<HashMap<DeviceId, VecDeque<Item>>>,
    intake: Arc<dyn Intake>,
    known: Arc<KnownDevices>,
    health: Arc<MqttHealth>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Lanes {
    pub(super) fn new(
        intake: Arc<dyn Intake>,
        known: Arc<KnownDevices>,
        health: Arc<MqttHealth>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), intake, known, health, tasks, stop })
    }

    /// Puts an uplink at the end of its device's lane. `native`: the key to learn when the intake takes it.
    pub(super) fn push(self: &Arc<Self>, uplink: Uplink, native: Option<DeviceKey>, ack: Option<Arc<Ack>>) {
        let device = uplink.device();
        let item = Item { uplink, native, ack };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = waiting.get_mut(&device) {
            if lane.len() >= LANE {
                match lane.iter().position(|item| matches!(item.uplink, Uplink::Report { .. })) {
                    Some(oldest) => {
                        lane.remove(oldest);
                        self.health.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                    // Only unacknowledged QoS 0 events can get here; acknowledged ones are bounded by the window.
                    None if item.ack.is_none() => {
                        self.health.dropped.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    None => {}
                }
            }
            lane.push_back(item);
            return;
        }
        waiting.insert(device, VecDeque::from([item]));
        drop(waiting);
        let lanes = Arc::clone(self);
        self.tasks.spawn(async move { lanes.drain(device).await });
    }

    async fn drain(&self, device: DeviceId) {
        while let Some(item) = self.next(device) {
            if !self.offer(&item).await {
                if let Some(ack) = &item.ack {
                    ack.withhold();
                }
                let left = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
                left.iter().flatten().filter_map(|item| item.ack.as_deref()).for_each(Ack::withhold);
                return;
            }
        }
    }

    fn next(&self, device: DeviceId) -> Option<Item> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let item = waiting.get_mut(&device).and_then(VecDeque::pop_front);
        if item.is_none() {
            waiting.remove(&device);
        }
        item
    }

    /// Offers until taken; `false` when Gatehouse is stopping and the device must send it again.
    async fn offer(&self, item: &Item) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.intake.offer(item.uplink.clone()).await {
                Ok(()) => {
                    if let Some(key) = &item.native {
                        self.known.add(key.clone());
                    }
                    return true;
                }
                Err(Refused::UnknownDevice(_)) => {
                    self.health.unknown.fetch_add(1, Ordering::Relaxed);
                    self.intake.undecodable("mqtt", "device is not of this site");
                    return true;
                }
                Err(Refused::Full) if matches!(item.uplink, Uplink::Report { .. }) => {
                    self.health.dropped.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(Refused::Full | Refused::StoreAway) => {
                    // MQTT sends again only on a new connection: until then the message waits here, unacknowledged.
                    tokio::select! {
                        () = self.stop.cancelled() => return false,
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
                Err(Refused::Stopping) => return false,
            }
        }
    }
}
