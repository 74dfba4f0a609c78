//! `ultrapack overlap DATASET`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use super::output::{Printer, bold, count, percent, table};
use crate::dataset::Dataset;
use crate::error::{Error, Result, shown_text};
use crate::eval::longbench::{self, LongBench, LongBenchSettings};
use crate::eval::niah::{Niah, NiahSettings};
use crate::eval::overlap::{OverlapReport, OverlapSettings, Passage, Unit, overlap};
use crate::eval::ruler::{self, Ruler, RulerSettings};
use crate::eval::{Benchmark, Suite};
use crate::recipe::{self, SpecialTokens, TokenRef};
use crate::shard::TOKENIZER;
use crate::tokenize::Tokenizer;

/// Prompts are not made here; any length will do for which a benchmark can be set up.
const LENGTH: u32 = 1024;

#[derive(Debug, clap::Args)]
pub struct OverlapArguments {
    /// The dataset.
    dataset: PathBuf,
    /// Directory of LongBench's files; those that are there are looked for.
    #[arg(long, value_name = "DIR")]
    longbench: Option<PathBuf>,
    /// SQuAD 2.0's `dev-v2.0.json`, of RULER.
    #[arg(long, value_name = "FILE")]
    squad: Option<PathBuf>,
    /// HotpotQA's dev set with distractors, of RULER.
    #[arg(long, value_name = "FILE")]
    hotpotqa: Option<PathBuf>,
    /// Essays of RULER: JSON lines with `text`, or plain text.
    #[arg(long, value_name = "FILE")]
    essays: Option<PathBuf>,
    /// Haystack of the needle test: JSON lines with `text`, or plain text.
    #[arg(long, value_name = "FILE")]
    haystack: Option<PathBuf>,
    /// Needles in the form of NeedleBench's `needles.jsonl`.
    #[arg(long, value_name = "FILE")]
    needles: Option<PathBuf>,
    /// Units of an n-gram.
    #[arg(long, value_name = "N", default_value_t = 13, value_parser = clap::value_parser!(u32).range(1..=1000))]
    ngram: u32,
    /// What the units are: `tokens`, or `words` whatever their case and white space.
    #[arg(long, value_name = "UNIT", default_value = "tokens")]
    unit: Unit,
    /// Passages shown of each task.
    #[arg(long, value_name = "K", default_value_t = 3)]
    examples: usize,
}

pub fn run(arguments: &OverlapArguments, printer: &Printer) -> Result<()> {
    let meter = tokenizer(&arguments.dataset)?;
    let niah = niah(arguments, &meter)?;
    let ruler = ruler(arguments, &meter)?;
    let longbench = arguments.longbench.as_deref().map(longbench).transpose()?;
    let benchmarks: Vec<&dyn Benchmark> = [
        niah.as_ref().map(|niah| niah as &dyn Benchmark),
        ruler.as_ref().map(|ruler| ruler as &dyn Benchmark),
        longbench.as_ref().map(|longbench| longbench as &dyn Benchmark),
    ]
    .into_iter()
    .flatten()
    .collect();
    if benchmarks.is_empty() {
        return Err(Error::usage(
            "there is nothing to look for\nhint: name texts of evaluation with `--longbench DIR`, `--haystack FILE` and so on",
        ));
    }
    for skip in benchmarks.iter().flat_map(|benchmark| benchmark.skips()) {
        printer.warning(&format!("{}: left out: {}", skip.place, shown_text(&skip.reason)));
    }
    let settings = OverlapSettings {
        n: arguments.ngram,
        unit: arguments.unit,
        examples: arguments.examples,
        ..OverlapSettings::default()
    };
    let report = overlap(
        &arguments.dataset,
        &benchmarks,
        &meter,
        &settings,
        &AtomicU64::new(0),
    )?;
    match printer.json() {
        true => printer.json_result("overlap", &report),
        false => printer.result(&shown_report(&report)),
    }
}

