//! The recorder on made-up access units: torn files, exact clips, pins, full disks.

mod audio;
mod disks;
mod h265;

use super::*;
use crate::hub::{AccessUnit, StreamConfig};
use crate::recorder::fmp4::tests::{config, picture};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

const T0: i64 = 1_773_483_300_123_456;
const FRAME: i64 = 40_000;

fn key() -> DeviceKey {
    "gate-1.camera".parse().unwrap()
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap()
}

fn unit(config: &Arc<StreamConfig>, index: u32, captured: i64, is_key: bool) -> Arc<AccessUnit> {
    Arc::new(AccessUnit {
        data: Bytes::from(picture(index, is_key)),
        key: is_key,
        captured: at(captured),
        pts: captured * 9 / 100,
        received: Instant::now(),
        config: config.clone(),
    })
}

/// Which picture a sample is, from its content.
fn index_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[5..9].try_into().unwrap())
}

#[derive(Default)]
struct Errors(Mutex<Vec<(&'static str, String)>>);

fn recorder(dir: &Path, policy: Retention, disk: Arc<dyn Disk>) -> (Recorder, Arc<Errors>) {
    let errors = Arc::new(Errors::default());
    let heard = errors.clone();
    let on_error: OnError = Arc::new(move |code, _, text| heard.0.lock().unwrap().push((code, text.to_owned())));
    (Recorder::start(vec![dir.to_owned()], None, policy, disk, on_error).unwrap(), errors)
}

fn plain(dir: &Path) -> Recorder {
    // Old timestamps must not be swept away while a test looks at them.
    recorder(dir, Retention { days: 0, max_bytes: None, min_free_bytes: 0 }, Arc::new(LocalDisk)).0
}

/// Records `count` pictures at 25 fps with a key frame every ten, from `T0`.
async fn record(recorder: &Recorder, count: u32) -> Track {
    let config = Arc::new(config());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    for i in 0..count {
        track.record(&unit(&config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
        if i % 1000 == 999 {
            recorder.flush(&key(), false).await.unwrap();
        }
    }
    track
}

/// The pictures that a player shows, and those it only decodes, by an independent reader.
fn shown(clip: &Clip) -> (Vec<u32>, Vec<u32>) {
    let mp4 = re_mp4::Mp4::read_bytes(&clip.mp4).unwrap();
    let track = mp4.tracks().values().next().unwrap();
    let elst = track.trak(&mp4).edts.as_ref().unwrap().elst.as_ref().unwrap();
    let (from, lasts) = (elst.entries[0].media_time as i64, elst.entries[0].segment_duration as i64);
    let mut seen: Vec<(i64, u32)> = Vec::new();
    let mut hidden = Vec::new();
    assert!(track.samples[0].is_sync, "decoding starts at a key frame");
    for sample in &track.samples {
        let range = sample.offset as usize..(sample.offset + sample.size) as usize;
        let index = index_of(&clip.mp4[range]);
        let pts = sample.composition_timestamp;
        if pts >= from && pts < from + lasts { seen.push((pts, index)) } else { hidden.push(index) }
    }
    seen.sort_unstable();
    (seen.into_iter().map(|(_, index)| index).collect(), hidden)
}

#[tokio::test]
async fn a_clip_is_exact_to_the_picture_and_hides_what_decoding_needed() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let _track = record(&recorder, 500).await;
    let clip = recorder.clip(&key(), at(T0 + 107 * FRAME), at(T0 + 482 * FRAME)).await.unwrap();
    assert_eq!((clip.frames, clip.complete), (375, true));
    assert_eq!(shown(&clip), ((107..482).collect(), (100..107).collect()));
    assert!((clip.from.as_microsecond() - (T0 + 107 * FRAME)).abs() < 50);
    assert!((clip.to.as_microsecond() - (T0 + 482 * FRAME)).abs() < 50);
}

#[tokio::test]
async fn a_clip_reaches_to_the_newest_picture_and_says_when_more_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let _track = record(&recorder, 33).await;
    let clip = recorder.clip(&key(), at(T0 - 5_000_000), at(T0 + 60_000_000)).await.unwrap();
    assert_eq!((clip.frames, clip.complete), (33, false));
    assert!(matches!(recorder.clip(&key(), at(T0 - 9), at(T0)).await, Err(ClipError::NotRecorded)));
    assert!(matches!(recorder.clip(&key(), at(T0), at(T0)).await, Err(ClipError::Empty)));
    assert!(matches!(recorder.clip(&key(), at(T0), at(T0 + 3_600_000_000)).await, Err(ClipError::TooLong)));
    let other = "gate-2.camera".parse().unwrap();
    assert!(matches!(recorder.clip(&other, at(T0), at(T0 + 9)).await, Err(ClipError::NotRecorded)));
}

#[tokio::test]
async fn segments_follow_each_other_without_a_seam() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let track = record(&recorder, 25 * 130).await;
    let clip = recorder.clip(&key(), at(T0 + 1487 * FRAME), at(T0 + 3013 * FRAME)).await.unwrap();
    assert_eq!((clip.frames, clip.complete), (1526, true));
    assert_eq!(shown(&clip).0, (1487..3013).collect::<Vec<_>>());
    drop(track);
    recorder.stop().await;
    let catalogue = index::load(&dir.path().join(key().as_str())).unwrap();
    let lengths: Vec<i64> = catalogue.segments.values().map(|s| (s.end_us - s.start_us) / 1_000_000).collect();
    assert_eq!(lengths, [60, 60, 10]);
    assert!(catalogue.segments.values().all(|segment| !segment.open));
}

#[tokio::test]
async fn a_crash_at_any_moment_loses_less_than_half_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(&dir.path().join("live"));
    let config = Arc::new(config());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    let began = Instant::now();
    for i in 0..60_u32 {
        // In real time, because that is what half a second is measured in.
        let due = Duration::from_millis(u64::from(i) * 40);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        track.record(&unit(&config, i, T0 + i64::from(i) * FRAME, i % 25 == 0));
        if i < 20 || i % 7 != 0 {
            continue;
        }
        // What kill -9 leaves is what the files hold now.
        let image = dir.path().join(format!("crash-{i}"));
        let copied = std::process::Command::new("cp").arg("-r").arg(dir.path().join("live")).arg(&image).status();
        assert!(copied.unwrap().success());
        let after = plain(&image);
        let clip = after.clip(&key(), at(T0), at(T0 + 60_000_000)).await;
        assert!(matches!(clip, Err(ClipError::NotRecorded)), "a camera is known when it is added");
        after.know(&key()).unwrap();
        let clip = after.clip(&key(), at(T0), at(T0 + 60_000_000)).await.unwrap();
        let lost = i as usize + 1 - clip.frames;
        assert!(lost * 40 <= 500, "{lost} pictures lost at {i}");
    }
}

