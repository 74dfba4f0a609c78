//! What the two routes of attention have in common.

/// Sizes of one attention call. `q`, `o`: `[n, heads, d]`; `k`, `v`: `[n, kv_heads, d]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Rows.
    pub n: usize,
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Factor of the scores.
    pub scale: f32,
}
