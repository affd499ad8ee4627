//! What NumPy saves and loads, and rows streamed through one connection.

use crate::python::python;
use crate::server::Server;
use serde_json::json;

#[tokio::test]
async fn arrays_go_in_and_out_as_numpy_saves_them_and_lines_are_answered_while_they_are_sent() {
    let server = Server::start();
    server.train("m", "standard", &json!({ "hidden": [16], "epochs": 1 })).await;
    python("formats.py", &[&server.url, "m"]);
}
