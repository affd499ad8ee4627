//! The unlearning methods: what each takes, within which bounds, and what it can promise.
//!
//! [`FIELDS`] is the one table behind validation, the API description and `GET /unlearn/methods`; defaults
//! are those of the `unlearn` types.

use super::number::{Checker, Number, Real, Whole};
use crate::unlearn::{About, Claim, GradientAscent, Method, Newton, ResetLast, Variant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const EPOCHS: Whole = Whole { min: 1, max: 100 };
const BATCH_SIZE: Whole = Whole { min: 1, max: 1_000_000 };
const LEARNING_RATE: Real = Real { min: 1e-9, max: 10.0, max_excluded: false };
const EPSILON: Real = Real { min: 1e-6, max: 100.0, max_excluded: false };
const DELTA: Real = Real { min: 1e-12, max: 0.5, max_excluded: false };
const ASCENT_WEIGHT: Real = Real { min: 0.0, max: 100.0, max_excluded: false };

/// The methods by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MethodName {
    Retrain,
    GradientAscent,
    ResetLast,
    Convex,
    Newton,
}

impl MethodName {
    fn of(method: &Method) -> Self {
        match method {
            Method::Retrain => Self::Retrain,
            Method::GradientAscent(_) => Self::GradientAscent,
            Method::ResetLast(_) => Self::ResetLast,
            Method::Convex => Self::Convex,
            Method::Newton(_) => Self::Newton,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Retrain => "retrain",
            Self::GradientAscent => "gradient_ascent",
            Self::ResetLast => "reset_last",
            Self::Convex => "convex",
            Self::Newton => "newton",
        }
    }
}

struct Field {
    name: &'static str,
    about: &'static str,
    methods: &'static [MethodName],
    schema: fn() -> Value,
}

const APPROXIMATE: &[MethodName] = &[MethodName::GradientAscent, MethodName::ResetLast];
const ASCENT: &[MethodName] = &[MethodName::GradientAscent];
const CERTIFIED: &[MethodName] = &[MethodName::Newton];

const FIELDS: &[Field] = &[
    Field {
        name: "variant",
        about: "`bounded` (ascent only below a loss bound, beside training on the retained rows) or `plain` (bare ascent).",
        methods: ASCENT,
        schema: || json!({ "type": "string", "enum": ["bounded", "plain"] }),
    },
    Field {
        name: "epochs",
        about: "Passes of the method.",
        methods: APPROXIMATE,
        schema: || EPOCHS.schema(),
    },
    Field {
        name: "batch_size",
        about: "Rows in a mini-batch.",
        methods: APPROXIMATE,
        schema: || BATCH_SIZE.schema(),
    },
    Field {
        name: "learning_rate",
        about: "Step size.",
        methods: APPROXIMATE,
        schema: || LEARNING_RATE.schema(),
    },
    Field {
        name: "ascent_weight",
        about: "Weight of the ascent beside the retained rows' loss (`bounded` only).",
        methods: ASCENT,
        schema: || ASCENT_WEIGHT.schema(),
    },
    Field {
        name: "epsilon",
        about: "ε of the certificate: how much likelier anything may become, as a power of e.",
        methods: CERTIFIED,
        schema: || EPSILON.schema(),
    },
    Field {
        name: "delta",
        about: "δ of the certificate: the probability that ε does not hold.",
        methods: CERTIFIED,
        schema: || DELTA.schema(),
    },
];

/// A method's hyperparameters as requested; what is absent takes the method's default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodRequest {
    variant: Option<Variant>,
    epochs: Option<Number>,
    batch_size: Option<Number>,
    learning_rate: Option<Number>,
    ascent_weight: Option<Number>,
    epsilon: Option<Number>,
    delta: Option<Number>,
}

