//! RTSP/1.0 messages (RFC 2326): requests in, responses out.
//!
//! The decoder is total: any bytes give a message, a wish for more, or an error, within fixed limits.

use std::fmt::Write as _;

/// Request line and headers may not be longer than this; real players send about 400 bytes.
pub const HEAD_MAX: usize = 8 * 1024;
/// A body may not be longer than this; GET_PARAMETER bodies are a few dozen bytes.
pub const BODY_MAX: usize = 16 * 1024;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An RTSP request.
    Request(Request),
    /// An interleaved frame (`$`, channel, length): receivers report by RTCP this way.
    Interleaved {
        /// The interleaved channel.
        channel: u8,
    },
}

/// An RTSP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, as sent.
    pub method: String,
    /// The request URI, as sent.
    pub uri: String,
    /// Headers in order; names as sent.
    pub headers: Vec<(String, String)>,
}

/// Why bytes are no RTSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The head does not end within [`HEAD_MAX`].
    #[error("the request head is longer than {HEAD_MAX} bytes")]
    HeadTooLong,
    /// The announced body is longer than [`BODY_MAX`] or its length is no number.
    #[error("the Content-Length is not a number up to {BODY_MAX}")]
    Body,
    /// The head is not UTF-8.
    #[error("the request head is not UTF-8")]
    Encoding,
    /// The first line is not `METHOD uri RTSP/1.0`.
    #[error("the request line is not `METHOD uri RTSP/1.0`")]
    RequestLine,
    /// A header line has no colon, or a line has a control character.
    #[error("a header line has no colon or a control character")]
    Header,
}

/// Takes one message from the front of `bytes`.
///
/// Returns the message and how many bytes it took, or `None` when it is not whole yet. After an error the connection cannot
/// be synchronised again and must close.
pub fn decode(bytes: &[u8]) -> Result<Option<(Incoming, usize)>, MessageError> {
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let rest = &bytes[blank..];
    match rest.first() {
        None => return if blank > HEAD_MAX { Err(MessageError::HeadTooLong) } else { Ok(None) },
        Some(b'$') => {
            let Some(&[_, channel, hi, lo]) = rest.first_chunk::<4>() else { return Ok(None) };
            let length = 4 + usize::from(u16::from_be_bytes([hi, lo]));
            return Ok((rest.len() >= length).then_some((Incoming::Interleaved { channel }, blank + length)));
        }
        Some(_) => {}
    }
    let Some(head_len) = rest.windows(4).take(HEAD_MAX).position(|w| w == b"\r\n\r\n") else {
        return if rest.len() > HEAD_MAX { Err(MessageError::HeadTooLong) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&rest[..head_len]).map_err(|_| MessageError::Encoding)?;
    let mut lines = head.split("\r\n");
    // A bare CR or LF would let a client write lines into our answers.
    if lines.clone().any(|line| line.bytes().any(|b| b < b' ' && b != b'\t')) {
        return Err(MessageError::Header);
    }
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(uri), Some("RTSP/1.0"), None) = (first.next(), first.next(), first.next(), first.next())
    else {
        return Err(MessageError::RequestLine);
    };
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') || uri.is_empty() {
        return Err(MessageError::RequestLine);
    }
    let headers = lines
        .map(|line| {
            line.split_once(':').map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).ok_or(MessageError::Header)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let request = Request { method: method.to_owned(), uri: uri.to_owned(), headers };
    let body = match request.header("Content-Length") {
        None => 0,
        Some(v) => v.parse::<usize>().ok().filter(|n| *n <= BODY_MAX).ok_or(MessageError::Body)?,
    };
    let total = head_len + 4 + body;
    Ok((rest.len() >= total).then_some((Incoming::Request(request), blank + total)))
}

impl Request {
    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The path of the URI: `rtsp://host:port/gate-east/track=0?x` gives `/gate-east/track=0`.
    pub fn path(&self) -> &str {
        path_of(&self.uri)
    }
}

/// The path of an absolute or relative RTSP URI, without query and without a slash at its end.
pub fn path_of(uri: &str) -> &str {
    let after = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => uri,
    };
    after.split('?').next().unwrap_or_default().trim_end_matches('/')
}

/// How a client wants its packets, from the `Transport` header of SETUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Inside the RTSP connection, on these two channels.
    Interleaved {
        /// Channel of the RTP packets; RTCP goes on the next one.
        rtp: u8,
    },
    /// By UDP to these two ports of the client.
    Udp {
        /// Port for RTP.
        rtp: u16,
        /// Port for RTCP.
        rtcp: u16,
    },
}

impl Transport {
    /// Takes the first acceptable one of the comma-separated offers; `None` when none is.
    pub fn choose(header: &str) -> Option<Transport> {
        header.split(',').find_map(Transport::offer)
    }

