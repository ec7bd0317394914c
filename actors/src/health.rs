//! How the system does: what the health page and the scraper read, and a stopped part started again.

use crate::address::Name;
use crate::error::Error;
use crate::ingress::IngressHealth;
use crate::meter::Figures;
use crate::root::System;
use crate::store::{self, DatabaseHealth};
use crate::supervise::{ActorHealth, Doing, Order};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use tokio::sync::oneshot;

impl System {
    /// The machines, with the names that people see.
    fn names(&self) -> Vec<(Name, String)> {
        let devices = self.compound();
        let devices = devices.devices.values().map(|spec| (Name::Device(spec.id), spec.key.to_string()));
        devices
            .chain(
                [Name::LifeSafety, Name::Rule, Name::Operator, Name::Alarm, Name::WorkOrder]
                    .map(|name| (name, name.to_string())),
            )
            .collect()
    }

    /// Starts a quarantined actor again, by the name that people see. Its alarm ends once it runs.
    pub async fn actor_restart(&self, shown: &str) -> Result<(), Error> {
        let key = self.names().into_iter().find(|(_, name)| name == shown).map(|(name, _)| name.to_string());
        let key = key.ok_or(Error::NotFound { what: "actor" })?;
        let (released, answer) = oneshot::channel();
        let away = || Error::Away("the supervisor");
        self.supervisor().cast(Order::Release { key, released }).map_err(|_| away())?;
        match answer.await.map_err(|_| away())? {
            true => Ok(()),
            false => Err(Error::Conflict {
                code: "not_quarantined",
                message: format!("actor {shown} is not quarantined: there is nothing to start again"),
            }),
        }
    }

    /// Keys of the actors that run, as the supervisor knows them.
    #[cfg(feature = "chaos")]
    pub(crate) fn running_keys(&self) -> Vec<String> {
        let health = self.inner().health.lock().unwrap_or_else(PoisonError::into_inner);
        health.iter().filter(|(_, doing)| doing.state == "running").map(|(key, _)| key.clone()).collect()
    }

    /// How the actors do.
    pub fn actors(&self) -> Vec<ActorHealth> {
        let health: BTreeMap<_, _> = self.inner().health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names: BTreeMap<String, (String, Name)> =
            self.names().into_iter().map(|(name, shown)| (name.to_string(), (shown, name))).collect();
        let mut actors: Vec<_> = health
            .into_iter()
            .map(|(key, Doing { state, restarts, reason })| {
                let (shown, depth) = names
                    .get(&key)
                    .map_or((key.clone(), 0), |(shown, name)| (shown.clone(), self.shared().addresses.depth(*name)));
                ActorHealth { key: shown, state: state.to_owned(), restarts, depth, reason }
            })
            .collect();
        actors.push(ActorHealth {
            key: "journal".into(),
            state: self.shared().journal.health().state,
            restarts: 0,
            depth: self.shared().journal.depth(),
            reason: String::new(),
        });
        actors
    }

    /// What came in, by source.
    pub fn ingress(&self) -> Vec<IngressHealth> {
        self.inner().ingress.health()
    }

    /// What it counts about itself.
    pub fn figures(&self) -> Figures {
        let shared = self.shared();
        Figures {
            journal: shared.journal.figures(),
            telemetry: shared.telemetry.health(),
            commands: shared.journal.meter().commands(),
        }
    }

    /// How the database does.
    pub async fn database(&self) -> Result<DatabaseHealth, Error> {
        Ok(store::health(self.pool()).await?)
    }
}
