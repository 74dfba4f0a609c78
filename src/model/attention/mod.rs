//! Attention inside segments: the one door, forward and backward.
//!
//! Work grows with Σ len², memory with the number of tokens: scores exist one tile at a time, and
//! backward makes them again from the log-sum-exp. There is no mask.

use candle_core::Tensor;

use crate::error::Result;

/// Bidirectional attention inside each segment.
///
/// `q: [n, H, D]`, `k`, `v`: `[n, H_kv, D]`, contiguous, one dtype; query head h reads key/value head
/// `h / (H / H_kv)`. Gives the output `[n, H, D]` and the log-sum-exp of the scaled scores `[H, n] f32`.
///
/// # Errors
/// The shapes do not fit, or the device fails.
pub fn varlen_attention(
    _q: &Tensor,
    _k: &Tensor,
    _v: &Tensor,
    _cu_seqlens: &[u32],
    _scale: f64,
) -> Result<(Tensor, Tensor)> {
    todo!()
}

/// Gradients of [`varlen_attention`] with respect to q, k and v, from its inputs, outputs and `d_o: [n, H, D]`.
///
/// # Errors
/// The shapes do not fit, or the device fails.
#[allow(clippy::too_many_arguments)]
pub fn varlen_attention_backward(
    _q: &Tensor,
    _k: &Tensor,
    _v: &Tensor,
    _o: &Tensor,
    _lse: &Tensor,
    _d_o: &Tensor,
    _cu_seqlens: &[u32],
    _scale: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    todo!()
}

/// Attention of `q: [n_q, H, D]` over all of `k`, `v`: `[n_k, H_kv, D]`; forward only. Gives `[n_q, H, D]`.
///
/// # Errors
/// The shapes do not fit, or the device fails.
pub fn cross_attention(_q: &Tensor, _k: &Tensor, _v: &Tensor, _scale: f64) -> Result<Tensor> {
    todo!()
}
