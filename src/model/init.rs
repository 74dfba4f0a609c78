//! Random initial weights.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::Config;
use super::names::{self, Expected, Layout};
use crate::error::Result;

/// Elements that one task draws; the numbers depend on it.
const DRAW: usize = 1 << 16;
/// Standard deviations beyond which no weight lies.
const CUT: f64 = 3.0;

/// How a model starts: truncated normal weights with the deviations of LLaDA's `mitchell` rule, gains 1, biases 0.
///
/// Maps into a width w have deviation 1/√w; maps back onto the residual stream are smaller by √(2 · (layer + 1)); embedding and head have
/// 1/√d_model. Source: OLMo's `mitchell` initialisation, which LLaDA's configuration names.
pub(super) struct Start {
    parameters: Vec<Expected>,
    deviations: Vec<Deviation>,
    seed: u64,
}

impl Start {
    pub(super) fn new(config: &Config, seed: u64) -> Self {
        Self {
            parameters: names::parameters(config),
            deviations: deviations(config, &names::layout(config)),
            seed,
        }
    }

    /// The parameter with this index, float32 on the CPU.
    pub(super) fn parameter(&self, index: usize) -> Result<Tensor> {
        let parameter = &self.parameters[index];
        let values = match self.deviations[index] {
            Deviation::Constant(value) => vec![value; parameter.n_elements()],
            Deviation::Normal(deviation) => {
                normal(parameter.n_elements(), deviation, self.seed, index as u64)
            }
        };
        Ok(Tensor::from_vec(
            values,
            parameter.shape.as_slice(),
            &Device::Cpu,
        )?)
    }
}

#[derive(Debug, Clone, Copy)]
enum Deviation {
    Constant(f32),
    Normal(f64),
}

/// How each parameter starts, in the parameters' order.
fn deviations(config: &Config, layout: &Layout) -> Vec<Deviation> {
    let mut list = vec![Deviation::Constant(0.0); names::parameters(config).len()];
    let root = |width: usize| 1.0 / (width as f64).sqrt();
    let d = config.d_model;
    for (layer, block) in layout.blocks.iter().enumerate() {
        let depth = (2.0 * (layer as f64 + 1.0)).sqrt();
        for map in [&block.q, &block.k, &block.v, &block.gate, &block.up] {
            list[map.weight] = Deviation::Normal(root(d));
        }
        list[block.o.weight] = Deviation::Normal(root(config.n_heads * config.head_dim) / depth);
        list[block.down.weight] = Deviation::Normal(root(config.d_ff) / depth);
        list[block.attn_norm] = Deviation::Constant(1.0);
        list[block.ff_norm] = Deviation::Constant(1.0);
    }
    list[layout.embedding] = Deviation::Normal(root(d));
    list[layout.head] = Deviation::Normal(root(d));
    list[layout.final_norm] = Deviation::Constant(1.0);
    list
}

/// `n` truncated normal numbers that depend on the seed and the stream alone, not on threads.
pub(super) fn normal(n: usize, deviation: f64, seed: u64, stream: u64) -> Vec<f32> {
    let mut out = vec![0f32; n];
    out.par_chunks_mut(DRAW).enumerate().for_each(|(block, out)| {
        let mut uniform = Uniform::new(seed, stream, block as u64);
        for value in out {
            *value = (uniform.truncated_normal() * deviation) as f32;
        }
    });
    out
}

/// A counter-based generator: number i of a key is the mixed sum of both.
struct Uniform {
    key: u64,
    counter: u64,
}

impl Uniform {
    fn new(seed: u64, stream: u64, block: u64) -> Self {
        Self {
            key: mix(mix(mix(seed) ^ stream) ^ block),
            counter: 0,
        }
    }

    /// In (0, 1).
    fn next(&mut self) -> f64 {
        self.counter = self.counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = mix(self.key.wrapping_add(self.counter)) >> 11;
        (bits as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Box-Muller, drawn again beyond the cut.
    fn truncated_normal(&mut self) -> f64 {
        loop {
            let radius = (-2.0 * self.next().ln()).sqrt();
            let value = radius * (std::f64::consts::TAU * self.next()).cos();
            if value.abs() <= CUT {
                return value;
            }
        }
    }
}

/// The finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
