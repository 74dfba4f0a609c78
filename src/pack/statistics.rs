//! What a plan is like: fill, cut documents, kept context, attention work, mixture.
//!
//! Everything is collected in one pass with memory that does not grow with the number of sequences
//! (a counting histogram per figure; a sequence holds at most `seq_len` segments).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Figures of a plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Number of sequences.
    pub n_sequences: u64,
    /// Fewest sequences that hold the placed tokens: ⌈placed / seq_len⌉.
    pub ideal_sequences: u64,
    /// Placed tokens, EOD included, over positions; 0 for a plan without sequences.
    pub fill_ratio: f64,
    /// Segments per sequence.
    pub segments_per_sequence: Quantiles<u64>,
    /// Lengths of the documents handed to placement, each as often as it is used, EOD included.
    pub document_lens: Vec<LengthRange>,
    /// Lengths of the placed segments, EOD included.
    pub segment_lens: Vec<LengthRange>,
    /// How much of the documents' context is left in the sequences, per length.
    pub context_kept: Vec<ContextKept>,
    /// Attending (query, key) pairs of a sequence over `seq_len²`; p50 and p99 to 1/65,536.
    pub attention_density: Quantiles<f64>,
    /// Predicted slowdown by the slowest of 8 ranks, 1 sequence each, in the order as placed;
    /// `null` with fewer than 8 sequences.
    pub imbalance_8: Option<f64>,
    /// The same with 64 ranks.
    pub imbalance_64: Option<f64>,
    /// What `balance` achieves; `null` without it.
    pub balance: Option<BalanceEffect>,
    /// The mixture asked for and the mixture achieved, per source.
    pub mixture: Vec<SourceShare>,
}

/// Median, 99th percentile and maximum: the smallest value that this share of values do not exceed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantiles<T> {
    /// Median.
    pub p50: T,
    /// 99th percentile.
    pub p99: T,
    /// Maximum.
    pub max: T,
}

/// How many runs of tokens have a length in `at_least..2 × at_least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LengthRange {
    /// Shortest length of the range, a power of two.
    pub at_least: u64,
    /// How many.
    pub count: u64,
    /// Their tokens.
    pub tokens: u64,
}

/// Share of tokens with at least `len` tokens of context, before and after packing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextKept {
    /// Length in tokens; the last one is `seq_len`.
    pub len: u64,
    /// Share of used tokens that are in documents at least this long, EOD included.
    pub documents: f64,
    /// Share of placed tokens that are in segments at least this long.
    pub segments: f64,
}

/// Slowest rank over mean rank, summed over complete batches; `null` without one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BalanceEffect {
    /// In the order as placed.
    pub slowdown_before: Option<f64>,
    /// In the order as written.
    pub slowdown_after: Option<f64>,
}

/// Share of one source in the tokens handed to placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceShare {
    /// The source's name.
    pub name: String,
    /// What weights, epochs and `mixture.tokens` ask for.
    pub wanted: f64,
    /// What whole documents achieve.
    pub achieved: f64,
}

/// Counts and tokens by powers of two. Lengths are at most 2^32.
#[derive(Debug, Clone)]
pub(super) struct LengthHistogram {
    counts: [u64; 33],
    tokens: [u64; 33],
    /// Tokens of runs at least `full_len` long.
    full_tokens: u64,
    full_len: u64,
}

impl LengthHistogram {
    pub(super) fn new(full_len: u32) -> Self {
        Self {
            counts: [0; 33],
            tokens: [0; 33],
            full_tokens: 0,
            full_len: u64::from(full_len),
        }
    }

    /// Counts a run of `len ≥ 1` tokens.
    pub(super) fn add(&mut self, len: u64) {
        let range = len.ilog2() as usize;
        self.counts[range] += 1;
        self.tokens[range] += len;
        if len >= self.full_len {
            self.full_tokens += len;
        }
    }

    /// The ranges from 1 to the longest length met.
    fn ranges(&self) -> Vec<LengthRange> {
        let n = self
            .counts
            .iter()
            .rposition(|&count| count > 0)
            .map_or(0, |last| last + 1);
        (0..n)
            .map(|i| LengthRange {
                at_least: 1 << i,
                count: self.counts[i],
                tokens: self.tokens[i],
            })
            .collect()
    }

    /// Share of tokens in runs of at least `len` tokens: a power of two, or `full_len`.
    fn share_from(&self, len: u64) -> f64 {
        let long = if len == self.full_len {
            self.full_tokens
        } else {
            self.tokens[len.ilog2() as usize..].iter().sum()
        };
        ratio(long, self.tokens.iter().sum())
    }
}

