//! The three families against the plain computation, with grouped heads, tied heads, biases and the shifted head.

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::plain::{HUGGING_FACE, LLADA, Names, logits};
use crate::model::testing::{Noisy, loss_and_gradients, made, random, values};
use crate::model::{Config, Family, Gradients, Model};

/// LLaDA with grouped heads and a tied head.
pub(super) fn llada() -> Value {
    json!({
        "architectures": ["LLaDAModelLM"], "model_type": "llada", "block_type": "llama", "layer_norm_type": "rms",
        "d_model": 24, "n_layers": 2, "n_heads": 6, "n_kv_heads": 2, "mlp_hidden_size": 40, "vocab_size": 33,
        "embedding_size": 36, "max_sequence_length": 64, "rope_theta": 1000.0, "rms_norm_eps": 1e-5, "weight_tying": true,
        "mask_token_id": 35, "eos_token_id": 34, "activation_type": "silu",
    })
}

/// iLLaDA: tied head, grouped heads, a head width of its own, mask id by default.
pub(super) fn illada() -> Value {
    json!({
        "architectures": ["ILLaDAForCausalLM"], "model_type": "illada", "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 40, "vocab_size": 31,
        "max_position_embeddings": 64, "rope_theta": 1000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        "eos_token_id": [2, 3], "hidden_act": "silu", "torch_dtype": "bfloat16",
    })
}

/// Dream: biases and a shifted head.
pub(super) fn dream() -> Value {
    json!({
        "architectures": ["DreamModel"], "model_type": "Dream", "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 3, "intermediate_size": 40, "vocab_size": 31,
        "max_position_embeddings": 64, "rope_theta": 1000.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
        "mask_token_id": 30, "eos_token_id": 29, "hidden_act": "silu", "use_sliding_window": false, "sliding_window": null,
    })
}

/// Each family with random gains and biases too, so that none of them can be left out unnoticed.
fn models() -> Vec<(Model, &'static Names)> {
    let all = [
        (llada(), &LLADA),
        (illada(), &HUGGING_FACE),
        (dream(), &HUGGING_FACE),
    ];
    let stirred = |(text, names): (Value, &'static Names)| {
        let mut model = made(&text.to_string(), 5);
        for index in 0..model.params().len() {
            let old = model.params()[index].tensor.clone();
            if old.rank() == 1 {
                let noise = (random(old.dims(), index as u64, DType::F32) * 0.3).unwrap();
                model.set_param(index, (old + noise).unwrap()).unwrap();
            }
        }
        (model, names)
    };
    all.into_iter().map(stirred).collect()
}

#[test]
fn logits_equal_the_plain_computation() {
    for (model, names) in models() {
        let row = Noisy::random(model.config(), &[5, 1, 9], 3);
        let wanted = logits(&model, names, &row);
        let positions: Vec<u32> = (0..15).collect();
        let tokens = crate::model::Tokens {
            ids: &row.ids,
            positions: &positions,
            cu_seqlens: &row.cu_seqlens,
        };
        let found = model
            .logits(&model.hidden(&tokens).unwrap(), &positions, &row.cu_seqlens)
            .unwrap();
        let found: Vec<Vec<f32>> = found.to_vec2().unwrap();
        for i in 0..15 {
            // Segments start at 0, 5 and 6; a shifted head predicts from the token before, inside a segment.
            let source = if model.config().shifted && ![0, 5, 6].contains(&i) {
                i - 1
            } else {
                i
            };
            for (found, wanted) in found[i].iter().zip(&wanted[source]) {
                assert!(
                    (f64::from(*found) - wanted).abs() < 2e-5,
                    "{:?} {i}",
                    model.config().family
                );
            }
        }
    }
}

#[test]
fn every_parameter_has_the_gradient_of_finite_differences() {
    for (model, _) in models() {
        let row = Noisy::random(model.config(), &[6, 3], 11);
        let mut grads = Gradients::zeros(&model).unwrap();
        loss_and_gradients(&model, &row, &mut grads);
        let loss = |model: &Model| {
            let mut unused = Gradients::zeros(model).unwrap();
            loss_and_gradients(model, &row, &mut unused).loss
        };
        for index in 0..model.params().len() {
            let name = &model.params()[index].name;
            let gradient = values(grads.get(index).unwrap());
            // A step along the gradient itself: one number per parameter that every element enters.
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!(norm > 1e-3, "{name} has no gradient");
            let mut moved = made_like(&model);
            let mut by = |step: f64| {
                let old = values(&model.params()[index].tensor);
                let new: Vec<f32> = old
                    .iter()
                    .zip(&gradient)
                    .map(|(x, g)| (x + step * g / norm) as f32)
                    .collect();
                let shape = model.params()[index].tensor.shape();
                moved
                    .set_param(index, Tensor::from_vec(new, shape, &Device::Cpu).unwrap())
                    .unwrap();
                loss(&moved)
            };
            let step = 2e-3;
            let slope = (by(step) - by(-step)) / (2.0 * step);
            assert!((slope / norm - 1.0).abs() < 5e-3, "{name}: {slope} {norm}");
        }
    }
}

/// The same weights in tensors of their own.
fn made_like(model: &Model) -> Model {
    let mut copy = Model::init(
        model.config().clone(),
        &crate::model::RopeScaling::NONE,
        0,
        &Device::Cpu,
        DType::F32,
    )
    .unwrap();
    for (index, param) in model.params().iter().enumerate() {
        copy.set_param(index, param.tensor.copy().unwrap()).unwrap();
    }
    copy
}

#[test]
fn families_are_told_apart_by_their_keys() {
    let families = [
        (llada(), Family::Llada),
        (illada(), Family::Illada),
        (dream(), Family::Dream),
    ];
    for (text, family) in families {
        let config = Config::parse(&text.to_string(), std::path::Path::new("config.json")).unwrap();
        assert_eq!(config.family, family);
        assert_eq!(config.shifted, family == Family::Dream);
        assert_eq!(config.qkv_bias, family == Family::Dream);
    }
}
