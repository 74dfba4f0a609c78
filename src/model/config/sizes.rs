//! Named sizes of LLaDA, to start from random weights.

use std::path::Path;

use serde_json::json;

use super::Config;
use crate::error::{Error, Result};

/// Names that [`Config::named`] knows.
pub const SIZES: [&str; 6] = ["tiny", "10M", "25M", "150M", "1B", "8B"];

impl Config {
    /// A LLaDA configuration of a named size, one of [`SIZES`]. The names of 25M and below count the blocks
    /// only, because a vocabulary can be larger than such a model.
    ///
    /// # Errors
    /// The name is unknown, or an id is not below `vocab_size`.
    pub fn named(name: &str, vocab_size: usize, mask_id: u32, eos_id: u32) -> Result<Self> {
        let (d_model, n_layers, n_heads, d_ff) = match name {
            "tiny" => (64, 2, 4, 192),
            "10M" => (320, 8, 5, 896),
            "25M" => (448, 10, 7, 1280),
            "150M" => (768, 16, 12, 2304),
            "1B" => (2048, 20, 16, 5632),
            "8B" => (4096, 32, 32, 12288),
            _ => {
                return Err(Error::usage(format!(
                    "there is no model size `{}`\nhint: use one of {}",
                    crate::error::shown_text(name),
                    SIZES.join(", ")
                )));
            }
        };
        let text = json!({
            "architectures": ["LLaDAModelLM"],
            "model_type": "llada",
            "block_type": "llama",
            "block_group_size": 1,
            "activation_type": "silu",
            "layer_norm_type": "rms",
            "layer_norm_with_affine": true,
            "attention_layer_norm": false,
            "bias_for_layer_norm": false,
            "include_bias": false,
            "include_qkv_bias": false,
            "input_emb_norm": false,
            "scale_logits": false,
            "alibi": false,
            "rope": true,
            "rope_full_precision": true,
            "rope_theta": 500_000.0,
            "rms_norm_eps": 1e-5,
            "attention_dropout": 0.0,
            "embedding_dropout": 0.0,
            "residual_dropout": 0.0,
            "flash_attention": false,
            "use_cache": false,
            "weight_tying": false,
            "d_model": d_model,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "n_kv_heads": n_heads,
            "mlp_ratio": 4,
            "mlp_hidden_size": d_ff,
            "max_sequence_length": 4096,
            "vocab_size": vocab_size,
            "embedding_size": vocab_size,
            "mask_token_id": mask_id,
            "eos_token_id": eos_id,
            "pad_token_id": eos_id,
            "init_fn": "mitchell",
            "init_std": 0.02,
            "init_device": "cpu",
            "precision": "amp_bf16",
        });
        Self::parse(&text.to_string(), Path::new(name))
    }
}
