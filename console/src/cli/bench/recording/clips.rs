//! Clips of alarms: taken down before a kill as far as they reach, and again afterwards.

use super::PASSWORD;
use crate::cli::bench::wire::{self, Hello, Incoming};
use crate::client::Client;
use anyhow::{Context, Result, ensure};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The longest that an alarm, and the first pictures of its clips, may take.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// A clip as the program served it while it lived.
pub struct Served {
    url: String,
    from: String,
    /// The pictures' bytes, in the order of the file.
    pictures: Vec<u8>,
}

/// What became of a clip.
pub enum Taken {
    /// All that was served is there.
    Whole,
    /// What is not.
    Torn(String),
}

/// Raises the alarm of the n-th sensor, and takes down its clips: their ranges are kept, for the alarm lists them, and what is
/// there of them is served.
pub async fn alarm(admin: &Client, n: u32) -> Result<Vec<Served>> {
    let key = format!("leak-{n}");
    leak(admin, &key).await?;
    let (device, began) = (json!(DeviceId::from_key(&key)), Instant::now());
    loop {
        if let Some(clips) = listed(admin, &device).await?
            && let Some(served) = take_all(admin, &clips).await?
        {
            return Ok(served);
        }
        ensure!(began.elapsed() < TOLD_WITHIN, "{key}: no alarm with clips that play");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Says that it leaks, until that is acknowledged.
async fn leak(admin: &Client, key: &str) -> Result<()> {
    let health = admin.get("/api/health").await?;
    let broker = health["broker"]["listen"].as_str().context("no embedded broker")?.parse()?;
    let hello = Hello { client: key.to_owned(), account: Some((key.to_owned(), PASSWORD.to_owned())), will: None };
    let (mut ears, mut mouth) = wire::connect(broker, &hello).await?;
    let said = json!({ "seq": 1, "ts": Timestamp::now(), "points": { "leak": true } }).to_string();
    mouth.publish(&format!("gh/{key}/state"), said.as_bytes(), false, Some(1)).await?;
    let acknowledged = async {
        while !matches!(ears.next().await?, Incoming::Ack(1)) {}
        anyhow::Ok(())
    };
    tokio::time::timeout(TOLD_WITHIN, acknowledged).await.context("the leak was not acknowledged")?
}

/// The addresses of the clips of a device's alarm, once it lists both.
async fn listed(admin: &Client, device: &Value) -> Result<Option<Vec<String>>> {
    let list = admin.get("/api/alarms?state=open&limit=1000").await?;
    let mut alarms = list["alarms"].as_array().into_iter().flatten();
    let Some(id) = alarms.find(|alarm| alarm["device"] == *device).and_then(|alarm| alarm["id"].as_str()) else {
        return Ok(None);
    };
    let detail = admin.get(&format!("/api/alarms/{id}")).await?;
    let clips = detail["clips"].as_array().context("no clips")?;
    let urls: Vec<String> = clips.iter().filter_map(|clip| clip["url"].as_str().map(str::to_owned)).collect();
    Ok((!urls.is_empty()).then_some(urls))
}

/// All of them, once each has pictures.
async fn take_all(admin: &Client, urls: &[String]) -> Result<Option<Vec<Served>>> {
    let mut served = Vec::new();
    for url in urls {
        let Some(clip) = take(admin, url).await? else { return Ok(None) };
        served.push(clip);
    }
    Ok(Some(served))
}

/// What there is of a clip; `None` where nothing is yet.
async fn take(admin: &Client, url: &str) -> Result<Option<Served>> {
    let answer = admin.fetch(url).await?;
    if !answer.status().is_success() {
        return Ok(None);
    }
    let from = answer.headers().get("gatehouse-from").and_then(|value| value.to_str().ok());
    let from = from.context("gatehouse-from")?.to_owned();
    let pictures = media(&answer.bytes().await?).context("a clip without pictures")?.to_vec();
    Ok(Some(Served { url: url.to_owned(), from, pictures }))
}

/// The bytes of a file's media box (ISO/IEC 14496-12 §8.1.1).
fn media(mut mp4: &[u8]) -> Option<&[u8]> {
    loop {
        let (size, _) = mp4.split_first_chunk::<4>()?;
        let size = u32::from_be_bytes(*size) as usize;
        let (found, rest) = mp4.split_at_checked(size.max(8))?;
        if found.get(4..8)? == b"mdat" {
            return found.get(8..);
        }
        mp4 = rest;
    }
}

impl Served {
    /// Takes it down again: it must begin where it began, with the same pictures.
    pub async fn again(&self, admin: &Client) -> Result<Taken> {
        let url = &self.url;
        let Some(now) = take(admin, url).await? else { return Ok(Taken::Torn(format!("{url}: is not served"))) };
        if now.from != self.from {
            return Ok(Taken::Torn(format!("{url}: begins at {}, not at {}", now.from, self.from)));
        }
        if !now.pictures.starts_with(&self.pictures) {
            let (is, was) = (now.pictures.len(), self.pictures.len());
            return Ok(Taken::Torn(format!("{url}: {is} bytes do not begin with the {was} that were served")));
        }
        Ok(Taken::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_of_a_file_is_found_behind_its_boxes() {
        let file = [&[0, 0, 0, 9][..], b"ftyp", b"x", &[0, 0, 0, 11], b"mdat", b"abc"].concat();
        assert_eq!(media(&file), Some(&b"abc"[..]));
        assert_eq!((media(&file[..15]), media(&[0, 0, 0, 0, 0, 0, 0, 0, 0])), (None, None));
    }
}
