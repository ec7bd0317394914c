//! Chains: puts notes together to spans, and keeps those of alarms and of the share.
//!
//! That an alarm follows is known last, so the spans of every recent chain are held until its chain is kept or forgotten. Both
//! are bounded by number; the oldest chain is forgotten first. What follows from a forgotten event begins a trace of its own,
//! linked to where it came from.

use super::{Kind, Note, Safe, Share, Span, SpanId, TraceId, Value};
use crate::event::{Body, Event};
use crate::id::{CommandId, DeviceId, EventId};
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Events that are remembered.
pub const MOST_EVENTS: usize = 16_384;
/// Spans that are held back.
pub const MOST_HELD: usize = 32_768;
/// Events of one trace; what follows beyond it begins another one. A page with more shows nothing.
const MOST_OF_CHAIN: usize = 1_024;

/// The recent chains.
#[derive(Debug)]
pub struct Chains {
    share: Share,
    /// By their number: the oldest first.
    chains: BTreeMap<u64, Chain>,
    events: BTreeMap<EventId, Node>,
    commands: BTreeMap<CommandId, Order>,
    requests: BTreeMap<Uuid, u64>,
    next: u64,
    held: usize,
    out: Vec<Span>,
}

#[derive(Debug)]
struct Chain {
    trace: TraceId,
    kept: bool,
    spans: Vec<Span>,
    events: Vec<EventId>,
    commands: Vec<CommandId>,
    request: Option<Uuid>,
}

#[derive(Debug)]
struct Node {
    chain: u64,
    code: String,
    /// The span that what is done with the event belongs to.
    anchor: SpanId,
    queued: Timestamp,
    written: Option<Timestamp>,
    steps: Vec<SpanId>,
}

#[derive(Debug)]
struct Order {
    chain: u64,
    parent: Option<SpanId>,
    device: DeviceId,
    verb: &'static str,
    began: Timestamp,
    handed: bool,
}

/// Whether a chain is kept whatever the share: alarms, and what fire panels say. Not `ask.clear`: rules ask for it at every turn to
/// the good, mostly of an alarm that is not there; the end of one that is says `alarm.moved`.
fn always(code: &str) -> bool {
    matches!(code, "ask.raise" | "alarm.moved" | "fire.point")
}

fn step(event: EventId, machine: &str) -> SpanId {
    SpanId::of(event.0, &format!("step:{machine}"))
}

fn dispatch(command: CommandId) -> SpanId {
    SpanId::of(command.0, "dispatch")
}

fn answered(request: Uuid) -> SpanId {
    SpanId::of(request, "request")
}

/// The command that an event without a cause is about.
fn command_of(body: &Body) -> Option<CommandId> {
    match body {
        Body::Result { command, .. } | Body::CommandMoved { command, .. } => Some(*command),
        _ => None,
    }
}

impl Chains {
    /// Nothing yet.
    pub fn new(share: Share) -> Self {
        Self {
            share,
            chains: BTreeMap::new(),
            events: BTreeMap::new(),
            commands: BTreeMap::new(),
            requests: BTreeMap::new(),
            next: 0,
            held: 0,
            out: Vec::new(),
        }
    }

    /// Takes a note; gives the spans that are to be sent.
    pub fn take(&mut self, note: Note) -> Vec<Span> {
        match note {
            Note::Queued { event, machine, request, at } => self.queued(&event, machine.as_deref(), request, at),
            Note::Stepped { event, machine, began, ended, effects } => {
                self.stepped(event, machine, began, ended, effects);
            }
            Note::Written { events, entries, safe, at } => {
                for event in events {
                    self.written(event, entries, safe, at);
                }
            }
            Note::Told { events, at } => events.into_iter().for_each(|event| self.told(event, at)),
            Note::Ordered { command, device, verb, cause, machine, request, at } => {
                let (chain, parent) = self.ordered_by(command, cause, &machine, request);
                if let Some(chain) = self.chains.get_mut(&chain) {
                    chain.commands.push(command);
                }
                self.commands.insert(command, Order { chain, parent, device, verb, began: at, handed: false });
            }
            Note::Handed { command, taken, at } => self.handed(command, taken, at),
            Note::Answered { request, method, route, status, began, ended } => {
                self.answered(request, method, (route, status), began, ended);
            }
        }
        self.forget();
        std::mem::take(&mut self.out)
    }

