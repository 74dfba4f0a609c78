//! A run from its recipe to its last checkpoint, going on where an earlier process stopped.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device};
use serde::Serialize;

use super::batch::Batch;
use super::checkpoint::{self, Checkpoint, Identity, NamedTensor, TensorFile, TrainerState};
use super::forecast::{Forecast, Format};
use super::machine::available_bytes;
use super::metrics::{EvalFigures, MetricsFiles};
use super::monitor::{Monitor, Phase};
use super::optimizer::Optimizer;
use super::recipe::{Dtype, LoadedTrainRecipe, TrainRecipe};
use super::source::{self, Source};
use super::trainer::Trainer;
use super::{adapters, agreement};
use crate::dataset::{Dataset, Progress};
use crate::disk::{self, Lock};
use crate::error::{Error, Result};
use crate::recipe::difference;

/// Name of the file that says which run a directory belongs to.
const IDENTITY: &str = "identity.json";
/// Name of the file with the optimizer's state in a checkpoint.
const OPTIMIZER: &str = "optimizer.safetensors";
/// Name of the directory with the merged model in the last checkpoint of a run with adapters.
const MERGED: &str = "merged";
/// Largest tokenizer and identity that are read.
const MAX_SMALL_BYTES: u64 = 1 << 30;

/// How a run uses the machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where checkpoints and metrics go.
    pub out: PathBuf,
    /// Where the model computes.
    pub device: Device,
    /// Stop, and save, after this many steps of the recipe's; its schedule stays as it is.
    pub stop_after: Option<u64>,
    /// The checkpoint to go on from, instead of the newest.
    pub resume_from: Option<PathBuf>,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Where it is.
    pub directory: PathBuf,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// Steps done by earlier processes.
    pub resumed_at: u64,
    /// Steps done in all.
    pub steps: u64,
    /// Steps of the recipe.
    pub steps_total: u64,
    /// Mean loss of the first and of the last tenth of this process's steps.
    pub loss: Option<(f64, f64)>,
    /// The last measurement on held-out data.
    pub eval: Option<EvalFigures>,
    /// Real tokens of this process's steps.
    pub n_tokens: u64,
    /// Seconds of this process.
    pub wall_secs: f64,
}

/// A recipe with everything it names opened and found to agree.
#[derive(Debug)]
pub struct Prepared<'a> {
    loaded: &'a LoadedTrainRecipe,
    dataset: Dataset,
    dataset_path: PathBuf,
    held_out: Option<Dataset>,
    source: Source,
    dtype: DType,
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
    /// Something is missing or damaged, the parts do not agree, or the run cannot fit into memory.
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

    /// Refuses what cannot fit into memory.
    ///
    /// # Errors
    /// It cannot.
    pub fn must_fit(&self) -> Result<()> {
        self.forecast.must_fit(self.host_bytes, None)
    }

    fn identity(&self) -> Result<Identity> {
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
}

/// Trains by a recipe, from the newest checkpoint in the output directory if there is one.
///
/// # Errors
/// Anything that [`Prepared::new`] refuses, an output directory of another run, a number that is not
/// finite, a disk that is full, or a request to stop: the run is saved and can go on.
pub fn train(loaded: &LoadedTrainRecipe, options: &Options, monitor: &Monitor) -> Result<Outcome> {
    let started = Instant::now();
    let prepared = Prepared::new(loaded, &options.device)?;
    prepared
        .warnings
        .iter()
        .for_each(|warning| monitor.warn(warning.clone()));
    prepared.must_fit()?;
    disk::create_directory(&options.out)?;
    let _lock = Lock::take(&options.out)?;
    disk::remove_temporaries(&options.out)?;
    let identity = prepared.identity()?;
    belongs_to(&options.out, &identity)?;
    let found = match &options.resume_from {
        Some(directory) => {
            let checkpoint = Checkpoint::open(directory)?;
            same_run(directory, &checkpoint.state, &identity)?;
            Some(checkpoint)
        }
        None => Checkpoint::newest(&options.out, |warning| monitor.warn(warning))?,
    };
    let (model, optimizer) = prepared.start(found.as_ref(), options)?;
    let resumed_at = found.as_ref().map_or(0, |found| found.state.step);
    let run = Run {
        prepared: &prepared,
        options,
        identity,
        monitor,
        saved: found.map(|found| found.directory),
    };
    let recipe = &loaded.recipe;
    let peak = recipe.metrics.peak_tflops.map(|tflops| tflops * 1e12);
    let trainer = Trainer::new(recipe, &prepared.dataset, model, optimizer, peak)?;
    let mut outcome = run.steps(trainer, resumed_at)?;
    outcome.wall_secs = started.elapsed().as_secs_f64();
    Ok(outcome)
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

/// Takes an output directory for a run, unless it has another one.
fn belongs_to(out: &Path, identity: &Identity) -> Result<()> {
    let path = out.join(IDENTITY);
    if !path.exists() {
        let mut text = serde_json::to_vec_pretty(identity).expect("plain data");
        text.push(b'\n');
        return disk::write_atomic(&path, &text);
    }
    let bytes = disk::read_small(&path, MAX_SMALL_BYTES)?;
    let other: Identity = serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged("identity", &path, crate::error::shown_text(&error.to_string())))?;
    refuse_other(out, &other, identity)
}

