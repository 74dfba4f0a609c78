//! The optimizer on its device against the one in host memory, which keeps everything in 32 bits.

use std::collections::HashMap;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use super::Report;
use super::attention::normal;
use crate::error::{Error, Result};
use crate::model::{Config, Gradients, Model, RopeScaling};
use crate::train::Optimizer;
use crate::train::recipe::{self, Decay, StateDtype};

/// Formats of weights and state, and how far the weights may be from those in 32 bits. Weights in 16 bits are off by
/// up to 1 / 256 each, moments as well, at every step.
const FORMATS: [(DType, StateDtype, f64); 4] = [
    (DType::F32, StateDtype::F32, 1e-5),
    (DType::BF16, StateDtype::F32, 5e-3),
    (DType::F32, StateDtype::Bf16, 2e-3),
    (DType::BF16, StateDtype::Bf16, 2e-2),
];
/// Updates on the device, and as many again after its state has moved to host memory.
const UPDATES: u64 = 2;

pub(super) fn check(report: &mut Report, device: &Device, seed: u64, deadline: Instant) {
    for (dtype, state, limit) in FORMATS {
        let what = format!("optimizer, {dtype:?} weights, {state:?} state");
        report.attempt(&what, deadline, |report| {
            let mut config = Config::named("tiny", 96, 1, 0)?;
            // Sizes around a block of 256 threads.
            (config.d_model, config.d_ff, config.n_layers) = (36, 57, 1);
            (config.n_heads, config.n_kv_heads, config.head_dim) = (3, 3, 12);
            let scaling = RopeScaling::NONE;
            let mut model = Model::init(config.clone(), &scaling, seed, device, dtype)?;
            let mut exact = Model::init(config, &scaling, seed, &Device::Cpu, DType::F32)?;
            for (index, param) in model.params().iter().enumerate() {
                let same = param.tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
                exact.set_param(index, same.copy()?)?;
            }
            let mut exact_optimizer = Optimizer::new(&exact, &settings(StateDtype::F32, true), seed)?;
            let mut optimizer = Optimizer::new(&model, &settings(state, false), seed)?;
            let mut grads = Gradients::zeros(&model)?;
            let mut exact_grads = Gradients::zeros(&exact)?;
            for count in 1..=2 * UPDATES {
                grads.clear()?;
                exact_grads.clear()?;
                for index in 0..model.params().len() {
                    add_numbers(&model, seed ^ count, index, [&mut grads, &mut exact_grads])?;
                }
                if count > UPDATES {
                    optimizer = moved(&optimizer, &model, &settings(state, true), seed)?;
                }
                // The same scale at every step would cancel out.
                let scale = 1.0 / count as f64;
                optimizer.update(&mut model, &grads, count, LR, scale)?;
                exact_optimizer.update(&mut exact, &exact_grads, count, LR, scale)?;
                if count % UPDATES == 0 {
                    let place = if count > UPDATES {
                        "in host memory"
                    } else {
                        "beside them"
                    };
                    let name = format!("{what} {place}, {count} updates");
                    report.compare(name, &weights(&model)?, &weights(&exact)?, limit)?;
                }
            }
            report.compare(
                format!("{what}: gradients"),
                &sums(&grads)?,
                &sums(&exact_grads)?,
                1e-6,
            )
        });
    }
}

const LR: f64 = 0.01;

fn settings(state: StateDtype, offload: bool) -> recipe::Optimizer {
    recipe::Optimizer {
        lr: LR,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        decay: Decay::Matrices,
        state,
        offload,
        clip_norm: 0.0,
    }
}

/// Adds two lots of numbers to the gradient of a parameter, the second in the model's dtype; the same to both.
fn add_numbers(model: &Model, seed: u64, index: usize, to: [&mut Gradients; 2]) -> Result<()> {
    let param = &model.params()[index].tensor;
    let [grads, exact] = to;
    for (place, dtype) in [(0, DType::F32), (1, param.dtype())] {
        let numbers = normal(seed ^ ((2 * index as u64 + place) << 32), param.elem_count());
        let numbers = Tensor::from_vec(numbers, param.shape(), &Device::Cpu)?.to_dtype(dtype)?;
        grads.add(index, &numbers.to_device(param.device())?)?;
        exact.add(index, &numbers.to_dtype(DType::F32)?)?;
    }
    Ok(())
}

/// An optimizer in the state of another one, as after a restart.
fn moved(from: &Optimizer, model: &Model, settings: &recipe::Optimizer, seed: u64) -> Result<Optimizer> {
    let mut saved = HashMap::new();
    for part in from.saved() {
        let bytes = part.bytes()?.into_owned();
        saved.insert(part.name, (part.dtype, bytes));
    }
    let mut to = Optimizer::new(model, settings, seed)?;
    let get = |name: &str| saved.get(name).map(|(dtype, bytes)| (*dtype, &bytes[..]));
    to.restore(get, |name| {
        Error::usage(format!("`{name}` was not saved as it is restored"))
    })?;
    Ok(to)
}

fn weights(model: &Model) -> Result<Tensor> {
    joined(model.params().iter().map(|param| &param.tensor))
}

fn sums(grads: &Gradients) -> Result<Tensor> {
    joined(grads.iter().map(|(_, gradient)| gradient))
}

/// All numbers in a row, on the CPU.
fn joined<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Tensor> {
    let flat = tensors.map(|tensor| {
        let host = tensor.flatten_all()?.to_device(&Device::Cpu)?;
        host.to_dtype(DType::F32)
    });
    let flat = flat.collect::<candle_core::Result<Vec<Tensor>>>()?;
    Ok(Tensor::cat(&flat, 0)?)
}
