//! Ingest against peers that answer wrongly, refuse, or say nothing.

use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[derive(Default)]
struct Heard {
    errors: Mutex<Vec<(&'static str, String)>>,
    states: Mutex<Vec<Option<Loss>>>,
    changed: tokio::sync::Notify,
}

impl Listener for Heard {
    fn unit(&self, _: &Arc<AccessUnit>, _: Duration) {}
    fn state(&self, lost: Option<Loss>) {
        self.states.lock().unwrap().push(lost);
        self.changed.notify_one();
    }
    fn error(&self, code: &'static str, text: &str) {
        self.errors.lock().unwrap().push((code, text.to_owned()));
    }
    fn restarted(&self) {}
}

fn source(port: u16) -> Source {
    let url = format!("rtsp://127.0.0.1:{port}/cam").parse().unwrap();
    Source { url, user: "viewer".into(), password: "secret".into(), transport: Transport::Tcp, audio: true }
}

/// Runs against a peer that answers every request with `answer`, until the first change of state.
async fn against(answer: &'static [u8]) -> (Loss, &'static str, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 2048];
                while matches!(peer.read(&mut request).await, Ok(n) if n > 0) {
                    let cseq = String::from_utf8_lossy(&request);
                    let cseq = cseq.lines().find_map(|l| l.strip_prefix("CSeq: ")).unwrap_or("1").to_owned();
                    let text = String::from_utf8_lossy(answer).replace("$CSEQ", &cseq);
                    let bytes = if answer.contains(&0xFF) { answer.to_vec() } else { text.into_bytes() };
                    if peer.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    heard(port).await
}

async fn heard(port: u16) -> (Loss, &'static str, String) {
    let (hub, heard) = (Arc::new(Hub::new()), Arc::new(Heard::default()));
    let task = tokio::spawn(run(source(port), hub.clone(), heard.clone()));
    heard.changed.notified().await;
    task.abort();
    let loss = heard.states.lock().unwrap()[0].expect("nothing is live here");
    assert_eq!(hub.lost(), Some(loss));
    let (code, text) = heard.errors.lock().unwrap()[0].clone();
    assert!(!text.contains("secret"), "{text}");
    (loss, code, text)
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (loss, code, text) = heard(port).await;
    assert_eq!((loss, code), (Loss::Refused, "rtsp_refused"), "{text}");
}

#[tokio::test]
async fn a_wrong_password_is_unauthorised() {
    let (loss, code, text) = against(
        b"RTSP/1.0 401 Unauthorized\r\nCSeq: $CSEQ\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"abc\"\r\n\r\n",
    )
    .await;
    assert_eq!((loss, code), (Loss::Unauthorised, "rtsp_unauthorised"), "{text}");
}

#[tokio::test]
async fn an_unknown_path_is_refused() {
    let (loss, _, text) = against(b"RTSP/1.0 404 Not Found\r\nCSeq: $CSEQ\r\n\r\n").await;
    assert_eq!(loss, Loss::Refused, "{text}");
    assert!(text.contains("404"), "{text}");
}

#[tokio::test]
async fn garbage_is_undecodable() {
    for garbage in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"\xFF\x00\xFF\x00$\x01\xFF\xFF\r\n\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: $CSEQ\r\nContent-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=9?",
        b"RTSP/1.0 200 OK\r\nCSeq: $CSEQ\r\nContent-Type: application/sdp\r\nContent-Length: 62\r\n\r\nv=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n\r\n",
    ] {
        let (loss, code, text) = against(garbage).await;
        assert_eq!((loss, code), (Loss::Undecodable, "rtsp_undecodable"), "{text}");
    }
}

/// An answer to DESCRIBE with this session description.
fn described(sdp: &str) -> &'static [u8] {
    let head = "RTSP/1.0 200 OK\r\nCSeq: $CSEQ\r\nContent-Type: application/sdp\r\nContent-Length";
    Box::leak(format!("{head}: {}\r\n\r\n{sdp}", sdp.len()).into_boxed_str()).as_bytes()
}

#[tokio::test]
async fn a_wrong_session_description_is_undecodable_and_says_why() {
    let session = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n";
    for (media, why) in [
        ("m=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\na=control:t\r\n", "no H.264 or H.265"),
        ("m=video 0 RTP/AVP 96\r\n", "No parseable streams"),
        (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 sprop-parameter-sets=!!,##\r\na=control:t\r\n",
            "",
        ),
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\na=control:http://[\r\n", ""),
        ("m=video 0 RTP/AVP 300\r\na=rtpmap:300 H265/90000\r\na=control:t\r\n", ""),
        ("m=video\r\na=rtpmap:\r\n", ""),
    ] {
        let (loss, code, text) = against(described(&format!("{session}{media}"))).await;
        assert_eq!((loss, code), (Loss::Undecodable, "rtsp_undecodable"), "{media}: {text}");
        assert!(text.contains(why), "{media}: {text}");
    }
}

#[test]
fn pauses_grow_to_their_limits() {
    let end = |loss, absent| End { absent, ..End::new(loss, "") };
    assert_eq!(next_pause(PAUSE_MIN, &end(Loss::Refused, false), false), 2 * PAUSE_MIN);
    assert_eq!(next_pause(PAUSE_MAX, &end(Loss::Refused, false), false), PAUSE_MAX);
    assert_eq!(next_pause(PAUSE_MIN, &end(Loss::Unauthorised, false), false), PAUSE_MAX);
    assert_eq!(next_pause(PAUSE_MAX, &end(Loss::Refused, true), false), PAUSE_MAX_ABSENT);
    assert_eq!(next_pause(PAUSE_MAX_ABSENT, &end(Loss::Refused, false), true), PAUSE_MAX_ABSENT);
    for _ in 0..100 {
        let pause = jittered(Duration::from_secs(1));
        assert!((750..=1250).contains(&(pause.as_millis() as u64)), "{pause:?}");
    }
}
