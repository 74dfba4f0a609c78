//! What a benchmark hands out, and what comes back to it.

use serde::{Deserialize, Serialize};

use super::gold::{Gold, Score};
use super::table::Table;
use crate::error::{Place, Result};

/// One prompt of a benchmark, as far as it is known before its text is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique within the benchmark and the same in every run with the same settings: the key of resuming.
    pub id: String,
    /// The task: a row of the benchmark's tables.
    pub task: String,
    /// Nominal length of the prompt with its answer, in tokens of the meter; `None` where the benchmark
    /// brings its own texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Where the needle stands, in percent of the haystack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<f64>,
    /// Number of the prompt among those of its task, length and depth, from 0.
    pub repeat: u32,
}

/// One prompt, ready for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which prompt it is.
    pub case: Case,
    /// The prompt's text, without any chat template.
    pub prompt: String,
    /// What the prediction is judged by.
    pub gold: Gold,
    /// Tokens that the benchmark allows for the answer.
    pub max_new_tokens: u32,
    /// The longest prompt that the benchmark feeds, in the model's tokens: of a longer one the middle is
    /// left out ([`cut_middle`]). `None`: a prompt is never cut.
    pub max_prompt_len: Option<u32>,
}

/// A judged prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which prompt it was.
    pub case: Case,
    /// How good the prediction was.
    pub score: Score,
}

/// A record of a benchmark's files that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// File, line and byte.
    pub place: Place,
    /// What was expected and what was found.
    pub reason: String,
}

/// A text that a benchmark shows to the model or asks from it: what must not be in the training data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalText {
    /// The task, as in [`Case::task`].
    pub task: String,
    /// Which of the task's texts: a record's id, a document's number.
    pub id: String,
    /// The text.
    pub text: String,
}

/// A set of prompts and the rules of their scores.
///
/// Every method is a function of the settings that the benchmark was made with; the items may be asked for
/// in any order, and from several threads.
pub trait Benchmark: Sync {
    /// `niah`, `ruler` or `longbench`.
    fn name(&self) -> &'static str;

    /// All that decides prompts and scores: the variant of the benchmark, data with their digests, word
    /// lists, seeds. Two runs are comparable where this is equal.
    fn settings(&self) -> serde_json::Value;

    /// The part of [`Benchmark::settings`] that decides the prompt of one case and its score: what must be
    /// equal for a finished prompt not to be run again. Other lengths, tasks or limits do not matter.
    fn identity(&self, case: &Case) -> serde_json::Value;

    /// Records of the data files that were left out, each with the reason.
    fn skips(&self) -> &[Skip];

    /// Number of prompts.
    fn n_cases(&self) -> usize;

    /// Prompt number `index` without its text; cheap.
    ///
    /// # Panics
    /// If there is no such prompt.
    fn case(&self, index: usize) -> Case;

    /// Prompt number `index`.
    ///
    /// # Errors
    /// A data file cannot be read any more, the tokenizer refuses a text, or no prompt of the case fits its
    /// length.
    ///
    /// # Panics
    /// If there is no such prompt.
    fn item(&self, index: usize) -> Result<Item>;

    /// Means by task, length or depth, with the benchmark's groups and averages. A mean that lacks one of
    /// its parts is left out.
    fn tables(&self, outcomes: &[Outcome]) -> Vec<Table>;

    /// The texts of the data in use, one by one; made up words and numbers are not among them.
    fn texts(&self) -> Box<dyn Iterator<Item = Result<EvalText>> + '_>;
}

/// The first and the last `limit / 2` tokens of a prompt that is longer than `limit`.
///
/// Source: the truncation of LongBench's published evaluation.
pub fn cut_middle(tokens: &mut Vec<u32>, limit: usize) {
    if tokens.len() > limit {
        let half = limit / 2;
        tokens.drain(half..tokens.len() - half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_over_the_limit_loses_its_middle() {
        let cut = |n: u32, limit| {
            let mut tokens: Vec<u32> = (0..n).collect();
            cut_middle(&mut tokens, limit);
            tokens
        };
        assert_eq!(cut(4, 4), [0, 1, 2, 3]);
        assert_eq!(cut(9, 4), [0, 1, 7, 8]);
        assert_eq!(cut(9, 5), [0, 1, 7, 8]);
        assert!(cut(3, 0).is_empty());
    }
}
