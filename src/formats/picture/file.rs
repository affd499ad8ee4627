//! PNG files into grey: every colour type, depth and interlacing.

use super::super::Fault;
use super::Picture;
use png::{Decoder, DecodingError, Limits, Reader, Transformations};
use std::io::Cursor;

/// Pixels of a picture, at most: what a 16-megapixel camera takes.
pub const MAX_PIXELS: u64 = 1 << 24;
/// What the decoder may take beside the picture itself, for lines and for chunks that say things about it.
const DECODER_BYTES: usize = 8 << 20;

fn unreadable(error: &DecodingError) -> Fault {
    Fault::whole(format!("the body is not a readable PNG: {error}"))
}

fn open(body: &[u8]) -> Result<Reader<Cursor<&[u8]>>, Fault> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(body), Limits { bytes: DECODER_BYTES });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(|error| unreadable(&error))?;
    let (width, height) = (reader.info().width, reader.info().height);
    // before anything of that size is allocated
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        let detail = format!("the picture must have at most {MAX_PIXELS} pixels, not {width}×{height}");
        return Err(Fault::whole(detail));
    }
    Ok(reader)
}

/// Width and height; nothing of that size is allocated.
pub fn size(body: &[u8]) -> Result<(u32, u32), Fault> {
    let reader = open(body)?;
    Ok((reader.info().width, reader.info().height))
}

/// A file of at most [`MAX_PIXELS`]; colours become grey by Rec. 601.
pub fn decode(body: &[u8]) -> Result<Picture, Fault> {
    let mut reader = open(body)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| Fault::whole("the picture is too large"))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(|error| unreadable(&error))?;
    let pixels = &pixels[..frame.buffer_size()];
    let (grey, alpha) = match frame.color_type.samples() {
        1 => (pixels.to_vec(), None),
        2 => (every(pixels, |&[grey, _]| grey), Some(every(pixels, |&[_, alpha]| alpha))),
        3 => (every(pixels, |&[red, green, blue]| luma(red, green, blue)), None),
        _ => {
            let grey = every(pixels, |&[red, green, blue, _]| luma(red, green, blue));
            (grey, Some(every(pixels, |&[_, _, _, alpha]| alpha)))
        }
    };
    let alpha = alpha.filter(|alpha| alpha.iter().any(|&alpha| alpha != u8::MAX));
    Ok(Picture { width, height, grey, alpha })
}

/// One number of every pixel.
fn every<const N: usize>(pixels: &[u8], of: impl Fn(&[u8; N]) -> u8) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<N>();
    pixels.iter().map(of).collect()
}

/// Rec. 601, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114 + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use png::{BitDepth, ColorType, Encoder};

    fn file(color: ColorType, depth: BitDepth, palette: Option<&[u8]>, data: &[u8], width: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file
    }

    fn on_black(file: &[u8]) -> Vec<u8> {
        decode(file).unwrap().over(0)
    }

    #[test]
    fn every_colour_type_becomes_grey_and_transparency_shows_black() {
        use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        for (color, palette, data) in [
            (Grayscale, None, &[0, 200][..]),
            (GrayscaleAlpha, None, &[9, 0, 200, 255]),
            (Rgb, None, &[0, 0, 0, 200, 200, 200]),
            (Rgba, None, &[255, 255, 255, 0, 200, 200, 200, 255]),
            (Indexed, Some(&[200, 200, 200, 0, 0, 0][..]), &[1, 0]),
        ] {
            assert_eq!(on_black(&file(color, BitDepth::Eight, palette, data, 2)), [0, 200], "{color:?}");
        }
    }

    #[test]
    fn every_depth_becomes_bytes() {
        let grey =
            |depth, data: &[u8], width| on_black(&file(ColorType::Grayscale, depth, None, data, width));
        assert_eq!(grey(BitDepth::One, &[0b0100_0000], 2), [0, 255]);
        assert_eq!(grey(BitDepth::Four, &[0x0F], 2), [0, 255]);
        assert_eq!(grey(BitDepth::Sixteen, &[0, 255, 200, 1], 2), [0, 200]);
    }

    /// 5×5 pixels in the seven passes of Adam7: its encoder is the specification's table.
    #[test]
    fn interlaced_pictures_are_read() {
        const PASSES: [(usize, usize, usize, usize); 7] = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ];
        let pixel = |x: usize, y: usize| (10 * y + x) as u8;
        let mut lines = Vec::new();
        for (left, top, step_x, step_y) in PASSES {
            for y in (top..5).step_by(step_y) {
                let line: Vec<u8> = (left..5).step_by(step_x).map(|x| pixel(x, y)).collect();
                if !line.is_empty() {
                    lines.push(0);
                    lines.extend(line);
                }
            }
        }
        let mut compressed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut compressed, &lines).unwrap();
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut file, *b"IHDR", &[0, 0, 0, 5, 0, 0, 0, 5, 8, 0, 0, 0, 1]);
        chunk(&mut file, *b"IDAT", &compressed.finish().unwrap());
        chunk(&mut file, *b"IEND", &[]);
        let expected: Vec<u8> = (0..25).map(|index| pixel(index % 5, index / 5)).collect();
        assert_eq!(on_black(&file), expected);
    }

    /// Length, name, content and CRC-32 of a chunk.
    fn chunk(file: &mut Vec<u8>, name: [u8; 4], content: &[u8]) {
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(content);
        let mut crc = flate2::Crc::new();
        crc.update(&name);
        crc.update(content);
        file.extend(crc.sum().to_be_bytes());
    }

    #[test]
    fn a_bomb_is_refused_by_what_its_head_says() {
        let mut bomb = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut bomb, *b"IHDR", &[0, 0, 255, 255, 0, 0, 255, 255, 8, 6, 0, 0, 0]);
        chunk(&mut bomb, *b"IDAT", &[]);
        for read in [size(&bomb).map(|_| ()), decode(&bomb).map(|_| ())] {
            let detail = read.unwrap_err().detail;
            assert!(detail.contains("not 65535×65535"), "{detail}");
        }
    }

    #[test]
    fn what_is_no_whole_png_is_refused() {
        let whole = file(ColorType::Rgb, BitDepth::Eight, None, &[7; 60], 20);
        assert_eq!(size(&whole), Ok((20, 1)));
        // the end mark alone may be missing
        for len in 0..whole.len() - 12 {
            assert!(decode(&whole[..len]).is_err(), "{len}");
        }
        assert!(decode(b"GIF89a").is_err());
    }
}
