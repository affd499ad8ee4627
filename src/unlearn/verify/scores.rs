//! What an attacker may read off a row's probabilities.

/// Logarithms of less than this are those of this.
const LEAST: f64 = 1e-30;

fn ln(x: f64) -> f64 {
    libm::log(x.max(LEAST))
}

/// Entropy of the answer in nats: members tend to have less. The label plays no part.
pub(super) fn entropy(p: &[f32], _label: u32) -> f64 {
    p.iter().map(|&p| f64::from(p)).map(|p| -p * ln(p)).sum()
}

/// Modified entropy in nats: `−(1 − p_y)·ln p_y − Σ_{j≠y} p_j·ln(1 − p_j)`; members tend to have less.
///
/// Song & Mittal 2021 (USENIX Security), equation 3. Unlike the entropy it tells a confident wrong answer from a
/// confident right one.
pub(super) fn modified_entropy(p: &[f32], label: u32) -> f64 {
    let term = |(j, &p): (usize, &f32)| {
        let p = f64::from(p);
        if j == label as usize { -(1.0 - p) * ln(p) } else { -p * ln(1.0 - p) }
    };
    p.iter().enumerate().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_textbook() {
        assert!((entropy(&[0.25; 4], 0) - 4.0f64.ln()).abs() < 1e-12);
        assert_eq!(entropy(&[1.0, 0.0], 1), 0.0);
    }

    #[test]
    fn a_confident_wrong_answer_has_much_modified_entropy_and_a_right_one_none() {
        assert_eq!(modified_entropy(&[1.0, 0.0], 0), 0.0);
        assert!(modified_entropy(&[1.0, 0.0], 1) > 100.0);
    }
}