    fn queued(&mut self, event: &Event, machine: Option<&str>, request: Option<Uuid>, at: Timestamp) {
        let code = event.body.code();
        let (chain, anchor) = match self.concluded_by(event, machine) {
            Some(place) => place,
            None => self.came_in(event, &code, machine, request, at),
        };
        if always(&code) {
            self.keep(chain);
        }
        if let Some(chain) = self.chains.get_mut(&chain) {
            chain.events.push(event.id);
        }
        self.events.insert(event.id, Node { chain, code, anchor, queued: at, written: None, steps: Vec::new() });
    }

    /// The chain of an event's cause, and the step that concluded it.
    fn concluded_by(&self, event: &Event, machine: Option<&str>) -> Option<(u64, SpanId)> {
        let cause = event.cause?;
        let node = self.events.get(&cause)?;
        let room = self.chains.get(&node.chain).is_some_and(|chain| chain.events.len() < MOST_OF_CHAIN);
        let step = machine.map(|machine| step(cause, machine)).filter(|step| node.steps.contains(step));
        room.then_some((node.chain, step.unwrap_or(node.anchor)))
    }

    /// Begins a chain, or goes on with that of the command or request that the event is about.
    fn came_in(
        &mut self,
        event: &Event,
        code: &str,
        machine: Option<&str>,
        request: Option<Uuid>,
        at: Timestamp,
    ) -> (u64, SpanId) {
        let id = SpanId::of(event.id.0, "intake");
        let ordered = command_of(&event.body).filter(|_| event.cause.is_none()).and_then(|command| {
            let order = self.commands.get(&command)?;
            Some((order.chain, if order.handed { Some(dispatch(command)) } else { order.parent }))
        });
        let (chain, parent) = match (ordered, request) {
            (Some(place), _) => place,
            (None, Some(request)) => (self.of_request(request), Some(answered(request))),
            (None, None) => (self.begin(TraceId(event.id.0), None), None),
        };
        let from_device = code.starts_with("in.");
        let source = match (from_device, request, machine) {
            (true, ..) => "device",
            (false, Some(_), _) => "console",
            (false, None, Some(_)) => "machine",
            (false, None, None) => "system",
        };
        let mut attributes = vec![
            ("gatehouse.source", Value::Word(source)),
            ("gatehouse.event.code", Value::Text(code.to_owned())),
            ("gatehouse.event.id", Value::Text(event.id.to_string())),
        ];
        attributes.extend(event.device.map(|device| ("gatehouse.device.id", Value::Text(device.to_string()))));
        attributes.extend(machine.map(|machine| ("gatehouse.machine", Value::Text(machine.to_owned()))));
        self.put(
            chain,
            Done {
                id,
                parent,
                link: event.cause.map(|cause| (TraceId(cause.0), SpanId::of(cause.0, "intake"))),
                kind: if from_device { Kind::Consumer } else { Kind::Internal },
                name: format!("intake {code}"),
                began: event.received_at,
                ended: at,
                attributes,
                failed: None,
            },
        );
        (chain, id)
    }

    fn stepped(&mut self, event: EventId, machine: String, began: Timestamp, ended: Timestamp, effects: usize) {
        let Some(node) = self.events.get_mut(&event) else { return };
        let id = step(event, &machine);
        // An actor that was restarted takes the same event again.
        if node.steps.contains(&id) {
            return;
        }
        node.steps.push(id);
        let (chain, parent, code) = (node.chain, node.anchor, node.code.clone());
        let kind = machine.split(':').next().unwrap_or_default();
        self.put(
            chain,
            Done {
                name: format!("step {kind}"),
                attributes: vec![
                    ("gatehouse.event.code", Value::Text(code)),
                    ("gatehouse.step.effects", number(effects)),
                    ("gatehouse.machine", Value::Text(machine)),
                ],
                ..Done::new(id, Some(parent), began, ended)
            },
        );
    }

    fn written(&mut self, event: EventId, entries: usize, safe: Safe, at: Timestamp) {
        let Some(node) = self.events.get_mut(&event) else { return };
        if node.written.replace(at).is_some() {
            return;
        }
        let (into, failed) = match safe {
            Safe::Database => ("database", None),
            Safe::Spill => ("spill", None),
            Safe::Refused => ("refused", Some("refused")),
        };
        let mut attributes = vec![
            ("gatehouse.event.code", Value::Text(node.code.clone())),
            ("gatehouse.commit.entries", number(entries)),
            ("gatehouse.commit.into", Value::Word(into)),
        ];
        if safe != Safe::Spill {
            attributes.push(("db.system.name", Value::Word("postgresql")));
        }
        let name = format!("commit {}", node.code);
        let (chain, parent, queued) = (node.chain, node.anchor, node.queued);
        let done = Done::new(SpanId::of(event.0, "commit"), Some(parent), queued, at);
        self.put(chain, Done { kind: Kind::Client, name, attributes, failed, ..done });
    }

