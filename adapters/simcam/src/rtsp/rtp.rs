//! RTP for H.264 (RFC 6184, packetization-mode 1), H.265 (RFC 7798) and sound, and RTCP sender reports (RFC 3550).

use super::sound::SoundFrame;
use super::source::{AccessUnit, Faults, ParameterSets};
use std::time::{SystemTime, UNIX_EPOCH};

/// The clock of H.264 over RTP.
pub const CLOCK_HZ: u64 = 90_000;
/// The dynamic payload type announced in the SDP.
pub const PAYLOAD_TYPE: u8 = 96;
/// Largest RTP payload: leaves room for IP, UDP and RTP headers and a tunnel in 1 500 bytes.
const PAYLOAD_MAX: usize = 1_400;
/// Bytes before a payload at most: the interleaving header, the RTP header.
const HEADERS: usize = 4 + 12;
/// Bytes of a spoiled payload that are wrong.
const SPOILED: usize = 64;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// The same of H.265: an aggregation packet, a fragmentation unit.
const AP: u8 = 48;
const FU: u8 = 49;

/// The packets of one access unit, back to back in one buffer.
#[derive(Debug, Default)]
pub struct Packets {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Packets {
    /// All packets as one run of bytes, as an interleaved connection wants them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One packet after the other, as UDP wants them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, to)| &self.bytes[from..*to])
    }

    /// Loses packets and spoils the last bytes of others. `sent` counts packets from one call to the next.
    pub fn suffer(&mut self, faults: &Faults, sent: &mut u32) {
        if faults.lose_every == 0 && faults.spoil_every == 0 {
            return;
        }
        let mut left = Packets::default();
        for packet in self.iter() {
            *sent = sent.wrapping_add(1);
            if faults.lose_every > 0 && sent.is_multiple_of(faults.lose_every) {
                continue;
            }
            left.bytes.extend_from_slice(packet);
            if faults.spoil_every > 0 && sent.is_multiple_of(faults.spoil_every) {
                let payload = left.bytes.len() - packet.len().saturating_sub(HEADERS)..;
                left.bytes[payload].iter_mut().rev().take(SPOILED).for_each(|byte| *byte ^= 0x5A);
            }
            left.ends.push(left.bytes.len());
        }
        *self = left;
    }

    /// Forgets the packets, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// One sender: sequence numbers, timestamps, counts.
#[derive(Debug)]
pub struct Sender {
    ssrc: u32,
    sequence: u16,
    offset: u32,
    packets: u32,
    octets: u32,
    payload_type: u8,
    channel: Option<u8>,
}

impl Sender {
    /// A sender of pictures with random identity; with `channel` each packet gets the interleaving header of RFC 2326 §10.12.
    pub fn new(channel: Option<u8>) -> Self {
        Self::of(PAYLOAD_TYPE, channel)
    }

    /// A sender of this payload type.
    pub fn of(payload_type: u8, channel: Option<u8>) -> Self {
        let (ssrc, sequence, offset) = (rand::random(), rand::random(), rand::random());
        Self { ssrc, sequence, offset, packets: 0, octets: 0, payload_type, channel }
    }

    /// The source's identity, for the `Transport` header.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The sequence number of the next packet, for `RTP-Info`.
    pub fn next_sequence(&self) -> u16 {
        self.sequence
    }

    /// The RTP timestamp of a moment of the source's clock.
    pub fn timestamp(&self, pts: u64) -> u32 {
        self.offset.wrapping_add(pts as u32)
    }

    /// Appends the packets of `unit`; a key frame is preceded by its parameter sets in one packet.
    pub fn packetise(&mut self, unit: &AccessUnit, sets: &ParameterSets, out: &mut Packets) {
        let timestamp = self.timestamp(unit.pts);
        let h265 = sets.vps.is_some();
        if unit.key {
            // The header of what carries several units: the importance of H.264, layer and time of H.265 as they are of all.
            let header: &[u8] = if h265 { &[AP << 1, 1] } else { &[(sets.sps[0] & 0x60) | STAP_A] };
            let sized = |nal: &[u8]| [&(nal.len() as u16).to_be_bytes()[..], nal].concat();
            let sets: Vec<u8> = sets.all().flat_map(|nal| sized(nal)).collect();
            self.packet(timestamp, false, &[header, &sets], out);
        }
        let last = unit.nals.len().saturating_sub(1);
        for (n, nal) in unit.nals.iter().enumerate() {
            if nal.len() <= PAYLOAD_MAX {
                if !nal.is_empty() {
                    self.packet(timestamp, n == last, &[nal], out);
                }
                continue;
            }
            let (header, body) = nal.split_at(if h265 { 2 } else { 1 });
            let (lead, kind) = match header {
                [first, second] => (vec![(first & 0x81) | FU << 1, *second], (first >> 1) & 0x3f),
                [first, ..] => (vec![(first & 0xe0) | FU_A], first & 0x1f),
                [] => continue,
            };
            let room = PAYLOAD_MAX - lead.len() - 1;
            let chunks = body.len().div_ceil(room);
            for (i, chunk) in body.chunks(room).enumerate() {
                let (first, end) = (i == 0, i + 1 == chunks);
                let fu = kind | if first { 0x80 } else { 0 } | if end { 0x40 } else { 0 };
                self.packet(timestamp, n == last && end, &[&lead, &[fu], chunk], out);
            }
        }
    }

