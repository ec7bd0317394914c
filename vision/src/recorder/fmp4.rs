//! Fragmented MP4 (ISO/IEC 14496-12): the initial boxes, one part (`moof` + `mdat`) at a time, and reading back what is whole.
//!
//! ```text
//!  ftyp moov │ moof mdat │ moof mdat │ … │ moof md✂      the torn tail of a crash is not part of the segment
//! ```
//! Track 1 is the picture, track 2 the sound where there is any; a part holds both, each in a fragment of its own.
//! Standard tools play a segment as it is. A scan reads `moof` boxes only and stops at the first thing that is not whole.

mod audio;
mod read;

pub use audio::audio_entry;
pub(super) use audio::{audio_name, silence};
pub use read::scan;

use crate::audio::AudioConfig;
use crate::hub::StreamConfig;
use mp4_atom::{Atom, Dinf, Dref, DrefEntry, Edts, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov};
use mp4_atom::{Avc1, Avcc, Codec, Hvc1, Hvcc, Visual};
use mp4_atom::{Mvex, Mvhd, Smhd, Stbl, Stco, Stsc, Stsd, Stts, Tkhd, Trak, Trex, Url, Vmhd};

/// Ticks per second of every track: RTP's for video, so nothing is rounded, and one clock for picture and sound.
pub const TIMESCALE: u32 = 90_000;
/// The track of the picture, and that of the sound.
const PICTURE: u32 = 1;
const SOUND: u32 = 2;
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

/// A picture, or a frame of audio, to write.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The access unit, 4-byte lengths; or the audio frame.
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

/// A picture, or a frame of audio, in a segment.
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
    /// What is heard, where the segment has a track for it.
    pub audio: Option<AudioScan>,
    /// Bytes up to the end of the last whole part.
    pub valid_len: u64,
}

