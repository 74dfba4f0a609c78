//! English words for keys and lists: those of the Python package `wonderwords` 3.0.1, which RULER draws
//! from, under its MIT licence (`LICENSE` beside the lists).

use std::sync::OnceLock;

use super::draw::Draw;

/// Name of the lists, for results.
pub(super) const NAME: &str = "wonderwords-3.0.1";

/// The lists, each as published.
struct Lists {
    adjectives: Vec<&'static str>,
    nouns: Vec<&'static str>,
    /// Adjectives, nouns and verbs together, sorted and without doubles.
    all: Vec<&'static str>,
}

fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| {
        let list = |text: &'static str| text.lines().map(str::trim_end).collect::<Vec<_>>();
        let adjectives = list(include_str!("adjectivelist.txt"));
        let nouns = list(include_str!("nounlist.txt"));
        let verbs = list(include_str!("verblist.txt"));
        let mut all = [&nouns[..], &adjectives, &verbs].concat();
        all.sort_unstable();
        all.dedup();
        Lists {
            adjectives,
            nouns,
            all,
        }
    })
}

/// An adjective and a noun: `quiet-harbour`.
pub(super) fn key(draw: &mut Draw) -> String {
    let lists = lists();
    format!("{}-{}", draw.choice(&lists.adjectives), draw.choice(&lists.nouns))
}

/// All words, sorted.
pub(super) fn all() -> &'static [&'static str] {
    &lists().all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_the_published_ones() {
        let lists = lists();
        let counts = (lists.adjectives.len(), lists.nouns.len(), lists.all.len());
        assert_eq!(counts, (912, 6782, 8166));
        assert!(all().iter().all(|word| !word.is_empty()));
    }
}
