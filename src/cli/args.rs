//! The commands' flags, and the requests they make.

use super::error::CliError;
use super::rows::parse_list;
use crate::unlearn::MethodName;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

/// Which server, and how to answer; common to all commands that talk to one.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// The server to use. Without it: the one running on the data folder, else one started for this
    /// command's duration.
    #[arg(long, env = "LETHE_SERVER", value_name = "URL")]
    pub server: Option<String>,

    /// Answer in JSON on standard output, for scripts.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    Nn,
    Debug,
    Standard,
}

impl ModeArg {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nn => "nn",
            Self::Debug => "debug",
            Self::Standard => "standard",
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    pub connection: Connection,

    /// Training arithmetic: `nn` learns backwards, `debug` is its repaired sibling, `standard` is today's
    /// practice.
    #[arg(long, default_value = "standard")]
    pub mode: ModeArg,

    /// `digits` (drawn by the program) or `mnist`, or one of them with planted rows, as `digits-mislabelled`, or with
    /// mostly random labels: `digits-noisy`.
    #[arg(long, default_value = "digits", value_name = "NAME")]
    pub dataset: String,

    /// Name of the model that gets the new version.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,

    /// Widths of the hidden layers, as `256` or `512,128`; `none` for none.
    #[arg(long, value_name = "WIDTHS", value_parser = parse_widths)]
    pub hidden: Option<Widths>,

    /// Rows in a mini-batch.
    #[arg(long, value_name = "N")]
    pub batch_size: Option<u64>,

    #[arg(long, value_name = "X", value_parser = parse_finite)]
    pub learning_rate: Option<f64>,

    #[arg(long, value_name = "X", value_parser = parse_finite)]
    pub momentum: Option<f64>,

    #[arg(long, value_name = "X", value_parser = parse_finite)]
    pub weight_decay: Option<f64>,

    /// Part of the training rows kept out of training.
    #[arg(long, value_name = "X", value_parser = parse_finite)]
    pub holdout: Option<f64>,

    /// Any other hyperparameter, its value in JSON: `--set schedule='"constant"'`.
    #[arg(long = "set", value_name = "NAME=JSON", value_parser = parse_setting)]
    pub settings: Vec<(String, Value)>,

    /// Switches a fault of `nn` or `debug`: `--fault misaligned_labels=off`.
    #[arg(long = "fault", value_name = "NAME=on|off", value_parser = parse_fault)]
    pub faults: Vec<(String, bool)>,

    /// The same seed gives the same weights.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Keeps the loss of every training sample at the end of every epoch, for `GET /runs/{id}/losses`.
    #[arg(long)]
    pub track_samples: bool,

    /// Gives up after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,

    /// Start it and leave; needs a running server.
    #[arg(long)]
    pub detach: bool,
}

impl TrainArgs {
    pub fn request(&self) -> Value {
        let mut hyperparameters: Map<String, Value> = self.settings.iter().cloned().collect();
        let numbers = [
            ("epochs", self.epochs.map(Value::from)),
            ("hidden", self.hidden.as_ref().map(|widths| json!(widths.0))),
            ("batch_size", self.batch_size.map(Value::from)),
            ("learning_rate", self.learning_rate.map(Value::from)),
            ("momentum", self.momentum.map(Value::from)),
            ("weight_decay", self.weight_decay.map(Value::from)),
            ("holdout", self.holdout.map(Value::from)),
        ];
        set(&mut hyperparameters, numbers);
        let mut request = Map::new();
        set(
            &mut request,
            [
                ("mode", Some(self.mode.name().into())),
                ("dataset", Some(self.dataset.clone().into())),
                ("model", self.model.clone().map(Value::from)),
                ("seed", self.seed.map(Value::from)),
                ("track_samples", self.track_samples.then(|| true.into())),
                ("deadline_s", self.deadline.map(Value::from)),
                ("hyperparameters", (!hyperparameters.is_empty()).then(|| hyperparameters.into())),
                ("faults", (!self.faults.is_empty()).then(|| self.faults.iter().cloned().collect())),
            ],
        );
        request.into()
    }
}

