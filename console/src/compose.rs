//! The only place that knows every crate: configuration → store → actors → adapters → vision → HTTP.

use crate::api::metrics::Access;
use crate::app::{App, Parts};
use crate::clips;
use crate::config::{BrokerUser, Config};
use crate::demo::Demo;
use crate::onvif::{Known, Onvif};
use crate::provision::{self, Cluster, ClusterOptions, InstanceLock, Progress, Provided, Provision};
use crate::secrets::{self, Secrets};
use crate::traces::{self, Traces};
use crate::{auth, backup, metrics, routes, site, webhooks};
use anyhow::{Context, bail};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use gatehouse_actors::telemetry::Keep;
use gatehouse_actors::{Change, SpillConfig, System, SystemConfig, staff};
use gatehouse_adapters::mqtt::broker::{Broker, BrokerConfig};
use gatehouse_adapters::mqtt::users::User;
use gatehouse_adapters::mqtt::{self, MqttConfig};
use gatehouse_core::disk::Room;
use gatehouse_core::id::DeviceId;
use gatehouse_core::outbox::Origin;
use gatehouse_core::site::{DeviceDef, Site};
use gatehouse_vision::pipeline::pool::{Loader, Readers};
use gatehouse_vision::recognizer::Recognizer;
use gatehouse_vision::recorder::Retention;
use gatehouse_vision::{CameraConfig, Vision, VisionConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Commands waiting for the broker's client; a command that finds no room fails and says so.
const DOWNLINKS: usize = 1024;

/// Observations that wait for their commit; beyond it a new one is left out and counted.
const OBSERVATIONS: usize = 1024;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// The machine's configuration; the demo's when there is no file.
    pub config: Config,
    /// Whether the simulated compound runs.
    pub demo: bool,
    /// Whether the demo's timetable plays stories by itself.
    pub auto: bool,
    /// Cameras the demo has at least; fewer than its own changes nothing.
    pub cameras: usize,
}

/// The running product.
pub struct Running {
    /// The console's shared state.
    pub app: Arc<App>,
    /// Where the console listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The first administrator's password, when this start made the account.
    pub first_password: Option<String>,
    /// The authorisation table.
    pub table: Vec<crate::router::Route>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    watches: JoinSet<()>,
    cluster: Option<Arc<Cluster>>,
    traces: Option<Traces>,
    _lock: InstanceLock,
}

