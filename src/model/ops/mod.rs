//! The operations between matrix products, forward and backward.
//!
//! Each has two forms that give the same numbers up to rounding: fused loops for float32 on the CPU, and a
//! composition of candle's operations for every other device and dtype. Backward takes what forward took, so nothing
//! is kept between them.

mod norm;
mod rows;
mod swiglu;

use candle_core::DType;

pub(super) use norm::{rms_norm, rms_norm_backward};
pub(super) use rows::{gather_rows, scatter_add_rows};
pub(super) use swiglu::{swiglu, swiglu_backward};

/// The dtype of intermediate results: float32, or float64 for float64 tensors.
pub(super) fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

#[cfg(test)]
mod tests;
