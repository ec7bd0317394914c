//! AAC as cameras send it: its parameters, and a frame of silence for where nothing arrived.

/// Sampling frequencies by index (ISO/IEC 14496-3, table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Samples of each channel in a frame of AAC-LC.
pub const FRAME: u32 = 1_024;

/// What an AudioSpecificConfig says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Audio object type: 2 is AAC-LC.
    pub object: u8,
    /// Samples a second of each channel.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
}

/// Reads an AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1); `None` for one that is cut short, reserved or of a rate of its own.
pub fn parameters(config: &[u8]) -> Option<Parameters> {
    let (first, second) = (u16::from(*config.first()?), u16::from(*config.get(1)?));
    let bits = first << 8 | second;
    let object = (bits >> 11) as u8;
    let rate = *RATES.get(usize::from((bits >> 7) & 0x0F))?;
    // Configuration 7 means eight channels; 0 is told elsewhere.
    let channels = match (bits >> 3) & 0x0F {
        configuration @ 1..=6 => configuration,
        7 => 8,
        _ => return None,
    };
    (object != 0 && object != 31).then_some(Parameters { object, rate, channels })
}

/// A frame of AAC-LC that holds nothing (ISO/IEC 14496-3 §4.4.2): no scale-factor band is sent. `None` for more than two channels.
pub fn silence(channels: u16) -> Option<Vec<u8>> {
    let mut bits = Bits::default();
    match channels {
        1 => {
            bits.put(0, 3); // single channel element
            bits.put(0, 4); // its tag
            bits.put(0, 8); // global gain
            bits.put(0, 11); // one long window, no band, no prediction
            bits.put(0, 3); // no pulses, no noise shaping, no gain control
        }
        2 => {
            bits.put(1, 3); // channel pair element
            bits.put(0, 4); // its tag
            bits.put(1, 1); // one window for both
            bits.put(0, 11); // long, no band, no prediction
            bits.put(0, 2); // no joint stereo
            for _ in 0..2 {
                bits.put(0, 8); // global gain
                bits.put(0, 3); // no pulses, no noise shaping, no gain control
            }
        }
        _ => return None,
    }
    bits.put(7, 3); // end
    Some(bits.0)
}

/// Bits, the highest first.
#[derive(Default)]
pub(super) struct Bits(pub(super) Vec<u8>, usize);

impl Bits {
    pub(super) fn put(&mut self, value: u64, count: usize) {
        for n in (0..count).rev() {
            if self.1 == 0 {
                self.0.push(0);
            }
            if let Some(last) = self.0.last_mut() {
                // A run of zeros may be longer than the number.
                let bit = value.checked_shr(n as u32).unwrap_or(0) & 1;
                *last |= (bit as u8) << (7 - self.1);
            }
            self.1 = (self.1 + 1) % 8;
        }
    }

    /// Goes on at the next whole byte.
    pub(super) fn align(&mut self) {
        self.1 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_the_standard_lays_them_out() {
        let of = |object, rate, channels| Some(Parameters { object, rate, channels });
        assert_eq!(parameters(&[0x14, 0x08]), of(2, 16_000, 1));
        assert_eq!(parameters(&[0x11, 0x90]), of(2, 48_000, 2));
        assert_eq!(parameters(&[0x17, 0x88]), None, "a rate of its own");
        assert_eq!(parameters(&[0x14]), None);
    }

    #[test]
    fn a_frame_of_silence_ends_with_its_mark() {
        for channels in [1, 2] {
            let frame = silence(channels).unwrap();
            assert_ne!(frame.last(), Some(&0), "{frame:?}");
        }
        assert_eq!(silence(6), None);
    }
}
