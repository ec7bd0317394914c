//! From a rule as written to one that runs: devices, points, events and schedules found, types checked, cost bounded.

use super::ast::{Action, Cmp, Cond, During, Literal, RuleAst, Selection, Term, Where};
use super::diagnostic::{At, Span, Wrong};
use super::fact::{FACTS, KINDS, Shape, kind_of, states};
use super::unit;
use crate::access::{Schedule, Snapshot, Window};
use crate::device::link::{DeviceKind, Verb};
use crate::device::telemetry::{PointName, Value};
use crate::id::{DeviceId, PlaceId};
use crate::site::{Compound, Spec};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// Devices that one rule may be judged for.
pub const MOST_SUBJECTS: usize = 500;
/// Moments that one rule may remember, over all its devices and counts: what bounds its memory (16 bytes each).
pub const MOST_KEPT: usize = 20_000;

/// What is known of the points that devices have reported: their types. A device that is not in it has reported nothing.
pub type Points = BTreeMap<DeviceId, BTreeMap<PointName, Shape>>;

/// What a rule is checked against.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Devices and places.
    pub compound: &'a Compound,
    /// Schedules and the zone.
    pub access: &'a Snapshot,
    /// What devices have reported.
    pub points: &'a Points,
}

/// Whose point, state or silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Of the device that is judged.
    Subject,
    /// Of this one.
    Device(DeviceId),
}

/// Where an event is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// At the device that is judged.
    Subject,
    /// At this one.
    Device(DeviceId),
    /// At these places.
    Places(BTreeSet<PlaceId>),
    /// Anywhere.
    Site,
}

/// How a value is compared.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Test {
    Number { cmp: Cmp, limit: f64, deadband: f64 },
    Bool { is: bool, to: bool },
    Word { is: bool, to: String },
}

/// A term that runs.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in the rule as written")]
pub enum PlanTerm {
    Point { of: Target, point: PointName, test: Test, unit: String },
    State { of: Target, is: bool, word: String },
    Count { code: &'static str, filter: Option<(String, Value)>, scope: Scope, n: usize, within_ms: i64 },
    Silent { of: Target, for_ms: i64 },
}

/// A condition over the terms, by their number.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in the rule as written")]
pub enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Term(usize),
}

/// When it is awake.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    /// The hours.
    pub schedule: Schedule,
    /// In this zone.
    pub zone: TimeZone,
}

/// What it does.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in the rule as written")]
pub enum PlanAction {
    Alarm { priority: u8, title: String },
    Command { verb: Verb, at: Target },
}

/// A rule that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The devices it is judged for, apart; none alone for the site as a whole.
    pub subjects: Vec<Option<DeviceId>>,
    /// Whether devices that come later may join.
    pub open: bool,
    /// The device that its alarm is on when it is judged as a whole.
    pub on: Option<DeviceId>,
    /// Its terms.
    pub terms: Vec<PlanTerm>,
    /// Its condition.
    pub when: Node,
    /// How long it must stand, milliseconds.
    pub on_ms: i64,
    /// How long it must be gone, milliseconds.
    pub off_ms: i64,
    /// When it is awake; none for always.
    pub during: Option<Hours>,
    /// What it does.
    pub actions: Vec<PlanAction>,
}

impl Plan {
    /// The points it reads, by device; a device whose silence it watches is in it too.
    pub fn watched(&self) -> BTreeMap<DeviceId, BTreeSet<PointName>> {
        let mut watched: BTreeMap<DeviceId, BTreeSet<PointName>> = BTreeMap::new();
        for term in &self.terms {
            let (of, point) = match term {
                PlanTerm::Point { of, point, .. } => (of, Some(point)),
                PlanTerm::Silent { of, .. } => (of, None),
                PlanTerm::State { .. } | PlanTerm::Count { .. } => continue,
            };
            let devices: Vec<DeviceId> = match of {
                Target::Device(device) => vec![*device],
                Target::Subject => self.subjects.iter().flatten().copied().collect(),
            };
            for device in devices {
                watched.entry(device).or_default().extend(point.cloned());
            }
        }
        watched
    }

