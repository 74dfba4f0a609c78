//! The model: parameters in a fixed order, and the passes over them.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::{Config, Context, Gradients, LoraOptions, Rope, RopeScaling, Tokens};
use crate::error::Result;

/// How a checkpoint is loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where the parameters live.
    pub device: Device,
    /// `F32` or `BF16`; stored f32, f16 and bf16 are converted.
    pub dtype: DType,
    /// Scaling on top of the configuration's base.
    pub rope: RopeScaling,
}

/// A parameter and its published name.
#[derive(Debug, Clone)]
pub struct Param {
    /// As in the checkpoint's files.
    pub name: String,
    /// The value; clones share its storage with the model.
    pub tensor: Tensor,
}

/// Cross entropies of [`Model::head_loss`].
#[derive(Debug)]
pub struct HeadLoss {
    /// Cross entropy per row, in the order of `rows`, unweighted, nats.
    pub ce: Vec<f32>,
    /// Σ weight · cross entropy.
    pub loss: f64,
    /// `[n, d_model]`, the gradient of `loss`, if gradients were asked for.
    pub d_hidden: Option<Tensor>,
}

/// A masked-diffusion language model on one device.
#[derive(Debug)]
pub struct Model {
    config: Config,
    rope: Rope,
    device: Device,
    dtype: DType,
    params: Vec<Param>,
}

impl Model {
    /// Loads a published checkpoint: `config.json` and `model.safetensors`, single or sharded with an index.
    ///
    /// # Errors
    /// The configuration is not supported, or a weight file is missing, damaged or does not fit the configuration.
    pub fn load(_directory: &Path, _options: &LoadOptions) -> Result<Self> {
        todo!()
    }

    /// A randomly initialised model; the same seed gives the same weights everywhere.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn init(
        _config: Config,
        _rope: &RopeScaling,
        _seed: u64,
        _device: &Device,
        _dtype: DType,
    ) -> Result<Self> {
        todo!()
    }

    /// Writes the checkpoint in the published layout: names, shapes and configuration as loaded, with
    /// the base that a base-changing RoPE scaling gave. Files appear atomically, `config.json` last. Weights are
    /// stored as `dtype`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn save(&self, _directory: &Path, _dtype: DType) -> Result<()> {
        todo!()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The resolved RoPE.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Dtype of parameters and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of parameters, adapters included.
    pub fn n_params(&self) -> u64 {
        self.params.iter().map(|p| p.tensor.elem_count() as u64).sum()
    }

    /// Parameters in a fixed order: embedding, blocks, final norm, head, adapters. An optimizer
    /// changes them in place (`Tensor::inplace_op1`), which the model sees, or by [`Model::set_param`].
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Whether the parameter with this index is trained: all are, or with LoRA only the adapters.
    pub fn is_trainable(&self, _index: usize) -> bool {
        todo!()
    }

    /// Replaces a parameter's value; shape, dtype and device must be the same.
    ///
    /// # Errors
    /// They are not.
    pub fn set_param(&mut self, _index: usize, _value: Tensor) -> Result<()> {
        todo!()
    }

    /// Adds low-rank adapters and freezes everything else. The adapted model equals the model until it is trained.
    ///
    /// # Errors
    /// A target is unknown, or the rank is 0 or too large.
    pub fn attach_lora(&mut self, _options: &LoraOptions, _seed: u64) -> Result<()> {
        todo!()
    }

    /// Adds the adapters' products to the weights and removes them; what [`Model::save`] then writes is an ordinary checkpoint.
    ///
    /// # Errors
    /// The device fails.
    pub fn merge_lora(&mut self) -> Result<()> {
        todo!()
    }

    /// Tables and segments for one row; built once and used by every block.
    ///
    /// # Errors
    /// `cu_seqlens` does not describe `positions.len()` tokens.
    pub fn context(&self, _positions: &[u32], _cu_seqlens: &[u32]) -> Result<Context> {
        todo!()
    }

    /// Embedding rows of `ids`: `[n, d_model]`.
    ///
    /// # Errors
    /// An id is not below the vocabulary's size.
    pub fn embed(&self, _ids: &[u32]) -> Result<Tensor> {
        todo!()
    }

    /// One block: `[n, d_model]` to `[n, d_model]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn block(&self, _layer: usize, _x: &Tensor, _cx: &Context) -> Result<Tensor> {
        todo!()
    }

    /// The first part of a block, for cached decoding: q `[n, H, D]` and k, v `[n, H_kv, D]` **before** RoPE.
    ///
    /// # Errors
    /// The device fails.
    pub fn qkv(&self, _layer: usize, _x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        todo!()
    }

    /// RoPE on `x: [n, heads, D]` at the context's positions.
    ///
    /// # Errors
    /// The device fails.
    pub fn rotate(&self, _x: &Tensor, _cx: &Context) -> Result<Tensor> {
        todo!()
    }

    /// The rest of a block after attention: `x: [n, d_model]` is the block's input, `attention: [n, H, D]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn finish_block(&self, _layer: usize, _x: &Tensor, _attention: &Tensor) -> Result<Tensor> {
        todo!()
    }

    /// Recomputes a block from its input and gives dx; its parameters' gradients are added to `grads`.
    ///
    /// # Errors
    /// The device fails.
    pub fn block_backward(
        &self,
        _layer: usize,
        _x: &Tensor,
        _dy: &Tensor,
        _cx: &Context,
        _grads: &mut Gradients,
    ) -> Result<Tensor> {
        todo!()
    }

    /// All blocks without gradients: `[n, d_model]` before the final norm. Keeps no activations.
    ///
    /// # Errors
    /// An id is not below the vocabulary's size, positions or segments do not fit, or the device fails.
    pub fn hidden(&self, _tokens: &Tokens<'_>) -> Result<Tensor> {
        todo!()
    }

    /// Final norm and head for chosen rows: `[rows.len(), vocab_size] f32`. Row i of the result predicts **token**
    /// `rows[i]`, also where the head is shifted; `cu_seqlens` says where segments start, since a shift does not cross them.
    ///
    /// # Errors
    /// A row is out of range, or the device fails.
    pub fn logits(&self, _hidden: &Tensor, _rows: &[u32], _cu_seqlens: &[u32]) -> Result<Tensor> {
        todo!()
    }

    /// Adds the embedding's gradient.
    ///
    /// # Errors
    /// The device fails.
    pub fn embed_backward(&self, _ids: &[u32], _dx: &Tensor, _grads: &mut Gradients) -> Result<()> {
        todo!()
    }

    /// Weighted cross entropy at chosen rows: Σ weights\[i\] · CE(token at `rows[i]`, `targets[i]`), in chunks of rows, so that
    /// logits never exist whole. With `grads`, the gradients of final norm and head are added and `d_hidden` is given.
    ///
    /// # Errors
    /// The slices differ in length, a row or target is out of range, or the device fails.
    pub fn head_loss(
        &self,
        _hidden: &Tensor,
        _rows: &[u32],
        _targets: &[u32],
        _weights: &[f32],
        _cu_seqlens: &[u32],
        _grads: Option<&mut Gradients>,
    ) -> Result<HeadLoss> {
        todo!()
    }
}
