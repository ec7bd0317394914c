//! `gatehouse play STORY`: makes something happen in the running compound.

use super::DataDir;
use super::serve::fail;
use crate::demo;
use anyhow::{Context, bail};
use std::process::ExitCode;

/// Plays a story in the running compound; without a story, lists them.
#[derive(Debug, clap::Args)]
pub struct Play {
    #[command(flatten)]
    data: DataDir,
    /// The story: fire, car_known, resident_face, …
    story: Option<String>,
}

impl Play {
    /// Asks the running program of the same data directory.
    pub fn run(self) -> ExitCode {
        match self.play() {
            Ok(text) => super::print(&text),
            Err(error) => fail(&error),
        }
    }

    fn play(self) -> anyhow::Result<String> {
        let Some(story) = self.story else { return Ok(demo::listing()) };
        let control = demo::Control::read(&self.data.path()).context(
            "no running compound in this data directory: start `gatehouse` first, or name its directory with --data",
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let response = reqwest::Client::new()
                .post(format!("{}/api/demo/control", control.url))
                .bearer_auth(&control.token)
                .header("idempotency-key", uuid::Uuid::now_v7().to_string())
                .json(&serde_json::json!({ "story": story }))
                .send()
                .await
                .with_context(|| format!("nothing answers at {}: is the program still running?", control.url))?;
            if response.status().is_success() {
                return Ok(format!("{story} is playing; watch it at {}\n", control.url));
            }
            let body: serde_json::Value = response.json().await.unwrap_or_default();
            bail!("{}", body["error"]["message"].as_str().unwrap_or("the program refused"))
        })
    }
}
