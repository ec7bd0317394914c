//! The memory budget: an alarm while the program needs more than four fifths of what it was given.

use super::process::resident_bytes;
use crate::app::App;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Params;
use std::sync::Arc;
use std::time::Duration;

/// How often memory is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// Part of the budget above which the alarm is raised.
const HIGH: f64 = 0.8;
/// Part of the budget below which it is over: memory that hovers at the limit raises once.
const LOW: f64 = 0.7;

/// What to do about a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Raise,
    Clear,
    Nothing,
}

fn step(high: bool, used: f64, budget: f64) -> Step {
    if !high && used > budget * HIGH {
        Step::Raise
    } else if high && used < budget * LOW {
        Step::Clear
    } else {
        Step::Nothing
    }
}

/// Watches until the program ends.
pub async fn watch(app: Arc<App>) {
    let system = app.system();
    let budget = app.memory_budget_mb();
    let mut high = system.open_alarms().iter().any(|alarm| alarm.kind == AlarmKind::MemoryHigh);
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tick.tick().await;
        let used = resident_bytes() / 1e6;
        let params = Params::from([
            ("used_mb".into(), Value::Number(used.round())),
            ("budget_mb".into(), Value::Number(budget)),
        ]);
        let told = match step(high, used, budget) {
            Step::Raise => system.raise(AlarmKind::MemoryHigh, None, "", params).await.map(|()| high = true),
            Step::Clear => system.clear(AlarmKind::MemoryHigh, None, "").await.map(|()| high = false),
            Step::Nothing => Ok(()),
        };
        if let Err(error) = told {
            tracing::warn!(%error, used_mb = used.round(), "The memory alarm could not be told; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_hovers_at_the_limit_raises_once() {
        let (mut high, mut told) = (false, Vec::new());
        for used in [700.0, 799.0, 801.0, 790.0, 805.0, 701.0, 699.0, 750.0] {
            let step = step(high, used, 1000.0);
            high = match step {
                Step::Raise => true,
                Step::Clear => false,
                Step::Nothing => high,
            };
            told.extend(Some(step).filter(|step| *step != Step::Nothing));
        }
        assert_eq!(told, [Step::Raise, Step::Clear]);
    }
}
