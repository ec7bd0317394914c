//! Publishes what the actors committed on the live feed's topics.

use crate::rbac::Permission;
use crate::ws::topic::{Healing, Topic, TopicFigures};
use gatehouse_actors::views::{AlarmView, CommandView, WorkOrderView};
use gatehouse_actors::{Change, System};
use gatehouse_core::id::{AlarmId, CommandId, WorkOrderId};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Device changes are gathered for this long: 20 Hz.
const BATCH: Duration = Duration::from_millis(50);

/// Changes that are looked at before what they changed is published.
const TOGETHER: usize = 256;

/// The topics and the run they count in.
pub struct Feed {
    topics: Arc<BTreeMap<&'static str, Arc<Topic>>>,
    epoch: Arc<str>,
}

impl Feed {
    /// Makes the topics and starts publishing.
    pub fn start(system: &System) -> Self {
        let devices = {
            let system = system.clone();
            state_topic("devices", Permission::DeviceRead, move || {
                let system = system.clone();
                async move { Ok(json!({ "devices": system.board().snapshot().1 })) }
            })
        };
        let alarms = {
            let system = system.clone();
            state_topic("alarms", Permission::AlarmRead, move || {
                let system = system.clone();
                async move { Ok(json!({ "alarms": system.open_alarms(), "counts": system.alarm_counts() })) }
            })
        };
        let commands = {
            let system = system.clone();
            state_topic("commands", Permission::DeviceRead, move || {
                let system = system.clone();
                async move {
                    let commands = system.commands(None, 100).await.map_err(|error| error.to_string())?;
                    Ok(json!({ "commands": commands }))
                }
            })
        };
        let work_orders = {
            let system = system.clone();
            state_topic("work_orders", Permission::WorkOrderRead, move || {
                let system = system.clone();
                async move {
                    let orders = system.work_orders(true, 500).await.map_err(|error| error.to_string())?;
                    Ok(json!({ "work_orders": orders }))
                }
            })
        };
        let events = Topic::new("events", Permission::DeviceRead, Healing::Replay, None);
        let passages = Topic::new("passages", Permission::AccessRead, Healing::Replay, None);
        let access = Topic::new("access", Permission::AccessRead, Healing::Replay, None);
        let health = Topic::new("health", Permission::HealthRead, Healing::Snapshot, None);

        tokio::spawn(publish_devices(system.clone(), devices.clone()));
        tokio::spawn(publish_changes(
            system.clone(),
            Changed {
                events: events.clone(),
                alarms: alarms.clone(),
                passages: passages.clone(),
                access: access.clone(),
                commands: commands.clone(),
                work_orders: work_orders.clone(),
            },
        ));
        let topics = [devices, alarms, commands, work_orders, events, passages, access, health];
        let topics = topics.into_iter().map(|topic| (topic.name, topic)).collect();
        Self { topics: Arc::new(topics), epoch: system.epoch().to_string().into() }
    }

    /// Every topic by name.
    pub fn topics(&self) -> Arc<BTreeMap<&'static str, Arc<Topic>>> {
        self.topics.clone()
    }

    /// How the topics do.
    pub fn figures(&self) -> Vec<TopicFigures> {
        self.topics.values().map(|topic| topic.figures()).collect()
    }

    /// The run of the program that sequence numbers count in.
    pub fn epoch(&self) -> Arc<str> {
        self.epoch.clone()
    }
}

fn state_topic<F, Fut>(name: &'static str, permission: Permission, build: F) -> Arc<Topic>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<serde_json::Value, String>> + Send + 'static,
{
    Topic::new(name, permission, Healing::Snapshot, Some(Box::new(move || Box::pin(build()))))
}

/// Sends the devices that changed since the last look, each once.
async fn publish_devices(system: System, topic: Arc<Topic>) {
    let mut watch = system.board().watch();
    let mut seen = system.board().snapshot().0;
    while watch.changed().await.is_ok() {
        tokio::time::sleep(BATCH).await;
        watch.mark_unchanged();
        let (seq, changed) = system.board().since(seen);
        seen = seq;
        topic.delta(&changed, None);
    }
}

struct Changed {
    events: Arc<Topic>,
    alarms: Arc<Topic>,
    passages: Arc<Topic>,
    access: Arc<Topic>,
    commands: Arc<Topic>,
    work_orders: Arc<Topic>,
}

/// Publishes what was committed. Objects of the state topics that wait together go out as one message, each in its newest
/// version; every event is a message of its own.
async fn publish_changes(system: System, topics: Changed) {
    let mut changes = system.changes();
    loop {
        let mut waiting = Waiting::default();
        match changes.recv().await {
            Ok(change) => waiting.take(change, &topics),
            Err(RecvError::Lagged(missed)) => waiting.missed(missed),
            Err(RecvError::Closed) => return,
        }
        for _ in 1..TOGETHER {
            match changes.try_recv() {
                Ok(change) => waiting.take(change, &topics),
                Err(TryRecvError::Lagged(missed)) => waiting.missed(missed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        waiting.publish(&system, &topics);
    }
}

/// Changed objects that are published together.
#[derive(Default)]
struct Waiting {
    alarms: BTreeMap<AlarmId, Arc<AlarmView>>,
    commands: BTreeMap<CommandId, Arc<CommandView>>,
    orders: BTreeMap<WorkOrderId, Arc<WorkOrderView>>,
    lagged: bool,
}

impl Waiting {
    fn take(&mut self, change: Change, topics: &Changed) {
        match change {
            Change::Event(event) => topics.events.event(&*event),
            Change::Passage(passage) => topics.passages.event(&*passage),
            Change::Access(record) => topics.access.event(&*record),
            Change::Alarm(alarm) => drop(self.alarms.insert(alarm.id, alarm)),
            Change::Command(command) => drop(self.commands.insert(command.id, command)),
            Change::WorkOrder(order) => drop(self.orders.insert(order.id, order)),
        }
    }

    fn missed(&mut self, missed: u64) {
        tracing::warn!(missed, "Live feed fell behind the actors");
        self.lagged = true;
    }

    fn publish(self, system: &System, topics: &Changed) {
        let Self { alarms, commands, orders, lagged } = self;
        let counts = || json!(system.alarm_counts());
        if lagged {
            // The rows are in the store; what pages lack of the state topics is sent again whole.
            topics.alarms.delta(&system.open_alarms(), Some(("counts", &counts())));
        }
        if !alarms.is_empty() {
            topics.alarms.delta(&alarms.into_values().collect::<Vec<_>>(), Some(("counts", &counts())));
        }
        topics.commands.delta(&commands.into_values().collect::<Vec<_>>(), None);
        topics.work_orders.delta(&orders.into_values().collect::<Vec<_>>(), None);
    }
}
