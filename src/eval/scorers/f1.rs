//! F1 over bags of words.

use std::collections::HashMap;

use super::python::{is_word, split};

/// The words of an answer: lower case, without ASCII punctuation and without articles.
///
/// Source: SQuAD's answer normalisation, as in LongBench's published metrics.
pub(crate) fn english_words(text: &str) -> Vec<String> {
    let text: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    split(&without_articles(&text)).map(str::to_owned).collect()
}

/// Replaces every run of word characters that is an article by a space.
fn without_articles(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = is_word(first);
        let end = rest.find(|c| is_word(c) != word).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        out.push_str(if matches!(run, "a" | "an" | "the") {
            " "
        } else {
            run
        });
        rest = after;
    }
    out
}

/// The harmonic mean of precision and recall of the words in common, each as often as in both; 0 without.
pub(crate) fn f1(prediction: &[String], reference: &[String]) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in reference {
        *left.entry(word).or_default() += 1;
    }
    let mut n_same = 0u64;
    for word in prediction {
        if let Some(n) = left.get_mut(word.as_str()).filter(|n| **n > 0) {
            *n -= 1;
            n_same += 1;
        }
    }
    if n_same == 0 {
        return 0.0;
    }
    let precision = n_same as f64 / prediction.len() as f64;
    let recall = n_same as f64 / reference.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_punctuation_and_case_do_not_count() {
        assert_eq!(
            english_words("The  cat's-eye, an A.B. theme"),
            ["catseye", "ab", "theme"]
        );
        assert!(english_words("The, a. AN!").is_empty());
    }

    #[test]
    fn an_article_is_a_whole_word_as_python_sees_words() {
        // U+0301 ends the word for Python: the article before it goes, the mark stays.
        assert_eq!(english_words("the\u{301} x"), ["\u{301}", "x"]);
        assert_eq!(english_words("_a_ b"), ["b"]);
    }

    #[test]
    fn words_count_as_often_as_in_both() {
        let words = |text: &str| english_words(text);
        // Common: x, x, y = 3 of 4 and 3 of 5: 2 · 0.75 · 0.6 / 1.35.
        let score = f1(&words("x x y z"), &words("x x x y w"));
        assert!((score - 2.0 / 3.0).abs() < 1e-12, "{score}");
        assert_eq!(f1(&words(""), &words("x")), 0.0);
        assert_eq!(f1(&words("x"), &words("")), 0.0);
    }
}