fn same_run(directory: &Path, state: &TrainerState, identity: &Identity) -> Result<()> {
    let other = Identity {
        recipe_digest: state.recipe_digest.clone(),
        recipe: state.recipe.clone(),
        dataset: state.dataset.clone(),
        tokenizer: state.tokenizer.clone(),
        base: state.base.clone(),
    };
    refuse_other(directory, &other, identity)
}

fn refuse_other(directory: &Path, other: &Identity, identity: &Identity) -> Result<()> {
    if other == identity {
        return Ok(());
    }
    let json = |identity: &Identity| {
        let mut json = serde_json::to_value(identity).expect("plain data");
        crate::recipe::remove(&mut json, &["recipe_digest"]);
        json
    };
    let lines: Vec<String> = difference(&json(other), &json(identity))
        .iter()
        .map(|line| format!("\n  {line}"))
        .collect();
    Err(Error::Conflict {
        path: directory.into(),
        message: format!(
            "belongs to another run:{}\nhint: give this run a directory of its own with `--out`",
            lines.concat()
        ),
    })
}

impl Prepared<'_> {
    /// The model and optimizer to go on with.
    fn start(
        &self,
        found: Option<&Checkpoint>,
        options: &Options,
    ) -> Result<(crate::model::Model, Optimizer)> {
        let recipe = &self.loaded.recipe;
        let (device, dtype) = (&options.device, self.dtype);
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
            optimizer.restore(|name| tensors.get(name)).map_err(|name| {
                Error::damaged(
                    "optimizer state",
                    &path,
                    format!("`{name}` is missing or has another size"),
                )
            })?;
        }
        Ok((model, optimizer))
    }
}

/// What the loop over steps needs.
struct Run<'a> {
    prepared: &'a Prepared<'a>,
    options: &'a Options,
    identity: Identity,
    monitor: &'a Monitor,
    /// The newest checkpoint.
    saved: Option<PathBuf>,
}

