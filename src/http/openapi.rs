//! The description of the interface: made from the handlers, completed with what every address shares.

use super::error::Code;
use super::idempotency;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{
    Info, License, OpenApi, Paths, Ref, RefOr, Required, Response as Answer, ResponseBuilder,
};

const PROBLEM: &str = "Problem";
const PROBLEM_JSON: &str = "application/problem+json";

/// What an empty description starts from.
pub fn base() -> OpenApi {
    let mut info = Info::new("Lethe", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Trains neural-network classifiers on request, streams their progress, serves predictions, and makes \
         models forget, with measured evidence of how well.\n\nEvery error is an RFC 9457 problem document with \
         a stable `code`. An unknown address is `route_not_found` (404), a wrong method `method_not_allowed` \
         (405). Every answer carries `x-request-id`; a request may bring its own.\n\nEvery `POST` that changes \
         something takes an `Idempotency-Key`: sent again, it is not done again."
            .to_owned(),
    );
    info.license = Some(License::new("MIT OR Apache-2.0"));
    OpenApi::new(info, Paths::new())
}

/// Adds the problem document and, to each operation, the problems it can answer with.
pub fn complete(mut document: OpenApi) -> OpenApi {
    document.components.get_or_insert_default().schemas.insert(PROBLEM.to_owned(), problem_schema());
    for item in document.paths.paths.values_mut() {
        item.post.as_mut().filter(|operation| changes_something(operation)).map(add_key);
        for operation in operations_mut(item) {
            add_problems(operation);
        }
    }
    document
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// These are `POST` for their bodies' sake: sent again, they answer the same again.
const ONLY_READ: [&str; 5] = ["predict", "predict_model", "infer", "infer_version", "list_v2_index"];

fn changes_something(operation: &Operation) -> bool {
    operation.operation_id.as_deref().is_some_and(|id| !ONLY_READ.contains(&id))
}

fn add_key(operation: &mut Operation) {
    let parameter = ParameterBuilder::new()
        .name(idempotency::HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A string of 1 to 255 printable ASCII characters, new for each request. For 24 hours (or until 10,000 newer \
             ones have come) the same request under it is not done again but answered as before, with \
             `Idempotency-Replayed: true`.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

fn is_key(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.name == idempotency::HEADER)
}

fn add_problems(operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in problems_of(operation) {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let lines: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.name(), code.title())).collect();
        let answer = problem_answer(&lines.join("; "));
        operation.responses.responses.insert(status.to_string(), RefOr::T(answer));
    }
}

