//! AdamW and the squared norm.

use super::F32_LIMIT;
use super::bench::Bench;
use crate::error::Result;
use crate::kernel::optimizer::{self, AdamW, norm_parts};
use crate::kernel::{Address, Element};

const STEP: AdamW = AdamW {
    gradient_scale: 0.5,
    lr: 0.05,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    step: 3,
};

pub(super) fn all(bench: &mut Bench) -> Result<()> {
    for n in [1, 255, 257, 70_000] {
        with_master(bench, Element::Bf16, n)?;
        with_master(bench, Element::F32, n)?;
        in_place(bench, n)?;
        squared_norm(bench, n)?;
    }
    stochastic(bench, Element::Bf16)?;
    stochastic(bench, Element::F32)
}

/// The parameters, gradient and moments of a step, and what they become.
struct Case {
    addresses: [Address; 4],
    expected: [Vec<f64>; 3],
}

fn case(bench: &mut Bench, parameters: Element, state: Element, n: usize) -> Result<Case> {
    let (p, p_values) = bench.random(parameters, n)?;
    let (g, g_values) = bench.random(Element::F32, n)?;
    let (m, m_values) = bench.random(state, n)?;
    let squares: Vec<f64> = (0..n).map(|_| bench.normal().powi(2)).collect();
    let (v, v_values) = bench.put(state, &squares)?;
    let step = |i: usize| {
        let (b1, b2) = (f64::from(STEP.beta1), f64::from(STEP.beta2));
        let g = g_values[i] * f64::from(STEP.gradient_scale);
        let m = b1 * m_values[i] + (1.0 - b1) * g;
        let v = b2 * v_values[i] + (1.0 - b2) * g * g;
        let (m_hat, v_hat) = (m / (1.0 - b1.powi(3)), v / (1.0 - b2.powi(3)));
        let update =
            m_hat / (v_hat.sqrt() + f64::from(STEP.eps)) + f64::from(STEP.weight_decay) * p_values[i];
        (p_values[i] - f64::from(STEP.lr) * update, m, v)
    };
    let steps: Vec<_> = (0..n).map(step).collect();
    Ok(Case {
        addresses: [p, g, m, v],
        expected: [
            steps.iter().map(|s| s.0).collect(),
            steps.iter().map(|s| s.1).collect(),
            steps.iter().map(|s| s.2).collect(),
        ],
    })
}

fn with_master(bench: &mut Bench, element: Element, n: usize) -> Result<()> {
    let Case {
        addresses: [p, g, m, v],
        expected: [new_p, new_m, new_v],
    } = case(bench, Element::F32, Element::F32, n)?;
    let copy = bench.poisoned(element, n)?;
    bench.run(&optimizer::adamw(element, n, STEP, [p, copy, g, m, v]))?;
    let label = |what: &str| format!("adamw {what}, {element:?}, {n}");
    bench.compare(label("copy"), element, copy, &new_p, element.limit())?;
    bench.compare(label("master"), Element::F32, p, &new_p, F32_LIMIT)?;
    bench.compare(label("m"), Element::F32, m, &new_m, F32_LIMIT)?;
    bench.compare(label("v"), Element::F32, v, &new_v, F32_LIMIT)
}

/// Parameters in f32 are their own master.
fn in_place(bench: &mut Bench, n: usize) -> Result<()> {
    let Case {
        addresses: [p, g, m, v],
        expected: [new_p, ..],
    } = case(bench, Element::F32, Element::F32, n)?;
    bench.run(&optimizer::adamw(Element::F32, n, STEP, [p, p, g, m, v]))?;
    let label = format!("adamw in place, {n}");
    bench.compare(label, Element::F32, p, &new_p, F32_LIMIT)
}

/// Each bf16 number is one of its two neighbours, and the roundings cancel out on average; f32 parameters are exact.
fn stochastic(bench: &mut Bench, parameters: Element) -> Result<()> {
    let n = 10_000;
    let Case { addresses, expected } = case(bench, parameters, Element::Bf16, n)?;
    bench.run(&optimizer::adamw_bf16(parameters, n, STEP, 42, addresses))?;
    let outputs = [
        ("parameters", parameters, addresses[0]),
        ("m", Element::Bf16, addresses[2]),
        ("v", Element::Bf16, addresses[3]),
    ];
    for ((what, element, out), expected) in outputs.into_iter().zip(&expected) {
        let what = format!("{what}, parameters {parameters:?}");
        let label = format!("adamw bf16 {what}, {n}");
        bench.compare(label, element, out, expected, element.limit())?;
        if element == Element::F32 {
            continue;
        }
        let out = bench.read(Element::Bf16, out, n)?;
        // In units of the distance of the two neighbours: uniform if rounding were biased down, mean 0 if it is fair.
        let distance = |x: f64| f64::exp2(x.abs().log2().floor() - 7.0);
        let errors = out.iter().zip(expected).map(|(out, x)| (out - x) / distance(*x));
        let (mut sum, mut worst) = (0.0, 0.0f64);
        for error in errors {
            sum += error;
            worst = worst.max(error.abs());
        }
        bench.outcome(format!("adamw bf16 {what}: worst rounding"), worst, 1.01);
        // Five standard errors of the mean of n roundings, each of variance below 1 / 4.
        let limit = 5.0 * 0.5 / (n as f64).sqrt();
        bench.outcome(
            format!("adamw bf16 {what}: mean rounding"),
            (sum / n as f64).abs(),
            limit,
        );
    }
    Ok(())
}

fn squared_norm(bench: &mut Bench, n: usize) -> Result<()> {
    let (x, values) = bench.random(Element::F32, n)?;
    let parts = bench.upload(&vec![0xff; norm_parts(n) * 8])?;
    bench.run(&optimizer::squared_norm(n, x, parts))?;
    let parts = bench.download(parts, norm_parts(n) * 8)?;
    let parts = parts.as_chunks().0.iter();
    let sum: f64 = parts.map(|&part| f64::from_le_bytes(part)).sum();
    let expected: f64 = values.iter().map(|x| x * x).sum();
    bench.outcome(format!("squared norm, {n}"), (sum / expected - 1.0).abs(), 1e-12);
    Ok(())
}
