//! The program itself, as its users start it, and the model it is asked for.

use crate::client;
use crate::formats;
use crate::rows::Row;
use crate::server::Server;
use crate::wire;
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;

/// The model every contestant serves: 784 inputs, 256 hidden units, 10 classes.
pub const MODEL: &str = "digits";

/// With the settings it comes with. What it logs goes to a file in the data folder.
pub fn start(data_dir: &Path) -> Result<Server, String> {
    start_with(data_dir, &[])
}

/// With others.
pub fn start_with(data_dir: &Path, settings: &[&str]) -> Result<Server, String> {
    let log = File::create(data_dir.join("log")).map_err(|error| error.to_string())?;
    Server::start(Server::lethe(data_dir).arg("serve").args(settings).stderr(log))
}

/// Makes the model: what it costs to ask does not depend on how good it is.
pub fn train(address: &str) {
    let order = json!({ "mode": "standard", "dataset": "digits", "model": MODEL,
                        "hyperparameters": { "hidden": [256], "epochs": 1 } });
    let run = client::post(address, "/runs", &order, "prefer: wait=60\r\n");
    assert_eq!(run["status"], "succeeded", "{run}");
}

/// What it says to one row.
pub fn answer(address: &str, row: &Row) -> Result<String, String> {
    let answer = wire::ask(address, &formats::u8(row)).map_err(|error| error.to_string())?;
    String::from_utf8(answer).map_err(|error| error.to_string())
}

/// Writes the model to a file that ONNX Runtime reads.
pub fn export(address: &str, path: &Path) -> Result<(), String> {
    let request = wire::get(&format!("/models/{MODEL}/download?format=onnx"));
    let model = wire::ask(address, &request).map_err(|error| error.to_string())?;
    fs::write(path, model).map_err(|error| error.to_string())
}
