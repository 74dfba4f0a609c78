//! Groups: which parts are packed together.
//!
//! A group is a set of whole parts of the token store, so that writing its sequences reads each
//! token once, from few places. About a million documents are enough for a tight fit and a good
//! mix, and bound the memory of a plan.
//!
//! The uses of a source's parts form one list: pass 0 over all its parts, then pass 1, and so on, each
//! pass in its own seeded order. The lists of all sources are merged by how far each is consumed, so
//! that every group holds the mixture. A group also ends before a part that it already holds: then a
//! document does not meet itself.

use super::corpus::Numbered;
use super::mixture::{Mixture, Tally};
use super::permutation::Permutation;
use super::rules::Rules;
use super::seed::derive;
use crate::recipe::Placement;

/// A group ends when it has this many documents …
const DOCUMENTS: u64 = 1 << 20;
/// … or this many tokens, whichever comes first.
const TOKENS: u64 = 512 << 20;
/// Where a group's end leaves a sequence unfilled, a group that holds fewer sequences than this
/// goes on though a part repeats: padding would cost more than 1 in 64.
const SEQUENCES: u64 = 64;

/// One use of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    pub(super) source: usize,
    pub(super) pass: u64,
    pub(super) part: usize,
}

/// All groups, one after another.
pub(super) struct Groups<'a> {
    mixture: &'a Mixture,
    lists: Vec<List>,
    /// Tokens below which a repeated part does not end a group.
    least_tokens: u64,
    shuffle: bool,
    /// The part that did not go into the group before.
    next: Option<(Unit, Tally)>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(corpus: &Numbered<'_>, mixture: &'a Mixture, rules: &Rules) -> Self {
        let carries = match rules.placement {
            Placement::Stream | Placement::FirstFit | Placement::BestFit => true,
            Placement::BestFitDecreasing | Placement::Bucket => false,
        };
        let mut lists: Vec<List> = (0..corpus.sources().len())
            .map(|source| List::new(source, rules))
            .collect();
        for (part, (source, tally)) in corpus.part_sources().zip(&mixture.parts).enumerate() {
            let list = &mut lists[source];
            if tally.full.documents > 0 {
                list.parts.push(part);
            }
            list.tokens += u128::from(mixture.draws[source].full_passes) * u128::from(tally.full.tokens)
                + u128::from(tally.partial.tokens);
        }
        let least_tokens = if carries {
            0
        } else {
            SEQUENCES * u64::from(rules.seq_len)
        };
        Self {
            mixture,
            lists,
            least_tokens,
            shuffle: rules.shuffle,
            next: None,
        }
    }

    /// The parts of the next group, in order of source, pass and part; `None` after the last.
    pub(super) fn next(&mut self) -> Option<Vec<Unit>> {
        let (first, mut sum) = self.next.take().or_else(|| self.next_unit())?;
        let mut group = vec![first];
        let mut parts = std::collections::BTreeSet::from([first.part]);
        while let Some((unit, tally)) = self.next_unit() {
            let (documents, tokens) = (sum.documents + tally.documents, sum.tokens + tally.tokens);
            let full = documents > DOCUMENTS || tokens > TOKENS;
            let repeats = parts.contains(&unit.part) && sum.tokens >= self.least_tokens;
            if full || repeats {
                self.next = Some((unit, tally));
                break;
            }
            sum = Tally { documents, tokens };
            parts.insert(unit.part);
            group.push(unit);
        }
        group.sort_unstable();
        Some(group)
    }

    /// The next part of the source that is furthest behind.
    fn next_unit(&mut self) -> Option<(Unit, Tally)> {
        for list in &mut self.lists {
            list.advance(self.mixture, self.shuffle);
        }
        let behind = self.lists.iter_mut().filter(|list| list.head.is_some());
        behind
            .min_by(|a, b| a.progress().cmp(&b.progress()).then(a.source.cmp(&b.source)))?
            .take()
    }
}

/// The uses of one source's parts, in order.
struct List {
    source: usize,
    /// Seed of the order of each pass.
    seed: u64,
    /// Parts with usable documents, in document order.
    parts: Vec<usize>,
    /// Tokens of the whole list, and of what was taken.
    tokens: u128,
    taken: u128,
    /// The next pass and place in it.
    pass: u64,
    place: u64,
    order: Option<Permutation>,
    head: Option<(Unit, Tally)>,
}

impl List {
    fn new(source: usize, rules: &Rules) -> Self {
        Self {
            source,
            seed: derive(rules.seed, "parts", source as u64),
            parts: Vec::new(),
            tokens: 0,
            taken: 0,
            pass: 0,
            place: 0,
            order: None,
            head: None,
        }
    }

