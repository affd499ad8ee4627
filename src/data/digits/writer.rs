//! Invented people: what stays the same in everything one of them writes.

use super::glyphs::DIGITS;
use super::random::{Purpose, Random};

/// One person's hand. Lengths are in boxes of a digit's height unless they say pixels.
#[derive(Debug)]
pub(super) struct Writer {
    number: u32,
    /// Shift of the top against the bottom, to the right.
    pub(super) slant: f32,
    /// Half-angle tangent of the rotation.
    pub(super) tilt: f32,
    /// Multiplies every digit's width.
    pub(super) aspect: f32,
    /// Moves the waist of a digit down (positive) or up.
    pub(super) waist: f32,
    /// Bows a digit's spine sideways.
    pub(super) bow: f32,
    /// How far the pen runs round between points: 0 goes straight, 1 swings.
    pub(super) roundness: f32,
    /// Pixels.
    pub(super) pen_radius: f32,
    /// How much the pen's width follows the pressure along a stroke.
    pub(super) pressure: f32,
    /// How dark full ink is; beyond 1 the dark spreads into the fading edge.
    pub(super) ink: f32,
    /// Width in pixels over which an edge fades.
    pub(super) softness: f32,
    /// Height of a digit in pixels.
    pub(super) size: f32,
    /// Pixels off the centre.
    pub(super) offset: (f32, f32),
    /// Trembling of the pen, in pixels.
    pub(super) wobble: f32,
    /// Spread of each point from one drawing of a digit to the next.
    pub(super) sloppiness: f32,
    /// How far strokes run on past their end.
    pub(super) overshoot: f32,
    /// The form this person uses of each digit.
    forms: [usize; 10],
    /// How often another form slips in.
    fickleness: f32,
    /// How much this person writes, relative to others.
    pub(super) diligence: f32,
}

/// How far a person's own form of a digit lies from the model in the copybook.
pub(super) const OWN_FORM: f32 = 0.038;

impl Writer {
    pub(super) fn new(number: u32) -> Self {
        let mut random = Random::new(Purpose::Style, number);
        let r = &mut random;
        let carelessness = r.unit();
        Self {
            number,
            slant: 0.16 + 0.22 * r.normal(),
            tilt: 0.03 * r.normal(),
            aspect: 1.1 + 0.14 * r.normal(),
            waist: 0.1 * r.normal(),
            bow: 0.05 * r.normal(),
            roundness: r.between(0.8, 1.15),
            pen_radius: 1.34 + 0.28 * r.normal(),
            pressure: r.between(0.0, 0.35),
            ink: r.between(1.0, 1.25),
            softness: r.between(1.1, 1.8),
            size: 19.2 + 0.7 * r.normal(),
            offset: (0.35 * r.normal(), 0.35 * r.normal()),
            wobble: 0.18 * r.unit(),
            sloppiness: 0.028 + 0.055 * carelessness * carelessness * carelessness,
            overshoot: r.between(-0.04, 0.08),
            forms: std::array::from_fn(|digit| r.pick(DIGITS[digit].iter().map(|form| form.weight))),
            fickleness: r.between(0.0, 0.3),
            diligence: r.between(0.4, 1.6),
        }
    }

    /// Which form of `digit` this person writes this time.
    pub(super) fn form(&self, digit: usize, random: &mut Random) -> usize {
        if random.chance(self.fickleness) {
            random.pick(DIGITS[digit].iter().map(|form| form.weight))
        } else {
            self.forms[digit]
        }
    }

    /// This person's own displacements of the points of `digit`, the same every time.
    pub(super) fn shape(&self, digit: usize) -> Random {
        Random::new(Purpose::Shape, self.number * 10 + digit as u32)
    }
}

/// Displacements that follow one another as points do: neighbours move together, so that a ring stays
/// round where independent points would make a polygon of it.
#[derive(Default)]
pub(super) struct Drift {
    x: f32,
    y: f32,
}

impl Drift {
    /// Correlation of neighbours, and what makes the variance one in the long run.
    const KEEP: f32 = 0.6;
    const FRESH: f32 = 0.8;

    pub(super) fn next(&mut self, random: &mut Random) -> (f32, f32) {
        self.x = Self::KEEP * self.x + Self::FRESH * random.normal();
        self.y = Self::KEEP * self.y + Self::FRESH * random.normal();
        (self.x, self.y)
    }
}
