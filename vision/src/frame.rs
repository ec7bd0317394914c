//! A picture on its way through the stages: format, size, stride, pts.
//!
//! A [`Frame`] is what a decoder gives and every analytic takes: immutable, shared by reference count, either packed RGB or
//! planar I420. Work on pixels happens on a [`Raster`], whose resizing and warping follow OpenCV's conventions
//! (pixel centres at half integers, edges replicated), because the models were measured with them.

mod resize;
mod warp;
mod yuv;

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageReader, RgbImage, RgbaImage};

pub use warp::{Affine, Homography};
pub use yuv::YuvRange;

/// Largest side a frame may have; a decoder's answer beyond this is refused before memory is taken.
pub const MAX_SIDE: u32 = 16_384;

/// Largest picture read from a file, pixels: 8K and some; beyond, memory is for something better.
pub const PIXELS_MAX: u64 = 50_000_000;

/// Why a frame could not be made, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The size is zero or beyond [`MAX_SIDE`].
    #[error("a frame of {width}×{height} is outside 1…{MAX_SIDE} pixels a side")]
    Size {
        /// Width asked for, pixels.
        width: u32,
        /// Height asked for, pixels.
        height: u32,
    },
    /// A plane has fewer bytes than its stride and height say.
    #[error("the {plane} plane is short: wanted {want} bytes, had {had}")]
    Short {
        /// `Y`, `U`, `V` or `RGB`.
        plane: &'static str,
        /// Bytes needed.
        want: usize,
        /// Bytes given.
        had: usize,
    },
    /// The bytes are no picture this build reads (JPEG and PNG).
    #[error("the picture could not be read; give a JPEG or PNG file")]
    Decode(#[source] image::ImageError),
    /// A file says it is larger than [`PIXELS_MAX`].
    #[error("a picture of {width}×{height} has more than {} million pixels; make it smaller", PIXELS_MAX / 1_000_000)]
    Large {
        /// Width, pixels.
        width: u32,
        /// Height, pixels.
        height: u32,
    },
    /// A JPEG ends before its picture does.
    #[error("the picture ends in the middle; send the whole file")]
    Truncated,
    /// A picture could not be written as JPEG.
    #[error("the picture could not be written as JPEG")]
    Encode(#[source] image::ImageError),
}

/// How the bytes of a [`Frame`] are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Packed R, G, B; stride = 3 × width.
    Rgb8,
    /// Planar 4:2:0: Y (stride = width), then U, then V (stride = ⌈width / 2⌉, ⌈height / 2⌉ rows).
    I420(YuvRange),
}

/// One immutable picture with its place in the stream's time.
#[derive(Debug, Clone)]
pub struct Frame {
    width: u32,
    height: u32,
    format: PixelFormat,
    pts: Duration,
    data: Bytes,
}

/// Owned pixels, packed without padding; `C` bytes a pixel (3: RGB, 1: luma).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster<const C: usize> {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

/// RGB pixels.
pub type Rgb = Raster<3>;
/// Luma pixels.
pub type Luma = Raster<1>;

/// Borrowed pixels with a stride: the source of every resize and warp, and a crop of one without copying.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, const C: usize> {
    width: u32,
    height: u32,
    stride: usize,
    data: &'a [u8],
}

impl Frame {
    /// Takes packed RGB bytes, 3 × width × height of them.
    pub fn from_rgb(width: u32, height: u32, data: impl Into<Bytes>, pts: Duration) -> Result<Self, FrameError> {
        let data = data.into();
        check_size(width, height)?;
        let want = 3 * width as usize * height as usize;
        if data.len() != want {
            return Err(FrameError::Short { plane: "RGB", want, had: data.len() });
        }
        Ok(Self { width, height, format: PixelFormat::Rgb8, pts, data })
    }

