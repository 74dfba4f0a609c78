//! `ultrapack plan RECIPE`.

use std::path::PathBuf;
use std::sync::Arc;

use super::output::{self, Printer, bytes, count, duration, length, percent};
use super::pack::{output_directory, store_directory};
use super::progress::Progress;
use super::{Machine, signals};
use crate::build::{self, Basis, Forecast, Monitor};
use crate::error::Result;
use crate::recipe;

#[derive(Debug, clap::Args)]
pub struct PlanArguments {
    /// The recipe.
    recipe: PathBuf,
    /// Lengths to compare, comma separated. Default: the recipe's, and a quarter of the first.
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = parse_length)]
    seq_len: Vec<u32>,
    /// Tokenize a sample even if the store holds the whole corpus.
    #[arg(long)]
    sample: bool,
    /// Output directory that the recipe would be packed to; only to find the token store beside it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

/// A number of tokens: digits, or `128K` for 131072.
fn parse_length(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => (text, 1),
    };
    let tokens = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit));
    tokens
        .filter(|n| (1..=1 << 24).contains(n))
        .ok_or_else(|| "expected a number of tokens from 1 to 16777216, such as 131072 or 128K".into())
}

pub fn run(arguments: &PlanArguments, printer: &Printer) -> Result<()> {
    let loaded = recipe::load(&arguments.recipe, printer.color())?;
    loaded
        .warnings
        .iter()
        .for_each(|warning| printer.warning(warning));
    let out = output_directory(&loaded, arguments.out.as_deref());
    let store = store_directory(&loaded, arguments.machine.store.as_deref(), &out);
    let threads = arguments.machine.threads(loaded.recipe.run.threads);
    let mut seq_lens = arguments.seq_len.clone();
    if seq_lens.is_empty() {
        seq_lens = loaded.recipe.pack.seq_len.all().to_vec();
        if let [only] = seq_lens[..] {
            seq_lens.push((only / 4).max(1));
        }
    }
    let monitor = Arc::new(Monitor::default());
    signals::watch(&monitor)?;
    let progress = Progress::start(&monitor, printer);
    let forecast = build::forecast(&loaded, &store, threads, &seq_lens, arguments.sample, &monitor);
    drop(progress);
    let forecast = forecast?;
    match printer.json() {
        true => printer.json_result("plan", &forecast),
        false => printer.result(&table(&forecast, loaded.recipe.pack.placement, threads)),
    }
}

fn table(forecast: &Forecast, chosen: recipe::Placement, threads: usize) -> String {
    let mut text = match &forecast.basis {
        Basis::Store => format!(
            "{} documents, {} tokens: exact, from the token store\n",
            count(forecast.n_documents),
            count(forecast.n_tokens)
        ),
        Basis::Sample {
            n_documents,
            relative_error: 0.0,
            ..
        } if *n_documents == forecast.n_documents => format!(
            "{} documents, {} tokens: exact, all of the input was tokenized\n",
            count(forecast.n_documents),
            count(forecast.n_tokens)
        ),
        Basis::Sample {
            n_documents,
            share,
            relative_error,
        } => format!(
            "about {} documents, {} tokens ± {} (95 %): from a sample of {} documents, {} of the input\n",
            count(forecast.n_documents),
            output::short(forecast.n_tokens),
            percent(*relative_error),
            count(*n_documents),
            percent(*share),
        ),
    };
    let slowdown = |x: Option<f64>| x.map_or("–".into(), |x| format!("{x:.2}×"));
    let share = |row: &build::ForecastRow, len: u64| {
        let kept = row.summary.statistics.context_kept.iter().find(|c| c.len == len);
        kept.map_or("–".into(), |c| format!("{:.1} %", c.segments * 100.0))
    };
    let rows = forecast
        .rows
        .iter()
        .map(|row| {
            let statistics = &row.summary.statistics;
            let mark = if row.placement == chosen { " *" } else { "" };
            let after = statistics.balance.as_ref().and_then(|b| b.slowdown_after);
            vec![
                format!("{}{mark}", name(row.placement)),
                length(row.seq_len.into()),
                count(row.n_sequences),
                percent(statistics.fill_ratio),
                output::short(row.truncated_tokens),
                count(row.split_documents),
                share(row, 8 << 10),
                share(row, 32 << 10),
                share(row, 64 << 10),
                share(row, row.seq_len.into()),
                slowdown(statistics.imbalance_8),
                slowdown(statistics.imbalance_64),
                slowdown(after),
                bytes(row.disk_bytes),
            ]
        })
        .collect();
    let header = [
        "placement",
        "length",
        "sequences",
        "fill",
        "truncated",
        "split",
        "≥ 8K",
        "≥ 32K",
        "≥ 64K",
        "full",
        "8 ranks",
        "64 ranks",
        "balanced",
        "disk",
    ];
    text += &output::table(&header, rows);
    text +=
        "* the recipe's placement. ≥ 8K … full: share of tokens in segments at least that long. 8 ranks,\n";
    text +=
        "64 ranks: slowest rank over the mean, in placement order; balanced: with the recipe's `balance`.\n";
    if forecast.tokenize_secs > 0.0 {
        text += &format!(
            "tokenizing: about {} with {threads} thread(s); ",
            duration(forecast.tokenize_secs)
        );
        text += "packing again with another placement or length reuses the tokens.\n";
    }
    text + &format!("this forecast took {}\n", duration(forecast.wall_secs))
}

fn name(placement: recipe::Placement) -> String {
    let value = serde_json::to_value(placement).expect("plain data");
    value.as_str().expect("unit variants are strings").to_owned()
}
