//! Output and log-sum-exp, tile by tile, with a running softmax.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::{KEYS, Piece, heads_first, key_tile, query_tile, steps};
use crate::error::Result;
use crate::model::attention::Sizes;
use crate::model::floats::{exp, floats, largest, sum, update_floats, vectorized};

/// The output's slices of a forward task: rows of its query heads, one after the other.
struct ForwardTask<'a> {
    piece: &'a Piece,
    kv: Range<usize>,
    o: Vec<&'a mut [f32]>,
    lse: Vec<&'a mut [f32]>,
}

/// Output `[n, H, D]` and log-sum-exp `[H, n]`.
pub(in crate::model::attention) fn forward(
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
        update_floats(&scores, |scores| {
            vectorized(|| online_softmax(scores, keys.len(), scale, &mut maxima, &mut sums, &mut shrink));
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
