//! From bytes to small pictures: decodes at the smallest size that will do, turns upright, takes the colours to sRGB,
//! and encodes.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fast_image_resize::images::Image;
use fast_image_resize::{PixelType, Resizer};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage,
};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::sniff::Format;
use crate::media::facts::{Answer, Class, Facts, Outcome, Rendition};

/// Most pixels that a header may declare: 250 megapixels.
const MAX_PIXELS: u64 = 250_000_000;
/// Most bytes of decoded pixels: what fits into the worker's memory beside the file and the program.
const MAX_DECODED_BYTES: u64 = 288 * 1024 * 1024;
/// Long side of a screen-sized picture.
const SCREEN: u32 = 2048;
/// A JPEG is decoded at the smallest size from here on. A picture for a screen may be a bit smaller than it could be; the next
/// step would take four times as long.
const LEAST_DECODED: u32 = 1440;
/// Short side of a thumbnail, where the long one allows it.
const THUMB_SHORT: u32 = 320;
/// Long side of a thumbnail.
const THUMB_LONG: u32 = 640;
/// Longest side that a ThumbHash is made of.
const PLACEHOLDER_SIDE: u32 = 100;

/// Pixels, not turned yet.
#[derive(Clone)]
enum Pixels {
    Opaque(RgbImage),
    Transparent(RgbaImage),
}

struct Decoded {
    pixels: Pixels,
    /// Size of the original, as it is stored.
    width: u32,
    height: u32,
    profile: Option<Vec<u8>>,
}

/// Draws the renditions of a picture, and adds what its pixels tell to the facts.
pub fn draw(bytes: &[u8], format: Format, mut facts: Facts) -> Answer {
    let drawn = decode(bytes, format).and_then(|decoded| {
        let turned = facts.orientation >= 5;
        (facts.width, facts.height) = match turned {
            true => (decoded.height, decoded.width),
            false => (decoded.width, decoded.height),
        };
        render(decoded, &mut facts)
    });
    match drawn {
        Ok(renditions) => Answer { outcome: Outcome::Done, facts, renditions },
        Err(class) => Answer::without_pictures(Outcome::Failed(class), facts),
    }
}

fn render(decoded: Decoded, facts: &mut Facts) -> Result<Vec<Rendition>, Class> {
    let screen = fit(decoded.pixels, SCREEN, SCREEN)?.without_idle_alpha();
    let screen = match &decoded.profile {
        Some(profile) => screen.into_srgb(profile),
        None => screen,
    };
    facts.dhash = Some(hex::encode(screen.dhash()));
    let screen = screen.turned(facts.orientation);
    let thumb = fit(screen.clone(), THUMB_SHORT, THUMB_LONG)?;
    let tiny = fit(thumb.clone(), PLACEHOLDER_SIDE, PLACEHOLDER_SIDE)?.into_rgba();
    let hash =
        thumbhash::rgba_to_thumb_hash(tiny.width() as usize, tiny.height() as usize, tiny.as_raw());
    facts.placeholder = Some(hex::encode(hash));
    let (extension, bytes) = thumb.encode_webp(74.0)?;
    let thumb = Rendition { recipe: "thumb", extension, bytes };
    // A picture of this size takes WebP eight times as long as JPEG.
    let (extension, bytes) = match &screen {
        Pixels::Opaque(opaque) => ("jpg", encode_jpeg(opaque)?),
        Pixels::Transparent(_) => screen.encode_webp(80.0)?,
    };
    Ok(vec![thumb, Rendition { recipe: "screen", extension, bytes }])
}

/// Fails before a pixel is decoded if there are too many.
fn require_size(width: u32, height: u32) -> Result<(), Class> {
    match u64::from(width) * u64::from(height) {
        0 => Err(Class::Corrupt),
        pixels if pixels > MAX_PIXELS => Err(Class::TooLarge),
        _ => Ok(()),
    }
}

fn decode(bytes: &[u8], format: Format) -> Result<Decoded, Class> {
    match format {
        Format::Jpeg => {
            // The library reports errors by unwinding out of C.
            let decoded = catch_unwind(AssertUnwindSafe(|| decode_jpeg(bytes)));
            match decoded.unwrap_or(Err(Class::Corrupt))? {
                Some(decoded) => Ok(decoded),
                None => decode_image(bytes, ImageFormat::Jpeg),
            }
        }
        Format::Image(format) => decode_image(bytes, format),
        _ => Err(Class::Unsupported),
    }
}

