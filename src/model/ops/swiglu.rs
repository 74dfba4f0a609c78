//! SwiGLU: y = silu(gate) · up, with silu(g) = g / (1 + e⁻ᵍ).

use candle_core::Tensor;
use rayon::prelude::*;

use super::wide;
use crate::error::Result;
use crate::model::floats::{BLOCK, exp, floats, is_cpu_f32, vectorized};

/// `gate`, `up`: one shape, to the same shape.
pub(in crate::model) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !is_cpu_f32(gate) {
        let wide_gate = gate.to_dtype(wide(gate.dtype()))?;
        return Ok((wide_gate.silu()?.to_dtype(gate.dtype())? * up)?);
    }
    let (gates, ups) = (floats(gate)?, floats(up)?);
    let mut out = vec![0f32; gates.len()];
    out.par_chunks_mut(BLOCK)
        .zip(gates.par_chunks(BLOCK))
        .zip(ups.par_chunks(BLOCK))
        .for_each(|((out, gate), up)| {
            vectorized(|| {
                for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                    *out = g / (1.0 + exp(-g)) * u;
                }
            });
        });
    Ok(Tensor::from_vec(out, gate.shape(), gate.device())?)
}

/// dgate and dup from the inputs and `dy`.
///
/// With σ = 1 / (1 + e⁻ᵍ): dgate = dy · up · σ (1 + g (1 - σ)), dup = dy · g σ.
pub(in crate::model) fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    if !is_cpu_f32(gate) {
        return composed_backward(gate, up, dy);
    }
    let (gates, ups, dys) = (floats(gate)?, floats(up)?, floats(dy)?);
    let mut d_gate = vec![0f32; gates.len()];
    let mut d_up = vec![0f32; gates.len()];
    d_gate
        .par_chunks_mut(BLOCK)
        .zip(d_up.par_chunks_mut(BLOCK))
        .zip(gates.par_chunks(BLOCK))
        .zip(ups.par_chunks(BLOCK).zip(dys.par_chunks(BLOCK)))
        .for_each(|(((d_gate, d_up), gate), (up, dy))| {
            vectorized(|| {
                let inputs = gate.iter().zip(up).zip(dy);
                for ((d_gate, d_up), ((&g, &u), &dy)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
                    let sigma = 1.0 / (1.0 + exp(-g));
                    *d_gate = dy * u * sigma * (1.0 + g * (1.0 - sigma));
                    *d_up = dy * g * sigma;
                }
            });
        });
    Ok((
        Tensor::from_vec(d_gate, gate.shape(), gate.device())?,
        Tensor::from_vec(d_up, gate.shape(), gate.device())?,
    ))
}

fn composed_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    let dtype = gate.dtype();
    let to_wide = |t: &Tensor| t.to_dtype(wide(dtype));
    let (g, u, dy) = (to_wide(gate)?, to_wide(up)?, to_wide(dy)?);
    let sigma = (g.neg()?.exp()? + 1.0)?.recip()?;
    let silu = (&g * &sigma)?;
    // σ (1 + g (1 - σ)) = σ + silu - silu σ
    let slope = ((&sigma + &silu)? - (&silu * &sigma)?)?;
    let d_gate = ((&dy * u)? * slope)?;
    let d_up = (dy * silu)?;
    Ok((d_gate.to_dtype(dtype)?, d_up.to_dtype(dtype)?))
}
