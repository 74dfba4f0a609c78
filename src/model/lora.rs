//! Low-rank adapters: attached, they are the only parameters that are trained; merged, they are gone.
//!
//! Source: Hu et al., arXiv 2106.09685.

use candle_core::Tensor;

use super::linear::{Linear, Lora, LoraOptions};
use super::ops::wide;
use super::{Model, Param, init, unfit};
use crate::error::{Error, Result, shown_text};

impl Model {
    /// Adds low-rank adapters and freezes everything else. The adapted model equals the model until it is
    /// trained, because B starts at zero. Adapters are named after their map: `….q_proj.lora_a` `[rank, in]` and
    /// `….q_proj.lora_b` `[out, rank]`.
    ///
    /// # Errors
    /// A target is unknown, the rank is 0 or too large, or there are adapters already.
    pub fn attach_lora(&mut self, options: &LoraOptions, seed: u64) -> Result<()> {
        let LoraOptions {
            rank,
            alpha,
            ref targets,
        } = *options;
        if self.first_trainable > 0 {
            return Err(unfit("the model has adapters already".into()));
        }
        if rank == 0 || rank > self.config.d_model || !alpha.is_finite() || targets.is_empty() {
            return Err(Error::usage(format!(
                "LoRA of rank {rank} with alpha {alpha} on {} maps: expected a rank from 1 to {} and at least one target",
                targets.len(),
                self.config.d_model
            )));
        }
        let n_params = self.params.len();
        let mut blocks = std::mem::take(&mut self.layout.blocks);
        let attached = blocks.iter_mut().try_for_each(|block| {
            targets.iter().try_for_each(|target| {
                let map = block.linear_mut(target).ok_or_else(|| {
                    Error::usage(format!(
                        "there is no linear map `{}`\nhint: LoRA targets are q, k, v, o, gate, up and down",
                        shown_text(target)
                    ))
                })?;
                self.adapt(map, rank, alpha, seed)
            })
        });
        if attached.is_err() {
            self.params.truncate(n_params);
            blocks.iter_mut().for_each(forget);
        } else {
            self.first_trainable = n_params;
        }
        self.layout.blocks = blocks;
        attached
    }

    fn adapt(&mut self, map: &mut Linear, rank: usize, alpha: f64, seed: u64) -> Result<()> {
        if map.lora.is_some() {
            return Err(Error::usage("a LoRA target is named twice"));
        }
        let weight = &self.params[map.weight];
        let (outputs, inputs) = weight.tensor.dims2()?;
        let name = weight.name.trim_end_matches(".weight").to_owned();
        let a = init::normal(
            rank * inputs,
            1.0 / (inputs as f64).sqrt(),
            seed,
            self.params.len() as u64,
        );
        let a = Tensor::from_vec(a, (rank, inputs), self.device())?.to_dtype(self.dtype())?;
        let b = Tensor::zeros((outputs, rank), self.dtype(), self.device())?;
        map.lora = Some(Lora {
            a: self.params.len(),
            b: self.params.len() + 1,
            scale: alpha / rank as f64,
        });
        self.params.push(Param {
            name: format!("{name}.lora_a"),
            tensor: a,
        });
        self.params.push(Param {
            name: format!("{name}.lora_b"),
            tensor: b,
        });
        Ok(())
    }

    /// Adds the adapters' products to the weights and removes them; what [`Model::save`] then writes is an
    /// ordinary checkpoint.
    ///
    /// # Errors
    /// The device fails.
    pub fn merge_lora(&mut self) -> Result<()> {
        for block in &mut self.layout.blocks {
            for map in block.linears() {
                let Some(lora) = &map.lora else { continue };
                let exact = |index: usize| self.params[index].tensor.to_dtype(wide(self.dtype));
                let product = (exact(lora.b)?.matmul(&exact(lora.a)?)? * lora.scale)?;
                let merged = (exact(map.weight)? + product)?.to_dtype(self.dtype)?;
                self.params[map.weight].tensor = merged;
            }
            forget(block);
        }
        if self.first_trainable > 0 {
            self.params.truncate(self.first_trainable);
            self.first_trainable = 0;
        }
        Ok(())
    }
}

fn forget(block: &mut super::names::BlockLayout) {
    for target in ["q", "k", "v", "o", "gate", "up", "down"] {
        if let Some(map) = block.linear_mut(target) {
            map.lora = None;
        }
    }
}
