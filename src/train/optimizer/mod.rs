//! AdamW over a model's trained parameters.
//!
//! Moments, and the 32-bit copies of weights that compute in 16 bits, live in host memory, whatever
//! the device: on a GPU they would take three times the memory of the weights and be touched once per
//! step, after many sequences have gone through the model. On the CPU weights are changed in place.

mod adamw;
mod rounding;

use std::borrow::Cow;
use std::sync::Mutex;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor};
use half::bf16;
use half::slice::HalfFloatSliceExt;

use self::adamw::Update;
use self::rounding::Stored;
use crate::error::Result;
use crate::model::{Gradients, Model};
use crate::pack::seed::derive;
use crate::train::recipe::{self, Decay, StateDtype};

/// The optimizer's state and settings.
#[derive(Debug)]
pub struct Optimizer {
    settings: recipe::Optimizer,
    seed: u64,
    slots: Vec<Slot>,
}

/// The state of one trained parameter.
#[derive(Debug)]
struct Slot {
    index: usize,
    name: String,
    shape: Vec<usize>,
    decays: bool,
    m: Numbers,
    v: Numbers,
    /// The weight in 32 bits, where the model computes with 16.
    master: Option<Vec<f32>>,
}

/// Numbers in the format of the state.
#[derive(Debug)]
enum Numbers {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl Numbers {
    fn zeros(state: StateDtype, n: usize) -> Self {
        match state {
            StateDtype::F32 => Self::F32(vec![0.0; n]),
            StateDtype::Bf16 => Self::Bf16(vec![bf16::ZERO; n]),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::Bf16(_) => DType::BF16,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(numbers) => bytemuck::cast_slice(numbers),
            Self::Bf16(numbers) => bytemuck::cast_slice(numbers.reinterpret_cast()),
        }
    }

    /// Takes little-endian numbers of the same format and count; whether they are that.
    fn fill(&mut self, dtype: DType, bytes: &[u8]) -> bool {
        if dtype != self.dtype() || bytes.len() != self.bytes().len() {
            return false;
        }
        match self {
            Self::F32(numbers) => bytemuck::cast_slice_mut(numbers).copy_from_slice(bytes),
            Self::Bf16(numbers) => {
                bytemuck::cast_slice_mut(numbers.reinterpret_cast_mut()).copy_from_slice(bytes);
            }
        }
        true
    }
}

/// A part of the state as it is saved.
#[derive(Debug)]
pub struct Saved<'a> {
    /// `m.NAME`, `v.NAME` or `master.NAME`.
    pub name: String,
    /// `F32` or `BF16`.
    pub dtype: DType,
    /// The parameter's shape.
    pub shape: &'a [usize],
    /// Little-endian numbers.
    pub bytes: Cow<'a, [u8]>,
}

