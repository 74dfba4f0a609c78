//! The eight retrieval tasks.

use std::collections::BTreeSet;

use super::essay::{Essay, sentences};
use super::task::Task;
use super::{Generate, NOISE, Sample};
use crate::eval::draw::Draw;
use crate::eval::suite::Suite;
use crate::eval::words;

/// Needles may stand at forty depths.
const N_DEPTHS: usize = 40;

/// What keys and values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Words,
    Numbers,
    Uuids,
}

/// What surrounds the needles.
enum Hay<'a> {
    /// One sentence again and again.
    Noise,
    Essay(&'a Essay),
    /// Needles that nobody asks for.
    Needles,
}

/// A retrieval task.
pub(super) struct Retrieval<'a> {
    suite: Suite,
    hay: Hay<'a>,
    key: Kind,
    value: Kind,
    n_keys: usize,
    n_values: usize,
    n_queries: usize,
}

impl<'a> Retrieval<'a> {
    /// One of the eight; `None` for another task.
    pub(super) fn new(task: Task, suite: Suite, essay: &'a Essay) -> Option<Self> {
        use Kind::{Numbers, Uuids, Words};
        let hay = match task {
            Task::Single1 => Hay::Noise,
            Task::MultiKey2 | Task::MultiKey3 => Hay::Needles,
            task if task.uses_essays() => Hay::Essay(essay),
            _ => return None,
        };
        let (key, value) = match task {
            Task::Single3 => (Words, Uuids),
            Task::MultiKey3 => (Uuids, Uuids),
            _ => (Words, Numbers),
        };
        let (n_keys, n_values, n_queries) = match task {
            Task::MultiKey1 => (4, 1, 1),
            Task::MultiValue => (1, 4, 1),
            Task::MultiQuery => (4, 1, 4),
            _ => (1, 1, 1),
        };
        Some(Self {
            suite,
            hay,
            key,
            value,
            n_keys,
            n_values,
            n_queries,
        })
    }

    /// Needles among the first `n_words` words, at depths that are drawn.
    fn among_sentences(&self, essay: &Essay, n_words: usize, needles: &[String], draw: &mut Draw) -> String {
        let text = essay.first(n_words);
        let sentences = sentences(&text, self.suite);
        let place = |i: usize| {
            let depth = (100.0 * i as f64 / (N_DEPTHS - 1) as f64).round_ties_even();
            (sentences.len() as f64 * (depth / 100.0)) as usize
        };
        let drawn = draw.sample(N_DEPTHS, needles.len());
        let mut places: Vec<usize> = drawn.into_iter().map(place).collect();
        places.sort_unstable();
        let mut parts = Vec::with_capacity(2 * needles.len() + 1);
        let mut from = 0;
        for (&to, needle) in places.iter().zip(needles) {
            parts.push(sentences[from..to].join(" "));
            parts.push(needle.clone());
            from = to;
        }
        parts.push(sentences[from..].join(" "));
        parts.join(" ")
    }

    /// Needles among `n` lines, before lines that are drawn.
    fn among_lines(
        &self,
        n: usize,
        line: &mut dyn FnMut(&mut Draw) -> String,
        needles: &[String],
        draw: &mut Draw,
    ) -> String {
        let mut lines: Vec<String> = (0..n).map(|_| line(draw)).collect();
        let mut places = draw.sample(n, needles.len());
        places.sort_unstable_by(|a, b| b.cmp(a));
        for (place, needle) in places.into_iter().zip(needles) {
            lines.insert(place, needle.clone());
        }
        lines.join("\n")
    }

    fn needle(&self, key: &str, value: &str) -> String {
        format!(
            "One of the special magic {} for {key} is: {value}.",
            self.value.plural()
        )
    }
}

impl Generate for Retrieval<'_> {
    fn generate(&self, n_units: usize, draw: &mut Draw) -> Sample {
        let mut seen = BTreeSet::new();
        let keys: Vec<String> = (0..self.n_keys)
            .map(|_| self.key.fresh(draw, &mut seen))
            .collect();
        let mut values = Vec::with_capacity(keys.len());
        let mut needles = Vec::new();
        for key in &keys {
            let of_key: Vec<String> = (0..self.n_values)
                .map(|_| self.value.fresh(draw, &mut seen))
                .collect();
            needles.extend(of_key.iter().map(|value| self.needle(key, value)));
            values.push(of_key);
        }
        draw.shuffle(&mut needles);
        let context = match self.hay {
            Hay::Noise => self.among_lines(n_units, &mut |_| NOISE.into(), &needles, draw),
            Hay::Essay(essay) => self.among_sentences(essay, n_units, &needles, draw),
            Hay::Needles => {
                let mut line = |draw: &mut Draw| {
                    let key = self.key.fresh(draw, &mut seen);
                    let value = self.value.fresh(draw, &mut seen);
                    self.needle(&key, &value)
                };
                self.among_lines(n_units, &mut line, &needles, draw)
            }
        };
        let asked = draw.sample(self.n_keys, self.n_queries);
        let queries: Vec<&str> = asked.iter().map(|&i| keys[i].as_str()).collect();
        let references = asked.iter().flat_map(|&i| values[i].clone()).collect();
        let single = self.n_queries * self.n_values == 1;
        Sample {
            prompt: prompt(single, self.value, &context, &listed(&queries)),
            references,
        }
    }

    fn max_units(&self) -> usize {
        match self.hay {
            Hay::Essay(essay) => essay.max_words(),
            _ => usize::MAX,
        }
    }
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Numbers => "numbers",
            Self::Uuids => "uuids",
        }
    }

    fn draw(self, draw: &mut Draw) -> String {
        match self {
            Self::Words => words::key(draw),
            Self::Numbers => (1_000_000 + draw.below(9_000_000)).to_string(),
            Self::Uuids => {
                // Version 4, variant 1.
                let high = draw.bits() & !0xf000 | 0x4000;
                let low = draw.bits() & !(0b11 << 62) | (0b10 << 62);
                format!(
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    high >> 32,
                    high >> 16 & 0xffff,
                    high & 0xffff,
                    low >> 48,
                    low & 0xffff_ffff_ffff
                )
            }
        }
    }

    /// One that was not drawn before: a key or a value that stands twice would make two answers right.
    fn fresh(self, draw: &mut Draw, seen: &mut BTreeSet<String>) -> String {
        loop {
            let drawn = self.draw(draw);
            if seen.insert(drawn.clone()) {
                return drawn;
            }
        }
    }
}

