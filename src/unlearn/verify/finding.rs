//! A measure with what a difference from retraining means.

use crate::unlearn::report::Measure;

/// What a difference from retraining means, and whether a failure to forget would have shown in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The network was damaged.
    Harm,
    /// The forget rows are known. Only where retrained networks do not know them is that memory; elsewhere it
    /// is how well the network generalises.
    Knows,
    /// Single rows of this network stand out, by being remembered or by being avoided.
    Membership,
    /// They do in networks made by the same method. That speaks of the method: it can fail a result, but it
    /// gives a verdict about this network no power.
    Method,
    /// Networks made by the method answer other rows differently than retrained ones.
    Likeness,
    /// Shown, not judged: another measure of the same thing is.
    Shown,
}

/// Which differences count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    /// Less than retraining shows is no fault.
    Above,
}

#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) side: Side,
    pub(super) measure: Measure,
}

impl Finding {
    /// Whether the new network lies outside the tolerance.
    pub(super) fn differs(&self) -> bool {
        self.is_outside(self.measure.after)
    }

    /// Whether the original does: then a failure would have been seen.
    pub(super) fn would_tell(&self) -> bool {
        self.is_outside(self.measure.before)
    }

    fn is_outside(&self, value: f64) -> bool {
        let (Some(retrain), Some(tolerance)) = (self.measure.retrain, self.measure.tolerance) else {
            return false;
        };
        let inside = match self.side {
            Side::Both => (value - retrain).abs() <= tolerance,
            Side::Above => value - retrain <= tolerance,
        };
        // what is not a number is not inside
        !inside
    }

    pub(super) fn sentence(&self) -> String {
        let (retrain, tolerance) =
            (self.measure.retrain.unwrap_or(f64::NAN), self.measure.tolerance.unwrap_or(f64::NAN));
        let after = self.measure.after;
        let meaning = match (self.name, after > retrain) {
            ("mia_auc", true) => ": the rows give themselves away by too little loss",
            ("mia_auc", false) => ": the rows stand out by too much loss",
            _ => "",
        };
        format!("{} is {after:.4}; retrained models have {retrain:.4} ± {tolerance:.4}{meaning}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(side: Side, after: f64) -> Finding {
        let measure = Measure { after, retrain: Some(0.5), tolerance: Some(0.125), ..Measure::default() };
        Finding { name: "mia_auc", role: Role::Membership, side, measure }
    }

    #[test]
    fn a_value_differs_outside_its_tolerance_on_the_sides_that_count() {
        for (side, after, differs) in [
            (Side::Both, 0.625, false),
            (Side::Both, 0.375, false),
            (Side::Both, 0.63, true),
            (Side::Both, 0.37, true),
            (Side::Above, 0.37, false),
            (Side::Above, 0.63, true),
            (Side::Above, f64::NAN, true),
        ] {
            assert_eq!(finding(side, after).differs(), differs, "{side:?} {after}");
        }
    }

    #[test]
    fn without_a_yardstick_nothing_differs() {
        let mut finding = finding(Side::Both, 0.9);
        finding.measure.retrain = None;
        assert!(!finding.differs() && !finding.would_tell());
    }

    #[test]
    fn a_sentence_says_which_way_the_rows_stand_out() {
        assert!(finding(Side::Both, 0.9).sentence().ends_with("by too little loss"));
        assert!(finding(Side::Both, 0.2).sentence().ends_with("by too much loss"));
    }
}
