//! Extractors whose rejections are problems, and content negotiation.

use super::body::ApiBytes;
use super::error::{Code, FieldError, Problem};
use super::state::AppState;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_path_to_error::Segment;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

/// A JSON body as a typed value.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let content_type = ContentType::of(request.headers())?;
        if !content_type.is_json() {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                format!("the body is {content_type}; send JSON with `content-type: application/json`"),
            ));
        }
        let ApiBytes(body) = ApiBytes::from_request(request, app).await?;
        from_json(&body).map(|Object(value)| Self(value))
    }
}

/// A JSON object as a struct. Derived code alone would also take a list of the fields' values in their order.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// For fields: `#[serde(deserialize_with = "object")]`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// The same for fields that may be absent or `null`.
pub fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(value.map(|Object(value)| value))
}

/// The same where `null` says something else than absence does.
pub fn object_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    optional_object(deserializer).map(Some)
}

/// Parses typed JSON. The first pass is the fast one; only a failure pays for finding out where it is.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) if std::str::from_utf8(body).is_err() => {
            Err(Problem::new(Code::InvalidJson, "the body is not UTF-8, which JSON must be"))
        }
        // the error itself does not tell: some types report a wrong kind of value as if it were bad syntax, and
        // a wrong value may be met before bad syntax is
        Err(error) if serde_json::from_slice::<IgnoredAny>(body).is_ok() => {
            Err(invalid_field::<T>(body, &error))
        }
        Err(_) if body.iter().all(u8::is_ascii_whitespace) => {
            Err(Problem::new(Code::InvalidJson, "the body is empty; send a JSON object"))
        }
        Err(error) => Err(Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}"))),
    }
}

fn invalid_field<T: DeserializeOwned>(body: &[u8], first: &serde_json::Error) -> Problem {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => Problem::invalid(vec![FieldError::new("", without_position(&first.to_string()))]),
        Err(error) => {
            let mut detail = without_position(&error.inner().to_string());
            if detail == "expected value" {
                detail = "cannot be a value of this type".to_owned();
            }
            let pointer = pointer_of(error.path(), &detail);
            Problem::invalid(vec![FieldError::new(pointer, detail)])
        }
    }
}

/// serde_json ends its messages in ` at line 1 column 7`; the pointer says it better.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

/// How messages begin that name a field the path does not.
const NAMING: [&str; 3] = ["missing field `", "unknown field `", "duplicate field `"];

/// RFC 6901 pointer of a path; the name of a missing, unknown or repeated field is only in the message.
fn pointer_of(path: &serde_path_to_error::Path, detail: &str) -> String {
    let mut tokens: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    for prefix in NAMING {
        let name = detail.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
        if let Some(name) = name.filter(|&name| tokens.last().is_none_or(|last| last != name)) {
            tokens.push(name.to_owned());
        }
    }
    tokens.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Path parameters.
#[derive(Debug)]
pub struct ApiPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                let names =
                    RawPathParams::from_request_parts(parts, state).await.map_err(Problem::internal)?;
                let names: Vec<&str> = names.iter().map(|(name, _)| name).collect();
                let (name, detail) = explain(error.kind(), &names);
                Err(Problem::parameter(&format!("{{{name}}}"), detail))
            }
            Err(other) => Err(Problem::internal(other)),
        }
    }
}

/// Which of the path's parameters cannot be read, and why.
fn explain<'a>(kind: &'a ErrorKind, names: &[&'a str]) -> (&'a str, String) {
    match kind {
        ErrorKind::ParseErrorAtIndex { index, value, expected_type: "u32" } => {
            let name = names.get(*index).copied().unwrap_or_default();
            (name, format!("must be a whole number from 0 to {}, not `{value}`", u32::MAX))
        }
        ErrorKind::DeserializeError { key, value, message } => {
            (key, format!("cannot be `{value}`: {message}"))
        }
        ErrorKind::InvalidUtf8InPathParam { key } => (key, "must be UTF-8".to_owned()),
        other => ("", other.to_string()),
    }
}

/// How the standard library says that a text is no whole number.
const NO_NUMBER: [&str; 3] = [
    "invalid digit found in string",
    "number too large to fit in target type",
    "cannot parse integer from empty string",
];

/// Query parameters; `T` denies unknown ones.
#[derive(Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // most requests have none; of a `T` that needs some, `Query` below says which
        if parts.uri.query().is_none()
            && let Ok(value) = T::deserialize(no_parameters())
        {
            return Ok(Self(value));
        }
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.source().map_or_else(|| rejection.body_text(), ToString::to_string);
                let (name, detail) = text.split_once(": ").unwrap_or(("", &text));
                let named = NAMING.iter().find_map(|prefix| detail.strip_prefix(prefix)?.split('`').next());
                let name = if name.is_empty() { named.unwrap_or_default() } else { name };
                let is_no_number = NO_NUMBER.contains(&detail);
                let detail = if is_no_number { "must be a whole number within its bounds" } else { detail };
                Err(Problem::parameter(&format!("?{name}"), detail))
            }
        }
    }
}

fn no_parameters() -> MapDeserializer<'static, std::iter::Empty<((), ())>, serde::de::value::Error> {
    MapDeserializer::new(std::iter::empty())
}

