//! `ultrapack repair DIR --shard N`.

use std::path::PathBuf;
use std::sync::Arc;

use super::output::{self, Printer};
use super::progress::Progress;
use super::signals;
use crate::build::{self, Monitor, Run};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct RepairArguments {
    /// The dataset.
    dataset: PathBuf,
    /// The shard's number.
    #[arg(long, value_name = "N")]
    shard: usize,
    /// Token store. Default: the one that `run.json` names.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub fn run(arguments: &RepairArguments, printer: &Printer) -> Result<()> {
    let store = store_of(&arguments.dataset, arguments.store.clone())?;
    let monitor = Arc::new(Monitor::default());
    signals::watch(&monitor)?;
    let progress = Progress::start(&monitor, printer);
    let result = build::repair(&arguments.dataset, &store, arguments.shard, &monitor);
    drop(progress);
    let entry = result?;
    if printer.json() {
        return printer.json_result("repair", &entry);
    }
    printer.result(&format!(
        "rebuilt `{}`: {} sequences, {}, blake3 {}\n",
        entry.name,
        output::count(entry.n_rows),
        output::bytes(entry.n_bytes),
        &entry.blake3[..16],
    ))
}

/// The store of a dataset: as given, or as its run remembers.
pub(super) fn store_of(dataset: &std::path::Path, given: Option<PathBuf>) -> Result<PathBuf> {
    let store = match given {
        Some(store) => store,
        None => Run::read(dataset)
            .map(|run| run.store)
            .unwrap_or_else(|_| build::default_store(dataset)),
    };
    match store.is_dir() {
        true => Ok(store),
        false => Err(Error::usage(format!(
            "the token store `{}` is not there\nhint: pass `--store DIR`, or run `pack` again",
            store.display()
        ))),
    }
}
