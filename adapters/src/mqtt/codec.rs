//! The native convention: topics and JSON of devices that speak Gatehouse's own words.
//!
//! ```text
//! gh/<key>/status   retained  online | offline (the will)
//! gh/<key>/state    retained  {"seq":7,"ts":"2026-01-02T03:04:05Z","points":{"contact":"closed","lock":"locked"}}
//! gh/<key>/event              {"seq":8,"type":"card_read","card":"1234567890"} | {"seq":9,"type":"happening","what":"request_to_exit"}
//! gh/<key>/set      to device {"id":"…","deadline":"…","verb":"unlock","for_ms":5000}
//! gh/<key>/result             {"id":"…","outcome":"accepted" | "executed" | "failed","reason":"…"}
//! ```
//! Every function here is total: any topic and any bytes give a value or an error that names what is wrong.

use gatehouse_core::device::link::{Downlink, Outcome, PresenceCause, Uplink, Verb};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{CommandId, DeviceKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest payload decoded, bytes.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Most points in one report.
pub const MAX_POINTS: usize = 128;
/// Longest text value, reason or word, bytes.
const MAX_TEXT: usize = 256;
/// Longest card number and PIN, bytes.
const MAX_CARD: usize = 64;

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The topic is none of ours.
    #[error("topic is not gh/<key>/status, state, event or result")]
    Topic,
    /// The payload is larger than taken.
    #[error("payload of {0} bytes is larger than {MAX_PAYLOAD}")]
    TooLarge(usize),
    /// A status that is neither.
    #[error("status is neither online nor offline")]
    Status,
    /// Not the JSON of this topic.
    #[error("{leaf}: {reason}")]
    Json {
        /// Which topic.
        leaf: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A point, card or word that cannot be.
    #[error("{0}")]
    Field(&'static str),
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    ts: Option<Timestamp>,
    points: BTreeMap<String, Scalar>,
}

/// A point's value on the wire; null is "not known" and says nothing.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Null(()),
    Value(Value),
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    ts: Option<Timestamp>,
    #[serde(flatten)]
    what: EventKind,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum EventKind {
    CardRead {
        card: String,
        #[serde(default)]
        pin: Option<String>,
    },
    Happening {
        what: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    id: CommandId,
    #[serde(flatten)]
    outcome: Outcome,
}

/// A command as it travels on `gh/<key>/set`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Ledger entry: the answer repeats it.
    pub id: CommandId,
    /// After this the device must refuse it.
    pub deadline: Timestamp,
    /// What to do.
    #[serde(flatten)]
    pub verb: Verb,
}

/// The device that a native topic belongs to, and the topic's last word.
pub fn parse_topic(topic: &str) -> Result<(DeviceKey, &str), DecodeError> {
    let (key, leaf) = topic.strip_prefix("gh/").and_then(|rest| rest.split_once('/')).ok_or(DecodeError::Topic)?;
    Ok((key.parse().map_err(|_| DecodeError::Topic)?, leaf))
}

/// Decodes a message from a device.
pub fn decode(topic: &str, payload: &[u8]) -> Result<Uplink, DecodeError> {
    let (key, leaf) = parse_topic(topic)?;
    let device = key.id();
    if payload.len() > MAX_PAYLOAD {
        return Err(DecodeError::TooLarge(payload.len()));
    }
    match leaf {
        "status" => match payload {
            b"online" => Ok(Uplink::Presence { device, online: true, cause: PresenceCause::Birth }),
            b"offline" => Ok(Uplink::Presence { device, online: false, cause: PresenceCause::Will }),
            _ => Err(DecodeError::Status),
        },
        "state" => {
            let State { seq, ts, points } = json("state", payload)?;
            if points.len() > MAX_POINTS {
                return Err(DecodeError::Field("more than 128 points in one report"));
            }
            let mut known = Vec::with_capacity(points.len());
            for (name, value) in points {
                if !is_point_name(&name) {
                    return Err(DecodeError::Field("a point name is not 1 to 64 of a-z, 0-9, '_', '-' and '.'"));
                }
                match value {
                    Scalar::Null(()) => {}
                    Scalar::Value(Value::Text(text)) if text.len() > MAX_TEXT => {
                        return Err(DecodeError::Field("a point's text is longer than 256 bytes"));
                    }
                    Scalar::Value(value) => known.push((name, value)),
                }
            }
            Ok(Uplink::Report { device, seq, observed_at: ts, points: known })
        }
        "event" => {
            let Event { seq, ts: observed_at, what } = json("event", payload)?;
            match what {
                EventKind::CardRead { card, pin } => {
                    let digits =
                        |s: &str| !s.is_empty() && s.len() <= MAX_CARD && s.bytes().all(|b| b.is_ascii_hexdigit());
                    if !digits(&card) || pin.as_deref().is_some_and(|pin| !digits(pin)) {
                        return Err(DecodeError::Field("a card number or PIN is not 1 to 64 digits"));
                    }
                    Ok(Uplink::CardRead { device, seq, observed_at, card, pin })
                }
                EventKind::Happening { what } if is_point_name(&what) => {
                    Ok(Uplink::Happening { device, seq, observed_at, what })
                }
                EventKind::Happening { .. } => Err(DecodeError::Field("what happened is not one word")),
            }
        }
        "result" => {
            let Answer { id: command, outcome } = json("result", payload)?;
            let outcome = match outcome {
                Outcome::Failed { reason } => Outcome::Failed { reason: clip(reason) },
                Outcome::Accepted | Outcome::Executed => outcome,
            };
            Ok(Uplink::CommandResult { device, command, outcome })
        }
        _ => Err(DecodeError::Topic),
    }
}

/// Encodes a command for a native device.
pub fn encode(downlink: &Downlink) -> Vec<u8> {
    let command = Command { id: downlink.command, deadline: downlink.deadline, verb: downlink.verb.clone() };
    serde_json::to_vec(&command).unwrap_or_else(|_| Vec::new())
}

/// Decodes a command, as a device does.
pub fn decode_command(payload: &[u8]) -> Result<Command, DecodeError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(DecodeError::TooLarge(payload.len()));
    }
    json("set", payload)
}

