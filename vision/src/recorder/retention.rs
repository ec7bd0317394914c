//! What to forget: whole segments, oldest first over all cameras, never a kept range.

use super::index::Catalogue;
use std::collections::BTreeMap;

/// How long and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days; 0 keeps for ever.
    pub days: u32,
    /// Most bytes of all cameras together.
    pub max_bytes: Option<u64>,
    /// Bytes to leave free on the disk.
    pub min_free_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 30, max_bytes: None, min_free_bytes: 1 << 30 }
    }
}

/// Segments to remove, as (camera, start).
///
/// `free`: bytes free on the disk. Kept ranges and files being written stay, so the answer may free less than wished.
pub fn choose<K: Ord + Clone>(
    cameras: &BTreeMap<K, Catalogue>,
    policy: &Retention,
    now_us: i64,
    free: u64,
) -> Vec<(K, i64)> {
    let horizon = match policy.days {
        0 => i64::MIN,
        days => now_us.saturating_sub(i64::from(days) * 86_400_000_000),
    };
    let total: u64 = cameras.values().map(Catalogue::bytes).sum();
    let over = policy.max_bytes.map_or(0, |most| total.saturating_sub(most));
    let mut wanted = over.max(policy.min_free_bytes.saturating_sub(free));

    let oldest = cameras.values().filter_map(|catalogue| catalogue.segments.values().next()).map(|s| s.end_us).min();
    if wanted == 0 && oldest.is_none_or(|end| end >= horizon) {
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
        if segment.end_us >= horizon && wanted == 0 {
            break;
        }
        wanted = wanted.saturating_sub(segment.bytes);
        chosen.push((key.clone(), segment.start_us));
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
        let chosen: Vec<_> = choose(cameras, &policy, 10 * DAY, free).into_iter().map(|(k, s)| (k, s / DAY)).collect();
        assert_eq!(chosen, expect);
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
}