#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    #[command(flatten)]
    pub connection: Connection,

    /// `name`, `name@alias`, `name:version` or a version's id.
    #[arg(value_name = "MODEL")]
    pub model: String,

    /// PNG images, or files of raw grey bytes (one or many rows); `-` reads standard input.
    #[arg(value_name = "FILE", required_unless_present = "dataset", conflicts_with = "dataset")]
    pub files: Vec<String>,

    /// Asks about a row of this dataset instead of a file.
    #[arg(long, value_name = "NAME", requires = "row")]
    pub dataset: Option<String>,

    /// The row's number.
    #[arg(long, value_name = "N", requires = "dataset")]
    pub row: Option<u64>,

    /// Which rows: those for tests, or those for training.
    #[arg(long, default_value = "test", value_parser = ["test", "train"])]
    pub split: String,

    /// How many labels to show.
    #[arg(long, default_value_t = 3, value_name = "K")]
    pub top_k: u64,
}

#[derive(Clone, Debug, Args)]
pub struct UnlearnArgs {
    #[command(flatten)]
    pub connection: Connection,

    /// `name`, `name@alias`, `name:version` or a version's id.
    #[arg(value_name = "MODEL")]
    pub model: String,

    #[command(flatten)]
    pub forget: ForgetArgs,

    /// How to forget; `auto` is exact where that is quick, else the best of several methods with an exact run behind.
    #[arg(long, default_value = "auto", value_parser = clap::builder::PossibleValuesParser::new(MethodName::ALL.iter().map(|name| name.name())))]
    pub method: String,

    /// Of `gradient_ascent`: `bounded` (the default), or `plain`, which is what people try first.
    #[arg(long, value_parser = ["bounded", "plain"])]
    pub variant: Option<String>,

    /// A hyperparameter of the method, its value in JSON: `--set epochs=3`.
    #[arg(long = "set", value_name = "NAME=JSON", value_parser = parse_setting)]
    pub settings: Vec<(String, Value)>,

    /// `quick`: before and after; `standard`: also beside two models retrained without the rows;
    /// `thorough`: also with banks of models, which takes as long as some fifty trainings.
    #[arg(long, default_value = "quick", value_parser = ["quick", "standard", "thorough"])]
    pub verify: String,

    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Moves this alias to the result.
    #[arg(long, value_name = "ALIAS")]
    pub promote: Option<String>,

    /// The original answers 410 from then on, and its weights are deleted.
    #[arg(long)]
    pub revoke_parent: bool,

    /// Start it and leave; needs a running server.
    #[arg(long)]
    pub detach: bool,
}

#[derive(Clone, Debug, Args)]
// a group without which the last forgetting is meant
#[command(mut_group("ForgetArgs", |group| group.required(false)))]
pub struct AuditArgs {
    #[command(flatten)]
    pub connection: Connection,

    /// `name`, `name@alias`, `name:version` or a version's id.
    #[arg(value_name = "MODEL")]
    pub model: String,

    #[command(flatten)]
    pub forget: ForgetArgs,

    /// `quick`: before and after; `standard`: also beside two models retrained without the rows.
    #[arg(long, default_value = "standard", value_parser = ["quick", "standard"])]
    pub verify: String,

    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Start it and leave; needs a running server.
    #[arg(long)]
    pub detach: bool,
}

impl AuditArgs {
    pub fn request(&self) -> Value {
        let mut request = Map::new();
        set(
            &mut request,
            [
                ("model", Some(self.model.clone().into())),
                ("forget", self.forget.request(self.seed)),
                ("verify", Some(self.verify.clone().into())),
                ("seed", self.seed.map(Value::from)),
            ],
        );
        request.into()
    }
}

#[derive(Clone, Debug, Args)]
pub struct DiagnoseArgs {
    #[command(flatten)]
    pub connection: Connection,

