//! What a model is: the checked content of a published `config.json`.

use std::path::Path;

use crate::error::Result;

/// Which publisher's conventions a checkpoint follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// LLaDA dense: `LLaDAModelLM`, also LLaDA 1.5 and UltraLLaDA.
    Llada,
    /// iLLaDA: Llama-like names, tied head, grouped key/value heads.
    Illada,
    /// Dream: Qwen2-like names, biases on q, k, v, logits shifted by one.
    Dream,
}

/// Names that [`Config::named`] knows.
pub const SIZES: [&str; 6] = ["tiny", "10M", "25M", "150M", "1B", "8B"];

/// A supported model's shape and constants; every number has been checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Conventions of names and of the head.
    pub family: Family,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Hidden width of the feed-forward part.
    pub d_ff: usize,
    /// Rows of the embedding: token ids are below it.
    pub vocab_size: usize,
    /// Base of RoPE's wavelengths, before any scaling.
    pub rope_theta: f64,
    /// Epsilon of RMSNorm.
    pub norm_eps: f64,
    /// Length that the publisher names; no limit of this implementation.
    pub max_len: usize,
    /// The head is the embedding.
    pub tied_head: bool,
    /// q, k and v have biases.
    pub qkv_bias: bool,
    /// The token that stands for "masked".
    pub mask_id: u32,
    /// The end-of-document token.
    pub eos_id: u32,
    /// The head's output at position i - 1 predicts token i (Dream).
    pub shifted: bool,
}

impl Config {
    /// Reads and checks `config.json` of a checkpoint directory.
    ///
    /// # Errors
    /// The file cannot be read, or names a model that is not supported; the error names the key.
    pub fn load(_directory: &Path) -> Result<Self> {
        todo!()
    }

    /// Checks the text of a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// The text is no JSON object, or names a model that is not supported; the error names the key.
    pub fn parse(_text: &str, _path: &Path) -> Result<Self> {
        todo!()
    }

    /// A LLaDA configuration of a named size, one of [`SIZES`].
    ///
    /// # Errors
    /// The name is unknown, or an id is not below `vocab_size`.
    pub fn named(_name: &str, _vocab_size: usize, _mask_id: u32, _eos_id: u32) -> Result<Self> {
        todo!()
    }

    /// Number of parameters.
    pub fn n_params(&self) -> u64 {
        todo!()
    }
}
