//! Gradients, segment by segment: scores are made again tile by tile from the log-sum-exp.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::{KEYS, QUERIES, heads_first, heads_together, key_tile, query_tile, steps};
use crate::error::Result;
use crate::model::attention::Sizes;
use crate::model::floats::{exp, floats, sum, update_floats, vectorized};

/// The gradients' slices of a backward task: a segment's rows of its heads, one after the other.
struct BackwardTask<'a> {
    segment: Range<usize>,
    kv: Range<usize>,
    dq: Vec<&'a mut [f32]>,
    dk: Vec<&'a mut [f32]>,
    dv: Vec<&'a mut [f32]>,
}

/// What backward reads, heads first.
struct Saved {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    d_o: Tensor,
    /// `[H, n]`.
    lse: Tensor,
    /// Σ over the head of o · d_o, `[H · n]`.
    delta: Vec<f32>,
}

/// dq, dk, dv in the shapes of q, k, v.
#[expect(
    clippy::too_many_arguments,
    reason = "the tensors of the forward, its outputs and the gradient"
)]
pub(in crate::model::attention) fn backward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    o: &Tensor,
    lse: &Tensor,
    d_o: &Tensor,
    cu_seqlens: &[u32],
    scale: f32,
    sizes: Sizes,
) -> Result<(Tensor, Tensor, Tensor)> {
    let Sizes {
        n,
        heads,
        kv_heads,
        d,
    } = sizes;
    let d_o = heads_first(d_o)?;
    let delta = row_products(&heads_first(o)?, &d_o, d)?;
    let saved = Saved {
        q: heads_first(q)?,
        k: heads_first(k)?,
        v: heads_first(v)?,
        d_o,
        lse: lse.contiguous()?,
        delta,
    };
    let mut dq = vec![0f32; heads * n * d];
    let mut dk = vec![0f32; kv_heads * n * d];
    let mut dv = vec![0f32; kv_heads * n * d];
    backward_tasks(cu_seqlens, &mut dq, &mut dk, &mut dv, sizes)
        .into_par_iter()
        .try_for_each(|task| backward_task(task, &saved, scale, sizes))?;
    let back = |x: Vec<f32>, heads: usize| heads_first(&Tensor::from_vec(x, (heads, n, d), q.device())?);
    Ok((back(dq, heads)?, back(dk, kv_heads)?, back(dv, kv_heads)?))
}

/// Σ a · b over rows of width d.
fn row_products(a: &Tensor, b: &Tensor, d: usize) -> candle_core::Result<Vec<f32>> {
    let (a, b) = (floats(a)?, floats(b)?);
    let rows = a.par_chunks(d).zip(b.par_chunks(d)).with_min_len(1024);
    Ok(rows
        .map(|(a, b)| vectorized(|| sum(d, |i| a[i] * b[i])))
        .collect())
}

fn backward_tasks<'a>(
    cu_seqlens: &[u32],
    mut dq: &'a mut [f32],
    mut dk: &'a mut [f32],
    mut dv: &'a mut [f32],
    sizes: Sizes,
) -> Vec<BackwardTask<'a>> {
    let group = sizes.heads / sizes.kv_heads;
    let segments = cu_seqlens
        .windows(2)
        .map(|pair| pair[0] as usize..pair[1] as usize);
    let mut tasks: Vec<BackwardTask<'a>> = Vec::new();
    // Of each segment: its first task and how many heads a task has.
    let mut places = Vec::new();
    for segment in segments {
        let rows = (segment.len() * group).min(QUERIES);
        let together = heads_together(rows, segment.len(), sizes.kv_heads);
        places.push((segment.len(), tasks.len(), together));
        tasks.extend(steps(&(0..sizes.kv_heads), together).map(|kv| BackwardTask {
            segment: segment.clone(),
            kv,
            dq: Vec::new(),
            dk: Vec::new(),
            dv: Vec::new(),
        }));
    }
    for head in 0..sizes.heads {
        for &(len, first, together) in &places {
            let (own, rest) = dq.split_at_mut(len * sizes.d);
            tasks[first + head / group / together].dq.push(own);
            dq = rest;
        }
    }
    for head in 0..sizes.kv_heads {
        for &(len, first, together) in &places {
            let task = &mut tasks[first + head / together];
            let (own, rest) = dk.split_at_mut(len * sizes.d);
            task.dk.push(own);
            dk = rest;
            let (own, rest) = dv.split_at_mut(len * sizes.d);
            task.dv.push(own);
            dv = rest;
        }
    }
    tasks
}

