//! The memory-bound operations.

use candle_core::{DType, Tensor};

use super::launch::{address, list, run, uninitialized};
use super::{check_sizes, gpu};
use crate::error::Result;
use crate::kernel::embedding::{self, Order};
use crate::kernel::{Element, optimizer, pointwise, rows};

/// `gain x / rms(x)`; `x: [n, d]`, `gain: [d]` of the same dtype.
pub(in crate::model) fn rms_norm(element: Element, x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    let (n, d) = x.dims2()?;
    check_sizes(&[n, d])?;
    let (x, gain) = (x.contiguous()?, gain.contiguous()?);
    let y = uninitialized((n, d), x.dtype(), x.device())?;
    let call = rows::rms_norm(
        element,
        [n, d],
        eps as f32,
        address(&x)?,
        address(&gain)?,
        address(&y)?,
    );
    run(gpu(&x)?, &call)?;
    Ok(y)
}

/// dx `[n, d]` and dgain `[d]` f32.
pub(in crate::model) fn rms_norm_backward(
    element: Element,
    x: &Tensor,
    gain: &Tensor,
    eps: f64,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (n, d) = x.dims2()?;
    check_sizes(&[n, d])?;
    let (x, gain, dy) = (x.contiguous()?, gain.contiguous()?, dy.contiguous()?);
    let dx = uninitialized((n, d), x.dtype(), x.device())?;
    let blocks = rows::norm_blocks(n);
    let sums = uninitialized((blocks, d), DType::F32, x.device())?;
    let d_gain = Tensor::zeros(d, DType::F32, x.device())?;
    let inputs = [address(&x)?, address(&gain)?, address(&dy)?];
    let call = rows::rms_norm_backward(
        element,
        [n, d],
        eps as f32,
        inputs,
        address(&dx)?,
        address(&sums)?,
    );
    run(gpu(&x)?, &call)?;
    let call = rows::add_column_sums(blocks, d, address(&sums)?, address(&d_gain)?);
    run(gpu(&x)?, &call)?;
    Ok((dx, d_gain))
}

/// `silu(gate) up`.
pub(in crate::model) fn swiglu(element: Element, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (gate, up) = (gate.contiguous()?, up.contiguous()?);
    let y = uninitialized(gate.shape(), gate.dtype(), gate.device())?;
    let call = pointwise::swiglu(
        element,
        gate.elem_count(),
        address(&gate)?,
        address(&up)?,
        address(&y)?,
    );
    run(gpu(&gate)?, &call)?;
    Ok(y)
}

/// dgate and dup.
pub(in crate::model) fn swiglu_backward(
    element: Element,
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (gate, up, dy) = (gate.contiguous()?, up.contiguous()?, dy.contiguous()?);
    let d_gate = uninitialized(gate.shape(), gate.dtype(), gate.device())?;
    let d_up = uninitialized(gate.shape(), gate.dtype(), gate.device())?;
    let inputs = [address(&gate)?, address(&up)?, address(&dy)?];
    let outputs = [address(&d_gate)?, address(&d_up)?];
    let call = pointwise::swiglu_backward(element, gate.elem_count(), inputs, outputs);
    run(gpu(&gate)?, &call)?;
    Ok((d_gate, d_up))
}

/// `x: [n, heads, d]` turned by `cos`, `sin`: `[n, d / 2]` f32, or back.
pub(in crate::model) fn rotate(
    element: Element,
    x: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    backward: bool,
) -> Result<Tensor> {
    let (n, heads, d) = x.dims3()?;
    check_sizes(&[n, heads, d])?;
    let (x, cos, sin) = (x.contiguous()?, cos.contiguous()?, sin.contiguous()?);
    let y = uninitialized((n, heads, d), x.dtype(), x.device())?;
    let tables = [address(&cos)?, address(&sin)?];
    let call = pointwise::rope(
        element,
        [n, heads, d],
        backward,
        [address(&x)?, address(&y)?],
        tables,
    );
    run(gpu(&x)?, &call)?;
    Ok(y)
}

/// Cross-entropy of each row of `logits: [rows, vocab]`, whose place weight · (softmax - one-hot) takes.
pub(in crate::model) fn cross_entropy_backward(
    element: Element,
    logits: Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<(Vec<f32>, Tensor)> {
    let (n, vocab) = logits.dims2()?;
    check_sizes(&[n, vocab])?;
    let logits = logits.contiguous()?;
    let targets = list(targets, logits.device())?;
    let weights = Tensor::new(weights, logits.device())?;
    let ce = uninitialized(n, DType::F32, logits.device())?;
    let addresses = (
        address(&logits)?,
        address(&targets)?,
        address(&weights)?,
        address(&ce)?,
    );
    let (at, targets_at, weights_at, ce_at) = addresses;
    let call = rows::cross_entropy(element, [n, vocab], at, targets_at, weights_at, ce_at);
    run(gpu(&logits)?, &call)?;
    Ok((ce.to_vec1()?, logits))
}

/// Adds row i of `dx: [n, d]` to row `ids[i]` of `table: [vocab, d]` f32, in place and in a fixed order.
pub(in crate::model) fn add_rows(element: Element, table: &Tensor, ids: &[u32], dx: &Tensor) -> Result<()> {
    let (n, d) = dx.dims2()?;
    check_sizes(&[n, d, table.dim(0)?])?;
    let dx = dx.contiguous()?;
    let made = Order::of(ids);
    let device = dx.device();
    let lists = [
        list(&made.order, device)?,
        list(&made.pieces, device)?,
        list(&made.several, device)?,
    ];
    let partial = uninitialized((made.n_slots.max(1), d), DType::F32, device)?;
    let at = [address(&lists[0])?, address(&lists[1])?, address(&lists[2])?];
    for call in embedding::add(
        element,
        d,
        &made,
        address(&dx)?,
        at,
        address(table)?,
        address(&partial)?,
    ) {
        run(gpu(&dx)?, &call)?;
    }
    Ok(())
}

/// Adds `x` to `sum`, f32, of the same shape, in place.
pub(in crate::model) fn accumulate(element: Element, sum: &Tensor, x: &Tensor) -> Result<()> {
    let x = x.contiguous()?;
    let call = pointwise::accumulate(element, x.elem_count(), address(sum)?, address(&x)?);
    run(gpu(sum)?, &call)
}

/// Sum of squares of a contiguous f32 tensor, in f64 and in a fixed order.
pub(in crate::model) fn squared_norm(x: &Tensor) -> Result<f64> {
    let n = x.elem_count();
    let parts = uninitialized(optimizer::norm_parts(n), DType::F64, x.device())?;
    run(
        gpu(x)?,
        &optimizer::squared_norm(n, address(x)?, address(&parts)?),
    )?;
    Ok(parts.to_vec1::<f64>()?.iter().sum())
}
