//! The curves of one run, or of several to compare, as an SVG picture.
//!
//! A pure function of its input: the same series give the same bytes. The picture brings its own white
//! background, so that it reads the same in a dark page or a README.

mod diagnosis;
pub mod figure;
mod scale;
mod series;

pub use diagnosis::{Findings, draw_diagnosis};
pub use series::{Measure, Panel, Series};

use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use scale::Scale;

/// Size of the picture in CSS pixels, of two panels.
pub const WIDTH: u32 = 960;
pub const HEIGHT: u32 = 420;

/// plotters places everything on whole units; drawing that many to a pixel keeps curves smooth.
const UNITS: u32 = 4;

const INK: RGBColor = RGBColor(31, 35, 40);
const SOFT_INK: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(228, 231, 235);
const AXIS: RGBColor = RGBColor(175, 184, 193);

/// Okabe and Ito's colours, told apart by colour-blind readers too.
const HUES: [RGBColor; 6] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws accuracy (left) and loss (right) over epochs, and further right what is known of samples with right and with
/// wrong labels, where that was measured. One run: a colour for each measure. More runs: a
/// colour for each run, a stroke for each measure. Valid with no run, and with runs that measured nothing.
pub fn draw(title: &str, runs: &[Series]) -> String {
    let curves = curves(runs);
    let shows_memorisation = curves.iter().any(|curve| curve.measure.panel() == Panel::Memorisation);
    let width = if shows_memorisation { WIDTH / 2 * 3 } else { WIDTH };
    picture(title, width, |body, legend| draw_all(body, legend, runs, &curves))
}

/// A picture with a title above, in whose body and legend `fill` draws.
fn picture(title: &str, width: u32, fill: impl FnOnce(&Area<'_>, &Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width * UNITS, HEIGHT * UNITS)).into_drawing_area();
        let drawn = (|| {
            root.fill(&WHITE)?;
            write(&root, title, (24, 26), 17, INK, HPos::Left, true)?;
            let (_, body) = root.split_vertically(px(44));
            let (body, legend) = body.split_vertically(px(HEIGHT - 44 - 44));
            fill(&body, &legend)?;
            Ok::<_, Box<dyn std::error::Error>>(root.present()?)
        })();
        drawn.expect("a string takes everything written to it");
    }
    with_header(&svg, title, width)
}

fn draw_all(body: &Area<'_>, legend: &Area<'_>, runs: &[Series], curves: &[Curve]) -> Drawn {
    let (left, right) = body.split_horizontally(px(WIDTH / 2));
    let of = |panel: Panel| {
        curves.iter().filter(|c| c.measure.panel() == panel).map(|c| &c.line).collect::<Vec<_>>()
    };
    draw_panel(&left, "accuracy, %", &of(Panel::Accuracy), (0.0, 100.0))?;
    let (middle, right) = right.split_horizontally(px(WIDTH / 2));
    draw_panel(&middle, "loss (cross-entropy), nats", &of(Panel::Loss), (0.0, f64::MAX))?;
    let memorisation = of(Panel::Memorisation);
    if !memorisation.is_empty() {
        draw_panel(&right, "training samples by their labels, %", &memorisation, (0.0, 100.0))?;
    }
    draw_legend(legend, runs, curves)
}

/// A measure of a run.
struct Curve {
    measure: Measure,
    line: Line,
}

/// One line to draw over epochs.
struct Line {
    color: RGBColor,
    stroke: Stroke,
    points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

fn curves(runs: &[Series]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        for measure in Measure::ALL {
            if measure == Measure::ReportedAccuracy && !run.prints_otherwise() {
                continue;
            }
            let unit = if measure.panel() == Panel::Loss { 1.0 } else { 100.0 };
            let points: Vec<_> = run
                .curve(measure)
                .into_iter()
                .map(|(epoch, value)| (f64::from(epoch), value * unit))
                .collect();
            if !points.is_empty() {
                let color = if runs.len() == 1 { hue_of(measure) } else { HUES[i % HUES.len()] };
                curves.push(Curve { measure, line: Line { color, stroke: stroke_of(measure), points } });
            }
        }
    }
    curves
}

