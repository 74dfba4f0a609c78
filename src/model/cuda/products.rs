//! The second route of attention: cuBLAS does the products of [`crate::kernel::products`].

use std::ffi::{c_int, c_longlong, c_void};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::{CudaDevice, D, DType, Tensor};

use super::attention::{Inputs, Outputs};
use super::gpu;
use super::launch::{address, run, uninitialized};
use crate::error::Result;
use crate::kernel::Element;
use crate::kernel::products::{Attention, Backward, Product, Step};

fn attention<'a>(
    element: Element,
    inputs: &Inputs,
    cu_seqlens: &'a [u32],
    lse: &Tensor,
) -> Result<Attention<'a>> {
    Ok(Attention {
        element,
        sizes: inputs.sizes,
        d: inputs.d,
        cu_seqlens,
        qkv: inputs.qkv()?,
        lse: address(lse)?,
    })
}

/// Fills `o` and `lse`.
pub(super) fn forward(
    element: Element,
    inputs: &Inputs,
    cu_seqlens: &[u32],
    o: &Tensor,
    lse: &Tensor,
) -> Result<()> {
    let attention = attention(element, inputs, cu_seqlens, lse)?;
    let n = attention.n_scores().max(1);
    let s = uninitialized(n, DType::F32, o.device())?;
    let p = uninitialized(n, o.dtype(), o.device())?;
    follow(
        gpu(o)?,
        &attention.forward(address(o)?, address(&s)?, address(&p)?),
    )
}

/// dq, dk and dv.
pub(super) fn backward(
    element: Element,
    inputs: &Inputs,
    outputs: &Outputs,
    cu_seqlens: &[u32],
) -> Result<(Tensor, Tensor, Tensor)> {
    let Inputs { q, k, v, .. } = inputs;
    let products = (outputs.o.to_dtype(DType::F32)? * outputs.d_o.to_dtype(DType::F32)?)?;
    let delta = products.sum(D::Minus1)?.t()?.contiguous()?;
    let attention = attention(element, inputs, cu_seqlens, &outputs.lse)?;
    let n = attention.n_scores().max(1);
    let space = |dtype| uninitialized(n, dtype, q.device());
    let (s, dp, p, ds) = (
        space(DType::F32)?,
        space(DType::F32)?,
        space(q.dtype())?,
        space(q.dtype())?,
    );
    let dq = uninitialized(q.shape(), q.dtype(), q.device())?;
    let dk = Tensor::zeros(k.shape(), DType::F32, k.device())?;
    let dv = Tensor::zeros(v.shape(), DType::F32, v.device())?;
    let steps = attention.backward(Backward {
        d_o: address(&outputs.d_o)?,
        delta: address(&delta)?,
        scores: [address(&s)?, address(&dp)?],
        weights: [address(&p)?, address(&ds)?],
        dq: address(&dq)?,
        dk: address(&dk)?,
        dv: address(&dv)?,
    });
    follow(gpu(q)?, &steps)?;
    Ok((dq, dk.to_dtype(k.dtype())?, dv.to_dtype(v.dtype())?))
}

fn follow(device: &CudaDevice, steps: &[Step]) -> Result<()> {
    steps.iter().try_for_each(|step| match step {
        Step::Product(product) => multiply(device, product),
        Step::Call(call) => run(device, call),
    })
}

/// Puts a product into the device's stream.
pub(super) fn multiply(device: &CudaDevice, product: &Product) -> Result<()> {
    let Product {
        left,
        right,
        out,
        add,
        n,
    } = product;
    let int = |size: usize| c_int::try_from(size).expect("sizes of attention are checked before");
    let long = |size: usize| c_longlong::try_from(size).expect("a stride is below 2^63");
    let dtype = |element| match element {
        Element::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        Element::F32 => sys::cudaDataType::CUDA_R_32F,
    };
    let operation = |transposed| match transposed {
        true => sys::cublasOperation_t::CUBLAS_OP_T,
        false => sys::cublasOperation_t::CUBLAS_OP_N,
    };
    let (one, beta) = (1f32, f32::from(u8::from(*add)));
    let blas = device.cublas_handle();
    // cuBLAS counts by columns: it is told to multiply the transposes in the other order.
    // SAFETY: the matrices lie in tensors that live until the call is in the stream, with their own strides.
    unsafe {
        result::gemm_strided_batched_ex(
            *blas.handle(),
            operation(right.transposed),
            operation(left.transposed),
            int(out.columns),
            int(out.rows),
            int(left.columns),
            (&raw const one).cast(),
            right.start.0 as *const c_void,
            dtype(right.element),
            int(right.row_stride),
            long(right.stride),
            left.start.0 as *const c_void,
            dtype(left.element),
            int(left.row_stride),
            long(left.stride),
            (&raw const beta).cast(),
            out.start.0 as *mut c_void,
            dtype(out.element),
            int(out.row_stride),
            long(out.stride),
            int(*n),
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .w()?;
    Ok(())
}
