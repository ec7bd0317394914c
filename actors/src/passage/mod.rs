//! Passages as guards see, decide and correct them.

pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use crate::shell::Message;
use gatehouse_core::access::{Presented, Verdict, decide};
use gatehouse_core::id::{DeviceId, PassageId, PersonId, WatchListId};
use gatehouse_core::passage::{Correction, Decision, Direction, Passage};
use gatehouse_core::recognition::plate_grammar::normalise;
use gatehouse_core::recognition::watchlist::{Hit, watch};
use gatehouse_core::rule::{CorrectCall, DecideCall, DecideError, GateCall};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::oneshot;

/// A passage as guards see it: the passage itself.
pub type PassageView = Passage;

/// A passage of a list, with how it met the text asked for. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The passage.
    #[serde(flatten)]
    pub passage: Passage,
    /// `exact`: the text is there as typed; `near`: a text that readers confuse with it. None: nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit: Option<&'static str>,
}

/// Which passages. Empty texts and `None` are everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassageQuery {
    /// Only those that wait for a guard.
    pub open: bool,
    /// Before then.
    pub before: Option<Timestamp>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// At most so many.
    pub limit: i64,
    /// Whose plate (as read or corrected), lane or person contains this text, or a plate that readers confuse with it.
    pub q: String,
    /// Whether confusions are left out.
    pub exact: bool,
    /// In this lane.
    pub lane: String,
    /// By this camera.
    pub camera: Option<DeviceId>,
    /// Of this colour.
    pub colour: String,
    /// With this decision.
    pub decision: Option<Decision>,
    /// This way.
    pub direction: Option<Direction>,
    /// Of this person.
    pub person: Option<PersonId>,
    /// On this watch list when it was read.
    pub list: Option<WatchListId>,
    /// Only those that someone corrected.
    pub corrected: bool,
    /// Only those whose read was not sure.
    pub unsure: bool,
}

/// What a correction leads to: nothing that was decided changes, and this is what the corrected plate would have met now.
/// Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Corrected {
    /// The passage with its correction.
    pub passage: Passage,
    /// The decision that was made on the read, and stands.
    pub stands: Decision,
    /// Whose plate the corrected one is, empty where nobody's.
    pub known: String,
    /// Whether it would be let in at that lane now.
    pub allowed: bool,
    /// Watch lists that the corrected plate is on; no alarm is raised for them.
    pub lists: Vec<String>,
}

const MOST_REASON: usize = 200;

impl System {
    /// Passages, newest first.
    pub async fn passages(&self, query: PassageQuery) -> Result<Vec<Found>, Error> {
        Ok(store::list(self.pool(), &query).await?)
    }

    /// One passage.
    pub async fn passage(&self, id: PassageId) -> Result<PassageView, Error> {
        store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "passage" })
    }

    /// A guard opens or refuses. Committed before it returns.
    pub async fn passage_decision(
        &self,
        id: PassageId,
        open: bool,
        note: String,
        by: &str,
    ) -> Result<PassageView, Error> {
        let call = GateCall::Decide(DecideCall { passage: id, open, note, by: by.to_owned() });
        if let Err(error) = self.at_the_gate(call, by).await? {
            self.passage(id).await?;
            return Err(Error::Conflict { code: "already_decided", message: error.to_string() });
        }
        self.passage(id).await
    }

    /// An operator says what a wrongly read plate is. The read stays beside it; the decision stands. Committed before it returns.
    pub async fn passage_correct(&self, id: PassageId, text: &str, reason: &str, by: &str) -> Result<Corrected, Error> {
        let text = normalise(text);
        let length = text.chars().count();
        if !(2..=10).contains(&length) || !text.chars().all(char::is_alphanumeric) {
            let message = "a plate has 2 to 10 letters, digits and Chinese characters, e.g. 粤B12345";
            return Err(Error::invalid("plate", "text", message));
        }
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > MOST_REASON {
            let message = format!("say why, in at most {MOST_REASON} characters");
            return Err(Error::invalid("correction_reason", "reason", message));
        }
        let passage = self.passage(id).await?;
        if text == passage.text() {
            let message = format!("the passage says {text} already");
            return Err(Error::Conflict { code: "same_plate", message });
        }
        let correction =
            Correction { text: text.clone(), reason: reason.to_owned(), by: by.to_owned(), at: self.now() };
        let passage = self.correct(passage, Some(correction), by).await?;
        let access = self.shared().access.get();
        let now = self.now();
        let verdict = decide(&access, passage.barrier, &Presented::Plate(text.clone()), now);
        let lists = watch(&text, &access.watch, now).into_iter().filter(|(_, _, hit)| *hit == Hit::Exact);
        Ok(Corrected {
            stands: passage.decision,
            known: verdict.name().to_owned(),
            allowed: matches!(verdict, Verdict::Granted { .. }),
            lists: lists.map(|(list, _, _)| list.name.clone()).collect(),
            passage,
        })
    }

    /// Takes a correction back.
    pub async fn passage_uncorrect(&self, id: PassageId, by: &str) -> Result<PassageView, Error> {
        let passage = self.passage(id).await?;
        if passage.correction.is_none() {
            let message = "the passage is as it was read".to_owned();
            return Err(Error::Conflict { code: "not_corrected", message });
        }
        self.correct(passage, None, by).await
    }

    async fn correct(&self, passage: Passage, correction: Option<Correction>, by: &str) -> Result<Passage, Error> {
        let id = passage.id;
        // A correction is never refused.
        let _ = self.at_the_gate(GateCall::Correct(Box::new(CorrectCall { passage, correction })), by).await?;
        self.passage(id).await
    }

    async fn at_the_gate(&self, call: GateCall, by: &str) -> Result<Result<(), DecideError>, Error> {
        let away = || Error::Away("the rule engine");
        let rules = self.rule_engine().ok_or_else(away)?;
        let (answer, answered) = oneshot::channel();
        rules.cast(Message::call(call, by, Some(answer))).map_err(|_| away())?;
        let (reply, receipt) =
            tokio::time::timeout(Duration::from_secs(5), answered).await.map_err(|_| away())?.map_err(|_| away())?;
        if reply.is_ok() {
            self.committed(receipt).await?;
        }
        Ok(reply)
    }
}
