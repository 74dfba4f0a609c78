//! The command line: arguments in, exit code out. One file per command; no algorithm lives here.

mod completions;
mod eval;
mod generate;
mod gpu_check;
mod init;
mod inspect;
mod model;
mod output;
mod overlap;
mod pack;
mod plan;
mod progress;
mod repair;
mod rope;
mod schema;
mod score;
mod signals;
mod subject;
mod train;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::error::{ExitCode, Result};
use output::Printer;

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 bug   2 wrong usage, recipe or tokenizer   3 bad input data   4 verify found damage
  5 output belongs to another build   10 no dataset   11 locked   74 input/output error
  130 stopped by SIGINT   143 stopped by SIGTERM";

/// Long-context training data you can prove, for diffusion language models.
#[derive(Debug, Parser)]
#[command(name = "ultrapack", version, about, after_help = EXIT_CODES, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    display: Display,
}

/// How output looks; for every command.
#[derive(Debug, Clone, clap::Args)]
struct Display {
    /// Print the result as JSON on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// Print errors only.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Colours: auto, always or never. NO_COLOR is respected.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: output::Color,
}

#[expect(clippy::large_enum_variant, reason = "there is one, for the whole run")]
#[derive(Debug, Subcommand)]
enum Command {
    /// Pack a recipe's documents into a dataset. Interrupted, it goes on where it stopped.
    Pack(pack::PackArguments),
    /// Forecast what packing would give: placements × lengths, in seconds.
    Plan(plan::PlanArguments),
    /// See what was packed: in the terminal, as a picture, as one self-contained page.
    Inspect(inspect::InspectArguments),
    /// Train a masked-diffusion model on a dataset. Interrupted, it goes on where it stopped.
    Train(train::TrainArguments),
    /// Evaluate checkpoints by length: needle in a haystack, RULER, LongBench, perplexity.
    Eval(Box<eval::EvalArguments>),
    /// Answer a prompt, and show how the answer comes out of the noise.
    Generate(generate::GenerateArguments),
    /// Check a dataset for damage.
    Verify(verify::VerifyArguments),
    /// Rebuild one shard from the plan and the token store.
    Repair(repair::RepairArguments),
    /// Make a randomly initialised model, or say what a checkpoint holds.
    Model(model::ModelArguments),
    /// Compare the ways to stretch RoPE to a longer context.
    Rope(rope::RopeArguments),
    /// Find in a dataset what benchmarks ask.
    Overlap(overlap::OverlapArguments),
    /// Score the kept predictions of a benchmark again.
    Score(score::ScoreArguments),
    /// Write a commented recipe to start from.
    Init(init::InitArguments),
    /// Print a JSON Schema: of recipes, of training recipes, of manifests, of `inspect --json` or `eval --json`.
    Schema(schema::SchemaArguments),
    /// Check kernels, gradients and speed on a GPU; `scripts/gpu-check` makes a report of it.
    #[command(hide = true)]
    GpuCheck(gpu_check::GpuCheckArguments),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArguments),
}

/// Where tokens are kept and how many threads run; shared by several commands.
#[derive(Debug, Clone, clap::Args)]
struct Machine {
    /// Worker threads. Default: the recipe's `run.threads`, else all cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Token store. Default: the recipe's `run.store`, else `ultrapack-store` beside the output.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl Machine {
    fn threads(&self, recipe: Option<u32>) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.or(recipe).map_or(cores, |n| n as usize)
    }
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Ok
            };
            error.print().ok();
            return code;
        }
    };
    raise_open_files_limit();
    let printer = Printer::new(&arguments.display);
    let result = match arguments.command {
        Command::Pack(arguments) => pack::run(&arguments, &printer),
        Command::Plan(arguments) => plan::run(&arguments, &printer),
        Command::Inspect(arguments) => inspect::run(&arguments, &printer),
        Command::Train(arguments) => train::run(&arguments, &printer),
        Command::Eval(arguments) => eval::run(&arguments, &printer),
        Command::Generate(arguments) => generate::run(&arguments, &printer),
        Command::Verify(arguments) => verify::run(&arguments, &printer),
        Command::Repair(arguments) => repair::run(&arguments, &printer),
        Command::Model(arguments) => model::run(&arguments, &printer),
        Command::Rope(arguments) => rope::run(&arguments, &printer),
        Command::Overlap(arguments) => overlap::run(&arguments, &printer),
        Command::Score(arguments) => score::run(&arguments, &printer),
        Command::Init(arguments) => init::run(&arguments, &printer),
        Command::Schema(arguments) => schema::run(&arguments, &printer),
        Command::GpuCheck(arguments) => gpu_check::run(&arguments, &printer),
        Command::Completions(arguments) => completions::run(&arguments, &printer),
    };
    finish(result, &printer)
}

fn finish(result: Result<()>, printer: &Printer) -> ExitCode {
    match result {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            printer.error(&error);
            error.exit_code()
        }
    }
}

/// Every part of the token store that a shard needs stays open; the usual soft limit of 1,024 files
/// would end at 16 billion tokens.
fn raise_open_files_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

/// The command as clap sees it, for completions and tests.
fn command() -> clap::Command {
    use clap::CommandFactory;
    Arguments::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
