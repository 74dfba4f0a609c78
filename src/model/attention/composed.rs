//! Attention composed of candle's operations: for any device and float dtype, and the reference of the others.
//!
//! Segment after segment, a tile of query rows against all keys of the segment at a time. Products are in the tensors' dtype,
//! the softmax in float32 (float64 for float64).

use candle_core::{D, Tensor};

use super::Sizes;
use crate::error::Result;
use crate::model::ops::wide;

/// Scores of a tile, all heads together.
const SCORES: usize = 1 << 26;

/// `[len, heads, D]` rows of a segment as `[H_kv, group · len, D]`.
fn grouped(x: &Tensor, start: usize, len: usize, sizes: Sizes) -> candle_core::Result<Tensor> {
    let heads = x.dim(1)?;
    let group = heads / sizes.kv_heads;
    x.narrow(0, start, len)?
        .transpose(0, 1)?
        .contiguous()?
        .reshape((sizes.kv_heads, group * len, sizes.d))
}

/// The reverse of [`grouped`].
fn ungrouped(x: &Tensor, heads: usize, len: usize, sizes: Sizes) -> candle_core::Result<Tensor> {
    x.reshape((heads, len, sizes.d))?.transpose(0, 1)?.contiguous()
}

/// Query rows that are handled at once against `n_keys` keys.
fn rows_at_once(n_keys: usize, sizes: Sizes) -> usize {
    (SCORES / (sizes.heads * n_keys)).max(1)
}

/// Output tile and log-sum-exp tile `[H_kv, group · rows, 1]` of grouped queries over grouped keys and values.
fn tile(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> candle_core::Result<(Tensor, Tensor)> {
    let scores = (q.matmul(&k.t()?)?.to_dtype(wide(q.dtype()))? * scale)?;
    let maxima = scores.max_keepdim(D::Minus1)?;
    let exponentials = scores.broadcast_sub(&maxima)?.exp()?;
    let sums = exponentials.sum_keepdim(D::Minus1)?;
    let p = exponentials.broadcast_div(&sums)?.to_dtype(q.dtype())?;
    Ok((p.matmul(v)?, (maxima + sums.log()?)?))
}

fn segments(cu_seqlens: &[u32]) -> impl Iterator<Item = (usize, usize)> {
    cu_seqlens
        .windows(2)
        .map(|pair| (pair[0] as usize, (pair[1] - pair[0]) as usize))
}

/// Tiles of `rows` out of `len`: (offset, length).
fn tiles(len: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(rows).map(move |at| (at, rows.min(len - at)))
}

pub(super) fn forward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    cu_seqlens: &[u32],
    scale: f64,
    sizes: Sizes,
) -> Result<(Tensor, Tensor)> {
    let (mut outputs, mut sums) = (Vec::new(), Vec::new());
    for (start, len) in segments(cu_seqlens) {
        let (k, v) = (grouped(k, start, len, sizes)?, grouped(v, start, len, sizes)?);
        for (at, rows) in tiles(len, rows_at_once(len, sizes)) {
            let (o, lse) = tile(&grouped(q, start + at, rows, sizes)?, &k, &v, scale)?;
            outputs.push(ungrouped(&o, sizes.heads, rows, sizes)?);
            sums.push(lse.reshape((sizes.heads, rows))?);
        }
    }
    Ok((Tensor::cat(&outputs, 0)?, Tensor::cat(&sums, 1)?.contiguous()?))
}

pub(super) fn cross(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, sizes: Sizes) -> Result<Tensor> {
    let n_keys = k.dim(0)?;
    let (k, v) = (grouped(k, 0, n_keys, sizes)?, grouped(v, 0, n_keys, sizes)?);
    let outputs = tiles(sizes.n, rows_at_once(n_keys, sizes)).map(|(at, rows)| {
        let (o, _) = tile(&grouped(q, at, rows, sizes)?, &k, &v, scale)?;
        ungrouped(&o, sizes.heads, rows, sizes)
    });
    Ok(Tensor::cat(
        &outputs.collect::<candle_core::Result<Vec<_>>>()?,
        0,
    )?)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the tensors of the forward, its outputs and the gradient"
)]
pub(super) fn backward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    o: &Tensor,
    lse: &Tensor,
    d_o: &Tensor,
    cu_seqlens: &[u32],
    scale: f64,
    sizes: Sizes,
) -> Result<(Tensor, Tensor, Tensor)> {
    let dtype = q.dtype();
    let to_wide = |x: &Tensor| x.to_dtype(wide(dtype));
    let (mut dqs, mut dks, mut dvs) = (Vec::new(), Vec::new(), Vec::new());
    for (start, len) in segments(cu_seqlens) {
        let (k, v) = (grouped(k, start, len, sizes)?, grouped(v, start, len, sizes)?);
        let mut dk = to_wide(&k)?.zeros_like()?;
        let mut dv = dk.zeros_like()?;
        for (at, rows) in tiles(len, rows_at_once(len, sizes)) {
            let q = grouped(q, start + at, rows, sizes)?;
            let d_o = grouped(d_o, start + at, rows, sizes)?;
            let o = grouped(o, start + at, rows, sizes)?;
            let lse = lse.narrow(1, start + at, rows)?.contiguous()?;
            let lse = lse.reshape((sizes.kv_heads, (), 1))?;
            let scores = (to_wide(&q.matmul(&k.t()?)?)? * scale)?;
            let p = scores.broadcast_sub(&lse)?.exp()?;
            let dp = to_wide(&d_o.matmul(&v.t()?)?)?;
            let delta = (to_wide(&d_o)? * to_wide(&o)?)?.sum_keepdim(D::Minus1)?;
            let ds = ((&p * dp.broadcast_sub(&delta)?)? * scale)?.to_dtype(dtype)?;
            dv = (dv + to_wide(&p.to_dtype(dtype)?.t()?.matmul(&d_o)?)?)?;
            dk = (dk + to_wide(&ds.t()?.matmul(&q)?)?)?;
            dqs.push(ungrouped(&ds.matmul(&k)?, sizes.heads, rows, sizes)?);
        }
        dks.push(ungrouped(&dk, sizes.kv_heads, len, sizes)?.to_dtype(dtype)?);
        dvs.push(ungrouped(&dv, sizes.kv_heads, len, sizes)?.to_dtype(dtype)?);
    }
    Ok((
        Tensor::cat(&dqs, 0)?,
        Tensor::cat(&dks, 0)?,
        Tensor::cat(&dvs, 0)?,
    ))
}
