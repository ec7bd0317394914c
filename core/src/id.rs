//! Typed ids, and the stable keys people write in configuration.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Namespace of ids derived from keys, so that the same key names the same thing on every machine.
const KEY_NAMESPACE: Uuid = Uuid::from_u128(0x6761_7465_686f_7573_6500_8000_0000_0001);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Derives the id from a key by UUIDv5: equal keys give equal ids.
            pub fn from_key(key: &str) -> Self {
                Self(Uuid::new_v5(&KEY_NAMESPACE, format!("{}:{key}", stringify!($name)).as_bytes()))
            }

            /// Derives the id of the `nth` thing that came of an event: a replay of the event names the same things again.
            pub fn of_event(event: EventId, nth: usize) -> Self {
                Self(Uuid::new_v5(&event.0, format!("{}:{nth}", stringify!($name)).as_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )+};
}

ids! {
    /// A device: door, camera, barrier, elevator, panel, meter or sensor. Derived from its [`DeviceKey`].
    DeviceId,
    /// A place of the tree Site › Building › Floor › Space.
    PlaceId,
    /// A person known to the site.
    PersonId,
    /// A card, plate, face or pass that a person presents.
    CredentialId,
    /// One occurrence of an alarm.
    AlarmId,
    /// One row of the event log.
    EventId,
    /// One entry of the command ledger.
    CommandId,
    /// One car's passage through a lane.
    PassageId,
    /// A stored picture.
    PictureId,
    /// A protected stretch of recording.
    ClipId,
    /// A work order.
    WorkOrderId,
    /// One presentation of a credential.
    AccessId,
    /// One notice for one target, however often it is sent.
    DeliveryId,
    /// An operator's account.
    UserId,
    /// A rule that operators wrote.
    RuleId,
    /// A planned route of a video patrol.
    PatrolRouteId,
    /// One round of a video patrol.
    PatrolRoundId,
    /// A list of plates that is watched for.
    WatchListId,
    /// One line of it.
    WatchEntryId,
}

/// The stable name of a device in configuration and on topics: lower-case words of `a-z 0-9 -`, joined by dots.
///
/// ```
/// # use gatehouse_core::id::DeviceKey;
/// assert!("gate-1.barrier".parse::<DeviceKey>().is_ok());
/// assert!("Gate 1/#".parse::<DeviceKey>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceKey(String);

/// A key that does not fit its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "device key {0:?} is not lower-case words of a-z, 0-9 and '-' joined by dots, at most 64 characters: e.g. gate-1.barrier"
)]
pub struct KeyError(pub String);

impl DeviceKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that this key names.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_key(&self.0)
    }
}

impl FromStr for DeviceKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let word = |w: &str| {
            !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        if text.len() <= 64 && text.split('.').all(word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for DeviceKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<DeviceKey> for String {
    fn from(key: DeviceKey) -> Self {
        key.0
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_one_device_and_kinds_of_id_differ() {
        assert_eq!(DeviceId::from_key("door-1"), DeviceId::from_key("door-1"));
        assert_ne!(DeviceId::from_key("door-1"), DeviceId::from_key("door-2"));
        assert_ne!(DeviceId::from_key("x").0, PlaceId::from_key("x").0);
    }

    #[test]
    fn a_key_refuses_what_a_topic_could_not_carry() {
        for bad in ["", ".", "a..b", "a/b", "a+b", "#", "Door", "door 1", "门"] {
            assert!(bad.parse::<DeviceKey>().is_err(), "{bad}");
        }
    }
}
