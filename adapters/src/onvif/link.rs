//! The link to one camera: opened again for as long as it takes, its events to the intake, commands to its head.

use super::auth::Account;
use super::camera::{Camera, Streams};
use super::codec::{Identity, PullPoint};
use super::hand::Hand;
use super::senses::Senses;
use super::soap::OnvifError;
use crate::quiet::Quiet;
use crate::reconnect::Backoff;
use gatehouse_core::device::link::{Downlink, Intake, Outcome, Refused, Uplink, Verb};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{CommandId, DeviceId, DeviceKey};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

/// A pull waits so long for news: well below what proxies and cameras cut.
const PULL: Duration = Duration::from_secs(10);
/// Life asked for a pull point; renewed at half of it.
const LIFE: Duration = Duration::from_secs(60);
/// A camera without events is asked for its clock so often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// A camera that refused the password is not asked again sooner: after a few wrong ones many lock the account.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// How often a head that turns is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Before the intake is offered again what it did not take.
const OFFER_AGAIN: Duration = Duration::from_secs(1);

/// What a link is to.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The camera's key.
    pub key: DeviceKey,
    /// Its device service.
    pub base: Url,
    /// Its account.
    pub account: Account,
    /// Whether its own motion detection is listened to.
    pub motion: bool,
    /// Whether it is asked where its streams are.
    pub streams: bool,
}

/// Who is told what a link finds.
pub trait Finder: Send + Sync {
    /// The camera said where its streams are.
    fn found(&self, camera: &DeviceKey, streams: Streams);
    /// It could not be asked.
    fn missed(&self, camera: &DeviceKey, error: &OnvifError);
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Not answered yet.
    Connecting,
    /// The camera answers and its events arrive.
    Connected,
    /// The camera answers and has no events.
    WithoutEvents,
    /// It does not answer, or not as it should.
    Away,
    /// It refuses user or password.
    Unauthorised,
}

/// How a link does. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkHealth {
    /// How it stands.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// Why it does not stand, empty when it does.
    pub error: String,
    /// Who the camera says it is.
    pub identity: Identity,
    /// The camera's clock minus ours, ms.
    pub clock_off_ms: Option<i64>,
    /// Whether it has a head that moves.
    pub ptz: bool,
    /// Pull points opened since the start.
    pub subscriptions: u64,
    /// Notifications heard since the start.
    pub notifications: u64,
}

#[derive(Debug)]
struct Now {
    health: LinkHealth,
    camera: Option<Arc<Camera>>,
    why: OnvifError,
}

/// The link to one camera.
pub struct Link {
    config: LinkConfig,
    device: DeviceId,
    intake: Arc<dyn Intake>,
    hand: Arc<Hand>,
    now: Mutex<Now>,
    stop: CancellationToken,
    quiet: Quiet,
}