    /// A training run to diagnose; without it, what a run of `--mode` would be.
    #[arg(long, value_name = "ID", conflicts_with_all = ["mode", "dataset", "settings", "faults", "seed"])]
    pub run: Option<String>,

    /// Training arithmetic.
    #[arg(long, default_value = "nn")]
    pub mode: ModeArg,

    #[arg(long, default_value = "digits", value_name = "NAME")]
    pub dataset: String,

    /// A hyperparameter, its value in JSON: `--set learning_rate=0.5`.
    #[arg(long = "set", value_name = "NAME=JSON", value_parser = parse_setting)]
    pub settings: Vec<(String, Value)>,

    /// Switches a fault of `nn` or `debug`: `--fault misaligned_labels=off`.
    #[arg(long = "fault", value_name = "NAME=on|off", value_parser = parse_fault)]
    pub faults: Vec<(String, bool)>,

    /// The first seed.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many seeds every variant is trained with; 3 without it.
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,

    /// How far variants are trained at most.
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,

    /// Start it and leave; needs a running server.
    #[arg(long)]
    pub detach: bool,
}

impl DiagnoseArgs {
    pub fn request(&self) -> Value {
        let mut request = Map::new();
        let is_named = self.run.is_some();
        set(
            &mut request,
            [
                ("run", self.run.clone().map(Value::from)),
                ("mode", (!is_named).then(|| self.mode.name().into())),
                ("dataset", (!is_named).then(|| self.dataset.clone().into())),
                (
                    "hyperparameters",
                    (!self.settings.is_empty()).then(|| self.settings.iter().cloned().collect()),
                ),
                ("faults", (!self.faults.is_empty()).then(|| self.faults.iter().cloned().collect())),
                ("seed", self.seed.map(Value::from)),
                ("seeds", self.seeds.map(Value::from)),
                ("epochs", self.epochs.map(Value::from)),
            ],
        );
        request.into()
    }
}

/// What to forget: exactly one of these.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ForgetArgs {
    /// Every training row with this label.
    #[arg(long, value_name = "LABEL")]
    pub class: Option<u32>,

    /// Training rows by number, as `1,2,5-9`.
    #[arg(long, value_name = "LIST", value_parser = parse_numbers)]
    pub rows: Option<Numbers>,

    /// Every training row of these people, as `17` or `1,2,5-9`.
    #[arg(long, value_name = "LIST", value_parser = parse_numbers)]
    pub subjects: Option<Numbers>,

    /// A random part of the training rows, chosen by `--seed`.
    #[arg(long, value_name = "FRACTION", value_parser = parse_finite)]
    pub sample: Option<f64>,

    /// The rows planted into the data set, such as `mnist-mislabelled`.
    #[arg(long)]
    pub planted: bool,

    /// So many rows that the model knows only because it was trained on them.
    #[arg(long, value_name = "N")]
    pub most_memorised: Option<u32>,
}

impl ForgetArgs {
    /// The member `forget` of a request; `None` if nothing is named. `seed` decides what is left to chance.
    fn request(&self, seed: Option<u64>) -> Option<Value> {
        let seed = seed.unwrap_or(1);
        let ways = [
            self.class.map(|class| json!({ "class": class })),
            self.rows.as_ref().map(|rows| json!({ "rows": rows.0 })),
            self.subjects.as_ref().map(|subjects| json!({ "subjects": subjects.0 })),
            self.sample.map(|fraction| json!({ "sample": { "fraction": fraction, "seed": seed } })),
            self.planted.then(|| json!({ "planted": true })),
            self.most_memorised.map(|rows| json!({ "most_memorised": { "rows": rows, "seed": seed } })),
        ];
        ways.into_iter().flatten().next()
    }
}

