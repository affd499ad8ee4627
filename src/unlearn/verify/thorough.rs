//! From banks of networks to findings.

use super::bank::{Banks, Kept, Rows, banks};
use super::epsilon::{Epsilons, Summary};
use super::exchange::{Null, exchange};
use super::finding::{Finding, Role, Side};
use super::klom::Histograms;
use super::margins::Pooled;
use super::measures::resolution;
use super::ulira::{Ulira, members, ulira};
use crate::unlearn::context::Context;
use crate::unlearn::method::Method;
use crate::unlearn::report::Measure;
use crate::unlearn::{Observer, UnlearnError, Unlearned, go_on};

/// Sizes of a bank the comparisons are made for.
const SIZES: std::ops::RangeInclusive<u32> = 8..=64;

/// Trains banks of `n` networks and compares them.
///
/// # Errors
///
/// Those of [`banks`].
pub(super) fn findings(
    context: &mut Context<'_>,
    method: Option<&Method>,
    outcome: &Unlearned,
    n: u32,
    observer: &mut dyn Observer,
) -> Result<Vec<Finding>, UnlearnError> {
    let n = n.clamp(*SIZES.start(), *SIZES.end());
    let detail = format!("training banks of {n} original, {n} unlearned and {n} retrained networks");
    go_on(observer.on_phase("bank", &detail))?;
    let rows = Rows::of(context);
    let trained = banks(context.task, method, n, &rows, observer)?;
    go_on(observer.on_phase("measure", "comparing the banks"))?;
    let task = context.task;
    let parent = Kept::of(&mut context.evaluator, task.parent, &rows);
    let result = Kept::of(&mut context.evaluator, &outcome.model, &rows);
    let mut found = compared(&trained, task.seed);
    found.push(lira(&trained, &parent, &result));
    Ok(found)
}

type Set = fn(&Kept) -> &Vec<f64>;

fn pooled(first: &[Kept], second: &[Kept], set: Set) -> Pooled {
    let of = |bank: &[Kept]| bank.iter().map(|kept| set(kept).clone()).collect::<Vec<_>>();
    Pooled::of(&of(first), &of(second))
}

/// The three comparisons of unlearned with retrained networks, beside those of the originals.
fn compared(banks: &Banks, seed: u64) -> Vec<Finding> {
    let mut found = forgetting_quality(banks, seed);
    found.extend(attacked(banks, seed));
    let klom = |name, set: Set, role, of: &str| {
        let p95 = |pooled: &Pooled| Histograms::new(pooled).p95(&pooled.banks());
        let (before, after) =
            (pooled(&banks.original, &banks.retrained, set), pooled(&banks.unlearned, &banks.retrained, set));
        let histograms = Histograms::new(&after);
        let null = exchange(after.n(), seed, |is_first| [histograms.p95(is_first)]);
        let definition = format!(
            "KLOM: KL divergence between the margins of {n} unlearned and {n} retrained models, 95th percentile over {of}, nats",
            n = after.n()
        );
        finding(name, role, [p95(&before), p95(&after)], &null, 0, definition)
    };
    found.push(klom("klom_forget", |kept| &kept.forget, Role::Method, "the forget set"));
    found.push(klom("klom_retain", |kept| &kept.retain, Role::Likeness, "a probe of the retained rows"));
    found.push(klom("klom_held_out", |kept| &kept.held_out, Role::Likeness, "held-out rows"));
    found
}

fn forgetting_quality(banks: &Banks, seed: u64) -> Vec<Finding> {
    let forget: Set = |kept| &kept.forget;
    let numbers = |s: Summary| [s.mean, s.median, s.p95, s.score];
    let of_banks = |pooled: &Pooled| numbers(Epsilons::new(pooled).summary(&pooled.banks()));
    let (before, after) = (
        pooled(&banks.original, &banks.retrained, forget),
        pooled(&banks.unlearned, &banks.retrained, forget),
    );
    let epsilons = Epsilons::new(&after);
    let null = exchange(after.n(), seed, |is_first| numbers(epsilons.summary(is_first)));
    let (old, new) = (of_banks(&before), of_banks(&after));
    let definition = |which: &str| {
        format!(
            "{which} over the forget set's rows of ε, how well a test on their margins tells {n} unlearned from {n} retrained models \
             (δ = 1e-5); at most ln({n} − 1) = {:.2}",
            epsilons.cap(),
            n = after.n()
        )
    };
    let score = "forgetting quality: mean over the forget set's rows of 1 for ε < 0.5, halved for every further 0.5; 1 is ideal";
    let entry =
        |k: usize, name, role, definition| finding(name, role, [old[k], new[k]], &null, k, definition);
    vec![
        entry(0, "epsilon_mean", Role::Method, definition("mean")),
        entry(1, "epsilon_median", Role::Shown, definition("median")),
        entry(2, "epsilon_p95", Role::Shown, definition("95th percentile")),
        entry(3, "forgetting_quality", Role::Shown, score.to_owned()),
    ]
}