impl Run<'_> {
    fn recipe(&self) -> &TrainRecipe {
        &self.prepared.loaded.recipe
    }

    fn steps(mut self, mut trainer: Trainer<'_>, resumed_at: u64) -> Result<Outcome> {
        let recipe = &self.prepared.loaded.recipe;
        let last = self
            .options
            .stop_after
            .map_or(recipe.steps, |stop| stop.min(recipe.steps));
        let mut files = MetricsFiles::open(&self.options.out, resumed_at, recipe.metrics.tensorboard)?;
        let held_out = self.held_out_batch(&trainer)?;
        let (mut eval, mut n_tokens, mut losses) = (None, 0, Vec::new());
        let (mut speed, mut saved_at) = (Speed::default(), self.saved.is_some().then_some(resumed_at));
        self.monitor.update(|status| {
            (status.step, status.steps) = (resumed_at, last);
            status.phase = Phase::Train;
        });
        for step in resumed_at..last {
            let figures = match trainer.step(step, self.monitor) {
                Ok(figures) => figures,
                Err(stop @ Error::Interrupted { .. }) => {
                    if saved_at != Some(step) {
                        self.save(&mut trainer, step)?;
                    }
                    return Err(stop);
                }
                Err(error) => return Err(error),
            };
            files.step(&figures)?;
            n_tokens += figures.n_tokens;
            losses.push(figures.loss);
            speed.add(figures.n_tokens, figures.secs);
            self.monitor.update(|status| {
                status.step = figures.step;
                status.loss = Some(figures.loss);
                status.n_masked = figures.n_masked;
                status.mfu = figures.mfu;
                status.tokens_per_sec = speed.tokens_per_sec;
                status.eta_secs = Some(speed.secs_per_step * (last - figures.step) as f64);
            });
            let done = figures.step;
            if let (Some(batch), Some(rule)) = (&held_out, &recipe.eval)
                && (done.is_multiple_of(rule.every) || done == last)
            {
                self.monitor.update(|status| status.phase = Phase::Evaluate);
                match trainer.evaluate(done, batch, self.monitor) {
                    Ok(measured) => {
                        files.evaluation(&measured)?;
                        eval = Some(measured);
                    }
                    // The step is done: it is saved below, and the next one stops the run.
                    Err(Error::Interrupted { .. }) => {}
                    Err(error) => return Err(error),
                }
                self.monitor.update(|status| status.phase = Phase::Train);
            }
            if done.is_multiple_of(recipe.checkpoint.every) || done == last {
                self.save(&mut trainer, done)?;
                saved_at = Some(done);
            }
        }
        Ok(Outcome {
            directory: self.options.out.clone(),
            checkpoint: self.saved.clone().unwrap_or_default(),
            resumed_at,
            steps: last.max(resumed_at),
            steps_total: recipe.steps,
            loss: ends(&losses),
            eval,
            n_tokens,
            wall_secs: 0.0,
        })
    }

    fn held_out_batch(&self, trainer: &Trainer<'_>) -> Result<Option<Batch>> {
        let recipe = self.recipe();
        let (Some(rule), Some(dataset)) = (&recipe.eval, &self.prepared.held_out) else {
            return Ok(None);
        };
        let vocab_size = trainer.model.config().vocab_size;
        Batch::held_out(
            dataset,
            &recipe.objective,
            recipe.seed,
            rule.sequences,
            vocab_size,
        )
        .map(Some)
    }

    fn save(&mut self, trainer: &mut Trainer<'_>, step: u64) -> Result<()> {
        self.monitor.update(|status| status.phase = Phase::Save);
        let recipe = &self.prepared.loaded.recipe;
        let dataset = &self.prepared.dataset;
        let place = u128::from(step) * u128::from(recipe.batch.sequences);
        let progress = Progress {
            epoch: (place / u128::from(dataset.len())) as u64,
            position: (place % u128::from(dataset.len())) as u64,
        };
        let state = TrainerState::at(step, progress, &self.identity);
        let saved = checkpoint::save(&self.options.out, state, |directory| {
            self.save_model(trainer, step, directory)?;
            let parts = trainer.optimizer.saved().map(|part| NamedTensor {
                name: part.name,
                dtype: part.dtype,
                shape: part.shape,
                bytes: part.bytes,
            });
            checkpoint::write_tensors(&directory.join(OPTIMIZER), parts)?;
            let tokenizer = self
                .prepared
                .dataset_path
                .join(&dataset.manifest().tokenizer.name);
            let tokenizer = disk::read_small(&tokenizer, MAX_SMALL_BYTES)?;
            disk::write_atomic(&directory.join("tokenizer.json"), &tokenizer)
        })?;
        self.saved = Some(saved);
        checkpoint::prune(&self.options.out, recipe.checkpoint.keep)?;
        self.monitor.update(|status| status.phase = Phase::Train);
        Ok(())
    }

    fn save_model(&self, trainer: &mut Trainer<'_>, step: u64, directory: &Path) -> Result<()> {
        let recipe = &self.prepared.loaded.recipe;
        let Some(lora) = &recipe.lora else {
            return trainer.model.save(directory, self.prepared.dtype);
        };
        let options = source::lora_options(recipe).expect("the recipe has adapters");
        adapters::save(
            &trainer.model,
            &options,
            self.prepared.source.directory.as_deref(),
            directory,
        )?;
        if lora.merge && step == recipe.steps {
            let merged = directory.join(MERGED);
            disk::create_directory(&merged)?;
            // The run is over: its model may become an ordinary one.
            trainer.model.merge_lora()?;
            trainer.model.save(&merged, self.prepared.dtype)?;
        }
        Ok(())
    }
}

/// Mean of the first and of the last tenth.
fn ends(losses: &[f64]) -> Option<(f64, f64)> {
    let n = losses.len().div_ceil(10);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    (n > 0).then(|| (mean(&losses[..n]), mean(&losses[losses.len() - n..])))
}

/// Speed, smoothed over about twenty steps.
#[derive(Debug, Default)]
struct Speed {
    tokens_per_sec: f64,
    secs_per_step: f64,
}

impl Speed {
    fn add(&mut self, n_tokens: u64, secs: f64) {
        let weight = if self.secs_per_step == 0.0 { 1.0 } else { 0.1 };
        self.secs_per_step += weight * (secs - self.secs_per_step);
        self.tokens_per_sec += weight * (n_tokens as f64 / secs - self.tokens_per_sec);
    }
}
