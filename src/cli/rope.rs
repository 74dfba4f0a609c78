//! `ultrapack rope`: the ways to stretch RoPE, side by side.

use std::path::PathBuf;

use serde_json::json;

use super::output::{Printer, bold, count, table};
use crate::disk;
use crate::error::{Error, Result};
use crate::model::{Config, Rope, RopeMethod, RopeScaling, rope_chart, rope_svg};

/// Base and width of a head of LLaDA-8B.
const LLADA: (f64, usize) = (500_000.0, 128);

#[derive(Debug, clap::Args)]
pub struct RopeArguments {
    /// Length the model was trained on, tokens.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    train_len: u32,
    /// Length it shall reach, tokens.
    #[arg(long, value_name = "N", default_value_t = 131_072)]
    target_len: u32,
    /// Only this method beside the plain one: none, pi, ntk, ntk_critical, diffusion_ntk or yarn.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Base of RoPE. Default: LLaDA's 500000.
    #[arg(long, value_name = "B")]
    theta: Option<f64>,
    /// Width of a head. Default: LLaDA's 128.
    #[arg(long, value_name = "D")]
    head_dim: Option<usize>,
    /// Critical dimension for ntk_critical and diffusion_ntk, in place of the computed one.
    #[arg(long, value_name = "D")]
    d_crit: Option<u32>,
    /// Take base and width from this checkpoint's config.json.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["theta", "head_dim"])]
    model: Option<PathBuf>,
    /// Also draw the wavelengths into an SVG file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub fn run(arguments: &RopeArguments, printer: &Printer) -> Result<()> {
    let (theta, head_dim) = match &arguments.model {
        Some(directory) => {
            let config = Config::load(directory)?;
            (config.rope_theta, config.head_dim)
        }
        None => (
            arguments.theta.unwrap_or(LLADA.0),
            arguments.head_dim.unwrap_or(LLADA.1),
        ),
    };
    if head_dim > 1 << 16 {
        return Err(Error::usage(format!(
            "a head of width {head_dim} is wider than any model's"
        )));
    }
    let ropes = resolved(arguments, theta, head_dim)?;
    for rope in &ropes {
        let method = rope.scaling.method;
        rope.notes
            .iter()
            .for_each(|note| printer.note(&format!("{method}: {note}")));
    }
    let (train_len, target_len) = (arguments.train_len, arguments.target_len);
    if let Some(path) = &arguments.svg {
        disk::write_report(path, rope_svg(&ropes, train_len, target_len).as_bytes())?;
    }
    if printer.json() {
        let methods: Vec<_> = ropes.iter().map(|rope| as_json(rope, target_len)).collect();
        return printer.json_result(
            "rope",
            &json!({
                "theta": theta,
                "head_dim": head_dim,
                "train_len": train_len,
                "target_len": target_len,
                "methods": methods,
            }),
        );
    }
    let heading = format!(
        "RoPE with base {theta} and heads of {head_dim}, from {} to {} tokens\n",
        count(train_len.into()),
        count(target_len.into())
    );
    let text = [
        bold(&heading),
        summary(&ropes, target_len),
        bold("\nPositions per turn of each pair\n"),
        periods(&ropes),
        "\n".into(),
        rope_chart(&ropes, train_len, target_len),
    ];
    printer.result(&text.concat())
}

/// The plain rotation and the methods asked for.
fn resolved(arguments: &RopeArguments, theta: f64, head_dim: usize) -> Result<Vec<Rope>> {
    let only: Option<RopeMethod> = arguments.method.as_deref().map(str::parse).transpose()?;
    let wanted = |method: &RopeMethod| *method == RopeMethod::None || only.is_none_or(|only| *method == only);
    let resolve = |method: RopeMethod| {
        let d_crit = arguments
            .d_crit
            .filter(|_| method.has_d_crit() || only == Some(method));
        let scaling = RopeScaling {
            method,
            train_len: arguments.train_len,
            target_len: arguments.target_len,
            d_crit,
        };
        Rope::new(theta, head_dim, &scaling)
    };
    RopeMethod::ALL.into_iter().filter(wanted).map(resolve).collect()
}

/// Pairs that do not turn once within the target length.
fn n_slow(rope: &Rope, target_len: u32) -> usize {
    let slow = |period: &f64| *period > f64::from(target_len);
    rope.periods().iter().filter(|period| slow(period)).count()
}

fn as_json(rope: &Rope, target_len: u32) -> serde_json::Value {
    json!({
        "method": rope.scaling.method.name(),
        "d_crit": rope.d_crit,
        "lambda": rope.lambda,
        "theta": rope.theta,
        "amplitude": rope.amplitude,
        "pairs_beyond_target": n_slow(rope, target_len),
        "periods": rope.periods(),
        "notes": rope.notes,
    })
}

fn summary(ropes: &[Rope], target_len: u32) -> String {
    let header = [
        "method",
        "d_crit",
        "lambda",
        "theta",
        "amplitude",
        "slower than target",
    ];
    let row = |rope: &Rope| {
        vec![
            rope.scaling.method.to_string(),
            rope.d_crit.map_or("-".into(), |d| d.to_string()),
            format!("{:.4}", rope.lambda),
            count(rope.theta.round() as u64),
            format!("{:.4}", rope.amplitude),
            format!("{} of {}", n_slow(rope, target_len), rope.inv_freq.len()),
        ]
    };
    table(&header, ropes.iter().map(row).collect())
}

fn periods(ropes: &[Rope]) -> String {
    let columns: Vec<Vec<f64>> = ropes.iter().map(Rope::periods).collect();
    let header: Vec<&str> = std::iter::once("pair")
        .chain(ropes.iter().map(|rope| rope.scaling.method.name()))
        .collect();
    let row = |pair: usize| {
        let cells = columns.iter().map(|periods| shown(periods[pair]));
        std::iter::once(pair.to_string()).chain(cells).collect()
    };
    let n_pairs = columns.first().map_or(0, Vec::len);
    table(&header, (0..n_pairs).map(row).collect())
}

fn shown(period: f64) -> String {
    match period {
        0.0..100.0 => format!("{period:.2}"),
        _ => count(period.round() as u64),
    }
}
