//! A picture of a digit made to look like MNIST's.
//!
//! LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition" (1998), III.A: the digits
//! were size-normalised to fit a 20×20 box while preserving their aspect ratio, with grey levels from anti-aliasing,
//! and centred in a 28×28 image by their centre of mass. Ink is light, the ground black.

use super::Picture;
use super::resample::{Cut, by_area};

/// The side of the box the ink is scaled into, of 28 pixels.
const BOX: (usize, usize) = (20, 28);
/// From which part of the strongest ink on a pixel counts when the ink is cut out: dust and shading are fainter.
const FAINTEST: f32 = 0.05;

/// `height × width` pixels; a picture without ink becomes black.
pub fn prepare(picture: &Picture, height: usize, width: usize) -> Vec<u8> {
    let ink = ink(picture);
    let strongest = ink.iter().copied().fold(0.0, f32::max);
    let Some(cut) = extent(&ink, picture.width, strongest * FAINTEST) else { return vec![0; width * height] };
    let (box_width, box_height) = (scaled(width), scaled(height));
    // as large as fits both ways
    let scale = (box_width as f64 / cut.width as f64).min(box_height as f64 / cut.height as f64);
    let fit = |side: usize, most: usize| ((side as f64 * scale).round() as usize).clamp(1, most);
    let (ink_width, ink_height) = (fit(cut.width, box_width), fit(cut.height, box_height));
    let small = by_area(&ink, picture.width, cut, ink_width, ink_height);

    let (x, y) = centre_of_mass(&small, ink_width);
    let left = place(width, ink_width, x);
    let top = place(height, ink_height, y);
    let strongest = small.iter().copied().fold(0.0, f32::max);
    let mut pixels = vec![0; width * height];
    for (line, small) in small.chunks_exact(ink_width).enumerate() {
        let start = (top + line) * width + left;
        for (pixel, value) in pixels[start..start + ink_width].iter_mut().zip(small) {
            // thin lines lose strength in scaling: the strongest ink is white again
            *pixel = (value / strongest * 255.0).round() as u8;
        }
    }
    pixels
}

fn scaled(side: usize) -> usize {
    (side * BOX.0 / BOX.1).max(1)
}

/// How much each pixel differs from the ground in the direction the ink does; 0 for the ground.
fn ink(picture: &Picture) -> Vec<f32> {
    let grey = picture.over(opposite_of_ink(picture));
    let ground = median_of_border(&grey, picture.width);
    let darkest = grey.iter().copied().min().unwrap_or(ground);
    let lightest = grey.iter().copied().max().unwrap_or(ground);
    let is_dark_on_light = ground - darkest > lightest - ground;
    let difference = |pixel: u8| {
        if is_dark_on_light { ground.saturating_sub(pixel) } else { pixel.saturating_sub(ground) }
    };
    grey.into_iter().map(|pixel| f32::from(difference(pixel))).collect()
}

/// The ground for what is transparent: white below dark ink, black below light ink.
fn opposite_of_ink(picture: &Picture) -> u8 {
    let Some(alpha) = &picture.alpha else { return 0 };
    let visible: u64 = alpha.iter().map(|&alpha| u64::from(alpha)).sum();
    let light: u64 =
        picture.grey.iter().zip(alpha).map(|(&grey, &alpha)| u64::from(grey) * u64::from(alpha)).sum();
    if light < 128 * visible { 255 } else { 0 }
}

/// The ground is what most of the border is.
fn median_of_border(grey: &[u8], width: usize) -> u8 {
    let height = grey.len() / width;
    let first_and_last = grey[..width].iter().chain(&grey[(height - 1) * width..]);
    let sides = (0..height).flat_map(|y| [&grey[y * width], &grey[(y + 1) * width - 1]]);
    let mut border: Vec<u8> = first_and_last.chain(sides).copied().collect();
    let middle = border.len() / 2;
    *border.select_nth_unstable(middle).1
}

/// The smallest part with all ink of at least this strength; none where there is no ink at all.
fn extent(ink: &[f32], width: usize, faintest: f32) -> Option<Cut> {
    let counts = |&value: &f32| value > 0.0 && value >= faintest;
    let (mut left, mut right, mut top, mut bottom) = (width, 0, None, 0);
    for (y, line) in ink.chunks_exact(width).enumerate() {
        let Some(first) = line.iter().position(counts) else { continue };
        let last = line.iter().rposition(counts).unwrap_or(first);
        (left, right) = (left.min(first), right.max(last));
        top = top.or(Some(y));
        bottom = y;
    }
    top.map(|top| Cut { left, top, width: right - left + 1, height: bottom - top + 1 })
}

