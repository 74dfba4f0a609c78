//! What a step of a recipe will take: memory part by part, and floating-point operations.
//!
//! The parts follow from shapes alone, so that a recipe can be judged on a machine that could not run it.

use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::model::Config;
use crate::numbers::bytes;
use crate::sequence::attention_pairs;
use crate::train::optimizer::{master_bytes, moment_bytes};
use crate::train::recipe::{Lora, Target, TrainRecipe};

/// Rows of a dataset that are looked at for the mean cost of a sequence.
const SAMPLED_ROWS: u64 = 1024;

/// Numbers that decide about memory.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Bytes of a weight or an activation: 4 or 2.
    pub bytes: u64,
    /// Whether weights live in the memory of a GPU.
    pub on_gpu: bool,
}

/// One part of the memory plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is in host memory.
    pub on_host: bool,
}

/// What a recipe will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Parameters of the model.
    pub n_params: u64,
    /// Parameters that are trained.
    pub n_trained: u64,
    /// Memory, part by part.
    pub memory: Vec<Part>,
    /// Mean FLOPs of a sequence, forward and backward, as the model defines them: without recomputation.
    pub model_flops_per_sequence: f64,
    /// The same as they are computed: every block's forward pass twice.
    pub computed_flops_per_sequence: f64,
    /// Mean real tokens of a sequence.
    pub tokens_per_sequence: f64,
    /// Sequences per step.
    pub sequences_per_step: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

impl Forecast {
    /// The forecast for training `config` by `recipe` on `dataset`.
    ///
    /// # Errors
    /// A row's boundaries are damaged.
    pub fn new(recipe: &TrainRecipe, config: &Config, dataset: &Dataset, format: Format) -> Result<Self> {
        let n_adapter = recipe
            .lora
            .as_ref()
            .map_or(0, |lora| adapter_params(config, lora));
        let n_params = config.n_params() + n_adapter;
        let n_trained = if recipe.lora.is_some() {
            n_adapter
        } else {
            n_params
        };
        let longest = u64::from(dataset.manifest().seq_len);
        let mut flops = Flops::default();
        let mut n_tokens = 0;
        let n_rows = dataset.len().min(SAMPLED_ROWS);
        for index in 0..n_rows {
            // Spread over the dataset.
            let sequence = dataset.sequence(index * dataset.len() / n_rows)?;
            n_tokens += sequence.n_tokens();
            // Half of the tokens are masked in the mean over t.
            let (own, pairs) = (sequence.n_tokens(), sequence.attention_pairs());
            flops.add(&Flops::of(config, own, own / 2, pairs));
        }
        let mean = 1.0 / n_rows.max(1) as f64;
        Ok(Self {
            n_params,
            n_trained,
            memory: memory(recipe, config, format, (n_params, n_trained), longest),
            model_flops_per_sequence: flops.model() * mean,
            computed_flops_per_sequence: flops.computed() * mean,
            tokens_per_sequence: n_tokens as f64 * mean,
            sequences_per_step: u64::from(recipe.batch.sequences),
            steps: recipe.steps,
        })
    }

    /// Bytes in the memory of the host, or of the device.
    pub fn total_bytes(&self, on_host: bool) -> u64 {
        let parts = self.memory.iter().filter(|part| part.on_host == on_host);
        parts.map(|part| part.bytes).sum()
    }

    /// Refuses what cannot fit into the memory that is available on the host and on the device; `None`
    /// where that is not known.
    ///
    /// # Errors
    /// It cannot; the message names the parts.
    pub fn must_fit(&self, host: Option<u64>, device: Option<u64>) -> Result<()> {
        for (on_host, available, place) in [(true, host, "host"), (false, device, "device")] {
            let needed = self.total_bytes(on_host);
            let Some(available) = available.filter(|available| *available < needed) else {
                continue;
            };
            let parts = self.memory.iter().filter(|part| part.on_host == on_host);
            let parts: Vec<String> = parts
                .map(|part| format!("{} {}", part.name, bytes(part.bytes)))
                .collect();
            let elsewhere = if on_host {
                ""
            } else {
                " or in host memory (`optimizer.offload: true`)"
            };
            return Err(Error::usage(format!(
                "the run needs {} of {place} memory, {} are available: {}\nhint: train adapters (`lora`), \
                 keep the optimizer's state in 16 bits (`optimizer.state: bf16`){elsewhere}, or use shorter sequences",
                bytes(needed),
                bytes(available),
                parts.join(", "),
            )));
        }
        Ok(())
    }
}

/// Forward FLOPs of a sequence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flops {
    blocks: f64,
    head: f64,
}

impl Flops {
    /// Of a sequence with `n_tokens` real tokens, `n_masked` of them masked, and `pairs` attending
    /// (query, key) pairs.
    pub fn of(config: &Config, n_tokens: u64, n_masked: u64, pairs: u64) -> Self {
        let (d, ff, layers) = (config.d_model as f64, config.d_ff as f64, config.n_layers as f64);
        let (q, kv) = (
            (config.n_heads * config.head_dim) as f64,
            (config.n_kv_heads * config.head_dim) as f64,
        );
        let linear = 2.0 * n_tokens as f64 * (2.0 * d * q + 2.0 * d * kv + 3.0 * d * ff);
        let attention = 4.0 * q * pairs as f64;
        Self {
            blocks: layers * (linear + attention),
            head: 2.0 * d * config.vocab_size as f64 * n_masked as f64,
        }
    }