#[tokio::test]
async fn b_frames_are_shown_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let config = Arc::new(config());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    // Decoding order I0 P3 B1 B2 P6 B4 B5 …; content names the presentation index.
    let mut order = vec![0];
    for anchor in (3..60).step_by(3) {
        order.extend([anchor, anchor - 2, anchor - 1]);
    }
    for i in &order {
        track.record(&unit(&config, *i, T0 + i64::from(*i) * FRAME, i % 30 == 0));
    }
    let clip = recorder.clip(&key(), at(T0 + 40 * FRAME), at(T0 + 53 * FRAME)).await.unwrap();
    assert_eq!(shown(&clip).0, (40..53).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_change_of_parameters_is_a_second_description() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let (first, second) = (Arc::new(config()), Arc::new(StreamConfig { width: 640, ..config() }));
    let track = recorder.track(&key(), Keep::default()).unwrap();
    for i in 0..40_u32 {
        let config = if i < 20 { &first } else { &second };
        track.record(&unit(config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
    }
    let clip = recorder.clip(&key(), at(T0 + 5 * FRAME), at(T0 + 35 * FRAME)).await.unwrap();
    assert_eq!(shown(&clip).0, (5..35).collect::<Vec<_>>());
    let mp4 = re_mp4::Mp4::read_bytes(&clip.mp4).unwrap();
    let stsc = &mp4.moov.traks[0].mdia.minf.stbl.stsc;
    let mut descriptions: Vec<_> = stsc.entries.iter().map(|e| e.sample_description_index).collect();
    descriptions.dedup();
    assert_eq!(descriptions, [1, 2]);
}

#[tokio::test]
async fn a_gap_keeps_its_length_and_makes_the_clip_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let config = Arc::new(config());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    for i in 0..50_u32 {
        let pause = if i < 25 { 0 } else { 30_000_000 };
        track.record(&unit(&config, i, T0 + i64::from(i) * FRAME + pause, i == 0 || i == 27));
    }
    let clip = recorder.clip(&key(), at(T0), at(T0 + 32_000_000)).await.unwrap();
    assert_eq!(clip.frames, 48, "after the gap recording waits for a key frame");
    assert!(!clip.complete);
    let length = clip.to.as_microsecond() - clip.from.as_microsecond();
    assert_eq!(length / 1_000_000, 32, "the hole is as long as it was");
}

/// A disk that is full until space is made, and then takes so many bytes.
#[derive(Default)]
struct SmallDisk {
    left: AtomicU64,
}

impl Disk for SmallDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let fits = (self.left.load(Ordering::Relaxed) as usize).min(bytes.len());
        file.write_all(&bytes[..fits])?;
        self.left.fetch_sub(fits as u64, Ordering::Relaxed);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(self.left.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_full_disk_is_told_once_and_recording_goes_on_where_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(SmallDisk { left: AtomicU64::new(3000) });
    let policy = Retention { days: 0, max_bytes: None, min_free_bytes: 0 };
    let (recorder, errors) = recorder(dir.path(), policy, disk.clone());
    let track = record(&recorder, 200).await;
    let _ = recorder.flush(&key(), false).await;
    assert!(!track.recording());
    assert_eq!(errors.0.lock().unwrap().iter().map(|e| e.0).collect::<Vec<_>>(), ["disk_full"]);
    disk.left.store(1 << 30, Ordering::Relaxed);
    let config = Arc::new(config());
    for i in 205..260_u32 {
        track.record(&unit(&config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
    }
    recorder.flush(&key(), false).await.unwrap();
    assert!(track.recording());
    let clip = recorder.clip(&key(), at(T0 + 200 * FRAME), at(T0 + 260 * FRAME)).await.unwrap();
    assert_eq!(shown(&clip).0, (210..260).collect::<Vec<_>>(), "from the next key frame");
}

#[tokio::test]
async fn the_oldest_go_and_a_pinned_range_stays() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(SmallDisk { left: AtomicU64::new(1 << 30) });
    let policy = Retention { days: 0, max_bytes: None, min_free_bytes: 0 };
    let (first, _) = recorder(dir.path(), policy.clone(), disk.clone());
    let track = record(&first, 25 * 190).await;
    first.pin(&key(), at(T0 + 70_000_000), at(T0 + 71_000_000)).await.unwrap();
    drop(track);
    first.stop().await;

    let (second, _) = recorder(dir.path(), policy, disk.clone());
    let track = second.track(&key(), Keep::default()).unwrap();
    disk.left.store(0, Ordering::Relaxed);
    let config = Arc::new(config());
    track.record(&unit(&config, 9000, T0 + 9000 * FRAME, true));
    assert!(second.flush(&key(), false).await.is_err());
    second.flush(&key(), false).await.unwrap(); // the sweep came between
    let cut = |from: i64| second.clip(&KEY, at(T0 + from * 1_000_000), at(T0 + (from + 2) * 1_000_000));
    assert!(matches!(cut(10).await, Err(ClipError::NotRecorded)), "the oldest went");
    assert_eq!(cut(70).await.unwrap().frames, 50, "the pinned one stayed");
    assert!(second.unpin(&key(), at(T0 + 70_000_000), at(T0 + 71_000_000)).await.unwrap());
    assert!(!second.unpin(&key(), at(T0 + 70_000_000), at(T0 + 71_000_000)).await.unwrap());
}

static KEY: std::sync::LazyLock<DeviceKey> = std::sync::LazyLock::new(key);

#[tokio::test]
async fn a_pin_of_what_is_yet_to_come_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    recorder.pin(&key(), at(T0), at(T0 + 30_000_000)).await.unwrap();
    recorder.pin(&key(), at(T0), at(T0 + 30_000_000)).await.unwrap();
    let text = fs::read_to_string(dir.path().join("gate-1.camera/pins")).unwrap();
    assert_eq!(text, format!("{T0} {}\n", T0 + 30_000_000));
}

#[tokio::test]
async fn nothing_is_recorded_while_held_and_it_goes_on_at_a_key_frame() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let config = Arc::new(config());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    for i in 0..60_u32 {
        if i == 20 || i == 45 {
            recorder.flush(&key(), false).await.unwrap();
            recorder.hold(i == 20, dir.path());
        }
        track.record(&unit(&config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
    }
    recorder.flush(&key(), false).await.unwrap();
    let clip = recorder.clip(&key(), at(T0), at(T0 + 60 * FRAME)).await.unwrap();
    assert_eq!(shown(&clip).0, (0..20).chain(50..60).collect::<Vec<_>>());
    assert_eq!(recorder.counts().1, 30);
}

/// The pictures of a piece, by an independent reader, with the moments they are shown at, from the piece's own.
fn played(piece: &Piece) -> Vec<(u32, i64)> {
    let mp4 = re_mp4::Mp4::read_bytes(&piece.mp4).unwrap();
    let track = mp4.tracks().values().next().unwrap();
    let samples = track.samples.iter().map(|sample| {
        let range = sample.offset as usize..(sample.offset + sample.size) as usize;
        (index_of(&piece.mp4[range]), sample.composition_timestamp * 100 / 9)
    });
    samples.collect()
}

#[tokio::test]
async fn a_piece_begins_at_the_key_frame_before_and_ends_at_the_one_after() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let _track = record(&recorder, 500).await;
    recorder.flush(&key(), false).await.unwrap();
    let piece = recorder.piece(&key(), at(T0 + 107 * FRAME), at(T0 + 131 * FRAME)).await.unwrap();
    assert_eq!(piece.codecs, "avc1.42c00d");
    let pictures = played(&piece);
    assert_eq!(pictures.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (100..140).collect::<Vec<_>>());
    assert!(pictures.iter().all(|(index, us)| (us - (i64::from(*index) - 100) * FRAME).abs() < 50), "{pictures:?}");
    assert!((piece.from.as_microsecond() - (T0 + 100 * FRAME)).abs() < 50);
    let next = piece.next.unwrap();
    assert!((next.as_microsecond() - (T0 + 140 * FRAME)).abs() < 50);
    assert!((piece.to.as_microsecond() - next.as_microsecond()).abs() < 50, "no hole between the pieces");
}

#[tokio::test]
async fn pieces_one_after_the_other_give_every_picture_once_over_segments_and_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let track = record(&recorder, 25 * 70).await;
    // Twenty seconds of nothing, then three more of the same camera.
    let config = Arc::new(config());
    let resumed = T0 + 1750 * FRAME + 20_000_000;
    for i in 0..75 {
        track.record(&unit(&config, 1750 + i, resumed + i64::from(i) * FRAME, i % 10 == 0));
    }
    recorder.flush(&key(), false).await.unwrap();
    let mut from = at(T0 + 3 * FRAME);
    let (mut seen, mut pieces) = (Vec::new(), 0);
    loop {
        let piece = recorder.piece(&key(), from, from + SignedDuration::from_secs(9)).await.unwrap();
        seen.extend(played(&piece).into_iter().map(|(index, _)| index));
        pieces += 1;
        let Some(next) = piece.next else { break };
        assert!(next > from);
        from = next;
    }
    assert_eq!(seen, (0..1825).collect::<Vec<_>>());
    assert!((8..=12).contains(&pieces), "{pieces}");
    assert!((from.as_microsecond() - resumed).abs() < 50, "the last piece begins behind the gap");
    let stretches = recorder.stretches(&key(), at(T0), at(T0 + 3_600_000_000), SignedDuration::from_secs(1));
    assert_eq!(stretches.len(), 2, "{stretches:?}");

    // In the gap, what comes after it; behind the end, nothing.
    let piece = recorder.piece(&key(), at(resumed - 5_000_000), at(resumed - 4_000_000)).await.unwrap();
    assert_eq!(played(&piece).first().map(|(index, _)| *index), Some(1750));
    let after = recorder.piece(&key(), at(resumed + 60_000_000), at(resumed + 61_000_000)).await;
    assert!(matches!(after, Err(ClipError::NotRecorded)));
}