    /// Copies three planes as a video decoder gives them; `strides` are bytes a row of Y, U and V.
    ///
    /// Chroma planes are ⌈width / 2⌉ × ⌈height / 2⌉. Padding behind each row is dropped.
    pub fn from_i420(
        (width, height): (u32, u32),
        planes: [&[u8]; 3],
        strides: [usize; 3],
        range: YuvRange,
        pts: Duration,
    ) -> Result<Self, FrameError> {
        check_size(width, height)?;
        let (w, h) = (width as usize, height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let mut data = Vec::with_capacity(w * h + 2 * cw * ch);
        for ((plane, stride), (name, w, h)) in
            planes.into_iter().zip(strides).zip([("Y", w, h), ("U", cw, ch), ("V", cw, ch)])
        {
            let want = stride.saturating_mul(h - 1).saturating_add(w);
            if stride < w || plane.len() < want {
                return Err(FrameError::Short { plane: name, want: want.max(w * h), had: plane.len() });
            }
            if stride == w {
                data.extend_from_slice(&plane[..w * h]);
            } else {
                for row in plane.chunks(stride).take(h) {
                    data.extend_from_slice(&row[..w]);
                }
            }
        }
        Ok(Self { width, height, format: PixelFormat::I420(range), pts, data: data.into() })
    }

    /// Reads a JPEG or PNG of any colour type, turned upright by its EXIF orientation, what is transparent on white; pts 0.
    ///
    /// An error for a file that is cut off, that is larger than [`PIXELS_MAX`], or that is no picture; never half a picture.
    pub fn from_image_bytes(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut decoder = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| FrameError::Decode(error.into()))?
            .into_decoder()
            .map_err(FrameError::Decode)?;
        let (width, height) = decoder.dimensions();
        check_size(width, height)?;
        if u64::from(width) * u64::from(height) > PIXELS_MAX {
            return Err(FrameError::Large { width, height });
        }
        if cut_off(bytes) {
            return Err(FrameError::Truncated);
        }
        let orientation = decoder.orientation().map_err(FrameError::Decode)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(FrameError::Decode)?;
        image.apply_orientation(orientation);
        let rgb = if image.color().has_alpha() { on_white(&image.into_rgba8()) } else { image.into_rgb8() };
        let (width, height) = rgb.dimensions();
        Self::from_rgb(width, height, rgb.into_raw(), Duration::ZERO)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Layout of [`Frame::data`].
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Presentation time since the stream's first picture.
    pub fn pts(&self) -> Duration {
        self.pts
    }

    /// The bytes, laid out as [`Frame::format`] says.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The same picture at another time.
    pub fn with_pts(mut self, pts: Duration) -> Self {
        self.pts = pts;
        self
    }

    /// The three planes of an I420 frame as views; `None` for RGB.
    pub fn planes(&self) -> Option<[View<'_, 1>; 3]> {
        let PixelFormat::I420(_) = self.format else { return None };
        let (w, h) = (self.width as usize, self.height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let (y, chroma) = self.data.split_at(w * h);
        let (u, v) = chroma.split_at(cw * ch);
        let plane = |data, w: usize, h: usize| View { width: w as u32, height: h as u32, stride: w, data };
        Some([plane(y, w, h), plane(u, cw, ch), plane(v, cw, ch)])
    }

    /// The pixels of an RGB frame without copying; `None` for I420.
    pub fn rgb_view(&self) -> Option<View<'_, 3>> {
        (self.format == PixelFormat::Rgb8).then(|| View {
            width: self.width,
            height: self.height,
            stride: 3 * self.width as usize,
            data: &self.data,
        })
    }

    /// The picture as RGB pixels (BT.601 for I420).
    pub fn to_rgb(&self) -> Rgb {
        match (self.format, self.planes()) {
            (PixelFormat::I420(range), Some(planes)) => yuv::to_rgb(planes, range),
            _ => Raster { width: self.width, height: self.height, data: self.data.to_vec() },
        }
    }

    /// The picture's luma: the Y plane as it is, or BT.601 weights of RGB.
    pub fn luma(&self) -> Luma {
        match self.planes() {
            Some([y, ..]) => y.to_raster(),
            None => self.rgb_view().map(|view| view.to_luma()).unwrap_or_else(|| Raster::new(self.width, self.height)),
        }
    }

    /// The picture at another size as RGB: bilinear, or by area when it shrinks by two or more.
    ///
    /// Works on the planes before the colour conversion where it can: fewer pixels are converted.
    pub fn rgb_resized(&self, width: u32, height: u32) -> Rgb {
        self.resized_by(width, height, |plane, w, h| plane.resize(w, h), |rgb, w, h| rgb.resize(w, h))
    }

    /// Like [`Frame::rgb_resized`], always bilinear.
    pub fn rgb_resized_bilinear(&self, width: u32, height: u32) -> Rgb {
        self.resized_by(width, height, |plane, w, h| plane.resize_bilinear(w, h), |rgb, w, h| rgb.resize_bilinear(w, h))
    }

    fn resized_by(
        &self,
        width: u32,
        height: u32,
        plane: impl Fn(View<'_, 1>, u32, u32) -> Luma,
        rgb: impl Fn(View<'_, 3>, u32, u32) -> Rgb,
    ) -> Rgb {
        match (self.format, self.planes(), self.rgb_view()) {
            (PixelFormat::I420(range), Some([y, u, v]), _) if (width, height) != (self.width, self.height) => {
                let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
                let (y, u, v) = (plane(y, width, height), plane(u, cw, ch), plane(v, cw, ch));
                yuv::to_rgb([y.view(), u.view(), v.view()], range)
            }
            (_, _, Some(view)) => rgb(view, width, height),
            _ => self.to_rgb(),
        }
    }

    /// The part of the picture inside a rectangle as RGB, and where its top left pixel lies; `None` when outside.
    ///
    /// The rectangle is clipped to the picture and, for I420, grown to even edges. Only that part is converted.
    pub fn rgb_crop(&self, x: i64, y: i64, width: i64, height: i64) -> Option<(Rgb, [i64; 2])> {
        match (self.format, self.planes()) {
            (PixelFormat::I420(range), Some([luma, u, v])) => {
                let even = |from: i64, size: i64, side: u32| {
                    let (from, to) = (from.max(0), from.saturating_add(size).min(i64::from(side)));
                    (from & !1, if to > from { to - (from & !1) } else { 0 })
                };
                let ((x, width), (y, height)) = (even(x, width, self.width), even(y, height, self.height));
                let luma = luma.crop(x, y, width, height)?;
                let chroma = |plane: View<'_, 1>| {
                    plane.crop(x / 2, y / 2, (width + 1) / 2, (height + 1) / 2).map(|v| v.to_raster())
                };
                let (u, v) = (chroma(u)?, chroma(v)?);
                Some((yuv::to_rgb([luma, u.view(), v.view()], range), [x, y]))
            }
            _ => {
                let crop = self.rgb_view()?.crop(x, y, width, height)?;
                Some((crop.to_raster(), [x.max(0), y.max(0)]))
            }
        }
    }

    /// The picture as a JPEG file; `quality` 1–100.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, FrameError> {
        match self.rgb_view() {
            Some(view) => encode_jpeg(view.data, self.width, self.height, quality),
            None => self.to_rgb().to_jpeg(quality),
        }
    }
}

impl<const C: usize> Raster<C> {
    /// Black pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, data: vec![0; C * width as usize * height as usize] }
    }