/// Brings everything up, in order.
pub async fn start(options: Options, progress: &mut (dyn Progress + Send)) -> anyhow::Result<Running> {
    // For HTTP clients of this process; the provider that the command line chose stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Options { data, mut config, demo, auto, cameras } = options;
    let provision = Provision::new(&data).with_second_reader(config.recognition.second_reader);
    let provided = tokio::task::block_in_place(|| provision.ensure_all(progress))?;
    let lock = InstanceLock::acquire(&data)?;
    backup::refuse_half_restored(&data)?;
    let secrets = Secrets::open(&data)?;

    if demo {
        // For sensors that announce themselves: the README shows one.
        let topics = vec!["homeassistant/#".to_owned(), "sensors/#".to_owned()];
        let password_file = secrets.path("mqtt-integrator");
        config.broker.users.push(BrokerUser { name: "integrator".to_owned(), password_file, topics });
    }

    let (cluster, pool) = open_database(&config, &data, &provided).await?;
    let definition = if demo { site::demo(cameras)? } else { site::read(config.site.as_deref())? };

    // A listener that cannot be had stops the start before anything runs.
    let listener = TcpListener::bind(config.listen)
        .map_err(|error| anyhow::anyhow!(provision::explain_bind_error(&config.listen.to_string(), &error)))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let tls = match &config.tls {
        Some(tls) => Some(
            RustlsConfig::from_pem_file(&tls.cert, &tls.key)
                .await
                .with_context(|| format!("tls: {} and {}", tls.cert.display(), tls.key.display()))?,
        ),
        None => None,
    };

    let stop = CancellationToken::new();
    let (downlink_tx, downlink_rx) = mpsc::channel(DOWNLINKS);
    let (bookmarks, waiting) = clips::queue();
    let mut system_config = SystemConfig::new(pool.clone(), downlink_tx);
    system_config.site = Some(definition.clone());
    system_config.video = Arc::new(bookmarks);
    system_config.master_key = secrets.key("master-key")?;
    system_config.spill =
        Some(SpillConfig { dir: data.join("spill"), max_bytes: u64::from(config.database.spill_mb) * 1_000_000 });
    system_config.free = Some(Arc::new({
        let data = data.clone();
        move || provision::free_bytes(&data)
    }));
    #[cfg(feature = "chaos")]
    {
        system_config.chaos_kills_per_s = gatehouse_actors::chaos::rate_from_env();
    }
    system_config.outbox = webhooks::open(&config.webhooks, origin(&config, &definition, address))?;
    system_config.keep = Keep {
        raw_days: config.telemetry.raw_days,
        minute_days: config.telemetry.minute_days,
        hour_days: config.telemetry.hour_days,
    };
    let (trace, traces) = traces::open(&config.traces, system_config.clock.clone())?;
    system_config.trace = trace;
    let system = System::start(system_config).await.context("starting the actors")?;

    let (broker, mqtt_config) = open_broker(&config, &definition, &secrets).await?;
    let onvif = Onvif::new(site::onvif_devices(&definition));
    let (others, for_broker) = mpsc::channel(DOWNLINKS);
    tokio::spawn(onvif.clone().sort(downlink_rx, others, system.intake()));
    tokio::spawn({
        let (intake, stop) = (system.intake(), stop.clone());
        async move {
            if let Err(error) = mqtt::run(mqtt_config, intake, for_broker, stop).await {
                tracing::error!(%error, "MQTT adapter ended: devices cannot be heard until the next start");
            }
        }
    });

    let demo = match (demo, &broker) {
        (true, Some(broker)) => Some(Demo::start(&definition, broker.addr(), &provided.demo, &secrets, auto).await?),
        (true, None) => bail!("the demo needs the embedded broker: remove broker.external from the configuration"),
        (false, _) => None,
    };
    let known = if demo.is_some() { Known::nowhere() } else { Known::of(&data) };
    let cameras = site::cameras(&definition, demo.as_ref(), &known)?;
    let (vision, recognizer) = open_vision(&config, &data, &provided, cameras, &system)?;
    onvif.start(site::spoken(&definition, demo.as_ref())?, &system, &vision, known, &stop);
    tokio::spawn(onvif.clone().watch(system.clone(), vision.clone()));
    tokio::spawn(waiting.serve(system.clone(), vision.clone()));
    tokio::spawn(record_while_there_is_room(system.room(), vision.clone()));
    tokio::spawn(look_when_a_car_waits(system.clone(), vision.clone(), definition.clone()));

    let first_password = first_admin(&pool, &system).await?;
    if let Some(demo) = &demo {
        let scheme = if tls.is_some() { "https" } else { "http" };
        demo.announce(&secrets, &format!("{scheme}://{address}"))?;
    }
    let token = match &config.metrics.token_file {
        Some(file) => secrets::password_file(file)?,
        None => secrets.password("metrics-token")?,
    };
    let keeper = backup::Keeper::new(&data, &config, system.now());
    let app = App::new(Parts {
        system,
        pool,
        vision: Some(vision.clone()),
        recognizer: recognizer.clone(),
        onvif,
        broker,
        demo,
        listen: address,
        origins: config.origins.clone(),
        data,
        backup: keeper,
        metrics: Access { token, loopback: config.metrics.loopback },
        memory_mb: config.limits.memory_mb,
        picture_days: config.recognition.picture_days,
        exporter: traces.as_ref().map(|traces| traces.exporter.clone()),
    });
    let mut watches = JoinSet::new();
    if let Some(recognizer) = recognizer {
        crate::gallery::enrol_demo_face(&app, &recognizer).await?;
        watches.spawn(crate::gallery::follow(app.system().clone(), vision, recognizer));
    }
    watches.spawn(crate::api::health::publish(app.clone()));
    watches.spawn(metrics::budget::watch(app.clone()));
    watches.spawn(crate::recording::watch(app.clone()));
    let pictures = app.data().join("pictures");
    watches.spawn(crate::pictures::forget_old(pictures, app.picture_days(), app.system().clone()));
    watches.spawn(app.backup().clone().run(app.system().clone()));
    let (router, table) = routes::build(app.clone());
    let secure = tls.is_some();
    let server = tokio::spawn(serve(listener, router, tls, stop.clone()));
    Ok(Running {
        app,
        address,
        tls: secure,
        first_password,
        table,
        stop,
        server,
        watches,
        cluster,
        traces,
        _lock: lock,
    })
}

