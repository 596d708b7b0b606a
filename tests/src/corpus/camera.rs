//! Photographs as a camera would write them: twelve megapixels of landscape with sensor noise, and an EXIF block.
//! Only integers are used, so that the same number gives the same picture on every machine.

use std::fs;
use std::path::{Path, PathBuf};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::fetch::in_cache;
use super::{CorpusError, local};
use crate::relay::next_random;

const WIDTH: u32 = 4000;
const HEIGHT: u32 = 3000;

/// Gives 3 to 6 MB with the noise below.
const QUALITY: u8 = 88;

/// What the EXIF block names as maker; no such company exists.
const MAKE: &str = "Northlight";
const MODEL: &str = "NL-12 Wide";

/// The path of photograph `index` in the cache, made now if need be.
pub(super) fn cached_photo(index: u32, cache: &Path) -> Result<PathBuf, CorpusError> {
    let folder = in_cache(cache, &format!("camera-{index:03}-3"), |folder| {
        let taken = format!("2024:05:{:02} 10:15:{:02}", 1 + index % 28, index % 60);
        let photo = with_exif(&encode(&render(index))?, &taken)?;
        let path = folder.join("photo.jpg");
        fs::write(&path, photo).map_err(local("write", &path))
    })?;
    Ok(folder.join("photo.jpg"))
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, CorpusError> {
    let mut jpeg = Vec::new();
    let encoded = JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(
        pixels,
        WIDTH,
        HEIGHT,
        ExtendedColorType::Rgb8,
    );
    encoded
        .map_err(|error| CorpusError::Unexpected(format!("could not encode a JPEG: {error}")))?;
    Ok(jpeg)
}

/// Sky over hills over meadow: smooth noise at four scales, tinted by height, with grain on every pixel.
fn render(index: u32) -> Vec<u8> {
    let seed = 0x5eed_0000 + u64::from(index);
    let mut grain = seed;
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let clouds = smooth(x, y, 512, seed) + smooth(x, y, 128, seed ^ 1) / 2;
            let texture = smooth(x, y, 32, seed ^ 2) + smooth(x, y, 8, seed ^ 3);
            let horizon = HEIGHT / 2 + (smooth(x, 0, 512, seed ^ 4) * 3) as u32;
            let is_sky = y < horizon;
            let height = (y * 255 / HEIGHT) as i32;
            let colour = match is_sky {
                true => [60 + clouds / 3, 110 + clouds / 3, 220 - height / 4],
                false => [70 + texture / 5, 100 + texture / 4 + clouds / 8, 40 + texture / 8],
            };
            let noise = next_random(&mut grain);
            for (channel, value) in colour.into_iter().enumerate() {
                let jitter = (noise >> (channel * 8)) as i32 & 23;
                pixels.push((value + jitter - 12).clamp(0, 255) as u8);
            }
        }
    }
    pixels
}

/// Value noise, 0 to 255: random heights on a lattice, interpolated between its points.
fn smooth(x: u32, y: u32, cell: u32, seed: u64) -> i32 {
    let (column, row) = (x / cell, y / cell);
    let (right, down) = ((x % cell) as i32, (y % cell) as i32);
    let cell_pixels = cell as i32;
    let height = |column: u32, row: u32| {
        let mut state = seed ^ (u64::from(column) << 32) ^ (u64::from(row) << 8);
        (next_random(&mut state) & 255) as i32
    };
    let mix = |from: i32, to: i32, part: i32| from + (to - from) * part / cell_pixels;
    let upper = mix(height(column, row), height(column + 1, row), right);
    let lower = mix(height(column, row + 1), height(column + 1, row + 1), right);
    mix(upper, lower, down)
}

/// The same picture with an EXIF block that names maker, model and `taken` (`YYYY:MM:DD HH:MM:SS`).
pub(super) fn with_exif(jpeg: &[u8], taken: &str) -> Result<Vec<u8>, CorpusError> {
    let Some(rest) = jpeg.strip_prefix(&[0xff, 0xd8]) else {
        return Err(CorpusError::Unexpected("a JPEG without its first marker".to_owned()));
    };
    let tiff = exif_tiff(taken);
    let segment_length = u16::try_from(2 + 6 + tiff.len()).map_err(|_| {
        CorpusError::Unexpected("an EXIF block too long for one segment".to_owned())
    })?;
    let mut photo = vec![0xff, 0xd8, 0xff, 0xe1];
    photo.extend_from_slice(&segment_length.to_be_bytes());
    photo.extend_from_slice(b"Exif\0\0");
    photo.extend_from_slice(&tiff);
    photo.extend_from_slice(rest);
    Ok(photo)
}

/// A little-endian TIFF header with two directories: the image's (Make, Model, Orientation, pointer) and EXIF's
/// (DateTimeOriginal).
fn exif_tiff(taken: &str) -> Vec<u8> {
    const ASCII: u16 = 2;
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    // Header, then a directory of four entries, then one of one entry, then the texts.
    let image_directory: u32 = 8;
    let exif_directory = image_directory + 2 + 4 * 12 + 4;
    let mut text_offset = exif_directory + 2 + 12 + 4;
    let mut texts = Vec::new();
    let mut place_text = |text: &str| {
        let terminated = [text.as_bytes(), b"\0"].concat();
        let (offset, count) = (text_offset, terminated.len() as u32);
        text_offset += count;
        texts.extend_from_slice(&terminated);
        (count, offset)
    };
    let (make_count, make) = place_text(MAKE);
    let (model_count, model) = place_text(MODEL);
    let (taken_count, taken) = place_text(taken);
    let mut tiff = b"II\x2a\0".to_vec();
    tiff.extend_from_slice(&image_directory.to_le_bytes());
    let directories: [&[(u16, u16, u32, u32)]; 2] = [
        &[
            (0x010f, ASCII, make_count, make),
            (0x0110, ASCII, model_count, model),
            (0x0112, SHORT, 1, 1),
            (0x8769, LONG, 1, exif_directory),
        ],
        &[(0x9003, ASCII, taken_count, taken)],
    ];
    for entries in directories {
        tiff.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in entries {
            tiff.extend_from_slice(&tag.to_le_bytes());
            tiff.extend_from_slice(&kind.to_le_bytes());
            tiff.extend_from_slice(&count.to_le_bytes());
            tiff.extend_from_slice(&value.to_le_bytes());
        }
        // No further directory.
        tiff.extend_from_slice(&0u32.to_le_bytes());
    }
    tiff.extend_from_slice(&texts);
    tiff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exif_block_says_when_the_photo_was_taken() {
        let tiff = exif_tiff("2024:05:01 10:15:00");
        let exif_directory = u32::from_le_bytes(tiff[54..58].try_into().expect("four bytes"));
        let entry = exif_directory as usize + 2;
        assert_eq!(&tiff[entry..entry + 2], &0x9003u16.to_le_bytes());
        let offset =
            u32::from_le_bytes(tiff[entry + 8..entry + 12].try_into().expect("four bytes"));
        assert_eq!(&tiff[offset as usize..], b"2024:05:01 10:15:00\0");
    }

    #[test]
    fn noise_is_continuous_across_cells() {
        for x in 1..200 {
            let step = (smooth(x, 5, 32, 7) - smooth(x - 1, 5, 32, 7)).abs();
            assert!(step <= 10, "a jump of {step} at {x}");
        }
    }
}
