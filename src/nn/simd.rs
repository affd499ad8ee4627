//! One body, compiled for each instruction set, chosen at run time.
//!
//! The bodies multiply and add with a single rounding and fix the order of every sum by hand, so all
//! versions give the same bits; wider registers only make them faster. Where the hardware has no fused
//! multiply-add it is computed in f64, slowly, to the same bits.

use std::sync::OnceLock;

/// Floats handled together: one AVX-512 register, two of AVX2, four of NEON.
pub const LANES: usize = 16;

/// [`LANES`] neighbouring numbers.
pub type Lane = [f32; LANES];

/// The instruction sets a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// What every machine of the target architecture has.
    Portable,
}

impl Isa {
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// The best one this machine has.
    #[inline]
    pub fn detect() -> Self {
        #[cfg(test)]
        if let Some(isa) = tests::FORCED.get() {
            return isa;
        }
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Portable))
    }

    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }
}

/// The instruction set the kernels use here, as recorded with a run. It decides speed, not bits.
pub fn kernel_family() -> &'static str {
    match Isa::detect() {
        Isa::Avx512 => "avx512",
        Isa::Avx2 => "avx2",
        Isa::Portable => "portable",
    }
}

/// What a kernel's body is generic over. A value of the type is the proof that its instructions are there.
pub trait Simd: Copy {
    /// Lanes of a row that a kernel may hold in registers beside six rows of sums.
    const WIDTH: usize;

    /// A [`Lane`] in registers.
    type Register: Copy;

    fn load(self, lane: &Lane) -> Self::Register;
    fn store(self, register: Self::Register, lane: &mut Lane);
    fn splat(self, value: f32) -> Self::Register;
    fn mul(self, a: Self::Register, b: Self::Register) -> Self::Register;
    /// `a·b + c`, rounded once, number by number.
    fn fma(self, a: Self::Register, b: Self::Register, c: Self::Register) -> Self::Register;
    /// Zero where the number is smaller than `limit`, by magnitude.
    fn flush(self, a: Self::Register, limit: f32) -> Self::Register;
    /// Zero where the number is smaller than zero, every other to the last bit: −0 and NaN stay.
    fn clip(self, a: Self::Register) -> Self::Register;
    /// Zero where the number of `b` is not greater than zero, every other to the last bit.
    fn where_positive(self, a: Self::Register, b: Self::Register) -> Self::Register;

    /// `a·b + c`, rounded once (IEEE 754-2008, `fusedMultiplyAdd`).
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// 32 registers of one lane each: AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Wide(());

#[cfg(target_arch = "x86_64")]
mod wide {
    #![expect(unsafe_code, reason = "intrinsics may only be called where their instructions are")]

    use super::{Lane, Simd, Wide};
    use std::arch::x86_64::{
        __m512, _CMP_GT_OQ, _CMP_NLT_UQ, _mm512_abs_ps, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    impl Wide {
        /// # Safety
        ///
        /// The machine must have AVX-512 F, BW, DQ and VL.
        #[inline(always)]
        pub const unsafe fn assume_available() -> Self {
            Self(())
        }
    }

    // SAFETY, of every call below: AVX-512 F is there, or there would be no `Wide` to call the method on. Loads
    // and stores go through a reference to exactly the 64 bytes they touch and need no alignment.
    impl Simd for Wide {
        const WIDTH: usize = 4;
        type Register = __m512;

        #[inline(always)]
        fn load(self, lane: &Lane) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_loadu_ps(lane.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, register: __m512, lane: &mut Lane) {
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(lane.as_mut_ptr(), register) }
        }

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn flush(self, a: __m512, limit: f32) -> __m512 {
            // SAFETY: see above.
            unsafe {
                let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(a), _mm512_set1_ps(limit));
                _mm512_maskz_mov_ps(kept, a)
            }
        }

        #[inline(always)]
        fn clip(self, a: __m512) -> __m512 {
            // of two zeros, and beside a NaN, the maximum is the second: −0 and NaN stay
            // SAFETY: see above.
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), a) }
        }

        #[inline(always)]
        fn where_positive(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(b, _mm512_setzero_ps()), a) }
        }

        #[inline(always)]
        fn mul_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }
    }
}

/// 16 registers of half a lane each: AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Narrow(());

#[cfg(target_arch = "x86_64")]
mod narrow {
    #![expect(unsafe_code, reason = "intrinsics may only be called where their instructions are")]

