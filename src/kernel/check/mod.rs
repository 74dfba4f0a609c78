//! Every kernel against plain loops in f64, on any [`Machine`].
//!
//! Inputs are fresh random numbers, outputs are full of NaN before, and shapes sit around the tiles' edges. The error is
//! `norm(out - reference) / norm(reference)` over a whole output.

mod attention;
mod bench;
mod optimizer;
mod pointwise;
mod rows;

use serde::Serialize;

use super::call::{Element, Machine};
use crate::error::Result;
use bench::Bench;

/// One output of one kernel in one shape.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Kernel, output and shape.
    pub name: String,
    /// `norm(out - reference) / norm(reference)`; NaN if an element was not written.
    pub error: f64,
    /// What the error must be below.
    pub limit: f64,
    /// Whether it is.
    pub passed: bool,
}

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The smallest shapes that reach every branch.
    Brief,
    /// Every shape.
    Full,
}

/// The kinds of checks: names for [`run`].
pub const KINDS: [&str; 5] = [
    "flash_64",
    "flash_128",
    "elements_bf16",
    "elements_f32",
    "optimizer",
];

/// Limit for outputs that are computed and stored in f32.
const F32_LIMIT: f64 = 1e-5;
/// Limit where bf16 numbers take part.
const BF16_LIMIT: f64 = 1e-2;

impl Element {
    fn limit(self) -> f64 {
        match self {
            Self::Bf16 => BF16_LIMIT,
            Self::F32 => F32_LIMIT,
        }
    }
}

/// Runs the checks of one of [`KINDS`] with inputs drawn from `seed`.
///
/// # Errors
/// The machine fails; a wrong result is an [`Outcome`].
pub fn run(kind: &str, machine: &mut dyn Machine, seed: u64, extent: Extent) -> Result<Vec<Outcome>> {
    let mut bench = Bench::new(machine, seed);
    match kind {
        "flash_64" => attention::flash(&mut bench, super::HeadDim::D64, extent)?,
        "flash_128" => attention::flash(&mut bench, super::HeadDim::D128, extent)?,
        "elements_bf16" => elements(&mut bench, Element::Bf16)?,
        "elements_f32" => elements(&mut bench, Element::F32)?,
        _ => optimizer::all(&mut bench)?,
    }
    Ok(bench.outcomes)
}

fn elements(bench: &mut Bench, element: Element) -> Result<()> {
    attention::scores(bench, element)?;
    attention::products(bench, element)?;
    rows::all(bench, element)?;
    pointwise::all(bench, element)
}
