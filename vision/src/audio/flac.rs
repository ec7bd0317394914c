//! FLAC (RFC 9639): linear PCM to frames that give back every value.
//!
//! One frame a packet, so block sizes vary; each channel is predicted by a polynomial of order 0 to 4 and its residual Rice-coded
//! with one parameter, or kept as it is where that is shorter. G.711 leaves the low bits of its samples zero: they are not sent.

use super::aac::Bits;

/// Fewest samples of a block that is not the last (§8.2).
pub const BLOCK_MIN: usize = 16;
/// Most samples of a block.
pub const BLOCK_MAX: usize = 65_535;
/// Highest order of a fixed predictor.
const ORDER_MAX: usize = 4;
/// Largest Rice parameter of four bits; the next means no coding.
const RICE_MAX: u32 = 14;
/// Bits of a sample.
const DEPTH: usize = 16;

/// STREAMINFO of a stream of 16-bit samples whose length is not known (§8.2).
pub fn stream_info(rate: u32, channels: u16) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(BLOCK_MIN as u64, 16);
    bits.put(BLOCK_MAX as u64, 16);
    bits.put(0, 24); // smallest frame: not known
    bits.put(0, 24); // largest frame: not known
    bits.put(u64::from(rate), 20);
    bits.put(u64::from(channels.max(1) - 1), 3);
    bits.put(DEPTH as u64 - 1, 5);
    bits.put(0, 36); // samples in all: not known
    bits.0.resize(34, 0); // nor their hash
    bits.0
}

/// One frame (§9). `samples`: interleaved, a block of [`BLOCK_MIN`] to [`BLOCK_MAX`] of each of one or two channels; `first`: the
/// number of its first sample in the stream. `None` for another number of channels or samples, or a rate beyond 65 535 Hz.
pub fn frame(samples: &[i16], channels: u16, rate: u32, first: u64) -> Option<Vec<u8>> {
    let count = usize::from(channels);
    let block = samples.len().checked_div(count)?;
    if !(1..=2).contains(&count) || samples.len() != block * count || !(BLOCK_MIN..=BLOCK_MAX).contains(&block) {
        return None;
    }
    let rate = u16::try_from(rate).ok()?;
    let mut bits = Bits::default();
    bits.put(0xFFF9, 16); // the mark of a frame, blocks of any size
    bits.put(0b0111, 4); // the block's size follows in 16 bits
    bits.put(0b1101, 4); // the rate, too, in Hz
    bits.put(u64::from(channels) - 1, 4); // independent channels
    bits.put(0b1000, 4); // 16 bits a sample
    number(first & 0xF_FFFF_FFFF, &mut bits);
    bits.put(block as u64 - 1, 16);
    bits.put(u64::from(rate), 16);
    let check = crc8(&bits.0);
    bits.put(u64::from(check), 8);
    for channel in 0..count {
        let own: Vec<i64> = samples.iter().skip(channel).step_by(count).map(|sample| i64::from(*sample)).collect();
        subframe(own, &mut bits);
    }
    bits.align();
    let check = crc16(&bits.0);
    bits.put(u64::from(check), 16);
    Some(bits.0)
}

/// A frame of silence.
pub fn silence(samples: u32, channels: u16, rate: u32) -> Option<Vec<u8>> {
    frame(&vec![0; samples as usize * usize::from(channels)], channels, rate, 0)
}

/// Whether bytes are a frame from its mark to its check.
pub fn is_whole(frame: &[u8]) -> bool {
    let Some((body, check)) = frame.split_last_chunk::<2>() else { return false };
    body.starts_with(&[0xFF, 0xF9]) && crc16(body) == u16::from_be_bytes(*check)
}

/// A number as UTF-8 writes one, up to 36 bits (§9.1.5).
fn number(value: u64, bits: &mut Bits) {
    if value < 0x80 {
        return bits.put(value, 8);
    }
    let digits = 64 - value.leading_zeros() as usize;
    // n further bytes of six bits and 6 − n bits in the first one.
    let further = (1..=6).find(|n| digits <= n * 6 + 6 - n).unwrap_or(6);
    let mark = (0xFF << (7 - further)) & 0xFF;
    bits.put(mark | (value >> (further * 6)), 8);
    for n in (0..further).rev() {
        bits.put(0x80 | ((value >> (n * 6)) & 0x3F), 8);
    }
}

