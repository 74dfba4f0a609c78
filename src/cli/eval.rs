//! `ultrapack eval --model DIR --tasks LIST`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::output::{Printer, count, duration};
use super::progress::Progress;
use super::signals::{self, Stop};
use super::subject::{ModelArguments, SamplingArguments, length};
use crate::error::{Error, Result, shown, shown_text};
use crate::eval::longbench::{self, LongBench, LongBenchSettings};
use crate::eval::niah::{Niah, NiahSettings};
use crate::eval::perplexity::{Estimator, Texts};
use crate::eval::ruler::{self, Ruler, RulerSettings};
use crate::eval::run::{self, AnswerRule, Monitor, PerplexityPlan, Plan, Speaker, Status, Subject};
use crate::eval::{Benchmark, Meter, Suite, report};
use crate::inspect::Look;
use crate::recipe;
use crate::tokenize::Tokenizer;

/// Columns where there is no terminal.
const WIDTH: usize = 100;
/// Prompts for each length and depth, or task and length, unless `--limit` says otherwise.
const NIAH_REPEATS: u32 = 10;
const RULER_SAMPLES: u32 = 100;

#[derive(Debug, clap::Args)]
pub struct EvalArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// What to evaluate: niah, ruler, longbench, ppl; or one task of a benchmark, such as ruler:vt or
    /// longbench:qasper.
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    tasks: Vec<Asked>,
    /// Compare with this as well: changes to the model's options, such as rope=none,max-len=8192 or
    /// model=DIR,name=base. May be given again.
    #[arg(long, value_name = "SPEC")]
    compare: Vec<String>,
    /// Lengths in tokens, such as 4096 or 4K.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = length, default_values = ["4K", "8K", "16K", "32K"])]
    lengths: Vec<u32>,
    /// niah: depths of the needle, percent.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["0", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100"])]
    depths: Vec<f64>,
    /// Prompts of each task, length and depth; for ppl, texts. Default: 10 for niah, 100 for ruler, all for
    /// longbench, 4 for ppl.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Decides prompts, masks and noise.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Where predictions, summary, pictures and page go. What is finished there is not run again.
    #[arg(long, value_name = "DIR", default_value = "out/eval")]
    out: PathBuf,
    /// Write the prompts with what judges their answers, as JSON lines, and run nothing.
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    perplexity: PerplexityArguments,
    /// Tokens of a block. Default: 32 for niah, else 64.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    block: Option<u32>,
    /// Tokens that a step commits. Default: 2 for niah, else 1.
    #[arg(long, value_name = "N", conflicts_with = "threshold", value_parser = clap::value_parser!(u32).range(1..))]
    tokens_per_step: Option<u32>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Draw with ASCII characters only.
    #[arg(long)]
    ascii: bool,
}

/// Files and rules of the benchmarks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Benchmarks")]
struct DataArguments {
    /// Count lengths with this tokenizer instead of the model's.
    #[arg(long, value_name = "FILE")]
    length_tokenizer: Option<PathBuf>,
    /// niah: the haystack, JSON lines with a field `text` or plain text. Default: made-up prose.
    #[arg(long, value_name = "FILE")]
    haystack: Option<PathBuf>,
    /// niah: NeedleBench's needles.jsonl. Default: made-up needles.
    #[arg(long, value_name = "FILE")]
    needles: Option<PathBuf>,
    /// niah: tokens kept free for instruction, question and answer; NeedleBench keeps 600.
    #[arg(long, value_name = "N")]
    reserve: Option<u32>,
    /// ruler: running text for the haystacks. Default: made-up prose.
    #[arg(long, value_name = "FILE")]
    essays: Option<PathBuf>,
    /// ruler: SQuAD 2.0's dev-v2.0.json, for qa_squad.
    #[arg(long, value_name = "FILE")]
    squad: Option<PathBuf>,
    /// ruler: HotpotQA's dev set with distractors, for qa_hotpotqa.
    #[arg(long, value_name = "FILE")]
    hotpotqa: Option<PathBuf>,
    /// ruler, longbench: whose prompts.
    #[arg(long, value_name = "SUITE", default_value = "port")]
    suite: SuiteName,
    /// ruler: end prompts with two line ends, as UltraLLaDA's evaluation does.
    #[arg(long)]
    end_with_newlines: bool,
    /// longbench: the directory of its JSON lines.
    #[arg(long, value_name = "DIR")]
    longbench_data: Option<PathBuf>,
    /// longbench: the longest prompt, tokens; of a longer one the middle is left out.
    #[arg(long, value_name = "N", value_parser = length, default_value = "16000")]
    max_prompt_len: u32,
}