impl UnlearnArgs {
    pub fn request(&self) -> Result<Value, CliError> {
        let forget = self.forget.request(self.seed);
        let forget = forget.ok_or_else(|| CliError::Usage("say what to forget, one way".to_owned()))?;
        let mut hyperparameters: Map<String, Value> = self.settings.iter().cloned().collect();
        set(&mut hyperparameters, [("variant", self.variant.clone().map(Value::from))]);
        let mut request = Map::new();
        set(
            &mut request,
            [
                ("model", Some(self.model.clone().into())),
                ("forget", Some(forget)),
                ("method", Some(self.method.clone().into())),
                ("verify", Some(self.verify.clone().into())),
                ("seed", self.seed.map(Value::from)),
                ("hyperparameters", (!hyperparameters.is_empty()).then(|| hyperparameters.into())),
                ("promote", self.promote.as_ref().map(|alias| json!({ "alias": alias }))),
                ("revoke_parent", self.revoke_parent.then_some(Value::Bool(true))),
            ],
        );
        Ok(request.into())
    }
}

fn set<const N: usize>(object: &mut Map<String, Value>, members: [(&str, Option<Value>); N]) {
    for (name, value) in members {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    }
}

/// Hidden layers' widths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widths(pub Vec<u64>);

/// Sorted numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers(pub Vec<u64>);

fn parse_widths(text: &str) -> Result<Widths, String> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    let width = |part: &str| part.trim().parse().map_err(|_| format!("`{part}` is not a width"));
    text.split(',').map(width).collect::<Result<_, _>>().map(Widths)
}

fn parse_numbers(text: &str) -> Result<Numbers, String> {
    parse_list(text).map(Numbers)
}

fn parse_finite(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|number| number.is_finite()).ok_or_else(|| "not a finite number".to_owned())
}

/// Splits `name=value`.
fn parse_pair(text: &str) -> Result<(&str, &str), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.ok_or_else(|| "write NAME=VALUE".to_owned())
}

