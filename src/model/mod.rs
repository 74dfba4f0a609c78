//! Masked-diffusion language models of the LLaDA family: configuration, weights, forward and backward.
//!
//! ```text
//! ids ─► embed ─► block ─► … ─► block ─► hidden ─► final norm, head (chosen rows only) ─► logits or loss
//!                   │
//!                   └─ norm, q k v, RoPE, varlen attention, out, + ; norm, SwiGLU, +
//! ```
//!
//! The architecture is fixed, so forward and backward are written by hand, block by block: backward
//! recomputes a block from its input, which is activation checkpointing, and no graph is kept. Candle
//! gives tensors and matrix products. On the CPU in float32 the rest are fused loops over slices
//! that give the same bits for any number of threads; everywhere else they are composed of candle's operations.
//!
//! Only real tokens come here: padding is dropped before, so nothing attends to it.

pub mod attention;
mod block;
mod cached;
mod checkpoint;
mod config;
mod context;
mod floats;
mod gradients;
mod head;
mod init;
mod linear;
mod lora;
mod names;
mod ops;
mod rope;
mod transformer;
mod weights;

pub use cached::KvCache;
pub use checkpoint::LoadOptions;
pub use config::{Config, Family, SIZES, StoredScaling};
pub use context::Context;
pub use floats::update_floats;
pub use gradients::Gradients;
pub use head::HeadLoss;
pub use linear::LoraOptions;
pub use rope::{Rope, RopeMethod, RopeScaling, chart as rope_chart, svg as rope_svg};
pub use transformer::{Model, Param};
pub use weights::StoredWeights;

use std::path::Path;

use crate::error::{Error, Result};

/// What the weight files of a checkpoint hold, checked against its configuration. Reads all of them.
///
/// # Errors
/// As [`Model::load`].
pub fn stored_weights(directory: &Path, config: &Config) -> Result<StoredWeights> {
    weights::Mapped::open(directory)?.survey(directory, config)
}

/// One packed row without padding.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// Token ids, `[n] u32`; masked positions hold the mask id already.
    pub ids: &'a [u32],
    /// RoPE position of each token, `[n] u32`.
    pub positions: &'a [u32],
    /// Segment boundaries: first 0, strictly increasing, last `n`. Attention is full inside a segment;
    /// `[0, n]` is full attention over the row.
    pub cu_seqlens: &'a [u32],
}

/// Arguments that do not fit together: a bug of the caller, told as an error.
fn unfit(message: String) -> Error {
    candle_core::Error::Msg(message).into()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