/// `None`: a JPEG for printers, which another decoder knows.
fn decode_jpeg(bytes: &[u8]) -> Result<Option<Decoded>, Class> {
    use mozjpeg::{ColorSpace, Decompress, Marker};
    let corrupt = |_| Class::Corrupt;
    let icc = [Marker::APP(2)];
    let mut jpeg = Decompress::with_markers(&icc).from_mem(bytes).map_err(corrupt)?;
    let (Ok(width), Ok(height)) = (u32::try_from(jpeg.width()), u32::try_from(jpeg.height()))
    else {
        return Err(Class::TooLarge);
    };
    require_size(width, height)?;
    if matches!(jpeg.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
        return Ok(None);
    }
    // Progressive files are kept as coefficients, two bytes each, whatever the size they are decoded at.
    let samples: u64 = jpeg
        .components()
        .iter()
        .map(|part| {
            let blocks = u64::from(part.width_in_blocks) * u64::from(part.height_in_blocks);
            blocks * 64
        })
        .sum();
    if super::payload::is_progressive(bytes) && samples * 2 > MAX_DECODED_BYTES {
        return Err(Class::TooLarge);
    }
    let profile = join_profile(jpeg.markers().map(|marker| marker.data));
    let long = width.max(height);
    let eighths = [1u8, 2, 4].into_iter().find(|n| long * u32::from(*n) / 8 >= LEAST_DECODED);
    jpeg.scale(eighths.unwrap_or(8));
    let mut started = jpeg.rgb().map_err(corrupt)?;
    let (small_width, small_height) = (started.width(), started.height());
    let size = small_width as u64 * small_height as u64 * 3;
    if size > MAX_DECODED_BYTES {
        return Err(Class::TooLarge);
    }
    let raw = started.read_scanlines::<u8>().map_err(corrupt)?;
    let pixels = RgbImage::from_raw(small_width as u32, small_height as u32, raw);
    let pixels = Pixels::Opaque(pixels.ok_or(Class::Corrupt)?);
    Ok(Some(Decoded { pixels, width, height, profile }))
}

/// The profile of a JPEG, out of the numbered parts it is written in.
fn join_profile<'a>(segments: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let parts = segments.filter_map(|data| data.strip_prefix(b"ICC_PROFILE\0"));
    let mut parts: Vec<&[u8]> = parts.filter(|part| part.len() > 2).collect();
    parts.sort_by_key(|part| part[0]);
    let whole: Vec<u8> = parts.iter().flat_map(|part| part[2..].iter().copied()).collect();
    (!whole.is_empty()).then_some(whole)
}

fn decode_image(bytes: &[u8], format: ImageFormat) -> Result<Decoded, Class> {
    let class = |error: ImageError| match error {
        ImageError::Limits(_) => Class::TooLarge,
        ImageError::Unsupported(_) => Class::Unsupported,
        _ => Class::Corrupt,
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(class)?;
    let (width, height) = decoder.dimensions();
    require_size(width, height)?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(Class::TooLarge);
    }
    let profile = decoder.icc_profile().ok().flatten();
    let image = DynamicImage::from_decoder(decoder).map_err(class)?;
    let pixels = match image.color().has_alpha() {
        true => Pixels::Transparent(image.into_rgba8()),
        false => Pixels::Opaque(image.into_rgb8()),
    };
    Ok(Decoded { pixels, width, height, profile })
}

/// Made smaller, never larger, until the short side is at most `short` or the long one at most `long`, whichever comes
/// last.
fn fit(pixels: Pixels, short: u32, long: u32) -> Result<Pixels, Class> {
    let (width, height) = pixels.size();
    let by_short = f64::from(short) / f64::from(width.min(height));
    let by_long = f64::from(long) / f64::from(width.max(height));
    let by = by_short.min(1.0).min(by_long);
    if by >= 1.0 {
        return Ok(pixels);
    }
    let scaled = |side: u32| ((f64::from(side) * by).round() as u32).max(1);
    pixels.resized(scaled(width), scaled(height)).ok_or(Class::Corrupt)
}

