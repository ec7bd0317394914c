//! The frozen wire types of the live feed, version 1. `tests/it/wire` pins their bytes.

use serde::{Deserialize, Serialize};

/// Version that the hello carries.
pub const PROTO: u32 = 1;

/// Seconds between heartbeats.
pub const HEARTBEAT_S: u64 = 5;

/// What a page says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Follow a topic, from where an earlier subscription ended when `from` is given.
    Sub {
        /// Chosen by the page; the answers carry it.
        id: u32,
        /// Which topic.
        topic: String,
        /// Last position seen.
        from: Option<Position>,
    },
    /// Stop following.
    Unsub {
        /// The subscription.
        id: u32,
    },
}

/// A position in a topic: sequence numbers count within an epoch, which is one run of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The run of the program.
    pub epoch: String,
    /// Last sequence number seen.
    pub seq: u64,
}

/// The first message of the server.
#[derive(Debug, Clone, Serialize)]
pub struct Hello<'a> {
    /// Always `hello`.
    pub t: &'static str,
    /// [`PROTO`].
    pub proto: u32,
    /// Version of the program: a page of another build reloads itself.
    pub build: &'a str,
    /// The run of the program.
    pub epoch: &'a str,
    /// Who is signed in.
    pub user: &'a str,
    /// [`HEARTBEAT_S`].
    pub hb: u64,
}

/// Puts the subscription's id in front of a message encoded once for all: `{"t":"delta","id":7,` + `"seq":…}`.
pub fn addressed(kind: &str, id: u32, rest: &str) -> String {
    format!("{{\"t\":\"{kind}\",\"id\":{id},{rest}")
}

/// The boxes of one camera's newest looked-at picture, to be drawn over its video: the data of an `ev` of the topic
/// `overlay/<camera>`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayFrame {
    /// When the picture was taken, Unix microseconds: the capture time that its message on the video socket carries.
    pub at_us: i64,
    /// The boxes.
    pub boxes: Vec<OverlayBox>,
}

/// One box, in shares of the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayBox {
    /// `plate` or `face`.
    pub kind: &'static str,
    /// Left edge, 0–1.
    pub x: f32,
    /// Upper edge, 0–1.
    pub y: f32,
    /// Width, 0–1.
    pub w: f32,
    /// Height, 0–1.
    pub h: f32,
    /// The plate as read in this picture, or the name of a person who was recognised; empty for anyone else.
    pub text: String,
    /// Whether that is sure: a read of at least 0.9, a face that may open.
    pub sure: bool,
}

/// What the screen beside a door says: the data of an `ev` of the topic `screen/<door>`. It names nobody.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScreenFrame {
    /// `idle`, `ask`, `straight`, `passed`, `failed` or `paused`.
    pub say: &'static str,
    /// `ask`: `turn_left`, `turn_right` or `close_eyes`, as the person would say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    /// `ask`, `straight`: which action it is, from one, and of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_of: Option<(usize, usize)>,
    /// `failed`: `too_late`, `wrong_action`, `other_person` or `gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// Milliseconds for which it holds; then the screen is idle by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// An event that is numbered for one subscription alone: what was left out between two of them leaves no gap.
pub fn event(id: u32, seq: u64, data: &impl Serialize) -> Option<String> {
    let data = serde_json::to_string(data).ok()?;
    Some(addressed("ev", id, &format!("\"seq\":{seq},\"data\":{data}}}")))
}

/// A heartbeat with the server's clock, microseconds are not needed: RFC 3339.
pub fn heartbeat(now: jiff::Timestamp) -> String {
    format!("{{\"t\":\"hb\",\"ts\":\"{now}\"}}")
}

/// A subscription that cannot be: `unknown_topic`, `forbidden`, `malformed`, `too_many`.
pub fn error(id: Option<u32>, code: &str) -> String {
    match id {
        Some(id) => format!("{{\"t\":\"err\",\"id\":{id},\"code\":\"{code}\"}}"),
        None => format!("{{\"t\":\"err\",\"code\":\"{code}\"}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_subscription_reads_as_written_by_the_page() {
        let text = r#"{"t":"sub","id":3,"topic":"alarms","from":{"epoch":"e","seq":9}}"#;
        let from = Some(Position { epoch: "e".into(), seq: 9 });
        assert_eq!(
            serde_json::from_str::<ClientMessage>(text).unwrap(),
            ClientMessage::Sub { id: 3, topic: "alarms".into(), from }
        );
    }

    #[test]
    fn an_overlay_is_spelt_as_frozen() {
        let face = OverlayBox { kind: "face", x: 0.5, y: 0.25, w: 0.1, h: 0.2, text: String::new(), sure: false };
        let plate = OverlayBox { kind: "plate", text: "粤B12345".into(), sure: true, ..face.clone() };
        let frame = OverlayFrame { at_us: 1_773_483_300_000_000, boxes: vec![plate, face] };
        assert_eq!(
            event(7, 3, &frame).as_deref(),
            Some(include_str!("../../../tests/it/wire/overlay.json").trim_end())
        );
    }

    #[test]
    fn a_screen_is_spelt_as_frozen() {
        let idle = ScreenFrame { say: "idle", action: None, step_of: None, why: None, left_ms: None };
        let left_ms = Some(6_000);
        let ask = ScreenFrame { say: "ask", action: Some("turn_left"), step_of: Some((1, 3)), left_ms, ..idle.clone() };
        let failed = ScreenFrame { say: "failed", why: Some("too_late"), left_ms: Some(3_000), ..idle.clone() };
        let lines: Vec<_> = [idle, ask, failed].iter().filter_map(|frame| event(2, 1, frame)).collect();
        assert_eq!(lines.join("\n"), include_str!("../../../tests/it/wire/screen.json").trim_end());
    }

    #[test]
    fn an_addressed_message_is_one_json_object() {
        let text = addressed("delta", 7, r#""seq":1,"u":[]}"#);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (value["t"].as_str(), value["id"].as_u64(), value["seq"].as_u64()),
            (Some("delta"), Some(7), Some(1))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_message_or_an_error(text in ".{0,200}") {
            let _ = serde_json::from_str::<ClientMessage>(&text);
        }
    }
}