/// One channel (§9.2).
fn subframe(mut samples: Vec<i64>, bits: &mut Bits) {
    let union = samples.iter().fold(0, |all, sample| all | sample);
    if samples.iter().all(|sample| Some(sample) == samples.first()) {
        bits.put(0, 8);
        return bits.put(samples[0] as u64 & 0xFFFF, DEPTH);
    }
    let wasted = union.trailing_zeros().min(DEPTH as u32 - 1) as usize;
    samples.iter_mut().for_each(|sample| *sample >>= wasted);
    let depth = DEPTH - wasted;
    let (order, parameter, cost) = choose(&samples, depth);
    let fixed = cost < samples.len() * depth;
    let kind = if fixed { 0b00_1000 | order as u64 } else { 1 };
    bits.put(kind << 1 | u64::from(wasted > 0), 8);
    if wasted > 0 {
        bits.put(1, wasted); // unary: zeros and a one
    }
    let mask = (1 << depth) - 1;
    if !fixed {
        return samples.iter().for_each(|sample| bits.put(*sample as u64 & mask, depth));
    }
    samples[..order].iter().for_each(|sample| bits.put(*sample as u64 & mask, depth));
    bits.put(0, 2); // Rice, parameters of four bits
    bits.put(0, 4); // one partition
    bits.put(u64::from(parameter), 4);
    for value in residual(&samples, order) {
        let folded = fold(value);
        bits.put(0, (folded >> parameter) as usize);
        bits.put(1, 1);
        bits.put(folded & ((1 << parameter) - 1), parameter as usize);
    }
}

/// The order and Rice parameter that need the fewest bits, and how many those are.
fn choose(samples: &[i64], depth: usize) -> (usize, u32, usize) {
    let mut best = (0, 0, usize::MAX);
    for order in 0..=ORDER_MAX.min(samples.len() - 1) {
        let folded: Vec<u64> = residual(samples, order).map(fold).collect();
        let sum: u64 = folded.iter().sum();
        // The best parameter lies by the logarithm of the mean.
        let near = (sum / folded.len() as u64).max(1).ilog2();
        for parameter in near.saturating_sub(1)..=(near + 1).min(RICE_MAX) {
            let quotients: u64 = folded.iter().map(|value| value >> parameter).sum();
            let cost = order * depth + 10 + quotients as usize + folded.len() * (1 + parameter as usize);
            if cost < best.2 {
                best = (order, parameter, cost);
            }
        }
    }
    best
}

/// What a polynomial through the samples before does not say (§9.2.5).
fn residual(samples: &[i64], order: usize) -> impl Iterator<Item = i64> + '_ {
    samples.windows(order + 1).map(move |w| match order {
        0 => w[0],
        1 => w[1] - w[0],
        2 => w[2] - 2 * w[1] + w[0],
        3 => w[3] - 3 * w[2] + 3 * w[1] - w[0],
        _ => w[4] - 4 * w[3] + 6 * w[2] - 4 * w[1] + w[0],
    })
}

/// Small numbers of either sign to small numbers.
fn fold(value: i64) -> u64 {
    if value < 0 { (-value as u64) * 2 - 1 } else { value as u64 * 2 }
}

/// Polynomial x⁸ + x² + x + 1 (§9.1.8).
fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |crc, byte| (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 }))
}

