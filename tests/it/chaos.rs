//! Actors killed at random while events pour in: every acknowledged one has its consequences, once.

use futures_util::stream::{self, StreamExt};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_tests::compound::{Compound, Ground};
use gatehouse_tests::database::fresh;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long events pour in.
const LASTS: Duration = Duration::from_secs(20);
/// Events in the log that are enough before the time is up.
const ENOUGH: u64 = 100_000;
/// At least so many, however slow the machine.
const LEAST: i64 = 20_000;
/// Kills in a second.
const KILLS_PER_S: f64 = 20.0;
/// Said at the same time, by different devices.
const AT_ONCE: usize = 128;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_kills_actors_and_twenty_thousand_events_lose_nothing_and_double_nothing() {
    let change = |config: &mut gatehouse_actors::SystemConfig| {
        config.restarts.backoff_min = Duration::from_millis(2);
        config.restarts.backoff_max = Duration::from_millis(50);
        config.chaos_kills_per_s = KILLS_PER_S;
    };
    let ground = Ground { change: Some(Arc::new(change)), ..Ground::default() };
    let mut site = Compound::start_on(fresh().await, ground).await;
    let began = Instant::now();
    let acknowledged = AtomicU64::new(0);
    let events = async || site.count("select count(*) from event_log").await;
    let mut rounds = 0_u64;
    let mut seq = 0_u64;
    loop {
        // Cards at three doors, known and unknown; smoke begins and ends once a round.
        let reads: Vec<_> = (0..600_u64)
            .map(|n| {
                let door = ["door-1", "door-2", "door-3"][usize::try_from(n % 3).unwrap()];
                (door, if n % 5 == 0 { "4711" } else { "1001" }, seq + n)
            })
            .collect();
        seq += 600;
        let cards = stream::iter(reads).for_each_concurrent(AT_ONCE, |(door, card, seq)| {
            let (site, acknowledged) = (&site, &acknowledged);
            async move {
                site.card(door, card, seq).await;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        });
        let smoke = async {
            site.flag("smoke-1", "smoke", true).await;
            site.flag("smoke-1", "smoke", false).await;
        };
        tokio::join!(cards, smoke);
        rounds += 1;
        let so_far = events().await;
        if so_far >= i64::try_from(ENOUGH).unwrap() || (began.elapsed() > LASTS && so_far >= LEAST) {
            break;
        }
    }
    site.settle().await;
    let acknowledged = i64::try_from(acknowledged.into_inner()).unwrap();
    let rounds = i64::try_from(rounds).unwrap();
    let events = site.count("select count(*) from event_log").await;
    let restarts: u32 = site.system.actors().iter().map(|actor| actor.restarts).sum();
    println!(
        "chaos: {events} events, {acknowledged} card reads acknowledged, {restarts} restarts, {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert!(events >= LEAST);
    assert!(restarts > 20, "{restarts} restarts are no chaos");
    // Every acknowledged read was decided, once: a record, an event, and its commands where it was granted.
    for (what, sql) in [
        ("reads", "select count(*) from event_log where code = 'in.card_read'"),
        ("different reads", "select count(distinct (device, source_key)) from event_log where code = 'in.card_read'"),
        ("records", "select count(*) from access_record"),
        ("decisions", "select count(*) from event_log where code in ('access.granted', 'access.denied')"),
        ("causes", "select count(distinct cause) from event_log where code in ('access.granted', 'access.denied')"),
    ] {
        assert_eq!(site.count(sql).await, acknowledged, "{what}");
    }
    // Every round raised the one smoke alarm once.
    assert_eq!(site.count("select count(*) from alarm where kind = 'smoke'").await, 1);
    assert_eq!(site.count("select occurrences::bigint from alarm where kind = 'smoke'").await, rounds);
    let raised = "select count(*) from alarm_note n join alarm a on a.id = n.alarm
                  where a.kind = 'smoke' and n.code in ('raised', 'raised_again')";
    assert_eq!(site.count(raised).await, rounds);
    assert_eq!(site.count("select count(*) from event_log where code = 'actor.quarantined'").await, 0);
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| !alarm.active).await;
}