/// What perplexity is measured on, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Perplexity")]
struct PerplexityArguments {
    /// UTF-8 text files. May be given again.
    #[arg(long, value_name = "FILE")]
    text: Vec<PathBuf>,
    /// A packed dataset instead: its rows, with their boundaries of attention.
    #[arg(long, value_name = "DIR", conflicts_with = "text")]
    dataset: Option<PathBuf>,
    /// Mask whole windows, or chunks behind a clean prefix as LongLLaDA does.
    #[arg(long, value_name = "NAME", default_value = "window")]
    estimator: EstimatorName,
    /// Masks drawn for each window or chunk. Default: 16 for windows, 8 for chunks.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    draws: Option<u32>,
    /// Tokens of a chunk.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    chunk: u32,
    /// Measure every so manieth chunk.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    stride: u32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SuiteName {
    /// The benchmark's own repository.
    Official,
    /// OpenCompass, as LongLLaDA and UltraLLaDA report.
    Port,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EstimatorName {
    Window,
    Chunks,
}

/// One entry of `--tasks`.
#[derive(Debug, Clone)]
enum Asked {
    Niah,
    Ruler(Option<ruler::Task>),
    LongBench(Option<longbench::Task>),
    Perplexity,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, task) = match text.split_once(':') {
            Some((name, task)) => (name, Some(task)),
            None => (text, None),
        };
        match (name, task) {
            ("niah", None) => Ok(Self::Niah),
            ("ppl", None) => Ok(Self::Perplexity),
            ("ruler", task) => task.map(parsed).transpose().map(Self::Ruler),
            ("longbench", task) => task.map(parsed).transpose().map(Self::LongBench),
            _ => Err("expected niah, ruler, longbench or ppl, or a task such as ruler:vt".into()),
        }
    }
}

fn parsed<T: FromStr<Err = Error>>(name: &str) -> Result<T, String> {
    name.parse().map_err(|error: Error| error.to_string())
}

