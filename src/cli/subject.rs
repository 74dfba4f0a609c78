//! Options of the commands that run a model.

use std::path::PathBuf;

use candle_core::{DType, Device};

use super::output::Printer;
use crate::error::{Error, Result};
use crate::eval::run::{SubjectSpec, method};
use crate::eval::sampler::{CacheMode, Remask, Sampling};
use crate::model::{RopeMethod, device};

/// Which model, at which length, computed where.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArguments {
    /// Directory of the checkpoint: `config.json` and `model.safetensors`.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The model's tokenizer. Default: `tokenizer.json` beside the model.
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Scale RoPE without training: none, pi, ntk, ntk-critical, diffusion-ntk or yarn.
    #[arg(long, value_name = "METHOD", default_value = "none", value_parser = method_of)]
    rope: RopeMethod,
    /// `--rope`: length to reach, such as 131072 or 128K.
    #[arg(long, value_name = "N", value_parser = length)]
    target_len: Option<u32>,
    /// `--rope`: length that the model was trained on. Default: the configuration's.
    #[arg(long, value_name = "N", value_parser = length)]
    train_len: Option<u32>,
    /// `--rope`: critical dimension in place of the computed one.
    #[arg(long, value_name = "N")]
    d_crit: Option<u32>,
    /// The longest prompt that is run. Default: the configuration's length, or the target.
    #[arg(long, value_name = "N", value_parser = length)]
    max_len: Option<u32>,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// Dtype of weights and activations: f32 or bf16. Default: f32 on the CPU, else bf16.
    #[arg(long, value_name = "DTYPE", value_parser = ["f32", "bf16"])]
    dtype: Option<String>,
    /// Worker threads. Default: all cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
}

impl ModelArguments {
    /// The checkpoint with its scaling.
    pub fn spec(&self) -> SubjectSpec {
        SubjectSpec {
            name: None,
            model: self.model.clone(),
            rope: self.rope,
            target_len: self.target_len,
            train_len: self.train_len,
            d_crit: self.d_crit,
            max_len: self.max_len,
        }
    }

    /// Where to compute, and in what.
    ///
    /// # Errors
    /// There is no such device.
    pub fn device(&self, printer: &Printer) -> Result<(Device, DType)> {
        let opened = device::open(&self.device)?;
        if let Some(note) = &opened.note {
            printer.note(note);
        }
        let device = opened.device;
        let dtype = match self.dtype.as_deref() {
            Some("f32") => DType::F32,
            Some(_) => DType::BF16,
            None if device.is_cpu() => DType::F32,
            None => DType::BF16,
        };
        Ok((device, dtype))
    }

    /// Runs `work` with the threads asked for.
    ///
    /// # Errors
    /// What `work` returns, or threads cannot be started.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads.map_or(cores, |n| n as usize))
            .build()
            .map_err(|error| Error::io("start", "threads")(std::io::Error::other(error)))?
            .install(work)
    }
}

/// How answers are sampled, apart from their lengths.
#[derive(Debug, Clone, clap::Args)]
pub struct SamplingArguments {
    /// Commit every position whose probability reaches this, 0 to 1, instead of a fixed number per step.
    #[arg(long, value_name = "P")]
    pub threshold: Option<f64>,
    /// Gumbel noise; 0 takes the most likely token.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Classifier-free guidance; 0 is none. Doubles the cost.
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    cfg: f64,
    /// Which positions are committed first.
    #[arg(long, value_name = "RULE", default_value = "low-confidence")]
    remask: RemaskRule,
    /// Keep keys and values within a block: faster, and an approximation.
    #[arg(long, value_name = "CACHE", default_value = "none")]
    cache: Cache,
    /// Never choose the end-of-text token.
    #[arg(long)]
    forbid_eos: bool,
    /// Commit end-of-text and end-of-turn tokens last.
    #[arg(long)]
    defer_eos: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RemaskRule {
    /// The most probable tokens.
    LowConfidence,
    /// In random order.
    Random,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Cache {
    /// Exact.
    None,
    /// What stands before the block.
    Prefix,
    /// Everything but the block.
    Dual,
}

impl SamplingArguments {
    /// `max_new` tokens, one per step, with everything that the arguments say.
    pub fn sampling(&self, max_new: u32, seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature,
            guidance: self.cfg,
            remask: match self.remask {
                RemaskRule::LowConfidence => Remask::LowConfidence,
                RemaskRule::Random => Remask::Random,
            },
            forbid_eos: self.forbid_eos,
            defer_eos: self.defer_eos,
            cache: match self.cache {
                Cache::None => CacheMode::None,
                Cache::Prefix => CacheMode::Prefix,
                Cache::Dual => CacheMode::Dual,
            },
            seed,
            ..Sampling::greedy(max_new)
        }
    }
}

fn method_of(text: &str) -> Result<RopeMethod, String> {
    method(text).map_err(|error| error.to_string())
}

/// A number of tokens: `4096`, or `4K` for 4 × 1024.
pub fn length(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => (text, 1),
    };
    let number = digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit));
    number
        .filter(|&n| n > 0)
        .ok_or_else(|| "expected a number of tokens, such as 4096 or 4K".into())
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn a_length_is_a_number_or_a_multiple_of_1024() {
        assert_eq!(length("4096"), Ok(4096));
        assert_eq!(length("128K"), Ok(131_072));
        for wrong in ["", "K", "0", "-1", "4M", "4194304K"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }
}
