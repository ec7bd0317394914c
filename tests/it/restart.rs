//! Power cuts and killed actors: nothing lost, nothing twice.

use futures_util::future::join_all;
use gatehouse_actors::{Policy, testkit::Part};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Outcome, Uplink, Verb};
use gatehouse_tests::compound::{Compound, id};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_in_a_fire_the_alarm_is_there_once_with_its_acknowledgement() {
    let mut site = Compound::start().await;
    site.word("panel", "point.2", "alarm").await;
    let alarm = site.alarm("panel", AlarmKind::Fire, |_| true).await;
    site.system.ack(alarm.id, "wang", None).await.unwrap();
    site.state("door-1", "released").await;
    let release = site.told("door-1").await;
    site.answer(&release, Outcome::Executed).await;
    site.settle().await;
    site.cut_and_restart().await;

    let fires: Vec<_> = site.system.open_alarms().into_iter().filter(|a| a.kind == AlarmKind::Fire).collect();
    assert_eq!(fires.len(), 1);
    assert_eq!((fires[0].id, fires[0].letter.as_str(), fires[0].acked_by.as_deref()), (alarm.id, "C", Some("wang")));
    site.state("door-1", "released").await;
    assert_eq!(site.told("door-1").await.verb, Verb::Release, "a release that stands is said again");
    site.word("panel", "point.2", "alarm").await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from alarm where kind = 'fire'").await, 1);
    assert_eq!(site.count("select occurrences::bigint from alarm where kind = 'fire'").await, 1);
    site.word("panel", "point.2", "normal").await;
    site.no_alarm("panel", AlarmKind::Fire).await;
    site.state("door-1", "secured").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_and_not_handled_is_handled_after_a_restart() {
    let mut site = Compound::start().await;
    site.settle().await;
    site.system.stop().await;
    // A read that was acknowledged to its reader a moment before the power went, and nothing after it.
    let now = jiff_timestamp(&site);
    sqlx::query(
        "insert into event_log (seq, id, received_at, device, by, code, shown, body)
         select (select max(seq) + 1 from event_log), gen_random_uuid(), $2::timestamptz, $1, 'door-1', 'in.card_read', false,
                '{\"code\": \"in.card_read\", \"card\": \"1001\", \"pin_given\": false}'",
    )
    .bind(id("door-1").0)
    .bind(now)
    .execute(&site.pool)
    .await
    .unwrap();
    site.restart().await;
    assert_eq!(site.told("door-1").await.verb, Verb::Unlock { for_ms: 5_000 });
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record where granted").await, 1);
    site.cut_and_restart().await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from access_record").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_found_too_late_is_recorded_and_opens_nothing() {
    let mut site = Compound::start().await;
    site.settle().await;
    site.system.stop().await;
    let then = jiff_timestamp(&site);
    site.advance(120);
    sqlx::query(
        "insert into event_log (seq, id, received_at, device, by, code, shown, body)
         select (select max(seq) + 1 from event_log), gen_random_uuid(), $2::timestamptz, $1, 'door-1', 'in.card_read', false,
                '{\"code\": \"in.card_read\", \"card\": \"1001\", \"pin_given\": false}'",
    )
    .bind(id("door-1").0)
    .bind(then)
    .execute(&site.pool)
    .await
    .unwrap();
    site.restart().await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    assert_eq!(site.count("select count(*) from command where state = 'expired'").await, 1);
    assert_eq!(site.count("select count(*) from access_record where granted").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_nothing_was_for_comes_along_with_the_log_and_misses_nothing_after_it() {
    let mut site = Compound::start().await;
    let call = || Uplink::Happening { device: id("smoke-1"), seq: None, observed_at: None, what: "help_call".into() };
    for _ in 0..6 {
        join_all((0..400).map(|_| site.say(call()))).await.into_iter().for_each(|taken| taken.unwrap());
    }
    site.settle().await;
    let stands = "select seq from machine where key = 'life_safety'";
    let end = "select max(seq) from event_log";
    assert!(site.count(stands).await < 4_096, "nothing was for it");
    site.system.drill_reach();
    site.settle().await;
    let reached = site.count(stands).await;
    assert!(reached > 4_096 && reached <= site.count(end).await, "{reached}");
    site.system.drill_reach();
    site.settle().await;
    assert_eq!(site.count(stands).await, reached, "near the end it is left where it stands");
    site.word("panel", "point.2", "alarm").await;
    site.state("door-1", "released").await;
    site.cut_and_restart().await;
    site.state("door-1", "released").await;
    site.settle().await;
    assert_eq!(site.count("select occurrences::bigint from alarm where kind = 'fire'").await, 1);
}

/// The compound's now as PostgreSQL reads it.
fn jiff_timestamp(site: &Compound) -> String {
    site.now().to_string()
}

/// A small generator, so that a failing run can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_killed_at_random_lose_nothing_and_double_nothing() {
    const ROUNDS: u64 = 1_000;
    const BURST: u64 = 20;
    let policy = Policy {
        intensity: usize::MAX,
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        ..Policy::default()
    };
    let mut site = Compound::start_with(policy).await;
    let parts = [
        Part::Device(id("door-1")),
        Part::Device(id("door-2")),
        Part::Device(id("smoke-1")),
        Part::Alarm,
        Part::Rule,
        Part::WorkOrder,
        Part::LifeSafety,
    ];
    let mut dice = Dice(20_260_504);
    let began = Instant::now();
    let mut failures = 0;
    // Bursts: many inputs are on their way when an actor dies. Smoke is in order, because its states follow each other.
    for burst in 0..ROUNDS / BURST {
        let rounds = burst * BURST..(burst + 1) * BURST;
        let reads = rounds.clone().flat_map(|round| {
            let card = if dice.roll(2) == 0 { "1001" } else { "9999" };
            [("door-1", card, round), ("door-2", "4711", round)]
        });
        let reads: Vec<_> = reads.collect();
        let cards = join_all(reads.iter().map(|(door, card, round)| site.card(door, card, *round)));
        let smoke = async {
            for round in rounds {
                site.flag("smoke-1", "smoke", round % 2 == 0).await;
            }
        };
        let kills = async {
            for _ in 0..4 {
                let part = parts[usize::try_from(dice.roll(parts.len() as u64)).unwrap()];
                if dice.roll(2) == 0 {
                    site.system.drill_kill(part)
                } else {
                    site.system.drill_panic(part)
                }
                failures += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(cards, smoke, kills);
    }
    site.settle().await;
    let reads = i64::try_from(ROUNDS * 2).unwrap();
    assert_eq!(site.count("select count(*) from access_record").await, reads);
    assert_eq!(site.count("select count(distinct id) from access_record").await, reads);
    assert_eq!(
        site.count("select count(*) from event_log where code in ('access.granted', 'access.denied')").await,
        reads
    );
    // Nobody acknowledged: one alarm, raised once per round that began smoke.
    assert_eq!(site.count("select count(*) from alarm where kind = 'smoke'").await, 1);
    let raised = i64::try_from(ROUNDS / 2).unwrap();
    assert_eq!(site.count("select occurrences::bigint from alarm where kind = 'smoke'").await, raised);
    assert_eq!(
        site.count(
            "select count(*) from alarm_note where code in ('raised', 'raised_again')
                    and alarm in (select id from alarm where kind = 'smoke')"
        )
        .await,
        raised
    );
    assert_eq!(site.count("select count(*) from work_order where kind = 'smoke'").await, 1);
    let restarts: u32 = site.system.actors().iter().map(|actor| actor.restarts).sum();
    println!(
        "chaos: {} inputs, {failures} kills, {restarts} restarts, {:?}, 0 lost, 0 doubled",
        ROUNDS * 3,
        began.elapsed()
    );
    assert!(restarts > 20, "{restarts} restarts are no chaos");
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| !alarm.active).await;
}
