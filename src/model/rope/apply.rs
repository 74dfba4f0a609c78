//! Turning queries and keys: the two halves of a head are the two coordinates of its pairs.

use candle_core::{D, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::model::floats::{floats, is_cpu_f32, vectorized};
use crate::model::ops::wide;

/// Positions that one task turns.
const ROWS: usize = 64;

/// Turns `x: [n, heads, D]` by the angles of `cos`, `sin`: `[n, D / 2] f32`; `backward` turns the other way, which is the
/// gradient. Computed in float32 and rounded to the dtype of `x`.
pub(in crate::model) fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, backward: bool) -> Result<Tensor> {
    let (n, heads, d) = x.dims3()?;
    let half = d / 2;
    let sign = if backward { -1.0 } else { 1.0 };
    if !is_cpu_f32(x) {
        let dtype = wide(x.dtype());
        let cos = cos.to_dtype(dtype)?.unsqueeze(1)?;
        let sin = (sin.to_dtype(dtype)? * sign)?.unsqueeze(1)?;
        let turned = x.to_dtype(dtype)?;
        let (a, b) = (
            turned.narrow(D::Minus1, 0, half)?,
            turned.narrow(D::Minus1, half, half)?,
        );
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        return Ok(Tensor::cat(&[first, second], D::Minus1)?.to_dtype(x.dtype())?);
    }
    let sign = sign as f32;
    let (values, cos, sin) = (floats(x)?, floats(cos)?, floats(sin)?);
    let mut out = vec![0f32; n * heads * d];
    out.par_chunks_mut(ROWS * heads * d)
        .zip(values.par_chunks(ROWS * heads * d))
        .zip(cos.par_chunks(ROWS * half).zip(sin.par_chunks(ROWS * half)))
        .for_each(|((out, x), (cos, sin))| {
            vectorized(|| {
                let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half));
                let rows = out.chunks_exact_mut(heads * d).zip(x.chunks_exact(heads * d));
                for ((out, x), (cos, sin)) in rows.zip(tables) {
                    for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                        let (first, second) = out.split_at_mut(half);
                        let (a, b) = x.split_at(half);
                        for i in 0..half {
                            let (c, s) = (cos[i], sin[i] * sign);
                            first[i] = a[i] * c - b[i] * s;
                            second[i] = b[i] * c + a[i] * s;
                        }
                    }
                }
            });
        });
    Ok(Tensor::from_vec(out, (n, heads, d), x.device())?)
}
