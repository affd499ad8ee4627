//! What a diagnosis found: every suspect left out, every suspect alone, and what each is worth.

use super::scale::Scale;
use super::{
    AXIS, Area, Drawn, GRID, HUES, INK, Line, SOFT_INK, Stroke, UNITS, WIDTH, at, draw_entry, draw_panel,
    picture, px, write,
};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use serde_json::Value;

/// A diagnosis as far as it has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    rows: Vec<Row>,
    effects: Vec<Effect>,
}

/// A variant: its mean test accuracy over the seeds, epoch by epoch.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    variant: String,
    fault: Option<String>,
    curve: Vec<f64>,
}

/// What leaving out a suspect changes, in points of test accuracy, and its interval.
#[derive(Clone, Debug, PartialEq)]
struct Effect {
    fault: String,
    points: f64,
    ci: [f64; 2],
    is_cause: bool,
}

impl Findings {
    /// Of a diagnosis that has ended.
    pub fn from_report(report: &Value) -> Self {
        let rows = list(&report["table"]).iter().map(|row| {
            let curves = list(&row["curves"]).iter().map(|curve| numbers(&curve["test_accuracy"]));
            Row { curve: mean(&curves.collect::<Vec<_>>()), ..Row::of(row) }
        });
        let effects = [("causes", true), ("cleared", false)].into_iter().flat_map(|(part, is_cause)| {
            list(&report[part]).iter().filter_map(move |finding| {
                Some(Effect {
                    fault: finding["fault"].as_str()?.to_owned(),
                    points: 100.0 * finding["effect"].as_f64()?,
                    ci: [100.0 * finding["ci"][0].as_f64()?, 100.0 * finding["ci"][1].as_f64()?],
                    is_cause,
                })
            })
        });
        Self { rows: rows.collect(), effects: effects.collect() }
    }

    /// Of one that is under way: the trials its log tells of.
    pub fn from_trials<'a>(trials: impl Iterator<Item = &'a Value>) -> Self {
        let mut rows: Vec<(Row, Vec<Vec<f64>>)> = Vec::new();
        for trial in trials {
            let (row, curve) = (Row::of(trial), numbers(&trial["test_accuracy"]));
            match rows.iter_mut().find(|(other, _)| *other == row) {
                Some((_, curves)) => curves.push(curve),
                None => rows.push((row, vec![curve])),
            }
        }
        let rows = rows.into_iter().map(|(row, curves)| Row { curve: mean(&curves), ..row });
        Self { rows: rows.collect(), effects: Vec::new() }
    }

    /// The suspects, each with its colour, in the order they were tried.
    fn hue_of(&self, fault: &str) -> RGBColor {
        let mut faults: Vec<&str> = Vec::new();
        for fault in self.rows.iter().filter_map(|row| row.fault.as_deref()) {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        let place = faults.iter().position(|other| *other == fault).unwrap_or_default();
        HUES[place % HUES.len()]
    }

    /// The variants of these names as lines.
    fn lines(&self, variants: [&str; 2]) -> Vec<Line> {
        let rows = self.rows.iter().filter(|row| variants.contains(&row.variant.as_str()));
        rows.filter(|row| !row.curve.is_empty())
            .map(|row| Line {
                color: row.fault.as_deref().map_or(INK, |fault| self.hue_of(fault)),
                stroke: if row.variant == "mended" { Stroke::Dashed } else { Stroke::Solid },
                points: (1..).map(f64::from).zip(row.curve.iter().map(|accuracy| 100.0 * accuracy)).collect(),
            })
            .collect()
    }
}

impl Row {
    /// Without its curve.
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Self { variant: text("variant").unwrap_or_default(), fault: text("fault"), curve: Vec::new() }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().filter_map(Value::as_f64).collect()
}

/// As far as all of them go.
fn mean(curves: &[Vec<f64>]) -> Vec<f64> {
    let len = curves.iter().map(Vec::len).min().unwrap_or(0);
    (0..len).map(|epoch| curves.iter().map(|curve| curve[epoch]).sum::<f64>() / curves.len() as f64).collect()
}

/// Draws test accuracy over epochs without each suspect (left) and, where it was tried, with each alone (middle), and what
/// leaving out each changes (right), with 95 % intervals. A colour for each suspect.
pub fn draw_diagnosis(title: &str, findings: &Findings) -> String {
    picture(title, WIDTH, |body, legend| {
        let left_out = findings.lines(["as_is", "without"]);
        let alone = findings.lines(["mended", "only"]);
        let n_panels = if alone.is_empty() { 2 } else { 3 };
        let (left, rest) = body.split_horizontally(px(WIDTH / n_panels));
        draw_panel(&left, "test accuracy, %, one left out", &all(&left_out), (0.0, 100.0))?;
        if alone.is_empty() {
            draw_effects(&rest, findings, WIDTH / n_panels)?;
        } else {
            let (middle, right) = rest.split_horizontally(px(WIDTH / n_panels));
            draw_panel(&middle, "one alone", &all(&alone), (0.0, 100.0))?;
            draw_effects(&right, findings, WIDTH / n_panels)?;
        }
        let x = draw_entry(legend, "as it is", INK, Stroke::Solid, 24)?;
        if !alone.is_empty() {
            draw_entry(legend, "all mended", INK, Stroke::Dashed, x)?;
        }
        Ok(())
    })
}

