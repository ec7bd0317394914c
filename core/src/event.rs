//! Events: what happened, where, when, from what. The log is append-only and everything else follows from it.
//!
//! Three families by the first word of the code: `in.` is what came from outside, `ask.` is what one machine wants of
//! another, and everything else is a fact that operators read on the timeline.

use crate::access::{DenyReason, Via};
use crate::alarm::AlarmKind;
use crate::command::CommandState;
use crate::device::link::{DeviceKind, Outcome, PresenceCause, Verb};
use crate::device::shadow::Presence;
use crate::device::telemetry::{PointName, Value};
use crate::id::{
    AlarmId, CommandId, CredentialId, DeviceId, EventId, PassageId, PersonId, PictureId, PlaceId, RuleId, WatchListId,
    WorkOrderId,
};
use crate::passage::Decision;
use crate::recognition::Seen;
use crate::recognition::travel::Travel;
use crate::workorder::WorkOrderState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of an event or alarm for the reader's language.
pub type Params = BTreeMap<String, Value>;

/// One row of the event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id (v7).
    pub id: EventId,
    /// Its place in the log: every later event has a higher one.
    pub seq: u64,
    /// When it came in or was concluded, by our clock.
    pub received_at: Timestamp,
    /// When the device saw it, by the device's clock.
    pub observed_at: Option<Timestamp>,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// Where that is.
    pub place: Option<PlaceId>,
    /// The event that led to it. Of what followed from a wish (`ask.…`) that the log did not keep: what led to the wish.
    pub cause: Option<EventId>,
    /// Who did it: an operator's name, a device's key or a part of the system.
    pub by: String,
    /// What happened.
    pub body: Body,
}

/// Who steps on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// The shell of the device that the event is about.
    Device,
    /// Fire release, with a mailbox of its own so that nothing queues before it.
    LifeSafety,
    /// The other rules.
    Rule,
    /// The rules that operators write, with a mailbox of their own.
    Operator,
    /// The alarm book.
    Alarm,
    /// Work orders.
    WorkOrder,
}

impl Audience {
    /// The codes of the events it steps on: what a machine that was down reads again.
    pub fn codes(self) -> &'static [&'static str] {
        match self {
            Audience::Device => &[
                "in.report",
                "in.presence",
                "in.card_read",
                "in.happening",
                "in.result",
                "in.seen",
                "ask.command",
                "ask.grant",
                "ask.gateway",
            ],
            Audience::LifeSafety => &["fire.point"],
            Audience::Rule => &[
                "fire.point",
                "device.state",
                "device.presence",
                "device.tamper",
                "device.limit",
                "device.happening",
                "device.clock_skew",
                "access.denied",
                "plate.read",
                "camera.view",
                "face.seen",
                "command.state",
                "people.changed",
                "actor.quarantined",
                "target.moved",
                "system.clock_jumped",
            ],
            Audience::Operator => &[
                "access.denied",
                "access.granted",
                "device.state",
                "device.presence",
                "device.tamper",
                "device.limit",
                "device.happening",
                "device.announced",
                "plate.read",
                "face.seen",
                "fire.point",
                "command.state",
                "passage.moved",
            ],
            Audience::Alarm => &["ask.raise", "ask.clear", "command.state", "work_order.moved"],
            Audience::WorkOrder => &["alarm.moved"],
        }
    }
}

/// What happened. The serde tag is the code that pages translate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code")]
pub enum Body {
    /// Points changed.
    #[serde(rename = "in.report")]
    Reported {
        /// Name and new value.
        points: Vec<(PointName, Value)>,
    },
    /// The link came or went.
    #[serde(rename = "in.presence")]
    Linked {
        /// Whether it is there.
        online: bool,
        /// How the link knows.
        cause: PresenceCause,
    },
    /// A card was presented.
    #[serde(rename = "in.card_read")]
    CardRead {
        /// Its number.
        card: String,
        /// Whether a PIN came with it; the PIN itself is never stored.
        pin_given: bool,
    },
    /// Something momentary.
    #[serde(rename = "in.happening")]
    Happening {
        /// What, as a word.
        what: String,
    },
    /// A device answered a command.
    #[serde(rename = "in.result")]
    Result {
        /// Which command.
        command: CommandId,
        /// The answer.
        result: Outcome,
    },
    /// A camera's pipeline saw something.
    #[serde(rename = "in.seen")]
    Seen {
        /// What.
        seen: Seen,
        /// From frame to decision, milliseconds.
        latency_ms: u32,
        /// The stored picture.
        picture: Option<PictureId>,
    },

