//! The stored picture of an observation: the thing in its surroundings, boxed.

use crate::frame::{Frame, Rgb};
use gatehouse_core::id::PictureId;
use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// JPEG quality.
const QUALITY: u8 = 85;
/// Largest width stored, pixels.
const WIDTH_MAX: u32 = 960;
/// Surroundings, in widths of the thing, and the least that is cut out, pixels.
const CONTEXT: f32 = 5.0;
const LEAST: f32 = 480.0;
/// Margin around the crop of a plate, in its heights, and the largest one stored, pixels.
const CROP_MARGIN: f32 = 0.3;
const CROP_MAX: (u32, u32) = (320, 160);
/// The box: the signal yellow of road works, two pixels wide.
const INK: [u8; 3] = [0xFF, 0xC8, 0x00];

/// Where an observation's picture lies; the day is of the observation, in UTC.
pub fn path(pictures: &Path, id: PictureId, at: Timestamp) -> PathBuf {
    let day = at.strftime("%Y%m%d").to_string();
    pictures.join(day).join(format!("{id}.jpg"))
}

/// Where the crop of an observation's plate lies: beside its picture.
pub fn crop_path(picture: &Path) -> PathBuf {
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
    picture.with_file_name(format!("{stem}-plate.jpg"))
}

/// Stores the picture of something at `bounds` (frame pixels), or of the whole frame; with `crop` also what lies in the bounds
/// by itself.
pub fn store(
    pictures: &Path,
    frame: &Frame,
    bounds: Option<[f32; 4]>,
    crop: bool,
    at: Timestamp,
) -> io::Result<PictureId> {
    let id = PictureId(uuid::Uuid::now_v7());
    let path = path(pictures, id, at);
    write(&path, &boxed(frame, bounds))?;
    if let Some(plate) = bounds.filter(|_| crop).and_then(|bounds| cropped(frame, bounds)) {
        write(&crop_path(&path), &plate)?;
    }
    Ok(id)
}

fn write(path: &Path, picture: &Rgb) -> io::Result<()> {
    let jpeg = picture.to_jpeg(QUALITY).map_err(io::Error::other)?;
    if let Some(day) = path.parent() {
        fs::create_dir_all(day)?;
    }
    // Whole or not there: readers see the final name only.
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&jpeg)?;
    fs::rename(&fresh, path)
}

/// What lies in the bounds, with a margin, without the box.
fn cropped(frame: &Frame, bounds: [f32; 4]) -> Option<Rgb> {
    let (right, bottom) = (frame.width() as f32, frame.height() as f32);
    let [x1, y1, x2, y2] = bounds;
    let sane = bounds.iter().all(|value| value.is_finite()) && x2 > x1 && y2 > y1;
    let margin = CROP_MARGIN * (y2 - y1);
    let (left, top) = ((x1 - margin).clamp(0.0, right), (y1 - margin).clamp(0.0, bottom));
    let (width, height) = ((x2 + margin).clamp(0.0, right) - left, (y2 + margin).clamp(0.0, bottom) - top);
    if !sane || width < 4.0 || height < 4.0 {
        return None;
    }
    let (rgb, _) = frame.rgb_crop(left as i64, top as i64, width as i64, height as i64)?;
    let scale = (CROP_MAX.0 as f32 / rgb.width() as f32).min(CROP_MAX.1 as f32 / rgb.height() as f32);
    if scale >= 1.0 {
        return Some(rgb);
    }
    let side = |length: u32| ((length as f32 * scale) as u32).max(1);
    Some(rgb.view().resize_area(side(rgb.width()), side(rgb.height())))
}

fn boxed(frame: &Frame, bounds: Option<[f32; 4]>) -> Rgb {
    let (right, bottom) = (frame.width() as f32, frame.height() as f32);
    // A detector's box may be anything.
    let sane = bounds.filter(|bounds| bounds.iter().all(|value| value.is_finite()));
    let cut = sane.and_then(|[x1, y1, x2, y2]| {
        let bounds = [x1.clamp(0.0, right), y1.clamp(0.0, bottom), x2.clamp(0.0, right), y2.clamp(0.0, bottom)];
        let (x, y, width, height) = surroundings(frame, bounds);
        let (mut rgb, [left, top]) = frame.rgb_crop(x, y, width, height)?;
        let local = |value: f32, from: i64| value as i64 - from;
        draw(&mut rgb, [local(bounds[0], left), local(bounds[1], top), local(bounds[2], left), local(bounds[3], top)]);
        Some(rgb)
    });
    let rgb = cut.unwrap_or_else(|| frame.to_rgb());
    if rgb.width() <= WIDTH_MAX {
        return rgb;
    }
    let height = (u64::from(rgb.height()) * u64::from(WIDTH_MAX) / u64::from(rgb.width())).max(1) as u32;
    rgb.view().resize_area(WIDTH_MAX, height)
}

