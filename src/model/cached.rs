//! Passes that keep keys and values, for samplers that look at the same sequence again and again.
//!
//! Attention is bidirectional, so what is kept is exact for the pass that filled it and an approximation for
//! every later one in which a token has changed. Keys are kept after RoPE: positions do not move.

use std::ops::Range;

use candle_core::Tensor;

use super::attention::{cross_attention, varlen_attention};
use super::{Model, Tokens};
use crate::error::{Error, Result};

/// Keys and values of every block over one sequence with full attention.
#[derive(Debug)]
pub struct KvCache {
    /// Per block: k after RoPE and v, each `[n, n_kv_heads, head_dim]`.
    blocks: Vec<(Tensor, Tensor)>,
    len: usize,
}

impl KvCache {
    /// Number of positions that are kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Model {
    /// As [`Model::hidden`], `[n, d_model]`, and keeps keys and values.
    ///
    /// # Errors
    /// As there.
    pub fn hidden_kept(&self, tokens: &Tokens<'_>) -> Result<(Tensor, KvCache)> {
        let cx = self.context(tokens.positions, tokens.cu_seqlens)?;
        let mut x = self.embed(tokens.ids)?;
        let mut blocks = Vec::with_capacity(self.config().n_layers);
        for layer in 0..self.config().n_layers {
            let (q, k, v) = self.qkv(layer, &x)?;
            let (q, k) = (self.rotate(&q, &cx)?, self.rotate(&k, &cx)?);
            let (attended, _) = varlen_attention(&q, &k, &v, tokens.cu_seqlens, self.scale())?;
            x = self.finish_block(layer, &x, &attended)?;
            blocks.push((k, v));
        }
        let len = tokens.ids.len();
        Ok((x, KvCache { blocks, len }))
    }

    /// `[span.len(), d_model]` of the positions `span` of `tokens`, computed anew; all other positions are
    /// seen as they are kept in `cache`.
    ///
    /// # Errors
    /// `span` is empty or out of range, the cache is of a sequence of another length, or the device fails.
    pub fn hidden_within(&self, tokens: &Tokens<'_>, span: Range<usize>, cache: &KvCache) -> Result<Tensor> {
        let n = tokens.ids.len();
        if span.is_empty() || span.end > n || cache.len != n {
            return Err(Error::usage(format!(
                "positions {}..{} of {n} cannot be computed against a cache of {}",
                span.start, span.end, cache.len
            )));
        }
        let cx = self.context(&tokens.positions[span.clone()], &[0, span.len() as u32])?;
        let mut x = self.embed(&tokens.ids[span.clone()])?;
        for (layer, (kept_k, kept_v)) in cache.blocks.iter().enumerate() {
            let (q, k, v) = self.qkv(layer, &x)?;
            let (q, k) = (self.rotate(&q, &cx)?, self.rotate(&k, &cx)?);
            let k = replace(kept_k, &k, &span)?;
            let v = replace(kept_v, &v, &span)?;
            let attended = cross_attention(&q, &k, &v, self.scale())?;
            x = self.finish_block(layer, &x, &attended)?;
        }
        Ok(x)
    }

    fn scale(&self) -> f64 {
        (self.config().head_dim as f64).powf(-0.5)
    }
}

/// `kept` with its rows `span` replaced by `fresh`.
fn replace(kept: &Tensor, fresh: &Tensor, span: &Range<usize>) -> Result<Tensor> {
    let n = kept.dim(0)?;
    let mut parts = Vec::with_capacity(3);
    if span.start > 0 {
        parts.push(kept.narrow(0, 0, span.start)?);
    }
    parts.push(fresh.clone());
    if span.end < n {
        parts.push(kept.narrow(0, span.end, n - span.end)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}
