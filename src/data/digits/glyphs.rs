//! How people write the ten digits: for each a few forms (allographs), each a few strokes of the pen.
//!
//! A stroke is a chain of points in a box one wide and one high, `y` downwards; the pen runs through
//! them in a smooth curve and turns sharply only at corners.

/// A point the pen passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) corner: bool,
}

/// One way to write a digit.
#[derive(Debug)]
pub(super) struct Glyph {
    pub(super) strokes: &'static [&'static [Point]],
    /// Width over height.
    pub(super) aspect: f32,
    /// How common the form is among writers, relative to the digit's other forms.
    pub(super) weight: f32,
}

/// Passes through.
const fn p(x: f32, y: f32) -> Point {
    Point { x, y, corner: false }
}

/// Turns sharply.
const fn k(x: f32, y: f32) -> Point {
    Point { x, y, corner: true }
}

const fn form(weight: f32, aspect: f32, strokes: &'static [&'static [Point]]) -> Glyph {
    Glyph { strokes, aspect, weight }
}

/// The forms of each digit.
#[rustfmt::skip] // with a point a line nobody could see a digit in the table
pub(super) static DIGITS: [&[Glyph]; 10] = [
    // 0
    &[
        // closed where it began
        form(5.0, 0.78, &[
            &[
                p(0.58, 0.02), p(0.27, 0.1), p(0.06, 0.45), p(0.14, 0.84), p(0.45, 0.99), p(0.81, 0.84),
                p(0.94, 0.48), p(0.82, 0.14), p(0.54, 0.01),
            ],
        ]),
        // its end crosses its beginning
        form(2.0, 0.74, &[
            &[
                p(0.72, 0.1), p(0.4, 0.03), p(0.1, 0.32), p(0.08, 0.75), p(0.4, 1.0), p(0.82, 0.82),
                p(0.94, 0.4), p(0.75, 0.08), p(0.5, 0.0), p(0.33, 0.09),
            ],
        ]),
        // left open at the top
        form(1.0, 0.8, &[
            &[
                p(0.38, 0.05), p(0.1, 0.35), p(0.08, 0.75), p(0.42, 1.0), p(0.84, 0.82), p(0.93, 0.38),
                p(0.68, 0.04),
            ],
        ]),
    ],
    // 1
    &[
        // a bare stroke
        form(6.0, 0.07, &[
            &[p(0.6, 0.0), p(0.5, 0.5), p(0.45, 1.0)],
        ]),
        // with a flag
        form(2.5, 0.34, &[
            &[p(0.0, 0.28), k(0.75, 0.0), p(0.74, 0.5), p(0.72, 1.0)],
        ]),
        // with flag and foot
        form(0.8, 0.5, &[
            &[p(0.1, 0.22), k(0.55, 0.0), p(0.54, 0.5), p(0.53, 0.98)],
            &[p(0.08, 0.99), p(0.98, 0.98)],
        ]),
    ],
    // 2
    &[
        // with a corner at the foot
        form(3.0, 0.74, &[
            &[
                p(0.1, 0.24), p(0.3, 0.04), p(0.66, 0.03), p(0.84, 0.26), p(0.66, 0.54), p(0.35, 0.79),
                k(0.06, 0.97), p(0.45, 0.94), p(0.96, 0.97),
            ],
        ]),
        // with a loop at the foot
        form(3.0, 0.85, &[
            &[
                p(0.12, 0.22), p(0.38, 0.02), p(0.72, 0.1), p(0.74, 0.4), p(0.46, 0.78), p(0.18, 0.97),
                p(0.03, 0.86), p(0.2, 0.73), p(0.5, 0.86), p(0.97, 0.93),
            ],
        ]),
        // round, with a wave for a foot
        form(1.0, 0.78, &[
            &[
                p(0.05, 0.2), p(0.42, 0.0), p(0.8, 0.2), p(0.64, 0.52), p(0.3, 0.8), k(0.03, 0.96),
                p(0.3, 0.87), p(0.62, 0.97), p(0.98, 0.86),
            ],
        ]),
    ],
    // 3
    &[
        // sharp waist
        form(4.0, 0.68, &[
            &[
                p(0.12, 0.14), p(0.42, 0.01), p(0.79, 0.14), p(0.7, 0.38), k(0.36, 0.47), p(0.8, 0.56),
                p(0.92, 0.79), p(0.6, 0.98), p(0.25, 0.97), p(0.04, 0.84),
            ],
        ]),
        // flat top
        form(0.8, 0.7, &[
            &[
                p(0.1, 0.04), k(0.82, 0.03), k(0.4, 0.42), p(0.82, 0.53), p(0.88, 0.79), p(0.55, 0.99),
                p(0.06, 0.9),
            ],
        ]),
        // a small loop at the waist
        form(1.5, 0.66, &[
            &[
                p(0.12, 0.12), p(0.5, 0.0), p(0.82, 0.18), p(0.6, 0.42), p(0.38, 0.49), p(0.4, 0.42),
                p(0.72, 0.5), p(0.93, 0.74), p(0.62, 0.99), p(0.22, 0.98), p(0.03, 0.86),
            ],
        ]),
    ],
    // 4
    &[
        // open
        form(4.0, 0.74, &[
            &[p(0.22, 0.04), p(0.13, 0.32), k(0.07, 0.56), p(0.5, 0.56), p(0.97, 0.51)],
            &[p(0.82, 0.02), p(0.76, 0.5), p(0.7, 1.0)],
        ]),
        // closed at the top
        form(1.2, 0.74, &[
            &[p(0.72, 0.0), p(0.38, 0.32), k(0.03, 0.66), p(0.5, 0.66), p(0.99, 0.63)],
            &[p(0.73, 0.0), p(0.7, 0.5), p(0.68, 1.0)],
        ]),
        // in one go, like an open nine
        form(2.0, 0.66, &[
            &[
                p(0.14, 0.06), p(0.06, 0.36), p(0.26, 0.53), p(0.62, 0.47), k(0.88, 0.03), p(0.8, 0.5),
                p(0.7, 1.0),
            ],
        ]),
    ],
    // 5
    &[
        // the roof drawn last
        form(2.5, 0.74, &[
            &[
                p(0.28, 0.05), k(0.2, 0.44), p(0.52, 0.37), p(0.84, 0.56), p(0.78, 0.86), p(0.42, 1.0),
                p(0.04, 0.9),
            ],
            &[p(0.27, 0.05), p(0.6, 0.04), p(0.98, 0.0)],
        ]),
        // in one go
        form(2.0, 0.72, &[
            &[
                p(0.94, 0.01), k(0.32, 0.04), k(0.2, 0.44), p(0.55, 0.38), p(0.86, 0.6), p(0.72, 0.91),
                p(0.38, 1.0), p(0.03, 0.87),
            ],
        ]),
        // rounded like an S
        form(1.3, 0.7, &[
            &[
                p(0.94, 0.02), p(0.5, 0.04), p(0.24, 0.22), p(0.4, 0.43), p(0.74, 0.62), p(0.7, 0.89),
                p(0.36, 1.0), p(0.03, 0.9),
            ],
        ]),
    ],
    // 6
    &[
        // a swung back
        form(3.0, 0.64, &[
            &[
                p(0.78, 0.02), p(0.4, 0.22), p(0.1, 0.62), p(0.2, 0.93), p(0.58, 1.0), p(0.88, 0.8),
                p(0.74, 0.57), p(0.42, 0.57), p(0.14, 0.8),
            ],
        ]),
        // a straight back and a small bowl
        form(2.0, 0.5, &[
            &[
                p(0.6, 0.0), p(0.3, 0.36), p(0.08, 0.74), p(0.3, 0.99), p(0.74, 0.93), p(0.86, 0.73),
                p(0.56, 0.63), p(0.2, 0.76),
            ],
        ]),
        // a wide bowl
        form(1.0, 0.72, &[
            &[
                p(0.55, 0.0), p(0.2, 0.25), p(0.05, 0.65), p(0.3, 0.98), p(0.72, 0.96), p(0.96, 0.7),
                p(0.66, 0.47), p(0.28, 0.55), p(0.08, 0.72),
            ],
        ]),
    ],
    // 7
    &[
        // plain
        form(4.0, 0.7, &[
            &[p(0.04, 0.09), p(0.5, 0.05), k(0.94, 0.04), p(0.66, 0.46), p(0.48, 1.0)],
        ]),
        // crossed
        form(1.0, 0.74, &[
            &[p(0.05, 0.07), p(0.5, 0.05), k(0.93, 0.03), p(0.66, 0.45), p(0.46, 1.0)],
            &[p(0.26, 0.53), p(0.86, 0.48)],
        ]),
        // with a serif
        form(1.2, 0.68, &[
            &[p(0.04, 0.26), k(0.09, 0.05), p(0.5, 0.07), k(0.93, 0.03), p(0.68, 0.42), p(0.54, 1.0)],
        ]),
        // bent instead of broken
        form(1.5, 0.62, &[
            &[p(0.03, 0.16), p(0.36, 0.03), p(0.84, 0.05), p(0.86, 0.3), p(0.62, 0.65), p(0.5, 1.0)],
        ]),
    ],
    // 8
    &[
        // in one go from the upper right
        form(4.0, 0.62, &[
            &[
                p(0.84, 0.14), p(0.52, 0.0), p(0.18, 0.17), p(0.4, 0.44), p(0.8, 0.71), p(0.62, 0.98),
                p(0.24, 0.95), p(0.14, 0.75), p(0.48, 0.49), p(0.8, 0.25), p(0.76, 0.04),
            ],
        ]),
        // one ring upon the other
        form(0.8, 0.6, &[
            &[p(0.52, 0.0), p(0.2, 0.14), p(0.3, 0.42), p(0.66, 0.42), p(0.8, 0.18), p(0.5, 0.0)],
            &[p(0.48, 0.44), p(0.1, 0.64), p(0.2, 0.96), p(0.7, 0.98), p(0.9, 0.68), p(0.5, 0.44)],
        ]),
        // from the middle, narrow
        form(1.5, 0.5, &[
            &[
                p(0.55, 0.48), p(0.2, 0.25), p(0.48, 0.0), p(0.8, 0.18), p(0.5, 0.48), p(0.12, 0.78),
                p(0.46, 1.0), p(0.86, 0.8), p(0.56, 0.48),
            ],
        ]),
    ],
    // 9
    &[
        // a straight leg
        form(3.5, 0.6, &[
            &[
                p(0.84, 0.14), p(0.5, 0.01), p(0.12, 0.2), p(0.22, 0.46), p(0.6, 0.42), k(0.86, 0.1),
                p(0.8, 0.5), p(0.72, 1.0),
            ],
        ]),
        // a swung leg
        form(1.5, 0.62, &[
            &[
                p(0.82, 0.18), p(0.5, 0.01), p(0.12, 0.2), p(0.22, 0.47), p(0.64, 0.42), p(0.86, 0.14),
                p(0.88, 0.55), p(0.66, 0.93), p(0.2, 0.97),
            ],
        ]),
        // a slanted leg and a small head
        form(1.5, 0.5, &[
            &[
                p(0.8, 0.06), p(0.4, 0.03), p(0.1, 0.24), p(0.34, 0.42), p(0.78, 0.24), k(0.92, 0.06),
                p(0.66, 0.5), p(0.44, 1.0),
            ],
        ]),
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_fills_its_box() {
        for (digit, forms) in DIGITS.iter().enumerate() {
            for form in *forms {
                let points = form.strokes.iter().flat_map(|stroke| stroke.iter());
                assert!(form.strokes.iter().all(|stroke| stroke.len() >= 2), "{digit}");
                assert!(points.clone().all(|p| (0.0..=1.0).contains(&p.x) && (0.0..=1.0).contains(&p.y)));
                let top = points.clone().map(|p| p.y).fold(1.0, f32::min);
                let bottom = points.map(|p| p.y).fold(0.0, f32::max);
                assert!(top < 0.06 && bottom > 0.95, "{digit} reaches from {top} to {bottom}");
            }
        }
    }
}
