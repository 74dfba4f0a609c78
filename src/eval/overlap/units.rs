//! What an n-gram is made of.

use std::collections::HashMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::eval::meter::Meter;

/// What n-grams are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens of the dataset: fast and literal. A difference in white space or case hides an overlap, and
    /// so does a document that is cut inside a word.
    Tokens,
    /// Words in lower case, without what stands between them: slower, as the dataset is decoded.
    Words,
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tokens" => Ok(Self::Tokens),
            "words" => Ok(Self::Words),
            _ => Err("expected `tokens` or `words`".into()),
        }
    }
}

/// A word that no text of evaluation has.
const UNKNOWN: u32 = u32::MAX;

/// Numbers of the words that the texts of evaluation have.
#[derive(Default)]
pub(super) struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    /// The words of a text of evaluation as numbers; new ones are learned.
    pub(super) fn learn(&mut self, text: &str) -> Vec<u32> {
        let next = |n: usize| u32::try_from(n).unwrap_or(UNKNOWN);
        let number = |word: String| {
            let n = self.0.len();
            *self.0.entry(word).or_insert(next(n))
        };
        words(text).map(number).collect()
    }

    /// The words of tokens of the dataset as numbers.
    pub(super) fn look_up(&self, meter: &dyn Meter, tokens: &[u32]) -> Result<Vec<u32>> {
        let text = meter.decode(tokens)?;
        let number = |word: String| self.0.get(&word).copied().unwrap_or(UNKNOWN);
        Ok(words(&text).map(number).collect())
    }

    /// The words of some numbers.
    pub(super) fn text(&self, numbers: &[u32]) -> String {
        let words: HashMap<u32, &str> = self
            .0
            .iter()
            .map(|(word, &number)| (number, word.as_str()))
            .collect();
        let words = numbers.iter().filter_map(|number| words.get(number).copied());
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Runs of letters and digits in lower case.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::Words;

    #[test]
    fn case_and_punctuation_do_not_tell_words_apart() {
        let mut vocabulary = Vocabulary::default();
        assert_eq!(vocabulary.learn("The cat's  hat, the HAT!"), [0, 1, 2, 3, 0, 3]);
        let meter = Words::default();
        let tokens = meter.encode("hat\nCAT dog").unwrap();
        assert_eq!(vocabulary.look_up(&meter, &tokens).unwrap(), [3, 1, UNKNOWN]);
    }
}
