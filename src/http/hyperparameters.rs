//! The hyperparameters of training: what each mode takes, within which bounds, and the recipe they resolve to.
//!
//! [`FIELDS`] is the one table behind validation, the API description and `GET /modes`; defaults are those of
//! the `nn` recipes.

use super::extract::object_or_null;
use super::number::{Checker, Number, Real, Whole};
use crate::nn::{EarlyStopping, Faults, Mode, Recipe, Reference, Schedule, Solver, Standard};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// Hidden layers, at most.
pub const MAX_LAYERS: usize = 16;
const WIDTH: Whole = Whole { min: 1, max: 65_536 };
const EPOCHS: Whole = Whole { min: 1, max: 10_000 };
const BATCH_SIZE: Whole = Whole { min: 1, max: 1_000_000 };
/// The least is far above where an `f32` becomes zero.
const LEARNING_RATE: Real = Real { min: 1e-9, max: 100.0, max_excluded: false };
const MOMENTUM: Real = Real { min: 0.0, max: 1.0, max_excluded: true };
const WEIGHT_DECAY: Real = Real { min: 0.0, max: 1.0, max_excluded: false };
const HOLDOUT: Real = Real { min: 0.0, max: 0.5, max_excluded: false };
const STEP_FACTOR: Real = Real { min: 1e-6, max: 1.0, max_excluded: false };
const PERTURBATION: Real = Real { min: 0.0, max: 1e6, max_excluded: false };
const PATIENCE: Whole = Whole { min: 1, max: 10_000 };
/// More members than that are worse at everything but forgetting.
const SHARDS: Whole = Whole { min: 1, max: 64 };
/// The largest seed every JSON reader keeps exactly: 2⁵³ − 1.
pub const SEED: Whole = Whole { min: 0, max: 9_007_199_254_740_991 };
/// The seed of a run that names none: a fixed one, so that repeating a request repeats its result.
pub const DEFAULT_SEED: u64 = 1;

/// One hyperparameter, for people and forms.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    about: &'static str,
    modes: &'static [Mode],
    schema: fn(Mode) -> Value,
}

const ALL_MODES: &[Mode] = &Mode::ALL;
const STANDARD: &[Mode] = &[Mode::Standard];

const FIELDS: &[Field] = &[
    Field {
        name: "hidden",
        about: "Widths of the hidden layers, input side first. None is multinomial logistic regression.",
        modes: ALL_MODES,
        schema: |mode| {
            let (min, max) = layer_bounds(mode);
            json!({ "type": "array", "items": WIDTH.schema(), "minItems": min, "maxItems": max })
        },
    },
    Field {
        name: "epochs",
        about: "Passes over the training rows.",
        modes: ALL_MODES,
        schema: |_| EPOCHS.schema(),
    },
    Field {
        name: "batch_size",
        about: "Rows in a mini-batch; at most the number of training rows.",
        modes: ALL_MODES,
        schema: |_| BATCH_SIZE.schema(),
    },
    Field {
        name: "learning_rate",
        about: "Base step size.",
        modes: ALL_MODES,
        schema: |_| LEARNING_RATE.schema(),
    },
    Field {
        name: "momentum",
        about: "Part of the last step that is kept.",
        modes: ALL_MODES,
        schema: |_| MOMENTUM.schema(),
    },
    Field {
        name: "weight_decay",
        about: "λ of λ/2·‖w‖², on weights only; above 0 and on biases too with solver `optimum`, where its default is 0.001.",
        modes: STANDARD,
        schema: |_| WEIGHT_DECAY.schema(),
    },
    Field {
        name: "schedule",
        about: "How the learning rate moves: constant, half a cosine to zero, or times `factor` every `every_epochs`.",
        modes: STANDARD,
        schema: |_| {
            json!({ "oneOf": [
                { "type": "string", "enum": ["constant", "cosine"] },
                { "type": "object", "additionalProperties": false, "required": ["step"], "properties": {
                    "step": { "type": "object", "additionalProperties": false,
                              "required": ["every_epochs", "factor"],
                              "properties": { "every_epochs": EPOCHS.schema(), "factor": STEP_FACTOR.schema() } } } },
            ] })
        },
    },
    Field {
        name: "holdout",
        about: "Part of the training rows kept out, chosen by keyed hash of the row id.",
        modes: STANDARD,
        schema: |_| HOLDOUT.schema(),
    },
    Field {
        name: "early_stopping",
        about: "Stop when the held-out loss has not fallen for `patience` epochs; needs a holdout.",
        modes: STANDARD,
        schema: |_| {
            json!({ "oneOf": [{ "type": "null" },
                { "type": "object", "additionalProperties": false, "required": ["patience"],
                  "properties": { "patience": PATIENCE.schema() } }] })
        },
    },
    Field {
        name: "shards",
        about: "Networks to train, each on its own part of the subjects (or rows), and to average in their logits: forgetting by `sisa` then trains only those that saw the rows. 1 is a single network; more need a hidden layer.",
        modes: STANDARD,
        schema: |_| SHARDS.schema(),
    },
    Field {
        name: "solver",
        about: "`sgd`, or the `optimum` itself of a model without hidden layers (then the default of `hidden`, with at most 100 `epochs`), where `perturbation` is σ of the noise in the objective that certified removal needs; sizes of batches and steps mean nothing then.",
        modes: STANDARD,
        schema: |_| {
            json!({ "oneOf": [
                { "type": "string", "enum": ["sgd"] },
                { "type": "object", "additionalProperties": false, "required": ["optimum"], "properties": {
                    "optimum": { "type": "object", "additionalProperties": false,
                                 "properties": { "perturbation": PERTURBATION.schema() } } } },
            ] })
        },
    },
];

