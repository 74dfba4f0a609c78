//! Order of sequences for data-parallel training: every rank gets equal work.
//!
//! A step ends when its slowest rank ends, and at 128K one sequence can cost thirteen times another
//! (attention pairs grow with the square of segment lengths). Nothing is cut or dropped here;
//! sequences only change places:
//!
//! ```text
//! row order    micro-step 0: rank 0, 1, … R-1 | micro-step 1: rank 0, 1, … R-1 | …
//! batch        ranks × accumulate consecutive sequences, dealt to ranks longest first
//! window       `group` batches: with group > 1, sorted by cost and cut into batches of like cost
//! ```
//!
//! `group: 1` keeps each sequence in its batch and so leaves training statistics alone; a larger
//! group decides which sequences share a batch, and balances better.
//!
//! Source of the assignment: Graham, "Bounds on multiprocessing timing anomalies", 1969 (longest
//! processing time first), here with equal counts per rank.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::seed::{Rng, derive};
use crate::error::Result;
use crate::recipe::{Balance, default_pair_cost, default_token_cost};
use crate::sequence::{Attention, Segment};

/// Predicted cost of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct CostModel {
    per_sequence: f64,
    per_pair: f64,
}

impl CostModel {
    /// The recipe's costs, or those of LLaDA-8B.
    pub fn new(balance: Option<&Balance>, seq_len: u32) -> Self {
        let token = balance.map_or_else(default_token_cost, |b| b.token_cost);
        let pair = balance.map_or_else(default_pair_cost, |b| b.pair_cost);
        Self {
            per_sequence: token * f64::from(seq_len),
            per_pair: pair,
        }
    }

    /// FLOPs of a sequence with this many attending pairs. Padding is computed like tokens.
    pub fn cost(&self, attention_pairs: u64) -> f64 {
        self.per_sequence + self.per_pair * attention_pairs as f64
    }
}

/// Predicts how much slower than perfectly balanced ranks an order of sequences is.
#[derive(Debug)]
pub struct Slowdown {
    batch: usize,
    at: usize,
    loads: Vec<f64>,
    slowest: f64,
    mean: f64,
}

impl Slowdown {
    /// For batches of `ranks × accumulate` sequences.
    pub fn new(ranks: u32, accumulate: u32) -> Self {
        Self {
            batch: ranks as usize * accumulate as usize,
            at: 0,
            loads: vec![0.0; ranks as usize],
            slowest: 0.0,
            mean: 0.0,
        }
    }

    /// Counts the next sequence in row order.
    pub fn push(&mut self, cost: f64) {
        let ranks = self.loads.len();
        self.loads[self.at % ranks] += cost;
        self.at += 1;
        if self.at == self.batch {
            self.slowest += self.loads.iter().copied().fold(0.0, f64::max);
            self.mean += self.loads.iter().sum::<f64>() / ranks as f64;
            self.loads.fill(0.0);
            self.at = 0;
        }
    }

    /// Σ slowest rank / Σ mean rank over all complete batches; `None` without one.
    pub fn predicted(&self) -> Option<f64> {
        (self.mean > 0.0).then(|| self.slowest / self.mean)
    }
}

/// A sequence on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) segments: &'a [Segment],
    pub(super) attention: Attention,
    pub(super) cost: f64,
}

/// Collects sequences until a window is full and hands them on in balanced order.
pub(super) struct Balancer {
    balance: Balance,
    seed: u64,
    n_windows: u64,
    /// Segments of all waiting rows, one after another.
    segments: Vec<Segment>,
    /// End of each waiting row in `segments`.
    ends: Vec<usize>,
    attentions: Vec<Attention>,
    costs: Vec<f64>,
}

impl Balancer {
    pub(super) fn new(balance: Balance, seed: u64) -> Self {
        Self {
            balance,
            seed,
            n_windows: 0,
            segments: Vec::new(),
            ends: Vec::new(),
            attentions: Vec::new(),
            costs: Vec::new(),
        }
    }

    /// Takes the next sequence; hands a whole window to `emit` when this one completes it.
    pub(super) fn push(&mut self, row: Row<'_>, emit: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        self.segments.extend_from_slice(row.segments);
        self.ends.push(self.segments.len());
        self.attentions.push(row.attention);
        self.costs.push(row.cost);
        let window = batch_len(&self.balance).saturating_mul(self.balance.group as usize);
        if self.costs.len() == window {
            self.flush(emit)
        } else {
            Ok(())
        }
    }

    /// Hands on what waits: complete batches balanced, the incomplete last one in order.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
        let order = order(
            &self.costs,
            &self.balance,
            derive(self.seed, "balance", self.n_windows),
        );
        for row in order {
            let from = row.checked_sub(1).map_or(0, |before| self.ends[before]);
            emit(Row {
                segments: &self.segments[from..self.ends[row]],
                attention: self.attentions[row],
                cost: self.costs[row],
            })?;
        }
        self.n_windows += 1;
        self.segments.clear();
        self.ends.clear();
        self.attentions.clear();
        self.costs.clear();
        Ok(())
    }
}

fn batch_len(balance: &Balance) -> usize {
    (balance.ranks as usize).saturating_mul(balance.accumulate as usize)
}

