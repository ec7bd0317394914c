//! Alarms reach the systems outside: signed, in order, at least once with one id, over receivers that fail and power cuts.

use anyhow::Result;
use gatehouse_actors::ErrorKind;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::id::DeliveryId;
use gatehouse_core::outbox::DeliveryState;
use gatehouse_tests::compound::Compound;
use gatehouse_tests::product::Product;
use gatehouse_tests::receiver::{Receiver, Told};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const HOUR: i64 = 3_600;

/// Waits until a number out of the database is as wanted.
async fn counts(site: &Compound, sql: &'static str, wanted: i64) {
    let waited = async {
        while site.count(sql).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
    assert!(waited.is_ok(), "{sql}: {} and not {wanted}", site.count(sql).await);
}

fn kinds(told: &[Told]) -> Vec<&str> {
    told.iter().map(Told::kind).collect()
}

fn ids(told: &[Told]) -> BTreeSet<&str> {
    told.iter().map(|told| told.id.as_str()).collect()
}

/// What a notice says, with what differs from run to run replaced.
fn pinned(told: &Told) -> String {
    let data = &told.notice["data"];
    let mut text = told.text.clone();
    for (field, name) in [("event", "EVENT"), ("alarm", "ALARM")] {
        text = text.replace(data[field].as_str().unwrap(), name);
    }
    text.replace(&format!("\"seq\":{}", data["seq"]), "\"seq\":0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarms_life_is_told_signed_in_order_and_in_the_pinned_words() {
    let receiver = Receiver::start().await;
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    let alarm = site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    let raised = receiver.nth(1).await;
    assert_eq!(raised.timestamp, site.now().as_second());
    let wire = concat!(env!("CARGO_MANIFEST_DIR"), "/it/wire/webhook_alarm.json");
    assert_eq!(pinned(&raised), std::fs::read_to_string(wire).unwrap().trim());
    assert_eq!(raised.notice["data"]["alarm"], json!(alarm.id));

    site.system.ack(alarm.id, "wang", None).await.unwrap();
    site.flag("smoke-1", "smoke", false).await;
    let told = receiver.until("four notices", |told| (told.len() >= 4).then(|| told.to_vec())).await;
    assert_eq!(kinds(&told), ["alarm.raised", "alarm.acknowledged", "alarm.returned", "alarm.closed"]);
    assert_eq!(told[1].notice["data"]["by"], "wang");
    assert_eq!(ids(&told).len(), 4);
    counts(&site, "select count(*) from outbox where state = 'done'", 4).await;
    let targets = site.system.targets().await.unwrap();
    assert_eq!((targets[0].waiting, targets[0].health.as_str()), (0, "working"));
    assert_eq!(targets[0].delivered_at, Some(site.now()));
    let consumers = site.system.consumers().await.unwrap();
    assert_eq!((consumers[0].key.as_str(), consumers[0].events), ("webhook:integrator", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_told_only_of_its_priorities_and_kinds() {
    let receiver = Receiver::start().await;
    let mut site = Compound::start_telling(receiver.outbox(|webhook| {
        (webhook.min_priority, webhook.kinds) = (2, vec!["intrusion".into(), "door_held".into()]);
    }))
    .await;
    site.flag("smoke-1", "smoke", true).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    site.word("fence", "beam", "broken").await;
    site.alarm("fence", AlarmKind::Intrusion, |_| true).await;
    let told = receiver.nth(1).await;
    assert_eq!(told.notice["data"]["kind"], "intrusion");
    counts(&site, "select count(*) from outbox", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_and_goes_away_gets_everything_later_under_the_same_id() {
    let mut receiver = Receiver::start().await;
    receiver.answer(|_| Some(503));
    let site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    counts(&site, "select count(*) from outbox where state = 'waiting' and attempts = 1", 1).await;
    receiver.down().await;
    site.advance(7);
    counts(&site, "select count(*) from outbox where attempts = 2", 1).await;
    let failed = site.system.targets().await.unwrap().remove(0);
    assert!(failed.failure.contains("cannot be connected to"), "{}", failed.failure);
    receiver.answer(|_| Some(200));
    receiver.up().await;
    site.advance(13);
    counts(&site, "select count(*) from outbox where state = 'done'", 1).await;
    let told = receiver.told();
    assert_eq!(told.iter().map(|told| told.answer).collect::<Vec<_>>(), [Some(503), Some(200)]);
    assert_eq!(ids(&told).len(), 1);
    assert_eq!(told[0].text, told[1].text, "byte for byte the same");
    assert!(told[1].timestamp > told[0].timestamp, "each attempt is signed anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_between_delivery_and_its_mark_sends_the_same_id_again() {
    let receiver = Receiver::start().await;
    receiver.answer(|_| None);
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    let first = receiver.nth(1).await;
    site.cut_and_restart().await;
    let second = receiver.nth(2).await;
    receiver.answer(|_| Some(200));
    site.cut_and_restart().await;
    let third = receiver.nth(3).await;
    assert_eq!((&second.id, &third.id), (&first.id, &first.id));
    assert_eq!(third.answer, Some(200));
    counts(&site, "select count(*) from outbox where state = 'done'", 1).await;
    site.cut_and_restart().await;
    site.settle().await;
    assert_eq!(receiver.told().len(), 3, "what was marked is not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_at_any_moment_lose_no_notice_and_write_none_twice() {
    let receiver = Receiver::start().await;
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    // Each cut falls somewhere else between an event, its row, its delivery and its mark.
    for round in 0..36u64 {
        site.flag("smoke-1", "smoke", round % 2 == 0).await;
        site.word("fence", "beam", if round % 2 == 0 { "broken" } else { "intact" }).await;
        if round % 4 == 3 {
            tokio::time::sleep(Duration::from_millis(round * 7 % 31)).await;
            site.cut_and_restart().await;
        }
    }
    site.settle().await;
    site.advance(10);
    let events = site.count("select count(*) from event_log where code = 'alarm.moved'").await;
    assert!(events >= 9, "{events}");
    counts(&site, "select count(*) from outbox where state = 'done'", events).await;
    assert_eq!(site.count("select count(*) from outbox").await, events);
    let told = receiver.taken();
    assert_eq!(ids(&told).len(), usize::try_from(events).unwrap(), "every notice arrived, under one id");
    let per_event: BTreeSet<_> = told.iter().map(|told| told.notice["data"]["event"].to_string()).collect();
    assert_eq!(per_event.len(), ids(&told).len(), "and one id is one event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_alarm_nothing_overtakes_what_still_waits_and_other_alarms_go_on() {
    let receiver = Receiver::start().await;
    receiver.answer(|told| Some(if told.notice["data"]["kind"] == "smoke" { 500 } else { 200 }));
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    let smoke = site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    receiver.nth(1).await;
    site.system.ack(smoke.id, "wang", None).await.unwrap();
    site.word("fence", "beam", "broken").await;
    site.alarm("fence", AlarmKind::Intrusion, |_| true).await;
    counts(&site, "select count(*) from outbox where state = 'done'", 1).await;
    counts(&site, "select count(*) from outbox where attempts = 1", 1).await;
    site.advance(7);
    counts(&site, "select count(*) from outbox where attempts = 2", 1).await;
    let of_smoke = |told: &Told| told.notice["data"]["kind"] == "smoke";
    assert!(receiver.told().iter().filter(|told| of_smoke(told)).all(|told| told.kind() == "alarm.raised"));
    receiver.answer(|_| Some(200));
    site.advance(13);
    counts(&site, "select count(*) from outbox where state = 'done'", 3).await;
    let taken: Vec<_> = receiver.taken().into_iter().filter(of_smoke).collect();
    assert_eq!(kinds(&taken), ["alarm.raised", "alarm.acknowledged"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_three_days_is_an_alarm_until_it_is_sent_again() {
    let receiver = Receiver::start().await;
    receiver.answer(|_| Some(500));
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    counts(&site, "select count(*) from outbox where attempts = 1", 1).await;
    let id: uuid::Uuid = sqlx::query_scalar("select id from outbox").fetch_one(&site.pool).await.unwrap();
    let waiting = site.system.delivery_again(DeliveryId(id)).await.unwrap_err();
    assert_eq!((waiting.kind(), waiting.code()), (ErrorKind::Conflict, "not_dead"));
    site.advance(72 * HOUR);
    let failed = site
        .until("the delivery is an alarm", |system| {
            system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::DeliveryFailed)
        })
        .await;
    assert_eq!((failed.zone.as_str(), failed.active, failed.device), ("integrator", true, None));
    let target = site.system.targets().await.unwrap().remove(0);
    assert_eq!((target.dead, target.waiting, target.health.as_str()), (1, 0, "failing"));
    let dead = site.system.deliveries("integrator", Some(DeliveryState::Dead), 10).await.unwrap();
    assert_eq!(dead[0].reason, "the receiver answered 500 Internal Server Error");

    receiver.answer(|_| Some(200));
    site.cut_and_restart().await;
    assert_eq!(site.system.deliveries_again("integrator").await.unwrap(), 1);
    let taken = receiver.until("it is taken", |told| told.iter().find(|told| told.answer == Some(200)).cloned()).await;
    assert_eq!(taken.id, id.to_string());
    site.until("the alarm returns", |system| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::DeliveryFailed && !alarm.active)
    })
    .await;
    assert_eq!(site.count("select count(*) from outbox").await, 1, "a target is not told of its own failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_wants_no_more_is_disabled_until_an_operator_enables_it() {
    let receiver = Receiver::start().await;
    receiver.answer(|_| Some(410));
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    site.until("it is an alarm", |system| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::DeliveryFailed && alarm.active)
    })
    .await;
    site.flag("smoke-1", "smoke", false).await;
    counts(&site, "select count(*) from outbox where state = 'waiting'", 2).await;
    site.advance(HOUR);
    site.cut_and_restart().await;
    site.settle().await;
    let target = site.system.targets().await.unwrap().remove(0);
    assert_eq!((target.enabled, target.health.as_str(), receiver.told().len()), (false, "gone", 1));
    receiver.answer(|_| Some(200));
    site.system.target_enable("integrator", true, "admin").await.unwrap();
    counts(&site, "select count(*) from outbox where state = 'done'", 2).await;
    assert_eq!(kinds(&receiver.taken()), ["alarm.raised", "alarm.returned"]);
    site.system.target_enable("integrator", false, "admin").await.unwrap();
    site.flag("smoke-1", "smoke", true).await;
    counts(&site, "select count(*) from outbox where state = 'waiting'", 1).await;
    site.advance(73 * HOUR);
    counts(&site, "select count(*) from outbox where state = 'dead'", 1).await;
    assert_eq!(receiver.told().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_inside_the_network_is_not_connected_to_unless_that_is_meant() {
    let receiver = Receiver::start().await;
    let port = receiver.webhook().url;
    for url in [port.clone(), port.replace("127.0.0.1", "localhost"), port.replace("127.0.0.1", "[::ffff:127.0.0.1]")] {
        let site = Compound::start_telling(receiver.outbox(|webhook| {
            (webhook.allow_private, webhook.url) = (false, url.clone());
        }))
        .await;
        site.flag("smoke-1", "smoke", true).await;
        counts(&site, "select count(*) from outbox where attempts = 1", 1).await;
        let failure = site.system.targets().await.unwrap().remove(0).failure;
        assert!(failure.contains("a loopback address") && failure.contains("allow_private = true"), "{url}: {failure}");
    }
    assert!(receiver.told().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_not_followed() {
    let receiver = Receiver::start().await;
    receiver.answer(|_| Some(307));
    let site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    counts(&site, "select count(*) from outbox where attempts = 1", 1).await;
    let failure = site.system.targets().await.unwrap().remove(0).failure;
    assert_eq!(failure, "the receiver answered 307 Temporary Redirect: redirects are not followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_configured_no_more_takes_its_alarm_along_and_begins_anew() {
    let receiver = Receiver::start().await;
    receiver.answer(|_| Some(410));
    let mut site = Compound::start_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    site.until("it is an alarm", |system| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::DeliveryFailed)
    })
    .await;
    site.restart_telling(gatehouse_actors::OutboxConfig::default()).await;
    site.until("its alarm returns", |system| {
        system.open_alarms().into_iter().find(|alarm| alarm.kind == AlarmKind::DeliveryFailed && !alarm.active)
    })
    .await;
    counts(&site, "select count(*) from outbox_target", 0).await;
    counts(&site, "select count(*) from outbox where state = 'dead'", 1).await;
    receiver.answer(|_| Some(200));
    site.flag("smoke-1", "smoke", false).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| !alarm.active).await;
    site.restart_telling(receiver.outbox(|_| {})).await;
    site.flag("smoke-1", "smoke", true).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| alarm.active).await;
    let told = receiver.nth(2).await;
    assert_eq!(told.kind(), "alarm.raised_again", "what happened meanwhile is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_sees_the_targets_sends_a_test_and_disables_one_and_it_is_audited() -> Result<()> {
    let receiver = Receiver::start().await;
    let definition = "name = \"Gate\"\nzone = \"UTC\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Gate\"\n";
    let product = Product::site(definition, |config| {
        config.recognition.enabled = false;
        config.webhooks.push(receiver.webhook());
    })
    .await?;
    let admin = product.admin().await?;
    let page = admin.get("/api/webhooks").await?;
    assert_eq!((&page["targets"][0]["name"], &page["targets"][0]["enabled"]), (&json!("integrator"), &json!(true)));
    let address = page["targets"][0]["address"].as_str().unwrap_or_default();
    assert!(address.starts_with("http://127.0.0.1:") && !address.contains("alarms"), "{address}");
    let sent = admin.post("/api/webhooks/integrator/test", json!({})).await?;
    let told = receiver.nth(1).await;
    assert_eq!((told.kind(), json!(told.id)), ("test", sent["id"].clone()));
    assert_eq!((&told.notice["data"]["by"], &told.notice["site"]), (&json!("admin"), &json!("Gate")));
    let url = format!("http://{}", product.running.address);
    assert_eq!(told.notice["data"]["url"], url);
    let (status, _) =
        admin.request(reqwest::Method::PUT, "/api/webhooks/integrator", Some(json!({ "enabled": false }))).await?;
    assert_eq!(status, reqwest::StatusCode::NO_CONTENT);
    assert_eq!(admin.get("/api/webhooks").await?["targets"][0]["enabled"], false);
    let health = admin.get("/api/health").await?;
    assert_eq!(health["consumers"][0]["key"], "webhook:integrator");
    let audit = admin.get("/api/audit").await?.to_string();
    assert!(audit.contains("POST /api/webhooks/{name}/test") && audit.contains("PUT /api/webhooks/{name}"));
    product.stop().await;
    Ok(())
}