    /// Takes packed bytes, C × width × height of them.
    pub fn from_bytes(width: u32, height: u32, data: Vec<u8>) -> Result<Self, FrameError> {
        check_size(width, height)?;
        let want = C * width as usize * height as usize;
        if data.len() != want {
            return Err(FrameError::Short { plane: "pixel", want, had: data.len() });
        }
        Ok(Self { width, height, data })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The packed bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The packed bytes, to draw into.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// All of it, borrowed.
    pub fn view(&self) -> View<'_, C> {
        View { width: self.width, height: self.height, stride: C * self.width as usize, data: &self.data }
    }

    /// The bytes of pixel (x, y); the caller keeps inside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> &[u8] {
        let at = C * (y as usize * self.width as usize + x as usize);
        &self.data[at..at + C]
    }
}

impl Luma {
    /// The same picture with three equal channels.
    pub fn to_rgb(&self) -> Rgb {
        Raster { width: self.width, height: self.height, data: self.data.iter().flat_map(|&v| [v; 3]).collect() }
    }
}

impl Rgb {
    /// The picture as a JPEG file; `quality` 1–100.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, FrameError> {
        encode_jpeg(&self.data, self.width, self.height, quality)
    }

    /// The picture as a frame at `pts`.
    pub fn into_frame(self, pts: Duration) -> Frame {
        Frame { width: self.width, height: self.height, format: PixelFormat::Rgb8, pts, data: self.data.into() }
    }
}

