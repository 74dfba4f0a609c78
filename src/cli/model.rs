//! `ultrapack model init` and `ultrapack model info`.

use std::path::{Path, PathBuf};

use candle_core::DType;
use serde_json::json;

use super::output::{Printer, bold, bytes, count};
use crate::error::{Error, Result};
use crate::model::{Config, Model, StoredWeights, stored_weights};

#[derive(Debug, clap::Args)]
pub struct ModelArguments {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ModelCommand {
    /// Write a randomly initialised checkpoint in the published layout.
    Init(InitArguments),
    /// Say what a checkpoint holds: configuration, parameters, memory, digest.
    Info(InfoArguments),
}

#[derive(Debug, clap::Args)]
struct InitArguments {
    /// A named size: tiny, 10M, 25M, 150M, 1B or 8B.
    #[arg(value_name = "SIZE", required_unless_present = "config")]
    size: Option<String>,
    /// A config.json to follow instead of a named size.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["size", "vocab_size", "mask_id", "eos_id"])]
    config: Option<PathBuf>,
    /// Where to write. Must not hold a checkpoint.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of token ids. Default: LLaDA's 126464.
    #[arg(long, value_name = "N", default_value_t = 126_464)]
    vocab_size: usize,
    /// The mask token. Default: LLaDA's 126336, or the last id of another vocabulary.
    #[arg(long, value_name = "ID")]
    mask_id: Option<u32>,
    /// The end-of-document token. Default: LLaDA's 126081, or the last id but one of another vocabulary.
    #[arg(long, value_name = "ID")]
    eos_id: Option<u32>,
    /// Seed of the weights; the same seed gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Stored as.
    #[arg(long, value_name = "DTYPE", default_value = "f32")]
    dtype: Stored,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Stored {
    F32,
    Bf16,
}

#[derive(Debug, clap::Args)]
struct InfoArguments {
    /// The checkpoint's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn run(arguments: &ModelArguments, printer: &Printer) -> Result<()> {
    match &arguments.command {
        ModelCommand::Init(arguments) => init(arguments, printer),
        ModelCommand::Info(arguments) => info(&arguments.directory, printer),
    }
}

fn init(arguments: &InitArguments, printer: &Printer) -> Result<()> {
    let config = match (&arguments.config, &arguments.size) {
        (Some(path), _) => Config::read(path)?,
        (None, size) => named(arguments, size.as_deref().unwrap_or_default())?,
    };
    let out = &arguments.out;
    if out.join("config.json").exists() {
        return Err(Error::Conflict {
            path: out.clone(),
            message: "already holds a checkpoint\nhint: choose another directory, or remove it".into(),
        });
    }
    let dtype = match arguments.dtype {
        Stored::F32 => DType::F32,
        Stored::Bf16 => DType::BF16,
    };
    Model::write_initial(&config, arguments.seed, out, dtype)?;
    info(out, printer)
}

fn named(arguments: &InitArguments, size: &str) -> Result<Config> {
    let vocab_size = arguments.vocab_size;
    let llada = vocab_size == 126_464;
    let last = u32::try_from(vocab_size.saturating_sub(1))
        .map_err(|_| Error::usage(format!("a vocabulary of {vocab_size} ids is too large")))?;
    let mask = if llada { 126_336 } else { last };
    let eos = if llada { 126_081 } else { last.saturating_sub(1) };
    Config::named(
        size,
        vocab_size,
        arguments.mask_id.unwrap_or(mask),
        arguments.eos_id.unwrap_or(eos),
    )
}

fn info(directory: &Path, printer: &Printer) -> Result<()> {
    let config = Config::load(directory)?;
    let stored = stored_weights(directory, &config)?;
    if printer.json() {
        return printer.json_result(
            "model",
            &json!({
                "directory": directory,
                "family": config.family.name(),
                "d_model": config.d_model,
                "n_layers": config.n_layers,
                "n_heads": config.n_heads,
                "n_kv_heads": config.n_kv_heads,
                "head_dim": config.head_dim,
                "d_ff": config.d_ff,
                "vocab_size": config.vocab_size,
                "tied_head": config.tied_head,
                "qkv_bias": config.qkv_bias,
                "rope_theta": config.rope_theta,
                "max_len": config.max_len,
                "mask_id": config.mask_id,
                "eos_id": config.eos_id,
                "n_params": config.n_params(),
                "weights": stored,
            }),
        );
    }
    printer.result(&description(directory, &config, &stored))
}

fn description(directory: &Path, config: &Config, stored: &StoredWeights) -> String {
    let n = config.n_params();
    let heads = match config.n_heads == config.n_kv_heads {
        true => format!("{} of {}", config.n_heads, config.head_dim),
        false => format!(
            "{} of {}, {} for keys and values",
            config.n_heads, config.head_dim, config.n_kv_heads
        ),
    };
    let rows = [
        ("family", config.family.name().to_owned()),
        ("parameters", count(n)),
        (
            "shape",
            format!(
                "{} layers, width {}, feed-forward {}, vocabulary {}{}",
                config.n_layers,
                count(config.d_model as u64),
                count(config.d_ff as u64),
                count(config.vocab_size as u64),
                if config.tied_head { ", tied head" } else { "" }
            ),
        ),
        ("heads", heads),
        ("RoPE base", config.rope_theta.to_string()),
        (
            "length",
            format!("{} tokens, as published", count(config.max_len as u64)),
        ),
        ("mask, EOD", format!("{}, {}", config.mask_id, config.eos_id)),
        (
            "files",
            format!(
                "{} in {} file(s), {}",
                bytes(stored.n_bytes),
                stored.files.len(),
                stored.dtypes.join(" and ")
            ),
        ),
        (
            "in memory",
            format!("{} as f32, {} as bf16", bytes(4 * n), bytes(2 * n)),
        ),
        (
            "to train",
            format!(
                "{} with AdamW in f32: weights, gradients and two moments, before activations",
                bytes(16 * n)
            ),
        ),
        ("digest", stored.digest.clone()),
    ];
    let mut text = bold(&format!("{}\n", crate::error::shown(directory)));
    for (name, value) in rows {
        text += &format!("  {name:<12} {value}\n");
    }
    text
}
