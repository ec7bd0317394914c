//! Puts a machine on the wire: an MQTT client of its own, with its own account and will.

use super::hardware::{Hardware, Input, Moment, Output, Stimulus};
use crate::mqtt::codec::{self, Command};
use crate::reconnect::Backoff;
use gatehouse_core::device::link::Outcome;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{CommandId, DeviceKey};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Packet, QoS};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Stimuli waiting for one device; beyond them the world must wait.
const STIMULI: usize = 32;
/// Commands remembered, so that one heard twice is done once.
const REMEMBERED: usize = 32;

/// A device's points, by name.
pub type Points = BTreeMap<String, Value>;

enum Control {
    Act(Stimulus),
    Unplug(Duration),
}

/// A simulated device on the wire.
#[derive(Clone, Debug)]
pub struct Peer {
    key: DeviceKey,
    control: mpsc::Sender<Control>,
    points: watch::Receiver<Points>,
    linked: watch::Receiver<bool>,
}

/// How a device reaches the broker.
#[derive(Clone)]
pub struct Login {
    /// Broker.
    pub broker: SocketAddr,
    /// Its own password; the user name is the key.
    pub password: String,
    /// Zone of its wall clock.
    pub zone: TimeZone,
}

impl Peer {
    /// Starts a device; it lives until `stop`.
    pub fn start(
        key: DeviceKey,
        hardware: Box<dyn Hardware>,
        login: Login,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (control, controls) = mpsc::channel(STIMULI);
        let (points_tx, points) = watch::channel(Points::new());
        let (linked_tx, linked) = watch::channel(false);
        // Numbers go on after a restart: a number used twice would be taken for the same read.
        let seq = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0) * 1_000;
        let device = Device {
            key: key.clone(),
            hardware,
            login,
            seq,
            points: points_tx,
            linked: linked_tx,
            done: VecDeque::new(),
        };
        let task = tokio::spawn(device.run(controls, stop));
        (Self { key, control, points, linked }, task)
    }

    /// Its key.
    pub fn key(&self) -> &DeviceKey {
        &self.key
    }

    /// Lets something happen to it. False when it is gone or does not keep up.
    pub fn act(&self, stimulus: Stimulus) -> bool {
        self.control.try_send(Control::Act(stimulus)).is_ok()
    }

    /// Cuts its power for a time: the broker finds it gone and speaks its will.
    pub fn unplug(&self, time: Duration) -> bool {
        self.control.try_send(Control::Unplug(time)).is_ok()
    }

    /// One of its points.
    pub fn point(&self, name: &str) -> Option<Value> {
        self.points.borrow().get(name).cloned()
    }

    /// Its points, as they change.
    pub fn points(&self) -> watch::Receiver<Points> {
        self.points.clone()
    }

    /// Whether it is connected to the broker.
    pub fn linked(&self) -> watch::Receiver<bool> {
        self.linked.clone()
    }

    /// Waits until a point is this word, at most so long. Whether it came.
    pub async fn until(&self, name: &str, word: &str, patience: Duration) -> bool {
        let mut points = self.points.clone();
        let wait = points.wait_for(|points| points.get(name).is_some_and(|value| value.to_string() == word));
        matches!(tokio::time::timeout(patience, wait).await, Ok(Ok(_)))
    }
}

enum Heard {
    Connected,
    Lost,
    Command(Vec<u8>),
}

struct Device {
    key: DeviceKey,
    hardware: Box<dyn Hardware>,
    login: Login,
    seq: u64,
    points: watch::Sender<Points>,
    linked: watch::Sender<bool>,
    done: VecDeque<(CommandId, Outcome)>,
}