fn json<'a, T: Deserialize<'a>>(leaf: &'static str, payload: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(payload).map_err(|error| {
        // The parser's words may quote the payload, which may hold a card number: only kind and position leave.
        let kind = if error.is_data() { "not the fields of this topic" } else { "not JSON" };
        DecodeError::Json { leaf, reason: format!("{kind} (line {}, column {})", error.line(), error.column()) }
    })
}

fn is_point_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

fn clip(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> DeviceKey {
        "door-1".parse().expect("key")
    }

    #[test]
    fn a_state_gives_its_points_and_skips_what_is_not_known() {
        let payload = br#"{"seq":7,"ts":"2026-01-02T03:04:05Z","points":{"contact":"closed","tamper":false,"floor":3,"temperature":null},"extra":1}"#;
        let uplink = decode("gh/door-1/state", payload).expect("decodes");
        let points = vec![
            ("contact".to_owned(), Value::Text("closed".into())),
            ("floor".to_owned(), Value::Number(3.0)),
            ("tamper".to_owned(), Value::Bool(false)),
        ];
        let observed_at = Some("2026-01-02T03:04:05Z".parse().expect("time"));
        assert_eq!(uplink, Uplink::Report { device: key().id(), seq: Some(7), observed_at, points });
    }

    #[test]
    fn events_results_and_status_decode() {
        let device = key().id();
        assert_eq!(
            decode("gh/door-1/status", b"offline"),
            Ok(Uplink::Presence { device, online: false, cause: PresenceCause::Will })
        );
        let card = decode("gh/door-1/event", br#"{"seq":8,"type":"card_read","card":"1234567890"}"#);
        let want = Uplink::CardRead { device, seq: Some(8), observed_at: None, card: "1234567890".into(), pin: None };
        assert_eq!(card, Ok(want));
        let rex = decode("gh/door-1/event", br#"{"type":"happening","what":"request_to_exit"}"#);
        let want = Uplink::Happening { device, seq: None, observed_at: None, what: "request_to_exit".into() };
        assert_eq!(rex, Ok(want));
        let id = CommandId(uuid::Uuid::nil());
        let failed =
            decode("gh/door-1/result", format!(r#"{{"id":"{id}","outcome":"failed","reason":"jammed"}}"#).as_bytes());
        let outcome = Outcome::Failed { reason: "jammed".into() };
        assert_eq!(failed, Ok(Uplink::CommandResult { device, command: id, outcome }));
        let done = decode("gh/door-1/result", format!(r#"{{"id":"{id}","outcome":"executed"}}"#).as_bytes());
        assert_eq!(done, Ok(Uplink::CommandResult { device, command: id, outcome: Outcome::Executed }));
    }

    #[test]
    fn errors_say_what_is_wrong_and_never_repeat_a_card() {
        for (topic, payload) in [
            ("gh/door-1/state", "{"),
            ("gh/door-1/state", r#"{"points":{"Bad Name":1}}"#),
            ("gh/door-1/state", r#"{"points":{"nested":{"a":1}}}"#),
            ("gh/door-1/event", r#"{"type":"card_read","card":"12 34"}"#),
            ("gh/door-1/event", r#"{"type":"card_read","card":""}"#),
            ("gh/door-1/event", r#"{"type":"open_sesame"}"#),
            ("gh/door-1/event", r#"{"type":"card_read","card":8765432109876}"#),
            ("gh/door-1/status", "ONLINE"),
            ("gh/door-1/set", "{}"),
            ("gh/Door/state", "{}"),
            ("gh/door-1", ""),
            ("zigbee2mqtt/x", "{}"),
        ] {
            let error = decode(topic, payload.as_bytes()).expect_err(payload);
            assert!(!error.to_string().contains("8765432109876"), "{error}");
        }
    }

    #[test]
    fn a_command_reads_as_the_device_reads_it() {
        let downlink = Downlink {
            device: key().id(),
            command: CommandId(uuid::Uuid::nil()),
            verb: Verb::Unlock { for_ms: 5000 },
            deadline: "2026-01-02T03:04:05Z".parse().expect("time"),
        };
        let bytes = encode(&downlink);
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"id":"00000000-0000-0000-0000-000000000000","deadline":"2026-01-02T03:04:05Z","verb":"unlock","for_ms":5000}"#
        );
        assert_eq!(decode_command(&bytes).expect("decodes").verb, downlink.verb);
    }

    proptest! {
        #[test]
        fn any_topic_and_payload_give_a_value_or_an_error(topic in ".{0,40}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&topic, &payload);
            for leaf in ["status", "state", "event", "result"] {
                let _ = decode(&format!("gh/door-1/{leaf}"), &payload);
            }
            let _ = decode_command(&payload);
        }

        #[test]
        fn any_json_gives_a_value_or_an_error(text in r#"\{"(seq|ts|points|type|card|id|outcome|what)":("[a-z0-9_]{0,12}"|-?[0-9]{0,25}|null|\{\}|\[\]|1e999)\}"#) {
            for leaf in ["status", "state", "event", "result"] {
                let _ = decode(&format!("gh/door-1/{leaf}"), text.as_bytes());
            }
        }
    }
}
