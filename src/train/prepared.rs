//! A recipe with everything that it names.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};

use super::checkpoint::{Checkpoint, Identity, TensorFile};
use super::forecast::{Forecast, Format};
use super::machine::available_bytes;
use super::optimizer::Optimizer;
use super::recipe::{Dtype, LoadedTrainRecipe};
use super::source::{self, Source};
use super::{adapters, agreement};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;

/// Name of the file with the optimizer's state in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.safetensors";

/// A recipe with everything it names opened and found to agree.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(super) loaded: &'a LoadedTrainRecipe,
    pub(super) dataset: Dataset,
    pub(super) dataset_path: PathBuf,
    pub(super) held_out: Option<Dataset>,
    pub(super) source: Source,
    pub(super) dtype: DType,
    /// What a step will take.
    pub forecast: Forecast,
    /// Host memory that is available, in bytes, where that is known.
    pub host_bytes: Option<u64>,
    /// What is suspicious but not wrong.
    pub warnings: Vec<String>,
}

impl<'a> Prepared<'a> {
    /// Opens dataset and model of a recipe, without weights.
    ///
    /// # Errors
    /// Something is missing or damaged, or the parts do not agree.
    pub fn new(loaded: &'a LoadedTrainRecipe, device: &Device) -> Result<Self> {
        let recipe = &loaded.recipe;
        let dataset_path = loaded.base.join(&recipe.data.dataset);
        let dataset = open_dataset(&dataset_path)?;
        let source = Source::resolve(loaded, dataset.manifest())?;
        let mut warnings = loaded.warnings.clone();
        let mut agree = |dataset: &Dataset, path: &Path| -> Result<()> {
            agreement::ids(
                dataset.manifest(),
                &source.config,
                path,
                source.directory.as_deref(),
            )?;
            warnings.extend(agreement::lengths(dataset.manifest(), &source.config, recipe)?);
            Ok(())
        };
        agree(&dataset, &dataset_path)?;
        let held_out = match &recipe.eval {
            Some(eval) => {
                let path = loaded.base.join(&eval.dataset);
                let held_out = open_dataset(&path)?;
                agree(&held_out, &path)?;
                Some(held_out)
            }
            None => None,
        };
        let dtype = dtype(recipe.dtype, device)?;
        let format = Format {
            bytes: dtype.size_in_bytes() as u64,
            on_gpu: !device.is_cpu(),
        };
        let forecast = Forecast::new(recipe, &source.config, &dataset, format)?;
        let host_bytes = available_bytes();
        Ok(Self {
            loaded,
            dataset,
            dataset_path,
            held_out,
            source,
            dtype,
            forecast,
            host_bytes,
            warnings,
        })
    }

    /// Refuses what cannot fit into memory; `device_bytes` are free on a device that is not the host.
    ///
    /// # Errors
    /// It cannot.
    pub fn must_fit(&self, device_bytes: Option<u64>) -> Result<()> {
        self.forecast.must_fit(self.host_bytes, device_bytes)
    }

    /// What makes the run this run and no other.
    ///
    /// # Errors
    /// The frozen model of a run with adapters cannot be read.
    pub fn identity(&self) -> Result<Identity> {
        let recipe = &self.loaded.recipe;
        let manifest = self.dataset.manifest();
        let base = match recipe.lora {
            Some(_) => self.source.digest()?,
            None => None,
        };
        Ok(Identity {
            recipe_digest: recipe.digest(),
            recipe: recipe.meaning(),
            dataset: manifest.dataset.clone(),
            tokenizer: manifest.tokenizer.blake3.clone(),
            base,
        })
    }

    /// The model and optimizer to go on with: those of a checkpoint, or fresh ones.
    ///
    /// # Errors
    /// A file is missing or damaged, or the device is out of memory.
    pub fn start(&self, found: Option<&Checkpoint>, device: &Device) -> Result<(Model, Optimizer)> {
        let recipe = &self.loaded.recipe;
        let dtype = self.dtype;
        let model = match found {
            Some(found) if recipe.lora.is_none() => source::load_saved(&found.directory, device, dtype)?,
            Some(found) => {
                let mut model = self.source.load(recipe, device, dtype)?;
                adapters::load(&mut model, &found.directory)?;
                model
            }
            None => self.source.load(recipe, device, dtype)?,
        };
        let mut optimizer = Optimizer::new(&model, &recipe.optimizer, recipe.seed)?;
        if let Some(found) = found {
            let path = found.directory.join(OPTIMIZER);
            let file = TensorFile::open(&path)?;
            let tensors = file.tensors(&path)?;
            let unfit = |name: &str| {
                let message = format!("`{name}` is missing or has another size");
                Error::damaged("optimizer state", &path, message)
            };
            optimizer.restore(|name| tensors.get(name), unfit)?;
        }
        Ok((model, optimizer))
    }
}

fn open_dataset(path: &Path) -> Result<Dataset> {
    let dataset = Dataset::open(path)?;
    if dataset.is_empty() {
        return Err(Error::NoDataset {
            path: path.into(),
            message: "it has no sequence".into(),
        });
    }
    Ok(dataset)
}

fn dtype(wanted: Dtype, device: &Device) -> Result<DType> {
    match (wanted, device.is_cpu()) {
        (Dtype::Auto | Dtype::F32, true) | (Dtype::F32, false) => Ok(DType::F32),
        (Dtype::Auto | Dtype::Bf16, false) => Ok(DType::BF16),
        (Dtype::Bf16, true) => Err(Error::usage(
            "`dtype: bf16` needs a GPU: the CPU trains in f32\nhint: write `dtype: auto`",
        )),
    }
}
