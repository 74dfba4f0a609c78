//! The way out of a plan: attention rule, account of what was emitted, balance, the caller's sink.
//!
//! Nothing here trusts the input side: placed tokens and padding are counted from the segments of
//! each sequence, and attributed to sources by looking the documents up.

use super::balance::{Balancer, CostModel, Row, Slowdown};
use super::corpus::Numbered;
use super::ledger::{Slots, SourceAccount};
use super::rules::Rules;
use super::seed::{derive, unit};
use super::statistics::{BalanceEffect, Collector, Statistics};
use super::{PlannedSequence, Sink};
use crate::error::Result;
use crate::recipe::Boundary;
use crate::sequence::{Attention, Segment, attention_pairs};

pub(super) struct Output<'a> {
    corpus: &'a Numbered<'a>,
    rules: &'a Rules,
    costs: CostModel,
    slots: Slots,
    /// `[n_sources]`: what was emitted of each source.
    placed: Vec<Placed>,
    pub(super) collector: Collector,
    slowdown_8: Slowdown,
    slowdown_64: Slowdown,
    balancing: Option<Balancing>,
    hand: Hand<'a>,
}

/// Counts of one source, from emitted segments.
#[derive(Debug, Clone, Copy, Default)]
struct Placed {
    tokens: u64,
    beginnings: u64,
}

struct Balancing {
    balancer: Balancer,
    before: Slowdown,
    after: Slowdown,
}

/// Hands sequences to the caller in one buffer.
struct Hand<'a> {
    sink: &'a mut Sink<'a>,
    buffer: PlannedSequence,
}

impl Hand<'_> {
    fn over(&mut self, segments: &[Segment], attention: Attention) -> Result<()> {
        self.buffer.segments.clear();
        self.buffer.segments.extend_from_slice(segments);
        self.buffer.attention = attention;
        (self.sink)(&self.buffer)
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(corpus: &'a Numbered<'a>, rules: &'a Rules, sink: &'a mut Sink<'a>) -> Self {
        Self {
            corpus,
            rules,
            costs: CostModel::new(rules.balance.as_ref(), rules.seq_len),
            slots: Slots {
                seq_len: u64::from(rules.seq_len),
                ..Slots::default()
            },
            placed: vec![Placed::default(); corpus.sources().len()],
            collector: Collector::new(rules.seq_len),
            slowdown_8: Slowdown::new(8, 1),
            slowdown_64: Slowdown::new(64, 1),
            balancing: rules.balance.as_ref().map(|balance| Balancing {
                balancer: Balancer::new(balance.clone(), rules.seed),
                before: Slowdown::new(balance.ranks, balance.accumulate),
                after: Slowdown::new(balance.ranks, balance.accumulate),
            }),
            hand: Hand {
                sink,
                buffer: PlannedSequence {
                    segments: Vec::new(),
                    attention: Attention::Full,
                },
            },
        }
    }

    /// Takes a finished sequence from placement.
    pub(super) fn row(&mut self, segments: &[Segment]) -> Result<()> {
        let attention = self.attention(self.slots.sequences);
        self.count(segments);
        let pairs = attention_pairs(attention, segments.iter().map(|s| s.len));
        self.collector.add(segments.iter().map(|s| s.len), pairs);
        let cost = self.costs.cost(pairs);
        self.slowdown_8.push(cost);
        self.slowdown_64.push(cost);
        let hand = &mut self.hand;
        match &mut self.balancing {
            None => hand.over(segments, attention),
            Some(Balancing {
                balancer,
                before,
                after,
            }) => {
                before.push(cost);
                balancer.push(
                    Row {
                        segments,
                        attention,
                        cost,
                    },
                    |row| {
                        after.push(row.cost);
                        hand.over(row.segments, row.attention)
                    },
                )
            }
        }
    }

    /// The attention rule of the `row`-th sequence in the order as placed.
    fn attention(&self, row: u64) -> Attention {
        let within_segments = match self.rules.boundary {
            Boundary::Direct | Boundary::Eod => false,
            Boundary::Adaptive => true,
            Boundary::Hybrid => unit(derive(self.rules.seed, "hybrid", row)) < self.rules.hybrid_share,
        };
        if within_segments {
            Attention::Segment
        } else {
            Attention::Full
        }
    }

    /// Accounts for the positions of a sequence, as `Sequence::try_new` lays segments out.
    fn count(&mut self, segments: &[Segment]) {
        let align = u64::from(self.rules.align);
        let mut end = 0u64;
        for segment in segments {
            let at = if align == 1 {
                end
            } else {
                end.next_multiple_of(align)
            };
            self.slots.padding_align += at - end;
            end = at + u64::from(segment.len);
            let placed = &mut self.placed[self.corpus.source(segment.document)];
            placed.tokens += u64::from(segment.len);
            placed.beginnings += u64::from(segment.start == 0);
        }
        self.slots.sequences += 1;
        self.slots.total += self.slots.seq_len;
        self.slots.padding_tail += self
            .slots
            .seq_len
            .checked_sub(end)
            .expect("placements count room as sequences are laid out");
    }

    /// Hands out what waits, and enters what was emitted into `accounts`.
    pub(super) fn finish(mut self, accounts: &mut [SourceAccount]) -> Result<(Slots, Statistics)> {
        let hand = &mut self.hand;
        let mut effect = None;
        if let Some(Balancing {
            mut balancer,
            before,
            mut after,
        }) = self.balancing
        {
            balancer.flush(|row| {
                after.push(row.cost);
                hand.over(row.segments, row.attention)
            })?;
            effect = Some(BalanceEffect {
                slowdown_before: before.predicted(),
                slowdown_after: after.predicted(),
            });
        }
        for (source, placed) in accounts.iter_mut().zip(&self.placed) {
            source.account.tokens.placed = placed.tokens;
            source.account.documents.placed_times = placed.beginnings;
        }
        let statistics = Statistics {
            imbalance_8: self.slowdown_8.predicted(),
            imbalance_64: self.slowdown_64.predicted(),
            balance: effect,
            ..self.collector.finish()
        };
        Ok((self.slots, statistics))
    }
}
