//! Brings notices their way out: the configured targets, their secrets, and who carries the parcels.

use crate::config::Webhook;
use crate::secrets;
use anyhow::Context;
use gatehouse_actors::{Courier, OutboxConfig, Sending};
use gatehouse_adapters::webhook::{Secret, WebhookConfig, Webhooks, new_secret};
use gatehouse_core::alarm::{AlarmKind, Priority};
use gatehouse_core::outbox::{Origin, Parcel, Target};
use std::sync::Arc;

/// Carries parcels as webhooks.
pub struct Post(pub Webhooks);

impl Courier for Post {
    fn send(&self, parcel: Parcel) -> Sending {
        let webhooks = self.0.clone();
        Box::pin(async move { webhooks.send(parcel).await })
    }
}

/// The outbox of a checked configuration; secrets that are missing are made.
pub fn open(webhooks: &[Webhook], origin: Origin) -> anyhow::Result<OutboxConfig> {
    let (mut targets, mut configs) = (Vec::new(), Vec::new());
    for webhook in webhooks {
        let what = || format!("webhooks: target {:?}", webhook.name);
        let text = secrets::file_or(&webhook.secret_file, new_secret).with_context(what)?;
        let secret = Secret::parse(&text)
            .with_context(|| format!("{}: secret_file {}", what(), webhook.secret_file.display()))?;
        let url = WebhookConfig::url(&webhook.url).with_context(|| format!("{}: url", what()))?;
        let (name, allow_private) = (webhook.name.clone(), webhook.allow_private);
        let config = WebhookConfig { name, url, secret, allow_private };
        targets.push(Target {
            name: config.name.clone(),
            address: config.shown(),
            min_priority: Priority::try_from(webhook.min_priority).with_context(what)?,
            kinds: webhook.kinds.iter().filter_map(|kind| AlarmKind::parse(kind)).collect(),
            allow_private,
        });
        configs.push(config);
    }
    let courier = Arc::new(Post(Webhooks::new(configs).context("webhooks: TLS")?));
    Ok(OutboxConfig { targets, courier, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_is_made_and_a_wrong_one_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let webhook = |file: &str| Webhook {
            name: "desk".into(),
            url: "https://integrator.example/hook/s3cret".into(),
            secret_file: dir.path().join(file),
            min_priority: 2,
            kinds: vec!["fire".into()],
            allow_private: false,
        };
        let opened = open(&[webhook("made")], Origin::default()).unwrap();
        assert_eq!(opened.targets[0].address, "https://integrator.example", "a path may be a secret");
        let made = std::fs::read_to_string(dir.path().join("made")).unwrap();
        assert!(made.starts_with("whsec_"));
        open(&[webhook("made")], Origin::default()).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("made")).unwrap(), made);
        std::fs::write(dir.path().join("bad"), "hunter2").unwrap();
        let error = format!("{:#}", open(&[webhook("bad")], Origin::default()).err().unwrap());
        assert!(error.contains("desk") && error.contains("bad") && !error.contains("hunter2"), "{error}");
    }
}
