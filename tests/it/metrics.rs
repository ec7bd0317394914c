//! `/metrics` of the running product: who may read it, that it is well formed, and that it tells what happened.

use anyhow::{Context, Result};
use gatehouse_console::metrics::lint::{Series, lint};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{PresenceCause, Uplink};
use gatehouse_core::id::DeviceId;
use gatehouse_tests::product::{Client, Product};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// What operators' rules and dashboards build on.
const PROMISED: [&str; 42] = [
    "gatehouse_build_info",
    "gatehouse_uptime_seconds",
    "gatehouse_ingress_taken_total",
    "gatehouse_ingress_coalesced_total",
    "gatehouse_ingress_refused_total",
    "gatehouse_ingress_undecodable_total",
    "gatehouse_ingress_depth",
    "gatehouse_ingress_limit",
    "gatehouse_journal_depth",
    "gatehouse_journal_entries_total",
    "gatehouse_journal_refused_total",
    "gatehouse_journal_away",
    "gatehouse_journal_commit_seconds_bucket",
    "gatehouse_journal_commit_seconds_sum",
    "gatehouse_journal_commit_seconds_count",
    "gatehouse_telemetry_depth",
    "gatehouse_telemetry_written_total",
    "gatehouse_telemetry_dropped_total",
    "gatehouse_actors",
    "gatehouse_actor_restarts_total",
    "gatehouse_mailbox_depth_max",
    "gatehouse_mailboxes_depth",
    "gatehouse_alarms_open",
    "gatehouse_broker_clients",
    "gatehouse_broker_messages_total",
    "gatehouse_broker_refused_total",
    "gatehouse_feed_followers",
    "gatehouse_feed_lag",
    "gatehouse_feed_refreshes_total",
    "gatehouse_cameras",
    "gatehouse_recorder_units_total",
    "gatehouse_database_up",
    "gatehouse_database_size_bytes",
    "gatehouse_database_connections",
    "gatehouse_disk_free_bytes",
    "gatehouse_memory_budget_bytes",
    "gatehouse_backup_last_timestamp_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_threads",
];

fn value(page: &[Series], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |series: &&Series| {
        let has = |(label, value): &(&str, &str)| series.labels.iter().any(|(l, v)| l == label && v == value);
        series.name == name && labels.iter().all(has)
    };
    page.iter().find(fits).map(|series| series.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_well_formed_told_to_those_who_may_read_and_say_what_happened() -> Result<()> {
    let product = Product::demo().await?;
    let url = format!("http://{}/metrics", product.running.address);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let token = product.secret("metrics-token")?;
    assert_eq!(http.get(&url).send().await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(http.get(&url).bearer_auth("guessed").send().await?.status(), StatusCode::UNAUTHORIZED);
    let admin = product.admin().await?;
    for (role, status) in [("guard", StatusCode::FORBIDDEN), ("engineer", StatusCode::OK)] {
        let account = json!({ "name": role, "password": "a password for tests", "role": role });
        admin.post("/api/users", account).await?;
        let client = Client::sign_in(product.running.address, role, "a password for tests").await?;
        assert_eq!(client.request(Method::GET, "/metrics", None).await?.0, status, "{role}");
    }

    let scrape = async || -> Result<(String, Vec<Series>)> {
        let response = http.get(&url).bearer_auth(token.trim()).send().await?.error_for_status()?;
        let kind = response.headers()["content-type"].to_str()?.to_owned();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let page = response.text().await?;
        let series = lint(&page).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        Ok((page, series))
    };
    let (page, before) = scrape().await?;
    if let Some(file) = std::env::var_os("GATEHOUSE_METRICS_PAGE") {
        std::fs::write(file, &page)?;
    }
    for name in PROMISED {
        assert!(before.iter().any(|series| series.name == name), "{name} is missing in\n{page}");
    }
    assert!(before.len() < 250, "{} series", before.len());

    let system = product.running.app.system();
    let door = DeviceId::from_key("nobody-knows-this-one");
    let stranger = Uplink::Presence { device: door, online: true, cause: PresenceCause::Birth };
    assert!(system.intake().offer(stranger).await.is_err());
    system.raise(AlarmKind::DiskFull, None, "", Default::default()).await?;
    let mut live = admin.live(&["alarms"]).await?;
    live.object("alarms", |alarm| alarm["type"] == "disk_full").await?;
    let (_, after) = scrape().await?;
    let grew = |name: &str, labels: &[(&str, &str)]| -> Result<f64> {
        let then = value(&before, name, labels).unwrap_or(0.0);
        Ok(value(&after, name, labels).with_context(|| name.to_owned())? - then)
    };
    assert!(grew("gatehouse_ingress_refused_total", &[("source", "events")])? >= 1.0);
    assert!(grew("gatehouse_journal_entries_total", &[])? >= 1.0);
    assert!(grew("gatehouse_journal_commit_seconds_count", &[])? >= 1.0);
    assert!(grew("gatehouse_alarms_open", &[("priority", "p2"), ("letter", "B")])? >= 1.0);
    assert!(value(&after, "gatehouse_feed_followers", &[("topic", "alarms")]) >= Some(1.0));
    assert_eq!(value(&after, "gatehouse_database_up", &[]), Some(1.0));
    let whole = value(&after, "gatehouse_journal_commit_seconds_bucket", &[("le", "+Inf")]);
    assert_eq!(whole, value(&after, "gatehouse_journal_commit_seconds_count", &[]));
    product.stop().await;
    Ok(())
}