    use super::{Lane, Narrow, Simd};
    use std::arch::x86_64::{
        __m256, _CMP_GT_OQ, _CMP_NLT_UQ, _mm256_and_ps, _mm256_andnot_ps, _mm256_cmp_ps, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_max_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    const HALF: usize = 8;

    impl Narrow {
        /// # Safety
        ///
        /// The machine must have AVX2 and FMA.
        #[inline(always)]
        pub const unsafe fn assume_available() -> Self {
            Self(())
        }
    }

    // SAFETY, of every call below: AVX2 and FMA are there, or there would be no `Narrow` to call the method on. Loads
    // and stores go through a reference to exactly the 64 bytes they touch, in two halves, and need no alignment.
    impl Simd for Narrow {
        const WIDTH: usize = 1;
        type Register = [__m256; 2];

        #[inline(always)]
        fn load(self, lane: &Lane) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe { [_mm256_loadu_ps(lane.as_ptr()), _mm256_loadu_ps(lane.as_ptr().add(HALF))] }
        }

        #[inline(always)]
        fn store(self, [low, high]: [__m256; 2], lane: &mut Lane) {
            // SAFETY: see above.
            unsafe {
                _mm256_storeu_ps(lane.as_mut_ptr(), low);
                _mm256_storeu_ps(lane.as_mut_ptr().add(HALF), high);
            }
        }

        #[inline(always)]
        fn splat(self, value: f32) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe { [_mm256_set1_ps(value); 2] }
        }

        #[inline(always)]
        fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        fn flush(self, [low, high]: [__m256; 2], limit: f32) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe {
                let (limit, sign) = (_mm256_set1_ps(limit), _mm256_set1_ps(-0.0));
                let kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(_mm256_andnot_ps(sign, low), limit);
                let low = _mm256_and_ps(kept, low);
                let kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(_mm256_andnot_ps(sign, high), limit);
                [low, _mm256_and_ps(kept, high)]
            }
        }

        #[inline(always)]
        fn clip(self, [low, high]: [__m256; 2]) -> [__m256; 2] {
            // of two zeros, and beside a NaN, the maximum is the second: −0 and NaN stay
            // SAFETY: see above.
            unsafe {
                let zero = _mm256_setzero_ps();
                [_mm256_max_ps(zero, low), _mm256_max_ps(zero, high)]
            }
        }

        #[inline(always)]
        fn where_positive(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe {
                let zero = _mm256_setzero_ps();
                let kept = b.map(|b| _mm256_cmp_ps::<_CMP_GT_OQ>(b, zero));
                [_mm256_and_ps(kept[0], a[0]), _mm256_and_ps(kept[1], a[1])]
            }
        }

        #[inline(always)]
        fn mul_add(a: f32, b: f32, c: f32) -> f32 {
            a.mul_add(b, c)
        }
    }
}

/// Left to the compiler: a lane is an array.
macro_rules! by_the_compiler {
    ($name:ident, $mul_add:expr) => {
        impl Simd for $name {
            const WIDTH: usize = 1;
            type Register = Lane;

            #[inline(always)]
            fn load(self, lane: &Lane) -> Lane {
                *lane
            }

            #[inline(always)]
            fn store(self, register: Lane, lane: &mut Lane) {
                *lane = register;
            }

            #[inline(always)]
            fn splat(self, value: f32) -> Lane {
                [value; LANES]
            }

            #[inline(always)]
            fn mul(self, a: Lane, b: Lane) -> Lane {
                std::array::from_fn(|lane| a[lane] * b[lane])
            }

            #[inline(always)]
            fn fma(self, a: Lane, b: Lane, c: Lane) -> Lane {
                std::array::from_fn(|lane| Self::mul_add(a[lane], b[lane], c[lane]))
            }

            #[inline(always)]
            fn flush(self, a: Lane, limit: f32) -> Lane {
                a.map(|value| if value.abs() < limit { 0.0 } else { value })
            }

            #[inline(always)]
            fn clip(self, a: Lane) -> Lane {
                a.map(|value| if value < 0.0 { 0.0 } else { value })
            }

            #[inline(always)]
            fn where_positive(self, a: Lane, b: Lane) -> Lane {
                std::array::from_fn(|lane| if b[lane] > 0.0 { a[lane] } else { 0.0 })
            }

            #[inline(always)]
            fn mul_add(a: f32, b: f32, c: f32) -> f32 {
                $mul_add(a, b, c)
            }
        }
    };
}

/// Multiply-add is one instruction, as on NEON, or the C library's.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[derive(Clone, Copy, Debug)]
pub struct Fused;

#[cfg(any(test, not(target_arch = "x86_64")))]
by_the_compiler!(Fused, f32::mul_add);

/// No fused multiply-add in hardware.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Emulated;

#[cfg(target_arch = "x86_64")]
by_the_compiler!(Emulated, mul_add_in_f64);

