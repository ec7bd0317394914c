//! Start and stop order, and the handle to it all.
//!
//! Start: migrate → import → journal, its spill drained → access snapshot → alarm book, rules, life safety, desk → devices →
//! intake.
//! Stop, the other way round: intake closed → actors stopped → journal written to its end → telemetry written.

use crate::address::{Addresses, Name};
use crate::board::Board;
use crate::bus::{Bus, Change};
use crate::clock::Clock;
use crate::command::Dispatch;
use crate::error::{Error, StoreError};
use crate::ingress::{Ingress, Newcomer};
use crate::journal::{Entry, Journal, JournalError, NewEvent, Receipt, SpillConfig, Surroundings};
use crate::outbox::{Outbox, OutboxConfig};
use crate::prepared::Prepared;
use crate::rule::feed::Feed;
use crate::shell::{Load, Message, Shared, Shell};
use crate::store::MigrateError;
use crate::supervise::{Happened, Health, Order, Policy, Spawn, Supervisor, Told};
use crate::trace::Trace;
use crate::video::{NoVideo, VideoLink};
use crate::watch::FreeSpace;
use crate::{access, alarm, event, outbox, rule, store, telemetry, video, workorder};
use gatehouse_core::alarm::{AlarmCall, AlarmCallError, AlarmKind, Alarms};
use gatehouse_core::device::Device;
use gatehouse_core::device::link::{Downlink, Intake, Refused};
use gatehouse_core::device::shadow::{DeviceView, Twin, TwinCall};
use gatehouse_core::disk::Room;
use gatehouse_core::event::Body;
use gatehouse_core::for_kind;
use gatehouse_core::id::DeviceId;
use gatehouse_core::machine::{Context, Machine};
use gatehouse_core::place::Place;
use gatehouse_core::recognition::Observation;
use gatehouse_core::rule::operator::OperatorRules;
use gatehouse_core::rule::{DecideError, GateCall, LifeSafety, Rules};
use gatehouse_core::site::{Compound, Site, SiteError, Spec};
use gatehouse_core::workorder::{Desk, DeskCall, DeskError};
use jiff::{SignedDuration, Timestamp};
use ractor::{Actor, ActorRef};
use sqlx::PgPool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tracing::{info, warn};
use uuid::Uuid;

/// Devices that may introduce themselves.
const MOST_ANNOUNCED: usize = 2_000;
/// Devices that start at the same time: each reads its state.
const AT_ONCE: usize = 32;
/// How long what only machines say to each other is kept.
const INTERNAL_DAYS: i64 = 30;
/// How long it is kept that a notice was delivered.
const DONE_DAYS: i64 = 7;
/// How long a notice that could not be delivered can be sent again.
const DEAD_DAYS: i64 = 90;
/// The access snapshot is made anew at least this often.
const RECONCILE: Duration = Duration::from_secs(300);

/// What the system runs on.
pub struct SystemConfig {
    /// The database.
    pub pool: PgPool,
    /// The clock.
    pub clock: Clock,
    /// A site to import first; without one the site in the database runs.
    pub site: Option<Site>,
    /// Where commands for devices go.
    pub downlinks: mpsc::Sender<Downlink>,
    /// The recorder.
    pub video: Arc<dyn VideoLink>,
    /// Wraps the keys of face templates.
    pub master_key: [u8; 32],
    /// How often a part may fail.
    pub restarts: Policy,
    /// Where entries wait on the local disk while the database is away; without it acknowledgements are withheld then.
    pub spill: Option<SpillConfig>,
    /// Tells the bytes free on the disk of the data directory, where that is watched.
    pub free: Option<FreeSpace>,
    /// Actors killed at random in a second.
    #[cfg(feature = "chaos")]
    pub chaos_kills_per_s: f64,
    /// Who is told of alarms outside.
    pub outbox: OutboxConfig,
    /// How long readings are kept.
    pub keep: telemetry::Keep,
    /// Where the way of events is noted down.
    pub trace: Trace,
}

impl SystemConfig {
    /// The machine's clock, the site in the database, no recorder, a key of zeros (enrolling faces is then refused).
    pub fn new(pool: PgPool, downlinks: mpsc::Sender<Downlink>) -> Self {
        Self {
            pool,
            clock: Clock::real(),
            site: None,
            downlinks,
            video: Arc::new(NoVideo),
            master_key: [0; 32],
            restarts: Policy::default(),
            spill: None,
            free: None,
            #[cfg(feature = "chaos")]
            chaos_kills_per_s: 0.0,
            outbox: OutboxConfig::default(),
            keep: telemetry::Keep::default(),
            trace: Trace::default(),
        }
    }
}

