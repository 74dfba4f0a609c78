//! What all blocks of one forward share.

use candle_core::{Device, Tensor};

use super::{Rope, unfit};
use crate::error::Result;

/// Rotation tables of the positions and the segments; built once per row by [`super::Model::context`].
#[derive(Debug, Clone)]
pub struct Context {
    /// `[n, head_dim / 2]` f32, amplitude included.
    pub(super) cos: Tensor,
    /// `[n, head_dim / 2]` f32, amplitude included.
    pub(super) sin: Tensor,
    cu_seqlens: Vec<u32>,
}

impl Context {
    /// Tables for `positions` on `device`.
    pub(super) fn new(rope: &Rope, positions: &[u32], cu_seqlens: &[u32], device: &Device) -> Result<Self> {
        let n = positions.len();
        let increasing = cu_seqlens.windows(2).all(|pair| pair[0] < pair[1]);
        if cu_seqlens.first() != Some(&0)
            || cu_seqlens.last().map(|&n| n as usize) != Some(n)
            || !increasing
            || n == 0
        {
            return Err(unfit(format!(
                "segments do not run from 0 to the {n} tokens without gaps"
            )));
        }
        let (cos, sin) = rope.tables(positions);
        let shape = (n, rope.inv_freq.len());
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
            cu_seqlens: cu_seqlens.to_vec(),
        })
    }

    /// Segment boundaries: first 0, strictly increasing, last the number of tokens.
    pub fn cu_seqlens(&self) -> &[u32] {
        &self.cu_seqlens
    }

    /// Number of tokens, at least 1.
    pub fn n_tokens(&self) -> usize {
        self.cu_seqlens.last().map_or(0, |&n| n as usize)
    }
}