    /// Whether what happens at one device may matter to the judgement of another.
    pub fn looks_around(&self) -> bool {
        self.terms.iter().any(|term| match term {
            PlanTerm::Point { of, .. } | PlanTerm::State { of, .. } | PlanTerm::Silent { of, .. } => {
                *of != Target::Subject
            }
            PlanTerm::Count { scope, .. } => *scope != Scope::Subject,
        })
    }

    /// The codes of the events it looks at.
    pub fn codes(&self) -> BTreeSet<&'static str> {
        self.terms
            .iter()
            .filter_map(|term| match term {
                PlanTerm::Count { code, .. } => Some(*code),
                PlanTerm::State { .. } => Some("device.state"),
                PlanTerm::Point { .. } | PlanTerm::Silent { .. } => None,
            })
            .collect()
    }

    /// The longest time that what is happening now depends on, milliseconds.
    pub fn reach_ms(&self) -> i64 {
        let terms = self.terms.iter().map(|term| match term {
            PlanTerm::Count { within_ms, .. } => *within_ms,
            PlanTerm::Silent { for_ms, .. } => *for_ms,
            PlanTerm::Point { .. } | PlanTerm::State { .. } => 0,
        });
        terms.max().unwrap_or(0).saturating_add(self.on_ms).saturating_add(self.off_ms)
    }
}

/// Checks a rule against a scene: everything that does not fit, or what runs.
pub fn plan(rule: &RuleAst, scene: Scene<'_>) -> Result<Plan, Vec<Wrong>> {
    let mut checker = Checker { scene, subjects: None, wrong: Vec::new(), terms: Vec::new(), first: None };
    if let Some(each) = &rule.each {
        let subjects = checker.select(each);
        checker.subjects = Some(subjects);
    }
    let when = checker.cond(&rule.when);
    let during = rule.during.as_ref().and_then(|during| checker.during(during));
    let actions: Vec<PlanAction> = rule.actions.iter().filter_map(|action| checker.action(action)).collect();
    let Checker { subjects, wrong, terms, first, .. } = checker;
    let open = subjects.is_some();
    let subjects: Vec<Option<DeviceId>> =
        subjects.map_or_else(|| vec![None], |devices| devices.into_iter().map(Some).collect());
    let plan = Plan { on: first, open, subjects, terms, when, on_ms: rule.on_ms, off_ms: rule.off_ms, during, actions };
    let kept: usize = plan.terms.iter().map(|term| if let PlanTerm::Count { n, .. } = term { *n } else { 0 }).sum();
    let mut wrong = wrong;
    let span = rule.each.as_ref().map_or(Span::default(), |each| each.kind.span);
    if kept.saturating_mul(plan.subjects.len()) > MOST_KEPT {
        let message = format!(
            "{kept} moments for each of {} devices are more than {MOST_KEPT}: count fewer or choose fewer devices",
            plan.subjects.len()
        );
        wrong.push(Wrong::new(span, "too_costly", message).with("most", MOST_KEPT));
    }
    if wrong.is_empty() { Ok(plan) } else { Err(wrong) }
}

/// The points of a device: those it reported, and those that its definition gives a limit or unit.
fn known<'a>(points: &'a Points, spec: &'a Spec) -> BTreeMap<&'a str, Shape> {
    let said = points.get(&spec.id).into_iter().flatten();
    let numbers = spec.limits.iter().map(|limit| limit.point.as_str()).chain(spec.units.keys().map(String::as_str));
    numbers.map(|point| (point, Shape::Number)).chain(said.map(|(point, shape)| (point.as_str(), *shape))).collect()
}

struct Checker<'a> {
    scene: Scene<'a>,
    subjects: Option<Vec<DeviceId>>,
    wrong: Vec<Wrong>,
    terms: Vec<PlanTerm>,
    /// The first device that is named.
    first: Option<DeviceId>,
}

