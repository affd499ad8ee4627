//! From starting the process to its first answer.

use crate::lethe;
use crate::machine::Neighbours;
use crate::report::{Bar, Bars, Spread};
use crate::rows::Row;
use crate::settings::Settings;
use crate::{formats, wire};
use std::path::Path;
use std::time::Instant;

const NAME: &str = "start to first answer";
const TIMES: usize = 11;
const MOST_MS: f64 = 300.0;

/// On a data folder that has the model, which nobody has asked for yet.
pub fn measure(data_dir: &Path, row: &Row, settings: &Settings, bars: &mut Bars) -> Result<(), String> {
    if !settings.wants(NAME) {
        return Ok(());
    }
    let request = formats::u8(row);
    let neighbours = Neighbours::watch();
    let mut taken = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let server = lethe::start(data_dir)?;
        wire::ask(&server.address, &request).map_err(|error| error.to_string())?;
        taken.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let others = neighbours.cores().unwrap_or(0.0);
    bars.judge(NAME, &Spread::of(taken), " ms", &Bar::AtMost(MOST_MS), others);
    Ok(())
}