    /// Fills `head`, unless it is filled or the list is at its end.
    fn advance(&mut self, mixture: &Mixture, shuffle: bool) {
        let draw = &mixture.draws[self.source];
        let n = self.parts.len() as u64;
        while self.head.is_none() && self.pass <= draw.full_passes && n > 0 {
            let order = self
                .order
                .get_or_insert_with(|| Permutation::new(n, derive(self.seed, "pass", self.pass)));
            let part = self.parts[if shuffle {
                order.get(self.place)
            } else {
                self.place
            } as usize];
            let tally = &mixture.parts[part];
            let tally = if self.pass < draw.full_passes {
                tally.full
            } else {
                tally.partial
            };
            if tally.documents > 0 {
                self.head = Some((
                    Unit {
                        source: self.source,
                        pass: self.pass,
                        part,
                    },
                    tally,
                ));
            }
            self.place += 1;
            if self.place == n {
                (self.pass, self.place, self.order) = (self.pass + 1, 0, None);
            }
        }
    }

    /// Where the middle of `head` lies in the list, in `0..=1`.
    fn progress(&self) -> Fraction {
        let tokens = self.head.map_or(0, |(_, tally)| u128::from(tally.tokens));
        Fraction {
            part: 2 * self.taken + tokens,
            whole: 2 * self.tokens,
        }
    }

    fn take(&mut self) -> Option<(Unit, Tally)> {
        let head = self.head.take();
        self.taken += head.map_or(0, |(_, tally)| u128::from(tally.tokens));
        head
    }
}

/// A share of tokens; compared exactly as long as there are fewer than 2^63 tokens.
struct Fraction {
    part: u128,
    whole: u128,
}

impl Fraction {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.part
            .saturating_mul(other.whole)
            .cmp(&other.part.saturating_mul(self.whole))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accounts, corpus_of, rules};
    use super::*;
    use crate::pack::Corpus;

    fn groups(corpus: &Corpus, rules: &Rules) -> Vec<Vec<Unit>> {
        let numbered = Numbered::new(corpus);
        let mixture = Mixture::new(&numbered, rules, &mut accounts(corpus)).unwrap();
        let mut groups = Groups::new(&numbered, &mixture, rules);
        std::iter::from_fn(|| groups.next()).collect()
    }

    #[test]
    fn every_group_holds_the_mixture() {
        // 40 parts of one source, 20 of another, six parts to a group.
        let parts = (0..60)
            .map(|i| (usize::from(i >= 40), vec![1; 170_000]))
            .collect();
        let groups = groups(&corpus_of(parts), &rules(100));
        assert_eq!(groups.len(), 10);
        for group in &groups {
            assert_eq!(group.iter().filter(|unit| unit.source == 1).count(), 2);
        }
        let mut all: Vec<Unit> = groups.concat();
        assert!(!all.is_sorted(), "parts come in a seeded order");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 60);
    }

    #[test]
    fn a_document_does_not_meet_itself_in_a_group() {
        let mut corpus = corpus_of(vec![(0, vec![5; 10]), (0, vec![5; 10]), (1, vec![5; 40])]);
        corpus.sources[0].epochs = Some(4.5);
        let groups = groups(&corpus, &rules(100));
        for group in &groups {
            let mut parts: Vec<usize> = group.iter().map(|unit| unit.part).collect();
            parts.sort_unstable();
            parts.dedup();
            assert_eq!(parts.len(), group.len(), "{group:?}");
        }
        let passes: Vec<u64> = groups
            .concat()
            .iter()
            .filter(|u| u.source == 0)
            .map(|u| u.pass)
            .collect();
        assert!(
            passes.is_sorted() && passes.len() >= 9,
            "pass p comes after pass p - 1: {passes:?}"
        );
    }

    #[test]
    fn closing_placements_do_not_pay_for_tiny_groups() {
        let mut corpus = corpus_of(vec![(0, vec![5; 10])]);
        corpus.sources[0].epochs = Some(4.0);
        let closing = Rules {
            placement: Placement::BestFitDecreasing,
            ..rules(100)
        };
        assert_eq!(groups(&corpus, &closing).len(), 1);
        assert_eq!(groups(&corpus, &rules(100)).len(), 4);
    }

    #[test]
    fn without_shuffling_parts_keep_their_order() {
        let corpus = corpus_of((0..30).map(|_| (0, vec![1; 200_000])).collect());
        let plain = Rules {
            shuffle: false,
            ..rules(100)
        };
        let parts: Vec<usize> = groups(&corpus, &plain)
            .concat()
            .iter()
            .map(|unit| unit.part)
            .collect();
        assert!(parts.into_iter().eq(0..30));
    }
}
