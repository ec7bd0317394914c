//! Somebody before a door camera: head and shoulders cut out of a photograph.
//!
//! The outlines of the demo's photographs are embedded; any other photograph is taken to show a face in its upper middle. The
//! outline is softened along the picture's own edges (guided filter), so hair does not look like paper.

use super::paint::{Paint, Path, Point, alpha, box_blur, mix, rgb, smooth};
use super::pose::{Features, Pose, posed};
use super::sprite::Sprite;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

/// Outlines by name; how they were made is told in assets/README.md.
const CUTOUTS: &str = include_str!("assets/cutouts.txt");
/// A face taller than this in the photograph is scaled down: the scene shows about 130.
const FACE_MAX: f32 = 190.0;
/// Photographs with more pixels than this are not decoded.
const SIDE_MAX: u32 = 6_000;

/// A person ready to be shown.
#[derive(Debug)]
pub(crate) struct Person {
    sprite: Arc<Sprite>,
    /// The same face in the other poses, where it is known.
    poses: Vec<(Pose, Arc<Sprite>)>,
    /// Middle of the face in the sprite, in pixels.
    pub(crate) face: Point,
    /// Width of the face in the sprite, in pixels.
    pub(crate) face_width: f32,
}

impl Person {
    /// The person in a pose; straight where the face is not known.
    pub(crate) fn sprite(&self, pose: Pose) -> &Arc<Sprite> {
        self.poses.iter().find(|(has, _)| *has == pose).map_or(&self.sprite, |(_, sprite)| sprite)
    }
}

/// Why a photograph cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PhotoError {
    #[error(
        "no photograph of that name in {0}: a silhouette stands in; fetch the demo's pictures with `gatehouse setup`"
    )]
    Missing(PathBuf),
    #[error("{0} is not a PNG or JPEG picture of at most {SIDE_MAX} pixels a side: a silhouette stands in")]
    Unreadable(PathBuf),
    #[error("no folder with photographs is set: a silhouette stands in")]
    NoFolder,
}

struct Cutout {
    /// x0, y0, x1, y1, shares of width and height.
    face: [f32; 4],
    outline: Vec<Point>,
    /// Left eye, right eye, tip of the nose; shares of width and height.
    features: Option<[Point; 3]>,
}

/// Where the parts of the face in one of the demo's photographs are; `None` for any other photograph.
pub fn features(name: &str, photo: &image::RgbImage) -> Option<Features> {
    cutout(name)?.features_in(photo)
}

impl Cutout {
    fn features_in(&self, photo: &image::RgbImage) -> Option<Features> {
        let [left, right, nose] = self.features?.map(|p| [p[0] * photo.width() as f32, p[1] * photo.height() as f32]);
        Some(Features { eyes: [left, right], nose })
    }
}

/// Loads and cuts out a photograph by name.
pub(crate) fn load(folder: Option<&FilePath>, name: &str) -> Result<Person, PhotoError> {
    let folder = folder.ok_or(PhotoError::NoFolder)?;
    let file = find(folder, name).ok_or_else(|| PhotoError::Missing(folder.to_owned()))?;
    let unreadable = || PhotoError::Unreadable(file.clone());
    let mut reader =
        image::ImageReader::open(&file).and_then(image::ImageReader::with_guessed_format).map_err(|_| unreadable())?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    reader.limits(limits);
    let photo = reader.decode().map_err(|_| unreadable())?.to_rgb8();
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    Ok(cut(&photo, &cutout(stem).unwrap_or_else(usual)))
}

/// The file of that name, with or without ending; names with a path in them are none.
fn find(folder: &FilePath, name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return None;
    }
    let endings = ["", ".png", ".jpg", ".jpeg"];
    endings.iter().map(|e| folder.join(format!("{name}{e}"))).find(|f| f.is_file())
}

fn cutout(name: &str) -> Option<Cutout> {
    let line = CUTOUTS.lines().find(|l| l.split('|').next().is_some_and(|n| n.trim() == name))?;
    let mut parts = line.split('|').skip(1);
    let number = |s: &str| s.parse::<f32>().ok().map(|v| v / 1_000.0);
    let face: Vec<f32> = parts.next()?.split_whitespace().filter_map(number).collect();
    let point = |s: &str| s.split_once(',').and_then(|(x, y)| Some([number(x)?, number(y)?]));
    let mut points = || Some(parts.next()?.split_whitespace().filter_map(point).collect::<Vec<_>>());
    let (outline, features) = (points()?, points().and_then(|points| points.try_into().ok()));
    Some(Cutout { face: face.try_into().ok()?, outline, features })
}

