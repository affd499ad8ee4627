//! Every error the interface can answer with, as RFC 9457 problem documents.
//!
//! A handler returns a [`Problem`]; `frame` writes the body (it knows the request id) and logs the cause.

use super::v2;
use crate::artifacts::ArtifactError;
use crate::data::DataError;
use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

macro_rules! codes {
    ($($variant:ident $name:literal $status:ident $title:literal,)*) => {
        /// The stable `code` of a problem.
        ///
        /// This table is the only place that pairs a code with its status; the API description is made from it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }
    };
}

codes! {
    InvalidJson          "invalid_json"           BAD_REQUEST            "The body is not JSON",
    InvalidParameter     "invalid_parameter"      BAD_REQUEST            "A parameter of the address cannot be read",
    InvalidHeader        "invalid_header"         BAD_REQUEST            "A header cannot be read",
    InvalidCursor        "invalid_cursor"         BAD_REQUEST            "The cursor is not a position in this list",
    BadRequest           "bad_request"            BAD_REQUEST            "The request cannot be read",
    RouteNotFound        "route_not_found"        NOT_FOUND              "There is nothing at this address",
    RunNotFound          "run_not_found"          NOT_FOUND              "There is no such run",
    ReportNotFound       "report_not_found"       NOT_FOUND              "The run has no report",
    LossesNotFound       "losses_not_found"       NOT_FOUND              "The run has no losses of its samples",
    ModelNotFound        "model_not_found"        NOT_FOUND              "There is no such model or version",
    AliasNotFound        "alias_not_found"        NOT_FOUND              "There is no such alias",
    DatasetNotFound      "dataset_not_found"      NOT_FOUND              "There is no such dataset",
    RowNotFound          "row_not_found"          NOT_FOUND              "There is no such row",
    WebhookNotFound      "webhook_not_found"      NOT_FOUND              "There is no such webhook",
    MethodNotAllowed     "method_not_allowed"     METHOD_NOT_ALLOWED     "The method does not apply here",
    NotAcceptable        "not_acceptable"         NOT_ACCEPTABLE         "None of the accepted types can be made",
    RequestTimeout       "request_timeout"        REQUEST_TIMEOUT        "The request took too long",
    RunTerminal          "run_terminal"           CONFLICT               "The run has already ended",
    WrongState           "wrong_state"            CONFLICT               "The run is not in a state for that",
    NoCheckpoint         "no_checkpoint"          CONFLICT               "The run has nothing to begin from",
    RunNotTerminal       "run_not_terminal"       CONFLICT               "The run has not ended yet",
    DatasetNotLocal      "dataset_not_local"      CONFLICT               "The dataset has not been downloaded yet",
    IdempotencyKeyInUse  "idempotency_key_in_use" CONFLICT               "The first request with this key is at work",
    WeightsDamaged       "weights_damaged"        CONFLICT               "The version's weights are damaged",
    TooManyWebhooks      "too_many_webhooks"      CONFLICT               "There are as many webhooks as there may be",
    VersionRevoked       "version_revoked"        GONE                   "The version was revoked",
    PayloadTooLarge      "payload_too_large"      PAYLOAD_TOO_LARGE      "The body is too large",
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The body's type cannot be read",
    InvalidRequest       "invalid_request"        UNPROCESSABLE_ENTITY   "The request asks for something impossible",
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY   "The key stands for another request",
    Internal             "internal"               INTERNAL_SERVER_ERROR  "Something went wrong here",
    DatasetUnavailable   "dataset_unavailable"    SERVICE_UNAVAILABLE    "The dataset cannot be had",
    Unavailable          "unavailable"            SERVICE_UNAVAILABLE    "The server cannot answer now",
    Overloaded           "overloaded"             SERVICE_UNAVAILABLE    "The server has too much to do",
    StorageFull          "storage_full"           INSUFFICIENT_STORAGE   "The server's disk is full",
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body (`/hyperparameters/epochs`), `?name` of a query parameter,
    /// `{name}` of a path parameter or the name of a header.
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "`{}` {}", self.pointer, self.detail)
        }
    }
}

