//! One transformer block, forward and backward by recomputation.
//!
//! x₂ = x + O · attention(RoPE(q), RoPE(k), v) with q, k, v of norm(x); y = x₂ + down(silu(gate) · up) with both of norm(x₂).
//! The feed-forward part looks at one token at a time, so it runs over chunks of rows: its wide intermediates never exist
//! for a whole long sequence.

use candle_core::Tensor;

use super::names::BlockLayout;
use super::ops::{rms_norm, rms_norm_backward, swiglu, swiglu_backward};
use super::rope::rotate;
use super::{Config, Context, Gradients, Param, attention};
use crate::error::Result;

/// Elements of one feed-forward intermediate, which bounds the rows handled at once.
const CHUNK: usize = 1 << 27;

/// A block of a model: its places and what they mean.
pub(super) struct Block<'a> {
    pub(super) config: &'a Config,
    pub(super) params: &'a [Param],
    pub(super) layout: &'a BlockLayout,
}

/// q `[n, H, D]` and k, v `[n, H_kv, D]`.
pub(super) type Projections = (Tensor, Tensor, Tensor);

impl Block<'_> {
    fn scale(&self) -> f64 {
        1.0 / (self.config.head_dim as f64).sqrt()
    }

    fn norm(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        rms_norm(x, &self.params[index].tensor, self.config.norm_eps)
    }

    /// Gradient through a norm; the gain's is added to `grads`.
    fn norm_backward(&self, index: usize, x: &Tensor, dy: &Tensor, grads: &mut Gradients) -> Result<Tensor> {
        let (dx, d_gain) = rms_norm_backward(x, &self.params[index].tensor, self.config.norm_eps, dy)?;
        grads.add(index, &d_gain)?;
        Ok(dx)
    }

    /// `[n, heads · D]` as `[n, heads, D]`.
    fn heads(&self, x: &Tensor) -> Result<Tensor> {
        let d = self.config.head_dim;
        Ok(x.reshape((x.dim(0)?, x.dim(1)? / d, d))?)
    }

    fn project(&self, normed: &Tensor) -> Result<Projections> {
        let BlockLayout { q, k, v, .. } = self.layout;
        Ok((
            self.heads(&q.forward(self.params, normed)?)?,
            self.heads(&k.forward(self.params, normed)?)?,
            self.heads(&v.forward(self.params, normed)?)?,
        ))
    }

    /// Before RoPE.
    pub(super) fn qkv(&self, x: &Tensor) -> Result<Projections> {
        self.project(&self.norm(self.layout.attn_norm, x)?)
    }

    /// x₂ from the block's input and the attention's output `[n, H, D]`.
    fn after_attention(&self, x: &Tensor, attended: &Tensor) -> Result<Tensor> {
        let flat = attended.flatten_from(1)?;
        Ok((x + self.layout.o.forward(self.params, &flat)?)?)
    }

    /// Rows of the feed-forward part that are handled at once.
    fn rows(&self) -> usize {
        (CHUNK / self.config.d_ff).max(1)
    }

    fn feed_forward(&self, x2: &Tensor) -> Result<Tensor> {
        let BlockLayout { gate, up, down, .. } = self.layout;
        let parts = chunks(x2.dim(0)?, self.rows()).map(|(at, rows)| {
            let x2 = x2.narrow(0, at, rows)?;
            let normed = self.norm(self.layout.ff_norm, &x2)?;
            let wide = swiglu(
                &gate.forward(self.params, &normed)?,
                &up.forward(self.params, &normed)?,
            )?;
            Ok((x2 + down.forward(self.params, &wide)?)?)
        });
        joined(parts.collect::<Result<Vec<_>>>()?)
    }

    /// The rest of the block after attention.
    pub(super) fn finish(&self, x: &Tensor, attended: &Tensor) -> Result<Tensor> {
        self.feed_forward(&self.after_attention(x, attended)?)
    }

    /// `[n, d_model]` to `[n, d_model]`.
    pub(super) fn forward(&self, x: &Tensor, cx: &Context) -> Result<Tensor> {
        let (q, k, v) = self.qkv(x)?;
        let q = rotate(&q, &cx.cos, &cx.sin, false)?;
        let k = rotate(&k, &cx.cos, &cx.sin, false)?;
        let (attended, _) = attention::varlen_attention(&q, &k, &v, cx.cu_seqlens(), self.scale())?;
        drop((q, k, v));
        self.finish(x, &attended)
    }

    /// dx from the block's input and dy; the parameters' gradients are added to `grads`.
    pub(super) fn backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        cx: &Context,
        grads: &mut Gradients,
    ) -> Result<Tensor> {
        let layout = self.layout;
        let normed = self.norm(layout.attn_norm, x)?;
        let (q, k, v) = self.project(&normed)?;
        let q = rotate(&q, &cx.cos, &cx.sin, false)?;
        let k = rotate(&k, &cx.cos, &cx.sin, false)?;
        let (o, lse) = attention::varlen_attention(&q, &k, &v, cx.cu_seqlens(), self.scale())?;
        let x2 = self.after_attention(x, &o)?;

        let dx2 = self.feed_forward_backward(&x2, dy, grads)?;
        drop(x2);
        let d_o = self.heads(&layout.o.backward(self.params, &o.flatten_from(1)?, &dx2, grads)?)?;
        let (dq, dk, dv) = {
            let (q, k, v) = (q, k, v);
            attention::varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, cx.cu_seqlens(), self.scale())?
        };
        drop((o, d_o));
        let dq = rotate(&dq, &cx.cos, &cx.sin, true)?.flatten_from(1)?;
        let dk = rotate(&dk, &cx.cos, &cx.sin, true)?.flatten_from(1)?;
        let d_normed = layout.q.backward(self.params, &normed, &dq, grads)?;
        let d_normed = (d_normed + layout.k.backward(self.params, &normed, &dk, grads)?)?;
        let dv = dv.flatten_from(1)?;
        let d_normed = (d_normed + layout.v.backward(self.params, &normed, &dv, grads)?)?;
        Ok((dx2 + self.norm_backward(layout.attn_norm, x, &d_normed, grads)?)?)
    }

    fn feed_forward_backward(&self, x2: &Tensor, dy: &Tensor, grads: &mut Gradients) -> Result<Tensor> {
        let BlockLayout {
            gate,
            up,
            down,
            ff_norm,
            ..
        } = self.layout;
        let mut parts = Vec::new();
        for (at, rows) in chunks(x2.dim(0)?, self.rows()) {
            let (x2, dy) = (x2.narrow(0, at, rows)?, dy.narrow(0, at, rows)?);
            let normed = self.norm(*ff_norm, &x2)?;
            let gates = gate.forward(self.params, &normed)?;
            let ups = up.forward(self.params, &normed)?;
            let d_wide = down.backward(self.params, &swiglu(&gates, &ups)?, &dy, grads)?;
            let (d_gates, d_ups) = swiglu_backward(&gates, &ups, &d_wide)?;
            drop((gates, ups, d_wide));
            let d_normed = gate.backward(self.params, &normed, &d_gates, grads)?;
            let d_normed = (d_normed + up.backward(self.params, &normed, &d_ups, grads)?)?;
            parts.push((dy + self.norm_backward(*ff_norm, &x2, &d_normed, grads)?)?);
        }
        joined(parts)
    }
}

/// Offsets and lengths of at most `size` covering `n`.
fn chunks(n: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(size).map(move |at| (at, size.min(n - at)))
}

/// Chunks of rows as one tensor; a single one is not copied.
fn joined(mut parts: Vec<Tensor>) -> Result<Tensor> {
    match parts.len() {
        1 => Ok(parts.swap_remove(0)),
        _ => Ok(Tensor::cat(&parts, 0)?),
    }
}
