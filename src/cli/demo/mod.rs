//! `lethe demo`: the whole story in about a minute, told to someone who has just arrived.

mod data;
mod words;

use super::client::Client;
use super::draw::{Color, Panel, Style, WIDTH, panels, percent, wrap};
use super::error::CliError;
use super::follow::{self, Finished, Screen, id_of};
use super::predict::{describe, grey_values, picture};
use super::report::{self, Detail};
use super::server::{Port, Server};
use crate::cli::out::{say, say_as_is};
use crate::config::Config;
use clap::Args;
use serde_json::{Value, json};

const PLOT_HEIGHT: usize = 11;
/// Test images looked at to find one on which the two networks disagree.
const MAX_LOOKED_AT: u64 = 40;
/// The class that is forgotten.
const CLASS: u32 = 3;

#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// `mnist` or `digits`; without it MNIST if it can be had, else `digits`.
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,

    /// Epochs of both networks.
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub epochs: u64,

    /// Shorter: on `digits`, few epochs, forgetting measured without retrained networks.
    #[arg(long)]
    pub quick: bool,

    /// End when the story is told, instead of keeping the server running.
    #[arg(long)]
    pub exit: bool,
}

impl DemoArgs {
    fn epochs(&self) -> u64 {
        if self.quick { self.epochs.min(6) } else { self.epochs }
    }

    const fn verify(&self) -> &'static str {
        if self.quick { "quick" } else { "standard" }
    }
}

/// Finds the data, then tells the story on a server of its own, or on the one already running on the folder.
pub async fn demo(args: &DemoArgs, config: &Config) -> Result<(), CliError> {
    // both networks train at the same time, even on two cores
    let config = Config { train_threads: Some(config.train_threads.unwrap_or(2).max(2)), ..config.clone() };
    let mut server = Server::reach(&config, None, Port::Configured).await?;
    let told = tell(args, &mut server).await;
    let ended = server.end().await;
    told.and(ended)
}

async fn tell(args: &DemoArgs, server: &mut Server) -> Result<(), CliError> {
    let style = Style::of_stdout();
    say!("{}\n", style.bold("Lethe: two networks learn the same digits, one of them backwards."));
    let data = data::choose(args, server).await?;
    say!("data    {}", wrap(&data.told, 8, WIDTH));
    say!("server  {}  (the same story as a page, live)\n", server.client().base());
    Teller { client: server.client().clone(), args, data, style }.tell().await?;
    let base = server.client().base();
    if !server.is_own() {
        say!("Everything is at {base}/ to look at.");
    } else if !args.exit {
        say!("The server keeps running: open {base}/ to see it all. Ctrl-C ends it.");
        server.wait_for_interrupt().await?;
    }
    Ok(())
}

/// What the chapters share.
struct Teller<'a> {
    client: Client,
    args: &'a DemoArgs,
    data: data::Choice,
    style: Style,
}

/// A forgetting, for the summary.
struct Forgotten {
    what: String,
    report: Value,
}