/// Why the system cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database is of another version.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal and its spill.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The site does not fit together.
    #[error("the site does not fit together:\n{}", .0.iter().map(|e| format!("  {e}")).collect::<Vec<_>>().join("\n"))]
    Site(Vec<SiteError>),
    /// Its time zone is not known.
    #[error("site zone {0:?} is not a time zone this machine knows: write e.g. \"Asia/Shanghai\"")]
    Zone(String),
    /// There is none.
    #[error("the database holds no site: name its file as `site` in the configuration")]
    NoSite,
    /// An actor did not start.
    #[error("actor {actor} did not start: {reason}")]
    Actor {
        /// Which.
        actor: String,
        /// Why.
        reason: String,
    },
}

type Reference<C, R> = RwLock<Option<ActorRef<Message<C, R>>>>;
type AlarmBook = ActorRef<Message<AlarmCall, Result<(), AlarmCallError>>>;
type RuleEngine = ActorRef<Message<GateCall, Result<(), DecideError>>>;
type DeskRef = ActorRef<Message<DeskCall, Result<(), DeskError>>>;

#[derive(Default)]
struct Office {
    alarms: Arc<Reference<AlarmCall, Result<(), AlarmCallError>>>,
    rules: Arc<Reference<GateCall, Result<(), DecideError>>>,
    desk: Arc<Reference<DeskCall, Result<(), DeskError>>>,
    feed: Arc<Feed>,
}

fn current<C: Send + 'static, R: Send + 'static>(reference: &Reference<C, R>) -> Option<ActorRef<Message<C, R>>> {
    reference.read().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) struct Inner {
    shared: Arc<Shared>,
    bus: Bus,
    tally: Arc<alarm::Tally>,
    board: Arc<Board>,
    pub(crate) ingress: Arc<Ingress>,
    site: Arc<Site>,
    supervisor: ActorRef<Order>,
    pub(crate) health: Health,
    office: Office,
    outbox: Outbox,
    epoch: Uuid,
    since: Timestamp,
    pub(crate) master_key: [u8; 32],
    pub(crate) gallery: watch::Sender<u64>,
    pub(crate) room: watch::Sender<Room>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    journal_done: Mutex<Option<JoinHandle<()>>>,
    telemetry_done: Mutex<Option<JoinHandle<()>>>,
}

/// The handle to the running system.
#[derive(Clone)]
pub struct System(Arc<Inner>);

