//! The recipe of a training run as types: one struct per YAML mapping, defaults included.
//!
//! The doc comments are the documentation of the keys: `schemas/train.schema.json` and the "allowed"
//! lists of error messages are generated from here.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which model to train, on which dataset, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Recipe format; always 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Name of the run; the default output directory is `out/NAME`. Default: the file's name.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$"))]
    pub name: Option<String>,
    /// The model to start from.
    pub model: ModelSource,
    /// What it learns from.
    pub data: Data,
    /// How positions are stretched beyond the length that the model was trained at.
    #[serde(default)]
    pub rope: Rope,
    /// The diffusion objective.
    #[serde(default)]
    pub objective: Objective,
    /// How gradients become updates.
    pub optimizer: Optimizer,
    /// The learning rate over the run.
    #[serde(default)]
    pub schedule: Schedule,
    /// What one optimizer step uses.
    #[serde(default)]
    pub batch: Batch,
    /// Optimizer steps of the whole run.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: u64,
    /// Number format of weights and activations.
    #[serde(default)]
    pub dtype: Dtype,
    /// Train low-rank adapters beside frozen weights, instead of the weights.
    #[serde(default)]
    pub lora: Option<Lora>,
    /// Where and how often the run is saved.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// Measures the loss on other data while training.
    #[serde(default)]
    pub eval: Option<Eval>,
    /// What is written about the run.
    #[serde(default)]
    pub metrics: Metrics,
    /// Where it runs: `auto`, `cpu` or `cuda:N`.
    #[serde(default = "auto")]
    #[schemars(regex(pattern = r"^(auto|cpu|cuda:[0-9]{1,2})$"))]
    pub device: String,
    /// Seed of every random choice: order of the data, masks, initial weights, rounding.
    #[serde(default)]
    pub seed: u64,
}

fn auto() -> String {
    "auto".into()
}

/// The model to start from: exactly one of `path`, `size` and `config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSource {
    /// A directory with `config.json` and `model.safetensors`, relative to the recipe.
    pub path: Option<PathBuf>,
    /// A new model of a named size: `tiny`, `25M`, `150M`, `1B` or `8B`; its vocabulary is the dataset's.
    pub size: Option<String>,
    /// A new model of the shape that this `config.json` gives, relative to the recipe.
    pub config: Option<PathBuf>,
}

/// What the model learns from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// A packed dataset, relative to the recipe.
    pub dataset: PathBuf,
}

/// How positions are stretched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rope {
    /// The method.
    pub method: RopeMethod,
    /// Length that the model was trained at, in tokens.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub train_len: Option<u32>,
    /// Length to reach, in tokens.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub target_len: Option<u32>,
    /// `ntk_critical` and `diffusion_ntk`: the critical dimension, where it is not to be computed.
    #[schemars(range(min = 1, max = 4096))]
    pub d_crit: Option<u32>,
}

/// A method of stretching positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RopeMethod {
    /// Positions as the model has them.
    #[default]
    None,
    /// Position interpolation.
    Pi,
    /// Another base, by the classic NTK-aware rule.
    Ntk,
    /// Another base, by the critical dimension of causal models (LongLLaDA).
    NtkCritical,
    /// Another base, by the critical dimension of diffusion models (UltraLLaDA).
    DiffusionNtk,
    /// YaRN.
    Yarn,
}

/// The diffusion objective: each token is masked with probability p = (1 - eps) t + eps and predicted
/// with the weight 1/p.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Objective {
    /// What shares one t.
    pub t: PerWhat,
    /// The smallest probability of masking.
    #[schemars(range(min = 0.000001, max = 0.5))]
    pub eps: f64,
    /// Whether the t of a step are spread evenly over 0..1 instead of drawn independently: the same
    /// expectation with less variance.
    pub low_discrepancy: bool,
    /// Share of the steps whose sequences are all cut to one random length.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub random_length: f64,
    /// What the sum of the weighted losses is divided by.
    pub normalize: Normalize,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            t: PerWhat::Row,
            eps: 1e-3,
            low_discrepancy: false,
            random_length: 0.01,
            normalize: Normalize::Tokens,
        }
    }
}

/// What shares one t.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PerWhat {
    /// A sequence, as in LLaDA's training code.
    #[default]
    Row,
    /// A segment of a document.
    Document,
}

/// What the sum of the weighted losses is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// All real tokens of the step, masked or not, as in LLaDA's training code.
    #[default]
    Tokens,
    /// The tokens of the sequence, then the number of sequences: a short sequence counts as much as
    /// a long one.
    Sequences,
}

/// AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// The highest learning rate of the run.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lr: f64,
    /// Decay of the mean of gradients.
    #[serde(default = "beta1")]
    #[schemars(range(min = 0.0, max = 0.999999))]
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    #[serde(default = "beta2")]
    #[schemars(range(min = 0.0, max = 0.999999))]
    pub beta2: f64,
    /// Added to the root of the mean of squared gradients.
    #[serde(default = "adam_eps")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eps: f64,
    /// Weight decay, decoupled from the gradient.
    #[serde(default = "weight_decay")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub weight_decay: f64,
    /// Which weights decay.
    #[serde(default)]
    pub decay: Decay,
    /// Number format of the optimizer's state.
    #[serde(default)]
    pub state: StateDtype,
    /// Keep the state in host memory, where the weights are in a GPU's: that saves GPU memory, and costs every step
    /// a transfer of all gradients and weights. A run may go on with the other choice.
    #[serde(default)]
    pub offload: bool,
    /// Gradients whose norm over all weights is larger are scaled down to it; 0 = never.
    #[serde(default = "clip_norm")]
    #[schemars(range(min = 0.0, max = 1000000.0))]
    pub clip_norm: f64,
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.95
}

fn adam_eps() -> f64 {
    1e-8
}

fn weight_decay() -> f64 {
    0.1
}

fn clip_norm() -> f64 {
    1.0
}

/// Which weights decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// All, as in the code that LLaDA grew from.
    #[default]
    All,
    /// Matrices only: neither norms nor biases.
    Matrices,
}

/// Number format of the optimizer's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateDtype {
    /// 32 bits: 8 bytes per weight, and 4 more for a 32-bit copy of weights in `bf16`.
    #[default]
    F32,
    /// 16 bits, rounded up or down at random so that small changes add up: 4 bytes per weight, no
    /// copy of the weights.
    Bf16,
}

/// The learning rate over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps in which the learning rate rises linearly to `optimizer.lr`.
    pub warmup: u64,
    /// `wsd` only: steps at the end in which it falls linearly.
    pub decay: u64,
    /// `cosine` and `wsd`: the last learning rate over the highest.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_ratio: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Cosine,
            warmup: 0,
            decay: 0,
            final_ratio: 0.1,
        }
    }
}

/// The shape of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Half a cosine from the highest to the last.
    #[default]
    Cosine,
    /// The highest to the end.
    Constant,
    /// Warm-up, stable, decay.
    Wsd,
}

/// What one optimizer step uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// Sequences per step. They go through the model one after another, and their gradients add up.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sequences: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self { sequences: 1 }
    }
}

/// Number format of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// `f32` on the CPU, `bf16` on a GPU.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits with the range of 32; a 32-bit copy of the weights takes the updates, unless
    /// `optimizer.state` is `bf16`.
    Bf16,
}

/// Low-rank adapters: W + alpha/rank · B·A with B and A trained and W frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rows of A and columns of B.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: u32,
    /// Strength of the adapters. Default: the rank.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1000000.0))]
    pub alpha: Option<f64>,
    /// Which projections of every block have an adapter.
    #[serde(default = "default_targets")]
    #[schemars(length(min = 1))]
    pub targets: Vec<Target>,
    /// Whether the last checkpoint also holds the model with the adapters added to its weights.
    #[serde(default = "yes")]
    pub merge: bool,
}

fn default_targets() -> Vec<Target> {
    vec![Target::Q, Target::K, Target::V, Target::O]
}

fn yes() -> bool {
    true
}

/// A projection of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Output of attention.
    O,
    /// Gate of the MLP.
    Gate,
    /// Up projection of the MLP.
    Up,
    /// Down projection of the MLP.
    Down,
}

/// Where and how often the run is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Steps between checkpoints; the last step is always saved.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub every: u64,
    /// How many checkpoints are kept; older ones are removed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep: u32,
    /// Directory of the run, relative to the recipe. Default: `out/NAME` below the working directory.
    pub dir: Option<PathBuf>,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            every: 100,
            keep: 2,
            dir: None,
        }
    }
}

/// Measures the loss on other data while training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// A packed dataset that is not trained on, relative to the recipe.
    pub dataset: PathBuf,
    /// Steps between measurements.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub every: u64,
    /// Sequences measured, the same ones under the same masks every time.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sequences: u32,
}

fn eight() -> u32 {
    8
}

/// What is written about the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Whether TensorBoard event files are written beside `metrics.jsonl`.
    pub tensorboard: bool,
    /// Peak of the device in TFLOP/s at the run's number format, for model FLOPs utilisation.
    /// Default: what is known of the device.
    #[schemars(range(min = 0.001, max = 1000000.0))]
    pub peak_tflops: Option<f64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            tensorboard: true,
            peak_tflops: None,
        }
    }
}
