//! What goes into a file that is put together from segments: pictures or frames of audio, with their time and place.

use super::fmp4::{self, SampleRef};
use super::index::Span;
use bytes::Bytes;
use mp4_atom::Codec;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where bytes are.
#[derive(Debug, Clone)]
pub enum Place {
    /// In one of the files.
    File { file: usize, offset: u64 },
    /// At hand.
    Memory(Bytes),
}

/// A picture or a frame of audio.
#[derive(Debug, Clone)]
pub struct Unit {
    pub place: Place,
    pub size: u32,
    /// Which sample description, from 1.
    pub description: u32,
    /// Ticks on the clock of what is put together.
    pub dts: i64,
    pub pts: i64,
    /// Ticks, as was known when it was written.
    pub lasts: u32,
    pub key: bool,
}

impl Unit {
    /// A sample of a segment that begins at `start` ticks.
    pub fn of(sample: &SampleRef, file: usize, description: u32, start: i64) -> Self {
        Self {
            place: Place::File { file, offset: sample.offset },
            size: sample.size,
            description,
            dts: start + sample.dts as i64,
            pts: start + sample.pts(),
            lasts: sample.duration,
            key: sample.key,
        }
    }

    fn is_followed_by(&self, next: &Unit) -> bool {
        match (&self.place, &next.place) {
            (Place::File { file, offset }, Place::File { file: other, offset: begins }) => {
                file == other && offset + u64::from(self.size) == *begins
            }
            (Place::Memory(_), _) | (_, Place::Memory(_)) => false,
        }
    }
}

/// The description's number, from 1; one that is not known yet becomes the last.
pub fn describe(known: &mut Vec<Codec>, codec: Codec) -> u32 {
    let at = known.iter().position(|other| *other == codec).unwrap_or_else(|| {
        known.push(codec);
        known.len() - 1
    });
    at as u32 + 1
}

/// Appends the units' bytes, one read per run that lies together on disk.
pub fn copy(units: &[Unit], files: &[File], out: &mut Vec<u8>) -> io::Result<()> {
    for run in units.chunk_by(Unit::is_followed_by) {
        let Some(first) = run.first() else { continue };
        match &first.place {
            Place::Memory(bytes) => out.extend_from_slice(bytes),
            Place::File { file, offset } => {
                let size: usize = run.iter().map(|unit| unit.size as usize).sum();
                let at = out.len();
                out.resize(at + size, 0);
                files[*file].read_exact_at(&mut out[at..], *offset)?;
            }
        }
    }
    Ok(())
}

/// What is heard in a span, in order and without a hole: silence where nothing was, for players stop at a hole, and their sound
/// runs ahead of the picture after it.
///
/// A frame belongs to the span in which it begins; with `reaching`, the one that reaches into it comes first.
pub fn audible(mut heard: Vec<Unit>, codecs: &[Codec], span: &Span, reaching: bool) -> Vec<Unit> {
    heard.sort_by_key(|unit| unit.dts);
    let begins =
        |unit: &Unit| if reaching { unit.dts + i64::from(unit.lasts) > span.start } else { unit.dts >= span.start };
    heard.retain(|unit| begins(unit) && unit.dts < span.end);
    let mut out: Vec<Unit> = Vec::with_capacity(heard.len());
    let mut covered = span.start.min(heard.first().map_or(span.start, |unit| unit.dts));
    for mut unit in heard {
        fill(&mut out, codecs, unit.description, &mut covered, unit.dts);
        // Segments of a camera whose clock was set back overlap: what was heard first stays.
        if unit.dts + i64::from(unit.lasts) / 2 < covered {
            continue;
        }
        unit.dts = unit.dts.max(out.last().map_or(i64::MIN, |before| before.dts + 1));
        unit.pts = unit.dts;
        covered = unit.dts + i64::from(unit.lasts);
        out.push(unit);
    }
    let description = out.last().map_or(1, |unit| unit.description);
    fill(&mut out, codecs, description, &mut covered, span.end);
    out
}

/// Adds silence from `covered` to `to`, as far as whole frames reach.
fn fill(out: &mut Vec<Unit>, codecs: &[Codec], description: u32, covered: &mut i64, to: i64) {
    let codec = codecs.get(description as usize - 1);
    let Some((silence, lasts)) = codec.and_then(fmp4::silence).filter(|(_, lasts)| *lasts > 0) else { return };
    while to - *covered >= i64::from(lasts) {
        out.push(Unit {
            size: silence.len() as u32,
            place: Place::Memory(silence.clone()),
            description,
            dts: *covered,
            pts: *covered,
            lasts,
            key: true,
        });
        *covered += i64::from(lasts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::AudioConfig;
    use proptest::prelude::*;

    fn codecs() -> Vec<Codec> {
        let config = AudioConfig { codec: "flac".into(), description: Bytes::new(), rate: 8_000, channels: 1 };
        vec![fmp4::audio_entry(&config).unwrap()]
    }

    fn frame(dts: i64) -> Unit {
        Unit {
            place: Place::File { file: 0, offset: 0 },
            size: 9,
            description: 1,
            dts,
            pts: dts,
            lasts: 1_800,
            key: true,
        }
    }

    fn is_silence(unit: &Unit) -> bool {
        matches!(unit.place, Place::Memory(_))
    }

    #[test]
    fn a_hole_is_silent_and_frames_keep_their_time() {
        let heard = [0, 1_800, 9_000, 10_800].map(frame).to_vec();
        let lane = audible(heard, &codecs(), &(0..18_000), false);
        let told: Vec<_> = lane.iter().map(|unit| (unit.dts, is_silence(unit))).collect();
        let (heard, silent) = (|at| (at, false), |at| (at, true));
        assert_eq!(
            told,
            [0, 1_800]
                .map(heard)
                .into_iter()
                .chain([3_600, 5_400, 7_200].map(silent))
                .chain([9_000, 10_800].map(heard))
                .chain([12_600, 14_400, 16_200].map(silent))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_frame_that_reaches_into_a_span_is_of_the_one_before_unless_asked_for() {
        let heard = || [0, 1_800, 3_600].map(frame).to_vec();
        let first = |reaching| audible(heard(), &codecs(), &(1_000..5_000), reaching)[0].dts;
        assert_eq!((first(false), first(true)), (1_800, 0));
    }

    proptest! {
        #[test]
        fn no_hole_is_longer_than_a_frame(times in proptest::collection::vec(0_i64..90_000, 0..40)) {
            let lane = audible(times.iter().map(|at| frame(*at)).collect(), &codecs(), &(0..90_000), false);
            let mut covered = 0;
            for unit in &lane {
                prop_assert!(unit.dts - covered < 1_800, "{} after {}", unit.dts, covered);
                covered = unit.dts + i64::from(unit.lasts);
            }
            prop_assert!(lane.windows(2).all(|pair| pair[0].dts < pair[1].dts));
            prop_assert!(90_000 - covered < 1_800);
        }
    }
}
