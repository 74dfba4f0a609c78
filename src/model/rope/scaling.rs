//! From a scaling method and its lengths to base, wavelengths and amplitude.
//!
//! Sources: Chen et al., arXiv 2306.15595 (position interpolation); the NTK-aware rule of bloc97; LongLLaDA,
//! arXiv 2506.14429 (critical dimension); UltraLLaDA, arXiv 2510.10481 (diffusion-aware: bidirectional attention sees
//! distances of both signs, so both lengths are doubled); Peng et al., arXiv 2309.00071 (YaRN).

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use super::Rope;
use crate::error::{Error, Result, shown_text};

/// YaRN: pairs that turn at least this often within the trained length stay as they are …
const YARN_FAST: f64 = 32.0;
/// … and those that turn at most this often are interpolated.
const YARN_SLOW: f64 = 1.0;
/// Lengths beyond this are slips of the hand.
const MAX_LEN: u32 = 1 << 30;

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

impl RopeMethod {
    /// All of them, the plain one first.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Pi,
        Self::Ntk,
        Self::NtkCritical,
        Self::DiffusionNtk,
        Self::Yarn,
    ];

    /// The name in recipes, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pi => "pi",
            Self::Ntk => "ntk",
            Self::NtkCritical => "ntk_critical",
            Self::DiffusionNtk => "diffusion_ntk",
            Self::Yarn => "yarn",
        }
    }

    /// Whether the method has a critical dimension.
    pub fn has_d_crit(self) -> bool {
        matches!(self, Self::NtkCritical | Self::DiffusionNtk)
    }
}

impl fmt::Display for RopeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RopeMethod {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| {
            Error::usage(format!(
                "there is no RoPE scaling `{}`\nhint: use one of {}",
                shown_text(text),
                Self::ALL.map(Self::name).join(", ")
            ))
        })
    }
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
    /// Critical dimension to use in place of the computed one, 1 to `head_dim`; odd values are allowed.
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

    fn check(&self, head_dim: usize) -> Result<()> {
        let Self {
            method,
            train_len,
            target_len,
            d_crit,
        } = *self;
        if method == RopeMethod::None {
            return Ok(());
        }
        if train_len == 0 || target_len < train_len || target_len > MAX_LEN {
            return Err(Error::usage(format!(
                "RoPE scaling from {train_len} to {target_len} tokens: expected 1 ≤ train_len ≤ target_len ≤ {MAX_LEN}"
            )));
        }
        match d_crit {
            Some(_) if !method.has_d_crit() => Err(Error::usage(format!(
                "`d_crit` has no meaning for the RoPE scaling `{method}`\nhint: use it with ntk_critical or diffusion_ntk"
            ))),
            Some(d) if d == 0 || d as usize > head_dim => Err(Error::usage(format!(
                "critical dimension {d}: expected 1 to the head's width {head_dim}"
            ))),
            _ => Ok(()),
        }
    }
}

/// The critical dimension: pairs above it have not seen a whole period within `train_len`.
///
/// d_crit = 2 ⌈(d/2) · log_θ(train_len / 2π)⌉. Source: LongLLaDA, arXiv 2506.14429.
fn critical_dimension(theta: f64, head_dim: usize, train_len: f64) -> f64 {
    2.0 * ((head_dim as f64 / 2.0) * (train_len / TAU).ln() / theta.ln()).ceil()
}

