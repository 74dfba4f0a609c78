//! One position: which token, and how sure.

use super::options::{Remask, Sampling, SpecialTokens};
use crate::pack::seed::{Rng, derive, unit};

/// The best token of a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Where.
    pub position: u32,
    /// What.
    pub token: u32,
    /// How sure, 0..=1.
    pub confidence: f64,
}

/// Chooses the token of `position` in step number `step` from its `[n_vocab]` logits.
///
/// # Errors
/// The id whose logit is not a number, or +∞.
pub fn choose(
    logits: &mut [f32],
    position: u32,
    step: u64,
    sampling: &Sampling,
    special: SpecialTokens,
) -> Result<Choice, usize> {
    if let Some(id) = logits.iter().position(|l| l.is_nan() || *l == f32::INFINITY) {
        return Err(id);
    }
    if sampling.forbid_eos {
        forbid(logits, special.eos);
    }
    let token = best(logits, position, step, sampling, special.mask);
    let confidence = match sampling.remask {
        Remask::Random => unit(stream(sampling.seed, "sample/order", step, position).next_u64()),
        Remask::LowConfidence => {
            // The published code meant to set both, but overwrites the noised copy in one case.
            if sampling.defer_eos {
                forbid(logits, special.eos);
                special.eot.into_iter().for_each(|eot| forbid(logits, eot));
            }
            probability(logits, token)
        }
    };
    Ok(Choice {
        position,
        token,
        confidence,
    })
}

fn forbid(logits: &mut [f32], id: u32) {
    if let Some(logit) = logits.get_mut(id as usize) {
        *logit = f32::NEG_INFINITY;
    }
}

/// The id with the largest noised logit, the lowest of equals, never `mask`.
///
/// exp(l) / (−ln u)^T is largest where l − T ln(−ln u) is, which cannot overflow.
fn best(logits: &[f32], position: u32, step: u64, sampling: &Sampling, mask: u32) -> u32 {
    let mut noise = stream(sampling.seed, "sample/noise", step, position);
    let mut best: Option<(u32, f64)> = None;
    for (id, &logit) in (0u32..).zip(logits) {
        let mut value = f64::from(logit);
        if sampling.temperature > 0.0 {
            value -= sampling.temperature * (-unit(noise.next_u64()).ln()).ln();
        }
        if id != mask && best.is_none_or(|(_, most)| value > most) {
            best = Some((id, value));
        }
    }
    best.map_or(0, |(id, _)| id)
}

/// softmax(logits)\[token\] in f64.
fn probability(logits: &[f32], token: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most == f32::NEG_INFINITY {
        return 0.0;
    }
    let exp = |logit: f32| (f64::from(logit) - f64::from(most)).exp();
    exp(logits[token as usize]) / logits.iter().map(|&logit| exp(logit)).sum::<f64>()
}

fn stream(seed: u64, purpose: &str, step: u64, position: u32) -> Rng {
    Rng::new(derive(derive(seed, purpose, step), purpose, u64::from(position)))
}
