//! The grid as a picture: how far each method's result lies from retraining, a panel a forget set.

use super::grid::Row;
use super::sets::Kind;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const LABELS: f64 = 210.0;
const LINE: f64 = 18.0;
const HEAD: f64 = 46.0;
/// The gaps shown, in points, on a logarithmic axis.
const LEAST: f64 = 0.05;
const MOST: f64 = 100.0;

pub(super) fn svg(rows: &[Row]) -> String {
    let mut panels: BTreeMap<Kind, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    let mut floors: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let Some(gap) = row.report.metrics.get("average_gap") else { continue };
        panels.entry(row.kind).or_default().entry(row.method).or_default().push(gap.after);
        floors.entry(row.kind).or_default().extend(gap.floor);
    }
    let height: f64 = panels.values().map(|methods| HEAD + LINE * methods.len() as f64 + 24.0).sum();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#1f2328\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut top = 0.0;
    for (kind, methods) in &panels {
        let floor = mean(floors.get(kind).map(Vec::as_slice).unwrap_or_default());
        panel(&mut text, top, *kind, methods, floor);
        top += HEAD + LINE * methods.len() as f64 + 24.0;
    }
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, top: f64, kind: Kind, methods: &BTreeMap<&str, Vec<f64>>, floor: f64) {
    let bottom = top + HEAD + LINE * methods.len() as f64;
    put(
        text,
        format_args!("<text x=\"12\" y=\"{}\" font-weight=\"600\">{}</text>", top + 22.0, kind.title()),
    );
    put(
        text,
        format_args!(
            "<text x=\"{}\" y=\"{}\" fill=\"#656d76\">average gap to retraining, points (dashed: two retrained models)</text>",
            LABELS,
            top + 22.0
        ),
    );
    for tick in [0.1, 1.0, 10.0, 100.0] {
        let x = place(tick);
        put(
            text,
            format_args!("<path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"#e4e7eb\"/>", top + HEAD - 10.0),
        );
        put(
            text,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#656d76\">{tick}</text>",
                bottom + 14.0
            ),
        );
    }
    let x = place(floor);
    put(
        text,
        format_args!(
            "<path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"#0072b2\" stroke-dasharray=\"4 3\"/>",
            top + HEAD - 10.0
        ),
    );
    let mut order: Vec<(&str, &Vec<f64>)> = methods.iter().map(|(name, gaps)| (*name, gaps)).collect();
    order.sort_by(|a, b| mean(a.1).total_cmp(&mean(b.1)));
    for (number, (name, gaps)) in order.into_iter().enumerate() {
        let y = top + HEAD + LINE * number as f64;
        put(
            text,
            format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LABELS - 10.0,
                y + 4.0
            ),
        );
        let ink = if name == "nothing" { "#656d76" } else { "#d55e00" };
        for &gap in gaps {
            put(
                text,
                format_args!(
                    "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{ink}\" fill-opacity=\"0.75\"/>",
                    place(gap)
                ),
            );
        }
    }
}

fn put(text: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(text, "{element}").expect("a string takes everything");
}

fn place(gap: f64) -> f64 {
    let ratio = libm::log(gap.clamp(LEAST, MOST) / LEAST) / libm::log(MOST / LEAST);
    LABELS + ratio * (WIDTH - LABELS - 30.0)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