/// What a handler returns when it cannot answer.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<FieldError>,
    /// Further members of the body, such as `replacement`.
    pub members: Map<String, Value>,
    pub retry_after_s: Option<u32>,
    /// Logged, never answered.
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            retry_after_s: None,
            cause: None,
        }
    }

    /// The fields that must change, all at once.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::InvalidRequest, "") }.summarised()
    }

    /// One query or path parameter that must change.
    pub fn parameter(pointer: &str, detail: impl Into<String>) -> Self {
        let errors = vec![FieldError::new(pointer, detail)];
        Self { errors, ..Self::new(Code::InvalidParameter, "") }.summarised()
    }

    pub fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        let problem = Self::new(
            Code::Internal,
            "an error inside the server; its log has the cause under this `request_id`",
        );
        Self { cause: Some(Arc::new(cause)), ..problem }
    }

    pub fn storage_full(cause: impl Error + Send + Sync + 'static) -> Self {
        let detail = "the server's disk is full; nothing was changed";
        Self::new(Code::StorageFull, detail).retry_after(60).caused_by(cause)
    }

    pub fn run_not_found(id: impl fmt::Display) -> Self {
        Self::new(Code::RunNotFound, format!("run `{id}` does not exist; `GET /runs` lists those that do"))
    }

    pub fn model_not_found(reference: impl fmt::Display) -> Self {
        let detail = format!("model `{reference}` does not exist; `GET /models` lists those that do");
        Self::new(Code::ModelNotFound, detail)
    }

    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn caused_by(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Arc::new(cause)), ..self }
    }

    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// Makes `detail` from the errors.
    fn summarised(mut self) -> Self {
        self.detail = match &self.errors[..] {
            [] => "the request is not valid".to_owned(),
            [one] => one.to_string(),
            many => format!("{} fields must change; see `errors`", many.len()),
        };
        self
    }

    /// Everything that is wrong, for those who read one text alone.
    fn in_one_text(&self) -> String {
        match &self.errors[..] {
            [] | [_] => self.detail.clone(),
            many => many.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; "),
        }
    }

    /// The body, as `application/problem+json`. To the addresses of the Open Inference Protocol it says
    /// what is wrong a second time, as that protocol wants it: in `error`.
    pub fn to_body(&self, instance: &str, request_id: &str) -> Vec<u8> {
        self.written(Some(instance), Some(request_id))
    }

    /// The same as part of an answer whose head has been sent: that says what was asked and under which id.
    pub fn to_part(&self) -> Vec<u8> {
        self.written(None, None)
    }

    fn written(&self, instance: Option<&str>, request_id: Option<&str>) -> Vec<u8> {
        let body = ProblemBody {
            r#type: format!("urn:lethe:problem:{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            instance,
            code: self.code.name(),
            errors: &self.errors,
            request_id,
            error: instance.is_some_and(v2::has).then(|| self.in_one_text()),
            members: &self.members,
        };
        serde_json::to_vec(&body).expect("a problem has string keys only")
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'a str,
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Storage failed in a way the request is not to blame for. "Not found" is the caller's to name.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => {
                Self::new(Code::Unavailable, "the database does not answer; try again in a moment")
                    .retry_after(2)
                    .caused_by(error)
            }
            StoreError::Busy | StoreError::Gone(_) => {
                Self::new(Code::Unavailable, "the database cannot be written to; try again in a moment")
                    .retry_after(2)
                    .caused_by(error)
            }
            StoreError::Full => Self::storage_full(error),
            other => Self::internal(other),
        }
    }
}

impl From<ArtifactError> for Problem {
    fn from(error: ArtifactError) -> Self {
        match &error {
            ArtifactError::Io(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                Self::storage_full(error)
            }
            _ => Self::internal(error),
        }
    }
}

impl From<DataError> for Problem {
    fn from(error: DataError) -> Self {
        match &error {
            DataError::Unknown(_) => Self::new(Code::DatasetNotFound, error.to_string()),
            DataError::Damaged { .. } => Self::new(
                Code::DatasetUnavailable,
                "the dataset's files on the server are damaged; its log names the file to replace",
            )
            .caused_by(error),
            DataError::Unavailable(detail) => {
                Self::new(Code::DatasetUnavailable, detail.clone()).retry_after(60)
            }
            DataError::Changed { .. } => Self::new(Code::DatasetUnavailable, error.to_string()),
            DataError::Canceled | DataError::Io(_) => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_have_distinct_names() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn an_internal_cause_is_not_answered() {
        let problem = Problem::internal(std::io::Error::other("password=hunter2"));
        let body = String::from_utf8(problem.to_body("/runs", "r1")).unwrap();
        assert!(!body.contains("hunter2"), "{body}");
        assert!(body.contains(r#""request_id":"r1""#), "{body}");
    }

    #[test]
    fn the_open_inference_protocol_is_told_everything_in_one_text() {
        let problem =
            Problem::invalid(vec![FieldError::new("/a", "must be 1"), FieldError::new("", "must be 2")]);
        for (instance, error) in
            [("/v2/models/m/infer", "`/a` must be 1; must be 2".into()), ("/v20", Value::Null)]
        {
            let body: Value = serde_json::from_slice(&problem.to_body(instance, "r1")).unwrap();
            assert_eq!(body["error"], error, "{instance}");
        }
    }

    #[test]
    fn several_errors_are_summed_up_and_listed() {
        let problem =
            Problem::invalid(vec![FieldError::new("/a", "must be 1"), FieldError::new("/b", "must be 2")]);
        let body: Value = serde_json::from_slice(&problem.to_body("/runs", "r1")).unwrap();
        assert_eq!(body["detail"], "2 fields must change; see `errors`");
        assert_eq!(body["errors"][1]["pointer"], "/b");
        assert_eq!(body["status"], 422);
    }
}
