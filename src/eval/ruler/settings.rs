//! Which prompts to generate.

use std::path::PathBuf;

use super::task::Task;
use crate::error::{Error, Result};
use crate::eval::check_lengths;
use crate::eval::suite::Suite;

/// Which prompts to generate.
#[derive(Debug, Clone)]
pub struct RulerSettings {
    /// Whose rules.
    pub suite: Suite,
    /// Lengths of prompt and answer, in tokens of the meter.
    pub lengths: Vec<u32>,
    /// Which tasks, in the order of the prompts.
    pub tasks: Vec<Task>,
    /// Prompts for each task and length; of question answering no more than there are questions.
    pub samples: u32,
    /// Seed of all choices.
    pub seed: u64,
    /// Running text: JSON lines with a field `text`, or plain text. `None`: made-up prose.
    pub essays: Option<PathBuf>,
    /// SQuAD 2.0's `dev-v2.0.json`.
    pub squad: Option<PathBuf>,
    /// HotpotQA's dev set with distractors.
    pub hotpotqa: Option<PathBuf>,
    /// Whether a prompt ends with two line ends, as those of the port do without a chat template. LongLLaDA
    /// advises against them; UltraLLaDA's evaluation has them.
    pub end_with_newlines: bool,
}

impl RulerSettings {
    /// Whether there is something to generate, and everything once.
    pub(super) fn check(&self) -> Result<()> {
        check_lengths(&self.lengths)?;
        if self.samples == 0 || self.tasks.is_empty() {
            return Err(Error::usage("RULER needs at least one task and one sample"));
        }
        for (i, task) in self.tasks.iter().enumerate() {
            if self.tasks[..i].contains(task) {
                return Err(Error::usage(format!("task {task} is there twice")));
            }
        }
        Ok(())
    }
}
