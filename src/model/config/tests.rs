use std::path::Path;

use serde_json::{Value, json};

use super::{Config, Family, SIZES};
use crate::model::testing::parity_directory;

/// The published configuration of LLaDA-8B, without keys that only say how it was trained.
fn llada_8b() -> Value {
    let text = r#"{
        "activation_type": "silu", "alibi": false, "alibi_bias_max": 8.0, "architectures": ["LLaDAModelLM"],
        "attention_dropout": 0.0, "attention_layer_norm": false, "attention_layer_norm_with_affine": true,
        "auto_map": { "AutoConfig": "configuration_llada.LLaDAConfig" }, "bias_for_layer_norm": false, "block_group_size": 1,
        "block_type": "llama", "d_model": 4096, "embedding_dropout": 0.0, "embedding_size": 126464, "eos_token_id": 126081,
        "flash_attention": false, "include_bias": false, "include_qkv_bias": false, "init_cutoff_factor": null,
        "init_device": "meta", "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": false, "layer_norm_type": "rms",
        "layer_norm_with_affine": true, "mask_token_id": 126336, "max_sequence_length": 4096, "mlp_hidden_size": 12288,
        "mlp_ratio": 4, "model_type": "llada", "multi_query_attention": null, "n_heads": 32, "n_kv_heads": 32, "n_layers": 32,
        "pad_token_id": 126081, "precision": "amp_bf16", "residual_dropout": 0.0, "rms_norm_eps": 1e-05, "rope": true,
        "rope_full_precision": true, "rope_theta": 500000.0, "scale_logits": false, "transformers_version": "4.46.3",
        "use_cache": false, "vocab_size": 126464, "weight_tying": false
    }"#;
    serde_json::from_str(text).unwrap()
}

/// The published configuration of Dream 7B, as far as it matters.
fn dream_7b() -> Value {
    json!({
        "architectures": ["DreamModel"], "model_type": "Dream", "attention_dropout": 0.0, "hidden_act": "silu",
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 131072, "rope_theta": 1000000.0,
        "rope_scaling": null, "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "use_sliding_window": false,
        "sliding_window": null, "mask_token_id": 151666, "eos_token_id": 151643, "pad_token_id": 151643,
    })
}

fn parse(value: &Value) -> crate::error::Result<Config> {
    Config::parse(&value.to_string(), Path::new("some/config.json"))
}

/// The error about a configuration with one key changed.
fn refusal(mut value: Value, key: &str, wrong: Value) -> String {
    value[key] = wrong;
    parse(&value)
        .map(|config| config.n_params())
        .unwrap_err()
        .to_string()
}

#[test]
fn published_configurations_have_the_published_number_of_parameters() {
    let config = parse(&llada_8b()).unwrap();
    assert_eq!(config.n_params(), 8_015_581_184);
    assert_eq!(
        (config.mask_id, config.eos_id, config.head_dim),
        (126_336, 126_081, 128)
    );
    let config = parse(&dream_7b()).unwrap();
    assert_eq!((config.family, config.n_params()), (Family::Dream, 7_615_616_512));
}

#[test]
fn named_sizes_are_about_as_large_as_they_say() {
    for (name, low, high) in [
        ("10M", 9e6, 12e6),
        ("25M", 22e6, 28e6),
        ("150M", 120e6, 180e6),
        ("1B", 0.9e9, 1.2e9),
        ("8B", 6.5e9, 8.1e9),
    ] {
        let config = Config::named(name, 8192, 8188, 8185).unwrap();
        let blocks = config.n_params() - 2 * (config.vocab_size * config.d_model) as u64;
        assert!((low..high).contains(&(blocks as f64)), "{name}: {blocks}");
    }
    assert_eq!(
        Config::named("8B", 126_464, 126_336, 126_081).unwrap().n_params(),
        8_015_581_184
    );
    for name in SIZES {
        Config::named(name, 512, 511, 510).unwrap();
    }
    assert!(
        Config::named("7B", 512, 511, 510)
            .unwrap_err()
            .to_string()
            .contains("150M")
    );
    assert!(
        Config::named("tiny", 512, 512, 510)
            .unwrap_err()
            .to_string()
            .contains("mask_token_id")
    );
    let reference = Config::load(&parity_directory()).unwrap();
    let named = Config::named("tiny", 512, 511, 510).unwrap();
    assert_eq!(named.n_params(), reference.n_params());
}

