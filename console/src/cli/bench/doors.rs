//! `gatehouse bench doors`: the decision at a door, in memory, beside a bare look-up in a map of the same size.

use super::{Common, Figures, quantile, with_cost};
use crate::api::health::cpu_seconds;
use gatehouse_core::access::{Credential, Holder, Level, Presented, Snapshot, Verdict, decide};
use gatehouse_core::id::{CredentialId, DeviceId, PersonId};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

/// Decisions at a door.
#[derive(Debug, clap::Args)]
pub struct Doors {
    #[command(flatten)]
    pub common: Common,
    /// Cards known to the site
    #[arg(long, default_value_t = 10_000)]
    cards: usize,
    /// Decisions to time
    #[arg(long, default_value_t = 200_000)]
    decisions: usize,
}

impl Doors {
    /// `p50_ms`, `p99_ms` of one decision, half of them denied; `baseline_p50_ms`: the same card looked up in a bare map.
    pub fn measure(&self) -> anyhow::Result<Figures> {
        anyhow::ensure!(self.cards > 0 && self.decisions > 0, "cards and decisions must be at least 1");
        let (door, other) = (DeviceId::from_key("door-1"), DeviceId::from_key("door-2"));
        let mut snapshot = Snapshot::default();
        for (key, at) in [("in", door), ("out", other)] {
            let level = Level { key: key.to_owned(), doors: [at].into_iter().collect(), schedule: String::new() };
            snapshot.levels.insert(key.to_owned(), level);
        }
        let cards: Vec<String> = (0..self.cards).map(|n| format!("{:010}", 1_000_000 + n * 7919)).collect();
        for (n, card) in cards.iter().enumerate() {
            let person = PersonId::from_key(card);
            let level = if n % 2 == 0 { "in" } else { "out" };
            snapshot.people.insert(person, Holder { name: format!("Person {n}"), levels: vec![level.to_owned()] });
            let id = CredentialId::from_key(card);
            snapshot.cards.insert(
                gatehouse_core::access::normal_card(card),
                Credential { id, person, enabled: true, valid_from: None, valid_until: None },
            );
        }
        let bare: BTreeMap<&str, usize> = cards.iter().enumerate().map(|(n, card)| (card.as_str(), n)).collect();
        let now = Timestamp::now();
        let cpu = cpu_seconds();
        let (mut times, mut baseline, mut granted) = (Vec::new(), Vec::new(), 0usize);
        for n in 0..self.decisions {
            let card = &cards[(n * 31) % cards.len()];
            let presented = Presented::Card(card.clone());
            let began = Instant::now();
            let verdict = black_box(decide(&snapshot, door, &presented, now));
            times.push(began.elapsed().as_secs_f64() * 1e3);
            granted += usize::from(matches!(verdict, Verdict::Granted { .. }));
            let began = Instant::now();
            black_box(bare.get(card.as_str()));
            baseline.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let mut figures = Figures::new();
        figures.insert("cards".into(), json!(self.cards));
        figures.insert("decisions".into(), json!(self.decisions));
        figures.insert("granted".into(), json!(granted));
        figures.insert("p50_ms".into(), json!(quantile(&mut times, 0.5)));
        figures.insert("p99_ms".into(), json!(quantile(&mut times, 0.99)));
        figures.insert("baseline_p50_ms".into(), json!(quantile(&mut baseline, 0.5)));
        figures.insert("baseline_p99_ms".into(), json!(quantile(&mut baseline, 0.99)));
        Ok(with_cost(figures, cpu))
    }
}
