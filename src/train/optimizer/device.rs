//! The state of a parameter in a GPU's memory, and its update by one kernel.

use candle_core::{DType, Tensor};

use super::adamw::Update;
use super::{Part, State, has_master};
use crate::error::Result;
use crate::model::{Model, cuda};
use crate::train::checkpoint::Content;
use crate::train::recipe::StateDtype;

/// The state of a parameter beside it, of the parameter's shape.
#[derive(Debug)]
pub(super) struct OnDevice {
    m: Tensor,
    v: Tensor,
    master: Option<Tensor>,
}

impl OnDevice {
    /// The state before the first step.
    pub(super) fn new(weight: &Tensor, state: StateDtype) -> Result<Self> {
        let dtype = match state {
            StateDtype::F32 => DType::F32,
            StateDtype::Bf16 => DType::BF16,
        };
        let zeros = || Tensor::zeros(weight.shape(), dtype, weight.device());
        let master = has_master(weight.dtype(), state).then(|| weight.to_dtype(DType::F32));
        Ok(Self {
            m: zeros()?,
            v: zeros()?,
            master: master.transpose()?,
        })
    }
}

impl State for OnDevice {
    fn update(&mut self, model: &mut Model, index: usize, gradient: &Tensor, update: &Update) -> Result<()> {
        let weight = &model.params()[index].tensor;
        let moments = [&self.m, &self.v];
        if self.m.dtype() == DType::BF16 {
            return cuda::adamw_bf16(update.numbers, update.seed, weight, gradient, moments);
        }
        cuda::adamw(update.numbers, weight, self.master.as_ref(), gradient, moments)
    }

    fn parts(&self) -> Vec<(Part, DType, Content<'_>)> {
        let parts = [
            (Part::M, Some(&self.m)),
            (Part::V, Some(&self.v)),
            (Part::Master, self.master.as_ref()),
        ];
        let parts = parts.into_iter();
        parts
            .filter_map(|(part, tensor)| tensor.map(|tensor| (part, tensor.dtype(), Content::Tensor(tensor))))
            .collect()
    }

    fn fill(&mut self, part: Part, bytes: &[u8]) -> Result<()> {
        let own = match part {
            Part::M => &mut self.m,
            Part::V => &mut self.v,
            Part::Master => self.master.as_mut().expect("the part is there"),
        };
        *own = Tensor::from_raw_buffer(bytes, own.dtype(), own.dims(), own.device())?;
        Ok(())
    }
}
