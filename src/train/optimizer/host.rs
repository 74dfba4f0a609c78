//! The state of a parameter in host memory, and its update by the CPU.
//!
//! On the CPU 32-bit weights are changed in place. Weights of a GPU come here as gradients and go back as new weights.

use std::sync::Mutex;

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor};
use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::adamw::Update;
use super::rounding::Stored;
use super::{Part, State, has_master};
use crate::error::Result;
use crate::model::Model;
use crate::train::checkpoint::Content;
use crate::train::recipe::StateDtype;

/// The state of a parameter in host memory.
#[derive(Debug)]
pub(super) struct InHost {
    m: Numbers,
    v: Numbers,
    master: Option<Vec<f32>>,
}

impl InHost {
    /// The state before the first step.
    pub(super) fn new(weight: &Tensor, state: StateDtype) -> Result<Self> {
        let n = weight.elem_count();
        let master = has_master(weight.dtype(), state).then(|| to_host(weight));
        Ok(Self {
            m: Numbers::zeros(state, n),
            v: Numbers::zeros(state, n),
            master: master.transpose()?,
        })
    }
}

impl State for InHost {
    fn update(&mut self, model: &mut Model, index: usize, gradient: &Tensor, update: &Update) -> Result<()> {
        let weight = &model.params()[index].tensor;
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
                Tensor::from_slice(master, shape, &device)?
            }
            None if weight.dtype() == DType::F32 => {
                let mut numbers = to_host(weight)?;
                apply(update, &mut numbers, &mut self.m, &mut self.v, &gradient);
                Tensor::from_vec(numbers, shape, &device)?
            }
            None => {
                let host = weight.flatten_all()?.to_device(&Device::Cpu)?;
                let mut numbers = host.to_dtype(DType::BF16)?.to_vec1::<bf16>()?;
                apply(update, &mut numbers, &mut self.m, &mut self.v, &gradient);
                Tensor::from_vec(numbers, shape, &device)?
            }
        };
        let updated = updated.to_dtype(weight.dtype())?;
        model.set_param(index, updated)
    }

    fn parts(&self) -> Vec<(Part, DType, Content<'_>)> {
        let moments = [(Part::M, &self.m), (Part::V, &self.v)].into_iter();
        let moments = moments.map(|(part, of)| (part, of.dtype(), Content::Bytes(of.bytes())));
        let master = self.master.as_deref().map(bytemuck::cast_slice);
        let master = master.map(|bytes| (Part::Master, DType::F32, Content::Bytes(bytes)));
        moments.chain(master).collect()
    }

    fn fill(&mut self, part: Part, bytes: &[u8]) -> Result<()> {
        let own = match part {
            Part::M => self.m.bytes_mut(),
            Part::V => self.v.bytes_mut(),
            Part::Master => bytemuck::cast_slice_mut(self.master.as_mut().expect("the part is there")),
        };
        own.copy_from_slice(bytes);
        Ok(())
    }
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

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::F32(numbers) => bytemuck::cast_slice_mut(numbers),
            Self::Bf16(numbers) => bytemuck::cast_slice_mut(numbers.reinterpret_cast_mut()),
        }
    }
}

fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    let host = tensor.flatten_all()?.to_device(&Device::Cpu)?;
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
