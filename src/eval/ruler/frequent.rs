//! Frequent words: the three most frequent of coded words, whose frequencies follow a zeta distribution.

use std::collections::BTreeSet;

use super::{Generate, Sample};
use crate::eval::draw::Draw;

/// Letters of a coded word.
const WORD_LEN: usize = 6;

/// ζ(2) = π² / 6, for frequencies ∝ rank⁻².
const ZETA_2: f64 = std::f64::consts::PI * std::f64::consts::PI / 6.0;

/// The task `fwe`.
pub(super) struct FrequentWords {
    n_words: usize,
    /// First number of words to try, and by how many it grows.
    pub(super) start: usize,
    pub(super) step: usize,
}

impl FrequentWords {
    /// For prompts of up to `budget` tokens; `None` where that is too short for three distinct answers.
    pub(super) fn new(budget: u32) -> Option<Self> {
        let budget = budget as usize;
        let frequent = Self {
            n_words: budget / 50,
            start: budget / WORD_LEN,
            step: (budget / 32).max(1),
        };
        // The fifth word must be less frequent than the last answer, at one step below the start.
        let fewest = frequent.start.checked_sub(frequent.step)?;
        (frequent.n_words >= 5 && count(fewest, 4) > count(fewest, 5)).then_some(frequent)
    }
}

/// How often the word of a rank, from 1, stands among `n` words.
fn count(n: usize, rank: usize) -> usize {
    (n as f64 * (rank as f64).powi(-2) / ZETA_2) as usize
}

impl Generate for FrequentWords {
    fn generate(&self, n_units: usize, draw: &mut Draw) -> Sample {
        let mut seen = BTreeSet::new();
        let mut vocabulary = Vec::with_capacity(self.n_words);
        while vocabulary.len() < self.n_words {
            let word: String = (0..WORD_LEN)
                .map(|_| char::from(b'a' + draw.below(26) as u8))
                .collect();
            if seen.insert(word.clone()) {
                vocabulary.push(word);
            }
        }
        // The most frequent word is noise.
        vocabulary[0] = "...".into();
        let mut text = Vec::with_capacity(n_units);
        for (i, word) in vocabulary.iter().enumerate() {
            text.extend(std::iter::repeat_n(word.as_str(), count(n_units, i + 1)));
        }
        draw.shuffle(&mut text);
        Sample {
            prompt: format!(
                "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. {}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared words in the above coded text? Answer: According to the coded text above, the three most frequently appeared words are:",
                text.join(" ")
            ),
            references: vocabulary[1..4].to_vec(),
        }
    }

    fn max_units(&self) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_the_second_to_fourth_in_rank() {
        let frequent = FrequentWords::new(4096).unwrap();
        assert_eq!((frequent.n_words, frequent.start, frequent.step), (81, 682, 128));
        let sample = frequent.generate(1000, &mut Draw::new(1, "test", 0));
        let n = |word: &str| sample.prompt.split_whitespace().filter(|w| *w == word).count();
        // 1000 / ζ(2) = 607.9, over 1, 4, 9 and 16.
        let counts: Vec<usize> = sample.references.iter().map(|word| n(word)).collect();
        assert_eq!(counts, [151, 67, 37]);
        assert_eq!(n("..."), 607);
    }

    #[test]
    fn a_length_that_makes_answers_ambiguous_is_refused() {
        assert!(FrequentWords::new(0).is_none());
        assert!(FrequentWords::new(200).is_none());
        assert!(FrequentWords::new(1024).is_some());
    }
}
