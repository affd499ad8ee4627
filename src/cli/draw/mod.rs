//! What the terminal shows: pure functions from numbers to text.

mod digit;
mod plot;
mod table;

pub use digit::digit;
pub use plot::{Panel, panels};
pub use table::Table;

/// Columns of running text and of plots.
pub const WIDTH: usize = 78;

/// How text may be decorated where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Characters beyond ASCII.
    pub unicode: bool,
    /// ANSI colours.
    pub color: bool,
}

impl Style {
    pub const PLAIN: Self = Self { unicode: false, color: false };

    /// What standard output can show. `NO_COLOR` (no-color.org) and dumb terminals are honoured.
    pub fn of_stdout() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable).into_iter().find(|value| !value.is_empty());
        Self::decide(
            std::io::IsTerminal::is_terminal(&std::io::stdout()),
            &variable("TERM"),
            !variable("NO_COLOR").is_empty(),
            &locale.unwrap_or_default(),
        )
    }

    fn decide(is_terminal: bool, term: &str, no_color: bool, locale: &str) -> Self {
        if !is_terminal || term == "dumb" {
            return Self::PLAIN;
        }
        let ascii_only = ["C", "POSIX"].contains(&locale) || term == "linux";
        Self { unicode: !ascii_only, color: !no_color }
    }

    pub fn paint(self, color: Color, text: &str) -> String {
        if self.color { format!("\x1b[{}m{text}\x1b[0m", color as u8) } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn dim(self, text: &str) -> String {
        if self.color { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// ANSI foreground codes, readable on dark and light terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
}

/// `0.9342` as `93.42 %`.
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// A bar of `width` characters, filled to `part`.
pub fn bar(part: f64, width: usize, style: Style) -> String {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    if !style.unicode {
        let full = (part * width as f64).round() as usize;
        return format!("{}{}", "#".repeat(full), " ".repeat(width - full));
    }
    let eighths = (part * 8.0 * width as f64).round() as usize;
    let tip = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    let full = eighths / 8;
    let text = if full == width { "█".repeat(width) } else { "█".repeat(full) + tip };
    format!("{text:<width$}")
}

/// Breaks lines at blanks; all but the first are indented.
pub fn wrap(text: &str, indent: usize, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoration_follows_the_terminal() {
        let plain = Style::PLAIN;
        assert_eq!(Style::decide(false, "xterm", false, "en_US.UTF-8"), plain);
        assert_eq!(Style::decide(true, "dumb", false, ""), plain);
        assert_eq!(Style::decide(true, "xterm", true, ""), Style { unicode: true, color: false });
        assert_eq!(Style::decide(true, "xterm", false, "C"), Style { unicode: false, color: true });
        assert_eq!(plain.paint(Color::Red, "x"), "x");
    }

    #[test]
    fn bars_have_their_width_whatever_the_number() {
        let unicode = Style { unicode: true, color: false };
        for part in [-1.0, 0.0, 0.031, 0.5, 0.999, 1.0, 7.0, f64::NAN] {
            for style in [Style::PLAIN, unicode] {
                assert_eq!(bar(part, 10, style).chars().count(), 10, "{part} {style:?}");
            }
        }
        assert_eq!(bar(0.25, 4, Style::PLAIN), "#   ");
        assert_eq!(bar(0.5625, 2, unicode), "█▏");
    }

    #[test]
    fn text_is_wrapped_at_blanks() {
        assert_eq!(wrap("one two three", 0, 8), "one two\nthree");
        assert_eq!(wrap("one two three", 4, 11), "one two\n    three");
        assert_eq!(wrap("", 2, 10), "");
        assert_eq!(wrap("unbreakable", 0, 3), "unbreakable");
    }
}