pub fn run(arguments: &EvalArguments, printer: &Printer) -> Result<()> {
    let spec = arguments.model.spec();
    let specs = arguments.compare.iter().map(|text| spec.vary(text));
    let specs = [Ok(spec.clone())]
        .into_iter()
        .chain(specs)
        .collect::<Result<Vec<_>>>()?;
    let subjects = specs.iter().map(Subject::open).collect::<Result<Vec<_>>>()?;
    distinct(&subjects)?;
    let first = &subjects[0];
    let tokenizer = arguments.model.tokenizer.as_deref();
    let speaker = Speaker::load(tokenizer, &first.directory, &first.config, false)?;
    for other in &subjects {
        other.speaks(&speaker)?;
    }
    let other_meter = arguments
        .data
        .length_tokenizer
        .as_deref()
        .map(meter)
        .transpose()?;
    let meter: &dyn Meter = other_meter.as_ref().unwrap_or(speaker.tokenizer());
    let benchmarks = benchmarks(arguments, meter)?;
    for skip in benchmarks.iter().flat_map(|benchmark| benchmark.skips()) {
        printer.warning(&format!("{}: {}; left out", skip.place, skip.reason));
    }
    let monitor = Arc::new(Monitor::default());
    signals::watch(&monitor)?;
    let all: Vec<&dyn Benchmark> = benchmarks.iter().map(|benchmark| &**benchmark).collect();
    if let Some(path) = &arguments.prompts {
        let n = run::export(&all, path, &monitor)?;
        return printer.result(&format!("{}  {} prompts\n", shown(path), count(n)));
    }
    let (device, dtype) = arguments.model.device(printer)?;
    let answers = AnswerRule {
        block: arguments.block,
        tokens_per_step: arguments.tokens_per_step,
        threshold: arguments.sampling.threshold,
        base: arguments.sampling.sampling(1, arguments.seed),
    };
    answers.check()?;
    let plan = Plan {
        subjects,
        benchmarks: all,
        answers,
        perplexity: perplexity(arguments, &speaker)?,
        speaker: &speaker,
        meter: other_meter.as_ref().map(|meter| meter.digest().to_owned()),
        device,
        dtype,
    };
    let (watched, warned) = (Arc::clone(&monitor), Arc::clone(&monitor));
    let progress = Progress::lines(
        printer,
        move || line(&watched.status()),
        move || warned.take_warnings(),
    );
    let result = arguments
        .model
        .install(|| run::run(&plan, &arguments.out, &monitor));
    drop(progress);
    if let Err(Error::Interrupted { .. }) = &result {
        printer.note("stopped; what is finished is kept. Run the same command again to go on.");
    }
    let summary = result?;
    let written = report::write(&summary, &arguments.out)?;
    if printer.json() {
        return printer.json_result("eval", &summary);
    }
    printer.result(&report::text(&summary, &look(arguments, printer)))?;
    written.iter().for_each(|path| printer.note(&shown(path)));
    Ok(())
}

impl Stop for Monitor {
    fn stop(&self, signal: i32) {
        self.stop(signal);
    }
}

/// Tables name subjects, so no two may have the same name.
fn distinct(subjects: &[Subject]) -> Result<()> {
    for (index, subject) in subjects.iter().enumerate() {
        if subjects[..index].iter().any(|other| other.name == subject.name) {
            return Err(Error::usage(format!(
                "two subjects are called `{}`\nhint: add `name=…` to `--compare`",
                shown_text(&subject.name)
            )));
        }
    }
    Ok(())
}

/// A tokenizer that only counts.
fn meter(path: &Path) -> Result<Tokenizer> {
    let rules = recipe::Tokenizer {
        file: path.into(),
        eod: recipe::TokenRef::Id(0),
        pad: None,
        mask: None,
        vocab_size: None,
        special_tokens: recipe::SpecialTokens::Text,
    };
    Tokenizer::load(path, &rules)
}

/// The benchmarks asked for, in the order asked for.
fn benchmarks<'a>(arguments: &EvalArguments, meter: &'a dyn Meter) -> Result<Vec<Box<dyn Benchmark + 'a>>> {
    let (data, lengths) = (&arguments.data, &arguments.lengths);
    let suite = match data.suite {
        SuiteName::Official => Suite::Official,
        SuiteName::Port => Suite::Port,
    };
    let mut of_ruler: Vec<ruler::Task> = Vec::new();
    let mut of_longbench: Vec<longbench::Task> = Vec::new();
    for asked in &arguments.tasks {
        match asked {
            Asked::Ruler(None) => of_ruler.extend(available(data)),
            Asked::Ruler(Some(task)) => of_ruler.push(*task),
            Asked::LongBench(None) => of_longbench.extend(longbench::Task::all()),
            Asked::LongBench(Some(task)) => of_longbench.push(*task),
            Asked::Niah | Asked::Perplexity => {}
        }
    }
    let mut benchmarks: Vec<Box<dyn Benchmark + 'a>> = Vec::new();
    if arguments.tasks.iter().any(|asked| matches!(asked, Asked::Niah)) {
        let settings = NiahSettings {
            lengths: lengths.clone(),
            depths: arguments.depths.clone(),
            repeats: arguments.limit.unwrap_or(NIAH_REPEATS),
            seed: arguments.seed,
            haystack: data.haystack.clone(),
            needles: data.needles.clone(),
            reserve: data.reserve,
            ..NiahSettings::default()
        };
        benchmarks.push(Box::new(Niah::new(settings, meter)?));
    }
    if !of_ruler.is_empty() {
        let settings = RulerSettings {
            suite,
            lengths: lengths.clone(),
            tasks: of_ruler,
            samples: arguments.limit.unwrap_or(RULER_SAMPLES),
            seed: arguments.seed,
            essays: data.essays.clone(),
            squad: data.squad.clone(),
            hotpotqa: data.hotpotqa.clone(),
            end_with_newlines: data.end_with_newlines,
        };
        benchmarks.push(Box::new(Ruler::new(settings, meter)?));
    }
    if !of_longbench.is_empty() {
        let directory = data.longbench_data.clone().ok_or_else(|| {
            Error::usage("longbench needs its files\nhint: name their directory with `--longbench-data`")
        })?;
        let settings = LongBenchSettings {
            suite,
            data: directory,
            tasks: of_longbench,
            limit: arguments.limit,
            max_prompt_len: Some(data.max_prompt_len),
        };
        benchmarks.push(Box::new(LongBench::new(settings)?));
    }
    Ok(benchmarks)
}

