//! Numbers that start on a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest register.
const ALIGNMENT: usize = 64;
/// Numbers that may have to be skipped to reach a line's start.
const SLACK: usize = ALIGNMENT / size_of::<f32>() - 1;

/// A fixed number of `f32`, aligned to 64 bytes: a lane never straddles two cache lines.
pub struct Buffer {
    allocated: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub fn zeroed(len: usize) -> Self {
        let allocated = vec![0.0f32; len + SLACK];
        // the standard library may decline to say; then nothing is skipped and only speed is lost
        let start = allocated.as_ptr().align_offset(ALIGNMENT).min(SLACK);
        Self { allocated, start, len }
    }

    /// Bytes a buffer of `len` numbers takes.
    pub const fn size_bytes(len: u128) -> u128 {
        (len + SLACK as u128) * size_of::<f32>() as u128
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.allocated[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.allocated[self.start..self.start + self.len]
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_and_its_copies_start_on_a_cache_line() {
        for len in [0, 1, 15, 16, 1000] {
            let mut buffer = Buffer::zeroed(len);
            buffer.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
            let copy = buffer.clone();
            assert_eq!(copy, buffer);
            assert_eq!(copy.len(), len);
            assert_eq!((buffer.as_ptr() as usize % ALIGNMENT, copy.as_ptr() as usize % ALIGNMENT), (0, 0));
        }
    }
}
