//! The unlearning methods over HTTP: their hyperparameters checked, and their catalogue.
//!
//! What each takes, within which bounds and with which defaults, is said in the method's own file.

use super::number::{Checker, Number, Real, Whole};
use crate::unlearn::{About, Domain, Field, Method, MethodName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A method's hyperparameters as requested; what is absent takes the method's default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct MethodRequest(Map<String, Value>);

/// The method, every number checked; wrong ones are noted in `checker` and replaced by defaults.
pub fn resolve(name: MethodName, requested: Option<MethodRequest>, checker: &mut Checker) -> Method {
    let MethodRequest(requested) = requested.unwrap_or_default();
    let variant = requested.get("variant").and_then(Value::as_str);
    let defaults = name.defaults(variant);
    let mut numbers = defaults.hyperparameters();
    let pointer = |key: &str| format!("/hyperparameters/{}", escaped(key));
    for key in requested.keys().filter(|key| !name.fields().iter().any(|field| field.name == *key)) {
        let detail = format!("method `{}` has no such hyperparameter; it has {}", name.name(), known(name));
        checker.fail(pointer(key), detail);
    }
    // in the order they are described
    for field in name.fields() {
        let Some(value) = requested.get(field.name) else { continue };
        if let (Some(wanted), Some(variant)) = (field.only_with, variant)
            && wanted != variant
        {
            checker.fail(pointer(field.name), format!("belongs to `{wanted}`, which this is not; remove it"));
            continue;
        }
        match check(field.domain, value) {
            Ok(value) => drop(numbers.insert(field.name.to_owned(), value)),
            Err(detail) => checker.fail(pointer(field.name), detail),
        }
    }
    Method::from_hyperparameters(name, numbers).unwrap_or(defaults)
}

/// The value as the method takes it, if it may be one.
fn check(domain: Domain, value: &Value) -> Result<Value, String> {
    let number =
        || serde_json::from_value::<Number>(value.clone()).map_err(|_| "must be a number".to_owned());
    match domain {
        Domain::Whole { min, max } => Whole { min, max }.check(number()?).map(Value::from),
        Domain::Real { min, max } => Real { min, max, max_excluded: false }.check(number()?).map(Value::from),
        Domain::Choice(choices) => {
            let is_one = value.as_str().is_some_and(|value| choices.contains(&value));
            let list = || choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
            if is_one { Ok(value.clone()) } else { Err(format!("must be one of {}", list())) }
        }
    }
}

fn known(name: MethodName) -> String {
    let known: Vec<_> = name.fields().iter().map(|field| format!("`{}`", field.name)).collect();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// A name as a step of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// JSON Schema of a method's `hyperparameters`, defaults included.
fn schema(name: MethodName) -> Value {
    let defaults = name.defaults(None).hyperparameters();
    let properties: Map<String, Value> = name
        .fields()
        .iter()
        .map(|field| (field.name.to_owned(), property(field, defaults.get(field.name))))
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(field: &Field, default: Option<&Value>) -> Value {
    let mut schema = match field.domain {
        Domain::Whole { min, max } => Whole { min, max }.schema(),
        Domain::Real { min, max } => Real { min, max, max_excluded: false }.schema(),
        Domain::Choice(choices) => json!({ "type": "string", "enum": choices }),
    };
    schema["description"] = json!(field.about);
    schema["default"] = default.cloned().unwrap_or(Value::Null);
    schema
}

/// What the API description says about `hyperparameters`: one of the methods' schemas.
impl utoipa::PartialSchema for MethodRequest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let schemas: Vec<Value> = MethodName::ALL
            .iter()
            .map(|&name| {
                let mut schema = schema(name);
                schema["title"] = json!(format!("hyperparameters of method {}", name.name()));
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
    #[serde(flatten)]
    pub about: About,
    /// JSON Schema of `hyperparameters`.
    pub hyperparameters: Value,
    /// What `hyperparameters` resolve to when absent.
    pub defaults: Map<String, Value>,
}

impl MethodView {
    pub fn of(name: MethodName) -> Self {
        Self {
            method: name,
            about: name.about(),
            hyperparameters: schema(name),
            defaults: name.defaults(None).hyperparameters(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlearn::GradientAscent;

    fn pointers(name: MethodName, body: Value) -> Vec<String> {
        let mut checker = Checker::default();
        resolve(name, Some(serde_json::from_value(body).unwrap()), &mut checker);
        match checker.finish(()) {
            Ok(()) => Vec::new(),
            Err(problem) => problem.errors.into_iter().map(|error| error.pointer).collect(),
        }
    }

    #[test]
    fn every_methods_defaults_lie_within_its_own_bounds_and_resolve_to_themselves() {
        for method in Method::all() {
            let shown = Value::Object(method.hyperparameters());
            assert_eq!(pointers(method.id(), shown.clone()), [] as [&str; 0], "{}", method.name());
            let requested = Some(serde_json::from_value(shown).unwrap());
            assert_eq!(resolve(method.id(), requested, &mut Checker::default()), method);
            assert_eq!(resolve(method.id(), None, &mut Checker::default()), method);
        }
    }

    #[test]
    fn a_hyperparameter_of_another_method_is_refused() {
        assert_eq!(pointers(MethodName::Retrain, json!({ "epochs": 3 })), ["/hyperparameters/epochs"]);
        assert_eq!(
            pointers(MethodName::ResetLast, json!({ "variant": "plain" })),
            ["/hyperparameters/variant"]
        );
        assert_eq!(pointers(MethodName::Msg, json!({ "a/b": 1 })), ["/hyperparameters/a~1b"]);
    }

    #[test]
    fn impossible_numbers_are_refused_all_at_once() {
        let body = json!({ "epochs": 0, "batch_size": 1.5, "learning_rate": 1e39, "ascent_weight": -1 });
        assert_eq!(pointers(MethodName::GradientAscent, body).len(), 4);
        let body = json!({ "epochs": "2", "batch_size": null, "learning_rate": [], "variant": "other" });
        assert_eq!(pointers(MethodName::GradientAscent, body).len(), 4);
    }

    #[test]
    fn whole_numbers_may_be_written_as_reals() {
        let requested = Some(serde_json::from_value(json!({ "epochs": 7.0 })).unwrap());
        let method = resolve(MethodName::ResetLast, requested, &mut Checker::default());
        assert_eq!(method.hyperparameters()["epochs"], 7);
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
