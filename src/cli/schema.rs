//! `ultrapack schema recipe|train|manifest|inspect|eval`.

use super::output::Printer;
use crate::error::Result;
use crate::{eval, inspect, recipe, shard, train};

#[derive(Debug, clap::Args)]
pub struct SchemaArguments {
    /// Which schema.
    #[arg(value_enum)]
    of: Of,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Of {
    /// The recipe, for editors.
    Recipe,
    /// The recipe of a training run, for editors.
    Train,
    /// The manifest, for readers.
    Manifest,
    /// The output of `inspect --json`.
    Inspect,
    /// The output of `eval --json`, which is also its `summary.json`.
    Eval,
}

pub fn run(arguments: &SchemaArguments, printer: &Printer) -> Result<()> {
    let schema = match arguments.of {
        Of::Recipe => recipe::schema(),
        Of::Train => train::recipe::schema(),
        Of::Manifest => shard::manifest_schema(),
        Of::Inspect => inspect::schema(),
        Of::Eval => eval::run::schema(),
    };
    printer.result(&format!(
        "{}\n",
        serde_json::to_string_pretty(&schema).expect("plain data")
    ))
}
