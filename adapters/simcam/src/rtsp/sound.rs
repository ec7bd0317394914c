//! What a virtual camera hears: a beep that begins with every second of its clock, so that who records it can tell the time by ear.
//!
//! G.711 is made here. AAC is played from a file that lies beside (`beep_16k.aac`): no encoder of it is needed to run.

use bytes::Bytes;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How sound is coded on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundCoding {
    /// G.711 A-law, 8 kHz.
    ALaw,
    /// G.711 µ-law, 8 kHz.
    MuLaw,
    /// AAC-LC, 16 kHz, as RFC 3640 carries it.
    Aac,
}

/// How long the beep of each second lasts, ms.
pub const BEEP_MS: u64 = 100;
/// Its tone: eight samples a turn at 8 kHz.
const BEEP_HZ: f64 = 1_000.0;
/// Its height.
const BEEP: f64 = 8_000.0;
/// Eight seconds of the beep in AAC, 16 kHz: 125 frames of 64 ms, each after its length in two bytes. They follow each other in a
/// ring; the first begins with a second that eight divides. Made by FFmpeg 5.1 from this tone, its first frame (which holds what
/// was before) left out.
const AAC: &[u8] = include_bytes!("beep_16k.aac");
/// After a longer pause what was heard meanwhile is not sent.
const BEHIND_MAX: Duration = Duration::from_secs(1);

impl SoundCoding {
    /// Samples a second.
    pub fn rate(self) -> u32 {
        match self {
            SoundCoding::ALaw | SoundCoding::MuLaw => 8_000,
            SoundCoding::Aac => 16_000,
        }
    }

    /// Samples of a packet: 20 ms, or a frame of AAC.
    pub fn samples(self) -> u64 {
        match self {
            SoundCoding::ALaw | SoundCoding::MuLaw => 160,
            SoundCoding::Aac => 1_024,
        }
    }

    /// The payload type (RFC 3551 table 4).
    pub fn payload_type(self) -> u8 {
        match self {
            SoundCoding::MuLaw => 0,
            SoundCoding::ALaw => 8,
            SoundCoding::Aac => 97,
        }
    }

    /// The lines of a session description that name it.
    pub fn description(self) -> String {
        let kind = self.payload_type();
        match self {
            SoundCoding::MuLaw => format!("a=rtpmap:{kind} PCMU/8000\r\n"),
            SoundCoding::ALaw => format!("a=rtpmap:{kind} PCMA/8000\r\n"),
            // AAC-LC, index 8 (16 kHz), one channel.
            SoundCoding::Aac => format!(
                "a=rtpmap:{kind} mpeg4-generic/16000/1\r\na=fmtp:{kind} streamtype=5;profile-level-id=1;mode=AAC-hbr;\
                 sizelength=13;indexlength=3;indexdeltalength=3;config=1408\r\n"
            ),
        }
    }
}

/// One packet of sound.
#[derive(Debug, Clone)]
pub struct SoundFrame {
    /// The payload.
    pub payload: Bytes,
    /// When its first sample was heard, in samples since 1970.
    pub pts: u64,
    /// The same by the clock.
    pub captured: SystemTime,
}

/// A microphone: give it moments, take what was heard until then.
#[derive(Debug)]
pub struct Microphone {
    coding: SoundCoding,
    aac: Vec<Bytes>,
    /// Number of the next packet since 1970.
    next: u64,
}

impl Microphone {
    /// One that has heard nothing.
    pub fn new(coding: SoundCoding) -> Self {
        let mut rest = AAC;
        let aac = std::iter::from_fn(|| {
            let (length, frames) = rest.split_first_chunk::<2>()?;
            let (frame, after) = frames.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = after;
            Some(Bytes::from_static(frame))
        });
        Self { coding, aac: aac.collect(), next: 0 }
    }

