//! Cameras by ONVIF, as peers on the wire: found, seen, turned, heard, lost and found again.

use anyhow::{Context, Result, ensure};
use gatehouse_adapters::sim::onvif::{OnvifCamera, OnvifConfig, Profile, Topic};
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::head::Position;
use gatehouse_adapters::sim::scene::{CameraConfig, Head, SceneKind, Studio, StudioConfig};
use gatehouse_core::device::link::Uplink;
use gatehouse_core::device::telemetry::Value as Point;
use gatehouse_core::id::DeviceId;
use gatehouse_tests::product::{Client, Product};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncBufReadExt;

const PATIENCE: Duration = Duration::from_secs(30);
const USER: &str = "viewer";
const PASSWORD: &str = "only for tests";
/// The variable that this binary finds the program's arguments in, one a line.
const ARGUMENTS: &str = "GATEHOUSE_ONVIF_TEST_ARGUMENTS";

/// A virtual camera with a large and a small stream, and its ONVIF side.
struct Yard {
    head: Arc<Head>,
    config: OnvifConfig,
    onvif: Option<OnvifCamera>,
    service: String,
    _rtsp: RtspServer,
    _studio: Studio,
}

impl Yard {
    async fn open() -> Result<Self> {
        let corner = Position { pan: 0.9, tilt: -0.4, zoom: 0.5 };
        let head = Arc::new(Head::new().preset("Home", Position::default()).preset("Corner", corner));
        let large = CameraConfig { bitrate_kbps: 600, ..CameraConfig::new("Yard", SceneKind::Corridor) };
        let small = CameraConfig { width: 400, height: 224, bitrate_kbps: 200, fps: 6, ..large.clone() };
        let cameras = vec![large.on(head.clone()), small.on(head.clone())];
        let studio = Studio::start(StudioConfig { threads: 1, ..StudioConfig::default() }, cameras.clone())?;
        let rtsp = RtspServer::bind(loopback(), Users::one(USER, PASSWORD)).await?;
        let mut profiles = Vec::new();
        for ((name, camera), scene) in ["large", "small"].into_iter().zip(&cameras).zip(studio.scenes()) {
            rtsp.mount(name, scene.source());
            let (width, height, fps) = (camera.width as u32, camera.height as u32, camera.fps);
            profiles.push(Profile { name: name.into(), uri: rtsp.url(name), codec: "H264".into(), width, height, fps });
        }
        // The small one comes first, and its clock is an hour ahead: neither may matter.
        profiles.reverse();
        let config = OnvifConfig { head: Some(head.clone()), clock_off_s: 3_600, ..OnvifConfig::new("yard", profiles) };
        let mut yard = Self { head, config, onvif: None, service: String::new(), _rtsp: rtsp, _studio: studio };
        yard.serve(loopback()).await?;
        Ok(yard)
    }

    async fn serve(&mut self, at: SocketAddr) -> Result<()> {
        let users = Users::one(USER, PASSWORD);
        let served = OnvifCamera::bind(at, users, self.config.clone()).await?.discoverable(loopback()).await?;
        self.service = served.device_service();
        self.onvif = Some(served);
        Ok(())
    }

    fn onvif(&self) -> &OnvifCamera {
        self.onvif.as_ref().expect("it is served")
    }

