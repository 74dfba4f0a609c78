//! Where gradients are summed up: one float32 tensor per trained parameter.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use super::cuda;
use super::floats::{BLOCK, floats, is_cpu_f32, update_floats, vectorized};
use super::ops::{scatter_add_rows, wide};
use super::{Model, unfit};
use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::kernel::Element;

/// Gradients by parameter index, accumulated in place. A parameter without a slot is frozen: its
/// gradient is never computed.
#[derive(Debug)]
pub struct Gradients {
    slots: Vec<Option<Tensor>>,
}

impl Gradients {
    /// Zeros for every trainable parameter of `model` (all of them; with LoRA, only the adapters).
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn zeros(model: &Model) -> Result<Self> {
        let slots = model.params().iter().enumerate().map(|(index, param)| {
            let tensor = &param.tensor;
            let zeros = || Tensor::zeros(tensor.shape(), wide(tensor.dtype()), tensor.device());
            model.is_trainable(index).then(zeros).transpose()
        });
        Ok(Self {
            slots: slots.collect::<candle_core::Result<_>>()?,
        })
    }

    /// Whether the parameter with this index is trained.
    pub fn wants(&self, index: usize) -> bool {
        self.get(index).is_some()
    }

    /// The gradient of the parameter with this index, f32, or `None` if it is frozen.
    pub fn get(&self, index: usize) -> Option<&Tensor> {
        self.slots.get(index)?.as_ref()
    }

    /// Index and gradient of every trained parameter, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Tensor)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    /// Sets all of them to zero, in place.
    ///
    /// # Errors
    /// The device fails.
    pub fn clear(&mut self) -> Result<()> {
        for slot in self.slots.iter_mut().flatten() {
            if is_cpu_f32(slot) {
                update_floats(slot, |sum| {
                    sum.par_chunks_mut(BLOCK).for_each(|sum| sum.fill(0.0))
                })?;
            } else {
                slot.zero_set()?;
            }
        }
        Ok(())
    }

    /// Adds `gradient` (any float dtype, the parameter's shape) to a slot; nothing if it is frozen.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn add(&mut self, index: usize, gradient: &Tensor) -> Result<()> {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        if slot.shape() != gradient.shape() {
            return Err(unfit(format!(
                "gradient of shape {:?} for a parameter of shape {:?}",
                gradient.shape(),
                slot.shape()
            )));
        }
        #[cfg(feature = "cuda")]
        if let Some(element) = cuda::element(gradient).filter(|_| slot.dtype() == DType::F32) {
            return cuda::ops::accumulate(element, slot, gradient);
        }
        if !is_cpu_f32(slot) {
            *slot = (&*slot + gradient.to_dtype(slot.dtype())?)?;
            return Ok(());
        }
        let gradient = gradient.to_dtype(DType::F32)?.contiguous()?;
        let values = floats(&gradient)?;
        update_floats(slot, |sum| {
            sum.par_chunks_mut(BLOCK)
                .zip(values.par_chunks(BLOCK))
                .for_each(|(sum, values)| {
                    vectorized(|| sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value));
                });
        })?;
        Ok(())
    }

    /// Adds row i of `rows: [numbers.len(), d]` to row `numbers[i]` of a slot; nothing if it is frozen.
    ///
    /// # Errors
    /// The widths differ, or the device fails.
    pub(super) fn add_rows(&mut self, index: usize, numbers: &[u32], rows: &Tensor) -> Result<()> {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        if is_cpu_f32(slot) {
            return scatter_add_rows(slot, numbers, &rows.to_dtype(DType::F32)?.contiguous()?);
        }
        #[cfg(feature = "cuda")]
        if let Some(element) = cuda::element(rows).filter(|_| slot.dtype() == DType::F32) {
            return cuda::ops::add_rows(element, slot, numbers, rows);
        }
        let numbers = Tensor::new(numbers, slot.device())?;
        *slot = slot.index_add(&numbers, &rows.to_dtype(slot.dtype())?, 0)?;
        Ok(())
    }

    /// Sum of squares over all gradients, in f64 and in a fixed order.
    ///
    /// # Errors
    /// The device fails.
    pub fn squared_norm(&self) -> Result<f64> {
        let mut total = 0.0;
        for (_, gradient) in self.iter() {
            #[cfg(feature = "cuda")]
            if cuda::element(gradient) == Some(Element::F32) {
                total += cuda::ops::squared_norm(gradient)?;
                continue;
            }
            total += if is_cpu_f32(gradient) {
                let square = |x: &f32| f64::from(*x) * f64::from(*x);
                let blocks = floats(gradient)?;
                let parts: Vec<f64> = blocks
                    .par_chunks(BLOCK)
                    .map(|block| block.iter().map(square).sum())
                    .collect();
                parts.iter().sum::<f64>()
            } else {
                let sum = gradient.sqr()?.sum_all()?.to_dtype(DType::F64)?;
                sum.to_scalar::<f64>()?
            };
        }
        Ok(total)
    }
}
