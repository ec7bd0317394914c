//! The server against a raw client: every byte of the talk is seen here.

use super::auth::{parameters, response_of};
use super::*;
use bytes::Bytes;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::UdpSocket;

const USER: &str = "viewer";
const PASSWORD: &str = "gate pass";

fn sets() -> ParameterSets {
    let (sps, pps) = (Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f, 0xda]), Bytes::from_static(&[0x68, 0xce, 0x3c]));
    ParameterSets::new(sps, pps).expect("sets")
}

fn unit(n: u64, key: bool) -> AccessUnit {
    let nal = Bytes::from(vec![if key { 0x65 } else { 0x41 }; 5_000]);
    AccessUnit { nals: vec![nal], key, pts: n * 7_500, captured: SystemTime::now() }
}

async fn site() -> (RtspServer, Arc<LiveSource>) {
    let users = Users::one(USER, PASSWORD);
    let server = RtspServer::bind(([127, 0, 0, 1], 0).into(), users).await.expect("a port");
    let source = LiveSource::new("East gate", 12.0);
    source.set_parameter_sets(sets());
    server.mount("gate-east", source.clone());
    (server, source)
}

struct Raw {
    stream: TcpStream,
    input: Vec<u8>,
    cseq: u32,
    challenge: Option<String>,
    session: Option<String>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
    }
}

impl Raw {
    async fn connect(server: &RtspServer) -> Self {
        let stream = TcpStream::connect(server.local_addr()).await.expect("connected");
        Self { stream, input: Vec::new(), cseq: 0, challenge: None, session: None }
    }

    async fn fill(&mut self) {
        let mut chunk = [0u8; 4_096];
        let n = tokio::time::timeout(Duration::from_secs(10), self.stream.read(&mut chunk))
            .await
            .expect("in time")
            .expect("read");
        assert!(n > 0, "the server closed");
        self.input.extend_from_slice(&chunk[..n]);
    }

    /// Reads one interleaved packet.
    async fn packet(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let [b'$', channel, hi, lo, ..] = self.input[..] {
                let end = 4 + usize::from(u16::from_be_bytes([hi, lo]));
                if self.input.len() >= end {
                    let packet = self.input[4..end].to_vec();
                    self.input.drain(..end);
                    return (channel, packet);
                }
            }
            self.fill().await;
        }
    }

    async fn answer(&mut self) -> Answer {
        loop {
            while self.input.first() == Some(&b'$') {
                self.packet().await;
            }
            if let Some(at) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.input[..at].to_vec()).expect("text");
                let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
                let mut answer = Answer { status, head, body: String::new() };
                let length: usize = answer.header("Content-Length").map_or(0, |v| v.parse().expect("a length"));
                if self.input.len() >= at + 4 + length {
                    answer.body = String::from_utf8(self.input[at + 4..at + 4 + length].to_vec()).expect("text");
                    self.input.drain(..at + 4 + length);
                    return answer;
                }
            }
            self.fill().await;
        }
    }

    async fn ask(&mut self, method: &str, uri: &str, extra: &str) -> Answer {
        self.ask_as(PASSWORD, method, uri, extra).await
    }

    async fn ask_as(&mut self, password: &str, method: &str, uri: &str, extra: &str) -> Answer {
        self.cseq += 1;
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{extra}", self.cseq);
        if let Some(challenge) = &self.challenge {
            let fields = parameters(challenge.trim_start_matches("Digest "));
            let get = |n: &str| fields.iter().find(|(k, _)| k == n).map(|(_, v)| v.clone()).expect("a field");
            let response = response_of(USER, password, &get("realm"), &get("nonce"), method, uri);
            text += &format!(
                "Authorization: Digest username=\"{USER}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"\r\n",
                get("realm"),
                get("nonce")
            );
        }
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await.expect("written");
        let answer = self.answer().await;
        if let Some(challenge) = answer.header("WWW-Authenticate") {
            self.challenge = Some(challenge.to_owned());
        }
        if let Some(session) = answer.header("Session") {
            self.session = session.split(';').next().map(str::to_owned);
        }
        answer
    }
}

