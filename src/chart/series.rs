//! What a run measured, epoch by epoch, in the form the chart needs.

use serde_json::Value;

/// Where a measure is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    Accuracy,
    Loss,
    /// What a network knows of samples with right and with wrong labels.
    Memorisation,
}

/// One quantity that is measured once an epoch. Accuracies and shares are fractions, losses nats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    TestAccuracy,
    TrainAccuracy,
    ReportedAccuracy,
    RetainAccuracy,
    ForgetAccuracy,
    TestLoss,
    TrainLoss,
    ForgetLoss,
    CleanAccuracy,
    MislabelledAccuracy,
    Memorised,
}

impl Measure {
    pub const ALL: [Self; 11] = [
        Self::TestAccuracy,
        Self::TrainAccuracy,
        Self::ReportedAccuracy,
        Self::RetainAccuracy,
        Self::ForgetAccuracy,
        Self::TestLoss,
        Self::TrainLoss,
        Self::ForgetLoss,
        Self::CleanAccuracy,
        Self::MislabelledAccuracy,
        Self::Memorised,
    ];

    /// The member of an `epoch` event that holds it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::TestAccuracy => "test_accuracy",
            Self::TrainAccuracy => "train_accuracy",
            Self::ReportedAccuracy => "reported_accuracy",
            Self::RetainAccuracy => "retain_accuracy",
            Self::ForgetAccuracy => "forget_accuracy",
            Self::TestLoss => "test_loss",
            Self::TrainLoss => "train_loss",
            Self::ForgetLoss => "forget_loss",
            Self::CleanAccuracy => "clean_accuracy",
            Self::MislabelledAccuracy => "mislabelled_accuracy",
            Self::Memorised => "memorised",
        }
    }

    /// The word in the legend.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TestAccuracy | Self::TestLoss => "test",
            Self::TrainAccuracy | Self::TrainLoss => "train",
            Self::ReportedAccuracy => "as the program prints it",
            Self::RetainAccuracy => "retained rows",
            Self::ForgetAccuracy | Self::ForgetLoss => "forgotten rows",
            Self::CleanAccuracy => "right labels, answered",
            Self::MislabelledAccuracy => "wrong labels, truth answered",
            Self::Memorised => "wrong labels, memorised",
        }
    }

    pub const fn panel(self) -> Panel {
        match self {
            Self::TestAccuracy
            | Self::TrainAccuracy
            | Self::ReportedAccuracy
            | Self::RetainAccuracy
            | Self::ForgetAccuracy => Panel::Accuracy,
            Self::TestLoss | Self::TrainLoss | Self::ForgetLoss => Panel::Loss,
            Self::CleanAccuracy | Self::MislabelledAccuracy | Self::Memorised => Panel::Memorisation,
        }
    }
}

/// The measured history of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Short: it stands in the legend (`nn`, `debug`).
    name: String,
    epochs: Vec<u32>,
    /// One column a measure, in the order of [`Measure::ALL`].
    columns: [Vec<Option<f64>>; Measure::ALL.len()],
}

impl Series {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Reads the `data` of a run's `epoch` events, in order.
    pub fn from_events<'a>(name: impl Into<String>, events: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut series = Self::new(name);
        for event in events {
            series.push(event);
        }
        series
    }

    /// Appends one `epoch` event's data. An event without a number of its epoch is passed over, and a
    /// value that is missing, `null` or not finite leaves a gap in its curve.
    pub fn push(&mut self, event: &Value) {
        let Some(epoch) = event["epoch"].as_u64().and_then(|epoch| u32::try_from(epoch).ok()) else { return };
        self.epochs.push(epoch);
        for (column, measure) in self.columns.iter_mut().zip(Measure::ALL) {
            column.push(event[measure.field()].as_f64().filter(|value| value.is_finite()));
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn last_epoch(&self) -> Option<u32> {
        self.epochs.iter().copied().max()
    }

    /// The points of one curve: (epoch, value), gaps left out.
    pub fn curve(&self, measure: Measure) -> Vec<(u32, f64)> {
        let column =
            &self.columns[Measure::ALL.iter().position(|&m| m == measure).expect("ALL holds every measure")];
        self.epochs.iter().zip(column).filter_map(|(&epoch, value)| Some((epoch, (*value)?))).collect()
    }

    /// Whether the reference program prints something other than the test accuracy.
    pub(super) fn prints_otherwise(&self) -> bool {
        self.curve(Measure::ReportedAccuracy) != self.curve(Measure::TestAccuracy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_that_are_missing_or_null_leave_gaps() {
        let events = [
            json!({"epoch": 1, "test_accuracy": 0.5, "train_loss": null}),
            json!({"epoch": 2, "train_loss": 0.25}),
            json!({"no_epoch": true}),
        ];
        let series = Series::from_events("nn", &events);
        assert_eq!(series.curve(Measure::TestAccuracy), [(1, 0.5)]);
        assert_eq!(series.curve(Measure::TrainLoss), [(2, 0.25)]);
        assert_eq!(series.last_epoch(), Some(2));
    }
}
