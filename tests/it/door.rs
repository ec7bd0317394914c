//! Doors: cards, operators, what is told to the lock and what alarms.

use gatehouse_actors::{AccessQuery, CommandRefused, CredentialInput};
use gatehouse_core::access::{CredentialKind, Via};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Outcome, Verb};
use gatehouse_core::id::PersonId;
use gatehouse_core::recognition::Seen;
use gatehouse_tests::compound::{Compound, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_card_opens_and_an_unknown_one_does_not() {
    let mut site = Compound::start().await;
    site.card("door-1", "00-1001", 1).await;
    let unlock = site.told("door-1").await;
    assert_eq!(unlock.verb, Verb::Unlock { for_ms: 5_000 });
    site.answer(&unlock, Outcome::Executed).await;
    site.command_is(unlock.command, "executed").await;
    site.state("door-1", "unlocked").await;
    site.card("door-2", "4711", 1).await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    let records = site.system.access_records(AccessQuery { limit: 10, ..Default::default() }).await.unwrap();
    let seen: Vec<_> = records.iter().map(|r| (r.granted, r.person_name.as_str(), r.reason.as_str())).collect();
    assert_eq!(records.len(), 2);
    assert!(seen.contains(&(true, "Li", "")) && seen.contains(&(false, "", "CredentialNotFound")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_given_by_an_operator_opens_at_once_and_a_removed_one_no_more() {
    let mut site = Compound::start().await;
    let li = PersonId::from_key("li");
    let input =
        CredentialInput { kind: CredentialKind::Card, value: "2002".into(), valid_from: None, valid_until: None };
    let card = site.system.credential_add(li, input.clone(), "wang").await.unwrap();
    assert_eq!(site.system.credential_add(li, input, "wang").await.unwrap_err().code(), "credential_in_use");
    site.card("door-2", "2002", 1).await;
    site.told("door-2").await;
    site.system.credential_remove(card.id, "wang").await.unwrap();
    site.advance(10);
    site.card("door-2", "2002", 2).await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    site.system.credential_undo(card.id, "wang").await.unwrap();
    site.card("door-2", "2002", 3).await;
    site.told("door-2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_door_alarms_and_a_held_door_alarms_and_clears() {
    let mut site = Compound::start().await;
    site.word("door-2", "contact", "open").await;
    site.alarm("door-2", AlarmKind::DoorForced, |alarm| alarm.active).await;
    site.word("door-2", "contact", "closed").await;
    site.alarm("door-2", AlarmKind::DoorForced, |alarm| !alarm.active).await;

    site.card("door-1", "1001", 1).await;
    site.told("door-1").await;
    site.word("door-1", "contact", "open").await;
    site.state("door-1", "open").await;
    site.advance(31);
    site.alarm("door-1", AlarmKind::DoorHeld, |alarm| alarm.active).await;
    site.word("door-1", "contact", "closed").await;
    site.alarm("door-1", AlarmKind::DoorHeld, |alarm| !alarm.active).await;
    site.settle().await;
    assert_eq!(site.count("select count(*) from alarm where kind = 'door_held' and occurrences = 1").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_command_is_sent_once_and_fails_loudly_without_an_answer() {
    let mut site = Compound::start().await;
    let request = site.request("door-1", Verb::Unlock { for_ms: 5_000 }, 1);
    let command = site.system.command(request.clone()).await.unwrap();
    assert_eq!(command.state.word(), "queued");
    site.command_is(command.id, "sent").await;
    assert_eq!(site.system.command(request).await.unwrap().id, command.id, "the same key is the same command");
    assert_eq!(site.told("door-1").await.command, command.id);
    let soon = site.system.command(site.request("door-1", Verb::Unlock { for_ms: 5_000 }, 2)).await.unwrap_err();
    assert!(matches!(soon, CommandRefused::JustOpened(_)), "{soon}");
    let wrong = site.system.command(site.request("door-1", Verb::Arm, 3)).await.unwrap_err();
    assert_eq!(wrong.code(), "unknown_verb");
    assert!(site.all_told().is_empty());

    site.advance(6);
    site.command_is(command.id, "timed_out").await;
    site.alarm("door-1", AlarmKind::CommandFailed, |alarm| alarm.zone == "unlock").await;
    let again = site.system.command(site.request("door-1", Verb::Unlock { for_ms: 5_000 }, 4)).await.unwrap();
    let unlock = site.told("door-1").await;
    site.answer(&unlock, Outcome::Accepted).await;
    site.command_is(again.id, "acked").await;
    site.answer(&unlock, Outcome::Executed).await;
    site.answer(&unlock, Outcome::Failed { reason: "late".into() }).await;
    site.settle().await;
    site.command_is(again.id, "executed").await;
    site.alarm("door-1", AlarmKind::CommandFailed, |alarm| !alarm.active).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_face_opens_its_door_and_a_mere_candidate_is_a_notice() {
    let mut site = Compound::start().await;
    let li = PersonId::from_key("li");
    let face = |candidate, accepted| Seen::Face { candidate, accepted, width_px: 120, liveness: 0.9, agreeing: 5 };
    site.seen("cam-1", face(Some((li, 0.44)), false)).await;
    site.alarm("cam-1", AlarmKind::FaceCandidate, |alarm| alarm.title["person"] == "Li").await;
    site.seen("cam-1", face(None, false)).await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    site.seen("cam-1", face(Some((li, 0.71)), true)).await;
    site.told("door-1").await;
    site.settle().await;
    let records = site.system.access_records(AccessQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!((records[0].via, records[0].granted, records[0].latency_ms), (Via::Face, true, Some(120)));
    assert_eq!(records[0].device, id("door-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_refusals_in_a_minute_are_an_alarm() {
    let mut site = Compound::start().await;
    for n in 0..5 {
        site.card("door-1", "9999", n).await;
    }
    site.alarm("door-1", AlarmKind::AccessRepeatedlyDenied, |alarm| alarm.letter == "D").await;
}