/// A portrait as most are: the face in the upper middle, shoulders to the edges.
fn usual() -> Cutout {
    let face = [0.36, 0.20, 0.64, 0.56];
    let half = [
        [0.5, 0.10],
        [0.60, 0.115],
        [0.67, 0.18],
        [0.69, 0.30],
        [0.675, 0.42],
        [0.63, 0.53],
        [0.60, 0.60],
        [0.70, 0.66],
        [0.86, 0.73],
        [0.94, 0.82],
        [0.97, 1.0],
    ];
    let left = half.iter().rev().map(|p: &Point| [1.0 - p[0], p[1]]);
    Cutout { face, outline: half.iter().copied().chain(left).collect(), features: None }
}

fn cut(photo: &image::RgbImage, cutout: &Cutout) -> Person {
    let (w, h) = (photo.width() as f32, photo.height() as f32);
    let [x0, y0, x1, y1] = cutout.face;
    let face_height = (y1 - y0) * h;
    let scale = (FACE_MAX / face_height).min(1.0);
    let small = if scale < 1.0 {
        let size = |v: f32| ((v * scale) as u32).max(2);
        image::imageops::resize(photo, size(w), size(h), image::imageops::FilterType::Triangle)
    } else {
        photo.clone()
    };
    let (sw, sh) = (small.width() as usize, small.height() as usize);
    let outline: Vec<Point> = cutout.outline.iter().map(|p| [p[0] * sw as f32, p[1] * sh as f32]).collect();
    let mut mask = Paint::new(sw, sh);
    mask.flat(&Path::polygon(&outline), rgb(0xffffff));
    let matte: Vec<f32> = mask.px.iter().map(|p| p[3]).collect();
    let guide: Vec<f32> = small
        .pixels()
        .map(|p| (0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])) / 255.0)
        .collect();
    let mut soft = guided_filter(&guide, &matte, sw, sh, 4, 1e-3);
    // Where the photograph ends the person ends: no fading there, or the frame would show through.
    for (s, m) in soft.iter_mut().zip(&matte) {
        *s = smooth(0.12, 0.92, 0.75 * *s + 0.25 * m);
    }
    let bounds = ink_bounds(&soft, sw, sh);
    let sprite = |photo: &image::RgbImage| {
        let mut p = Paint::new(bounds[2] - bounds[0], bounds[3] - bounds[1]);
        for (i, px) in p.px.iter_mut().enumerate() {
            let (x, y) = (i % p.w + bounds[0], i / p.w + bounds[1]);
            let a = soft[y * sw + x];
            let c = photo.get_pixel(x as u32, y as u32).0.map(|v| f32::from(v) / 255.0);
            *px = [c[0] * a, c[1] * a, c[2] * a, a];
        }
        Arc::new(Sprite::new(&p))
    };
    let features = cutout.features_in(&small);
    let poses = Pose::ALL.into_iter().filter(|pose| *pose != Pose::Straight);
    let poses = features.iter().flat_map(|face| poses.clone().map(|pose| (pose, sprite(&posed(&small, face, pose)))));
    Person {
        poses: poses.collect(),
        face: [(x0 + x1) / 2.0 * sw as f32 - bounds[0] as f32, (y0 + y1) / 2.0 * sh as f32 - bounds[1] as f32],
        face_width: (x1 - x0) * sw as f32,
        sprite: sprite(&small),
    }
}

fn ink_bounds(matte: &[f32], w: usize, h: usize) -> [usize; 4] {
    let mut b = [w, h, 0, 0];
    for (i, _) in matte.iter().enumerate().filter(|(_, m)| **m > 0.0) {
        let (x, y) = (i % w, i / w);
        b = [b[0].min(x), b[1].min(y), b[2].max(x + 1), b[3].max(y + 1)];
    }
    if b[2] <= b[0] { [0, 0, w, h] } else { b }
}

