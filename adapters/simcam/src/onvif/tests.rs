//! The services as a client meets them, over a socket.

use super::*;
use crate::rtsp::auth::response_of;
use crate::scene::head::Position;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn camera() -> OnvifCamera {
    let profile = |name: &str, width, height| Profile {
        name: name.into(),
        uri: format!("rtsp://127.0.0.1/{name}"),
        codec: "H264".into(),
        width,
        height,
        fps: 12,
    };
    let head = Arc::new(Head::new().preset("door", Position { pan: 0.5, tilt: 0.0, zoom: 0.3 }));
    let config = OnvifConfig {
        head: Some(head),
        ..OnvifConfig::new("yard", vec![profile("main", 1280, 720), profile("sub", 640, 360)])
    };
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    OnvifCamera::bind(addr, Users::one("viewer", "right"), config).await.expect("a port")
}

/// Posts an envelope; status line and body.
async fn post(camera: &OnvifCamera, service: &str, header: &str, body: &str, more: &str) -> (String, String) {
    let envelope = format!("<s:Envelope><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>");
    let mut stream = TcpStream::connect(camera.local_addr()).await.expect("connected");
    let request = format!(
        "POST /onvif/{service} HTTP/1.1\r\nHost: camera\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n{envelope}",
        envelope.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    (answer.lines().next().unwrap_or_default().to_owned(), answer)
}

/// Posts with digest credentials.
async fn ask(camera: &OnvifCamera, service: &str, header: &str, body: &str) -> (String, String) {
    let (_, challenge) = post(camera, service, "", body, "").await;
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    let uri = format!("/onvif/{service}");
    let response = response_of("viewer", "right", "Gatehouse camera", nonce, "POST", &uri);
    let credentials = format!(
        "Authorization: Digest username=\"viewer\", realm=\"Gatehouse camera\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\"\r\n"
    );
    post(camera, service, header, body, &credentials).await
}

#[tokio::test]
async fn the_time_is_everybodys_and_the_rest_needs_the_password() {
    let camera = camera().await;
    let (status, body) = post(&camera, "device_service", "", "<GetSystemDateAndTime/>", "").await;
    assert!(status.contains("200") && body.contains("UTCDateTime"), "{body}");
    let (status, body) = post(&camera, "media_service", "", "<GetProfiles/>", "").await;
    assert!(status.contains("401") && body.contains("Digest realm"), "{body}");
    let (status, body) = ask(&camera, "media_service", "", "<GetProfiles/>").await;
    assert!(status.contains("200") && body.contains("token=\"sub\""), "{body}");
    let token = "<UsernameToken><Username>viewer</Username><Password>bm8=</Password><Nonce>bm8=</Nonce>\
                 <Created>2026-01-01T00:00:00Z</Created></UsernameToken>";
    let (status, body) = post(&camera, "media_service", token, "<GetProfiles/>", "").await;
    assert!(status.contains("400") && body.contains("NotAuthorized"), "{body}");
    assert_eq!(post(&camera, "device_service", "", "no xml <", "").await.0, "HTTP/1.1 400 Bad Request");
    assert!(camera.stats().unauthorised >= 3);
}

#[tokio::test]
async fn a_pull_point_is_known_by_its_reference_parameters_alone() {
    let camera = camera().await;
    let (_, made) = ask(&camera, "event_service", "", "<CreatePullPointSubscription/>").await;
    assert!(made.contains("ReferenceParameters"), "{made}");
    let pull = "<PullMessages><Timeout>PT5S</Timeout><MessageLimit>10</MessageLimit></PullMessages>";
    assert!(ask(&camera, "subscription", "", pull).await.0.contains("400"), "nobody is named");
    let header = "<SubscriptionId>1</SubscriptionId>";
    let (_, first) = ask(&camera, "subscription", header, pull).await;
    assert_eq!(first.matches("Initialized").count(), 4, "{first}");
    camera.tell(Topic::Tamper, true);
    camera.tell(Topic::Tamper, true);
    let (_, second) = ask(&camera, "subscription", header, pull).await;
    assert_eq!((second.matches("Changed").count(), second.matches("GlobalSceneChange").count()), (1, 1), "{second}");
    assert!(ask(&camera, "subscription", header, "<Unsubscribe/>").await.0.contains("200"));
    assert!(ask(&camera, "subscription", header, pull).await.0.contains("400"));
    assert_eq!(camera.stats().subscriptions, 0);
}

#[tokio::test]
async fn the_head_goes_where_it_is_told() {
    let camera = camera().await;
    let head = camera.shared.config.head.clone().expect("a head");
    let (_, presets) = ask(&camera, "ptz_service", "", "<GetPresets/>").await;
    assert!(presets.contains("token=\"preset-001\"") && presets.contains("door"), "{presets}");
    let goto = "<GotoPreset><PresetToken>preset-001</PresetToken></GotoPreset>";
    assert!(ask(&camera, "ptz_service", "", goto).await.0.contains("200"));
    assert!(head.moving(std::time::Instant::now()));
    let moves =
        "<ContinuousMove><Velocity><PanTilt x=\"-1\" y=\"0\"/></Velocity><Timeout>PT1S</Timeout></ContinuousMove>";
    assert!(ask(&camera, "ptz_service", "", moves).await.0.contains("200"));
    assert!(ask(&camera, "ptz_service", "", "<Stop/>").await.0.contains("200"));
    assert!(!head.moving(std::time::Instant::now()));
    let none = "<GotoPreset><PresetToken>nowhere</PresetToken></GotoPreset>";
    assert!(ask(&camera, "ptz_service", "", none).await.1.contains("NoToken"));
}

#[tokio::test]
async fn a_probe_that_is_sent_to_it_is_answered() {
    let camera = camera().await.discoverable(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let probe = "<e:Envelope><e:Header><MessageID>urn:7</MessageID></e:Header><e:Body><Probe/></e:Body></e:Envelope>";
    socket.send_to(probe.as_bytes(), camera.probe_addr().expect("it listens")).await.expect("sent");
    let mut buffer = vec![0; 8192];
    let (length, _) = socket.recv_from(&mut buffer).await.expect("an answer");
    let answer = Node::read(&buffer[..length]).expect("xml");
    assert_eq!(answer.text_of("XAddrs"), Some(camera.device_service().as_str()));
    assert_eq!(answer.text_of("RelatesTo"), Some("urn:7"));
}