impl Device {
    async fn run(mut self, mut controls: mpsc::Receiver<Control>, stop: CancellationToken) {
        let mut link = self.plug_in();
        let now = self.now();
        self.hardware.step(Input::Wake, now);
        self.show(now);
        let mut unplugged: Option<Instant> = None;
        let mut beat = self.hardware.heartbeat().map(|every| now.at + every);
        loop {
            let wake = self.hardware.wake().into_iter().chain(unplugged).chain(beat).min();
            let sleep =
                wake.map(|at| tokio::time::Instant::from_std(at.max(Instant::now() + Duration::from_millis(1))));
            let timer = async {
                match sleep {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let outputs = tokio::select! {
                () = stop.cancelled() => break,
                control = controls.recv() => match control {
                    None => break,
                    Some(Control::Act(stimulus)) => {
                        let now = self.now();
                        self.hardware.step(Input::Stimulus(&stimulus), now)
                    }
                    Some(Control::Unplug(time)) => {
                        link.cut();
                        self.linked.send_replace(false);
                        unplugged = Some(Instant::now() + time);
                        continue;
                    }
                },
                heard = link.heard.recv(), if unplugged.is_none() => match heard {
                    Some(Heard::Connected) => {
                        self.linked.send_replace(true);
                        self.introduce(&link.client);
                        continue;
                    }
                    Some(Heard::Lost) => {
                        self.linked.send_replace(false);
                        continue;
                    }
                    Some(Heard::Command(payload)) => self.hear(&payload),
                    None => {
                        link = self.plug_in();
                        continue;
                    }
                },
                () = timer => {
                    let now = self.now();
                    if unplugged.is_some_and(|until| until <= now.at) {
                        unplugged = None;
                        link = self.plug_in();
                    }
                    if beat.is_some_and(|at| at <= now.at) {
                        beat = self.hardware.heartbeat().map(|every| now.at + every);
                        if unplugged.is_none() {
                            self.publish_heartbeat(&link.client);
                        }
                    }
                    self.hardware.step(Input::Wake, now)
                }
            };
            // Events before the state they explain: a request to exit before the leaf that opens.
            let results = self.say(&link.client, outputs);
            let now = self.now();
            if self.show(now) {
                self.publish_state(&link.client);
            }
            for (id, outcome) in results {
                self.publish_result(&link.client, id, &outcome);
            }
        }
        link.leave(&self.key).await;
    }

    fn now(&self) -> Moment {
        let now = Timestamp::now();
        let offset = self.login.zone.to_offset(now).seconds();
        Moment { at: Instant::now(), local_s: now.as_duration().as_secs_f64() + f64::from(offset) }
    }

    fn plug_in(&self) -> Wire {
        let key = &self.key;
        let mut options = MqttOptions::new(key.as_str(), self.login.broker.ip().to_string(), self.login.broker.port());
        options.set_credentials(key.as_str(), &self.login.password);
        options.set_keep_alive(Duration::from_secs(20));
        options.set_last_will(LastWill::new(format!("gh/{key}/status"), "offline", QoS::AtLeastOnce, true));
        let (client, events) = AsyncClient::new(options, 64);
        let (sender, heard) = mpsc::channel(16);
        let task = tokio::spawn(listen(events, sender));
        Wire { client, heard, task }
    }

    /// Says that it is there, how it is, and asks for commands.
    fn introduce(&mut self, client: &AsyncClient) {
        let _ = client.try_subscribe(format!("gh/{}/set", self.key), QoS::AtLeastOnce);
        let _ = client.try_publish(format!("gh/{}/status", self.key), QoS::AtLeastOnce, true, "online");
        let now = self.now();
        self.show(now);
        self.publish_state(client);
    }

    fn hear(&mut self, payload: &[u8]) -> Vec<Output> {
        let Ok(command) = codec::decode_command(payload) else {
            tracing::warn!(device.key = %self.key, "Device {} was sent a command that it cannot read", self.key);
            return vec![];
        };
        let Command { id, deadline, .. } = command;
        if let Some((_, outcome)) = self.done.iter().find(|(done, _)| *done == id) {
            return vec![Output::Result(id, outcome.clone())];
        }
        if deadline < Timestamp::now() {
            return vec![Output::failed(id, "came after its deadline")];
        }
        let now = self.now();
        self.hardware.step(Input::Command(&command), now)
    }

    /// Publishes events at once, and returns the results: they follow the state that proves them.
    fn say(&mut self, client: &AsyncClient, outputs: Vec<Output>) -> Vec<(CommandId, Outcome)> {
        let mut results = Vec::new();
        for output in outputs {
            match output {
                Output::Event(mut fields) => {
                    fields["seq"] = self.next_seq().into();
                    fields["ts"] = Timestamp::now().to_string().into();
                    let _ = client.try_publish(
                        format!("gh/{}/event", self.key),
                        QoS::AtLeastOnce,
                        false,
                        fields.to_string(),
                    );
                }
                Output::Result(id, outcome) => {
                    self.done.retain(|(done, _)| *done != id);
                    self.done.push_back((id, outcome.clone()));
                    if self.done.len() > REMEMBERED {
                        self.done.pop_front();
                    }
                    results.push((id, outcome));
                }
            }
        }
        results
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Takes over the machine's points; whether they changed.
    fn show(&self, now: Moment) -> bool {
        let points: Points = self.hardware.points(now).into_iter().collect();
        self.points.send_if_modified(|shown| {
            let changed = *shown != points;
            if changed {
                *shown = points;
            }
            changed
        })
    }

    fn publish_state(&mut self, client: &AsyncClient) {
        let state = serde_json::json!({
            "seq": self.next_seq(), "ts": Timestamp::now().to_string(), "points": *self.points.borrow(),
        });
        let _ = client.try_publish(format!("gh/{}/state", self.key), QoS::AtLeastOnce, true, state.to_string());
    }

    /// A state without points, not retained: there, and nothing new.
    fn publish_heartbeat(&mut self, client: &AsyncClient) {
        let state = serde_json::json!({ "seq": self.next_seq(), "points": {} });
        let _ = client.try_publish(format!("gh/{}/state", self.key), QoS::AtMostOnce, false, state.to_string());
    }

    fn publish_result(&self, client: &AsyncClient, id: CommandId, outcome: &Outcome) {
        let Ok(mut result) = serde_json::to_value(outcome) else { return };
        result["id"] = id.to_string().into();
        let _ = client.try_publish(format!("gh/{}/result", self.key), QoS::AtLeastOnce, false, result.to_string());
    }
}

struct Wire {
    client: AsyncClient,
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Like pulling the plug: no DISCONNECT, the socket just closes.
    fn cut(&self) {
        self.task.abort();
    }

    async fn leave(mut self, key: &DeviceKey) {
        let _ = self.client.try_publish(format!("gh/{key}/status"), QoS::AtLeastOnce, true, "offline");
        let _ = self.client.try_disconnect();
        if tokio::time::timeout(Duration::from_millis(300), &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut events: rumqttc::EventLoop, sender: mpsc::Sender<Heard>) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        let heard = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                backoff.reset();
                Heard::Connected
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => Heard::Command(publish.payload.to_vec()),
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(_) => {
                if sender.send(Heard::Lost).await.is_err() {
                    return;
                }
                tokio::time::sleep(backoff.next_wait()).await;
                continue;
            }
        };
        if sender.send(heard).await.is_err() {
            return;
        }
    }
}
