//! Rows of a data set, brought together as the input of a batch.

use super::mask::{Mask, lights};
use crate::nn::panels::{BLOCK, PANEL, Panels};
use crate::nn::samples::BYTE_SCALE;
use crate::nn::simd::{Simd, prefetch, vectorised};
use std::ops::Range;

/// Rows that are asked for ahead of being read.
const AHEAD: usize = 4;

/// Where gathered rows go: some panels of the input, and the masks of their blocks.
#[derive(Debug)]
pub struct Gather<'a> {
    pub layout: Panels,
    pub panels: Range<usize>,
    /// The numbers of these panels.
    pub x: &'a mut [f32],
    /// One mask for each block of rows, panel after panel.
    pub masks: &'a mut [Mask],
}

vectorised! {
    /// Gathers image bytes as the network sees them: `byte / 255`, to rounding.
    pub fn gather_bytes(features: &[u8], rows: &[u32], into: &mut Gather<'_>) = bytes_body;
}

vectorised! {
    /// Gathers floats as they are.
    pub fn gather_floats(features: &[f32], rows: &[u32], into: &mut Gather<'_>) = floats_body;
}

#[inline(always)]
fn bytes_body<S: Simd>(_: S, features: &[u8], rows: &[u32], into: &mut Gather<'_>) {
    gather(features, rows, into, |byte| f32::from(byte) * BYTE_SCALE);
}

#[inline(always)]
fn floats_body<S: Simd>(_: S, features: &[f32], rows: &[u32], into: &mut Gather<'_>) {
    gather(features, rows, into, |value| value);
}

#[inline(always)]
fn gather<T: Copy + Default + PartialEq>(
    features: &[T],
    rows: &[u32],
    into: &mut Gather<'_>,
    see: impl Fn(T) -> f32,
) {
    let (layout, d) = (into.layout, into.layout.cols());
    let origin = layout.tile(into.panels.start, 0..0).start;
    let n_blocks = layout.rows().div_ceil(BLOCK);
    let n_used = rows.len().div_ceil(BLOCK);
    for mask in into.masks.chunks_exact_mut(n_blocks).flat_map(|masks| &mut masks[..n_used]) {
        mask.clear();
    }
    // of what is to come, too, each piece asks for its own part
    let own = into.panels.start * PANEL..d.min(into.panels.end * PANEL);
    for (at, &row) in rows.iter().enumerate() {
        if let Some(&coming) = rows.get(at + AHEAD) {
            prefetch(&features[coming as usize * d..][own.clone()]);
        }
        let row = &features[row as usize * d..][..d];
        for (number, panel) in into.panels.clone().enumerate() {
            let tile = layout.tile(panel, at..at + 1);
            let x = &mut into.x[tile.start - origin..tile.end - origin];
            let from = &row[panel * PANEL..][..layout.used(panel)];
            for (x, &value) in x.iter_mut().zip(from) {
                *x = see(value);
            }
            into.masks[number * n_blocks + at / BLOCK].note(at % BLOCK, lights(from));
        }
    }
    for mask in into.masks.chunks_exact_mut(n_blocks).flat_map(|masks| &mut masks[..n_used]) {
        mask.finish();
    }
}
