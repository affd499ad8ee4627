//! Rows that are objects: numbers by the names of columns.

use super::{Finite, MAX_FAULTS, Numbers};
use crate::data::InputSpec;
use crate::formats::Fault;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

/// The columns rows are objects of, in the order of the first.
#[derive(Debug)]
pub struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    pub fn of(names: Vec<String>) -> Option<Self> {
        let places: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        (places.len() == names.len()).then_some(Self { names, places })
    }

    /// The values of every row in the order of the model's columns.
    pub fn sorted(&self, values: &[f32], at: &str, input: &InputSpec) -> Result<Vec<f32>, Vec<Fault>> {
        let n_features = input.n_features();
        let Some(wanted) = input.columns() else {
            let detail = format!(
                "this model's columns have no names; send each row as a list of {n_features} numbers"
            );
            return Err(vec![Fault::new(at, detail)]);
        };
        let missing = wanted.iter().filter(|name| !self.places.contains_key(*name));
        let missing = missing.map(|name| format!("lacks the column `{name}`"));
        let unknown = self.names.iter().filter(|name| !wanted.contains(name));
        let unknown = unknown.map(|name| format!("has a column `{name}` the model does not know"));
        let faults: Vec<_> =
            missing.chain(unknown).take(MAX_FAULTS).map(|detail| Fault::new(at, detail)).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let order: Vec<usize> = wanted.iter().map(|name| self.places[name]).collect();
        let rows = values.chunks_exact(self.names.len());
        Ok(rows.flat_map(|row| order.iter().map(|&place| row[place])).collect())
    }
}

impl Numbers {
    /// A row by columns. The first says which there are: `key` is its first.
    pub(super) fn named<'de, A: MapAccess<'de>>(
        &mut self,
        key: Option<String>,
        mut map: A,
    ) -> Result<(), A::Error> {
        if self.ends.is_empty() {
            let mut names = Vec::new();
            let mut next = key;
            while let Some(name) = next {
                names.push(name);
                let Finite(value) = map.next_value()?;
                self.values.push(value);
                next = map.next_key()?;
            }
            if names.is_empty() {
                return Err(A::Error::custom("must have a number for every column"));
            }
            let columns = Columns::of(names).ok_or_else(|| A::Error::custom("has a column twice"))?;
            self.columns = Some(columns);
        } else {
            let Some(columns) = &self.columns else {
                return Err(A::Error::custom("must be a list of numbers like the rows before it"));
            };
            let start = self.values.len();
            // as no number that is read
            self.values.resize(start + columns.names.len(), f32::NAN);
            let mut expected = 0;
            while let Some(place) = map.next_key_seed(Place { columns, expected })? {
                let Finite(value) = map.next_value()?;
                let slot = &mut self.values[start + place];
                if !slot.is_nan() {
                    return Err(A::Error::custom(format!("has the column `{}` twice", columns.names[place])));
                }
                *slot = value;
                expected = place + 1;
            }
            if let Some(missing) = self.values[start..].iter().position(|value| value.is_nan()) {
                let name = &columns.names[missing];
                return Err(A::Error::custom(format!("lacks the column `{name}` of the rows before it")));
            }
        }
        self.ends.push(self.values.len());
        Ok(())
    }
}

/// Which column a key names; most often the next one.
struct Place<'a> {
    columns: &'a Columns,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        if self.columns.names.get(self.expected).is_some_and(|expected| expected == name) {
            return Ok(self.expected);
        }
        let place = self.columns.places.get(name).copied();
        place.ok_or_else(|| E::custom(format!("has a column `{name}` the rows before it have not")))
    }
}
