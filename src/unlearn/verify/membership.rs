//! Membership inference: can one tell from a row's loss whether the network was trained on it?

/// A row's score (its loss: members tend to have less) and its weight.
pub(super) type Scored = (f64, f64);

/// The attack's success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Attack {
    /// Probability that a random member has less loss than a random non-member, ties counting half.
    /// 0.5 says nothing by itself: the yardstick is the same attack on a retrained model.
    pub(super) auc: f64,
    /// Half the width of the AUC's 95 % confidence interval (Hanley & McNeil 1982, Radiology 143).
    pub(super) half_width: f64,
    /// Members recognised when at most 1 % of the non-members are taken for members.
    pub(super) tpr_at_1pct_fpr: f64,
}

/// Attacks members and non-members by their losses. Weights match the non-members' mix of classes to the
/// members'; they need not be normalised. `None` if either side is empty.
pub(super) fn attack(members: &[Scored], non_members: &[Scored]) -> Option<Attack> {
    let total = |rows: &[Scored]| rows.iter().map(|&(_, weight)| weight).sum::<f64>();
    let (total_in, total_out) = (total(members), total(non_members));
    if total_in <= 0.0 || total_out <= 0.0 {
        return None;
    }
    let mut all: Vec<(f64, f64, f64)> =
        members.iter().map(|&(loss, weight)| (loss, weight / total_in, 0.0)).collect();
    all.extend(non_members.iter().map(|&(loss, weight)| (loss, 0.0, weight / total_out)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));

    // walk up the losses: everyone below the threshold is called a member
    let (mut auc, mut tpr, mut fpr, mut tpr_at_1pct) = (0.0, 0.0, 0.0, 0.0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let hit: f64 = tied.iter().map(|row| row.1).sum();
        let miss: f64 = tied.iter().map(|row| row.2).sum();
        auc += miss * (tpr + hit / 2.0);
        tpr += hit;
        fpr += miss;
        // room for rounding in a sum of weights
        if fpr <= 0.01 + 1e-9 {
            tpr_at_1pct = tpr;
        }
    }
    let half_width = 1.96 * hanley_mcneil(auc, effective(members), effective(non_members));
    Some(Attack { auc, half_width, tpr_at_1pct_fpr: f64::min(tpr_at_1pct, 1.0) })
}

/// How many equally weighted rows would be as informative (Kish 1965).
pub(super) fn effective(rows: &[Scored]) -> f64 {
    let sum: f64 = rows.iter().map(|&(_, weight)| weight).sum();
    let squares: f64 = rows.iter().map(|&(_, weight)| weight * weight).sum();
    sum * sum / squares
}

/// Standard error of an AUC from `n_in` and `n_out` rows.
fn hanley_mcneil(auc: f64, n_in: f64, n_out: f64) -> f64 {
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let square = auc * (1.0 - auc) + (n_in - 1.0) * (q1 - auc * auc) + (n_out - 1.0) * (q2 - auc * auc);
    (square.max(0.0) / (n_in * n_out)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn even(losses: &[f64]) -> Vec<Scored> {
        losses.iter().map(|&loss| (loss, 1.0)).collect()
    }

    /// The definition: every pair compared.
    fn auc_by_pairs(members: &[Scored], non_members: &[Scored]) -> f64 {
        let (mut won, mut all) = (0.0, 0.0);
        for &(inside, a) in members {
            for &(outside, b) in non_members {
                all += a * b;
                won += a
                    * b
                    * if inside < outside {
                        1.0
                    } else if inside == outside {
                        0.5
                    } else {
                        0.0
                    };
            }
        }
        won / all
    }

    proptest! {
        #[test]
        fn the_sorted_walk_counts_what_comparing_all_pairs_counts(
            members in prop::collection::vec((0u8..20, 1u8..5), 1..40),
            others in prop::collection::vec((0u8..20, 1u8..5), 1..40),
        ) {
            let wide = |rows: Vec<(u8, u8)>| rows.into_iter().map(|(l, w)| (f64::from(l), f64::from(w))).collect::<Vec<_>>();
            let (members, others) = (wide(members), wide(others));
            let found = attack(&members, &others).unwrap();
            prop_assert!((found.auc - auc_by_pairs(&members, &others)).abs() < 1e-12);
            prop_assert!((0.0..=1.0).contains(&found.tpr_at_1pct_fpr));
        }
    }

    #[test]
    fn members_with_less_loss_are_found_and_equal_ones_are_not() {
        let found = attack(&even(&[0.1, 0.2]), &even(&[1.0, 2.0])).unwrap();
        assert_eq!((found.auc, found.tpr_at_1pct_fpr), (1.0, 1.0));
        let found = attack(&even(&[1.0; 8]), &even(&[1.0; 5])).unwrap();
        assert_eq!((found.auc, found.tpr_at_1pct_fpr), (0.5, 0.0));
        let found = attack(&even(&[3.0]), &even(&[1.0])).unwrap();
        assert_eq!(found.auc, 0.0);
    }

    #[test]
    fn the_interval_shrinks_with_the_number_of_rows() {
        let spread = |n: u32| (0..n).map(|i| (f64::from(i * 7 % n), 1.0)).collect::<Vec<_>>();
        let width = |n| attack(&spread(n), &spread(n)).unwrap().half_width;
        // at AUC 0.5 the standard error is about sqrt(1/(6n))
        assert!((width(600) / (1.96 / (6.0f64 * 600.0).sqrt()) - 1.0).abs() < 0.1, "{}", width(600));
        assert!(width(600) < width(60));
    }

    #[test]
    fn nobody_to_compare_with_is_no_result() {
        assert_eq!(attack(&even(&[1.0]), &[]), None);
    }
}
