//! `ultrapack pack RECIPE`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::output::{self, Printer, bytes, count, duration, length, percent};
use super::progress::Progress;
use super::{Machine, signals};
use crate::build::{self, Monitor, Options, Outcome, PackedDataset};
use crate::error::{Error, Result};
use crate::recipe::{self, LoadedRecipe};

#[derive(Debug, clap::Args)]
pub struct PackArguments {
    /// The recipe.
    recipe: PathBuf,
    /// Output directory. Default: the recipe's `run.out`, else `out/NAME`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
    /// Replace an output that belongs to another recipe or other inputs.
    #[arg(long)]
    restart: bool,
    /// Check the recipe, the tokenizer and the input files, say what would be done, write nothing.
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &PackArguments, printer: &Printer) -> Result<()> {
    let loaded = recipe::load(&arguments.recipe, printer.color())?;
    let out = output_directory(&loaded, arguments.out.as_deref());
    let store = store_directory(&loaded, arguments.machine.store.as_deref(), &out);
    let options = Options {
        out,
        store,
        threads: arguments.machine.threads(loaded.recipe.run.threads),
        restart: arguments.restart,
    };
    if arguments.dry_run {
        return dry_run(&loaded, &options, printer);
    }
    let monitor = Arc::new(Monitor::default());
    signals::watch(&monitor)?;
    let progress = Progress::start(&monitor, printer);
    let result = build::pack(&loaded, &options, &monitor);
    drop(progress);
    if result.is_err() {
        monitor
            .warnings()
            .iter()
            .for_each(|warning| printer.warning(warning));
    }
    if let Err(Error::Interrupted { .. }) = &result {
        printer.note("stopped; finished work is kept. Run the same command again to go on.");
    }
    let outcome = result?;
    outcome
        .warnings
        .iter()
        .for_each(|warning| printer.warning(warning));
    if printer.json() {
        return printer.json_result("pack", &outcome);
    }
    for dataset in &outcome.datasets {
        printer.result(&summary(dataset, &outcome))?;
    }
    Ok(())
}

/// `--out`, else the recipe's, else `out/NAME`.
pub(super) fn output_directory(loaded: &LoadedRecipe, given: Option<&Path>) -> PathBuf {
    let from_recipe = loaded.recipe.run.out.as_ref().map(|out| loaded.base.join(out));
    let by_name = || Path::new("out").join(loaded.recipe.name_or(&loaded.path));
    given.map(Path::to_owned).or(from_recipe).unwrap_or_else(by_name)
}

/// `--store`, else the recipe's, else the one beside the output.
pub(super) fn store_directory(loaded: &LoadedRecipe, given: Option<&Path>, out: &Path) -> PathBuf {
    let from_recipe = loaded
        .recipe
        .run
        .store
        .as_ref()
        .map(|store| loaded.base.join(store));
    given
        .map(Path::to_owned)
        .or(from_recipe)
        .unwrap_or_else(|| build::default_store(out))
}

fn dry_run(loaded: &LoadedRecipe, options: &Options, printer: &Printer) -> Result<()> {
    let checked = build::check(loaded)?;
    loaded
        .warnings
        .iter()
        .chain(&checked.notes)
        .for_each(|warning| printer.warning(warning));
    let datasets = build::output_directories(&loaded.recipe, &options.out);
    if printer.json() {
        let directories: Vec<_> = datasets
            .iter()
            .map(|(seq_len, dir)| json!({ "seq_len": seq_len, "directory": dir }))
            .collect();
        return printer.json_result(
            "dry_run",
            &json!({ "sources": checked.sources, "datasets": directories, "store": options.store, "threads": options.threads }),
        );
    }
    let rows = checked
        .sources
        .iter()
        .map(|s| vec![s.name.clone(), count(s.n_files), bytes(s.n_bytes)])
        .collect();
    let mut text = format!(
        "{}{}",
        output::bold("Sources\n"),
        output::table(&["source", "files", "size"], rows)
    );
    for (seq_len, directory) in datasets {
        text += &format!(
            "would write `{}` with {} tokens per sequence\n",
            directory.display(),
            count(seq_len.into())
        );
    }
    text += &format!(
        "token store `{}`, {} threads; nothing was written\n",
        options.store.display(),
        options.threads
    );
    printer.result(&text)
}

