//! A picture of two plots side by side, with a legend and a caption below: for measurements that are no run's.

use super::scale::Scale;
use super::{Area, Drawn, HUES, INK, SOFT_INK, UNITS, WIDTH, at, picture, plane, px, write, write_entry};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::ops::Range;

/// Heights in pixels of the legend where a caption takes its place, and of a line of the caption.
const LEGEND: u32 = 36;
const CAPTION_LINE: usize = 16;

#[derive(Clone, Debug)]
pub struct Figure<'a> {
    pub title: &'a str,
    pub plots: [Plot; 2],
    pub legend: Vec<Entry>,
    /// One text a line, of which there is room for three.
    pub caption: Vec<String>,
}

/// Percentages over something.
#[derive(Clone, Debug)]
pub struct Plot {
    pub heading: String,
    pub x_name: &'static str,
    pub axis: Axis,
    /// The percentages shown; without it those there are.
    pub y: Option<(f64, f64)>,
    pub lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Whole numbers.
    Epochs,
    /// Numbers above zero.
    Logarithmic,
}

/// Later lines lie on top.
#[derive(Clone, Debug)]
pub struct Line {
    pub ink: Ink,
    pub shape: Shape,
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Line,
    /// For one of several lines of the same kind.
    Thin,
    /// The same, behind what matters more.
    Pale,
    /// No line.
    Dots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Dark,
    /// One of six colours.
    Hue(usize),
}

/// A line of the legend.
#[derive(Clone, Debug)]
pub struct Entry {
    pub ink: Ink,
    pub shape: Shape,
    pub word: String,
}

impl Figure<'_> {
    /// As SVG.
    pub fn draw(&self) -> String {
        picture(self.title, WIDTH, |body, below| self.draw_on(body, below))
    }

    fn draw_on(&self, body: &Area<'_>, below: &Area<'_>) -> Drawn {
        if self.caption.is_empty() {
            self.draw_plots(body)?;
            return self.draw_legend(below);
        }
        let (plots, legend) = body.split_vertically(body.dim_in_pixel().1 - px(LEGEND));
        self.draw_plots(&plots)?;
        self.draw_legend(&legend)?;
        for (y, text) in (4..).step_by(CAPTION_LINE).zip(&self.caption) {
            write(below, text, (24, y), 12, SOFT_INK, HPos::Left, false)?;
        }
        Ok(())
    }

    fn draw_plots(&self, area: &Area<'_>) -> Drawn {
        let (left, right) = area.split_horizontally(px(WIDTH / 2));
        self.plots[0].draw_on(&left)?;
        self.plots[1].draw_on(&right)
    }

    fn draw_legend(&self, area: &Area<'_>) -> Drawn {
        let mut x = 24;
        for entry in &self.legend {
            x = entry.draw_on(area, x)?;
        }
        Ok(())
    }
}

impl Plot {
    fn draw_on(&self, area: &Area<'_>) -> Drawn {
        write(area, &self.heading, (24, 12), 13, SOFT_INK, HPos::Left, false)?;
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let y = match self.y {
            Some((least, most)) => Scale::around([least, most].into_iter(), (0.0, 100.0), 5),
            None => Scale::around(points().map(|point| point.1), (0.0, 100.0), 5),
        };
        match self.axis {
            Axis::Epochs => {
                let last = points().map(|point| point.0 as u32).max().unwrap_or(1);
                self.draw_in(area, Scale::epochs(1, last), y)
            }
            Axis::Logarithmic => self.draw_in(area, Decades::around(points().map(|point| point.0)), y),
        }
    }

    fn draw_in<X>(&self, area: &Area<'_>, x: X, y: Scale) -> Drawn
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = plane(area, x, y, self.x_name)?;
        for line in &self.lines {
            let points = line.points.iter().copied();
            match line.shape {
                Shape::Dots => {
                    let radius = line.shape.radius();
                    chart.draw_series(
                        points.map(|point| Circle::new(point, radius, line.ink.color().filled())),
                    )?;
                }
                Shape::Line | Shape::Thin | Shape::Pale => {
                    let color = line.ink.color().mix(line.shape.opacity());
                    let style = color.stroke_width(line.shape.width());
                    chart.draw_series(LineSeries::new(points, style))?;
                }
            }
        }
        Ok(())
    }
}

impl Shape {
    const fn width(self) -> u32 {
        match self {
            Self::Line => UNITS * 5 / 2,
            Self::Thin | Self::Pale | Self::Dots => UNITS * 5 / 4,
        }
    }

    const fn opacity(self) -> f64 {
        match self {
            Self::Pale => 0.4,
            Self::Line | Self::Thin | Self::Dots => 1.0,
        }
    }

