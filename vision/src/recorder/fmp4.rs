//! Fragmented MP4 (ISO/IEC 14496-12): the initial boxes, one part (`moof` + `mdat`) at a time, and reading back what is whole.
//!
//! ```text
//!  ftyp moov │ moof mdat │ moof mdat │ … │ moof md✂      the torn tail of a crash is not part of the segment
//! ```
//! Standard tools play a segment as it is. A scan reads `moof` boxes only and stops at the first thing that is not whole.

use crate::hub::StreamConfig;
use mp4_atom::{Atom, Decode, Dinf, Dref, DrefEntry, Edts, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov};
use mp4_atom::{Avc1, Avcc, Codec, Hvc1, Hvcc, Visual};
use mp4_atom::{Mvex, Mvhd, Stbl, Stco, Stsc, Stsd, Stts, Tkhd, Trak, Trex, Url, Vmhd};
use std::io::{self, Read, Seek, SeekFrom};

/// Ticks per second of every file: RTP's for video, so nothing is rounded.
pub const TIMESCALE: u32 = 90_000;
/// Largest `moov` or `moof` read: a real one is a few kilobytes.
const HEADER_MAX: u64 = 4 << 20;
/// Sample flags: depends on no other / depends on others and is no sync sample.
const KEY_FLAGS: u32 = 0x0200_0000;
const DELTA_FLAGS: u32 = 0x0101_0000;

/// Why boxes could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// The stream's parameters are no `avcC` or `hvcC`.
    #[error("the parameters of codec {codec} are not readable; the stream cannot be recorded")]
    Parameters {
        /// The codec's name.
        codec: String,
        /// What the reader said.
        source: mp4_atom::Error,
    },
    /// The codec has no place in an MP4.
    #[error("codec {0} cannot be recorded; set the camera to H.264 or H.265")]
    Codec(String),
    /// Boxes could not be encoded.
    #[error("the header of a video file could not be written")]
    Encode(#[from] mp4_atom::Error),
}

/// A picture to write.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The access unit, 4-byte lengths.
    pub data: &'a [u8],
    /// Decoding time from the segment's start, ticks.
    pub dts: u64,
    /// Presentation minus decoding time, ticks; below zero where B-frames were reordered.
    pub composition: i32,
    /// Ticks until the next one.
    pub duration: u32,
    /// Whether decoding may start here.
    pub key: bool,
}

/// A picture in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRef {
    /// Decoding time from the segment's start, ticks.
    pub dts: u64,
    /// Presentation minus decoding time, ticks.
    pub composition: i32,
    /// Ticks until the next one, as was known when it was written.
    pub duration: u32,
    /// Where its bytes are.
    pub offset: u64,
    /// How many there are.
    pub size: u32,
    /// Whether decoding may start here.
    pub key: bool,
}

impl SampleRef {
    /// Presentation time from the segment's start, ticks.
    pub fn pts(&self) -> i64 {
        self.dts as i64 + i64::from(self.composition)
    }
}

/// What is whole in a segment.
#[derive(Debug, Clone)]
pub struct Scan {
    /// How to decode it.
    pub codec: Codec,
    /// Its pictures, in decoding order.
    pub samples: Vec<SampleRef>,
    /// Bytes up to the end of the last whole part.
    pub valid_len: u64,
}

/// The sample entry of a stream.
pub fn sample_entry(config: &StreamConfig) -> Result<Codec, Mp4Error> {
    let visual = Visual {
        data_reference_index: 1,
        width: config.width.min(u32::from(u16::MAX)) as u16,
        height: config.height.min(u32::from(u16::MAX)) as u16,
        ..Visual::default()
    };
    let unreadable = |source| Mp4Error::Parameters { codec: config.codec.clone(), source };
    let mut body: &[u8] = &config.description;
    match config.codec.get(..4) {
        Some("avc1" | "avc3") => {
            let avcc = Avcc::decode_body(&mut body).map_err(unreadable)?;
            Ok(Avc1 { visual, avcc, ..Avc1::default() }.into())
        }
        Some("hvc1" | "hev1") => {
            let hvcc = Hvcc::decode_body(&mut body).map_err(unreadable)?;
            Ok(Hvc1 { visual, hvcc, ..Hvc1::default() }.into())
        }
        _ => Err(Mp4Error::Codec(config.codec.clone())),
    }
}