impl<'a, const C: usize> View<'a, C> {
    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Row `y`; the caller keeps inside the picture.
    pub fn row(&self, y: u32) -> &'a [u8] {
        let at = y as usize * self.stride;
        &self.data[at..at + C * self.width as usize]
    }

    /// The part of this view inside the given rectangle, which is first clipped to the picture; `None` if nothing is left.
    pub fn crop(&self, x: i64, y: i64, width: i64, height: i64) -> Option<View<'a, C>> {
        let (x0, y0) = (x.clamp(0, i64::from(self.width)), y.clamp(0, i64::from(self.height)));
        let x1 = x.saturating_add(width).clamp(0, i64::from(self.width));
        let y1 = y.saturating_add(height).clamp(0, i64::from(self.height));
        if x1 <= x0 || y1 <= y0 {
            return None;
        }
        let at = y0 as usize * self.stride + C * x0 as usize;
        Some(View { width: (x1 - x0) as u32, height: (y1 - y0) as u32, stride: self.stride, data: &self.data[at..] })
    }

    /// A packed copy.
    pub fn to_raster(&self) -> Raster<C> {
        let mut data = Vec::with_capacity(C * self.width as usize * self.height as usize);
        for y in 0..self.height {
            data.extend_from_slice(self.row(y));
        }
        Raster { width: self.width, height: self.height, data }
    }

    /// Resizes: bilinear, or area averaging when it shrinks by two or more (so that nothing falls between samples).
    pub fn resize(&self, width: u32, height: u32) -> Raster<C> {
        if self.width >= 2 * width && self.height >= 2 * height {
            self.resize_area(width, height)
        } else {
            self.resize_bilinear(width, height)
        }
    }

    /// Bilinear resize, pixel centres at half integers, no antialiasing (OpenCV's `INTER_LINEAR`).
    pub fn resize_bilinear(&self, width: u32, height: u32) -> Raster<C> {
        resize::bilinear(*self, width, height)
    }

    /// Mean over each target pixel's area of the source (OpenCV's `INTER_AREA` when shrinking; bilinear when growing).
    pub fn resize_area(&self, width: u32, height: u32) -> Raster<C> {
        resize::area(*self, width, height)
    }

    /// Samples a `width` × `height` picture through `map`, which takes target pixels to source pixels; outside is black.
    pub fn warp_perspective(&self, map: &Homography, width: u32, height: u32) -> Raster<C> {
        warp::perspective(*self, map, width, height)
    }

    /// Samples a `width` × `height` picture through `map`, which takes target pixels to source pixels; outside is black.
    pub fn warp_affine(&self, map: &Affine, width: u32, height: u32) -> Raster<C> {
        warp::affine(*self, map, width, height)
    }
}

impl View<'_, 3> {
    /// BT.601 luma, as OpenCV rounds it (14-bit weights 4899, 9617, 1868).
    pub fn to_luma(&self) -> Luma {
        let mut data = Vec::with_capacity(self.width as usize * self.height as usize);
        for y in 0..self.height {
            data.extend(self.row(y).chunks_exact(3).map(|p| {
                ((u32::from(p[0]) * 4899 + u32::from(p[1]) * 9617 + u32::from(p[2]) * 1868 + (1 << 13)) >> 14) as u8
            }));
        }
        Raster { width: self.width, height: self.height, data }
    }
}

fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    if (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) {
        Ok(())
    } else {
        Err(FrameError::Size { width, height })
    }
}

/// Whether a JPEG has no end after its last scan. Within a scan the two bytes of the end cannot occur (ITU T.81, B.1.1.5).
fn cut_off(bytes: &[u8]) -> bool {
    let jpeg = bytes.starts_with(&[0xFF, 0xD8]);
    let scan = bytes.windows(2).rposition(|pair| pair == [0xFF, 0xDA]);
    jpeg && !scan.is_some_and(|at| bytes[at..].windows(2).any(|pair| pair == [0xFF, 0xD9]))
}

/// A picture on white, as whoever sent it saw it.
fn on_white(picture: &RgbaImage) -> RgbImage {
    let blend = |value: u8, alpha: u8| {
        let alpha = u16::from(alpha);
        ((u16::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, a] = picture.get_pixel(x, y).0;
        image::Rgb([blend(r, a), blend(g, a), blend(b, a)])
    })
}

