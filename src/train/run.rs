//! A run from its recipe to its last checkpoint, going on where an earlier process stopped.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use serde::Serialize;

use super::batch::Batch;
use super::checkpoint::{self, Checkpoint, Identity, TrainerState};
use super::identity::{belongs_to, same_run};
use super::metrics::{EvalFigures, MetricsFiles};
use super::monitor::{Monitor, Phase};
use super::prepared::{OPTIMIZER, Prepared};
use super::recipe::{LoadedTrainRecipe, TrainRecipe};
use super::trainer::Trainer;
use super::{adapters, source};
use crate::dataset::Progress;
use crate::disk::{self, Lock};
use crate::error::{Error, Result};

/// Name of the directory with the merged model in the last checkpoint of a run with adapters.
const MERGED: &str = "merged";
/// Largest tokenizer that is copied.
const MAX_TOKENIZER_BYTES: u64 = 1 << 30;

/// How a run uses the machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where checkpoints and metrics go.
    pub out: PathBuf,
    /// Where the model computes.
    pub device: Device,
    /// Free memory of that device in bytes, if it is not the host and this is known.
    pub device_bytes: Option<u64>,
    /// Peak of that device in FLOP/s, if it is known; the recipe may name another.
    pub peak_flops: Option<f64>,
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
    prepared.must_fit(options.device_bytes)?;
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
    let (model, optimizer) = prepared.start(found.as_ref(), &options.device)?;
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
    let peak = peak.or(options.peak_flops);
    let trainer = Trainer::new(recipe, &prepared.dataset, model, optimizer, peak)?;
    let mut outcome = run.steps(trainer, resumed_at)?;
    outcome.wall_secs = started.elapsed().as_secs_f64();
    Ok(outcome)
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
            checkpoint::write_tensors(&directory.join(OPTIMIZER), trainer.optimizer.saved())?;
            let tokenizer = self
                .prepared
                .dataset_path
                .join(&dataset.manifest().tokenizer.name);
            let tokenizer = disk::read_small(&tokenizer, MAX_TOKENIZER_BYTES)?;
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