const fn hue_of(measure: Measure) -> RGBColor {
    match measure {
        Measure::TestAccuracy | Measure::TestLoss => HUES[1],
        Measure::TrainAccuracy | Measure::TrainLoss => HUES[4],
        Measure::ReportedAccuracy => HUES[3],
        Measure::RetainAccuracy | Measure::CleanAccuracy => HUES[2],
        Measure::ForgetAccuracy | Measure::ForgetLoss | Measure::Memorised => HUES[0],
        Measure::MislabelledAccuracy => HUES[5],
    }
}

const fn stroke_of(measure: Measure) -> Stroke {
    match measure {
        Measure::TestAccuracy
        | Measure::TestLoss
        | Measure::ForgetAccuracy
        | Measure::ForgetLoss
        | Measure::Memorised => Stroke::Solid,
        Measure::TrainAccuracy
        | Measure::TrainLoss
        | Measure::RetainAccuracy
        | Measure::MislabelledAccuracy => Stroke::Dashed,
        Measure::ReportedAccuracy | Measure::CleanAccuracy => Stroke::Dotted,
    }
}

/// What lines are drawn in.
type Plane<'r, 'a, X> = ChartContext<'r, SVGBackend<'a>, Cartesian2d<X, Scale>>;

/// Axes with their ticks and the grid's horizontal lines.
fn plane<'r, 'a, X>(
    area: &'r Area<'a>,
    x: X,
    y: Scale,
    x_name: &str,
) -> Result<Plane<'r, 'a, X>, Box<dyn std::error::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(28))
        .margin_right(px(24))
        .margin_left(px(16))
        .set_label_area_size(LabelAreaPosition::Left, px(44))
        .set_label_area_size(LabelAreaPosition::Bottom, px(38))
        .build_cartesian_2d(x, y)?;
    let label = font(12, false).color(&SOFT_INK);
    chart
        .configure_mesh()
        .bold_line_style(GRID.stroke_width(UNITS))
        .light_line_style(TRANSPARENT)
        .axis_style(AXIS.stroke_width(UNITS))
        .disable_x_mesh()
        .x_desc(x_name)
        .x_label_style(label.clone())
        .y_label_style(label.clone())
        .axis_desc_style(label)
        .set_tick_mark_size(LabelAreaPosition::Left, px(5) as i32)
        .set_tick_mark_size(LabelAreaPosition::Bottom, px(4) as i32)
        .draw()?;
    Ok(chart)
}

fn draw_panel(area: &Area<'_>, heading: &str, lines: &[&Line], limits: (f64, f64)) -> Drawn {
    let (width, height) = (area.dim_in_pixel().0 / UNITS, area.dim_in_pixel().1 / UNITS);
    write(area, heading, (24, 12), 13, SOFT_INK, HPos::Left, false)?;
    if lines.is_empty() {
        let middle = (width as i32 / 2, height as i32 / 2);
        return write(area, "no epoch finished yet", middle, 14, SOFT_INK, HPos::Center, false);
    }
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let first = points().map(|p| p.0 as u32).min().unwrap_or(1);
    let last = points().map(|p| p.0 as u32).max().unwrap_or(1);
    let x = Scale::epochs(first, last);
    let y = Scale::around(points().map(|p| p.1), limits, 5);

    let mut chart = plane(area, x, y, "epoch")?;
    // solid lines last: they lie on top
    for solid in [false, true] {
        for line in lines.iter().filter(|line| (line.stroke == Stroke::Solid) == solid) {
            let points = line.points.iter().copied();
            let style = line.color.stroke_width(UNITS * 9 / 4);
            match line.stroke {
                Stroke::Solid => chart.draw_series(LineSeries::new(points, style)).map(drop)?,
                Stroke::Dashed => {
                    let (dash, gap) = (px(7) as i32, px(5) as i32);
                    chart.draw_series(DashedLineSeries::new(points, dash, gap, style)).map(drop)?;
                }
                Stroke::Dotted => {
                    let (dash, gap) = (px(1) as i32, px(5) as i32);
                    chart.draw_series(DashedLineSeries::new(points, dash, gap, style)).map(drop)?;
                }
            }
            if solid && line.points.len() <= 20 {
                let radius = px(3) as i32;
                let dots = line.points.iter().map(|&point| Circle::new(point, radius, line.color.filled()));
                chart.draw_series(dots)?;
            }
        }
    }
    Ok(())
}