fn encode_jpeg(rgb: &[u8], width: u32, height: u32, quality: u8) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(rgb.len() / 8);
    JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100))
        .encode(rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(FrameError::Encode)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32) -> Frame {
        let y = vec![128u8; (width * height) as usize];
        let c = vec![128u8; (width.div_ceil(2) * height.div_ceil(2)) as usize];
        let cs = width.div_ceil(2) as usize;
        Frame::from_i420((width, height), [&y, &c, &c], [width as usize, cs, cs], YuvRange::Limited, Duration::ZERO)
            .expect("planes have the stated size")
    }

    #[test]
    fn padding_behind_the_rows_of_a_plane_is_dropped() {
        let y = [1, 2, 3, 99, 4, 5, 6, 99, 7, 8, 9]; // 3×3, stride 4, last row without its padding
        let u = [10, 11, 0, 12, 13];
        let frame = Frame::from_i420((3, 3), [&y, &u, &u], [4, 3, 3], YuvRange::Full, Duration::ZERO).expect("fits");
        let [fy, fu, _] = frame.planes().expect("I420 has planes");
        assert_eq!(fy.to_raster().data(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(fu.to_raster().data(), [10, 11, 12, 13]);
    }

    #[test]
    fn a_short_plane_or_a_mad_size_is_refused() {
        let short = Frame::from_i420((4, 4), [&[0; 15], &[0; 4], &[0; 4]], [4, 2, 2], YuvRange::Full, Duration::ZERO);
        assert!(matches!(short, Err(FrameError::Short { plane: "Y", want: 16, had: 15 })));
        let narrow = Frame::from_i420((4, 4), [&[0; 64], &[0; 4], &[0; 4]], [3, 2, 2], YuvRange::Full, Duration::ZERO);
        assert!(matches!(narrow, Err(FrameError::Short { plane: "Y", .. })));
        assert!(matches!(Frame::from_rgb(0, 4, vec![], Duration::ZERO), Err(FrameError::Size { .. })));
        assert!(matches!(Frame::from_rgb(4, MAX_SIDE + 1, vec![], Duration::ZERO), Err(FrameError::Size { .. })));
    }

    #[test]
    fn grey_stays_grey_through_colour_conversion_resize_and_jpeg() {
        let frame = grey(33, 17);
        assert!(frame.to_rgb().data().iter().all(|&v| v.abs_diff(130) <= 1), "limited-range 128 is 130 of 255");
        assert!(frame.rgb_resized(10, 5).data().iter().all(|&v| v.abs_diff(130) <= 1));
        let again = Frame::from_image_bytes(&frame.to_jpeg(90).expect("encodes")).expect("decodes");
        assert_eq!((again.width(), again.height()), (33, 17));
        assert!(again.luma().data().iter().all(|&v| v.abs_diff(130) <= 2));
    }

    #[test]
    fn a_crop_is_clipped_to_the_picture_and_empty_outside_it() {
        let raster = Luma::from_bytes(3, 2, vec![1, 2, 3, 4, 5, 6]).expect("six bytes");
        assert_eq!(raster.view().crop(-1, 1, 3, 9).expect("overlaps").to_raster().data(), [4, 5]);
        assert!(raster.view().crop(3, 0, 1, 1).is_none());
        assert!(raster.view().crop(0, 0, 0, 1).is_none());
        assert!(raster.view().crop(i64::MAX, 0, i64::MAX, 1).is_none());
    }

    #[test]
    fn a_cut_part_has_the_pixels_of_the_whole() {
        let y: Vec<u8> = (0..7 * 5).map(|i| 40 + 5 * i as u8).collect();
        let c: Vec<u8> = (0..4 * 3).map(|i| 90 + 6 * i as u8).collect();
        let frame = Frame::from_i420((7, 5), [&y, &c, &c], [7, 4, 4], YuvRange::Limited, Duration::ZERO).expect("fits");
        let whole = frame.to_rgb();
        for rgb in [frame.clone(), whole.clone().into_frame(Duration::ZERO)] {
            let (part, [x0, y0]) = rgb.rgb_crop(3, 1, 3, 9).expect("overlaps");
            assert!(x0 <= 3 && y0 <= 1 && part.width() >= 3 && part.height() >= 4);
            for y in 0..part.height() {
                for x in 0..part.width() {
                    assert_eq!(part.pixel(x, y), whole.pixel(x + x0 as u32, y + y0 as u32));
                }
            }
            assert!(rgb.rgb_crop(7, 0, 4, 4).is_none());
            assert!(rgb.rgb_crop(-9, 0, 4, 4).is_none());
        }
    }

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        image.write_to(&mut out, image::ImageFormat::Png).expect("encodes");
        out.into_inner()
    }

    #[test]
    fn a_jpeg_that_is_cut_off_is_an_error_wherever_it_is_cut() {
        let jpeg = grey(160, 120).to_jpeg(90).expect("encodes");
        for length in (0..jpeg.len() - 1).step_by(37) {
            assert!(Frame::from_image_bytes(&jpeg[..length]).is_err(), "{length} of {}", jpeg.len());
        }
        let cut = &jpeg[..jpeg.len() - 4];
        assert!(matches!(Frame::from_image_bytes(cut), Err(FrameError::Truncated)));
        let trailing = [&jpeg[..], b"camera's own words"].concat();
        assert!(Frame::from_image_bytes(&trailing).is_ok(), "what follows the end is nobody's business");
        let png = png(&DynamicImage::ImageLuma8(image::GrayImage::new(40, 30)));
        for length in 0..png.len() - 12 {
            assert!(Frame::from_image_bytes(&png[..length]).is_err(), "{length} of {}", png.len());
        }
    }

    #[test]
    fn a_picture_of_no_or_too_many_pixels_is_refused_by_its_header() {
        let small = png(&DynamicImage::ImageLuma8(image::GrayImage::new(8, 8)));
        // The header's own checksum is over bytes 12–28; a reader that believes the size must not take memory for it.
        for (width, height) in [(0_u32, 0_u32), (0, 9), (12_000, 12_000), (u32::MAX, 1)] {
            let mut bytes = small.clone();
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            let sum = crc(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&sum.to_be_bytes());
            assert!(Frame::from_image_bytes(&bytes).is_err(), "{width}×{height}");
        }
        let mut bytes = small;
        bytes[16..20].copy_from_slice(&12_000_u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&12_000_u32.to_be_bytes());
        let sum = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        assert!(matches!(Frame::from_image_bytes(&bytes), Err(FrameError::Large { width: 12_000, height: 12_000 })));
    }

    /// CRC-32 as PNG has it.
    fn crc(bytes: &[u8]) -> u32 {
        let step = |sum: u32, byte: &u8| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
        };
        !bytes.iter().fold(u32::MAX, step)
    }

    #[test]
    fn an_8k_and_a_grey_picture_are_read() {
        let mut jpeg = Vec::new();
        let (width, height) = (7680, 4320);
        let luma = vec![90_u8; (width * height) as usize];
        JpegEncoder::new_with_quality(&mut jpeg, 50)
            .encode(&luma, width, height, ExtendedColorType::L8)
            .expect("encodes");
        let frame = Frame::from_image_bytes(&jpeg).expect("reads");
        assert_eq!((frame.width(), frame.height()), (width, height));
        assert!(frame.to_rgb().pixel(4000, 2000).iter().all(|v| v.abs_diff(90) <= 1));
        let sixteen = png(&DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(4, 3, image::Luma([0x8000]))));
        assert!(Frame::from_image_bytes(&sixteen).expect("reads").data().iter().all(|v| v.abs_diff(128) <= 1));
    }

    #[test]
    fn what_is_transparent_is_white_not_whatever_lies_beneath() {
        let pixel = |alpha| image::Rgba([10, 20, 30, alpha]);
        let image = image::RgbaImage::from_fn(3, 1, |x, _| pixel([0, 128, 255][x as usize]));
        let frame = Frame::from_image_bytes(&png(&DynamicImage::ImageRgba8(image))).expect("reads");
        assert_eq!(frame.data()[..3], [255, 255, 255]);
        assert_eq!(frame.data()[6..], [10, 20, 30]);
        assert!((130..135).contains(&frame.data()[3]));
    }

    #[test]
    fn a_photograph_lying_on_its_side_is_turned_upright_by_its_exif() {
        let mut rgb = Rgb::from_bytes(60, 20, vec![20; 3600]).expect("sized");
        // The left end is white: turned by a quarter clockwise it is the top.
        for y in 0..20 {
            rgb.data_mut()[y * 180..][..60].fill(250);
        }
        let plain = rgb.to_jpeg(95).expect("encodes");
        // TIFF, big endian, one entry: orientation (0x0112), short, 6.
        let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let body = [b"Exif\0\0", &tiff[..]].concat();
        let length = (body.len() as u16 + 2).to_be_bytes();
        let turned = [&plain[..2], &[0xFF, 0xE1], &length, &body, &plain[2..]].concat();
        let frame = Frame::from_image_bytes(&turned).expect("reads");
        assert_eq!((frame.width(), frame.height()), (20, 60));
        let upright = frame.to_rgb();
        assert!(upright.pixel(10, 8)[0] > 200 && upright.pixel(10, 50)[0] < 60);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_picture_is_never_a_panic(at in 0_usize..4000, value: u8, cut in 0_usize..4000) {
            let mut jpeg = grey(64, 48).to_jpeg(90).expect("encodes");
            let (at, cut) = (at % jpeg.len(), cut % jpeg.len());
            jpeg[at] = value;
            let _ = Frame::from_image_bytes(&jpeg);
            let _ = Frame::from_image_bytes(&jpeg[cut..]);
        }
    }

    #[test]
    fn garbage_is_no_picture() {
        assert!(matches!(Frame::from_image_bytes(b"not a picture"), Err(FrameError::Decode(_))));
    }
}