/// Polynomial x¹⁶ + x¹⁵ + x² + 1 (§9.3).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let crc = crc ^ u16::from(*byte) << 8;
        (0..8).fold(crc, |crc, _| if crc & 0x8000 != 0 { crc << 1 ^ 0x8005 } else { crc << 1 })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads bits, the highest first.
    struct Reader<'a>(&'a [u8], usize);

    impl Reader<'_> {
        fn bits(&mut self, count: usize) -> u64 {
            (0..count).fold(0, |value, _| {
                let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
                self.1 += 1;
                value << 1 | u64::from(bit)
            })
        }

        fn signed(&mut self, count: usize) -> i64 {
            let value = self.bits(count) as i64;
            if value >> (count - 1) == 1 { value - (1 << count) } else { value }
        }

        fn unary(&mut self) -> u64 {
            let mut zeros = 0;
            while self.bits(1) == 0 {
                zeros += 1;
            }
            zeros
        }
    }

    /// A decoder of what is written here, by the RFC and not by the code above.
    pub(crate) fn decode(frame: &[u8]) -> Vec<i16> {
        assert!(is_whole(frame));
        let mut reader = Reader(frame, 32);
        let first = reader.bits(8);
        let further = if first < 0x80 { 0 } else { (first as u8).leading_ones() as usize - 1 };
        reader.bits(further * 8);
        let (block, channels) = (reader.bits(16) as usize + 1, usize::from(frame[3] >> 4) + 1);
        reader.bits(16 + 8);
        let mut out = vec![0; block * channels];
        for channel in 0..channels {
            let kind = reader.bits(8);
            let wasted = if kind & 1 == 1 { reader.unary() as usize + 1 } else { 0 };
            let depth = 16 - wasted;
            let mut own: Vec<i64> = Vec::new();
            match kind >> 1 {
                0 => own = vec![reader.signed(16); block],
                1 => own.extend((0..block).map(|_| reader.signed(depth))),
                kind => {
                    let order = kind as usize - 8;
                    own.extend((0..order).map(|_| reader.signed(depth)));
                    assert_eq!(reader.bits(6), 0);
                    let parameter = reader.bits(4) as usize;
                    for n in order..block {
                        let folded = reader.unary() << parameter | reader.bits(parameter);
                        let value = if folded & 1 == 1 { -(folded as i64 / 2) - 1 } else { folded as i64 / 2 };
                        let back = |k: usize| own[n - k];
                        let told = match order {
                            0 => 0,
                            1 => back(1),
                            2 => 2 * back(1) - back(2),
                            3 => 3 * back(1) - 3 * back(2) + back(3),
                            _ => 4 * back(1) - 6 * back(2) + 4 * back(3) - back(4),
                        };
                        own.push(told + value);
                    }
                }
            }
            for (n, value) in own.into_iter().enumerate() {
                out[n * channels + channel] = i16::try_from(value << wasted).unwrap();
            }
        }
        out
    }

    #[test]
    fn a_tone_takes_less_than_half_and_silence_next_to_nothing() {
        let tone: Vec<i16> = (0..160).map(|n| ((f64::from(n) * 0.35).sin() * 9_000.0) as i16).collect();
        let coded = frame(&tone, 1, 8_000, 123_456_789).unwrap();
        assert_eq!(decode(&coded), tone);
        assert!(coded.len() < 250, "{} bytes of 320", coded.len());
        let quiet = silence(160, 1, 8_000).unwrap();
        assert_eq!((decode(&quiet), quiet.len() < 18), (vec![0; 160], true));
    }

    #[test]
    fn one_wrong_bit_is_noticed() {
        let mut coded = frame(&[7; 20], 1, 8_000, 0).unwrap();
        assert!(is_whole(&coded));
        coded[8] ^= 4;
        assert!(!is_whole(&coded));
        assert!(!is_whole(&[0; 40]));
    }

    proptest! {
        #[test]
        fn every_value_comes_back(
            samples in proptest::collection::vec(any::<i16>(), 32..200), stereo: bool, shift in 0_u32..12, first in 0_u64..1 << 40
        ) {
            let channels = 1 + u16::from(stereo);
            let even = samples.len() / 2 * 2;
            let samples: Vec<i16> = samples[..even].iter().map(|sample| sample >> shift << (shift / 2)).collect();
            prop_assert_eq!(decode(&frame(&samples, channels, 16_000, first).unwrap()), samples);
        }
    }
}