#[tokio::test]
async fn a_piece_of_the_segment_being_written_reaches_to_the_newest_picture_and_grows() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let track = record(&recorder, 33).await;
    let piece = recorder.piece(&key(), at(T0 + 25 * FRAME), at(T0 + 9_000_000)).await.unwrap();
    assert_eq!(played(&piece).last().map(|(index, _)| *index), Some(32));
    assert_eq!(piece.next, None);
    let config = Arc::new(config());
    for i in 33..36 {
        track.record(&unit(&config, i, T0 + i64::from(i) * FRAME, false));
    }
    let again = piece.to - SignedDuration::from_millis(40);
    let piece = recorder.piece(&key(), again, again + SignedDuration::from_secs(9)).await.unwrap();
    assert_eq!(played(&piece).into_iter().map(|(index, _)| index).collect::<Vec<_>>(), [30, 31, 32, 33, 34, 35]);
}

#[tokio::test]
async fn a_piece_ends_where_the_codec_changes() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let track = record(&recorder, 20).await;
    let wide = Arc::new(StreamConfig { width: 640, height: 480, ..config() });
    for i in 20..40 {
        track.record(&unit(&wide, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
    }
    recorder.flush(&key(), false).await.unwrap();
    let first = recorder.piece(&key(), at(T0), at(T0 + 30 * FRAME)).await.unwrap();
    assert_eq!(first.frames, 20);
    let next = first.next.unwrap();
    let second = recorder.piece(&key(), next, at(T0 + 60_000_000)).await.unwrap();
    assert_eq!(played(&second).first().map(|(index, _)| *index), Some(20));
}
