//! Models from and to checkpoints, and new ones.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::rope::RopeMethod;
use super::{Config, Model, Param, Rope, RopeScaling, StoredScaling, init, names, unfit, weights};
use crate::disk;
use crate::error::{Error, Result, shown};
use crate::numbers::{bytes, count};

/// How a checkpoint is loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where the parameters live.
    pub device: Device,
    /// `F32` or `BF16`; stored f32, f16 and bf16 are converted.
    pub dtype: DType,
    /// Scaling on top of the configuration's base.
    pub rope: RopeScaling,
}

impl Model {
    /// Loads a published checkpoint: `config.json` and `model.safetensors`, single or sharded with an index.
    ///
    /// # Errors
    /// The configuration is not supported, or a weight file is missing, damaged or does not fit the configuration.
    pub fn load(directory: &Path, options: &LoadOptions) -> Result<Self> {
        let config = Config::load(directory)?;
        let rope = resolved(&config, &options.rope)?;
        let tensors =
            weights::Mapped::open(directory)?.tensors(directory, &config, &options.device, options.dtype)?;
        Ok(Self::assembled(
            config,
            rope,
            tensors,
            &options.device,
            options.dtype,
        ))
    }

    /// A randomly initialised model; the same seed gives the same weights everywhere.
    ///
    /// # Errors
    /// The scaling does not fit, or the device is out of memory.
    pub fn init(
        config: Config,
        rope: &RopeScaling,
        seed: u64,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let rope = resolved(&config, rope)?;
        let start = init::Start::new(&config, seed);
        let tensors = (0..names::parameters(&config).len())
            .map(|index| Ok(start.parameter(index)?.to_dtype(dtype)?.to_device(device)?))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::assembled(config, rope, tensors, device, dtype))
    }

    /// Writes a randomly initialised checkpoint, with the weights of [`Model::init`], one tensor in memory at a time.
    ///
    /// # Errors
    /// The disk has too little room, or the operating system refuses.
    pub fn write_initial(config: &Config, seed: u64, directory: &Path, dtype: DType) -> Result<()> {
        let text = config.rewritten(config.rope_theta, None, dtype);
        disk::create_directory(directory)?;
        let (needed, free) = (
            config.n_params().saturating_mul(dtype.size_in_bytes() as u64),
            disk::free_bytes(directory)?,
        );
        if needed > free {
            return Err(Error::usage(format!(
                "a model of {} parameters takes {}, but `{}` has {} free",
                count(config.n_params()),
                bytes(needed),
                shown(directory),
                bytes(free)
            )));
        }
        let start = init::Start::new(config, seed);
        weights::save(
            directory,
            &text,
            &names::parameters(config),
            &|index| start.parameter(index),
            dtype,
        )
    }

    fn assembled(config: Config, rope: Rope, tensors: Vec<Tensor>, device: &Device, dtype: DType) -> Self {
        let names = names::parameters(&config).into_iter();
        Self {
            layout: names::layout(&config),
            params: names
                .zip(tensors)
                .map(|(expected, tensor)| Param {
                    name: expected.name,
                    tensor,
                })
                .collect(),
            config,
            rope,
            device: device.clone(),
            dtype,
            first_trainable: 0,
        }
    }

    /// Writes the checkpoint in the published layout: names, shapes and configuration as loaded, with
    /// the base that a base-changing RoPE scaling gave. Files appear atomically, `config.json` last. Weights are
    /// stored as `dtype`.
    ///
    /// # Errors
    /// Adapters have not been merged, or the operating system refuses.
    pub fn save(&self, directory: &Path, dtype: DType) -> Result<()> {
        if self.first_trainable > 0 {
            return Err(unfit(
                "a model with adapters is saved after they are merged".into(),
            ));
        }
        let scaling = &self.rope.scaling;
        let stored = match scaling.method {
            RopeMethod::Pi | RopeMethod::Yarn => Some(StoredScaling {
                yarn: scaling.method == RopeMethod::Yarn,
                factor: f64::from(scaling.target_len) / f64::from(scaling.train_len),
                train_len: scaling.train_len,
            }),
            _ => None,
        };
        let text = self.config.rewritten(self.rope.theta, stored.as_ref(), dtype);
        let value = |index: usize| Ok(self.params[index].tensor.clone());
        weights::save(directory, &text, &names::parameters(&self.config), &value, dtype)
    }
}

/// RoPE of a model: what is asked for, else what the checkpoint itself names.
fn resolved(config: &Config, asked: &RopeScaling) -> Result<Rope> {
    let scaling = match &config.rope_scaling {
        None => *asked,
        Some(stored) if asked.method == RopeMethod::None => stored.scaling()?,
        Some(_) => {
            return Err(Error::usage(format!(
                "RoPE scaling `{}` was asked for, but the checkpoint's `config.json` already has a `rope_scaling`\n\
                 hint: remove one of the two",
                asked.method
            )));
        }
    };
    Rope::new(config.rope_theta, config.head_dim, &scaling)
}