#[tokio::test]
async fn a_client_with_the_password_plays_over_tcp_from_the_key_frame() {
    let (server, source) = site().await;
    let uri = server.url("gate-east");
    source.publish(unit(0, true));
    source.publish(unit(1, false));
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.ask("OPTIONS", &uri, "").await.status, 200);
    assert_eq!(raw.ask("DESCRIBE", &uri, "").await.status, 401);
    let sdp = raw.ask("DESCRIBE", &uri, "Accept: application/sdp\r\n").await;
    assert_eq!(sdp.status, 200);
    assert_eq!(sdp.header("Content-Base"), Some(format!("{uri}/").as_str()));
    for line in ["s=East gate", "a=rtpmap:96 H264/90000", "a=control:trackID=0"] {
        assert!(sdp.body.lines().any(|l| l == line), "{line} in {}", sdp.body);
    }
    assert!(sdp.body.contains("profile-level-id=42C01F;sprop-parameter-sets=Z0LAH9o=,aM48"), "{}", sdp.body);
    assert_eq!(raw.ask("PLAY", &uri, "").await.status, 455);
    let track = format!("{uri}/trackID=0");
    assert_eq!(raw.ask("SETUP", &track, "Transport: RTP/AVP;multicast\r\n").await.status, 461);
    let setup = raw.ask("SETUP", &track, "Transport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n").await;
    assert_eq!(setup.status, 200);
    assert!(setup.header("Transport").is_some_and(|t| t.contains("interleaved=2-3")));
    let play = raw.ask("PLAY", &uri, "Range: npt=0-\r\n").await;
    assert_eq!(play.status, 200);
    let info = play.header("RTP-Info").expect("RTP-Info").to_owned();
    let (channel, report) = raw.packet().await;
    assert_eq!((channel, report[1]), (3, 200), "a sender report first");
    let (channel, first) = raw.packet().await;
    let sequence = u16::from_be_bytes([first[2], first[3]]);
    let timestamp = u32::from_be_bytes([first[4], first[5], first[6], first[7]]);
    assert!(info.ends_with(&format!("seq={sequence};rtptime={timestamp}")), "{info} against {sequence} {timestamp}");
    assert_eq!((channel, first[12] & 0x1f), (2, 24), "parameter sets first, in a STAP-A");
    let (_, second) = raw.packet().await;
    assert_eq!((second[12] & 0x1f, second[13]), (28, 0x80 | 5), "then the start of the key frame");
    assert_eq!(raw.ask("GET_PARAMETER", &uri, "").await.status, 200);
    assert_eq!(raw.ask("RECORD", &uri, "").await.status, 501);
    assert_eq!(raw.ask("PAUSE", &uri, "").await.status, 200);
    assert_eq!(raw.ask("TEARDOWN", &uri, "").await.status, 200);
    assert_eq!(source.listeners(), 0);
    assert_eq!(raw.ask("PLAY", &uri, "").await.status, 455);
}

#[tokio::test]
async fn a_client_plays_over_udp() {
    let (server, source) = site().await;
    let uri = server.url("gate-east");
    source.publish(unit(0, true));
    let rtp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let rtcp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = |s: &UdpSocket| s.local_addr().expect("an address").port();
    let mut raw = Raw::connect(&server).await;
    raw.ask("DESCRIBE", &uri, "").await;
    let offer = format!("Transport: RTP/AVP;unicast;client_port={}-{}\r\n", port(&rtp), port(&rtcp));
    let setup = raw.ask("SETUP", &format!("{uri}/trackID=0"), &offer).await;
    assert_eq!(setup.status, 200);
    assert_eq!(raw.ask("PLAY", &uri, "").await.status, 200);
    let mut packet = [0u8; 2_000];
    let n = tokio::time::timeout(Duration::from_secs(10), rtcp.recv(&mut packet))
        .await
        .expect("in time")
        .expect("received");
    assert_eq!((packet[1], n % 4), (200, 0));
    let mut sizes = Vec::new();
    loop {
        let n = tokio::time::timeout(Duration::from_secs(10), rtp.recv(&mut packet))
            .await
            .expect("in time")
            .expect("received");
        sizes.push(n);
        if packet[1] & 0x80 != 0 {
            break;
        }
    }
    assert_eq!(sizes.len(), 1 + 4, "a STAP-A and four fragments of 5 000 bytes: {sizes:?}");
}

