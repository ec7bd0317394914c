//! Passages as guards see and decide them.

pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use crate::shell::Message;
use gatehouse_core::id::PassageId;
use gatehouse_core::passage::Passage;
use gatehouse_core::rule::DecideCall;
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::oneshot;

/// A passage as guards see it: the passage itself.
pub type PassageView = Passage;

/// Which passages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassageQuery {
    /// Only those that wait for a guard.
    pub open: bool,
    /// Before then.
    pub before: Option<Timestamp>,
    /// At most so many.
    pub limit: i64,
    /// Whose plate, lane or person contains this text; empty for all.
    pub q: String,
}

impl System {
    /// Passages, newest first.
    pub async fn passages(&self, query: PassageQuery) -> Result<Vec<PassageView>, Error> {
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
        let away = || Error::Away("the rule engine");
        let rules = self.rule_engine().ok_or_else(away)?;
        let (answer, answered) = oneshot::channel();
        let call = DecideCall { passage: id, open, note, by: by.to_owned() };
        rules.cast(Message::Call { call, by: by.to_owned(), answer: Some(answer) }).map_err(|_| away())?;
        let (reply, receipt) =
            tokio::time::timeout(Duration::from_secs(5), answered).await.map_err(|_| away())?.map_err(|_| away())?;
        if let Err(error) = reply {
            self.passage(id).await?;
            return Err(Error::Conflict { code: "already_decided", message: error.to_string() });
        }
        self.committed(receipt).await?;
        self.passage(id).await
    }
}