    /// The product with this camera and a fence before it.
    async fn product(&self, password: &str) -> Result<Product> {
        let site = format!(
            "name = \"Yard\"\nzone = \"UTC\"\n\
             [[places]]\nkey = \"yard\"\nkind = \"site\"\nname = \"Yard\"\n\
             [[devices]]\nkey = \"cam-1\"\nkind = \"camera\"\nname = \"Camera\"\nname_zh = \"摄像机\"\nplace = \"yard\"\n\
             stream = {{ onvif = \"{}\", user = \"{USER}\", password = \"{password}\" }}\npresets = {{ yard = \"Corner\" }}\n\
             [[devices]]\nkey = \"cam-2\"\nkind = \"camera\"\nname = \"Without\"\nplace = \"yard\"\n\
             [[devices]]\nkey = \"fence\"\nkind = \"perimeter\"\nname = \"Fence\"\nplace = \"yard\"\ncameras = [\"cam-1\"]\n",
            self.service
        );
        Product::site(&site, |config| config.recognition.enabled = false).await
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn id(key: &str) -> DeviceId {
    DeviceId::from_key(key)
}

/// Looks until something holds.
async fn until<T, F: Future<Output = Result<Option<T>>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The camera's row of the health page, once it fits.
async fn health(admin: &Client, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, || async {
        let health = admin.get("/api/health").await?;
        let row = health["cameras"].as_array().and_then(|rows| rows.iter().find(|row| row["key"] == "cam-1")).cloned();
        Ok(row.filter(|row| fits(row)))
    })
    .await
}

async fn connected(admin: &Client) -> Result<Value> {
    let connected = |row: &Value| row["onvif"]["state"] == "connected" && row["live"] == true;
    health(admin, "connected and live", connected).await
}

async fn alarms(admin: &Client, kind: &str) -> Result<Vec<Value>> {
    let list = admin.get("/api/alarms?state=open").await?;
    let alarms = list["alarms"].as_array().cloned().unwrap_or_default();
    Ok(alarms.into_iter().filter(|alarm| alarm["type"] == kind).collect())
}

async fn alarm(admin: &Client, kind: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    until(kind, || async { Ok(alarms(admin, kind).await?.into_iter().find(|alarm| fits(alarm))) }).await
}

/// The fence's beam is broken, or whole again.
async fn beam(product: &Product, word: &str) -> Result<()> {
    let points = vec![("beam".to_owned(), Point::Text(word.to_owned()))];
    let report = Uplink::Report { device: id("fence"), seq: None, observed_at: None, points };
    Ok(product.running.app.system().intake().offer(report).await?)
}

fn ptz(path: &str) -> String {
    format!("/api/cameras/{}/ptz{path}", id("cam-1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_says_where_its_streams_are_and_is_live() -> Result<()> {
    let yard = Yard::open().await?;
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    let row = health(&admin, "live with both streams", |row| {
        row["live"] == true && row["width"] == 640 && row["sub"]["live"] == true && row["onvif"]["state"] == "connected"
    })
    .await?;
    ensure!(row["sub"]["width"] == 400 && row["onvif"]["ptz"] == true, "{row}");
    ensure!(row["onvif"]["identity"]["maker"] == "Gatehouse", "{row}");
    let off = row["onvif"]["clock_off_ms"].as_i64().context("a clock")?;
    ensure!((3_595_000..3_605_000).contains(&off), "{off}");
    let vision = product.running.app.vision().context("video")?;
    ensure!(vision.hub(id("cam-1")).is_some_and(|hub| hub.config().is_some()), "tiles show it");
    ensure!(yard.onvif().stats().unauthorised == 0, "it never had to guess");

    // What it said is known at the next start, also while its ONVIF service is away.
    let kept = product.data.join("onvif/cam-1.json");
    until("the addresses are kept", || async { Ok(kept.exists().then_some(())) }).await?;
    let text = std::fs::read_to_string(&kept)?;
    ensure!(text.contains("/large") && text.contains("/small") && !text.contains(PASSWORD), "{text}");
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_on_the_camera_and_in_an_alarm() -> Result<()> {
    let yard = Yard::open().await?;
    let product = yard.product("a guess").await?;
    let admin = product.admin().await?;
    let row = health(&admin, "unauthorised", |row| row["onvif"]["state"] == "unauthorised").await?;
    let error = row["onvif"]["error"].as_str().unwrap_or_default();
    ensure!(error.contains("refused user or password") && !error.contains("a guess"), "{error}");
    alarm(&admin, "stream_stalled", |alarm| alarm["title"]["state"] == "unauthorised").await?;
    let head = admin.get(&ptz("")).await?;
    ensure!(head["available"] == false && head["reason"] == "unauthorised", "{head}");
    let (status, answer) = admin.request(Method::POST, &ptz("/move"), Some(json!({ "pan": 1.0 }))).await?;
    ensure!(status == StatusCode::SERVICE_UNAVAILABLE && answer["error"]["code"] == "camera_unauthorised", "{answer}");
    // A camera is not asked again and again until it locks the account.
    let tries = yard.onvif().stats().unauthorised;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(tries <= 2 && yard.onvif().stats().unauthorised == tries, "{tries} tries");
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_move_the_picture_and_it_stops_when_they_let_go() -> Result<()> {
    let yard = Yard::open().await?;
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    connected(&admin).await?;
    admin.post("/api/users", json!({ "name": "LI", "password": "a password for tests", "role": "operator" })).await?;
    let li = Client::sign_in(product.running.address, "LI", "a password for tests").await?;
    let seen = |what: &'static str| {
        let (client, path) = (admin.clone(), format!("/api/cameras/{}/snapshot.jpg", id("cam-1")));
        async move {
            Ok::<_, anyhow::Error>(image::load_from_memory(&client.bytes(&path).await?.2).context(what)?.to_luma8())
        }
    };
    let before = seen("a picture").await?;

    let pressed = admin.post(&ptz("/move"), json!({ "pan": 1.0, "tilt": 0.0, "zoom": 0.5 })).await?;
    ensure!(pressed["taken_from"] == Value::Null, "{pressed}");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_600) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        admin.post(&ptz("/move"), json!({ "pan": 1.0, "zoom": 0.5, "hold": pressed["hold"] })).await?;
    }
    ensure!(yard.head.moving(Instant::now()), "a renewed move goes on");
    // Another takes it: the first is told by whom.
    let taken = li.post(&ptz("/move"), json!({ "pan": 0.5 })).await?;
    ensure!(taken["taken_from"] == "admin", "{taken}");
    let renewal = json!({ "pan": 1.0, "hold": pressed["hold"] });
    let (status, answer) = admin.request(Method::POST, &ptz("/move"), Some(renewal)).await?;
    ensure!(status == StatusCode::CONFLICT && answer["error"]["code"] == "ptz_taken", "{answer}");
    ensure!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("LI")), "{answer}");
    // Nobody renews: it stops by itself, before the camera's own limit of three seconds.
    let let_go = Instant::now();
    until("the head stands", || async { Ok((!yard.head.moving(Instant::now())).then_some(())) }).await?;
    ensure!(let_go.elapsed() < Duration::from_millis(2_500), "{:?}", let_go.elapsed());
    let head = li.get(&ptz("")).await?;
    ensure!(head["holder"] == json!({ "name": "LI", "moving": false }), "{head}");
    ensure!(head["position"]["pan"].as_f64().is_some_and(|pan| pan > 0.3), "{head}");
    let differs = until("another picture", || async {
        let now = seen("a picture").await?;
        let changed = now.pixels().zip(before.pixels()).filter(|(a, b)| a.0[0].abs_diff(b.0[0]) > 20).count();
        Ok((changed > 10_000).then_some(changed))
    })
    .await?;
    println!("{differs} of {} points differ", before.len());