/// The method, every number checked; wrong ones are noted in `checker` and replaced by defaults.
pub fn resolve(name: MethodName, requested: Option<MethodRequest>, checker: &mut Checker) -> Method {
    let requested = requested.unwrap_or_default();
    refuse_foreign_fields(name, &requested, checker);
    match name {
        MethodName::Retrain => Method::Retrain,
        MethodName::GradientAscent => Method::GradientAscent(gradient_ascent(&requested, checker)),
        MethodName::ResetLast => {
            let default = ResetLast::default();
            Method::ResetLast(ResetLast {
                epochs: epochs(&requested, default.epochs, checker),
                batch_size: batch_size(&requested, default.batch_size, checker),
                learning_rate: learning_rate(&requested, default.learning_rate, checker),
            })
        }
        MethodName::Convex => Method::Convex,
        MethodName::Newton => {
            let default = Newton::default();
            Method::Newton(Newton {
                epsilon: checker.real(
                    "/hyperparameters/epsilon",
                    requested.epsilon,
                    EPSILON,
                    default.epsilon,
                ),
                delta: checker.real("/hyperparameters/delta", requested.delta, DELTA, default.delta),
            })
        }
    }
}

/// Each variant has its own defaults.
fn gradient_ascent(requested: &MethodRequest, checker: &mut Checker) -> GradientAscent {
    let pointer = "/hyperparameters/ascent_weight";
    let default = match requested.variant {
        None => GradientAscent::default(),
        Some(Variant::Bounded) => GradientAscent::BOUNDED,
        Some(Variant::Plain) => {
            if requested.ascent_weight.is_some() {
                checker.fail(pointer, "weighs ascent against training, which `plain` does not do; remove it");
            }
            GradientAscent::PLAIN
        }
    };
    GradientAscent {
        variant: default.variant,
        epochs: epochs(requested, default.epochs, checker),
        batch_size: batch_size(requested, default.batch_size, checker),
        learning_rate: learning_rate(requested, default.learning_rate, checker),
        ascent_weight: checker.real(pointer, requested.ascent_weight, ASCENT_WEIGHT, default.ascent_weight),
    }
}

fn refuse_foreign_fields(name: MethodName, requested: &MethodRequest, checker: &mut Checker) {
    let given = [
        ("variant", requested.variant.is_some()),
        ("epochs", requested.epochs.is_some()),
        ("batch_size", requested.batch_size.is_some()),
        ("learning_rate", requested.learning_rate.is_some()),
        ("ascent_weight", requested.ascent_weight.is_some()),
        ("epsilon", requested.epsilon.is_some()),
        ("delta", requested.delta.is_some()),
    ];
    for (field_name, is_given) in given {
        let field =
            FIELDS.iter().find(|field| field.name == field_name).expect("every field is in the table");
        if is_given && !field.methods.contains(&name) {
            let known: Vec<_> = fields_of(name).map(|field| format!("`{}`", field.name)).collect();
            let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let detail = format!("method `{}` has no such hyperparameter; it has {has}", name.name());
            checker.fail(format!("/hyperparameters/{field_name}"), detail);
        }
    }
}

fn epochs(requested: &MethodRequest, default: u32, checker: &mut Checker) -> u32 {
    checker.whole("/hyperparameters/epochs", requested.epochs, EPOCHS, u64::from(default)) as u32
}

fn batch_size(requested: &MethodRequest, default: usize, checker: &mut Checker) -> usize {
    checker.whole("/hyperparameters/batch_size", requested.batch_size, BATCH_SIZE, default as u64) as usize
}

fn learning_rate(requested: &MethodRequest, default: f64, checker: &mut Checker) -> f64 {
    checker.real("/hyperparameters/learning_rate", requested.learning_rate, LEARNING_RATE, default)
}

fn fields_of(name: MethodName) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.methods.contains(&name))
}

/// A method's name and its resolved hyperparameters.
pub fn present(method: &Method) -> (String, Map<String, Value>) {
    let Value::Object(mut values) = serde_json::to_value(method).expect("a method is plain data") else {
        unreachable!("a method serialises as an object")
    };
    let name = values.remove("method").and_then(|name| name.as_str().map(str::to_owned));
    (name.expect("a method is tagged by its name"), values)
}