/// Width and height of a sample entry.
fn size_of(codec: &Codec) -> (u16, u16) {
    match codec {
        Codec::Avc1(entry) => (entry.visual.width, entry.visual.height),
        Codec::Hvc1(entry) => (entry.visual.width, entry.visual.height),
        _ => (0, 0),
    }
}

/// The RFC 6381 name of a sample entry, e.g. `avc1.42c00d`; empty for one that is never recorded.
pub fn codec_name(codec: &Codec) -> String {
    match codec {
        Codec::Avc1(Avc1 { avcc, .. }) => {
            let (profile, level) = (avcc.avc_profile_indication, avcc.avc_level_indication);
            format!("avc1.{profile:02x}{:02x}{level:02x}", avcc.profile_compatibility)
        }
        // ISO/IEC 14496-15, annex E.3: profile, compatibility bits in reverse, tier and level, constraints without the
        // zeros at their end.
        Codec::Hvc1(Hvc1 { hvcc, .. }) => {
            let space = ["", "A", "B", "C"][usize::from(hvcc.general_profile_space & 3)];
            let compatible = u32::from_be_bytes(hvcc.general_profile_compatibility_flags).reverse_bits();
            let tier = if hvcc.general_tier_flag { 'H' } else { 'L' };
            let constraints = hvcc.general_constraint_indicator_flags;
            let kept = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let constraints: String = constraints[..kept].iter().map(|byte| format!(".{byte:X}")).collect();
            let (profile, level) = (hvcc.general_profile_idc, hvcc.general_level_idc);
            format!("hvc1.{space}{profile}.{compatible:X}.{tier}{level}{constraints}")
        }
        _ => String::new(),
    }
}

/// `ftyp` and `moov` of a segment without pictures yet.
pub fn init(config: &StreamConfig) -> Result<Vec<u8>, Mp4Error> {
    init_of(sample_entry(config)?)
}

/// The same for a sample entry that was read from a segment.
pub fn init_of(codec: Codec) -> Result<Vec<u8>, Mp4Error> {
    let stbl = Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() };
    let mut moov = movie(stbl, 0, None);
    moov.mvex = Some(Mvex {
        mehd: None,
        trex: vec![Trex { track_id: 1, default_sample_description_index: 1, ..Trex::default() }],
    });
    let mut bytes = Vec::with_capacity(1024);
    file_type(b"iso5", &[b"iso5", b"iso6", b"mp41"]).encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes)
}

/// The file type box.
pub(super) fn file_type(major: &[u8; 4], compatible: &[&[u8; 4]]) -> Ftyp {
    Ftyp {
        major_brand: FourCC::new(major),
        minor_version: 512,
        compatible_brands: compatible.iter().map(|brand| FourCC::new(brand)).collect(),
    }
}

/// A `moov` of one video track; `duration` in ticks, `edit` for what of it is shown.
pub(super) fn movie(stbl: Stbl, duration: u64, edit: Option<Edts>) -> Moov {
    let (width, height) = stbl.stsd.codecs.first().map(size_of).unwrap_or_default();
    let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } };
    let shown = edit
        .as_ref()
        .and_then(|e| e.elst.as_ref())
        .map_or(duration, |list| list.entries.iter().map(|entry| entry.segment_duration).sum());
    Moov {
        mvhd: Mvhd {
            creation_time: 0,
            modification_time: 0,
            timescale: TIMESCALE,
            duration: shown,
            rate: 1.into(),
            volume: 1.into(),
            matrix: Default::default(),
            next_track_id: 2,
        },
        trak: vec![Trak {
            tkhd: Tkhd {
                track_id: 1,
                duration: shown,
                enabled: true,
                in_movie: true,
                width: width.into(),
                height: height.into(),
                ..Tkhd::default()
            },
            edts: edit,
            mdia: Mdia {
                mdhd: Mdhd { timescale: TIMESCALE, duration, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "video".into() },
                minf: Minf { vmhd: Some(Vmhd::default()), dinf, stbl, ..Minf::default() },
            },
            ..Trak::default()
        }],
        ..Moov::default()
    }
}

