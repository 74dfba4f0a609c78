//! `ultrapack score [FILE]`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use super::output::{Printer, count, table};
use crate::error::{Error, Result};
use crate::eval::Cell;
use crate::eval::rescore::{Rescored, rescore};

#[derive(Debug, clap::Args)]
pub struct ScoreArguments {
    /// `predictions.jsonl` of `eval`, or other JSON lines with `gold` and `prediction`. Default: standard
    /// input.
    file: Option<PathBuf>,
}

pub fn run(arguments: &ScoreArguments, printer: &Printer) -> Result<()> {
    let mut all: Vec<Rescored> = Vec::new();
    let keep = |rescored| {
        all.push(rescored);
        Ok(())
    };
    match &arguments.file {
        Some(path) => {
            let file = File::open(path).map_err(Error::io("open", path))?;
            rescore(BufReader::new(file), path, keep)?;
        }
        None => rescore(io::stdin().lock(), "standard input".as_ref(), keep)?,
    }
    if printer.json() {
        let scores: Vec<_> = all.iter().map(|rescored| rescored.score).collect();
        return printer.json_result("scores", &scores);
    }
    let mut by_task: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for Rescored { task, metric, score } in all {
        let name = task.unwrap_or_else(|| format!("{metric:?}"));
        by_task.entry(name).or_default().push(score.value);
    }
    let rows = by_task.into_iter().filter_map(|(name, scores)| {
        let cell = Cell::of(scores)?;
        Some(vec![name, count(cell.n), format!("{:.2}", cell.mean)])
    });
    printer.result(&table(&["task", "predictions", "score"], rows.collect()))
}
