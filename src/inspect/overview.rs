//! Surveys a dataset: every sequence's boundaries, compared with the plan, and no token.

use rayon::prelude::*;

use super::figures::{
    AttentionFigures, FillFigures, Identity, Kind, LedgerFigures, LeftOut, Overview, ProfileBin, RankFigures,
};
use super::findings::{self, Difference};
use super::opened::Opened;
use crate::error::{Result, shown_text};
use crate::pack::{Collector, CostModel, Ledger, Slowdown, Statistics};
use crate::recipe::Balance;
use crate::sequence::attention_pairs;
use crate::shard::{FORMAT_VERSION, PlanFile, RowSlices, ShardFile};

/// Most points of a profile.
const MAX_BINS: usize = 240;

/// Steps of the density histogram.
const DENSITY_STEPS: usize = 20;

/// Ranks to load if the recipe names none.
const RANKS: u32 = 8;

/// What one sequence is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowSummary {
    /// Real tokens.
    pub n_tokens: u32,
    /// Segments.
    pub n_segments: u32,
    /// Tokens of the longest segment.
    pub longest: u32,
    /// Attending pairs.
    pub attention_pairs: u64,
    /// Padding between segments.
    pub padding_align: u32,
    /// Whether every token attends to every token.
    pub full_attention: bool,
}

/// A survey: the figures of the whole, and what each sequence is like.
#[derive(Debug)]
pub struct Surveyed {
    /// The dataset at a glance.
    pub overview: Overview,
    /// One entry per sequence, in row order.
    pub rows: Vec<RowSummary>,
}

/// Reads the boundaries of every sequence, all cores at work, and compares them with the plan.
///
/// # Errors
/// A file is damaged.
pub fn survey(opened: &Opened) -> Result<Surveyed> {
    let seq_len = opened.info().map_or_else(
        || opened.manifest().map_or(1, |manifest| manifest.seq_len),
        |info| info.seq_len,
    );
    let plan = opened
        .manifest()
        .map(|manifest| PlanFile::open(&opened.path().join(&manifest.plan.name)))
        .transpose()?;
    let shards: Vec<SurveyedShard> = opened
        .shards()
        .par_iter()
        .enumerate()
        .map(|(index, shard)| survey_shard(shard, plan.as_ref(), opened.first_row(index)))
        .collect::<Result<_>>()?;
    let differences: Vec<Difference> = shards.iter().filter_map(|s| s.difference).collect();
    let mut collector = Collector::new(seq_len);
    for shard in &shards {
        let mut lens = shard.lens.as_slice();
        for row in &shard.rows {
            let (own, rest) = lens.split_at(row.n_segments as usize);
            collector.add(own.iter().copied(), row.attention_pairs);
            lens = rest;
        }
    }
    let rows: Vec<RowSummary> = shards.into_iter().flat_map(|shard| shard.rows).collect();
    let statistics = collector.finish();
    let mut overview = figures(opened, seq_len, &statistics, &rows);
    overview.findings = findings::all(opened, &overview, &statistics, &differences, &rows);
    Ok(Surveyed { overview, rows })
}

struct SurveyedShard {
    rows: Vec<RowSummary>,
    /// Segment lengths of all rows, one after another.
    lens: Vec<u32>,
    difference: Option<Difference>,
}

fn survey_shard(shard: &ShardFile, plan: Option<&PlanFile>, first: u64) -> Result<SurveyedShard> {
    let mut out = SurveyedShard {
        rows: Vec::with_capacity(shard.n_rows().min(1 << 20) as usize),
        lens: Vec::new(),
        difference: None,
    };
    let last = first + shard.n_rows();
    let mut planned = plan.map(|plan| plan.rows(first, last.min(plan.n_rows())));
    for index in 0..shard.file().n_batches() {
        let rows = shard.boundaries(index)?;
        for row in (0..rows.len()).map(|row| rows.row(row)) {
            let number = first + out.rows.len() as u64;
            if let Some(planned) = &mut planned {
                let planned = planned.next().transpose()?;
                let same = planned
                    .is_some_and(|plan| plan.segments == row.segments() && plan.attention == row.attention());
                if !same && out.difference.is_none() {
                    out.difference = Some(Difference { row: number });
                }
            }
            out.rows.push(summary(&row, &mut out.lens));
        }
    }
    Ok(out)
}

