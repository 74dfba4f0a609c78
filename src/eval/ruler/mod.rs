//! RULER: thirteen synthetic tasks, generated to fill a length.
//!
//! Two programs generate them: NVIDIA's own and the port in OpenCompass. They differ in joins, sizes and a
//! worked example ([`Suite`]), so results name the suite. Templates, sizes, counts and scores are theirs;
//! random numbers are this project's own, so prompts equal the published ones in rule, not letter by
//! letter. Both shuffle with one fixed seed in places; here each sample is shuffled by its own.
//!
//! Without essays of the user, the five tasks that need running text take made-up prose, and results say
//! so. The two tasks of question answering need the published files.

mod answering;
mod block;
mod common_words;
mod essay;
mod frequent;
mod groups;
mod needles;
mod questions;
mod settings;
mod size;
mod task;
mod tracking;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::json;

use super::draw::{Draw, SCHEME};
use super::gold::{Gold, Metric};
use super::haystack::Haystack;
use super::item::{Benchmark, Case, EvalText, Item, Outcome, Skip};
use super::meter::Meter;
use super::skips::Skips;
use super::suite::Suite;
use super::table::Table;
use super::words;
use crate::error::Result;
use answering::Answering;
use block::Block;
use common_words::CommonWords;
use essay::Essay;
use frequent::FrequentWords;
use needles::Retrieval;
use questions::Questions;
use tracking::Tracking;

pub use settings::RulerSettings;
pub use task::Task;

/// The sentence that fills haystacks of noise.
const NOISE: &str =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

/// The worked example of the official `vt` fills so many tokens.
const EXAMPLE_LEN: usize = 500;

/// A generator of prompts for one task and length.
trait Generate: Sync {
    /// A prompt of `n_units` units of text.
    fn generate(&self, n_units: usize, draw: &mut Draw) -> Sample;

    /// How many units there are.
    fn max_units(&self) -> usize;
}

/// A prompt and what its answer must contain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    prompt: String,
    references: Vec<String>,
}

/// The benchmark.
pub struct Ruler<'a> {
    meter: &'a dyn Meter,
    settings: RulerSettings,
    haystack: Haystack,
    essay: Essay,
    questions: BTreeMap<Task, Questions>,
    skips: Vec<Skip>,
    blocks: Vec<Block>,
    n_cases: usize,
    /// Units of noise in the worked example of the official `vt`.
    n_example_units: OnceLock<usize>,
}

impl<'a> Ruler<'a> {
    /// Reads the files that the tasks need.
    ///
    /// # Errors
    /// A setting is out of range, or a file is missing or cannot be used.
    pub fn new(settings: RulerSettings, meter: &'a dyn Meter) -> Result<Self> {
        settings.check()?;
        let mut skips = Skips::default();
        let haystack = match &settings.essays {
            Some(path) => Haystack::read(path, &mut skips)?,
            None => Haystack::Synthetic { seed: settings.seed },
        };
        let mut questions = BTreeMap::new();
        let mut blocks: Vec<Block> = Vec::new();
        let mut n_cases = 0;
        for &task in &settings.tasks {
            let mut n_samples = settings.samples as usize;
            let asked = Questions::of(task, &settings, &mut skips)?;
            if let Some(asked) = asked {
                n_samples = n_samples.min(asked.questions.len());
                questions.insert(task, asked);
            }
            for &length in &settings.lengths {
                blocks.push(Block {
                    task,
                    length,
                    first: n_cases,
                    n_units: OnceLock::new(),
                });
                n_cases += n_samples;
            }
        }
        // A word is a token at least.
        let longest = settings.lengths.iter().max().map_or(0, |&length| length as usize);
        let essays = settings.tasks.iter().any(|task| task.uses_essays());
        let essay = Essay::new(&haystack, settings.suite, if essays { longest } else { 1 });
        Ok(Self {
            meter,
            haystack,
            essay,
            questions,
            skips: skips.into_vec(),
            blocks,
            n_cases,
            settings,
            n_example_units: OnceLock::new(),
        })
    }

