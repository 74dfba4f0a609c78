//! How fast: attention alone, and forward and backward of a model, at several lengths.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::Report;
use super::attention::normal;
use super::gradients::pass_into;
use crate::error::Result;
use crate::model::attention::{varlen_attention, varlen_attention_backward};
use crate::model::{Config, Gradients, Model, RopeScaling};

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    /// What ran.
    pub name: String,
    /// Tokens of the sequence.
    pub n_tokens: usize,
    /// Length of its documents.
    pub document_len: usize,
    /// Mean duration of one run.
    pub secs: f64,
    /// Runs that were timed, after one that was not.
    pub n_runs: u32,
    /// Tokens per second.
    pub tokens_per_sec: f64,
    /// Floating-point operations per second; recomputation does not count.
    pub flops: f64,
    /// Share of the card's dense bf16 peak, where the card is known.
    pub utilisation: Option<f64>,
    /// Memory that the card had in use afterwards. The process keeps what it has freed, so this is the highest of this
    /// measurement and those before it, plus what others use.
    pub memory_bytes: Option<u64>,
}

/// Dense bf16 peak by what the driver's name for the card contains, FLOP/s. Source: NVIDIA's data sheets.
const PEAKS: [(&str, f64); 5] = [
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("A100", 312e12),
];

/// What is measured on a kind of device.
struct Plan {
    size: &'static str,
    vocab: usize,
    dtype: DType,
    heads: (usize, usize),
    /// Tokens, and length of documents.
    layouts: &'static [(usize, usize)],
}

const ON_GPU: Plan = Plan {
    size: "1B",
    vocab: 126_464,
    dtype: DType::BF16,
    heads: (16, 128),
    layouts: &[
        (4096, 1024),
        (4096, 4096),
        (32_768, 8192),
        (32_768, 32_768),
        (131_072, 8192),
        (131_072, 131_072),
    ],
};
const ON_CPU: Plan = Plan {
    size: "tiny",
    vocab: 512,
    dtype: DType::F32,
    heads: (4, 64),
    layouts: &[(512, 128), (512, 512)],
};

pub(super) fn measure(report: &mut Report, device: &Device, deadline: Instant) {
    let plan = if device.is_cpu() { &ON_CPU } else { &ON_GPU };
    for &layout in plan.layouts {
        let what = format!("attention at {layout:?}");
        report.attempt(&what, deadline, |report| {
            attention(report, plan, device, layout, deadline)
        });
    }
    report.attempt("model", deadline, |report| {
        let config = Config::named(plan.size, plan.vocab, 1, 0)?;
        let model = Model::init(config, &RopeScaling::NONE, 1, device, plan.dtype)?;
        let mut grads = Gradients::zeros(&model)?;
        for &layout in plan.layouts {
            let what = format!("model at {layout:?}");
            report.attempt(&what, deadline, |report| {
                let (n, len) = layout;
                let config = model.config();
                let flops = 3.0 * config.forward_flops(n as u64, (n * len) as u64);
                let cu_seqlens = boundaries(layout);
                let timed = time(device, flops, report, deadline, || {
                    grads.clear()?;
                    pass_into(&model, &cu_seqlens, &mut grads)?;
                    Ok(())
                })?;
                let name = format!("{} model, {:?}, forward and backward", plan.size, plan.dtype);
                record(report, device, name, layout, flops, timed);
                Ok(())
            });
        }
        Ok(())
    });
}

fn boundaries((n, len): (usize, usize)) -> Vec<u32> {
    (0..=n).step_by(len).map(|at| at as u32).collect()
}

fn attention(
    report: &mut Report,
    plan: &Plan,
    device: &Device,
    layout: (usize, usize),
    deadline: Instant,
) -> Result<()> {
    let ((n, len), (heads, d)) = (layout, plan.heads);
    let numbers = |seed| -> Result<Tensor> {
        let numbers = normal(seed, n * heads * d);
        Ok(Tensor::from_vec(numbers, (n, heads, d), device)?.to_dtype(plan.dtype)?)
    };
    let (q, k, v, d_o) = (numbers(1)?, numbers(2)?, numbers(3)?, numbers(4)?);
    let (cu_seqlens, scale) = (boundaries(layout), 1.0 / (d as f64).sqrt());
    let flops = 4.0 * (n * len * heads * d) as f64;
    let timed = time(device, flops, report, deadline, || {
        varlen_attention(&q, &k, &v, &cu_seqlens, scale)?;
        Ok(())
    })?;
    record(
        report,
        device,
        format!("attention forward, {heads} x {d}"),
        layout,
        flops,
        timed,
    );
    let (o, lse) = varlen_attention(&q, &k, &v, &cu_seqlens, scale)?;
    let timed = time(device, 2.5 * flops, report, deadline, || {
        varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, &cu_seqlens, scale)?;
        Ok(())
    })?;
    record(
        report,
        device,
        format!("attention backward, {heads} x {d}"),
        layout,
        2.5 * flops,
        timed,
    );
    Ok(())
}

/// Mean seconds and number of runs: for two seconds or ten runs, after one run that is not counted. A run that would
/// not end in time, going by the measurements before, is refused.
fn time(
    device: &Device,
    flops: f64,
    report: &Report,
    deadline: Instant,
    mut work: impl FnMut() -> Result<()>,
) -> Result<(f64, u32)> {
    let slowest = report
        .speeds
        .iter()
        .map(|speed| speed.flops)
        .fold(f64::INFINITY, f64::min);
    let expected = Duration::try_from_secs_f64(2.0 * flops / slowest).unwrap_or(Duration::MAX);
    if slowest.is_finite() && Instant::now() + expected.min(Duration::from_secs(1 << 30)) > deadline {
        return Err(crate::error::Error::usage(format!(
            "not done: two runs would take about {:.0} s",
            expected.as_secs_f64()
        )));
    }
    work()?;
    device.synchronize()?;
    let begin = Instant::now();
    for n in 1.. {
        work()?;
        device.synchronize()?;
        if n == 10 || begin.elapsed() > Duration::from_secs(2) {
            return Ok((begin.elapsed().as_secs_f64() / f64::from(n), n));
        }
    }
    unreachable!("the loop ends after ten runs")
}

fn record(
    report: &mut Report,
    device: &Device,
    name: String,
    (n_tokens, document_len): (usize, usize),
    flops: f64,
    (secs, n_runs): (f64, u32),
) {
    let peak = PEAKS.iter().find(|(card, _)| report.device.contains(card));
    report.speeds.push(Speed {
        name,
        n_tokens,
        document_len,
        secs,
        n_runs,
        tokens_per_sec: n_tokens as f64 / secs,
        flops: flops / secs,
        utilisation: peak.map(|(_, peak)| flops / secs / peak),
        memory_bytes: memory(device),
    });
}

#[cfg(feature = "cuda")]
fn memory(device: &Device) -> Option<u64> {
    crate::model::cuda::Facts::used_bytes(device.as_cuda_device().ok()?).ok()
}

#[cfg(not(feature = "cuda"))]
fn memory(_: &Device) -> Option<u64> {
    None
}