/// x, y, width, height around a box, 4:3, inside the frame as far as it goes.
fn surroundings(frame: &Frame, [x1, y1, x2, y2]: [f32; 4]) -> (i64, i64, i64, i64) {
    let (full_width, full_height) = (frame.width() as f32, frame.height() as f32);
    let width = ((x2 - x1).max((y2 - y1) * 4.0 / 3.0) * CONTEXT).clamp(LEAST.min(full_width), full_width);
    let height = (width * 0.75).min(full_height);
    let x = ((x1 + x2 - width) / 2.0).clamp(0.0, full_width - width);
    let y = ((y1 + y2 - height) / 2.0).clamp(0.0, full_height - height);
    (x as i64, y as i64, width as i64, height as i64)
}

fn draw(rgb: &mut Rgb, [x1, y1, x2, y2]: [i64; 4]) {
    let (width, height) = (i64::from(rgb.width()), i64::from(rgb.height()));
    let pixels = rgb.data_mut();
    let mut dot = |x: i64, y: i64| {
        if (0..width).contains(&x) && (0..height).contains(&y) {
            let at = ((y * width + x) * 3) as usize;
            if let Some(pixel) = pixels.get_mut(at..at + 3) {
                pixel.copy_from_slice(&INK);
            }
        }
    };
    let (left, right, top, bottom) = (x1 - 3, x2 + 3, y1 - 3, y2 + 3);
    for thick in 0..2 {
        for x in left..=right {
            dot(x, top + thick);
            dot(x, bottom - thick);
        }
        for y in top..=bottom {
            dot(left + thick, y);
            dot(right - thick, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn grey(width: u32, height: u32) -> Frame {
        Frame::from_rgb(width, height, vec![90; (width * height * 3) as usize], Duration::ZERO).unwrap()
    }

    #[test]
    fn a_picture_shows_the_thing_boxed_in_its_surroundings() {
        let dir = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-03-14T23:59:59Z".parse().unwrap();
        let id = store(dir.path(), &grey(1280, 720), Some([1100.0, 600.0, 1250.0, 650.0]), true, at).unwrap();
        let path = path(dir.path(), id, at);
        assert!(path.starts_with(dir.path().join("20260314")));
        let plate = Frame::from_image_bytes(&fs::read(crop_path(&path)).unwrap()).unwrap();
        assert_eq!((plate.width(), plate.height()), (180, 80), "with a margin of fifteen pixels");
        let picture = Frame::from_image_bytes(&fs::read(path).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (750, 562));
        let rgb = picture.to_rgb();
        let yellow = |x: u32, y: u32| rgb.pixel(x, y)[0] > 180 && rgb.pixel(x, y)[2] < 120;
        assert!(yellow(1175 - 530, 597 - 158) || yellow(1175 - 530, 598 - 158), "the upper edge of the box");
        assert!(!yellow(10, 10));
    }

    #[test]
    fn any_box_is_survived() {
        for bounds in [
            [0.0; 4],
            [-50.0, -50.0, 5000.0, 5000.0],
            [f32::NAN; 4],
            [f32::INFINITY, 0.0, f32::NEG_INFINITY, 1e30],
            [9e9, 9e9, 9.1e9, 9.1e9],
        ] {
            for frame in [grey(64, 48), grey(2000, 30)] {
                let rgb = boxed(&frame, Some(bounds));
                assert!(rgb.width() <= WIDTH_MAX && rgb.width() > 0);
                let crop = cropped(&frame, bounds);
                assert!(crop.is_none_or(|crop| crop.width() <= CROP_MAX.0 && crop.height() <= CROP_MAX.1));
            }
        }
    }
}