/// P = exp(s - lse); dV = Pᵀ dO; dP = dO Vᵀ; dS = P (dP - delta) · scale; dQ = dS K; dK = dSᵀ Q.
///
/// Source: Dao et al., FlashAttention, arXiv 2205.14135, algorithm 4.
fn backward_task(
    mut task: BackwardTask<'_>,
    saved: &Saved,
    scale: f32,
    sizes: Sizes,
) -> candle_core::Result<()> {
    let group = sizes.heads / sizes.kv_heads;
    let lse = floats(&saved.lse)?;
    for rows in steps(&task.segment, (QUERIES / group).max(16)) {
        let q = query_tile(&saved.q, &task.kv, &rows, sizes)?;
        let d_o = query_tile(&saved.d_o, &task.kv, &rows, sizes)?;
        let of_rows = |x: &[f32]| -> Vec<f32> {
            let heads = task.kv.start * group..task.kv.end * group;
            heads
                .flat_map(|head| x[head * sizes.n..][rows.clone()].iter().copied())
                .collect()
        };
        let (lse, delta) = (of_rows(&lse), of_rows(&saved.delta));
        for keys in steps(&task.segment, KEYS) {
            let k = key_tile(&saved.k, &task.kv, &keys)?;
            let v = key_tile(&saved.v, &task.kv, &keys)?;
            let p = q.matmul(&k.t()?)?;
            update_floats(&p, |p| vectorized(|| probabilities(p, keys.len(), scale, &lse)))?;
            add_rows(&mut task.dv, &p.t()?.matmul(&d_o)?, &task.segment, &keys, sizes.d)?;
            let ds = d_o.matmul(&v.t()?)?;
            let p = floats(&p)?;
            update_floats(&ds, |ds| {
                vectorized(|| score_gradients(ds, &p, keys.len(), scale, &delta))
            })?;
            add_rows(&mut task.dk, &ds.t()?.matmul(&q)?, &task.segment, &keys, sizes.d)?;
            add_rows(&mut task.dq, &ds.matmul(&k)?, &task.segment, &rows, sizes.d)?;
        }
    }
    Ok(())
}

#[inline(always)]
fn probabilities(scores: &mut [f32], width: usize, scale: f32, lse: &[f32]) {
    for (row, &lse) in scores.chunks_exact_mut(width).zip(lse) {
        for score in row {
            *score = exp(*score * scale - lse);
        }
    }
}

#[inline(always)]
fn score_gradients(dp: &mut [f32], p: &[f32], width: usize, scale: f32, delta: &[f32]) {
    let rows = dp.chunks_exact_mut(width).zip(p.chunks_exact(width));
    for ((dp, p), &delta) in rows.zip(delta) {
        for (dp, &p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - delta) * scale;
        }
    }
}

/// Adds the tile `x`, heads first, to the rows `rows` of each head's slice of the segment.
fn add_rows(
    heads: &mut [&mut [f32]],
    x: &Tensor,
    segment: &Range<usize>,
    rows: &Range<usize>,
    d: usize,
) -> candle_core::Result<()> {
    let x = floats(x)?;
    let from = (rows.start - segment.start) * d;
    let len = rows.len() * d;
    vectorized(|| {
        for (sums, x) in heads.iter_mut().zip(x.chunks_exact(len)) {
            let sums = &mut sums[from..from + len];
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
    });
    Ok(())
}