/// JSON Schema of a method's `hyperparameters`, defaults included.
fn schema(method: &Method) -> Value {
    let (_, defaults) = present(method);
    let properties: Map<String, Value> = fields_of(MethodName::of(method))
        .map(|field| {
            let mut schema = (field.schema)();
            schema["description"] = json!(field.about);
            schema["default"] = defaults.get(field.name).cloned().unwrap_or(Value::Null);
            (field.name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// What the API description says about `hyperparameters`: one of the methods' schemas.
impl utoipa::PartialSchema for MethodRequest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let schemas: Vec<Value> = Method::all()
            .iter()
            .map(|method| {
                let mut schema = schema(method);
                schema["title"] = json!(format!("hyperparameters of method {}", method.name()));
                schema
            })
            .collect();
        serde_json::from_value(json!({ "anyOf": schemas })).expect("the table makes valid schemas")
    }
}

impl utoipa::ToSchema for MethodRequest {}

/// An unlearning method as `GET /unlearn/methods` shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MethodView {
    pub method: MethodName,
    /// What its result may be called without looking at it.
    pub claim: Claim,
    #[serde(flatten)]
    pub about: About,
    /// JSON Schema of `hyperparameters`.
    pub hyperparameters: Value,
    /// What `hyperparameters` resolve to when absent.
    pub defaults: Map<String, Value>,
}

impl MethodView {
    pub fn of(method: &Method) -> Self {
        Self {
            method: MethodName::of(method),
            claim: method.claim(),
            about: *method.about(),
            hyperparameters: schema(method),
            defaults: present(method).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(name: MethodName, body: Value) -> Vec<String> {
        let mut checker = Checker::default();
        resolve(name, Some(serde_json::from_value(body).unwrap()), &mut checker);
        match checker.finish(()) {
            Ok(()) => Vec::new(),
            Err(problem) => problem.errors.into_iter().map(|error| error.pointer).collect(),
        }
    }

    #[test]
    fn every_table_field_is_shown_and_has_a_default_within_its_own_bounds() {
        for method in Method::all() {
            let (shown_name, shown) = present(&method);
            let name = MethodName::of(&method);
            assert_eq!((shown_name.as_str(), method.name()), (name.name(), name.name()));
            let mut keys: Vec<_> = shown.keys().map(String::as_str).collect();
            let mut expected: Vec<_> = fields_of(name).map(|field| field.name).collect();
            keys.sort_unstable();
            expected.sort_unstable();
            assert_eq!(keys, expected, "{}", name.name());
            assert_eq!(pointers(name, Value::Object(shown)), [] as [&str; 0], "{}", name.name());
        }
    }

    #[test]
    fn a_hyperparameter_of_another_method_is_refused() {
        assert_eq!(pointers(MethodName::Retrain, json!({ "epochs": 3 })), ["/hyperparameters/epochs"]);
        assert_eq!(
            pointers(MethodName::ResetLast, json!({ "variant": "plain" })),
            ["/hyperparameters/variant"]
        );
    }

    #[test]
    fn impossible_numbers_are_refused_all_at_once() {
        let body = json!({ "epochs": 0, "batch_size": 1.5, "learning_rate": 1e39, "ascent_weight": -1 });
        assert_eq!(pointers(MethodName::GradientAscent, body).len(), 4);
    }

    #[test]
    fn each_variant_has_its_own_defaults() {
        let ask = |body: Value| {
            let requested = Some(serde_json::from_value(body).unwrap());
            resolve(MethodName::GradientAscent, requested, &mut Checker::default())
        };
        assert_eq!(ask(json!({ "variant": "plain" })), Method::GradientAscent(GradientAscent::PLAIN));
        assert_eq!(ask(json!({})), Method::GradientAscent(GradientAscent::BOUNDED));
        let weighted_plain = json!({ "variant": "plain", "ascent_weight": 1 });
        assert_eq!(pointers(MethodName::GradientAscent, weighted_plain), ["/hyperparameters/ascent_weight"]);
    }
}
