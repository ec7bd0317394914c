//! Our decoders beside another program's: of the same stream, the same pictures to the last bit.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use gatehouse_vision::decode::{Any, Decoder as _};
use gatehouse_vision::hub::{AccessUnit, StreamConfig};
use jiff::Timestamp;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// A film of a moving test card: how it is coded, its size, bits a sample.
struct Film {
    coding: &'static [&'static str],
    size: (usize, usize),
    depth: u8,
}

const H264_CAMERA: Film = Film {
    coding: &["-c:v", "libx264", "-profile:v", "high", "-bf", "0", "-g", "12", "-pix_fmt", "yuv420p"],
    size: (322, 182),
    depth: 8,
};
const H264_BASELINE: Film = Film {
    coding: &["-c:v", "libx264", "-profile:v", "baseline", "-g", "12", "-slices", "3", "-pix_fmt", "yuv420p"],
    size: (320, 240),
    depth: 8,
};
const H265_CAMERA: Film = Film {
    coding: &["-c:v", "libx265", "-x265-params", "bframes=0:keyint=12:log-level=none", "-pix_fmt", "yuv420p"],
    size: (322, 182),
    depth: 8,
};
const H265_TEN_BITS: Film = Film {
    coding: &["-c:v", "libx265", "-x265-params", "bframes=0:keyint=12:log-level=none", "-pix_fmt", "yuv420p10le"],
    size: (256, 144),
    depth: 10,
};
const H264_B_FRAMES: Film = Film {
    coding: &["-c:v", "libx264", "-profile:v", "main", "-bf", "2", "-g", "12", "-pix_fmt", "yuv420p"],
    size: (256, 144),
    depth: 8,
};
const H265_B_FRAMES: Film = Film {
    coding: &["-c:v", "libx265", "-x265-params", "bframes=2:keyint=12:log-level=none", "-pix_fmt", "yuv420p"],
    size: (256, 144),
    depth: 8,
};

const PICTURES: usize = 36;

impl Film {
    /// Makes the film and decodes it with ffmpeg: the file, and its luma planes in the order they are shown.
    fn shoot(&self, dir: &Path) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
        let file = dir.join("film.mp4");
        let (width, height) = self.size;
        let card = format!("testsrc2=size={width}x{height}:rate=12:duration=3");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi", "-i", &card])
            .args(self.coding)
            .arg(&file)
            .output()?;
        ensure!(made.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&made.stderr));
        let raw = if self.depth > 8 { "yuv420p10le" } else { "yuv420p" };
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&file)
            .args(["-f", "rawvideo", "-pix_fmt", raw, "-"])
            .output()?;
        ensure!(decoded.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&decoded.stderr));
        let bytes = if self.depth > 8 { 2 } else { 1 };
        let (luma, picture) =
            (width * height * bytes, (width * height + 2 * width.div_ceil(2) * height.div_ceil(2)) * bytes);
        let plane = |planes: &[u8]| match bytes {
            1 => planes[..luma].to_vec(),
            _ => planes[..luma]
                .chunks(2)
                .map(|two| (u16::from_le_bytes([two[0], two[1]]) >> (self.depth - 8)) as u8)
                .collect(),
        };
        Ok((std::fs::read(&file)?, decoded.stdout.chunks(picture).map(plane).collect()))
    }
}

/// The film as a camera would send it.
fn units(film: &Film, file: &[u8]) -> Result<Vec<AccessUnit>> {
    let (kind, codec): (&[u8; 4], _) = match film.coding[1] {
        "libx264" => (b"avcC", "avc1.64001f"),
        _ => (b"hvcC", "hvc1.1.6.L93.90"),
    };
    let at = file.windows(4).position(|word| word == kind).context("a decoder configuration")?;
    let size = u32::from_be_bytes(file[at - 4..at].try_into()?) as usize;
    let description = Bytes::copy_from_slice(&file[at + 4..at - 4 + size]);
    let (width, height) = (film.size.0 as u32, film.size.1 as u32);
    let config = Arc::new(StreamConfig { codec: codec.into(), description, width, height });
    let mp4 = re_mp4::Mp4::read_bytes(file)?;
    let track = mp4.tracks().values().next().context("a track")?;
    let unit = |(n, sample): (usize, &re_mp4::Sample)| AccessUnit {
        data: Bytes::copy_from_slice(&file[sample.offset as usize..(sample.offset + sample.size) as usize]),
        key: sample.is_sync,
        captured: Timestamp::from_millisecond(n as i64 + 1).unwrap_or_default(),
        pts: n as i64,
        received: Instant::now(),
        config: config.clone(),
    };
    Ok(track.samples.iter().enumerate().map(unit).collect())
}