/// The tokenizer that the dataset was made with.
fn tokenizer(directory: &Path) -> Result<Tokenizer> {
    let dataset = Dataset::open(directory)?;
    let manifest = dataset.manifest();
    let rules = recipe::Tokenizer {
        file: TOKENIZER.into(),
        eod: TokenRef::Id(manifest.ids.eod),
        pad: Some(TokenRef::Id(manifest.ids.pad)),
        mask: manifest.ids.mask.map(TokenRef::Id),
        vocab_size: Some(manifest.ids.vocab_size),
        special_tokens: SpecialTokens::Text,
    };
    let path = directory.join(TOKENIZER);
    let tokenizer = Tokenizer::load(&path, &rules)?;
    if tokenizer.digest().strip_prefix("blake3:")
        != Some(manifest.tokenizer.blake3.trim_start_matches("blake3:"))
    {
        let message = "it is not the tokenizer that the dataset was made with: its BLAKE3 differs";
        return Err(Error::damaged("tokenizer", path, message));
    }
    Ok(tokenizer)
}

fn niah<'a>(arguments: &OverlapArguments, meter: &'a Tokenizer) -> Result<Option<Niah<'a>>> {
    if arguments.haystack.is_none() && arguments.needles.is_none() {
        return Ok(None);
    }
    let settings = NiahSettings {
        lengths: vec![LENGTH],
        haystack: arguments.haystack.clone(),
        needles: arguments.needles.clone(),
        ..NiahSettings::default()
    };
    Niah::new(settings, meter).map(Some)
}

fn ruler<'a>(arguments: &OverlapArguments, meter: &'a Tokenizer) -> Result<Option<Ruler<'a>>> {
    let tasks = [
        (arguments.essays.is_some(), ruler::Task::Single2),
        (arguments.squad.is_some(), ruler::Task::Squad),
        (arguments.hotpotqa.is_some(), ruler::Task::HotpotQa),
    ];
    let tasks: Vec<ruler::Task> = tasks
        .iter()
        .filter(|(named, _)| *named)
        .map(|(_, task)| *task)
        .collect();
    if tasks.is_empty() {
        return Ok(None);
    }
    let settings = RulerSettings {
        suite: Suite::Port,
        lengths: vec![LENGTH],
        tasks,
        samples: 1,
        seed: 0,
        essays: arguments.essays.clone(),
        squad: arguments.squad.clone(),
        hotpotqa: arguments.hotpotqa.clone(),
        end_with_newlines: false,
    };
    Ruler::new(settings, meter).map(Some)
}

fn longbench(data: &Path) -> Result<LongBench> {
    let tasks: Vec<longbench::Task> = longbench::Task::all()
        .filter(|task| data.join(task.file_name()).exists())
        .collect();
    if tasks.is_empty() {
        return Err(Error::usage(format!(
            "`{}` holds no file of LongBench\nhint: its files are `narrativeqa.jsonl` and so on",
            crate::error::shown(data)
        )));
    }
    LongBench::new(LongBenchSettings {
        suite: Suite::Port,
        data: data.into(),
        tasks,
        limit: None,
        max_prompt_len: None,
    })
}

fn shown_report(report: &OverlapReport) -> String {
    let rows = report.tasks.iter().map(|task| {
        let share = task.n_grams_met as f64 / task.n_grams.max(1) as f64;
        vec![
            task.task.clone(),
            count(task.n_texts),
            count(task.n_texts_left_out),
            count(task.n_texts_met),
            count(task.n_texts_mostly_met),
            count(task.n_grams),
            percent(share),
        ]
    });
    let header = ["task", "texts", "left out", "met", "mostly met", "n-grams", "met"];
    let unit = match report.unit {
        Unit::Tokens => "tokens",
        Unit::Words => "words",
    };
    let mut text = format!(
        "{}: n-grams of {} {unit} in {} rows, {} tokens\n\n{}",
        bold("Overlap"),
        report.n,
        count(report.n_rows),
        count(report.n_tokens),
        table(&header, rows.collect())
    );
    for task in report.tasks.iter().filter(|task| !task.examples.is_empty()) {
        text += &format!("\n{}\n", bold(&shown_text(&task.task)));
        text.extend(task.examples.iter().map(shown_passage));
    }
    text
}

fn shown_passage(passage: &Passage) -> String {
    format!(
        "  {}, {} units from {}: {}\n    in row {}, position {}: document {} of source {}, {}, record {}\n",
        shown_text(&passage.text),
        count(passage.n_units),
        count(passage.at),
        shown_text(&passage.begins),
        passage.row,
        passage.position,
        passage.document,
        shown_text(&passage.source),
        shown_text(&passage.file),
        passage.record
    )
}
