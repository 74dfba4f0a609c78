//! RMSNorm: y = g · x / √(mean(x²) + ε), the quotient rounded to the input's dtype before the gain.

use candle_core::{D, Tensor};
use rayon::prelude::*;

use super::wide;
use crate::error::Result;
use crate::model::floats::{floats, is_cpu_f32, sum, vectorized};

/// Rows whose gain gradients one task sums up. Fixed, so that the order of summation is.
const ROWS: usize = 64;

/// `x: [n, d]`, `gain: [d]`, to `[n, d]`.
pub(in crate::model) fn rms_norm(x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    if !is_cpu_f32(x) {
        return Ok(normalized(x, eps)?.0.to_dtype(x.dtype())?.broadcast_mul(gain)?);
    }
    let (n, d) = x.dims2()?;
    let (values, gain) = (floats(x)?, floats(gain)?);
    let mut out = vec![0f32; n * d];
    out.par_chunks_mut(ROWS * d)
        .zip(values.par_chunks(ROWS * d))
        .for_each(|(out, x)| {
            vectorized(|| {
                for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let r = inverse_root(x, eps);
                    for ((out, &x), &gain) in out.iter_mut().zip(x).zip(&*gain) {
                        *out = x * r * gain;
                    }
                }
            });
        });
    Ok(Tensor::from_vec(out, (n, d), x.device())?)
}

/// dx `[n, d]` and dgain `[d]` from the inputs and `dy: [n, d]`.
///
/// With x̂ = x · r, a = dy · g: dx = r (a - x̂ · mean(a x̂)), dg = Σ dy x̂.
pub(in crate::model) fn rms_norm_backward(
    x: &Tensor,
    gain: &Tensor,
    eps: f64,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    if !is_cpu_f32(x) {
        return composed_backward(x, gain, eps, dy);
    }
    let (n, d) = x.dims2()?;
    let (values, gains, dys) = (floats(x)?, floats(gain)?, floats(dy)?);
    let mut dx = vec![0f32; n * d];
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(ROWS * d)
        .zip(values.par_chunks(ROWS * d))
        .zip(dys.par_chunks(ROWS * d))
        .map(|((dx, x), dy)| {
            let mut d_gain = vec![0f32; d];
            vectorized(|| {
                let rows = dx
                    .chunks_exact_mut(d)
                    .zip(x.chunks_exact(d))
                    .zip(dy.chunks_exact(d));
                for ((dx, x), dy) in rows {
                    let r = inverse_root(x, eps);
                    let (x, dy, gains) = (&x[..d], &dy[..d], &gains[..d]);
                    let mean = sum(d, |i| dy[i] * gains[i] * (x[i] * r)) / d as f32;
                    for i in 0..d {
                        let unit = x[i] * r;
                        dx[i] = r * (dy[i] * gains[i] - unit * mean);
                        d_gain[i] += dy[i] * unit;
                    }
                }
            });
            d_gain
        })
        .collect();
    let mut d_gain = vec![0f32; d];
    for part in &partial {
        d_gain.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    Ok((
        Tensor::from_vec(dx, (n, d), x.device())?,
        Tensor::from_vec(d_gain, d, x.device())?,
    ))
}

#[inline(always)]
fn inverse_root(x: &[f32], eps: f64) -> f32 {
    let mean = sum(x.len(), |i| x[i] * x[i]) / x.len() as f32;
    1.0 / (mean + eps as f32).sqrt()
}

/// x̂ and r, wide.
fn normalized(x: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let x = x.to_dtype(wide(x.dtype()))?;
    let r = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    Ok((x.broadcast_mul(&r)?, r))
}

fn composed_backward(x: &Tensor, gain: &Tensor, eps: f64, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    let (unit, r) = normalized(x, eps)?;
    let dy = dy.to_dtype(unit.dtype())?;
    let d_gain = (&dy * &unit)?.sum(0)?;
    let a = dy.broadcast_mul(&gain.to_dtype(unit.dtype())?)?;
    let mean = (&a * &unit)?.mean_keepdim(D::Minus1)?;
    let dx = (a - unit.broadcast_mul(&mean)?)?.broadcast_mul(&r)?;
    Ok((dx.to_dtype(x.dtype())?, d_gain))
}
