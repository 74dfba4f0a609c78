//! Perplexity of a masked-diffusion model by length of context.
//!
//! A diffusion model gives no next-token probabilities; what it gives is a bound: mask x of L tokens at random,
//! x uniform in 1..=L, and average the cross entropy over the masked ones. Its expectation is the negative
//! evidence lower bound per token. Two estimators of it:
//!
//! ```text
//! chunks   |ccccccccccccccc|mcmm|      everything before a chunk is there; the chunk alone is masked
//! window   |mcmmcccmmmcmcmcmmcmm|      the whole window is masked, at stratified ratios
//! ```
//!
//! Both are upper bounds, so each is comparable with itself only. Which tokens are masked depends on seed,
//! text and length, never on the model: two models are compared on the same masks.
//!
//! Source: LongLLaDA's `get_ppl` (chunks); LLaDA's `get_log_likelihood` (window), with rounding half up, which
//! keeps every ratio equally likely.

mod curve;
mod estimate;
mod masks;
#[cfg(test)]
mod tests;
mod texts;

pub use curve::{Curve, Point};
pub use estimate::{Estimator, ModelPredictor, Place, Predictor, measure};
pub use texts::{Text, Texts};
