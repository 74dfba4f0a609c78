//! How near a prediction comes to the needle.

use rapidfuzz::distance::levenshtein;

use super::python::is_space;
use super::{TooLong, characters};

/// 1 minus the edit distance over the length of the longer text, both without white space; 1 for two
/// empty texts.
///
/// Source: the `origin` evaluator of NeedleBench in OpenCompass.
pub(crate) fn similarity(prediction: &str, needle: &str) -> Result<f64, TooLong> {
    let bare = |text: &str| text.replace(is_space, "");
    let (prediction, needle) = characters(&bare(prediction), &bare(needle))?;
    let longer = prediction.len().max(needle.len());
    if longer == 0 {
        return Ok(1.0);
    }
    let distance = levenshtein::distance(prediction.iter().copied(), needle.iter().copied());
    Ok(1.0 - distance as f64 / longer as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(similarity("a b\nc", "\nabc\n"), Ok(1.0));
    }

    #[test]
    fn similarity_is_relative_to_the_longer_text() {
        // kitten → sitting: 3 edits, 7 characters.
        assert_eq!(similarity("kitten", "sitting"), Ok(1.0 - 3.0 / 7.0));
        assert_eq!(similarity("", "abc"), Ok(0.0));
        assert_eq!(similarity(" ", ""), Ok(1.0));
    }

    #[test]
    fn texts_that_would_cost_too_much_are_refused() {
        let long = "a".repeat(300_000);
        assert_eq!(similarity(&long, &long), Err(TooLong));
    }
}
