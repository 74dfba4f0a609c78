//! Common words: the ten most frequent of a numbered list.

use super::{Generate, Sample};
use crate::eval::draw::Draw;
use crate::eval::suite::Suite;
use crate::eval::words;

/// How many words are asked for.
const N_COMMON: usize = 10;

/// The task `cwe`.
pub(super) struct CommonWords {
    suite: Suite,
    /// Whether the length is below 4,096 tokens, for which words are repeated less often.
    short: bool,
}

impl CommonWords {
    pub(super) fn new(suite: Suite, length: u32) -> Self {
        Self {
            suite,
            short: length < 4096,
        }
    }
}

impl Generate for CommonWords {
    fn generate(&self, n_units: usize, draw: &mut Draw) -> Sample {
        let (example, repeats) = match self.short {
            true => ((20, 3, 1), (6, 1)),
            false => ((40, 10, 3), (30, 3)),
        };
        let (example_list, example_answer) = list(example.0, example.1, example.2, draw);
        let (context, common) = list(n_units, repeats.0, repeats.1, draw);
        // The port forgets the space before the example's answer.
        let space = match self.suite {
            Suite::Official => " ",
            Suite::Port => "",
        };
        Sample {
            prompt: format!(
                "{}{space}{}\n{}",
                question(&example_list),
                numbered(&example_answer),
                question(&context)
            ),
            references: common.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Every word once; the official generator goes on with another list, beyond 128K.
    fn max_units(&self) -> usize {
        words::all().len()
    }
}

/// A list of `n_words` words in which the first ten are more frequent, and these.
fn list(n_words: usize, n_common: usize, n_others: usize, draw: &mut Draw) -> (String, Vec<&'static str>) {
    let all = words::all();
    let drawn: Vec<&str> = draw
        .sample(all.len(), n_words)
        .into_iter()
        .map(|i| all[i])
        .collect();
    let (common, others) = drawn.split_at(N_COMMON.min(drawn.len()));
    let mut list = [common.repeat(n_common), others.repeat(n_others)].concat();
    draw.shuffle(&mut list);
    (numbered(&list), common.to_vec())
}

fn numbered(words: &[&str]) -> String {
    let numbered = words
        .iter()
        .enumerate()
        .map(|(i, word)| format!("{}. {word}", i + 1));
    numbered.collect::<Vec<_>>().join(" ")
}

/// Source: RULER's `common_words_extraction` template.
fn question(context: &str) -> String {
    format!(
        "Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n{context}\nQuestion: What are the 10 most common words in the above list? Answer: The top 10 words that appear most often in the list are:"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn counts(list: &str) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        // `7. word` begins where a number follows a space.
        for entry in regex::Regex::new(r"(?:^| )\d+\. ").unwrap().split(list).skip(1) {
            *counts.entry(entry.to_owned()).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn ten_words_stand_thirty_times_and_the_others_three_times() {
        let sample = CommonWords::new(Suite::Port, 4096).generate(30, &mut Draw::new(1, "test", 0));
        let list = sample.prompt.lines().nth(4).unwrap();
        let counts = counts(list);
        assert_eq!(counts.len(), 30);
        for (word, n) in &counts {
            assert_eq!(
                *n,
                if sample.references.contains(word) { 30 } else { 3 },
                "{word}"
            );
        }
    }

    #[test]
    fn short_prompts_repeat_less_and_the_official_example_has_its_space() {
        let short = CommonWords::new(Suite::Official, 2048).generate(20, &mut Draw::new(1, "test", 0));
        let counts = counts(short.prompt.lines().nth(4).unwrap());
        assert_eq!(counts[&short.references[0]], 6);
        assert!(short.prompt.contains("in the list are: 1. "));
        let port = CommonWords::new(Suite::Port, 2048).generate(20, &mut Draw::new(1, "test", 0));
        assert!(port.prompt.contains("in the list are:1. "));
        assert!(port.prompt.ends_with("in the list are:"));
    }
}
