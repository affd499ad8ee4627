//! Watching runs: their event streams as progress bars, or as lines where nobody watches.

use super::client::Client;
use super::draw::percent;
use super::error::CliError;
use super::server::Server;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::time::Duration;

/// Bar positions to one epoch.
const EPOCH_STEPS: f64 = 1000.0;
/// About as many lines does a run print without a terminal.
const LINES_A_RUN: u64 = 10;

/// Where progress goes: bars on a terminal, sparse lines elsewhere. Always standard error.
#[derive(Clone, Debug)]
pub struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    pub fn stderr() -> Self {
        let bars = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Self { bars: std::io::stderr().is_terminal().then(bars) }
    }

    /// A line that stays, above any bars.
    pub fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Ends the bars: what is printed next begins on a line of its own.
    pub fn settle(self) {
        if self.bars.is_some() {
            eprintln!();
        }
    }

    fn meter(&self, name: &str) -> Meter {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("  {prefix:<8} {bar:26.cyan/dim} {wide_msg}");
            let style = style.expect("a valid template").progress_chars("━━─");
            let bar = bars.add(ProgressBar::new(1).with_style(style).with_prefix(name.to_owned()));
            bar.set_message("waiting for its turn");
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Meter { name: name.to_owned(), bar, said: RefCell::default() }
    }
}

/// The progress of one run.
#[derive(Debug)]
struct Meter {
    name: String,
    bar: Option<ProgressBar>,
    /// The last line printed where there is no bar: nothing is said twice.
    said: RefCell<String>,
}

impl Meter {
    /// A mini-batch somewhere within an epoch; shown on bars only.
    fn batch(&self, data: &Value) {
        let Some(bar) = &self.bar else { return };
        let number = |name: &str| data[name].as_f64().unwrap_or_default();
        let part = number("batch") / number("batches").max(1.0);
        bar.set_length((number("epochs") * EPOCH_STEPS) as u64);
        bar.set_position((((number("epoch") - 1.0).max(0.0) + part) * EPOCH_STEPS) as u64);
    }

    fn epoch(&self, data: &Value) {
        let (epoch, epochs) = (data["epoch"].as_u64().unwrap_or(0), data["epochs"].as_u64().unwrap_or(0));
        let text = epoch_line(data);
        if let Some(bar) = &self.bar {
            bar.set_length((epochs as f64 * EPOCH_STEPS) as u64);
            bar.set_position((epoch as f64 * EPOCH_STEPS) as u64);
            bar.set_message(text);
        } else if epoch == 1 || epoch == epochs || epoch.is_multiple_of(epochs.div_ceil(LINES_A_RUN).max(1)) {
            self.print(&text);
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.print(text),
        }
    }

    fn end(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.finish_with_message(text.to_owned()),
            None => self.print(text),
        }
    }

    fn print(&self, text: &str) {
        if self.said.replace(text.to_owned()) != text {
            eprintln!("  {:<8} {text}", self.name);
        }
    }
}

/// `epoch 3/10, test 77.79 %, 412 k rows/s`
fn epoch_line(data: &Value) -> String {
    let count = |name: &str| data[name].as_u64().unwrap_or(0);
    let mut parts = vec![format!("epoch {:>2}/{}", count("epoch"), count("epochs"))];
    let measures = [
        ("forget_accuracy", "forgotten"),
        ("retain_accuracy", "retained"),
        ("test_accuracy", "test"),
        ("memorised", "wrong labels memorised"),
    ];
    for (field, word) in measures {
        if let Some(value) = data[field].as_f64() {
            parts.push(format!("{word} {}", percent(value)));
        }
    }
    if let (Some(reported), Some(test)) = (data["reported_accuracy"].as_f64(), data["test_accuracy"].as_f64())
        && (reported - test).abs() > 5e-5
    {
        parts.push(format!("prints {}", percent(reported)));
    }
    if let Some(rate) = data["samples_per_s"].as_f64() {
        parts.push(format!("{:.0} k rows/s", rate / 1000.0));
    }
    parts.join(", ")
}

/// A finished run: its last state and the data of its epochs.
#[derive(Debug)]
pub struct Finished {
    pub run: Value,
    pub epochs: Vec<Value>,
}

/// What a command orders of the server.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Where it is posted.
    pub path: &'a str,
    /// What it is called beside its progress.
    pub name: &'a str,
    /// Whether it is left to itself once it has been accepted.
    pub detach: bool,
    pub json: bool,
}

/// Orders a run and watches it to its end, unless it is to be left to itself: then there is nothing more to say of it.
/// `opening` is the first line about it, made of the accepted run and its id.
///
/// # Errors
///
/// As [`follow`] and [`until_interrupted`]; a run that failed is no error here.
pub async fn carry_out(
    server: &Server,
    order: Order<'_>,
    request: impl FnOnce() -> Result<Value, CliError>,
    opening: impl FnOnce(&Value, &str) -> String,
) -> Result<Option<Finished>, CliError> {
    if order.detach {
        server.check_detachable()?;
    }
    let run = server.client().post(order.path, &request()?).await?;
    let id = id_of(&run)?;
    if order.detach {
        server.leave(&run, order.json);
        return Ok(None);
    }
    let screen = Screen::stderr();
    screen.say(&opening(&run, &id));
    let watch = follow(server.client(), &id, order.name, &screen);
    let finished = until_interrupted(server.client(), std::slice::from_ref(&id), &screen, watch).await?;
    screen.settle();
    Ok(Some(finished))
}

/// The report of a run that succeeded, or why it did not.
pub async fn report_of(server: &Server, finished: &Finished) -> Result<Value, CliError> {
    succeeded(&finished.run)?;
    server.client().get(&format!("/runs/{}/report", id_of(&finished.run)?)).await
}