    /// Appends the packet of a frame of sound.
    pub fn packetise_sound(&mut self, frame: &SoundFrame, out: &mut Packets) {
        // The mark is of a frame's end in AAC (RFC 3640 §3.1), of what follows a pause in G.711 (RFC 3551 §4.1): there is none.
        let marked = self.payload_type >= 96;
        self.packet(self.timestamp(frame.pts), marked, &[&frame.payload], out);
    }

    fn packet(&mut self, timestamp: u32, marker: bool, parts: &[&[u8]], out: &mut Packets) {
        let payload: usize = parts.iter().map(|p| p.len()).sum();
        self.frame(0, 12 + payload, out);
        out.bytes.extend_from_slice(&[0x80, self.payload_type | if marker { 0x80 } else { 0 }]);
        out.bytes.extend_from_slice(&self.sequence.to_be_bytes());
        out.bytes.extend_from_slice(&timestamp.to_be_bytes());
        out.bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        parts.iter().for_each(|p| out.bytes.extend_from_slice(p));
        out.ends.push(out.bytes.len());
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
    }

    /// Appends a sender report that ties `pts` to the wall clock, with the CNAME every compound packet must carry.
    pub fn report(&mut self, pts: u64, wall: SystemTime, out: &mut Packets) {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        // NTP counts from 1900: 70 years, 17 of them leap.
        let ntp = ((since.as_secs() + 2_208_988_800) << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000);
        let cname = b"gatehouse";
        let sdes_words = (4 + 2 + cname.len() + 1).div_ceil(4);
        self.frame(1, 28 + 4 + sdes_words * 4, out);
        out.bytes.extend_from_slice(&[0x80, 200, 0, 6]);
        out.bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        out.bytes.extend_from_slice(&ntp.to_be_bytes());
        for word in [self.timestamp(pts), self.packets, self.octets] {
            out.bytes.extend_from_slice(&word.to_be_bytes());
        }
        out.bytes.extend_from_slice(&[0x81, 202, 0, sdes_words as u8]);
        out.bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        out.bytes.extend_from_slice(&[1, cname.len() as u8]);
        out.bytes.extend_from_slice(cname);
        out.bytes.resize(out.bytes.len() + sdes_words * 4 - 4 - 2 - cname.len(), 0);
        out.ends.push(out.bytes.len());
    }

