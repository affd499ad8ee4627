//! Latency on one connection and answers a second on many, contestants in turn.

use crate::contestant::Contestant;
use crate::load::Figures;
use crate::machine::Neighbours;
use crate::report::{Bar, Bars, MOST_OTHERS, Spread};
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
    turns: Vec<Turn>,
}

/// A contestant's part of a round.
struct Turn {
    /// On one connection.
    alone: Figures,
    /// On many.
    crowd: Figures,
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
    let start = |contestant| Series { contestant, turns: Vec::new() };
    let mut series: Vec<Series<'_>> = chosen.map(start).collect();
    // a round that others disturbed is measured again, whatever it showed; too many void the figures
    let mut spare = settings.rounds;
    while series[0].turns.len() < settings.rounds {
        let turns = round(&series, settings)?;
        let is_disturbed = |(one, turn): (&Series<'_>, &Turn)| one.is_judged() && turn.others > MOST_OTHERS;
        if spare > 0 && series.iter().zip(&turns).any(is_disturbed) {
            spare -= 1;
            continue;
        }
        series.iter_mut().zip(turns).for_each(|(one, turn)| one.turns.push(turn));
        // whoever comes first in one round comes last in the next
        series.rotate_left(1);
    }
    series.sort_by_key(|one| contestants.iter().position(|other| other.name == one.contestant.name));
    print(&series, settings, settings.rounds - spare);
    judge(&series, bars);
    Ok(())
}

/// Everybody's turn: alone one after the other, then each with its crowd.
fn round(series: &[Series<'_>], settings: &Settings) -> Result<Vec<Turn>, String> {
    let loads = |n_connections| {
        let load = |one: &Series<'_>| {
            let neighbours = Neighbours::watch();
            let figures = one.contestant.load(n_connections, settings.time)?;
            Ok((figures, neighbours.cores().unwrap_or(0.0)))
        };
        series.iter().map(load).collect::<Result<Vec<_>, String>>()
    };
    let turns = loads(1)?.into_iter().zip(loads(MANY)?);
    Ok(turns.map(|((alone, a), (crowd, b))| Turn { alone, crowd, others: a.max(b) }).collect())
}

impl Series<'_> {
    /// Whether a bar is held against it.
    fn is_judged(&self) -> bool {
        [LETHE_U8, NOOP, FASTAPI_U8].contains(&self.contestant.name)
    }

    /// Cores others used while it was loaded, the most of all rounds.
    fn others(&self) -> f64 {
        self.turns.iter().map(|turn| turn.others).fold(0.0, f64::max)
    }

    /// A figure of ours as a multiple of another's, round by round.
    fn multiples(&self, other: &Self, figure: fn(&Turn) -> f64) -> impl Iterator<Item = f64> {
        self.turns.iter().zip(&other.turns).map(move |(ours, theirs)| figure(ours) / figure(theirs))
    }

    /// Median latency as a multiple of another's, round by round.
    fn latency_to(&self, other: &Self) -> Spread {
        Spread::of(self.multiples(other, |turn| turn.alone.p50_us))
    }

    /// Answers a second as a multiple of another's, round by round.
    fn paces_to(&self, other: &Self) -> impl Iterator<Item = f64> {
        self.multiples(other, |turn| turn.crowd.per_second)
    }

    fn pace_to(&self, other: &Self) -> Spread {
        Spread::of(self.paces_to(other))
    }
}

fn find<'a, 'b>(series: &'a [Series<'b>], name: &str) -> Option<&'a Series<'b>> {
    series.iter().find(|one| one.contestant.name == name)
}

fn print(series: &[Series<'_>], settings: &Settings, n_disturbed: usize) {
    let (rounds, seconds) = (settings.rounds, settings.time.as_secs());
    println!(
        "medians of {rounds} rounds of {seconds} s, lowest and highest beside them; ratios within a round; {n_disturbed} rounds \
         that others disturbed are left out"
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
            Spread::of(one.turns.iter().map(|turn| turn.alone.p50_us)),
            Spread::of(one.turns.iter().map(|turn| turn.alone.p99_us)),
            Spread::of(one.turns.iter().map(|turn| turn.crowd.per_second)),
            ratio(NOOP, |one, noop| one.latency_to(noop)),
            ratio(NOOP, |one, noop| one.pace_to(noop)),
            ratio(FASTAPI_U8, |one, peer| one.pace_to(peer)),
            ratio(FASTAPI_JSON, |one, peer| one.pace_to(peer)),
            one.others()
        );
    }
}

fn judge(series: &[Series<'_>], bars: &mut Bars) {
    let (Some(lethe), Some(noop)) = (find(series, LETHE_U8), find(series, NOOP)) else { return };
    let others = lethe.others().max(noop.others());
    let bar = Bar::AtMost(MOST_LATENCY);
    bars.judge("p50 of u8, in times the no-op's", &lethe.latency_to(noop), "x", &bar, others);
    let percent = Spread::of(lethe.paces_to(noop).map(|share| 100.0 * share));
    bars.judge("requests/s of u8, of the no-op's", &percent, " %", &Bar::AtLeast(LEAST_SHARE), others);
    let name = "requests/s of u8, in times FastAPI's with u8";
    match find(series, FASTAPI_U8) {
        Some(peer) => {
            let others = others.max(peer.others());
            bars.judge(name, &lethe.pace_to(peer), "x", &Bar::AtLeast(LEAST_LEAD), others);
        }
        None => bars.leave_out(name, "it is not here"),
    }
}