fn attacked(banks: &Banks, seed: u64) -> Vec<Finding> {
    let forget: Set = |kept| &kept.forget;
    let numbers = |u: Ulira| [u.accuracy, u.auc, u.tpr_at_1pct_fpr];
    let (before, after) = (
        pooled(&banks.original, &banks.retrained, forget),
        pooled(&banks.unlearned, &banks.retrained, forget),
    );
    let null = exchange(after.n(), seed, |is_first| numbers(ulira(&after, is_first)));
    let (old, new) = (numbers(ulira(&before, &before.banks())), numbers(ulira(&after, &after.banks())));
    let definition = |what: &str| {
        format!(
            "U-LiRA: {what} of a likelihood-ratio attack that tells {n} unlearned from {n} retrained models by their margin on single \
             rows of the forget set, each judged without its own part in the fit; 0.5 is indistinguishable",
            n = after.n()
        )
    };
    let entry =
        |k: usize, name, role, what| finding(name, role, [old[k], new[k]], &null, k, definition(what));
    vec![
        entry(0, "ulira_accuracy", Role::Method, "accuracy"),
        entry(1, "ulira_auc", Role::Shown, "area under the ROC curve"),
        entry(2, "ulira_tpr_at_1pct_fpr", Role::Shown, "true-positive rate at 1 % false positives"),
    ]
}

/// A comparison of banks: yardstick and floor are what networks that changed places show, the tolerance reaches
/// to the most they show.
fn finding<const K: usize>(
    name: &'static str,
    role: Role,
    [before, after]: [f64; 2],
    null: &Null<K>,
    k: usize,
    definition: String,
) -> Finding {
    let retrain = null.mean[k];
    let measure = Measure {
        before,
        after,
        retrain: Some(retrain),
        floor: Some(retrain),
        tolerance: (role != Role::Shown).then(|| null.largest[k] - retrain),
        power: Some((before - retrain).abs()),
        half_width: None,
        ideal: "floor".to_owned(),
        definition,
    };
    Finding { name, role, side: Side::Above, measure }
}

/// Which rows an attacker with both banks takes for members in this very network. The banks speak of the
/// method; only this can give power to a verdict about its result.
fn lira(banks: &Banks, parent: &Kept, result: &Kept) -> Finding {
    let pool = pooled(&banks.original, &banks.retrained, |kept| &kept.forget);
    let n = pool.n();
    let of_retrained: Vec<f64> = banks
        .retrained
        .iter()
        .enumerate()
        .map(|(number, kept)| members(&pool, &kept.forget, Some(n + number)))
        .collect();
    let mean = of_retrained.iter().sum::<f64>() / n as f64;
    let variance =
        of_retrained.iter().map(|share| (share - mean) * (share - mean)).sum::<f64>() / (n - 1) as f64;
    let deviation = variance.sqrt();
    let before = members(&pool, &parent.forget, None);
    let measure = Measure {
        before,
        after: members(&pool, &result.forget, None),
        retrain: Some(mean),
        floor: Some(deviation),
        // three deviations of one network beside the mean of so many
        tolerance: Some(f64::max(
            3.0 * deviation * (1.0 + 1.0 / n as f64).sqrt(),
            resolution(result.forget.len()),
        )),
        power: Some((before - mean).abs()),
        half_width: None,
        ideal: "retrain".to_owned(),
        definition: format!(
            "LiRA: part of the forget set's rows whose margin in this model is likelier under {n} models trained with them than under {n} \
             trained without; `floor` is the standard deviation over retrained models"
        ),
    };
    Finding { name: "lira_members", role: Role::Membership, side: Side::Both, measure }
}
