//! Launches of flash attention: bf16, head widths 64 and 128, segments of any length.

use super::attention::Sizes;
use super::call::{Address, Call, HeadDim, Program};
use super::work::{KEY_TILE, QUERY_TILE};

/// A work list on the machine: [`super::tiles`] of [`QUERY_TILE`] or of [`KEY_TILE`] rows.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Its [`super::Tile`]s.
    pub tiles: Address,
    /// How many.
    pub n: usize,
}

/// Where q, k and v lie.
#[derive(Debug, Clone, Copy)]
pub struct Qkv {
    /// `[n, heads, d]` bf16.
    pub q: Address,
    /// `[n, kv_heads, d]` bf16.
    pub k: Address,
    /// `[n, kv_heads, d]` bf16.
    pub v: Address,
}

/// What backward reads beside [`Qkv`].
#[derive(Debug, Clone, Copy)]
pub struct Backward {
    /// Gradient of the output, `[n, heads, d]` bf16.
    pub d_o: Address,
    /// Log-sum-exp, `[heads, n]` f32.
    pub lse: Address,
    /// Row sums of `d_o * o`, `[heads, n]` f32, made by [`delta`].
    pub delta: Address,
}

fn row_bytes(d: HeadDim) -> usize {
    d.width() * 2
}

/// `o: [n, heads, d]` bf16 and `lse: [heads, n]` f32 from q, k and v. `work` are tiles of [`QUERY_TILE`].
pub fn forward(d: HeadDim, sizes: Sizes, work: Work, qkv: Qkv, o: Address, lse: Address) -> Call {
    let tiles = QUERY_TILE as usize + 2 * 64;
    Call::new(Program::Flash(d), "flash_forward", [work.n, sizes.heads])
        .threads(128)
        .shared(tiles * row_bytes(d))
        .address(qkv.q)
        .address(qkv.k)
        .address(qkv.v)
        .address(o)
        .address(lse)
        .address(work.tiles)
        .int(sizes.heads)
        .int(sizes.kv_heads)
        .int(sizes.n)
        .float(sizes.scale)
}

/// `delta: [heads, n]` f32 from `o` and `d_o`, the first step of backward.
pub fn delta(d: HeadDim, sizes: Sizes, o: Address, d_o: Address, delta: Address) -> Call {
    let blocks = (sizes.n * sizes.heads).div_ceil(8);
    Call::new(Program::Flash(d), "flash_delta", [blocks, 1])
        .address(o)
        .address(d_o)
        .address(delta)
        .int(sizes.heads)
        .int(sizes.n)
}

/// `dk`, `dv`: `[n, kv_heads, d]` bf16. `work` are tiles of [`KEY_TILE`]. With `dq: [n, heads, d]` f32, zero before, that is
/// added to as well, in any order.
pub fn backward_kv(
    d: HeadDim,
    sizes: Sizes,
    work: Work,
    qkv: Qkv,
    from: Backward,
    dq: Option<Address>,
    [dk, dv]: [Address; 2],
) -> Call {
    let kernel = match dq {
        Some(_) => "flash_backward_kv_atomic",
        None => "flash_backward_kv",
    };
    // K, V; two stages of Q and dO; dS for dq; two stages of the rows' figures.
    let tiles = 2 * KEY_TILE as usize + 4 * 64;
    let ds_bytes = if dq.is_some() {
        KEY_TILE as usize * 64 * 2
    } else {
        0
    };
    let call = Call::new(Program::Flash(d), kernel, [work.n, sizes.kv_heads])
        .shared(tiles * row_bytes(d) + ds_bytes + 2 * 2 * 64 * 4)
        .address(qkv.q)
        .address(qkv.k)
        .address(qkv.v)
        .address(from.d_o)
        .address(from.lse)
        .address(from.delta);
    let call = match dq {
        Some(dq) => call.address(dq),
        None => call,
    };
    call.address(dk)
        .address(dv)
        .address(work.tiles)
        .int(sizes.heads)
        .int(sizes.kv_heads)
        .int(sizes.n)
        .float(sizes.scale)
}

/// `dq: [n, heads, d]` bf16, the same bits every time. `work` are tiles of [`QUERY_TILE`].
pub fn backward_q(d: HeadDim, sizes: Sizes, work: Work, qkv: Qkv, from: Backward, dq: Address) -> Call {
    let tiles = 2 * QUERY_TILE as usize + 4 * 64;
    Call::new(Program::Flash(d), "flash_backward_q", [work.n, sizes.heads])
        .shared(tiles * row_bytes(d))
        .address(qkv.q)
        .address(qkv.k)
        .address(qkv.v)
        .address(from.d_o)
        .address(from.lse)
        .address(from.delta)
        .address(dq)
        .address(work.tiles)
        .int(sizes.heads)
        .int(sizes.kv_heads)
        .int(sizes.n)
        .float(sizes.scale)
}