    /// The block of prompt `index`, and its number there.
    fn block(&self, index: usize) -> (&Block, usize) {
        assert!(index < self.n_cases, "prompt {index} of {}", self.n_cases);
        let after = self.blocks.partition_point(|block| block.first <= index);
        let block = &self.blocks[after - 1];
        (block, index - block.first)
    }

    /// The generator of a sample, and by how many units its prompt grows or shrinks.
    fn generator(&self, block: &Block, sample: usize) -> Result<(Box<dyn Generate + '_>, usize, usize)> {
        let (suite, task) = (self.settings.suite, block.task);
        let step = task.step(block.length);
        if let Some(retrieval) = Retrieval::new(task, suite, &self.essay) {
            return Ok((Box::new(retrieval), step, step));
        }
        let generator: Box<dyn Generate + '_> = match task {
            Task::Tracking => Box::new(Tracking::new(suite, self.example_units()?)),
            Task::CommonWords => Box::new(CommonWords::new(suite, block.length)),
            Task::FrequentWords => {
                let frequent =
                    FrequentWords::new(block.budget(suite)).ok_or_else(|| block.too_short(None))?;
                let (start, step) = (frequent.start, frequent.step);
                return Ok((Box::new(frequent), start, step));
            }
            _ => Box::new(Answering {
                suite,
                questions: &self.questions[&task],
                index: sample,
            }),
        };
        Ok((generator, step, step))
    }

    /// How much noise the worked example of `vt` holds: all that fits into its length.
    fn example_units(&self) -> Result<usize> {
        if self.settings.suite == Suite::Port {
            return Ok(0);
        }
        if let Some(n_units) = self.n_example_units.get() {
            return Ok(*n_units);
        }
        let fits = |n| {
            let mut draw = Draw::new(self.settings.seed, "ruler/vt/example", 0);
            let example = Tracking::example(Suite::Official, n, &mut draw);
            Ok(self.meter.count(&example.prompt)? <= EXAMPLE_LEN)
        };
        let n_units = size::units(Suite::Official, 5, usize::MAX, fits)?.unwrap_or(5);
        Ok(*self.n_example_units.get_or_init(|| n_units))
    }

    /// How many units of text a prompt of the block holds.
    fn n_units(&self, block: &Block) -> Result<usize> {
        if let Some(n_units) = block.n_units.get() {
            return Ok(*n_units);
        }
        let suite = self.settings.suite;
        let (generator, start, step) = self.generator(block, 0)?;
        let purpose = format!("{}/size", block.purpose());
        let budget = block.budget(suite) as usize;
        let fits = |n: usize| {
            let sample = generator.generate(n, &mut Draw::new(self.settings.seed, &purpose, 0));
            let mut text = self.ended(sample.prompt);
            if suite == Suite::Port && block.task != Task::FrequentWords {
                // The port measures the prompt with its answer.
                text.push(' ');
                text.push_str(&sample.references.join(" "));
            }
            Ok(self.meter.count(&text)? <= budget)
        };
        let found = size::units(suite, step, generator.max_units(), |n| fits(n - step + start))?;
        // Where the first size is over, the samples may still fit after a step back.
        let n_units = found.map_or(start, |n| n - step + start);
        Ok(*block.n_units.get_or_init(|| n_units))
    }

    fn ended(&self, mut prompt: String) -> String {
        if self.settings.end_with_newlines {
            prompt.push_str("\n\n");
        }
        prompt
    }

    fn table(
        &self,
        name: &'static str,
        title: &str,
        outcomes: &[Outcome],
        value: fn(&Outcome) -> f64,
    ) -> Table {
        let settings = &self.settings;
        groups::table(name, title, (&settings.lengths, &settings.tasks), outcomes, value)
    }
}