    fn told(&mut self, event: EventId, at: Timestamp) {
        let Some(node) = self.events.get(&event) else { return };
        let name = format!("publish {}", node.code);
        let attributes = vec![("gatehouse.event.code", Value::Text(node.code.clone()))];
        let parent = match node.written {
            Some(_) => SpanId::of(event.0, "commit"),
            None => node.anchor,
        };
        let done = Done::new(SpanId::of(event.0, "publish"), Some(parent), node.written.unwrap_or(at), at);
        self.put(node.chain, Done { name, attributes, ..done });
    }

    /// The chain that a command belongs to, and what it was ordered by.
    fn ordered_by(
        &mut self,
        command: CommandId,
        cause: Option<EventId>,
        machine: &str,
        request: Option<Uuid>,
    ) -> (u64, Option<SpanId>) {
        if let Some((cause, node)) = cause.and_then(|cause| Some((cause, self.events.get(&cause)?))) {
            let step = step(cause, machine);
            return (node.chain, Some(if node.steps.contains(&step) { step } else { node.anchor }));
        }
        match request {
            Some(request) => (self.of_request(request), Some(answered(request))),
            None => (self.begin(TraceId(command.0), None), None),
        }
    }

    fn handed(&mut self, command: CommandId, taken: bool, at: Timestamp) {
        let Some(order) = self.commands.get_mut(&command) else { return };
        if std::mem::replace(&mut order.handed, true) {
            return;
        }
        let (chain, done) = (order.chain, Done::new(dispatch(command), order.parent, order.began, at));
        let attributes = vec![
            ("gatehouse.command.id", Value::Text(command.to_string())),
            ("gatehouse.command.verb", Value::Word(order.verb)),
            ("gatehouse.device.id", Value::Text(order.device.to_string())),
        ];
        let (name, failed) = (format!("dispatch {}", order.verb), (!taken).then_some("not_sent"));
        self.put(chain, Done { kind: Kind::Producer, name, attributes, failed, ..done });
    }

    fn answered(
        &mut self,
        request: Uuid,
        method: &'static str,
        (route, status): (&'static str, u16),
        began: Timestamp,
        ended: Timestamp,
    ) {
        let chain = match self.requests.get(&request) {
            Some(chain) => *chain,
            // Nothing followed from it, and nothing will.
            None if self.share.keeps(TraceId(request)) => self.begin(TraceId(request), Some(request)),
            None => return,
        };
        self.put(
            chain,
            Done {
                id: answered(request),
                parent: None,
                link: None,
                kind: Kind::Server,
                name: format!("{method} {route}"),
                began,
                ended,
                attributes: vec![
                    ("http.request.method", Value::Word(method)),
                    ("http.route", Value::Word(route)),
                    ("http.response.status_code", Value::Number(status.into())),
                ],
                failed: (status >= 500).then_some("server_error"),
            },
        );
    }

    fn begin(&mut self, trace: TraceId, request: Option<Uuid>) -> u64 {
        let number = self.next;
        self.next += 1;
        if let Some(request) = request {
            self.requests.insert(request, number);
        }
        let kept = self.share.keeps(trace);
        let (spans, events, commands) = (Vec::new(), Vec::new(), Vec::new());
        self.chains.insert(number, Chain { trace, kept, spans, events, commands, request });
        number
    }

    fn of_request(&mut self, request: Uuid) -> u64 {
        match self.requests.get(&request) {
            Some(chain) => *chain,
            None => self.begin(TraceId(request), Some(request)),
        }
    }

    fn keep(&mut self, chain: u64) {
        let Some(chain) = self.chains.get_mut(&chain) else { return };
        chain.kept = true;
        self.held -= chain.spans.len();
        self.out.append(&mut chain.spans);
    }

    /// A span of a chain: on its way, or held until the chain is kept.
    fn put(&mut self, chain: u64, done: Done) {
        let Some(chain) = self.chains.get_mut(&chain) else { return };
        let span = done.of(chain.trace);
        if chain.kept {
            self.out.push(span);
        } else {
            chain.spans.push(span);
            self.held += 1;
        }
    }

    /// Forgets the oldest chains while there is too much. Each counts as an event at least, also one of a request alone.
    fn forget(&mut self) {
        while self.events.len().max(self.chains.len()) > MOST_EVENTS || self.held > MOST_HELD {
            let Some((_, chain)) = self.chains.pop_first() else { return };
            self.held -= chain.spans.len();
            for event in chain.events {
                self.events.remove(&event);
            }
            for command in chain.commands {
                self.commands.remove(&command);
            }
            chain.request.map(|request| self.requests.remove(&request));
        }
    }
}

/// A span without its trace.
struct Done {
    id: SpanId,
    parent: Option<SpanId>,
    link: Option<(TraceId, SpanId)>,
    kind: Kind,
    name: String,
    began: Timestamp,
    ended: Timestamp,
    attributes: Vec<(&'static str, Value)>,
    failed: Option<&'static str>,
}

impl Done {
    fn new(id: SpanId, parent: Option<SpanId>, began: Timestamp, ended: Timestamp) -> Self {
        let (link, name, attributes) = (None, String::new(), Vec::new());
        Self { id, parent, link, kind: Kind::Internal, name, began, ended, attributes, failed: None }
    }

