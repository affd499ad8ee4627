//! Models, their immutable versions, and the references people write.

use super::{DatasetRef, Work};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A model's or alias's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && text.len() <= 64 && text.chars().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 64 letters, digits, `.`, `_` or `-`, starting with a letter or digit".into())
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `name`, `name@alias`, `name:version`, or a version's uuid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRef {
    Named { name: ModelName, selector: Selector },
    Id(Uuid),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest version that is not revoked.
    Latest,
    Alias(ModelName),
    Number(u32),
}

impl FromStr for ModelRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = Uuid::parse_str(text) {
            return Ok(Self::Id(id));
        }
        if let Some((name, alias)) = text.split_once('@') {
            return Ok(Self::Named { name: name.parse()?, selector: Selector::Alias(alias.parse()?) });
        }
        if let Some((name, number)) = text.split_once(':') {
            let number = number.parse().ok().filter(|&n| n > 0);
            let number = number.ok_or_else(|| "the version after `:` must be a number from 1".to_owned())?;
            return Ok(Self::Named { name: name.parse()?, selector: Selector::Number(number) });
        }
        Ok(Self::Named { name: text.parse()?, selector: Selector::Latest })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Named { name, selector: Selector::Latest } => write!(f, "{name}"),
            Self::Named { name, selector: Selector::Alias(alias) } => write!(f, "{name}@{alias}"),
            Self::Named { name, selector: Selector::Number(number) } => write!(f, "{name}:{number}"),
        }
    }
}

/// A version as other objects mention it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionRef {
    pub model: String,
    pub version: u32,
    pub id: Uuid,
    /// `sha256:` of the safetensors file.
    pub digest: String,
}

/// Where a version's weights come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A run published them.
    Run(Box<Made>),
    /// They were sent here. Nobody here knows which rows they were trained on, whatever their file says.
    Import,
}

/// How a run made a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub run: Uuid,
    /// The work order of that run, kept here because the run may be deleted: the rows a version was
    /// trained on follow from the work orders of its line.
    pub work: Work,
    /// The data it was trained on.
    pub dataset: DatasetRef,
}

impl Origin {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Import => "import",
        }
    }

    pub fn made(&self) -> Option<&Made> {
        match self {
            Self::Run(made) => Some(made),
            Self::Import => None,
        }
    }
}

/// Immutable weights with their lineage.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub id: Uuid,
    pub model: ModelName,
    /// Numbered from 1 within the model.
    pub number: u32,
    pub origin: Origin,
    /// The version it was made from by unlearning.
    pub parent: Option<Uuid>,
    pub digest: String,
    pub size_bytes: u64,
    /// Measures at publication, e.g. `test_accuracy`.
    pub metrics: serde_json::Value,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// Which version to use instead of a revoked one.
    pub replacement: Option<Uuid>,
}

impl Version {
    pub fn to_ref(&self) -> VersionRef {
        VersionRef {
            model: self.model.to_string(),
            version: self.number,
            id: self.id,
            digest: self.digest.clone(),
        }
    }
}

/// A movable pointer, `digits@prod`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    pub model: ModelName,
    pub alias: ModelName,
    pub version: Uuid,
    pub updated_at: DateTime<Utc>,
}
