//! Models taken home, and what they answer there.

use crate::python::python;
use crate::server::Server;
use serde_json::json;

#[tokio::test]
async fn a_few_lines_of_numpy_answer_what_the_server_answers() {
    let server = Server::start();
    server.train("m", "standard", &json!({ "hidden": [16], "epochs": 1 })).await;
    python("numpy_alone.py", &[&server.url, "m"]);
}
