//! How much of each source is used: full passes over its documents and a seeded part of one more.
//!
//! Sizes are tokens of usable documents, EOD not counted. The part of a pass is a prefix of the
//! source's documents in a seeded random order: the prefix whose tokens come nearest to what is
//! wanted, so at most one document too many. That order is never written down. A document's rank is
//! `mix(key ^ document)`, which is a bijection, so ranks are distinct; a prefix is "rank ≤ bound"; and
//! the bound is found with a histogram of ranks and one sort of 1/65,536 of the documents. Memory stays
//! at a few words per part, whatever the number of documents.

use super::corpus::{Numbered, SourceRules};
use super::ledger::SourceAccount;
use super::rules::{Class, Rules};
use super::seed::{derive, mix};
use crate::error::{Error, Result};

/// Which documents are used, and how often.
pub(super) struct Mixture {
    /// `[n_sources]`.
    pub(super) draws: Vec<Draw>,
    /// `[n_parts]`: usable documents of each part, and those of the partial pass.
    pub(super) parts: Vec<PartTally>,
}

/// How one source is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// Passes over all usable documents.
    pub(super) full_passes: u64,
    /// Highest rank of the partial pass, which comes last; `None` if there is none.
    bound: Option<u64>,
    /// Key of the ranks.
    key: u64,
    /// Tokens asked for.
    pub(super) wanted: f64,
}

impl Draw {
    /// Whether pass number `pass` uses a usable document.
    pub(super) fn takes(&self, pass: u64, document: u64) -> bool {
        pass < self.full_passes || self.in_partial(document)
    }

    fn in_partial(&self, document: u64) -> bool {
        self.bound.is_some_and(|bound| self.rank(document) <= bound)
    }

    fn rank(&self, document: u64) -> u64 {
        mix(self.key ^ document)
    }
}

/// Documents and their tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) documents: u64,
    pub(super) tokens: u64,
}

impl Tally {
    fn add(&mut self, len: u32) {
        self.documents += 1;
        self.tokens += u64::from(len);
    }
}

/// What a part holds for a full and for the partial pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PartTally {
    pub(super) full: Tally,
    pub(super) partial: Tally,
}

impl Mixture {
    /// Classifies all documents, decides how often each source is used, and enters what is read and
    /// what is left out into `accounts`.
    ///
    /// # Errors
    /// If weights or epochs are not usable numbers, or a source that should be used has no usable
    /// document.
    pub(super) fn new(corpus: &Numbered<'_>, rules: &Rules, accounts: &mut [SourceAccount]) -> Result<Self> {
        let mut parts = Vec::new();
        let mut usable = vec![0; corpus.sources().len()];
        for (part, source) in corpus.part_sources().enumerate() {
            let account = &mut accounts[source].account;
            let mut tally = PartTally::default();
            for (_, len, class) in corpus.documents(part, rules) {
                account.documents.read += 1;
                account.tokens.read += u64::from(len);
                account.leave_out(class, len);
                if class == Class::Eligible {
                    tally.full.add(len);
                }
            }
            usable[source] += tally.full.tokens;
            parts.push(tally);
        }
        let wanted = wanted(corpus.sources(), &usable, rules)?;
        let draws = usable
            .iter()
            .zip(wanted)
            .enumerate()
            .map(|(source, (&tokens, wanted))| {
                let whole = wanted.round() as u64;
                let mut draw = Draw {
                    full_passes: whole.checked_div(tokens).unwrap_or(0),
                    bound: None,
                    key: derive(rules.seed, "partial pass", source as u64),
                    wanted,
                };
                let rest = whole.checked_rem(tokens).unwrap_or(0);
                if rest > 0 {
                    draw.bound = bound(corpus, rules, source, &draw, rest);
                }
                draw
            });
        let mut mixture = Self {
            draws: draws.collect(),
            parts,
        };
        mixture.tally_partial(corpus, rules, accounts);
        Ok(mixture)
    }

    /// Counts the partial passes per part, and the usable documents that no pass uses.
    fn tally_partial(&mut self, corpus: &Numbered<'_>, rules: &Rules, accounts: &mut [SourceAccount]) {
        for (part, source) in corpus.part_sources().enumerate() {
            let draw = &self.draws[source];
            if draw.bound.is_none() && draw.full_passes > 0 {
                continue;
            }
            let account = &mut accounts[source].account;
            for (document, len, class) in corpus.documents(part, rules) {
                if class != Class::Eligible {
                    continue;
                }
                if draw.in_partial(document) {
                    self.parts[part].partial.add(len);
                } else if draw.full_passes == 0 {
                    account.leave_out(Class::Unselected, len);
                }
            }
        }
    }
}