/// The fused multiply-add of f32 by operations of f64.
///
/// The product is exact in f64. Their sum is rounded to odd, by the error of Knuth's two-sum, which keeps the
/// second rounding, to f32, from going astray: Boldo & Melquiond 2008 (IEEE Trans. Computers 57(4)),
/// "Emulation of FMA and correctly rounded sums".
#[cfg(any(test, target_arch = "x86_64"))]
#[inline(always)]
fn mul_add_in_f64(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let c_part = sum - product;
    let error = (product - (sum - c_part)) + (c - c_part);
    // not `!= 0`: beside an infinity the error is no number, and nothing is to be mended
    let is_inexact = error.abs() > 0.0;
    let away_from_zero = (error > 0.0) == (sum > 0.0);
    let bits = sum.to_bits();
    let odd = match (is_inexact && bits & 1 == 0, away_from_zero) {
        (false, _) => bits,
        (true, true) => bits + 1,
        (true, false) => bits - 1,
    };
    f64::from_bits(odd) as f32
}

/// Defines `fn name(args)` that runs `body(simd, args)`, generic over [`Simd`], compiled for the best
/// instruction set there is.
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident;) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::nn::simd::{Emulated, Isa, Narrow, Wide};

                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    #[expect(unsafe_code, reason = "a promise to the kernel")]
                    // SAFETY: the function is compiled for, and so only called with, these features.
                    let simd = unsafe { Wide::assume_available() };
                    $body(simd, $($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    #[expect(unsafe_code, reason = "a promise to the kernel")]
                    // SAFETY: the function is compiled for, and so only called with, these features.
                    let simd = unsafe { Narrow::assume_available() };
                    $body(simd, $($arg),*)
                }
                match Isa::detect() {
                    Isa::Avx512 => {
                        #[expect(unsafe_code, reason = "only entered when the features are there")]
                        // SAFETY: `Isa::detect` has found the features the function is compiled for.
                        unsafe {
                            avx512($($arg),*)
                        }
                    }
                    Isa::Avx2 => {
                        #[expect(unsafe_code, reason = "only entered when the features are there")]
                        // SAFETY: `Isa::detect` has found the features the function is compiled for.
                        unsafe {
                            avx2($($arg),*)
                        }
                    }
                    Isa::Portable => $body(Emulated, $($arg),*),
                }
            }
            // NEON has a fused multiply-add; what another target lacks, its C library has
            #[cfg(not(target_arch = "x86_64"))]
            $body($crate::nn::simd::Fused, $($arg),*)
        }
    };
}
pub(crate) use vectorised;

/// Asks for some memory ahead of its use. Changes nothing but time.
#[inline]
pub fn prefetch<T>(memory: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

        const LINE: usize = 64;
        let bytes = size_of_val(memory);
        for offset in (0..bytes).step_by(LINE) {
            let line = memory.as_ptr().cast::<i8>().wrapping_add(offset);
            #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
            // SAFETY: every x86-64 machine has SSE; a prefetch reads nothing and never faults.
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(line);
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = memory;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! {
        pub(super) static FORCED: Cell<Option<Isa>> = const { Cell::new(None) };
    }

    /// Runs `work` once for each instruction set of this machine, on the calling thread.
    pub(crate) fn on_every_isa<T>(mut work: impl FnMut() -> T) -> Vec<T> {
        let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
        let results = available
            .map(|isa| {
                FORCED.set(Some(isa));
                work()
            })
            .collect();
        FORCED.set(None);
        results
    }

    fn agree(a: f32, b: f32, c: f32) {
        let (got, want) = (mul_add_in_f64(a, b, c), a.mul_add(b, c));
        assert!(
            got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
            "{a} · {b} + {c}: {got} {want}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_emulated_multiply_add_is_the_fused_one(a: u32, b: u32, c: u32, near in -3i32..4) {
            let (a, b) = (f32::from_bits(a), f32::from_bits(b));
            agree(a, b, f32::from_bits(c));
            // where rounding is hard: the product nearly cancelled, or just beside a tie
            let product = a * b;
            agree(a, b, f32::from_bits((-product).to_bits().wrapping_add_signed(near)));
            agree(a, b, product * f32::powi(2.0, 24 * near.signum()));
            agree(1.0 + f32::EPSILON * near as f32, 1.0 + f32::EPSILON, f32::powi(2.0, -24 - near.abs()));
        }
    }

    #[test]
    fn the_emulated_multiply_add_is_right_at_the_edges() {
        let edges = [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, f32::MIN];
        let edges = [&edges[..], &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 3e38, 1.5e-45]].concat();
        for &a in &edges {
            for &b in &edges {
                for &c in &edges {
                    agree(a, b, c);
                }
            }
        }
    }
}
