//! Pictures of any size into the pixels a model was trained on.

mod digit;
mod file;
mod resample;

pub use file::{MAX_PIXELS, decode, size};

use super::Fault;
use serde::Deserialize;

/// What is done to a picture before the network sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prepare {
    /// Nothing: it must have the model's size.
    None,
    /// It is scaled to the model's size, by area.
    Resize,
    /// What was done to the digits of MNIST: light ink on black, cut out, scaled into a box and placed by its centre
    /// of mass.
    Digit,
}

/// A picture in grey, line by line from the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// 0 is black, 255 is white; what lies below transparent places does not count.
    pub grey: Vec<u8>,
    /// 0 is transparent, 255 is opaque; absent if everything is opaque.
    pub alpha: Option<Vec<u8>>,
}

impl Picture {
    /// The pixels of a `height × width` picture, light on dark.
    pub fn prepare(&self, prepare: Prepare, height: usize, width: usize) -> Result<Vec<u8>, Fault> {
        match prepare {
            Prepare::None if (self.width, self.height) == (width, height) => Ok(self.over(0)),
            Prepare::None => {
                let detail = format!(
                    "the picture must be {width}×{height} pixels, not {}×{}; `?prepare=` has it scaled",
                    self.width, self.height
                );
                Err(Fault::whole(detail))
            }
            Prepare::Resize => {
                let grey: Vec<f32> = self.over(0).into_iter().map(f32::from).collect();
                let whole = resample::Cut { left: 0, top: 0, width: self.width, height: self.height };
                let scaled = resample::by_area(&grey, self.width, whole, width, height);
                Ok(scaled.into_iter().map(|value| value.round() as u8).collect())
            }
            Prepare::Digit => Ok(digit::prepare(self, height, width)),
        }
    }

    /// What is seen of it on a ground of this grey.
    fn over(&self, ground: u8) -> Vec<u8> {
        match &self.alpha {
            None => self.grey.clone(),
            Some(alpha) => {
                let mixed = self.grey.iter().zip(alpha).map(|(&grey, &alpha)| {
                    let (grey, alpha, ground) = (u32::from(grey), u32::from(alpha), u32::from(ground));
                    ((grey * alpha + ground * (255 - alpha) + 127) / 255) as u8
                });
                mixed.collect()
            }
        }
    }
}
