//! Everything that needs a GPU to be known: right results, right gradients, speed.
//!
//! The sections are independent, so that each can run in a process of its own: a kernel that fails
//! leaves a process without a usable GPU. On the CPU the same sections run with small shapes, which tests the
//! sections themselves.

mod attention;
mod gradients;
mod optimizer;
mod speed;

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use serde::Serialize;

use crate::error::Result;
use crate::kernel::check::Outcome;

pub use speed::Speed;

/// A part of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Every kernel alone, against plain loops in f64. Needs a GPU.
    Kernels,
    /// Attention through its door, forward and backward, against f64 on the CPU.
    Attention,
    /// Loss and gradients of a whole model against f64 on the CPU, and the optimizer against the one on the CPU.
    Gradients,
    /// Tokens per second, FLOP/s and memory.
    Speed,
}

/// What a section found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The section.
    pub section: Section,
    /// The name that the driver gives the GPU, or `cpu`.
    pub device: String,
    /// Compute capability, memory and driver of the GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<serde_json::Value>,
    /// Seed of the inputs.
    pub seed: u64,
    /// Comparisons.
    pub checks: Vec<Outcome>,
    /// Measurements.
    pub speeds: Vec<Speed>,
    /// What could not be done, and why.
    pub problems: Vec<String>,
    /// Duration of the section.
    pub secs: f64,
}

impl Report {
    /// Whether everything was done and is right.
    pub fn passed(&self) -> bool {
        self.problems.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}

/// Runs one section for at most about `budget`; what does not fit is a problem of the report, as is everything
/// that fails.
pub fn run(section: Section, device: &Device, seed: u64, budget: Duration) -> Report {
    let begin = Instant::now();
    let (name, facts) = facts(device);
    let mut report = Report {
        section,
        device: name,
        facts,
        seed,
        checks: Vec::new(),
        speeds: Vec::new(),
        problems: Vec::new(),
        secs: 0.0,
    };
    let deadline = begin + budget;
    match section {
        Section::Kernels => kernels(&mut report, device, seed, deadline),
        Section::Attention => attention::check(&mut report, device, seed, deadline),
        Section::Gradients => {
            gradients::check(&mut report, device, seed, deadline);
            optimizer::check(&mut report, device, seed, deadline);
        }
        Section::Speed => speed::measure(&mut report, device, deadline),
    }
    report.secs = begin.elapsed().as_secs_f64();
    report
}

impl Report {
    /// Does a piece of work unless time is up; a failure becomes a problem.
    fn attempt(&mut self, what: &str, deadline: Instant, work: impl FnOnce(&mut Self) -> Result<()>) {
        if Instant::now() >= deadline {
            self.problems.push(format!("{what}: not done, time was up"));
        } else if let Err(error) = work(self) {
            self.problems.push(format!("{what}: {error}"));
        }
    }

    fn compare(&mut self, name: String, out: &Tensor, reference: &Tensor, limit: f64) -> Result<()> {
        let host = |tensor: &Tensor| -> Result<Vec<f64>> {
            let host = tensor
                .to_device(&Device::Cpu)?
                .to_dtype(candle_core::DType::F64)?;
            Ok(host.flatten_all()?.to_vec1()?)
        };
        let (out, reference) = (host(out)?, host(reference)?);
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let difference = squares(&mut out.iter().zip(&reference).map(|(a, b)| a - b));
        let norm = squares(&mut reference.iter().copied());
        let error = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
        self.checks.push(Outcome {
            name,
            error,
            limit,
            passed: error < limit,
        });
        Ok(())
    }
}

#[cfg(feature = "cuda")]
fn facts(device: &Device) -> (String, Option<serde_json::Value>) {
    let facts = device.as_cuda_device().ok().map(crate::model::cuda::Facts::of);
    match facts {
        Some(Ok(facts)) => (facts.name.clone(), serde_json::to_value(facts).ok()),
        Some(Err(error)) => (format!("GPU ({error})"), None),
        None => ("cpu".into(), None),
    }
}

#[cfg(not(feature = "cuda"))]
fn facts(_: &Device) -> (String, Option<serde_json::Value>) {
    ("cpu".into(), None)
}

#[cfg(feature = "cuda")]
fn kernels(report: &mut Report, device: &Device, seed: u64, deadline: Instant) {
    use crate::kernel::check::{self, Extent, KINDS};
    if device.is_cpu() {
        return no_kernels(report);
    }
    for kind in KINDS {
        report.attempt(kind, deadline, |report| {
            let mut card = crate::model::cuda::Card::new(device);
            report
                .checks
                .extend(check::run(kind, &mut card, seed, Extent::Full)?);
            Ok(())
        });
    }
}

#[cfg(not(feature = "cuda"))]
fn kernels(report: &mut Report, _: &Device, _: u64, _: Instant) {
    no_kernels(report);
}

fn no_kernels(report: &mut Report) {
    report.problems.push("the kernels alone need a GPU".into());
}