    fn of(self, trace: TraceId) -> Span {
        let Self { id, parent, link, kind, name, began, ended, attributes, failed } = self;
        // A clock that was set back does not make time run backwards.
        Span { trace, id, parent, link, kind, name, began, ended: ended.max(began), attributes, failed }
    }
}

fn number(n: usize) -> Value {
    Value::Number(i64::try_from(n).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::AlarmKind;
    use crate::device::link::Outcome;
    use std::sync::Arc;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_777_856_400_000 + ms).unwrap()
    }

    fn id(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    fn queued(n: u128, cause: Option<u128>, machine: Option<&str>, body: Body) -> Note {
        let event = Event {
            id: id(n),
            seq: 0,
            received_at: at(0),
            observed_at: None,
            device: Some(DeviceId::from_key("smoke-1")),
            place: None,
            cause: cause.map(id),
            by: "Wang".into(),
            body,
        };
        Note::Queued { event: Arc::new(event), machine: machine.map(str::to_owned), request: None, at: at(1) }
    }

    fn happened(n: u128) -> Note {
        queued(n, None, None, Body::Happening { what: "smoke".into() })
    }

    fn raised(n: u128, cause: u128, machine: &str) -> Note {
        queued(n, Some(cause), Some(machine), raise())
    }

    fn raise() -> Body {
        Body::AskRaise { kind: AlarmKind::Smoke, zone: String::new(), params: Default::default(), test: false }
    }

    fn stepped(n: u128, machine: &str) -> Note {
        Note::Stepped { event: id(n), machine: machine.into(), began: at(2), ended: at(3), effects: 1 }
    }

    fn safe(n: u128) -> Note {
        Note::Written { events: vec![id(n)], entries: 1, safe: Safe::Database, at: at(4) }
    }

    fn told(n: u128) -> Note {
        Note::Told { events: vec![id(n)], at: at(5) }
    }

    fn chains(share: f64) -> Chains {
        Chains::new(Share::new(share).unwrap())
    }

    fn all(chains: &mut Chains, notes: impl IntoIterator<Item = Note>) -> Vec<Span> {
        notes.into_iter().flat_map(|note| chains.take(note)).collect()
    }

    #[test]
    fn an_alarm_is_told_from_its_beginning_whatever_the_share() {
        let mut chains = chains(0.0);
        assert_eq!(all(&mut chains, [happened(1), stepped(1, "device:7"), safe(1)]), [], "nothing says alarm yet");
        let spans = all(&mut chains, [raised(2, 1, "device:7"), stepped(2, "alarm"), safe(2), told(2)]);
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "intake in.happening",
                "step device",
                "commit in.happening",
                "step alarm",
                "commit ask.raise",
                "publish ask.raise"
            ]
        );
        assert!(spans.iter().all(|span| span.trace == TraceId(Uuid::from_u128(1))));
        let ids = [None, Some(spans[0].id), Some(spans[0].id), Some(spans[1].id), Some(spans[1].id), Some(spans[4].id)];
        assert_eq!(spans.iter().map(|span| span.parent).collect::<Vec<_>>(), ids);
        assert!(!format!("{spans:?}").contains("Wang"));
    }

