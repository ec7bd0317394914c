//! The decision at a door: pure, total, in memory.

use super::{Credential, DenyReason, Holder, Level, Schedule, normal_card, normal_plate};
use crate::id::{DeviceId, PersonId};
use crate::recognition::plate::{Known, find_known};
use crate::recognition::watchlist::WatchList;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// How far a plate as read may be from a known one, in halves: one look-alike.
const LOOK_ALIKE: u32 = 1;

/// Credentials × levels × schedules, as of its making.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// By [`normal_card`] number.
    pub cards: BTreeMap<String, Credential>,
    /// By [`normal_plate`] text.
    pub plates: BTreeMap<String, Credential>,
    /// Whose card (`card/…`) or plate (`plate/…`) it was that is past its time: only to say why not.
    pub expired: BTreeMap<String, PersonId>,
    /// Holders.
    pub people: BTreeMap<PersonId, Holder>,
    /// Levels by key.
    pub levels: BTreeMap<String, Level>,
    /// Schedules by key.
    pub schedules: BTreeMap<String, Schedule>,
    /// The site's time zone.
    pub zone: TimeZone,
    /// Plates that are watched for.
    pub watch: Vec<WatchList>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            cards: BTreeMap::new(),
            plates: BTreeMap::new(),
            expired: BTreeMap::new(),
            people: BTreeMap::new(),
            levels: BTreeMap::new(),
            schedules: BTreeMap::new(),
            zone: TimeZone::UTC,
            watch: Vec::new(),
        }
    }
}

/// What is presented.
#[derive(Clone, Debug, PartialEq)]
pub enum Presented {
    /// A card number as read.
    Card(String),
    /// A plate as read.
    Plate(String),
    /// A person recognised otherwise (face).
    Person(PersonId),
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Let in.
    Granted {
        /// Who.
        person: PersonId,
        /// Their name.
        name: String,
    },
    /// Not let in.
    Denied {
        /// Who, where known.
        person: Option<PersonId>,
        /// Their name, where known.
        name: String,
        /// Why.
        reason: DenyReason,
    },
}

impl Verdict {
    /// Who, where known.
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Verdict::Granted { person, .. } => Some(*person),
            Verdict::Denied { person, .. } => *person,
        }
    }

    /// Their name, where known.
    pub fn name(&self) -> &str {
        match self {
            Verdict::Granted { name, .. } | Verdict::Denied { name, .. } => name,
        }
    }
}

/// Decides whether what is presented opens a door at a moment.
pub fn decide(snapshot: &Snapshot, door: DeviceId, presented: &Presented, now: Timestamp) -> Verdict {
    let deny = |person: Option<PersonId>, reason| {
        let name = person.and_then(|id| snapshot.people.get(&id)).map(|holder| holder.name.clone()).unwrap_or_default();
        Verdict::Denied { person, name, reason }
    };
    let credential = match presented {
        Presented::Card(card) => Some(snapshot.cards.get(&normal_card(card))),
        Presented::Plate(plate) => Some(snapshot.plate(plate)),
        Presented::Person(_) => None,
    };
    let person = match (credential, presented) {
        (Some(None), presented) => {
            return match snapshot.expired_of(presented) {
                Some(person) => deny(Some(person), DenyReason::CredentialExpired),
                None => deny(None, DenyReason::CredentialNotFound),
            };
        }
        (Some(Some(credential)), _) => {
            let who = Some(credential.person);
            if !credential.enabled {
                return deny(who, DenyReason::CredentialNotEnabled);
            }
            if credential.valid_from.is_some_and(|from| now < from) {
                return deny(who, DenyReason::CredentialNotActive);
            }
            if credential.valid_until.is_some_and(|until| now >= until) {
                return deny(who, DenyReason::CredentialExpired);
            }
            credential.person
        }
        (None, Presented::Person(person)) => *person,
        (None, Presented::Card(_) | Presented::Plate(_)) => return deny(None, DenyReason::Other),
    };
    let Some(holder) = snapshot.people.get(&person) else { return deny(None, DenyReason::CredentialNotFound) };
    let mut here = false;
    for level in holder.levels.iter().filter_map(|key| snapshot.levels.get(key)) {
        if !level.doors.contains(&door) {
            continue;
        }
        here = true;
        let open = level.schedule.is_empty()
            || snapshot.schedules.get(&level.schedule).is_some_and(|schedule| schedule.permits(now, &snapshot.zone));
        if open {
            return Verdict::Granted { person, name: holder.name.clone() };
        }
    }
    deny(Some(person), if here { DenyReason::NotPermittedAtThisTime } else { DenyReason::Unauthorized })
}

