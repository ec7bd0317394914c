//! Disks that do not take recordings are an alarm each, for as long as they do not.

use crate::app::App;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Params;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often the disks are looked at: a disk that hangs is seen by its writer after three seconds.
const PERIOD: Duration = Duration::from_secs(2);
/// Looks in a row that find a disk well before its alarm ends: one that comes and goes raises once.
const WELL: u32 = 5;

/// What is known of one disk.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    raised: bool,
    well: u32,
}

/// What to do about a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Raise,
    Clear,
    Nothing,
}

impl Told {
    fn look(&mut self, well: bool) -> Step {
        self.well = if well { self.well.saturating_add(1) } else { 0 };
        match (self.raised, well) {
            (false, false) => Step::Raise,
            (true, true) if self.well >= WELL => Step::Clear,
            (false | true, true) | (true, false) => Step::Nothing,
        }
    }
}

/// Watches until the program ends.
pub async fn watch(app: Arc<App>) {
    let Some(vision) = app.vision() else { return };
    let system = app.system();
    let open = system.open_alarms();
    let open = open.iter().filter(|alarm| alarm.kind == AlarmKind::RecordingFailed && alarm.active);
    let raised = Told { raised: true, well: 0 };
    let mut told: BTreeMap<String, Told> = open.map(|alarm| (alarm.zone.clone(), raised)).collect();
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tick.tick().await;
        let disks: BTreeMap<String, _> =
            vision.disks().into_iter().map(|disk| (disk.dir.display().to_string(), disk)).collect();
        // An alarm about a disk that is no longer recorded on ends, too.
        let zones: BTreeSet<String> = disks.keys().chain(told.keys()).cloned().collect();
        for zone in zones {
            let trouble = disks.get(&zone).filter(|disk| !disk.code.is_empty());
            let state = told.entry(zone.clone()).or_default();
            let outcome = match state.look(trouble.is_none()) {
                Step::Nothing => Ok(()),
                Step::Clear => {
                    system.clear(AlarmKind::RecordingFailed, None, &zone).await.map(|()| state.raised = false)
                }
                Step::Raise => {
                    let reason = trouble.map(|disk| disk.code).unwrap_or_default();
                    let text = trouble.map(|disk| disk.text.clone()).unwrap_or_default();
                    tracing::error!(dir = %zone, reason, text, "A disk does not take recordings");
                    let params = Params::from([
                        ("dir".to_owned(), Value::Text(zone.clone())),
                        ("reason".to_owned(), Value::Text(reason.to_owned())),
                    ]);
                    system.raise(AlarmKind::RecordingFailed, None, &zone, params).await.map(|()| state.raised = true)
                }
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, dir = %zone, "The alarm about recordings could not be told; it is tried again");
            }
        }
        told.retain(|zone, state| state.raised || disks.contains_key(zone));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_comes_and_goes_raises_once_and_ends_when_it_stays() {
        let mut told = Told::default();
        let mut steps = Vec::new();
        for well in [true, false, false, true, true, false, true, true, true, true, true, true] {
            let step = told.look(well);
            match step {
                Step::Raise => told.raised = true,
                Step::Clear => told.raised = false,
                Step::Nothing => continue,
            }
            steps.push(step);
        }
        assert_eq!(steps, [Step::Raise, Step::Clear]);
    }
}
