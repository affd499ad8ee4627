//! Numbers of a request: parsed wide, checked against a documented domain, only then narrowed.

use super::error::{FieldError, Problem};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// A JSON number as it was written. `1e39` stays finite and `246.0` is as good as `246`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Integer(i128),
    Real(f64),
}

impl Number {
    /// The number as an integer, if it is one.
    fn integer(self) -> Option<i128> {
        // 2^53: whole numbers above it are not all representable, so a real up there is not trusted.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Integer(value) => Some(value),
            Self::Real(value) if value.fract() == 0.0 && value.abs() <= EXACT => Some(value as i128),
            Self::Real(_) => None,
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Real(value) => value,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number::Integer(i128::from(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number::Integer(i128::from(value)))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number::Real(value))
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

/// Whole numbers from `min` to `max`, both included.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    pub min: u64,
    pub max: u64,
}

/// Finite numbers between two bounds.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    pub min: f64,
    pub max: f64,
    /// Whether `max` itself is too much.
    pub max_excluded: bool,
}

impl Whole {
    pub fn check(self, number: Number) -> Result<u64, String> {
        let value = number.integer().ok_or_else(|| format!("must be a whole number, not {number}"))?;
        u64::try_from(value)
            .ok()
            .filter(|value| (self.min..=self.max).contains(value))
            .ok_or_else(|| format!("must lie between {} and {}, not be {number}", self.min, self.max))
    }

    pub fn schema(self) -> Value {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }
}

impl Real {
    pub fn check(self, number: Number) -> Result<f64, String> {
        let value = number.real();
        let below_max = if self.max_excluded { value < self.max } else { value <= self.max };
        // NaN fails both comparisons
        if value >= self.min && below_max {
            return Ok(value);
        }
        let upper = if self.max_excluded { "and be less than" } else { "and be at most" };
        Err(format!("must be at least {:?} {upper} {:?}, not {number}", self.min, self.max))
    }

    pub fn schema(self) -> Value {
        let upper = if self.max_excluded { "exclusiveMaximum" } else { "maximum" };
        json!({ "type": "number", "minimum": self.min, upper: self.max })
    }
}

/// Collects everything that is wrong with a body, so that it is answered at once.
#[derive(Debug, Default)]
pub struct Checker {
    errors: Vec<FieldError>,
}

impl Checker {
    pub fn fail(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, detail));
    }

    /// The checked number, or `default` when it is absent or wrong (the error is noted).
    pub fn whole(&mut self, pointer: &str, number: Option<Number>, domain: Whole, default: u64) -> u64 {
        self.or_default(pointer, number.map(|number| domain.check(number)), default)
    }

    pub fn real(&mut self, pointer: &str, number: Option<Number>, domain: Real, default: f64) -> f64 {
        self.or_default(pointer, number.map(|number| domain.check(number)), default)
    }

    pub fn or_default<T>(&mut self, pointer: &str, checked: Option<Result<T, String>>, default: T) -> T {
        match checked {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(detail)) => {
                self.fail(pointer, detail);
                default
            }
        }
    }

    pub fn has_failed(&self) -> bool {
        !self.errors.is_empty()
    }

    pub fn finish<T>(self, value: T) -> Result<T, Problem> {
        if self.errors.is_empty() { Ok(value) } else { Err(Problem::invalid(self.errors)) }
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(value) => serializer.serialize_i128(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCHS: Whole = Whole { min: 1, max: 10_000 };
    const RATE: Real = Real { min: 1e-9, max: 100.0, max_excluded: false };

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn whole_numbers_may_be_written_as_reals() {
        assert_eq!(EPOCHS.check(number("246.0")), Ok(246));
        assert_eq!(EPOCHS.check(number("1e3")), Ok(1000));
    }

    #[test]
    fn whole_numbers_out_of_range_are_refused() {
        for text in ["0", "-1", "10001", "1.5", "1e39", "18446744073709551616", "9007199254740993e3"] {
            assert!(EPOCHS.check(number(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn reals_are_checked_before_they_are_narrowed() {
        assert_eq!(RATE.check(number("0.05")), Ok(0.05));
        for text in ["1e39", "1e-50", "0", "-0.1", "-0.0", "1e308"] {
            assert!(RATE.check(number(text)).is_err(), "{text}");
        }
        assert!(RATE.check(Number::Real(f64::NAN)).is_err());
        assert!(RATE.check(Number::Real(f64::INFINITY)).is_err());
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let mut checker = Checker::default();
        checker.whole("/a", Some(Number::Integer(0)), EPOCHS, 1);
        checker.real("/b", Some(Number::Integer(0)), RATE, 1.0);
        let problem = checker.finish(()).unwrap_err();
        assert_eq!(problem.errors.len(), 2);
    }
}
