//! Linear maps: weight, optional bias, optional low-rank adapter.

use candle_core::Tensor;

use super::{Gradients, Param};
use crate::error::Result;

/// A low-rank adapter on the linear maps of every block.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraOptions {
    /// Rank of the two factors.
    pub rank: usize,
    /// The product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Which maps: any of `q`, `k`, `v`, `o`, `gate`, `up`, `down`.
    pub targets: Vec<String>,
}

/// y = x Wᵀ + b + scale · (x Aᵀ) Bᵀ; the fields are places in the model's list of parameters.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    /// W `[out, in]`.
    pub(super) weight: usize,
    /// b `[out]`.
    pub(super) bias: Option<usize>,
    pub(super) lora: Option<Lora>,
}

/// The adapter of a linear map.
#[derive(Debug, Clone)]
pub(super) struct Lora {
    /// A `[rank, in]`.
    pub(super) a: usize,
    /// B `[out, rank]`.
    pub(super) b: usize,
    /// α / rank.
    pub(super) scale: f64,
}

impl Linear {
    /// `x: [n, in]` to `[n, out]`.
    pub(super) fn forward(&self, params: &[Param], x: &Tensor) -> Result<Tensor> {
        let mut y = x.matmul(&params[self.weight].tensor.t()?)?;
        if let Some(bias) = self.bias {
            y = y.broadcast_add(&params[bias].tensor)?;
        }
        if let Some(lora) = &self.lora {
            let low = x.matmul(&params[lora.a].tensor.t()?)?;
            let high = low.matmul(&params[lora.b].tensor.t()?)?;
            y = (y + (high * lora.scale)?)?;
        }
        Ok(y)
    }

    /// dx from `x: [n, in]` and `dy: [n, out]`; gradients of the parameters are added to `grads`.
    pub(super) fn backward(
        &self,
        params: &[Param],
        x: &Tensor,
        dy: &Tensor,
        grads: &mut Gradients,
    ) -> Result<Tensor> {
        if grads.wants(self.weight) {
            grads.add(self.weight, &dy.t()?.matmul(x)?)?;
        }
        if let Some(bias) = self.bias
            && grads.wants(bias)
        {
            grads.add(bias, &column_sums(dy)?)?;
        }
        let mut dx = dy.matmul(&params[self.weight].tensor)?;
        if let Some(lora) = &self.lora {
            let (a, b) = (&params[lora.a].tensor, &params[lora.b].tensor);
            let scaled = (dy * lora.scale)?;
            let d_low = scaled.matmul(b)?;
            grads.add(lora.b, &scaled.t()?.matmul(&x.matmul(&a.t()?)?)?)?;
            grads.add(lora.a, &d_low.t()?.matmul(x)?)?;
            dx = (dx + d_low.matmul(a)?)?;
        }
        Ok(dx)
    }
}

/// Σ over rows of `[n, m]` in float32 or wider, as a product with ones: `[m]`.
fn column_sums(x: &Tensor) -> Result<Tensor> {
    let (n, m) = x.dims2()?;
    let ones = Tensor::ones((1, n), x.dtype(), x.device())?;
    Ok(ones.matmul(x)?.reshape(m)?)
}
