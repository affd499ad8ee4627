//! One sparse row times a matrix of `C` columns, and back: the inner loops of everything here.
//!
//! Compiled for each small number of classes, so that a row's sums stay in registers; `N = 0` is any number.

use super::rows::Row;

/// Calls `$function` compiled for `$n_classes`.
macro_rules! for_classes {
    ($n_classes:expr, $this:ident.$function:ident($($argument:expr),*)) => {
        match $n_classes {
            2 => $this.$function::<2>($($argument),*),
            3 => $this.$function::<3>($($argument),*),
            4 => $this.$function::<4>($($argument),*),
            5 => $this.$function::<5>($($argument),*),
            6 => $this.$function::<6>($($argument),*),
            7 => $this.$function::<7>($($argument),*),
            8 => $this.$function::<8>($($argument),*),
            9 => $this.$function::<9>($($argument),*),
            10 => $this.$function::<10>($($argument),*),
            _ => $this.$function::<0>($($argument),*),
        }
    };
}
pub(super) use for_classes;

/// `out ← xᵀM`; `out` has `C` numbers.
#[inline(always)]
pub(super) fn row_times<const N: usize>(row: Row<'_>, matrix: &[f64], out: &mut [f64]) {
    if N == 0 {
        out.fill(0.0);
        for (&column, &value) in row.columns.iter().zip(row.values) {
            let (x, line) = (f64::from(value), &matrix[column as usize * out.len()..][..out.len()]);
            out.iter_mut().zip(line).for_each(|(sum, m)| *sum += x * m);
        }
    } else {
        let mut sums = [0.0; N];
        for (&column, &value) in row.columns.iter().zip(row.values) {
            let (x, line) = (f64::from(value), &matrix[column as usize * N..][..N]);
            for class in 0..N {
                sums[class] += x * line[class];
            }
        }
        out.copy_from_slice(&sums);
    }
}

/// `M ← M + x·tᵀ`; `t` has `C` numbers.
#[inline(always)]
pub(super) fn add_outer<const N: usize>(row: Row<'_>, t: &[f64], matrix: &mut [f64]) {
    if N == 0 {
        for (&column, &value) in row.columns.iter().zip(row.values) {
            let (x, line) = (f64::from(value), &mut matrix[column as usize * t.len()..][..t.len()]);
            line.iter_mut().zip(t).for_each(|(m, t)| *m += x * t);
        }
    } else {
        let mut fixed = [0.0; N];
        fixed.copy_from_slice(t);
        for (&column, &value) in row.columns.iter().zip(row.values) {
            let (x, line) = (f64::from(value), &mut matrix[column as usize * N..][..N]);
            for class in 0..N {
                line[class] += x * fixed[class];
            }
        }
    }
}

/// `Σ aᵢ·bᵢ` in eight sums of every eighth term, so that it runs in lanes.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f64 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// `y ← y + scale·x`
pub(super) fn add_scaled(y: &mut [f64], scale: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x);
}

pub(super) fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
