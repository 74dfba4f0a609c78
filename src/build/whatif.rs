//! `plan`: what packing would give, for several placements and lengths, without packing.
//!
//! Lengths come from the token store when it holds the whole corpus; then every figure is exact.
//! Otherwise a sample of the input is tokenized, its lengths stand for all, and the totals carry a
//! confidence interval.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::Serialize;

use super::dataset::shards_bytes;
use super::inputs::{self, SourceInput};
use super::monitor::{Monitor, Stage, add};
use super::pack::{self as job, Opened};
use crate::error::Result;
use crate::pack::{self, Corpus, PartLens, Rules, SourceRules, Summary};
use crate::recipe::{LoadedRecipe, Placement};
use crate::source::{Position, Reader};
use crate::store::Store;
use crate::tokenize::Tokenizer;

/// Text tokenized for a sample, in bytes, shared by the sources.
const SAMPLE_BYTES: u64 = 24 << 20;

/// Most chunks taken from one file while others have not been looked at.
const CHUNKS_PER_FILE: usize = 2;

/// Most documents that a sample is blown up to for planning; totals are scaled from there.
const MODEL_DOCUMENTS: u64 = 1_000_000;

/// Where the lengths come from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Basis {
    /// The token store: all documents, exact.
    Store,
    /// A sample of the input.
    Sample {
        /// Documents in the sample.
        n_documents: u64,
        /// Share of the input's bytes that was read.
        share: f64,
        /// Half-width of the 95 % confidence interval of the token total, relative to it.
        relative_error: f64,
    },
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct ForecastRow {
    /// The placement.
    pub placement: Placement,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// Sequences, scaled to the whole corpus.
    pub n_sequences: u64,
    /// Size of the shards in bytes.
    pub disk_bytes: u64,
    /// Documents cut into more than one segment, scaled.
    pub split_documents: u64,
    /// Tokens lost to truncation, scaled.
    pub truncated_tokens: u64,
    /// Ledger and statistics of the planned (unscaled) corpus.
    pub summary: Summary,
}

/// What `plan` says.
#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    /// Where the lengths come from.
    pub basis: Basis,
    /// Documents in all (estimated for a sample).
    pub n_documents: u64,
    /// Tokens in all (estimated for a sample).
    pub n_tokens: u64,
    /// The table.
    pub rows: Vec<ForecastRow>,
    /// Estimated seconds to tokenize what is not in the store, with the recipe's threads; from the
    /// speed seen in the sample.
    pub tokenize_secs: f64,
    /// Wall time of this forecast in seconds.
    pub wall_secs: f64,
}

/// Forecasts every placement for every length.
///
/// # Errors
/// Any class of [`crate::error::Error`].
pub fn forecast(
    loaded: &LoadedRecipe,
    store: &Path,
    threads: usize,
    seq_lens: &[u32],
    sample_only: bool,
    monitor: &Monitor,
) -> Result<Forecast> {
    let started = Instant::now();
    let opened = job::open(loaded)?;
    let lengths = match sample_only || !in_store(&opened, store, monitor)? {
        true => sampled(loaded, &opened, threads, monitor)?,
        false => stored(loaded, opened, store, threads, monitor)?,
    };
    monitor.enter(Stage::Plan);
    let mut rows = Vec::new();
    let all = [
        Placement::Stream,
        Placement::FirstFit,
        Placement::BestFit,
        Placement::BestFitDecreasing,
        Placement::Bucket,
    ];
    for &seq_len in seq_lens {
        for placement in all {
            let Some(rules) = rules(loaded, seq_len, placement) else {
                continue;
            };
            monitor.check()?;
            let summary = pack::plan(&lengths.corpus, &rules, &mut |_| monitor.check())?;
            let scaled = |n: u64| (n as f64 * lengths.scale).round() as u64;
            let n_sequences = scaled(summary.ledger.slots.sequences);
            rows.push(ForecastRow {
                placement,
                seq_len,
                n_sequences,
                disk_bytes: shards_bytes(n_sequences, seq_len),
                split_documents: scaled(summary.ledger.total.documents.split),
                truncated_tokens: scaled(summary.ledger.total.tokens.truncated),
                summary,
            });
        }
    }
    Ok(Forecast {
        basis: lengths.basis,
        n_documents: lengths.n_documents,
        n_tokens: lengths.n_tokens,
        rows,
        tokenize_secs: lengths.tokenize_secs,
        wall_secs: started.elapsed().as_secs_f64(),
    })
}