    const fn radius(self) -> i32 {
        (UNITS * 3) as i32
    }
}

impl Ink {
    const fn color(self) -> RGBColor {
        match self {
            Self::Dark => INK,
            Self::Hue(number) => HUES[number % HUES.len()],
        }
    }
}

impl Entry {
    /// Returns where the next one begins.
    fn draw_on(&self, area: &Area<'_>, x: i32) -> Result<i32, Box<dyn std::error::Error>> {
        let color = self.ink.color();
        match self.shape {
            Shape::Dots => {
                for dx in [5, 14, 23] {
                    area.draw(&Circle::new(at((x + dx, 20)), self.shape.radius(), color.filled()))?;
                }
            }
            Shape::Line | Shape::Thin | Shape::Pale => {
                let (from, to) = (at((x, 20)), at((x + 28, 20)));
                let style = color.stroke_width(self.shape.width());
                area.draw(&DashedPathElement::new(vec![from, to], px(28) as i32, 0, style))?;
            }
        }
        write_entry(area, &self.word, x + 36, false)
    }
}

/// A logarithmic axis with a tick at every power of ten.
#[derive(Clone, Debug, PartialEq)]
struct Decades {
    lower: f64,
    upper: f64,
}

impl Decades {
    /// Values must be above zero; without any there is one decade.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (min, max) =
            values.fold((f64::INFINITY, 0.0f64), |(min, max), value| (min.min(value), max.max(value)));
        if min <= max {
            Self { lower: min, upper: max.max(min * 10.0) }
        } else {
            Self { lower: 1.0, upper: 10.0 }
        }
    }
}

impl Ranged for Decades {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value / self.lower).log10() / (self.upper / self.lower).log10();
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let first = self.lower.log10().ceil() as i32;
        (first..)
            .map(|power| 10f64.powi(power))
            .take_while(|tick| *tick <= self.upper * (1.0 + 1e-9))
            .collect()
    }

    fn range(&self) -> Range<f64> {
        self.lower..self.upper
    }
}

impl ValueFormatter<f64> for Decades {
    /// `10,000`
    fn format_ext(&self, value: &f64) -> String {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(axis: Axis, points: &[(f64, f64)]) -> Plot {
        let lines = [Shape::Line, Shape::Thin, Shape::Pale, Shape::Dots].map(|shape| Line {
            ink: Ink::Hue(7),
            shape,
            points: points.to_vec(),
        });
        let y = (axis == Axis::Epochs).then_some((0.0, 100.0));
        Plot { heading: "share, %".to_owned(), x_name: "samples", axis, y, lines: lines.into() }
    }

    fn figure(points: &[(f64, f64)]) -> String {
        let entry = |shape| Entry { ink: Ink::Hue(0), shape, word: "a < b".to_owned() };
        Figure {
            title: "two & two",
            plots: [plot(Axis::Epochs, points), plot(Axis::Logarithmic, points)],
            legend: vec![entry(Shape::Line), entry(Shape::Dots)],
            caption: vec!["near enough".to_owned()],
        }
        .draw()
    }

    #[test]
    fn a_figure_says_all_its_words_and_escapes_them() {
        let svg = figure(&[(1.0, 90.0), (10.0, 50.0), (1000.0, 20.0)]);
        assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for word in ["two &amp; two", "share, %", "samples", "near enough", "a &lt; b", "1,000"] {
            assert!(svg.contains(word), "{word} is missing");
        }
        assert_eq!(svg, figure(&[(1.0, 90.0), (10.0, 50.0), (1000.0, 20.0)]));
    }

    #[test]
    fn nothing_or_a_single_point_is_a_figure_too() {
        for points in [&[][..], &[(1.0, 0.0)], &[(150.0, 100.0)]] {
            let svg = figure(points);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn powers_of_ten_are_equally_far_apart() {
        let decades = Decades::around([64.0, 1_920_000.0].into_iter());
        let ticks = decades.key_points(plotters::coord::ranged1d::BoldPoints(10));
        assert_eq!(ticks, [100.0, 1e3, 1e4, 1e5, 1e6]);
        let places: Vec<i32> = ticks.iter().map(|tick| decades.map(tick, (0, 10_000))).collect();
        let first = places[1] - places[0];
        assert!(places.windows(2).all(|pair| (pair[1] - pair[0] - first).abs() <= 1), "{places:?}");
        assert_eq!((decades.map(&64.0, (0, 100)), decades.map(&1_920_000.0, (0, 100))), (0, 100));
        assert_eq!(
            [1.0, 999.0, 12_345.0, 1e6].map(|value| decades.format_ext(&value)),
            ["1", "999", "12,345", "1,000,000"]
        );
    }
}
