//! Turns a prompt into an answer: masked positions are filled block by block, the surest first.
//!
//! ```text
//! prompt | M M M M | M M M M          M: mask; two blocks of four
//! prompt | t M t M | M M M M          each step: predict every mask up to the block's end,
//! prompt | t t t t | M M M M          keep the most confident, look again
//! prompt | t t t t | M t M M
//! ```
//!
//! Source: the published sampler of LLaDA (`generate.py`), step by step, with these rules where it leaves
//! the outcome to chance or to the library: of equal logits the lower id wins, of equal confidences the
//! lower position; a logit that is not a number, or +∞, is an error; the mask token itself is never chosen;
//! a step that may commit nothing is not run. Random numbers depend on seed, step and position only.

mod choose;
mod denoiser;
mod options;
#[cfg(test)]
mod parity;
mod steps;
#[cfg(test)]
mod tests;

pub use denoiser::{Denoiser, ModelDenoiser};
pub use options::{CacheMode, Remask, Sampling, Schedule, SpecialTokens};
pub use steps::{Generated, Step, sample};
