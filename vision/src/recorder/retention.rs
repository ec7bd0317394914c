//! What to forget: whole segments, oldest first over all cameras, never a kept range.

use super::index::{Catalogue, Segment};
use std::collections::BTreeMap;

/// How long and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days; 0 keeps for ever.
    pub days: u32,
    /// Most bytes of all cameras together.
    pub max_bytes: Option<u64>,
    /// Bytes to leave free on each disk.
    pub min_free_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 30, max_bytes: None, min_free_bytes: 1 << 30 }
    }
}

/// What is kept otherwise of one camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// Days, where not as many as all others; 0 keeps for ever.
    pub days: Option<u32>,
}

/// Segments of one disk to remove, as (camera, start).
///
/// `free`: bytes free on that disk; `here`: whether a segment lies on it. Age and bytes count over all disks, each of which
/// forgets its own. Kept ranges and files being written stay, so the answer may free less than wished.
pub fn choose<K: Ord + Clone>(
    cameras: &BTreeMap<K, Catalogue>,
    policy: &Retention,
    keeps: &BTreeMap<K, Keep>,
    now_us: i64,
    free: u64,
    here: impl Fn(&Segment) -> bool,
) -> Vec<(K, i64)> {
    let horizon = |key: &K| match keeps.get(key).and_then(|keep| keep.days).unwrap_or(policy.days) {
        0 => i64::MIN,
        days => now_us.saturating_sub(i64::from(days) * 86_400_000_000),
    };
    let total: u64 = cameras.values().map(Catalogue::bytes).sum();
    let mut over = policy.max_bytes.map_or(0, |most| total.saturating_sub(most));
    let mut short = policy.min_free_bytes.saturating_sub(free);

    let is_old = |key: &K, segment: &Segment| segment.end_us < horizon(key);
    let oldest = |(key, catalogue): (&K, &Catalogue)| {
        catalogue.segments.values().next().is_some_and(|segment| is_old(key, segment))
    };
    if over == 0 && short == 0 && !cameras.iter().any(oldest) {
        return Vec::new();
    }
    let mut candidates: Vec<_> = cameras
        .iter()
        .flat_map(|(key, catalogue)| catalogue.segments.values().map(move |segment| (key, catalogue, segment)))
        .filter(|(_, catalogue, segment)| !segment.open && !catalogue.pinned(&(segment.start_us..segment.end_us)))
        .collect();
    candidates.sort_by_key(|(_, _, segment)| segment.end_us);
    let mut chosen = Vec::new();
    for (key, _, segment) in candidates {
        let mine = here(segment);
        if !is_old(key, segment) && over == 0 && (short == 0 || !mine) {
            continue;
        }
        over = over.saturating_sub(segment.bytes);
        if mine {
            short = short.saturating_sub(segment.bytes);
            chosen.push((key.clone(), segment.start_us));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::index::Segment;

    const DAY: i64 = 86_400_000_000;

    fn camera(starts: &[i64]) -> Catalogue {
        let segments = starts
            .iter()
            .map(|start| {
                let start_us = start * DAY;
                let path = format!("{start}").into();
                (start_us, Segment { start_us, end_us: start_us + DAY / 2, bytes: 100, path, open: false })
            })
            .collect();
        Catalogue { segments, pins: Vec::new() }
    }

    fn check(
        cameras: &BTreeMap<&'static str, Catalogue>,
        policy: Retention,
        free: u64,
        expect: &[(&'static str, i64)],
    ) {
        let chosen = choose(cameras, &policy, &BTreeMap::new(), 10 * DAY, free, |_| true);
        assert_eq!(chosen.into_iter().map(|(k, s)| (k, s / DAY)).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn age_size_and_free_space_each_forget_the_oldest() {
        let cameras = BTreeMap::from([("a", camera(&[1, 5, 9])), ("b", camera(&[2, 6]))]);
        let keep = Retention { days: 0, max_bytes: None, min_free_bytes: 0 };
        check(&cameras, keep.clone(), 0, &[]);
        check(&cameras, Retention { days: 5, ..keep.clone() }, 0, &[("a", 1), ("b", 2)]);
        check(&cameras, Retention { max_bytes: Some(250), ..keep.clone() }, 0, &[("a", 1), ("b", 2), ("a", 5)]);
        check(&cameras, Retention { min_free_bytes: 150, ..keep }, 20, &[("a", 1), ("b", 2)]);
    }

    #[test]
    fn a_kept_range_and_the_open_file_stay() {
        let mut cameras = BTreeMap::from([("a", camera(&[1, 2, 3]))]);
        let catalogue = cameras.get_mut("a").unwrap();
        catalogue.pins.push(DAY + 5..DAY + 6);
        catalogue.segments.get_mut(&(3 * DAY)).unwrap().open = true;
        let all = Retention { days: 1, max_bytes: Some(0), min_free_bytes: u64::MAX };
        check(&cameras, all, 0, &[("a", 2)]);
    }

    #[test]
    fn a_camera_may_be_kept_longer_or_shorter_than_the_others() {
        let cameras = BTreeMap::from([("a", camera(&[1, 5, 9])), ("b", camera(&[1, 5, 9])), ("c", camera(&[1, 5, 9]))]);
        let keeps = BTreeMap::from([("a", Keep { days: Some(0) }), ("b", Keep { days: Some(2) })]);
        let policy = Retention { days: 7, max_bytes: None, min_free_bytes: 0 };
        let chosen = choose(&cameras, &policy, &keeps, 10 * DAY, 0, |_| true);
        assert_eq!(chosen, [("b", DAY), ("c", DAY), ("b", 5 * DAY)]);
    }

    #[test]
    fn each_disk_forgets_its_own_and_bytes_count_over_all() {
        let cameras = BTreeMap::from([("a", camera(&[1, 2, 3, 4]))]);
        let even = |segment: &Segment| (segment.start_us / DAY) % 2 == 0;
        let check = |policy: &Retention, free, expect: [&[i64]; 2]| {
            let starts = |here: &dyn Fn(&Segment) -> bool| -> Vec<i64> {
                let chosen = choose(&cameras, policy, &BTreeMap::new(), 10 * DAY, free, here);
                chosen.into_iter().map(|(_, start)| start / DAY).collect()
            };
            assert_eq!([starts(&even), starts(&|segment| !even(segment))], expect);
        };
        let keep = Retention { days: 0, max_bytes: None, min_free_bytes: 0 };
        check(&Retention { max_bytes: Some(100), ..keep.clone() }, 0, [&[2], &[1, 3]]);
        check(&Retention { min_free_bytes: 50, ..keep }, 0, [&[2], &[1]]);
    }
}