impl Teller<'_> {
    async fn tell(&self) -> Result<(), CliError> {
        let epochs = self.args.epochs();
        self.chapter(1, &format!("Training nn and debug at the same time, {epochs} epochs each"));
        let (nn, debug) = self.train().await?;
        self.show_curves(&nn, &debug);

        self.chapter(2, "Asking them about an image neither has seen");
        let (backwards, learned) = (follow::published(&nn.run)?, follow::published(&debug.run)?);
        self.ask(&backwards, &learned).await?;

        self.chapter(3, &format!("Making debug forget every {CLASS}"));
        let class = self.forget(&learned, &json!({ "class": CLASS }), &format!("every {CLASS}")).await?;
        say(&words::class(CLASS, &class.report));

        self.chapter(4, "Making debug forget one writer");
        let writer = self.forget_writer(&learned).await?;

        // once is enough, however many failed
        let failed = std::iter::once(&class).chain(writer.as_ref()).find_map(|f| words::failure(&f.report));
        if let Some(failure) = failed {
            say(&failure);
        }

        self.chapter(5, "In numbers");
        self.sum_up(&nn, &debug, std::iter::once(&class).chain(writer.as_ref()));
        Ok(())
    }

    fn chapter(&self, number: u32, title: &str) {
        say!("{}\n", self.style.bold(&format!("{number}. {title}")));
    }

    fn order(&self, mode: &str) -> Value {
        json!({ "mode": mode, "dataset": self.data.name, "model": format!("demo-{mode}"), "seed": 1,
                "hyperparameters": { "epochs": self.args.epochs() } })
    }

    async fn train(&self) -> Result<(Finished, Finished), CliError> {
        let nn = id_of(&self.client.post("/runs", &self.order("nn")).await?)?;
        let debug = id_of(&self.client.post("/runs", &self.order("debug")).await?)?;
        let screen = Screen::stderr();
        let both = async {
            tokio::try_join!(
                follow::follow(&self.client, &nn, "nn", &screen),
                follow::follow(&self.client, &debug, "debug", &screen)
            )
        };
        let ids = [nn.clone(), debug.clone()];
        let (nn, debug) = follow::until_interrupted(&self.client, &ids, &screen, both).await?;
        screen.settle();
        follow::published(&nn.run)?;
        follow::published(&debug.run)?;
        Ok((nn, debug))
    }

    fn show_curves(&self, nn: &Finished, debug: &Finished) {
        let panel = |title: &str, color, finished: &Finished| Panel {
            title: title.to_owned(),
            color,
            points: accuracies(finished, "test_accuracy"),
        };
        let both = [
            panel("nn: accuracy on unseen images", Color::Red, nn),
            panel("debug: the same", Color::Blue, debug),
        ];
        say!("\n{}", panels(&both, WIDTH, PLOT_HEIGHT, self.style));
        say(&words::curves(&nn.epochs, &debug.epochs));
    }

    /// Shows the first test image on which the two disagree; the first of all if they always agree.
    async fn ask(&self, backwards: &str, learned: &str) -> Result<(), CliError> {
        let mut shown = None;
        for row in 0..MAX_LOOKED_AT {
            let path = format!("/datasets/{}/rows/{row}?split=test", self.data.name);
            let image = self.client.get(&path).await?;
            let request = json!({ "inputs": [image["features"]], "top_k": 3 });
            let debug = self.client.post(&format!("/models/{learned}/predict"), &request).await?;
            let nn = self.client.post(&format!("/models/{backwards}/predict"), &request).await?;
            let label = |answer: &Value| answer["predictions"][0]["label"].clone();
            let telling = label(&debug) != label(&nn) && label(&debug) == image["label"];
            if telling || shown.is_none() {
                shown = Some((row, image, debug, nn));
            }
            if telling {
                break;
            }
        }
        let Some((row, image, debug, nn)) = shown else { return Ok(()) };
        say!("test image {row}, a {}:", image["label"]);
        say_as_is!("{}", picture(&grey_values(&image["features"]), self.style));
        say!("{}{}", describe(&debug, self.style), describe(&nn, self.style));
        Ok(())
    }

    async fn forget(&self, model: &str, forget: &Value, what: &str) -> Result<Forgotten, CliError> {
        let order = json!({ "model": model, "forget": forget, "method": "gradient_ascent",
                            "verify": self.args.verify(), "seed": 1 });
        let id = id_of(&self.client.post("/unlearn", &order).await?)?;
        let screen = Screen::stderr();
        let watch = follow::follow(&self.client, &id, "forget", &screen);
        let ids = std::slice::from_ref(&id);
        let finished = follow::until_interrupted(&self.client, ids, &screen, watch).await?;
        screen.settle();
        follow::published(&finished.run)?;
        let report = self.client.get(&format!("/runs/{id}/report")).await?;
        say!("\n{}", report::render(&report, Detail::Accuracies, self.style));
        Ok(Forgotten { what: what.to_owned(), report })
    }

    /// Forgets whoever wrote the first training row, if the data says who that was.
    async fn forget_writer(&self, model: &str) -> Result<Option<Forgotten>, CliError> {
        let row = self.client.get(&format!("/datasets/{}/rows/0?split=train", self.data.name)).await?;
        let Some(writer) = row["subject"].as_u64() else {
            say(words::NO_WRITERS);
            return Ok(None);
        };
        let what = format!("writer {writer}");
        let forgotten = self.forget(model, &json!({ "subjects": [writer] }), &what).await?;
        say(&words::writer(writer, &forgotten.report));
        Ok(Some(forgotten))
    }

    fn sum_up<'b>(&self, nn: &Finished, debug: &Finished, forgotten: impl Iterator<Item = &'b Forgotten>) {
        for (name, finished) in [("nn", nn), ("debug", debug)] {
            let points = accuracies(finished, "test_accuracy");
            if let (Some(first), Some(last)) = (points.first(), points.last()) {
                let (first, last) = (percent(first.1), percent(last.1));
                say!("  {name:<22} {first} after one epoch, {last} after {}", finished.epochs.len());
            }
        }
        for Forgotten { what, report } in forgotten {
            let of = |name: &str| {
                let measure = &report["metrics"][name];
                let value = |column: &str| measure[column].as_f64();
                let retrained = value("retrain").map(|x| format!(" (retrained: {})", percent(x)));
                let (before, after) = (value("before").map(percent), value("after").map(percent));
                format!(
                    "{} -> {}{}",
                    before.unwrap_or_default(),
                    after.unwrap_or_default(),
                    retrained.unwrap_or_default()
                )
            };
            let verdict = report["verdict"].as_str().unwrap_or("?");
            say!("  {:<22} verdict: {verdict}", format!("forgot {what}"));
            say!("  {:<22} on it {}", "", of("forget_accuracy"));
            say!("  {:<22} on test images {}", "", of("test_accuracy"));
        }
        say!();
    }
}

/// A paragraph.
fn say(text: &str) {
    say!("{}\n", wrap(text, 0, WIDTH));
}

/// (epoch, fraction) of a measure.
fn accuracies(finished: &Finished, field: &str) -> Vec<(u32, f64)> {
    let point = |event: &Value| Some((u32::try_from(event["epoch"].as_u64()?).ok()?, event[field].as_f64()?));
    finished.epochs.iter().filter_map(point).collect()
}
