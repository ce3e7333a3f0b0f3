//! Columns of text.

use crate::terminal::harmless;

/// A table that is as wide as its cells.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    heads: [(&'static str, Side); N],
    rows: Vec<[String; N]>,
}

/// Where a column's text is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Left,
    /// For numbers.
    Right,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(heads: [(&'static str, Side); N]) -> Self {
        Self { heads, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| harmless(&cell).into_owned()));
    }

    /// The lines, each with its end.
    pub(super) fn render(&self) -> String {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.heads[column].0.len()]).max().unwrap_or(0)
        });
        let mut text = String::new();
        let mut line = |cell: &dyn Fn(usize) -> String| {
            let cells = (0..N).map(|column| {
                let width = widths[column];
                match self.heads[column].1 {
                    Side::Left => format!("{:<width$}", cell(column)),
                    Side::Right => format!("{:>width$}", cell(column)),
                }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        };
        line(&|column| self.heads[column].0.to_owned());
        for row in &self.rows {
            line(&|column| row[column].clone());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_makes_no_rows() {
        let mut table = Table::new([("NAME", Side::Left)]);
        table.row(["a\nroot\u{1b}[1A".into()]);
        assert_eq!(table.render(), "NAME\na\\nroot\\u{1b}[1A\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("NAME", Side::Left), ("COUNT", Side::Right), ("END", Side::Left)]);
        table.row(["a".into(), "1".into(), "x".into()]);
        table.row(["bücket".into(), "1,234,567".into(), String::new()]);
        assert_eq!(table.render(), "NAME        COUNT  END\na               1  x\nbücket  1,234,567\n");
    }
}