    fn offer(spec: &str) -> Option<Transport> {
        let mut parts = spec.trim().split(';').map(str::trim);
        let profile = parts.next()?;
        let (mut channels, mut ports, mut multicast) = (None, None, false);
        for part in parts {
            match part.split_once('=') {
                Some(("interleaved", v)) => channels = Some(v),
                Some(("client_port", v)) => ports = Some(v),
                None if part == "multicast" => multicast = true,
                _ => {}
            }
        }
        if multicast {
            return None;
        }
        match profile {
            "RTP/AVP/TCP" => {
                let rtp = match channels {
                    None => 0,
                    Some(v) => v.split('-').next()?.parse::<u8>().ok()?,
                };
                (rtp < u8::MAX).then_some(Transport::Interleaved { rtp })
            }
            "RTP/AVP" | "RTP/AVP/UDP" => {
                let (rtp, rtcp) = ports?.split_once('-')?;
                let (rtp, rtcp) = (rtp.parse::<u16>().ok()?, rtcp.parse::<u16>().ok()?);
                (rtp != 0 && rtcp != 0).then_some(Transport::Udp { rtp, rtcp })
            }
            _ => None,
        }
    }
}

/// A response being put together.
#[derive(Debug)]
pub struct Response {
    text: String,
    body: String,
}

impl Response {
    /// A response with this status to the request numbered `cseq`.
    pub fn new(status: u16, cseq: Option<&str>) -> Self {
        let reason = match status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            408 => "Request Timeout",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            459 => "Aggregate Operation Not Allowed",
            461 => "Unsupported Transport",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let mut text = format!("RTSP/1.0 {status} {reason}\r\n");
        // Only digits are echoed: a header of the client's must not write lines of ours.
        if let Some(cseq) = cseq.filter(|c| !c.is_empty() && c.len() <= 10 && c.bytes().all(|b| b.is_ascii_digit())) {
            let _ = write!(text, "CSeq: {cseq}\r\n");
        }
        text.push_str("Server: Gatehouse\r\n");
        Self { text, body: String::new() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _ = write!(self.text, "{name}: {value}\r\n");
        self
    }

    /// Sets the body and its type.
    pub fn body(self, content_type: &str, body: String) -> Self {
        let mut this = self.header("Content-Type", content_type).header("Content-Length", body.len());
        this.body = body;
        this
    }

    /// The bytes for the wire.
    pub fn encode(self) -> Vec<u8> {
        format!("{}\r\n{}", self.text, self.body).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Request {
        match decode(text.as_bytes()) {
            Ok(Some((Incoming::Request(r), n))) if n == text.len() => r,
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_describe_is_understood() {
        let r =
            request("DESCRIBE rtsp://127.0.0.1:8554/gate-east/ RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp\r\n\r\n");
        assert_eq!((r.method.as_str(), r.path(), r.header("cseq")), ("DESCRIBE", "/gate-east", Some("2")));
    }

    #[test]
    fn a_message_in_pieces_asks_for_more_until_it_is_whole() {
        let text = b"\r\nSET_PARAMETER * RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 4\r\n\r\nabcd";
        for cut in 0..text.len() {
            assert_eq!(decode(&text[..cut]), Ok(None), "cut at {cut}");
        }
        assert!(matches!(decode(text), Ok(Some((Incoming::Request(_), n))) if n == text.len()));
    }

    #[test]
    fn interleaved_frames_are_stepped_over() {
        assert_eq!(decode(b"$\x01\x00\x02ab$"), Ok(Some((Incoming::Interleaved { channel: 1 }, 6))));
        assert_eq!(decode(b"$\x01\x00\x02a"), Ok(None));
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(decode(b"GET / HTTP/1.1\r\n\r\n"), Err(MessageError::RequestLine));
        assert_eq!(decode(b"PLAY * RTSP/1.0\r\nnocolon\r\n\r\n"), Err(MessageError::Header));
        assert_eq!(decode(b"PLAY * RTSP/1.0\r\nContent-Length: 99999999999\r\n\r\n"), Err(MessageError::Body));
        assert_eq!(decode(&[b'A'; HEAD_MAX + 1]), Err(MessageError::HeadTooLong));
    }

    #[test]
    fn transports_are_chosen_in_the_order_offered() {
        let check = |h: &str, want| assert_eq!(Transport::choose(h), want, "{h}");
        check("RTP/AVP/TCP;unicast;interleaved=2-3", Some(Transport::Interleaved { rtp: 2 }));
        check("RTP/AVP;unicast;client_port=5000-5001", Some(Transport::Udp { rtp: 5000, rtcp: 5001 }));
        check("RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", Some(Transport::Interleaved { rtp: 0 }));
        check("RTP/SAVP;unicast;client_port=1-2", None);
        check("RTP/AVP;unicast;client_port=0-0", None);
        check("RTP/AVP/TCP;interleaved=255-256", None);
    }

    #[test]
    fn a_response_never_echoes_a_line_break() {
        let text = String::from_utf8(Response::new(200, Some("1\r\nX: y")).encode()).expect("text");
        assert!(!text.contains("X: y"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Some((_, n))) = decode(&bytes) {
                prop_assert!(n > 0 && n <= bytes.len());
            }
        }

        #[test]
        fn arbitrary_headers_never_panic(text in "[A-Z]{1,9} [ -~]{1,30} RTSP/1.0\r\n([ -~]{0,40}\r\n){0,4}\r\n", offer in "[ -~]{0,80}") {
            if let Ok(Some((Incoming::Request(r), _))) = decode(text.as_bytes()) {
                let _ = r.path();
            }
            let _ = Transport::choose(&offer);
            let _ = Transport::choose(&format!("RTP/AVP;client_port={offer}"));
        }
    }
}