    #[test]
    fn a_restarted_actor_and_a_second_try_are_noted_once() {
        let mut chains = chains(1.0);
        let spans = all(&mut chains, [happened(1), stepped(1, "rule"), stepped(1, "rule"), safe(1), safe(1)]);
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn the_oldest_chain_is_forgotten_and_what_follows_from_it_links_to_it() {
        let mut chains = chains(1.0);
        let most = MOST_EVENTS as u128;
        all(&mut chains, (1..=most).map(happened));
        assert_eq!(chains.events.len(), MOST_EVENTS);
        all(&mut chains, [happened(most + 1)]);
        assert_eq!((chains.events.len(), chains.chains.len()), (MOST_EVENTS, MOST_EVENTS));
        assert_eq!(all(&mut chains, [stepped(1, "rule"), safe(1)]), [], "it is forgotten");
        let spans = all(&mut chains, [raised(most + 2, 1, "rule"), raised(most + 3, 100, "rule")]);
        // The second is of a chain that is remembered: its commit will tell.
        assert_eq!(spans.len(), 1);
        assert_eq!((spans[0].trace, spans[0].parent), (TraceId(Uuid::from_u128(most + 2)), None));
        let first = SpanId::of(Uuid::from_u128(1), "intake");
        assert_eq!(spans[0].link, Some((TraceId(Uuid::from_u128(1)), first)));
    }

    #[test]
    fn spans_that_are_held_are_bounded_and_so_is_a_trace() {
        let mut chains = chains(0.0);
        let machines: Vec<String> = (0..9).map(|n| format!("machine-{n}")).collect();
        for n in 1..=5_000 {
            all(&mut chains, [happened(n)]);
            all(&mut chains, machines.iter().map(|machine| stepped(n, machine)));
        }
        assert!(chains.held <= MOST_HELD && chains.held > MOST_HELD - 10, "{}", chains.held);
        assert_eq!(chains.held, chains.chains.values().map(|chain| chain.spans.len()).sum::<usize>());
        let mut chains = self::chains(1.0);
        all(&mut chains, [happened(1)]);
        let spans = all(&mut chains, (2..=2_000).map(|n| raised(n, n - 1, "rule")));
        assert!(chains.chains.values().all(|chain| chain.events.len() <= MOST_OF_CHAIN));
        assert!(spans.iter().any(|span| span.link.is_some()), "it goes on in another trace");
    }

    #[test]
    fn a_devices_answer_goes_on_with_the_trace_of_its_command() {
        let mut chains = chains(1.0);
        let command = CommandId(Uuid::from_u128(7));
        let ordered = Note::Ordered {
            command,
            device: DeviceId::from_key("door-1"),
            verb: "unlock",
            cause: Some(id(1)),
            machine: "device:7".into(),
            request: None,
            at: at(3),
        };
        let handed = Note::Handed { command, taken: true, at: at(4) };
        let answer = queued(9, None, None, Body::Result { command, result: Outcome::Executed });
        let spans = all(&mut chains, [happened(1), stepped(1, "device:7"), ordered, handed.clone(), handed, answer]);
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["intake in.happening", "step device", "dispatch unlock", "intake in.result"]);
        assert_eq!((spans[2].parent, spans[3].parent), (Some(spans[1].id), Some(spans[2].id)));
        assert!(spans.iter().all(|span| span.trace == spans[0].trace));
    }

    #[test]
    fn what_a_request_led_to_is_in_its_trace_and_kept_with_it() {
        let mut chains = chains(0.0);
        let request = Uuid::from_u128(5);
        let answered = |status| Note::Answered {
            request,
            method: "POST",
            route: "/api/alarms/{id}/ack",
            status,
            began: at(0),
            ended: at(9),
        };
        assert_eq!(all(&mut chains, [answered(200)]), [], "of no share, and nothing followed");
        let acked = match queued(1, None, Some("alarm"), raise()) {
            Note::Queued { event, machine, at, .. } => Note::Queued { event, machine, request: Some(request), at },
            other => other,
        };
        let spans = all(&mut chains, [acked, safe(1), answered(503)]);
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["intake ask.raise", "commit ask.raise", "POST /api/alarms/{id}/ack"]);
        assert_eq!((spans[0].parent, spans[2].failed), (Some(spans[2].id), Some("server_error")));
    }
}