/// What is heard in a segment.
#[derive(Debug, Clone)]
pub struct AudioScan {
    /// How to decode it.
    pub codec: Codec,
    /// Its frames, in order.
    pub samples: Vec<SampleRef>,
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

/// The stream of a sample entry: the other way round.
pub fn stream_config(codec: &Codec) -> Result<StreamConfig, Mp4Error> {
    let mut description = Vec::new();
    match codec {
        Codec::Avc1(entry) => entry.avcc.encode_body(&mut description)?,
        Codec::Hvc1(entry) => entry.hvcc.encode_body(&mut description)?,
        _ => return Err(Mp4Error::Codec(codec_name(codec))),
    }
    let (width, height) = size_of(codec);
    let codec = codec_name(codec);
    Ok(StreamConfig { codec, description: description.into(), width: width.into(), height: height.into() })
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

/// `ftyp` and `moov` of a segment without pictures yet, with a second track where there is `audio`.
pub fn init(config: &StreamConfig, audio: Option<&AudioConfig>) -> Result<Vec<u8>, Mp4Error> {
    init_of(sample_entry(config)?, audio.map(audio_entry).transpose()?)
}

/// The same for sample entries that were read from a segment.
pub fn init_of(codec: Codec, audio: Option<Codec>) -> Result<Vec<u8>, Mp4Error> {
    let empty = |codec| Stbl { stsd: Stsd { codecs: vec![codec] }, stco: Some(Stco::default()), ..Stbl::default() };
    let tracks = [Some(codec), audio].into_iter().flatten();
    let mut moov = movie(tracks.map(|codec| Track { stbl: empty(codec), duration: 0, edit: None }).collect());
    let trex =
        |trak: &Trak| Trex { track_id: trak.tkhd.track_id, default_sample_description_index: 1, ..Trex::default() };
    moov.mvex = Some(Mvex { mehd: None, trex: moov.trak.iter().map(trex).collect() });
    let mut bytes = Vec::with_capacity(1536);
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

/// One track of a `moov`: its tables, its length in ticks, and what of it is shown and when.
pub(super) struct Track {
    pub(super) stbl: Stbl,
    pub(super) duration: u64,
    pub(super) edit: Option<Edts>,
}

/// A `moov` of these tracks, numbered from 1.
pub(super) fn movie(tracks: Vec<Track>) -> Moov {
    let trak: Vec<Trak> = tracks.into_iter().zip(1..).map(|(track, id)| track.boxes(id)).collect();
    Moov {
        mvhd: Mvhd {
            creation_time: 0,
            modification_time: 0,
            timescale: TIMESCALE,
            duration: trak.iter().map(|trak| trak.tkhd.duration).max().unwrap_or_default(),
            rate: 1.into(),
            volume: 1.into(),
            matrix: Default::default(),
            next_track_id: trak.len() as u32 + 1,
        },
        trak,
        ..Moov::default()
    }
}

impl Track {
    fn boxes(self, track_id: u32) -> Trak {
        let Track { stbl, duration, edit } = self;
        let heard = stbl.stsd.codecs.first().is_some_and(audio::is_audio);
        let (width, height) = stbl.stsd.codecs.first().map(size_of).unwrap_or_default();
        let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } };
        let shown = edit
            .as_ref()
            .and_then(|e| e.elst.as_ref())
            .map_or(duration, |list| list.entries.iter().map(|entry| entry.segment_duration).sum());
        let (handler, name) = if heard { (b"soun", "audio") } else { (b"vide", "video") };
        Trak {
            tkhd: Tkhd {
                track_id,
                duration: shown,
                enabled: true,
                in_movie: true,
                volume: u8::from(heard).into(),
                width: width.into(),
                height: height.into(),
                ..Tkhd::default()
            },
            edts: edit,
            mdia: Mdia {
                mdhd: Mdhd { timescale: TIMESCALE, duration, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(handler), name: name.into() },
                minf: Minf {
                    vmhd: (!heard).then(Vmhd::default),
                    smhd: heard.then(Smhd::default),
                    dinf,
                    stbl,
                    ..Minf::default()
                },
            },
            ..Trak::default()
        }
    }
}

/// `moof` and `mdat` of a run of pictures and of what was heard meanwhile; `sequence` counts parts from 1. One of the two may be
/// empty.
pub fn part(sequence: u32, pictures: &[Sample<'_>], audio: &[Sample<'_>]) -> Vec<u8> {
    let bytes = |samples: &[Sample<'_>]| samples.iter().map(|sample| sample.data.len()).sum::<usize>();
    let runs = [(PICTURE, pictures), (SOUND, audio)].into_iter().filter(|(_, samples)| !samples.is_empty());
    let fragment = |samples: &[Sample<'_>]| 8 + 16 + 20 + 20 + 16 * samples.len();
    let moof_size = 8 + 16 + runs.clone().map(|(_, samples)| fragment(samples)).sum::<usize>();
    let payload = bytes(pictures) + bytes(audio);
    let mut out = Vec::with_capacity(moof_size + 8 + payload);
    let mut put = |words: &[u32]| words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    let name = |name: &[u8; 4]| u32::from_be_bytes(*name);

    put(&[moof_size as u32, name(b"moof")]);
    put(&[16, name(b"mfhd"), 0, sequence]);
    let mut offset = moof_size + 8;
    for (track, samples) in runs.clone() {
        let base = samples.first().map_or(0, |sample| sample.dts);
        put(&[fragment(samples) as u32, name(b"traf")]);
        put(&[16, name(b"tfhd"), 0x02_0000, track]); // offsets count from the moof
        put(&[20, name(b"tfdt"), 0x0100_0000, (base >> 32) as u32, base as u32]);
        // Version 1 (signed composition), with data offset, durations, sizes, flags, compositions.
        put(&[(20 + 16 * samples.len()) as u32, name(b"trun"), 0x0100_0f01, samples.len() as u32, offset as u32]);
        for sample in samples {
            let flags = if sample.key { KEY_FLAGS } else { DELTA_FLAGS };
            put(&[sample.duration, sample.data.len() as u32, flags, sample.composition as u32]);
        }
        offset += bytes(samples);
    }
    put(&[(8 + payload) as u32, name(b"mdat")]);
    for sample in runs.flat_map(|(_, samples)| samples) {
        out.extend_from_slice(sample.data);
    }
    out
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
        let mut bytes = init(&config(), None).unwrap();
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
            bytes.extend(part(n as u32 + 1, &samples, &[]));
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
            let mut framed = init(&config(), None).unwrap();
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
