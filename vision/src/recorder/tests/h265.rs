//! An H.265 stream through the recorder, on real pictures.

use super::*;

/// Two seconds of a moving test card at 10 fps, x265, a key frame a second.
const FILM: &[u8] = include_bytes!("../testdata/testsrc_96x64_h265.mp4");

/// The body of the file's first box of this name.
fn body<'a>(file: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    let at = file.windows(4).position(|word| word == name).unwrap();
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    &file[at + 4..at - 4 + size]
}

fn samples(file: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mp4 = re_mp4::Mp4::read_bytes(file).unwrap();
    let track = mp4.tracks().values().next().unwrap();
    let take = |sample: &re_mp4::Sample| {
        let range = sample.offset as usize..(sample.offset + sample.size) as usize;
        (file[range].to_vec(), sample.is_sync)
    };
    track.samples.iter().map(take).collect()
}

#[tokio::test]
async fn an_h265_stream_is_recorded_and_cut_exactly_with_its_own_sample_entry() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = plain(dir.path());
    let description = Bytes::copy_from_slice(body(FILM, b"hvcC"));
    let config = Arc::new(StreamConfig { codec: "hvc1.1.6.L30.90".into(), description, width: 96, height: 64 });
    assert!(!config.is_h264());
    let track = recorder.track(&key(), Keep::default()).unwrap();
    let film = samples(FILM);
    assert_eq!((film.len(), film.iter().filter(|(_, key)| *key).count()), (20, 2));
    for (i, (data, is_key)) in film.iter().enumerate() {
        let shown = unit(&config, 0, T0 + i as i64 * 100_000, *is_key);
        let data = Bytes::from(data.clone());
        track.record(&Arc::new(AccessUnit { data, config: config.clone(), ..Arc::into_inner(shown).unwrap() }));
    }
    // From the thirteenth picture: decoding begins at the eleventh, which is hidden.
    let clip = recorder.clip(&key(), at(T0 + 1_200_000), at(T0 + 1_800_000)).await.unwrap();
    assert_eq!((clip.frames, clip.complete), (6, true));
    assert_eq!(body(&clip.mp4, b"hvcC"), &config.description[..], "the decoder's description is the camera's");
    assert!(clip.mp4.windows(4).any(|word| word == b"hvc1"));
    let cut: Vec<_> = samples(&clip.mp4).into_iter().map(|(data, _)| data).collect();
    assert_eq!(
        cut,
        film[10..18].iter().map(|(data, _)| data.clone()).collect::<Vec<_>>(),
        "every byte of every picture"
    );
}