impl System {
    /// Migrates, imports, restores, replays what was not handled, and opens the intake.
    pub async fn start(config: SystemConfig) -> Result<Self, StartError> {
        #[cfg(feature = "chaos")]
        let (config, kills_per_s) = crate::chaos::prepare(config);
        let SystemConfig {
            pool,
            clock,
            site,
            downlinks,
            video,
            master_key,
            restarts,
            spill,
            free,
            outbox,
            keep,
            trace,
            ..
        } = config;
        store::migrate(&pool).await?;
        if let Some(site) = &site {
            site.check().map_err(StartError::Site)?;
            store::import(&pool, site, clock.now()).await?;
        }
        let site = store::site(&pool).await?.ok_or(StartError::NoSite)?;
        crate::clock::zone(&site.zone).map_err(|_| StartError::Zone(site.zone.clone()))?;
        let mut compound = Compound::new(&site);
        for announcement in store::announced(&pool).await? {
            if let Some(spec) = compound.announce(&announcement) {
                compound.devices.entry(spec.id).or_insert(spec);
            }
        }

        let (bus, tally, addresses) =
            (Bus::default(), Arc::new(alarm::Tally::default()), Arc::new(Addresses::default()));
        let board = Arc::new(Board::default());
        tally.show_on(board.clone());
        let around = Surroundings {
            pool: pool.clone(),
            clock: clock.clone(),
            bus: bus.clone(),
            tally: tally.clone(),
            video: video.clone(),
            addresses: addresses.clone(),
            spill,
            trace: trace.clone(),
        };
        let journal = Journal::open(around).await?;
        let (dispatch, hand_on) = Dispatch::new(downlinks, addresses.clone(), journal.away(), trace);
        let (telemetry, telemetry_work) = telemetry::History::open(pool.clone(), clock.clone(), keep).await?;
        let shared = Arc::new(Shared {
            pool: pool.clone(),
            clock: clock.clone(),
            journal: journal.clone(),
            addresses,
            compound: RwLock::new(Arc::new(compound)),
            access: access::Current::default(),
            dispatch,
            telemetry,
            prepared: Prepared::default(),
        });
        let outbox = Outbox::open(&shared, outbox).await?;
        let (newcomers, arrivals) = mpsc::channel(256);
        let feed = Arc::new(Feed::default());
        let ingress = Arc::new(Ingress::new(shared.clone(), newcomers, feed.clone()));
        let day_ago = clock.now().saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
        ingress.remember(event::store::said_since(&pool, day_ago).await?);
        for alarm in alarm::store::open(&pool).await? {
            tally.put(&Arc::new(alarm::AlarmView::from(&alarm)), true);
        }

        let health = Health::default();
        let told = told(shared.clone());
        let supervisor = Supervisor { policy: restarts, told, health: health.clone(), away: journal.away() };
        let (supervisor, _) = Actor::spawn(None, supervisor, ())
            .await
            .map_err(|error| StartError::Actor { actor: "supervisor".into(), reason: error.to_string() })?;
        let inner = Inner {
            bus,
            tally,
            board,
            ingress,
            site: Arc::new(site),
            supervisor,
            health,
            office: Office { feed, ..Office::default() },
            outbox,
            epoch: clock.uuid(),
            since: clock.now(),
            master_key,
            gallery: watch::channel(1).0,
            room: watch::channel(Room::Enough).0,
            tasks: Mutex::default(),
            journal_done: Mutex::new(Some(journal.start()?)),
            telemetry_done: Mutex::new(Some(tokio::spawn(telemetry_work))),
            shared,
        };
        let system = Self(Arc::new(inner));
        system.spawn(hand_on);
        system.refresh_access().await.map_err(|error| match error {
            Error::Store(error) => StartError::Store(error),
            other => StartError::Actor { actor: "access".into(), reason: other.to_string() },
        })?;
        system.start_office().await?;
        let mut starting = JoinSet::new();
        let specs: Vec<Spec> = system.compound().devices.values().cloned().collect();
        let ids: Vec<_> = specs.iter().map(|spec| spec.id).collect();
        system.0.shared.journal.flush().await;
        system.0.shared.prepared.read(&pool, &ids).await?;
        for spec in specs {
            if starting.len() >= AT_ONCE {
                joined(starting.join_next().await)?;
            }
            let system = system.clone();
            starting.spawn(async move { system.start_device(spec).await });
        }
        while let Some(started) = starting.join_next().await {
            joined(Some(started))?;
        }
        system.0.shared.prepared.clear();
        system.spawn(system.clone().take_in(arrivals));
        system.spawn(system.clone().reconcile());
        system.spawn(system.clone().watch_store());
        system.spawn(system.clone().watch_refused());
        system.spawn(system.clone().watch_reach());
        system.spawn(system.clone().watch_clock());
        if let Some(free) = free {
            system.spawn(system.clone().watch_disk(free));
        }
        #[cfg(feature = "chaos")]
        system.spawn(crate::chaos::kill(system.clone(), kills_per_s));
        system.spawn(system.clone().expire());
        for work in system.0.outbox.work(&system.0.shared, &system.0.bus) {
            system.spawn(work);
        }
        if let Err(error) = system.tell_removals().await {
            warn!(error = &error as &dyn std::error::Error, "Faces to be removed from devices are told later");
        }
        system.spawn(system.history().clone().keep());
        for bookmark in video::store::pending(&pool).await? {
            video.bookmark(bookmark);
        }
        system.tell(Body::SystemMoved { what: "started".into() });
        info!(devices = system.compound().devices.len(), "The system runs");
        Ok(system)
    }

    /// Closes the intake, stops the actors, and writes what is queued.
    pub async fn stop(&self) {
        self.0.ingress.stop();
        for task in self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        let (done, stopped) = oneshot::channel();
        if self.0.supervisor.cast(Order::Stop { done }).is_ok() {
            let _ = stopped.await;
        }
        self.0.supervisor.stop(None);
        self.tell(Body::SystemMoved { what: "stopped".into() });
        self.0.shared.journal.close();
        let journal = self.0.journal_done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(journal) = journal {
            let _ = journal.await;
        }
        let telemetry = self.0.telemetry_done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(telemetry) = telemetry {
            let _ = tokio::time::timeout(Duration::from_secs(5), self.0.shared.telemetry.settle()).await;
            telemetry.abort();
        }
        info!("The system stopped");
    }

