//! Traces reach a collector: whole, connected, in order, of the share that is wanted, with nothing in them that is private.

use anyhow::{Context, Result};
use gatehouse_adapters::otlp::{Exporter, OtlpConfig};
use gatehouse_console::config::Traces;
use gatehouse_console::metrics::lint::lint;
use gatehouse_core::device::link::Uplink;
use gatehouse_core::device::telemetry::Value as Point;
use gatehouse_core::id::DeviceId;
use gatehouse_core::trace::{Kind, Sink, Span, SpanId, TraceId};
use gatehouse_tests::collector::{Collector, Seen};
use gatehouse_tests::product::{Client, PATIENCE, Product};
use reqwest::{Method, StatusCode};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const CARD: &str = "4711000815";
const PLATE: &str = "粤B98765";
const PERSON: &str = "Zhang Weiming";
const TOKEN: &str = "hunter2-of-the-collector";

const SITE: &str = r#"
name = "Yard"
zone = "UTC"
[[places]]
key = "yard"
kind = "site"
name = "Yard"
[[devices]]
key = "door"
kind = "door"
name = "Door"
place = "yard"
[[levels]]
key = "everywhere"
name = "Everywhere"
doors = ["*"]
[[people]]
key = "zhang"
name = "Zhang Weiming"
kind = "staff"
levels = ["everywhere"]
cards = ["4711000815"]
plates = ["粤B98765"]
"#;

/// The product with a door, and traces as they are wanted.
async fn product(traces: Traces) -> Result<Product> {
    Product::site(SITE, |config| {
        config.recognition.enabled = false;
        config.traces = traces;
    })
    .await
}

/// The door, as firmware would be: says what it is told to say, and does what it is asked.
async fn door(product: &Product) -> Result<AsyncClient> {
    let broker = product.broker()?;
    let mut options = MqttOptions::new("door", broker.ip().to_string(), broker.port());
    options.set_credentials("door", product.secret("mqtt-door")?);
    let (client, mut events) = AsyncClient::new(options, 64);
    client.subscribe("gh/door/set", QoS::AtLeastOnce).await?;
    let hand = client.clone();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            let Event::Incoming(Packet::Publish(publish)) = event else { continue };
            let Ok(order) = serde_json::from_slice::<Value>(&publish.payload) else { continue };
            let result = json!({ "id": order["id"], "outcome": "executed" }).to_string();
            let _ = hand.publish("gh/door/result", QoS::AtLeastOnce, false, result).await;
        }
    });
    client.publish("gh/door/status", QoS::AtLeastOnce, true, "online").await?;
    Ok(client)
}

async fn says(door: &AsyncClient, topic: &str, what: Value) -> Result<()> {
    Ok(door.publish(topic, QoS::AtLeastOnce, false, what.to_string()).await?)
}

/// Forces the door, and waits for its alarm.
async fn force(door: &AsyncClient, admin: &Client) -> Result<Value> {
    let mut live = admin.live(&["alarms"]).await?;
    says(door, "gh/door/state", json!({ "seq": 1, "points": { "contact": "closed", "lock": "locked" } })).await?;
    says(door, "gh/door/state", json!({ "seq": 2, "points": { "contact": "open" } })).await?;
    live.object("alarms", |alarm| alarm["type"] == "door_forced").await
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Option<&'a Seen> {
    spans.iter().find(|span| span.name == name)
}

/// The spans of the trace that a span of this name is in, once all of these are there.
fn whole(spans: &[Seen], names: &[&str], is: impl Fn(&Seen) -> bool) -> Option<Vec<Seen>> {
    let trace = spans.iter().find(|span| is(span))?.trace.clone();
    let spans: Vec<_> = spans.iter().filter(|span| span.trace == trace).cloned().collect();
    names.iter().all(|name| named(&spans, name).is_some()).then_some(spans)
}

/// Every span but the first has its parent in the trace, and none is before it.
fn connected(spans: &[Seen]) {
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), spans.len(), "a span is there twice: {spans:#?}");
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 1, "{roots:#?}");
    for span in spans {
        assert!(span.began <= span.ended, "{span:#?}");
        assert!(span.parent.is_empty() || ids.contains(&span.parent), "nobody's child: {span:#?}");
        if let Some(parent) = spans.iter().find(|parent| parent.id == span.parent) {
            assert!(parent.began <= span.began, "before its parent {parent:#?}: {span:#?}");
        }
    }
}

