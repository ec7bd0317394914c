//! The rules that operators write, running: a machine of its own, so that none of them delays a built-in rule or a release.
//!
//! A rule that costs too much, raises too often or names what is no longer there is stopped, with an event and an alarm;
//! the others go on. Memory of one rule: [`expr::MOST_KEPT`] moments and [`expr::MOST_SUBJECTS`] devices at most.

use super::expr::{self, Diagnostic, Input, Judge, Plan, PlanAction, Points, Scene, Subject, Target, Turn, code_of};
use super::{clear, raise};
use crate::alarm::AlarmKind;
use crate::command::ANSWER_MS;
use crate::device::telemetry::{PointName, Value};
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::id::{CommandId, DeviceId, RuleId};
use crate::machine::{Context, Machine, stored};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Rules that may run.
pub const MOST_RULES: usize = 200;
/// Terms that one rule may look at in a minute: two thousand a second.
pub const MOST_WORK: u64 = 120_000;
/// Alarms that one rule may raise in [`RAISES_WITHIN_S`].
pub const MOST_RAISES: usize = 60;
/// Seconds.
pub const RAISES_WITHIN_S: i64 = 600;

/// A rule as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its id.
    pub id: RuleId,
    /// What operators call it.
    pub name: String,
    /// As written.
    pub text: String,
    /// Grows with every change.
    pub version: i32,
}

/// What is known of a device when a rule begins to look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Its state.
    pub state: String,
    /// The newest values.
    pub points: Vec<(PointName, Value)>,
}

/// What the machine is told outside the event log.
#[derive(Clone, Debug)]
pub enum OperatorCall {
    /// A rule is to run as defined, with what is known of the devices it may name.
    Put(Definition, BTreeMap<DeviceId, Known>),
    /// A rule is to run no more.
    Remove(RuleId),
    /// Reports since the last look: who was heard, and the newest values of the points that rules name.
    Heard(Vec<(DeviceId, Vec<(PointName, Value)>)>),
}

/// How a rule does. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RuleState {
    /// Why it was stopped; empty while it runs.
    pub stopped: String,
    /// The devices it is on for; none for the site as a whole.
    pub on: Vec<Option<DeviceId>>,
    /// Whether a delay runs.
    pub waiting: bool,
}

/// What others may see of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorView {
    /// The points that rules read, by device.
    pub watched: BTreeMap<DeviceId, BTreeSet<PointName>>,
    /// How each rule does.
    pub rules: BTreeMap<RuleId, RuleState>,
}

/// What is stored of a rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    definition: Definition,
    stopped: String,
    on: Option<DeviceId>,
    subjects: Vec<Subject>,
    raises: VecDeque<Timestamp>,
}

#[derive(Clone, Debug)]
struct Running {
    definition: Definition,
    /// None while it is stopped.
    judge: Option<Judge>,
    stopped: String,
    raises: VecDeque<Timestamp>,
    /// The minute that work is counted in, and how much it was.
    work: (Timestamp, u64),
    /// The device that its alarm is on when it is judged as a whole.
    on: Option<DeviceId>,
    /// What it was on for when a restart found that it no longer fits: still to be said.
    unsaid: Option<Vec<Subject>>,
}

/// The machine.
#[derive(Clone, Debug, Default)]
pub struct OperatorRules {
    rules: BTreeMap<RuleId, Running>,
    /// Rules that were on and are no longer defined.
    orphans: Vec<Kept>,
    by_code: BTreeMap<&'static str, BTreeSet<RuleId>>,
    by_device: BTreeMap<DeviceId, BTreeSet<RuleId>>,
    moved: bool,
    shown: bool,
}

fn first(all: &[Diagnostic]) -> String {
    all.first().map(ToString::to_string).unwrap_or_default()
}

fn compile(text: &str, cx: &Context<'_>) -> Result<Arc<Plan>, String> {
    // What points devices have was checked when it was written; here only what must still be there.
    let points = Points::new();
    let scene = Scene { compound: cx.compound, access: cx.access, points: &points };
    expr::compile(text, scene).map(Arc::new).map_err(|all| first(&all))
}

