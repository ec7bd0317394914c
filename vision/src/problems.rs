//! What goes wrong, by camera and code: counted always, told at first and then now and then.

use gatehouse_core::id::DeviceKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The same problem of the same camera is told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Who is told: a code, and a sentence that begins with the camera's key where it is about one.
pub type Tell = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// The problems of all cameras.
pub struct Problems {
    counts: Mutex<Counts>,
    tell: Tell,
}

/// Count and last telling, by camera and code.
type Counts = BTreeMap<Option<DeviceKey>, BTreeMap<&'static str, (u64, Instant)>>;

impl Problems {
    /// No problems yet.
    pub fn new(tell: Tell) -> Self {
        Self { counts: Mutex::default(), tell }
    }

    /// Counts a problem and tells it when it is due.
    pub fn note(&self, code: &'static str, camera: Option<&DeviceKey>, text: &str) {
        let now = Instant::now();
        let mut counts = self.lock();
        let (count, told) = counts.entry(camera.cloned()).or_default().entry(code).or_insert((0, now));
        *count += 1;
        let due = *count == 1 || now.duration_since(*told) >= TELL_EVERY;
        if due {
            *told = now;
        }
        drop(counts);
        match camera {
            Some(key) if due => (self.tell)(code, &format!("{key}: {text}")),
            None if due => (self.tell)(code, text),
            _ => {}
        }
    }

    /// The counts of a camera, by code.
    pub fn of(&self, camera: &DeviceKey) -> BTreeMap<&'static str, u64> {
        let counts = self.lock();
        counts.get(&Some(camera.clone())).into_iter().flatten().map(|(code, (count, _))| (*code, *count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_once_and_counted_always() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let problems = Problems::new(Arc::new(move |code, text| heard.lock().unwrap().push(format!("{code} {text}"))));
        let key: DeviceKey = "gate-1".parse().unwrap();
        for _ in 0..3 {
            problems.note("rtsp_loss", Some(&key), "2 packets lost");
        }
        problems.note("recognition_unavailable", None, "no models");
        assert_eq!(*told.lock().unwrap(), ["rtsp_loss gate-1: 2 packets lost", "recognition_unavailable no models"]);
        assert_eq!(problems.of(&key), BTreeMap::from([("rtsp_loss", 3)]));
    }
}
