//! Latency on one connection and answers a second on many, contestants in turn.

use crate::contestant::Contestant;
use crate::load::Figures;
use crate::machine::Neighbours;
use crate::report::{Bar, Bars, Spread};
use crate::settings::Settings;

pub const NOOP: &str = "axum, no-op";
pub const LETHE_U8: &str = "Lethe, u8";
/// The faster of its two, which the bar is for.
pub const FASTAPI_U8: &str = "FastAPI + ONNX Runtime, u8";
/// As most of its users have it.
pub const FASTAPI_JSON: &str = "FastAPI + ONNX Runtime, JSON";
/// What the others are held against.
const MEASURES: [&str; 3] = [NOOP, FASTAPI_U8, FASTAPI_JSON];

/// Connections that keep every contestant busy.
const MANY: usize = 32;
/// Times the no-op's median latency.
const MOST_LATENCY: f64 = 1.7;
/// Of the no-op's answers a second, in percent.
const LEAST_SHARE: f64 = 70.0;
/// Times FastAPI's answers a second.
const LEAST_LEAD: f64 = 15.0;

/// A contestant's rounds.
struct Series<'a> {
    contestant: &'a Contestant,
    /// On one connection.
    alone: Vec<Figures>,
    /// On many.
    crowd: Vec<Figures>,
    /// Cores others used meanwhile, the most of it.
    others: f64,
}

/// Whether a row is measured, for its own sake or for that of others.
pub fn needs(name: &str, settings: &Settings) -> bool {
    settings.wants(name) || MEASURES.contains(&name)
}

pub fn measure(contestants: &[Contestant], settings: &Settings, bars: &mut Bars) -> Result<(), String> {
    let wanted = |contestant: &&Contestant| settings.wants(contestant.name);
    if !contestants.iter().any(|contestant| wanted(&contestant)) {
        return Ok(());
    }
    // without what they are held against, rows would say little
    let chosen = contestants
        .iter()
        .filter(|contestant| wanted(contestant) || contestant.name == NOOP || contestant.name == FASTAPI_U8);
    let start = |contestant| Series { contestant, alone: Vec::new(), crowd: Vec::new(), others: 0.0 };
    let mut series: Vec<Series<'_>> = chosen.map(start).collect();
    for round in 0..settings.rounds {
        // whoever comes first in one round comes last in the next
        series.rotate_left(usize::from(round > 0));
        for one in &mut series {
            let figures = one.watched(|contestant| contestant.load(1, settings.time))?;
            one.alone.push(figures);
        }
        for one in &mut series {
            let figures = one.watched(|contestant| contestant.load(MANY, settings.time))?;
            one.crowd.push(figures);
        }
    }
    series.sort_by_key(|one| contestants.iter().position(|other| other.name == one.contestant.name));
    print(&series, settings);
    judge(&series, bars);
    Ok(())
}

impl Series<'_> {
    fn watched(
        &mut self,
        load: impl FnOnce(&Contestant) -> Result<Figures, String>,
    ) -> Result<Figures, String> {
        let neighbours = Neighbours::watch();
        let figures = load(self.contestant)?;
        self.others = self.others.max(neighbours.cores().unwrap_or(0.0));
        Ok(figures)
    }

    /// Median latency as a multiple of another's, round by round.
    fn latency_to(&self, other: &Self) -> Spread {
        Spread::of(self.alone.iter().zip(&other.alone).map(|(ours, theirs)| ours.p50_us / theirs.p50_us))
    }

    /// Answers a second as a multiple of another's, round by round.
    fn paces_to(&self, other: &Self) -> impl Iterator<Item = f64> {
        self.crowd.iter().zip(&other.crowd).map(|(ours, theirs)| ours.per_second / theirs.per_second)
    }

    fn pace_to(&self, other: &Self) -> Spread {
        Spread::of(self.paces_to(other))
    }
}

fn find<'a, 'b>(series: &'a [Series<'b>], name: &str) -> Option<&'a Series<'b>> {
    series.iter().find(|one| one.contestant.name == name)
}

fn print(series: &[Series<'_>], settings: &Settings) {
    let (rounds, seconds) = (settings.rounds, settings.time.as_secs());
    println!(
        "medians of {rounds} rounds of {seconds} s, lowest and highest beside them; ratios within a round"
    );
    println!(
        "\n{:28} {:>22} {:>24} {:>26} {:>18} {:>18} {:>20} {:>20} {:>6}",
        "",
        "p50, 1 connection, µs",
        "p99, µs",
        "requests/s, 32 connections",
        "p50 : no-op",
        "req/s : no-op",
        "req/s : FastAPI, u8",
        "req/s : its JSON",
        "others"
    );
    for one in series {
        let ratio = |name, ratio: fn(&Series<'_>, &Series<'_>) -> Spread| match find(series, name) {
            Some(other) => ratio(one, other).to_string(),
            None => String::new(),
        };
        println!(
            "{:28} {:>22.1} {:>24.1} {:>26.0} {:>18} {:>18} {:>20} {:>20} {:>6.2}",
            one.contestant.name,
            Spread::of(one.alone.iter().map(|figures| figures.p50_us)),
            Spread::of(one.alone.iter().map(|figures| figures.p99_us)),
            Spread::of(one.crowd.iter().map(|figures| figures.per_second)),
            ratio(NOOP, |one, noop| one.latency_to(noop)),
            ratio(NOOP, |one, noop| one.pace_to(noop)),
            ratio(FASTAPI_U8, |one, peer| one.pace_to(peer)),
            ratio(FASTAPI_JSON, |one, peer| one.pace_to(peer)),
            one.others
        );
    }
}

fn judge(series: &[Series<'_>], bars: &mut Bars) {
    let (Some(lethe), Some(noop)) = (find(series, LETHE_U8), find(series, NOOP)) else { return };
    let others = lethe.others.max(noop.others);
    let bar = Bar::AtMost(MOST_LATENCY);
    bars.judge("p50 of u8, in times the no-op's", &lethe.latency_to(noop), "x", &bar, others);
    let percent = Spread::of(lethe.paces_to(noop).map(|share| 100.0 * share));
    bars.judge("requests/s of u8, of the no-op's", &percent, " %", &Bar::AtLeast(LEAST_SHARE), others);
    let name = "requests/s of u8, in times FastAPI's with u8";
    match find(series, FASTAPI_U8) {
        Some(peer) => {
            let others = others.max(peer.others);
            bars.judge(name, &lethe.pace_to(peer), "x", &Bar::AtLeast(LEAST_LEAD), others);
        }
        None => bars.leave_out(name, "it is not here"),
    }
}
