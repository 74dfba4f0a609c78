//! Running text, counted in words and taken apart into sentences.

use std::borrow::Cow;

use crate::eval::haystack::Haystack;
use crate::eval::suite::Suite;

/// Words of running text, one space between two.
pub(super) struct Essay {
    text: String,
    /// Where each word ends.
    ends: Vec<u32>,
    /// Whether the text begins again at its end.
    repeats: bool,
}

impl Essay {
    /// The documents of a haystack in order. Made-up prose ends after `enough` words.
    pub(super) fn new(haystack: &Haystack, suite: Suite, enough: usize) -> Self {
        let mut essay = Self {
            text: String::new(),
            ends: Vec::new(),
            repeats: suite == Suite::Official,
        };
        match haystack.n_documents() {
            Some(n) => (0..n).for_each(|index| essay.push(&haystack.document(index))),
            None => {
                for index in 0.. {
                    if essay.ends.len() >= enough {
                        break;
                    }
                    essay.push(&haystack.document(index));
                }
            }
        }
        essay
    }

    fn push(&mut self, document: &str) {
        for word in document.split_whitespace() {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.push_str(word);
            self.ends.push(self.text.len() as u32);
        }
    }

    /// How many words there are: the port ends with its essays, the official generator repeats them.
    pub(super) fn max_words(&self) -> usize {
        if self.repeats { usize::MAX } else { self.ends.len() }
    }

    /// The first `n` words.
    pub(super) fn first(&self, n: usize) -> Cow<'_, str> {
        let whole = n / self.ends.len();
        let rest = match n % self.ends.len() {
            0 => "",
            n => &self.text[..self.ends[n - 1] as usize],
        };
        if whole == 0 || !self.repeats {
            return Cow::Borrowed(if whole > 0 { &self.text } else { rest });
        }
        let mut text = vec![self.text.as_str(); whole];
        text.extend((!rest.is_empty()).then_some(rest));
        Cow::Owned(text.join(" "))
    }
}

/// The sentences of a text.
///
/// The port splits at `". "`, which takes the full stops away. The official generator calls NLTK's trained
/// splitter; here a sentence ends after `.`, `!` or `?`, with quotes and brackets that close behind it,
/// where a space and no small letter follow.
pub(super) fn sentences(text: &str, suite: Suite) -> Vec<&str> {
    match suite {
        Suite::Port => text
            .split(". ")
            .filter(|sentence| !sentence.is_empty())
            .map(str::trim)
            .collect(),
        Suite::Official => {
            let mut sentences = Vec::new();
            let mut start = 0;
            for (at, _) in text.match_indices(' ') {
                let before = text[start..at].trim_end_matches(['"', '\'', ')', ']', '\u{201d}', '\u{2019}']);
                let ends = before.ends_with(['.', '!', '?']);
                if ends && !text[at + 1..].starts_with(char::is_lowercase) {
                    sentences.push(&text[start..at]);
                    start = at + 1;
                }
            }
            sentences.extend(Some(&text[start..]).filter(|rest| !rest.is_empty()));
            sentences
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn essay(suite: Suite) -> Essay {
        let mut essay = Essay {
            text: String::new(),
            ends: Vec::new(),
            repeats: suite == Suite::Official,
        };
        essay.push(" a\n\nb ");
        essay.push("c");
        essay
    }

    #[test]
    fn words_are_counted_over_documents() {
        let port = essay(Suite::Port);
        assert_eq!((&*port.first(2), &*port.first(3)), ("a b", "a b c"));
        assert_eq!(&*port.first(0), "");
        assert_eq!(port.max_words(), 3);
        assert_eq!(&*port.first(7), "a b c");
    }

    #[test]
    fn the_official_generator_begins_the_essays_again() {
        let official = essay(Suite::Official);
        assert_eq!(&*official.first(7), "a b c a b c a");
        assert_eq!(&*official.first(6), "a b c a b c");
    }

    #[test]
    fn the_port_loses_full_stops_and_the_official_rule_keeps_them() {
        let text = "One. Two? \"Three.\" e.g. four! Five";
        assert_eq!(
            sentences(text, Suite::Port),
            ["One", "Two? \"Three.\" e.g", "four! Five"]
        );
        let official = ["One.", "Two?", "\"Three.\" e.g. four!", "Five"];
        assert_eq!(sentences(text, Suite::Official), official);
    }
}
