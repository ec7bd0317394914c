//! Rules as operators write, change and try them. Committed before they are answered; in force at once.

mod dry_run;
pub(crate) mod feed;
pub(crate) mod store;

pub use dry_run::{DryRun, DryRunError, Interval, Trace};

use crate::error::Error;
use crate::root::System;
use crate::shell::Message;
use gatehouse_core::access::Snapshot;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Body;
use gatehouse_core::id::{DeviceId, RuleId};
use gatehouse_core::rule::expr::{self, Diagnostic, FACTS, Plan, Points, Scene, Shape, states};
use gatehouse_core::rule::operator::{Definition, Known, MOST_RULES, OperatorCall, RuleState};
use gatehouse_core::site::Compound;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A rule as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RuleRow {
    pub id: RuleId,
    pub name: String,
    pub text: String,
    pub enabled: bool,
    pub version: i32,
    pub by: String,
    pub at: Timestamp,
    pub deleted: bool,
}

/// A rule as operators see it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RuleView {
    pub id: RuleId,
    pub name: String,
    pub text: String,
    pub enabled: bool,
    pub version: i32,
    pub by: String,
    pub at: Timestamp,
    pub deleted: bool,
    /// Why it was stopped, empty while it runs.
    pub stopped: String,
    /// On now, for so many devices.
    pub on: usize,
    /// A delay runs.
    pub waiting: bool,
    pub fired_24h: i64,
    pub last_fired: Option<Timestamp>,
}

/// A version of a rule. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct VersionView {
    pub version: i32,
    pub name: String,
    pub text: String,
    pub enabled: bool,
    pub what: String,
    pub by: String,
    pub at: Timestamp,
}

/// A rule as someone writes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RuleInput {
    pub name: String,
    pub text: String,
    #[serde(default)]
    pub enabled: bool,
}

/// The words a rule may use. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Words {
    pub devices: Vec<DeviceWords>,
    pub events: Vec<EventWords>,
    pub schedules: Vec<String>,
    pub places: Vec<String>,
}

/// What can be said of a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DeviceWords {
    pub id: DeviceId,
    pub key: String,
    pub kind: String,
    pub class: String,
    pub states: Vec<&'static str>,
    pub points: Vec<PointWords>,
}

/// A point.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PointWords {
    pub name: String,
    pub shape: &'static str,
    pub unit: String,
}

/// An event that can be counted, with its fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EventWords {
    pub code: &'static str,
    pub fields: Vec<&'static str>,
}

/// What rules are checked against now.
pub(crate) struct Vocabulary {
    compound: Arc<Compound>,
    access: Arc<Snapshot>,
    points: Points,
}

impl Vocabulary {
    pub(crate) fn of(system: &System) -> Self {
        let shape = |value: &Value| match value {
            Value::Number(_) => Shape::Number,
            Value::Bool(_) => Shape::Bool,
            Value::Text(_) => Shape::Word,
        };
        let (_, devices) = system.board().snapshot();
        let points = devices
            .iter()
            .map(|view| {
                let points = view.points.iter().map(|(name, reading)| (name.clone(), shape(&reading.value)));
                // A camera's motion is seen, not reported: it is not among the recorded readings.
                (view.id, points.filter(|(name, _)| name != "motion").collect::<BTreeMap<_, _>>())
            })
            .filter(|(_, points)| !points.is_empty())
            .collect();
        Self { compound: system.compound(), access: system.shared().access.get(), points }
    }

    pub(crate) fn compile(&self, text: &str) -> Result<Plan, Vec<Diagnostic>> {
        expr::compile(text, Scene { compound: &self.compound, access: &self.access, points: &self.points })
    }
}

fn conflict() -> Error {
    Error::Conflict {
        code: "rule_changed",
        message: "someone else changed this rule meanwhile: read it again and repeat your change".into(),
    }
}

