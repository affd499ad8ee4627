//! How much memory the server has resident.

use crate::report::{Bar, Bars, Spread};
use crate::server::Server;
use crate::settings::Settings;
use std::time::Duration;

const NAME: &str = "resident memory";
const MOST_MB: f64 = 60.0;
/// After which a server has nothing left to do of its own accord.
const SETTLING: Duration = Duration::from_secs(1);

/// Of a server that has just been started and was asked for nothing.
pub fn idle(server: &Server, settings: &Settings, bars: &mut Bars) {
    if settings.wants(NAME) {
        std::thread::sleep(SETTLING);
        let resident = Spread::of([server.resident_mb()]);
        bars.judge(&format!("{NAME}, idle"), &resident, " MB", &Bar::AtMost(MOST_MB), 0.0);
    }
}

/// Of the same after whatever it was asked for.
pub fn later(server: &Server, settings: &Settings, when: &str) {
    if settings.wants(NAME) {
        println!("{NAME} of Lethe {when}: {:.1} MB", server.resident_mb());
    }
}
