//! Python's servers, each in processes of its own; what they run is in `peers/`.

use crate::formats::{self, Format};
use crate::server::Server;
use crate::speed::{FASTAPI_JSON, FASTAPI_U8};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `make bench-serve` installs them.
const PYTHON: &str = "target/serving-peers/bin/python";

pub struct Peer {
    script: &'static str,
    pub about: &'static str,
    pub rows: &'static [(&'static str, Format)],
}

pub const ALL: [Peer; 2] = [
    Peer {
        script: "with_fastapi.py",
        about: "FastAPI + ONNX Runtime: uvicorn with uvloop and httptools, one worker, no access log; one thread",
        rows: &[(FASTAPI_U8, formats::fastapi_u8), (FASTAPI_JSON, formats::fastapi_json)],
    },
    Peer {
        script: "with_litserve.py",
        about: "LitServe + ONNX Runtime: one worker with the fast queue, one HTTP server, no batching, no access log",
        rows: &[("LitServe, JSON", formats::litserve_json)],
    },
];

impl Peer {
    /// Serves the model in a file of ONNX's format. What it logs goes to a file beside that.
    pub fn start(&self, model: &Path) -> Result<Server, String> {
        let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = home.join(PYTHON);
        if !python.is_file() {
            return Err("the peers are not installed".to_owned());
        }
        let script = home.join("benches/serving/peers").join(self.script);
        // beside the model, and without files of compiled code beside the scripts
        let log_path = model.with_file_name(self.script).with_extension("log");
        let log = File::create(&log_path).map_err(|error| error.to_string())?;
        let mut command = Command::new(python);
        command.arg("-B").arg(script).arg(model).stdin(Stdio::piped()).stderr(log);
        Server::start(&mut command).map_err(|error| {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            format!("{error}, {}", log.lines().last().unwrap_or("without a word in its log"))
        })
    }
}
