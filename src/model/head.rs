//! Final norm, head and cross entropy, for chosen rows and in chunks of them.
//!
//! Logits of all positions of a 128K-token sequence over a vocabulary of 126,464 are 62 GiB, so a chunk's
//! logits exist only until its loss and gradient are known.

use candle_core::{D, DType, Tensor};
use rayon::prelude::*;

use super::floats::{exp, floats, is_cpu_f32, largest, sum, update_floats, vectorized};
use super::ops::{gather_rows, rms_norm, rms_norm_backward, scatter_add_rows, wide};
use super::{Config, Gradients, Param, unfit};
use crate::error::Result;

/// Logits that exist at once on the CPU.
const CPU_LOGITS: usize = 1 << 24;
/// Logits that exist at once on a GPU.
const GPU_LOGITS: usize = 1 << 29;

/// Cross entropies of [`super::Model::head_loss`].
#[derive(Debug)]
pub struct HeadLoss {
    /// Cross entropy per row, in the order of `rows`, unweighted, nats.
    pub ce: Vec<f32>,
    /// Σ weight · cross entropy.
    pub loss: f64,
    /// `[n, d_model]`, the gradient of `loss`, if gradients were asked for.
    pub d_hidden: Option<Tensor>,
}

/// Final norm and head of a model.
pub(super) struct Head<'a> {
    pub(super) config: &'a Config,
    pub(super) params: &'a [Param],
    /// Place of the final norm's gain.
    pub(super) norm: usize,
    /// Place of the head's weight `[vocab, d_model]`.
    pub(super) weight: usize,
}

impl Head<'_> {
    /// The rows of the hidden states that predict the tokens at `rows`. Where the head is shifted, that is the
    /// row before, except at a segment's start, which stands for itself as in the published code.
    fn sources(&self, rows: &[u32], n: usize, cu_seqlens: &[u32]) -> Result<Vec<u32>> {
        if let Some(row) = rows.iter().find(|row| **row as usize >= n) {
            return Err(unfit(format!("row {row} of {n} hidden states")));
        }
        if !self.config.shifted {
            return Ok(rows.to_vec());
        }
        let source = |&row: &u32| row - u32::from(cu_seqlens.binary_search(&row).is_err());
        Ok(rows.iter().map(source).collect())
    }

    fn gain(&self) -> &Tensor {
        &self.params[self.norm].tensor
    }

    fn normed(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(x, self.gain(), self.config.norm_eps)
    }

    fn project(&self, normed: &Tensor) -> Result<Tensor> {
        let logits = normed.matmul(&self.params[self.weight].tensor.t()?)?;
        Ok(logits.to_dtype(wide(logits.dtype()))?)
    }

    /// `[rows.len(), vocab]` f32.
    pub(super) fn logits(&self, hidden: &Tensor, rows: &[u32], cu_seqlens: &[u32]) -> Result<Tensor> {
        let sources = self.sources(rows, hidden.dim(0)?, cu_seqlens)?;
        self.project(&self.normed(&gather_rows(hidden, &sources)?)?)
    }

    /// Σ weight · cross entropy over `rows`, with gradients if asked.
    pub(super) fn loss(
        &self,
        hidden: &Tensor,
        rows: &[u32],
        targets: &[u32],
        weights: &[f32],
        cu_seqlens: &[u32],
        mut grads: Option<&mut Gradients>,
    ) -> Result<HeadLoss> {
        let vocab = self.config.vocab_size;
        if rows.len() != targets.len() || rows.len() != weights.len() {
            return Err(unfit(format!(
                "{} rows with {} targets and {} weights",
                rows.len(),
                targets.len(),
                weights.len()
            )));
        }
        if let Some(target) = targets.iter().find(|t| **t as usize >= vocab) {
            return Err(unfit(format!("target {target} of a vocabulary of {vocab}")));
        }
        let sources = self.sources(rows, hidden.dim(0)?, cu_seqlens)?;
        let mut d_hidden = match grads {
            Some(_) => Some(hidden.zeros_like()?),
            None => None,
        };
        let budget = if hidden.device().is_cpu() {
            CPU_LOGITS
        } else {
            GPU_LOGITS
        };
        let chunk = (budget / vocab).max(1);
        let mut ce = Vec::with_capacity(rows.len());
        for at in (0..rows.len()).step_by(chunk) {
            let part = at..rows.len().min(at + chunk);
            let (sources, targets, weights) =
                (&sources[part.clone()], &targets[part.clone()], &weights[part]);
            let x = gather_rows(hidden, sources)?;
            let normed = self.normed(&x)?;
            let logits = self.project(&normed)?;
            let Some((grads, d_hidden)) = grads.as_deref_mut().zip(d_hidden.as_mut()) else {
                ce.extend(cross_entropy(&logits, targets)?);
                continue;
            };
            let (part_ce, d_logits) = cross_entropy_backward(logits, targets, weights)?;
            ce.extend(part_ce);
            let d_logits = d_logits.to_dtype(hidden.dtype())?;
            if grads.wants(self.weight) {
                grads.add(self.weight, &d_logits.t()?.matmul(&normed)?)?;
            }
            let d_normed = d_logits.matmul(&self.params[self.weight].tensor)?;
            let (dx, d_gain) = rms_norm_backward(&x, self.gain(), self.config.norm_eps, &d_normed)?;
            grads.add(self.norm, &d_gain)?;
            if is_cpu_f32(d_hidden) {
                scatter_add_rows(d_hidden, sources, &dx)?;
            } else {
                *d_hidden = d_hidden.index_add(&Tensor::new(sources, dx.device())?, &dx, 0)?;
            }
        }
        let products = ce
            .iter()
            .zip(weights)
            .map(|(&ce, &weight)| f64::from(ce) * f64::from(weight));
        Ok(HeadLoss {
            loss: products.sum(),
            ce,
            d_hidden,
        })
    }
}

