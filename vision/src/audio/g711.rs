//! G.711: eight bits a sample to linear PCM (ITU-T G.711, the usual 16-bit scale).

/// A-law: thirteen bits and sign, in the upper bits.
pub fn a_law(byte: u8) -> i16 {
    // Even bits are sent inverted.
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0F));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

/// µ-law: fourteen bits and sign, in the upper bits.
pub fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = ((byte >> 4) & 7, i16::from(byte & 0x0F));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_ends_of_the_scales_are_those_of_the_standard() {
        // Tables 1 and 2 of G.711: the decision values' quantised outputs.
        assert_eq!([0xD5, 0x55, 0xAA, 0x2A].map(a_law), [8, -8, 32_256, -32_256]);
        assert_eq!([0xFF, 0x7F, 0x80, 0x00].map(mu_law), [0, 0, 32_124, -32_124]);
    }

    #[test]
    fn no_two_bytes_sound_the_same_but_the_two_zeros_of_mu_law() {
        let values = |law: fn(u8) -> i16| (0..=255).map(law).collect::<BTreeSet<_>>().len();
        assert_eq!((values(a_law), values(mu_law)), (256, 255));
    }
}