    /// Stops everything where it stands, nothing queued is written; ready when it has ended.
    pub(crate) async fn cut(&self) {
        self.0.ingress.stop();
        self.0.shared.journal.cut();
        let taken = |task: &Mutex<Option<JoinHandle<()>>>| task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let journal = taken(&self.0.journal_done);
        let mut tasks: Vec<_> = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        tasks.extend(taken(&self.0.telemetry_done));
        for task in &tasks {
            task.abort();
        }
        self.0.supervisor.kill();
        for task in tasks.into_iter().chain(journal) {
            let _ = task.await;
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(work));
    }

    /// Appends an event of the system itself.
    pub(crate) fn tell(&self, body: Body) -> Receipt {
        tell(&self.0.shared, None, body)
    }

    pub(crate) async fn tell_about(&self, by: &str, body: Body) -> Result<(), Error> {
        let event = NewEvent {
            received_at: self.now(),
            observed_at: None,
            device: None,
            place: None,
            cause: None,
            by: by.to_owned(),
            source_key: None,
            body,
        };
        self.committed(self.0.shared.journal.submit(Entry { events: vec![event], ..Entry::default() })).await
    }

    pub(crate) async fn committed(&self, receipt: Receipt) -> Result<(), Error> {
        match tokio::time::timeout(Duration::from_secs(10), receipt).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Error::Away("the database")),
        }
    }

    async fn start_office(&self) -> Result<(), StartError> {
        let shared = &self.0.shared;
        let (pool, office) = (shared.pool.clone(), &self.0.office);
        let open = pool.clone();
        let load: Load<Alarms> = Arc::new(move |state| {
            let pool = open.clone();
            Box::pin(async move { Ok(Alarms::restore(alarm::store::open(&pool).await?, state.unwrap_or_default())?) })
        });
        self.start_machine(self.shell(Name::Alarm, load, &office.alarms)).await?;
        let load: Load<Desk> = Arc::new(move |state| {
            let pool = pool.clone();
            Box::pin(async move { Ok(Desk::restore(workorder::store::open(&pool).await?, state.unwrap_or_default())?) })
        });
        self.start_machine(self.shell(Name::WorkOrder, load, &office.desk)).await?;
        let load: Load<Rules> =
            Arc::new(|state| Box::pin(async move { Ok(Rules::restore(state.unwrap_or_default())?) }));
        self.start_machine(self.shell(Name::Rule, load, &office.rules)).await?;
        self.start_operator().await?;
        let load: Load<LifeSafety> =
            Arc::new(|state| Box::pin(async move { Ok(LifeSafety::restore(state.unwrap_or_default())?) }));
        self.start_machine(self.shell(Name::LifeSafety, load, &Arc::default())).await
    }

    /// Starts the rules that operators wrote, in a shell of their own.
    async fn start_operator(&self) -> Result<(), StartError> {
        let (shared, feed) = (self.0.shared.clone(), self.0.office.feed.clone());
        let load: Load<OperatorRules> = Arc::new(move |state| {
            let shared = shared.clone();
            Box::pin(async move {
                let defined = rule::store::running(&shared.pool).await?;
                let (compound, access, now) = (shared.compound(), shared.access.get(), shared.clock.now());
                let cx = Context { now, wall: now, compound: &compound, access: &access };
                Ok(OperatorRules::restore(defined, state.unwrap_or_default(), &cx)?)
            })
        });
        let (drained, shown) = (feed.clone(), feed.clone());
        self.start_machine(Shell {
            drain: Some(Arc::new(move || drained.drain())),
            publish: Some(Arc::new(move |view| shown.show(view))),
            ..self.shell(Name::Operator, load, &feed.machine)
        })
        .await
    }

    fn shell<M: Machine>(&self, name: Name, load: Load<M>, slot: &Arc<Reference<M::Call, M::Reply>>) -> Shell<M> {
        let slot = slot.clone();
        Shell {
            name,
            by: name.to_string(),
            shared: self.0.shared.clone(),
            load,
            drain: None,
            publish: None,
            enter: Some(Arc::new(move |actor| {
                *slot.write().unwrap_or_else(PoisonError::into_inner) = Some(actor);
            })),
        }
    }

    /// Starts the shell of a device.
    async fn start_device(&self, spec: Spec) -> Result<(), StartError> {
        macro_rules! start {
            ($device:ty) => {
                self.start_machine(self.device_shell::<$device>(spec)).await
            };
        }
        for_kind!(spec.kind, start)
    }

    fn device_shell<D: Device>(&self, spec: Spec) -> Shell<Twin<D>> {
        let (id, shared) = (spec.id, self.0.shared.clone());
        let loading = shared.clone();
        let load: Load<Twin<D>> = Arc::new(move |state| {
            let shared = loading.clone();
            let configured = spec.clone();
            Box::pin(async move {
                // A device that introduced itself again may have a newer definition.
                let spec = shared.compound().device(id).cloned().unwrap_or(configured);
                let now = shared.clock.now();
                let mut twin = match state {
                    Some(state) => Twin::restore(spec, state)?,
                    None => Twin::new(spec, now),
                };
                let latest = match shared.prepared.latest(id) {
                    Some(latest) => latest,
                    None => {
                        let latest = telemetry::store::latest(&shared.pool, &[id]).await?;
                        latest.into_iter().map(|(_, value)| value).collect()
                    }
                };
                twin.recall(latest);
                Ok(twin)
            })
        });
        let (board, slot) = (self.0.board.clone(), self.0.ingress.slot(id));
        let (addresses, key) = (shared.addresses.clone(), Name::Device(id));
        let by = shared.compound().device(id).map(|spec| spec.key.to_string()).unwrap_or_default();
        Shell {
            name: key,
            by,
            shared,
            load,
            drain: Some(Arc::new(move || slot.drain())),
            publish: Some(Arc::new(move |view| board.put(view))),
            enter: Some(Arc::new(move |actor| addresses.enter_device(id, actor))),
        }
    }

    async fn start_machine<M: Machine>(&self, shell: Shell<M>) -> Result<(), StartError> {
        let key = shell.name.to_string();
        let spawn: Spawn = Arc::new(move |supervisor| {
            let shell = shell.clone();
            Box::pin(async move {
                let (actor, _) = Actor::spawn_linked(None, shell, (), supervisor).await?;
                Ok(actor.get_cell())
            })
        });
        let (started, starting) = oneshot::channel();
        let failed = |reason: String| StartError::Actor { actor: key.clone(), reason };
        self.0
            .supervisor
            .cast(Order::Start { key: key.clone(), spawn, started })
            .map_err(|error| failed(error.to_string()))?;
        starting.await.map_err(|_| failed("the supervisor is gone".into()))?.map_err(failed)
    }

    /// Takes in devices that introduce themselves.
    async fn take_in(self, mut arrivals: mpsc::Receiver<Newcomer>) {
        while let Some((announcement, answer)) = arrivals.recv().await {
            let _ = answer.send(self.welcome(announcement).await);
        }
    }

    async fn welcome(&self, announcement: gatehouse_core::device::link::Announcement) -> Result<(), Refused> {
        let shared = &self.0.shared;
        let compound = shared.compound();
        let id = announcement.key.id();
        let known = compound.device(id);
        if known.is_some_and(|spec| !spec.announced) {
            // The site's own definition outranks what a device says of itself.
            return Ok(());
        }
        if known.is_none() && compound.devices.values().filter(|spec| spec.announced).count() >= MOST_ANNOUNCED {
            return Err(Refused::Full);
        }
        let Some(spec) = compound.announce(&announcement) else { return Err(Refused::UnknownDevice(id)) };
        if known == Some(&spec) {
            return Ok(());
        }
        let same_kind = known.is_some_and(|known| known.kind == spec.kind);
        if known.is_some() && !same_kind {
            warn!(device.key = %spec.key, "A device announces itself as another kind: it stays what it was");
            return Ok(());
        }
        if let Err(error) = store::announce(&shared.pool, &spec, &announcement).await {
            warn!(error = &error as &dyn std::error::Error, "An announced device was not stored");
            return Err(Refused::StoreAway);
        }
        let mut next = (*compound).clone();
        next.devices.insert(id, spec.clone());
        *shared.compound.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        if same_kind {
            if let Some(shell) = shared.addresses.device(id) {
                let call = TwinCall::Redefine(Box::new(spec));
                let _ = shell.cast(Message::call(call, "system", None));
            }
            return Ok(());
        }
        let told = Body::Announced { kind: spec.kind, name: spec.name.clone() };
        if let Err(error) = self.start_device(spec).await {
            warn!(error = &error as &dyn std::error::Error, "An announced device was not started");
            return Err(Refused::StoreAway);
        }
        let _ = tell(shared, Some(id), told);
        Ok(())
    }

    async fn reconcile(self) {
        loop {
            tokio::time::sleep(RECONCILE).await;
            if let Err(error) = self.refresh_access().await {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "The access snapshot is not renewed; doors use the last one"
                );
            }
            if let Err(error) = self.tell_removals().await {
                warn!(error = &error as &dyn std::error::Error, "Faces to be removed from devices are told later");
            }
            let before =
                |days: i64| self.now().saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN);
            if let Err(error) = event::store::forget(self.pool(), before(INTERNAL_DAYS)).await {
                warn!(error = &error as &dyn std::error::Error, "Old internal events are not removed");
            }
            if let Err(error) = outbox::store::forget(self.pool(), before(DONE_DAYS), before(DEAD_DAYS)).await {
                warn!(error = &error as &dyn std::error::Error, "Old deliveries are not removed");
            }
        }
    }

    /// The door for adapters.
    pub fn intake(&self) -> Arc<dyn Intake> {
        self.0.ingress.clone()
    }

    /// Takes what a camera saw: resolves once it is committed, motion once it is queued.
    pub async fn observe(&self, observation: Observation) -> Result<(), Refused> {
        self.0.ingress.observe(observation).await
    }

    /// Everything committed from now on, in order.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.bus.subscribe()
    }

    /// How every device looks now.
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// How one device looks now.
    pub fn device(&self, id: DeviceId) -> Option<Arc<DeviceView>> {
        self.0.board.get(id)
    }

    /// The site as imported.
    pub fn site(&self) -> Arc<Site> {
        self.0.site.clone()
    }

    /// The compound as configured and announced.
    pub fn compound(&self) -> Arc<Compound> {
        self.0.shared.compound()
    }

    /// The places.
    pub fn places(&self) -> Vec<Place> {
        self.compound().places.clone()
    }

    /// New at every start.
    pub fn epoch(&self) -> Uuid {
        self.0.epoch
    }

    /// Since when it runs.
    pub fn since(&self) -> Timestamp {
        self.0.since
    }

    /// Where the way of events and requests is noted down.
    pub fn trace(&self) -> &Trace {
        self.0.shared.journal.trace()
    }

    /// Now, by the system's clock.
    pub fn now(&self) -> Timestamp {
        self.0.shared.clock.now()
    }

    /// The database.
    pub fn pool(&self) -> &PgPool {
        &self.0.shared.pool
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.shared.clock
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    pub(crate) fn tally(&self) -> &alarm::Tally {
        &self.0.tally
    }

    pub(crate) fn supervisor(&self) -> &ActorRef<Order> {
        &self.0.supervisor
    }

    pub(crate) fn alarm_book(&self) -> Option<AlarmBook> {
        current(&self.0.office.alarms)
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.0.office.feed
    }

    pub(crate) fn rule_engine(&self) -> Option<RuleEngine> {
        current(&self.0.office.rules)
    }

    pub(crate) fn desk(&self) -> Option<DeskRef> {
        current(&self.0.office.desk)
    }
}

