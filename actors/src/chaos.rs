//! Chaos: actors killed at random, mailbox and all. Only in builds with the feature `chaos`; 0 kills a second without a word.

use crate::root::{System, SystemConfig};
use crate::supervise::Order;
use rand::Rng;
use std::time::Duration;
use tracing::warn;

/// Names the rate for the program: kills in a second.
pub const RATE: &str = "GATEHOUSE_CHAOS_KILLS_PER_S";

/// The rate that the environment asks for; 0 when it asks for none, or for nonsense.
pub fn rate_from_env() -> f64 {
    std::env::var(RATE).ok().and_then(|text| text.parse().ok()).filter(|rate: &f64| rate.is_finite()).unwrap_or(0.0)
}

/// Kills of ours are no reason for quarantine.
pub(crate) fn prepare(mut config: SystemConfig) -> (SystemConfig, f64) {
    let rate = config.chaos_kills_per_s;
    if rate > 0.0 {
        config.restarts.intensity = usize::MAX;
        config.restarts.backoff_max = config.restarts.backoff_max.min(Duration::from_secs(1));
    }
    (config, rate)
}

/// Kills at random until the system stops.
pub(crate) async fn kill(system: System, rate: f64) {
    if rate <= 0.0 {
        return;
    }
    warn!(kills_per_s = rate, "Chaos: actors are killed at random");
    loop {
        // Exponential pauses: kills as independent of each other as failures are.
        let pause = -rand::rng().random_range(f64::EPSILON..1.0_f64).ln() / rate;
        tokio::time::sleep(Duration::from_secs_f64(pause.min(60.0))).await;
        let keys = system.running_keys();
        if !keys.is_empty() {
            let key = keys[rand::rng().random_range(0..keys.len())].clone();
            let _ = system.supervisor().cast(Order::Kill { key });
        }
    }
}
