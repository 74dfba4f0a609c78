//! Rotary position embedding and the ways to stretch it to longer contexts.

use crate::error::Result;

/// How RoPE is scaled from the trained to the target length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopeMethod {
    /// Not at all.
    None,
    /// Position interpolation: positions times `train_len / target_len`.
    Pi,
    /// NTK-aware: base times `s^(d / (d - 2))`.
    Ntk,
    /// NTK with the critical dimension (LongLLaDA).
    NtkCritical,
    /// Diffusion-aware NTK (UltraLLaDA): the same with both lengths doubled.
    DiffusionNtk,
    /// YaRN.
    Yarn,
}

/// A method with its lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeScaling {
    /// The method.
    pub method: RopeMethod,
    /// Length the model was trained on, tokens.
    pub train_len: u32,
    /// Length it shall reach, tokens.
    pub target_len: u32,
    /// Critical dimension to use in place of the computed one; odd values are allowed.
    pub d_crit: Option<u32>,
}

impl RopeScaling {
    /// No scaling.
    pub const NONE: Self = Self {
        method: RopeMethod::None,
        train_len: 1,
        target_len: 1,
        d_crit: None,
    };
}

/// RoPE resolved for one model: what the angles are made of.
#[derive(Debug, Clone)]
pub struct Rope {
    /// Base after scaling; what a saved config holds.
    pub theta: f64,
    /// Factor on the base, at least 1.
    pub lambda: f64,
    /// Critical dimension, for the methods that have one.
    pub d_crit: Option<u32>,
    /// Angle per position and pair, `[head_dim / 2]`.
    pub inv_freq: Vec<f32>,
    /// Factor on positions (PI).
    pub position_scale: f64,
    /// Factor on cos and sin (YaRN).
    pub amplitude: f64,
    /// What a reader should know, such as a clamped λ.
    pub notes: Vec<String>,
}

impl Rope {
    /// Resolves a scaling for base `theta` and an even `head_dim`.
    ///
    /// # Errors
    /// A length is 0, the target is shorter than the trained length, or `d_crit` is out of range.
    pub fn new(_theta: f64, _head_dim: usize, _scaling: &RopeScaling) -> Result<Self> {
        todo!()
    }

    /// Wavelength of each pair in positions, `[head_dim / 2]`.
    pub fn periods(&self) -> Vec<f64> {
        todo!()
    }

    /// cos and sin of the angles at `positions`, each `[positions.len() * head_dim / 2]`, row by row.
    pub fn tables(&self, _positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
        todo!()
    }
}
