//! The judge of one rule: what it has seen, what it waits for, and the turns it takes.
//!
//! ```text
//!  off ──condition holds──▶ waiting (on-delay) ──▶ on ──condition gone──▶ waiting (off-delay) ──▶ off
//! ```
//! The same judge runs live and over recorded history. Deadlines are moments, kept with the state: what was due between
//! two inputs is done before the second, at its own moment, so it does not matter how late somebody looks.

use super::ast::Cmp;
use super::fact::code_of;
use super::plan::{Node, Plan, PlanTerm, Scope, Target, Test};
use crate::alarm::Delay;
use crate::device::telemetry::Value;
use crate::event::{Event, params_of};
use crate::id::DeviceId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a judge is told.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A device reported.
    Report(DeviceId),
    /// What a point's value is.
    Value(DeviceId, &'a str, &'a Value),
    /// What a device's state is, where it did not just change.
    State(DeviceId, &'a str),
    /// Something happened.
    Event(&'a Event),
}

/// The rule came on or went off for a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// For which device; none for the site as a whole.
    pub subject: Option<DeviceId>,
    /// Whether it came on.
    pub on: bool,
    /// When.
    pub at: Timestamp,
    /// The number that its first comparison of a number looked at.
    pub value: Option<f64>,
}

/// What is remembered of a term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Memory {
    /// Whether the comparison holds; not known before the first value.
    Truth(Option<bool>, Option<f64>),
    /// The newest moments, at most as many as are counted.
    Times(VecDeque<Timestamp>),
    /// When it was last heard.
    Heard(Timestamp),
}

/// What is remembered for a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    device: Option<DeviceId>,
    terms: Vec<Memory>,
    on: bool,
    pending: Option<Delay>,
    /// When it was last looked at.
    seen: Timestamp,
    #[serde(skip)]
    due: Option<Timestamp>,
}

impl Subject {
    /// For which device; none for the site as a whole.
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Whether the rule is on for it.
    pub fn is_on(&self) -> bool {
        self.on
    }
}

/// A judge.
#[derive(Clone, Debug)]
pub struct Judge {
    plan: Arc<Plan>,
    subjects: Vec<Subject>,
    /// Where each device is among the subjects.
    index: BTreeMap<DeviceId, usize>,
    due: BTreeSet<(Timestamp, usize)>,
    changed: bool,
    /// Terms looked at since the last count.
    work: u64,
}

