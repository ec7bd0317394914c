//! The broker and the adapter on loopback, with clients of another library as the devices.

use super::broker::{Broker, BrokerConfig};
use super::users::User;
use super::*;
use gatehouse_core::device::link::{DeviceKind, Refused, Verb};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::CommandId;
use rumqttc::{AsyncClient as Client3, Event as Event3, Incoming, MqttOptions as Options3, Packet as Packet3};
use std::future::Future;
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;

const PASSWORD: &str = "a password for tests";
const PATIENCE: Duration = Duration::from_secs(10);

/// An intake that hands over what it is offered, and refuses as often as told.
struct Recorder {
    taken: mpsc::UnboundedSender<Uplink>,
    refuse: Mutex<Vec<Refused>>,
    strange: Mutex<Vec<String>>,
}

impl Recorder {
    fn new() -> (Arc<Self>, UnboundedReceiver<Uplink>) {
        let (taken, receiver) = mpsc::unbounded_channel();
        (Arc::new(Self { taken, refuse: Mutex::default(), strange: Mutex::default() }), receiver)
    }
}

impl Intake for Recorder {
    fn offer(&self, uplink: Uplink) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + '_>> {
        Box::pin(async move {
            if let Some(refusal) = self.refuse.lock().expect("lock").pop() {
                return Err(refusal);
            }
            let _ = self.taken.send(uplink);
            Ok(())
        })
    }

    fn undecodable(&self, source: &'static str, reason: &str) {
        assert_eq!(source, "mqtt");
        self.strange.lock().expect("lock").push(reason.to_owned());
    }
}

fn key(text: &str) -> DeviceKey {
    text.parse().expect("key")
}

async fn broker() -> Broker {
    let users = vec![
        User::server("gatehouse", PASSWORD).expect("user"),
        User::device(&key("door-1"), PASSWORD).expect("user"),
        User::device(&key("door-2"), PASSWORD).expect("user"),
        User::gateway("gateway", PASSWORD, [key("door-1"), key("door-2")]).expect("user"),
        User::integrator(
            "smoke",
            PASSWORD,
            vec!["homeassistant/+/smoke/config".into(), "smoke/#".into()],
            vec!["homeassistant/status".into()],
        )
        .expect("user"),
    ];
    let listen = "127.0.0.1:0".parse().expect("address");
    Broker::start(BrokerConfig { listen, users, max_clients: 8, ..BrokerConfig::default() }).await.expect("starts")
}

struct Adapter {
    uplinks: UnboundedReceiver<Uplink>,
    recorder: Arc<Recorder>,
    downlinks: mpsc::Sender<Downlink>,
    health: Arc<MqttHealth>,
    stop: CancellationToken,
}

fn adapter(port: u16) -> Adapter {
    let (recorder, uplinks) = Recorder::new();
    let (downlinks, receiver) = mpsc::channel(16);
    let config = MqttConfig::new("127.0.0.1", port, "gatehouse", PASSWORD).with_devices([key("door-1")]);
    let (health, stop) = (Arc::clone(&config.health), CancellationToken::new());
    tokio::spawn(run(config, Arc::clone(&recorder) as Arc<dyn Intake>, receiver, stop.clone()));
    Adapter { uplinks, recorder, downlinks, health, stop }
}