fn encode_jpeg(picture: &RgbImage) -> Result<Vec<u8>, Class> {
    let encode = || -> std::io::Result<Vec<u8>> {
        let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        encoder.set_size(picture.width() as usize, picture.height() as usize);
        encoder.set_fastest_defaults();
        encoder.set_quality(82.0);
        let mut encoder = encoder.start_compress(Vec::new())?;
        encoder.write_scanlines(picture.as_raw())?;
        encoder.finish()
    };
    let encoded = catch_unwind(AssertUnwindSafe(encode));
    encoded.ok().and_then(Result::ok).ok_or(Class::Crashed)
}

impl Pixels {
    fn size(&self) -> (u32, u32) {
        match self {
            Self::Opaque(picture) => picture.dimensions(),
            Self::Transparent(picture) => picture.dimensions(),
        }
    }

    fn resized(self, width: u32, height: u32) -> Option<Self> {
        let (from_width, from_height) = self.size();
        let (kind, raw) = match self {
            Self::Opaque(picture) => (PixelType::U8x3, picture.into_raw()),
            Self::Transparent(picture) => (PixelType::U8x4, picture.into_raw()),
        };
        let from = Image::from_vec_u8(from_width, from_height, raw, kind).ok()?;
        let mut to = Image::new(width, height, kind);
        Resizer::new().resize(&from, &mut to, None).ok()?;
        let raw = to.into_vec();
        match kind {
            PixelType::U8x3 => RgbImage::from_raw(width, height, raw).map(Self::Opaque),
            _ => RgbaImage::from_raw(width, height, raw).map(Self::Transparent),
        }
    }

    /// Opaque, if nothing of it is transparent.
    fn without_idle_alpha(self) -> Self {
        match self {
            Self::Transparent(picture) if picture.pixels().all(|pixel| pixel.0[3] == 255) => {
                Self::Opaque(DynamicImage::ImageRgba8(picture).into_rgb8())
            }
            other => other,
        }
    }

    /// The colours as a browser shows them without a profile. A profile that cannot be used is as good as none.
    fn into_srgb(self, profile: &[u8]) -> Self {
        let Ok(profile) = ColorProfile::new_from_slice(profile) else { return self };
        if profile.color_space != DataColorSpace::Rgb {
            return self;
        }
        let srgb = ColorProfile::new_srgb();
        let convert = |layout: Layout, raw: &[u8]| -> Option<Vec<u8>> {
            let options = TransformOptions::default();
            let transform = profile.create_transform_8bit(layout, &srgb, layout, options).ok()?;
            let mut converted = vec![0; raw.len()];
            transform.transform(raw, &mut converted).ok()?;
            Some(converted)
        };
        let (width, height) = self.size();
        let converted = match &self {
            Self::Opaque(picture) => convert(Layout::Rgb, picture.as_raw())
                .and_then(|raw| RgbImage::from_raw(width, height, raw))
                .map(Self::Opaque),
            Self::Transparent(picture) => convert(Layout::Rgba, picture.as_raw())
                .and_then(|raw| RgbaImage::from_raw(width, height, raw))
                .map(Self::Transparent),
        };
        converted.unwrap_or(self)
    }

    /// Upright, for an EXIF orientation.
    fn turned(self, orientation: u8) -> Self {
        let mut picture = match self {
            Self::Opaque(picture) => DynamicImage::ImageRgb8(picture),
            Self::Transparent(picture) => DynamicImage::ImageRgba8(picture),
        };
        if let Some(orientation) = image::metadata::Orientation::from_exif(orientation) {
            picture.apply_orientation(orientation);
        }
        match picture {
            DynamicImage::ImageRgb8(picture) => Self::Opaque(picture),
            other => Self::Transparent(other.into_rgba8()),
        }
    }

    fn into_rgba(self) -> RgbaImage {
        match self {
            Self::Opaque(picture) => DynamicImage::ImageRgb8(picture).into_rgba8(),
            Self::Transparent(picture) => picture,
        }
    }