/// The closing table.
fn summary(dataset: &PackedDataset, outcome: &Outcome) -> String {
    let manifest = &dataset.manifest;
    let (total, slots) = (&manifest.ledger.total, &manifest.ledger.slots);
    let statistics = &manifest.statistics;
    let mut rows: Vec<(&str, String)> = Vec::new();
    let shards_bytes: u64 = manifest.shards.iter().map(|s| s.n_bytes).sum();
    rows.push((
        "sequences",
        format!(
            "{} × {} in {} shard(s), {}",
            count(slots.sequences),
            count(slots.seq_len),
            manifest.shards.len(),
            bytes(shards_bytes)
        ),
    ));
    rows.push((
        "documents",
        parts(
            "read",
            total.documents.read,
            &[
                ("used", total.documents.used),
                ("repeated", total.documents.repeated),
                ("split", total.documents.split),
                ("truncated", total.documents.truncated),
                ("bad", total.documents.bad),
                ("filtered", total.documents.filtered),
                ("empty", total.documents.empty),
                ("duplicate", total.documents.duplicate),
                ("too short", total.documents.too_short),
                (
                    "too long",
                    total.documents.too_long + total.documents.long_dropped,
                ),
                ("unselected", total.documents.unselected),
                ("in dropped tail", total.documents.tail_dropped),
            ],
        ),
    ));
    let dropped = total.tokens.duplicate
        + total.tokens.too_short
        + total.tokens.too_long
        + total.tokens.long_dropped
        + total.tokens.unselected;
    rows.push((
        "tokens",
        parts(
            "read",
            total.tokens.read,
            &[
                ("EOD added", total.tokens.eod_added),
                ("repeated", total.tokens.repeated + total.tokens.overlap),
                ("dropped", dropped),
                ("truncated", total.tokens.truncated),
                ("tail dropped", total.tokens.tail_dropped),
                ("placed", total.tokens.placed),
            ],
        ),
    ));
    rows.push((
        "fill",
        format!(
            "{}, {} sequence(s) over the ideal; padding {} tail, {} alignment",
            percent(statistics.fill_ratio),
            count(statistics.n_sequences.saturating_sub(statistics.ideal_sequences)),
            count(slots.padding_tail),
            count(slots.padding_align),
        ),
    ));
    let kept: Vec<String> = statistics
        .context_kept
        .iter()
        .map(|c| {
            format!(
                "≥ {} {} of {}",
                length(c.len),
                percent(c.segments),
                percent(c.documents)
            )
        })
        .collect();
    rows.push(("context kept", kept.join(", ")));
    if let Some(effect) = &statistics.balance
        && let (Some(before), Some(after)) = (effect.slowdown_before, effect.slowdown_after)
    {
        rows.push((
            "balance",
            format!("slowest rank {after:.2}× the mean (in placement order {before:.2}×)"),
        ));
    }
    if statistics.mixture.len() > 1 {
        let mix = |s: &crate::pack::SourceShare| {
            format!(
                "{} {} (wanted {})",
                s.name,
                percent(s.achieved),
                percent(s.wanted)
            )
        };
        rows.push((
            "mixture",
            statistics.mixture.iter().map(mix).collect::<Vec<_>>().join(", "),
        ));
    }
    if dataset.was_complete {
        rows.push(("time", "already complete; nothing was written".into()));
    } else {
        let speed = match outcome.text_bytes {
            0 => "all tokens from the store".to_owned(),
            n => format!(
                "{} of text at {:.1} MB/s",
                bytes(n),
                n as f64 / 1e6 / outcome.wall_secs
            ),
        };
        rows.push(("time", format!("{}, {speed}", duration(outcome.wall_secs))));
    }
    let heading = format!(
        "{}  {}\n",
        dataset.directory.display(),
        &manifest.dataset[..manifest.dataset.len().min(23)]
    );
    let mut text = output::bold(&heading);
    for (name, value) in rows {
        text += &format!("  {name:<13} {value}\n");
    }
    text + "  ledger        balances: every document, token and byte is accounted for\n"
}

/// `read 10: used 8, empty 2`, without the zeros.
fn parts(name: &str, total: u64, classes: &[(&str, u64)]) -> String {
    let list: Vec<String> = classes
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(class, n)| format!("{class} {}", count(*n)))
        .collect();
    format!("{name} {}: {}", count(total), list.join(", "))
}
