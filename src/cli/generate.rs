//! `ultrapack generate --model DIR --prompt TEXT`.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use unicode_width::UnicodeWidthChar;

use super::output::{Printer, count, duration};
use super::subject::{ModelArguments, SamplingArguments};
use crate::disk;
use crate::error::{Error, Result};
use crate::eval::run::{Speaker, Subject};
use crate::eval::sampler::{Generated, ModelDenoiser, Sampling, Schedule, Step, sample};
use crate::inspect::visible;

/// Longest prompt file.
const MAX_PROMPT_BYTES: u64 = 64 << 20;
/// Time between two pictures of the answer.
const FRAME: Duration = Duration::from_millis(60);
/// What stands for a position that is not decided.
const UNDECIDED: char = '░';

#[derive(Debug, clap::Args)]
pub struct GenerateArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The prompt; nothing is added to it.
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_file")]
    prompt: Option<String>,
    /// The prompt from a UTF-8 file.
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompt_file: Option<PathBuf>,
    /// Read the names of special tokens in the prompt as these tokens, as chat templates need.
    #[arg(long)]
    special: bool,
    /// Tokens of the answer.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    max_new: u32,
    /// Tokens of a block; divides `--max-new`. Default: 32, or the whole answer where 32 does not divide it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    block: Option<u32>,
    /// Steps for the whole answer. Default: one per token.
    #[arg(long, value_name = "N", conflicts_with = "threshold", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Decides noise and random order.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// The result of `generate --json`.
#[derive(Debug, Serialize)]
struct Answer {
    /// The answer up to the end of the text, without special tokens.
    text: String,
    /// All tokens of the answer.
    tokens: Vec<u32>,
    n_prompt: u64,
    n_steps: u64,
    n_forwards: u64,
    n_partial: u64,
    secs: f64,
    tokens_per_sec: f64,
    sampling: Sampling,
}

pub fn run(arguments: &GenerateArguments, printer: &Printer) -> Result<()> {
    let sampling = sampling(arguments);
    sampling.check()?;
    let subject = Subject::open_unhashed(&arguments.model.spec())?;
    let tokenizer = arguments.model.tokenizer.as_deref();
    let speaker = Speaker::load(tokenizer, &subject.directory, &subject.config, arguments.special)?;
    let prompt = speaker.tokens(&prompt(arguments)?)?;
    if prompt.len() as u64 > u64::from(subject.max_len) {
        return Err(Error::usage(format!(
            "the prompt has {} tokens, the model reaches {}\nhint: shorten it, scale with `--rope` and `--target-len`, or allow it with `--max-len`",
            count(prompt.len() as u64),
            count(u64::from(subject.max_len))
        )));
    }
    let (device, dtype) = arguments.model.device(printer)?;
    let (generated, secs) = arguments.model.install(|| {
        let model = subject.load(&device, dtype)?;
        model.rope().notes.iter().for_each(|note| printer.note(note));
        let began = Instant::now();
        let mut canvas = Canvas::new(printer.live());
        let mut watch = |step: &Step<'_>| {
            canvas.draw(
                &speaker,
                &step.ids[prompt.len()..],
                step.n_forwards,
                began.elapsed(),
            );
            Ok(())
        };
        let generated = sample(
            &mut ModelDenoiser::new(&model),
            &prompt,
            &sampling,
            speaker.special(),
            &mut watch,
        )?;
        canvas.clear();
        Ok((generated, began.elapsed().as_secs_f64()))
    })?;
    report(&speaker, prompt.len(), &sampling, generated, secs, printer)
}

fn report(
    speaker: &Speaker,
    n_prompt: usize,
    sampling: &Sampling,
    generated: Generated,
    secs: f64,
    printer: &Printer,
) -> Result<()> {
    let eos = speaker.special().eos;
    let end = generated.tokens.iter().position(|&id| id == eos);
    let text = speaker.text(&generated.tokens[..end.unwrap_or(generated.tokens.len())])?;
    let tokens_per_sec = generated.tokens.len() as f64 / secs.max(1e-9);
    if printer.json() {
        return printer.json_result(
            "generate",
            &Answer {
                text,
                n_prompt: n_prompt as u64,
                n_steps: generated.n_steps,
                n_forwards: generated.n_forwards,
                n_partial: generated.n_partial,
                secs,
                tokens_per_sec,
                sampling: sampling.clone(),
                tokens: generated.tokens,
            },
        );
    }
    let lines = text.split('\n').map(|line| visible(line.as_bytes()) + "\n");
    printer.result(&lines.collect::<String>())?;
    let partial = match generated.n_partial {
        0 => String::new(),
        n => format!(" and {} over a part of it", count(n)),
    };
    printer.note(&format!(
        "{} tokens after a prompt of {}: {} steps, {} passes over the sequence{partial}, {}, {tokens_per_sec:.1} tokens/s",
        count(generated.tokens.len() as u64),
        count(n_prompt as u64),
        count(generated.n_steps),
        count(generated.n_forwards),
        duration(secs),
    ));
    Ok(())
}

