//! The second route of attention: products of cuBLAS around the kernels of [`crate::kernel::scores`].
//!
//! A chunk of query rows of one segment at a time, for one query head of every key head: the products of all key heads
//! are one batched call. Memory is what a chunk's scores take, at any length.

use std::ffi::c_void;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::{D, DType, Tensor};

use super::attention::{Inputs, Outputs};
use super::launch::{address, run, uninitialized};
use super::{check_sizes, gpu};
use crate::error::Result;
use crate::kernel::scores::{self, Chunk};
use crate::kernel::{Address, Element};

/// Scores that exist at once.
const SCORES: usize = 1 << 26;

/// Fills `o` and `lse`.
pub(super) fn forward(
    element: Element,
    inputs: &Inputs,
    cu_seqlens: &[u32],
    o: &Tensor,
    lse: &Tensor,
) -> Result<()> {
    for piece in pieces(inputs, cu_seqlens) {
        let (s, p) = (piece.room(DType::F32)?, piece.room(o.dtype())?);
        piece.multiply(
            piece.queries(&inputs.q)?,
            piece.keys(&inputs.k)?.transposed(),
            piece.weights(&s)?,
            false,
        )?;
        let call = scores::softmax(
            element,
            piece.chunk(),
            address(&s)?,
            address(&p)?,
            piece.figure(lse)?,
        );
        run(gpu(o)?, &call)?;
        piece.multiply(
            piece.weights(&p)?,
            piece.keys(&inputs.v)?,
            piece.queries(o)?,
            false,
        )?;
    }
    Ok(())
}

/// dq, dk and dv.
pub(super) fn backward(
    element: Element,
    inputs: &Inputs,
    outputs: &Outputs,
    cu_seqlens: &[u32],
) -> Result<(Tensor, Tensor, Tensor)> {
    let Inputs { q, k, v, .. } = inputs;
    let d_o = &outputs.d_o;
    let products = (outputs.o.to_dtype(DType::F32)? * d_o.to_dtype(DType::F32)?)?;
    let delta = products.sum(D::Minus1)?.t()?.contiguous()?;
    let dq = uninitialized(q.shape(), q.dtype(), q.device())?;
    // Sums over chunks of queries, and over the query heads of a group.
    let dk = Tensor::zeros(k.shape(), DType::F32, k.device())?;
    let dv = Tensor::zeros(v.shape(), DType::F32, v.device())?;
    for piece in pieces(inputs, cu_seqlens) {
        let (s, dp) = (piece.room(DType::F32)?, piece.room(DType::F32)?);
        let (p, ds) = (piece.room(q.dtype())?, piece.room(q.dtype())?);
        piece.multiply(
            piece.queries(q)?,
            piece.keys(k)?.transposed(),
            piece.weights(&s)?,
            false,
        )?;
        piece.multiply(
            piece.queries(d_o)?,
            piece.keys(v)?.transposed(),
            piece.weights(&dp)?,
            false,
        )?;
        let figures = [piece.figure(&outputs.lse)?, piece.figure(&delta)?];
        let (from, to) = ([address(&s)?, address(&dp)?], [address(&p)?, address(&ds)?]);
        run(
            gpu(q)?,
            &scores::gradient(element, piece.chunk(), from, to, figures),
        )?;
        piece.multiply(piece.weights(&ds)?, piece.keys(k)?, piece.queries(&dq)?, false)?;
        piece.multiply(
            piece.weights(&ds)?.transposed(),
            piece.queries(q)?,
            piece.keys(&dk)?,
            true,
        )?;
        piece.multiply(
            piece.weights(&p)?.transposed(),
            piece.queries(d_o)?,
            piece.keys(&dv)?,
            true,
        )?;
    }
    Ok((dq, dk.to_dtype(k.dtype())?, dv.to_dtype(v.dtype())?))
}

/// Query rows `row..row + rows` of the segment `begin..begin + width`, for the query heads `member` of each group.
struct Piece<'a> {
    inputs: &'a Inputs,
    row: usize,
    rows: usize,
    begin: usize,
    width: usize,
    member: usize,
}

fn pieces<'a>(inputs: &'a Inputs, cu_seqlens: &[u32]) -> Vec<Piece<'a>> {
    let sizes = inputs.sizes;
    let mut pieces = Vec::new();
    for segment in cu_seqlens.windows(2) {
        let (begin, end) = (segment[0] as usize, segment[1] as usize);
        let most = (SCORES / (sizes.kv_heads * (end - begin))).max(1);
        for row in (begin..end).step_by(most) {
            pieces.extend((0..sizes.heads / sizes.kv_heads).map(|member| Piece {
                inputs,
                row,
                rows: most.min(end - row),
                begin,
                width: end - begin,
                member,
            }));
        }
    }
    pieces
}