fn joined(started: Option<Result<Result<(), StartError>, JoinError>>) -> Result<(), StartError> {
    match started {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(StartError::Actor { actor: "a device".into(), reason: error.to_string() }),
        None => Ok(()),
    }
}

fn tell(shared: &Shared, device: Option<DeviceId>, body: Body) -> Receipt {
    let event = NewEvent {
        received_at: shared.clock.now(),
        observed_at: None,
        device,
        place: device.and_then(|id| shared.compound().device(id).map(|spec| spec.place)),
        cause: None,
        by: "system".into(),
        source_key: None,
        body,
    };
    shared.journal.submit(Entry { events: vec![event], ..Entry::default() })
}

/// Puts restarts and quarantines on the timeline.
fn told(shared: Arc<Shared>) -> Told {
    Arc::new(move |happened| {
        let device_of = |key: &str| key.strip_prefix("device:").and_then(|id| id.parse::<DeviceId>().ok());
        let name = |key: &str| {
            device_of(key)
                .and_then(|id| shared.compound().device(id).map(|spec| spec.key.to_string()))
                .unwrap_or_else(|| key.to_owned())
        };
        let (key, body) = match happened {
            Happened::Restarted { key, restarts, reason } => {
                (key, Body::ActorRestarted { actor: name(key), restarts, reason: reason.to_owned() })
            }
            Happened::Quarantined { key, reason } => {
                (key, Body::ActorQuarantined { actor: name(key), reason: reason.to_owned() })
            }
            Happened::Released { key } => {
                (key, Body::AskClear { kind: AlarmKind::ActorQuarantined, zone: name(key), reset: false })
            }
        };
        let _ = tell(&shared, device_of(key), body);
    })
}
