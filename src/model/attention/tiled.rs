//! Attention for float32 on the CPU: tiles of scores that stay in the cache, made by matrix products and
//! finished by fused loops.
//!
//! Heads come first inside (`[H, n, D]`), so a task's rows of a head are one slice of the output. A task is a tile of query
//! rows (forward) or a segment (backward) of as many key/value heads as fill a tile: short documents are thus
//! handled many heads at a time. Which task does what depends on the shapes alone, and every sum has a fixed
//! order, so results are the same bits for any number of threads.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::Sizes;
use crate::error::Result;
use crate::model::floats::{exp, floats, largest, sum, update_floats, vectorized};

/// Query rows of a tile, all query heads of a key/value head together.
const QUERIES: usize = 128;
/// Keys of a tile.
const KEYS: usize = 1024;

/// Query rows that see the same keys, and how many key/value heads go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    queries: Range<usize>,
    keys: Range<usize>,
    kv_heads: usize,
}

/// Tiles of query rows, segment after segment.
pub(super) fn pieces(cu_seqlens: &[u32], sizes: Sizes) -> Vec<Piece> {
    let segments = cu_seqlens
        .windows(2)
        .map(|pair| pair[0] as usize..pair[1] as usize);
    segments.flat_map(|keys| cut(keys.clone(), keys, sizes)).collect()
}

/// Tiles of query rows that all see all keys.
pub(super) fn cross_pieces(sizes: Sizes, n_keys: usize) -> Vec<Piece> {
    cut(0..sizes.n, 0..n_keys, sizes)
}

fn cut(queries: Range<usize>, keys: Range<usize>, sizes: Sizes) -> Vec<Piece> {
    let group = sizes.heads / sizes.kv_heads;
    let rows = (QUERIES / group).max(16);
    let starts = queries.clone().step_by(rows);
    let tile = |start: usize| {
        let queries = start..queries.end.min(start + rows);
        Piece {
            kv_heads: heads_together(queries.len() * group, keys.len(), sizes.kv_heads),
            queries,
            keys: keys.clone(),
        }
    };
    starts.map(tile).collect()
}

/// As many heads as fill one tile of scores.
fn heads_together(rows: usize, n_keys: usize, kv_heads: usize) -> usize {
    (QUERIES * KEYS / (rows * n_keys.min(KEYS))).clamp(1, kv_heads)
}

/// One tile's tensors: `[b, group · rows, D]` of b key/value heads.
fn query_tile(
    x: &Tensor,
    kv: &Range<usize>,
    rows: &Range<usize>,
    sizes: Sizes,
) -> candle_core::Result<Tensor> {
    let group = sizes.heads / sizes.kv_heads;
    let tile = x
        .narrow(0, kv.start * group, kv.len() * group)?
        .narrow(1, rows.start, rows.len())?;
    match group {
        1 => Ok(tile),
        _ => tile
            .contiguous()?
            .reshape((kv.len(), group * rows.len(), sizes.d)),
    }
}

fn key_tile(x: &Tensor, kv: &Range<usize>, keys: &Range<usize>) -> candle_core::Result<Tensor> {
    x.narrow(0, kv.start, kv.len())?.narrow(1, keys.start, keys.len())
}

/// Ranges of `step` covering `range`.
fn steps(range: &Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = range.end;
    range
        .clone()
        .step_by(step)
        .map(move |start| start..end.min(start + step))
}

/// `[n, heads, D]` to `[heads, n, D]` and back.
fn heads_first(x: &Tensor) -> candle_core::Result<Tensor> {
    x.transpose(0, 1)?.contiguous()
}

/// The output's slices of a forward task: rows of its query heads, one after the other.
struct ForwardTask<'a> {
    piece: &'a Piece,
    kv: Range<usize>,
    o: Vec<&'a mut [f32]>,
    lse: Vec<&'a mut [f32]>,
}

/// Output `[n, H, D]` and log-sum-exp `[H, n]`.
pub(super) fn forward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    pieces: &[Piece],
    scale: f32,
    sizes: Sizes,
) -> Result<(Tensor, Tensor)> {
    let Sizes { n, heads, d, .. } = sizes;
    let (q, k, v) = (heads_first(q)?, heads_first(k)?, heads_first(v)?);
    let mut o = vec![0f32; heads * n * d];
    let mut lse = vec![0f32; heads * n];
    forward_tasks(pieces, &mut o, &mut lse, sizes)
        .into_par_iter()
        .try_for_each(|task| forward_task(task, &q, &k, &v, scale, sizes))?;
    let o = Tensor::from_vec(o, (heads, n, d), q.device())?;
    Ok((heads_first(&o)?, Tensor::from_vec(lse, (heads, n), q.device())?))
}