/// One matrix per key head, row-major.
#[derive(Clone, Copy)]
struct Matrices {
    start: Address,
    dtype: DType,
    rows: usize,
    columns: usize,
    /// Elements from row to row.
    row_stride: usize,
    /// Elements from matrix to matrix.
    stride: usize,
    transposed: bool,
}

impl Matrices {
    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }
}

impl Piece<'_> {
    fn chunk(&self) -> Chunk {
        let sizes = self.inputs.sizes;
        Chunk {
            kv_heads: sizes.kv_heads,
            rows: self.rows,
            width: self.width,
            head_stride: sizes.heads / sizes.kv_heads * sizes.n,
            scale: sizes.scale,
        }
    }

    /// Room for the piece's scores.
    fn room(&self, dtype: DType) -> Result<Tensor> {
        let shape = (self.inputs.sizes.kv_heads, self.rows, self.width);
        uninitialized(shape, dtype, self.inputs.q.device())
    }

    /// The piece's first number in a tensor `[H, n]` f32.
    fn figure(&self, of: &Tensor) -> Result<Address> {
        Ok(address(of)?.offset((self.member * self.inputs.sizes.n + self.row) * 4))
    }

    /// Its rows of a tensor `[n, H, D]`.
    fn queries(&self, of: &Tensor) -> Result<Matrices> {
        let Inputs { sizes, d, .. } = self.inputs;
        let start = (self.row * sizes.heads + self.member) * d;
        Ok(Matrices {
            start: address(of)?.offset(start * of.dtype().size_in_bytes()),
            dtype: of.dtype(),
            rows: self.rows,
            columns: *d,
            row_stride: sizes.heads * d,
            stride: sizes.heads / sizes.kv_heads * d,
            transposed: false,
        })
    }

    /// The segment's rows of a tensor `[n, H_kv, D]`.
    fn keys(&self, of: &Tensor) -> Result<Matrices> {
        let Inputs { sizes, d, .. } = self.inputs;
        let start = self.begin * sizes.kv_heads * d;
        Ok(Matrices {
            start: address(of)?.offset(start * of.dtype().size_in_bytes()),
            dtype: of.dtype(),
            rows: self.width,
            columns: *d,
            row_stride: sizes.kv_heads * d,
            stride: *d,
            transposed: false,
        })
    }

    /// A tensor `[H_kv, rows, width]`.
    fn weights(&self, of: &Tensor) -> Result<Matrices> {
        Ok(Matrices {
            start: address(of)?,
            dtype: of.dtype(),
            rows: self.rows,
            columns: self.width,
            row_stride: self.width,
            stride: self.rows * self.width,
            transposed: false,
        })
    }

    /// `out = left · right`, or `out += …`, for every key head.
    fn multiply(&self, left: Matrices, right: Matrices, out: Matrices, add: bool) -> Result<()> {
        check_sizes(&[left.row_stride, right.row_stride, out.row_stride])?;
        let int = |size: usize| i32::try_from(size).expect("sizes of attention are checked before");
        let stride = |size: usize| i64::try_from(size).expect("a stride is below 2^63");
        let dtype = |dtype| match dtype {
            DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
            _ => sys::cudaDataType::CUDA_R_32F,
        };
        let operation = |transposed| match transposed {
            true => sys::cublasOperation_t::CUBLAS_OP_T,
            false => sys::cublasOperation_t::CUBLAS_OP_N,
        };
        let (one, beta) = (1f32, if add { 1f32 } else { 0f32 });
        let blas = gpu(&self.inputs.q)?.cublas_handle();
        // cuBLAS counts by columns: it is told to multiply the transposes in the other order.
        // SAFETY: the matrices lie in tensors that live until the call is in the stream, by their own strides.
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
                dtype(right.dtype),
                int(right.row_stride),
                stride(right.stride),
                left.start.0 as *const c_void,
                dtype(left.dtype),
                int(left.row_stride),
                stride(left.stride),
                (&raw const beta).cast(),
                out.start.0 as *mut c_void,
                dtype(out.dtype),
                int(out.row_stride),
                stride(out.stride),
                int(self.inputs.sizes.kv_heads),
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
            )
        }
        .w()?;
        Ok(())
    }
}
