//! Whether a camera's view is judged rightly on photographs of real gates and streets, where a set of them lies beside the
//! repository (`../shared/data/plates`); the drawn scenes of the thresholds are in the vision crate.

use gatehouse_vision::frame::{Frame, Rgb};
use gatehouse_vision::view::{Problem, ViewOptions, ViewWatch};
use std::path::Path;
use std::time::Duration;

const SIZE: (u32, u32) = (640, 360);
/// Photographs tried: every third, so that the run takes seconds.
const EVERY: usize = 3;

fn photographs() -> Vec<Rgb> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/plates");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "jpg"));
    files.sort();
    let read = |path: &std::path::PathBuf| Frame::from_image_bytes(&std::fs::read(path).unwrap()).unwrap();
    files.iter().step_by(EVERY).map(|path| read(path).rgb_resized(SIZE.0, SIZE.1)).collect()
}

fn lit(picture: &Rgb, gain: f32) -> Rgb {
    let bytes = picture.data().iter().map(|value| (f32::from(*value) * gain).round().min(255.0) as u8).collect();
    Rgb::from_bytes(SIZE.0, SIZE.1, bytes).unwrap()
}

fn blurred(picture: &Rgb) -> Rgb {
    picture.view().resize_area(SIZE.0 / 8, SIZE.1 / 8).view().resize_bilinear(SIZE.0, SIZE.1)
}

/// What is told of a first picture and then another, looked at every five seconds.
fn told(first: &Rgb, then: &[&Rgb]) -> Vec<Problem> {
    let mut watch = ViewWatch::new(ViewOptions::default());
    let pictures = std::iter::once(first).chain(then.iter().copied());
    let seconds = pictures.enumerate().flat_map(|(n, picture)| (0..30).map(move |i| ((n * 30 + i) * 5, picture)));
    seconds
        .filter_map(|(second, picture)| {
            watch.look(&picture.clone().into_frame(Duration::from_secs(second as u64))).flatten()
        })
        .collect()
}

#[test]
fn real_views_are_fine_in_any_light_and_told_when_they_are_not() {
    let pictures = photographs();
    let (mut judged, mut moved, mut soft) = (0, 0, 0);
    for (n, picture) in pictures.iter().enumerate() {
        let (dim, bright) = (lit(picture, 0.45), lit(picture, 1.2));
        assert_eq!(told(picture, &[&dim, &bright, picture]), [], "picture {n} in other light");
        let other = &pictures[(n + 1) % pictures.len()];
        judged += 1;
        moved += usize::from(told(picture, &[other]) == [Problem::Moved]);
        soft += usize::from(told(picture, &[&blurred(picture)]) == [Problem::Defocused]);
        let black = lit(picture, 0.02);
        assert_eq!(told(picture, &[&black]), [Problem::Dark], "picture {n} gone dark");
    }
    println!("{judged} photographs: another view told {moved} times, a blur {soft} times");
    assert!(moved * 10 >= judged * 8 && soft * 10 >= judged * 8, "{moved} and {soft} of {judged}");
}