/// The reference trainers have exactly one hidden layer.
const fn layer_bounds(mode: Mode) -> (usize, usize) {
    match mode {
        Mode::Nn | Mode::Debug => (1, 1),
        Mode::Standard => (0, MAX_LAYERS),
    }
}

/// Hyperparameters as requested; what is absent takes the mode's default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HyperparametersRequest {
    hidden: Option<Widths>,
    epochs: Option<Number>,
    batch_size: Option<Number>,
    learning_rate: Option<Number>,
    momentum: Option<Number>,
    weight_decay: Option<Number>,
    schedule: Option<ScheduleRequest>,
    holdout: Option<Number>,
    /// `Some(None)` takes it away from a training that is forked.
    #[serde(default, deserialize_with = "object_or_null")]
    early_stopping: Option<Option<EarlyStoppingRequest>>,
    shards: Option<Number>,
    solver: Option<SolverRequest>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SolverRequest {
    Sgd,
    Optimum { perturbation: Option<Number> },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ScheduleRequest {
    Constant,
    Cosine,
    Step { every_epochs: Number, factor: Number },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlyStoppingRequest {
    patience: Number,
}

/// Fault switches as requested; what is absent takes the mode's published state.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultsRequest {
    pub misaligned_labels: Option<bool>,
    pub no_shuffle: Option<bool>,
    pub output_relu: Option<bool>,
    pub doubled_hidden_gradient: Option<bool>,
    pub per_sample_momentum: Option<bool>,
}

impl FaultsRequest {
    fn resolve(self, default: Faults) -> Faults {
        Faults {
            misaligned_labels: self.misaligned_labels.unwrap_or(default.misaligned_labels),
            no_shuffle: self.no_shuffle.unwrap_or(default.no_shuffle),
            output_relu: self.output_relu.unwrap_or(default.output_relu),
            doubled_hidden_gradient: self.doubled_hidden_gradient.unwrap_or(default.doubled_hidden_gradient),
            per_sample_momentum: self.per_sample_momentum.unwrap_or(default.per_sample_momentum),
        }
    }
}

/// A list of widths, or one width. Longer lists than any mode allows are refused while reading.
#[derive(Clone, Debug)]
struct Widths(Vec<Number>);

impl<'de> Deserialize<'de> for Widths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WidthsVisitor;

        impl<'de> Visitor<'de> for WidthsVisitor {
            type Value = Widths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of layer widths such as [256]")
            }

            fn visit_u64<E: Error>(self, width: u64) -> Result<Widths, E> {
                Ok(Widths(vec![Number::Integer(i128::from(width))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Widths, A::Error> {
                let mut widths = Vec::new();
                while let Some(width) = seq.next_element::<Number>()? {
                    if widths.len() == MAX_LAYERS {
                        return Err(A::Error::custom(format!("must have at most {MAX_LAYERS} layers")));
                    }
                    widths.push(width);
                }
                Ok(Widths(widths))
            }
        }

        deserializer.deserialize_any(WidthsVisitor)
    }
}

/// The recipe of a run, every number checked; wrong ones are noted in `checker` and replaced by defaults.
pub fn resolve(
    mode: Mode,
    requested: Option<&HyperparametersRequest>,
    faults: Option<FaultsRequest>,
    seed: u64,
    checker: &mut Checker,
) -> Recipe {
    let absent = HyperparametersRequest::default();
    let requested = requested.unwrap_or(&absent);
    refuse_foreign_fields(mode, requested, checker);
    match mode {
        Mode::Nn => Recipe::Nn(reference(&Reference::nn(seed), requested, faults, checker)),
        Mode::Debug => Recipe::Debug(reference(&Reference::debug(seed), requested, faults, checker)),
        Mode::Standard => {
            if faults.is_some() {
                let detail = "mode `standard` has no faults; remove this, or use mode `nn` or `debug`";
                checker.fail("/faults", detail);
            }
            let default = match requested.solver {
                None | Some(SolverRequest::Sgd) => Standard::new(seed),
                Some(SolverRequest::Optimum { perturbation }) => {
                    let pointer = "/hyperparameters/solver/optimum/perturbation";
                    Standard::optimum(seed, checker.real(pointer, perturbation, PERTURBATION, 0.0))
                }
            };
            let recipe = standard(&default, requested, checker);
            check_solver(&recipe, checker);
            Recipe::Standard(recipe)
        }
    }
}

/// The recipe of a training that goes on from one by `base`: what is requested changes, as far as it can without taking
/// the training's state from it.
pub fn change(
    base: &Recipe,
    requested: Option<&HyperparametersRequest>,
    faults: Option<FaultsRequest>,
    checker: &mut Checker,
) -> Recipe {
    let absent = HyperparametersRequest::default();
    let requested = requested.unwrap_or(&absent);
    refuse_foreign_fields(base.mode(), requested, checker);
    let fixed = [
        ("/hyperparameters/hidden", requested.hidden.is_some()),
        ("/hyperparameters/holdout", requested.holdout.is_some()),
        ("/hyperparameters/shards", requested.shards.is_some()),
        ("/hyperparameters/solver", requested.solver.is_some()),
        ("/faults/output_relu", faults.is_some_and(|faults| faults.output_relu.is_some())),
    ];
    for (pointer, is_given) in fixed {
        if is_given {
            checker.fail(pointer, "cannot change on the way; remove it, or start a new training");
        }
    }
    match base {
        Recipe::Nn(base) => Recipe::Nn(reference(base, requested, faults, checker)),
        Recipe::Debug(base) => Recipe::Debug(reference(base, requested, faults, checker)),
        Recipe::Standard(base) => {
            if faults.is_some() {
                checker.fail("/faults", "mode `standard` has no faults; remove this");
            }
            Recipe::Standard(standard(base, requested, checker))
        }
    }
}

/// What has an optimum that can be found.
fn check_solver(recipe: &Standard, checker: &mut Checker) {
    if recipe.solver == Solver::Sgd {
        return;
    }
    if !recipe.hidden.is_empty() {
        let detail = "must be [] with solver `optimum`: with hidden layers there is no one optimum";
        checker.fail("/hyperparameters/hidden", detail);
    }
    if recipe.weight_decay == 0.0 {
        let detail = "must be above 0 with solver `optimum`: without decay the optimum is not unique";
        checker.fail("/hyperparameters/weight_decay", detail);
    }
    if recipe.early_stopping.is_some() {
        let detail = "would stop before the optimum; remove it, or use solver `sgd`";
        checker.fail("/hyperparameters/early_stopping", detail);
    }
}

/// The mode's recipe when nothing is requested.
pub fn default_recipe(mode: Mode) -> Recipe {
    resolve(mode, None, None, DEFAULT_SEED, &mut Checker::default())
}

fn refuse_foreign_fields(mode: Mode, requested: &HyperparametersRequest, checker: &mut Checker) {
    let given = [
        ("weight_decay", requested.weight_decay.is_some()),
        ("schedule", requested.schedule.is_some()),
        ("holdout", requested.holdout.is_some()),
        ("early_stopping", requested.early_stopping.flatten().is_some()),
        ("shards", requested.shards.is_some()),
        ("solver", requested.solver.is_some()),
    ];
    for (name, is_given) in given {
        let field = FIELDS.iter().find(|field| field.name == name).expect("every field is in the table");
        if is_given && !field.modes.contains(&mode) {
            let known: Vec<_> = fields_of(mode).map(|field| field.name).collect();
            let detail =
                format!("mode `{}` has no such hyperparameter; it has `{}`", mode.name(), known.join("`, `"));
            checker.fail(format!("/hyperparameters/{name}"), detail);
        }
    }
}

fn reference(
    default: &Reference,
    requested: &HyperparametersRequest,
    faults: Option<FaultsRequest>,
    checker: &mut Checker,
) -> Reference {
    let hidden = match &requested.hidden {
        None => default.hidden,
        Some(Widths(widths)) if widths.len() == 1 => {
            checker.whole("/hyperparameters/hidden/0", Some(widths[0]), WIDTH, default.hidden as u64) as usize
        }
        Some(_) => {
            let detail = "must name exactly one layer, as in [256]: the reference trainers have one";
            checker.fail("/hyperparameters/hidden", detail);
            default.hidden
        }
    };
    Reference {
        hidden,
        epochs: epochs(requested, default.epochs, checker),
        batch_size: batch_size(requested, default.batch_size, checker),
        learning_rate: learning_rate(requested, default.learning_rate, checker),
        momentum: momentum(requested, default.momentum, checker),
        faults: faults.unwrap_or_default().resolve(default.faults),
        seed: default.seed,
    }
}

fn standard(default: &Standard, requested: &HyperparametersRequest, checker: &mut Checker) -> Standard {
    let hidden = match &requested.hidden {
        None => default.hidden.clone(),
        Some(Widths(widths)) => widths
            .iter()
            .enumerate()
            .map(|(layer, &width)| {
                checker.whole(&format!("/hyperparameters/hidden/{layer}"), Some(width), WIDTH, 1) as usize
            })
            .collect(),
    };
    let shards =
        checker.whole("/hyperparameters/shards", requested.shards, SHARDS, default.shards.into()) as u32;
    if shards > 1 && hidden.is_empty() {
        let detail = "must be 1 without hidden layers: members that are sums cannot be taken apart again";
        checker.fail("/hyperparameters/shards", detail);
    }
    let weight_decay = requested.weight_decay;
    let holdout = checker.real("/hyperparameters/holdout", requested.holdout, HOLDOUT, default.holdout);
    let early_stopping = requested.early_stopping.flatten().map(|wanted| {
        if holdout == 0.0 {
            let detail = "needs held-out rows to watch; set `holdout` above 0";
            checker.fail("/hyperparameters/early_stopping", detail);
        }
        let pointer = "/hyperparameters/early_stopping/patience";
        EarlyStopping { patience: checker.whole(pointer, Some(wanted.patience), PATIENCE, 1) as u32 }
    });
    Standard {
        hidden,
        epochs: epochs(requested, default.epochs, checker),
        batch_size: batch_size(requested, default.batch_size, checker),
        learning_rate: learning_rate(requested, default.learning_rate, checker),
        momentum: momentum(requested, default.momentum, checker),
        weight_decay: checker.real(
            "/hyperparameters/weight_decay",
            weight_decay,
            WEIGHT_DECAY,
            default.weight_decay,
        ),
        schedule: schedule(requested.schedule, default.schedule, checker),
        holdout,
        early_stopping: match requested.early_stopping {
            None => default.early_stopping,
            Some(_) => early_stopping,
        },
        shards,
        solver: default.solver,
        seed: default.seed,
    }
}

fn epochs(requested: &HyperparametersRequest, default: u32, checker: &mut Checker) -> u32 {
    checker.whole("/hyperparameters/epochs", requested.epochs, EPOCHS, u64::from(default)) as u32
}

fn batch_size(requested: &HyperparametersRequest, default: usize, checker: &mut Checker) -> usize {
    checker.whole("/hyperparameters/batch_size", requested.batch_size, BATCH_SIZE, default as u64) as usize
}

fn learning_rate(requested: &HyperparametersRequest, default: f64, checker: &mut Checker) -> f64 {
    checker.real("/hyperparameters/learning_rate", requested.learning_rate, LEARNING_RATE, default)
}

fn momentum(requested: &HyperparametersRequest, default: f64, checker: &mut Checker) -> f64 {
    checker.real("/hyperparameters/momentum", requested.momentum, MOMENTUM, default)
}

fn schedule(requested: Option<ScheduleRequest>, default: Schedule, checker: &mut Checker) -> Schedule {
    match requested {
        None => default,
        Some(ScheduleRequest::Constant) => Schedule::Constant,
        Some(ScheduleRequest::Cosine) => Schedule::Cosine,
        Some(ScheduleRequest::Step { every_epochs, factor }) => {
            let base = "/hyperparameters/schedule/step";
            let every = checker.whole(&format!("{base}/every_epochs"), Some(every_epochs), EPOCHS, 1);
            let factor = checker.real(&format!("{base}/factor"), Some(factor), STEP_FACTOR, 1.0);
            Schedule::Step { every_epochs: every as u32, factor }
        }
    }
}

fn fields_of(mode: Mode) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.modes.contains(&mode))
}

