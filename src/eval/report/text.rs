//! The summary in the terminal.

use anstyle::{Ansi256Color, AnsiColor, Style};

use super::grid::{self, Grid};
use super::heat;
use crate::error::shown_text;
use crate::eval::run::Summary;
use crate::eval::{Cell, Table};
use crate::inspect::Look;

/// Side-by-side tables first, then what each subject did, then what has no score.
pub fn text(summary: &Summary, look: &Look) -> String {
    let mut text = String::new();
    if let Some(perplexity) = grid::perplexity(summary) {
        text += &table(&perplexity, look);
    }
    for beside in grid::beside(summary) {
        text += &table(&beside, look);
    }
    for subject in &summary.subjects {
        let tables = subject.benchmarks.iter().flat_map(|benchmark| &benchmark.tables);
        for (own, grid) in tables.zip(grid::of_subject(subject)) {
            text += &match own.rows_are {
                "depth" => heat_map(own, &grid.title, look),
                _ => table(&grid, look),
            };
        }
    }
    let remarks = grid::remarks(summary);
    for remark in &remarks {
        text += &format!(
            "{}\n",
            paint(&plain(remark, look), AnsiColor::Yellow.on_default(), look)
        );
    }
    if !remarks.is_empty() {
        text.push('\n');
    }
    for line in summary.subjects.iter().flat_map(grid::cost) {
        text += &format!("{}\n", plain(&line, look));
    }
    text
}

/// First column left, the others right; columns that do not fit go below.
fn table(grid: &Grid, look: &Look) -> String {
    let cells = |row: usize, column: usize| -> String {
        let (name, cells, _) = &grid.rows[row];
        plain(if column == 0 { name } else { &cells[column - 1] }, look)
    };
    let n_columns = grid.header.len();
    let widths: Vec<usize> = (0..n_columns)
        .map(|column| {
            let rows = (0..grid.rows.len()).map(|row| cells(row, column).chars().count());
            rows.chain([plain(&grid.header[column], look).chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = heading(&grid.title, look);
    let mut from = 1;
    while from < n_columns {
        let mut used = 1 + widths[0];
        let mut to = from;
        while to < n_columns && (to == from || used + 2 + widths[to] <= look.width) {
            used += 2 + widths[to];
            to += 1;
        }
        let line = |cell: &dyn Fn(usize) -> String| {
            let mut line = format!(" {:<width$}", cell(0), width = widths[0]);
            for (column, width) in widths.iter().enumerate().take(to).skip(from) {
                line += &format!("  {:>width$}", cell(column));
            }
            line.trim_end().to_owned()
        };
        let header = line(&|column| plain(&grid.header[column], look));
        text += &format!("{}\n", paint(&header, AnsiColor::BrightBlack.on_default(), look));
        for (row, (_, _, summary)) in grid.rows.iter().enumerate() {
            let own = line(&|column| cells(row, column));
            let style = if *summary {
                Style::new().bold()
            } else {
                Style::new()
            };
            text += &format!("{}\n", paint(&own, style, look));
        }
        from = to;
    }
    text.push('\n');
    text
}

/// Depths downwards, lengths to the right; every cell says its number, whatever its colour.
fn heat_map(table: &Table, title: &str, look: &Look) -> String {
    const CELL: usize = 7;
    let names = table.rows.iter().map(|row| row.name.chars().count());
    let first = names.max().unwrap_or(0).max(table.rows_are.len());
    let per_line = (look.width.saturating_sub(first + 2) / CELL).max(1);
    let mut text = heading(title, look);
    for (part, columns) in table.columns.chunks(per_line).enumerate() {
        let header: String = columns
            .iter()
            .map(|column| format!("{:>CELL$}", plain(column, look)))
            .collect();
        let header = format!(" {:<first$} {header}", table.rows_are);
        text += &format!("{}\n", paint(&header, AnsiColor::BrightBlack.on_default(), look));
        for row in &table.rows {
            let cells = row.cells.iter().skip(part * per_line).take(per_line);
            let cells: String = cells.map(|cell| heat_cell(cell, CELL, look)).collect();
            text += &format!(" {:<first$} {cells}\n", plain(&row.name, look));
        }
    }
    text.push('\n');
    text
}

fn heat_cell(cell: &Option<Cell>, width: usize, look: &Look) -> String {
    let Some(cell) = cell else {
        return plain(&format!("{:>width$}", "–"), look);
    };
    let ink = match heat::ink_is_dark(cell.mean) {
        true => Ansi256Color(16),
        false => Ansi256Color(231),
    };
    let style = Style::new()
        .fg_color(Some(ink.into()))
        .bg_color(Some(Ansi256Color(heat::terminal_color(cell.mean)).into()));
    paint(
        &format!("{:>width$} ", format!("{:.0}", cell.mean), width = width - 1),
        style,
        look,
    )
}

fn heading(title: &str, look: &Look) -> String {
    format!("{}\n", paint(&plain(title, look), Style::new().bold(), look))
}

fn paint(text: &str, style: Style, look: &Look) -> String {
    match look.color {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    }
}

/// Text as the terminal can take it.
fn plain(text: &str, look: &Look) -> String {
    let text = shown_text(text);
    match look.ascii {
        true => text.replace('±', "+-").replace(['·', '–'], "-"),
        false => text,
    }
}
