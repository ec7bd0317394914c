//! Rules that operators write: in force at once, kept over a restart, tried over history, ended without a trace.

use gatehouse_actors::testkit::Part;
use gatehouse_actors::views::{DryRun, RuleView};
use gatehouse_actors::{ErrorKind, RuleInput};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::RuleId;
use gatehouse_tests::compound::{Compound, id};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

const HOT: &str = "when point temperature of \"temp-1\" > 30 °C deadband 1 for 60 s off after 30 s
then alarm priority 2 title \"Lobby too warm\"";

fn rule(name: &str, text: &str) -> RuleInput {
    RuleInput { name: name.into(), text: text.into(), enabled: true }
}

async fn warm(site: &Compound, degrees: f64) {
    site.report("temp-1", &[("temperature", Value::Number(degrees))]).await;
}

/// Waits until a rule waits out a delay, or does not.
async fn waiting(site: &mut Compound, rule: &RuleView, is: bool) {
    let id = rule.id;
    let what = if is { "a delay runs" } else { "no delay runs" };
    site.until(what, |system| system.rule_state(id).filter(|state| state.waiting == is).map(|_| ())).await;
}

/// When a rule came on and went off, as the log has it.
async fn firings(site: &Compound, rule: RuleId) -> Vec<(bool, Timestamp)> {
    site.settle().await;
    let bodies: Vec<serde_json::Value> =
        sqlx::query_scalar("select body from event_log where code = 'rule.fired' order by seq")
            .fetch_all(&site.pool)
            .await
            .unwrap();
    let of = |body: &serde_json::Value| (body["active"] == true, body["since"].as_str().unwrap().parse().unwrap());
    bodies.iter().filter(|body| body["rule"] == rule.to_string()).map(of).collect()
}

async fn dry_run(site: &Compound, text: &str, from: Timestamp) -> DryRun {
    site.system.rule_dry_run(text, from, site.now(), |_| {}).await.unwrap()
}