    /// The packets that are whole at `now` and were not taken yet; after a pause only what is new.
    pub fn take(&mut self, now: SystemTime) -> Vec<SoundFrame> {
        let (rate, samples) = (u64::from(self.coding.rate()), self.coding.samples());
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let heard = (since.as_nanos() * u128::from(rate) / 1_000_000_000) as u64 / samples;
        let behind = BEHIND_MAX.as_secs() * rate / samples;
        if self.next + behind < heard || self.next > heard {
            self.next = heard;
        }
        let numbers = self.next..heard;
        self.next = heard;
        numbers.map(|n| self.frame(n)).collect()
    }

    fn frame(&self, n: u64) -> SoundFrame {
        let (rate, samples) = (u64::from(self.coding.rate()), self.coding.samples());
        let pts = n * samples;
        let payload = match self.coding {
            SoundCoding::ALaw => (pts..pts + samples).map(|at| a_law(beep(at, rate))).collect(),
            SoundCoding::MuLaw => (pts..pts + samples).map(|at| mu_law(beep(at, rate))).collect(),
            SoundCoding::Aac => {
                let frame = &self.aac[(n % self.aac.len() as u64) as usize];
                // One access unit: sixteen bits of headers, thirteen of them its size (RFC 3640 §3.3.6).
                let header = [0, 16, (frame.len() >> 5) as u8, (frame.len() << 3) as u8];
                Bytes::from([&header, &frame[..]].concat())
            }
        };
        let captured = UNIX_EPOCH + Duration::from_nanos((u128::from(pts) * 1_000_000_000 / u128::from(rate)) as u64);
        SoundFrame { payload, pts, captured }
    }
}

/// The sample of this number since 1970.
fn beep(at: u64, rate: u64) -> i16 {
    let within = at % rate;
    if within * 1_000 >= BEEP_MS * rate {
        return 0;
    }
    ((within as f64 * std::f64::consts::TAU * BEEP_HZ / rate as f64).sin() * BEEP) as i16
}

/// Linear to A-law (ITU-T G.711).
fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, i32::from(sample)) } else { (0, -i32::from(sample) - 1) };
    let magnitude = magnitude.min(32_767);
    let exponent = (magnitude >> 8).checked_ilog2().map_or(0, |log| log + 1);
    let mantissa = magnitude >> if exponent == 0 { 4 } else { exponent + 3 } & 0x0F;
    (sign | (exponent as u8) << 4 | mantissa as u8) ^ 0x55
}

/// Linear to µ-law (ITU-T G.711).
fn mu_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0, i32::from(sample)) } else { (0x80, -i32::from(sample)) };
    let magnitude = magnitude.min(32_635) + 0x84;
    let exponent = magnitude.ilog2() - 7;
    let mantissa = magnitude >> (exponent + 3) & 0x0F;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beep_begins_with_the_second_and_no_packet_is_left_out() {
        let mut microphone = Microphone::new(SoundCoding::ALaw);
        let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(1_795_000_000_000 + ms);
        assert_eq!(microphone.take(at(0)).len(), 0, "what was before it was switched on is not heard");
        let heard: Vec<_> = [35, 70, 900, 2_000].into_iter().flat_map(|ms| microphone.take(at(ms))).collect();
        let bytes: Vec<u8> = heard.iter().flat_map(|frame| frame.payload.to_vec()).collect();
        // From 900 ms to two seconds is more than a second: those are gone.
        assert_eq!(bytes.len(), 900 * 8 / 160 * 160);
        let loud = |byte: &u8| ![0xD5, 0x55].contains(byte);
        assert!(bytes[..800].iter().filter(|byte| loud(byte)).count() >= 590);
        assert!(!bytes[800..].iter().any(loud));
        assert!(heard.windows(2).all(|pair| pair[1].pts == pair[0].pts + 160));
    }

    #[test]
    fn the_aac_ring_is_eight_seconds() {
        assert_eq!(Microphone::new(SoundCoding::Aac).aac.len(), 125);
    }

    #[test]
    fn the_laws_give_the_bytes_of_the_standard() {
        assert_eq!([0, 8, 32_256, -32_256].map(a_law), [0xD5, 0xD5, 0xAA, 0x2A]);
        assert_eq!([0, 32_124, -32_124].map(mu_law), [0xFF, 0x80, 0x00]);
    }
}
