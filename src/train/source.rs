//! The model that a recipe starts from.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};

use crate::disk::{self, ReadFile};
use crate::error::{Error, Result, shown};
use crate::model::{self, Config, LoadOptions, LoraOptions, Model, RopeScaling};
use crate::shard::Manifest;
use crate::train::recipe::{LoadedTrainRecipe, RopeMethod, Target, TrainRecipe};

/// Largest `config.json` that is read.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The model that a run starts from, before its weights are there.
#[derive(Debug)]
pub struct Source {
    /// Shape and constants.
    pub config: Config,
    /// Where its weights are; `None` for a new model.
    pub directory: Option<PathBuf>,
}

impl Source {
    /// Finds the model of a recipe; a new one of a named size gets the ids of the dataset.
    ///
    /// # Errors
    /// There is no such model, it is not supported, or the dataset does not say which id is the mask.
    pub fn resolve(loaded: &LoadedTrainRecipe, manifest: &Manifest) -> Result<Self> {
        let model = &loaded.recipe.model;
        if let Some(path) = &model.path {
            let directory = loaded.base.join(path);
            return Ok(Self {
                config: Config::load(&directory)?,
                directory: Some(directory),
            });
        }
        let config = match (&model.config, &model.size) {
            (Some(path), _) => {
                let path = loaded.base.join(path);
                let text = disk::read_small(&path, MAX_CONFIG_BYTES)?;
                Config::parse(&String::from_utf8_lossy(&text), &path)?
            }
            (None, size) => {
                let size = size.as_deref().expect("a checked recipe names one of the three");
                let ids = &manifest.ids;
                let mask = ids.mask.ok_or_else(|| {
                    Error::usage(
                        "the dataset does not say which token is the mask\nhint: pack it with `tokenizer.mask`",
                    )
                })?;
                Config::named(size, ids.vocab_size as usize, mask, ids.eod)?
            }
        };
        Ok(Self {
            config,
            directory: None,
        })
    }

    /// Loads the weights, or makes them, and attaches the recipe's adapters.
    ///
    /// # Errors
    /// A weight file is missing, damaged or does not fit, or the device is out of memory.
    pub fn load(&self, recipe: &TrainRecipe, device: &Device, dtype: DType) -> Result<Model> {
        let rope = rope_scaling(recipe);
        let mut model = match &self.directory {
            Some(directory) => {
                let device = device.clone();
                Model::load(directory, &LoadOptions { device, dtype, rope })?
            }
            None => Model::init(self.config.clone(), &rope, recipe.seed, device, dtype)?,
        };
        if let Some(options) = lora_options(recipe) {
            model.attach_lora(&options, recipe.seed)?;
        }
        Ok(model)
    }

    /// `blake3:…` over names and contents of the model's files; `None` for a new model, which the
    /// recipe describes.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digest(&self) -> Result<Option<String>> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
            let path = entry.map_err(Error::io("list", directory))?.path();
            let weights = path.extension().is_some_and(|end| end == "safetensors");
            if weights || path.file_name().is_some_and(|name| name == "config.json") {
                files.push(path);
            }
        }
        files.sort();
        let mut hash = blake3::Hasher::new();
        for path in files {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(ReadFile::open(&path)?.blake3()?.as_bytes());
        }
        Ok(Some(format!("blake3:{}", hash.finalize().to_hex())))
    }
}

/// Loads the model that a checkpoint of a run holds; its configuration has the run's RoPE scaling.
///
/// # Errors
/// A weight file is missing, damaged or does not fit.
pub fn load_saved(directory: &Path, device: &Device, dtype: DType) -> Result<Model> {
    let options = LoadOptions {
        device: device.clone(),
        dtype,
        rope: RopeScaling::NONE,
    };
    Model::load(directory, &options)
}

/// The recipe's adapters as the model takes them.
pub fn lora_options(recipe: &TrainRecipe) -> Option<LoraOptions> {
    let lora = recipe.lora.as_ref()?;
    let name = |target: &Target| match target {
        Target::Q => "q",
        Target::K => "k",
        Target::V => "v",
        Target::O => "o",
        Target::Gate => "gate",
        Target::Up => "up",
        Target::Down => "down",
    };
    Some(LoraOptions {
        rank: lora.rank as usize,
        alpha: lora.alpha.unwrap_or(f64::from(lora.rank)),
        targets: lora
            .targets
            .iter()
            .map(|target| name(target).to_owned())
            .collect(),
    })
}

fn rope_scaling(recipe: &TrainRecipe) -> RopeScaling {
    let rope = &recipe.rope;
    let method = match rope.method {
        RopeMethod::None => return RopeScaling::NONE,
        RopeMethod::Pi => model::RopeMethod::Pi,
        RopeMethod::Ntk => model::RopeMethod::Ntk,
        RopeMethod::NtkCritical => model::RopeMethod::NtkCritical,
        RopeMethod::DiffusionNtk => model::RopeMethod::DiffusionNtk,
        RopeMethod::Yarn => model::RopeMethod::Yarn,
    };
    RopeScaling {
        method,
        train_len: rope.train_len.unwrap_or(1),
        target_len: rope.target_len.unwrap_or(1),
        d_crit: rope.d_crit,
    }
}

/// The directory as messages name it.
pub fn named(directory: &Path) -> String {
    format!("`{}`", shown(directory))
}