/// Collects the figures of sequences, in any order.
pub struct Collector {
    seq_len: u32,
    pub(super) documents: LengthHistogram,
    segments: LengthHistogram,
    /// Sequences by number of segments.
    by_segments: Vec<u64>,
    /// Sequences by attention density, in steps of 1/65,536.
    by_density: Vec<u64>,
    max_density: f64,
}

/// Steps between no attention and full attention.
const DENSITY_STEPS: usize = 1 << 16;

impl Collector {
    /// Of sequences with `seq_len` positions.
    pub fn new(seq_len: u32) -> Self {
        Self {
            seq_len,
            documents: LengthHistogram::new(seq_len),
            segments: LengthHistogram::new(seq_len),
            by_segments: Vec::new(),
            by_density: vec![0; DENSITY_STEPS + 1],
            max_density: 0.0,
        }
    }

    /// Counts a sequence.
    pub fn add(&mut self, lens: impl ExactSizeIterator<Item = u32>, attention_pairs: u64) {
        let n = lens.len();
        if n >= self.by_segments.len() {
            self.by_segments.resize(n + 1, 0);
        }
        self.by_segments[n] += 1;
        lens.for_each(|len| self.segments.add(u64::from(len)));
        let density = attention_pairs as f64 / f64::from(self.seq_len).powi(2);
        self.by_density[(density * DENSITY_STEPS as f64).round() as usize] += 1;
        self.max_density = self.max_density.max(density);
    }

    /// The figures that come from lengths; the rest is left for the caller to fill.
    pub fn finish(&self) -> Statistics {
        let seq_len = u64::from(self.seq_len);
        let n_sequences: u64 = self.by_segments.iter().sum();
        let placed: u64 = self.segments.tokens.iter().sum();
        let density = |share| quantile(&self.by_density, share) as f64 / DENSITY_STEPS as f64;
        let marks = [8192, 32_768, 65_536].into_iter().filter(|&len| len < seq_len);
        Statistics {
            n_sequences,
            ideal_sequences: placed.div_ceil(seq_len),
            fill_ratio: ratio(placed, n_sequences * seq_len),
            segments_per_sequence: Quantiles {
                p50: quantile(&self.by_segments, 0.5),
                p99: quantile(&self.by_segments, 0.99),
                max: quantile(&self.by_segments, 1.0),
            },
            document_lens: self.documents.ranges(),
            segment_lens: self.segments.ranges(),
            context_kept: marks
                .chain([seq_len])
                .map(|len| ContextKept {
                    len,
                    documents: self.documents.share_from(len),
                    segments: self.segments.share_from(len),
                })
                .collect(),
            attention_density: Quantiles {
                // Rounding to the nearest step must not lift a quantile above the maximum.
                p50: density(0.5).min(self.max_density),
                p99: density(0.99).min(self.max_density),
                max: self.max_density,
            },
            ..Statistics::default()
        }
    }
}

/// The smallest index that at least this share of the counted values do not exceed.
fn quantile(counts: &[u64], share: f64) -> u64 {
    let n: u64 = counts.iter().sum();
    let wanted = (n as f64 * share).ceil() as u64;
    let mut seen = 0;
    let at = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    at.unwrap_or(0) as u64
}

/// `part / whole`, 0 of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occur() {
        // Values 1 × 98, 5 × 1, 7 × 1.
        let counts = [0, 98, 0, 0, 0, 1, 0, 1];
        assert_eq!([0.5, 0.99, 1.0].map(|share| quantile(&counts, share)), [1, 5, 7]);
        assert_eq!(quantile(&[], 0.5), 0);
    }

    #[test]
    fn context_is_measured_at_powers_of_two_and_at_seq_len() {
        let mut collector = Collector::new(10_000);
        collector.documents.add(8191);
        collector.documents.add(11_809);
        collector.add([8191].into_iter(), 8191 * 8191);
        collector.add([10_000].into_iter(), 100_000_000);
        collector.add([1809].into_iter(), 1809 * 1809);
        let statistics = collector.finish();
        let kept = [8192, 10_000].map(|len| ContextKept {
            len,
            documents: 0.59045,
            segments: 0.5,
        });
        assert_eq!(statistics.context_kept, kept);
        assert_eq!(statistics.n_sequences, 3);
        assert_eq!(statistics.ideal_sequences, 2);
        assert_eq!(statistics.fill_ratio, 20_000.0 / 30_000.0);
        assert_eq!(statistics.attention_density.max, 1.0);
        assert_eq!(
            statistics.segments_per_sequence,
            Quantiles {
                p50: 1,
                p99: 1,
                max: 1
            }
        );
        assert_eq!(statistics.document_lens.len(), 14);
        assert_eq!(
            statistics.document_lens[13],
            LengthRange {
                at_least: 8192,
                count: 1,
                tokens: 11_809
            }
        );
    }
}
