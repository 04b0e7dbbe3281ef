//! Tables as published: no borders, one space at the left, columns padded.
//!
//! **Invariant:** a cell is one line: what a user named cannot break a table or reach the terminal as a command.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// Shown in the state column of a row that is no longer there (only while watching).
const GONE: &str = "Gone";

/// Header, rows, and the column that holds a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    state_column: Option<usize>,
}

impl Grid {
    /// An empty grid.
    #[must_use]
    pub fn new(header: &[&'static str]) -> Self {
        let state_column = header.iter().position(|name| matches!(*name, "State" | "STATUS" | "Role"));
        Self { header: header.to_vec(), rows: Vec::new(), state_column }
    }

    /// Adds a row; it has a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.header.len(), "a cell for each column");
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// Header and rows.
    #[must_use]
    pub fn print(&self, color: bool) -> String {
        let mut table = self.table(color, &self.rows);
        table.set_header(self.header.clone());
        lines(&table)
    }

    /// Rows that are new or different since `before`, and those that have gone, under the columns of the whole grid.
    #[must_use]
    pub fn print_changes(&self, before: &Self, color: bool) -> String {
        let changed = self.rows.iter().filter(|row| !before.rows.contains(row)).cloned();
        let gone = before.rows.iter().filter(|row| !self.rows.iter().any(|now| now.first() == row.first()));
        let gone = gone.map(|row| {
            let mut row = row.clone();
            if let Some(state) = self.state_column.and_then(|column| row.get_mut(column)) {
                GONE.clone_into(state);
            }
            row
        });
        let rows: Vec<Vec<String>> = changed.chain(gone).collect();
        if rows.is_empty() {
            return String::new();
        }
        let mut table = self.table(color, &rows);
        table.set_constraints(
            self.widths().into_iter().map(|width| ColumnConstraint::LowerBoundary(Width::Fixed(width))),
        );
        lines(&table)
    }

    fn table(&self, color: bool, rows: &[Vec<String>]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for row in rows {
            table.add_row(row.iter().enumerate().map(|(column, text)| self.cell(column, text)));
        }
        table
    }

    fn cell(&self, column: usize, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.state_column != Some(column) {
            return cell;
        }
        match text {
            "Failed" | "NotReady" | "unreachable" => cell.fg(Color::Red),
            "Running" | "Open" | "Ready" | "Enabled" | "Bound" | "leader" => cell.fg(Color::Green),
            "Pending" | "Suspended" | "Suspending" | "Unknown" | "Disabled" | "candidate" => cell.fg(Color::Yellow),
            "Closed" | "Cancelled" | GONE => cell.add_attribute(Attribute::Dim),
            _ => cell,
        }
    }

    /// Width of each column with its padding.
    fn widths(&self) -> Vec<u16> {
        const PADDING: u16 = 2;
        let mut all = self.table(false, &self.rows);
        all.set_header(self.header.clone());
        all.column_max_content_widths().into_iter().map(|width| width.saturating_add(PADDING)).collect()
    }
}

fn lines(table: &Table) -> String {
    table.lines().flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// What a user or another program named, as part of one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[[&str; 2]]) -> Grid {
        let mut grid = Grid::new(&["ID", "State"]);
        for row in rows {
            grid.row(row.iter().map(|cell| (*cell).to_owned()).collect());
        }
        grid
    }

    #[test]
    fn tables_look_as_published() {
        assert_eq!(grid(&[["1", "Closed"]]).print(false), " ID  State  \n 1   Closed \n");
    }

    #[test]
    fn changes_keep_the_columns_and_name_what_has_gone() {
        let before = grid(&[["session-1", "Open"], ["2", "Open"], ["3", "Open"]]);
        let now = grid(&[["session-1", "Open"], ["2", "Closed"]]);
        assert_eq!(now.print_changes(&before, false), " 2          Closed \n 3          Gone   \n");
        assert_eq!(now.print_changes(&now, false), "");
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        let text = grid(&[["\u{1b}[2J\n", "Open"]]).print(false);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(text.lines().count(), 2, "{text:?}");
    }

    #[test]
    fn colour_is_only_used_when_asked_for() {
        let grid = grid(&[["1", "Open"]]);
        assert!(grid.print(true).contains('\u{1b}'));
        assert!(!grid.print(false).contains('\u{1b}'));
    }
}
