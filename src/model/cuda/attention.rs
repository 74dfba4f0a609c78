//! Attention on a GPU: which of two routes, and the flash route.

use candle_core::{D, DType, Device, Tensor};

use super::launch::{address, list, run, uninitialized};
use super::{check_sizes, element, gpu, products};
use crate::error::Result;
use crate::kernel::attention::Sizes;
use crate::kernel::flash::{self, Backward, Qkv, Work};
use crate::kernel::{Element, HeadDim, KEY_TILE, QUERY_TILE, tiles};

/// How attention is computed on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Route {
    /// Flash kernels: bf16, heads of 64 or 128.
    Flash(HeadDim),
    /// Products of cuBLAS, with a chunk of the scores in memory.
    Products(Element),
}

impl Route {
    /// The fastest route for these queries; none where the kernels do not apply.
    pub(in crate::model) fn of(q: &Tensor) -> Option<Self> {
        let element = element(q)?;
        match (element, HeadDim::of(q.dim(D::Minus1).ok()?)) {
            (Element::Bf16, Some(d)) => Some(Self::Flash(d)),
            _ => Some(Self::Products(element)),
        }
    }
}

/// What goes into attention, contiguous.
pub(super) struct Inputs {
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    pub(super) sizes: Sizes,
    /// Width of a head.
    pub(super) d: usize,
}

impl Inputs {
    fn of(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Self> {
        let ((n, heads, d), kv_heads) = (q.dims3()?, k.dim(1)?);
        check_sizes(&[n, heads * d])?;
        let scale = scale as f32;
        Ok(Self {
            q: q.contiguous()?,
            k: k.contiguous()?,
            v: v.contiguous()?,
            sizes: Sizes {
                n,
                heads,
                kv_heads,
                scale,
            },
            d,
        })
    }

    pub(super) fn qkv(&self) -> Result<Qkv> {
        Ok(Qkv {
            q: address(&self.q)?,
            k: address(&self.k)?,
            v: address(&self.v)?,
        })
    }
}

/// What backward gets beside [`Inputs`], contiguous.
pub(super) struct Outputs {
    pub(super) o: Tensor,
    pub(super) lse: Tensor,
    pub(super) d_o: Tensor,
}

/// A work list on the device; the tensor keeps it alive until the launch is in the stream.
fn work(cu_seqlens: &[u32], size: u32, device: &Device) -> Result<(Work, Tensor)> {
    let made = tiles(cu_seqlens, size);
    let kept = list(&made, device)?;
    let work = Work {
        tiles: address(&kept)?,
        n: made.len(),
    };
    Ok((work, kept))
}

/// o `[n, H, D]` and the log-sum-exp `[H, n]` f32.
pub(in crate::model) fn forward(
    route: Route,
    [q, k, v]: [&Tensor; 3],
    cu_seqlens: &[u32],
    scale: f64,
) -> Result<(Tensor, Tensor)> {
    let inputs = Inputs::of(q, k, v, scale)?;
    let o = uninitialized(q.shape(), q.dtype(), q.device())?;
    let lse = uninitialized((inputs.sizes.heads, inputs.sizes.n), DType::F32, q.device())?;
    match route {
        Route::Flash(d) => {
            let (work, _kept) = work(cu_seqlens, QUERY_TILE, q.device())?;
            let call = flash::forward(d, inputs.sizes, work, inputs.qkv()?, address(&o)?, address(&lse)?);
            run(gpu(q)?, &call)?;
        }
        Route::Products(element) => products::forward(element, &inputs, cu_seqlens, &o, &lse)?,
    }
    Ok((o, lse))
}

/// dq, dk and dv; the same bits every time.
pub(in crate::model) fn backward(
    route: Route,
    [q, k, v]: [&Tensor; 3],
    [o, lse, d_o]: [&Tensor; 3],
    cu_seqlens: &[u32],
    scale: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let inputs = Inputs::of(q, k, v, scale)?;
    let outputs = Outputs {
        o: o.contiguous()?,
        lse: lse.contiguous()?,
        d_o: d_o.contiguous()?,
    };
    match route {
        Route::Flash(d) => flash_backward(d, &inputs, &outputs, cu_seqlens),
        Route::Products(element) => products::backward(element, &inputs, &outputs, cu_seqlens),
    }
}

fn flash_backward(
    d: HeadDim,
    inputs: &Inputs,
    outputs: &Outputs,
    cu_seqlens: &[u32],
) -> Result<(Tensor, Tensor, Tensor)> {
    let (device, sizes) = (gpu(&inputs.q)?, inputs.sizes);
    let (queries, _kept_queries) = work(cu_seqlens, QUERY_TILE, inputs.q.device())?;
    let (keys, _kept_keys) = work(cu_seqlens, KEY_TILE, inputs.q.device())?;
    let delta = uninitialized((sizes.heads, sizes.n), DType::F32, inputs.q.device())?;
    let like = |tensor: &Tensor| uninitialized(tensor.shape(), tensor.dtype(), tensor.device());
    let (dq, dk, dv) = (like(&inputs.q)?, like(&inputs.k)?, like(&inputs.v)?);
    let from = Backward {
        d_o: address(&outputs.d_o)?,
        lse: address(&outputs.lse)?,
        delta: address(&delta)?,
    };
    let gradients = [address(&dk)?, address(&dv)?];
    let qkv = inputs.qkv()?;
    run(
        device,
        &flash::delta(d, sizes, address(&outputs.o)?, from.d_o, from.delta),
    )?;
    run(
        device,
        &flash::backward_q(d, sizes, queries, qkv, from, address(&dq)?),
    )?;
    run(
        device,
        &flash::backward_kv(d, sizes, keys, qkv, from, None, gradients),
    )?;
    Ok((dq, dk, dv))
}