fn all(lines: &[Line]) -> Vec<&Line> {
    lines.iter().collect()
}

/// Pixels of the effects' panel that are not for its rows.
const TOP: i32 = 34;
const BOTTOM: i32 = 38;
const SIDE: i32 = 24;

/// A dot and its interval for every suspect, under its name.
fn draw_effects(area: &Area<'_>, findings: &Findings, width: u32) -> Drawn {
    let height = (area.dim_in_pixel().1 / UNITS) as i32;
    let width = width as i32;
    write(area, "change when left out, points", (SIDE, 12), 13, SOFT_INK, HPos::Left, false)?;
    let effects = &findings.effects;
    if effects.is_empty() {
        return write(area, "nothing found yet", (width / 2, height / 2), 14, SOFT_INK, HPos::Center, false);
    }
    let values = effects.iter().flat_map(|effect| effect.ci).chain([0.0]);
    let scale = Scale::around(values, (-100.0, 100.0), 4);
    let x_of = |points: f64| {
        let part = (points - scale.lower) / (scale.upper - scale.lower);
        SIDE + (part.clamp(0.0, 1.0) * f64::from(width - 2 * SIDE)) as i32
    };
    let bottom = height - BOTTOM;
    for &tick in &scale.ticks {
        let color = if tick == 0.0 { AXIS } else { GRID };
        let line = vec![at((x_of(tick), TOP)), at((x_of(tick), bottom))];
        area.draw(&PathElement::new(line, color.stroke_width(UNITS)))?;
        let label = if tick > 0.0 { format!("+{tick}") } else { format!("{tick}") };
        write(area, &label, (x_of(tick), bottom + 14), 12, SOFT_INK, HPos::Center, false)?;
    }
    let step = (bottom - TOP) / effects.len() as i32;
    for (i, effect) in (0..).zip(effects) {
        let (top, color) = (TOP + i * step, findings.hue_of(&effect.fault));
        let name =
            if effect.is_cause { format!("{}: the cause", effect.fault) } else { effect.fault.clone() };
        area.draw(&Circle::new(at((SIDE + 5, top + 14)), px(5) as i32, color.filled()))?;
        write(area, &name, (SIDE + 16, top + 14), 13, INK, HPos::Left, effect.is_cause)?;
        let y = top + 32;
        let [low, high] = effect.ci.map(|bound| at((x_of(bound), y)));
        area.draw(&PathElement::new(vec![low, high], color.stroke_width(UNITS * 5 / 2)))?;
        area.draw(&Circle::new(at((x_of(effect.points), y)), px(4) as i32, color.filled()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        let row = |variant: &str, fault: Option<&str>| {
            json!({ "variant": variant, "fault": fault,
                    "curves": [{ "test_accuracy": [0.8, 0.7, 0.6] }, { "test_accuracy": [0.6, 0.5] }] })
        };
        json!({
            "table": [row("as_is", None), row("without", Some("a_fault")), row("without", Some("another")),
                      row("mended", None), row("only", Some("a_fault")), row("only", Some("another"))],
            "causes": [{ "fault": "a_fault", "effect": 0.3, "ci": [0.25, 0.35] }],
            "cleared": [{ "fault": "another", "effect": -0.01, "ci": [-0.05, 0.03] }],
        })
    }

    #[test]
    fn a_report_is_drawn_with_every_suspect_by_name() {
        let svg = draw_diagnosis("a diagnosis of nn", &Findings::from_report(&report()));
        for word in [
            "a diagnosis of nn",
            "one left out",
            "one alone",
            "a_fault: the cause",
            "another",
            "as it is",
            "all mended",
        ] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg, draw_diagnosis("a diagnosis of nn", &Findings::from_report(&report())));
    }

    #[test]
    fn curves_are_means_as_far_as_all_seeds_go() {
        let findings = Findings::from_report(&report());
        assert_eq!(findings.rows[0].curve, [0.7, 0.6]);
        assert_eq!(findings.hue_of("another"), HUES[1]);
        assert_eq!(findings.effects[1].ci, [-5.0, 3.0]);
    }

    #[test]
    fn trials_are_drawn_while_there_is_no_finding() {
        let trial =
            |variant: &str, accuracy: f64| json!({ "variant": variant, "test_accuracy": [accuracy, 0.5] });
        let trials = [trial("as_is", 0.2), trial("as_is", 0.4), trial("mended", 0.9)];
        let findings = Findings::from_trials(trials.iter());
        assert_eq!(findings.rows.len(), 2);
        assert!((findings.rows[0].curve[0] - 0.3).abs() < 1e-12);
        assert!(draw_diagnosis("t", &findings).contains("nothing found yet"));
        let nothing = draw_diagnosis("t", &Findings::default());
        assert!(nothing.contains("no epoch finished yet") && nothing.contains("nothing found yet"));
    }
}