    // A position is stored, called through the ledger, and removed; one that alarms call stays.
    let stored = admin.post(&ptz("/presets"), json!({ "name": "Door" })).await?;
    let home = json!({ "verb": "goto_preset", "args": { "preset": "Home" } });
    let command = admin.post(&format!("/api/devices/{}/commands", id("cam-1")), home).await?;
    let path = format!("/api/commands/{}", command["id"].as_str().context("an id")?);
    until("executed", || async { Ok((admin.get(&path).await?["state"] == "executed").then_some(())) }).await?;
    ensure!(yard.head.position(Instant::now()) == Position::default());
    let again = admin.request(Method::POST, &ptz("/presets"), Some(json!({ "name": "Door" }))).await?;
    ensure!(again.0 == StatusCode::CONFLICT, "{again:?}");
    let token = stored["token"].as_str().context("a token")?;
    let removed = admin.request(Method::DELETE, &ptz(&format!("/presets/{token}")), None).await?;
    ensure!(removed.0 == StatusCode::NO_CONTENT, "{removed:?}");
    let called = admin.request(Method::DELETE, &ptz("/presets/preset-002"), None).await?;
    ensure!(called.1["error"]["code"] == "preset_called", "{called:?}");
    admin.post(&ptz("/position"), json!({ "pan": -0.5, "tilt": 0.0, "zoom": 0.0 })).await?;
    until("it turned", || async { Ok((yard.head.position(Instant::now()).pan < -0.4).then_some(())) }).await?;

