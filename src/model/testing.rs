//! Reference numbers and small models for the tests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::{Config, Gradients, HeadLoss, LoadOptions, Model, RopeScaling};

/// The reference data in `fixtures/parity`.
pub(super) fn parity_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parity")
}

/// All tensors of a safetensors file of the fixtures.
pub(super) fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(parity_directory().join(name), &Device::Cpu).unwrap()
}

/// The manifest's entry of a case.
pub(super) fn manifest() -> serde_json::Value {
    let text = std::fs::read_to_string(parity_directory().join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The reference model in float32 on the CPU.
pub(super) fn parity_model() -> Model {
    Model::load(&parity_directory(), &on_cpu(DType::F32)).unwrap()
}

/// Options without scaling.
pub(super) fn on_cpu(dtype: DType) -> LoadOptions {
    LoadOptions {
        device: Device::Cpu,
        dtype,
        rope: RopeScaling::NONE,
    }
}

/// Integers of any dtype as u32.
pub(super) fn ids(tensor: &Tensor) -> Vec<u32> {
    let wide: Vec<i64> = tensor
        .flatten_all()
        .unwrap()
        .to_dtype(DType::I64)
        .unwrap()
        .to_vec1()
        .unwrap();
    wide.into_iter().map(|id| u32::try_from(id).unwrap()).collect()
}

/// All elements.
pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    flat.to_vec1().unwrap()
}

/// Largest absolute difference; the shapes are the same.
pub(super) fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.elem_count(), b.elem_count());
    let pairs = values(a).into_iter().zip(values(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// |a - b| / |b|.
pub(super) fn relative_error(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(a), values(b));
    assert_eq!(a.len(), b.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(1e-30)
}

/// Reproducible standard normal numbers (cut at 3) in the given shape.
pub(super) fn random(shape: &[usize], seed: u64, dtype: DType) -> Tensor {
    let values = super::init::normal(shape.iter().product(), 1.0, seed, 0);
    Tensor::from_vec(values, shape, &Device::Cpu)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

/// A small model of the configuration that `text` gives.
pub(super) fn made(text: &str, seed: u64) -> Model {
    let config = Config::parse(text, Path::new("config.json")).unwrap();
    Model::init(config, &RopeScaling::NONE, seed, &Device::Cpu, DType::F32).unwrap()
}

/// Segment boundaries from document ids.
pub(super) fn boundaries(documents: &[u32]) -> Vec<u32> {
    let mut cu = vec![0];
    cu.extend(
        (1..documents.len())
            .filter(|&i| documents[i] != documents[i - 1])
            .map(|i| i as u32),
    );
    cu.push(documents.len() as u32);
    cu
}

/// A row with masked tokens.
#[derive(Debug, Clone)]
pub(super) struct Noisy {
    /// With the mask id where masked.
    pub(super) ids: Vec<u32>,
    /// The masked places.
    pub(super) rows: Vec<u32>,
    /// The tokens there.
    pub(super) targets: Vec<u32>,
    /// Their weights in the loss.
    pub(super) weights: Vec<f32>,
    pub(super) cu_seqlens: Vec<u32>,
}

impl Noisy {
    /// Random tokens, about every second one masked, in segments of the given lengths.
    pub(super) fn random(config: &Config, lengths: &[u32], seed: u64) -> Self {
        let n: u32 = lengths.iter().sum();
        let draws = values(&random(&[2 * n as usize], seed, DType::F64));
        let token = |i: u32| (draws[i as usize].abs() * 1e6) as u32 % config.vocab_size as u32;
        let rows: Vec<u32> = (0..n).filter(|&i| draws[(n + i) as usize] > 0.0).collect();
        let mut ids: Vec<u32> = (0..n).map(token).collect();
        rows.iter().for_each(|&i| ids[i as usize] = config.mask_id);
        let mut cu_seqlens = vec![0];
        cu_seqlens.extend(lengths.iter().scan(0, |end, len| {
            *end += len;
            Some(*end)
        }));
        Self {
            targets: rows.iter().map(|&i| token(i)).collect(),
            weights: rows.iter().map(|&i| 0.5 + token(i) as f32 / 100.0).collect(),
            ids,
            rows,
            cu_seqlens,
        }
    }
}

/// One training forward and backward at running positions, block by block.
pub(super) fn loss_and_gradients(model: &Model, row: &Noisy, grads: &mut Gradients) -> HeadLoss {
    let positions: Vec<u32> = (0..row.ids.len() as u32).collect();
    let cx = model.context(&positions, &row.cu_seqlens).unwrap();
    let mut inputs = vec![model.embed(&row.ids).unwrap()];
    for layer in 0..model.config().n_layers {
        inputs.push(model.block(layer, &inputs[layer], &cx).unwrap());
    }
    let hidden = inputs.pop().unwrap();
    let loss = model
        .head_loss(
            &hidden,
            &row.rows,
            &row.targets,
            &row.weights,
            &row.cu_seqlens,
            Some(grads),
        )
        .unwrap();
    let mut dx = loss.d_hidden.clone().unwrap();
    for (layer, x) in inputs.iter().enumerate().rev() {
        dx = model.block_backward(layer, x, &dx, &cx, grads).unwrap();
    }
    model.embed_backward(&row.ids, &dx, grads).unwrap();
    loss
}
