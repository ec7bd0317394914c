//! Stories of the language and its judge, then what must hold for any rule, text or history.

use super::*;
use crate::access::{Day, Schedule, Snapshot, Window};
use crate::device::telemetry::Value;
use crate::id::DeviceId;
use crate::site::{Compound, Site};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn compound() -> Compound {
    let site: Site = serde_json::from_value(json!({
        "name": "Yard",
        "places": [{"key": "yard", "kind": "site", "name": "Yard"},
                   {"key": "house", "parent": "yard", "kind": "building", "name": "House"}],
        "devices": [
            {"key": "temp-1", "kind": "sensor", "class": "temperature", "name": "T1", "place": "yard"},
            {"key": "temp-2", "kind": "sensor", "class": "temperature", "name": "T2", "place": "house"},
            {"key": "pump", "kind": "meter", "class": "water", "name": "Pump", "place": "house"},
            {"key": "door-1", "kind": "door", "name": "Door", "place": "house"}
        ]
    }))
    .unwrap();
    Compound::new(&site)
}

fn access() -> Snapshot {
    let mut access = Snapshot::default();
    let night = Window { days: vec![Day::Mon], from: "22:00".into(), to: "06:00".into() };
    access.schedules.insert("night".into(), Schedule::new(&[night], &[]).unwrap());
    access
}

fn points() -> Points {
    let number = |name: &str| (name.to_owned(), Shape::Number);
    BTreeMap::from([
        (id("temp-1"), BTreeMap::from([number("temperature"), ("tamper".into(), Shape::Bool)])),
        (id("temp-2"), BTreeMap::from([number("temperature")])),
        (id("pump"), BTreeMap::from([number("pressure"), number("flow"), ("mode".into(), Shape::Word)])),
        (id("door-1"), BTreeMap::new()),
    ])
}

fn id(key: &str) -> DeviceId {
    DeviceId::from_key(key)
}

fn compiled(text: &str) -> Result<Plan, Vec<Diagnostic>> {
    let (compound, access, points) = (compound(), access(), points());
    compile(text, Scene { compound: &compound, access: &access, points: &points })
}