/// The recipe's rules with another placement and length, if they are possible together.
fn rules(loaded: &LoadedRecipe, seq_len: u32, placement: Placement) -> Option<Rules> {
    let mut rules = Rules::new(&loaded.recipe, seq_len);
    rules.placement = placement;
    if rules.overlap >= seq_len || rules.align > seq_len {
        return None;
    }
    match placement {
        Placement::Stream if rules.align > 1 => None,
        Placement::Bucket if !seq_len.is_power_of_two() || rules.bucket_min > seq_len || rules.align > 1 => {
            None
        }
        _ => Some(rules),
    }
}

struct Lengths {
    corpus: Corpus,
    basis: Basis,
    n_documents: u64,
    n_tokens: u64,
    /// Documents in all over documents in `corpus`.
    scale: f64,
    tokenize_secs: f64,
}

/// Whether every unit of the recipe is complete in the store.
fn in_store(opened: &Opened, store: &Path, monitor: &Monitor) -> Result<bool> {
    if !store.is_dir() {
        return Ok(false);
    }
    let store = Store::open(store)?;
    monitor.enter(Stage::Hash);
    let (units, _) = inputs::identify(&opened.sources, &opened.tokenizer, &store, monitor)?;
    for unit in units {
        if !store
            .parts(&unit.address)?
            .last()
            .is_some_and(|part| part.header().last)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn stored(
    loaded: &LoadedRecipe,
    opened: Opened,
    store: &Path,
    threads: usize,
    monitor: &Monitor,
) -> Result<Lengths> {
    let corpora = job::tokenize_opened(loaded, opened, store, threads, monitor)?;
    let n_documents = corpora.stored.n_documents();
    let n_tokens = corpora.store_units.iter().map(|u| u.n_tokens).sum();
    Ok(Lengths {
        corpus: corpora.corpus,
        basis: Basis::Store,
        n_documents,
        n_tokens,
        scale: 1.0,
        tokenize_secs: 0.0,
    })
}

/// One chunk of the sample: bytes of input it took and the lengths it gave.
struct SampledChunk {
    input_bytes: f64,
    lens: Vec<u32>,
}

fn sampled(loaded: &LoadedRecipe, opened: &Opened, threads: usize, monitor: &Monitor) -> Result<Lengths> {
    let Opened { sources, tokenizer } = opened;
    let pool = job::pool(threads)?;
    monitor.enter(Stage::Tokenize);
    let total_bytes: u64 = sources.iter().flat_map(|s| &s.files).map(|f| f.n_bytes).sum();
    monitor
        .input_total
        .store(SAMPLE_BYTES.min(total_bytes), Ordering::Relaxed);
    let (mut n_documents, mut n_tokens, mut variance, mut read, mut secs) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut sampled_documents = 0;
    let mut estimates = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let source_bytes: u64 = source.files.iter().map(|f| f.n_bytes).sum();
        let began = Instant::now();
        let budget = SAMPLE_BYTES / sources.len() as u64;
        let chunks = pool.install(|| {
            sample_source(
                source,
                index as u64 ^ loaded.recipe.seed,
                budget,
                tokenizer,
                monitor,
            )
        })?;
        let estimate = Estimate::new(&chunks, source_bytes as f64);
        secs += began.elapsed().as_secs_f64() * estimate.factor;
        n_documents += estimate.n_documents;
        n_tokens += estimate.n_tokens;
        variance += estimate.variance;
        read += chunks.iter().map(|c| c.input_bytes).sum::<f64>();
        let lens: Vec<u32> = chunks.into_iter().flat_map(|c| c.lens).collect();
        sampled_documents += lens.len() as u64;
        estimates.push((lens, estimate.n_documents));
    }
    let scale = (n_documents / MODEL_DOCUMENTS as f64).max(1.0);
    let corpus = blow_up(loaded, &estimates, scale);
    let basis = Basis::Sample {
        n_documents: sampled_documents,
        share: if total_bytes > 0 {
            (read / total_bytes as f64).min(1.0)
        } else {
            1.0
        },
        relative_error: if n_tokens > 0.0 {
            1.96 * variance.sqrt() / n_tokens
        } else {
            0.0
        },
    };
    Ok(Lengths {
        corpus,
        basis,
        n_documents: n_documents.round() as u64,
        n_tokens: n_tokens.round() as u64,
        scale,
        tokenize_secs: secs,
    })
}

/// Reads the first chunks of files in seeded order until the budget is used or all is read.
fn sample_source(
    source: &SourceInput,
    seed: u64,
    budget: u64,
    tokenizer: &Tokenizer,
    monitor: &Monitor,
) -> Result<Vec<SampledChunk>> {
    let order = pack::Permutation::new(source.files.len() as u64, pack::seed::derive(seed, "sample", 0));
    let mut chunks = Vec::new();
    let mut used = 0;
    for i in 0..source.files.len() as u64 {
        let file = &source.files[order.get(i) as usize];
        let mut reader = Reader::open(file, &source.rules, Position::default())?;
        let mut passed = 0;
        let few_files = source.files.len() <= CHUNKS_PER_FILE * 4;
        let per_file = if few_files { usize::MAX } else { CHUNKS_PER_FILE };
        for _ in 0..per_file {
            if used >= budget {
                return Ok(chunks);
            }
            monitor.check()?;
            let Some(chunk) = reader.next_chunk()? else {
                break;
            };
            let parsed = chunk.parse(&source.rules)?;
            let mut lens = Vec::with_capacity(parsed.records.len());
            let mut ids = Vec::new();
            for record in &parsed.records {
                ids.clear();
                tokenizer.encode(&record.text, &mut ids)?;
                lens.push(ids.len() as u32);
                used += record.text.len() as u64;
            }
            let now = reader.bytes_read();
            add(&monitor.input_bytes, now - passed);
            add(&monitor.documents, lens.len() as u64);
            add(&monitor.tokens, lens.iter().map(|&len| u64::from(len)).sum());
            chunks.push(SampledChunk {
                input_bytes: (now - passed) as f64,
                lens,
            });
            passed = now;
        }
    }
    Ok(chunks)
}

/// Totals of a source, estimated from its chunks by the ratio to input bytes.
struct Estimate {
    n_documents: f64,
    n_tokens: f64,
    variance: f64,
    /// Input bytes in all over input bytes read.
    factor: f64,
}

impl Estimate {
    /// Ratio estimator with its usual variance and finite-population correction.
    ///
    /// Source: Cochran, *Sampling Techniques*, 3rd edition, section 6.4.
    fn new(chunks: &[SampledChunk], source_bytes: f64) -> Self {
        let read: f64 = chunks.iter().map(|c| c.input_bytes).sum();
        let tokens = |c: &SampledChunk| c.lens.iter().map(|&len| f64::from(len)).sum::<f64>();
        let all_tokens: f64 = chunks.iter().map(tokens).sum();
        let documents: f64 = chunks.iter().map(|c| c.lens.len() as f64).sum();
        if read <= 0.0 {
            return Self {
                n_documents: documents,
                n_tokens: all_tokens,
                variance: 0.0,
                factor: 1.0,
            };
        }
        let factor = (source_bytes / read).max(1.0);
        let ratio = all_tokens / read;
        let n = chunks.len() as f64;
        let residuals: f64 = chunks
            .iter()
            .map(|c| (tokens(c) - ratio * c.input_bytes).powi(2))
            .sum();
        let population = n * factor;
        let spread = if n > 1.0 { residuals / (n - 1.0) } else { 0.0 };
        let variance = population * population * (1.0 - n / population).max(0.0) * spread / n;
        Self {
            n_documents: documents * factor,
            n_tokens: all_tokens * factor,
            variance,
            factor,
        }
    }
}

/// Repeats the sampled lengths up to the estimated number of documents (divided by `scale`).
fn blow_up(loaded: &LoadedRecipe, estimates: &[(Vec<u32>, f64)], scale: f64) -> Corpus {
    const PART: usize = 128 << 10;
    let mut corpus = Corpus::default();
    for (source, (lens, n_documents)) in estimates.iter().enumerate() {
        let recipe = &loaded.recipe.sources[source];
        corpus.sources.push(SourceRules {
            name: recipe.name.clone(),
            weight: recipe.weight,
            epochs: recipe.epochs,
        });
        let wanted = (n_documents / scale).round() as usize;
        let all: Vec<u32> = lens
            .iter()
            .copied()
            .cycle()
            .take(if lens.is_empty() { 0 } else { wanted })
            .collect();
        let part = |lens: &[u32]| PartLens {
            source,
            lens: lens.to_vec(),
            duplicates: Vec::new(),
        };
        corpus.parts.extend(all.chunks(PART).map(part));
    }
    corpus
}
