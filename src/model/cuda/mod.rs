//! The kernels of [`crate::kernel`] on tensors of a GPU.
//!
//! Where there is no kernel for a device, dtype or shape, nothing here is called, and the composition of candle's
//! operations does the work. Everything runs on the device's one stream, in the order of the calls; nothing waits.

mod adamw;
pub(super) mod attention;
mod card;
mod launch;
pub(super) mod ops;
mod products;

use candle_core::{CudaDevice, DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::kernel::Element;

pub use adamw::{adamw, adamw_bf16};
pub use card::{Card, Facts};
pub use launch::settle;

/// The element type of a tensor that the kernels can work on: f32 or bf16 on a GPU.
pub fn element(tensor: &Tensor) -> Option<Element> {
    match (tensor.device(), tensor.dtype()) {
        (Device::Cuda(_), DType::BF16) => Some(Element::Bf16),
        (Device::Cuda(_), DType::F32) => Some(Element::F32),
        _ => None,
    }
}

/// The GPU of a tensor.
fn gpu(tensor: &Tensor) -> Result<&CudaDevice> {
    Ok(tensor.device().as_cuda_device()?)
}

/// Whether every size fits the kernels' 32-bit numbers.
fn check_sizes(sizes: &[usize]) -> Result<()> {
    match sizes.iter().find(|size| i32::try_from(**size).is_err()) {
        Some(size) => Err(failed(format!(
            "a size of {size} is beyond what the GPU kernels count to"
        ))),
        None => Ok(()),
    }
}

fn failed(message: String) -> Error {
    candle_core::Error::Msg(message).into()
}
