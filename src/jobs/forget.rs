//! What a forget set needs beyond the stored data: rows found out by training, and rows made for comparison.

use super::executor::Failure;
use super::journal::Journal;
use super::lineage::{Lineage, Rows};
use super::unlearn::{Watch, go};
use crate::data::{self, Dataset, Split, Table, check_forget_set};
use crate::domain::{ForgetSet, MostMemorised, Work};
use crate::nn::{self, Problem};
use crate::unlearn;

/// The forget set with its rows settled. Choosing the most memorised ones takes trainings; the choice is recorded
/// with the run (`as_work` puts it into its order), so that neither another attempt nor a descendant repeats them.
pub(super) fn settle(
    asked: &ForgetSet,
    dataset: &Dataset,
    lineage: &Lineage,
    rows: &Rows,
    journal: &mut Journal<'_>,
    as_work: impl FnOnce(ForgetSet) -> Work,
) -> Result<ForgetSet, Failure> {
    let ForgetSet::MostMemorised(MostMemorised { rows: n_rows, seed, chosen: None }) = *asked else {
        return Ok(asked.clone());
    };
    // what someone wanted forgotten is never trained on again, so nobody can say how memorised it is
    let excluded = rows.excluded_beside(&[]);
    let candidates = nn::Split::new(&lineage.recipe, dataset.train.n_rows(), &excluded).train;
    check_forget_set(asked, dataset, &candidates).map_err(|error| invalid(&error))?;
    let problem = Problem { train: dataset.train(), excluded: &excluded, test: dataset.test() };
    let mut watch = Watch::aside(journal);
    let chosen = unlearn::most_memorised(&lineage.recipe, &problem, n_rows as usize, seed, &mut watch)?;
    let settled = ForgetSet::MostMemorised(MostMemorised { rows: n_rows, seed, chosen: Some(chosen) });
    go(journal.settle(as_work(settled.clone())))?;
    Ok(settled)
}

pub(super) fn invalid(error: &data::ForgetError) -> Failure {
    Failure::failed("forget_set_invalid", error)
}

/// Rows made like the forget set that no network of this recipe is trained on; `None` unless all of it was planted.
pub(super) fn lookalikes(dataset: &Dataset, recipe: &nn::Recipe, forget: &[u32]) -> Option<Table> {
    let planted = dataset.planted.as_ref()?;
    if !forget.iter().all(|row| planted.rows.binary_search(row).is_ok()) {
        return None;
    }
    let held_out = nn::Split::new(recipe, dataset.train.n_rows(), &[]).held_out;
    let (from, rows) = if held_out.is_empty() {
        let n_test = u32::try_from(dataset.test.n_rows()).expect("row ids fit u32");
        (Split::Test, (0..n_test).collect())
    } else {
        (Split::Train, held_out)
    };
    dataset.lookalikes(from, &rows).filter(|made| made.n_rows() > 0)
}
