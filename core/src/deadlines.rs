//! Deadlines by key: which comes next, whatever their number.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// At most one deadline for each key. All of it costs O(log n).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines<K: Ord> {
    by_key: BTreeMap<K, Timestamp>,
    by_time: BTreeSet<(Timestamp, K)>,
}

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets the deadline of a key, or takes it away.
    pub fn set(&mut self, key: &K, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(key),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key.clone()));
        }
    }

    /// The next one.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Keys whose moment has come, the earliest first; they keep their deadline until it is set anew.
    pub fn due(&self, now: Timestamp) -> Vec<K> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect()
    }
}

impl<K: Ord + Clone> FromIterator<(K, Timestamp)> for Deadlines<K> {
    fn from_iter<I: IntoIterator<Item = (K, Timestamp)>>(deadlines: I) -> Self {
        let mut all = Self::default();
        deadlines.into_iter().for_each(|(key, at)| all.set(&key, Some(at)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + s).unwrap()
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_all_of_them_says(
            sets in proptest::collection::vec((0..8_u8, proptest::option::of(0..20_i64)), 0..60), now in 0..20_i64,
        ) {
            let mut deadlines = Deadlines::default();
            let mut plain = BTreeMap::new();
            for (key, when) in sets {
                deadlines.set(&key, when.map(at));
                match when {
                    Some(when) => plain.insert(key, at(when)),
                    None => plain.remove(&key),
                };
            }
            prop_assert_eq!(deadlines.next(), plain.values().min().copied());
            let mut due: Vec<_> = plain.iter().filter(|(_, when)| **when <= at(now)).map(|(key, when)| (*when, *key)).collect();
            due.sort();
            prop_assert_eq!(deadlines.due(at(now)), due.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
        }
    }
}