/// Cuts the outputs, head after head and row after row, and hands the slices to their tasks.
fn forward_tasks<'a>(
    pieces: &'a [Piece],
    mut o: &'a mut [f32],
    mut lse: &'a mut [f32],
    sizes: Sizes,
) -> Vec<ForwardTask<'a>> {
    let group = sizes.heads / sizes.kv_heads;
    let mut tasks = Vec::new();
    let mut first_task = Vec::with_capacity(pieces.len());
    for piece in pieces {
        first_task.push(tasks.len());
        tasks.extend(steps(&(0..sizes.kv_heads), piece.kv_heads).map(|kv| ForwardTask {
            piece,
            kv,
            o: Vec::new(),
            lse: Vec::new(),
        }));
    }
    for head in 0..sizes.heads {
        for (piece, first) in pieces.iter().zip(&first_task) {
            let task = &mut tasks[first + head / group / piece.kv_heads];
            let rows = piece.queries.len();
            let (own, rest) = o.split_at_mut(rows * sizes.d);
            task.o.push(own);
            o = rest;
            let (own, rest) = lse.split_at_mut(rows);
            task.lse.push(own);
            lse = rest;
        }
    }
    tasks
}

fn forward_task(
    task: ForwardTask<'_>,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f32,
    sizes: Sizes,
) -> candle_core::Result<()> {
    let d = sizes.d;
    let rows = task.piece.queries.len();
    let q = query_tile(q, &task.kv, &task.piece.queries, sizes)?;
    let n_rows = task.o.len() * rows;
    // Per row: the largest score so far and the sum of exponentials relative to it.
    let mut maxima = vec![f32::NEG_INFINITY; n_rows];
    let mut sums = vec![0f32; n_rows];
    let mut output = vec![0f32; n_rows * d];
    let mut shrink = vec![0f32; n_rows];
    for keys in steps(&task.piece.keys, KEYS) {
        let scores = q.matmul(&key_tile(k, &task.kv, &keys)?.t()?)?;
        let running = std::cell::RefCell::new((&mut maxima, &mut sums, &mut shrink));
        update_floats(&scores, |scores| {
            let (maxima, sums, shrink) = &mut *running.borrow_mut();
            vectorized(|| online_softmax(scores, keys.len(), scale, maxima, sums, shrink));
        })?;
        let product = scores.matmul(&key_tile(v, &task.kv, &keys)?)?;
        let product = floats(&product)?;
        vectorized(|| {
            let rows = output.chunks_exact_mut(d).zip(product.chunks_exact(d));
            for ((output, product), &shrink) in rows.zip(&shrink) {
                for (output, &product) in output.iter_mut().zip(product) {
                    *output = *output * shrink + product;
                }
            }
        });
    }
    for (index, (o, lse)) in task.o.into_iter().zip(task.lse).enumerate() {
        let first = index * rows;
        for row in 0..rows {
            let at = first + row;
            lse[row] = maxima[at] + sums[at].ln();
            let inverse = 1.0 / sums[at];
            let source = &output[at * d..][..d];
            let target = &mut o[row * d..][..d];
            target.iter_mut().zip(source).for_each(|(o, x)| *o = x * inverse);
        }
    }
    Ok(())
}

/// Turns scores into exponentials relative to the rows' running maxima; `shrink` is what results so far must be
/// multiplied by. Source: Milakov and Gimelshein, arXiv 1805.02867.
#[inline(always)]
fn online_softmax(
    scores: &mut [f32],
    width: usize,
    scale: f32,
    maxima: &mut [f32],
    sums: &mut [f32],
    shrink: &mut [f32],
) {
    let state = maxima.iter_mut().zip(sums).zip(shrink);
    for (row, ((maximum, total), shrink)) in scores.chunks_exact_mut(width).zip(state) {
        // A negative scale would make the smallest score the largest; no caller has one.
        let new = maximum.max(largest(row) * scale);
        *shrink = exp(*maximum - new);
        *maximum = new;
        for score in row.iter_mut() {
            *score = exp(*score * scale - new);
        }
        *total = *total * *shrink + sum(width, |i| row[i]);
    }
}

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
pub(super) fn backward(
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