/// The resolved hyperparameters as the API shows them: the recipe without its tag, seed and faults, and
/// `hidden` always as a list.
pub fn present(recipe: &Recipe) -> Map<String, Value> {
    let Value::Object(mut values) = serde_json::to_value(recipe).expect("a recipe is plain data") else {
        unreachable!("a recipe serialises as an object")
    };
    for other in ["mode", "seed", "faults"] {
        values.remove(other);
    }
    values.insert("hidden".to_owned(), json!(recipe.hidden()));
    values
}

/// The recipe's fault switches; `standard` has none.
pub const fn faults_of(recipe: &Recipe) -> Option<Faults> {
    match recipe {
        Recipe::Nn(reference) | Recipe::Debug(reference) => Some(reference.faults),
        Recipe::Standard(_) => None,
    }
}

/// JSON Schema of a mode's `hyperparameters`, defaults included.
pub fn schema(mode: Mode) -> Value {
    let defaults = present(&default_recipe(mode));
    let properties: Map<String, Value> = fields_of(mode)
        .map(|field| {
            let mut schema = (field.schema)(mode);
            schema["description"] = json!(field.about);
            schema["default"] = defaults.get(field.name).cloned().unwrap_or(Value::Null);
            (field.name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// What the API description says about `hyperparameters`: one of the modes' schemas.
impl utoipa::PartialSchema for HyperparametersRequest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let schemas: Vec<Value> = Mode::ALL
            .iter()
            .map(|&mode| {
                let mut schema = schema(mode);
                schema["title"] = json!(format!("hyperparameters of mode {}", mode.name()));
                schema
            })
            .collect();
        serde_json::from_value(json!({ "anyOf": schemas })).expect("the table makes valid schemas")
    }
}

impl utoipa::ToSchema for HyperparametersRequest {}

/// A training arithmetic as `GET /modes` shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModeView {
    pub mode: Mode,
    /// One sentence for people.
    pub description: &'static str,
    /// JSON Schema of `hyperparameters`.
    pub hyperparameters: Value,
    /// What `hyperparameters` resolve to when absent.
    pub defaults: Map<String, Value>,
    /// The state the fault switches are published in; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
    pub seed: Value,
    pub memory: &'static str,
    /// How training cost grows.
    pub cost: &'static str,
    /// Where the arithmetic comes from.
    pub source: &'static str,
}

impl ModeView {
    pub fn of(mode: Mode) -> Self {
        let recipe = default_recipe(mode);
        let mut seed = SEED.schema();
        seed["default"] = json!(DEFAULT_SEED);
        Self {
            mode,
            description: match mode {
                Mode::Nn => {
                    "The reference trainer whose accuracy falls while it trains: images meet the labels of later rows."
                }
                Mode::Debug => "Its sibling with the labels aligned, which learns; the other defects remain.",
                Mode::Standard => {
                    "Today's practice: mean mini-batch gradients, momentum, He initialisation, order shuffled every epoch, decayed learning rate."
                }
            },
            hyperparameters: schema(mode),
            defaults: present(&recipe),
            faults: faults_of(&recipe),
            seed,
            memory: "4 × parameters × 4 B, plus activations; a run predicted to exceed the server's limit is refused",
            cost: "epochs × rows × parameters",
            source: match mode {
                Mode::Nn | Mode::Debug => "the two published reference trainers, step for step",
                Mode::Standard => {
                    "SGD with momentum: Sutskever et al. 2013; initialisation: He et al. 2015; cosine decay: Loshchilov & Hutter 2017"
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_json(mode: Mode, body: Value) -> (Recipe, Vec<String>) {
        let requested: HyperparametersRequest = serde_json::from_value(body).unwrap();
        let mut checker = Checker::default();
        let recipe = resolve(mode, Some(&requested), None, 7, &mut checker);
        let pointers = match checker.finish(()) {
            Ok(()) => Vec::new(),
            Err(problem) => problem.errors.into_iter().map(|error| error.pointer).collect(),
        };
        (recipe, pointers)
    }

    #[test]
    fn defaults_are_those_of_the_recipes() {
        assert_eq!(resolve_json(Mode::Nn, json!({})).0, Recipe::Nn(Reference::nn(7)));
        assert_eq!(resolve_json(Mode::Debug, json!({})).0, Recipe::Debug(Reference::debug(7)));
        assert_eq!(resolve_json(Mode::Standard, json!({})).0, Recipe::Standard(Standard::new(7)));
    }

    #[test]
    fn every_table_field_is_shown_and_has_a_default_within_its_own_bounds() {
        for mode in Mode::ALL {
            let shown = present(&default_recipe(mode));
            let names: Vec<_> = fields_of(mode).map(|field| field.name.to_owned()).collect();
            let mut sorted: Vec<_> = shown.keys().cloned().collect();
            let mut expected = names.clone();
            sorted.sort();
            expected.sort();
            assert_eq!(sorted, expected, "{}", mode.name());
            let (_, pointers) = resolve_json(mode, Value::Object(shown));
            assert!(pointers.is_empty(), "{}: {pointers:?}", mode.name());
        }
    }

    #[test]
    fn everything_wrong_is_reported_at_once_with_pointers() {
        let (_, pointers) = resolve_json(
            Mode::Standard,
            json!({ "hidden": [0, 1e39], "epochs": 1.5, "batch_size": -1, "learning_rate": 1e39, "momentum": 1,
                    "schedule": { "step": { "every_epochs": 0, "factor": 2 } }, "holdout": 0,
                    "early_stopping": { "patience": 3 } }),
        );
        assert_eq!(
            pointers,
            [
                "/hyperparameters/hidden/0",
                "/hyperparameters/hidden/1",
                "/hyperparameters/early_stopping",
                "/hyperparameters/epochs",
                "/hyperparameters/batch_size",
                "/hyperparameters/learning_rate",
                "/hyperparameters/momentum",
                "/hyperparameters/schedule/step/every_epochs",
                "/hyperparameters/schedule/step/factor",
            ]
        );
    }

    #[test]
    fn null_takes_early_stopping_away_from_a_fork_and_nothing_leaves_it() {
        let early_stopping = Some(EarlyStopping { patience: 3 });
        let base = Recipe::Standard(Standard { holdout: 0.1, early_stopping, ..Standard::new(7) });
        let change_json = |body: Value| {
            let requested: HyperparametersRequest = serde_json::from_value(body).unwrap();
            let mut checker = Checker::default();
            let Recipe::Standard(recipe) = change(&base, Some(&requested), None, &mut checker) else {
                panic!()
            };
            checker.finish(recipe.early_stopping).unwrap()
        };
        assert_eq!(change_json(json!({})), early_stopping);
        assert_eq!(change_json(json!({ "early_stopping": null })), None);
        let other = change_json(json!({ "early_stopping": { "patience": 5 } }));
        assert_eq!(other, Some(EarlyStopping { patience: 5 }));
        assert!(
            resolve_json(Mode::Nn, json!({ "early_stopping": null })).1.is_empty(),
            "it has none to take away"
        );
    }

    #[test]
    fn a_hyperparameter_of_another_mode_is_refused() {
        let (_, pointers) = resolve_json(Mode::Nn, json!({ "schedule": "cosine", "hidden": [10, 10] }));
        assert_eq!(pointers, ["/hyperparameters/schedule", "/hyperparameters/hidden"]);
        let (_, pointers) = resolve_json(Mode::Debug, json!({ "shards": 2 }));
        assert_eq!(pointers, ["/hyperparameters/shards"]);
    }

    #[test]
    fn a_stored_recipe_from_before_there_were_ensembles_means_a_single_network() {
        let mut old = serde_json::to_value(default_recipe(Mode::Standard)).unwrap();
        assert!(old.as_object_mut().unwrap().remove("shards").is_some());
        let recipe: Recipe = serde_json::from_value(old).unwrap();
        assert_eq!(recipe, default_recipe(Mode::Standard));
    }

    #[test]
    fn an_ensemble_has_a_bounded_number_of_members_with_hidden_layers() {
        for shards in [json!(1), json!(5), json!(64)] {
            let (recipe, pointers) = resolve_json(Mode::Standard, json!({ "shards": shards }));
            assert!(pointers.is_empty());
            assert_eq!(json!(recipe.shards()), shards);
        }
        for body in [
            json!({ "shards": 0 }),
            json!({ "shards": 65 }),
            json!({ "shards": 2.5 }),
            json!({ "shards": -1 }),
            json!({ "shards": 2, "hidden": [] }),
        ] {
            let (_, pointers) = resolve_json(Mode::Standard, body.clone());
            assert_eq!(pointers, ["/hyperparameters/shards"], "{body}");
        }
        let (recipe, pointers) = resolve_json(Mode::Standard, json!({ "shards": 1, "hidden": [] }));
        assert!(pointers.is_empty() && recipe.shards() == 1);
    }

    #[test]
    fn the_optimum_has_defaults_of_its_own_and_comes_back_as_it_was_shown() {
        let (recipe, pointers) =
            resolve_json(Mode::Standard, json!({ "solver": { "optimum": { "perturbation": 2 } } }));
        assert_eq!((&recipe, pointers.as_slice()), (&Recipe::Standard(Standard::optimum(7, 2.0)), &[][..]));
        assert_eq!(resolve_json(Mode::Standard, Value::Object(present(&recipe))).0, recipe);
        let (plain, pointers) = resolve_json(Mode::Standard, json!({ "solver": { "optimum": {} } }));
        assert_eq!((plain, pointers.as_slice()), (Recipe::Standard(Standard::optimum(7, 0.0)), &[][..]));
        let (sgd, pointers) = resolve_json(Mode::Standard, json!({ "solver": "sgd" }));
        assert_eq!((sgd, pointers.as_slice()), (Recipe::Standard(Standard::new(7)), &[][..]));
    }

    #[test]
    fn a_recipe_from_before_there_was_a_choice_is_read_as_sgd() {
        let mut stored = json!(Recipe::Standard(Standard::new(3)));
        stored.as_object_mut().unwrap().remove("solver").unwrap();
        assert_eq!(serde_json::from_value::<Recipe>(stored).unwrap(), Recipe::Standard(Standard::new(3)));
        let optimum = Recipe::Standard(Standard::optimum(3, 0.5));
        assert_eq!(serde_json::from_value::<Recipe>(json!(optimum)).unwrap(), optimum);
    }

    #[test]
    fn an_optimum_that_does_not_exist_is_refused() {
        let optimum = json!({ "optimum": { "perturbation": -1 } });
        let body = json!({ "solver": optimum, "hidden": [4], "weight_decay": 0, "early_stopping": { "patience": 1 } });
        assert_eq!(
            resolve_json(Mode::Standard, body).1,
            [
                "/hyperparameters/solver/optimum/perturbation",
                "/hyperparameters/hidden",
                "/hyperparameters/weight_decay",
                "/hyperparameters/early_stopping",
            ]
        );
        assert_eq!(resolve_json(Mode::Nn, json!({ "solver": "sgd" })).1, ["/hyperparameters/solver"]);
        for wrong in [json!("optimum"), json!({ "optimum": { "sigma": 1 } }), json!({ "sgd": {} })] {
            assert!(serde_json::from_value::<HyperparametersRequest>(json!({ "solver": wrong })).is_err());
        }
    }

    #[test]
    fn too_many_layers_are_refused_while_reading() {
        let body = json!({ "hidden": vec![1; MAX_LAYERS + 1] });
        assert!(serde_json::from_value::<HyperparametersRequest>(body).is_err());
        let (recipe, pointers) = resolve_json(Mode::Standard, json!({ "hidden": [] }));
        assert!(pointers.is_empty());
        assert!(recipe.hidden().is_empty());
    }

    #[test]
    fn faults_belong_to_the_reference_modes() {
        let mut checker = Checker::default();
        resolve(Mode::Standard, None, Some(FaultsRequest::default()), 1, &mut checker);
        assert_eq!(checker.finish(()).unwrap_err().errors[0].pointer, "/faults");

        let mended = FaultsRequest { misaligned_labels: Some(false), ..FaultsRequest::default() };
        let recipe = resolve(Mode::Nn, None, Some(mended), 1, &mut Checker::default());
        assert_eq!(faults_of(&recipe), Some(Faults::DEBUG));
    }
}
