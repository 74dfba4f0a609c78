//! Float32 tensors on the CPU as slices, and loops over them that use the machine's vector units.

use std::cell::RefCell;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, StorageRef, Tensor};

/// Elements of an elementwise loop that one task handles.
pub(super) const BLOCK: usize = 1 << 14;

/// Whether the fused loops apply: float32 on the CPU.
pub(super) fn is_cpu_f32(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// The elements of a contiguous float32 tensor on the CPU.
pub(super) struct Floats<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(all)) => &all[self.range.clone()],
            _ => unreachable!("the kind of storage was checked when the slice was taken"),
        }
    }
}

/// The elements of `tensor`, not copied.
///
/// # Errors
/// It is not a contiguous float32 tensor on the CPU.
pub(super) fn floats(tensor: &Tensor) -> Result<Floats<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let range = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => start..end,
        _ => candle_core::bail!(
            "expected a contiguous float32 tensor on the CPU, found {:?}",
            tensor.shape()
        ),
    };
    Ok(Floats { storage, range })
}

/// Changes the elements of a contiguous float32 tensor on the CPU in place; every clone of the tensor
/// sees it. `change` is called once and must not touch the tensor in another way: it holds the storage's lock.
///
/// # Errors
/// It is not a contiguous float32 tensor on the CPU.
pub fn update_floats(tensor: &Tensor, change: impl FnMut(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&Update(RefCell::new(change)))
}

/// Candle hands an operation out by shared reference, although it runs it once.
struct Update<F>(RefCell<F>);

impl<F: FnMut(&mut [f32])> InplaceOp1 for Update<F> {
    fn name(&self) -> &'static str {
        "update_floats"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(all), Some((start, end))) => {
                (self.0.borrow_mut())(&mut all[start..end]);
                Ok(())
            }
            _ => candle_core::bail!("expected a contiguous float32 tensor to change in place"),
        }
    }
}

/// Runs a loop compiled for the machine's vector units. Results do not depend on which they are: nothing is
/// reordered or contracted.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Lanes of [`sum`]; the order of summation is fixed by it.
const LANES: usize = 16;

/// Σ f(i), in a fixed order that vector units can follow.
#[inline(always)]
pub(super) fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, value) in lanes.iter_mut().enumerate() {
            *value += f(start + lane);
        }
    }
    let mut total = lanes.iter().sum::<f32>();
    for i in whole..n {
        total += f(i);
    }
    total
}

/// The largest element; negative infinity of none.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let whole = values.chunks_exact(LANES);
    let rest = whole.remainder();
    for chunk in whole {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| larger(a, b))
}

/// eˣ to 2 units in the last place, for arguments up to 88; below -87.3 it stays at the smallest normal number.
///
/// Source: the range reduction and polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves a rounded integer in the low bits
    let x = x.clamp(-87.33, 88.37);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5e-1;
    let y = p * (r * r) + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    y * f32::from_bits(((exponent + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_exponential_is_exact_to_two_units_in_the_last_place() {
        let mut worst = 0f64;
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.5e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1.3e-38 && exp(f32::NEG_INFINITY) < 1.3e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_cover_every_element() {
        for n in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum(n, |i| values[i]), (n * n.saturating_sub(1) / 2) as f32);
            assert_eq!(
                largest(&values),
                values.last().copied().unwrap_or(f32::NEG_INFINITY)
            );
        }
    }

    #[test]
    fn a_change_in_place_is_seen_by_clones_of_the_tensor() {
        let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let clone = tensor.clone();
        update_floats(&tensor.narrow(0, 1, 1).unwrap(), |row| row.fill(2.0)).unwrap();
        assert_eq!(&*floats(&clone).unwrap(), [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
        assert!(floats(&tensor.t().unwrap()).is_err());
    }
}