fn at(seconds: i64) -> Timestamp {
    "2026-05-04T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// Runs a story of (second, point, value) of a device; the turns as (second, on).
fn turns(text: &str, key: &str, story: &[(i64, &str, Value)], until: i64) -> Vec<(i64, bool)> {
    let mut judge = Judge::new(Arc::new(compiled(text).unwrap()), at(0));
    let mut turns = Vec::new();
    for (second, point, value) in story {
        turns.extend(judge.take(&Input::Report(id(key)), at(*second)));
        turns.extend(judge.take(&Input::Value(id(key), point, value), at(*second)));
    }
    turns.extend(judge.advance(at(until)));
    turns.iter().map(|turn| (turn.at.duration_since(at(0)).as_secs(), turn.on)).collect()
}

fn n(value: f64) -> Value {
    Value::Number(value)
}

const HOT: &str = "when point temperature of \"temp-1\" > 30 °C deadband 1 for 60 s off after 30 s
then alarm priority 2 title \"Hot\"";

#[test]
fn a_limit_waits_out_its_delays_and_is_quiet_within_its_deadband() {
    let t = "temperature";
    let story = [(0, t, n(29.0)), (10, t, n(31.0)), (50, t, n(29.5)), (100, t, n(28.0)), (110, t, n(29.5))];
    assert_eq!(turns(HOT, "temp-1", &story, 500), [(70, true), (130, false)]);
    // Shorter than its delay it is nothing.
    assert_eq!(turns(HOT, "temp-1", &[(10, t, n(31.0)), (60, t, n(20.0))], 500), []);
}

#[test]
fn and_or_not_take_what_is_unknown_for_neither() {
    let rule = "when not point mode of \"pump\" = \"auto\" and (point pressure of \"pump\" < 2 bar or point flow of \"pump\" > 12)
then alarm priority 3 title \"Pump\"";
    assert_eq!(turns(rule, "pump", &[(1, "pressure", n(0.1))], 9), [], "the mode is not known");
    let story = [
        (1, "pressure", n(0.1)),
        (2, "mode", Value::Text("hand".into())),
        (3, "pressure", n(0.3)),
        (4, "flow", n(13.0)),
    ];
    assert_eq!(turns(rule, "pump", &story, 9), [(2, true), (3, false), (4, true)], "2 bar are 0.2 MPa");
}

#[test]
fn silence_and_its_end_are_told() {
    let rule = "when no report from \"pump\" for 10 min then alarm priority 3 title \"Silent\"";
    assert_eq!(
        turns(rule, "pump", &[(100, "flow", n(1.0)), (900, "flow", n(1.0))], 2_000),
        [(700, true), (900, false), (1_500, true)]
    );
}

#[test]
fn a_count_is_over_when_its_window_has_passed() {
    use crate::access::{DenyReason, Via};
    use crate::event::{Body, Event};
    use crate::id::EventId;
    let rule = "when count(access.denied where via = \"card\" at \"door-1\") >= 3 in 60 s then alarm priority 2 title \"Denied\"";
    let mut judge = Judge::new(Arc::new(compiled(rule).unwrap()), at(0));
    let mut turns = Vec::new();
    for (seq, (second, via)) in
        [(0, Via::Card), (10, Via::Face), (20, Via::Card), (30, Via::Card)].into_iter().enumerate()
    {
        let body = Body::Denied { person: None, name: String::new(), via, reason: DenyReason::Unauthorized };
        let event = Event {
            id: EventId::from_key(&seq.to_string()),
            seq: seq as u64,
            received_at: at(second),
            observed_at: None,
            device: Some(id("door-1")),
            place: None,
            cause: None,
            by: "door-1".into(),
            body,
        };
        turns.extend(judge.take(&Input::Event(&event), at(second)));
    }
    turns.extend(judge.advance(at(500)));
    let turns: Vec<_> = turns.iter().map(|turn| (turn.at.duration_since(at(0)).as_secs(), turn.on)).collect();
    assert_eq!(turns, [(30, true), (60, false)]);
}

#[test]
fn hours_open_and_close_it_by_themselves() {
    // 2026-05-04 is a Monday; the site's zone is UTC here; it is noon at 0.
    let rule =
        "when point flow of \"pump\" > 12 during schedule \"night\" then alarm priority 4 title \"Flow at night\"";
    assert_eq!(turns(rule, "pump", &[(0, "flow", n(13.0))], 90_000), [(36_000, true), (64_800, false)]);
    let rule = rule.replace("schedule \"night\"", "13:00 to 14:00 on mon");
    assert_eq!(turns(&rule, "pump", &[(0, "flow", n(13.0))], 90_000), [(3_600, true), (7_200, false)]);
}

#[test]
fn each_device_is_judged_apart() {
    let rule = "for each sensor where class = \"temperature\" and place = \"yard\"\nwhen point temperature > 30\nthen alarm priority 2 title \"Hot\"";
    let mut judge = Judge::new(Arc::new(compiled(rule).unwrap()), at(0));
    assert_eq!(judge.plan().subjects.len(), 2, "a place is all within it");
    let hot = judge.take(&Input::Value(id("temp-2"), "temperature", &n(31.0)), at(1));
    assert_eq!(hot.iter().map(|turn| turn.subject).collect::<Vec<_>>(), [Some(id("temp-2"))]);
    assert_eq!(judge.on().collect::<Vec<_>>(), [Some(id("temp-2"))]);
}

#[test]
fn a_restart_in_a_delay_loses_no_deadline_and_fires_once() {
    let plan = Arc::new(compiled(HOT).unwrap());
    let mut judge = Judge::new(plan.clone(), at(0));
    judge.take(&Input::Value(id("temp-1"), "temperature", &n(31.0)), at(10));
    assert!(judge.changed(), "a delay that began must be stored");
    let stored = serde_json::to_value(judge.subjects()).unwrap();
    let restore = |stored: &serde_json::Value| {
        let (mut judge, gone) = Judge::adopt(plan.clone(), serde_json::from_value(stored.clone()).unwrap(), at(300));
        assert!(gone.is_empty());
        judge.listened(at(300));
        let turns = judge.advance(at(300));
        (judge, turns)
    };
    let (judge, turns) = restore(&stored);
    assert_eq!(turns.len(), 1);
    assert_eq!((turns[0].on, turns[0].at), (true, at(70)), "at its own moment");
    let stored = serde_json::to_value(judge.subjects()).unwrap();
    assert_eq!(restore(&stored).1, [], "not twice");
}

fn wrong(text: &str, expect: &[(&str, &str)]) {
    let found = compiled(text).err().unwrap_or_default();
    let units: Vec<u16> = text.encode_utf16().collect();
    let found: Vec<(String, String)> =
        found.iter().map(|it| (it.code.clone(), String::from_utf16(&units[it.start..it.end]).unwrap())).collect();
    let expect: Vec<(String, String)> = expect.iter().map(|(code, part)| ((*code).into(), (*part).into())).collect();
    assert_eq!(found, expect, "{text}");
}

#[test]
fn what_is_wrong_names_its_place() {
    let then = "then alarm priority 2 title \"x\"";
    wrong(&format!("when point temprature of \"temp-1\" > 30 {then}"), &[("unknown_point", "temprature")]);
    wrong(&format!("when point temperature of \"tmp-1\" > 30 {then}"), &[("unknown_device", "\"tmp-1\"")]);
    wrong(&format!("when point temperature of \"temp-1\" > 30 kW {then}"), &[("wrong_unit", "30 kW")]);
    wrong(&format!("when point temperature of \"temp-1\" = \"hot\" {then}"), &[("wrong_type", "\"hot\"")]);
    wrong(&format!("when point tamper of \"temp-1\" > 1 {then}"), &[("wrong_type", "1")]);
    wrong(&format!("when state of \"door-1\" = \"helt_open\" {then}"), &[("unknown_state", "\"helt_open\"")]);
    wrong(&format!("when count(access.denyed) >= 3 in 60 s {then}"), &[("unknown_event", "access.denyed")]);
    wrong(&format!("when count(access.denied where reson = \"x\") >= 3 in 60 s {then}"), &[("unknown_field", "reson")]);
    wrong(
        &format!("when no report from \"pump\" for 1 min during schedule \"nacht\" {then}"),
        &[("unknown_schedule", "\"nacht\"")],
    );
    wrong(&format!("when point flow > 1 {then}"), &[("which_device", "flow")]);
    wrong(&format!("for each lamp when point flow > 1 {then}"), &[("unknown_kind", "lamp")]);
    wrong("when no report from \"pump\" for 1 min then command unlock at \"door-1\"", &[("never_opens", "unlock")]);
    wrong("when no report from \"pump\" for 1 min then command arm at \"door-1\"", &[("cannot_do", "arm")]);
    wrong("wenn point x > 1", &[("wanted", "wenn")]);
    wrong("when point flow of \"pump\" > 1", &[("wanted", "")]);
    let found = compiled("when point\n  temprature of \"temp-1\" > 30 then alarm priority 2 title \"x\"").unwrap_err();
    assert_eq!((found[0].line, found[0].column), (2, 3));
    assert_eq!(
        found[0].message,
        "no point \"temprature\" there: it has tamper, temperature: did you mean temperature?"
    );
}

fn name() -> impl Strategy<Value = At<String>> {
    prop_oneof!["[a-z][a-z0-9_.-]{0,8}", "\\PC{1,6}", Just("for".to_owned()), Just("a\"\\b".to_owned())]
        .prop_map(|node| At { node, span: Span::default() })
}

fn spot<T>(node: T) -> At<T> {
    At { node, span: Span::default() }
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        (-1e6..1e6_f64, prop_oneof![Just(""), Just("°C"), Just("m³/h"), Just("%")])
            .prop_map(|(n, unit)| Literal::Number(n, unit.to_owned())),
        any::<bool>().prop_map(Literal::Bool),
        "\\PC{0,8}".prop_map(Literal::Word),
    ]
}

