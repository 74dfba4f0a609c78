//! Attention through its door: what a model would get.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use super::Report;
use crate::error::Result;
use crate::model::attention::{varlen_attention, varlen_attention_backward};

/// Lengths of segments, query heads, key heads, width of a head: every route, and a width without kernels.
const SHAPES: [(&[u32], usize, usize, usize); 4] = [
    (&[150, 1, 65, 40], 4, 2, 64),
    (&[1, 128, 257], 4, 1, 128),
    (&[70, 33], 2, 2, 80),
    (&[700], 2, 1, 128),
];

pub(super) fn check(report: &mut Report, device: &Device, seed: u64, deadline: Instant) {
    let dtypes: &[DType] = if device.is_cpu() {
        &[DType::F32]
    } else {
        &[DType::F32, DType::BF16]
    };
    for (number, (shape, dtype)) in SHAPES
        .iter()
        .flat_map(|s| dtypes.iter().map(move |d| (s, d)))
        .enumerate()
    {
        let (lens, heads, kv_heads, d) = *shape;
        let what = format!("attention, {dtype:?}, lengths {lens:?}, heads {heads}/{kv_heads} of {d}");
        report.attempt(&what, deadline, |report| {
            let n = lens.iter().sum::<u32>() as usize;
            let numbers = |place: u64, heads: usize| -> Result<Tensor> {
                let numbers = normal(seed ^ (number as u64 * 4 + place), n * heads * d);
                Ok(Tensor::from_vec(numbers, (n, heads, d), device)?.to_dtype(*dtype)?)
            };
            let (q, k, v, d_o) = (
                numbers(0, heads)?,
                numbers(1, kv_heads)?,
                numbers(2, kv_heads)?,
                numbers(3, heads)?,
            );
            let got = both(&q, &k, &v, &d_o, lens)?;
            let exact = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64);
            let expected = both(&exact(&q)?, &exact(&k)?, &exact(&v)?, &exact(&d_o)?, lens)?;
            let limit = if *dtype == DType::F32 { 1e-5 } else { 1e-2 };
            for ((output, got), expected) in ["o", "lse", "dq", "dk", "dv"].iter().zip(&got).zip(&expected) {
                report.compare(format!("{what}: {output}"), got, expected, limit)?;
            }
            Ok(())
        });
    }
}

/// o, lse, dq, dk and dv.
fn both(q: &Tensor, k: &Tensor, v: &Tensor, d_o: &Tensor, lens: &[u32]) -> Result<[Tensor; 5]> {
    let mut cu_seqlens = vec![0];
    cu_seqlens.extend(lens.iter().scan(0, |end, len| {
        *end += len;
        Some(*end)
    }));
    let scale = 1.0 / (q.dim(2)? as f64).sqrt();
    let (o, lse) = varlen_attention(q, k, v, &cu_seqlens, scale)?;
    let (dq, dk, dv) = varlen_attention_backward(q, k, v, &o, &lse, d_o, &cu_seqlens, scale)?;
    Ok([o, lse, dq, dk, dv])
}

/// Standard normal numbers: SplitMix64 and Box-Muller.
pub(super) fn normal(seed: u64, n: usize) -> Vec<f32> {
    let uniform = |place: u64| {
        let mut z = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let number = |i: u64| {
        let radius = (-2.0 * (1.0 - uniform(2 * i + 1)).ln()).sqrt();
        (radius * (std::f64::consts::TAU * uniform(2 * i + 2)).cos()) as f32
    };
    (0..n as u64).map(number).collect()
}