#[tokio::test]
async fn a_wrong_password_is_401_and_counted_and_five_of_them_close() {
    let (server, source) = site().await;
    source.publish(unit(0, true));
    let uri = server.url("gate-east");
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.ask("DESCRIBE", &uri, "").await.status, 401);
    for _ in 0..5 {
        assert_eq!(raw.ask_as("guessed", "DESCRIBE", &uri, "").await.status, 401);
    }
    assert_eq!(raw.stream.read(&mut [0u8; 16]).await.expect("an end"), 0);
    assert_eq!(server.stats().unauthorized, 5);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_another_session_454() {
    let (server, source) = site().await;
    source.publish(unit(0, true));
    let mut raw = Raw::connect(&server).await;
    raw.ask("DESCRIBE", &server.url("nowhere"), "").await;
    assert_eq!(raw.ask("DESCRIBE", &server.url("nowhere"), "").await.status, 404);
    assert_eq!(raw.ask("SETUP", &server.url("nowhere"), "Transport: RTP/AVP/TCP\r\n").await.status, 404);
    let uri = server.url("gate-east");
    assert_eq!(raw.ask("SETUP", &uri, "Transport: RTP/AVP/TCP\r\n").await.status, 200);
    raw.session = Some("0123456789abcdef0".to_owned());
    assert_eq!(raw.ask("PLAY", &uri, "").await.status, 454);
    assert!(server.unmount("/gate-east"));
    assert_eq!(raw.ask("DESCRIBE", &uri, "").await.status, 404);
}

#[tokio::test]
async fn garbage_closes_that_connection_only() {
    let (server, source) = site().await;
    source.publish(unit(0, true));
    let mut good = Raw::connect(&server).await;
    let mut bad = Raw::connect(&server).await;
    bad.stream.write_all(b"\x16\x03\x01 not rtsp\r\n\r\n").await.expect("written");
    assert_eq!(bad.answer().await.status, 400);
    assert_eq!(bad.stream.read(&mut [0u8; 16]).await.expect("an end"), 0);
    assert_eq!(good.ask("OPTIONS", &server.url("gate-east"), "").await.status, 200);
    assert_eq!(server.stats().malformed, 1);
}

#[tokio::test]
async fn who_sends_more_than_is_read_still_gets_the_last_answer_and_an_end() {
    let (server, _source) = site().await;
    let mut bad = Raw::connect(&server).await;
    bad.stream.write_all(&[b"not rtsp\r\n\r\n".as_slice(), &[0; 32 * 1024]].concat()).await.expect("written");
    let mut answer = String::new();
    bad.stream.read_to_string(&mut answer).await.expect("an end, not a reset");
    assert!(answer.starts_with("RTSP/1.0 400 "), "{answer}");
}

#[tokio::test]
async fn clients_are_bounded() {
    let (server, _source) = site().await;
    let mut all = Vec::new();
    for _ in 0..CLIENTS_MAX {
        let mut raw = Raw::connect(&server).await;
        assert_eq!(raw.ask("OPTIONS", "*", "").await.status, 200);
        all.push(raw);
    }
    let mut late = Raw::connect(&server).await;
    assert_eq!(late.answer().await.status, 503);
    assert_eq!((server.stats().clients, server.stats().refused), (CLIENTS_MAX as u64, 1));
}