    let (status, answer) = admin.request(Method::POST, &ptz("/move"), Some(json!({ "pan": 7 }))).await?;
    ensure!(status == StatusCode::UNPROCESSABLE_ENTITY && answer["error"]["field"] == "pan", "{answer}");
    let without = admin.get(&format!("/api/cameras/{}/ptz", id("cam-2"))).await?;
    ensure!(without["reason"] == "no_onvif", "{without}");
    // The press is in the audit log once; its renewals are not.
    let audit = admin.get("/api/audit").await?;
    let rows = audit["rows"].as_array().cloned().unwrap_or_default();
    let moves = |by: &str| rows.iter().filter(|row| row["by"] == by && row["target"] == ptz("/move")).count();
    ensure!(moves("LI") == 1 && moves("admin") <= 3, "{} and {}", moves("LI"), moves("admin"));
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_turns_its_camera_once_and_says_when_it_could_not() -> Result<()> {
    let yard = Yard::open().await?;
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    connected(&admin).await?;
    let noted = |alarm: &Value, code: &'static str| {
        let (admin, path) = (admin.clone(), format!("/api/alarms/{}", alarm["id"].as_str().unwrap_or_default()));
        async move {
            until(code, || async {
                let detail = admin.get(&path).await?;
                let notes = detail["timeline"].as_array().cloned().unwrap_or_default();
                let notes: Vec<_> = notes.into_iter().filter(|note| note["code"] == code).collect();
                Ok((!notes.is_empty()).then_some(notes))
            })
            .await
        }
    };
    beam(&product, "broken").await?;
    let intrusion = alarm(&admin, "intrusion", |_| true).await?;
    let notes = noted(&intrusion, "camera_turned").await?;
    ensure!(notes.len() == 1 && notes[0]["params"]["preset"] == "Corner", "{notes:?}");
    ensure!(notes[0]["params"]["camera"] == "Camera", "{notes:?}");
    let at = yard.head.position(Instant::now());
    ensure!((at.pan - 0.9).abs() < 0.01 && (at.zoom - 0.5).abs() < 0.01, "{at:?}");
    let commands = admin.get(&format!("/api/commands?device={}", id("cam-1"))).await?;
    let commands = commands["commands"].as_array().cloned().unwrap_or_default();
    ensure!(commands.len() == 1 && commands[0]["why"] == "intrusion" && commands[0]["by"] == "alarm", "{commands:?}");

