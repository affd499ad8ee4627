//! What one core could do at most: fused multiply-adds in f32 that never leave the registers.
//!
//! That they never do is what makes it the peak, and the compiler decides it: sums it has no register for are
//! stored and loaded in every step, which once made this a third too slow and every share of it half again too
//! large. So there are fewer sums than registers, and they are put together as whole registers. Two units of
//! four cycles' latency want at least eight; twelve and more measure the same.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Multiply-adds into every sum between two looks at the clock.
const STEPS: u32 = 20_000;
/// Long enough for the clock rate to settle, short enough to sit beside each training.
const DURATION: Duration = Duration::from_millis(200);

/// Floating-point operations a second, in thousand millions. A multiply-add counts as two.
pub fn gflops() -> f64 {
    let (kernel, floats) = best_kernel();
    let (start, mut calls) = (Instant::now(), 0u32);
    while start.elapsed() < DURATION {
        black_box(kernel(black_box(0.999), black_box(0.001)));
        calls += 1;
    }
    let operations = 2.0 * floats as f64 * f64::from(STEPS) * f64::from(calls);
    operations / start.elapsed().as_secs_f64() / 1e9
}

/// A kernel takes both constants and gives something back, so that nothing can be left out or computed
/// beforehand. With it comes how many floats a step of it handles.
type Kernel = fn(f32, f32) -> f32;

#[cfg(target_arch = "x86_64")]
fn best_kernel() -> (Kernel, usize) {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
        (x86::run_avx512, 16 * x86::SUMS_AVX512)
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        (x86::run_avx2, 8 * x86::SUMS_AVX2)
    } else {
        (portable, 4 * SUMS)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best_kernel() -> (Kernel, usize) {
    (portable, 4 * SUMS)
}

/// Of the portable kernel: 64-bit ARM has 32 registers.
const SUMS: usize = 16;

/// What every machine of the target can do; on 64-bit ARM that is four lanes of NEON.
fn portable(factor: f32, summand: f32) -> f32 {
    let mut sums = [[1.0f32; 4]; SUMS];
    for _ in 0..STEPS {
        for lane in sums.as_flattened_mut() {
            *lane = lane.mul_add(factor, summand);
        }
    }
    sums.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::STEPS;
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_ps,
        _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps,
    };

    /// Of 32 registers.
    pub const SUMS_AVX512: usize = 16;
    /// Of 16 registers, two of which hold the constants.
    pub const SUMS_AVX2: usize = 12;

    /// To be called only where AVX-512 F and VL were found.
    #[expect(unsafe_code, reason = "calls a function compiled for more than the target has")]
    pub fn run_avx512(factor: f32, summand: f32) -> f32 {
        // SAFETY: its only caller takes it up after finding AVX-512 F and VL on this processor; the function asks for
        // nothing else.
        unsafe { avx512(factor, summand) }
    }

    /// To be called only where AVX2 and FMA were found.
    #[expect(unsafe_code, reason = "calls a function compiled for more than the target has")]
    pub fn run_avx2(factor: f32, summand: f32) -> f32 {
        // SAFETY: its only caller takes it up after finding AVX2 and FMA on this processor; the function asks
        // for nothing else.
        unsafe { avx2(factor, summand) }
    }

    // without VL the compiler makes do with half of the registers, since it may want a part of one
    #[target_feature(enable = "avx512f,avx512vl")]
    fn avx512(factor: f32, summand: f32) -> f32 {
        let (factor, summand) = (_mm512_set1_ps(factor), _mm512_set1_ps(summand));
        let mut sums: [__m512; SUMS_AVX512] = [factor; SUMS_AVX512];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, summand);
            }
        }
        let mut total = summand;
        for sum in sums {
            total = _mm512_add_ps(total, sum);
        }
        _mm512_cvtss_f32(total)
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2(factor: f32, summand: f32) -> f32 {
        let (factor, summand) = (_mm256_set1_ps(factor), _mm256_set1_ps(summand));
        let mut sums: [__m256; SUMS_AVX2] = [factor; SUMS_AVX2];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, summand);
            }
        }
        let mut total = summand;
        for sum in sums {
            total = _mm256_add_ps(total, sum);
        }
        _mm256_cvtss_f32(total)
    }
}