fn term() -> impl Strategy<Value = Term> {
    let ms = || 1..100_000_000_i64;
    let cmp = prop_oneof![
        Just(Cmp::More),
        Just(Cmp::AtLeast),
        Just(Cmp::Less),
        Just(Cmp::AtMost),
        Just(Cmp::Is),
        Just(Cmp::IsNot)
    ];
    prop_oneof![
        (name(), proptest::option::of(name()), cmp, literal(), proptest::option::of(0.0..9.0_f64)).prop_map(
            |(point, of, cmp, to, band)| Term::Point {
                point,
                of,
                cmp,
                to: spot(to),
                deadband: band.map(|n| spot((n, "kW".to_owned())))
            }
        ),
        (proptest::option::of(name()), any::<bool>(), name()).prop_map(|(of, is, word)| Term::State { of, is, word }),
        (
            name(),
            proptest::option::of((name(), literal().prop_map(spot))),
            proptest::option::of(name()),
            1..1_000_u32,
            ms()
        )
            .prop_map(|(event, filter, place, n, within)| Term::Count {
                event,
                filter,
                at: place.map(Where::Place),
                n: spot(n),
                within_ms: spot(within)
            }),
        (proptest::option::of(name()), ms()).prop_map(|(of, ms)| Term::Silent { of, for_ms: spot(ms) }),
    ]
}