fn sampling(arguments: &GenerateArguments) -> Sampling {
    const BLOCK: u32 = 32;
    let max_new = arguments.max_new;
    let block = arguments.block.unwrap_or(match max_new.is_multiple_of(BLOCK) {
        true => BLOCK,
        false => max_new,
    });
    Sampling {
        block,
        schedule: match arguments.sampling.threshold {
            Some(threshold) => Schedule::Threshold(threshold),
            None => Schedule::Steps(arguments.steps.unwrap_or(max_new)),
        },
        ..arguments.sampling.sampling(max_new, arguments.seed)
    }
}

fn prompt(arguments: &GenerateArguments) -> Result<String> {
    match (&arguments.prompt, &arguments.prompt_file) {
        (Some(prompt), _) => Ok(prompt.clone()),
        (None, Some(path)) => String::from_utf8(disk::read_small(path, MAX_PROMPT_BYTES)?).map_err(|error| {
            let place = crate::error::Place {
                byte: Some(error.utf8_error().valid_up_to() as u64),
                ..crate::error::Place::file(path)
            };
            Error::input(place, "not UTF-8")
        }),
        (None, None) => unreachable!("one of both is required"),
    }
}

/// The answer while it is being made, drawn in place on standard error.
struct Canvas {
    live: bool,
    n_lines: usize,
    drawn: Option<Instant>,
}

impl Canvas {
    fn new(live: bool) -> Self {
        Self {
            live,
            n_lines: 0,
            drawn: None,
        }
    }

    fn draw(&mut self, speaker: &Speaker, answer: &[u32], n_forwards: u64, elapsed: Duration) {
        if !self.live || self.drawn.is_some_and(|drawn| drawn.elapsed() < FRAME) {
            return;
        }
        self.drawn = Some(Instant::now());
        let (width, height) = terminal_size::terminal_size_of(std::io::stderr())
            .map_or((80, 24), |(width, height)| {
                (usize::from(width.0), usize::from(height.0))
            });
        let mut lines = wrapped(&shown(speaker, answer), width.max(20) - 1);
        // What does not fit the screen could not be drawn over.
        let room = height.saturating_sub(2).max(1);
        let hidden = lines.len().saturating_sub(room);
        lines.drain(..hidden);
        let mask = speaker.special().mask;
        let decided = answer.iter().filter(|&&id| id != mask).count();
        lines.push(format!(
            "{decided}/{} tokens · {n_forwards} passes · {:.1} tokens/s",
            answer.len(),
            decided as f64 / elapsed.as_secs_f64().max(1e-9)
        ));
        self.clear();
        self.n_lines = lines.len();
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        std::io::stderr().write_all(text.as_bytes()).ok();
    }

    /// Removes what was drawn last.
    fn clear(&mut self) {
        if self.n_lines > 0 {
            let up = format!("\x1b[{}A\x1b[J", self.n_lines);
            std::io::stderr().write_all(up.as_bytes()).ok();
            self.n_lines = 0;
        }
    }
}

/// An answer that is not finished, everything invisible in it made visible.
fn shown(speaker: &Speaker, answer: &[u32]) -> String {
    let mut text = String::new();
    for run in answer.chunk_by(|a, b| (*a == speaker.special().mask) == (*b == speaker.special().mask)) {
        if run[0] == speaker.special().mask {
            text.extend(run.iter().map(|_| UNDECIDED));
        } else {
            let bytes = run.iter().flat_map(|&id| speaker.token(id).unwrap_or_default());
            text += &visible(&bytes.copied().collect::<Vec<u8>>());
        }
    }
    text
}

/// Lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width {
            lines.push(String::new());
            used = 0;
        }
        used += columns;
        lines.last_mut().expect("never empty").push(c);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_are_never_wider_than_asked_for() {
        assert_eq!(wrapped("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrapped("漢字漢", 5), ["漢字", "漢"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
