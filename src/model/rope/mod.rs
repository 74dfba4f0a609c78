//! Rotary position embedding and the ways to stretch it to longer contexts.
//!
//! Pair i of a head of width d turns by `position / θ^(2i/d)`. Scaling methods change the base θ, except
//! position interpolation and YaRN, which change single wavelengths.
//!
//! Angles are formed in float32, position times inverse frequency, as the reference implementation does;
//! cosine and sine of that float32 angle are exact to the last bit. Against float64 angles, cos differs by up to
//! 4e-3 at position 131,071 and 1.5e-2 at 262,143. A checkpoint trained with float32 angles expects these.

mod apply;
mod chart;
mod scaling;

use rayon::prelude::*;

pub(super) use apply::rotate;
pub use chart::{chart, svg};
pub use scaling::{RopeMethod, RopeScaling};

/// Rows of a table that one task fills.
const ROWS: usize = 1024;

/// RoPE resolved for one model: what the angles are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// What it was resolved from.
    pub scaling: RopeScaling,
    /// Base after scaling; what a saved config holds.
    pub theta: f64,
    /// Factor on the base, at least 1.
    pub lambda: f64,
    /// Critical dimension, for the methods that have one.
    pub d_crit: Option<u32>,
    /// Angle per position and pair, `[head_dim / 2]`.
    pub inv_freq: Vec<f32>,
    /// Factor on cos and sin (YaRN; 1 otherwise).
    pub amplitude: f64,
    /// What a reader should know, such as a clamped λ.
    pub notes: Vec<String>,
}

impl Rope {
    /// Wavelength of each pair in positions, `[head_dim / 2]`.
    pub fn periods(&self) -> Vec<f64> {
        let tau = std::f64::consts::TAU;
        self.inv_freq.iter().map(|&f| tau / f64::from(f)).collect()
    }

    /// cos and sin of the angles at `positions`, each `[positions.len() * head_dim / 2]`, row by row,
    /// amplitude included.
    pub fn tables(&self, positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
        let pairs = self.inv_freq.len();
        let mut cos = vec![0f32; positions.len() * pairs];
        let mut sin = vec![0f32; positions.len() * pairs];
        let amplitude = self.amplitude;
        cos.par_chunks_mut(ROWS * pairs)
            .zip(sin.par_chunks_mut(ROWS * pairs))
            .zip(positions.par_chunks(ROWS))
            .for_each(|((cos, sin), positions)| {
                let rows = cos.chunks_exact_mut(pairs).zip(sin.chunks_exact_mut(pairs));
                for ((cos, sin), &position) in rows.zip(positions) {
                    for ((cos, sin), &frequency) in cos.iter_mut().zip(sin).zip(&self.inv_freq) {
                        let (s, c) = f64::from(position as f32 * frequency).sin_cos();
                        (*cos, *sin) = ((c * amplitude) as f32, (s * amplitude) as f32);
                    }
                }
            });
        (cos, sin)
    }
}

#[cfg(test)]
mod tests;