fn cond() -> impl Strategy<Value = Cond> {
    term().prop_map(|term| Cond::Term(spot(term))).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..3).prop_map(Cond::Any),
            proptest::collection::vec(inner.clone(), 2..3).prop_map(Cond::All),
            inner.prop_map(|cond| Cond::Not(Box::new(cond))),
        ]
    })
}

fn rule() -> impl Strategy<Value = RuleAst> {
    let during = prop_oneof![
        Just(None),
        name().prop_map(|key| Some(During::Schedule(key))),
        (0..=1_440_u16, 0..=1_440_u16, proptest::sample::subsequence(vec![Day::Mon, Day::Wed, Day::Sun], 0..3))
            .prop_map(|(from, to, days)| Some(During::Hours { from, to, days })),
    ];
    let each = proptest::option::of(name().prop_filter("device is a word of its own", |kind| kind.node != "device"))
        .prop_map(|kind| {
            let filter = Filter { field: spot("class".into()), any: vec![spot("a b".into()), spot("c".into())] };
            kind.map(|kind| Selection { kind, filters: vec![filter] })
        });
    let alarm = (1..=4_u8, "[a-z\"\\\\]{1,9}").prop_map(|(priority, title)| spot(Action::Alarm { priority, title }));
    (each, cond(), 0..9_000_000_i64, 0..9_000_000_i64, during, proptest::collection::vec(alarm, 1..3))
        .prop_map(|(each, when, on_ms, off_ms, during, actions)| RuleAst { each, when, on_ms, off_ms, during, actions })
}

proptest! {
    #[test]
    fn what_is_written_back_reads_the_same(rule in rule()) {
        let text = rule.to_string();
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, rule),
            // Generated conditions may have more terms than a rule may.
            Err(wrong) => prop_assert!(matches!(wrong.code, "too_many_terms" | "too_long"), "{}: {}", wrong.message, text),
        }
    }

    #[test]
    fn any_text_is_read_or_refused_within_itself(text in "\\PC{0,60}|(when|point|\"|a|>|1|:|\\(|and|for| |\n|°){0,40}") {
        let units = text.encode_utf16().count();
        for found in compiled(&text).err().unwrap_or_default() {
            prop_assert!(found.start <= found.end && found.end <= units);
            prop_assert!(found.line >= 1 && found.line <= text.matches('\n').count() + 1);
        }
    }

    #[test]
    fn it_never_comes_on_twice_without_going_off(values in proptest::collection::vec((1..90_i64, 26.0..34.0_f64), 1..60)) {
        let mut judge = Judge::new(Arc::new(compiled(HOT).unwrap()), at(0));
        let (mut now, mut on) = (0, false);
        for (pause, value) in values {
            now += pause;
            for turn in judge.take(&Input::Value(id("temp-1"), "temperature", &n(value)), at(now)) {
                prop_assert_ne!(turn.on, on);
                on = turn.on;
                prop_assert!(turn.at <= at(now));
            }
            prop_assert!(judge.wake().is_none_or(|due| due > at(now)));
        }
    }

    #[test]
    fn it_does_not_matter_how_often_somebody_looks(values in proptest::collection::vec((1..90_i64, 26.0..34.0_f64), 1..40)) {
        let plan = Arc::new(compiled(HOT).unwrap());
        let (mut seldom, mut often) = (Judge::new(plan.clone(), at(0)), Judge::new(plan, at(0)));
        let (mut now, mut few, mut many) = (0, vec![], vec![]);
        for (pause, value) in values {
            for second in 0..pause {
                many.extend(often.advance(at(now + second)));
            }
            now += pause;
            let value = n(value);
            let input = Input::Value(id("temp-1"), "temperature", &value);
            many.extend(often.take(&input, at(now)));
            few.extend(seldom.take(&input, at(now)));
        }
        prop_assert_eq!(few, many);
    }
}
