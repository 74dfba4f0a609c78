//! Launches between the matrix products of attention: softmax of a chunk of scores, and their gradient.

use super::call::{Address, Call, Element, Program};

/// A chunk of query rows against one segment, for one query head of each key head.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// Key heads.
    pub kv_heads: usize,
    /// Query rows.
    pub rows: usize,
    /// Keys.
    pub width: usize,
    /// Floats from a row's log-sum-exp to that of the same row for the next key head.
    pub head_stride: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// `p = softmax(scale s)` and `lse`, from `s: [kv_heads, rows, width]` f32; `p` has the element type.
pub fn softmax(element: Element, chunk: Chunk, s: Address, p: Address, lse: Address) -> Call {
    Call::new(
        Program::Elements(element),
        "score_softmax",
        [chunk.rows, chunk.kv_heads],
    )
    .shared(SCRATCH_BYTES)
    .address(s)
    .address(p)
    .address(lse)
    .int(chunk.width)
    .long(chunk.head_stride as u64)
    .float(chunk.scale)
}

/// `p` and `ds` from the scores and `dp = d_o v^T`, all `[kv_heads, rows, width]`; `s`, `dp` f32.
pub fn gradient(
    element: Element,
    chunk: Chunk,
    [s, dp]: [Address; 2],
    [p, ds]: [Address; 2],
    [lse, delta]: [Address; 2],
) -> Call {
    Call::new(
        Program::Elements(element),
        "score_gradient",
        [chunk.rows, chunk.kv_heads],
    )
    .address(s)
    .address(dp)
    .address(p)
    .address(ds)
    .address(lse)
    .address(delta)
    .int(chunk.width)
    .long(chunk.head_stride as u64)
    .float(chunk.scale)
}

/// Shared memory of the sums over a block.
pub(super) const SCRATCH_BYTES: usize = 32 * 4;