    // The preset is gone from the camera: the next alarm says so, in its history and as an alarm of the camera.
    ensure!(yard.head.remove("preset-002"));
    beam(&product, "clear").await?;
    alarm(&admin, "intrusion", |alarm| alarm["active"] == false).await?;
    beam(&product, "broken").await?;
    let notes = noted(&intrusion, "camera_not_turned").await?;
    let reason = notes[0]["params"]["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("no preset \"Corner\"") && reason.contains("Home"), "{reason}");
    let failed = alarm(&admin, "command_failed", |_| true).await?;
    ensure!(failed["device"] == json!(id("cam-1")) && failed["zone"] == "goto_preset", "{failed}");
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_camera_notices_is_an_alarm_once() -> Result<()> {
    let yard = Yard::open().await?;
    // It stands already when we begin to listen: no news.
    yard.onvif().tell(Topic::Tamper, true);
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    connected(&admin).await?;
    let notified = |least: u64| {
        let admin = &admin;
        async move { health(admin, "heard", |row| row["onvif"]["notifications"].as_u64() >= Some(least)).await }
    };
    notified(4).await?;
    ensure!(alarms(&admin, "tamper").await?.is_empty(), "what stood before is no alarm");
    yard.onvif().tell(Topic::Tamper, false);
    notified(5).await?;

    yard.onvif().tell(Topic::Tamper, true);
    let tamper = alarm(&admin, "tamper", |_| true).await?;
    ensure!(tamper["device"] == json!(id("cam-1")) && tamper["zone"] == "lens", "{tamper}");
    for _ in 0..3 {
        yard.onvif().repeat(Topic::Tamper);
    }
    yard.onvif().tell(Topic::Input(1), true);
    notified(10).await?;
    let device = |point: &'static str, wanted: bool| {
        let system = product.running.app.system().clone();
        async move {
            until(point, || async {
                let device = system.device(id("cam-1")).context("the camera")?;
                Ok(device.points.get(point).filter(|reading| reading.value == Point::Bool(wanted)).map(|_| ()))
            })
            .await
        }
    };
    device("input_1", true).await?;
    let known = alarms(&admin, "tamper").await?;
    ensure!(known.len() == 1 && known[0]["occurrences"] == 1, "{known:?}");
    yard.onvif().tell(Topic::Motion, true);
    device("motion", true).await?;
    yard.onvif().tell(Topic::Tamper, false);
    alarm(&admin, "tamper", |alarm| alarm["active"] == false).await?;
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_restarts_is_listened_to_again() -> Result<()> {
    let mut yard = Yard::open().await?;
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    connected(&admin).await?;
    let at = yard.onvif().local_addr();
    drop(yard.onvif.take());
    health(&admin, "away", |row| row["onvif"]["state"] == "away").await?;
    let head = admin.get(&ptz("")).await?;
    ensure!(head["available"] == false && head["reason"] == "refused" && head["error"] != "", "{head}");
    until("its port is free", || async { Ok(std::net::TcpListener::bind(at).ok().map(drop)) }).await?;
    yard.serve(at).await?;
    let row = health(&admin, "back", |row| row["onvif"]["state"] == "connected").await?;
    ensure!(row["onvif"]["subscriptions"] == 2 && row["live"] == true, "{row}");
    ensure!(yard.onvif().stats().subscriptions == 1);
    yard.onvif().tell(Topic::Tamper, true);
    alarm(&admin, "tamper", |_| true).await?;
    product.stop().await;
    until("the pull point is closed", || async { Ok((yard.onvif().stats().subscriptions == 0).then_some(())) }).await
}