#[test]
fn what_would_change_the_computation_is_refused_by_name() {
    for (key, wrong) in [
        ("alibi", json!(true)),
        ("include_bias", json!(true)),
        ("include_qkv_bias", json!(true)),
        ("block_type", json!("sequential")),
        ("block_group_size", json!(2)),
        ("layer_norm_type", json!("default")),
        ("layer_norm_type", json!("gemma_rms")),
        ("layer_norm_with_affine", json!(false)),
        ("rope", json!(false)),
        ("input_emb_norm", json!(true)),
        ("scale_logits", json!(true)),
        ("attention_layer_norm", json!(true)),
        ("activation_type", json!("gelu")),
        ("clip_qkv", json!(8.0)),
        ("residual_dropout", json!(0.1)),
        ("n_experts", json!(8)),
        ("moe_top_k", json!(2)),
        ("quantization_config", json!({ "bits": 4 })),
        ("rope_scaling", json!({ "rope_type": "longrope", "factor": 4.0 })),
        ("rope_scaling", json!("yarn")),
        ("architectures", json!(["OLMoForCausalLM"])),
    ] {
        let message = refusal(llada_8b(), key, wrong);
        assert!(
            message.contains("some/config.json") && message.contains(&format!("key `{key}`")),
            "{message}"
        );
    }
    for (key, wrong) in [
        ("use_sliding_window", json!(true)),
        ("attention_bias", json!(false)),
        ("layer_types", json!(["full_attention", "sliding_attention"])),
        ("hidden_act", json!("gelu")),
        ("partial_rotary_factor", json!(0.5)),
        ("num_experts", json!(64)),
        ("rope_scaling", json!({ "type": "dynamic", "factor": 2.0 })),
        ("rope_scaling", json!({ "type": "linear", "factor": 0.5 })),
        (
            "rope_scaling",
            json!({ "type": "yarn", "factor": 4.0, "beta_fast": 16 }),
        ),
    ] {
        let message = refusal(dream_7b(), key, wrong);
        assert!(
            message.contains(&format!("key `{key}`")) || message.contains("key `factor`"),
            "{key}: {message}"
        );
    }
}

#[test]
fn hostile_numbers_are_errors() {
    let huge = json!(1_000_000_000_000_000_000u64);
    for (key, wrong) in [
        ("n_heads", json!(0)),
        ("n_heads", json!(33)),
        ("n_heads", json!(-4)),
        ("n_heads", json!("32")),
        ("n_heads", json!(4096)), // heads of width 1
        ("n_kv_heads", json!(5)),
        ("n_kv_heads", json!(64)),
        ("n_layers", huge.clone()),
        ("d_model", huge.clone()),
        ("d_model", json!(4096.5)),
        ("mlp_hidden_size", huge.clone()),
        ("vocab_size", huge.clone()),
        ("embedding_size", json!(10)),
        ("mask_token_id", json!(126_464)),
        ("mask_token_id", json!(126_081)),
        ("mask_token_id", Value::Null),
        ("rope_theta", json!(0)),
        ("rope_theta", json!("NaN")),
        ("rms_norm_eps", json!(-1e-5)),
        ("max_sequence_length", json!(0)),
        ("weight_tying", json!("yes")),
        ("model_type", json!("x".repeat(1000))),
    ] {
        if key == "model_type" {
            let mut other = llada_8b();
            other["architectures"] = Value::Null;
            assert!(refusal(other, key, wrong).contains("is not supported"));
            continue;
        }
        let message = refusal(llada_8b(), key, wrong.clone());
        assert!(message.contains("key `"), "{key} {wrong}: {message}");
    }
    for text in ["", "[]", "{", "nul", "{\"d_model\": 1e400}"] {
        assert!(Config::parse(text, Path::new("c")).is_err(), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(Config::parse(&format!("{{\"a\":{deep}"), Path::new("c")).is_err());
}

#[test]
fn a_mixture_that_calls_itself_llada_is_told_apart() {
    let moe = json!({
        "architectures": ["LLaDAMoEModelLM"], "model_type": "llada", "hidden_size": 2048, "num_experts": 64,
        "num_hidden_layers": 16, "num_attention_heads": 16, "vocab_size": 157184,
    });
    let message = parse(&moe).map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains("num_experts") && message.contains("mixture of experts"),
        "{message}"
    );
    // By its keys alone.
    let mut unnamed = moe.clone();
    unnamed["architectures"] = Value::Null;
    unnamed["num_experts"] = Value::Null;
    let message = parse(&unnamed).map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains("model_type") && message.contains("not supported"),
        "{message}"
    );
}

#[test]
fn control_characters_of_a_configuration_are_shown_as_escapes() {
    let message = refusal(llada_8b(), "block_type", json!("a\u{1b}[2Jb"));
    assert!(!message.contains('\u{1b}'), "{message}");
    let message = refusal(llada_8b(), "architectures", json!(["\u{1b}[2J"]));
    assert!(!message.contains('\u{1b}'), "{message}");
}