impl OperatorRules {
    /// The rules as defined now, with what was remembered of them.
    pub fn restore(
        defined: Vec<Definition>,
        snapshot: serde_json::Value,
        cx: &Context<'_>,
    ) -> Result<Self, serde_json::Error> {
        let mut kept: BTreeMap<RuleId, Kept> =
            if snapshot.is_null() { BTreeMap::new() } else { serde_json::from_value(snapshot)? };
        let mut machine = Self::default();
        for definition in defined.into_iter().take(MOST_RULES) {
            let mut running = Running::new(definition, cx.wall);
            let mut subjects = vec![];
            if let Some(known) = kept.remove(&running.definition.id) {
                if known.definition.version == running.definition.version {
                    (running.stopped, running.raises) = (known.stopped.clone(), known.raises.clone());
                }
                if known.definition.text == running.definition.text {
                    (running.on, subjects) = (known.on, known.subjects);
                } else {
                    machine.orphans.push(known);
                }
            }
            if running.stopped.is_empty() {
                match compile(&running.definition.text, cx) {
                    Ok(plan) => {
                        let (judge, gone) = Judge::adopt(plan.clone(), subjects.clone(), cx.wall);
                        let gone: BTreeSet<_> = gone.iter().map(|turn| turn.subject).collect();
                        subjects.retain(|subject| gone.contains(&subject.device()));
                        machine.orphans.push(Kept { subjects, ..running.kept() });
                        (running.on, running.judge) = (plan.on, Some(judge));
                    }
                    Err(why) => (running.stopped, running.unsaid) = (why, Some(subjects)),
                }
            }
            machine.rules.insert(running.definition.id, running);
        }
        machine.orphans.extend(kept.into_values());
        machine.index();
        Ok(machine)
    }

    fn index(&mut self) {
        (self.by_code, self.by_device) = Default::default();
        for (id, running) in &self.rules {
            let Some(judge) = &running.judge else { continue };
            for code in judge.plan().codes() {
                self.by_code.entry(code).or_default().insert(*id);
            }
            for device in judge.plan().watched().into_keys() {
                self.by_device.entry(device).or_default().insert(*id);
            }
        }
        (self.moved, self.shown) = (true, true);
    }

    /// Lets some rules look at an input, and stops those that cost too much.
    fn look(&mut self, rules: Vec<RuleId>, cx: &Context<'_>, see: impl Fn(&mut Judge) -> Vec<Turn>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for id in rules {
            let Some(running) = self.rules.get_mut(&id) else { continue };
            let Some(judge) = &mut running.judge else { continue };
            let turns = see(judge);
            let changed = judge.changed();
            self.moved |= changed;
            self.shown |= changed;
            effects.extend(running.follow(&turns, cx));
            if let Some(why) = running.too_much(cx.now) {
                effects.extend(running.stop(why, cx));
                self.index();
            }
        }
        effects
    }

    /// Ends a rule's part: everything it is on for goes off.
    fn end(&mut self, id: RuleId, cx: &Context<'_>) -> Vec<Effect> {
        let Some(mut running) = self.rules.remove(&id) else { return vec![] };
        let turns = running.judge.as_mut().map(|judge| judge.stop(cx.now)).unwrap_or_default();
        let mut effects = running.follow(&turns, cx);
        if !running.stopped.is_empty() {
            effects.push(clear(None, AlarmKind::RuleStopped, &id.to_string()));
        }
        effects
    }

    fn put(&mut self, definition: Definition, known: &BTreeMap<DeviceId, Known>, cx: &Context<'_>) -> Vec<Effect> {
        let id = definition.id;
        let same = self.rules.get_mut(&id).filter(|it| it.definition.text == definition.text && it.judge.is_some());
        if let Some(running) = same {
            running.definition = definition;
            (self.moved, self.shown) = (true, true);
            return vec![];
        }
        let mut effects = self.end(id, cx);
        let mut running = Running::new(definition, cx.now);
        match compile(&running.definition.text, cx) {
            Ok(plan) => {
                running.on = plan.on;
                let (mut judge, mut first) = (Judge::new(plan.clone(), cx.now), Vec::new());
                let watched = plan.watched();
                for (device, known) in known {
                    let mut turns = judge.take(&Input::State(*device, &known.state), cx.now);
                    let named = watched.get(device);
                    for (point, value) in
                        known.points.iter().filter(|(point, _)| named.is_some_and(|it| it.contains(point)))
                    {
                        // What was known before is no report: silence is not broken by it.
                        turns.extend(judge.take(&Input::Value(*device, point, value), cx.now));
                    }
                    first.extend(turns);
                }
                first.extend(judge.advance(cx.now));
                judge.work();
                running.judge = Some(judge);
                effects.extend(running.follow(&first, cx));
            }
            Err(why) => effects.extend(running.stop(why, cx)),
        }
        self.rules.insert(id, running);
        self.index();
        effects
    }

    /// Takes devices that introduced themselves into rules for each.
    fn widen(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for running in self.rules.values_mut() {
            let Some(judge) = running.judge.as_ref().filter(|judge| judge.plan().open) else { continue };
            match compile(&running.definition.text, cx) {
                Ok(plan) if plan.subjects != judge.plan().subjects => {
                    let (next, turns) = Judge::adopt(plan, judge.subjects().to_vec(), cx.now);
                    running.judge = Some(next);
                    effects.extend(running.follow(&turns, cx));
                }
                Ok(_) => {}
                Err(why) => effects.extend(running.stop(why, cx)),
            }
        }
        self.index();
        effects
    }
}