fn later(at: Timestamp, ms: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

impl Judge {
    /// A judge that has seen nothing yet.
    pub fn new(plan: Arc<Plan>, now: Timestamp) -> Self {
        Self::adopt(plan, vec![], now).0
    }

    /// A judge with what was remembered of the devices it still looks at; those that were on and are gone go off.
    pub fn adopt(plan: Arc<Plan>, kept: Vec<Subject>, now: Timestamp) -> (Self, Vec<Turn>) {
        let mut kept: BTreeMap<Option<DeviceId>, Subject> = kept.into_iter().map(|kept| (kept.device, kept)).collect();
        let (mut subjects, mut new) = (Vec::with_capacity(plan.subjects.len()), Vec::new());
        for device in &plan.subjects {
            subjects.push(match kept.remove(device) {
                Some(known) if fits(&known.terms, &plan.terms) => known,
                other => {
                    new.push(subjects.len());
                    let terms = plan.terms.iter().map(|term| fresh(term, now)).collect();
                    let on = other.is_some_and(|known| known.on);
                    Subject { device: *device, terms, on, pending: None, seen: now, due: None }
                }
            });
        }
        let gone = kept.into_values().filter(|gone| gone.on);
        let turns = gone.map(|gone| Turn { subject: gone.device, on: false, at: now, value: None }).collect();
        let index = subjects.iter().enumerate().filter_map(|(nth, subject)| Some((subject.device?, nth))).collect();
        let mut judge = Self { plan, subjects, index, due: BTreeSet::new(), changed: true, work: 0 };
        for nth in 0..judge.subjects.len() {
            let seen = judge.subjects[nth].seen;
            judge.wind(nth, seen);
        }
        for nth in new {
            judge.look_at(nth, now);
        }
        (judge, turns)
    }

    /// Has a device looked at at a moment.
    fn look_at(&mut self, nth: usize, at: Timestamp) {
        let Some(subject) = self.subjects.get_mut(nth) else { return };
        if let Some(before) = subject.due.replace(at) {
            self.due.remove(&(before, nth));
        }
        self.due.insert((at, nth));
    }

    /// What it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What to store.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The devices it is on for.
    pub fn on(&self) -> impl Iterator<Item = Option<DeviceId>> + '_ {
        self.subjects.iter().filter(|subject| subject.on).map(|subject| subject.device)
    }

    /// Whether a delay runs.
    pub fn waits(&self) -> bool {
        self.subjects.iter().any(|subject| subject.pending.is_some())
    }

    /// Whether what is to be stored changed since the last look.
    pub fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Terms looked at since the last look: what it costs.
    pub fn work(&mut self) -> u64 {
        std::mem::take(&mut self.work)
    }

    /// When it wants to be looked at again.
    pub fn wake(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Nobody listened until now: a silence that had not lasted long enough counts from here.
    pub fn listened(&mut self, now: Timestamp) {
        for nth in 0..self.subjects.len() {
            let subject = &mut self.subjects[nth];
            for (term, memory) in self.plan.terms.iter().zip(&mut subject.terms) {
                if let (PlanTerm::Silent { for_ms, .. }, Memory::Heard(at)) = (term, memory)
                    && later(*at, *for_ms) > subject.seen
                {
                    *at = (*at).max(now);
                }
            }
            let seen = subject.seen;
            self.wind(nth, seen);
        }
    }

    /// Does what is due, each at its own moment.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Turn> {
        let mut turns = Vec::new();
        while let Some((at, nth)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            turns.extend(self.settle(nth, at));
        }
        turns
    }

    /// Takes an input.
    pub fn take(&mut self, input: &Input<'_>, now: Timestamp) -> Vec<Turn> {
        let mut turns = self.advance(now);
        let plan = self.plan.clone();
        let (device, place) = match input {
            Input::Report(device) | Input::Value(device, ..) | Input::State(device, _) => (Some(*device), None),
            Input::Event(event) => (event.device, event.place),
        };
        let some = match device.and_then(|device| self.index.get(&device)) {
            _ if plan.looks_around() => 0..self.subjects.len(),
            Some(nth) => *nth..*nth + 1,
            None => 0..0,
        };
        for nth in some {
            let mut touched = false;
            for (at, term) in plan.terms.iter().enumerate() {
                let subject = &mut self.subjects[nth];
                let Some(memory) = subject.terms.get_mut(at) else { continue };
                let is = |of: &Target, device: DeviceId| match of {
                    Target::Subject => subject.device == Some(device),
                    Target::Device(id) => *id == device,
                };
                let before = memory.clone();
                match (term, input, &mut *memory) {
                    (
                        PlanTerm::Point { of, point, test, .. },
                        Input::Value(device, name, value),
                        Memory::Truth(truth, number),
                    ) if point == name && is(of, *device) => {
                        *truth = holds(test, value, *truth == Some(true)).or(*truth);
                        *number = value.as_number().or(*number);
                    }
                    (PlanTerm::Silent { of, for_ms }, Input::Report(device), Memory::Heard(at)) if is(of, *device) => {
                        self.changed |= later(*at, *for_ms) <= now;
                        *at = (*at).max(now);
                        // Being heard is worth no row of its own, but the deadline moves.
                        touched = true;
                        continue;
                    }
                    (PlanTerm::State { of, is: wanted, word }, input, Memory::Truth(truth, _)) => {
                        let state = match input {
                            Input::State(device, state) if is(of, *device) => Some((*state).to_owned()),
                            Input::Event(event) => match (&event.body, event.device) {
                                (crate::event::Body::StateChanged { to, .. }, Some(device)) if is(of, device) => {
                                    Some(to.clone())
                                }
                                _ => None,
                            },
                            _ => None,
                        };
                        if let Some(state) = state {
                            *truth = Some((state == *word) == *wanted);
                        }
                    }
                    (PlanTerm::Count { code, filter, scope, n, .. }, Input::Event(event), Memory::Times(times)) => {
                        let here = match scope {
                            Scope::Subject => subject.device.is_some() && event.device == subject.device,
                            Scope::Device(id) => event.device == Some(*id),
                            Scope::Places(places) => place.is_some_and(|place| places.contains(&place)),
                            Scope::Site => true,
                        };
                        if here && code_of(&event.body) == Some(code) && passes(filter.as_ref(), event) {
                            times.push_back(now);
                            if times.len() > *n {
                                times.pop_front();
                            }
                        }
                    }
                    _ => continue,
                }
                if *memory != before {
                    touched = true;
                    // A value that moved on the same side of its limit needs no row.
                    let same = |a: &Memory, b: &Memory| match (a, b) {
                        (Memory::Truth(a, _), Memory::Truth(b, _)) => a == b,
                        _ => false,
                    };
                    self.changed |= !same(&before, memory);
                }
            }
            if touched {
                turns.extend(self.settle(nth, now));
            }
        }
        turns
    }

    /// Goes off everywhere, as when it is switched off.
    pub fn stop(&mut self, now: Timestamp) -> Vec<Turn> {
        self.due.clear();
        let mut turns = Vec::new();
        for subject in &mut self.subjects {
            (subject.pending, subject.due) = (None, None);
            if std::mem::replace(&mut subject.on, false) {
                turns.push(Turn { subject: subject.device, on: false, at: now, value: None });
            }
        }
        self.changed = true;
        turns
    }

    /// Brings a device up to a moment.
    fn settle(&mut self, nth: usize, now: Timestamp) -> Option<Turn> {
        let plan = self.plan.clone();
        self.work += plan.terms.len() as u64 + 1;
        let subject = self.subjects.get_mut(nth)?;
        let truths: Vec<Option<bool>> =
            plan.terms.iter().zip(&subject.terms).map(|(term, memory)| truth(term, memory, now)).collect();
        let awake = plan.during.as_ref().is_none_or(|hours| hours.schedule.permits(now, &hours.zone));
        let holds = awake && decide(&plan.when, &truths) == Some(true);
        let before = (subject.on, subject.pending);
        if holds == subject.on {
            subject.pending = None;
        } else {
            let delay = if holds { plan.on_ms } else { plan.off_ms };
            let pending = subject.pending.or_else(|| Delay::begin(holds, delay, now));
            match pending {
                Some(waiting) if !waiting.is_due(now) => subject.pending = Some(waiting),
                Some(_) | None => (subject.on, subject.pending) = (holds, None),
            }
        }
        let silence = plan.terms.iter().zip(&subject.terms).any(|(term, memory)| match (term, memory) {
            (PlanTerm::Silent { for_ms, .. }, Memory::Heard(at)) => {
                let due = later(*at, *for_ms);
                due > subject.seen && due <= now
            }
            _ => false,
        });
        subject.seen = subject.seen.max(now);
        self.changed |= silence || before != (subject.on, subject.pending);
        let turn = (before.0 != subject.on).then(|| Turn {
            subject: subject.device,
            on: subject.on,
            at: now,
            value: subject.terms.iter().find_map(|memory| match memory {
                Memory::Truth(_, value) => *value,
                Memory::Times(_) | Memory::Heard(_) => None,
            }),
        });
        self.wind(nth, now);
        turn
    }

    /// Enters when a device is to be looked at again.
    fn wind(&mut self, nth: usize, now: Timestamp) {
        let plan = &self.plan;
        let Some(subject) = self.subjects.get_mut(nth) else { return };
        let terms = plan.terms.iter().zip(&subject.terms).filter_map(|(term, memory)| match (term, memory) {
            (PlanTerm::Count { n, within_ms, .. }, Memory::Times(times)) if times.len() >= *n => {
                // The first moment at which one too few is left in the window.
                let first = times.get(times.len().checked_sub(*n)?)?;
                Some(later(*first, *within_ms))
            }
            (PlanTerm::Silent { for_ms, .. }, Memory::Heard(at)) => Some(later(*at, *for_ms)),
            _ => None,
        });
        let hours = plan.during.as_ref().and_then(|hours| hours.schedule.next_change(now, &hours.zone));
        let next = terms.filter(|at| *at > now).chain(hours).chain(subject.pending.map(|pending| pending.due)).min();
        if let Some(before) = std::mem::replace(&mut subject.due, next) {
            self.due.remove(&(before, nth));
        }
        if let Some(next) = next {
            self.due.insert((next, nth));
        }
    }
}

