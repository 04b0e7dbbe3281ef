//! Reads the tables and the labelled lines that `flmctl` prints.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// Rows by the names of their columns.
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<BTreeMap<String, String>>,
}

impl Table {
    /// Reads the table at the beginning of a text; it ends with an empty line. Columns are padded to the same width in
    /// every line, and two spaces part them.
    pub fn read(text: &str) -> Result<Self> {
        let mut lines = text.lines().take_while(|line| !line.trim().is_empty());
        let header = lines.next().with_context(|| format!("there is no header: {text:?}"))?;
        let starts = starts_of_columns(header);
        ensure!(!starts.is_empty(), "there is no column: {text:?}");
        let columns = cells(header, &starts);
        let named = |line| columns.iter().cloned().zip(cells(line, &starts)).collect();
        let rows = lines.map(named).collect();
        Ok(Self { columns, rows })
    }

    /// The row with this text in this column.
    pub fn row(&self, column: &str, text: &str) -> Result<&BTreeMap<String, String>> {
        let found = self.rows.iter().find(|row| row[column] == text);
        found.with_context(|| format!("no row has {text:?} in the column {column}: {:?}", self.rows))
    }

    /// A column from top to bottom.
    pub fn column(&self, name: &str) -> Vec<&str> {
        self.rows.iter().map(|row| row[name].as_str()).collect()
    }
}

/// Where the names of the columns begin: after the start of the line, or after two spaces.
fn starts_of_columns(header: &str) -> Vec<usize> {
    let bytes = header.as_bytes();
    let begins = |at: usize| bytes[at] != b' ' && (at <= 1 || bytes[at - 1] == b' ' && bytes[at - 2] == b' ');
    (0..bytes.len()).filter(|at| begins(*at)).collect()
}

fn cells(line: &str, starts: &[usize]) -> Vec<String> {
    let ends = starts[1..].iter().copied().chain([line.len()]);
    let cell = |(start, end): (&usize, usize)| line.get(*start..end).unwrap_or_default().trim().to_owned();
    starts.iter().zip(ends).map(cell).collect()
}

/// The value behind a label.
pub fn line(text: &str, label: &str) -> Result<String> {
    let label = format!("{label}:");
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(label.as_str()));
    Ok(found.with_context(|| format!("there is no line {label:?} in:\n{text}"))?.trim().to_owned())
}