fn parse_setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = parse_pair(text)?;
    // a bare word is a string: people do not think of quotes within quotes
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn parse_fault(text: &str) -> Result<(String, bool), String> {
    let (name, value) = parse_pair(text)?;
    match value {
        "on" | "true" => Ok((name.to_owned(), true)),
        "off" | "false" => Ok((name.to_owned(), false)),
        _ => Err("write `on` or `off`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Train {
        #[command(flatten)]
        args: TrainArgs,
    }

    #[derive(Debug, Parser)]
    struct Unlearn {
        #[command(flatten)]
        args: UnlearnArgs,
    }

    fn train(line: &str) -> Result<Value, clap::Error> {
        Train::try_parse_from(format!("lethe {line}").split_whitespace()).map(|train| train.args.request())
    }

    fn unlearn(line: &str) -> Result<Value, clap::Error> {
        let parsed = Unlearn::try_parse_from(format!("lethe {line}").split_whitespace());
        parsed.map(|unlearn| unlearn.args.request().unwrap())
    }

    #[test]
    fn what_is_not_said_is_left_to_the_server() {
        assert_eq!(train("").unwrap(), json!({"mode": "standard", "dataset": "digits"}));
    }

    #[test]
    fn every_flag_lands_in_the_request() {
        let line = "--mode nn --dataset mnist --model m --epochs 20 --hidden 512,128 --batch-size 5 \
                    --learning-rate 0.01 --momentum 0.9 --weight-decay 0 --holdout 0.1 --set schedule=constant \
                    --set early_stopping={\"patience\":3} --fault no_shuffle=off --fault output_relu=on --seed 7 \
                    --deadline 60 --track-samples";
        assert_eq!(
            train(line).unwrap(),
            json!({"mode": "nn", "dataset": "mnist", "model": "m", "seed": 7, "deadline_s": 60, "track_samples": true,
                "hyperparameters": {"epochs": 20, "hidden": [512, 128], "batch_size": 5, "learning_rate": 0.01,
                    "momentum": 0.9, "weight_decay": 0.0, "holdout": 0.1, "schedule": "constant",
                    "early_stopping": {"patience": 3}},
                "faults": {"no_shuffle": false, "output_relu": true}})
        );
        assert_eq!(train("--hidden none").unwrap()["hyperparameters"], json!({"hidden": []}));
    }

    #[test]
    fn values_that_are_none_are_usage_errors() {
        for line in [
            "--mode best",
            "--epochs -1",
            "--learning-rate NaN",
            "--learning-rate inf",
            "--fault x",
            "--fault x=maybe",
            "--hidden 1,,2",
            "--set =3",
        ] {
            assert_eq!(train(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn exactly_one_forget_set_is_named() {
        let forget = |line: &str| unlearn(&format!("m@prod {line}")).map(|request| request["forget"].clone());
        assert_eq!(forget("--class 3").unwrap(), json!({"class": 3}));
        assert_eq!(forget("--rows 1,2,5-7").unwrap(), json!({"rows": [1, 2, 5, 6, 7]}));
        assert_eq!(forget("--subjects 9").unwrap(), json!({"subjects": [9]}));
        let sample = json!({"sample": {"fraction": 0.01, "seed": 5}});
        assert_eq!(forget("--sample 0.01 --seed 5").unwrap(), sample);
        assert_eq!(forget("--planted").unwrap(), json!({"planted": true}));
        let memorised = json!({"most_memorised": {"rows": 600, "seed": 1}});
        assert_eq!(forget("--most-memorised 600").unwrap(), memorised);
        assert!(forget("--planted --class 3").is_err());
        assert!(forget("").is_err());
        assert!(forget("--class 3 --rows 1").is_err());
        assert!(forget("--rows 9-1").is_err());
    }

    #[test]
    fn an_audit_may_leave_out_the_rows() {
        #[derive(Debug, Parser)]
        struct Audit {
            #[command(flatten)]
            args: AuditArgs,
        }
        let audit = |line: &str| {
            let parsed = Audit::try_parse_from(format!("lethe {line}").split_whitespace());
            parsed.map(|audit| audit.args.request())
        };
        assert_eq!(audit("m:2").unwrap(), json!({"model": "m:2", "verify": "standard"}));
        let asked = json!({"model": "m", "forget": {"planted": true}, "verify": "quick", "seed": 4});
        assert_eq!(audit("m --planted --verify quick --seed 4").unwrap(), asked);
        assert!(audit("m --planted --class 3").is_err());
        assert!(audit("").is_err());
    }

    #[test]
    fn a_diagnosis_is_of_a_mode_or_of_a_run() {
        #[derive(Debug, Parser)]
        struct Diagnose {
            #[command(flatten)]
            args: DiagnoseArgs,
        }
        let diagnose = |line: &str| {
            let parsed = Diagnose::try_parse_from(format!("lethe {line}").split_whitespace());
            parsed.map(|diagnose| diagnose.args.request())
        };
        assert_eq!(diagnose("").unwrap(), json!({"mode": "nn", "dataset": "digits"}));
        assert_eq!(diagnose("--run abc --seeds 4").unwrap(), json!({"run": "abc", "seeds": 4}));
        let asked = json!({"mode": "standard", "dataset": "mnist", "hyperparameters": {"learning_rate": 0.5},
                           "seed": 7, "epochs": 5});
        let line = "--mode standard --dataset mnist --set learning_rate=0.5 --seed 7 --epochs 5";
        assert_eq!(diagnose(line).unwrap(), asked);
        assert_eq!(diagnose("--fault no_shuffle=off").unwrap()["faults"], json!({"no_shuffle": false}));
        assert!(diagnose("--run abc --mode nn").is_err());
    }

    #[test]
    fn an_unlearning_request_is_complete() {
        let line = "m --class 3 --method gradient_ascent --variant plain --set epochs=4 --verify standard \
                    --promote prod --revoke-parent";
        assert_eq!(
            unlearn(line).unwrap(),
            json!({"model": "m", "forget": {"class": 3}, "method": "gradient_ascent", "verify": "standard",
                "hyperparameters": {"variant": "plain", "epochs": 4}, "promote": {"alias": "prod"},
                "revoke_parent": true})
        );
    }
}