impl System {
    /// All rules with how they do, by name.
    pub async fn rules(&self) -> Result<Vec<RuleView>, Error> {
        let since = self.now().saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
        let (rows, fired) = (store::list(self.pool()).await?, store::fired(self.pool(), since).await?);
        let states = self.feed().states();
        let view = |row: RuleRow| {
            let state = states.get(&row.id).cloned().unwrap_or_default();
            let (fired_24h, last_fired) = fired.get(&row.id).map_or((0, None), |(count, last)| (*count, Some(*last)));
            RuleView {
                id: row.id,
                name: row.name,
                text: row.text,
                enabled: row.enabled,
                version: row.version,
                by: row.by,
                at: row.at,
                deleted: row.deleted,
                stopped: state.stopped,
                on: state.on.len(),
                waiting: state.waiting,
                fired_24h,
                last_fired,
            }
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// One rule.
    pub async fn rule(&self, id: RuleId) -> Result<RuleView, Error> {
        self.rules().await?.into_iter().find(|rule| rule.id == id).ok_or(Error::NotFound { what: "rule" })
    }

    /// How a running rule does at this moment.
    pub fn rule_state(&self, id: RuleId) -> Option<RuleState> {
        self.feed().states().get(&id).cloned()
    }

    /// The versions of a rule, newest first.
    pub async fn rule_versions(&self, id: RuleId) -> Result<Vec<VersionView>, Error> {
        let versions = store::versions(self.pool(), id).await?;
        if versions.is_empty() { Err(Error::NotFound { what: "rule" }) } else { Ok(versions) }
    }

    /// Everything that is wrong with a text.
    pub fn rule_check(&self, text: &str) -> Vec<Diagnostic> {
        Vocabulary::of(self).compile(text).err().unwrap_or_default()
    }

    /// The words that a rule may use here.
    pub fn rule_words(&self) -> Words {
        let Vocabulary { compound, access, points } = Vocabulary::of(self);
        let devices = compound.devices.values().map(|spec| DeviceWords {
            id: spec.id,
            key: spec.key.to_string(),
            kind: spec.kind.word().to_owned(),
            class: spec.class.clone(),
            states: states(spec.kind).to_vec(),
            points: points
                .get(&spec.id)
                .into_iter()
                .flatten()
                .map(|(name, shape)| PointWords {
                    name: name.clone(),
                    shape: shape.word(),
                    unit: spec.unit(name).to_owned(),
                })
                .collect(),
        });
        let mut devices: Vec<DeviceWords> = devices.collect();
        devices.sort_by(|a, b| a.key.cmp(&b.key));
        let event = |fact: &expr::Fact| EventWords {
            code: fact.code,
            fields: fact.fields.iter().map(|(name, _)| *name).collect(),
        };
        Words {
            devices,
            events: FACTS.iter().map(event).collect(),
            schedules: access.schedules.keys().cloned().collect(),
            places: compound.places.iter().map(|place| place.key.clone()).collect(),
        }
    }

    fn checked(&self, input: &RuleInput) -> Result<(), Error> {
        let name = input.name.trim();
        if name.is_empty() || name.chars().count() > 80 {
            return Err(Error::invalid("rule_name", "name", "a rule needs a name of at most 80 characters"));
        }
        match self.rule_check(&input.text).first() {
            Some(wrong) => Err(Error::invalid("rule_wrong", "text", wrong)),
            None => Ok(()),
        }
    }

    /// Adds a rule.
    pub async fn rule_create(&self, input: RuleInput, by: &str) -> Result<RuleView, Error> {
        let _one = self.feed().changing.lock().await;
        if store::list(self.pool()).await?.len() >= MOST_RULES {
            let message = format!("a site has at most {MOST_RULES} rules: delete one first");
            return Err(Error::Conflict { code: "too_many_rules", message });
        }
        self.checked(&input)?;
        let row = RuleRow {
            id: RuleId(self.clock().uuid()),
            name: input.name.trim().to_owned(),
            text: input.text,
            enabled: input.enabled,
            version: 1,
            by: by.to_owned(),
            at: self.now(),
            deleted: false,
        };
        store::create(self.pool(), &row).await?;
        self.enforce(&row, "created", by).await?;
        self.rule(row.id).await
    }

    /// Changes a rule whose newest version is the one that the caller saw.
    pub async fn rule_update(&self, id: RuleId, version: i32, input: RuleInput, by: &str) -> Result<RuleView, Error> {
        let _one = self.feed().changing.lock().await;
        let row = self.next(id, Some(version), by).await?;
        self.checked(&input)?;
        let row = RuleRow { name: input.name.trim().to_owned(), text: input.text, enabled: input.enabled, ..row };
        self.change(row, "changed", by).await?;
        self.rule(id).await
    }

    /// Switches a rule on or off.
    pub async fn rule_enable(&self, id: RuleId, version: i32, enabled: bool, by: &str) -> Result<RuleView, Error> {
        let _one = self.feed().changing.lock().await;
        let row = RuleRow { enabled, ..self.next(id, Some(version), by).await? };
        if enabled {
            self.checked(&RuleInput { name: row.name.clone(), text: row.text.clone(), enabled })?;
        }
        self.change(row, if enabled { "enabled" } else { "disabled" }, by).await?;
        self.rule(id).await
    }

    /// Deletes a rule; [`System::rule_undelete`] brings it back, switched off.
    pub async fn rule_delete(&self, id: RuleId, by: &str) -> Result<(), Error> {
        let _one = self.feed().changing.lock().await;
        let row = RuleRow { deleted: true, enabled: false, ..self.next(id, None, by).await? };
        self.change(row, "deleted", by).await
    }

    /// Takes a deletion back.
    pub async fn rule_undelete(&self, id: RuleId, by: &str) -> Result<RuleView, Error> {
        let _one = self.feed().changing.lock().await;
        let row =
            store::get(self.pool(), id).await?.filter(|row| row.deleted).ok_or(Error::NotFound { what: "rule" })?;
        let row = RuleRow { deleted: false, version: row.version + 1, by: by.to_owned(), at: self.now(), ..row };
        self.change(row, "undeleted", by).await?;
        self.rule(id).await
    }

    /// Goes back to the name and text of an earlier version.
    pub async fn rule_restore(&self, id: RuleId, version: i32, by: &str) -> Result<RuleView, Error> {
        let _one = self.feed().changing.lock().await;
        let row = self.next(id, None, by).await?;
        let versions = store::versions(self.pool(), id).await?;
        let old = versions.into_iter().find(|old| old.version == version).ok_or(Error::NotFound { what: "version" })?;
        self.checked(&RuleInput { name: old.name.clone(), text: old.text.clone(), enabled: row.enabled })?;
        self.change(RuleRow { name: old.name, text: old.text, ..row }, "restored", by).await?;
        self.rule(id).await
    }

    /// The next version of a rule.
    async fn next(&self, id: RuleId, seen: Option<i32>, by: &str) -> Result<RuleRow, Error> {
        let row =
            store::get(self.pool(), id).await?.filter(|row| !row.deleted).ok_or(Error::NotFound { what: "rule" })?;
        if seen.is_some_and(|seen| seen != row.version) {
            return Err(conflict());
        }
        Ok(RuleRow { version: row.version + 1, by: by.to_owned(), at: self.now(), ..row })
    }

    async fn change(&self, row: RuleRow, what: &str, by: &str) -> Result<(), Error> {
        if !store::change(self.pool(), &row, what).await? {
            return Err(conflict());
        }
        self.enforce(&row, what, by).await
    }

    /// Lets the machine follow what is stored. One that is being restarted reads it from there.
    async fn enforce(&self, row: &RuleRow, what: &str, by: &str) -> Result<(), Error> {
        let call = if row.enabled && !row.deleted {
            let (_, devices) = self.board().snapshot();
            let known = devices.iter().map(|view| {
                let points = view.points.iter().map(|(name, reading)| (name.clone(), reading.value.clone())).collect();
                (view.id, Known { state: view.state.clone(), points })
            });
            let definition =
                Definition { id: row.id, name: row.name.clone(), text: row.text.clone(), version: row.version };
            OperatorCall::Put(definition, known.collect())
        } else {
            OperatorCall::Remove(row.id)
        };
        if let Some(machine) = self.feed().operator() {
            let (answer, answered) = oneshot::channel();
            let sent = machine.cast(Message::call(call, "operator_rule", Some(answer)));
            if sent.is_ok()
                && let Ok(Ok(((), receipt))) = tokio::time::timeout(Duration::from_secs(5), answered).await
            {
                self.committed(receipt).await?;
            }
        }
        let body = Body::RuleChanged { rule: row.id, name: row.name.clone(), what: what.to_owned() };
        self.tell_about(by, body).await
    }
}
