//! At a lane: known plates open, unknown ones are a question to the guard.

use gatehouse_actors::PassageQuery;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Outcome, Verb};
use gatehouse_core::passage::Decision;
use gatehouse_tests::compound::Compound;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_plate_opens_its_barrier_once() {
    let mut site = Compound::start().await;
    site.plate("粤B12345").await;
    assert_eq!(site.told("gate-in").await.verb, Verb::Open);
    site.plate("粤B12345").await;
    site.settle().await;
    assert!(site.all_told().is_empty(), "the same car read twice is one passage");
    let passages = site.system.passages(PassageQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(passages.len(), 1);
    assert_eq!((passages[0].passage.decision, passages[0].passage.person_name.as_str()), (Decision::Opened, "Li"));
    assert_eq!((passages[0].passage.latency_ms, passages[0].passage.colour.as_str()), (120, "blue"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_car_that_comes_again_after_the_boom_went_down_is_let_in_again() {
    let mut site = Compound::start().await;
    site.plate("粤B12345").await;
    let told = site.told("gate-in").await;
    site.answer(&told, Outcome::Executed).await;
    site.word("gate-in", "position", "up").await;
    site.state("gate-in", "up").await;
    site.advance(5);
    site.plate("粤B12345").await;
    site.settle().await;
    assert!(site.all_told().is_empty(), "the boom is still up: the same car");
    site.word("gate-in", "position", "down").await;
    site.state("gate-in", "down").await;
    site.plate("粤B12345").await;
    assert_eq!(site.told("gate-in").await.verb, Verb::Open);
    let passages = site.system.passages(PassageQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(passages.iter().map(|row| row.passage.reads).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_plate_asks_the_guard_who_decides_once() {
    let mut site = Compound::start().await;
    site.plate("京A00001").await;
    site.alarm("cam-gate", AlarmKind::UnknownPlate, |alarm| alarm.active && alarm.title["plate"] == "京A00001").await;
    assert!(site.all_told().is_empty());
    let asked = site.system.passages(PassageQuery { open: true, limit: 10, ..Default::default() }).await.unwrap();
    let decided = site.system.passage_decision(asked[0].passage.id, true, "visits 3-201".into(), "zhou").await.unwrap();
    assert_eq!((decided.decision, decided.by.as_str()), (Decision::OpenedByGuard, "zhou"));
    assert_eq!(site.told("gate-in").await.verb, Verb::Open);
    site.alarm("cam-gate", AlarmKind::UnknownPlate, |alarm| !alarm.active).await;
    let again = site.system.passage_decision(asked[0].passage.id, false, String::new(), "sun").await.unwrap_err();
    assert_eq!(again.code(), "already_decided");
}