/// One row: the runs by colour when there are several, then the measures by stroke.
fn draw_legend(area: &Area<'_>, runs: &[Series], curves: &[Curve]) -> Drawn {
    let mut x = 24;
    if runs.len() > 1 {
        for (i, run) in runs.iter().enumerate() {
            let color = HUES[i % HUES.len()];
            area.draw(&Circle::new(at((x + 5, 20)), px(5) as i32, color.filled()))?;
            x = write_entry(area, run.name(), x + 16, true)?;
        }
        x += 12;
    }
    let mut shown: Vec<&str> = Vec::new();
    for curve in curves {
        let word = curve.measure.word();
        if shown.contains(&word) {
            continue;
        }
        shown.push(word);
        let color = if runs.len() > 1 { SOFT_INK } else { curve.line.color };
        x = draw_entry(area, word, color, curve.line.stroke, x)?;
    }
    Ok(())
}

/// Draws a legend word behind a stroke of its line and returns where the next entry begins.
fn draw_entry(
    area: &Area<'_>,
    word: &str,
    color: RGBColor,
    stroke: Stroke,
    x: i32,
) -> Result<i32, Box<dyn std::error::Error>> {
    let style = color.stroke_width(UNITS * 9 / 4);
    let (from, to) = (at((x, 20)), at((x + 30, 20)));
    let (dash, gap) = match stroke {
        Stroke::Solid => (px(30) as i32, 0),
        Stroke::Dashed => (px(7) as i32, px(5) as i32),
        Stroke::Dotted => (px(1) as i32, px(5) as i32),
    };
    area.draw(&DashedPathElement::new(vec![from, to], dash, gap, style))?;
    write_entry(area, word, x + 38, false)
}

/// Writes a legend word and returns where the next entry begins.
fn write_entry(area: &Area<'_>, word: &str, x: i32, bold: bool) -> Result<i32, Box<dyn std::error::Error>> {
    write(area, word, (x, 20), 13, INK, HPos::Left, bold)?;
    let width = 7.4 * word.chars().count() as f64;
    Ok(x + width as i32 + 22)
}

fn write(
    area: &Area<'_>,
    text: &str,
    position: (i32, i32),
    size: u32,
    color: RGBColor,
    align: HPos,
    bold: bool,
) -> Drawn {
    let style = font(size, bold).color(&color).pos(Pos::new(align, VPos::Center));
    let printable: String = text.chars().filter(|c| !c.is_control()).collect();
    area.draw(&Text::new(printable, at(position), style))?;
    Ok(())
}

fn font(size: u32, bold: bool) -> TextStyle<'static> {
    // plotters writes a font size divided by this factor
    let size = f64::from(size * UNITS) * 1.24;
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    ("system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif", size, style).into_text_style(&(1, 1))
}

const fn px(pixels: u32) -> u32 {
    pixels * UNITS
}

const fn at(position: (i32, i32)) -> (i32, i32) {
    (position.0 * UNITS as i32, position.1 * UNITS as i32)
}

/// Replaces the opening tag: the size in pixels over the fine units of the drawing, rounded line joins,
/// and a name for screen readers.
fn with_header(svg: &str, title: &str, width: u32) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let name: String = title
        .chars()
        .filter(|c| !c.is_control())
        .map(|c| match c {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{HEIGHT}\" viewBox=\"0 0 {} {}\" \
         role=\"img\" stroke-linejoin=\"round\" stroke-linecap=\"round\">\n<title>{name}</title>{body}",
        px(width),
        px(HEIGHT),
    )
}

#[cfg(test)]
mod tests;