fn summary(row: &RowSlices<'_>, all_lens: &mut Vec<u32>) -> RowSummary {
    let lens = row.cu_seqlens.windows(2).map(|w| (w[1] - w[0]) as u32);
    let n_tokens = row.cu_seqlens.last().map_or(0, |&end| end as u32);
    let end = row
        .cu_seqlens_padded
        .and_then(|padded| padded.last())
        .map_or(n_tokens, |&end| end as u32);
    all_lens.extend(lens.clone());
    RowSummary {
        n_tokens,
        n_segments: lens.len() as u32,
        longest: lens.clone().max().unwrap_or(0),
        attention_pairs: attention_pairs(row.attention(), lens),
        padding_align: end - n_tokens,
        full_attention: row.full_attention,
    }
}

fn figures(opened: &Opened, seq_len: u32, statistics: &Statistics, rows: &[RowSummary]) -> Overview {
    let manifest = opened.manifest();
    let slots = rows.len() as u64 * u64::from(seq_len);
    let tokens: u64 = rows.iter().map(|row| u64::from(row.n_tokens)).sum();
    let padding_align: u64 = rows.iter().map(|row| u64::from(row.padding_align)).sum();
    let square = f64::from(seq_len).powi(2);
    let density = |row: &RowSummary| row.attention_pairs as f64 / square;
    let mut histogram = vec![0; DENSITY_STEPS];
    for row in rows {
        histogram[((density(row) * DENSITY_STEPS as f64) as usize).min(DENSITY_STEPS - 1)] += 1;
    }
    let mut context_kept = statistics.context_kept.clone();
    for kept in &mut context_kept {
        let input = manifest.and_then(|m| m.statistics.context_kept.iter().find(|k| k.len == kept.len));
        kept.documents = input.map_or(kept.segments, |input| input.documents);
    }
    Overview {
        identity: identity(opened),
        findings: Vec::new(),
        ledger: manifest.map(|manifest| ledger(&manifest.ledger)),
        fill: FillFigures {
            n_sequences: rows.len() as u64,
            slots,
            tokens,
            padding_tail: slots - tokens - padding_align,
            padding_align,
            fill_ratio: statistics.fill_ratio,
            segments_per_sequence: statistics.segments_per_sequence,
            profile: profile(rows, |row| f64::from(row.n_tokens) / f64::from(seq_len)),
        },
        document_lens: manifest.map(|manifest| manifest.statistics.document_lens.clone()),
        segment_lens: statistics.segment_lens.clone(),
        context_kept,
        attention: AttentionFigures {
            density: statistics.attention_density,
            histogram,
            profile: profile(rows, density),
            n_full: rows.iter().filter(|row| row.full_attention).count() as u64,
            ranks: ranks(opened, seq_len, rows),
        },
        mixture: manifest.map(|manifest| manifest.statistics.mixture.clone()),
    }
}

fn identity(opened: &Opened) -> Identity {
    let manifest = opened.manifest();
    let info = opened.info().cloned().unwrap_or_else(|| {
        let manifest = manifest.expect("an opened shard has an info");
        manifest.shard_info(0)
    });
    Identity {
        path: opened.shown(),
        kind: match manifest {
            Some(_) => Kind::Dataset,
            None => Kind::Shard,
        },
        dataset: manifest.map(|manifest| manifest.dataset.clone()),
        recipe_digest: shown_text(&info.recipe_digest),
        tokenizer_digest: shown_text(&info.tokenizer_digest),
        format_version: manifest.map_or(FORMAT_VERSION.into(), |m| shown_text(&m.format_version)),
        seq_len: info.seq_len,
        boundary: info.boundary,
        position_mode: info.positions,
        align: info.align,
        vocab_size: info.ids.vocab_size,
        eod_id: info.ids.eod,
        pad_id: info.ids.pad,
        mask_id: info.ids.mask,
        n_shards: opened.shards().len() as u64,
        n_bytes: opened
            .shards()
            .iter()
            .map(|shard| shard.file().file().n_bytes())
            .sum(),
        n_documents: manifest.map(|manifest| manifest.documents.n_rows),
    }
}

