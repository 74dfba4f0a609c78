//! The thirteen tasks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::eval::suite::Suite;

/// A task of RULER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One key among one repeated sentence.
    #[serde(rename = "niah_single_1")]
    Single1,
    /// One key in essays.
    #[serde(rename = "niah_single_2")]
    Single2,
    /// One key with a UUID in essays.
    #[serde(rename = "niah_single_3")]
    Single3,
    /// One of four keys in essays.
    #[serde(rename = "niah_multikey_1")]
    MultiKey1,
    /// One key among needles.
    #[serde(rename = "niah_multikey_2")]
    MultiKey2,
    /// One UUID among needles of UUIDs.
    #[serde(rename = "niah_multikey_3")]
    MultiKey3,
    /// Four values of one key.
    #[serde(rename = "niah_multivalue")]
    MultiValue,
    /// Four keys.
    #[serde(rename = "niah_multiquery")]
    MultiQuery,
    /// A chain of variables.
    #[serde(rename = "vt")]
    Tracking,
    /// The ten most common words of a list.
    #[serde(rename = "cwe")]
    CommonWords,
    /// The three most frequent of coded words.
    #[serde(rename = "fwe")]
    FrequentWords,
    /// SQuAD questions among documents.
    #[serde(rename = "qa_squad")]
    Squad,
    /// HotpotQA questions among documents.
    #[serde(rename = "qa_hotpotqa")]
    HotpotQa,
}

impl Task {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 13] = [
        Self::Single1,
        Self::Single2,
        Self::Single3,
        Self::MultiKey1,
        Self::MultiKey2,
        Self::MultiKey3,
        Self::MultiValue,
        Self::MultiQuery,
        Self::Tracking,
        Self::CommonWords,
        Self::FrequentWords,
        Self::Squad,
        Self::HotpotQa,
    ];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single1 => "niah_single_1",
            Self::Single2 => "niah_single_2",
            Self::Single3 => "niah_single_3",
            Self::MultiKey1 => "niah_multikey_1",
            Self::MultiKey2 => "niah_multikey_2",
            Self::MultiKey3 => "niah_multikey_3",
            Self::MultiValue => "niah_multivalue",
            Self::MultiQuery => "niah_multiquery",
            Self::Tracking => "vt",
            Self::CommonWords => "cwe",
            Self::FrequentWords => "fwe",
            Self::Squad => "qa_squad",
            Self::HotpotQa => "qa_hotpotqa",
        }
    }

    /// Tokens for the answer.
    pub fn max_new_tokens(self, suite: Suite) -> u32 {
        match (self, suite) {
            (Self::Tracking, _) => 30,
            (Self::CommonWords, _) => 120,
            (Self::FrequentWords, _) => 50,
            (Self::Squad | Self::HotpotQa, Suite::Official) => 32,
            (Self::Squad | Self::HotpotQa, Suite::Port) => 50,
            _ => 128,
        }
    }

    /// Tokens of a length that are kept free for the answer: the port keeps none for `fwe`.
    pub(super) fn allowance(self, suite: Suite) -> u32 {
        match (self, suite) {
            (Self::FrequentWords, Suite::Port) => 0,
            _ => self.max_new_tokens(suite),
        }
    }

    /// Whether its haystack is essays.
    pub(super) fn uses_essays(self) -> bool {
        use Task::{MultiKey1, MultiQuery, MultiValue, Single2, Single3};
        matches!(self, Single2 | Single3 | MultiKey1 | MultiValue | MultiQuery)
    }

    /// By how many units of text a prompt grows or shrinks, for lengths of `length` tokens.
    pub(super) fn step(self, length: u32) -> usize {
        let short = length < 4096;
        match self {
            _ if self.uses_essays() => 500,
            Self::Single1 | Self::MultiKey2 | Self::MultiKey3 => {
                if short {
                    5
                } else {
                    25
                }
            }
            _ => 10,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == name)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|task| task.name()).collect();
                Error::usage(format!(
                    "RULER has no task {name:?}\nhint: its tasks are {}",
                    names.join(", ")
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_results_and_on_the_command_line() {
        for task in Task::ALL {
            assert_eq!(task.name().parse::<Task>().unwrap(), task);
            assert_eq!(serde_json::to_value(task).unwrap(), task.name());
        }
        assert!("niah".parse::<Task>().is_err());
    }
}