/// Makes `input` follow the edges of `guide` (He, Sun & Tang, ECCV 2010); both w × h, 0–1.
fn guided_filter(guide: &[f32], input: &[f32], w: usize, h: usize, radius: usize, eps: f32) -> Vec<f32> {
    let mean = |values: Vec<f32>| {
        let mut values = values;
        box_blur(&mut values, w, h, radius, 1);
        values
    };
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
    let (mean_i, mean_p) = (mean(guide.to_vec()), mean(input.to_vec()));
    let (corr_i, corr_ip) = (mean(product(guide, guide)), mean(product(guide, input)));
    let (mut a, mut b) = (Vec::with_capacity(w * h), Vec::with_capacity(w * h));
    for i in 0..w * h {
        let slope = (corr_ip[i] - mean_i[i] * mean_p[i]) / (corr_i[i] - mean_i[i] * mean_i[i] + eps);
        a.push(slope);
        b.push(mean_p[i] - slope * mean_i[i]);
    }
    let (a, b) = (mean(a), mean(b));
    guide.iter().zip(a.iter().zip(&b)).map(|(i, (a, b))| (a * i + b).clamp(0.0, 1.0)).collect()
}

/// A grey figure for who has no photograph.
pub(crate) fn silhouette() -> Person {
    let (w, h) = (420.0, 440.0);
    let mut p = Paint::new(w as usize, h as usize);
    let cx = w / 2.0;
    let body = Path::curve(&[
        [cx - 30.0, 190.0],
        [cx + 30.0, 190.0],
        [cx + 44.0, 236.0],
        [cx + 120.0, 268.0],
        [cx + 168.0, 320.0],
        [cx + 182.0, h],
        [cx + 182.0, h],
        [cx - 182.0, h],
        [cx - 182.0, h],
        [cx - 168.0, 320.0],
        [cx - 120.0, 268.0],
        [cx - 44.0, 236.0],
    ]);
    p.fill(&body, |x, y| mix(rgb(0x5a626b), rgb(0x343a41), (y - 200.0) / 260.0 + (x - cx) / 900.0));
    let head = Path::curve(&[
        [cx, 60.0],
        [cx + 48.0, 74.0],
        [cx + 62.0, 124.0],
        [cx + 50.0, 178.0],
        [cx, 214.0],
        [cx - 50.0, 178.0],
        [cx - 62.0, 124.0],
        [cx - 48.0, 74.0],
    ]);
    p.soft(&head.map(|q| [q[0], q[1] + 10.0]), 16.0, alpha(rgb(0x000000), 0.25));
    p.fill(&head, |x, y| mix(rgb(0x868f98), rgb(0x535b64), (y - 70.0) / 200.0 + (x - cx) / 400.0));
    Person { sprite: Arc::new(Sprite::new(&p)), poses: Vec::new(), face: [cx, 140.0], face_width: 104.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_outline_holds_its_face() {
        let names: Vec<_> =
            CUTOUTS.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split('|').next()).collect();
        assert_eq!(names.iter().map(|name| name.trim()).collect::<Vec<_>>(), ["collins_1", "hopper_1"]);
        for name in names {
            let c = cutout(name.trim()).unwrap_or_else(|| panic!("{name} is unreadable"));
            let mut mask = Paint::new(200, 200);
            mask.flat(&Path::polygon(&c.outline).map(|p| [p[0] * 200.0, p[1] * 200.0]), rgb(0xffffff));
            let (x, y) = ((c.face[0] + c.face[2]) * 100.0, (c.face[1] + c.face[3]) * 100.0);
            assert!(mask.px[y as usize * 200 + x as usize][3] > 0.9, "{name}");
            for [x, y] in c.features.into_iter().flatten() {
                assert!(c.face[0] < x && x < c.face[2] && c.face[1] < y && y < c.face[3], "{name}: {x}, {y}");
            }
        }
    }

    #[test]
    fn a_photograph_is_found_by_name_and_never_outside_its_folder() {
        let dir = tempfile::tempdir().expect("a directory");
        image::RgbImage::from_pixel(120, 160, image::Rgb([180, 140, 120]))
            .save(dir.path().join("guest.png"))
            .expect("saved");
        std::fs::write(dir.path().join("noise.jpg"), b"no picture").expect("written");
        let person = load(Some(dir.path()), "guest").expect("a person");
        assert!(person.face_width > 20.0 && person.sprite.size().0 > 60.0);
        assert!(load(Some(dir.path()), "guest.png").is_ok());
        assert!(matches!(load(Some(dir.path()), "noise"), Err(PhotoError::Unreadable(_))));
        for name in ["", "absent", "../guest", "/etc/passwd", ".."] {
            assert!(matches!(load(Some(dir.path()), name), Err(PhotoError::Missing(_))), "{name}");
        }
        assert!(matches!(load(None, "guest"), Err(PhotoError::NoFolder)));
    }
}
