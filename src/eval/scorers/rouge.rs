//! ROUGE-L over sentences, as the Python package `rouge` 1.0.1 computes it.

use std::collections::{HashMap, HashSet};

use super::TooLong;
use super::python::split;

/// Words times words that may be compared: 64 MB for the longest pair of sentences.
const MAX_WORD_PAIRS: usize = 1 << 26;

/// The F value of summary-level ROUGE-L over DISTINCT words; 0 if a text has no sentence.
///
/// For each sentence of the reference the words of its longest common subsequences with all sentences of
/// the prediction are united; what the union gains is counted, over the distinct words of either text.
/// A text is split into sentences at every full stop, and a sentence into words at white space.
///
/// Source: `rouge_l_summary_level` of the package, with its default `exclusive=True`.
pub(crate) fn rouge_l(prediction: &str, reference: &str) -> Result<f64, TooLong> {
    let mut ids = HashMap::new();
    let prediction = sentences(prediction, &mut ids);
    let reference = sentences(reference, &mut ids);
    if prediction.is_empty() || reference.is_empty() {
        return Ok(0.0);
    }
    let n_words = |sentences: &[Vec<u32>]| sentences.iter().map(Vec::len).sum::<usize>();
    if n_words(&prediction).saturating_mul(n_words(&reference)) > MAX_WORD_PAIRS {
        return Err(TooLong);
    }
    let mut union = HashSet::new();
    for sentence in &reference {
        for other in &prediction {
            common_words(sentence, other, &mut union);
        }
    }
    let distinct = |sentences: &[Vec<u32>]| sentences.iter().flatten().collect::<HashSet<_>>().len() as f64;
    let recall = union.len() as f64 / distinct(&reference);
    let precision = union.len() as f64 / distinct(&prediction);
    Ok(2.0 * ((precision * recall) / (precision + recall + 1e-8)))
}

/// Sentences of word numbers. One of white space alone is a sentence of one empty word.
fn sentences<'a>(text: &'a str, ids: &mut HashMap<&'a str, u32>) -> Vec<Vec<u32>> {
    let mut sentence = |part: &'a str| {
        let mut words: Vec<&str> = split(part).collect();
        if words.is_empty() {
            words.push("");
        }
        let id = |word| {
            let next = ids.len() as u32;
            *ids.entry(word).or_insert(next)
        };
        words.into_iter().map(id).collect()
    };
    text.split('.')
        .filter(|part| !part.is_empty())
        .map(&mut sentence)
        .collect()
}

/// Adds the words of one longest common subsequence. Among several it is the one that is found from the
/// ends, leaving out a word of `b` before a word of `a`.
fn common_words(a: &[u32], b: &[u32], union: &mut HashSet<u32>) {
    let width = b.len();
    // For each pair of words: whether leaving out the word of `a` keeps strictly more.
    let mut leave_a = vec![false; a.len() * width];
    let mut above = vec![0u32; width + 1];
    let mut row = vec![0u32; width + 1];
    for (i, word) in a.iter().enumerate() {
        for (j, other) in b.iter().enumerate() {
            row[j + 1] = if word == other {
                above[j] + 1
            } else {
                leave_a[i * width + j] = above[j + 1] > row[j];
                above[j + 1].max(row[j])
            };
        }
        std::mem::swap(&mut above, &mut row);
    }
    let (mut i, mut j) = (a.len(), width);
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            union.insert(a[i - 1]);
            (i, j) = (i - 1, j - 1);
        } else if leave_a[(i - 1) * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(prediction: &str, reference: &str, expected: f64) {
        let score = rouge_l(prediction, reference).unwrap();
        assert!(
            (score - expected).abs() < 1e-7,
            "{prediction:?}: {score}, not {expected}"
        );
    }

    #[test]
    fn equal_texts_score_one_and_disjoint_texts_zero() {
        close("the cat sat", "the cat sat", 1.0);
        close("a b", "c d", 0.0);
    }

    #[test]
    fn the_order_of_words_counts() {
        // Longest common subsequence 2 of 3 and 3.
        close("a c b", "a b c", 2.0 / 3.0);
    }

    #[test]
    fn subsequences_of_several_sentences_are_united() {
        // The example of the ROUGE paper: w1 w2 from one sentence, w1 w3 w5 from the other, together 4
        // of 5 words of the reference; 8 distinct words in the prediction, w9 among them.
        let (recall, precision) = (4.0 / 5.0, 4.0 / 8.0);
        let expected = 2.0 * recall * precision / (recall + precision);
        close("w1 w2 w6 w7 w8. w1 w3 w8 w9 w5", "w1 w2 w3 w4 w5", expected);
    }

    #[test]
    fn a_repeated_word_counts_once() {
        close("a a a b", "a b", 1.0);
    }

    #[test]
    fn a_text_without_a_sentence_scores_zero() {
        for (prediction, reference) in [("", "a"), ("a", ""), ("...", "a"), ("", "")] {
            close(prediction, reference, 0.0);
        }
        // White space is a sentence with an empty word for the package.
        close(" ", " ", 1.0);
    }

    #[test]
    fn texts_that_would_cost_too_much_are_refused() {
        let long = "a ".repeat(10_000);
        assert_eq!(rouge_l(&long, &long), Err(TooLong));
    }
}
