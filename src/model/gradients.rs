//! Where gradients are summed up: one float32 tensor per trained parameter.

use candle_core::Tensor;

use super::Model;
use crate::error::Result;

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
    pub fn zeros(_model: &Model) -> Result<Self> {
        todo!()
    }

    /// The gradient of the parameter with this index, f32, or `None` if it is frozen.
    pub fn get(&self, index: usize) -> Option<&Tensor> {
        self.slots.get(index)?.as_ref()
    }

    /// Index and gradient of every trained parameter, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Tensor)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(i, slot)| Some((i, slot.as_ref()?)))
    }

    /// Sets all of them to zero, without allocating.
    ///
    /// # Errors
    /// The device fails.
    pub fn clear(&mut self) -> Result<()> {
        todo!()
    }

    /// Adds `gradient` (any float dtype, the parameter's shape) to a slot; nothing if it is frozen.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn add(&mut self, _index: usize, _gradient: &Tensor) -> Result<()> {
        todo!()
    }

    /// Sum of squares over all gradients, in f64 and in a fixed order.
    ///
    /// # Errors
    /// The device fails.
    pub fn squared_norm(&self) -> Result<f64> {
        todo!()
    }
}