/// The essence of a `content-type` header: lower-case type and subtype, without parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType<'a>(Cow<'a, str>);

impl<'a> ContentType<'a> {
    /// Also refuses encoded bodies: nothing here decompresses them.
    pub fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "compressed bodies are not accepted; send it without `content-encoding`",
            ));
        }
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = value.split(';').next().unwrap_or("").trim();
        let is_lower = !essence.bytes().any(|byte| byte.is_ascii_uppercase());
        Ok(Self(if is_lower { essence.into() } else { essence.to_ascii_lowercase().into() }))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_json(&self) -> bool {
        self.0 == "application/json" || (self.0.starts_with("application/") && self.0.ends_with("+json"))
    }
}

impl fmt::Display for ContentType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("of no stated type") } else { write!(f, "`{}`", self.0) }
    }
}

/// The offered type the `accept` header likes best; among equals the first offered.
pub fn negotiate<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Result<&'a str, Problem> {
    let ranges: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .collect();
    if ranges.is_empty() {
        return Ok(offered[0]);
    }
    let mut best: Option<(&str, f32)> = None;
    for &media_type in offered {
        let quality = quality_of(media_type, &ranges);
        if quality > best.map_or(0.0, |(_, quality)| quality) {
            best = Some((media_type, quality));
        }
    }
    best.map(|(media_type, _)| media_type).ok_or_else(|| {
        let list = offered.join("`, `");
        Problem::new(Code::NotAcceptable, format!("this address offers `{list}`; accept one of them"))
    })
}

/// The quality the most specific matching range gives `media_type`; 0 when none matches.
fn quality_of(media_type: &str, ranges: &[&str]) -> f32 {
    let (kind, _) = media_type.split_once('/').expect("media types have a slash");
    let mut best = (0, 0.0);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or("").to_ascii_lowercase();
        let specificity = if name == media_type {
            3
        } else if name.strip_suffix("/*").is_some_and(|prefix| prefix == kind) {
            2
        } else if name == "*/*" {
            1
        } else {
            continue;
        };
        let quality = parts
            .find_map(|parameter| parameter.strip_prefix("q="))
            .and_then(|q| q.parse::<f32>().ok())
            .filter(|q| q.is_finite())
            .map_or(1.0, |q| q.clamp(0.0, 1.0));
        if specificity > best.0 {
            best = (specificity, quality);
        }
    }
    best.1
}

/// `limit` and `after` of a list, checked.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items on the page.
    #[param(minimum = 1, maximum = 200, default = 20)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// Items on a page when the request does not say.
pub const DEFAULT_LIMIT: u32 = 20;

/// `limit`, or the default, within `1..=max`.
pub fn checked_limit(limit: Option<u32>, default: u32, max: u32) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(default);
    if (1..=max).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::parameter("?limit", format!("must lie between 1 and {max}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    const OFFERED: [&str; 2] = ["text/event-stream", "application/json"];

    #[test]
    fn the_best_accepted_type_wins() {
        for (value, expected) in [
            ("*/*", "text/event-stream"),
            ("application/json", "application/json"),
            ("application/*;q=0.9, text/*;q=0.1", "application/json"),
            ("*/*;q=0.1, application/json;q=0.5", "application/json"),
            ("text/event-stream;q=0, */*", "application/json"),
            ("TEXT/Event-Stream", "text/event-stream"),
        ] {
            assert_eq!(negotiate(&accept(value), &OFFERED).unwrap(), expected, "{value}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), &OFFERED).unwrap(), "text/event-stream");
    }

    #[test]
    fn nothing_acceptable_is_a_406_that_lists_what_there_is() {
        let problem = negotiate(&accept("image/webp"), &OFFERED).unwrap_err();
        assert_eq!(problem.code, Code::NotAcceptable);
        assert!(problem.detail.contains("`application/json`"), "{}", problem.detail);
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its errors are looked at")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its errors are looked at")]
        size: u8,
    }

    #[test]
    fn a_rejected_field_is_pointed_at() {
        for (body, pointer) in [
            (r#"{"inner":[{"size":1},{"size":300}]}"#, "/inner/1/size"),
            (r#"{"inner":[{"size":1,"sise":2}]}"#, "/inner/0/sise"),
            (r#"{"inner":[{}]}"#, "/inner/0/size"),
            (r#"{"outer":1}"#, "/outer"),
            (r#"{}"#, "/inner"),
            (r#"{"inner":7}"#, "/inner"),
            (r#"[]"#, ""),
            (r#"{"inner":[{"size":1e999}]}"#, "/inner/0/size"),
        ] {
            let problem = from_json::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, Code::InvalidRequest, "{body}");
            assert_eq!(problem.errors[0].pointer, pointer, "{body}: {problem:?}");
            assert!(!problem.detail.contains("line"), "{}", problem.detail);
        }
    }

    #[test]
    fn what_is_not_json_is_a_400() {
        for body in ["", " ", "{", "{\"inner\":[{\"size\":1},]}", "{\"inner\":7", "{} {}", "nope"] {
            let problem = from_json::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, Code::InvalidJson, "{body}");
        }
    }
}