fn problem_answer(description: &str) -> Answer {
    let content = utoipa::openapi::ContentBuilder::new()
        .schema(Some(RefOr::Ref(Ref::from_schema_name(PROBLEM))))
        .build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

/// The problems of an operation: those of its own, and those of its shape.
fn problems_of(operation: &Operation) -> Vec<Code> {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let own = OWN_PROBLEMS.iter().find(|(name, _)| *name == id).map_or(&[][..], |(_, codes)| codes);
    let mut codes = own.to_vec();
    codes.extend([Code::RequestTimeout, Code::Internal, Code::Unavailable]);
    if WRITES.contains(&id) {
        codes.push(Code::StorageFull);
    }
    if operation.request_body.is_some() {
        codes.extend([
            Code::BadRequest,
            Code::InvalidJson,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
            Code::Overloaded,
        ]);
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    if parameters.iter().any(|parameter| !is_key(parameter)) {
        codes.push(Code::InvalidParameter);
    }
    if parameters.iter().any(is_key) {
        codes.extend([
            Code::BadRequest,
            Code::InvalidHeader,
            Code::PayloadTooLarge,
            Code::IdempotencyKeyInUse,
            Code::IdempotencyKeyReused,
        ]);
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// What changes something on the disk.
const WRITES: &[&str] = &[
    "create_run",
    "delete_run",
    "cancel_run",
    "pause_run",
    "resume_run",
    "fork_run",
    "create_unlearn",
    "create_audit",
    "create_diagnosis",
    "import_model",
    "revoke_version",
    "put_alias",
    "delete_alias",
];

/// By operation, what only it (and its like) can answer.
const OWN_PROBLEMS: &[(&str, &[Code])] = &[
    ("create_run", &[Code::InvalidHeader, Code::DatasetUnavailable]),
    ("list_runs", &[Code::InvalidCursor]),
    ("get_run", &[Code::RunNotFound]),
    ("delete_run", &[Code::RunNotFound, Code::RunNotTerminal]),
    ("cancel_run", &[Code::RunNotFound, Code::RunTerminal]),
    ("pause_run", &[Code::RunNotFound, Code::WrongState]),
    ("resume_run", &[Code::RunNotFound, Code::WrongState]),
    ("list_checkpoints", &[Code::RunNotFound]),
    ("get_run_losses", &[Code::RunNotFound, Code::LossesNotFound, Code::NotAcceptable]),
    (
        "fork_run",
        &[
            Code::RunNotFound,
            Code::NoCheckpoint,
            Code::InvalidHeader,
            Code::DatasetNotFound,
            Code::DatasetUnavailable,
        ],
    ),
    ("get_run_events", &[Code::RunNotFound, Code::InvalidCursor, Code::NotAcceptable]),
    ("get_events", &[Code::RunNotFound, Code::InvalidCursor, Code::NotAcceptable]),
    ("get_run_metrics", &[Code::RunNotFound, Code::NotAcceptable]),
    ("get_run_report", &[Code::RunNotFound, Code::ReportNotFound]),
    ("get_run_chart", &[Code::RunNotFound]),
    ("get_dataset", &[Code::DatasetNotFound, Code::DatasetUnavailable]),
    (
        "get_dataset_row",
        &[
            Code::DatasetNotFound,
            Code::RowNotFound,
            Code::DatasetNotLocal,
            Code::DatasetUnavailable,
            Code::NotAcceptable,
        ],
    ),
    ("get_dataset_checks", &[Code::DatasetNotFound, Code::DatasetNotLocal, Code::DatasetUnavailable]),
    ("get_model", &[Code::ModelNotFound]),
    ("get_version", &[Code::ModelNotFound, Code::WeightsDamaged]),
    ("revoke_version", &[Code::ModelNotFound, Code::WeightsDamaged]),
    ("put_alias", OF_A_VERSION),
    ("delete_alias", &[Code::ModelNotFound, Code::AliasNotFound]),
    ("download_model", OF_A_VERSION),
    ("predict", PREDICTION),
    ("predict_model", PREDICTION),
    ("get_v2_model", OF_A_VERSION),
    ("get_v2_version", OF_A_VERSION),
    ("get_v2_model_ready", OF_A_VERSION),
    ("get_v2_version_ready", OF_A_VERSION),
    ("get_v2_model_config", OF_A_VERSION),
    ("get_v2_version_config", OF_A_VERSION),
    ("infer", INFERENCE),
    ("infer_version", INFERENCE),
    ("create_webhook", &[Code::TooManyWebhooks]),
    ("get_webhook", &[Code::WebhookNotFound]),
    ("delete_webhook", &[Code::WebhookNotFound]),
    ("test_webhook", &[Code::WebhookNotFound]),
    ("list_deliveries", &[Code::WebhookNotFound, Code::InvalidCursor]),
    ("create_unlearn", OF_A_VERSIONS_ROWS),
    ("create_audit", OF_A_VERSIONS_ROWS),
    ("create_diagnosis", &[Code::InvalidHeader, Code::DatasetUnavailable]),
];

/// A version that is asked about itself, or put to use.
const OF_A_VERSION: &[Code] = &[Code::ModelNotFound, Code::VersionRevoked, Code::WeightsDamaged];

const PREDICTION: &[Code] =
    &[Code::ModelNotFound, Code::NotAcceptable, Code::VersionRevoked, Code::WeightsDamaged];

/// The Open Inference Protocol's.
const INFERENCE: &[Code] = &[
    Code::ModelNotFound,
    Code::VersionRevoked,
    Code::WeightsDamaged,
    Code::InvalidHeader,
    Code::NotAcceptable,
];

/// Work on a version and rows of its data.
const OF_A_VERSIONS_ROWS: &[Code] = &[
    Code::InvalidHeader,
    Code::ModelNotFound,
    Code::VersionRevoked,
    Code::DatasetNotFound,
    Code::DatasetUnavailable,
];

fn problem_schema() -> RefOr<Schema> {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    let schema = json!({
        "type": "object",
        "description": "RFC 9457 problem document. Some codes add members: `version_revoked` has `replacement`, \
                        conflicts have `run_status`, `wrong_state` also \
                        `allowed_from`.",
        "required": ["type", "title", "status", "detail", "instance", "code", "errors", "request_id"],
        "properties": {
            "type": { "type": "string", "description": "`urn:lethe:problem:` and the code" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What to change, for people" },
            "instance": { "type": "string", "description": "The address asked" },
            "code": { "type": "string", "enum": codes, "description": "Stable, for programs" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": { "type": "string",
                                 "description": "JSON pointer into the body, `?name` of a query parameter or `{name}` of a path parameter" },
                    "detail": { "type": "string", "description": "What to change" } } } },
            "request_id": { "type": "string", "description": "As in `x-request-id` and the server's log" },
            "error": { "type": "string", "description": "Under `/v2` alone: what to change, in one text" },
        },
    });
    RefOr::T(serde_json::from_value(schema).expect("a valid schema"))
}

static YAML: LazyLock<String> =
    LazyLock::new(|| super::document().to_yaml().expect("the description is plain data"));

/// The description as YAML: the same bytes as the committed `openapi.yaml`.
pub fn yaml() -> &'static str {
    &YAML
}

/// Read the description of this interface.
#[utoipa::path(get, path = "/openapi.yaml", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = String, content_type = "application/yaml")))]
pub async fn get_openapi() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/yaml")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, yaml()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn operations() -> Vec<Operation> {
        let mut document = super::super::document();
        document
            .paths
            .paths
            .values_mut()
            .flat_map(|item| operations_mut(item).map(|operation| operation.clone()).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn the_table_of_problems_names_operations_that_exist() {
        let ids: BTreeSet<_> =
            operations().into_iter().filter_map(|operation| operation.operation_id).collect();
        for (id, _) in OWN_PROBLEMS {
            assert!(ids.contains(*id), "{id}");
        }
    }

    #[test]
    fn every_code_belongs_to_some_operation() {
        let mut missing: BTreeSet<Code> = Code::ALL.iter().copied().collect();
        for operation in operations() {
            for code in problems_of(&operation) {
                missing.remove(&code);
            }
        }
        // no operation has been found yet when these are answered
        assert_eq!(missing, BTreeSet::from([Code::RouteNotFound, Code::MethodNotAllowed]));
    }

    #[test]
    fn every_operation_says_what_it_does() {
        for operation in operations() {
            let id = operation.operation_id.unwrap_or_default();
            assert!(operation.summary.is_some_and(|summary| !summary.is_empty()), "{id} has no summary");
            assert!(operation.tags.is_some_and(|tags| tags.len() == 1), "{id} has no tag");
        }
    }
}
