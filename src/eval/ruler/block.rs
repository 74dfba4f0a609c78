//! The prompts of one task and length.

use std::sync::OnceLock;

use super::task::Task;
use crate::error::Error;
use crate::eval::suite::Suite;

/// A task at a length.
pub(super) struct Block {
    pub task: Task,
    pub length: u32,
    /// Number of its first prompt.
    pub first: usize,
    /// Units of text, once they are searched for.
    pub n_units: OnceLock<usize>,
}

impl Block {
    /// Tokens for the prompt.
    pub(super) fn budget(&self, suite: Suite) -> u32 {
        self.length.saturating_sub(self.task.allowance(suite))
    }

    /// What is drawn in it.
    pub(super) fn purpose(&self) -> String {
        format!("ruler/{}/{}", self.task, self.length)
    }

    /// That no prompt fits; the smallest takes so many tokens.
    pub(super) fn too_short(&self, smallest: Option<usize>) -> Error {
        let Self { task, length, .. } = self;
        let found = smallest.map_or(String::new(), |n| format!(": the smallest prompt takes {n}"));
        Error::usage(format!(
            "a length of {length} tokens is too short for task {task}{found}\nhint: ask for longer prompts or leave the task out"
        ))
    }
}