/// The way of an alarm from the device's word to the consoles.
const WAY: [&str; 10] = [
    "intake in.report",
    "commit in.report",
    "step device",
    "commit device.state",
    "publish device.state",
    "step rule",
    "commit ask.raise",
    "step alarm",
    "commit alarm.moved",
    "publish alarm.moved",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_a_card_and_a_request_are_traces_that_hold_nothing_private() -> Result<()> {
    let Some(mut collector) = Collector::start().await else { return Ok(()) };
    let secrets = tempfile::tempdir()?;
    let headers_file = secrets.path().join("otlp-headers");
    std::fs::write(&headers_file, format!("authorization: Bearer {TOKEN}\n"))?;
    let traces = Traces {
        endpoint: Some(collector.endpoint()),
        sample: 1.0,
        service: "gatehouse-yard".into(),
        headers_file: Some(headers_file),
    };
    let product = product(traces).await?;
    let admin = product.admin().await?;
    let door = door(&product).await?;

    // The alarm, from the contact to the page.
    let alarm = force(&door, &admin).await?;
    let raised = |spans: &[Seen]| whole(spans, &WAY, |span| span.name == "step alarm");
    let spans = collector.until("the alarm's trace", raised).await;
    connected(&spans);
    let of = |name: &str| named(&spans, name).with_context(|| format!("{name} in {spans:#?}"));
    let parent = |name: &str| {
        spans.iter().find(|span| of(name).is_ok_and(|child| child.parent == span.id)).map(|s| s.name.as_str())
    };
    assert_eq!(parent("step device"), Some("intake in.report"));
    assert_eq!(parent("commit device.state"), Some("step device"));
    assert_eq!(parent("publish alarm.moved"), Some("commit alarm.moved"));
    assert_eq!(parent("commit alarm.moved"), Some("step alarm"));
    assert_eq!(of("commit ask.raise")?.text("gatehouse.event.code"), "ask.raise");
    assert_eq!(
        (of("intake in.report")?.kind.as_str(), of("commit alarm.moved")?.kind.as_str()),
        ("consumer", "client")
    );
    assert_eq!(of("intake in.report")?.text("gatehouse.device.id"), DeviceId::from_key("door").to_string());
    assert_eq!(of("step alarm")?.text("gatehouse.machine"), "alarm");
    assert_eq!(of("step alarm")?.resource["service.name"], "gatehouse-yard");
    assert_eq!(of("step alarm")?.resource["service.version"], env!("CARGO_PKG_VERSION"));
    // A trace is found from an event's id: they are the same.
    assert_eq!(of("intake in.report")?.text("gatehouse.event.id").replace('-', ""), of("intake in.report")?.trace);

    // A card: the door's answer is the end of the same trace.
    says(&door, "gh/door/state", json!({ "seq": 3, "points": { "contact": "closed" } })).await?;
    says(&door, "gh/door/event", json!({ "seq": 4, "type": "card_read", "card": CARD })).await?;
    let way = ["intake in.card_read", "step device", "commit access.granted", "dispatch unlock", "intake in.result"];
    let opened = |spans: &[Seen]| whole(spans, &way, |span| span.name == "dispatch unlock");
    let spans = collector.until("the card's trace", opened).await;
    connected(&spans);
    let dispatch = named(&spans, "dispatch unlock").context("dispatch")?;
    assert_eq!((dispatch.kind.as_str(), dispatch.failed), ("producer", false));
    assert_eq!(named(&spans, "intake in.result").map(|span| &span.parent), Some(&dispatch.id));

    // A request, and what it led to.
    let path = format!("/api/alarms/{}/ack", alarm["id"].as_str().context("id")?);
    admin.post(&path, json!({})).await?;
    admin.get(&format!("/api/passages?plate={PLATE}&q={PERSON}")).await?;
    let (status, _) = admin.request(Method::GET, "/api/alarms/00000000-0000-7000-8000-000000000001", None).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let account = json!({ "name": "weiming", "password": "a password for tests", "role": "guard" });
    admin.post("/api/users", account).await?;
    assert!(Client::sign_in(product.running.address, "weiming", "a wrong password").await.is_err());
    let names = ["POST /api/alarms/{id}/ack", "intake alarm.moved", "commit alarm.moved", "publish alarm.moved"];
    let acked = |spans: &[Seen]| whole(spans, &names, |span| span.name == "POST /api/alarms/{id}/ack");
    let spans = collector.until("the request's trace", acked).await;
    connected(&spans);
    let request = named(&spans, "POST /api/alarms/{id}/ack").context("request")?;
    assert_eq!(request.kind, "server");
    let attributes: Vec<_> = request.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(
        attributes,
        [
            ("http.request.method", json!("POST")),
            ("http.response.status_code", json!(200)),
            ("http.route", json!("/api/alarms/{id}/ack"))
        ]
    );
    assert_eq!(named(&spans, "intake alarm.moved").map(|span| span.text("gatehouse.source")), Some("console"));
    let answered = |name: &'static str, status: i64| {
        move |spans: &[Seen]| {
            let is = |span: &&Seen| span.name == name && span.attributes["http.response.status_code"] == status;
            spans.iter().find(is).map(|span| span.failed)
        }
    };
    assert!(!collector.until("what is not there", answered("GET /api/alarms/{id}", 404)).await);
    collector.until("a search", answered("GET /api/passages", 200)).await;
    collector.until("a wrong password", answered("POST /api/session", 401)).await;

    let health = admin.get("/api/health").await?;
    assert_eq!(
        (&health["traces"]["dropped"], &health["traces"]["error"]),
        (&json!(0), &json!("")),
        "{}",
        health["traces"]
    );
    assert_eq!(health["traces"]["endpoint"], json!(collector.endpoint()));
    assert!(!health.to_string().contains(TOKEN));
    product.stop().await;

    let shown = collector.headers();
    assert!(shown.iter().all(|headers| headers["authorization"] == format!("Bearer {TOKEN}").as_str()));
    let (bytes, words) = (collector.bytes(), format!("{:?}", collector.seen().await));
    for private in [CARD, PLATE, PERSON, "Zhang", "weiming", "zhang", "password", "admin", TOKEN, "?"] {
        assert!(!words.contains(private), "{private} in {words}");
        // A byte of an id may be a question mark.
        assert!(private == "?" || !bytes.windows(private.len()).any(|part| part == private.as_bytes()), "{private}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_share_of_nothing_alarms_are_still_told_whole_and_nothing_else() -> Result<()> {
    let Some(mut collector) = Collector::start().await else { return Ok(()) };
    let traces = Traces { endpoint: Some(collector.endpoint()), sample: 0.0, ..Traces::default() };
    let product = product(traces).await?;
    let admin = product.admin().await?;
    let door = door(&product).await?;
    force(&door, &admin).await?;
    says(&door, "gh/door/event", json!({ "seq": 9, "type": "card_read", "card": CARD })).await?;
    let began = Instant::now();
    while admin.get("/api/commands").await?["commands"][0]["state"] != "executed" {
        assert!(began.elapsed() < PATIENCE, "the door does not open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let raised = |spans: &[Seen]| {
        whole(spans, &WAY, |span| span.name == "step alarm" && span.text("gatehouse.event.code") == "ask.raise")
    };
    connected(&collector.until("the alarm's trace", raised).await);
    product.stop().await;
    let spans = collector.seen().await.to_vec();
    let alarms: BTreeSet<_> = spans
        .iter()
        .filter(|span| span.name.contains("ask.raise") || span.name.contains("alarm"))
        .map(|s| &s.trace)
        .collect();
    let others: Vec<_> = spans.iter().filter(|span| !alarms.contains(&span.trace)).map(|span| &span.name).collect();
    assert!(others.is_empty(), "{others:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_the_product_goes_on_counts_and_sends_again_when_it_is_back() -> Result<()> {
    let Some(mut collector) = Collector::start().await else { return Ok(()) };
    let traces = Traces { endpoint: Some(collector.endpoint()), sample: 1.0, ..Traces::default() };
    collector.down().await;
    let product = product(traces).await?;
    let admin = product.admin().await?;
    let look = async || -> Result<(u64, u64, String)> {
        let health = admin.get("/api/health").await?["traces"].clone();
        let number = |name: &str| health[name].as_u64().with_context(|| format!("{name} in {health}"));
        Ok((number("exported")?, number("dropped")?, health["error"].as_str().unwrap_or_default().to_owned()))
    };
    // The contact opens and closes until there are more spans than may wait.
    let intake = product.running.app.system().intake();
    let began = Instant::now();
    let mut seq = 0;
    let (exported, dropped, error) = loop {
        for _ in 0..8 {
            let offers = (0..64).map(|n| {
                seq += 1;
                let points =
                    vec![("contact".to_owned(), Point::Text(if n % 2 == 0 { "open" } else { "closed" }.to_owned()))];
                intake.offer(Uplink::Report {
                    device: DeviceId::from_key("door"),
                    seq: Some(seq),
                    observed_at: None,
                    points,
                })
            });
            for taken in futures_util::future::join_all(offers).await {
                taken?;
            }
        }
        let found = look().await?;
        if found.1 > 0 && !found.2.is_empty() {
            break found;
        }
        assert!(began.elapsed() < PATIENCE, "nothing was dropped: {found:?}");
    };
    assert_eq!(exported, 0);
    assert!(error.contains("cannot be reached") && error.contains("check that it runs"), "{error}");
    let page = scrape(&product).await?;
    assert!(value(&page, "gatehouse_trace_spans_dropped_total")? >= dropped as f64, "{page}");
    assert!(value(&page, "gatehouse_trace_spans_exported_total")? == 0.0, "{page}");

    collector.up().await;
    collector.until("what waited", |spans| (spans.len() >= 1_000).then_some(())).await;
    let began = Instant::now();
    while !look().await?.2.is_empty() {
        assert!(began.elapsed() < PATIENCE, "it is still said to be away");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(value(&scrape(&product).await?, "gatehouse_trace_spans_exported_total")? >= 1_000.0);
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_table_of_traces_there_are_none() -> Result<()> {
    let product = product(Traces::default()).await?;
    let admin = product.admin().await?;
    assert!(!product.running.app.system().trace().is_on());
    assert_eq!(admin.get("/api/health").await?["traces"], Value::Null);
    assert!(!scrape(&product).await?.contains("gatehouse_trace_"));
    product.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_what_it_refuses_is_counted_with_the_reason() -> Result<()> {
    let Some(mut collector) = Collector::start().await else { return Ok(()) };
    let config = OtlpConfig {
        url: OtlpConfig::url(&collector.endpoint())?,
        headers: Default::default(),
        service: "test".into(),
        version: "0".into(),
    };
    let (exporter, work) = Exporter::new(config).map_err(anyhow::Error::msg)?;
    let work = tokio::spawn(work);
    let span = |n: u64| {
        let at = jiff::Timestamp::from_second(1_777_856_400).unwrap();
        let (trace, id) = (TraceId(uuid::Uuid::from_u128(7)), SpanId(n));
        let (parent, link, kind, name) = (None, None, Kind::Internal, format!("span {n}"));
        Span { trace, id, parent, link, kind, name, began: at, ended: at, attributes: Vec::new(), failed: None }
    };
    let until = async |what: &str, fits: &dyn Fn(&gatehouse_adapters::otlp::OtlpHealth) -> bool| {
        let began = Instant::now();
        while !fits(&exporter.health()) {
            assert!(began.elapsed() < PATIENCE, "never: {what}; {:?}", exporter.health());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    collector.answer(StatusCode::SERVICE_UNAVAILABLE, b"");
    exporter.offer(span(1));
    until("it is busy", &|health| health.error.contains("503") && health.error.contains("spans wait")).await;
    until("it took it", &|health| (health.exported, health.dropped) == (1, 0) && health.error.is_empty()).await;

    collector.answer(StatusCode::UNAUTHORIZED, b"");
    exporter.offer(span(2));
    until("it wants a token", &|health| health.dropped == 1 && health.error.contains("traces.headers_file")).await;
    collector.answer(StatusCode::NOT_FOUND, b"");
    exporter.offer(span(3));
    until("it is no collector", &|health| health.dropped == 2 && health.error.contains("traces.endpoint")).await;

    // ExportTraceServiceResponse { partial_success { rejected_spans: 1, error_message: "too old" } }
    collector.answer(StatusCode::OK, b"\x0a\x0b\x08\x01\x12\x07too old");
    exporter.offer(span(4));
    until("it refuses a part", &|health| health.dropped == 3 && health.error.contains("too old")).await;

    exporter.offer(span(5));
    exporter.stop();
    tokio::time::timeout(PATIENCE, work).await??;
    assert!(named(collector.seen().await, "span 5").is_some(), "what waits is sent when the program stops");
    Ok(())
}

async fn scrape(product: &Product) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let token = product.secret("metrics-token")?;
    let url = format!("http://{}/metrics", product.running.address);
    let page = http.get(url).bearer_auth(token.trim()).send().await?.error_for_status()?.text().await?;
    lint(&page).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
    Ok(page)
}

fn value(page: &str, name: &str) -> Result<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("{name} in {page}"))?.parse()?)
}
