//! Reading back what is whole in a segment, whatever its bytes say.

use super::audio::{is_audio, is_whole};
use super::{AudioScan, PICTURE, SOUND, SampleRef, Scan};
use mp4_atom::{Codec, Decode, Moov};
use std::io::{self, Read, Seek, SeekFrom};

/// Largest `moov` or `moof` read: a real one is a few kilobytes.
const HEADER_MAX: u64 = 4 << 20;

/// The samples of a part, and where they must not begin before.
#[derive(Default)]
struct Lane {
    samples: Vec<SampleRef>,
    next_dts: u64,
}

/// A lane for the picture and one for the sound.
#[derive(Default)]
struct Part {
    pictures: Lane,
    audio: Lane,
}

/// Reads what is whole in a segment; `None` when not even the initial boxes are. Never fails on what bytes say.
///
/// With `verify`, the lengths inside each picture must add up too: after a power cut a file may end in blocks of zeros.
pub fn scan<F: Read + Seek>(file: &mut F, verify: bool) -> io::Result<Option<Scan>> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut codecs: Option<(Codec, Option<Codec>)> = None;
    let mut found = Part::default();
    let mut valid_len = 0;
    while let Some((kind, size)) = header(file, at, len)? {
        match &kind {
            b"moov" if codecs.is_none() && size <= HEADER_MAX => {
                let bytes = read_at(file, at, size)?;
                codecs = Moov::decode(&mut bytes.as_slice()).ok().and_then(entries_of);
                if codecs.is_none() {
                    break;
                }
                valid_len = at + size;
            }
            b"moof" if codecs.is_some() && size <= HEADER_MAX => {
                let Some((b"mdat", mdat)) = header(file, at + size, len)?.as_ref().map(|(kind, size)| (kind, *size))
                else {
                    break;
                };
                let bytes = read_at(file, at, size)?;
                let media = (at + size + 8)..(at + size + mdat);
                let Some(part) = read_part(&bytes[8..], at, &media, &found) else { break };
                let entry = codecs.as_ref().and_then(|(_, audio)| audio.as_ref());
                if verify && !(whole(file, &part.pictures.samples)? && sounds(file, &part.audio.samples, entry)?) {
                    break;
                }
                found.pictures.extend(part.pictures);
                found.audio.extend(part.audio);
                at += size + mdat;
                valid_len = at;
                continue;
            }
            b"moov" | b"moof" | b"mdat" => break,
            _ => {}
        }
        at += size;
    }
    Ok(codecs.map(|(codec, audio)| Scan {
        codec,
        samples: found.pictures.samples,
        audio: audio.map(|codec| AudioScan { codec, samples: found.audio.samples }),
        valid_len,
    }))
}

impl Lane {
    fn extend(&mut self, part: Lane) {
        self.next_dts = part.next_dts;
        self.samples.extend(part.samples);
    }
}

/// Kind and size of the box at `at`, when all of it lies within `len`.
fn header<F: Read + Seek>(file: &mut F, at: u64, len: u64) -> io::Result<Option<([u8; 4], u64)>> {
    if len.saturating_sub(at) < 8 {
        return Ok(None);
    }
    let bytes = read_at(file, at, 8)?;
    let word = |i: usize| [bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]];
    let size = u64::from(u32::from_be_bytes(word(0)));
    // Sizes 0 (to the end) and 1 (64 bits) are never written here.
    Ok((size >= 8 && size <= len - at).then(|| (word(4), size)))
}

