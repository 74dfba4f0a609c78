//! The tables of a summary, cells as text.

use crate::eval::Cell;
use crate::eval::run::{CurveFigures, SubjectFigures, Summary};
use crate::numbers::count;

/// A table of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// What is in the cells.
    pub title: String,
    /// Header of the first column, then of the others.
    pub header: Vec<String>,
    /// Name, cells, and whether the row sums up others.
    pub rows: Vec<(String, Vec<String>, bool)>,
}

/// What stands where there is nothing to average.
const NOTHING: &str = "–";

/// Perplexity by length, one column per subject.
pub fn perplexity(summary: &Summary) -> Option<Grid> {
    let settings = summary.perplexity.as_ref()?;
    let cell = |curve: Option<&CurveFigures>, length: u32| {
        let point = curve.and_then(|curve| curve.points.iter().find(|point| point.length == length));
        point.map_or(NOTHING.into(), |point| match point.std_error {
            Some(error) => format!("{} ± {}", figure(point.perplexity), figure(error)),
            None => figure(point.perplexity),
        })
    };
    let row = |&length: &u32| {
        let cells = summary
            .subjects
            .iter()
            .map(|s| cell(s.perplexity.as_ref(), length));
        (count(u64::from(length)), cells.collect(), false)
    };
    let names = summary.subjects.iter().map(|subject| subject.name.clone());
    Some(Grid {
        title: "Perplexity by length (upper bound) ± standard error of the masks".into(),
        header: ["length".into()].into_iter().chain(names).collect(),
        rows: settings.lengths.iter().map(row).collect(),
    })
}

/// Per benchmark and table: what sums up, one row per subject. Empty for a single subject.
pub fn beside(summary: &Summary) -> Vec<Grid> {
    let Some((first, others)) = summary.subjects.split_first() else {
        return Vec::new();
    };
    if others.is_empty() {
        return Vec::new();
    }
    let mut grids = Vec::new();
    for (b, benchmark) in first.benchmarks.iter().enumerate() {
        for (t, table) in benchmark.tables.iter().enumerate() {
            let mut rows = Vec::new();
            for (r, row) in table.rows.iter().enumerate().filter(|(_, row)| row.summary) {
                for subject in &summary.subjects {
                    let cells = &subject.benchmarks[b].tables[t].rows[r].cells;
                    rows.push((
                        format!("{} · {}", row.name, subject.name),
                        cells.iter().map(mean).collect(),
                        false,
                    ));
                }
            }
            grids.push(Grid {
                title: format!("{}: {}, side by side", benchmark.name, table.title),
                header: header("", &table.columns),
                rows,
            });
        }
    }
    grids
}

/// All tables of one subject.
pub fn of_subject(subject: &SubjectFigures) -> Vec<Grid> {
    let tables = subject
        .benchmarks
        .iter()
        .flat_map(|benchmark| benchmark.tables.iter().map(move |table| (benchmark, table)));
    tables
        .map(|(benchmark, table)| Grid {
            title: format!("{} · {}: {}", subject.name, benchmark.name, table.title),
            header: header(table.rows_are, &table.columns),
            rows: table
                .rows
                .iter()
                .map(|row| {
                    (
                        row.name.clone(),
                        row.cells.iter().map(mean).collect(),
                        row.summary,
                    )
                })
                .collect(),
        })
        .collect()
}

/// What was not scored, and why; empty if everything was.
pub fn remarks(summary: &Summary) -> Vec<String> {
    let mut remarks = Vec::new();
    for subject in &summary.subjects {
        for benchmark in &subject.benchmarks {
            if benchmark.n_too_long > 0 {
                remarks.push(format!(
                    "{}: {} of {} prompts of {} are longer than {} tokens and have no score",
                    subject.name,
                    count(benchmark.n_too_long),
                    count(benchmark.n_prompts),
                    benchmark.name,
                    count(u64::from(subject.max_len)),
                ));
            }
        }
        if let Some(curve) = subject
            .perplexity
            .as_ref()
            .filter(|curve| !curve.beyond.is_empty())
        {
            let lengths: Vec<String> = curve.beyond.iter().map(|&l| count(u64::from(l))).collect();
            remarks.push(format!(
                "{}: no perplexity at {} tokens, beyond its {}",
                subject.name,
                lengths.join(", "),
                count(u64::from(subject.max_len)),
            ));
        }
    }
    for benchmark in &summary.benchmarks {
        if !benchmark.left_out.is_empty() {
            remarks.push(format!(
                "{}: {} records of its files cannot be used and were left out",
                benchmark.name,
                count(benchmark.left_out.len() as u64)
            ));
        }
    }
    if let Some(own) = summary.perplexity.as_ref().filter(|own| own.n_too_short > 0) {
        remarks.push(format!(
            "perplexity: {} texts are too short for the longest length and were left out",
            count(own.n_too_short)
        ));
    }
    remarks
}

/// What the answers of a subject cost.
pub fn cost(subject: &SubjectFigures) -> Vec<String> {
    let benchmarks = subject
        .benchmarks
        .iter()
        .filter(|benchmark| benchmark.n_answered > 0);
    let mut lines: Vec<String> = benchmarks
        .map(|b| {
            let partial = match b.n_partial {
                0 => String::new(),
                n => format!(" and {} over a part", count(n)),
            };
            format!(
                "{} · {}: {} prompts, {} steps, {} passes over the sequence{partial}, {}",
                subject.name,
                b.name,
                count(b.n_answered),
                count(b.n_steps),
                count(b.n_forwards),
                crate::numbers::duration(b.secs)
            )
        })
        .collect();
    if let Some(curve) = &subject.perplexity {
        lines.push(format!(
            "{} · ppl: {} passes, {}",
            subject.name,
            count(curve.n_forwards),
            crate::numbers::duration(curve.secs)
        ));
    }
    lines
}

fn header(first: &str, columns: &[String]) -> Vec<String> {
    [first.to_owned()]
        .into_iter()
        .chain(columns.iter().cloned())
        .collect()
}

fn mean(cell: &Option<Cell>) -> String {
    cell.map_or(NOTHING.into(), |cell| format!("{:.1}", cell.mean))
}

/// A perplexity with as many digits as say something.
pub fn figure(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{v:.2e}"),
        v if v >= 1000.0 => format!("{v:.0}"),
        v if v >= 100.0 => format!("{v:.1}"),
        v if v >= 0.1 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}