/// In pixels from the left and top edges.
fn centre_of_mass(ink: &[f32], width: usize) -> (f32, f32) {
    let (mut mass, mut x_mass, mut y_mass) = (0.0, 0.0, 0.0);
    for (y, line) in ink.chunks_exact(width).enumerate() {
        for (x, &value) in line.iter().enumerate() {
            mass += value;
            x_mass += value * (x as f32 + 0.5);
            y_mass += value * (y as f32 + 0.5);
        }
    }
    (x_mass / mass, y_mass / mass)
}

/// Where a side of `len` pixels begins if the point at `centre` comes to the middle of `whole`, without leaving it. The
/// middle is a pixel's, the 15th of 28: so it is in every picture of MNIST, to half a pixel.
fn place(whole: usize, len: usize, centre: f32) -> usize {
    let middle = (whole / 2) as f32 + 0.5;
    let start = (middle - centre).round().max(0.0) as usize;
    start.min(whole - len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `width × height` of one grey with another in a rectangle.
    fn rectangle(ground: u8, ink: u8, (width, height): (usize, usize), cut: Cut) -> Picture {
        let mut grey = vec![ground; width * height];
        for y in cut.top..cut.top + cut.height {
            grey[y * width + cut.left..][..cut.width].fill(ink);
        }
        Picture { width, height, grey, alpha: None }
    }

    fn of_28(picture: &Picture) -> Vec<u8> {
        prepare(picture, 28, 28)
    }

    const TALL: Cut = Cut { left: 80, top: 10, width: 15, height: 60 };

    #[test]
    fn ink_fills_the_box_in_its_proportions_and_lies_in_the_middle() {
        let pixels = of_28(&rectangle(255, 0, (100, 90), TALL));
        for (index, pixel) in pixels.into_iter().enumerate() {
            let (x, y) = (index % 28, index / 28);
            // 5 × 20 pixels around the one in the middle; of the two nearest the lower
            let is_ink = (12..17).contains(&x) && (5..25).contains(&y);
            assert_eq!(pixel, if is_ink { 255 } else { 0 }, "{x}, {y}");
        }
    }

    #[test]
    fn only_the_difference_from_the_ground_counts() {
        let expected = of_28(&rectangle(0, 255, (100, 90), TALL));
        for (ground, ink) in [(255, 0), (0, 9), (180, 40), (90, 240), (200, 100)] {
            assert_eq!(of_28(&rectangle(ground, ink, (100, 90), TALL)), expected, "{ink} on {ground}");
        }
    }

    #[test]
    fn ink_on_a_transparent_ground_is_ink_whether_dark_or_light() {
        let expected = of_28(&rectangle(0, 255, (100, 90), TALL));
        let alpha = rectangle(0, 255, (100, 90), TALL).grey;
        for ink in [0, 100, 160, 255] {
            let picture = Picture { alpha: Some(alpha.clone()), ..rectangle(ink, ink, (100, 90), TALL) };
            assert_eq!(of_28(&picture), expected, "{ink}");
        }
    }

    #[test]
    fn dust_is_not_ink() {
        let mut picture = rectangle(255, 0, (100, 90), TALL);
        picture.grey[50 * 100 + 3] = 245;
        assert_eq!(of_28(&picture), of_28(&rectangle(255, 0, (100, 90), TALL)));
    }

    #[test]
    fn a_picture_without_ink_is_black_and_the_smallest_is_one_pixel() {
        let nothing = Cut { left: 0, top: 0, width: 0, height: 0 };
        for size in [(1, 1), (3, 50)] {
            assert_eq!(of_28(&rectangle(77, 77, size, nothing)), vec![0; 784]);
        }
        let point = Cut { left: 4, top: 4, width: 1, height: 1 };
        let pixels = of_28(&rectangle(0, 255, (9, 9), point));
        assert_eq!(pixels.iter().filter(|&&pixel| pixel == 255).count(), 400);
        assert_eq!(prepare(&rectangle(0, 255, (9, 9), point), 1, 3), [0, 255, 0]);
    }

    #[test]
    fn heavy_ink_on_one_side_pulls_the_middle_there_but_never_out_of_the_picture() {
        // a thin line with a block at its left end
        let mut picture = rectangle(0, 255, (200, 40), Cut { left: 0, top: 19, width: 200, height: 2 });
        for y in 0..40 {
            picture.grey[y * 200..][..40].fill(255);
        }
        let pixels = of_28(&picture);
        let first = (0..28).find(|&x| (0..28).any(|y| pixels[y * 28 + x] > 0)).unwrap();
        assert_eq!(first, 8, "as far right as 20 pixels fit");
    }
}