impl Benchmark for Ruler<'_> {
    fn name(&self) -> &'static str {
        "ruler"
    }

    fn settings(&self) -> serde_json::Value {
        let settings = &self.settings;
        let questions: BTreeMap<&str, serde_json::Value> = self
            .questions
            .iter()
            .map(|(task, questions)| {
                let value = json!({
                    "file": questions.name,
                    "digest": questions.digest,
                    "n_questions": questions.questions.len(),
                    "n_documents": questions.documents.len(),
                });
                (task.name(), value)
            })
            .collect();
        json!({
            "suite": settings.suite,
            "lengths": settings.lengths,
            "tasks": settings.tasks,
            "samples": settings.samples,
            "seed": settings.seed,
            "random": SCHEME,
            "words": words::NAME,
            "essays": self.haystack.settings(),
            "questions": questions,
            "end_with_newlines": settings.end_with_newlines,
        })
    }

    fn identity(&self, case: &Case) -> serde_json::Value {
        let settings = &self.settings;
        let of_task = |(task, questions): (&Task, &Questions)| {
            (task.name() == case.task).then(|| questions.digest.clone())
        };
        json!({
            "suite": settings.suite,
            "seed": settings.seed,
            "random": SCHEME,
            "words": words::NAME,
            "essays": self.haystack.settings(),
            "questions": self.questions.iter().find_map(of_task),
            "end_with_newlines": settings.end_with_newlines,
        })
    }

    fn skips(&self) -> &[Skip] {
        &self.skips
    }

    fn n_cases(&self) -> usize {
        self.n_cases
    }

    fn case(&self, index: usize) -> Case {
        let (block, sample) = self.block(index);
        Case {
            id: format!("{}/{}/{sample}", block.task, block.length),
            task: block.task.name().into(),
            length: Some(block.length),
            depth: None,
            repeat: sample as u32,
        }
    }

    fn item(&self, index: usize) -> Result<Item> {
        let (block, sample) = self.block(index);
        let suite = self.settings.suite;
        let (generator, _, step) = self.generator(block, sample)?;
        let budget = block.budget(suite) as usize;
        let mut n_units = self.n_units(block)?;
        let generated = loop {
            let mut draw = Draw::new(self.settings.seed, &block.purpose(), sample as u64);
            let mut generated = generator.generate(n_units, &mut draw);
            generated.prompt = self.ended(generated.prompt);
            let n_tokens = self.meter.count(&generated.prompt)?;
            if n_tokens <= budget {
                break generated;
            }
            if n_units <= step {
                let allowance = block.task.allowance(suite) as usize;
                return Err(block.too_short(Some(n_tokens + allowance)));
            }
            n_units -= step;
        };
        let metric = match block.task {
            Task::Squad | Task::HotpotQa => Metric::ContainsAny,
            _ => Metric::ContainsAll,
        };
        Ok(Item {
            case: self.case(index),
            prompt: generated.prompt,
            gold: Gold::new(metric, generated.references),
            max_new_tokens: block.task.max_new_tokens(suite),
            max_prompt_len: None,
        })
    }

    fn tables(&self, outcomes: &[Outcome]) -> Vec<Table> {
        let exact = |outcome: &Outcome| 100.0 * f64::from(u8::from(outcome.score.exact == Some(true)));
        vec![
            self.table("score", "RULER score", outcomes, |outcome| outcome.score.value),
            self.table(
                "exact",
                "answers with everything asked for, in percent",
                outcomes,
                exact,
            ),
        ]
    }

    fn texts(&self) -> Box<dyn Iterator<Item = Result<EvalText>> + '_> {
        let essays = self.settings.tasks.iter().any(|task| task.uses_essays());
        let essays = essays
            .then(|| self.haystack.texts("essays"))
            .into_iter()
            .flatten();
        let asked = self.questions.iter().flat_map(|(task, questions)| {
            let documents = questions.documents.iter().enumerate().map(|(i, text)| EvalText {
                task: task.name().into(),
                id: format!("document {i}"),
                text: text.clone(),
            });
            let asked = questions
                .questions
                .iter()
                .enumerate()
                .map(|(i, question)| EvalText {
                    task: task.name().into(),
                    id: format!("question {i}"),
                    text: format!("{}\n{}", question.query, question.answers.join("\n")),
                });
            documents.chain(asked)
        });
        Box::new(essays.chain(asked).map(Ok))
    }
}

#[cfg(test)]
mod tests;