fn listed(queries: &[&str]) -> String {
    match queries {
        [] => String::new(),
        [one] => (*one).into(),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
    }
}

/// Source: RULER's `niah` template, with the singular that its generators make of it.
fn prompt(single: bool, value: Kind, context: &str, query: &str) -> String {
    let plural = value.plural();
    let kind = if single {
        &plural[..plural.len() - 1]
    } else {
        plural
    };
    let (some, are, are_all) = if single {
        ("A", "is", "is")
    } else {
        ("Some", "are", "are all")
    };
    format!(
        "{some} special magic {kind} {are} hidden within the following text. Make sure to memorize it. I will quiz you about the {kind} afterwards.\n{context}\nWhat {are_all} the special magic {kind} for {query} mentioned in the provided text? The special magic {kind} for {query} mentioned in the provided text {are}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::haystack::Haystack;

    fn sample(task: Task, suite: Suite, n_units: usize) -> Sample {
        let essay = Essay::new(&Haystack::Synthetic { seed: 1 }, suite, 2000);
        let retrieval = Retrieval::new(task, suite, &essay).unwrap();
        retrieval.generate(n_units, &mut Draw::new(5, "test", 0))
    }

    #[test]
    fn one_value_is_asked_for_in_the_singular() {
        let Sample { prompt, references } = sample(Task::Single1, Suite::Port, 3);
        assert!(prompt.starts_with("A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the number afterwards.\n"));
        assert!(prompt.contains("\nWhat is the special magic number for "));
        assert!(prompt.ends_with(" mentioned in the provided text is"));
        assert_eq!(prompt.matches(NOISE).count(), 3);
        assert_eq!(references.len(), 1);
        assert!(prompt.contains(&format!(" is: {}.\n", references[0])));
    }

    #[test]
    fn four_values_or_keys_are_asked_for_in_the_plural() {
        let values = sample(Task::MultiValue, Suite::Port, 500);
        assert!(values.prompt.starts_with("Some special magic numbers are hidden"));
        assert!(
            values
                .prompt
                .contains("What are all the special magic numbers for ")
        );
        assert_eq!(values.references.len(), 4);
        let queries = sample(Task::MultiQuery, Suite::Official, 500);
        let (_, question) = queries.prompt.rsplit_once("What are all").unwrap();
        assert_eq!(question.matches(", and ").count(), 2);
        for reference in values.references.iter().chain(&queries.references) {
            let n = values.prompt.matches(reference).count() + queries.prompt.matches(reference).count();
            assert_eq!(n, 1);
        }
    }

    #[test]
    fn a_key_stands_once_in_a_haystack_of_needles() {
        for task in [Task::MultiKey2, Task::MultiKey3] {
            let Sample { prompt, references } = sample(task, Suite::Port, 200);
            let (_, query) = prompt.rsplit_once(" for ").unwrap();
            let key = query.split(" mentioned").next().unwrap();
            assert_eq!(prompt.matches(&format!("for {key} is: ")).count(), 1);
            assert_eq!(prompt.matches("One of the special magic").count(), 201);
            assert!(prompt.contains(&format!("for {key} is: {}.", references[0])));
        }
    }

    #[test]
    fn uuids_are_of_version_4() {
        let drawn = Kind::Uuids.draw(&mut Draw::new(1, "test", 0));
        let parts: Vec<&str> = drawn.split('-').collect();
        let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lens, [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'));
        assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
    }

    #[test]
    fn needles_in_essays_stand_between_sentences() {
        let Sample { prompt, references } = sample(Task::MultiKey1, Suite::Official, 1000);
        assert_eq!(prompt.matches("One of the special magic numbers for ").count(), 4);
        let (before, _) = prompt.split_once("One of the special").unwrap();
        assert!(
            before.ends_with(". ") || before.ends_with("afterwards.\n "),
            "{before:?}"
        );
        assert_eq!(references.len(), 1);
    }
}