impl Running {
    /// Stops everything in order: pages, devices, video, actors, database.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // What is stopped on purpose is no trouble.
        self.watches.shutdown().await;
        self.app.stop().await;
        self.server.abort();
        if let Some(traces) = self.traces {
            traces.stop().await;
        }
        self.app.pool().close().await;
        if let Some(cluster) = self.cluster
            && let Err(error) = cluster.stop().await
        {
            tracing::warn!(%error, "PostgreSQL did not stop cleanly: it recovers at the next start");
        }
    }
}

async fn open_database(
    config: &Config,
    data: &Path,
    provided: &Provided,
) -> anyhow::Result<(Option<Arc<Cluster>>, sqlx::PgPool)> {
    // Pages are told that the database is away rather than kept waiting.
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(5));
    if let Some(file) = &config.database.url_file {
        let url = std::fs::read_to_string(file).with_context(|| format!("database.url_file {}", file.display()))?;
        let pool =
            options.connect(url.trim()).await.context("connecting to the database that database.url_file names")?;
        return Ok((None, pool));
    }
    let cluster = Arc::new(Cluster::start(&provided.postgres, data, ClusterOptions::default()).await?);
    cluster.create_database("gatehouse").await?;
    let pool =
        options.connect_with(cluster.options("gatehouse")).await.context("connecting to the private PostgreSQL")?;
    cluster.supervise();
    Ok((Some(cluster), pool))
}

/// Starts the embedded broker with an account per native device, or names the external one.
async fn open_broker(config: &Config, site: &Site, secrets: &Secrets) -> anyhow::Result<(Option<Broker>, MqttConfig)> {
    let native: Vec<_> = site.devices.iter().filter(|device| site::speaks_mqtt(device)).collect();
    let devices: Vec<_> = native.iter().map(|device| device.key.clone()).collect();
    let ours = |host: &str, port, user: &str, password: &str| {
        MqttConfig::new(host, port, user, password).with_devices(devices)
    };
    if let Some(external) = &config.broker.external {
        let (host, port) =
            external.rsplit_once(':').context("broker.external must be host:port, e.g. broker.lan:1883")?;
        let port = port.parse().context("broker.external: the port is not a number")?;
        let password =
            config.broker.password_file.as_deref().map(secrets::password_file).transpose()?.unwrap_or_default();
        return Ok((None, ours(host, port, &config.broker.user, &password)));
    }
    let password = secrets.password("mqtt-gatehouse")?;
    let mut users = vec![User::server("gatehouse", &password)?];
    users.extend(device_users(&native, secrets)?);
    for user in &config.broker.users {
        let password = secrets::password_file(&user.password_file)?;
        users.push(User::integrator(&user.name, &password, user.topics.clone(), user.topics.clone())?);
    }
    let listen = config.broker.listen;
    let broker = Broker::start(BrokerConfig { listen, users, ..BrokerConfig::default() }).await?;
    let address = broker.addr();
    let gate = broker.gate();
    let config = ours(&address.ip().to_string(), address.port(), "gatehouse", &password).with_gate(gate);
    Ok((Some(broker), config))
}

/// The accounts of the native devices: each its own, or one for the devices behind a gateway.
fn device_users(devices: &[&DeviceDef], secrets: &Secrets) -> anyhow::Result<Vec<User>> {
    let mut accounts: BTreeMap<String, (String, Vec<&DeviceDef>)> = BTreeMap::new();
    for device in devices {
        let (name, password) = site::account(device, secrets)?;
        let (known, behind) = accounts.entry(name.clone()).or_insert_with(|| (password.clone(), Vec::new()));
        if *known != password {
            bail!("device {}: the account {name:?} has another password at another device: give it one", device.key);
        }
        behind.push(device);
    }
    accounts
        .into_iter()
        .map(|(name, (password, behind))| match behind.as_slice() {
            [device] if device.key.as_str() == name => Ok(User::device(&device.key, &password)?),
            several => Ok(User::gateway(&name, &password, several.iter().map(|device| device.key.clone()))?),
        })
        .collect()
}

