//! Variable tracking: a chain of assignments among noise.

use std::collections::BTreeSet;

use super::{Generate, NOISE, Sample};
use crate::eval::draw::Draw;
use crate::eval::suite::Suite;

/// Assignments after the first.
const N_HOPS: usize = 4;

/// Letters in the name of a variable, and in a worked example's.
const NAME_LEN: usize = 5;
const EXAMPLE_NAME_LEN: usize = 3;

/// The task `vt`.
pub(super) struct Tracking {
    suite: Suite,
    /// Sentences of noise in the worked example that the official prompt begins with.
    n_example_units: usize,
}

impl Tracking {
    /// The port has no worked example; `n_example_units` is not used there.
    pub(super) fn new(suite: Suite, n_example_units: usize) -> Self {
        Self {
            suite,
            n_example_units,
        }
    }

    /// A worked example without its answer.
    pub(super) fn example(suite: Suite, n_units: usize, draw: &mut Draw) -> Sample {
        question(suite, n_units, EXAMPLE_NAME_LEN, draw)
    }
}

impl Generate for Tracking {
    fn generate(&self, n_units: usize, draw: &mut Draw) -> Sample {
        let mut sample = question(self.suite, n_units, NAME_LEN, draw);
        if self.suite == Suite::Official {
            let example = Self::example(self.suite, self.n_example_units, draw);
            let answer = example.references.join(" ");
            sample.prompt = format!("{} {answer}\n\n{}", example.prompt, sample.prompt);
        }
        sample
    }

    fn max_units(&self) -> usize {
        usize::MAX
    }
}

fn question(suite: Suite, n_units: usize, name_len: usize, draw: &mut Draw) -> Sample {
    let mut seen = BTreeSet::new();
    let names: Vec<String> = (0..=N_HOPS)
        .map(|_| fresh_name(name_len, draw, &mut seen))
        .collect();
    let value = 10_000 + draw.below(89_999);
    let mut chain = vec![format!("VAR {} = {value}", names[0])];
    let hops = names.windows(2);
    // The space at the end is in both generators.
    chain.extend(hops.map(|pair| format!("VAR {} = VAR {} ", pair[1], pair[0])));

    let (noise, join) = match suite {
        Suite::Official => (NOISE.to_owned(), "\n"),
        Suite::Port => (format!("{NOISE}\n"), " "),
    };
    let mut places = draw.sample(n_units, chain.len());
    places.sort_unstable();
    let mut sentences = vec![noise; n_units];
    for (i, (place, assignment)) in places.into_iter().zip(chain).enumerate() {
        sentences.insert(place + i, assignment);
    }
    let context = sentences.join(join);
    Sample {
        prompt: format!(
            "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n{context}\nQuestion: Find all variables that are assigned the value {value} in the text above. Answer: According to the chain(s) of variable assignment in the text above, {} variables are assigned the value {value}, they are: ",
            names.len()
        ),
        references: names,
    }
}

fn fresh_name(len: usize, draw: &mut Draw, seen: &mut BTreeSet<String>) -> String {
    loop {
        let name: String = (0..len)
            .map(|_| char::from(b'A' + draw.below(26) as u8))
            .collect();
        if seen.insert(name.clone()) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(suite: Suite) -> Sample {
        Tracking::new(suite, 5).generate(10, &mut Draw::new(1, "test", 0))
    }

    #[test]
    fn the_chain_is_in_order_and_its_variables_are_the_answer() {
        let Sample { prompt, references } = sample(Suite::Port);
        assert_eq!(references.len(), 5);
        let mut from = 0;
        for pair in references.windows(2) {
            let hop = format!("VAR {} = VAR {} ", pair[1], pair[0]);
            let at = prompt[from..]
                .find(&hop)
                .expect("the next hop stands behind the last");
            from += at + hop.len();
        }
        assert_eq!(prompt.matches("VAR").count(), 9);
        assert_eq!(prompt.matches(NOISE).count(), 10);
        assert!(prompt.ends_with(", they are: "));
    }

    #[test]
    fn the_port_joins_by_spaces_and_has_no_example() {
        let prompt = sample(Suite::Port).prompt;
        assert!(prompt.contains("There and back again.\n The grass"));
        assert_eq!(prompt.matches("Memorize and track").count(), 1);
    }

    #[test]
    fn the_official_prompt_begins_with_a_worked_example() {
        let Sample { prompt, references } = sample(Suite::Official);
        assert_eq!(prompt.matches("Memorize and track").count(), 2);
        let (example, question) = prompt.split_once("\n\nMemorize").unwrap();
        let answer = example.rsplit_once("they are:  ").unwrap().1;
        assert_eq!(answer.split(' ').count(), 5);
        assert!(
            answer
                .split(' ')
                .all(|name| name.len() == 3 && example.matches(name).count() >= 2)
        );
        assert!(question.contains("There and back again.\nThe grass"));
        assert!(references.iter().all(|name| name.len() == 5));
    }
}