/// Tokens wanted of each source.
fn wanted(sources: &[SourceRules], usable: &[u64], rules: &Rules) -> Result<Vec<f64>> {
    let named = |source: usize| format!("source `{}`", sources[source].name);
    let number = |source: usize, key: &str, value: f64| {
        if value.is_finite() && value >= 0.0 {
            return Ok(value);
        }
        Err(Error::usage(format!(
            "{}: `{key}` is {value}, must be a number from 0",
            named(source)
        )))
    };
    let weighted = sources.iter().any(|s| s.weight.is_some());
    let mut weights = Vec::with_capacity(usable.len());
    for (i, (source, &tokens)) in sources.iter().zip(usable).enumerate() {
        weights.push(match source.weight {
            Some(weight) => number(i, "weight", weight)?,
            None if weighted => {
                return Err(Error::usage(format!(
                    "{} has no `weight`\nhint: give a weight to all sources or to none",
                    named(i)
                )));
            }
            None => number(i, "epochs", source.epochs.unwrap_or(1.0))? * tokens as f64,
        });
    }
    if !weighted && rules.mixture_tokens.is_none() {
        return Ok(weights);
    }
    if usable.iter().all(|&tokens| tokens == 0) {
        return Err(Error::usage(
            "no source has a usable document, so there is no mixture of them",
        ));
    }
    let sum: f64 = weights.iter().sum();
    if let Some(empty) = (0..usable.len()).find(|&i| weights[i] > 0.0 && usable[i] == 0) {
        return Err(Error::usage(format!(
            "{} has a weight but no usable document\nhint: set its weight to 0 or remove it",
            named(empty)
        )));
    }
    if sum == 0.0 || !sum.is_finite() {
        return Err(Error::usage(format!(
            "the weights of all sources add up to {sum}, must be above 0"
        )));
    }
    let total = match rules.mixture_tokens {
        Some(tokens) => tokens as f64,
        None => usable
            .iter()
            .zip(&weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(&tokens, weight)| tokens as f64 / (weight / sum))
            .fold(f64::INFINITY, f64::min),
    };
    Ok(weights.into_iter().map(|weight| total * (weight / sum)).collect())
}