    /// A command for a device.
    #[serde(rename = "ask.command")]
    AskCommand {
        /// Its ledger id.
        command: CommandId,
        /// What to do.
        what: Verb,
        /// Why.
        why: String,
        /// Until when.
        deadline: Timestamp,
        /// Fire release and recall: sent even to a device believed offline, never held back.
        life_safety: bool,
    },
    /// A door should open for someone, if access allows it.
    #[serde(rename = "ask.grant")]
    AskGrant {
        /// Who.
        person: PersonId,
        /// How they showed it.
        via: Via,
        /// The picture.
        picture: Option<PictureId>,
        /// From frame to decision, milliseconds.
        latency_ms: Option<u32>,
    },
    /// The gateway that the device is behind was lost, or is back.
    #[serde(rename = "ask.gateway")]
    AskGateway {
        /// Whether it was lost.
        lost: bool,
    },
    /// A condition that is an alarm began.
    #[serde(rename = "ask.raise")]
    AskRaise {
        /// Which alarm.
        kind: AlarmKind,
        /// Which part of the source, empty for the whole.
        zone: String,
        /// For the title.
        params: Params,
        /// Whether it is raised as a drill or in test mode: kept, but suppressed.
        test: bool,
    },
    /// The condition ended.
    #[serde(rename = "ask.clear")]
    AskClear {
        /// Which alarm.
        kind: AlarmKind,
        /// Which part of the source.
        zone: String,
        /// Whether the source was reset, which also ends a latched alarm.
        reset: bool,
    },

