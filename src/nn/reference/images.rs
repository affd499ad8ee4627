//! The images of a window of mini-batches, and where they are lit.

use crate::nn::Samples;
use crate::nn::buffer::Buffer;
use crate::nn::kernels::mask::lights;
use crate::nn::simd::{Simd, vectorised};

/// Pixels in a word of bits.
pub(super) const WORD: usize = u64::BITS as usize;

/// A row of weights some image needs, and where its lights are in the list of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) row: u32,
    pub(super) first: u32,
    pub(super) n: u32,
}

/// What an image has in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Light {
    pub(super) image: u32,
    pub(super) value: f32,
}

/// Images three times: as numbers, as bits that tell where they are lit, and as a list of the pixels' lights.
///
/// Behind the pixels comes one that every image lights with value 1: the bias is its weight.
#[derive(Debug)]
pub(super) struct Images {
    /// Numbers of an image: pixels, 1, and zeros to whole words.
    stride: usize,
    /// `capacity × stride`.
    x: Buffer,
    /// `capacity × stride / WORD`; bit `i` of word `w` is pixel `w·64 + i`.
    words: Vec<u64>,
    /// How many images light each pixel. While the lists are made: where its next light goes.
    counts: Vec<u32>,
    /// For each number of images, while the lists are made: the rows with so many lights, then where the next of
    /// them goes.
    places: Vec<u32>,
    rows: Vec<Row>,
    lights: Vec<Light>,
    len: usize,
}

impl Images {
    pub(super) fn new(n_pixels: usize, capacity: usize) -> Self {
        let stride = (n_pixels + 1).next_multiple_of(WORD);
        let mut x = Buffer::zeroed(capacity * stride);
        x.chunks_exact_mut(stride).for_each(|x| x[n_pixels] = 1.0);
        Self {
            stride,
            x,
            words: vec![0; capacity * stride / WORD],
            counts: vec![0; stride],
            places: vec![0; capacity + 2],
            rows: Vec::with_capacity(n_pixels + 1),
            lights: vec![Light::default(); capacity * (n_pixels + 1)],
            len: 0,
        }
    }

    pub(super) fn size_bytes(n_pixels: usize, capacity: u128) -> u128 {
        let stride = (n_pixels as u128 + 1).next_multiple_of(WORD as u128);
        // numbers, bits, lights; counts and rows
        capacity * stride * (4 + 8) + capacity * stride / 8 + stride * (4 + 12)
    }

