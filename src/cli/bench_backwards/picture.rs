//! What was measured, as pictures.

use super::forgetting::{CLASS, Course, Look, Way};
use super::published::Comparison;
use super::reference::{Curve, Epoch, published_of};
use crate::chart::figure::{Axis, Entry, Figure, Ink, Line, Plot, Shape};
use crate::nn::Mode;

/// What of an epoch is shown in which colour.
type Shown = (Ink, fn(&Epoch) -> f64);

/// `nn` (left) and `debug` (right) over their epochs, every seed a line, the published values as dots.
pub(super) fn reference(dataset: &str, curves: &[Curve], comparison: Option<&Comparison>) -> String {
    let plot = |mode: Mode, heading: &str, shown: &[Shown]| {
        let of_mode: Vec<&Curve> = curves.iter().filter(|curve| curve.mode == mode).collect();
        let mut lines: Vec<Line> = Vec::new();
        for &(ink, of) in shown {
            lines.extend(of_mode.iter().map(|curve| {
                let points = (1..).map(f64::from).zip(curve.epochs.iter().map(of)).collect();
                Line { ink, shape: Shape::Thin, points }
            }));
        }
        if comparison.is_some() {
            let points = (1..).map(f64::from).zip(published_of(mode).iter().copied()).collect();
            lines.push(Line { ink: Ink::Dark, shape: Shape::Dots, points });
        }
        Plot { heading: heading.to_owned(), x_name: "epoch", axis: Axis::Epochs, y: None, lines }
    };
    let (printed, honest) = (Ink::Hue(0), Ink::Hue(1));
    let mut legend = vec![
        Entry {
            ink: printed,
            shape: Shape::Thin,
            word: "what Lethe's program prints, a line a seed".to_owned(),
        },
        Entry { ink: honest, shape: Shape::Thin, word: "debug's honest test accuracy".to_owned() },
    ];
    if comparison.is_some() {
        legend.insert(
            0,
            Entry { ink: Ink::Dark, shape: Shape::Dots, word: "what the report prints".to_owned() },
        );
    }
    Figure {
        title: &format!("The report's two programs on {dataset}"),
        plots: [
            plot(
                Mode::Nn,
                "nn: accuracy on the rows it is not trained on, %",
                &[(printed, |epoch| epoch.printed)],
            ),
            plot(
                Mode::Debug,
                "debug: accuracy right after the update on the same rows, %",
                &[(honest, |epoch| epoch.test), (printed, |epoch| epoch.printed)],
            ),
        ],
        legend,
        caption: comparison.map(Comparison::lines).unwrap_or_default(),
    }
    .draw()
}

/// What is left of the class (left) and of all others (right), over the samples trained on: the mean of the seeds
/// a strong line, each of them a pale one.
pub(super) fn forgetting(dataset: &str, courses: &[Course]) -> String {
    let legend = Way::ALL.map(|way| {
        let word = match way {
            Way::Backwards => "learning backwards".to_owned(),
            Way::RandomLabels => format!("unlearning class {CLASS} by random labels"),
            Way::Ascent => format!("unlearning class {CLASS} by ascent; dots: stopped by the guard"),
        };
        Entry { ink: ink_of(way), shape: Shape::Line, word }
    });
    Figure {
        title: &format!("Three ways to forget, from the same network, which has learnt {dataset}"),
        plots: [
            plot(&format!("class {CLASS}: training rows still answered rightly, %"), courses, |look| {
                look.of_class
            }),
            plot("all other classes: training rows still answered rightly, %", courses, |look| {
                look.of_others
            }),
        ],
        legend: legend.into(),
        caption: vec![],
    }
    .draw()
}

fn plot(heading: &str, courses: &[Course], of: fn(&Look) -> f64) -> Plot {
    let point = |look: &Look| (look.n_samples as f64, 100.0 * of(look));
    let (mut lines, mut dots): (Vec<Line>, Vec<Line>) = (Vec::new(), Vec::new());
    for way in Way::ALL {
        let (ink, seeds) = (ink_of(way), courses.iter().filter(|course| course.way == way));
        // where nothing is trained yet has no place on a logarithmic axis
        let curves: Vec<Vec<(f64, f64)>> =
            seeds.clone().map(|seed| seed.looks[1..].iter().map(point).collect()).collect();
        let ends = seeds.filter(|seed| seed.given_back.is_some()).filter_map(|seed| seed.looks.last());
        dots.push(Line { ink, shape: Shape::Dots, points: ends.map(point).collect() });
        let mean = mean(&curves);
        // seeds that end apart are shown one by one
        let are_together = curves.iter().all(|points| points.len() == mean.len());
        let shape = if are_together { Shape::Pale } else { Shape::Line };
        lines.extend(curves.into_iter().map(|points| Line { ink, shape, points }));
        if are_together {
            lines.push(Line { ink, shape: Shape::Line, points: mean });
        }
    }
    lines.extend(dots);
    Plot {
        heading: heading.to_owned(),
        x_name: "samples trained on since then",
        axis: Axis::Logarithmic,
        y: Some((0.0, 100.0)),
        lines,
    }
}

/// As far as all curves have a point at the same place.
fn mean(curves: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    let Some(first) = curves.first() else { return vec![] };
    let at = |i: usize| {
        let points: Option<Vec<(f64, f64)>> = curves.iter().map(|curve| curve.get(i).copied()).collect();
        let points = points?;
        let is_one_place = points.iter().all(|point| point.0 == points[0].0);
        let sum: f64 = points.iter().map(|point| point.1).sum();
        is_one_place.then(|| (points[0].0, sum / points.len() as f64))
    };
    (0..first.len()).map_while(at).collect()
}

const fn ink_of(way: Way) -> Ink {
    Ink::Hue(match way {
        Way::Backwards => 0,
        Way::RandomLabels => 1,
        Way::Ascent => 2,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_goes_as_far_as_all_its_curves() {
        let curves = [vec![(1.0, 10.0), (2.0, 30.0), (4.0, 5.0)], vec![(1.0, 20.0), (2.0, 50.0), (3.0, 5.0)]];
        assert_eq!(mean(&curves), [(1.0, 15.0), (2.0, 40.0)]);
        assert_eq!(mean(&curves[..1]), curves[0]);
        assert_eq!(mean(&[]), []);
    }
}
