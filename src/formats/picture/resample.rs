//! Scaling by area: a new pixel is the mean of what it covers, parts of pixels in proportion.

use std::ops::Range;

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// The part `cut` of a picture whose lines have `stride` pixels, at `width × height`.
pub fn by_area(pixels: &[f32], stride: usize, cut: Cut, width: usize, height: usize) -> Vec<f32> {
    let columns: Vec<Cover> = (0..width).map(|x| Cover::of(x, width, cut.width)).collect();
    let mut scaled = Vec::with_capacity(width * height);
    // as wide as the result, but of one line of the picture
    let mut narrow = vec![0.0; width];
    for y in 0..height {
        let lines = Cover::of(y, height, cut.height);
        let mut sum = vec![0.0; width];
        for (line, line_weight) in lines.weights() {
            let start = (cut.top + line) * stride + cut.left;
            let line = &pixels[start..start + cut.width];
            for (narrow, column) in narrow.iter_mut().zip(&columns) {
                *narrow = column.weights().map(|(x, weight)| weight * line[x]).sum();
            }
            for (sum, narrow) in sum.iter_mut().zip(&narrow) {
                *sum += line_weight * narrow;
            }
        }
        scaled.extend(sum);
    }
    scaled
}

/// Which old pixels a new one covers along one side, and how much of it each makes up.
#[derive(Debug)]
struct Cover {
    covered: Range<usize>,
    start: f64,
    end: f64,
}

impl Cover {
    fn of(index: usize, new_len: usize, old_len: usize) -> Self {
        let scale = old_len as f64 / new_len as f64;
        let (start, end) = (index as f64 * scale, ((index + 1) as f64 * scale).min(old_len as f64));
        Self { covered: start as usize..(end.ceil() as usize).min(old_len), start, end }
    }

    /// Old pixels with their shares, which add up to 1.
    fn weights(&self) -> impl Iterator<Item = (usize, f32)> {
        let len = self.end - self.start;
        self.covered.clone().map(move |old| {
            let part = (self.end.min((old + 1) as f64) - self.start.max(old as f64)).max(0.0);
            (old, (part / len) as f32)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(width: usize, height: usize) -> Cut {
        Cut { left: 0, top: 0, width, height }
    }

    #[test]
    fn a_new_pixel_is_the_mean_of_what_it_covers() {
        assert_eq!(by_area(&[0.0, 2.0, 4.0, 6.0], 2, whole(2, 2), 1, 1), [3.0]);
        let halves = by_area(&[1.0, 4.0, 7.0], 3, whole(3, 1), 2, 1);
        assert!((halves[0] - 2.0).abs() < 1e-5 && (halves[1] - 6.0).abs() < 1e-5, "{halves:?}");
        assert_eq!(by_area(&[1.0, 2.0], 2, whole(2, 1), 4, 2), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
        let cut = Cut { left: 1, top: 1, width: 2, height: 1 };
        assert_eq!(by_area(&[9.0, 9.0, 9.0, 9.0, 2.0, 4.0], 3, cut, 1, 1), [3.0]);
    }

    proptest! {
        #[test]
        fn nothing_becomes_brighter_or_darker_as_a_whole(
            (width, height, pixels) in (1_usize..40, 1_usize..40).prop_flat_map(|(width, height)| {
                (Just(width), Just(height), prop::collection::vec(0.0_f32..255.0, width * height))
            }),
            new_width in 1_usize..40,
            new_height in 1_usize..40,
        ) {
            let scaled = by_area(&pixels, width, whole(width, height), new_width, new_height);
            let mean = |pixels: &[f32]| pixels.iter().sum::<f32>() / pixels.len() as f32;
            prop_assert_eq!(scaled.len(), new_width * new_height);
            prop_assert!((mean(&scaled) - mean(&pixels)).abs() < 0.01);
        }
    }
}
