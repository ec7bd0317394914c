//! What a camera hears: encoded audio with its place in time, in a coding that every player takes.
//!
//! ```text
//!  AAC ────────────────────────────────────────────▶ as the camera sent it
//!  G.711 A-law, µ-law, L16 ─▶ linear PCM ─▶ FLAC ───▶ every value as it was
//! ```
//! No browser plays G.711 out of an MP4 (media source extensions take AAC, FLAC, Opus and MP3), and a clip that is exported is
//! opened by whatever the police have. FLAC keeps every value that G.711 can express, is a standard sample entry (`fLaC`) for
//! browsers, FFmpeg and GStreamer alike, and costs some microseconds a packet: so it is written once, and segments, clips and
//! replay are the same bytes.

pub mod aac;
pub mod flac;
pub mod g711;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// How to decode audio: what the sample entry of an MP4 needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// RFC 6381 name: `mp4a.40.2` or `flac`.
    pub codec: String,
    /// AudioSpecificConfig of AAC, STREAMINFO of FLAC.
    pub description: Bytes,
    /// Samples a second of each channel.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
}

impl AudioConfig {
    /// Whether it is FLAC.
    pub fn is_flac(&self) -> bool {
        self.codec == "flac"
    }
}

/// One encoded frame.
#[derive(Debug, Clone)]
pub struct AudioFrame {
    /// One AAC access unit or FLAC frame.
    pub data: Bytes,
    /// When the camera heard its first sample, on our clock.
    pub captured: Timestamp,
    /// How many samples of each channel it holds.
    pub samples: u32,
    /// How to decode it; the same `Arc` until parameters change.
    pub config: Arc<AudioConfig>,
}

impl AudioFrame {
    /// How long it sounds, ticks of 1/90 000 s.
    pub fn ticks(&self) -> u32 {
        ticks_of(self.samples, self.config.rate)
    }

    /// When its last sample ends.
    pub fn ends(&self) -> Timestamp {
        let lasts = i64::from(self.samples) * 1_000_000 / i64::from(self.config.rate.max(1));
        self.captured.saturating_add(SignedDuration::from_micros(lasts)).unwrap_or(self.captured)
    }
}

/// How long so many samples sound, ticks of 1/90 000 s, rounded.
pub fn ticks_of(samples: u32, rate: u32) -> u32 {
    let (samples, rate) = (u64::from(samples), u64::from(rate.max(1)));
    ((samples * 90_000 + rate / 2) / rate).min(u64::from(u32::MAX)) as u32
}
