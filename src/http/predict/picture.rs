//! A picture into the model's pixels.

use super::super::error::{Code, FieldError, Problem};
use super::super::serving::refusal;
use super::super::state::AppState;
use crate::data::InputSpec;
use crate::formats::picture::{self, Prepare};
use crate::formats::{Fault, Values};
use crate::inference::Loaded;
use bytes::Bytes;
use std::sync::Arc;

/// Pixels above which a picture is read off the async threads: about a millisecond.
const INLINE_PIXELS: u64 = 1 << 16;
/// Datasets of handwritten digits, whose rows were prepared as MNIST's were.
const DIGITS: [&str; 2] = ["mnist", "digits"];

/// One row. A large picture needs a permit, for it takes memory and time no other format does.
pub async fn pixels(
    app: &AppState,
    body: Bytes,
    prepare: Option<Prepare>,
    loaded: &Loaded,
) -> Result<Values, Problem> {
    let InputSpec::Image { height, width } = loaded.model.input else {
        let detail =
            format!("this model takes {} floats a row, not pictures; send JSON", loaded.n_features());
        return Err(Problem::invalid(vec![FieldError::new("", detail)]));
    };
    let one = |fault| refusal(vec![fault]);
    let found = picture::size(&body).map_err(one)?;
    let prepare = prepare.unwrap_or_else(|| {
        if found == (width, height) {
            Prepare::None
        } else if is_of_digits(loaded) {
            Prepare::Digit
        } else {
            Prepare::Resize
        }
    });
    let read = move || -> Result<Values, Fault> {
        let pixels = picture::decode(&body)?.prepare(prepare, height as usize, width as usize)?;
        Ok(Values::U8(pixels.into()))
    };
    if u64::from(found.0) * u64::from(found.1) <= INLINE_PIXELS {
        return read().map_err(one);
    }
    let Ok(permit) = Arc::clone(&app.pictures).try_acquire_owned() else {
        let detail =
            "as many large pictures are being read as may be; try again in a moment, or send smaller ones";
        return Err(Problem::new(Code::Overloaded, detail).retry_after(1));
    };
    let reading = tokio::task::spawn_blocking(move || {
        let values = read();
        drop(permit);
        values
    });
    reading.await.map_err(Problem::internal)?.map_err(one)
}

/// Whether the version was trained on one of [`DIGITS`], or on what was planted into it.
fn is_of_digits(loaded: &Loaded) -> bool {
    let dataset = loaded.model.lineage.get("dataset").map_or("", String::as_str);
    let base = dataset.split('-').next().unwrap_or_default();
    DIGITS.contains(&base)
}