impl Running {
    fn new(definition: Definition, now: Timestamp) -> Self {
        Self {
            definition,
            judge: None,
            stopped: String::new(),
            raises: VecDeque::new(),
            work: (now, 0),
            on: None,
            unsaid: None,
        }
    }

    /// What is stored of it, without its devices.
    fn kept(&self) -> Kept {
        Kept {
            definition: self.definition.clone(),
            stopped: self.stopped.clone(),
            on: self.on,
            subjects: vec![],
            raises: self.raises.clone(),
        }
    }

    /// What follows from the rule's turns.
    fn follow(&mut self, turns: &[Turn], cx: &Context<'_>) -> Vec<Effect> {
        let plan = self.judge.as_ref().map(|judge| judge.plan().clone());
        turns.iter().flat_map(|turn| self.turned(turn, plan.as_deref(), cx)).collect()
    }

    fn turned(&mut self, turn: &Turn, plan: Option<&Plan>, cx: &Context<'_>) -> Vec<Effect> {
        let id = self.definition.id;
        let device = turn.subject.or(self.on);
        let fired = Body::RuleFired {
            rule: id,
            name: self.definition.name.clone(),
            active: turn.on,
            since: turn.at,
            value: turn.value,
        };
        let mut effects = vec![Effect::Emit { device, body: fired }];
        if !turn.on {
            effects.push(clear(device, AlarmKind::Rule, &id.to_string()));
            return effects;
        }
        self.raises.push_back(cx.now);
        for (nth, action) in plan.iter().flat_map(|plan| &plan.actions).enumerate() {
            match action {
                PlanAction::Alarm { priority, title } => {
                    let mut params = Params::from([
                        ("title".into(), Value::Text(title.clone())),
                        ("rule".into(), Value::Text(self.definition.name.clone())),
                        ("priority".into(), Value::Number(f64::from(*priority))),
                    ]);
                    if let Some(value) = turn.value {
                        params.insert("value".into(), Value::Number(value));
                    }
                    effects.push(raise(device, AlarmKind::Rule, &id.to_string(), params));
                }
                PlanAction::Command { verb, at } => {
                    let Some(target) = (match at {
                        Target::Subject => turn.subject,
                        Target::Device(device) => Some(*device),
                    }) else {
                        continue;
                    };
                    let subject = turn.subject.map(|id| id.to_string()).unwrap_or_default();
                    let deadline = cx.now.saturating_add(SignedDuration::from_millis(ANSWER_MS));
                    let body = Body::AskCommand {
                        command: CommandId::from_key(&format!("{id}:{subject}:{}:{nth}", turn.at)),
                        what: verb.clone(),
                        why: self.definition.name.clone(),
                        deadline: deadline.unwrap_or(Timestamp::MAX),
                        life_safety: false,
                    };
                    effects.push(Effect::Emit { device: Some(target), body });
                }
            }
        }
        effects
    }

    /// Why it must stop, when it costs too much or raises too often.
    fn too_much(&mut self, now: Timestamp) -> Option<String> {
        let judge = self.judge.as_mut()?;
        let minute = SignedDuration::from_secs(60);
        let (since, spent) = self.work;
        let within = now.duration_since(since).abs() < minute;
        self.work = if within { (since, spent + judge.work()) } else { (now, judge.work()) };
        let window = SignedDuration::from_secs(RAISES_WITHIN_S);
        while self.raises.front().is_some_and(|at| now.duration_since(*at) >= window) {
            self.raises.pop_front();
        }
        if self.work.1 > MOST_WORK {
            return Some(format!("it costs too much: more than {MOST_WORK} comparisons in a minute"));
        }
        (self.raises.len() > MOST_RAISES)
            .then(|| format!("it raises too often: more than {MOST_RAISES} alarms in {} min", RAISES_WITHIN_S / 60))
    }

