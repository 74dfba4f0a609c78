//! The model: parameters in a fixed order, and the passes over them.

use candle_core::{DType, Device, Tensor};

use super::block::Block;
use super::head::{Head, HeadLoss};
use super::names::Layout;
use super::ops::gather_rows;
use super::{Config, Context, Gradients, Rope, Tokens, rope, unfit};
use crate::error::{Error, Result};

/// A parameter and its published name.
#[derive(Debug, Clone)]
pub struct Param {
    /// As in the checkpoint's files.
    pub name: String,
    /// The value; clones share its storage with the model.
    pub tensor: Tensor,
}

/// A masked-diffusion language model on one device.
#[derive(Debug)]
pub struct Model {
    pub(super) config: Config,
    pub(super) rope: Rope,
    pub(super) device: Device,
    pub(super) dtype: DType,
    pub(super) params: Vec<Param>,
    pub(super) layout: Layout,
    /// Parameters below this place are frozen: 0, or with LoRA all but the adapters.
    pub(super) first_trainable: usize,
}

impl Model {
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
        let counts = self.params.iter().map(|p| p.tensor.elem_count() as u64);
        counts.sum()
    }

    /// Parameters in a fixed order: embedding, blocks, final norm, head, adapters. An optimizer
    /// changes them in place ([`super::update_floats`] on the CPU, a kernel on a GPU), which the model sees, or by [`Model::set_param`].
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Whether the parameter with this index is trained: all are, or with LoRA only the adapters.
    pub fn is_trainable(&self, index: usize) -> bool {
        index >= self.first_trainable
    }

    /// Replaces a parameter's value; shape, dtype and device must be the same.
    ///
    /// # Errors
    /// They are not.
    pub fn set_param(&mut self, index: usize, value: Tensor) -> Result<()> {
        let old = &mut self.params[index].tensor;
        let fits = old.shape() == value.shape()
            && old.dtype() == value.dtype()
            && old.device().same_device(value.device());
        if !fits {
            return Err(unfit(format!(
                "parameter `{}` is {:?} {:?}, its new value {:?} {:?}",
                self.params[index].name,
                self.params[index].tensor.dtype(),
                self.params[index].tensor.shape(),
                value.dtype(),
                value.shape()
            )));
        }
        *old = value;
        Ok(())
    }

    /// Tables and segments for one row; built once and used by every block.
    ///
    /// # Errors
    /// `cu_seqlens` does not describe `positions.len()` tokens, or there is none.
    pub fn context(&self, positions: &[u32], cu_seqlens: &[u32]) -> Result<Context> {
        Context::new(&self.rope, positions, cu_seqlens, &self.device)
    }

    fn at(&self, layer: usize) -> Block<'_> {
        Block {
            config: &self.config,
            params: &self.params,
            layout: &self.layout.blocks[layer],
        }
    }

    fn head(&self) -> Head<'_> {
        Head {
            config: &self.config,
            params: &self.params,
            norm: self.layout.final_norm,
            weight: self.layout.head,
        }
    }

    /// Embedding rows of `ids`: `[n, d_model]`.
    ///
    /// # Errors
    /// An id is not below the vocabulary's size.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let vocab = self.config.vocab_size;
        if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocab) {
            return Err(Error::usage(format!(
                "token {at} of the row is {id}, but the model's vocabulary has {vocab} ids\n\
                 hint: the data was packed with another tokenizer than the model's"
            )));
        }
        gather_rows(&self.params[self.layout.embedding].tensor, ids)
    }

    /// One block: `[n, d_model]` to `[n, d_model]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn block(&self, layer: usize, x: &Tensor, cx: &Context) -> Result<Tensor> {
        self.at(layer).forward(x, cx)
    }

    /// The first part of a block, for cached decoding: q `[n, H, D]` and k, v `[n, H_kv, D]` **before** RoPE.
    ///
    /// # Errors
    /// The device fails.
    pub fn qkv(&self, layer: usize, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        self.at(layer).qkv(x)
    }

    /// RoPE on `x: [n, heads, D]` at the context's positions.
    ///
    /// # Errors
    /// The device fails.
    pub fn rotate(&self, x: &Tensor, cx: &Context) -> Result<Tensor> {
        rope::rotate(x, &cx.cos, &cx.sin, false)
    }

    /// The rest of a block after attention: `x: [n, d_model]` is the block's input, `attention: [n, H, D]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn finish_block(&self, layer: usize, x: &Tensor, attention: &Tensor) -> Result<Tensor> {
        self.at(layer).finish(x, attention)
    }

    /// Recomputes a block from its input and gives dx; its parameters' gradients are added to `grads`.
    ///
    /// # Errors
    /// The device fails.
    pub fn block_backward(
        &self,
        layer: usize,
        x: &Tensor,
        dy: &Tensor,
        cx: &Context,
        grads: &mut Gradients,
    ) -> Result<Tensor> {
        self.at(layer).backward(x, dy, cx, grads)
    }

    /// All blocks without gradients: `[n, d_model]` before the final norm. Keeps no activations.
    ///
    /// # Errors
    /// An id is not below the vocabulary's size, positions or segments do not fit, or the device fails.
    pub fn hidden(&self, tokens: &Tokens<'_>) -> Result<Tensor> {
        if tokens.ids.len() != tokens.positions.len() {
            return Err(unfit(format!(
                "{} ids at {} positions",
                tokens.ids.len(),
                tokens.positions.len()
            )));
        }
        let cx = self.context(tokens.positions, tokens.cu_seqlens)?;
        let mut x = self.embed(tokens.ids)?;
        for layer in 0..self.config.n_layers {
            x = self.block(layer, &x, &cx)?;
        }
        Ok(x)
    }

    /// Final norm and head for chosen rows: `[rows.len(), vocab_size] f32`. Row i of the result predicts **token**
    /// `rows[i]`, also where the head is shifted; `cu_seqlens` says where segments start, since a shift does not cross them.
    ///
    /// # Errors
    /// A row is out of range, or the device fails.
    pub fn logits(&self, hidden: &Tensor, rows: &[u32], cu_seqlens: &[u32]) -> Result<Tensor> {
        self.head().logits(hidden, rows, cu_seqlens)
    }

    /// Adds the embedding's gradient.
    ///
    /// # Errors
    /// The device fails.
    pub fn embed_backward(&self, ids: &[u32], dx: &Tensor, grads: &mut Gradients) -> Result<()> {
        grads.add_rows(self.layout.embedding, ids, dx)
    }

    /// Weighted cross entropy at chosen rows: Σ weights\[i\] · CE(token at `rows[i]`, `targets[i]`), in chunks of rows, so that
    /// logits never exist whole. With `grads`, the gradients of final norm and head are added and `d_hidden` is given.
    ///
    /// # Errors
    /// The slices differ in length, a row or target is out of range, or the device fails.
    pub fn head_loss(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        targets: &[u32],
        weights: &[f32],
        cu_seqlens: &[u32],
        grads: Option<&mut Gradients>,
    ) -> Result<HeadLoss> {
        self.head()
            .loss(hidden, rows, targets, weights, cu_seqlens, grads)
    }
}
