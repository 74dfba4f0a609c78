//! The plan: which segment of which document goes into which sequence.
//!
//! A plan is a pure function of document lengths, rules and a seed. No token is read and no file
//! is written here, so a plan costs seconds where packing costs hours, and the same corpus can be
//! planned again with another placement, length or seed.
//!
//! ```text
//! lengths ─► eligible? ─► mixture ─► groups ─► pieces ─► placement ─► balance ─► sink
//!            rules.rs     passes     whole     of long   segments     order for
//!            corpus.rs    per source parts     documents to sequences ranks
//! ```
//!
//! The [`Ledger`] counts both ends of that line independently and must balance.

mod balance;
mod corpus;
mod group;
mod ledger;
mod mixture;
mod output;
mod permutation;
mod pieces;
mod placement;
mod rules;
pub mod seed;
mod statistics;

pub use balance::{CostModel, Slowdown};
pub use corpus::{Corpus, PartLens, SourceRules};
pub use ledger::{Account, Bytes, Documents, Ledger, Slots, SourceAccount, Tokens};
pub use permutation::Permutation;
pub use rules::Rules;
pub use statistics::{
    BalanceEffect, Collector, ContextKept, LengthRange, Quantiles, SourceShare, Statistics,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::corpus::Numbered;
use self::group::{Groups, Unit};
use self::mixture::{Draw, Mixture};
use self::output::Output;
use self::pieces::{Cut, Knife};
use self::rules::Class;
use self::seed::{Rng, derive};
use crate::error::Result;
use crate::sequence::{Attention, Segment};

/// A sequence of the plan: [`crate::sequence::Sequence::try_new`] lays its segments out.
///
/// A segment's `document` counts through all parts of the corpus. Its `start` and `len` are in the
/// document's stream, which is its tokens and, if the rules add one, its EOD as the last token:
/// `start + len` may reach `n_tokens + 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSequence {
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// Who may attend to whom.
    pub attention: Attention,
}

/// What a plan amounts to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Where every input token went; it has passed [`Ledger::check`].
    pub ledger: Ledger,
    /// What the sequences are like.
    pub statistics: Statistics,
}

/// Receives the sequences of a plan in the order in which they are written.
type Sink<'a> = dyn FnMut(&PlannedSequence) -> Result<()> + 'a;

/// Plans the corpus: hands each sequence to `sink` in final row order and returns the account.
///
/// Equal arguments give equal plans. Beyond the corpus itself, memory holds the documents of one
/// group (about a million), the open sequences, and with `balance` one window of sequences. The
/// sequence given to `sink` is a buffer that is used again.
///
/// # Errors
/// If the rules or the mixture contradict themselves, if `sink` fails, or if the ledger does not
/// balance, which is a bug.
///
/// # Panics
/// If a part names a source that is not in `corpus.sources`.
pub fn plan(
    corpus: &Corpus,
    rules: &Rules,
    mut sink: &mut dyn FnMut(&PlannedSequence) -> Result<()>,
) -> Result<Summary> {
    rules.check()?;
    let corpus = Numbered::new(corpus);
    let empty = |source: &SourceRules| SourceAccount {
        name: source.name.clone(),
        ..Default::default()
    };
    let mut accounts: Vec<SourceAccount> = corpus.sources().iter().map(empty).collect();
    let mixture = Mixture::new(&corpus, rules, &mut accounts)?;

    let mut output = Output::new(&corpus, rules, &mut sink);
    let mut placement = placement::placement(rules);
    let knife = Knife::new(rules);
    let mut groups = Groups::new(&corpus, &mixture, rules);
    let mut occurrences: Vec<Occurrence> = Vec::new();
    let mut n_groups = 0;
    while let Some(group) = groups.next() {
        occurrences.clear();
        for unit in group {
            let draw = &mixture.draws[unit.source];
            draw_documents(&corpus, rules, draw, unit, &mut accounts, &mut occurrences);
        }
        if rules.shuffle {
            Rng::new(derive(rules.seed, "documents", n_groups)).shuffle(&mut occurrences);
        }
        for occurrence in &occurrences {
            let len = rules.stream_len(occurrence.len);
            output.collector.documents.add(len);
            let mut n_segments = 0;
            let cut = knife.cut(occurrence.document, len, |piece| {
                n_segments += placement.place(piece, &mut |segments| output.row(segments))?;
                Ok(())
            })?;
            enter_cut(
                &mut accounts[occurrence.source as usize].account,
                n_segments,
                cut,
                rules,
            );
        }
        let seed = rules.shuffle.then(|| derive(rules.seed, "sequences", n_groups));
        placement.end_group(seed, &mut |segments| output.row(segments))?;
        n_groups += 1;
    }
    for segment in placement.finish(&mut |segments| output.row(segments))? {
        enter_dropped(
            &mut accounts[corpus.source(segment.document)].account,
            segment,
            &corpus,
        );
    }

    let (slots, mut statistics) = output.finish(&mut accounts)?;
    statistics.mixture = shares(&mixture, &accounts);
    let ledger = Ledger::new(accounts, slots);
    ledger.check()?;
    Ok(Summary { ledger, statistics })
}

