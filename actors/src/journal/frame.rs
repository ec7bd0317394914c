//! The bytes of the spill's files.
//!
//! ```text
//! file:  "GHSPILL1" · id of the spill, 16 bytes · number of its first frame, u64 │ frame │ frame │ …
//! frame: length of the payload, u32 · first 8 bytes of its SHA-256 · payload: JSON, one group of entries
//! ```
//! Numbers are little-endian. The last digit of the magic is the version: a file of another one is not read.

use super::Queued;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"GHSPILL1";
/// Bytes before the first frame.
pub(super) const HEADER: usize = 32;
/// Bytes of a frame before its payload.
const HEAD: usize = 12;
/// How every payload begins: what a search for the next whole frame looks at first.
const BEGINS: &[u8] = b"{\"at\":";

/// The head of a file.
pub(super) fn header(id: Uuid, first: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(id.as_bytes());
    bytes[24..].copy_from_slice(&first.to_le_bytes());
    bytes
}

/// Reads the head of a file: the spill's id and the number of the first frame; `None` when it is none of ours.
pub(super) fn read_header(bytes: &[u8]) -> Option<(Uuid, u64)> {
    let head: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
    let id: [u8; 16] = head[8..24].try_into().ok()?;
    let first: [u8; 8] = head[24..].try_into().ok()?;
    (&head[..8] == MAGIC).then(|| (Uuid::from_bytes(id), u64::from_le_bytes(first)))
}

fn sum(payload: &[u8]) -> [u8; 8] {
    let digest = ring::digest::digest(&ring::digest::SHA256, payload);
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest.as_ref()[..8]);
    sum
}

#[derive(Serialize)]
struct Written<'a> {
    at: Timestamp,
    doubtful: bool,
    entries: &'a [Queued],
}

/// A group as a frame.
///
/// `doubtful`: whether the database may have it already, because the answer to its commit was lost.
pub(super) fn encode(at: Timestamp, doubtful: bool, entries: &[Queued]) -> serde_json::Result<Vec<u8>> {
    let payload = serde_json::to_vec(&Written { at, doubtful, entries })?;
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&sum(&payload));
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// A group as read back; an entry that does not read is kept as the text it was.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) at: Timestamp,
    pub(super) doubtful: bool,
    pub(super) entries: Vec<Result<Queued, String>>,
}

#[derive(Deserialize)]
struct Raw<T> {
    at: Timestamp,
    doubtful: bool,
    entries: Vec<T>,
}

/// Reads a payload; `None` when not even its outline reads.
pub(super) fn decode(payload: &[u8]) -> Option<Read> {
    if let Ok(Raw { at, doubtful, entries }) = serde_json::from_slice::<Raw<Queued>>(payload) {
        return Some(Read { at, doubtful, entries: entries.into_iter().map(Ok).collect() });
    }
    let Raw { at, doubtful, entries } = serde_json::from_slice::<Raw<serde_json::Value>>(payload).ok()?;
    let entries = entries
        .into_iter()
        .map(|entry| {
            let text = entry.to_string();
            serde_json::from_value(entry).map_err(|_| text)
        })
        .collect();
    Some(Read { at, doubtful, entries })
}

/// The payload of the whole frame at an offset.
pub(super) fn payload_at(bytes: &[u8], offset: usize) -> Option<Range<usize>> {
    let head = bytes.get(offset..offset.checked_add(HEAD)?)?;
    let length = usize::try_from(u32::from_le_bytes(head[..4].try_into().ok()?)).ok()?;
    let range = offset + HEAD..(offset + HEAD).checked_add(length)?;
    let payload = bytes.get(range.clone())?;
    (payload.starts_with(BEGINS) && sum(payload) == head[4..]).then_some(range)
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Payloads of the whole frames, in order.
    pub(super) payloads: Vec<Range<usize>>,
    /// Where the last whole frame ends: what follows was never acknowledged.
    pub(super) end: usize,
    /// Stretches before that which cannot be read.
    pub(super) damaged: usize,
}

