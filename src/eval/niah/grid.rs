//! Means of needle tests.

use crate::eval::item::Outcome;
use crate::eval::table::{Cell, Row, Table};

/// Depths by lengths, with the means of rows, columns and all cells; a cell counts as much as any other.
pub(super) fn grid(
    name: &'static str,
    title: &str,
    (depths, lengths): (&[f64], &[u32]),
    outcomes: &[Outcome],
    value: fn(&Outcome) -> f64,
) -> Table {
    let cell = |depth: f64, length: u32| {
        let here =
            |outcome: &&Outcome| outcome.case.depth == Some(depth) && outcome.case.length == Some(length);
        Cell::of(outcomes.iter().filter(here).map(value))
    };
    let mean = |cells: &[Option<Cell>]| {
        let parts: Vec<(Option<Cell>, f64)> = cells.iter().map(|&cell| (cell, 1.0)).collect();
        Cell::average(&parts)
    };
    let mut rows: Vec<Row> = depths
        .iter()
        .map(|&depth| Row {
            name: format!("{depth}"),
            summary: false,
            cells: lengths.iter().map(|&length| cell(depth, length)).collect(),
        })
        .collect();
    for row in &mut rows {
        row.cells.push(mean(&row.cells));
    }
    let column = |i: usize| -> Vec<Option<Cell>> { rows.iter().map(|row| row.cells[i]).collect() };
    let cells = (0..=lengths.len()).map(|i| mean(&column(i))).collect();
    rows.push(Row {
        name: "all".into(),
        summary: true,
        cells,
    });
    let lengths = lengths.iter().map(u32::to_string);
    Table {
        name,
        title: title.into(),
        rows_are: "depth",
        columns_are: "length",
        columns: lengths.chain(["all".into()]).collect(),
        rows,
    }
}