impl Rope {
    /// Resolves a scaling for base `theta` and an even `head_dim`.
    ///
    /// # Errors
    /// A length is 0, the target is shorter than the trained length, `d_crit` is out of range, or the trained length is
    /// too short for any pair to be critical.
    pub fn new(theta: f64, head_dim: usize, scaling: &RopeScaling) -> Result<Self> {
        if !(theta > 1.0 && theta.is_finite()) || head_dim < 2 || !head_dim.is_multiple_of(2) {
            return Err(Error::usage(format!(
                "RoPE needs a base above 1 and an even head width, found {theta} and {head_dim}"
            )));
        }
        scaling.check(head_dim)?;
        let mut rope = Self {
            scaling: *scaling,
            theta,
            lambda: 1.0,
            d_crit: None,
            inv_freq: Vec::new(),
            amplitude: 1.0,
            notes: Vec::new(),
        };
        let factor = f64::from(scaling.target_len) / f64::from(scaling.train_len);
        match scaling.method {
            RopeMethod::None => {}
            RopeMethod::Pi => {
                let plain = inverse_frequencies(theta, head_dim);
                rope.inv_freq = plain.iter().map(|&f| (f64::from(f) / factor) as f32).collect();
                return Ok(rope);
            }
            RopeMethod::Yarn => {
                rope.inv_freq = yarn(theta, head_dim, scaling.train_len, factor);
                rope.amplitude = 0.1 * factor.ln() + 1.0;
                return Ok(rope);
            }
            RopeMethod::Ntk if head_dim == 2 => {
                rope.notes
                    .push("a head of width 2 has one pair, which no base changes".into());
            }
            RopeMethod::Ntk => {
                let d = head_dim as f64;
                rope.set_lambda(factor.powf(d / (d - 2.0)));
            }
            RopeMethod::NtkCritical => rope.critical(head_dim, 1.0)?,
            RopeMethod::DiffusionNtk => rope.critical(head_dim, 2.0)?,
        }
        rope.inv_freq = inverse_frequencies(rope.theta, head_dim);
        Ok(rope)
    }

    /// λ = (T_target / 2π)^(d / d_crit) / θ, lengths times `reach`, so that the critical pair's period is `reach · target_len`.
    fn critical(&mut self, head_dim: usize, reach: f64) -> Result<()> {
        let train = reach * f64::from(self.scaling.train_len);
        let target = reach * f64::from(self.scaling.target_len);
        let d_crit = match self.scaling.d_crit {
            Some(d) => f64::from(d),
            None => {
                let d = critical_dimension(self.theta, head_dim, train);
                if d < 1.0 {
                    return Err(Error::usage(format!(
                        "train_len {} is shorter than every wavelength, there is no critical dimension\nhint: set d_crit",
                        self.scaling.train_len
                    )));
                }
                if d > head_dim as f64 {
                    self.notes.push(format!(
                        "critical dimension {d} is beyond the head's width {head_dim}: every pair saw a whole period; {head_dim} is used"
                    ));
                }
                d.min(head_dim as f64)
            }
        };
        self.d_crit = Some(d_crit as u32);
        self.set_lambda((target / TAU).powf(head_dim as f64 / d_crit) / self.theta);
        Ok(())
    }

    /// Below 1 a factor would shorten wavelengths that the model knows.
    fn set_lambda(&mut self, lambda: f64) {
        if lambda < 1.0 {
            self.notes.push(format!(
                "λ would be {lambda:.4}; it is clamped to 1, the base stays"
            ));
        }
        self.lambda = lambda.max(1.0);
        self.theta *= self.lambda;
    }
}

/// 1 / θ^(2i/d), base and exponent rounded to float32 first, as the reference computes it.
fn inverse_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    let base = f64::from(theta as f32);
    (0..head_dim / 2)
        .map(|i| {
            let exponent = f64::from((2 * i) as f32 / head_dim as f32);
            1.0 / (base.powf(exponent) as f32)
        })
        .collect()
}

/// Fast pairs keep their frequency, slow ones are divided by `factor`, with a linear ramp between.
fn yarn(theta: f64, head_dim: usize, train_len: u32, factor: f64) -> Vec<f32> {
    let d = head_dim as f64;
    let pair_turning = |turns: f64| d * (f64::from(train_len) / (turns * TAU)).ln() / (2.0 * theta.ln());
    let low = pair_turning(YARN_FAST).floor().max(0.0);
    let high = pair_turning(YARN_SLOW).ceil().clamp(0.0, d - 1.0).max(low + 1e-3);
    let plain = inverse_frequencies(theta, head_dim);
    let pairs = plain.iter().enumerate();
    pairs
        .map(|(i, &frequency)| {
            let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            let frequency = f64::from(frequency);
            (frequency * (1.0 - slow) + frequency / factor * slow) as f32
        })
        .collect()
}