    /// Stops it: what it is on for goes off, an event and an alarm say why.
    fn stop(&mut self, why: String, cx: &Context<'_>) -> Vec<Effect> {
        let turns = match &mut self.judge {
            Some(judge) => judge.stop(cx.now),
            None => off(&self.unsaid.take().unwrap_or_default(), cx.now),
        };
        let mut effects = self.follow(&turns, cx);
        (self.judge, self.unsaid) = (None, None);
        self.stopped.clone_from(&why);
        let (rule, name) = (self.definition.id, self.definition.name.clone());
        let params =
            Params::from([("rule".into(), Value::Text(name.clone())), ("reason".into(), Value::Text(why.clone()))]);
        effects.push(Effect::Emit { device: None, body: Body::RuleStopped { rule, name, reason: why } });
        effects.push(raise(None, AlarmKind::RuleStopped, &rule.to_string(), params));
        effects
    }
}

fn off(subjects: &[Subject], now: Timestamp) -> Vec<Turn> {
    let on = subjects.iter().filter(|subject| subject.is_on());
    on.map(|subject| Turn { subject: subject.device(), on: false, at: now, value: None }).collect()
}

impl Machine for OperatorRules {
    type Call = OperatorCall;
    type Reply = ();
    type View = OperatorView;

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        if matches!(event.body, Body::Announced { .. }) {
            return self.widen(cx);
        }
        let Some(rules) = code_of(&event.body).and_then(|code| self.by_code.get(code)) else { return vec![] };
        self.look(rules.iter().copied().collect(), cx, |judge| judge.take(&Input::Event(event), cx.now))
    }

    fn tick(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let due = |running: &Running| running.judge.as_ref().and_then(Judge::wake).is_some_and(|at| at <= cx.now);
        let rules = self.rules.iter().filter(|(_, running)| due(running)).map(|(id, _)| *id).collect();
        self.look(rules, cx, |judge| judge.advance(cx.now))
    }

    fn call(&mut self, call: OperatorCall, cx: &Context<'_>) -> ((), Vec<Effect>) {
        let effects = match call {
            OperatorCall::Put(definition, known) => self.put(definition, &known, cx),
            OperatorCall::Remove(id) => {
                let effects = self.end(id, cx);
                self.index();
                effects
            }
            OperatorCall::Heard(reports) => {
                let mut effects = Vec::new();
                for (device, points) in reports {
                    let Some(rules) = self.by_device.get(&device) else { continue };
                    let rules: Vec<RuleId> = rules.iter().copied().collect();
                    effects.extend(self.look(rules, cx, |judge| {
                        let mut turns = judge.take(&Input::Report(device), cx.now);
                        for (point, value) in &points {
                            turns.extend(judge.take(&Input::Value(device, point, value), cx.now));
                        }
                        turns
                    }));
                }
                effects
            }
        };
        ((), effects)
    }

    fn wake(&self) -> Option<Timestamp> {
        self.rules.values().filter_map(|running| running.judge.as_ref()?.wake()).min()
    }

    fn restored(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for gone in std::mem::take(&mut self.orphans) {
            let mut running = Running::new(gone.definition, cx.now);
            running.on = gone.on;
            effects.extend(running.follow(&off(&gone.subjects, cx.now), cx));
            if !gone.stopped.is_empty() {
                effects.push(clear(None, AlarmKind::RuleStopped, &running.definition.id.to_string()));
            }
        }
        for running in self.rules.values_mut() {
            if let Some(judge) = &mut running.judge {
                judge.listened(cx.now);
            } else if running.unsaid.is_some() {
                let why = running.stopped.clone();
                effects.extend(running.stop(why, cx));
            }
        }
        effects.extend(self.tick(cx));
        effects
    }

    fn snapshot(&self) -> String {
        let kept: BTreeMap<RuleId, Kept> = self
            .rules
            .iter()
            .map(|(id, running)| {
                let subjects = running.judge.as_ref().map(|judge| judge.subjects().to_vec());
                (*id, Kept { subjects: subjects.unwrap_or_default(), ..running.kept() })
            })
            .collect();
        stored(&kept)
    }

    fn view(&mut self) -> Option<OperatorView> {
        if !std::mem::take(&mut self.shown) {
            return None;
        }
        let mut view = OperatorView::default();
        for (id, running) in &self.rules {
            let mut state = RuleState { stopped: running.stopped.clone(), ..RuleState::default() };
            if let Some(judge) = &running.judge {
                (state.on, state.waiting) = (judge.on().collect(), judge.waits());
                for (device, points) in judge.plan().watched() {
                    view.watched.entry(device).or_default().extend(points);
                }
            }
            view.rules.insert(*id, state);
        }
        Some(view)
    }

    fn moved(&mut self) -> Option<bool> {
        Some(std::mem::take(&mut self.moved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Snapshot;
    use crate::site::{Compound, Site};
    use serde_json::json;

    fn compound(keys: &[&str]) -> Compound {
        let device =
            |key: &&str| json!({"key": key, "kind": "sensor", "class": "temperature", "name": key, "place": "yard"});
        let devices: Vec<_> = keys.iter().map(device).collect();
        let places = json!([{"key": "yard", "kind": "site", "name": "Yard"}]);
        let site: Site = serde_json::from_value(json!({"name": "Yard", "places": places, "devices": devices})).unwrap();
        Compound::new(&site)
    }

    fn hot(key: &str) -> Definition {
        let text = format!("when point temperature of \"{key}\" > 30 then alarm priority 1 title \"Hot\"");
        Definition { id: RuleId::from_key(key), name: key.to_owned(), text, version: 1 }
    }

    fn heard(key: &str, degrees: f64) -> OperatorCall {
        OperatorCall::Heard(vec![(DeviceId::from_key(key), vec![("temperature".into(), Value::Number(degrees))])])
    }

    /// The codes of what follows, with the device's key for those about a device.
    fn said(effects: &[Effect]) -> Vec<String> {
        let said = |effect: &Effect| match effect {
            Effect::Emit { body, .. } => Some(body.code()),
            Effect::Send(_) | Effect::Keep(_) => None,
        };
        effects.iter().filter_map(said).collect()
    }

    fn read(rules: &OperatorRules) -> serde_json::Value {
        serde_json::from_str(&rules.snapshot()).unwrap()
    }

    #[test]
    fn a_rule_whose_device_is_gone_is_stopped_once_and_the_others_go_on() {
        let (both, one, access) = (compound(&["a", "b"]), compound(&["b"]), Snapshot::default());
        let now: Timestamp = "2026-05-04T12:00:00Z".parse().unwrap();
        let cx = Context { now, wall: now, compound: &both, access: &access };
        let mut rules = OperatorRules::default();
        for key in ["a", "b"] {
            rules.call(OperatorCall::Put(hot(key), BTreeMap::new()), &cx);
            assert_eq!(said(&rules.call(heard(key, 31.0), &cx).1), ["rule.fired", "ask.raise"]);
        }
        let cx = Context { compound: &one, ..cx };
        let mut rules = OperatorRules::restore(vec![hot("a"), hot("b")], read(&rules), &cx).unwrap();
        assert_eq!(said(&rules.restored(&cx)), ["rule.fired", "ask.clear", "rule.stopped", "ask.raise"]);
        assert_eq!(said(&rules.call(heard("b", 20.0), &cx).1), ["rule.fired", "ask.clear"]);
        let view = rules.view().unwrap();
        assert!(view.rules[&RuleId::from_key("a")].stopped.contains("no device \"a\""), "{view:?}");
        let mut rules = OperatorRules::restore(vec![hot("a"), hot("b")], read(&rules), &cx).unwrap();
        assert_eq!(said(&rules.restored(&cx)), [] as [&str; 0], "said once");
    }

    #[test]
    fn a_rule_that_costs_too_much_is_stopped() {
        let (compound, access) = (compound(&["a"]), Snapshot::default());
        let now: Timestamp = "2026-05-04T12:00:00Z".parse().unwrap();
        let cx = Context { now, wall: now, compound: &compound, access: &access };
        let mut rules = OperatorRules::default();
        rules.call(OperatorCall::Put(hot("a"), BTreeMap::new()), &cx);
        let mut turn = 0_u32;
        let stopped = loop {
            turn += 1;
            let effects = rules.call(heard("a", f64::from(turn % 20)), &cx).1;
            if !effects.is_empty() {
                break said(&effects);
            }
            assert!(turn < 200_000, "it is never stopped");
        };
        assert_eq!(stopped, ["rule.stopped", "ask.raise"]);
        assert!(u64::from(turn) * 2 > MOST_WORK, "not before its budget is spent");
    }

    #[test]
    fn a_delay_that_began_is_to_be_stored_and_a_mere_value_is_not() {
        let (compound, access) = (compound(&["a"]), Snapshot::default());
        let now: Timestamp = "2026-05-04T12:00:00Z".parse().unwrap();
        let cx = Context { now, wall: now, compound: &compound, access: &access };
        let mut rules = OperatorRules::default();
        let slow = Definition { text: hot("a").text.replace("then", "for 1 min then"), ..hot("a") };
        rules.call(OperatorCall::Put(slow, BTreeMap::new()), &cx);
        rules.call(heard("a", 20.0), &cx);
        rules.moved();
        assert!(rules.call(heard("a", 21.0), &cx).1.is_empty());
        assert_eq!(rules.moved(), Some(false));
        assert!(rules.call(heard("a", 31.0), &cx).1.is_empty());
        assert_eq!(rules.moved(), Some(true));
        assert!(rules.wake().is_some());
    }
}
