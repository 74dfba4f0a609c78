//! The sampler over the reference model: every step of every published setting, token for token.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::*;
use crate::model::{LoadOptions, Model, RopeScaling, Tokens};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parity")
}

fn model() -> Model {
    let options = LoadOptions {
        device: Device::Cpu,
        dtype: DType::F32,
        rope: RopeScaling::NONE,
    };
    Model::load(&directory(), &options).unwrap()
}

fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(directory().join("expected.safetensors"), &Device::Cpu).unwrap()
}

fn rows(tensor: &Tensor) -> Vec<Vec<u32>> {
    let tensor = tensor.to_dtype(DType::I64).unwrap();
    let tensor = if tensor.rank() == 1 {
        tensor.unsqueeze(0).unwrap()
    } else {
        tensor
    };
    let rows: Vec<Vec<i64>> = tensor.to_vec2().unwrap();
    rows.into_iter()
        .map(|row| row.into_iter().map(|id| id as u32).collect())
        .collect()
}

fn special(model: &Model) -> SpecialTokens {
    SpecialTokens {
        mask: model.config().mask_id,
        eos: model.config().eos_id,
        eot: None,
    }
}

fn settings(case: &Value) -> Sampling {
    let number = |key: &str| case[key].as_u64().unwrap() as u32;
    Sampling {
        block: number("block"),
        schedule: match case["threshold"].as_f64() {
            Some(threshold) => Schedule::Threshold(threshold),
            None => Schedule::Steps(number("steps")),
        },
        guidance: case["cfg_scale"].as_f64().unwrap_or(0.0),
        forbid_eos: case["eos_inf"] == true,
        ..Sampling::greedy(number("gen"))
    }
}

/// The sequence after every step, and the answer.
fn trace(model: &Model, prompt: &[u32], sampling: &Sampling) -> (Vec<Vec<u32>>, Generated) {
    let mut trace = Vec::new();
    let generated = sample(
        &mut ModelDenoiser::new(model),
        prompt,
        sampling,
        special(model),
        &mut |step| {
            trace.push(step.ids.to_vec());
            Ok(())
        },
    );
    (trace, generated.unwrap())
}

#[test]
fn every_step_equals_the_reference() {
    let (model, expected) = (model(), expected());
    let manifest = std::fs::read_to_string(directory().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let prompt = &rows(&expected["sample.prompt"])[0];
    for name in ["one_block", "blocks", "uneven", "cfg", "eos_inf", "threshold"] {
        let case = &manifest["cases"][format!("mha/sample.{name}")];
        let sampling = settings(case);
        let (trace, generated) = trace(&model, prompt, &sampling);
        assert_eq!(trace, rows(&expected[&format!("sample.{name}.trace")]), "{name}");
        let last = &rows(&expected[&format!("sample.{name}.final")])[0];
        assert_eq!(&generated.tokens, &last[prompt.len()..], "{name}");
        assert_eq!(generated.n_steps, case["forwards"].as_u64().unwrap(), "{name}");
        let passes = if sampling.guidance > 0.0 { 2 } else { 1 };
        assert_eq!(generated.n_forwards, generated.n_steps * passes, "{name}");
    }
}

#[test]
fn a_cache_that_was_just_filled_is_exact() {
    let model = model();
    let ids: Vec<u32> = (0..40).map(|i| i * 7 % 500).collect();
    let positions: Vec<u32> = (0..40).collect();
    let tokens = Tokens {
        ids: &ids,
        positions: &positions,
        cu_seqlens: &[0, 40],
    };
    let whole = model.hidden(&tokens).unwrap();
    let (kept, cache) = model.hidden_kept(&tokens).unwrap();
    let distance = |a: &Tensor, b: &Tensor| {
        let difference = (a - b).unwrap().abs().unwrap();
        difference
            .flatten_all()
            .unwrap()
            .max(0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    assert!(distance(&whole, &kept) < 1e-5);
    for span in [0..40, 0..7, 12..20, 33..40] {
        let part = model.hidden_within(&tokens, span.clone(), &cache).unwrap();
        let expected = whole.narrow(0, span.start, span.len()).unwrap();
        assert!(distance(&part, &expected) < 1e-5, "{span:?}");
    }
    assert!(model.hidden_within(&tokens, 30..41, &cache).is_err());
}

#[test]
fn caches_change_the_cost_and_only_what_they_approximate() {
    let (model, expected) = (model(), expected());
    let prompt = &rows(&expected["sample.prompt"])[0];
    let run = |cache, steps| {
        let sampling = Sampling {
            block: 8,
            schedule: Schedule::Steps(steps),
            cache,
            ..Sampling::greedy(16)
        };
        trace(&model, prompt, &sampling).1
    };
    for cache in [CacheMode::Prefix, CacheMode::Dual] {
        // One step a block: the cache is filled and never read.
        assert_eq!(run(cache, 2).tokens, run(CacheMode::None, 2).tokens);
        let cached = run(cache, 16);
        assert_eq!((cached.n_forwards, cached.n_partial, cached.n_steps), (2, 14, 16));
        assert!(!cached.tokens.contains(&model.config().mask_id));
    }
}
