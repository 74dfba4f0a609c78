//! A whole model: its loss and every parameter's gradient against the CPU in f64.

use std::time::Instant;

use candle_core::{DType, Device};

use super::Report;
use crate::error::Result;
use crate::model::{Config, Gradients, Model, RopeScaling};

const VOCAB: usize = 512;

pub(super) fn check(report: &mut Report, device: &Device, seed: u64, deadline: Instant) {
    let dtypes: &[DType] = if device.is_cpu() {
        &[DType::F32]
    } else {
        &[DType::F32, DType::BF16]
    };
    for &dtype in dtypes {
        let what = format!("model of two blocks, {dtype:?}");
        report.attempt(&what, deadline, |report| {
            // Heads of 64, so that bf16 takes the flash kernels.
            let mut config = Config::named("tiny", VOCAB, 1, 0)?;
            (config.d_model, config.n_heads, config.n_kv_heads, config.head_dim) = (256, 4, 4, 64);
            let scaling = RopeScaling::NONE;
            let model = Model::init(config.clone(), &scaling, seed, device, dtype)?;
            let mut reference = Model::init(config, &scaling, seed, &Device::Cpu, DType::F64)?;
            for (index, param) in model.params().iter().enumerate() {
                let same = param.tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
                reference.set_param(index, same)?;
            }
            let cu_seqlens = [0, 100, 101, 300];
            let (loss, got) = pass(&model, &cu_seqlens)?;
            let (expected_loss, expected) = pass(&reference, &cu_seqlens)?;
            let (loss_limit, limit) = if dtype == DType::F32 {
                (1e-5, 1e-4)
            } else {
                (1e-2, 5e-2)
            };
            report.checks.push(crate::kernel::check::Outcome {
                name: format!("{what}: loss"),
                error: (loss / expected_loss - 1.0).abs(),
                limit: loss_limit,
                passed: (loss / expected_loss - 1.0).abs() < loss_limit,
            });
            for ((index, got), (_, expected)) in got.iter().zip(expected.iter()) {
                let name = format!("{what}: gradient of {}", model.params()[index].name);
                report.compare(name, got, expected, limit)?;
            }
            Ok(())
        });
    }
}

/// One forward and backward pass over made-up tokens, every second one in the loss.
pub(super) fn pass(model: &Model, cu_seqlens: &[u32]) -> Result<(f64, Gradients)> {
    let mut grads = Gradients::zeros(model)?;
    let loss = pass_into(model, cu_seqlens, &mut grads)?;
    Ok((loss, grads))
}

/// The pass, with gradients added to `grads`. Activations are block inputs only.
pub(super) fn pass_into(model: &Model, cu_seqlens: &[u32], grads: &mut Gradients) -> Result<f64> {
    let n = cu_seqlens.last().copied().unwrap_or(0);
    let vocab = model.config().vocab_size as u32;
    let id = |i: u32| i.wrapping_mul(2_654_435_761) % vocab;
    let masked: Vec<u32> = (0..n).step_by(2).collect();
    let ids: Vec<u32> = (0..n)
        .map(|i| if i % 2 == 0 { model.config().mask_id } else { id(i) })
        .collect();
    let targets: Vec<u32> = masked.iter().map(|&i| id(i)).collect();
    let weights = vec![1.0 / masked.len() as f32; masked.len()];
    let positions: Vec<u32> = (0..n).collect();
    let cx = model.context(&positions, cu_seqlens)?;
    let mut inputs = vec![model.embed(&ids)?];
    for layer in 0..model.config().n_layers {
        let x = model.block(layer, &inputs[layer], &cx)?;
        inputs.push(x);
    }
    let hidden = inputs.pop().expect("the embedding is there");
    let head = model.head_loss(&hidden, &masked, &targets, &weights, cu_seqlens, Some(grads))?;
    drop(hidden);
    let mut dx = head.d_hidden.expect("gradients were asked for");
    for layer in (0..model.config().n_layers).rev() {
        let x = inputs.pop().expect("one input per block");
        dx = model.block_backward(layer, &x, &dx, &cx, grads)?;
    }
    model.embed_backward(&ids, &dx, grads)?;
    Ok(head.loss)
}