    fn frame(&self, plus: u8, length: usize, out: &mut Packets) {
        if let Some(channel) = self.channel {
            let [hi, lo] = (length as u16).to_be_bytes();
            out.bytes.extend_from_slice(&[b'$', channel.wrapping_add(plus), hi, lo]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn sets() -> ParameterSets {
        ParameterSets {
            vps: None,
            sps: Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f]),
            pps: Bytes::from_static(&[0x68, 0xce]),
        }
    }

    fn unit(key: bool, nals: Vec<Vec<u8>>) -> AccessUnit {
        AccessUnit { nals: nals.into_iter().map(Bytes::from).collect(), key, pts: 9_000, captured: SystemTime::now() }
    }

    /// Puts NAL units together again as RFC 6184 §5 says, and gives the marker bits.
    fn reassemble(packets: &Packets) -> (Vec<Vec<u8>>, Vec<bool>) {
        let (mut nals, mut markers) = (Vec::<Vec<u8>>::new(), Vec::new());
        for p in packets.iter() {
            assert!(p.len() <= 12 + PAYLOAD_MAX);
            markers.push(p[1] & 0x80 != 0);
            let payload = &p[12..];
            match payload[0] & 0x1f {
                STAP_A => {
                    let mut rest = &payload[1..];
                    while let Some(&[hi, lo]) = rest.first_chunk::<2>() {
                        let n = usize::from(u16::from_be_bytes([hi, lo]));
                        nals.push(rest[2..2 + n].to_vec());
                        rest = &rest[2 + n..];
                    }
                }
                FU_A if payload[1] & 0x80 != 0 => {
                    nals.push([&[(payload[0] & 0xe0) | (payload[1] & 0x1f)], &payload[2..]].concat());
                }
                FU_A => nals.last_mut().expect("a started unit").extend_from_slice(&payload[2..]),
                _ => nals.push(payload.to_vec()),
            }
        }
        (nals, markers)
    }

    #[test]
    fn faults_lose_and_spoil_packets_and_leave_their_headers() {
        let unit = AccessUnit { nals: vec![Bytes::from(vec![0x41; 10_000])], key: false, pts: 0, captured: UNIX_EPOCH };
        let (mut whole, mut hurt, mut sent) = (Packets::default(), Packets::default(), 0);
        Sender::new(Some(0)).packetise(&unit, &sets(), &mut whole);
        hurt.bytes.clone_from(&whole.bytes);
        hurt.ends.clone_from(&whole.ends);
        hurt.suffer(&Faults { lose_every: 3, spoil_every: 4, ..Faults::default() }, &mut sent);
        assert_eq!((whole.iter().count(), hurt.iter().count(), sent), (8, 6, 8));
        let kept: Vec<_> = whole.iter().enumerate().filter(|(n, _)| (n + 1) % 3 != 0).collect();
        for ((n, before), after) in kept.into_iter().zip(hurt.iter()) {
            assert_eq!(before[..HEADERS], after[..HEADERS]);
            assert_eq!(before == after, (n + 1) % 4 != 0, "packet {n}");
        }
        hurt.suffer(&Faults::default(), &mut sent);
        assert_eq!(hurt.iter().count(), 6);
    }

    proptest! {
        #[test]
        fn every_access_unit_survives_packetisation(sizes in proptest::collection::vec(1usize..6_000, 1..5), key: bool) {
            let nals: Vec<Vec<u8>> = sizes.iter().map(|n| (0..*n).map(|i| if i == 0 { 0x65 } else { i as u8 }).collect()).collect();
            let mut packets = Packets::default();
            Sender::new(None).packetise(&unit(key, nals.clone()), &sets(), &mut packets);
            let (mut got, markers) = reassemble(&packets);
            if key {
                prop_assert_eq!(got.drain(..2).collect::<Vec<_>>(), vec![sets().sps.to_vec(), sets().pps.to_vec()]);
            }
            prop_assert_eq!(got, nals);
            prop_assert_eq!(markers.iter().filter(|m| **m).count(), 1);
            prop_assert_eq!(markers.last(), Some(&true));
        }
    }

    #[test]
    fn a_unit_of_h265_is_fragmented_and_comes_together_again() {
        let nal: Vec<u8> = [0x26, 0x01].into_iter().chain((0..4_000).map(|i| i as u8)).collect();
        let set = |kind: u8| Bytes::from(vec![kind << 1, 1, 7]);
        let sets = ParameterSets::h265(set(32), set(33), set(34)).expect("sets");
        let mut packets = Packets::default();
        Sender::new(None).packetise(&unit(true, vec![nal.clone()]), &sets, &mut packets);
        let payloads: Vec<&[u8]> = packets.iter().map(|packet| &packet[12..]).collect();
        assert_eq!(payloads[0], [&[AP << 1, 1][..], &[0, 3, 64, 1, 7], &[0, 3, 66, 1, 7], &[0, 3, 68, 1, 7]].concat());
        let mut again = vec![(payloads[1][0] & 0x81) | (payloads[1][2] & 0x3f) << 1, payloads[1][1]];
        for (n, payload) in payloads[1..].iter().enumerate() {
            assert_eq!((payload[0] >> 1 & 0x3f, payload[2] & 0x80 != 0), (FU, n == 0));
            again.extend_from_slice(&payload[3..]);
        }
        assert_eq!(again, nal);
        assert!(payloads.last().is_some_and(|last| last[2] & 0x40 != 0));
    }

    #[test]
    fn sequence_numbers_follow_on_and_interleaving_frames_each_packet() {
        let mut sender = Sender::new(Some(4));
        let first = sender.next_sequence();
        let mut packets = Packets::default();
        sender.packetise(&unit(true, vec![vec![0x65; 4_000]]), &sets(), &mut packets);
        for (n, p) in packets.iter().enumerate() {
            assert_eq!((p[0], p[1], usize::from(u16::from_be_bytes([p[2], p[3]]))), (b'$', 4, p.len() - 4));
            assert_eq!(u16::from_be_bytes([p[6], p[7]]), first.wrapping_add(n as u16));
        }
    }

    #[test]
    fn a_sender_report_carries_wall_clock_counts_and_a_name() {
        let mut sender = Sender::new(None);
        let mut packets = Packets::default();
        sender.packetise(&unit(false, vec![vec![0x41; 100]]), &sets(), &mut packets);
        packets.clear();
        sender.report(9_000, UNIX_EPOCH + std::time::Duration::from_millis(1_500), &mut packets);
        let p = packets.as_bytes();
        let word = |at: usize| u32::from_be_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]]);
        assert_eq!((p[1], word(8), word(12)), (200, 2_208_988_801, 1 << 31));
        assert_eq!((word(16), word(20), word(24)), (sender.timestamp(9_000), 1, 100));
        assert_eq!((p[29], usize::from(p[31]) * 4 + 4, p.len() % 4), (202, p.len() - 28, 0));
    }
}