impl Optimizer {
    /// The state before the first step for the trainable parameters of `model`.
    ///
    /// # Errors
    /// A parameter cannot be read from the device.
    pub fn new(model: &Model, settings: &recipe::Optimizer, seed: u64) -> Result<Self> {
        let trained = model.params().iter().enumerate();
        let trained = trained.filter(|(index, _)| model.is_trainable(*index));
        let slot = |(index, param): (usize, &crate::model::Param)| {
            let n = param.tensor.elem_count();
            let rounded = param.tensor.dtype() != DType::F32 || !param.tensor.device().is_cpu();
            let master = (rounded && settings.state == StateDtype::F32).then(|| to_host(&param.tensor));
            Ok(Slot {
                index,
                name: param.name.clone(),
                shape: param.tensor.dims().to_vec(),
                decays: settings.decay == Decay::All || param.tensor.rank() > 1,
                m: Numbers::zeros(settings.state, n),
                v: Numbers::zeros(settings.state, n),
                master: master.transpose()?,
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
        for slot in &mut self.slots {
            let gradient = gradients
                .get(slot.index)
                .expect("every trained parameter has a slot");
            let settings = &self.settings;
            let seed = derive(self.seed, "rounding", count);
            let update = Update {
                lr: lr as f32,
                beta1: settings.beta1 as f32,
                beta2: settings.beta2 as f32,
                eps: settings.eps as f32,
                weight_decay: if slot.decays {
                    settings.weight_decay as f32
                } else {
                    0.0
                },
                count,
                scale: scale as f32,
                seed: derive(seed, "parameter", slot.index as u64),
            };
            slot.update(model, gradient, &update)?;
        }
        Ok(())
    }

    /// The state in a fixed order.
    pub fn saved(&self) -> impl Iterator<Item = Saved<'_>> {
        self.slots.iter().flat_map(|slot| {
            let part = |kind: &str, dtype, bytes| Saved {
                name: format!("{kind}.{}", slot.name),
                dtype,
                shape: &slot.shape,
                bytes: Cow::Borrowed(bytes),
            };
            let moments = [("m", &slot.m), ("v", &slot.v)];
            let moments = moments.map(|(kind, numbers)| part(kind, numbers.dtype(), numbers.bytes()));
            let master = slot.master.as_deref();
            let master = master.map(|master| part("master", DType::F32, bytemuck::cast_slice(master)));
            moments.into_iter().chain(master)
        })
    }

    /// Takes a saved state back. `saved` gives dtype and bytes of a part by its name.
    ///
    /// # Errors
    /// The name of the first part that is missing or does not fit this optimizer.
    pub fn restore<'a>(
        &mut self,
        saved: impl Fn(&str) -> Option<(DType, &'a [u8])>,
    ) -> std::result::Result<(), String> {
        for slot in &mut self.slots {
            for (kind, numbers) in [("m", &mut slot.m), ("v", &mut slot.v)] {
                let name = format!("{kind}.{}", slot.name);
                let fits = saved(&name).is_some_and(|(dtype, bytes)| numbers.fill(dtype, bytes));
                fits.then_some(()).ok_or(name)?;
            }
            if let Some(master) = &mut slot.master {
                let name = format!("master.{}", slot.name);
                let bytes = saved(&name).filter(|(dtype, bytes)| {
                    *dtype == DType::F32 && bytes.len() == size_of_val(master.as_slice())
                });
                let (_, bytes) = bytes.ok_or(name)?;
                bytemuck::cast_slice_mut(master).copy_from_slice(bytes);
            }
        }
        Ok(())
    }
}

impl Slot {
    fn update(&mut self, model: &mut Model, gradient: &Tensor, update: &Update) -> Result<()> {
        let weight = &model.params()[self.index].tensor;
        if weight.device().is_cpu() && weight.dtype() == DType::F32 {
            let op = InPlace {
                update,
                moments: Mutex::new((&mut self.m, &mut self.v)),
            };
            weight.inplace_op2(gradient, &op)?;
            return Ok(());
        }
        let (device, shape) = (weight.device().clone(), weight.shape().clone());
        let gradient = to_host(gradient)?;
        let updated = match &mut self.master {
            Some(master) => {
                apply(update, master, &mut self.m, &mut self.v, &gradient);
                Tensor::from_slice(master, shape, &device)?.to_dtype(weight.dtype())?
            }
            None => {
                let host = weight.flatten_all()?.to_device(&candle_core::Device::Cpu)?;
                let mut numbers = host.to_dtype(DType::BF16)?.to_vec1::<bf16>()?;
                apply(update, &mut numbers, &mut self.m, &mut self.v, &gradient);
                Tensor::from_vec(numbers, shape, &device)?.to_dtype(weight.dtype())?
            }
        };
        model.set_param(self.index, updated)
    }
}

fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    let host = tensor.flatten_all()?.to_device(&candle_core::Device::Cpu)?;
    Ok(host.to_dtype(DType::F32)?.to_vec1::<f32>()?)
}

fn apply<W: Stored>(update: &Update, weights: &mut [W], m: &mut Numbers, v: &mut Numbers, gradient: &[f32]) {
    match (m, v) {
        (Numbers::F32(m), Numbers::F32(v)) => update.apply(weights, m, v, gradient),
        (Numbers::Bf16(m), Numbers::Bf16(v)) => update.apply(weights, m, v, gradient),
        _ => unreachable!("both moments have the format of the state"),
    }
}

/// The update of a 32-bit weight where it is, in host memory.
struct InPlace<'a> {
    update: &'a Update,
    /// Behind a lock only because an operation is shared; nothing else takes it.
    moments: Mutex<(&'a mut Numbers, &'a mut Numbers)>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        weight_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weight), CpuStorage::F32(gradient)) = (weight, gradient) else {
            candle_core::bail!("adamw changes f32 weights by f32 gradients");
        };
        let contiguous = weight_layout
            .contiguous_offsets()
            .zip(gradient_layout.contiguous_offsets());
        let Some(((w0, w1), (g0, g1))) = contiguous else {
            candle_core::bail!("adamw needs contiguous weights and gradients");
        };
        let mut moments = self.moments.lock().expect("no panic while held");
        let (m, v) = &mut *moments;
        apply(self.update, &mut weight[w0..w1], m, v, &gradient[g0..g1]);
        Ok(())
    }
}

/// The bytes per trained weight that the state takes in host memory, where the model computes with
/// `rounded` (not 32-bit, or not in host memory) weights.
pub fn state_bytes(state: StateDtype, rounded: bool) -> u64 {
    match (state, rounded) {
        (StateDtype::F32, false) => 8,
        (StateDtype::F32, true) => 12,
        (StateDtype::Bf16, _) => 4,
    }
}
