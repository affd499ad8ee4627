//! What a request wants to know, wherever it says so.

use super::super::error::{FieldError, Problem};
use super::super::number::{Checker, Number, Whole};
use crate::formats::Dtype;
use crate::formats::json::JsonRows;
use crate::formats::picture::Prepare;
use crate::inference::Loaded;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Classes in `top` when the request does not say.
const DEFAULT_TOP_K: usize = 3;
const TOP_K: Whole = Whole { min: 1, max: 1_000_000 };

/// Rows as JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictRequest {
    /// `name`, `name@alias`, `name:version` or a version's id; at `/models/{ref}/predict` the address says it.
    #[serde(default)]
    pub model: Option<String>,
    pub inputs: JsonRows,
    /// How many classes `top` names, 3 without it.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, default = 3)]
    pub top_k: Option<Number>,
    /// What a prediction tells beside `label` and `confidence`: `probabilities` and `top` without it.
    #[serde(default)]
    pub r#return: Option<Vec<Part>>,
}

/// For bodies that cannot say it themselves.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PredictQuery {
    /// The model, at `/predict`.
    pub model: Option<String>,
    /// How raw numbers are written: `u8` without it, or little-endian `f32`.
    #[param(inline)]
    pub dtype: Option<Dtype>,
    /// How many classes `top` names, 3 without it.
    #[param(minimum = 1)]
    pub top_k: Option<u32>,
    /// What a prediction tells beside `label` and `confidence`, with commas between: any of `probabilities`, `top`,
    /// `logits` and `seen`, the first two without it.
    pub r#return: Option<String>,
    /// What is done to a picture: nothing (`none`, it must have the model's size), scaling (`resize`), or what was
    /// done to the digits of MNIST (`digit`). Without it a picture of the model's size is taken as it is, any other
    /// is made a digit for models of digits, and scaled for others.
    #[param(inline)]
    pub prepare: Option<Prepare>,
    /// What an answer as npy holds: `probabilities` without it.
    #[param(inline)]
    pub output: Option<Output>,
}

/// A part of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Of every class.
    Probabilities,
    /// The most probable classes.
    Top,
    /// Of every class, before the softmax.
    Logits,
    /// The numbers the network was given, in the request's units: what became of a picture.
    Seen,
}

impl Part {
    const ALL: [(Self, &str); 4] = [
        (Self::Probabilities, "probabilities"),
        (Self::Top, "top"),
        (Self::Logits, "logits"),
        (Self::Seen, "seen"),
    ];
}

/// The numbers of an answer as npy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// `float32`, `[N, C]`.
    #[default]
    Probabilities,
    /// `float32`, `[N, C]`.
    Logits,
    /// The most probable class, `uint32`, `[N]`.
    Label,
}

/// Which parts predictions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub probabilities: bool,
    pub logits: bool,
    pub seen: bool,
    /// Classes in `top`; 0 for none.
    pub top_k: usize,
}

/// `return` and `top_k` before the model is known.
#[derive(Debug, Default)]
pub struct Wanted {
    top_k: Option<Number>,
    top_k_pointer: &'static str,
    parts: Option<Vec<Part>>,
}

impl Wanted {
    /// What the body says; where it says nothing, what the address says.
    pub fn of(
        query: &PredictQuery,
        body: Option<(Option<Number>, Option<Vec<Part>>)>,
    ) -> Result<Self, Problem> {
        let (body_top_k, body_parts) = body.unwrap_or_default();
        let parts = match (body_parts, &query.r#return) {
            (None, Some(text)) => Some(parts_of(text)?),
            (parts, _) => parts,
        };
        let query_top_k = query.top_k.map(|top_k| Number::Integer(i128::from(top_k)));
        let top_k_pointer = if body_top_k.is_some() { "/top_k" } else { "?top_k" };
        Ok(Self { top_k: body_top_k.or(query_top_k), top_k_pointer, parts })
    }

    pub fn check(self, loaded: &Loaded) -> Result<Parts, Problem> {
        let n_classes = loaded.n_classes();
        let mut checker = Checker::default();
        let domain = Whole { max: TOP_K.max.min(n_classes as u64), ..TOP_K };
        let default = DEFAULT_TOP_K.min(n_classes) as u64;
        let top_k = checker.whole(self.top_k_pointer, self.top_k, domain, default) as usize;
        let has = |part| self.parts.as_ref().map(|parts| parts.contains(&part));
        checker.finish(Parts {
            probabilities: has(Part::Probabilities).unwrap_or(true),
            logits: has(Part::Logits).unwrap_or(false),
            seen: has(Part::Seen).unwrap_or(false),
            top_k: if has(Part::Top).unwrap_or(true) { top_k } else { 0 },
        })
    }
}

fn parts_of(text: &str) -> Result<Vec<Part>, Problem> {
    let names = text.split(',').filter(|name| !name.is_empty());
    let parts = names.map(|name| {
        let known = Part::ALL.iter().find(|(_, known)| *known == name);
        known.map(|&(part, _)| part).ok_or_else(|| {
            let known = Part::ALL.map(|(_, name)| name).join("`, `");
            Problem::parameter("?return", format!("cannot be `{name}`; there are `{known}`"))
        })
    });
    parts.collect()
}

/// The one place that names the model; two that disagree are an error.
pub fn one_model(
    path: Option<String>,
    body: Option<String>,
    query: Option<String>,
) -> Result<String, Problem> {
    let mut named = [path, body, query].into_iter().flatten();
    let Some(first) = named.next() else {
        let detail = "name the model: `\"model\": \"digits@prod\"` in JSON, or `?model=digits@prod`";
        return Err(Problem::invalid(vec![FieldError::new("/model", detail)]));
    };
    match named.find(|other| *other != first) {
        None => Ok(first),
        Some(other) => {
            let detail = format!("says `{other}`, but the request also names `{first}`; keep one of them");
            Err(Problem::invalid(vec![FieldError::new("/model", detail)]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_may_be_named_once_or_twice_the_same() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(one_model(some("a"), None, None).unwrap(), "a");
        assert_eq!(one_model(some("a"), some("a"), None).unwrap(), "a");
        assert_eq!(one_model(some("a"), some("b"), None).unwrap_err().errors[0].pointer, "/model");
        assert_eq!(one_model(None, None, None).unwrap_err().errors[0].pointer, "/model");
    }

    #[test]
    fn parts_are_listed_with_commas() {
        assert_eq!(parts_of("seen,logits").unwrap(), [Part::Seen, Part::Logits]);
        assert_eq!(parts_of("").unwrap(), []);
        assert_eq!(parts_of("top,labels").unwrap_err().errors[0].pointer, "?return");
    }
}