/// ln Σ exp(logits) of a row.
#[inline(always)]
fn log_sum_exp(logits: &[f32]) -> f32 {
    let maximum = largest(logits);
    maximum + sum(logits.len(), |i| exp(logits[i] - maximum)).ln()
}

/// Cross entropy of each row of `logits: [rows, vocab]`.
fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Vec<f32>> {
    if !is_cpu_f32(logits) {
        return Ok(composed(logits, targets)?.1);
    }
    let vocab = logits.dim(1)?;
    let values = floats(logits)?;
    let rows = values.par_chunks(vocab).zip(targets);
    Ok(rows
        .map(|(row, &target)| vectorized(|| log_sum_exp(row)) - row[target as usize])
        .collect())
}

/// Cross entropy of each row and weight · (softmax - one-hot); on the CPU the logits turn into it in place.
fn cross_entropy_backward(logits: Tensor, targets: &[u32], weights: &[f32]) -> Result<(Vec<f32>, Tensor)> {
    if !is_cpu_f32(&logits) {
        let (log_sums, ce) = composed(&logits, targets)?;
        let dtype = logits.dtype();
        let weights = Tensor::new(weights, logits.device())?
            .to_dtype(dtype)?
            .unsqueeze(1)?;
        let p = logits.broadcast_sub(&log_sums)?.exp()?;
        let targets = Tensor::new(targets, logits.device())?.unsqueeze(1)?;
        let ones = Tensor::ones(targets.shape(), dtype, logits.device())?;
        let d_logits = p
            .scatter_add(&targets, &ones.neg()?, D::Minus1)?
            .broadcast_mul(&weights)?;
        return Ok((ce, d_logits));
    }
    let vocab = logits.dim(1)?;
    let mut ce = Vec::new();
    update_floats(&logits, |values| {
        let rows = values.par_chunks_mut(vocab).zip(targets).zip(weights);
        ce = rows
            .map(|((row, &target), &weight)| {
                let target = target as usize;
                let log_sum = vectorized(|| log_sum_exp(row));
                let ce = log_sum - row[target];
                vectorized(|| row.iter_mut().for_each(|x| *x = exp(*x - log_sum) * weight));
                row[target] -= weight;
                ce
            })
            .collect();
    })?;
    Ok((ce, logits))
}

/// Log-sum-exp `[rows, 1]` and cross entropy of each row.
fn composed(logits: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<f32>)> {
    let maxima = logits.max_keepdim(D::Minus1)?;
    let sums = logits.broadcast_sub(&maxima)?.exp()?.sum_keepdim(D::Minus1)?;
    let log_sums = (maxima + sums.log()?)?;
    let targets = Tensor::new(targets, logits.device())?.unsqueeze(1)?;
    let ce = (&log_sums - logits.gather(&targets, D::Minus1)?)?.squeeze(1)?;
    Ok((log_sums, ce.to_dtype(DType::F32)?.to_vec1()?))
}