    /// A device's machine changed state.
    #[serde(rename = "device.state")]
    StateChanged {
        /// Kind of device.
        kind: DeviceKind,
        /// Device class, for sensors.
        class: String,
        /// State word before.
        from: String,
        /// State word now.
        to: String,
    },
    /// A device was heard, fell silent or went.
    #[serde(rename = "device.presence")]
    PresenceChanged {
        /// Before.
        from: Presence,
        /// Now.
        to: Presence,
    },
    /// A cover was opened or a line cut, or that ended.
    #[serde(rename = "device.tamper")]
    Tamper {
        /// Whether it stands.
        active: bool,
        /// Which part: `cover`, `reader`, `boom`.
        part: String,
    },
    /// A measured value crossed a limit of its profile.
    #[serde(rename = "device.limit")]
    Limit {
        /// Which point.
        point: PointName,
        /// Whether it is beyond.
        beyond: bool,
        /// The value.
        value: f64,
        /// The limit.
        limit: f64,
        /// Whether it is an upper limit.
        upper: bool,
    },
    /// Something momentary that a device told.
    #[serde(rename = "device.happening")]
    Happened {
        /// What.
        what: String,
    },
    /// A device's clock differs from ours.
    #[serde(rename = "device.clock_skew")]
    ClockSkew {
        /// Ours minus the device's, milliseconds.
        skew_ms: i64,
    },
    /// A device introduced itself.
    #[serde(rename = "device.announced")]
    Announced {
        /// Kind of device.
        kind: DeviceKind,
        /// Its name.
        name: String,
    },
    /// A fire panel's point changed to or from alarm.
    #[serde(rename = "fire.point")]
    FirePoint {
        /// Which point.
        zone: String,
        /// `normal`, `pre_alarm`, `alarm` or `fault`.
        state: String,
        /// State before.
        before: String,
        /// Whether the panel is in test mode.
        test: bool,
    },
    /// Someone was let in.
    #[serde(rename = "access.granted")]
    Granted {
        /// Who.
        person: Option<PersonId>,
        /// Name at that time.
        name: String,
        /// How.
        via: Via,
    },
    /// Someone was not let in.
    #[serde(rename = "access.denied")]
    Denied {
        /// Who, where known.
        person: Option<PersonId>,
        /// Name at that time.
        name: String,
        /// How.
        via: Via,
        /// Why.
        reason: DenyReason,
    },
    /// A plate was read.
    #[serde(rename = "plate.read")]
    Plate {
        /// The text.
        text: String,
        /// 0–1.
        confidence: f32,
        /// Colour word.
        colour: String,
        /// From frame to decision, milliseconds.
        latency_ms: u32,
        /// The picture.
        picture: Option<PictureId>,
        /// Frames that agreed.
        #[serde(default)]
        votes: u32,
        /// Which way the car was seen to go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        travel: Option<Travel>,
        /// Whether it is sure: by the limit of the reader that read it, or because a second reader confirmed it.
        #[serde(default)]
        sure: bool,
    },
    /// What a camera shows became unusable, or usable again.
    #[serde(rename = "camera.view")]
    View {
        /// What was wrong before: `dark`, `covered`, `defocused`, `moved`, or empty.
        from: String,
        /// What is wrong now, or empty.
        to: String,
    },
    /// A face was decided.
    #[serde(rename = "face.seen")]
    Face {
        /// Best match with its cosine.
        candidate: Option<(PersonId, f32)>,
        /// Whether the rule for opening a door is met.
        accepted: bool,
        /// From frame to decision, milliseconds.
        latency_ms: u32,
        /// The picture.
        picture: Option<PictureId>,
    },
    /// A command moved along its ledger.
    #[serde(rename = "command.state")]
    CommandMoved {
        /// Which.
        command: CommandId,
        /// Verb as a word.
        verb: String,
        /// State now.
        state: CommandState,
        /// Why, when it did not work.
        reason: String,
    },
    /// Doors are released and lifts recalled, or that ended.
    #[serde(rename = "fire.release")]
    FireRelease {
        /// Whether it began.
        active: bool,
        /// Doors released.
        doors: u32,
        /// Lifts recalled.
        elevators: u32,
    },
    /// An alarm's life.
    #[serde(rename = "alarm.moved")]
    AlarmMoved {
        /// Which.
        alarm: AlarmId,
        /// Its kind.
        kind: AlarmKind,
        /// Its zone.
        zone: String,
        /// Its priority, 1–4.
        priority: u8,
        /// `raised`, `raised_again`, `acknowledged`, `returned`, `closed`, `shelved`, `unshelved`, `commented`, ….
        what: String,
    },
    /// The operators' load crossed a limit (ISA-18.2: ten alarms in ten minutes).
    #[serde(rename = "alarm.flood")]
    Flood {
        /// Whether it began.
        active: bool,
        /// Alarms in the last ten minutes.
        alarms: u32,
    },
    /// A car passed or asks to.
    #[serde(rename = "passage.moved")]
    PassageMoved {
        /// Which.
        passage: PassageId,
        /// Lane key.
        lane: String,
        /// What was decided.
        decision: Decision,
    },
    /// An operator corrected a read, or took that back. What was decided on the read stands.
    #[serde(rename = "passage.corrected")]
    PassageCorrected {
        /// Which.
        passage: PassageId,
        /// Lane key.
        lane: String,
        /// The plate as read.
        plate: String,
        /// The plate as corrected; the plate as read where the correction was taken back.
        text: String,
        /// Why; empty where it was taken back.
        reason: String,
    },
    /// Someone changed a watch list.
    #[serde(rename = "watch.changed")]
    WatchChanged {
        /// Which.
        list: WatchListId,
        /// Its name.
        name: String,
        /// The plate concerned, empty for the list itself.
        plate: String,
        /// `created`, `changed`, `deleted`, `undeleted`, `entry_added`, `entry_changed`, `entry_removed`, `entry_restored`,
        /// `imported`.
        what: String,
    },
    /// A work order moved.
    #[serde(rename = "work_order.moved")]
    WorkOrderMoved {
        /// Which.
        work_order: WorkOrderId,
        /// Its state.
        state: WorkOrderState,
        /// The alarm it came of.
        alarm: Option<AlarmId>,
    },
    /// A work order was not taken up, or not done, in its time.
    #[serde(rename = "work_order.overdue")]
    WorkOrderOverdue {
        /// Which.
        work_order: WorkOrderId,
        /// The number people say.
        number: i64,
        /// `response` or `resolution`.
        what: String,
        /// Its priority from now on.
        priority: u8,
    },
    /// A card or plate is past its time.
    #[serde(rename = "credential.expired")]
    CredentialExpired {
        /// Which.
        credential: CredentialId,
        /// Whose.
        person: PersonId,
        /// `card` or `plate`.
        kind: String,
    },
    /// Records of people, credentials or levels changed.
    #[serde(rename = "people.changed")]
    PeopleChanged {
        /// Who.
        person: PersonId,
        /// `created`, `updated`, `deleted`, `credential_added`, `credential_removed`, `face_added`, `face_deleted`.
        what: String,
    },
    /// A part of the program was restarted.
    #[serde(rename = "actor.restarted")]
    ActorRestarted {
        /// Which.
        actor: String,
        /// How often since the start.
        restarts: u32,
        /// Why it stopped.
        reason: String,
    },
    /// A part of the program failed too often and is left stopped.
    #[serde(rename = "actor.quarantined")]
    ActorQuarantined {
        /// Which.
        actor: String,
        /// Why it stopped.
        reason: String,
    },
    /// The machine's clock was moved.
    #[serde(rename = "system.clock_jumped")]
    ClockJumped {
        /// Forward, or back when negative, milliseconds.
        step_ms: i64,
    },
    /// A rule that operators wrote came on or went off.
    #[serde(rename = "rule.fired")]
    RuleFired {
        /// Which.
        rule: RuleId,
        /// Its name.
        name: String,
        /// Whether it came on.
        active: bool,
        /// The moment it did, which is before this event's when nobody could look.
        since: Timestamp,
        /// The number it looked at.
        value: Option<f64>,
    },
    /// A rule that operators wrote was stopped: it cost too much, raised too often, or names what is gone.
    #[serde(rename = "rule.stopped")]
    RuleStopped {
        /// Which.
        rule: RuleId,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Someone changed a rule.
    #[serde(rename = "rule.changed")]
    RuleChanged {
        /// Which.
        rule: RuleId,
        /// Its name.
        name: String,
        /// `created`, `changed`, `enabled`, `disabled`, `deleted`, `restored`.
        what: String,
    },
    /// A target of notices changed how it does.
    #[serde(rename = "target.moved")]
    TargetMoved {
        /// Its name.
        target: String,
        /// `failing`, `working`, `gone`, `enabled`, `disabled`, `removed`.
        what: String,
        /// Why, when it does not work.
        reason: String,
    },
    /// The program started or stopped.
    #[serde(rename = "system.moved")]
    SystemMoved {
        /// `started` or `stopped`.
        what: String,
    },
}

impl Body {
    /// Who steps on it.
    pub fn audience(&self) -> &'static [Audience] {
        match self {
            Body::Reported { .. }
            | Body::Linked { .. }
            | Body::CardRead { .. }
            | Body::Happening { .. }
            | Body::Result { .. }
            | Body::Seen { .. }
            | Body::AskCommand { .. }
            | Body::AskGrant { .. }
            | Body::AskGateway { .. } => &[Audience::Device],
            Body::AskRaise { .. } | Body::AskClear { .. } => &[Audience::Alarm],
            Body::FirePoint { .. } => &[Audience::LifeSafety, Audience::Rule, Audience::Operator],
            Body::StateChanged { .. }
            | Body::PresenceChanged { .. }
            | Body::Tamper { .. }
            | Body::Limit { .. }
            | Body::Happened { .. }
            | Body::Denied { .. }
            | Body::Plate { .. }
            | Body::Face { .. } => &[Audience::Rule, Audience::Operator],
            Body::CommandMoved { .. } => &[Audience::Rule, Audience::Operator, Audience::Alarm],
            Body::ClockSkew { .. }
            | Body::View { .. }
            | Body::PeopleChanged { .. }
            | Body::ActorQuarantined { .. }
            | Body::TargetMoved { .. }
            | Body::ClockJumped { .. } => &[Audience::Rule],
            Body::Granted { .. } | Body::Announced { .. } | Body::PassageMoved { .. } => &[Audience::Operator],
            Body::AlarmMoved { .. } => &[Audience::WorkOrder],
            Body::WorkOrderMoved { .. } => &[Audience::Alarm],
            Body::FireRelease { .. }
            | Body::Flood { .. }
            | Body::WorkOrderOverdue { .. }
            | Body::CredentialExpired { .. }
            | Body::RuleFired { .. }
            | Body::RuleStopped { .. }
            | Body::RuleChanged { .. }
            | Body::PassageCorrected { .. }
            | Body::WatchChanged { .. }
            | Body::ActorRestarted { .. }
            | Body::SystemMoved { .. } => &[],
        }
    }