impl Link {
    /// A link that runs until `stop`.
    pub fn start(
        config: LinkConfig,
        intake: Arc<dyn Intake>,
        finder: Arc<dyn Finder>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let health = LinkHealth {
            state: LinkState::Connecting,
            since: Timestamp::now(),
            error: String::new(),
            identity: Identity::default(),
            clock_off_ms: None,
            ptz: false,
            subscriptions: 0,
            notifications: 0,
        };
        let why = OnvifError::Unreachable(config.base.host_str().unwrap_or_default().to_owned());
        let link = Arc::new(Self {
            device: config.key.id(),
            config,
            intake,
            hand: Arc::default(),
            now: Mutex::new(Now { health, camera: None, why }),
            stop,
            quiet: Quiet::every(Duration::from_secs(60)),
        });
        tokio::spawn(link.clone().run(finder));
        link
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it does.
    pub fn health(&self) -> LinkHealth {
        let now = self.now();
        let clock_off_ms = now.camera.as_ref().map(|camera| camera.clock_off_ms());
        LinkHealth { clock_off_ms, ..now.health.clone() }
    }

    /// The camera, where it answers.
    pub fn camera(&self) -> Result<Arc<Camera>, OnvifError> {
        let now = self.now();
        now.camera.clone().ok_or_else(|| now.why.clone())
    }

    /// The hand on its head.
    pub fn hand(&self) -> &Arc<Hand> {
        &self.hand
    }

    async fn run(self: Arc<Self>, finder: Arc<dyn Finder>) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.sessions(&finder) => {}
        }
    }

    async fn sessions(&self, finder: &Arc<dyn Finder>) {
        let mut backoff = Backoff::default();
        let mut senses = Senses::new(self.config.motion);
        loop {
            let error = self.session(finder, &mut senses, &mut backoff).await;
            let pause = match self.lost(error) {
                LinkState::Unauthorised => REFUSED_PAUSE,
                LinkState::Connecting | LinkState::Connected | LinkState::WithoutEvents | LinkState::Away => {
                    backoff.next_wait()
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens the camera and listens until that fails.
    async fn session(&self, finder: &Arc<dyn Finder>, senses: &mut Senses, backoff: &mut Backoff) -> OnvifError {
        let (base, account) = (self.config.base.clone(), self.config.account.clone());
        let opened = async {
            let camera = Camera::open(base, account).await?;
            let streams = if self.config.streams { Some(camera.streams().await?) } else { None };
            Ok((camera, streams))
        };
        let (camera, streams) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                finder.missed(&self.config.key, &error);
                return error;
            }
        };
        if let Some(streams) = streams {
            finder.found(&self.config.key, streams);
        }
        let camera = Arc::new(camera);
        match camera.subscribe(LIFE).await {
            Ok(point) => {
                self.set(LinkState::Connected, &camera, "");
                self.listen(&camera, point, senses, backoff).await
            }
            Err(OnvifError::Unsupported(_)) => {
                self.set(LinkState::WithoutEvents, &camera, "");
                backoff.reset();
                loop {
                    if let Err(error) = self.watch(&camera).await {
                        return error;
                    }
                }
            }
            // All its pull points are taken, mostly: its head works, and a while later there may be one.
            Err(error @ OnvifError::Fault { .. }) => {
                self.set(LinkState::WithoutEvents, &camera, &error.to_string());
                let _ = self.watch(&camera).await;
                error
            }
            Err(error) => error,
        }
    }

    fn set(&self, state: LinkState, camera: &Arc<Camera>, error: &str) {
        let mut now = self.now();
        let health = &mut now.health;
        if health.state != state {
            (health.state, health.since) = (state, Timestamp::now());
            tracing::info!(device.key = %self.config.key, ?state, "ONVIF link of {}", self.config.key);
        }
        health.error = error.to_owned();
        health.identity = camera.identity.clone();
        health.ptz = camera.reach.is_some();
        now.camera = Some(camera.clone());
    }

    fn lost(&self, error: OnvifError) -> LinkState {
        let state = match error {
            OnvifError::Unauthorised(_) => LinkState::Unauthorised,
            OnvifError::Unreachable(_)
            | OnvifError::Silent(_)
            | OnvifError::Unsupported(_)
            | OnvifError::Fault { .. }
            | OnvifError::Undecodable { .. }
            | OnvifError::Invalid(_) => LinkState::Away,
        };
        if matches!(error, OnvifError::Undecodable { .. }) {
            self.intake.undecodable("onvif", &format!("{}: {error}", self.config.key));
        }
        if self.quiet.speak() {
            tracing::warn!(device.key = %self.config.key, %error, "No ONVIF link to {}; trying again", self.config.key);
        }
        let mut now = self.now();
        now.camera = None;
        let health = &mut now.health;
        if health.state != state {
            (health.state, health.since) = (state, Timestamp::now());
        }
        health.error = error.to_string();
        now.why = error;
        state
    }

    /// Waits, then looks for a sign of life.
    async fn watch(&self, camera: &Camera) -> Result<(), OnvifError> {
        tokio::time::sleep(SIGN_OF_LIFE).await;
        camera.look_at_clock().await
    }

    /// Pulls until that fails. The pull point is closed with the program: cameras have few.
    async fn listen(
        &self,
        camera: &Arc<Camera>,
        point: PullPoint,
        senses: &mut Senses,
        backoff: &mut Backoff,
    ) -> OnvifError {
        self.now().health.subscriptions += 1;
        let _closing = Closing { camera: camera.clone(), point: point.clone(), stop: self.stop.clone() };
        let lives = |life_ms: Option<i64>| {
            let life = life_ms.and_then(|ms| u64::try_from(ms).ok()).map_or(LIFE, Duration::from_millis);
            Instant::now() + life / 2
        };
        let mut renew_at = lives(point.life_ms);
        loop {
            let left = renew_at.saturating_duration_since(Instant::now());
            match camera.pull(&point, PULL.min(left.max(Duration::from_secs(1)))).await {
                Ok((notifications, _)) => {
                    backoff.reset();
                    self.now().health.notifications += notifications.len() as u64;
                    for notification in &notifications {
                        let Some((point, active)) = senses.take(notification) else { continue };
                        // The camera's moment on our clock.
                        let off = SignedDuration::from_millis(camera.clock_off_ms());
                        let at = notification.at.and_then(|at| at.saturating_sub(off).ok());
                        self.report(point, active, at).await;
                    }
                }
                Err(error) => return error,
            }
            if Instant::now() >= renew_at {
                match camera.renew(&point, LIFE).await {
                    Ok(life_ms) => renew_at = lives(life_ms),
                    // Some extend a pull point by every pull and know no renewal.
                    Err(OnvifError::Unsupported(_)) => renew_at = lives(None),
                    Err(error) => return error,
                }
            }
        }
    }

    /// Offers a point until the intake has it: no more is pulled meanwhile, so that the camera keeps what follows.
    async fn report(&self, point: String, active: bool, observed_at: Option<Timestamp>) {
        let points = vec![(point, Value::Bool(active))];
        let uplink = Uplink::Report { device: self.device, seq: None, observed_at, points };
        loop {
            match self.intake.offer(uplink.clone()).await {
                Ok(()) => return,
                Err(Refused::UnknownDevice(_) | Refused::Stopping) => return,
                Err(Refused::Full | Refused::StoreAway) => tokio::time::sleep(OFFER_AGAIN).await,
            }
        }
    }

    /// Carries out a command of the ledger; its answers go to the intake.
    pub fn command(self: &Arc<Self>, downlink: Downlink) {
        let link = self.clone();
        tokio::spawn(async move {
            let Downlink { command, verb, deadline, .. } = downlink;
            let left: Duration = deadline.duration_since(Timestamp::now()).try_into().unwrap_or_default();
            let outcome = match verb {
                Verb::GotoPreset { preset } => {
                    match tokio::time::timeout(left, link.turn(&preset, command)).await {
                        Ok(Ok(())) => Outcome::Executed,
                        Ok(Err(error)) => Outcome::Failed { reason: error.to_string() },
                        // The ledger gives it up at the same moment.
                        Err(_) => return,
                    }
                }
                other => Outcome::Failed { reason: format!("a camera has no command {}", other.word()) },
            };
            link.answer(command, outcome).await;
        });
    }

    /// Turns to a preset and waits until the head stands, where the camera tells whether it does.
    async fn turn(&self, preset: &str, command: CommandId) -> Result<(), OnvifError> {
        let camera = self.camera()?;
        let preset = camera.preset(preset).await?;
        self.hand.take("");
        camera.recall(&preset.token).await?;
        self.answer(command, Outcome::Accepted).await;
        loop {
            // What it says at once may be of before it began.
            tokio::time::sleep(LOOK).await;
            match camera.status().await {
                Ok(status) if status.moving == Some(true) => {}
                Ok(_) | Err(OnvifError::Unsupported(_) | OnvifError::Fault { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    async fn answer(&self, command: CommandId, outcome: Outcome) {
        let uplink = Uplink::CommandResult { device: self.device, command, outcome };
        if let Err(refused) = self.intake.offer(uplink).await {
            tracing::warn!(device.key = %self.config.key, %refused, "A camera's answer was not taken");
        }
    }
}

/// Closes a pull point when the program stops; one that is lost is forgotten by the camera.
struct Closing {
    camera: Arc<Camera>,
    point: PullPoint,
    stop: CancellationToken,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.stop.is_cancelled()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (camera, point) = (self.camera.clone(), self.point.clone());
            runtime.spawn(async move {
                if let Err(error) = camera.unsubscribe(&point).await {
                    tracing::debug!(%error, "A pull point was left to its end");
                }
            });
        }
    }
}
