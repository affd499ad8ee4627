//! The description is the interface, and the committed file is the description.

use crate::support::TestApp;
use lethe::http::Code;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::to_value(lethe::http::document()).unwrap()
}

#[test]
fn the_committed_file_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == lethe::http::openapi_yaml(),
        "openapi.yaml is out of date; run `cargo run -- openapi > openapi.yaml`"
    );
}

/// Everything the interface has; a route that is added or lost must be added or removed here as well.
const OPERATIONS: [&str; 57] = [
    "DELETE /models/{name}/aliases/{alias} delete_alias",
    "DELETE /runs/{id} delete_run",
    "DELETE /webhooks/{id} delete_webhook",
    "GET /datasets list_datasets",
    "GET /datasets/{name} get_dataset",
    "GET /datasets/{name}/checks get_dataset_checks",
    "GET /datasets/{name}/rows/{row} get_dataset_row",
    "GET /events get_events",
    "GET /livez get_livez",
    "GET /metrics get_metrics",
    "GET /models list_models",
    "GET /models/{name} get_model",
    "GET /models/{name}/versions/{v} get_version",
    "GET /models/{ref}/download download_model",
    "GET /modes list_modes",
    "GET /openapi.yaml get_openapi",
    "GET /readyz get_readyz",
    "GET /runs list_runs",
    "GET /runs/{id} get_run",
    "GET /runs/{id}/chart.svg get_run_chart",
    "GET /runs/{id}/checkpoints list_checkpoints",
    "GET /runs/{id}/events get_run_events",
    "GET /runs/{id}/losses get_run_losses",
    "GET /runs/{id}/metrics get_run_metrics",
    "GET /runs/{id}/report get_run_report",
    "GET /unlearn/methods list_unlearn_methods",
    "GET /v2 get_v2_server",
    "GET /v2/health/live get_v2_live",
    "GET /v2/health/ready get_v2_ready",
    "GET /v2/models/{name}/versions/{v} get_v2_version",
    "GET /v2/models/{name}/versions/{v}/config get_v2_version_config",
    "GET /v2/models/{name}/versions/{v}/ready get_v2_version_ready",
    "GET /v2/models/{ref} get_v2_model",
    "GET /v2/models/{ref}/config get_v2_model_config",
    "GET /v2/models/{ref}/ready get_v2_model_ready",
    "GET /version get_version_info",
    "GET /webhooks list_webhooks",
    "GET /webhooks/{id} get_webhook",
    "GET /webhooks/{id}/deliveries list_deliveries",
    "POST /audits create_audit",
    "POST /diagnoses create_diagnosis",
    "POST /models import_model",
    "POST /models/{name}/versions/{v}/revoke revoke_version",
    "POST /models/{ref}/predict predict_model",
    "POST /predict predict",
    "POST /runs create_run",
    "POST /runs/{id}/cancel cancel_run",
    "POST /runs/{id}/fork fork_run",
    "POST /runs/{id}/pause pause_run",
    "POST /runs/{id}/resume resume_run",
    "POST /unlearn create_unlearn",
    "POST /v2/models/{name}/versions/{v}/infer infer_version",
    "POST /v2/models/{ref}/infer infer",
    "POST /v2/repository/index list_v2_index",
    "POST /webhooks create_webhook",
    "POST /webhooks/{id}/test test_webhook",
    "PUT /models/{name}/aliases/{alias} put_alias",
];

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[test]
fn the_description_has_exactly_the_operations_there_are() {
    let described: BTreeSet<String> = operations(&document())
        .into_iter()
        .map(|(method, path, operation)| {
            format!("{method} {path} {}", operation["operationId"].as_str().unwrap())
        })
        .collect();
    let expected: BTreeSet<String> = OPERATIONS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(described, expected);
}

