//! What is heard, through segments, clips and pieces: every frame once, in its time, and none of it torn.

use super::*;
use crate::audio::{AudioConfig, AudioFrame, flac};
use mp4_atom::{Codec, Decode};

/// A packet of 20 ms.
const PACKET: i64 = 20_000;

fn hears() -> Arc<AudioConfig> {
    let description = flac::stream_info(8_000, 1).into();
    Arc::new(AudioConfig { codec: "flac".into(), description, rate: 8_000, channels: 1 })
}

/// The n-th packet: its first sample names it.
fn packet(config: &Arc<AudioConfig>, n: i64) -> Arc<AudioFrame> {
    let samples: Vec<i16> = (0..160).map(|i| if i == 0 { n as i16 } else { (i % 7) as i16 }).collect();
    let data = flac::frame(&samples, 1, 8_000, n.max(0) as u64 * 160).unwrap().into();
    Arc::new(AudioFrame { data, captured: at(T0 + n * PACKET), samples: 160, config: config.clone() })
}

/// Records pictures at 25 fps and what is heard meanwhile; audio comes `late` packets after its time.
async fn film(recorder: &Recorder, pictures: u32, late: i64) -> Track {
    let (picture_config, audio) = (Arc::new(config()), hears());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    for i in 0..pictures {
        track.record(&unit(&picture_config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
        for n in [2 * i64::from(i) - late, 2 * i64::from(i) + 1 - late] {
            track.record_audio(&packet(&audio, n));
        }
        if i % 500 == 499 {
            recorder.flush(&key(), false).await.unwrap();
        }
    }
    track
}

/// What a file's second track plays: presentation time in ticks after the first shown picture, and the packet's number; `None` for
/// silence. By the tables of the file, not by the code that wrote it.
fn heard(mp4: &[u8]) -> Vec<(i64, Option<i16>)> {
    let mp4_file = re_mp4::Mp4::read_bytes(mp4).unwrap();
    let track = &mp4_file.tracks()[&2];
    let edits = track.trak(&mp4_file).edts.as_ref().and_then(|edts| edts.elst.as_ref());
    let (mut begins, mut from, mut until) = (0, 0, i64::MAX);
    for entry in edits.iter().flat_map(|list| &list.entries) {
        match entry.media_time as i64 {
            time if time == -1 || time == i64::from(u32::MAX) => begins = entry.segment_duration as i64,
            time => (from, until) = (time, time + entry.segment_duration as i64),
        }
    }
    let told = track.samples.iter().filter(|sample| sample.decode_timestamp < until).map(|sample| {
        let range = sample.offset as usize..(sample.offset + sample.size) as usize;
        let samples = flac::tests::decode(&mp4[range]);
        let named = samples.iter().any(|sample| *sample != 0).then(|| samples[0]);
        (begins + sample.decode_timestamp - from, named)
    });
    told.collect()
}

#[tokio::test]
async fn a_clip_has_the_sound_of_its_pictures_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let _track = film(&recorder, 300, 0).await;
    // From the 107th picture, whose time is the 214th packet's; its group begins at the 100th.
    let clip = recorder.clip(&key(), at(T0 + 107 * FRAME), at(T0 + 157 * FRAME)).await.unwrap();
    assert_eq!((clip.frames, clip.complete), (50, true));
    assert_eq!(shown(&clip).0, (107..157).collect::<Vec<_>>());
    let told = heard(&clip.mp4);
    assert_eq!(told.iter().map(|(_, n)| n.unwrap()).collect::<Vec<_>>(), (214..314).collect::<Vec<i16>>());
    for (i, (at, _)) in told.iter().enumerate() {
        // Times are rounded down to a tick, once for the segment's start and once for the sample.
        assert!((at - i as i64 * 1_800).abs() <= 2, "{at} for packet {i}");
    }
    // Between two packets: the one that sounds then is there, and begins before the picture.
    let clip = recorder.clip(&key(), at(T0 + 107 * FRAME - 5_000), at(T0 + 110 * FRAME)).await.unwrap();
    assert!((heard(&clip.mp4)[0].0).abs() <= 2, "{:?}", heard(&clip.mp4));
}

#[tokio::test]
async fn sound_that_comes_late_is_in_its_segment_and_pieces_join_without_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    // 160 ms behind, over the end of two segments.
    let track = film(&recorder, 25 * 130, 8).await;
    let clip = recorder.clip(&key(), at(T0 + 1_400 * FRAME), at(T0 + 3_100 * FRAME)).await.unwrap();
    let numbers: Vec<_> = heard(&clip.mp4).into_iter().map(|(_, n)| n).collect();
    assert_eq!(numbers, (2_800..6_200).map(Some).collect::<Vec<Option<i16>>>());
    // Pieces: each packet once, whichever piece it is in.
    let (mut from, mut told, mut pieces) = (at(T0 + 1_400 * FRAME), Vec::new(), 0);
    while from < at(T0 + 3_100 * FRAME) {
        let piece = recorder.piece(&key(), from, from + SignedDuration::from_secs(4)).await.unwrap();
        assert_eq!(piece.codecs, "avc1.42c00d,flac");
        told.extend(heard(&piece.mp4).into_iter().map(|(_, n)| n));
        from = piece.next.unwrap();
        pieces += 1;
    }
    assert!(pieces > 10);
    assert_eq!(told, (2_800..2_800 + told.len() as i16).map(Some).collect::<Vec<_>>());
    drop(track);
    recorder.stop().await;
    let catalogue = index::load(&dir.path().join(key().as_str())).unwrap();
    let lengths: Vec<i64> = catalogue.segments.values().map(|s| (s.end_us - s.start_us) / 1_000_000).collect();
    assert_eq!(lengths, [60, 60, 10]);
    let bytes: u64 = catalogue.segments.values().map(|s| fs::metadata(&s.path).unwrap().len()).sum();
    assert_eq!(catalogue.bytes(), bytes, "what retention counts is what lies there");
}

