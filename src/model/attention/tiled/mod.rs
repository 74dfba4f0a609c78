//! Attention for float32 on the CPU: tiles of scores that stay in the cache, made by matrix products and
//! finished by fused loops.
//!
//! Heads come first inside (`[H, n, D]`), so a task's rows of a head are one slice of the output. A task is a tile of query
//! rows (forward) or a segment (backward) of as many key/value heads as fill a tile: short documents are thus
//! handled many heads at a time. Which task does what depends on the shapes alone, and every sum has a fixed
//! order, so results are the same bits for any number of threads.

mod backward;
mod forward;

use std::ops::Range;

use candle_core::Tensor;

use super::Sizes;

pub(super) use backward::backward;
pub(super) use forward::forward;

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