#[tokio::test]
async fn every_described_operation_is_routed() {
    let app = TestApp::start().await;
    for (method, path, _) in operations(&document()) {
        let path = path
            .replace("{id}", "00000000-0000-7000-8000-000000000000")
            .replace("{row}", "0")
            .replace("{v}", "1")
            .replace("{ref}", "nobody")
            .replace("{name}", "nobody")
            .replace("{alias}", "nobody");
        // as a stream, the events of all runs have no end
        let request = axum::http::Request::builder()
            .method(method.as_str())
            .uri(&path)
            .header("accept", "application/json");
        let answer = app.send(request.body(axum::body::Body::empty()).unwrap()).await;
        let is_problem = answer.header("content-type") == "application/problem+json";
        assert!(!(is_problem && answer.text().contains("route_not_found")), "{method} {path} is not routed");
        assert_ne!(answer.status, 405, "{method} {path} is not routed");
        assert!(answer.status < 500, "{method} {path}: {}", answer.text());
    }
}

#[test]
fn every_code_is_described_under_its_own_status() {
    let document = document();
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(listed, &json!(names));
    for (method, path, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let description = answer["description"].as_str().unwrap_or_default();
            for code in Code::ALL {
                if description.contains(&format!("`{}`:", code.name())) {
                    assert_eq!(status, code.status().as_str(), "{} at {method} {path}", code.name());
                }
            }
        }
    }
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn check(value: &Value, document: &Value, n_checked: &mut usize) {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{target} is missing");
                    *n_checked += 1;
                }
                members.values().for_each(|member| check(member, document, n_checked));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, document, n_checked)),
            _ => {}
        }
    }
    let document = document();
    let mut n_checked = 0;
    check(&document, &document, &mut n_checked);
    assert!(n_checked > 50, "{n_checked}");
}

#[tokio::test]
async fn the_description_and_its_reader_are_served() {
    let app = TestApp::start().await;
    let yaml = app.get("/openapi.yaml").await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert_eq!(yaml.text(), lethe::http::openapi_yaml());
    assert_eq!(app.get("/docs").await.status, 303);
    let page = app.get("/docs/").await.text();
    assert!(page.contains("swagger-ui"), "{page}");
    for asset in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        let answer = app.get(&format!("/docs/{asset}")).await;
        assert_eq!(answer.status, 200, "{asset}");
        if asset == "swagger-initializer.js" {
            assert!(answer.text().contains("/openapi.yaml"), "{}", answer.text());
            // the reader's own choice is a badge from a public validator, told where this server is
            assert!(answer.text().contains(r#""validatorUrl": "none""#), "{}", answer.text());
        }
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "the page must work offline: {page}");
}

#[test]
fn methods_have_the_names_one_orders_them_by() {
    let described = &document()["components"]["schemas"]["MethodName"]["enum"];
    let names: Vec<&str> = lethe::unlearn::MethodName::ALL.iter().map(|method| method.name()).collect();
    assert_eq!(*described, json!(names));
}

#[tokio::test]
async fn a_run_of_either_kind_has_the_members_the_description_names() {
    let app = TestApp::start().await;
    let trained = app.train("digits", 1).await;
    let order = json!({ "model": "digits", "forget": { "class": 3 }, "method": "reset_last" });
    let unlearned = app.finish("/unlearn", &order).await;
    let schema = &document()["components"]["schemas"]["RunView"];
    assert_eq!(schema["type"], "object", "{schema}");
    let required: Vec<&str> =
        schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for run in [trained, unlearned] {
        for member in &required {
            assert!(run.get(member).is_some(), "`{member}` is required, but not in {run}");
        }
        for member in run.as_object().unwrap().keys() {
            assert!(schema["properties"].get(member).is_some(), "`{member}` is not described");
        }
    }
}

#[tokio::test]
async fn the_first_page_and_its_files_are_served() {
    let app = TestApp::start().await;
    for asset in lethe::http::dashboard::ASSETS {
        let answer = app.get(asset.path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, asset.content_type));
        assert_eq!(answer.body, asset.body);
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    }
    app.post("/", &json!({})).await.problem(405, "method_not_allowed");
}