/// Waits until so many readings are in the history.
async fn recorded(site: &Compound, readings: i64) {
    let all = async {
        while site.count("select count(*) from reading").await < readings {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the readings are recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_comes_on_after_its_delay_and_its_dry_run_says_the_same() {
    let mut site = Compound::start().await;
    let from = site.now();
    warm(&site, 25.0).await;
    let hot = site.system.rule_create(rule("Warm lobby", HOT), "chen").await.unwrap();
    site.advance(10);
    warm(&site, 31.0).await;
    waiting(&mut site, &hot, true).await;
    site.advance(60);
    let alarm = site.alarm("temp-1", AlarmKind::Rule, |alarm| alarm.active).await;
    assert_eq!(
        (alarm.priority, alarm.title["title"].as_str(), alarm.title["value"].as_str()),
        (2, "Lobby too warm", "31")
    );
    site.advance(30);
    warm(&site, 29.5).await;
    site.advance(10);
    warm(&site, 28.0).await;
    waiting(&mut site, &hot, true).await;
    site.advance(30);
    site.alarm("temp-1", AlarmKind::Rule, |alarm| !alarm.active).await;
    // Shorter than its delay it is nothing.
    warm(&site, 35.0).await;
    waiting(&mut site, &hot, true).await;
    site.advance(20);
    warm(&site, 20.0).await;
    waiting(&mut site, &hot, false).await;
    site.advance(100);

    let live = firings(&site, hot.id).await;
    let second = |n: i64| from + SignedDuration::from_secs(n);
    assert_eq!(live, [(true, second(70)), (false, second(140))]);
    recorded(&site, 6).await;
    let tried = dry_run(&site, HOT, from).await;
    let tried: Vec<_> = tried.intervals.iter().map(|on| (on.device, on.from, on.to, on.value)).collect();
    assert_eq!(tried, [(None, second(70), Some(second(140)), Some(31.0))]);
    let seen = site.system.rule(hot.id).await.unwrap();
    assert_eq!((seen.fired_24h, seen.on, seen.stopped.as_str()), (1, 0, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_in_the_middle_of_a_delay_loses_no_deadline_and_fires_once() {
    let mut site = Compound::start().await;
    let begun = site.now();
    let hot = site.system.rule_create(rule("Warm lobby", HOT), "chen").await.unwrap();
    warm(&site, 31.0).await;
    waiting(&mut site, &hot, true).await;
    site.settle().await;
    site.advance(20);
    site.cut_and_restart().await;
    assert!(site.system.rule_state(hot.id).is_some_and(|state| state.waiting), "the delay still runs");
    site.advance(40);
    site.alarm("temp-1", AlarmKind::Rule, |alarm| alarm.active && alarm.occurrences == 1).await;
    site.settle().await;
    site.system.drill_kill(Part::Operator);
    site.settle().await;
    site.cut_and_restart().await;
    site.settle().await;
    assert_eq!(firings(&site, hot.id).await, [(true, begun + SignedDuration::from_secs(60))]);
    let alarm = site.alarm("temp-1", AlarmKind::Rule, |alarm| alarm.active).await;
    assert_eq!(alarm.occurrences, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_a_rule_off_clears_its_alarm_and_an_old_version_changes_nothing() {
    let mut site = Compound::start().await;
    warm(&site, 31.0).await;
    site.until("the board knows", |system| system.device(id("temp-1")).filter(|it| !it.points.is_empty()).map(|_| ()))
        .await;
    let text = HOT.replace(" for 60 s off after 30 s", "");
    let hot = site.system.rule_create(rule("Warm lobby", &text), "chen").await.unwrap();
    site.alarm("temp-1", AlarmKind::Rule, |alarm| alarm.active).await;
    let off = site.system.rule_enable(hot.id, 1, false, "chen").await.unwrap();
    assert_eq!((off.enabled, off.version), (false, 2));
    site.alarm("temp-1", AlarmKind::Rule, |alarm| !alarm.active).await;

    let late = site.system.rule_update(hot.id, 1, rule("Late", &text), "wu").await.unwrap_err();
    assert_eq!((late.kind(), late.code()), (ErrorKind::Conflict, "rule_changed"));
    let wrong = site.system.rule_update(hot.id, 2, rule("Wrong", "when point x"), "wu").await.unwrap_err();
    assert_eq!((wrong.field(), wrong.to_string().starts_with("line 1, column ")), (Some("text"), true));

    let cold = text.replace("> 30", "< 5");
    site.system.rule_update(hot.id, 2, rule("Cold lobby", &cold), "wu").await.unwrap();
    let back = site.system.rule_restore(hot.id, 1, "chen").await.unwrap();
    assert_eq!((back.name.as_str(), back.text.as_str(), back.version), ("Warm lobby", text.as_str(), 4));
    site.alarm("temp-1", AlarmKind::Rule, |alarm| alarm.active).await;
    site.system.rule_delete(hot.id, "chen").await.unwrap();
    site.alarm("temp-1", AlarmKind::Rule, |alarm| !alarm.active).await;
    assert!(site.system.rules().await.unwrap().is_empty());
    assert!(!site.system.rule_undelete(hot.id, "chen").await.unwrap().enabled);
    let versions = site.system.rule_versions(hot.id).await.unwrap();
    let said: Vec<_> = versions.iter().rev().map(|it| (it.what.as_str(), it.by.as_str())).collect();
    let expect = [
        ("created", "chen"),
        ("disabled", "chen"),
        ("changed", "wu"),
        ("restored", "chen"),
        ("deleted", "chen"),
        ("undeleted", "chen"),
    ];
    assert_eq!(said, expect);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_raises_too_often_is_stopped_and_the_others_go_on() {
    let mut site = Compound::start().await;
    let nervous = "when point temperature of \"temp-1\" > 30 then alarm priority 4 title \"Nervous\"";
    let nervous = site.system.rule_create(rule("Nervous", nervous), "chen").await.unwrap();
    let denied = "when count(access.denied at \"door-1\") >= 3 in 60 s then alarm priority 2 title \"Thrice\"";
    site.system.rule_create(rule("Thrice", denied), "chen").await.unwrap();
    for turn in 0..61 {
        warm(&site, 31.0).await;
        site.until("on or stopped", |system| {
            system.rule_state(nervous.id).filter(|state| !state.on.is_empty() || !state.stopped.is_empty()).map(|_| ())
        })
        .await;
        if turn < 60 {
            warm(&site, 20.0).await;
            site.until("off", |system| system.rule_state(nervous.id).filter(|state| state.on.is_empty()).map(|_| ()))
                .await;
        }
    }
    let stopped =
        site.until("stopped", |system| system.rule_state(nervous.id).filter(|it| !it.stopped.is_empty())).await;
    assert!(stopped.stopped.contains("raises too often"), "{}", stopped.stopped);
    site.until("its alarm", |system| system.open_alarms().into_iter().find(|it| it.kind == AlarmKind::RuleStopped))
        .await;
    assert_eq!(site.count("select count(*) from event_log where code = 'rule.stopped'").await, 1);
    for n in 0..3 {
        site.card("door-1", "9999", n).await;
    }
    site.alarm("door-1", AlarmKind::Rule, |alarm| alarm.active && alarm.title["title"] == "Thrice").await;
    // Saved again it starts again.
    let text = "when point temperature of \"temp-1\" > 90 then alarm priority 4 title \"Calm\"";
    site.system.rule_update(nervous.id, 1, rule("Calm", text), "chen").await.unwrap();
    site.until("its alarm is over", |system| {
        let active = system.open_alarms().into_iter().any(|it| it.kind == AlarmKind::RuleStopped && it.active);
        (!active).then_some(())
    })
    .await;
}
