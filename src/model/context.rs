//! What all blocks of one forward share.

use candle_core::Tensor;

/// Rotation tables of the positions and the segments; built once per row by [`super::Model::context`].
#[derive(Debug, Clone)]
pub struct Context {
    /// `[n, head_dim / 2]` f32, amplitude included.
    pub(super) cos: Tensor,
    /// `[n, head_dim / 2]` f32, amplitude included.
    pub(super) sin: Tensor,
    pub(super) cu_seqlens: Vec<u32>,
}

impl Context {
    /// Segment boundaries: first 0, strictly increasing, last the number of tokens.
    pub fn cu_seqlens(&self) -> &[u32] {
        &self.cu_seqlens
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.cu_seqlens.last().map_or(0, |&n| n as usize)
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