fn fresh(term: &PlanTerm, now: Timestamp) -> Memory {
    match term {
        PlanTerm::Point { .. } | PlanTerm::State { .. } => Memory::Truth(None, None),
        PlanTerm::Count { .. } => Memory::Times(VecDeque::new()),
        PlanTerm::Silent { .. } => Memory::Heard(now),
    }
}

/// Whether what was remembered belongs to these terms.
fn fits(memories: &[Memory], terms: &[PlanTerm]) -> bool {
    memories.len() == terms.len()
        && memories.iter().zip(terms).all(|(memory, term)| {
            matches!(
                (memory, term),
                (Memory::Truth(..), PlanTerm::Point { .. } | PlanTerm::State { .. })
                    | (Memory::Times(_), PlanTerm::Count { .. })
                    | (Memory::Heard(_), PlanTerm::Silent { .. })
            )
        })
}

fn passes(filter: Option<&(String, Value)>, event: &Event) -> bool {
    let Some((field, wanted)) = filter else { return true };
    let body = serde_json::to_value(&event.body).unwrap_or_default();
    params_of(&body).get(field) == Some(wanted)
}

/// Whether a value passes a test; none when it is of another type. One that holds goes on holding within its deadband.
fn holds(test: &Test, value: &Value, held: bool) -> Option<bool> {
    match test {
        Test::Number { cmp, limit, deadband } => {
            let n = value.as_number().filter(|n| n.is_finite())?;
            let back = if held { *deadband } else { 0.0 };
            Some(match cmp {
                Cmp::More => n > limit - back,
                Cmp::AtLeast => n >= limit - back,
                Cmp::Less => n < limit + back,
                Cmp::AtMost => n <= limit + back,
                Cmp::Is => (n - limit).abs() <= *deadband,
                Cmp::IsNot => (n - limit).abs() > *deadband,
            })
        }
        Test::Bool { is, to } => value.as_bool().map(|on| (on == *to) == *is),
        Test::Word { is, to } => value.as_word().map(|word| (word == to) == *is),
    }
}

fn truth(term: &PlanTerm, memory: &Memory, now: Timestamp) -> Option<bool> {
    match (term, memory) {
        (_, Memory::Truth(truth, _)) => *truth,
        (PlanTerm::Count { n, within_ms, .. }, Memory::Times(times)) => {
            let within = times.iter().rev().take_while(|at| later(**at, *within_ms) > now).count();
            Some(within >= *n)
        }
        (PlanTerm::Silent { for_ms, .. }, Memory::Heard(at)) => Some(now >= later(*at, *for_ms)),
        _ => None,
    }
}

/// Kleene's logic: what is not known yet is neither true nor false.
fn decide(node: &Node, truths: &[Option<bool>]) -> Option<bool> {
    match node {
        Node::Term(nth) => truths.get(*nth).copied().flatten(),
        Node::Not(node) => decide(node, truths).map(|is| !is),
        Node::All(all) => settled(all, truths, false),
        Node::Any(all) => settled(all, truths, true),
    }
}

/// What one truth among several settles for all; without it, the other one when all are known.
fn settled(all: &[Node], truths: &[Option<bool>], by: bool) -> Option<bool> {
    let mut unknown = false;
    for node in all {
        match decide(node, truths) {
            Some(is) if is == by => return Some(by),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!by)
}
