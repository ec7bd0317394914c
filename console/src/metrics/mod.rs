//! The program's figures for Prometheus, in its text format 0.0.4, and the budget of its memory.
//!
//! Series are few and of known number: actors and cameras are counted, not listed one by one.

pub mod budget;
pub mod lint;
pub mod process;
pub mod text;

use crate::app::App;
use crate::backup::BackupHealth;
use gatehouse_actors::System;
use gatehouse_actors::views::DatabaseHealth;
use std::collections::BTreeMap;
use text::{Kind, Page};

/// States that an actor can be in: each is a series, also when none is in it.
const ACTOR_STATES: [&str; 4] = ["starting", "running", "waiting", "quarantined"];

/// All figures, as a scraper reads them.
pub async fn page(app: &App) -> String {
    let mut page = Page::default();
    let system = app.system();
    program(&mut page, app);
    ingress(&mut page, system);
    queues(&mut page, system);
    actors(&mut page, system);
    alarms(&mut page, system);
    broker(&mut page, app);
    feed(&mut page, app);
    video(&mut page, app);
    store(&mut page, app, system.database().await.ok());
    traces(&mut page, app);
    backup(&mut page, &app.backup().health(system.now()));
    page.finish()
}

fn program(page: &mut Page, app: &App) {
    page.family("gatehouse_build_info", Kind::Gauge, "Always 1; the labels say which program this is")
        .put(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let up = app.system().now().duration_since(app.system().since()).as_secs_f64();
    page.family("gatehouse_uptime_seconds", Kind::Gauge, "Time since this run began").put(&[], up);
    let process = process::look();
    page.family("process_cpu_seconds_total", Kind::Counter, "Processor time, user and system")
        .put(&[], process.cpu_seconds);
    page.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory").put(&[], process.resident_bytes);
    page.family("process_open_fds", Kind::Gauge, "Open file descriptors").put(&[], process.open_fds);
    page.family("process_max_fds", Kind::Gauge, "File descriptors that may be open").put(&[], process.max_fds);
    page.family("process_threads", Kind::Gauge, "Threads").put(&[], process.threads);
    page.family("gatehouse_memory_budget_bytes", Kind::Gauge, "Memory the program is meant to need at most")
        .put(&[], app.memory_budget_mb() * 1e6);
    if let Ok(stat) = rustix::fs::statvfs(app.data()) {
        let unit = stat.f_frsize as f64;
        page.family("gatehouse_disk_free_bytes", Kind::Gauge, "Room on the data directory's disk")
            .put(&[], stat.f_bavail as f64 * unit);
        page.family("gatehouse_disk_size_bytes", Kind::Gauge, "Size of the data directory's disk")
            .put(&[], stat.f_blocks as f64 * unit);
    }
}

fn ingress(page: &mut Page, system: &System) {
    let sources = system.ingress();
    let mut each = |name, kind, help, value: fn(&gatehouse_actors::IngressHealth) -> u64| {
        let mut family = page.family(name, kind, help);
        for source in &sources {
            family.put(&[("source", &source.source)], value(source) as f64);
        }
    };
    each("gatehouse_ingress_taken_total", Kind::Counter, "Inputs taken from outside", |s| s.taken);
    each("gatehouse_ingress_coalesced_total", Kind::Counter, "Inputs replaced by a newer value or said twice", |s| {
        s.coalesced
    });
    each("gatehouse_ingress_refused_total", Kind::Counter, "Inputs refused: full, away or unknown", |s| s.refused);
    each("gatehouse_ingress_undecodable_total", Kind::Counter, "Inputs that nobody could read", |s| s.undecodable);
    each("gatehouse_ingress_depth", Kind::Gauge, "Inputs that wait", |s| s.depth as u64);
    each("gatehouse_ingress_limit", Kind::Gauge, "Inputs that may wait", |s| s.limit as u64);
}

fn queues(page: &mut Page, system: &System) {
    let figures = system.figures();
    let journal = &figures.journal;
    page.family("gatehouse_journal_depth", Kind::Gauge, "Entries that wait for their commit")
        .put(&[], journal.depth as f64);
    page.family("gatehouse_journal_limit", Kind::Gauge, "Entries that may wait").put(&[], journal.limit as f64);
    page.family("gatehouse_journal_entries_total", Kind::Counter, "Entries committed").put(&[], journal.entries as f64);
    page.family("gatehouse_journal_refused_total", Kind::Counter, "Entries that the database refused for good")
        .put(&[], journal.refused as f64);
    page.family("gatehouse_journal_away", Kind::Gauge, "1 while the database is away")
        .put(&[], f64::from(u8::from(journal.away)));
    page.histogram("gatehouse_journal_commit_seconds", "Time of a group commit", &journal.commits);
    let spill = system.journal();
    page.family(
        "gatehouse_spill_entries",
        Kind::Gauge,
        "Entries on the local disk that the database does not have yet",
    )
    .put(&[], spill.spilled as f64);
    page.family("gatehouse_spill_bytes", Kind::Gauge, "Size of the spill").put(&[], spill.spilled_bytes as f64);
    page.family("gatehouse_spill_limit_bytes", Kind::Gauge, "Size the spill may have; 0: no spill")
        .put(&[], spill.spill_limit as f64);
    let telemetry = &figures.telemetry;
    page.family("gatehouse_telemetry_depth", Kind::Gauge, "Readings that wait for the history")
        .put(&[], telemetry.depth as f64);
    page.family("gatehouse_telemetry_limit", Kind::Gauge, "Readings that may wait").put(&[], telemetry.limit as f64);
    page.family("gatehouse_telemetry_written_total", Kind::Counter, "Readings stored")
        .put(&[], telemetry.written as f64);
    page.family("gatehouse_telemetry_dropped_total", Kind::Counter, "Readings dropped: no room, or not stored")
        .put(&[], (telemetry.dropped + telemetry.refused) as f64);
    page.family("gatehouse_telemetry_batches_total", Kind::Counter, "Batches of readings stored")
        .put(&[], telemetry.batches as f64);
    page.family("gatehouse_telemetry_failed_batches_total", Kind::Counter, "Tries of a batch that failed")
        .put(&[], telemetry.failed_batches as f64);
    let mut commands =
        page.family("gatehouse_commands_total", Kind::Counter, "Commands that came into a state since the start");
    for (state, count) in &figures.commands {
        commands.put(&[("state", state)], *count as f64);
    }
}

fn actors(page: &mut Page, system: &System) {
    let actors = system.actors();
    let mut states: BTreeMap<&str, u32> = ACTOR_STATES.into_iter().map(|state| (state, 0)).collect();
    for actor in &actors {
        *states.entry(actor.state.as_str()).or_default() += 1;
    }
    let mut family = page.family("gatehouse_actors", Kind::Gauge, "Actors by state");
    for (state, count) in states {
        family.put(&[("state", state)], f64::from(count));
    }
    let restarts: u64 = actors.iter().map(|actor| u64::from(actor.restarts)).sum();
    page.family("gatehouse_actor_restarts_total", Kind::Counter, "Restarts of actors").put(&[], restarts as f64);
    // The journal's queue is no mailbox and has a series of its own.
    let depths = || actors.iter().filter(|actor| actor.key != "journal").map(|actor| actor.depth);
    page.family("gatehouse_mailbox_depth_max", Kind::Gauge, "Messages that wait in the fullest mailbox")
        .put(&[], depths().max().unwrap_or(0) as f64);
    page.family("gatehouse_mailboxes_depth", Kind::Gauge, "Messages that wait in all mailboxes")
        .put(&[], depths().sum::<usize>() as f64);
}

fn alarms(page: &mut Page, system: &System) {
    let mut open: BTreeMap<(u8, String), u32> = BTreeMap::new();
    for alarm in system.open_alarms() {
        *open.entry((alarm.priority, alarm.letter.to_string())).or_default() += 1;
    }
    for priority in 1..=4 {
        // An alarm rule needs a series to look at: the letter of a standing, unseen alarm is always there.
        open.entry((priority, "B".to_owned())).or_default();
    }
    let mut family =
        page.family("gatehouse_alarms_open", Kind::Gauge, "Open alarms by priority and state (letter of ISA-18.2)");
    for ((priority, letter), count) in &open {
        family.put(&[("priority", &format!("p{priority}")), ("letter", letter)], f64::from(*count));
    }
}

fn broker(page: &mut Page, app: &App) {
    let Some(broker) = app.broker() else { return };
    let stats = broker.stats();
    page.family("gatehouse_broker_clients", Kind::Gauge, "Connected MQTT clients").put(&[], stats.clients as f64);
    let mut messages = page.family("gatehouse_broker_messages_total", Kind::Counter, "MQTT messages by direction");
    messages.put(&[("direction", "in")], stats.messages_in as f64);
    messages.put(&[("direction", "out")], stats.messages_out as f64);
    page.family("gatehouse_broker_received_bytes_total", Kind::Counter, "Payload bytes taken from MQTT clients")
        .put(&[], stats.bytes_in as f64);
    let mut refused =
        page.family("gatehouse_broker_refused_total", Kind::Counter, "What MQTT clients were refused, by reason");
    for (reason, count) in [
        ("login", stats.refused_logins),
        ("topic", stats.refused_topics),
        ("garbage", stats.garbage),
        ("connection", stats.refused_connections),
    ] {
        refused.put(&[("reason", reason)], count as f64);
    }
}

fn feed(page: &mut Page, app: &App) {
    let figures = app.feed().figures();
    let mut each = |name, kind, help, value: fn(&crate::ws::topic::TopicFigures) -> u64| {
        let mut family = page.family(name, kind, help);
        for topic in &figures {
            family.put(&[("topic", topic.name)], value(topic) as f64);
        }
    };
    each("gatehouse_feed_followers", Kind::Gauge, "Pages that follow a topic of the live feed", |t| t.followers);
    each("gatehouse_feed_published_total", Kind::Counter, "Messages published on a topic", |t| t.published);
    each("gatehouse_feed_refreshes_total", Kind::Counter, "Followers that fell behind and were healed", |t| {
        t.refreshes
    });
    each("gatehouse_feed_cut_off_total", Kind::Counter, "Followers disconnected because their queue was full", |t| {
        t.cut_off
    });
    each("gatehouse_feed_lag", Kind::Gauge, "Messages that the slowest follower has not taken yet", |t| t.lag);
}

fn video(page: &mut Page, app: &App) {
    let Some(vision) = app.vision() else { return };
    let cameras = vision.statuses();
    let live = cameras.iter().filter(|camera| camera.live).count();
    let mut family = page.family("gatehouse_cameras", Kind::Gauge, "Cameras by whether their pictures come");
    family.put(&[("state", "live")], live as f64);
    family.put(&[("state", "stalled")], (cameras.len() - live) as f64);
    let restarts: u64 = cameras.iter().map(|camera| camera.restarts).sum();
    page.family("gatehouse_camera_restarts_total", Kind::Counter, "Sessions with cameras opened again")
        .put(&[], restarts as f64);
    let viewers: u32 = cameras.iter().map(|camera| camera.viewers).sum();
    page.family("gatehouse_video_viewers", Kind::Gauge, "Tiles that show live video").put(&[], f64::from(viewers));
    let mut family =
        page.family("gatehouse_recording_disk_up", Kind::Gauge, "Whether a disk takes recordings, by its directory");
    for disk in vision.disks() {
        family.put(&[("dir", &disk.dir.display().to_string())], f64::from(u8::from(disk.code.is_empty())));
    }
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in cameras.iter().flat_map(|camera| &camera.errors) {
        *errors.entry(code).or_default() += count;
    }
    let mut family =
        page.family("gatehouse_video_errors_total", Kind::Counter, "Problems of cameras and recorder by code");
    for (code, count) in errors {
        family.put(&[("code", code)], count as f64);
    }
    let wrong_way = "Cars that a camera left out because they went the wrong way";
    let mut family = page.family("gatehouse_plates_wrong_way_total", Kind::Counter, wrong_way);
    for camera in cameras.iter().filter(|camera| camera.wrong_way > 0) {
        family.put(&[("camera", camera.key.as_str())], camera.wrong_way as f64);
    }
    let figures = vision.figures();
    let mut units =
        page.family("gatehouse_recorder_units_total", Kind::Counter, "Pictures given to the recorder by fate");
    units.put(&[("fate", "written")], figures.recorded as f64);
    units.put(&[("fate", "lost")], figures.unrecorded as f64);
    let transcodes = vision.transcode_figures();
    let mut family =
        page.family("gatehouse_transcodes", Kind::Gauge, "Live streams transcoded now, and how many may be");
    family.put(&[("kind", "running")], transcodes.running as f64);
    family.put(&[("kind", "budget")], transcodes.budget as f64);
    page.family("gatehouse_transcodes_refused_total", Kind::Counter, "Viewers refused for want of that budget")
        .put(&[], transcodes.refused as f64);
    page.family("gatehouse_transcode_seconds_total", Kind::Counter, "Time of a core spent on transcoding")
        .put(&[], transcodes.busy_s);
    page.family("gatehouse_transcoded_pictures_total", Kind::Counter, "Pictures decoded, made small and encoded")
        .put(&[], transcodes.pictures as f64);
    page.family("gatehouse_transcoded_pieces_total", Kind::Counter, "Pieces of recording transcoded to be played")
        .put(&[], transcodes.pieces as f64);
    let mut frames = page.family("gatehouse_recognition_frames_total", Kind::Counter, "Frames for recognition by fate");
    frames.put(&[("fate", "looked_at")], figures.frames as f64);
    frames.put(&[("fate", "dropped")], figures.dropped as f64);
}

fn store(page: &mut Page, app: &App, database: Option<DatabaseHealth>) {
    page.family("gatehouse_database_up", Kind::Gauge, "1 when the database answers")
        .put(&[], f64::from(u8::from(database.is_some())));
    if let Some(database) = database {
        page.family("gatehouse_database_size_bytes", Kind::Gauge, "Size of the database")
            .put(&[], (database.size_mb * 1_048_576.0).round());
    }
    let pool = app.pool();
    let open = pool.size() as usize;
    let mut family = page.family("gatehouse_database_connections", Kind::Gauge, "Connections of the pool by use");
    family.put(&[("use", "busy")], open.saturating_sub(pool.num_idle()) as f64);
    family.put(&[("use", "idle")], pool.num_idle().min(open) as f64);
    page.family("gatehouse_database_connections_limit", Kind::Gauge, "Connections the pool may open")
        .put(&[], f64::from(pool.options().get_max_connections()));
}

fn traces(page: &mut Page, app: &App) {
    let Some(health) = app.exporter().map(|exporter| exporter.health()) else { return };
    page.family("gatehouse_trace_spans_exported_total", Kind::Counter, "Spans that the collector of traces took")
        .put(&[], health.exported as f64);
    page.family("gatehouse_trace_spans_dropped_total", Kind::Counter, "Spans dropped: no room, or not taken")
        .put(&[], health.dropped as f64);
    page.family("gatehouse_trace_spans_depth", Kind::Gauge, "Spans that wait for the collector")
        .put(&[], health.depth as f64);
    page.family("gatehouse_trace_spans_limit", Kind::Gauge, "Spans that may wait").put(&[], health.limit as f64);
}

fn backup(page: &mut Page, health: &BackupHealth) {
    let last = health.last.as_ref();
    page.family("gatehouse_backup_last_timestamp_seconds", Kind::Gauge, "When the last backup was taken; 0: never")
        .put(&[], last.map_or(0.0, |last| last.at.as_second() as f64));
    page.family("gatehouse_backup_last_size_bytes", Kind::Gauge, "Size of the last backup")
        .put(&[], last.map_or(0.0, |last| last.bytes as f64));
    page.family("gatehouse_backup_failures_total", Kind::Counter, "Backups that failed since the start")
        .put(&[], health.failures as f64);
    page.family("gatehouse_backup_running", Kind::Gauge, "1 while a backup is being taken")
        .put(&[], f64::from(u8::from(health.running.is_some())));
}
