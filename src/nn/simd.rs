//! One body, compiled for each instruction set, chosen at run time.
//!
//! The bodies use no fused multiply-add and fix the order of every sum by hand, so all versions
//! give the same bits; wider registers only make them faster.

/// Defines `pub fn name(args) -> ret` that runs `body` compiled for the best instruction set there is.
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path;) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    #[expect(unsafe_code, reason = "only entered when the features are there")]
                    // SAFETY: the four features the function is compiled for were just detected.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    #[expect(unsafe_code, reason = "only entered when the feature is there")]
                    // SAFETY: the feature the function is compiled for was just detected.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(crate) use vectorised;

/// Floats handled together; every inner loop is a multiple of it, and every sum has this many parts.
pub const LANES: usize = 16;

/// The instruction sets the matrix product may use here, as recorded with a run.
///
/// Everything but the matrix product gives the same bits on all of them.
pub fn kernel_family() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2";
        }
    }
    "portable"
}
