//! Sample entries of audio, and frames of silence for where nothing was heard.

use super::Mp4Error;
use crate::audio::{AudioConfig, aac, flac, ticks_of};
use bytes::Bytes;
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{Audio, Codec, Decode, Dfla, Esds, Flac, FlacMetadataBlock, Mp4a};

/// MPEG-4 audio (ISO/IEC 14496-1, table 5) and the stream type of audio (table 6).
const MPEG4_AUDIO: u8 = 0x40;
const AUDIO_STREAM: u8 = 5;
/// Length of one frame of silence in FLAC, parts of a second.
const SILENCE_PART: u32 = 50;

/// The sample entry of audio.
pub fn audio_entry(config: &AudioConfig) -> Result<Codec, Mp4Error> {
    let unreadable = |source| Mp4Error::Parameters { codec: config.codec.clone(), source };
    let mut body: &[u8] = &config.description;
    let audio = Audio {
        data_reference_index: 1,
        channel_count: config.channels,
        sample_size: 16,
        // The box has no room for more; STREAMINFO and AudioSpecificConfig tell it again.
        sample_rate: u16::try_from(config.rate).unwrap_or(0).into(),
    };
    match config.codec.as_str() {
        "flac" => {
            let info = FlacMetadataBlock::StreamInfo {
                minimum_block_size: flac::BLOCK_MIN as u16,
                maximum_block_size: flac::BLOCK_MAX as u16,
                minimum_frame_size: 0_u32.try_into().unwrap_or_default(),
                maximum_frame_size: 0_u32.try_into().unwrap_or_default(),
                sample_rate: config.rate,
                num_channels_minus_one: config.channels.clamp(1, 8) as u8 - 1,
                bits_per_sample_minus_one: 15,
                number_of_interchannel_samples: 0,
                md5_checksum: vec![0; 16],
            };
            Ok(Flac { audio, dfla: Dfla { blocks: vec![info] } }.into())
        }
        codec if codec.starts_with("mp4a.40.") => {
            let specific = DecoderSpecific::decode(&mut body).map_err(unreadable)?;
            let dec_config = DecoderConfig {
                object_type_indication: MPEG4_AUDIO,
                stream_type: AUDIO_STREAM,
                dec_specific: Some(specific),
                ..DecoderConfig::default()
            };
            let es_desc = EsDescriptor { dec_config, sl_config: SLConfig::default(), ..EsDescriptor::default() };
            Ok(Mp4a { audio, esds: Esds { es_desc }, btrt: None, taic: None }.into())
        }
        codec => Err(Mp4Error::Codec(codec.to_owned())),
    }
}

/// Whether a sample entry is one of audio that is recorded.
pub(super) fn is_audio(codec: &Codec) -> bool {
    matches!(codec, Codec::Flac(_) | Codec::Mp4a(_))
}

/// The RFC 6381 name of a sample entry of audio.
pub(in crate::recorder) fn audio_name(codec: &Codec) -> String {
    match codec {
        Codec::Flac(_) => "flac".into(),
        Codec::Mp4a(entry) => match &entry.esds.es_desc.dec_config.dec_specific {
            Some(specific) => format!("mp4a.40.{}", specific.profile),
            None => "mp4a.40.2".into(),
        },
        _ => String::new(),
    }
}

/// A frame of silence as this sample entry decodes it, and how long it lasts, ticks; `None` where none is known.
pub(in crate::recorder) fn silence(codec: &Codec) -> Option<(Bytes, u32)> {
    match codec {
        Codec::Flac(entry) => {
            let FlacMetadataBlock::StreamInfo { sample_rate, num_channels_minus_one, .. } =
                entry.dfla.blocks.first()?
            else {
                return None;
            };
            let samples = (sample_rate / SILENCE_PART).max(flac::BLOCK_MIN as u32);
            let frame = flac::silence(samples, u16::from(*num_channels_minus_one) + 1, *sample_rate)?;
            Some((frame.into(), ticks_of(samples, *sample_rate)))
        }
        Codec::Mp4a(entry) => {
            let specific = entry.esds.es_desc.dec_config.dec_specific.as_ref()?;
            let told = aac::parameters(&specific.raw).filter(|told| told.object == 2)?;
            Some((aac::silence(told.channels)?.into(), ticks_of(aac::FRAME, told.rate)))
        }
        _ => None,
    }
}

/// Whether bytes are a frame to its end: after a power cut a file may end in blocks of zeros.
pub(super) fn is_whole(codec: &Codec, frame: &[u8]) -> bool {
    match codec {
        Codec::Flac(_) => flac::is_whole(frame),
        // The last byte of a frame holds its end mark, which is ones (ISO/IEC 14496-3, table 4.85).
        Codec::Mp4a(_) => frame.last().is_some_and(|last| *last != 0),
        _ => false,
    }
}
