//! What a model is: the checked content of a published `config.json`.
//!
//! A configuration is told apart by its keys and `architectures`, since `model_type` `llada` stands on
//! dense and mixture checkpoints alike. Anything that would change the computation and is not
//! implemented is refused by name; keys that do not are kept and written back.

mod fields;
mod huggingface;
mod llada;
mod scaling;
mod sizes;

use std::path::{Path, PathBuf};

use candle_core::DType;
use serde_json::{Map, Value};

use crate::disk;
use crate::error::{Error, Place, Result, shown_text};
use fields::Fields;

pub use scaling::StoredScaling;
pub use sizes::SIZES;

/// File name of the configuration in a checkpoint.
pub const CONFIG_FILE: &str = "config.json";
/// No published configuration comes near this.
const MAX_BYTES: u64 = 4 << 20;

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

impl Family {
    /// The name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llada => "LLaDA",
            Self::Illada => "iLLaDA",
            Self::Dream => "Dream",
        }
    }
}

/// A supported model's shape and constants; every number has been checked.
#[derive(Debug, Clone, PartialEq)]
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
    /// Scaling that the file itself names.
    pub rope_scaling: Option<StoredScaling>,
    /// Everything in the file, for writing it back.
    raw: Map<String, Value>,
}

impl Config {
    /// Reads and checks `config.json` of a checkpoint directory.
    ///
    /// # Errors
    /// The file cannot be read, or names a model that is not supported; the error names the key.
    pub fn load(directory: &Path) -> Result<Self> {
        Self::read(&directory.join(CONFIG_FILE))
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = disk::read_small(&followed(path)?, MAX_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|e| Error::input(Place::file(path), format!("not UTF-8: {e}")))?;
        Self::parse(&text, path)
    }

    /// Checks the text of a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// The text is no JSON object, or names a model that is not supported; the error names the key.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let map: Map<String, Value> = serde_json::from_str(text)
            .map_err(|e| Error::input(Place::file(path), format!("not a JSON object: {e}")))?;
        let fields = Fields { map: &map, path };
        let config = match family(&fields)? {
            Family::Llada => llada::parse(&fields)?,
            family => huggingface::parse(&fields, family)?,
        };
        config.check_heads(&fields)?;
        Ok(config)
    }

    /// Number of parameters.
    pub fn n_params(&self) -> u64 {
        let parameters = super::names::parameters(self);
        parameters.iter().map(|p| p.n_elements() as u64).sum()
    }

    /// Floating-point operations of the matrix products of one forward: 2 per weight and token for the
    /// blocks, and 4 · `n_heads` · `head_dim` per layer for each pair of tokens that see each other. Without the head.
    pub fn forward_flops(&self, n_tokens: u64, n_pairs: u64) -> f64 {
        let q = (self.n_heads * self.head_dim) as f64;
        let kv = (self.n_kv_heads * self.head_dim) as f64;
        let d = self.d_model as f64;
        let weights = d * (2.0 * q + 2.0 * kv + 3.0 * self.d_ff as f64);
        self.n_layers as f64 * (2.0 * weights * n_tokens as f64 + 4.0 * q * n_pairs as f64)
    }

    /// The file's text with another base and scaling; all other keys as they were read.
    pub(super) fn rewritten(&self, theta: f64, scaling: Option<&StoredScaling>, dtype: DType) -> String {
        let mut raw = self.raw.clone();
        if theta != self.rope_theta {
            match raw.get_mut("rope_parameters") {
                Some(Value::Object(map)) => map.insert("rope_theta".into(), theta.into()),
                _ => raw.insert("rope_theta".into(), theta.into()),
            };
        }
        if let Some(scaling) = scaling {
            raw.insert("rope_scaling".into(), scaling.to_json());
        }
        for key in ["torch_dtype", "dtype"] {
            if let Some(value) = raw.get_mut(key) {
                *value = if dtype == DType::BF16 {
                    "bfloat16"
                } else {
                    "float32"
                }
                .into();
            }
        }
        serde_json::to_string_pretty(&raw).expect("a JSON object can be written") + "\n"
    }

    fn check_heads(&self, fields: &Fields<'_>) -> Result<()> {
        let (heads, kv) = match self.family {
            Family::Llada => ("n_heads", "n_kv_heads"),
            _ => ("num_attention_heads", "num_key_value_heads"),
        };
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(fields.wrong(
                kv,
                format_args!("{} does not divide the {} heads", self.n_kv_heads, self.n_heads),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(fields.wrong(
                heads,
                format_args!("the width of a head is {}, RoPE needs an even one", self.head_dim),
            ));
        }
        if self.mask_id == self.eos_id {
            return Err(fields.wrong(
                "mask_token_id",
                format_args!("{} is also the end-of-document token", self.mask_id),
            ));
        }
        Ok(())
    }
}

/// The file behind a link: downloaded checkpoints are directories of links.
pub(super) fn followed(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).map_err(Error::io("open", path))
}

/// Which family the keys and `architectures` speak of.
fn family(fields: &Fields<'_>) -> Result<Family> {
    let architecture = match fields.get("architectures") {
        Some(Value::Array(list)) => list.first().and_then(Value::as_str),
        _ => None,
    };
    let model_type = fields.get("model_type").and_then(Value::as_str);
    let own_names = fields.map.contains_key("d_model");
    let hugging_face = fields.map.contains_key("hidden_size");
    match (architecture, model_type) {
        (Some("LLaDAModelLM"), _) | (None, Some("llada")) if own_names => Ok(Family::Llada),
        (Some("ILLaDAForCausalLM" | "ILLaDAModelLM"), _) | (None, Some("illada")) if hugging_face => {
            Ok(Family::Illada)
        }
        (Some("DreamModel" | "DreamForMaskedLM"), _) | (None, Some("Dream" | "dream")) if hugging_face => {
            Ok(Family::Dream)
        }
        _ => {
            // A mixture is the likely stranger, and its own keys say so more clearly.
            fields.refuse_other_kinds()?;
            let found = architecture.or(model_type).unwrap_or("neither");
            Err(fields.wrong(
                if architecture.is_some() { "architectures" } else { "model_type" },
                format_args!(
                    "`{}` is not supported\nhint: LLaDA (`LLaDAModelLM` with `d_model`), iLLaDA (`ILLaDAForCausalLM`) and \
                     Dream (`DreamModel`) are",
                    shown_text(found)
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