/// RULER's tasks whose files are there.
fn available(data: &DataArguments) -> impl Iterator<Item = ruler::Task> {
    let (squad, hotpotqa) = (data.squad.is_some(), data.hotpotqa.is_some());
    ruler::Task::ALL.into_iter().filter(move |task| match task {
        ruler::Task::Squad => squad,
        ruler::Task::HotpotQa => hotpotqa,
        _ => true,
    })
}

fn perplexity(arguments: &EvalArguments, speaker: &Speaker) -> Result<Option<PerplexityPlan>> {
    const TEXTS: u32 = 4;
    if !arguments
        .tasks
        .iter()
        .any(|asked| matches!(asked, Asked::Perplexity))
    {
        return Ok(None);
    }
    let own = &arguments.perplexity;
    let estimator = match own.estimator {
        EstimatorName::Window => Estimator::Window {
            draws: own.draws.unwrap_or(16),
        },
        EstimatorName::Chunks => Estimator::Chunks {
            chunk: own.chunk,
            draws: own.draws.unwrap_or(8),
            stride: own.stride,
        },
    };
    let mut lengths = arguments.lengths.clone();
    lengths.sort_unstable();
    lengths.dedup();
    estimator.check(&lengths)?;
    let longest = *lengths.last().expect("at least one length");
    let limit = arguments.limit.unwrap_or(TEXTS);
    let (texts, source) = match (&own.dataset, own.text.as_slice()) {
        (Some(directory), _) => (Texts::of_dataset(directory, longest, limit)?, shown(directory)),
        (None, []) => {
            return Err(Error::usage(
                "perplexity needs texts\nhint: name files with `--text`, or a packed dataset with `--dataset`",
            ));
        }
        (None, files) => {
            let names: Vec<String> = files.iter().map(|file| shown(file)).collect();
            let texts = Texts::of_files(files, speaker.tokenizer(), longest, limit)?;
            (texts, names.join(", "))
        }
    };
    Ok(Some(PerplexityPlan {
        texts,
        source,
        lengths,
        estimator,
        seed: arguments.seed,
    }))
}

fn look(arguments: &EvalArguments, printer: &Printer) -> Look {
    let terminal = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0);
    Look {
        width: terminal.map_or(WIDTH, usize::from),
        color: printer.result_color(),
        ascii: arguments.ascii,
    }
}

fn line(status: &Status) -> String {
    let (done, all) = status.done;
    let mut parts = vec![format!("{} {}/{}", status.subject, count(done), count(all))];
    if !status.doing.is_empty() {
        parts.push(status.doing.clone());
    }
    parts.push(format!("{} passes", count(status.n_forwards)));
    parts.extend(status.eta_secs.map(|eta| format!("{} left", duration(eta))));
    // Names of subjects and cases come from files and arguments.
    shown_text(&parts.join(" · "))
}
