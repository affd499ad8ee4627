//! Checkpoints: what a training can go on from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A state of a training on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub id: Uuid,
    pub run: Uuid,
    /// From 1: the epoch under way, or over.
    pub epoch: u32,
    /// Mini-batches of it that are done, and that it has.
    pub batch: u64,
    pub batches: u64,
    /// `sha256:` of the file.
    pub digest: String,
    pub size_bytes: u64,
    /// What was measured at the end of the epoch, where it is one.
    pub metrics: Option<Map<String, Value>>,
    pub created_at: DateTime<Utc>,
}

impl Checkpoint {
    pub const fn is_at_end_of_epoch(&self) -> bool {
        self.batch == self.batches
    }

    /// Its place among those of its run.
    pub const fn place(&self) -> (u32, u64) {
        (self.epoch, self.batch)
    }
}

/// The newest ones of a run that are always kept: the last, and one to fall back on should its file be damaged.
const N_NEWEST: usize = 2;
/// Of the older ones at ends of epochs, at most so many.
const MAX_OLDER: usize = 8;

/// Those of a run's checkpoints (in order of their places) that need not be kept. What stays are the newest, and ends
/// of epochs that are multiples of the least power of two that leaves few of them: however long a run, they are spread
/// over all of it, and one that goes never has to come back.
pub fn superfluous(checkpoints: &[Checkpoint]) -> Vec<Uuid> {
    let older = &checkpoints[..checkpoints.len().saturating_sub(N_NEWEST)];
    let stays = |checkpoint: &Checkpoint, stride: u32| {
        checkpoint.is_at_end_of_epoch() && checkpoint.epoch.is_multiple_of(stride)
    };
    let mut stride = 1;
    while older.iter().filter(|checkpoint| stays(checkpoint, stride)).count() > MAX_OLDER {
        stride *= 2;
    }
    older.iter().filter(|checkpoint| !stays(checkpoint, stride)).map(|checkpoint| checkpoint.id).collect()
}

/// Where a forked run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fork {
    /// The run whose checkpoint it was.
    pub run: Uuid,
    pub checkpoint: Uuid,
    /// The epoch that was over then.
    pub epoch: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u32, batch: u64) -> Checkpoint {
        Checkpoint {
            id: Uuid::now_v7(),
            run: Uuid::nil(),
            epoch,
            batch,
            batches: 10,
            digest: String::new(),
            size_bytes: 0,
            metrics: None,
            created_at: Utc::now(),
        }
    }

    #[test]
    fn the_newest_stay_and_few_older_ends_of_epochs_spread_over_the_run() {
        let mut kept: Vec<Checkpoint> = Vec::new();
        for epoch in 1..=1000 {
            for batch in [4, 10] {
                kept.push(at(epoch, batch));
                let newest: Vec<Uuid> = kept.iter().rev().take(2).map(|checkpoint| checkpoint.id).collect();
                let gone = superfluous(&kept);
                kept.retain(|checkpoint| !gone.contains(&checkpoint.id));
                assert!(newest.iter().all(|id| kept.iter().any(|checkpoint| checkpoint.id == *id)));
                assert!(kept.len() <= 10, "{} at {epoch}", kept.len());
            }
        }
        let epochs: Vec<u32> = kept.iter().map(|checkpoint| checkpoint.epoch).collect();
        assert_eq!(epochs, [128, 256, 384, 512, 640, 768, 896, 960, 1000, 1000]);
    }

    #[test]
    fn a_short_run_keeps_every_end_of_an_epoch() {
        let kept: Vec<Checkpoint> = (1..=10).map(|epoch| at(epoch, 10)).collect();
        assert!(superfluous(&kept).is_empty());
        assert_eq!(superfluous(&[at(1, 3), at(1, 6), at(1, 10)]).len(), 1);
    }
}