#[tokio::test]
async fn a_dropped_server_closes_its_clients() {
    let (server, source) = site().await;
    source.publish(unit(0, true));
    let mut raw = Raw::connect(&server).await;
    assert_eq!(raw.ask("OPTIONS", "*", "").await.status, 200);
    drop(server);
    assert_eq!(raw.stream.read(&mut [0u8; 16]).await.unwrap_or(0), 0);
}

mod with_retina {
    //! The server against the client the product itself uses.

    use super::*;
    use crate::scene::canvas::I420;
    use crate::scene::encode::Encoder;
    use futures_util::StreamExt as _;
    use retina::client::{Credentials, PlayOptions, Session, SessionOptions, SetupOptions, Transport};
    use retina::codec::CodecItem;
    use std::sync::atomic::{AtomicBool, Ordering};

    async fn camera() -> (RtspServer, Arc<LiveSource>) {
        let server = RtspServer::bind(([127, 0, 0, 1], 0).into(), Users::one(USER, PASSWORD)).await.expect("a port");
        let source = LiveSource::new("East gate", 12.0);
        server.mount("gate-east", source.clone());
        let mut encoder = Encoder::new(12.0, 400, 4).expect("an encoder");
        let mut picture = I420::black(640, 360);
        for n in 0..6u64 {
            picture.y.iter_mut().enumerate().for_each(|(i, y)| *y = (i as u64 * (n + 3) % 200) as u8 + 16);
            encoder.publish(&picture, n * 7_500, SystemTime::now(), &source).expect("encoded");
        }
        (server, source)
    }

    async fn describe(
        server: &RtspServer,
        password: &str,
    ) -> Result<Session<retina::client::Described>, retina::Error> {
        let url = url::Url::parse(&server.url("gate-east")).expect("a URL");
        let creds = Credentials { username: USER.into(), password: password.into() };
        Session::describe(url, SessionOptions::default().creds(Some(creds))).await
    }

    /// Goes on publishing, as a camera does: what is sent before a player listens is lost over UDP.
    fn film(source: Arc<LiveSource>, done: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            let mut encoder = Encoder::new(12.0, 400, 4).expect("an encoder");
            let mut picture = I420::black(640, 360);
            for n in 6u64.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                picture.y.iter_mut().enumerate().for_each(|(i, y)| *y = (i as u64 * (n + 3) % 200) as u8 + 16);
                encoder.publish(&picture, n * 7_500, SystemTime::now(), &source).expect("encoded");
                std::thread::sleep(Duration::from_millis(40));
            }
        })
    }

    async fn plays_over(transport: Transport) {
        let (server, source) = camera().await;
        let done = Arc::new(AtomicBool::new(false));
        let filming = film(source, done.clone());
        let mut session = describe(&server, PASSWORD).await.expect("described");
        session.setup(0, SetupOptions::default().transport(transport)).await.expect("set up");
        let mut stream = session.play(PlayOptions::default()).await.expect("playing").demuxed().expect("demuxed");
        let mut keys = 0;
        while keys < 2 {
            let item = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("in time");
            match item.expect("a picture").expect("no error") {
                CodecItem::VideoFrame(frame) => keys += usize::from(frame.is_random_access_point()),
                // Sender reports come between the pictures.
                CodecItem::Rtcp(_) => {}
                other => panic!("no picture: {other:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        filming.join().expect("filmed to the end");
        match stream.streams()[0].parameters() {
            Some(retina::codec::ParametersRef::Video(v)) => assert_eq!(v.pixel_dimensions(), (640, 360)),
            other => panic!("no parameters: {other:?}"),
        }
    }

    #[tokio::test]
    async fn it_plays_over_tcp() {
        plays_over(Transport::Tcp(Default::default())).await;
    }

    #[tokio::test]
    async fn it_plays_over_udp() {
        plays_over(Transport::Udp(Default::default())).await;
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused() {
        let (server, _source) = camera().await;
        let error = describe(&server, "guessed").await.err().expect("refused");
        assert!(error.to_string().contains("401"), "{error}");
        assert_eq!(server.stats().unauthorized, 1);
    }
}
