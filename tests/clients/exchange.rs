//! Models taken home and brought in, and what they answer.

use crate::python::python;
use crate::server::Server;
use serde_json::json;

#[tokio::test]
async fn onnx_runtime_and_numpy_answer_what_the_server_answers() {
    let server = Server::start();
    for (model, mode, hyperparameters) in [
        ("standard", "standard", json!({ "hidden": [24, 16], "epochs": 1 })),
        ("clipped", "nn", json!({ "hidden": [16], "epochs": 1 })),
        ("linear", "standard", json!({ "hidden": [], "epochs": 1 })),
        ("ensemble", "standard", json!({ "hidden": [8], "epochs": 1, "shards": 3 })),
    ] {
        server.train(model, mode, &hyperparameters).await;
        python("onnx_export.py", &[&server.url, model]);
        python("numpy_alone.py", &[&server.url, model]);
    }
}

#[tokio::test]
async fn a_network_made_with_numpy_is_served() {
    python("numpy_import.py", &[&Server::start().url]);
}