impl Adapter {
    async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&Uplink) -> Option<T>) -> T {
        let wait = async {
            loop {
                let uplink = self.uplinks.recv().await.expect("the adapter runs");
                if let Some(found) = pick(&uplink) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {what} in {PATIENCE:?}"))
    }
}

/// A device: an MQTT 3.1.1 client. Dropping the returned task handle's owner does not end it; `kill` does.
struct Device {
    client: Client3,
    commands: UnboundedReceiver<(String, Vec<u8>)>,
    task: tokio::task::JoinHandle<()>,
}

async fn device(broker: &Broker, name: &str, subscribe: Option<&str>) -> Device {
    let mut options = Options3::new(format!("{name}-client"), "127.0.0.1", broker.addr().port());
    options.set_credentials(name, PASSWORD);
    options.set_last_will(rumqttc::LastWill::new(
        format!("gh/{name}/status"),
        "offline",
        rumqttc::QoS::AtLeastOnce,
        true,
    ));
    let (client, mut events) = Client3::new(options, 64);
    if let Some(topic) = subscribe {
        client.subscribe(topic, rumqttc::QoS::AtLeastOnce).await.expect("queues");
    }
    let (sender, commands) = mpsc::unbounded_channel();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let wants_suback = subscribe.is_some();
    let task = tokio::spawn(async move {
        let mut ready = Some(ready);
        while let Ok(event) = events.poll().await {
            match event {
                Event3::Incoming(Incoming::ConnAck(_)) if !wants_suback => drop(ready.take().map(|r| r.send(()))),
                Event3::Incoming(Packet3::SubAck(_)) => drop(ready.take().map(|r| r.send(()))),
                Event3::Incoming(Packet3::Publish(p)) => drop(sender.send((p.topic, p.payload.to_vec()))),
                _ => {}
            }
        }
    });
    tokio::time::timeout(PATIENCE, is_ready).await.expect("connects in time").expect("connects");
    Device { client, commands, task }
}

impl Device {
    async fn say(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, rumqttc::QoS::AtLeastOnce, true, payload).await.expect("queues");
    }
}