fn open_vision(
    config: &Config,
    data: &Path,
    provided: &Provided,
    cameras: Vec<CameraConfig>,
    system: &System,
) -> anyhow::Result<(Vision, Option<Arc<Recognizer>>)> {
    let mut vision = VisionConfig::new(data);
    vision.retention = Retention {
        days: config.recording.days,
        max_bytes: Some(u64::from(config.recording.max_gb) * 1_000_000_000),
        ..Retention::default()
    };
    if !config.recording.dirs.is_empty() {
        // What was recorded before, or restored from a backup, lies in the data directory.
        vision.archive = Some(data.join("recordings"));
        vision.recordings.clone_from(&config.recording.dirs);
    }
    vision.transcodes = config.limits.transcodes as usize;
    vision.cameras = cameras;
    let recognizer = if config.recognition.enabled {
        let paths = config.recognition.paths(&provided.onnxruntime, &provided.models)?;
        vision.policies = paths.models.policies();
        let recognizer = Recognizer::open(&paths).context("opening the recognition models")?;
        Some(Arc::new(recognizer))
    } else {
        None
    };
    // Vision's threads hand over without waiting; the actors' side is bounded and says when it is full.
    let handle = tokio::runtime::Handle::current();
    let sink = {
        let system = system.clone();
        let places = Arc::new(Semaphore::new(OBSERVATIONS));
        Arc::new(move |observation| {
            let system = system.clone();
            let Ok(place) = places.clone().try_acquire_owned() else {
                system.intake().undecodable("recognition", "too many observations wait for the store: one is left out");
                return;
            };
            handle.spawn(async move {
                let _place = place;
                if let Err(refused) = system.observe(observation).await {
                    tracing::warn!(%refused, "Observation was not taken");
                }
            });
        })
    };
    let errors = {
        let intake = system.intake();
        Arc::new(move |code: &'static str, sentence: &str| intake.undecodable(code, sentence))
    };
    let readers =
        recognizer.clone().map(|recognizer| -> Loader { Box::new(move || Ok(recognizer.clone() as Arc<dyn Readers>)) });
    let vision = Vision::start_with(vision, readers, sink, errors).context("starting video")?;
    Ok((vision, recognizer))
}

/// Recording is the first to stop when the disk has no room.
async fn record_while_there_is_room(mut room: watch::Receiver<Room>, vision: Vision) {
    loop {
        vision.hold_recording(*room.borrow_and_update() >= Room::Low);
        if room.changed().await.is_err() {
            return;
        }
    }
}

/// Looks at a lane's plate camera at full rate while its loop feels a car.
async fn look_when_a_car_waits(system: System, vision: Vision, site: Site) {
    let lanes: BTreeMap<DeviceId, DeviceId> =
        site.lanes.iter().map(|lane| (lane.barrier.id(), lane.camera.id())).collect();
    let mut changes = system.changes();
    loop {
        match changes.recv().await {
            Ok(Change::Event(event)) => {
                let occupied = event.code == "point_changed"
                    && event.params.get("point").is_some_and(|point| point.as_word() == Some("loop"))
                    && event.params.get("value").is_some_and(|value| value.as_bool() == Some(true));
                if let Some(camera) = event.device.filter(|_| occupied).and_then(|device| lanes.get(&device)) {
                    vision.trigger(*camera);
                }
            }
            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// What notices say of their origin: the site's name, and the console by its first public name or where it listens.
fn origin(config: &Config, site: &Site, address: SocketAddr) -> Origin {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let console = config.origins.first().cloned().unwrap_or_else(|| format!("{scheme}://{address}"));
    Origin { site: site.name.clone(), console: console.trim_end_matches('/').to_owned() }
}

/// Makes the first administrator when there is no account at all; gives the password, which is stored nowhere.
async fn first_admin(pool: &sqlx::PgPool, system: &System) -> anyhow::Result<Option<String>> {
    if staff::users_count(pool).await? > 0 {
        return Ok(None);
    }
    let password = first_password();
    let hash = auth::hash_in_background(password.clone()).await.map_err(anyhow::Error::from)?;
    staff::user_create(pool, "admin", "admin", &hash, system.now()).await?;
    Ok(Some(password))
}

/// Sixteen letters and digits that are not mistaken for each other: 79 bits.
fn first_password() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..16).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}

/// Serves until told to stop, then gives open requests two seconds.
async fn serve(
    listener: std::net::TcpListener,
    router: axum::Router,
    tls: Option<RustlsConfig>,
    stop: CancellationToken,
) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let handle = axum_server::Handle::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            stop.cancelled_owned().await;
            handle.graceful_shutdown(Some(Duration::from_secs(2)));
        }
    });
    // Small messages must not wait for each other: no Nagle.
    let outcome = match (tls, axum_server::from_tcp(listener)) {
        (_, Err(error)) => Err(error),
        (None, Ok(server)) => server.acceptor(NoDelayAcceptor).handle(handle).serve(service).await,
        (Some(tls), Ok(server)) => {
            server.acceptor(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor)).handle(handle).serve(service).await
        }
    };
    if let Err(error) = outcome {
        tracing::error!(%error, "The console's listener ended");
    }
}
