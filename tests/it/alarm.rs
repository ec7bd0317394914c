//! From a sensor's report to an alarm that someone handled.

use gatehouse_actors::{ErrorKind, testkit::Part};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::workorder::WorkOrderState;
use gatehouse_tests::compound::{Compound, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke_becomes_an_alarm_with_clips_and_a_work_order_and_is_acknowledged_once() {
    let mut site = Compound::start().await;
    site.flag("smoke-1", "smoke", true).await;
    let alarm = site.alarm("smoke-1", AlarmKind::Smoke, |alarm| alarm.work_order.is_some()).await;
    assert_eq!((alarm.letter.as_str(), alarm.priority, alarm.occurrences), ("B", 1, 1));
    assert_eq!(alarm.title["place_zh"], "院子");
    site.until("the device shows its alarm", |system| system.device(id("smoke-1")).filter(|d| d.severity == 1)).await;

    let acked = site.system.ack(alarm.id, "wang", Some("on my way".into())).await.unwrap();
    assert_eq!((acked.alarm.letter.as_str(), acked.alarm.acked_by.as_deref()), ("C", Some("wang")));
    let stored = site.count("select count(*) from alarm where acked and acked_by = 'wang' and closed_at is null").await;
    assert_eq!(stored, 1, "an acknowledgement is committed before it is answered");
    let again = site.system.ack(alarm.id, "li", None).await.unwrap_err();
    assert_eq!((again.kind(), again.code()), (ErrorKind::Conflict, "already_acknowledged"));

    let codes: Vec<_> = acked.timeline.iter().map(|note| note.code.as_str()).collect();
    assert_eq!(codes, ["raised", "acknowledged"]);
    assert_eq!(acked.clips.len(), 2);
    let asked = site.recorder.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|b| b.to.duration_since(b.from).as_secs() == 30 && b.alarm == alarm.id));
    site.system.clip_ready(asked[0].clip, "clips/1.mp4".into()).await.unwrap();
    assert_eq!(site.system.clips_pending().await.unwrap().len(), 1);

    let order = acked.work_orders[0].clone();
    let taken = site.system.work_order_state(order.id, WorkOrderState::Accepted, "mine".into(), "chen").await.unwrap();
    assert_eq!((taken.assignee.as_str(), taken.number), ("chen", 1));
    let done = site.system.work_order_state(order.id, WorkOrderState::Done, String::new(), "chen").await.unwrap();
    assert!(done.done_at.is_some());
    let wrong = site.system.work_order_state(order.id, WorkOrderState::Accepted, String::new(), "chen").await;
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Conflict);

    let stepped = site.system.step_done(alarm.id, "s1".into(), true, "wang").await.unwrap();
    assert_eq!(stepped.steps_done[0].step, "s1");
    site.flag("smoke-1", "smoke", false).await;
    site.no_alarm("smoke-1", AlarmKind::Smoke).await;
    assert_eq!(site.system.alarm(alarm.id).await.unwrap().alarm.letter, "A");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_raise_of_a_returned_alarm_is_a_new_occurrence_and_wants_a_new_look() {
    let mut site = Compound::start().await;
    site.flag("smoke-1", "smoke", true).await;
    let first = site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    site.flag("smoke-1", "smoke", false).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| alarm.letter == "D").await;
    site.flag("smoke-1", "smoke", true).await;
    let second = site.alarm("smoke-1", AlarmKind::Smoke, |alarm| alarm.occurrences == 2).await;
    assert_eq!((second.id, second.letter.as_str()), (first.id, "B"));
    site.system.ack(first.id, "wang", None).await.unwrap();
    site.flag("smoke-1", "smoke", false).await;
    site.no_alarm("smoke-1", AlarmKind::Smoke).await;
    site.flag("smoke-1", "smoke", true).await;
    let third = site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    assert_ne!(third.id, first.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shelved_alarm_comes_back_by_itself_also_over_a_restart() {
    let mut site = Compound::start().await;
    site.word("fence", "beam", "broken").await;
    let alarm = site.alarm("fence", AlarmKind::Intrusion, |_| true).await;
    assert_eq!(site.system.shelve(alarm.id, "wang", 0, "x".into()).await.unwrap_err().field(), Some("minutes"));
    assert_eq!(site.system.shelve(alarm.id, "wang", 5, " ".into()).await.unwrap_err().field(), Some("reason"));
    let shelved = site.system.shelve(alarm.id, "wang", 10, "gardeners".into()).await.unwrap();
    assert_eq!(shelved.alarm.letter, "G");
    assert_eq!((site.system.alarm_counts().shelved, site.system.alarm_counts().unacked), (1, 0));
    site.cut_and_restart().await;
    site.advance(601);
    site.alarm("fence", AlarmKind::Intrusion, |alarm| alarm.letter == "B").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_measure_beyond_its_limit_alarms_until_it_is_a_deadband_inside() {
    let mut site = Compound::start().await;
    let measure = |value: f64| [("temperature", Value::Number(value))];
    site.report("temp-1", &measure(39.0)).await;
    site.report("temp-1", &measure(41.0)).await;
    let alarm = site.alarm("temp-1", AlarmKind::Limit, |alarm| alarm.active).await;
    assert_eq!(alarm.title["point"], "temperature");
    site.report("temp-1", &measure(39.5)).await;
    site.settle().await;
    site.alarm("temp-1", AlarmKind::Limit, |alarm| alarm.active).await;
    site.report("temp-1", &measure(37.0)).await;
    site.alarm("temp-1", AlarmKind::Limit, |alarm| !alarm.active).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alarm_book_answers_again_after_it_was_killed() {
    let mut site = Compound::start().await;
    site.flag("smoke-1", "smoke", true).await;
    let alarm = site.alarm("smoke-1", AlarmKind::Smoke, |_| true).await;
    site.system.drill_kill(Part::Alarm);
    site.flag("smoke-1", "smoke", false).await;
    site.alarm("smoke-1", AlarmKind::Smoke, |alarm| !alarm.active).await;
    site.settle().await;
    site.system.ack(alarm.id, "wang", None).await.unwrap();
    site.no_alarm("smoke-1", AlarmKind::Smoke).await;
}
