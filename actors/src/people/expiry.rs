//! Cards and plates end at their moment, each once: out of the access snapshot first, then on the timeline.
//!
//! The event and the mark that it was told are one transaction, so an end that falls into a downtime is told once after it.

use super::store;
use crate::error::Error;
use crate::journal::{Entry, NewEvent};
use crate::root::System;
use gatehouse_core::effect::Record;
use gatehouse_core::event::Body;
use std::time::Duration;
use tracing::warn;

/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(5);

impl System {
    /// Waits for the next end, again and again.
    pub(crate) async fn expire(self) {
        loop {
            let next = match store::next_expiry(self.pool()).await {
                Ok(Some(at)) if at <= self.now() => self.tell_ended().await,
                Ok(Some(at)) => {
                    tokio::select! {
                        () = self.clock().sleep_until(at) => {}
                        () = self.shared().access.renewed() => {}
                    }
                    Ok(())
                }
                Ok(None) => {
                    self.shared().access.renewed().await;
                    Ok(())
                }
                Err(error) => Err(Error::from(error)),
            };
            if let Err(error) = next {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Ended credentials are told later; doors refuse them anyway"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn tell_ended(&self) -> Result<(), Error> {
        let now = self.now();
        let ended = store::ended(self.pool(), now).await?;
        self.refresh_access().await?;
        let mut entry = Entry::default();
        for (credential, person, kind) in ended {
            entry.records.push(Record::Expired(credential, now));
            entry.events.push(NewEvent {
                received_at: now,
                observed_at: None,
                device: None,
                place: None,
                cause: None,
                by: "system".into(),
                source_key: None,
                body: Body::CredentialExpired { credential, person, kind },
            });
        }
        self.committed(self.shared().journal.submit(entry)).await
    }
}