/// The balanced order of the rows with these costs.
fn order(costs: &[f64], balance: &Balance, seed: u64) -> Vec<usize> {
    let batch = batch_len(balance);
    let complete = costs.len() - costs.len() % batch;
    let dearest_first = |rows: &mut [usize]| {
        rows.sort_unstable_by(|&a, &b| costs[b].total_cmp(&costs[a]).then(a.cmp(&b)));
    };
    let mut rows: Vec<usize> = (0..complete).collect();
    let mut batches: Vec<&mut [usize]> = if balance.group > 1 {
        dearest_first(&mut rows);
        let mut batches: Vec<_> = rows.chunks_mut(batch).collect();
        // Sorted batches would be a curriculum from dear to cheap.
        Rng::new(seed).shuffle(&mut batches);
        batches
    } else {
        rows.chunks_mut(batch).collect()
    };
    let mut order = Vec::with_capacity(costs.len());
    for batch in &mut batches {
        dearest_first(batch);
        deal(batch, costs, balance, &mut order);
    }
    order.extend(complete..costs.len());
    order
}

/// Deals one batch, dearest first, each row to the rank with the least work so far that still
/// lacks rows; appends the rows in row order.
///
/// A rank receives its rows from dear to cheap, so its k-th row costs about what the k-th row of
/// every other rank costs.
fn deal(batch: &[usize], costs: &[f64], balance: &Balance, order: &mut Vec<usize>) {
    let (ranks, steps) = (balance.ranks as usize, balance.accumulate as usize);
    let base = order.len();
    order.resize(base + batch.len(), 0);
    let mut lightest: BinaryHeap<Reverse<Load>> = (0..ranks)
        .map(|rank| {
            Reverse(Load {
                work: 0.0,
                rank,
                steps: 0,
            })
        })
        .collect();
    for &row in batch {
        let Reverse(mut load) = lightest.pop().expect("a batch holds ranks × accumulate rows");
        order[base + load.steps * ranks + load.rank] = row;
        load.work += costs[row];
        load.steps += 1;
        if load.steps < steps {
            lightest.push(Reverse(load));
        }
    }
}

/// A rank's work so far. Ordered by work, then rank, so that ties are decided.
#[derive(Debug, Clone, Copy)]
struct Load {
    work: f64,
    rank: usize,
    steps: usize,
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.work.total_cmp(&other.work).then(self.rank.cmp(&other.rank))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Load {}

#[cfg(test)]
mod tests {
    use super::super::testing::balance;
    use super::*;

    /// 13:1 between the dearest and the cheapest, as measured on packed 128K sequences.
    fn costs(n: usize) -> Vec<f64> {
        let mut rng = Rng::new(4);
        (0..n)
            .map(|_| 1.0 + (rng.below(1000) as f64 / 1000.0).powi(4) * 12.0)
            .collect()
    }

    fn slowdown(order: &[usize], costs: &[f64], ranks: u32, accumulate: u32) -> f64 {
        let mut slowdown = Slowdown::new(ranks, accumulate);
        order.iter().for_each(|&row| slowdown.push(costs[row]));
        slowdown.predicted().unwrap()
    }

    #[test]
    fn the_predicted_slowdown_is_the_slowest_rank_over_the_mean() {
        // Two ranks, two micro-steps: rank 0 gets 4 + 2, rank 1 gets 1 + 1.
        assert_eq!(slowdown(&[0, 1, 2, 3], &[4.0, 1.0, 2.0, 1.0], 2, 2), 6.0 / 4.0);
        assert_eq!(Slowdown::new(8, 1).predicted(), None);
    }

    #[test]
    fn each_batch_keeps_its_rows_without_grouping() {
        let costs = costs(70);
        let order = order(&costs, &balance(4, 4, 1), 0);
        for (batch, rows) in order.chunks(16).enumerate() {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(batch * 16..70.min(batch * 16 + 16)));
        }
        assert!(
            order[64..].iter().copied().eq(64..70),
            "the incomplete batch is left in order"
        );
    }

    #[test]
    fn balancing_brings_the_slowest_rank_near_the_mean() {
        let costs = costs(1 << 10);
        let placed: Vec<usize> = (0..costs.len()).collect();
        assert!(slowdown(&placed, &costs, 16, 4) > 1.5);
        assert!(slowdown(&order(&costs, &balance(16, 4, 1), 0), &costs, 16, 4) < 1.15);
        assert!(slowdown(&order(&costs, &balance(16, 4, 16), 0), &costs, 16, 4) < 1.01);
        assert!(slowdown(&order(&costs, &balance(16, 1, 16), 0), &costs, 16, 1) < 1.05);
    }

    #[test]
    fn a_micro_step_costs_alike_on_all_ranks() {
        let costs = costs(64);
        let order = order(&costs, &balance(8, 8, 1), 0);
        for rank in 0..8 {
            let of_rank: Vec<f64> = (0..8).map(|step| costs[order[step * 8 + rank]]).collect();
            assert!(of_rank.is_sorted_by(|a, b| a >= b), "{of_rank:?}");
        }
    }

    #[test]
    fn a_window_can_be_larger_than_the_plan() {
        let mut balancer = Balancer::new(balance(1_000_000, 1_000_000, 1_000_000), 0);
        let row = Row {
            segments: &[],
            attention: Attention::Full,
            cost: 1.0,
        };
        balancer
            .push(row, |_| unreachable!("the window is not full"))
            .unwrap();
        let mut n = 0;
        balancer
            .flush(|_| {
                n += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(n, 1);
    }
}
