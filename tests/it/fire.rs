//! Fire: doors released, lifts recalled, nothing before it, nothing against it.

use gatehouse_actors::CommandRefused;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Outcome, Verb};
use gatehouse_tests::compound::{Compound, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fire_releases_doors_and_recalls_lifts_until_the_panel_is_reset() {
    let mut site = Compound::start().await;
    site.word("panel", "point.2", "alarm").await;
    site.alarm("panel", AlarmKind::Fire, |alarm| alarm.zone == "point.2" && alarm.latched).await;
    site.state("door-1", "released").await;
    site.state("door-2", "released").await;
    site.state("lift-1", "recalled").await;
    site.settle().await;
    let told = site.all_told();
    let verbs: Vec<_> = told.iter().map(|d| (d.device, d.verb.clone())).collect();
    assert_eq!(told.len(), 3, "{verbs:?}");
    assert!(verbs.contains(&(id("door-1"), Verb::Release)) && verbs.contains(&(id("door-2"), Verb::Release)));
    assert!(verbs.contains(&(id("lift-1"), Verb::Recall { floor: 1 })), "door-3 is excepted: {verbs:?}");
    for downlink in &told {
        site.answer(downlink, Outcome::Executed).await;
    }
    let refused = site.system.command(site.request("door-1", Verb::Lock, 1)).await.unwrap_err();
    assert!(matches!(refused, CommandRefused::FireHolds(_)), "{refused}");

    site.word("panel", "point.3", "alarm").await;
    site.settle().await;
    assert!(site.all_told().is_empty(), "a second point releases nothing anew");
    site.word("panel", "point.2", "normal").await;
    site.settle().await;
    assert!(site.all_told().is_empty(), "while one point burns nothing is restored");
    site.word("panel", "point.3", "normal").await;
    site.state("door-1", "secured").await;
    site.settle().await;
    let verbs: Vec<_> = site.all_told().into_iter().map(|d| (d.device, d.verb)).collect();
    assert_eq!(verbs.len(), 3, "{verbs:?}");
    assert!(verbs.contains(&(id("door-1"), Verb::Restore)) && verbs.contains(&(id("lift-1"), Verb::Resume)));
    site.alarm("panel", AlarmKind::Fire, |alarm| alarm.letter == "D" && !alarm.latched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_does_not_confirm_its_release_is_listed() {
    let mut site = Compound::start().await;
    site.link("door-2", true).await;
    site.link("door-2", false).await;
    site.word("panel", "point.1", "alarm").await;
    let (mut one, mut two) = (None, None);
    while one.is_none() || two.is_none() {
        site.settle().await;
        for downlink in site.all_told() {
            match downlink.device {
                device if device == id("door-1") => one = Some(downlink),
                device if device == id("door-2") => two = Some(downlink),
                _ => {}
            }
        }
    }
    site.answer(&one.unwrap(), Outcome::Executed).await;
    site.advance(3);
    site.alarm("door-2", AlarmKind::NotReleased, |alarm| alarm.active && alarm.priority == 1).await;
    site.link("door-2", true).await;
    let again = site.told("door-2").await;
    assert_eq!(again.verb, Verb::Release, "a door that comes back in a fire is released again");
    site.answer(&again, Outcome::Executed).await;
    site.alarm("door-2", AlarmKind::NotReleased, |alarm| !alarm.active).await;
    site.settle().await;
    assert!(
        !site.system.open_alarms().iter().any(|a| a.kind == AlarmKind::NotReleased && a.device == Some(id("door-1")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_in_test_mode_releases_nothing_and_its_alarms_are_held_back() {
    let mut site = Compound::start().await;
    site.word("panel", "mode", "test").await;
    site.word("panel", "point.1", "alarm").await;
    site.alarm("panel", AlarmKind::Fire, |alarm| alarm.suppressed && alarm.letter == "H").await;
    site.settle().await;
    assert!(site.all_told().is_empty());
    assert_eq!(site.system.alarm_counts().p1, 0);
    site.word("panel", "point.4", "pre_alarm").await;
    site.alarm("panel", AlarmKind::FirePreAlarm, |_| true).await;
    assert!(site.all_told().is_empty());
}