    /// Takes the images of these rows instead of those it has.
    pub(super) fn load(&mut self, samples: Samples<'_>, rows: impl ExactSizeIterator<Item = u32>) {
        self.len = rows.len();
        self.counts.fill(0);
        let images =
            self.x.chunks_exact_mut(self.stride).zip(self.words.chunks_exact_mut(self.stride / WORD));
        for ((x, words), row) in images.zip(rows) {
            load_image(samples, row, x, words, &mut self.counts);
        }
        self.list_rows();
        self.list_lights();
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The numbers of an image: its pixels, 1, and zeros.
    pub(super) fn x(&self, image: usize) -> &[f32] {
        &self.x[image * self.stride..(image + 1) * self.stride]
    }

    /// Where an image is lit.
    pub(super) fn words(&self, image: usize) -> &[u64] {
        let n_words = self.stride / WORD;
        &self.words[image * n_words..(image + 1) * n_words]
    }

    /// The rows of weights the images need. Those needed by equally many follow one another: a loop over a row's
    /// lights then mostly ends where the last one did, which the processor foresees.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The lights of all rows, image after image in each.
    pub(super) fn lights(&self) -> &[Light] {
        &self.lights
    }

    /// Sorts the lit pixels by their counts, and gives each the place of its lights.
    fn list_rows(&mut self) {
        let n_rows = self.counts.iter().filter(|&&n| n > 0).count();
        self.rows.resize(n_rows, Row::default());
        self.places.fill(0);
        for &n in &self.counts {
            self.places[n as usize + 1] += 1;
        }
        // pixels that no image lights get no place
        self.places[1] = 0;
        for n in 1..self.places.len() {
            self.places[n] += self.places[n - 1];
        }
        for (row, &n) in (0..).zip(&self.counts).filter(|&(_, &n)| n > 0) {
            let place = &mut self.places[n as usize];
            self.rows[*place as usize] = Row { row, first: 0, n };
            *place += 1;
        }
        let mut first = 0;
        for row in &mut self.rows {
            row.first = first;
            self.counts[row.row as usize] = first;
            first += row.n;
        }
    }

    fn list_lights(&mut self) {
        let n_words = self.stride / WORD;
        for image in 0..self.len {
            let x = self.x[image * self.stride..(image + 1) * self.stride].as_chunks::<WORD>().0;
            let words = &self.words[image * n_words..(image + 1) * n_words];
            let next = self.counts.as_chunks_mut::<WORD>().0;
            for ((&word, x), next) in words.iter().zip(x).zip(next) {
                let mut left = word;
                while left != 0 {
                    let bit = left.trailing_zeros() as usize % WORD;
                    left &= left - 1;
                    self.lights[next[bit] as usize] = Light { image: image as u32, value: x[bit] };
                    next[bit] += 1;
                }
            }
        }
    }
}

vectorised! {
    /// Writes the pixels of row `row` to `x`, sets the image's bits and counts it in for the pixels it lights.
    fn load_image(samples: Samples<'_>, row: u32, x: &mut [f32], words: &mut [u64], counts: &mut [u32]) = load_image_body;
}

#[inline(always)]
fn load_image_body<S: Simd>(
    _: S,
    samples: Samples<'_>,
    row: u32,
    x: &mut [f32],
    words: &mut [u64],
    counts: &mut [u32],
) {
    samples.copy_row(row as usize, &mut x[..samples.n_features()]);
    let parts = x.as_chunks::<WORD>().0.iter().zip(counts.as_chunks_mut::<WORD>().0);
    for ((x, counts), word) in parts.zip(words) {
        for (count, &x) in counts.iter_mut().zip(x) {
            *count += u32::from(x != 0.0);
        }
        *word = lights(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Features;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_light_is_listed_once(
            (n_pixels, values) in (1usize..150, 1usize..9).prop_flat_map(|(n_pixels, n)| {
                let value = prop_oneof![3 => Just(0.0f32), 1 => Just(-0.0), 2 => -2.0f32..2.0];
                (Just(n_pixels), prop::collection::vec(value, n_pixels * n))
            }),
            reversed: bool,
        ) {
            let n = values.len() / n_pixels;
            let labels = vec![0; n];
            let samples = Samples::new(Features::F32(&values), &labels, n_pixels, 1);
            let mut images = Images::new(n_pixels, 9);
            // what was there before leaves nothing behind
            let ones = vec![1.0; 9 * n_pixels];
            images.load(Samples::new(Features::F32(&ones), &[0; 9], n_pixels, 1), 0..9);
            images.load(samples, (0..n).map(|i| if reversed { n - 1 - i } else { i } as u32));

            let mut listed = Vec::new();
            for pair in images.rows().windows(2) {
                prop_assert!((pair[0].n, pair[0].row) < (pair[1].n, pair[1].row));
            }
            for row in images.rows() {
                let lights = &images.lights()[row.first as usize..][..row.n as usize];
                prop_assert!(row.n > 0 && lights.is_sorted_by(|a, b| a.image < b.image));
                listed.extend(lights.iter().map(|light| (light.image, row.row, light.value)));
            }
            listed.sort_by_key(|&(image, row, _)| (image, row));
            let mut want = Vec::new();
            for image in 0..n {
                let source = if reversed { n - 1 - image } else { image };
                let pixels = values[source * n_pixels..][..n_pixels].iter().chain([&1.0]);
                let lit = (0..).zip(pixels).filter(|&(_, &value)| value != 0.0);
                want.extend(lit.map(|(row, &value)| (image as u32, row, value)));
            }
            prop_assert_eq!(&listed, &want);
            let bit = |image: u32, row: u32| images.words(image as usize)[row as usize / WORD] >> (row as usize % WORD) & 1;
            prop_assert!(want.iter().all(|&(image, row, _)| bit(image, row) == 1));
            let ones: u32 = (0..n).flat_map(|image| images.words(image)).map(|word| word.count_ones()).sum();
            prop_assert_eq!(ones as usize, want.len());
        }
    }
}
