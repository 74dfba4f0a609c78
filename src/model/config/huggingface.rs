//! The published configurations with the Hugging Face names: iLLaDA (Llama-like) and Dream (Qwen2-like).

use serde_json::{Value, json};

use super::fields::{Fields, LAYERS, POSITIONS, SIZE, VOCABULARY, shown};
use super::{Config, Family, StoredScaling};
use crate::error::Result;

/// Mask id of the published iLLaDA, for a configuration that does not name it.
const ILLADA_MASK: u32 = 5;
/// Mask id of the published Dream.
const DREAM_MASK: u32 = 151_666;

/// Checks the keys of an iLLaDA or Dream configuration.
pub(super) fn parse(fields: &Fields<'_>, family: Family) -> Result<Config> {
    fields.refuse_other_kinds()?;
    fields.only("hidden_act", &json!("silu"), &json!("silu"))?;
    fields.only("attention_dropout", &json!(0), &json!(0))?;
    fields.only("partial_rotary_factor", &json!(1), &json!(1))?;
    for key in [
        "mlp_bias",
        "use_sliding_window",
        "use_qk_norm",
        "qk_norm",
        "qk_layernorm",
    ] {
        fields.only(key, &json!(false), &json!(false))?;
    }
    let qkv_bias = family == Family::Dream;
    fields.only("attention_bias", &json!(qkv_bias), &json!(qkv_bias))?;
    check_layers(fields)?;

    let d_model = fields.size("hidden_size", SIZE)?;
    let n_heads = fields.size("num_attention_heads", SIZE)?;
    let head_dim = match fields.optional_size("head_dim", SIZE)? {
        Some(head_dim) => head_dim,
        None if d_model.is_multiple_of(n_heads) => d_model / n_heads,
        None => {
            return Err(fields.wrong(
                "num_attention_heads",
                format_args!("{n_heads} heads do not divide hidden_size {d_model}"),
            ));
        }
    };
    let vocab_size = fields.size("vocab_size", VOCABULARY)?;
    let mask = match family {
        Family::Dream => DREAM_MASK,
        _ => ILLADA_MASK,
    };
    Ok(Config {
        family,
        d_model,
        n_layers: fields.size("num_hidden_layers", LAYERS)?,
        n_heads,
        n_kv_heads: fields
            .optional_size("num_key_value_heads", SIZE)?
            .unwrap_or(n_heads),
        head_dim,
        d_ff: fields.size("intermediate_size", SIZE)?,
        vocab_size,
        rope_theta: theta(fields)?,
        norm_eps: fields.number("rms_norm_eps", 0.0, 1e-6)?,
        max_len: fields.size("max_position_embeddings", POSITIONS)?,
        tied_head: fields.flag("tie_word_embeddings", family == Family::Illada)?,
        qkv_bias,
        mask_id: fields.token("mask_token_id", vocab_size, Some(mask))?,
        eos_id: fields.token("eos_token_id", vocab_size, None)?,
        shifted: family == Family::Dream,
        rope_scaling: StoredScaling::parse(fields)?,
        raw: fields.map.clone(),
    })
}

/// The base, which newer files keep in `rope_parameters`.
fn theta(fields: &Fields<'_>) -> Result<f64> {
    if let Some(Value::Object(map)) = fields.get("rope_parameters") {
        let inner = Fields {
            map,
            path: fields.path,
        };
        return inner.number("rope_theta", 1.0, 10_000.0);
    }
    fields.number("rope_theta", 1.0, 10_000.0)
}

/// Layers of windowed attention look at less than these models were trained on.
fn check_layers(fields: &Fields<'_>) -> Result<()> {
    let windowed = |kind: &&Value| kind.as_str() != Some("full_attention");
    let kinds = fields.get("layer_types").and_then(Value::as_array);
    match kinds.and_then(|kinds| kinds.iter().find(windowed)) {
        Some(kind) => Err(fields.wrong(
            "layer_types",
            format_args!("{} is not supported, only `full_attention`", shown(kind)),
        )),
        None => Ok(()),
    }
}
