//! Similarity of a line of code.

use rapidfuzz::distance::indel;

use super::{TooLong, characters};

/// The similarity of the first line of the prediction that is neither a comment nor a code fence.
///
/// Source: LongBench's published metrics, which take `fuzz.ratio` of `fuzzywuzzy`: a whole percentage.
pub(crate) fn code(prediction: &str, reference: &str) -> Result<f64, TooLong> {
    let is_code = |line: &&str| !(line.contains('`') || line.contains('#') || line.contains("//"));
    let line = prediction.trim_start_matches('\n').split('\n').find(is_code);
    ratio(line.unwrap_or_default(), reference).map(|percent| percent / 100.0)
}

/// Twice the characters in common, in order, over all characters, in percent and rounded to even. Equal
/// texts have 100, even empty ones; otherwise an empty text has 0.
///
/// Source: `fuzz.ratio` of `fuzzywuzzy` with `python-Levenshtein`.
fn ratio(a: &str, b: &str) -> Result<f64, TooLong> {
    if a == b {
        return Ok(100.0);
    }
    let (a, b) = characters(a, b)?;
    let similarity = indel::normalized_similarity(a.iter().copied(), b.iter().copied());
    Ok((100.0 * similarity).round_ties_even())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_fences_are_passed_over() {
        assert_eq!(
            code("\n\n```python\n# first\n// second\nx = 1\ny = 2", "x = 1"),
            Ok(1.0)
        );
        assert_eq!(code("# only", "x = 1"), Ok(0.0));
        // The first line that is left may be empty: nothing is looked for behind it.
        assert_eq!(code("# a\n\nx = 1", "x = 1"), Ok(0.0));
    }

    #[test]
    fn similarity_is_a_whole_percentage() {
        // 3 of 4 + 3 characters in common: 2 · 3 / 7 = 85.7 %.
        assert_eq!(code("abcd", "abc"), Ok(0.86));
        assert_eq!(code("", ""), Ok(1.0));
        assert_eq!(code("", "a"), Ok(0.0));
    }
}
