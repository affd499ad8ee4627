//! An unlearning method as people order it and records keep it: a name and numbers by name.

use crate::nn::Recipe;
use crate::unlearn::{BATCH_SIZE, Claim, EPOCHS, Method, MethodName};
use serde_json::{Map, Value};

impl Method {
    /// Its numbers by name.
    pub fn hyperparameters(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut numbers)) = serde_json::to_value(self) else {
            unreachable!("a method serialises as an object")
        };
        numbers.remove("method");
        numbers
    }

    /// The method called `name` with these numbers, all of them.
    ///
    /// # Errors
    ///
    /// When a number is missing or is none.
    pub fn from_hyperparameters(name: MethodName, numbers: Map<String, Value>) -> serde_json::Result<Self> {
        let mut tagged = numbers;
        tagged.insert("method".to_owned(), Value::from(name.name()));
        serde_json::from_value(Value::Object(tagged))
    }

    /// Rows of the mini-batches it works with, where it has such.
    pub fn batch_size(&self) -> Option<usize> {
        self.whole(BATCH_SIZE.name).map(|size| size as usize)
    }

    /// Epochs it will report for a network trained by `recipe`.
    pub fn epochs(&self, recipe: &Recipe) -> u32 {
        match (self.whole(EPOCHS.name), self.claim()) {
            (Some(epochs), _) => epochs as u32,
            (None, Claim::Exact) => recipe.epochs(),
            (None, Claim::Certified | Claim::Empirical) => 1,
        }
    }

    fn whole(&self, field: &str) -> Option<u64> {
        self.hyperparameters().get(field).and_then(Value::as_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlearn::{GradientAscent, NegGradPlus, ResetLast};

    #[test]
    fn every_field_of_a_method_is_a_number_of_its_own_and_the_other_way_round() {
        for method in Method::all() {
            let mut shown: Vec<String> = method.hyperparameters().keys().cloned().collect();
            let mut fields: Vec<&str> = method.id().fields().iter().map(|field| field.name).collect();
            shown.sort_unstable();
            fields.sort_unstable();
            assert_eq!(shown, fields, "{}", method.name());
        }
    }

    #[test]
    fn a_method_survives_being_written_down() {
        for method in Method::all() {
            let text = serde_json::to_string(&method).unwrap();
            assert!(text.contains(&format!(r#""method":"{}""#, method.name())), "{text}");
            assert_eq!(serde_json::from_str::<Method>(&text).unwrap(), method);
            let again = Method::from_hyperparameters(method.id(), method.hyperparameters()).unwrap();
            assert_eq!(again, method);
        }
    }

    #[test]
    fn numbers_from_before_there_was_a_part_to_draw_anew_are_read_as_they_were_meant() {
        for (old, name) in [
            (r#"{"method":"reset_last","epochs":2,"batch_size":128,"learning_rate":0.2}"#, "reset_last"),
            (
                r#"{"method":"gradient_ascent","variant":"bounded","epochs":2,"batch_size":128,"learning_rate":0.05,"ascent_weight":0.1}"#,
                "gradient_ascent",
            ),
            (
                r#"{"method":"neggrad_plus","epochs":1,"batch_size":64,"learning_rate":0.03,"retain_weight":0.9}"#,
                "neggrad_plus",
            ),
        ] {
            let method: Method = serde_json::from_str(old).unwrap();
            let shrink = match method {
                Method::ResetLast(ResetLast { shrink, .. })
                | Method::GradientAscent(GradientAscent { shrink, .. })
                | Method::NegGradPlus(NegGradPlus { shrink, .. }) => shrink,
                _ => f64::NAN,
            };
            assert_eq!((method.name(), shrink), (name, 1.0));
        }
    }
}