#[tokio::test]
async fn where_nothing_was_heard_is_silence_and_what_follows_keeps_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let (picture_config, audio) = (Arc::new(config()), hears());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    for i in 0..100_u32 {
        track.record(&unit(&picture_config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
        for n in [2 * i64::from(i), 2 * i64::from(i) + 1] {
            // Lost on the way: a second, from the 61st packet on.
            if !(60..110).contains(&n) {
                track.record_audio(&packet(&audio, n));
            }
        }
    }
    let clip = recorder.clip(&key(), at(T0), at(T0 + 100 * FRAME)).await.unwrap();
    let told = heard(&clip.mp4);
    let silent = told.iter().filter(|(_, n)| n.is_none()).count();
    assert!((49..=51).contains(&silent), "{silent} frames of silence");
    for (at, n) in told.iter().filter_map(|(at, n)| Some((at, (*n)?))) {
        assert!((at - i64::from(n) * 1_800).abs() <= 2, "packet {n} at {at}");
    }
}

#[tokio::test]
async fn a_camera_that_begins_to_be_heard_gets_a_segment_with_sound_and_old_ones_play_on() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let track = record(&recorder, 200).await;
    recorder.flush(&key(), false).await.unwrap();
    let (picture_config, audio) = (Arc::new(config()), hears());
    for i in 200..400_u32 {
        track.record(&unit(&picture_config, i, T0 + i64::from(i) * FRAME, i % 10 == 0));
        for n in [2 * i64::from(i), 2 * i64::from(i) + 1] {
            track.record_audio(&packet(&audio, n));
        }
    }
    let clip = recorder.clip(&key(), at(T0 + 150 * FRAME), at(T0 + 350 * FRAME)).await.unwrap();
    assert_eq!(shown(&clip).0, (150..350).collect::<Vec<_>>());
    let told = heard(&clip.mp4);
    let (first, n) = told.iter().find_map(|(at, n)| Some((*at, (*n)?))).unwrap();
    assert!((i64::from(n) * 1_800 - 150 * 3_600 - first).abs() <= 2, "packet {n} at {first}");
    assert!(n < 430, "from the next key frame on: {n}");
    let silent = recorder.piece(&key(), at(T0), at(T0 + 100 * FRAME)).await.unwrap();
    assert_eq!(silent.codecs, "avc1.42c00d");
    let late = recorder.piece(&key(), at(T0 + 300 * FRAME), at(T0 + 310 * FRAME)).await.unwrap();
    assert_eq!(late.codecs, "avc1.42c00d,flac");
}

#[tokio::test]
async fn a_crash_leaves_pictures_and_sound_of_the_same_time_and_a_torn_frame_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(&dir.path().join("live"));
    let _track = film(&recorder, 90, 0).await;
    recorder.flush(&key(), false).await.unwrap();
    let image = dir.path().join("crash");
    let copied = std::process::Command::new("cp").arg("-r").arg(dir.path().join("live")).arg(&image).status();
    assert!(copied.unwrap().success());
    let camera = image.join(key().as_str());
    let day = fs::read_dir(&camera).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let open = fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&open).unwrap();
    let whole = fmp4::scan(&mut std::io::Cursor::new(&bytes), true).unwrap().unwrap();
    let (pictures, sound) = (whole.samples.len(), whole.audio.unwrap().samples);
    assert_eq!((pictures, sound.len()), (90, 180));
    // The disk gave zeros for the end of the last frame: its part is not whole.
    let last = sound.last().unwrap();
    let end = (last.offset + u64::from(last.size)) as usize;
    bytes[end - 3..].fill(0);
    fs::write(&open, &bytes).unwrap();
    let catalogue = index::load(&camera).unwrap();
    let segment = catalogue.segments.values().next().unwrap();
    let scan = fmp4::scan(&mut File::open(&segment.path).unwrap(), true).unwrap().unwrap();
    let (pictures, heard) = (scan.samples.len(), scan.audio.unwrap().samples.len());
    assert!(!segment.open && pictures < 90 && heard < 180, "{pictures} pictures, {heard} packets");
    assert!(pictures * 2 <= heard + 1 && heard <= pictures * 2 + 1, "{pictures} pictures, {heard} packets");
}

#[test]
fn aac_is_recorded_as_its_stream_describes_it() {
    let description = Bytes::from_static(&[0x14, 0x08]);
    let aac = AudioConfig { codec: "mp4a.40.2".into(), description, rate: 16_000, channels: 1 };
    let bytes = fmp4::init(&config(), Some(&aac)).unwrap();
    let at = bytes.windows(4).position(|word| word == b"moov").unwrap() - 4;
    let moov = mp4_atom::Moov::decode(&mut &bytes[at..]).unwrap();
    let Codec::Mp4a(entry) = &moov.trak[1].mdia.minf.stbl.stsd.codecs[0] else { panic!("mp4a") };
    let specific = entry.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
    assert_eq!((specific.raw.as_slice(), entry.audio.channel_count), (&[0x14, 0x08][..], 1));
    assert_eq!(fmp4::audio_name(&Codec::Mp4a(entry.clone())), "mp4a.40.2");
    let (silence, lasts) = fmp4::silence(&Codec::Mp4a(entry.clone())).unwrap();
    assert_eq!((silence.is_empty(), lasts), (false, 5_760));
}
