//! A short `bench crash`: kill -9 of the program and its database under load; nothing acknowledged is missing or doubled.

use anyhow::{Context, Result};
use gatehouse_tests::product::PATIENCE;
use serde_json::Value;
use std::process::Stdio;
use tokio::process::Command;

/// Holds the arguments of the program that the bench, and here the test, starts: one a line.
const ARGUMENTS: &str = "GATEHOUSE_ARGUMENTS";
/// This binary as the program.
const PROGRAM: &str = "crash::the_program_that_crashes";

/// Not a test by itself: the program, in a process of its own, when [`ARGUMENTS`] says so.
#[test]
fn the_program_that_crashes() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let _ = gatehouse_console::cli::run_with(["gatehouse"].into_iter().chain(arguments.lines()).map(Into::into));
}

/// Runs a bench in a process of its own; its figures, and all it said.
async fn bench(arguments: &[&str]) -> Result<(Value, String)> {
    let shared = gatehouse_console::provision::testkit::data_dir();
    let arguments: Vec<_> = arguments.iter().copied().chain(["--harness", PROGRAM, "--data"]).collect();
    let arguments = format!("{}\n{}", arguments.join("\n"), shared.display());
    let bench = Command::new(std::env::current_exe()?)
        .args(["--exact", PROGRAM, "--nocapture", "--test-threads=1"])
        .env(ARGUMENTS, arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 10, bench).await.context("the bench does not end")??;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The test runner writes on the same line before it.
    let figures = said.lines().find_map(|line| line.find('{').and_then(|at| line.get(at..)));
    let figures = serde_json::from_str(figures.with_context(|| said.clone())?)?;
    Ok((figures, said))
}

#[tokio::test(flavor = "multi_thread")]
async fn clips_of_alarms_are_whole_after_kill_9() -> Result<()> {
    let (figures, said) =
        bench(&["bench", "recording", "--json", "--kills", "2", "--cameras", "2", "--seed", "7"]).await?;
    assert_eq!((figures["clips"].as_u64(), figures["clips_torn"].as_u64()), (Some(4), Some(0)), "{said}");
    assert_eq!((figures["missing"].as_u64(), figures["claimed"].as_u64()), (Some(0), Some(0)), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_kill_9_is_there_once() -> Result<()> {
    let (figures, said) = bench(&["bench", "crash", "--json", "--kills", "4", "--seed", "7"]).await?;
    assert_eq!((figures["missing"].as_u64(), figures["doubled"].as_u64()), (Some(0), Some(0)), "{said}");
    assert_eq!(figures["databases_left_behind"], 0, "{figures}");
    assert!(figures["acknowledged"].as_u64().is_some_and(|count| count > 20), "{figures}");
    let kills = figures["kills_program"].as_u64().zip(figures["kills_database"].as_u64());
    assert!(kills.is_some_and(|(program, database)| program > 0 && database > 0), "{figures}");
    Ok(())
}