fn ledger(ledger: &Ledger) -> LedgerFigures {
    let (documents, tokens) = (&ledger.total.documents, &ledger.total.tokens);
    let left_out = [
        ("bad", documents.bad, None),
        ("filtered", documents.filtered, None),
        ("empty", documents.empty, Some(tokens.empty)),
        ("duplicate", documents.duplicate, Some(tokens.duplicate)),
        ("too_short", documents.too_short, Some(tokens.too_short)),
        ("too_long", documents.too_long, Some(tokens.too_long)),
        ("long_dropped", documents.long_dropped, Some(tokens.long_dropped)),
        ("unselected", documents.unselected, Some(tokens.unselected)),
    ];
    LedgerFigures {
        documents_read: documents.read,
        documents_used: documents.used,
        documents_split: documents.split,
        tokens_read: tokens.read,
        tokens_used: tokens.used,
        tokens_repeated: tokens.repeated,
        tokens_overlap: tokens.overlap,
        eod_added: tokens.eod_added,
        tokens_placed: tokens.placed,
        tokens_truncated: tokens.truncated,
        tokens_tail_dropped: tokens.tail_dropped,
        left_out: left_out
            .into_iter()
            .filter(|(_, documents, _)| *documents > 0)
            .map(|(reason, documents, tokens)| LeftOut {
                reason: reason.into(),
                documents,
                tokens,
            })
            .collect(),
    }
}

/// Consecutive rows as at most [`MAX_BINS`] points.
fn profile(rows: &[RowSummary], value: impl Fn(&RowSummary) -> f64) -> Vec<ProfileBin> {
    let per_bin = rows.len().div_ceil(MAX_BINS).max(1);
    let bin = |(index, rows): (usize, &[RowSummary])| {
        let (mut min, mut max, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        for value in rows.iter().map(&value) {
            (min, max, sum) = (f64::min(min, value), f64::max(max, value), sum + value);
        }
        ProfileBin {
            first: (index * per_bin) as u64,
            count: rows.len() as u64,
            min,
            mean: (sum / rows.len() as f64).clamp(min, max),
            max,
        }
    };
    rows.chunks(per_bin).enumerate().map(bin).collect()
}

fn ranks(opened: &Opened, seq_len: u32, rows: &[RowSummary]) -> RankFigures {
    let manifest = opened.manifest();
    let balance = manifest.map(|m| serde_json::from_value::<Balance>(m.recipe["balance"].clone()));
    let balance = balance.and_then(Result::ok);
    let (n_ranks, accumulate) = balance.as_ref().map_or((RANKS, 1), |b| (b.ranks, b.accumulate));
    let model = CostModel::new(balance.as_ref(), seq_len);
    let costs: Vec<f64> = rows.iter().map(|row| model.cost(row.attention_pairs)).collect();
    let mut slowdown = Slowdown::new(n_ranks, accumulate);
    costs.iter().for_each(|&cost| slowdown.push(cost));

    let batch = n_ranks as usize * accumulate as usize;
    let complete = &costs[..costs.len() / batch * batch];
    let mut loads = vec![0.0; if complete.is_empty() { 0 } else { n_ranks as usize }];
    let mut most = loads.clone();
    let mean = complete.iter().sum::<f64>() / complete.len().max(1) as f64;
    for (row, &cost) in complete.iter().enumerate() {
        let rank = row % n_ranks as usize;
        loads[rank] += cost * f64::from(n_ranks) / (mean * complete.len() as f64);
        most[rank] = f64::max(most[rank], cost / mean);
    }
    let before = manifest.and_then(|manifest| match &manifest.statistics.balance {
        Some(effect) => effect.slowdown_before,
        None => manifest.statistics.imbalance_8,
    });
    RankFigures {
        n_ranks,
        accumulate,
        slowdown_before: before,
        slowdown_after: slowdown.predicted(),
        loads,
        most,
    }
}
