//! The command ledger: queued on the disk first, sent once, taken back while it waits, and faces that must be forgotten.

use gatehouse_actors::views::CommandView;
use gatehouse_actors::{CommandRefused, FaceInput};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Outcome, Verb};
use gatehouse_core::id::{CommandId, PersonId};
use gatehouse_tests::compound::{Compound, Ground, consented, id};
use gatehouse_tests::database::fresh;
use std::collections::BTreeMap;

/// The newest command of a device.
async fn newest(site: &Compound, key: &str) -> CommandView {
    site.system.commands(Some(id(key)), 1).await.unwrap().into_iter().next().expect("it was asked something")
}

async fn enrolled(site: &Compound) -> PersonId {
    let li = PersonId::from_key("li");
    consented(&site.system, li).await;
    let input = FaceInput { templates: vec![vec![0.1, 0.2, 0.3]], model: "fr_feature".into() };
    site.system.face_set(li, input, "wang").await.unwrap();
    li
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_full_fails_a_command_at_once_and_loudly() {
    let mut site = Compound::start_on(fresh().await, Ground { room: 1, ..Ground::default() }).await;
    let first = site.system.command(site.request("door-1", Verb::Lock, 1)).await.unwrap();
    site.command_is(first.id, "sent").await;
    let second = site.system.command(site.request("door-2", Verb::Lock, 2)).await.unwrap();
    site.command_is(second.id, "failed").await;
    assert_eq!(newest(&site, "door-2").await.reason, "link_full");
    site.alarm("door-2", AlarmKind::CommandFailed, |alarm| alarm.zone == "lock").await;
    assert_eq!(site.told("door-1").await.command, first.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lets_someone_through_is_never_sent_again_after_a_restart() {
    let mut site = Compound::start().await;
    let sent = site.system.command(site.request("door-1", Verb::Unlock { for_ms: 5_000 }, 1)).await.unwrap();
    let queued = site.system.command(site.request("door-2", Verb::Unlock { for_ms: 5_000 }, 2)).await.unwrap();
    site.command_is(sent.id, "sent").await;
    site.command_is(queued.id, "sent").await;
    site.settle().await;
    assert_eq!(site.all_told().len(), 2);
    site.system.drill_power_cut().await;
    // As the power would have left it between the ledger and the link.
    let path = format!("pending,{},state", queued.id);
    sqlx::query("update machine set state = jsonb_set(state, string_to_array($2, ','), '\"queued\"') where key = 'device:' || $1")
        .bind(id("door-2").to_string())
        .bind(path)
        .execute(&site.pool)
        .await
        .unwrap();
    sqlx::query("update command set state = 'queued' where id = $1")
        .bind(queued.id.0)
        .execute(&site.pool)
        .await
        .unwrap();
    site.restart().await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    site.advance(6);
    site.command_is(sent.id, "timed_out").await;
    site.command_is(queued.id, "failed").await;
    assert_eq!(newest(&site, "door-2").await.reason, "not_sent");
    site.alarm("door-1", AlarmKind::CommandFailed, |alarm| alarm.active).await;
    site.alarm("door-2", AlarmKind::CommandFailed, |alarm| alarm.active).await;
    assert!(site.all_told().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_between_queued_and_sent_neither_lose_nor_double_a_command() {
    const ROUNDS: u128 = 12;
    let mut site = Compound::start().await;
    let mut told: BTreeMap<CommandId, u32> = BTreeMap::new();
    let mut taken = Vec::new();
    for round in 0..ROUNDS {
        let asking: Vec<_> = ["door-1", "door-2", "door-3"]
            .into_iter()
            .map(|door| {
                let (system, request) =
                    (site.system.clone(), site.request(door, Verb::Unlock { for_ms: 5_000 }, round));
                tokio::spawn(async move { system.command(request).await })
            })
            .collect();
        // From before the entry to after the link, a little later each round.
        for _ in 0..round * 12 {
            tokio::task::yield_now().await;
        }
        site.system.drill_power_cut().await;
        for asked in asking {
            asked.abort();
            if let Ok(Ok(command)) = asked.await {
                taken.push(command.id);
            }
        }
        for downlink in site.all_told() {
            *told.entry(downlink.command).or_default() += 1;
        }
        site.restart().await;
        site.settle().await;
        for downlink in site.all_told() {
            *told.entry(downlink.command).or_default() += 1;
        }
        site.advance(6);
        site.settle().await;
    }
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    site.counts(
        "every entry has its end",
        "select count(*) from command where state in ('queued', 'sent', 'acked')",
        0,
    )
    .await;
    for id in &taken {
        site.system.command_by_id(*id).await.expect("what was taken is in the ledger");
    }
    println!("{} rounds: {} taken, {} sent, none twice", ROUNDS, taken.len(), told.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_face_is_asked_for_until_the_device_says_that_it_is_gone() {
    let mut site = Compound::start().await;
    site.link("door-2", true).await;
    site.link("door-2", false).await;
    site.settle().await;
    let li = enrolled(&site).await;
    site.system.face_delete(li, "wang").await.unwrap();
    let first = site.told("door-3").await;
    assert_eq!(first.verb, Verb::ForgetFace { person: li });
    site.command_is(first.command, "sent").await;
    site.settle().await;
    let still = site.system.person(li).await.unwrap().face.still_at;
    assert_eq!(still.len(), 2, "{still:?}");
    assert!(site.all_told().is_empty(), "door-2 is away");

    // No answer: again after 5 s, the same entry, and an alarm meanwhile.
    site.advance(5);
    site.command_is(first.command, "queued").await;
    site.alarm("door-3", AlarmKind::CommandFailed, |alarm| alarm.zone == "forget_face").await;
    site.advance(5);
    assert_eq!(site.told("door-3").await.command, first.command);
    site.command_is(first.command, "sent").await;

    // Over a restart, and over an outage without a word into it.
    site.settle().await;
    site.cut_and_restart().await;
    site.advance(30);
    site.command_is(first.command, "queued").await;
    site.advance(30);
    assert_eq!(site.told("door-3").await.command, first.command);
    site.settle().await;
    site.link("door-3", true).await;
    site.link("door-3", false).await;
    site.settle().await;
    site.advance(60);
    site.command_is(first.command, "queued").await;
    site.all_told();
    site.advance(3_600);
    site.settle().await;
    assert!(site.all_told().is_empty(), "nobody there to hear it");
    site.link("door-3", true).await;
    let again = site.told("door-3").await;
    assert_eq!(again.command, first.command);
    site.answer(&again, Outcome::Accepted).await;
    site.answer(&again, Outcome::Executed).await;
    site.command_is(first.command, "executed").await;
    site.alarm("door-3", AlarmKind::CommandFailed, |alarm| !alarm.active).await;

    site.link("door-2", true).await;
    let other = site.told("door-2").await;
    site.answer(&other, Outcome::Executed).await;
    site.command_is(other.command, "executed").await;
    let face = site.system.person(li).await.unwrap().face;
    assert!(face.still_at.is_empty());
    let told: Vec<_> = face.removals.iter().map(|removal| (removal.device, removal.state.as_str())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|(_, state)| *state == "executed"), "each device's word is shown: {told:?}");
    site.settle().await;
    site.cut_and_restart().await;
    site.advance(600);
    site.settle().await;
    assert!(site.all_told().is_empty(), "done is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_a_crash_left_unsaid_is_said_at_the_start() {
    let mut site = Compound::start().await;
    site.settle().await;
    site.system.stop().await;
    sqlx::query("insert into face_removal (person, by, asked_at) values ($1, 'wang', now())")
        .bind(PersonId::from_key("li").0)
        .execute(&site.pool)
        .await
        .unwrap();
    site.restart().await;
    assert_eq!(site.told("door-2").await.verb, Verb::ForgetFace { person: PersonId::from_key("li") });
    assert_eq!(site.count("select count(*) from face_removal").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_can_be_taken_back_and_what_was_sent_cannot() {
    let mut site = Compound::start().await;
    site.link("door-2", true).await;
    site.link("door-2", false).await;
    site.settle().await;
    let li = enrolled(&site).await;
    site.system.face_delete(li, "wang").await.unwrap();
    let sent = site.told("door-3").await;
    site.command_is(sent.command, "sent").await;
    site.settle().await;
    let waits = newest(&site, "door-2").await;
    assert_eq!(waits.state.word(), "queued");

    let cancelled = site.system.command_cancel(waits.id, "chen").await.unwrap();
    assert_eq!((cancelled.state.word(), cancelled.reason.as_str()), ("cancelled", "by_operator"));
    let again = site.system.command_cancel(waits.id, "chen").await.unwrap_err();
    let late = site.system.command_cancel(sent.command, "chen").await.unwrap_err();
    assert_eq!((again.code(), late.code()), ("too_late", "too_late"));
    assert!(matches!(late, CommandRefused::TooLate(_)), "{late}");
    let told = "select count(*) from event_log where code = 'command.state' and by = 'chen' and body ->> 'state' = 'cancelled'";
    assert_eq!(site.count(told).await, 1, "who took it back is on the timeline");
    site.link("door-2", true).await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    assert_eq!(site.system.person(li).await.unwrap().face.still_at, [id("door-3")]);
}
