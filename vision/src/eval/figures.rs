//! The arithmetic of evaluation: spreads, thresholds, true accepts at a false accept rate.

use serde::Serialize;

/// How a measured time spreads, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half are below.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// The mean.
    pub mean: f64,
}

impl Spread {
    /// The spread of some times; zeros for none.
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            times
                .get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last))
                .copied()
                .unwrap_or(0.0)
        };
        Self { p50: at(0.5), p99: at(0.99), mean: times.iter().sum::<f64>() / times.len().max(1) as f64 }
    }
}

/// Pairs of faces at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// Cosine at or above which a pair counts as the same person.
    pub threshold: f64,
    /// Pairs of one person that are accepted.
    pub true_accepts: usize,
    /// Their share.
    pub tar: f64,
    /// Pairs of two people that are accepted.
    pub false_accepts: usize,
    /// Their share.
    pub far: f64,
}

/// The most true accepts while false accepts stay at or below a rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrueAccept {
    /// The rate not to exceed.
    pub far_max: f64,
    /// Share of same-person pairs accepted.
    pub tar: f64,
    /// The cosine that does it.
    pub threshold: f64,
    /// False accepts measured there.
    pub far: f64,
    /// False when there are too few pairs of different people to measure such a rate (fewer than 1 / rate).
    pub resolved: bool,
}

/// Scores of pairs: of one person, and of two.
#[derive(Debug, Clone, Default)]
pub(super) struct Scores {
    same: Vec<f32>,
    different: Vec<f32>,
}

impl Scores {
    pub(super) fn add(&mut self, cosine: f32, same: bool) {
        if same { self.same.push(cosine) } else { self.different.push(cosine) }
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.same.len(), self.different.len())
    }

    pub(super) fn at(&self, threshold: f64) -> Threshold {
        let accepted = |scores: &[f32]| scores.iter().filter(|s| f64::from(**s) >= threshold).count();
        let share = |count: usize, of: &[f32]| if of.is_empty() { 0.0 } else { count as f64 / of.len() as f64 };
        let (yes, no) = (accepted(&self.same), accepted(&self.different));
        Threshold {
            threshold,
            true_accepts: yes,
            tar: share(yes, &self.same),
            false_accepts: no,
            far: share(no, &self.different),
        }
    }

    /// The usual thresholds.
    pub(super) fn table(&self) -> Vec<Threshold> {
        (4..=13).map(|i| self.at(f64::from(i) / 20.0)).collect()
    }

    pub(super) fn true_accept_at(&self, far_max: f64) -> TrueAccept {
        let mut different = self.different.clone();
        different.sort_by(|a, b| b.total_cmp(a));
        let allowed = (far_max * different.len() as f64 + 1e-9).floor() as usize;
        // Just above the first score that may not be accepted.
        let threshold = different.get(allowed).map_or(-1.0, |score| f64::from(score.next_up()));
        let at = self.at(threshold);
        TrueAccept { far_max, tar: at.tar, threshold, far: at.far, resolved: different.len() as f64 * far_max >= 1.0 }
    }
}

/// Mean and standard deviation of accuracy over ten folds, each judged at the threshold that is best on the other nine.
///
/// `scored`: cosine and truth, in the file's order: a fold is a tenth of it (the LFW protocol). `None` below 20 pairs.
pub(super) fn ten_fold(scored: &[(f32, bool)]) -> Option<(f64, f64)> {
    const FOLDS: usize = 10;
    if scored.len() < 2 * FOLDS {
        return None;
    }
    let fold_of = |i: usize| i * FOLDS / scored.len();
    let accuracies: Vec<f64> = (0..FOLDS)
        .map(|fold| {
            let threshold =
                best_threshold(scored.iter().enumerate().filter(|(i, _)| fold_of(*i) != fold).map(|(_, s)| *s));
            let held: Vec<_> = scored.iter().enumerate().filter(|(i, _)| fold_of(*i) == fold).map(|(_, s)| s).collect();
            let right = held.iter().filter(|(cosine, same)| (*cosine >= threshold) == *same).count();
            right as f64 / held.len().max(1) as f64
        })
        .collect();
    let mean = accuracies.iter().sum::<f64>() / FOLDS as f64;
    let variance = accuracies.iter().map(|a| (a - mean) * (a - mean)).sum::<f64>() / FOLDS as f64;
    Some((mean, variance.sqrt()))
}

/// The score at which "at or above: same" errs least.
fn best_threshold(scored: impl Iterator<Item = (f32, bool)>) -> f32 {
    let mut sorted: Vec<_> = scored.collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut gain, mut best, mut threshold) = (0i64, 0i64, f32::INFINITY);
    for (i, (cosine, same)) in sorted.iter().enumerate() {
        gain += if *same { 1 } else { -1 };
        // Equal scores fall on one side together.
        if gain > best && sorted.get(i + 1).is_none_or(|next| next.0 < *cosine) {
            (best, threshold) = (gain, sorted.get(i + 1).map_or(*cosine, |next| (next.0 + *cosine) / 2.0));
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores(same: &[f32], different: &[f32]) -> Scores {
        Scores { same: same.to_vec(), different: different.to_vec() }
    }

    #[test]
    fn a_spread_is_of_ranks() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!((spread.p50, spread.p99, spread.mean), (100.0, 198.0, 100.5));
        assert_eq!(Spread::of(vec![]).p99, 0.0);
    }

    #[test]
    fn true_accepts_at_a_rate_leave_exactly_the_allowed_false_ones() {
        let different: Vec<f32> = (0..1000).map(|i| i as f32 / 2500.0).collect(); // top: 0.3996, then 0.3992
        let found = scores(&[0.3, 0.3994, 0.39955, 0.7], &different).true_accept_at(1e-3);
        assert!(found.resolved);
        assert_eq!((found.far, found.tar), (0.001, 0.75));
        let few = scores(&[0.3, 0.7], &[0.1, 0.4]).true_accept_at(1e-3);
        assert_eq!((few.far, few.tar, few.resolved), (0.0, 0.5, false));
    }

    #[test]
    fn ten_folds_judge_each_tenth_by_the_others() {
        let scored: Vec<_> = (0..200).map(|i| (if i % 2 == 0 { 0.8 } else { 0.1 }, i % 2 == 0)).collect();
        assert_eq!(ten_fold(&scored), Some((1.0, 0.0)));
        assert_eq!(ten_fold(&scored[..19]), None);
        let upside_down: Vec<_> = scored.iter().map(|(c, s)| (*c, !*s)).collect();
        assert!(ten_fold(&upside_down).is_some_and(|(mean, _)| mean <= 0.5));
    }

    proptest! {
        #[test]
        fn more_threshold_never_accepts_more(
            same in proptest::collection::vec(-1f32..1.0, 0..40),
            different in proptest::collection::vec(-1f32..1.0, 0..40),
        ) {
            let scores = scores(&same, &different);
            for pair in scores.table().windows(2) {
                prop_assert!(pair[1].tar <= pair[0].tar && pair[1].far <= pair[0].far);
            }
            prop_assert!(scores.true_accept_at(0.1).far <= 0.1 + 1e-9);
        }
    }
}
