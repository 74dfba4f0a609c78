//! The rules by which predictions are judged, one file for each.
//!
//! The published evaluations are Python programs, so the rules are those of Python's strings ([`python`])
//! and of the packages that they call: `rouge` 1.0.1, `fuzzywuzzy` 0.18 over `python-Levenshtein`, `jieba`
//! 0.42. Scores are shares in 0..1 here; `tests/python/test_scorers.py` compares them with the packages.

mod chinese;
mod class;
mod code;
mod contains;
mod f1;
mod needle;
mod numbers;
mod python;
mod rouge;

pub(super) use chinese::{words as chinese_words, words_without_punctuation};
pub(super) use class::class;
pub(super) use code::code;
pub(super) use contains::share_contained;
pub(super) use f1::{english_words, f1};
pub(super) use needle::similarity;
pub(super) use numbers::{first_number_after, share_equal};
pub(super) use rouge::rouge_l;

/// Two texts that are too long to be compared in reasonable time and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Characters times characters that an edit distance may cost: a second or two.
const MAX_CHARACTER_PAIRS: usize = 1 << 36;

/// The characters of two texts, if their edit distance can be afforded.
fn characters(a: &str, b: &str) -> Result<(Vec<char>, Vec<char>), TooLong> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().saturating_mul(b.len()) > MAX_CHARACTER_PAIRS {
        return Err(TooLong);
    }
    Ok((a, b))
}
