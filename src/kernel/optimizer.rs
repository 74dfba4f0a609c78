//! Launches of AdamW and of the norm that clipping needs.

use super::call::{Address, Call, Element, Program};
use super::pointwise::blocks;

/// Partial sums of [`squared_norm`] of `n` numbers.
pub fn norm_parts(n: usize) -> usize {
    n.div_ceil(256).clamp(1, 1024)
}

/// The numbers of one AdamW step.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Factor of the gradient: what clipping leaves of it.
    pub gradient_scale: f32,
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Steps done, this one included.
    pub step: u64,
}

impl AdamW {
    fn append(self, call: Call) -> Call {
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(self.step as f64)) as f32;
        call.float(self.gradient_scale)
            .float(self.lr)
            .float(self.beta1)
            .float(self.beta2)
            .float(self.eps)
            .float(self.weight_decay)
            .float(correction(self.beta1))
            .float(correction(self.beta2))
    }
}

/// One step with `master`, `gradient`, `m`, `v`: `[n]` f32; `copy: [n]` gets the new parameters in the element type
/// and may be the same memory as `master`, if that is f32.
pub fn adamw(element: Element, n: usize, step: AdamW, [master, copy, gradient, m, v]: [Address; 5]) -> Call {
    let call = Call::new(Program::Elements(element), "adamw", [blocks(n), 1])
        .address(master)
        .address(copy)
        .address(gradient)
        .address(m)
        .address(v)
        .long(n as u64);
    step.append(call)
}

/// One step with `parameters: [n]` of the element type, `m`, `v`: `[n]` bf16 and `gradient: [n]` f32. What is bf16 is rounded
/// stochastically by `seed`, which must differ from step to step and from parameter to parameter.
pub fn adamw_bf16(
    element: Element,
    n: usize,
    step: AdamW,
    seed: u64,
    [parameters, gradient, m, v]: [Address; 4],
) -> Call {
    let call = Call::new(Program::Elements(element), "adamw_bf16", [blocks(n), 1])
        .address(parameters)
        .address(gradient)
        .address(m)
        .address(v)
        .long(n as u64)
        .long(seed);
    step.append(call)
}

/// `parts: [norm_parts(n)]` f64 whose sum is the squared norm of `x: [n]` f32.
pub fn squared_norm(n: usize, x: Address, parts: Address) -> Call {
    Call::new(
        Program::Elements(Element::F32),
        "squared_norm",
        [norm_parts(n), 1],
    )
    .shared(256 * 8)
    .address(x)
    .address(parts)
    .long(n as u64)
}