impl Snapshot {
    fn expired_of(&self, presented: &Presented) -> Option<PersonId> {
        let key = match presented {
            Presented::Card(card) => format!("card/{}", normal_card(card)),
            Presented::Plate(plate) => format!("plate/{}", normal_plate(plate)),
            Presented::Person(_) => return None,
        };
        self.expired.get(&key).copied()
    }

    /// The credential of a plate as read: the very text, or the one known plate that differs by a single look-alike.
    pub fn plate(&self, read: &str) -> Option<&Credential> {
        let read = normal_plate(read);
        if let Some(credential) = self.plates.get(&read) {
            return Some(credential);
        }
        match find_known(&read, self.plates.keys().map(String::as_str), LOOK_ALIKE) {
            Known::Exact(plate) | Known::Near(plate, _) => self.plates.get(plate),
            Known::Ambiguous | Known::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Day, Window};
    use crate::id::CredentialId;
    use proptest::prelude::*;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        let li = PersonId::from_key("li");
        let credential = |person, enabled, until: Option<&str>| Credential {
            id: CredentialId::from_key("c"),
            person,
            enabled,
            valid_from: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            valid_until: until.map(|until| until.parse().unwrap()),
        };
        snapshot.people.insert(li, Holder { name: "Li".into(), levels: vec!["staff".into()] });
        snapshot.cards.insert(normal_card("1001"), credential(li, true, None));
        snapshot.cards.insert(normal_card("1002"), credential(li, false, None));
        snapshot.cards.insert(normal_card("1003"), credential(li, true, Some("2026-02-01T00:00:00Z")));
        snapshot.plates.insert(normal_plate("粤B12345"), credential(li, true, None));
        snapshot.expired.insert(format!("card/{}", normal_card("1004")), li);
        let doors = [DeviceId::from_key("door-1")].into();
        let level = Level { key: "staff".into(), doors, schedule: "day".into() };
        snapshot.levels.insert("staff".into(), level);
        let days = vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
        let day = Schedule::new(&[Window { days, from: "08:00".into(), to: "18:00".into() }], &[]).unwrap();
        snapshot.schedules.insert("day".into(), day);
        snapshot
    }

    fn check(presented: Presented, door: &str, at: &str, expect: Result<(), DenyReason>) {
        let got = match decide(&snapshot(), DeviceId::from_key(door), &presented, at.parse().unwrap()) {
            Verdict::Granted { .. } => Ok(()),
            Verdict::Denied { reason, .. } => Err(reason),
        };
        assert_eq!(got, expect, "{presented:?} at {door}, {at}");
    }

    #[test]
    fn a_card_opens_its_door_at_its_hours_and_every_refusal_has_its_reason() {
        let card = |n: &str| Presented::Card(n.into());
        let monday = "2026-05-04T09:00:00Z";
        check(card("0001001"), "door-1", monday, Ok(()));
        check(card("1001"), "door-2", monday, Err(DenyReason::Unauthorized));
        check(card("1001"), "door-1", "2026-05-04T19:00:00Z", Err(DenyReason::NotPermittedAtThisTime));
        check(card("1002"), "door-1", monday, Err(DenyReason::CredentialNotEnabled));
        check(card("1003"), "door-1", monday, Err(DenyReason::CredentialExpired));
        check(card("1001"), "door-1", "2025-05-05T09:00:00Z", Err(DenyReason::CredentialNotActive));
        check(card("01004"), "door-1", monday, Err(DenyReason::CredentialExpired));
        check(card("9999"), "door-1", monday, Err(DenyReason::CredentialNotFound));
        check(Presented::Plate("粤b·12345".into()), "door-1", monday, Ok(()));
        check(Presented::Plate("粤B1234S".into()), "door-1", monday, Ok(()));
        check(Presented::Plate("粤B12346".into()), "door-1", monday, Err(DenyReason::CredentialNotFound));
        check(Presented::Person(PersonId::from_key("li")), "door-1", monday, Ok(()));
        check(Presented::Person(PersonId::from_key("wu")), "door-1", monday, Err(DenyReason::CredentialNotFound));
    }

    proptest! {
        #[test]
        fn decide_is_total_and_grants_only_what_a_level_names(card in ".*", door in "door-[1-3]", s in 0i64..4_000_000_000) {
            let snapshot = snapshot();
            let door = DeviceId::from_key(&door);
            let now = Timestamp::from_second(s).unwrap();
            for presented in [Presented::Card(card.clone()), Presented::Plate(card), Presented::Card("1001".into())] {
                if let Verdict::Granted { .. } = decide(&snapshot, door, &presented, now) {
                    prop_assert!(snapshot.levels["staff"].doors.contains(&door));
                    prop_assert!(snapshot.schedules["day"].permits(now, &snapshot.zone));
                }
            }
        }
    }
}