/// Not a test by itself: `gatehouse` with the arguments of [`ARGUMENTS`], in a process of its own.
#[test]
fn the_program_that_discovers() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let code = gatehouse_console::cli::run_with(arguments.lines().map(std::ffi::OsString::from));
    assert!(code == std::process::ExitCode::SUCCESS, "it failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_are_found_by_address_with_their_streams_and_lines_to_paste() -> Result<()> {
    let yard = Yard::open().await?;
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    let search = |body: Value| {
        let admin = &admin;
        async move { admin.request(Method::POST, "/api/cameras/discover", Some(body)).await }
    };
    let lines = |text: &Value| -> Vec<Value> {
        text.as_str().unwrap_or_default().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let probe = yard.onvif().probe_addr().context("probes")?.port();
    let asked = json!({ "addresses": "127.0.0.1-127.0.0.3", "ports": [1], "probe_port": probe, "user": USER, "password": PASSWORD });
    let (status, text) = search(asked).await?;
    ensure!(status.is_success(), "{text}");
    let said = lines(&text);
    let found: Vec<_> = said.iter().filter_map(|line| line.get("found")).collect();
    ensure!(found.len() == 1 && said.last() == Some(&json!({ "asked": { "asked": 3, "of": 3 } })), "{text}");
    let camera = &found[0]["camera"];
    ensure!(
        camera["name"] == "yard" && camera["identity"]["serial"] == "SIM-yard" && camera["ptz"] == true,
        "{camera}"
    );
    let roles: Vec<_> =
        camera["profiles"].as_array().context("profiles")?.iter().map(|p| (&p["role"], &p["name"])).collect();
    ensure!(roles == [(&json!("sub"), &json!("small")), (&json!("main"), &json!("large"))], "{roles:?}");
    let toml = found[0]["toml"].as_str().context("lines")?;
    ensure!(toml.contains(&yard.service) && !toml.contains(PASSWORD), "{toml}");

    // By HTTP alone, without an account: it is there, and what is missing is said.
    let port = yard.onvif().local_addr().port();
    let (_, text) = search(json!({ "addresses": "127.0.0.1", "ports": [port], "probe_port": 1 })).await?;
    let said = lines(&text);
    let problem = said[0]["found"]["camera"]["problem"].as_str().unwrap_or_default();
    ensure!(problem.contains("refused user or password"), "{text}");
    for (addresses, code) in [("8.8.8.8", "foreign_address"), ("10.0.0.0/8", "bad_addresses"), ("x", "bad_addresses")] {
        let (status, answer) = search(json!({ "addresses": addresses })).await?;
        ensure!(status == StatusCode::UNPROCESSABLE_ENTITY && answer["error"]["code"] == code, "{answer}");
    }

    // And from the command line.
    let file = product.data.join("camera-password");
    std::fs::write(&file, PASSWORD)?;
    let (probe, file) = (probe.to_string(), file.to_string_lossy().into_owned());
    let arguments = [
        "gatehouse",
        "onvif",
        "discover",
        "127.0.0.1",
        "--probe-port",
        &probe,
        "--user",
        USER,
        "--password-file",
        &file,
    ];
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "onvif::the_program_that_discovers", "--nocapture", "--test-threads=1"])
        .env(ARGUMENTS, arguments.join("\n"))
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    for part in ["SIM-yard", "large", "640×360", "rtsp://127.0.0.1:", "[[devices]]", "password_file"] {
        ensure!(said.contains(part), "no {part} in {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    product.stop().await;
    Ok(())
}

/// The peer's interpreter; `None` where it is not installed.
fn peer() -> Result<Option<std::path::PathBuf>> {
    let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/onvif");
    let python = home.join("venv/bin/python");
    if python.exists() {
        return Ok(Some(home));
    }
    // Where the gate runs, its peers are installed: a check that is left out there is one that cannot fail.
    ensure!(std::env::var_os("CI").is_none(), "the other program's ONVIF client is not installed: see .ci/run");
    println!("skipped: {} is not there", python.display());
    Ok(None)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_client_is_served_by_the_virtual_camera() -> Result<()> {
    let Some(home) = peer()? else { return Ok(()) };
    let mut yard = Yard::open().await?;
    // That client knows pull points by their address only, and its clock is ours.
    yard.config = OnvifConfig { references: false, clock_off_s: 0, ..yard.config };
    yard.serve(loopback()).await?;
    let at = yard.onvif().local_addr();
    let mut child = tokio::process::Command::new(home.join("venv/bin/python"))
        .arg(home.join("client.py"))
        .args([&at.ip().to_string(), &at.port().to_string(), USER, PASSWORD])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = tokio::io::BufReader::new(child.stdout.take().context("stdout")?).lines();
    let mut told = std::collections::BTreeMap::new();
    while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await?? {
        let line: Value = serde_json::from_str(&line)?;
        let what = line["what"].as_str().unwrap_or_default().to_owned();
        if what == "listening" {
            yard.onvif().tell(Topic::Tamper, true);
        }
        told.insert(what, line["told"].clone());
    }
    let of = |what: &str| told.get(what).map(ToString::to_string).unwrap_or_default();
    ensure!(of("information").contains("SIM-yard"), "{told:#?}");
    ensure!(of("wrong password").contains("Auth"), "{told:#?}");
    ensure!(of("profiles").contains("large") && of("uri").contains("rtsp://"), "{told:#?}");
    ensure!(of("presets").contains("Corner") && of("status").contains("0.9"), "{told:#?}");
    ensure!(of("nodes").contains("node") && of("properties").contains("GlobalSceneChange"), "{told:#?}");
    ensure!(yard.head.presets().iter().any(|preset| preset.name == "theirs"), "{told:#?}");
    ensure!(of("noticed").contains("true"), "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_point_with_an_address_of_its_own_is_pulled_there() -> Result<()> {
    let mut yard = Yard::open().await?;
    yard.config = OnvifConfig { references: false, media2: false, ..yard.config };
    yard.serve(loopback()).await?;
    let product = yard.product(PASSWORD).await?;
    let admin = product.admin().await?;
    connected(&admin).await?;
    yard.onvif().tell(Topic::Tamper, true);
    alarm(&admin, "tamper", |_| true).await?;
    product.stop().await;
    Ok(())
}