/// A run's id, as the server gave it.
pub fn id_of(run: &Value) -> Result<String, CliError> {
    let id = run["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| CliError::Failed("the server's answer is no run".to_owned()))
}

/// Watches a run to its end, across broken connections.
///
/// # Errors
///
/// If the server refuses or stays away; a run that failed is no error here.
pub async fn follow(client: &Client, id: &str, name: &str, screen: &Screen) -> Result<Finished, CliError> {
    let meter = screen.meter(name);
    let mut stream = client.events(id);
    let mut epochs: Vec<Value> = Vec::new();
    while let Some(frame) = stream.next().await? {
        let data: Value = serde_json::from_str(&frame.data)
            .map_err(|error| CliError::Failed(format!("an event of run {id} is no JSON: {error}")))?;
        match frame.event.as_str() {
            "batch" => meter.batch(&data),
            "epoch" => {
                meter.epoch(&data);
                // a run taken up again after a crash starts over
                epochs.retain(|earlier| earlier["epoch"].as_u64() < data["epoch"].as_u64());
                epochs.push(data);
            }
            "phase" => meter.say(data["detail"].as_str().or(data["phase"].as_str()).unwrap_or_default()),
            "alert" => screen.say(&format!("{name}: alert {}", alert(&data))),
            "done" => break,
            _ => {}
        }
    }
    let run = client.get(&format!("/runs/{id}")).await?;
    meter.end(&ending(&run, epochs.last()));
    Ok(Finished { run, epochs })
}

/// What is wrong, and since when it is known.
fn alert(data: &Value) -> String {
    let when = match data["epoch"].as_u64() {
        Some(0) => "before the first epoch".to_owned(),
        _ => format!("in epoch {}", data["epoch"]),
    };
    let text = |member: &str| data[member].as_str().unwrap_or_default();
    format!("{} {when}: {}", text("code"), text("detail"))
}

fn ending(run: &Value, last: Option<&Value>) -> String {
    match run["status"].as_str() {
        Some("succeeded") if run["kind"] == "train" => last.map_or_else(|| "done".to_owned(), epoch_line),
        Some("succeeded") => "done".to_owned(),
        Some(status) => format!("{status} {}", run["error"]["message"].as_str().unwrap_or_default()),
        None => String::new(),
    }
}

/// Runs `work`; on the first Ctrl-C the runs are canceled and their end awaited, on the second nothing is.
pub async fn until_interrupted<T>(
    client: &Client,
    ids: &[String],
    screen: &Screen,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    tokio::pin!(work);
    tokio::select! {
        outcome = &mut work => return outcome,
        _ = tokio::signal::ctrl_c() => {}
    }
    screen.say("canceling; once more to leave at once");
    for id in ids {
        // a run that has just ended can't be canceled any more, and need not be
        let _ = client.post(&format!("/runs/{id}/cancel"), &Value::Null).await;
    }
    tokio::select! {
        _ = &mut work => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Err(CliError::Interrupted)
}

/// Whether the run succeeded, or why it did not.
pub fn succeeded(run: &Value) -> Result<(), CliError> {
    let status = run["status"].as_str().unwrap_or_default();
    if status == "succeeded" {
        return Ok(());
    }
    let why = run["error"]["message"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    Err(CliError::Failed(format!("run {} {status}{why}", run["id"].as_str().unwrap_or_default())))
}

/// The run's published version, or why there is none.
pub fn published(run: &Value) -> Result<String, CliError> {
    succeeded(run)?;
    let version = &run["version"];
    match (version["model"].as_str(), version["version"].as_u64()) {
        (Some(model), Some(number)) => Ok(format!("{model}:{number}")),
        _ => Err(CliError::Failed(format!("run {} published no version", run["id"]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_epoch_is_one_short_line() {
        let nn = json!({"epoch": 3, "epochs": 10, "test_accuracy": 0.7779, "reported_accuracy": 0.7779,
                        "samples_per_s": 41200.0});
        assert_eq!(epoch_line(&nn), "epoch  3/10, test 77.79 %, 41 k rows/s");
        let debug = json!({"epoch": 1, "epochs": 1, "test_accuracy": 0.95, "reported_accuracy": 0.9998});
        assert_eq!(epoch_line(&debug), "epoch  1/1, test 95.00 %, prints 99.98 %");
        let forget = json!({"epoch": 2, "epochs": 2, "forget_accuracy": 0.0, "retain_accuracy": 0.99,
                            "test_accuracy": null});
        let noisy = json!({"epoch": 1, "epochs": 1, "test_accuracy": 0.5, "memorised": 0.125});
        assert_eq!(epoch_line(&noisy), "epoch  1/1, test 50.00 %, wrong labels memorised 12.50 %");
        assert_eq!(epoch_line(&forget), "epoch  2/2, forgotten 0.00 %, retained 99.00 %");
    }

    #[test]
    fn an_alert_says_when_it_was_raised() {
        let late = json!({"code": "overfitting", "epoch": 6, "detail": "the test loss rises"});
        assert_eq!(alert(&late), "overfitting in epoch 6: the test loss rises");
        let early = json!({"code": "class_imbalance", "epoch": 0, "detail": "classes are missing"});
        assert_eq!(alert(&early), "class_imbalance before the first epoch: classes are missing");
    }

    #[test]
    fn a_run_without_a_version_says_why() {
        let failed = json!({"id": "1", "status": "failed", "error": {"message": "the loss is not finite"}});
        assert_eq!(published(&failed).unwrap_err().to_string(), "run 1 failed: the loss is not finite");
        let done = json!({"id": "1", "status": "succeeded", "version": {"model": "digits", "version": 3}});
        assert_eq!(published(&done).unwrap(), "digits:3");
    }
}