/// One use of one document.
#[derive(Debug, Clone, Copy)]
struct Occurrence {
    document: u64,
    /// Tokens, without EOD.
    len: u32,
    source: u32,
}

/// Appends the documents of a part that a pass uses, and enters them into the account.
fn draw_documents(
    corpus: &Numbered<'_>,
    rules: &Rules,
    draw: &Draw,
    unit: Unit,
    accounts: &mut [SourceAccount],
    occurrences: &mut Vec<Occurrence>,
) {
    let (mut documents, mut tokens) = (0, 0);
    for (document, len, class) in corpus.documents(unit.part, rules) {
        if class == Class::Eligible && draw.takes(unit.pass, document) {
            occurrences.push(Occurrence {
                document,
                len,
                source: unit.source as u32,
            });
            documents += 1;
            tokens += u64::from(len);
        }
    }
    let account = &mut accounts[unit.source].account;
    if unit.pass == 0 {
        account.documents.used += documents;
        account.tokens.used += tokens;
    } else {
        account.documents.repeated += documents;
        account.tokens.repeated += tokens;
    }
    if rules.eod {
        account.tokens.eod_added += documents;
    }
}

/// Enters what became of one occurrence on its way into sequences.
fn enter_cut(account: &mut Account, n_segments: u64, cut: Cut, rules: &Rules) {
    account.documents.split += u64::from(n_segments > 1);
    account.tokens.overlap += cut.overlap;
    if cut.truncated > 0 {
        // The EOD is the last token of the stream, so it is cut off first.
        let eod = u64::from(rules.eod);
        account.documents.truncated += 1;
        account.tokens.truncated += cut.truncated - eod;
        account.tokens.eod_added -= eod;
    }
}

/// Enters a segment of the dropped tail.
fn enter_dropped(account: &mut Account, segment: Segment, corpus: &Numbered<'_>) {
    let end = segment.start + u64::from(segment.len);
    let eod = u64::from(end > u64::from(corpus.len(segment.document)));
    account.documents.tail_dropped += u64::from(segment.start == 0);
    account.tokens.tail_dropped += u64::from(segment.len) - eod;
    account.tokens.eod_added -= eod;
}

/// The mixture asked for and achieved, as shares of all tokens handed to placement.
fn shares(mixture: &Mixture, accounts: &[SourceAccount]) -> Vec<SourceShare> {
    let used = |account: &Account| account.tokens.used + account.tokens.repeated;
    let wanted: f64 = mixture.draws.iter().map(|draw| draw.wanted).sum();
    let achieved: u64 = accounts.iter().map(|source| used(&source.account)).sum();
    mixture
        .draws
        .iter()
        .zip(accounts)
        .map(|(draw, source)| SourceShare {
            name: source.name.clone(),
            wanted: if wanted > 0.0 { draw.wanted / wanted } else { 0.0 },
            achieved: statistics::ratio(used(&source.account), achieved),
        })
        .collect()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
