//! PNG files: what can be read is as large as it says and becomes the model's pixels in every way; grey pixels written
//! as a file are read as they were.
#![no_main]

use lethe::formats::picture::{MAX_PIXELS, Picture, Prepare, decode, size};
use lethe_fuzz::seed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Ok((width, height)) = size(data) else {
        assert!(decode(data).is_err());
        return;
    };
    // larger ones are read as well, but a fuzzer has better things to do
    if u64::from(width) * u64::from(height) > MAX_PIXELS >> 8 {
        return;
    }
    let Ok(picture) = decode(data) else { return };
    assert_eq!((picture.width, picture.height), (width as usize, height as usize));
    assert_eq!(picture.grey.len(), picture.width * picture.height);
    for (height, width) in [(28, 28), (1, 1), (3, 40)] {
        for prepare in [Prepare::Resize, Prepare::Digit] {
            assert_eq!(picture.prepare(prepare, height, width).unwrap().len(), height * width);
        }
    }
    let exact = picture.prepare(Prepare::None, picture.height, picture.width).unwrap();
    let expected = Picture { grey: exact, alpha: None, ..picture };
    assert_eq!(decode(&file(&expected)), Ok(expected));
});

fn file(picture: &Picture) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&picture.grey).unwrap();
    file
}

fn seeds() {
    use png::BitDepth::{Eight, One, Sixteen};
    use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    let kinds = [
        (Grayscale, One),
        (Grayscale, Sixteen),
        (GrayscaleAlpha, Eight),
        (Indexed, Eight),
        (Rgb, Eight),
        (Rgba, Eight),
        (Rgba, Sixteen),
    ];
    let files = kinds.map(|(color, depth)| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 5, 4);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == Indexed {
            encoder.set_palette((0..24).collect::<Vec<u8>>());
        }
        let n_bytes = 4 * (5 * color.samples() * depth as usize).div_ceil(8);
        let pixels: Vec<u8> = (0..n_bytes).map(|index| (index * 37 % 8) as u8).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        file
    });
    seed("pictures", &files);
}
