//! AdamW over a model's trained parameters.
//!
//! The state of a parameter (its moments, and a 32-bit copy where it computes in 16 bits) is beside the parameter: on
//! a GPU one kernel updates all of it there. It may also be kept in host memory, where it costs a GPU nothing and every
//! step a transfer of all gradients and weights. Both are saved in the same form.

mod adamw;
#[cfg(feature = "cuda")]
mod device;
mod host;
mod rounding;

use std::fmt::Debug;

use candle_core::{DType, Tensor};

use self::adamw::Update;
use crate::error::{Error, Result};
use crate::kernel::optimizer::AdamW;
use crate::model::{Gradients, Model};
use crate::pack::seed::derive;
use crate::train::checkpoint::{Content, NamedTensor};
use crate::train::recipe::{self, Decay, StateDtype};

/// The optimizer's state and settings.
#[derive(Debug)]
pub struct Optimizer {
    settings: recipe::Optimizer,
    seed: u64,
    slots: Vec<Slot>,
}

/// One trained parameter.
#[derive(Debug)]
struct Slot {
    index: usize,
    name: String,
    shape: Vec<usize>,
    decays: bool,
    state: Box<dyn State>,
}

/// A part of a parameter's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Mean of gradients.
    M,
    /// Mean of squared gradients.
    V,
    /// The weight in 32 bits, where the model computes with 16 and the moments have 32.
    Master,
}

impl Part {
    /// The name of this part of the state of the parameter `name`, as it is saved.
    fn of(self, name: &str) -> String {
        let part = match self {
            Self::M => "m",
            Self::V => "v",
            Self::Master => "master",
        };
        format!("{part}.{name}")
    }
}

/// The state of one parameter, in one place or another.
trait State: Debug {
    /// Changes the parameter with this index by its gradient.
    fn update(&mut self, model: &mut Model, index: usize, gradient: &Tensor, update: &Update) -> Result<()>;

    /// Every part, in the order of saving.
    fn parts(&self) -> Vec<(Part, DType, Content<'_>)>;

    /// Takes little-endian numbers for a part that there is, as many as it has and of its dtype.
    fn fill(&mut self, part: Part, bytes: &[u8]) -> Result<()>;
}

/// The state before the first step of a parameter.
fn state(weight: &Tensor, settings: &recipe::Optimizer) -> Result<Box<dyn State>> {
    #[cfg(feature = "cuda")]
    if !settings.offload && crate::model::cuda::element(weight).is_some() {
        return Ok(Box::new(device::OnDevice::new(weight, settings.state)?));
    }
    Ok(Box::new(host::InHost::new(weight, settings.state)?))
}

/// Whether a weight has a 32-bit copy.
fn has_master(weight: DType, state: StateDtype) -> bool {
    weight != DType::F32 && state == StateDtype::F32
}

impl Optimizer {
    /// The state before the first step for the trainable parameters of `model`.
    ///
    /// # Errors
    /// A parameter cannot be read from the device, or the device is out of memory.
    pub fn new(model: &Model, settings: &recipe::Optimizer, seed: u64) -> Result<Self> {
        let trained = model.params().iter().enumerate();
        let trained = trained.filter(|(index, _)| model.is_trainable(*index));
        let slot = |(index, param): (usize, &crate::model::Param)| {
            Ok(Slot {
                index,
                name: param.name.clone(),
                shape: param.tensor.dims().to_vec(),
                decays: settings.decay == Decay::All || param.tensor.rank() > 1,
                state: state(&param.tensor, settings)?,
            })
        };
        Ok(Self {
            settings: settings.clone(),
            seed,
            slots: trained.map(slot).collect::<Result<_>>()?,
        })
    }

    /// Changes the model by one step: update number `count` (from 1) at learning rate `lr`, with the
    /// gradients times `scale`.
    ///
    /// # Errors
    /// The device fails.
    pub fn update(
        &mut self,
        model: &mut Model,
        gradients: &Gradients,
        count: u64,
        lr: f64,
        scale: f64,
    ) -> Result<()> {
        let settings = &self.settings;
        let seed = derive(self.seed, "rounding", count);
        for slot in &mut self.slots {
            let gradient = gradients
                .get(slot.index)
                .expect("every trained parameter has a slot");
            let decay = if slot.decays { settings.weight_decay } else { 0.0 };
            let numbers = AdamW {
                gradient_scale: scale as f32,
                lr: lr as f32,
                beta1: settings.beta1 as f32,
                beta2: settings.beta2 as f32,
                eps: settings.eps as f32,
                weight_decay: decay as f32,
                step: count,
            };
            let seed = derive(seed, "parameter", slot.index as u64);
            let update = Update { numbers, seed };
            slot.state.update(model, slot.index, gradient, &update)?;
        }
        Ok(())
    }

    /// The state in a fixed order, as `m.NAME`, `v.NAME` and `master.NAME`: the same wherever it is.
    pub fn saved(&self) -> impl Iterator<Item = NamedTensor<'_>> {
        self.slots.iter().flat_map(|slot| {
            let named = |(part, dtype, content): (Part, DType, _)| NamedTensor {
                name: part.of(&slot.name),
                dtype,
                shape: &slot.shape,
                content,
            };
            slot.state.parts().into_iter().map(named)
        })
    }

    /// Takes a saved state back. `saved` gives dtype and bytes of a part by its name.
    ///
    /// # Errors
    /// What `unfit` makes of the name of the first part that is missing or does not fit this optimizer, or the
    /// device fails.
    pub fn restore<'a>(
        &mut self,
        saved: impl Fn(&str) -> Option<(DType, &'a [u8])>,
        unfit: impl Fn(&str) -> Error,
    ) -> Result<()> {
        for slot in &mut self.slots {
            let n = slot.shape.iter().product::<usize>();
            let parts = slot.state.parts().into_iter();
            let parts: Vec<(Part, DType)> = parts.map(|(part, dtype, _)| (part, dtype)).collect();
            for (part, dtype) in parts {
                let name = part.of(&slot.name);
                let found = saved(&name);
                let found =
                    found.filter(|(of, bytes)| *of == dtype && bytes.len() == n * dtype.size_in_bytes());
                let (_, bytes) = found.ok_or_else(|| unfit(&name))?;
                slot.state.fill(part, bytes)?;
            }
        }
        Ok(())
    }
}

/// The bytes per trained weight that the moments take.
pub fn moment_bytes(state: StateDtype) -> u64 {
    match state {
        StateDtype::F32 => 8,
        StateDtype::Bf16 => 4,
    }
}

/// The bytes per trained weight, of `weight_bytes` itself, that 32-bit copies take.
pub fn master_bytes(state: StateDtype, weight_bytes: u64) -> u64 {
    match state {
        StateDtype::F32 if weight_bytes != 4 => 4,
        _ => 0,
    }
}
