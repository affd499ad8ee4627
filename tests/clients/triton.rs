//! The Open Inference Protocol, as Triton's client speaks it.

use crate::python::python;
use crate::server::Server;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn tritons_client_works_unmodified() {
    let server = Server::start();
    for width in [8, 12, 16] {
        server.train("m", "standard", &json!({ "hidden": [width], "epochs": 1 })).await;
    }
    server.send(Method::PUT, "/models/m/aliases/prod", &json!({ "version": 2 })).await;
    server.send(Method::POST, "/models/m/versions/1/revoke", &json!({ "replacement": 2 })).await;
    python("triton.py", &[&server.url, "m"]);
}
