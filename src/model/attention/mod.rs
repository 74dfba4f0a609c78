//! Attention inside segments: the one door, forward and backward.
//!
//! Work grows with Σ len², memory with the number of tokens: scores exist one tile at a time, and
//! backward makes them again from the log-sum-exp. There is no mask.

mod composed;
mod tiled;

use candle_core::Tensor;

use super::floats::is_cpu_f32;
use super::unfit;
use crate::error::Result;

/// Sizes of one call, checked.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Query rows.
    n: usize,
    /// Query heads.
    heads: usize,
    /// Key/value heads.
    kv_heads: usize,
    /// Width of a head.
    d: usize,
}

impl Sizes {
    fn of(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Self> {
        let ((n, heads, d), (_, kv_heads, kd)) = (q.dims3()?, k.dims3()?);
        let fits = kv_heads > 0 && heads.is_multiple_of(kv_heads) && d == kd && k.shape() == v.shape();
        if !fits || q.dtype() != k.dtype() || q.dtype() != v.dtype() {
            return Err(unfit(format!(
                "attention of q {:?} {:?} over k {:?} {:?}, v {:?} {:?}",
                q.shape(),
                q.dtype(),
                k.shape(),
                k.dtype(),
                v.shape(),
                v.dtype()
            )));
        }
        Ok(Self {
            n,
            heads,
            kv_heads,
            d,
        })
    }
}

/// Bidirectional attention inside each segment.
///
/// `q: [n, H, D]`, `k`, `v`: `[n, H_kv, D]`, contiguous, one dtype; query head h reads key/value head
/// `h / (H / H_kv)`. Gives the output `[n, H, D]` and the log-sum-exp of the scaled scores `[H, n] f32` (f64 for f64).
///
/// # Errors
/// The shapes do not fit, or the device fails.
pub fn varlen_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    cu_seqlens: &[u32],
    scale: f64,
) -> Result<(Tensor, Tensor)> {
    let sizes = Sizes::of(q, k, v)?;
    check_segments(cu_seqlens, sizes.n, k.dim(0)?)?;
    if is_cpu_f32(q) {
        let pieces = tiled::pieces(cu_seqlens, sizes);
        return tiled::forward(q, k, v, &pieces, scale as f32, sizes);
    }
    composed::forward(q, k, v, cu_seqlens, scale, sizes)
}

/// Gradients of [`varlen_attention`] with respect to q, k and v, from its inputs, outputs and `d_o: [n, H, D]`.
///
/// # Errors
/// The shapes do not fit, or the device fails.
#[expect(
    clippy::too_many_arguments,
    reason = "the tensors of the forward, its outputs and the gradient"
)]
pub fn varlen_attention_backward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    o: &Tensor,
    lse: &Tensor,
    d_o: &Tensor,
    cu_seqlens: &[u32],
    scale: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = Sizes::of(q, k, v)?;
    check_segments(cu_seqlens, sizes.n, k.dim(0)?)?;
    if is_cpu_f32(q) {
        return tiled::backward(q, k, v, o, lse, d_o, cu_seqlens, scale as f32, sizes);
    }
    composed::backward(q, k, v, o, lse, d_o, cu_seqlens, scale, sizes)
}

/// Attention of `q: [n_q, H, D]` over all of `k`, `v`: `[n_k, H_kv, D]`; forward only. Gives `[n_q, H, D]`.
///
/// # Errors
/// The shapes do not fit, there is no key, or the device fails.
pub fn cross_attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    let sizes = Sizes::of(q, k, v)?;
    let n_keys = k.dim(0)?;
    if n_keys == 0 {
        return Err(unfit("attention over no keys".into()));
    }
    if is_cpu_f32(q) {
        let pieces = tiled::cross_pieces(sizes, n_keys);
        return Ok(tiled::forward(q, k, v, &pieces, scale as f32, sizes)?.0);
    }
    composed::cross(q, k, v, scale, sizes)
}

/// Boundaries start at 0, increase strictly, and end at the number of tokens.
fn check_segments(cu_seqlens: &[u32], n: usize, n_keys: usize) -> Result<()> {
    let increasing = cu_seqlens.windows(2).all(|pair| pair[0] < pair[1]);
    let ends = (cu_seqlens.first(), cu_seqlens.last().map(|&n| n as usize));
    if !increasing || ends != (Some(&0), Some(n)) || n != n_keys {
        return Err(unfit(format!(
            "segments of {n} queries and {n_keys} keys do not run from 0 to {n} without gaps"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