/// Finds the whole frames of a file. What does not read at its end is an append that was cut short; what does not read before
/// a whole frame was acknowledged once and is damage.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { payloads: Vec::new(), end: HEADER.min(bytes.len()), damaged: 0 };
    loop {
        let whole = (scan.end..bytes.len()).find_map(|offset| payload_at(bytes, offset).map(|range| (offset, range)));
        let Some((offset, range)) = whole else { return scan };
        scan.damaged += usize::from(offset != scan.end);
        scan.end = range.end;
        scan.payloads.push(range);
    }
}

/// Events are shared between the queue and the mailboxes.
pub(super) mod shared {
    use gatehouse_core::event::Event;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(in crate::journal) fn serialize<S: Serializer>(event: &Arc<Event>, to: S) -> Result<S::Ok, S::Error> {
        Event::serialize(event, to)
    }

    pub(in crate::journal) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Event>, D::Error> {
        Event::deserialize(from).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Mark;
    use proptest::prelude::*;

    fn group(n: u64) -> Vec<Queued> {
        let mark = |seq| Mark {
            key: format!("device:{seq}"),
            seq,
            state: serde_json::json!({"n": seq, "w": "{\"at\":"}).to_string(),
        };
        (0..n).map(|seq| Queued { mark: Some(mark(seq)), ..Queued::default() }).collect()
    }

    fn file(groups: &[u64]) -> Vec<u8> {
        let mut bytes = header(Uuid::from_u128(7), 3).to_vec();
        for n in groups {
            bytes.extend(encode(Timestamp::UNIX_EPOCH, false, &group(*n)).unwrap());
        }
        bytes
    }

    #[test]
    fn a_group_reads_back_as_it_was() {
        let bytes = file(&[3, 1]);
        assert_eq!(read_header(&bytes), Some((Uuid::from_u128(7), 3)));
        let scan = scan(&bytes);
        assert_eq!((scan.payloads.len(), scan.end, scan.damaged), (2, bytes.len(), 0));
        let read = decode(&bytes[scan.payloads[0].clone()]).unwrap();
        let seqs: Vec<_> =
            read.entries.iter().map(|entry| entry.as_ref().unwrap().mark.as_ref().unwrap().seq).collect();
        assert_eq!(seqs, [0, 1, 2]);
    }

    #[test]
    fn a_file_of_another_version_is_not_ours() {
        let mut bytes = file(&[1]);
        bytes[7] = b'2';
        assert_eq!(read_header(&bytes), None);
        assert_eq!(read_header(b"short"), None);
    }

    #[test]
    fn one_entry_that_does_not_read_leaves_the_others() {
        let payload = br#"{"at":"2026-05-01T00:00:00Z","doubtful":true,"entries":[{"mark":null,"events":[],"records":[]},{"x":1}]}"#;
        let read = decode(payload).unwrap();
        assert!(read.doubtful && read.entries[0].is_ok());
        assert_eq!(read.entries[1].as_ref().unwrap_err(), r#"{"x":1}"#);
    }

    #[test]
    fn damage_before_a_whole_frame_is_told_from_a_torn_tail() {
        let whole = file(&[2, 2, 2]);
        let frames = scan(&whole).payloads;
        let mut bytes = whole.clone();
        bytes[frames[1].start + 9] ^= 1;
        let found = scan(&bytes);
        assert_eq!((found.payloads.len(), found.damaged, found.end), (2, 1, bytes.len()));
        bytes = whole.clone();
        bytes[frames[2].start + 9] ^= 1;
        assert_eq!(scan(&bytes), Scan { payloads: frames[..2].to_vec(), end: frames[1].end, damaged: 0 });
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_keeps_every_frame_before_it(groups in prop::collection::vec(1_u64..4, 1..5), cut in 0_usize..10_000, zeros in 0_usize..40) {
            let mut bytes = file(&groups);
            let whole = scan(&bytes);
            let cut = cut.min(bytes.len());
            bytes.truncate(cut);
            bytes.extend(std::iter::repeat_n(0, zeros));
            let kept = whole.payloads.iter().filter(|range| range.end <= cut).count();
            let found = scan(&bytes);
            prop_assert_eq!(found.payloads.len(), kept);
            prop_assert_eq!(found.damaged, 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_header(&bytes);
            let _ = scan(&bytes);
            let _ = decode(&bytes);
        }
    }
}
