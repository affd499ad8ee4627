//! A grey image as characters.

use super::Style;
use std::fmt::Write as _;

/// Darkest to brightest.
const SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// Draws `height × width` grey bytes; two image rows make one line. Coloured terminals get half blocks in 24
/// grey levels, others ASCII shades. Empty rows at the top and bottom are left out.
pub fn digit(pixels: &[u8], width: usize, style: Style) -> String {
    if width == 0 || !pixels.len().is_multiple_of(width) {
        return String::new();
    }
    let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
    let pairs: Vec<(&[u8], Option<&[u8]>)> =
        rows.chunks(2).map(|pair| (pair[0], pair.get(1).copied())).collect();
    let inked = |pair: &(&[u8], Option<&[u8]>)| {
        pair.0.iter().chain(pair.1.into_iter().flatten()).any(|&grey| grey > 25)
    };
    let first = pairs.iter().position(inked).unwrap_or(0);
    let last = pairs.iter().rposition(inked).unwrap_or(pairs.len().saturating_sub(1));
    let mut text = String::new();
    for (upper, lower) in pairs.into_iter().take(last + 1).skip(first) {
        let mut line = String::new();
        for (x, &top) in upper.iter().enumerate() {
            let bottom = lower.map_or(0, |row| row[x]);
            if style.color && style.unicode {
                let _ = write!(line, "\x1b[38;5;{};48;5;{}m▀", grey_code(top), grey_code(bottom));
            } else {
                let grey = usize::midpoint(usize::from(top), usize::from(bottom));
                line.push(SHADES[grey * (SHADES.len() - 1) / 255]);
            }
        }
        if style.color && style.unicode {
            line.push_str("\x1b[0m");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The terminal's grey ramp: 232 is nearly black, 255 nearly white.
fn grey_code(grey: u8) -> u8 {
    (232 + u16::from(grey) * 23 / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_becomes_shades_without_its_empty_rows() {
        let image = [
            0, 0, 0, 0, //
            0, 0, 0, 0, //
            0, 255, 255, 0, //
            0, 255, 128, 0, //
            0, 0, 128, 0, //
            0, 0, 0, 0, //
            0, 0, 0, 0, //
        ];
        assert_eq!(digit(&image, 4, Style::PLAIN), " @*\n  :\n");
    }

    #[test]
    fn colour_terminals_get_two_pixels_a_character() {
        let text = digit(&[255, 0, 0, 255], 2, Style { unicode: true, color: true });
        assert_eq!(text, "\x1b[38;5;255;48;5;232m▀\x1b[38;5;232;48;5;255m▀\x1b[0m\n");
    }

    #[test]
    fn what_is_no_image_draws_nothing() {
        assert_eq!(digit(&[1, 2, 3], 2, Style::PLAIN), "");
        assert_eq!(digit(&[], 0, Style::PLAIN), "");
        assert_eq!(digit(&[], 28, Style::PLAIN), "");
    }
}