/// `moof` and `mdat` of a run of pictures; `sequence` counts parts from 1. `samples` must not be empty.
pub fn part(sequence: u32, samples: &[Sample<'_>]) -> Vec<u8> {
    let payload: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let moof_size = 8 + 16 + (8 + 16 + 20 + 20 + 16 * samples.len());
    let mut out = Vec::with_capacity(moof_size + 8 + payload);
    let mut put = |words: &[u32]| words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    let name = |name: &[u8; 4]| u32::from_be_bytes(*name);

    let base = samples.first().map_or(0, |sample| sample.dts);
    put(&[moof_size as u32, name(b"moof")]);
    put(&[16, name(b"mfhd"), 0, sequence]);
    put(&[(moof_size - 24) as u32, name(b"traf")]);
    put(&[16, name(b"tfhd"), 0x02_0000, 1]); // offsets count from the moof
    put(&[20, name(b"tfdt"), 0x0100_0000, (base >> 32) as u32, base as u32]);
    // Version 1 (signed composition), with data offset, durations, sizes, flags, compositions.
    put(&[(20 + 16 * samples.len()) as u32, name(b"trun"), 0x0100_0f01, samples.len() as u32, (moof_size + 8) as u32]);
    for sample in samples {
        let flags = if sample.key { KEY_FLAGS } else { DELTA_FLAGS };
        put(&[sample.duration, sample.data.len() as u32, flags, sample.composition as u32]);
    }
    put(&[(8 + payload) as u32, name(b"mdat")]);
    for sample in samples {
        out.extend_from_slice(sample.data);
    }
    out
}

/// Reads what is whole in a segment; `None` when not even the initial boxes are. Never fails on what bytes say.
///
/// With `verify`, the lengths inside each picture must add up too: after a power cut a file may end in blocks of zeros.
pub fn scan<F: Read + Seek>(file: &mut F, verify: bool) -> io::Result<Option<Scan>> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut codec = None;
    let mut samples = Vec::new();
    let mut valid_len = 0;
    let mut next_dts = 0;
    while let Some((kind, size)) = header(file, at, len)? {
        match &kind {
            b"moov" if codec.is_none() && size <= HEADER_MAX => {
                let bytes = read_at(file, at, size)?;
                codec = Moov::decode(&mut bytes.as_slice()).ok().and_then(entry_of);
                if codec.is_none() {
                    break;
                }
                valid_len = at + size;
            }
            b"moof" if codec.is_some() && size <= HEADER_MAX => {
                let Some((b"mdat", mdat)) = header(file, at + size, len)?.as_ref().map(|(kind, size)| (kind, *size))
                else {
                    break;
                };
                let bytes = read_at(file, at, size)?;
                let media = (at + size + 8)..(at + size + mdat);
                let Some(part) = read_part(&bytes[8..], at, &media, next_dts) else { break };
                if verify && !whole(file, &part)? {
                    break;
                }
                next_dts = part.last().map_or(next_dts, |sample| sample.dts + 1);
                samples.extend(part);
                at += size + mdat;
                valid_len = at;
                continue;
            }
            b"moov" | b"moof" | b"mdat" => break,
            _ => {}
        }
        at += size;
    }
    Ok(codec.map(|codec| Scan { codec, samples, valid_len }))
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

fn entry_of(moov: Moov) -> Option<Codec> {
    let codec = moov.trak.into_iter().next()?.mdia.minf.stbl.stsd.codecs.into_iter().next()?;
    matches!(codec, Codec::Avc1(_) | Codec::Hvc1(_)).then_some(codec)
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

/// The pictures of a `moof` body, when all lie inside `media` and their times do not go back before `next_dts`.
fn read_part(body: &[u8], moof_at: u64, media: &std::ops::Range<u64>, next_dts: u64) -> Option<Vec<SampleRef>> {
    let mut boxes = Words(body);
    let mut samples = Vec::new();
    while let Some((kind, mut traf)) = boxes.child() {
        if &kind != b"traf" {
            continue;
        }
        let mut base = None;
        while let Some((kind, mut body)) = traf.child() {
            match &kind {
                b"tfdt" => {
                    let dts = match body.u32()? >> 24 {
                        0 => u64::from(body.u32()?),
                        _ => u64::from(body.u32()?) << 32 | u64::from(body.u32()?),
                    };
                    let least = samples.last().map_or(next_dts, |sample: &SampleRef| sample.dts + 1);
                    // A thousand years; keeps every later sum inside i64.
                    if dts < least || dts > 1 << 52 {
                        return None;
                    }
                    base = Some(dts);
                }
                b"trun" => {
                    if body.u32()? != 0x0100_0f01 {
                        return None;
                    }
                    let count = body.u32()? as usize;
                    let mut dts = base.take()?;
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
                        samples.push(SampleRef {
                            dts,
                            composition: composition as i32,
                            duration,
                            offset,
                            size,
                            key: flags & 0x0001_0000 == 0,
                        });
                        dts = dts.checked_add(u64::from(duration))?;
                        offset = end;
                    }
                }
                _ => {}
            }
        }
    }
    (!samples.is_empty()).then_some(samples)
}

/// Empty tables with one sample entry each: what the clip writer fills.
pub(super) fn tables(codecs: Vec<Codec>) -> Stbl {
    Stbl { stsd: Stsd { codecs }, stts: Stts::default(), stsc: Stsc::default(), ..Stbl::default() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// Parameter sets of a 320×240 stream, as x264 writes them.
    pub(crate) fn config() -> StreamConfig {
        const SPS: &[u8] = &[
            0x67, 0x42, 0xC0, 0x0D, 0xD9, 0x01, 0x41, 0xFB, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0x20, 0xF1, 0x42,
            0x99, 0x20,
        ];
        const PPS: &[u8] = &[0x68, 0xCB, 0x83, 0xCB, 0x20];
        let mut description = vec![1, 0x42, 0xC0, 0x0D, 0xFF, 0xE1, 0, SPS.len() as u8];
        description.extend_from_slice(SPS);
        description.extend_from_slice(&[1, 0, PPS.len() as u8]);
        description.extend_from_slice(PPS);
        StreamConfig { codec: "avc1.42c00d".into(), description: Bytes::from(description), width: 320, height: 240 }
    }

    /// A picture whose lengths add up and whose content names it.
    pub(crate) fn picture(index: u32, key: bool) -> Vec<u8> {
        let body = 20 + index as usize % 13;
        let mut data = (body as u32).to_be_bytes().to_vec();
        data.push(if key { 0x65 } else { 0x41 });
        data.extend_from_slice(&index.to_be_bytes());
        data.resize(4 + body, 0xAA);
        data
    }

    /// A segment of `count` pictures at 25 fps, five to a part, a key frame every ten.
    fn segment(count: u32) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = init(&config()).unwrap();
        let mut ends = vec![bytes.len()];
        let pictures: Vec<_> = (0..count).map(|i| picture(i, i % 10 == 0)).collect();
        for (n, chunk) in pictures.chunks(5).enumerate() {
            let samples: Vec<_> = chunk
                .iter()
                .enumerate()
                .map(|(i, data)| {
                    let index = n * 5 + i;
                    Sample { data, dts: index as u64 * 3600, composition: 0, duration: 3600, key: index % 10 == 0 }
                })
                .collect();
            bytes.extend(part(n as u32 + 1, &samples));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn scanned(bytes: &[u8]) -> Option<Scan> {
        scan(&mut Cursor::new(bytes), true).expect("memory does not fail")
    }

    #[test]
    fn a_segment_reads_back() {
        let (bytes, _) = segment(23);
        let scan = scanned(&bytes).unwrap();
        assert_eq!(scan.valid_len as usize, bytes.len());
        assert_eq!(scan.samples.len(), 23);
        for (i, sample) in scan.samples.iter().enumerate() {
            assert_eq!((sample.dts, sample.key), (i as u64 * 3600, i % 10 == 0));
            let range = sample.offset as usize..sample.offset as usize + sample.size as usize;
            assert_eq!(bytes[range], picture(i as u32, i % 10 == 0));
        }
        let Codec::Avc1(entry) = scan.codec else { panic!("avc1") };
        assert_eq!((entry.visual.width, entry.visual.height), (320, 240));
    }

    #[test]
    fn the_name_of_what_was_recorded_is_the_streams() {
        let config = config();
        assert_eq!(codec_name(&sample_entry(&config).unwrap()), config.codec);
        // Main profile, level 4.0, as cameras send it.
        let hvcc = Hvcc {
            general_profile_idc: 1,
            general_profile_compatibility_flags: [0x60, 0, 0, 0],
            general_constraint_indicator_flags: [0xB0, 0, 0, 0, 0, 0],
            general_level_idc: 120,
            ..Hvcc::new()
        };
        assert_eq!(codec_name(&Hvc1 { hvcc, ..Hvc1::default() }.into()), "hvc1.1.6.L120.B0");
    }

    #[test]
    fn an_independent_reader_agrees() {
        let (bytes, _) = segment(23);
        let mp4 = re_mp4::Mp4::read_bytes(&bytes).unwrap();
        let track = mp4.tracks().values().next().unwrap();
        assert_eq!(track.samples.len(), 23);
        assert_eq!(track.timescale, u64::from(TIMESCALE));
        assert_eq!(track.samples.iter().filter(|s| s.is_sync).count(), 3);
        assert_eq!(track.samples[22].decode_timestamp, 22 * 3600);
    }

    #[test]
    fn cut_at_any_byte_only_whole_parts_remain() {
        let (bytes, ends) = segment(23);
        for cut in 0..bytes.len() {
            let whole = ends.iter().rposition(|end| *end <= cut);
            match (scanned(&bytes[..cut]), whole) {
                (None, None) => {}
                (Some(scan), Some(parts)) => {
                    assert_eq!(scan.samples.len(), (parts * 5).min(23), "cut at {cut}");
                    assert_eq!(scan.valid_len as usize, ends[parts]);
                }
                (scan, whole) => panic!("cut at {cut}: {scan:?}, {whole:?}"),
            }
        }
    }

    #[test]
    fn a_tail_of_zeros_is_not_taken_for_pictures() {
        let (mut bytes, ends) = segment(23);
        let from = ends[4] - 40;
        bytes[from..].fill(0);
        assert_eq!(scanned(&bytes).unwrap().samples.len(), 15);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            scanned(&bytes);
            let mut framed = init(&config()).unwrap();
            framed.extend(&bytes);
            scanned(&framed);
        }

        #[test]
        fn flipped_bytes_never_give_a_picture_outside_the_file(
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)
        ) {
            let (mut bytes, _) = segment(12);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(scan) = scanned(&bytes) {
                prop_assert!(scan.valid_len as usize <= bytes.len());
                let mut last = None;
                for sample in scan.samples {
                    prop_assert!(sample.offset + u64::from(sample.size) <= scan.valid_len);
                    prop_assert!(last.is_none_or(|dts| dts <= sample.dts));
                    last = Some(sample.dts);
                }
            }
        }
    }
}
