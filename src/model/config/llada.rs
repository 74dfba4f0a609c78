//! The published configuration of LLaDA dense: names of the OLMo lineage.

use serde_json::{Value, json};

use super::fields::{Fields, LAYERS, POSITIONS, SIZE, VOCABULARY};
use super::{Config, Family, StoredScaling};
use crate::error::Result;

/// What a key must be: its only supported value, and the value that an absent key means.
fn fixed() -> [(&'static str, Value, Value); 19] {
    let same = |key, value: Value| (key, value.clone(), value);
    [
        same("block_type", json!("llama")),
        same("block_group_size", json!(1)),
        same("activation_type", json!("silu")),
        same("alibi", json!(false)),
        same("rope", json!(true)),
        same("layer_norm_type", json!("rms")),
        same("layer_norm_with_affine", json!(true)),
        same("attention_layer_norm", json!(false)),
        same("bias_for_layer_norm", json!(false)),
        same("include_bias", json!(false)),
        same("include_qkv_bias", json!(false)),
        same("input_emb_norm", json!(false)),
        same("scale_logits", json!(false)),
        same("clip_qkv", json!(false)),
        same("attention_dropout", json!(0)),
        same("embedding_dropout", json!(0)),
        same("residual_dropout", json!(0)),
        same("logit_softcapping", json!(false)),
        same("sliding_window", json!(false)),
    ]
}

/// Checks the keys of a LLaDA configuration.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Config> {
    fields.refuse_other_kinds()?;
    for (key, supported, default) in fixed() {
        fields.only(key, &supported, &default)?;
    }
    let d_model = fields.size("d_model", SIZE)?;
    let n_heads = fields.size("n_heads", SIZE)?;
    if !d_model.is_multiple_of(n_heads) {
        return Err(fields.wrong(
            "n_heads",
            format_args!("{n_heads} heads do not divide d_model {d_model}"),
        ));
    }
    let n_kv_heads = match fields.optional_size("n_kv_heads", SIZE)? {
        Some(n) => n,
        None if fields.flag("multi_query_attention", false)? => 1,
        None => n_heads,
    };
    let d_ff = match fields.optional_size("mlp_hidden_size", SIZE)? {
        Some(size) => size,
        None => d_model * fields.optional_size("mlp_ratio", 1..=64)?.unwrap_or(4),
    };
    let named = fields.size("vocab_size", VOCABULARY)?;
    let vocab_size = fields
        .optional_size("embedding_size", VOCABULARY)?
        .unwrap_or(named);
    if vocab_size < named {
        return Err(fields.wrong(
            "embedding_size",
            format_args!("{vocab_size} is less than vocab_size {named}"),
        ));
    }
    Ok(Config {
        family: Family::Llada,
        d_model,
        n_layers: fields.size("n_layers", LAYERS)?,
        n_heads,
        n_kv_heads,
        head_dim: d_model / n_heads,
        d_ff,
        vocab_size,
        rope_theta: fields.number("rope_theta", 1.0, 10_000.0)?,
        norm_eps: fields.number("rms_norm_eps", 0.0, 1e-5)?,
        max_len: fields.size("max_sequence_length", POSITIONS)?,
        tied_head: fields.flag("weight_tying", true)?,
        qkv_bias: false,
        mask_id: fields.token("mask_token_id", vocab_size, None)?,
        eos_id: fields.token("eos_token_id", vocab_size, None)?,
        shifted: false,
        rope_scaling: StoredScaling::parse(fields)?,
        raw: fields.map.clone(),
    })
}