/// The highest rank of the prefix of a source's documents that comes nearest to `target` tokens.
fn bound(corpus: &Numbered<'_>, rules: &Rules, source: usize, draw: &Draw, target: u64) -> Option<u64> {
    const CELL_BITS: u32 = 48;
    let usable = || {
        let parts = corpus
            .part_sources()
            .enumerate()
            .filter(move |(_, of)| *of == source);
        parts
            .flat_map(|(part, _)| corpus.documents(part, rules))
            .filter(|(_, _, class)| *class == Class::Eligible)
            .map(|(document, len, _)| (draw.rank(document), u64::from(len)))
    };
    let mut cells = vec![0u64; 1 << (u64::BITS - CELL_BITS)];
    usable().for_each(|(rank, len)| cells[(rank >> CELL_BITS) as usize] += len);
    let mut before = 0;
    let cell = cells.iter().position(|tokens| {
        before += tokens;
        before > target
    });
    let Some(cell) = cell else { return Some(u64::MAX) };
    before -= cells[cell];
    let mut in_cell: Vec<(u64, u64)> = usable()
        .filter(|(rank, _)| rank >> CELL_BITS == cell as u64)
        .collect();
    in_cell.sort_unstable();

    let mut last = ((cell as u64) << CELL_BITS).checked_sub(1);
    for (rank, len) in in_cell {
        let after = before + len;
        if after > target {
            let with_it_is_nearer = after - target < target - before;
            return if with_it_is_nearer { Some(rank) } else { last };
        }
        (before, last) = (after, Some(rank));
    }
    last
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accounts, corpus_of, rules};
    use super::*;
    use crate::pack::Corpus;

    fn draw(corpus: &Corpus, rules: &Rules) -> Result<(Mixture, Vec<SourceAccount>)> {
        let mut accounts = accounts(corpus);
        let mixture = Mixture::new(&Numbered::new(corpus), rules, &mut accounts)?;
        Ok((mixture, accounts))
    }

    /// Tokens used of each source, all passes together.
    fn used(corpus: &Corpus, mixture: &Mixture) -> Vec<u64> {
        let mut used = vec![0; corpus.sources.len()];
        for (part, tally) in corpus.parts.iter().zip(&mixture.parts) {
            used[part.source] +=
                mixture.draws[part.source].full_passes * tally.full.tokens + tally.partial.tokens;
        }
        used
    }

    /// Two sources with 1,000 documents of 1..=100 tokens each, in several parts.
    fn two_sources() -> Corpus {
        let lens = |from: u32| (0..250).map(|i| (from + i * 37) % 100 + 1).collect();
        corpus_of((0..8).map(|part| (part % 2, lens(part as u32 * 11))).collect())
    }

    #[test]
    fn without_weights_each_source_is_used_epochs_times() {
        let mut corpus = two_sources();
        corpus.sources[0].epochs = Some(2.25);
        let (mixture, accounts) = draw(&corpus, &rules(100)).unwrap();
        let read = accounts[0].account.tokens.read;
        assert_eq!(mixture.draws[0].full_passes, 2);
        assert!(
            used(&corpus, &mixture)[0].abs_diff(read * 9 / 4) <= 50,
            "half the longest document"
        );
        assert_eq!(used(&corpus, &mixture)[1], accounts[1].account.tokens.read);
        assert_eq!(accounts[0].account.documents.unselected, 0);
    }

    #[test]
    fn a_fraction_of_an_epoch_leaves_the_rest_unselected() {
        let mut corpus = two_sources();
        corpus.sources[0].epochs = Some(0.3);
        let (mixture, accounts) = draw(&corpus, &rules(100)).unwrap();
        let tokens = accounts[0].account.tokens;
        assert!((used(&corpus, &mixture)[0] as f64 - tokens.read as f64 * 0.3).abs() <= 50.0);
        assert_eq!(used(&corpus, &mixture)[0] + tokens.unselected, tokens.read);
        let other_seed = Rules {
            seed: 9,
            ..rules(100)
        };
        let other = draw(&corpus, &other_seed).unwrap().0;
        assert_ne!(other.parts[0].partial, mixture.parts[0].partial);
    }

    #[test]
    fn weights_without_a_total_exhaust_the_scarcest_source() {
        let mut corpus = two_sources();
        corpus.sources[0].weight = Some(3.0);
        corpus.sources[1].weight = Some(1.0);
        let (mixture, accounts) = draw(&corpus, &rules(100)).unwrap();
        let used = used(&corpus, &mixture);
        assert_eq!(used[0], accounts[0].account.tokens.read);
        assert!(used[1].abs_diff(used[0] / 3) <= 50);
    }

    #[test]
    fn a_total_repeats_sources_until_it_is_reached() {
        let mut corpus = two_sources();
        let read: u64 = draw(&corpus, &rules(100))
            .unwrap()
            .1
            .iter()
            .map(|s| s.account.tokens.read)
            .sum();
        let rules = Rules {
            mixture_tokens: Some(read * 3),
            ..rules(100)
        };
        let (mixture, _) = draw(&corpus, &rules).unwrap();
        assert!(used(&corpus, &mixture).iter().sum::<u64>().abs_diff(read * 3) <= 100);
        corpus.sources[0].weight = Some(0.0);
        corpus.sources[1].weight = Some(1.0);
        let (mixture, accounts) = draw(&corpus, &rules).unwrap();
        assert_eq!(used(&corpus, &mixture)[0], 0);
        assert_eq!(accounts[0].account.documents.unselected, 1000);
    }

    #[test]
    fn a_partial_pass_takes_the_nearer_of_two_prefixes() {
        for (epochs, expected) in [(0.4, 0), (0.6, 10)] {
            let mut corpus = corpus_of(vec![(0, vec![10])]);
            corpus.sources[0].epochs = Some(epochs);
            let (mixture, _) = draw(&corpus, &rules(100)).unwrap();
            assert_eq!(used(&corpus, &mixture), [expected]);
        }
    }

    #[test]
    fn weights_that_mean_nothing_are_refused() {
        let refused = |weights: [Option<f64>; 2]| {
            let mut corpus = two_sources();
            corpus.parts[1].lens.clear();
            corpus.parts.truncate(2);
            corpus.sources[0].weight = weights[0];
            corpus.sources[1].weight = weights[1];
            draw(&corpus, &rules(100))
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default()
        };
        assert!(refused([Some(1.0), None]).contains("source `s1` has no `weight`"));
        assert!(refused([Some(1.0), Some(1.0)]).contains("source `s1` has a weight but no usable document"));
        assert!(refused([Some(f64::NAN), Some(0.0)]).contains("must be a number"));
        assert!(refused([Some(0.0), Some(0.0)]).contains("add up to 0"));
        assert_eq!(refused([Some(1.0), Some(0.0)]), "");
        let nothing = draw(
            &Corpus::default(),
            &Rules {
                mixture_tokens: Some(9),
                ..rules(100)
            },
        );
        assert!(
            nothing
                .err()
                .unwrap()
                .to_string()
                .contains("no source has a usable document")
        );
    }
}