    fn encode_webp(&self, quality: f32) -> Result<(&'static str, Vec<u8>), Class> {
        let (width, height) = self.size();
        let encoder = match self {
            Self::Opaque(picture) => webp::Encoder::from_rgb(picture.as_raw(), width, height),
            Self::Transparent(picture) => webp::Encoder::from_rgba(picture.as_raw(), width, height),
        };
        let mut config = webp::WebPConfig::new().map_err(|()| Class::Crashed)?;
        // The fourth step takes three times as long and saves a tenth.
        (config.quality, config.method) = (quality, 2);
        let encoded = encoder.encode_advanced(&config).map_err(|_| Class::OutOfMemory)?;
        Ok(("webp", encoded.to_vec()))
    }

    /// The difference hash of the old clients (64 bits): a 9 × 8 grid with its corners on the corners of the picture, without
    /// regard to its orientation; each bit says whether the next point is brighter. Of large pictures it is that of
    /// the screen-sized one, which differs by a bit or two.
    fn dhash(&self) -> [u8; 8] {
        let (width, height) = self.size();
        let pixel = |x: u32, y: u32| -> [f64; 3] {
            match self {
                Self::Opaque(picture) => picture.get_pixel(x, y).0.map(f64::from),
                Self::Transparent(picture) => {
                    let [r, g, b, _] = picture.get_pixel(x, y).0.map(f64::from);
                    [r, g, b]
                }
            }
        };
        let grey = |column: u32, row: u32| -> u64 {
            let at_x = f64::from(column) * f64::from(width - 1) / 8.0;
            let at_y = f64::from(row) * f64::from(height - 1) / 7.0;
            let (x, y) = (at_x.floor() as u32, at_y.floor() as u32);
            let (right, below) = ((x + 1).min(width - 1), (y + 1).min(height - 1));
            let (part_x, part_y) = (at_x - f64::from(x), at_y - f64::from(y));
            let [a, b] = [y, below].map(|y| {
                let (left, right) = (pixel(x, y), pixel(right, y));
                [0, 1, 2].map(|part| left[part] + (right[part] - left[part]) * part_x)
            });
            let [red, green, blue] =
                [0, 1, 2].map(|part| (a[part] + (b[part] - a[part]) * part_y + 0.5).floor() as u64);
            (299 * red + 587 * green + 114 * blue) / 1000
        };
        let mut hash = [0u8; 8];
        for (row, byte) in (0..8).zip(&mut hash) {
            let points: Vec<u64> = (0..9).map(|column| grey(column, row)).collect();
            *byte = points.windows(2).fold(0, |bits, pair| bits << 1 | u8::from(pair[0] < pair[1]));
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(of: impl Fn(u32, u32) -> [u8; 3]) -> String {
        let picture = RgbImage::from_fn(32, 24, |x, y| image::Rgb(of(x, y)));
        hex::encode(Pixels::Opaque(picture).dhash())
    }

    #[test]
    fn the_difference_hash_is_that_of_the_old_clients() {
        let grey = |value: u32| [(value & 255) as u8; 3];
        assert_eq!(hash(|x, y| grey((x ^ y).wrapping_mul(7))), "ffff7e9918e76666");
        let mixed = |x: u32, y: u32| {
            let s = x
                .wrapping_mul(1_103_515_245)
                .wrapping_add(y.wrapping_mul(12_345))
                .wrapping_add(x.wrapping_mul(y).wrapping_mul(2_654_435));
            [(s >> 16) as u8, (s >> 8) as u8, s as u8]
        };
        assert_eq!(hash(mixed), "f2b3da65abea5aa5");
        assert_eq!(hash(|x, _| grey(8 * x)), "f".repeat(16));
        assert_eq!(hash(|x, _| grey(255 - 8 * x)), "0".repeat(16));
    }

    #[test]
    fn a_thumbnail_is_short_enough_for_a_row_and_never_enlarged() {
        let size = |width, height| {
            let pixels = Pixels::Opaque(RgbImage::new(width, height));
            fit(pixels, THUMB_SHORT, THUMB_LONG).unwrap_or_else(|_| panic!("no size")).size()
        };
        assert_eq!(size(2000, 1500), (427, 320));
        assert_eq!(size(1500, 2000), (320, 427));
        assert_eq!(size(2048, 512), (640, 160));
        assert_eq!(size(10, 10), (10, 10));
        assert_eq!(size(2048, 1), (640, 1));
    }
}
