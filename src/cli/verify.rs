//! `ultrapack verify DIR`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::output::{Printer, bytes, count, duration};
use super::progress::Progress;
use super::{Machine, signals};
use crate::build::{self, DeepOptions, Monitor, Run};
use crate::error::{Error, Result, shown_text};
use crate::recipe;
use crate::shard::{self, Level, Report, Sample};

#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    /// The dataset.
    dataset: PathBuf,
    /// Manifest, lengths, headers and footers only.
    #[arg(long, conflicts_with_all = ["sample", "deep"])]
    quick: bool,
    /// A share of the record batches: `5%` or `3/20`.
    #[arg(long, value_name = "SHARE", conflicts_with = "deep")]
    sample: Option<Sample>,
    /// Besides everything, plan again, and read and tokenize some documents again from their sources.
    #[arg(long)]
    deep: bool,
    /// `--deep`: how many documents.
    #[arg(long, value_name = "K", default_value_t = 100, requires = "deep")]
    documents: u64,
    /// `--deep`: the recipe. Default: the one that `run.json` names.
    #[arg(long, value_name = "FILE", requires = "deep")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

pub fn run(arguments: &VerifyArguments, printer: &Printer) -> Result<()> {
    let started = Instant::now();
    let level = match (arguments.quick, arguments.sample) {
        (true, _) => Level::Quick,
        (_, Some(sample)) => Level::Sample(sample),
        _ => Level::Full,
    };
    let threads = arguments.machine.threads(None);
    let monitor = Arc::new(Monitor::default());
    let mut report = build::with_threads(threads, || {
        shard::verify(&arguments.dataset, level, &AtomicU64::new(0))
    })??;
    let mut n_documents = 0;
    if arguments.deep && report.findings.is_empty() {
        signals::watch(&monitor)?;
        let progress = Progress::start(&monitor, printer);
        let result = deep(arguments, threads, &monitor, printer, &mut report);
        drop(progress);
        n_documents = result?;
    }
    let secs = started.elapsed().as_secs_f64();
    if printer.json() {
        printer.json_result("verify", &report)?;
    } else {
        printer.result(&text(&report, arguments, n_documents, secs))?;
    }
    match report.findings.len() {
        0 => Ok(()),
        n_findings => Err(Error::VerifyFailed {
            path: arguments.dataset.clone(),
            n_findings,
        }),
    }
}

fn deep(
    arguments: &VerifyArguments,
    threads: usize,
    monitor: &Monitor,
    printer: &Printer,
    report: &mut Report,
) -> Result<u64> {
    let remembered = Run::read(&arguments.dataset).ok();
    let path = arguments
        .recipe
        .clone()
        .or(remembered.map(|run| run.recipe))
        .ok_or_else(|| {
            Error::usage("the dataset does not know its recipe any more\nhint: pass `--recipe FILE`")
        })?;
    let loaded = recipe::load(&path, printer.color())?;
    let store = super::repair::store_of(&arguments.dataset, arguments.machine.store.clone())?;
    let options = DeepOptions {
        directory: arguments.dataset.clone(),
        store,
        threads,
        n_documents: arguments.documents,
    };
    build::verify_deep(&loaded, &options, monitor, report)
}

fn text(report: &Report, arguments: &VerifyArguments, n_documents: u64, secs: f64) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text += &format!(
            "{}  {}: {}\n",
            finding.code,
            shown_text(&finding.file),
            finding.message
        );
    }
    let what = match (arguments.quick, &arguments.sample, arguments.deep) {
        (true, ..) => "manifest, lengths, headers and footers".to_owned(),
        (_, Some(_), _) => format!("a sample: {} sequences", count(report.n_rows)),
        (_, _, true) => format!(
            "every byte, the plan made again, {} documents tokenized again",
            count(n_documents)
        ),
        _ => format!("every byte: {} sequences", count(report.n_rows)),
    };
    let verdict = if report.findings.is_empty() {
        "ok"
    } else {
        "DAMAGED"
    };
    text + &format!(
        "{verdict}: {} shard(s), {what}; {} of rows in {}\n",
        report.n_shards,
        bytes(report.n_bytes),
        duration(secs)
    )
}
