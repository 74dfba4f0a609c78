//! One sequence through the model, forward and back.

use crate::dataset::RealTokens;
use crate::error::Result;
use crate::model::{Gradients, Model, Tokens};
use crate::train::objective::Masked;

/// What a sequence adds to the loss of its step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loss {
    /// Σ weight · cross entropy.
    pub weighted: f64,
    /// Σ cross entropy, in nats.
    pub plain: f64,
    /// Number of masked tokens.
    pub n_masked: u64,
}

impl Loss {
    /// Adds another sequence's part.
    pub fn add(&mut self, other: &Self) {
        self.weighted += other.weighted;
        self.plain += other.plain;
        self.n_masked += other.n_masked;
    }

    /// Mean cross entropy of the masked tokens, unweighted.
    pub fn mean(&self) -> f64 {
        self.plain / self.n_masked.max(1) as f64
    }

    fn of(head: &crate::model::HeadLoss) -> Self {
        Self {
            weighted: head.loss,
            plain: head.ce.iter().map(|&ce| f64::from(ce)).sum(),
            n_masked: head.ce.len() as u64,
        }
    }
}

/// The loss of a sequence without gradients.
///
/// # Errors
/// The device fails.
pub fn forward(model: &Model, tokens: &RealTokens, masked: &Masked) -> Result<Loss> {
    if masked.rows.is_empty() {
        return Ok(Loss::default());
    }
    let (noisy, targets) = masked.apply(&tokens.ids, model.config().mask_id);
    let cu_seqlens = &tokens.cu_seqlens;
    let hidden = model.hidden(&Tokens {
        ids: &noisy,
        positions: &tokens.positions,
        cu_seqlens,
    })?;
    let head = model.head_loss(&hidden, &masked.rows, &targets, &masked.weights, cu_seqlens, None)?;
    Ok(Loss::of(&head))
}

/// The loss of a sequence; its gradients are added to `gradients`.
///
/// Memory is one input per block and one block's working set: a block's activations are computed
/// again when its gradient is due.
///
/// # Errors
/// The device fails.
pub fn forward_backward(
    model: &Model,
    tokens: &RealTokens,
    masked: &Masked,
    gradients: &mut Gradients,
) -> Result<Loss> {
    if masked.rows.is_empty() {
        return Ok(Loss::default());
    }
    let (noisy, targets) = masked.apply(&tokens.ids, model.config().mask_id);
    let cu_seqlens = &tokens.cu_seqlens;
    let context = model.context(&tokens.positions, cu_seqlens)?;
    let mut inputs = Vec::with_capacity(model.config().n_layers);
    let mut x = model.embed(&noisy)?;
    for layer in 0..model.config().n_layers {
        let y = model.block(layer, &x, &context)?;
        inputs.push(std::mem::replace(&mut x, y));
    }
    let rows = &masked.rows;
    let mut head = model.head_loss(&x, rows, &targets, &masked.weights, cu_seqlens, Some(gradients))?;
    drop(x);
    let mut dx = head.d_hidden.take().expect("gradients were asked for");
    while let Some(x) = inputs.pop() {
        dx = model.block_backward(inputs.len(), &x, &dx, &context, gradients)?;
    }
    model.embed_backward(&noisy, &dx, gradients)?;
    Ok(Loss::of(&head))
}
