//! What is printed where: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Display;
use crate::error::{Error, Result, shown_text};
pub use crate::numbers::{bytes, count, duration, length, percent, short};

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// Decides what is shown.
#[derive(Debug, Clone)]
pub struct Printer {
    json: bool,
    quiet: bool,
    color: bool,
    terminal: bool,
}

impl Printer {
    pub(super) fn new(display: &Display) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let choice = match display.color {
            Color::Auto => anstream::AutoStream::choice(&std::io::stderr()),
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        // Left alone, standard output is judged by itself: it may be a pipe where standard error is not.
        if display.color != Color::Auto {
            choice.write_global();
        }
        let color = !matches!(choice, anstream::ColorChoice::Never);
        Self {
            json: display.json,
            quiet: display.quiet,
            color,
            terminal,
        }
    }

    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether errors may be coloured.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Whether results may be coloured.
    pub fn result_color(&self) -> bool {
        !matches!(
            anstream::AutoStream::choice(&std::io::stdout()),
            anstream::ColorChoice::Never
        )
    }

    /// Whether a live progress line can be drawn.
    pub fn live(&self) -> bool {
        self.terminal && !self.quiet
    }

    /// Whether anything but errors is wanted.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// A line of information.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            tell(format_args!("{text}"));
        }
    }

    /// A warning.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            let style = AnsiColor::Yellow.on_default().bold();
            tell(format_args!("{style}warning{style:#}: {text}"));
        }
    }

    /// An error, with its hint on a line of its own.
    pub fn error(&self, error: &Error) {
        if let Error::Recipe { report, .. } = error {
            tell(format_args!("{report}"));
            return;
        }
        let style = AnsiColor::Red.on_default().bold();
        tell(format_args!("{style}error{style:#}: {error}"));
    }

    /// The result as JSON on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written; a closed pipe is not an error.
    pub fn json_result(&self, kind: &str, value: &impl Serialize) -> Result<()> {
        let document = serde_json::json!({ "schema": format!("ultrapack/{kind}/1"), kind: value });
        self.result(&format!(
            "{}\n",
            serde_json::to_string_pretty(&document).expect("plain data")
        ))
    }

    /// The result as text on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written; a closed pipe is not an error.
    pub fn result(&self, text: &str) -> Result<()> {
        let mut out = anstream::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::io("write", "standard output")(e))
            }
            _ => Ok(()),
        }
    }
}

/// A line on standard error. That nobody can be told is no reason to fail, or to panic.
pub fn tell(line: std::fmt::Arguments<'_>) {
    writeln!(anstream::stderr(), "{line}").ok();
}

/// Bold, for headings inside results.
pub fn bold(text: &str) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

/// A table without lines: first column left, the others right.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| shown_text(cell)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
        .lines()
        .map(|line| format!(" {}\n", line.trim_end()))
        .collect()
}