    /// Of a row of real tokens with these boundaries of attention.
    pub fn of_row(config: &Config, cu_seqlens: &[u32], n_masked: u64) -> Self {
        let lens = cu_seqlens.windows(2).map(|w| w[1] - w[0]);
        let pairs = attention_pairs(crate::sequence::Attention::Segment, lens);
        Self::of(
            config,
            u64::from(*cu_seqlens.last().unwrap_or(&0)),
            n_masked,
            pairs,
        )
    }

    /// Adds another sequence.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.head += other.head;
    }

    /// Forward and backward, as the model defines them.
    pub fn model(&self) -> f64 {
        3.0 * (self.blocks + self.head)
    }

    /// Forward and backward with every block and the head's logits computed twice.
    pub fn computed(&self) -> f64 {
        4.0 * (self.blocks + self.head)
    }
}

/// Numbers of all adapters.
fn adapter_params(config: &Config, lora: &Lora) -> u64 {
    let (d, ff) = (config.d_model, config.d_ff);
    let (q, kv) = (
        config.n_heads * config.head_dim,
        config.n_kv_heads * config.head_dim,
    );
    let both = |target: &Target| match target {
        Target::Q | Target::O => d + q,
        Target::K | Target::V => d + kv,
        Target::Gate | Target::Up | Target::Down => d + ff,
    };
    let per_block: usize = lora.targets.iter().map(both).sum();
    (config.n_layers * per_block) as u64 * u64::from(lora.rank)
}

fn memory(
    recipe: &TrainRecipe,
    config: &Config,
    format: Format,
    (n_params, n_trained): (u64, u64),
    n_tokens: u64,
) -> Vec<Part> {
    let moments = moment_bytes(recipe.optimizer.state);
    let masters = master_bytes(recipe.optimizer.state, format.bytes);
    let (d, ff) = (config.d_model as u64, config.d_ff as u64);
    let (q, kv) = (
        (config.n_heads * config.head_dim) as u64,
        (config.n_kv_heads * config.head_dim) as u64,
    );
    let on_host = !format.on_gpu;
    let state_on_host = on_host || recipe.optimizer.offload;
    let part = |name, bytes, on_host| Part { name, bytes, on_host };
    // Attention: inputs, outputs and gradients of q, k, v, some of them also head by head. Feed-forward: what
    // attention left, and a chunk of rows of the wide part.
    let attention = n_tokens * (3 * d + 6 * q + 6 * kv);
    let rows = n_tokens.min(FEED_FORWARD_CHUNK / ff.max(1));
    let feed_forward = n_tokens * (4 * d + 2 * q + 2 * kv) + rows * (5 * ff + 2 * d);
    let logits = 2 * 4 * if format.on_gpu { GPU_LOGITS } else { CPU_LOGITS };
    let inputs = (config.n_layers as u64 + 1) * n_tokens * d;
    vec![
        part("weights", n_params * format.bytes, on_host),
        part("32-bit copy of the weights", n_trained * masters, state_on_host),
        part("gradients", n_trained * 4, on_host),
        part("optimizer state", n_trained * moments, state_on_host),
        part("block inputs", inputs * format.bytes, on_host),
        part(
            "one block's working set",
            attention.max(feed_forward) * format.bytes,
            on_host,
        ),
        part(
            "logits in chunks",
            logits.min(2 * 4 * n_tokens * config.vocab_size as u64),
            on_host,
        ),
    ]
}

/// Numbers of one feed-forward intermediate that exist at once.
const FEED_FORWARD_CHUNK: u64 = 1 << 27;
/// Logits that exist at once on the CPU.
const CPU_LOGITS: u64 = 1 << 24;
/// Logits that exist at once on a GPU.
const GPU_LOGITS: u64 = 1 << 29;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::train::recipe;

    /// Where weights, their 32-bit copy, gradients and the optimizer's state are, in bytes: host, then device.
    fn places(optimizer: &str, format: Format) -> [[u64; 4]; 2] {
        let text = format!(
            "version: 1\nmodel: {{size: tiny}}\ndata: {{dataset: a}}\nsteps: 1\n\
             optimizer: {{lr: 0.001, {optimizer}}}\n"
        );
        let recipe = recipe::parse(&text, Path::new("run.yaml"), false).unwrap().recipe;
        let config = Config::named("tiny", 96, 1, 0).unwrap();
        let parts = memory(&recipe, &config, format, (1000, 1000), 64);
        [true, false].map(|on_host| {
            [0, 1, 2, 3].map(|place| {
                let part: &Part = &parts[place];
                if part.on_host == on_host { part.bytes } else { 0 }
            })
        })
    }

    #[test]
    fn the_state_is_where_the_weights_are_unless_it_is_moved_to_the_host() {
        let gpu = |bytes| Format { bytes, on_gpu: true };
        let cpu = Format {
            bytes: 4,
            on_gpu: false,
        };
        let none = [0; 4];
        assert_eq!(places("state: f32", gpu(2)), [none, [2000, 4000, 4000, 8000]]);
        assert_eq!(places("state: bf16", gpu(2)), [none, [2000, 0, 4000, 4000]]);
        assert_eq!(places("state: f32", gpu(4)), [none, [4000, 0, 4000, 8000]]);
        assert_eq!(
            places("offload: true", gpu(2)),
            [[0, 4000, 0, 8000], [2000, 0, 4000, 0]]
        );
        for optimizer in ["offload: true", "offload: false"] {
            assert_eq!(places(optimizer, cpu), [[4000, 0, 4000, 8000], none]);
        }
    }
}
