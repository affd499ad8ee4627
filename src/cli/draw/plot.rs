//! Curves in the terminal: panels side by side on one scale, in braille dots or in ASCII.

use super::{Color, Style, percent};

/// One curve in a panel of its own.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    pub color: Color,
    /// (epoch, fraction), by epoch.
    pub points: Vec<(u32, f64)>,
}

/// Characters of the scale on the left.
const SCALE: usize = 7;
/// Between two panels.
const GAP: usize = 3;

/// Draws the panels beside one another, `width` characters in all and `height` lines of curve. All share one
/// scale in percent, so that what lies higher is higher.
pub fn panels(panels: &[Panel], width: usize, height: usize, style: Style) -> String {
    let columns = panels.len().max(1);
    let inner = (width.saturating_sub(SCALE + GAP * (columns - 1)) / columns).max(10);
    // odd, so that the middle line has a round label
    let height = height.max(3) | 1;
    let values = || panels.iter().flat_map(|panel| panel.points.iter().map(|point| point.1));
    let lowest = values().fold(1.0, f64::min);
    let highest = values().fold(0.0, f64::max);
    let low = ((lowest * 10.0 - 0.2).floor() / 10.0).clamp(0.0, 0.9);
    let high = ((highest * 10.0 + 0.05).ceil() / 10.0).clamp(low + 0.1, 1.0);
    let epochs =
        panels.iter().filter_map(|panel| panel.points.last()).map(|point| point.0).max().unwrap_or(1);

    let grids: Vec<Vec<String>> =
        panels.iter().map(|panel| curve(panel, (inner, height), (low, high), epochs, style)).collect();
    let (edge, corner, floor) = if style.unicode { ('│', '└', '─') } else { ('|', '+', '-') };
    let margin = " ".repeat(SCALE - 1);

    let titles = panels.iter().map(|panel| {
        let title: String = panel.title.chars().take(inner).collect();
        let pad = " ".repeat(inner - title.chars().count());
        format!("{}{pad}", style.bold(&style.paint(panel.color, &title)))
    });
    let mut lines = vec![format!("{margin} {}", join(titles))];
    for line in 0..height {
        let at = high - (high - low) * line as f64 / (height - 1) as f64;
        let labelled = line == 0 || line == height - 1 || line == (height - 1) / 2;
        let label = if labelled { format!("{:.0} % ", 100.0 * at) } else { String::new() };
        let curves = grids.iter().zip(panels);
        let curves = curves.map(|(grid, panel)| format!("{edge}{}", style.paint(panel.color, &grid[line])));
        lines.push(format!("{label:>width$}{}", join(curves), width = SCALE - 1));
    }
    lines.push(format!(
        "{margin}{}",
        join(panels.iter().map(|_| { format!("{corner}{}", String::from(floor).repeat(inner - 1)) }))
    ));
    lines.push(format!(
        "{margin} {}",
        join(panels.iter().map(|panel| format!("{:<inner$}", caption(panel, style))))
    ));
    lines.iter().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(&" ".repeat(GAP))
}

/// From where to where the curve went, in numbers.
fn caption(panel: &Panel, style: Style) -> String {
    let arrow = if style.unicode { "→" } else { "->" };
    match panel.points.as_slice() {
        [] => "no epoch finished".to_owned(),
        [only] => format!("{} at epoch {}", percent(only.1), only.0),
        [first, .., last] => format!("{} {arrow} {} at epoch {}", percent(first.1), percent(last.1), last.0),
    }
}

/// The lines of one panel without its frame: a grid of dots, joined from point to point.
fn curve(panel: &Panel, size: (usize, usize), range: (f64, f64), epochs: u32, style: Style) -> Vec<String> {
    let (width, height) = (size.0 - 1, size.1);
    let (across, down) = if style.unicode { (2, 4) } else { (1, 1) };
    let (dots_x, dots_y) = (width * across, height * down);
    let mut dots = vec![false; dots_x * dots_y];
    let place = |point: &(u32, f64)| {
        let x = f64::from(point.0.saturating_sub(1)) / f64::from(epochs.saturating_sub(1).max(1));
        let y = (range.1 - point.1) / (range.1 - range.0);
        (x.clamp(0.0, 1.0) * (dots_x - 1) as f64, y.clamp(0.0, 1.0) * (dots_y - 1) as f64)
    };
    let mut mark = |x: f64, y: f64| dots[y.round() as usize * dots_x + x.round() as usize] = true;
    if let [only] = panel.points.as_slice() {
        let (x, y) = place(only);
        mark(x, y);
    }
    for pair in panel.points.windows(2) {
        let ((x0, y0), (x1, y1)) = (place(&pair[0]), place(&pair[1]));
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let part = step as f64 / steps;
            mark(x0 + (x1 - x0) * part, y0 + (y1 - y0) * part);
        }
    }
    let cell = |column: usize, line: usize| {
        if !style.unicode {
            return if dots[line * dots_x + column] { '*' } else { ' ' };
        }
        // braille: the left column's dots are bits 0, 1, 2, 6, the right one's 3, 4, 5, 7
        const BITS: [[u32; 2]; 4] = [[0, 3], [1, 4], [2, 5], [6, 7]];
        let mut code = 0x2800;
        for (dy, row) in BITS.iter().enumerate() {
            for (dx, bit) in row.iter().enumerate() {
                code |= u32::from(dots[(line * 4 + dy) * dots_x + column * 2 + dx]) << bit;
            }
        }
        if code == 0x2800 { ' ' } else { char::from_u32(code).expect("a braille pattern") }
    };
    (0..height).map(|line| (0..width).map(|column| cell(column, line)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nn_and_debug() -> [Panel; 2] {
        let falling = [0.82, 0.80, 0.78, 0.75, 0.70, 0.65];
        let climbing = [0.952, 0.965, 0.971, 0.973, 0.974, 0.975];
        let points = |values: [f64; 6]| (1..).zip(values).collect();
        [
            Panel { title: "nn".into(), color: Color::Red, points: points(falling) },
            Panel { title: "debug".into(), color: Color::Blue, points: points(climbing) },
        ]
    }

    #[test]
    fn two_curves_stand_side_by_side_in_plain_text() {
        let text = panels(&nn_and_debug(), 72, 9, Style::PLAIN);
        assert_eq!(format!("\n{text}"), include_str!("plot_ascii.golden"), "{text}");
    }

    #[test]
    fn terminals_that_can_get_braille_and_colour() {
        let unicode = Style { unicode: true, color: false };
        let text = panels(&nn_and_debug(), 72, 9, unicode);
        assert_eq!(format!("\n{text}"), include_str!("plot_braille.golden"), "{text}");
        let coloured = panels(&nn_and_debug(), 72, 9, Style { color: true, ..unicode });
        assert!(coloured.contains("\x1b[31m") && coloured.contains("\x1b[34m"));
    }

    #[test]
    fn few_epochs_and_none_are_drawn_too() {
        for points in [vec![], vec![(1, 0.5)], vec![(1, 0.0), (2, 1.0)], vec![(7, 0.3)]] {
            for style in [Style::PLAIN, Style { unicode: true, color: true }] {
                let panel = Panel { title: "x".into(), color: Color::Red, points: points.clone() };
                let text = panels(&[panel], 10, 2, style);
                assert_eq!(text.lines().count(), 6, "{text}");
            }
        }
        assert_eq!(panels(&[], 40, 4, Style::PLAIN).lines().count(), 8);
    }
}