/// What our decoder makes of it: luma planes, in the order they come.
fn ours(film: &Film, file: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut decoder = Any::default();
    let mut seen = Vec::new();
    for unit in units(film, file)? {
        if let Some(frame) = decoder.decode(&unit)? {
            ensure!((frame.width() as usize, frame.height() as usize) == film.size, "the shown part");
            seen.push(frame.luma().data().to_vec());
        }
    }
    Ok(seen)
}

fn has_ffmpeg() -> Result<bool> {
    if Command::new("ffmpeg").arg("-version").output().is_ok() {
        return Ok(true);
    }
    ensure!(std::env::var_os("CI").is_none(), "ffmpeg is not installed: see .ci/run");
    eprintln!("skipped: ffmpeg is not installed");
    Ok(false)
}

#[test]
fn streams_of_cameras_decode_to_the_same_bits_picture_by_picture() -> Result<()> {
    if !has_ffmpeg()? {
        return Ok(());
    }
    for film in [H264_CAMERA, H264_BASELINE, H265_CAMERA, H265_TEN_BITS] {
        let dir = tempfile::tempdir()?;
        let (file, theirs) = film.shoot(dir.path())?;
        let ours = ours(&film, &file)?;
        ensure!(
            (ours.len(), theirs.len()) == (PICTURES, PICTURES),
            "{:?}: {} and {}",
            film.coding,
            ours.len(),
            theirs.len()
        );
        for (n, (our, their)) in ours.iter().zip(&theirs).enumerate() {
            ensure!(our == their, "{:?}: picture {n} differs", film.coding);
        }
    }
    Ok(())
}

/// The two sets of decoders beside each other, where the program was built with both.
#[cfg(feature = "ffmpeg")]
#[test]
fn ffmpeg_and_rust_decode_to_the_same_bits() -> Result<()> {
    use gatehouse_vision::decode::{Ffmpeg, Pure};
    if !has_ffmpeg()? {
        return Ok(());
    }
    for film in [H264_CAMERA, H264_BASELINE, H265_CAMERA, H265_TEN_BITS] {
        let dir = tempfile::tempdir()?;
        let (file, _) = film.shoot(dir.path())?;
        let (mut fast, mut pure) = (Ffmpeg::new(), Pure::default());
        for (n, unit) in units(&film, &file)?.iter().enumerate() {
            let (a, b) = (fast.decode(unit)?.context("FFmpeg")?, pure.decode(unit)?.context("Rust")?);
            ensure!(a.luma().data() == b.luma().data(), "{:?}: picture {n} differs", film.coding);
            ensure!(a.pts() == b.pts(), "{:?}: picture {n} has another time", film.coding);
        }
    }
    Ok(())
}

#[test]
fn streams_with_b_frames_give_pictures_that_are_all_of_the_film() -> Result<()> {
    if !has_ffmpeg()? {
        return Ok(());
    }
    for film in [H264_B_FRAMES, H265_B_FRAMES] {
        let dir = tempfile::tempdir()?;
        let (file, theirs) = film.shoot(dir.path())?;
        let ours = ours(&film, &file)?;
        // Pictures that come several at a time give way to the newest.
        ensure!(ours.len() >= PICTURES / 2, "{:?}: {} of {PICTURES} pictures", film.coding, ours.len());
        let strange = ours.iter().filter(|our| !theirs.contains(our)).count();
        ensure!(strange == 0, "{:?}: {strange} of {} pictures are not of the film", film.coding, ours.len());
    }
    Ok(())
}