#[tokio::test]
async fn a_device_reports_gets_a_command_and_its_will_is_seen_at_once() {
    let broker = broker().await;
    let mut adapter = adapter(broker.addr().port());
    let mut door = device(&broker, "door-1", Some("gh/door-1/set")).await;
    let id = key("door-1").id();
    door.say("gh/door-1/status", "online").await;
    adapter.until("birth", |up| matches!(up, Uplink::Presence { online: true, .. }).then_some(())).await;
    door.say("gh/door-1/state", r#"{"seq":1,"points":{"contact":"closed"}}"#).await;
    let points = adapter.until("report", |up| match up {
        Uplink::Report { device, points, .. } if *device == id => Some(points.clone()),
        _ => None,
    });
    assert_eq!(points.await, [("contact".to_owned(), Value::Text("closed".into()))]);

    let command = CommandId(uuid::Uuid::now_v7());
    let deadline = Timestamp::now() + jiff::SignedDuration::from_secs(5);
    adapter
        .downlinks
        .send(Downlink { device: id, command, verb: Verb::Unlock { for_ms: 3000 }, deadline })
        .await
        .expect("sends");
    let (topic, payload) =
        tokio::time::timeout(PATIENCE, door.commands.recv()).await.expect("in time").expect("a command");
    assert_eq!(topic, "gh/door-1/set");
    assert_eq!(codec::decode_command(&payload).expect("decodes").id, command);
    let result = format!(r#"{{"id":"{}","outcome":"executed"}}"#, command);
    door.client.publish("gh/door-1/result", rumqttc::QoS::AtLeastOnce, false, result).await.expect("queues");
    adapter
        .until("result", |up| matches!(up, Uplink::CommandResult { outcome: Outcome::Executed, .. }).then_some(()))
        .await;

    // The device's process dies: no DISCONNECT, the socket closes.
    door.task.abort();
    let cause = adapter.until("will", |up| match up {
        Uplink::Presence { online: false, cause, .. } => Some(*cause),
        _ => None,
    });
    assert_eq!(cause.await, PresenceCause::Will);
    adapter.stop.cancel();
    broker.stop().await;
}

#[tokio::test]
async fn a_command_past_its_deadline_or_without_a_broker_fails_with_the_reason() {
    let broker = broker().await;
    let mut adapter = adapter(broker.addr().port());
    let device = key("door-1").id();
    let mut reason_of = async |deadline: Timestamp| {
        let command = CommandId(uuid::Uuid::now_v7());
        adapter.downlinks.send(Downlink { device, command, verb: Verb::Lock, deadline }).await.expect("sends");
        adapter
            .until("failure", |up| match up {
                Uplink::CommandResult { command: c, outcome: Outcome::Failed { reason }, .. } if *c == command => {
                    Some(reason.clone())
                }
                _ => None,
            })
            .await
    };
    assert_eq!(reason_of(Timestamp::now() - jiff::SignedDuration::from_secs(1)).await, "expired before it was sent");
    broker.stop().await;
    let wait = async {
        while adapter.health.connected.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the loss is seen");
    let mut reason_of = async |deadline: Timestamp| {
        let command = CommandId(uuid::Uuid::now_v7());
        adapter.downlinks.send(Downlink { device, command, verb: Verb::Lock, deadline }).await.expect("sends");
        adapter
            .until("failure", |up| match up {
                Uplink::CommandResult { command: c, outcome: Outcome::Failed { reason }, .. } if *c == command => {
                    Some(reason.clone())
                }
                _ => None,
            })
            .await
    };
    assert_eq!(reason_of(Timestamp::now() + jiff::SignedDuration::from_secs(5)).await, "the MQTT broker is away");
}

#[tokio::test]
async fn an_event_refused_by_the_store_is_offered_again_and_comes_once() {
    let broker = broker().await;
    let mut adapter = adapter(broker.addr().port());
    let door = device(&broker, "door-1", None).await;
    door.say("gh/door-1/status", "online").await;
    adapter.until("birth", |up| matches!(up, Uplink::Presence { .. }).then_some(())).await;
    *adapter.recorder.refuse.lock().expect("lock") = vec![Refused::StoreAway, Refused::Full, Refused::StoreAway];
    for seq in 1..=3 {
        let read = format!(r#"{{"seq":{seq},"type":"card_read","card":"1234567890"}}"#);
        door.client.publish("gh/door-1/event", rumqttc::QoS::AtLeastOnce, false, read).await.expect("queues");
    }
    for want in 1..=3 {
        let seq = adapter.until("card read", |up| match up {
            Uplink::CardRead { seq, .. } => *seq,
            _ => None,
        });
        assert_eq!(seq.await, want, "in the order in which they were read");
    }
    adapter.stop.cancel();
}

#[tokio::test]
async fn an_announced_smoke_sensor_is_heard_without_configuration() {
    let broker = broker().await;
    let mut adapter = adapter(broker.addr().port());
    let smoke = device(&broker, "smoke", None).await;
    let config = r#"{"~":"smoke","stat_t":"~/state","avty_t":"~/status","dev_cla":"smoke","uniq_id":"smoke-9","name":"Lobby smoke","dev":{"sa":"Lobby"}}"#;
    smoke.say("homeassistant/binary_sensor/smoke/config", config).await;
    let announcement = adapter.until("announcement", |up| match up {
        Uplink::Announce(a) => Some(a.clone()),
        _ => None,
    });
    let announcement = announcement.await;
    assert_eq!((announcement.key.as_str(), announcement.kind), ("ha.smoke-9", DeviceKind::Sensor));
    smoke.say("smoke/status", "online").await;
    smoke.say("smoke/state", "ON").await;
    let points = adapter.until("report", |up| match up {
        Uplink::Report { points, .. } => Some(points.clone()),
        _ => None,
    });
    assert_eq!(points.await, [("smoke".to_owned(), Value::Bool(true))]);
    smoke.say("smoke/state", "MAYBE").await;
    smoke.say("smoke/status", "offline").await;
    adapter.until("absence", |up| matches!(up, Uplink::Presence { online: false, .. }).then_some(())).await;
    assert_eq!(adapter.health.undecodable.load(Ordering::Relaxed), 1);
    adapter.stop.cancel();
}

#[tokio::test]
async fn those_who_announce_devices_are_told_that_gatehouse_is_there_and_may_announce_them_again() {
    let broker = broker().await;
    let mut smoke = device(&broker, "smoke", Some("homeassistant/status")).await;
    let adapter = adapter(broker.addr().port());
    let told = tokio::time::timeout(PATIENCE, smoke.commands.recv()).await.expect("in time").expect("a message");
    assert_eq!(told, ("homeassistant/status".to_owned(), b"online".to_vec()));
    adapter.stop.cancel();
}

#[tokio::test]
async fn a_device_cannot_speak_for_another_or_listen_to_it() {
    let broker = broker().await;
    let mut adapter = adapter(broker.addr().port());
    let (one, two) = (device(&broker, "door-1", None).await, device(&broker, "door-2", Some("gh/door-2/set")).await);
    one.say("gh/door-2/state", r#"{"points":{"contact":"open"}}"#).await;
    one.say("gh/door-2/set", r#"{"id":"00000000-0000-0000-0000-000000000000","verb":"unlock"}"#).await;
    one.say("gh/door-1/state", r#"{"points":{"contact":"closed"}}"#).await;
    let first = adapter.until("report", |up| match up {
        Uplink::Report { device, .. } => Some(*device),
        _ => None,
    });
    assert_eq!(first.await, key("door-1").id(), "what door-1 said for door-2 never arrived");
    assert_eq!(broker.stats().refused_topics, 2);
    drop(two);
    adapter.stop.cancel();
}

#[tokio::test]
async fn bytes_that_are_not_mqtt_are_counted_and_nothing_stops() {
    let broker = broker().await;
    let mut head = vec![0x10, 0x20, 0, 4];
    head.extend_from_slice(b"MQTT\x04\x02\x00\x3c\xff\xff");
    head.extend(std::iter::repeat_n(0xfe, 40));
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x10, 0xff, 0xff, 0xff, 0xff],
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        head,
    ] {
        let mut stream = tokio::net::TcpStream::connect(broker.addr()).await.expect("connects");
        stream.write_all(&garbage).await.expect("writes");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "the broker ends the connection: {garbage:?}");
    }
    let counted = async {
        while broker.stats().garbage < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{:?}", broker.stats()));
    let mut adapter = adapter(broker.addr().port());
    device(&broker, "door-1", None).await.say("gh/door-1/status", "online").await;
    adapter.until("birth", |up| matches!(up, Uplink::Presence { .. }).then_some(())).await;
    adapter.stop.cancel();
}

#[tokio::test]
async fn a_full_broker_turns_the_next_away_and_a_user_can_come_and_go_while_it_runs() {
    let broker = broker().await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(tokio::net::TcpStream::connect(broker.addr()).await.expect("connects"));
    }
    let mut ninth = tokio::net::TcpStream::connect(broker.addr()).await.expect("connects");
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, ninth.read(&mut byte)).await.expect("ends");
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(broker.stats().refused_connections, 1);
    drop(idle);

    broker.set_user(User::device(&key("door-3"), PASSWORD).expect("user"));
    let freed = async {
        loop {
            let mut options = Options3::new("door-3", "127.0.0.1", broker.addr().port());
            options.set_credentials("door-3", PASSWORD);
            let (_client, mut events) = Client3::new(options, 4);
            if matches!(events.poll().await, Ok(Event3::Incoming(Packet3::ConnAck(_)))) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut events = tokio::time::timeout(PATIENCE, freed).await.expect("the new user connects");
    assert!(broker.remove_user("door-3").await);
    let ended = async { while events.poll().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("its connection ends with it");
}

/// An intake whose store is slow: it says when it is asked, and answers when told.
struct Slow {
    asked: mpsc::UnboundedSender<()>,
    answer: tokio::sync::Semaphore,
}

impl Intake for Slow {
    fn offer(&self, _: Uplink) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + '_>> {
        Box::pin(async move {
            let _ = self.asked.send(());
            self.answer.acquire().await.expect("open").forget();
            Ok(())
        })
    }

    fn undecodable(&self, _: &'static str, _: &str) {}
}

#[tokio::test]
async fn behind_the_gate_a_device_is_acknowledged_after_the_commit_and_not_before() {
    let broker = broker().await;
    let (asked, mut is_asked) = mpsc::unbounded_channel();
    let intake = Arc::new(Slow { asked, answer: tokio::sync::Semaphore::new(0) });
    let (_downlinks, receiver) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let config = MqttConfig::new("127.0.0.1", broker.addr().port(), "gatehouse", PASSWORD).with_gate(broker.gate());
    tokio::spawn(run(config, Arc::clone(&intake) as Arc<dyn Intake>, receiver, stop.clone()));

    let mut options = Options3::new("door-1", "127.0.0.1", broker.addr().port());
    options.set_credentials("door-1", PASSWORD);
    let (client, mut events) = Client3::new(options, 8);
    let read = r#"{"seq":1,"type":"card_read","card":"1234567890"}"#;
    client.publish("gh/door-1/event", rumqttc::QoS::AtLeastOnce, false, read).await.expect("queues");
    client.publish("gh/door-1/event", rumqttc::QoS::AtLeastOnce, false, "not an event").await.expect("queues");
    let state = r#"{"seq":2,"points":{"contact":"closed"}}"#;
    client.publish("gh/door-1/state", rumqttc::QoS::AtLeastOnce, true, state).await.expect("queues");
    let (acked, mut is_acked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if matches!(event, Event3::Incoming(Packet3::PubAck(_))) {
                let _ = acked.send(());
            }
        }
    });
    tokio::time::timeout(PATIENCE, is_asked.recv()).await.expect("in time").expect("the intake is asked");
    assert!(is_acked.try_recv().is_err(), "nothing is acknowledged while the store is busy");
    intake.answer.add_permits(1);
    for what in ["the read", "what no intake can take"] {
        tokio::time::timeout(PATIENCE, is_acked.recv()).await.unwrap_or_else(|_| panic!("no PUBACK for {what}"));
    }
    tokio::time::timeout(PATIENCE, is_asked.recv()).await.expect("in time").expect("the intake is asked");
    assert!(is_acked.try_recv().is_err(), "a state waits for its commit too, retained or not");
    intake.answer.add_permits(1);
    tokio::time::timeout(PATIENCE, is_acked.recv()).await.expect("a PUBACK for the state");
    stop.cancel();
    broker.stop().await;
}

#[tokio::test]
async fn messages_of_one_gateway_wait_for_the_same_commit() {
    let broker = broker().await;
    let (asked, mut is_asked) = mpsc::unbounded_channel();
    let intake = Arc::new(Slow { asked, answer: tokio::sync::Semaphore::new(0) });
    let (_downlinks, receiver) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let config = MqttConfig::new("127.0.0.1", broker.addr().port(), "gatehouse", PASSWORD).with_gate(broker.gate());
    tokio::spawn(run(config, Arc::clone(&intake) as Arc<dyn Intake>, receiver, stop.clone()));

    let mut options = Options3::new("gateway", "127.0.0.1", broker.addr().port());
    options.set_credentials("gateway", PASSWORD);
    let (client, mut events) = Client3::new(options, 8);
    for door in ["door-1", "door-2"] {
        let read = r#"{"seq":1,"type":"card_read","card":"1234567890"}"#;
        client.publish(format!("gh/{door}/event"), rumqttc::QoS::AtLeastOnce, false, read).await.expect("queues");
    }
    let (acked, mut is_acked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event3::Incoming(Packet3::PubAck(ack)) = event {
                let _ = acked.send(ack.pkid);
            }
        }
    });
    for door in ["first", "second"] {
        let asked = tokio::time::timeout(PATIENCE, is_asked.recv()).await;
        asked.unwrap_or_else(|_| panic!("the intake is not asked about the {door} door")).expect("the adapter runs");
    }
    assert!(is_acked.try_recv().is_err(), "nothing is acknowledged while the store is busy");
    intake.answer.add_permits(2);
    for packet in [1, 2] {
        let acked = tokio::time::timeout(PATIENCE, is_acked.recv()).await.expect("in time");
        assert_eq!(acked, Some(packet), "acknowledgements keep the order of their messages");
    }
    stop.cancel();
    broker.stop().await;
}