    /// Whether one part asks it of another (`ask.…`). Once that part has taken it, what followed from it says more.
    pub fn is_wish(&self) -> bool {
        matches!(
            self,
            Body::AskCommand { .. }
                | Body::AskGrant { .. }
                | Body::AskGateway { .. }
                | Body::AskRaise { .. }
                | Body::AskClear { .. }
        )
    }

    /// Whether operators see it on the timeline: what came in (`in.…`) and what parts ask each other (`ask.…`) they do not.
    pub fn shown(&self) -> bool {
        let came_in = matches!(
            self,
            Body::Reported { .. }
                | Body::Linked { .. }
                | Body::CardRead { .. }
                | Body::Happening { .. }
                | Body::Result { .. }
                | Body::Seen { .. }
        );
        !came_in && !self.is_wish()
    }

    /// The code that pages translate: the serde tag.
    pub fn code(&self) -> String {
        serde_json::to_string(self).map(|json| code_of(&json).to_owned()).unwrap_or_default()
    }
}

/// The code at the head of a body's JSON: the tag is written first.
pub fn code_of(json: &str) -> &str {
    json.strip_prefix("{\"code\":\"").and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// The parameters of a stored body for display: its scalar fields. Numbers of cards are masked.
pub fn params_of(body: &serde_json::Value) -> Params {
    let Some(map) = body.as_object() else { return Params::new() };
    map.iter()
        .filter(|(name, _)| name.as_str() != "code")
        .filter_map(|(name, value)| {
            let value = match value {
                serde_json::Value::Bool(on) => Value::Bool(*on),
                serde_json::Value::Number(n) => Value::Number(n.as_f64()?),
                serde_json::Value::String(text) if name == "card" => Value::Text(masked(text)),
                serde_json::Value::String(text) => Value::Text(text.clone()),
                serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
            };
            Some((name.clone(), value))
        })
        .collect()
}

/// A secret number with all but its last four characters hidden; short ones are hidden whole.
pub fn masked(number: &str) -> String {
    let length = number.chars().count();
    let kept = if length > 6 { 4 } else { 0 };
    number.chars().enumerate().map(|(at, c)| if at + kept < length { '•' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_masked_in_what_is_shown() {
        let body = Body::CardRead { card: "1234567890".into(), pin_given: false };
        let params = params_of(&serde_json::to_value(&body).unwrap());
        assert_eq!(params["card"], Value::Text("••••••7890".into()));
        assert_eq!(masked("1234"), "••••");
        assert!(!body.shown());
    }

    #[test]
    fn what_comes_in_and_what_parts_ask_each_other_is_not_shown() {
        let kind = AlarmKind::Smoke;
        for body in [
            Body::CardRead { card: "1".into(), pin_given: true },
            Body::Reported { points: vec![] },
            Body::Happening { what: "sos".into() },
            Body::AskClear { kind, zone: String::new(), reset: false },
            Body::AskRaise { kind, zone: String::new(), params: Params::new(), test: false },
            Body::AskGateway { lost: true },
            Body::SystemMoved { what: "started".into() },
            Body::Flood { active: true, alarms: 10 },
            Body::Happened { what: "sos".into() },
        ] {
            let code = body.code();
            assert!(Body::code(&body).contains('.'), "{code}");
            assert_eq!(body.shown(), !(code.starts_with("in.") || code.starts_with("ask.")), "{code}");
            assert_eq!(body.is_wish(), code.starts_with("ask."), "{code}");
        }
    }

    #[test]
    fn a_body_survives_its_storage_and_its_code_is_the_tag() {
        let body = Body::StateChanged {
            kind: DeviceKind::Door,
            class: String::new(),
            from: "secured".into(),
            to: "forced_open".into(),
        };
        let stored = serde_json::to_value(&body).unwrap();
        assert_eq!(stored["code"], "device.state");
        assert_eq!(body.code(), "device.state");
        assert_eq!(serde_json::from_value::<Body>(stored).unwrap(), body);
        let read = Body::Result { command: CommandId::from_key("x"), result: Outcome::Failed { reason: "no".into() } };
        assert_eq!(serde_json::from_value::<Body>(serde_json::to_value(&read).unwrap()).unwrap(), read);
    }
}
