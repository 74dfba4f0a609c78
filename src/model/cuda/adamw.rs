//! AdamW on the tensors of one parameter, in place: every clone of a tensor sees the change.

use candle_core::{DType, Tensor};

use super::launch::{address, run};
use super::{element, failed, gpu};
use crate::error::Result;
use crate::kernel::optimizer::{self, AdamW};
use crate::kernel::{Address, Element};

/// One step of `weight` (f32 or bf16, on a GPU) by `gradient` with moments `m` and `v`: f32 tensors of the weight's
/// shape, as is `master`, which takes the update exactly. Without it, the weight is f32 and takes the update itself.
///
/// # Errors
/// The tensors do not fit together, or the device fails.
pub fn adamw(
    step: AdamW,
    weight: &Tensor,
    master: Option<&Tensor>,
    gradient: &Tensor,
    [m, v]: [&Tensor; 2],
) -> Result<()> {
    let (element, copy) = parameter(weight)?;
    let addresses = [
        beside(weight, master.unwrap_or(weight), DType::F32)?,
        copy,
        beside(weight, gradient, DType::F32)?,
        beside(weight, m, DType::F32)?,
        beside(weight, v, DType::F32)?,
    ];
    let call = optimizer::adamw(element, weight.elem_count(), step, addresses);
    run(gpu(weight)?, &call)
}

/// One step of `weight` (f32 or bf16, on a GPU) by `gradient`, f32, with moments `m` and `v`, bf16, all of the weight's
/// shape. What is bf16 is rounded at random, by `seed`, which differs from step to step and from parameter to parameter.
///
/// # Errors
/// The tensors do not fit together, or the device fails.
pub fn adamw_bf16(
    step: AdamW,
    seed: u64,
    weight: &Tensor,
    gradient: &Tensor,
    [m, v]: [&Tensor; 2],
) -> Result<()> {
    let (element, parameters) = parameter(weight)?;
    let addresses = [
        parameters,
        beside(weight, gradient, DType::F32)?,
        beside(weight, m, DType::BF16)?,
        beside(weight, v, DType::BF16)?,
    ];
    let call = optimizer::adamw_bf16(element, weight.elem_count(), step, seed, addresses);
    run(gpu(weight)?, &call)
}

fn parameter(weight: &Tensor) -> Result<(Element, Address)> {
    let element = element(weight).ok_or_else(|| {
        failed(format!(
            "expected an f32 or bf16 weight on a GPU, found {:?} on {:?}",
            weight.dtype(),
            weight.device()
        ))
    })?;
    Ok((element, address(weight)?))
}

/// Where `tensor` starts, which a kernel walks over together with `weight`.
fn beside(weight: &Tensor, tensor: &Tensor, dtype: DType) -> Result<Address> {
    if tensor.shape() != weight.shape() || tensor.dtype() != dtype {
        return Err(failed(format!(
            "expected a tensor {dtype:?} {:?} beside a weight, found {:?} {:?}",
            weight.shape(),
            tensor.dtype(),
            tensor.shape()
        )));
    }
    address(tensor)
}
