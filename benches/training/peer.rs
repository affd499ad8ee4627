//! A Python process that trains when told to (`benches/peers/peer.py`): a line of JSON in, a line out.

use crate::data::Images;
use crate::job::Job;
use lethe::nn::Recipe;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// Settings some machines make for an older BLAS; a current one is slowed down by them.
const UNFAIR: [&str; 2] = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"];

pub struct Peer {
    process: Child,
    /// Taken when the peer is to end: it reads until there is nothing left to read.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The rows it trains on.
    _folder: TempDir,
}

#[derive(Serialize)]
struct Order {
    batch: usize,
    epochs: u32,
    threads: usize,
    seed: u64,
}

#[derive(Deserialize)]
pub struct Answer {
    /// Of the training loop alone.
    pub seconds: f64,
    /// On the test rows.
    pub accuracy: f64,
}

impl Peer {
    /// The peer in `place`, started if there is none yet.
    pub fn started<'a>(
        place: &'a mut Option<Self>,
        name: &str,
        images: &Images,
    ) -> Result<&'a mut Self, String> {
        let peer = match place.take() {
            Some(peer) => peer,
            None => Self::start(name, images)?,
        };
        Ok(place.insert(peer))
    }

    fn start(name: &str, images: &Images) -> Result<Self, String> {
        let home = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        let python = home.join(".venv/bin/python");
        if !python.is_file() {
            return Err("the peers are not installed".to_owned());
        }
        let folder = images.export()?;
        let mut command = Command::new(python);
        command.arg(home.join("peer.py")).arg(name).arg(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        UNFAIR.iter().for_each(|setting| {
            command.env_remove(setting);
        });
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it was asked to be piped"));
        Ok(Self { process, orders, answers, _folder: folder })
    }

    /// Trains `standard` as `job` says, as far as the peer has such numbers; the rest is in `peer.py`.
    pub fn train(&mut self, job: &Job) -> Result<Answer, String> {
        let Recipe::Standard(recipe) = &job.recipe else { return Err("peers train `standard`".to_owned()) };
        let (batch, epochs, seed) = (recipe.batch_size, recipe.epochs, recipe.seed);
        let order = Order { batch, epochs, threads: job.threads, seed };
        let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
        let orders = self.orders.as_mut().expect("taken only when it is dropped");
        writeln!(orders, "{order}").map_err(|error| format!("the peer takes no orders: {error}"))?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|_| format!("the peer said {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.orders.take());
        // how it ended is of no interest any more
        let _ = self.process.wait();
    }
}