fn read_at<F: Read + Seek>(file: &mut F, at: u64, size: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; size as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The sample entry of the picture, and of the sound where there is a second track.
fn entries_of(moov: Moov) -> Option<(Codec, Option<Codec>)> {
    let mut entries = moov.trak.into_iter().map(|trak| trak.mdia.minf.stbl.stsd.codecs.into_iter().next());
    let picture = entries.next()??;
    let audio = match entries.next() {
        Some(entry) => Some(entry.filter(is_audio)?),
        None => None,
    };
    matches!(picture, Codec::Avc1(_) | Codec::Hvc1(_)).then_some((picture, audio))
}

/// Whether the lengths inside each picture lead exactly to its end.
fn whole<F: Read + Seek>(file: &mut F, part: &[SampleRef]) -> io::Result<bool> {
    for sample in part {
        let mut at = 0;
        while at < u64::from(sample.size) {
            if u64::from(sample.size) - at < 5 {
                return Ok(false);
            }
            let bytes = read_at(file, sample.offset + at, 4)?;
            let nal = u64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            if nal == 0 || nal > u64::from(sample.size) - at - 4 {
                return Ok(false);
            }
            at += 4 + nal;
        }
    }
    Ok(true)
}

/// Whether every frame of audio is one from its first byte to its last.
fn sounds<F: Read + Seek>(file: &mut F, part: &[SampleRef], entry: Option<&Codec>) -> io::Result<bool> {
    for sample in part {
        let frame = read_at(file, sample.offset, u64::from(sample.size))?;
        if !entry.is_some_and(|entry| is_whole(entry, &frame)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A cursor over bytes that may be anything.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn u32(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// The next box: kind and body.
    fn child(&mut self) -> Option<([u8; 4], Words<'a>)> {
        let size = self.u32()? as usize;
        let (kind, _) = self.0.split_first_chunk::<4>()?;
        let body = self.0.get(4..size.checked_sub(4)?)?;
        self.0 = &self.0[size - 4..];
        Some((*kind, Words(body)))
    }
}

/// What a `moof` body holds, when all of it lies inside `media` and its times do not go back before `found`.
fn read_part(body: &[u8], moof_at: u64, media: &std::ops::Range<u64>, found: &Part) -> Option<Part> {
    let mut boxes = Words(body);
    let lane = |known: &Lane| Lane { samples: Vec::new(), next_dts: known.next_dts };
    let mut part = Part { pictures: lane(&found.pictures), audio: lane(&found.audio) };
    while let Some((kind, traf)) = boxes.child() {
        if &kind == b"traf" {
            read_fragment(traf, moof_at, media, &mut part)?;
        }
    }
    (!part.pictures.samples.is_empty() || !part.audio.samples.is_empty()).then_some(part)
}

/// Adds the samples of one track's fragment to its lane.
fn read_fragment(mut traf: Words<'_>, moof_at: u64, media: &std::ops::Range<u64>, part: &mut Part) -> Option<()> {
    let (mut base, mut lane) = (None, None);
    while let Some((kind, mut body)) = traf.child() {
        match &kind {
            b"tfhd" => {
                let _flags = body.u32()?;
                lane = match body.u32()? {
                    PICTURE => Some(&mut part.pictures),
                    SOUND => Some(&mut part.audio),
                    _ => return None,
                };
            }
            b"tfdt" => {
                let dts = match body.u32()? >> 24 {
                    0 => u64::from(body.u32()?),
                    _ => u64::from(body.u32()?) << 32 | u64::from(body.u32()?),
                };
                // A thousand years; keeps every later sum inside i64.
                if dts > 1 << 52 {
                    return None;
                }
                base = Some(dts);
            }
            b"trun" => read_run(body, base.take()?, moof_at, media, lane.as_deref_mut()?)?,
            _ => {}
        }
    }
    Some(())
}

/// Adds the samples of a run that begins at `dts`.
fn read_run(
    mut body: Words<'_>,
    mut dts: u64,
    moof_at: u64,
    media: &std::ops::Range<u64>,
    lane: &mut Lane,
) -> Option<()> {
    if dts < lane.next_dts || body.u32()? != 0x0100_0f01 {
        return None;
    }
    let count = body.u32()? as usize;
    let mut offset = moof_at.checked_add(u64::from(body.u32()?))?;
    if count > body.0.len() / 16 {
        return None;
    }
    for _ in 0..count {
        let (duration, size, flags, composition) = (body.u32()?, body.u32()?, body.u32()?, body.u32()?);
        let end = offset.checked_add(u64::from(size))?;
        if offset < media.start || end > media.end || size == 0 {
            return None;
        }
        let key = flags & 0x0001_0000 == 0;
        lane.samples.push(SampleRef { dts, composition: composition as i32, duration, offset, size, key });
        lane.next_dts = dts.checked_add(1)?;
        dts = dts.checked_add(u64::from(duration))?;
        offset = end;
    }
    Some(())
}