impl Checker<'_> {
    fn complain(&mut self, wrong: Wrong) {
        self.wrong.push(wrong);
    }

    fn select(&mut self, each: &Selection) -> Vec<DeviceId> {
        let kind = kind_of(&each.kind.node);
        if kind.is_none() && each.kind.node != "device" {
            let known = || KINDS.iter().map(|kind| kind.word()).chain(["device"]);
            let said = &each.kind.node;
            let message = format!("{said:?} is no kind of device: {}", known().collect::<Vec<_>>().join(", "));
            self.complain(Wrong::new(each.kind.span, "unknown_kind", message).with("name", said).near(said, known()));
            return vec![];
        }
        let compound = self.scene.compound;
        let mut chosen: Vec<&Spec> =
            compound.devices.values().filter(|spec| kind.is_none_or(|kind| spec.kind == kind)).collect();
        let before = self.wrong.len();
        for filter in &each.filters {
            match filter.field.node.as_str() {
                "key" => {
                    for key in &filter.any {
                        self.device(key);
                    }
                    chosen.retain(|spec| filter.any.iter().any(|key| key.node == spec.key.as_str()));
                }
                "class" => {
                    for class in &filter.any {
                        let known: BTreeSet<&str> = compound.devices.values().map(|spec| spec.class.as_str()).collect();
                        if !known.contains(class.node.as_str()) {
                            let message = format!("no device here is of class {:?}", class.node);
                            let wrong = Wrong::new(class.span, "unknown_class", message).with("name", &class.node);
                            self.complain(wrong.near(&class.node, known.into_iter().filter(|class| !class.is_empty())));
                        }
                    }
                    chosen.retain(|spec| filter.any.iter().any(|class| class.node == spec.class));
                }
                _ => {
                    let places: BTreeSet<PlaceId> =
                        filter.any.iter().filter_map(|place| self.place(place)).flatten().collect();
                    chosen.retain(|spec| places.contains(&spec.place));
                }
            }
        }
        let span = each.filters.iter().fold(each.kind.span, |span, filter| {
            filter.any.iter().fold(span.with(filter.field.span), |span, value| span.with(value.span))
        });
        if chosen.is_empty() && self.wrong.len() == before {
            self.complain(Wrong::new(span, "none_chosen", "no device fits this choice: widen it"));
        }
        if chosen.len() > MOST_SUBJECTS {
            let message =
                format!("{} devices fit, one rule is judged for at most {MOST_SUBJECTS}: narrow it", chosen.len());
            self.complain(
                Wrong::new(span, "too_many_devices", message).with("n", chosen.len()).with("most", MOST_SUBJECTS),
            );
        }
        chosen.into_iter().take(MOST_SUBJECTS).map(|spec| spec.id).collect()
    }

    fn device(&mut self, key: &At<String>) -> Option<DeviceId> {
        let id = DeviceId::from_key(&key.node);
        if self.scene.compound.device(id).is_some() {
            self.first = self.first.or(Some(id));
            return Some(id);
        }
        let known = self.scene.compound.devices.values().map(|spec| spec.key.as_str());
        let wrong = Wrong::new(key.span, "unknown_device", format!("no device {:?} at this site", key.node));
        let wrong = wrong.with("name", &key.node).near(&key.node, known);
        self.complain(wrong);
        None
    }

    /// A place and all within it.
    fn place(&mut self, key: &At<String>) -> Option<BTreeSet<PlaceId>> {
        let places = &self.scene.compound.places;
        let Some(root) = places.iter().find(|place| place.key == key.node) else {
            let wrong = Wrong::new(key.span, "unknown_place", format!("no place {:?} at this site", key.node));
            let wrong = wrong.with("name", &key.node).near(&key.node, places.iter().map(|place| place.key.as_str()));
            self.complain(wrong);
            return None;
        };
        let mut within = BTreeSet::from([root.id]);
        loop {
            let more: Vec<PlaceId> = places
                .iter()
                .filter(|place| {
                    place.parent.is_some_and(|parent| within.contains(&parent)) && !within.contains(&place.id)
                })
                .map(|place| place.id)
                .collect();
            if more.is_empty() {
                return Some(within);
            }
            within.extend(more);
        }
    }

    /// The device that a term is about; without one it must be a rule for each.
    fn target(&mut self, of: Option<&At<String>>, span: Span, word: &str) -> Option<Target> {
        match of {
            Some(key) => self.device(key).map(Target::Device),
            None if self.subjects.is_some() => Some(Target::Subject),
            None => {
                let message = format!("of which device? Write {word} \"key\", or begin the rule with for each");
                self.complain(Wrong::new(span, "which_device", message).with("word", word));
                None
            }
        }
    }

    fn specs(&self, of: Target) -> Vec<&Spec> {
        let devices = match of {
            Target::Device(device) => vec![device],
            Target::Subject => self.subjects.clone().unwrap_or_default(),
        };
        devices.into_iter().filter_map(|id| self.scene.compound.device(id)).collect()
    }

    fn cond(&mut self, cond: &Cond) -> Node {
        match cond {
            Cond::Any(all) => Node::Any(all.iter().map(|cond| self.cond(cond)).collect()),
            Cond::All(all) => Node::All(all.iter().map(|cond| self.cond(cond)).collect()),
            Cond::Not(cond) => Node::Not(Box::new(self.cond(cond))),
            Cond::Term(term) => {
                if let Some(planned) = self.term(term) {
                    self.terms.push(planned);
                }
                Node::Term(self.terms.len().saturating_sub(1))
            }
        }
    }

    fn term(&mut self, term: &At<Term>) -> Option<PlanTerm> {
        match &term.node {
            Term::Point { point, of, cmp, to, deadband } => {
                let of = self.target(of.as_ref(), point.span, "of")?;
                self.point(point, of, *cmp, to, deadband.as_ref())
            }
            Term::State { of, is, word } => {
                let of = self.target(of.as_ref(), word.span, "of")?;
                let known: BTreeSet<&str> = self.specs(of).iter().flat_map(|spec| states(spec.kind)).copied().collect();
                if !known.contains(word.node.as_str()) && !known.is_empty() {
                    let list = known.iter().copied().collect::<Vec<_>>().join(", ");
                    let message = format!("{:?} is none of its states: {list}", word.node);
                    let wrong = Wrong::new(word.span, "unknown_state", message).with("name", &word.node);
                    self.complain(wrong.with("known", list).near(&word.node, known));
                    return None;
                }
                Some(PlanTerm::State { of, is: *is, word: word.node.clone() })
            }
            Term::Count { event, filter, at, n, within_ms } => {
                let Some(fact) = FACTS.iter().find(|fact| fact.code == event.node) else {
                    let known = || FACTS.iter().map(|fact| fact.code);
                    let list = known().collect::<Vec<_>>().join(", ");
                    let message = format!("{:?} is no event that can be counted: {list}", event.node);
                    let wrong = Wrong::new(event.span, "unknown_event", message).with("name", &event.node);
                    self.complain(wrong.with("known", list).near(&event.node, known()));
                    return None;
                };
                let filter = match filter {
                    Some((field, value)) => Some(self.filter(fact.code, fact.fields, field, value)?),
                    None => None,
                };
                let scope = match at {
                    Some(Where::Device(key)) => Scope::Device(self.device(key)?),
                    Some(Where::Place(key)) => Scope::Places(self.place(key)?),
                    None if self.subjects.is_some() => Scope::Subject,
                    None => Scope::Site,
                };
                Some(PlanTerm::Count { code: fact.code, filter, scope, n: n.node as usize, within_ms: within_ms.node })
            }
            Term::Silent { of, for_ms } => {
                let of = self.target(of.as_ref(), term.span, "from")?;
                Some(PlanTerm::Silent { of, for_ms: for_ms.node })
            }
        }
    }

    fn filter(
        &mut self,
        code: &str,
        fields: &[(&'static str, Shape)],
        field: &At<String>,
        value: &At<Literal>,
    ) -> Option<(String, Value)> {
        let Some((_, shape)) = fields.iter().find(|(name, _)| *name == field.node) else {
            let known = || fields.iter().map(|(name, _)| *name);
            let list = known().collect::<Vec<_>>().join(", ");
            let message = format!("{code} has no field {:?}: it has {list}", field.node);
            let wrong = Wrong::new(field.span, "unknown_field", message).with("name", &field.node).with("event", code);
            self.complain(wrong.with("known", list).near(&field.node, known()));
            return None;
        };
        let said = match (&value.node, shape) {
            (Literal::Word(word), Shape::Word) => Value::Text(word.clone()),
            (Literal::Bool(on), Shape::Bool) => Value::Bool(*on),
            _ => {
                self.mistyped(&field.node, *shape, value);
                return None;
            }
        };
        Some((field.node.clone(), said))
    }

    fn mistyped(&mut self, name: &str, shape: Shape, value: &At<Literal>) {
        let example = match shape {
            Shape::Number => "a number",
            Shape::Bool => "true or false",
            Shape::Word => "a text in quotes",
        };
        let message = format!("{name} is a {}, this is {}: compare it with {example}", shape.word(), value.node);
        let wrong = Wrong::new(value.span, "wrong_type", message).with("name", name).with("shape", shape.word());
        self.complain(wrong.with("value", &value.node));
    }

    fn point(
        &mut self,
        point: &At<String>,
        of: Target,
        cmp: Cmp,
        to: &At<Literal>,
        deadband: Option<&At<(f64, String)>>,
    ) -> Option<PlanTerm> {
        let name = point.node.as_str();
        let specs = self.specs(of);
        if specs.is_empty() {
            // The choice of devices has been complained about.
            return None;
        }
        let silent = specs.iter().any(|spec| !self.scene.points.contains_key(&spec.id));
        let all: BTreeMap<&str, Shape> = specs.iter().flat_map(|spec| known(self.scene.points, spec)).collect();
        let shapes: BTreeSet<Shape> =
            specs.iter().filter_map(|spec| known(self.scene.points, spec).get(name).copied()).collect();
        let unit = specs.first().map(|spec| spec.unit(name).to_owned()).unwrap_or_default();
        let other = specs.iter().map(|spec| spec.unit(name)).find(|other| *other != unit).map(str::to_owned);
        if shapes.is_empty() && !silent {
            let list = all.keys().copied().collect::<Vec<_>>().join(", ");
            let message = if list.is_empty() { "it has no points".into() } else { format!("it has {list}") };
            let message = format!("no point {name:?} there: {message}");
            let wrong = Wrong::new(point.span, "unknown_point", message).with("name", name).with("known", &list);
            let wrong = wrong.near(name, all.keys().copied());
            self.complain(wrong);
            return None;
        }
        let written = match &to.node {
            Literal::Number(..) => Shape::Number,
            Literal::Bool(_) => Shape::Bool,
            Literal::Word(_) => Shape::Word,
        };
        if let Some(shape) = shapes.iter().find(|shape| **shape != written) {
            self.mistyped(name, *shape, to);
            return None;
        }
        let test = match &to.node {
            Literal::Number(n, said) => {
                if let (Some(other), true) = (&other, said.is_empty()) {
                    let message = format!("{name} is measured in {unit} and in {other} there: write the unit");
                    self.complain(Wrong::new(to.span, "unit_needed", message).with("name", name).with("known", other));
                    return None;
                }
                let limit = self.in_unit(*n, said, &unit, name, to.span)?;
                let band = match deadband {
                    Some(band) => {
                        let (n, said) = (&band.node.0, &band.node.1);
                        if *n < 0.0 {
                            self.complain(Wrong::new(band.span, "no_deadband", "a deadband is 0 or more"));
                            return None;
                        }
                        self.in_unit(*n, said, &unit, name, band.span)?
                    }
                    None => 0.0,
                };
                Test::Number { cmp, limit, deadband: band }
            }
            Literal::Bool(_) | Literal::Word(_) => {
                let is = match cmp {
                    Cmp::Is => true,
                    Cmp::IsNot => false,
                    Cmp::More | Cmp::AtLeast | Cmp::Less | Cmp::AtMost => {
                        let message = format!("{} compares numbers: a {} is = or !=", cmp.sign(), written.word());
                        self.complain(
                            Wrong::new(point.span.with(to.span), "wrong_sign", message).with("sign", cmp.sign()),
                        );
                        return None;
                    }
                };
                if let Some(band) = deadband {
                    self.complain(Wrong::new(band.span, "band_of_word", "only a number has a deadband: leave it out"));
                    return None;
                }
                match &to.node {
                    Literal::Bool(on) => Test::Bool { is, to: *on },
                    Literal::Word(word) => Test::Word { is, to: word.clone() },
                    Literal::Number(..) => return None,
                }
            }
        };
        if other.is_some() && matches!(test, Test::Number { .. }) {
            let message = format!("the devices chosen measure {name} in different units: choose those of one unit");
            self.complain(Wrong::new(point.span, "units_differ", message).with("name", name));
            return None;
        }
        Some(PlanTerm::Point { of, point: name.to_owned(), test, unit })
    }

    fn in_unit(&mut self, n: f64, said: &str, unit: &str, name: &str, span: Span) -> Option<f64> {
        let converted = unit::convert(n, said, unit);
        if converted.is_none() {
            let its = if unit.is_empty() { "has no unit".to_owned() } else { format!("is measured in {unit}") };
            let message = format!("{name} {its}, this is in {said}: write it in its own unit");
            let wrong =
                Wrong::new(span, "wrong_unit", message).with("name", name).with("unit", unit).with("said", said);
            self.complain(wrong.near(said, unit::all().filter(|known| unit::convert(1.0, known, unit).is_some())));
        }
        converted
    }

    fn during(&mut self, during: &During) -> Option<Hours> {
        let zone = self.scene.access.zone.clone();
        let schedules = &self.scene.access.schedules;
        match during {
            During::Schedule(key) => match schedules.get(&key.node) {
                Some(schedule) => Some(Hours { schedule: schedule.clone(), zone }),
                None => {
                    let wrong =
                        Wrong::new(key.span, "unknown_schedule", format!("no schedule {:?} at this site", key.node));
                    let wrong = wrong.with("name", &key.node).near(&key.node, schedules.keys().map(String::as_str));
                    self.complain(wrong);
                    None
                }
            },
            During::Hours { from, to, days } => {
                use crate::access::Day::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
                let days = if days.is_empty() { vec![Mon, Tue, Wed, Thu, Fri, Sat, Sun] } else { days.clone() };
                let window = Window { days, from: super::lex::hour(*from), to: super::lex::hour(*to) };
                Schedule::new(&[window], &[]).ok().map(|schedule| Hours { schedule, zone })
            }
        }
    }

    fn action(&mut self, action: &At<Action>) -> Option<PlanAction> {
        match &action.node {
            Action::Alarm { priority, title } => Some(PlanAction::Alarm { priority: *priority, title: title.clone() }),
            Action::Command { verb, set, at } => {
                const MAY: [&str; 3] = ["lock", "arm", "set"];
                const MAY_NOT: [&str; 10] =
                    ["unlock", "release", "restore", "open", "close", "recall", "resume", "silence", "reset", "disarm"];
                let word = verb.node.as_str();
                if MAY_NOT.contains(&word) {
                    let message = "a rule never opens, releases, moves or silences anything: it may lock, arm or set";
                    self.complain(Wrong::new(verb.span, "never_opens", message).with("name", word));
                    return None;
                }
                let command = match (word, set) {
                    ("lock", _) => Verb::Lock,
                    ("arm", _) => Verb::Arm,
                    ("set", Some((point, value))) => {
                        let value = match value {
                            Literal::Number(n, _) => Value::Number(*n),
                            Literal::Bool(on) => Value::Bool(*on),
                            Literal::Word(word) => Value::Text(word.clone()),
                        };
                        Verb::Set { point: point.clone(), value }
                    }
                    _ => {
                        let message = format!("{word:?} is no command of a rule: it may lock, arm or set");
                        self.complain(
                            Wrong::new(verb.span, "unknown_verb", message).with("name", word).near(word, MAY),
                        );
                        return None;
                    }
                };
                let at = self.target(at.as_ref(), verb.span, "at")?;
                let knows = |spec: &Spec| match &command {
                    // Setting a point of a door, barrier, lift or panel could open or hold it.
                    Verb::Set { .. } => {
                        matches!(spec.kind, DeviceKind::Sensor | DeviceKind::Meter | DeviceKind::Camera)
                    }
                    other => spec.kind.verbs(spec).contains(&other.word()),
                };
                let cannot =
                    self.specs(at).into_iter().find(|spec| !knows(spec)).map(|spec| (spec.key.to_string(), spec.kind));
                if let Some((key, kind)) = cannot {
                    let message = format!("{key} is a {}: a rule cannot {word} it", kind.word());
                    let wrong = Wrong::new(verb.span, "cannot_do", message).with("name", word).with("device", key);
                    self.complain(wrong.with("kind", kind.word()));
                    return None;
                }
                Some(PlanAction::Command { verb: command, at })
            }
        }
    }
}
