//! Tables in plain text: words to the left, numbers to the right.

use super::Style;

/// Rows of cells under a heading.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The first column is aligned left, the others right; the heading is set off by its style.
    pub fn render(&self, indent: usize, style: Style) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = |cell: &String| cell.chars().count();
        let widths: Vec<usize> = (0..columns)
            .map(|i| self.rows.iter().filter_map(|row| row.get(i)).map(length).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            let mut line = " ".repeat(indent);
            for (j, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[j] - length(cell));
                if j == 0 {
                    line.push_str(&format!("{cell}{pad}"));
                } else {
                    line.push_str(&format!("   {pad}{cell}"));
                }
            }
            let line = line.trim_end();
            text.push_str(&if i == 0 { style.dim(line) } else { line.to_owned() });
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_on_the_right() {
        let mut table = Table::new(["", "before", "after"]);
        table.row(["forgotten rows".into(), "98.20 %".into(), "0.00 %".into()]);
        table.row(["test".into(), "97.5 %".into(), "–".into()]);
        let expected = "                    before    after
  forgotten rows   98.20 %   0.00 %
  test              97.5 %        –
";
        assert_eq!(table.render(2, Style::PLAIN), expected);
    }
}
