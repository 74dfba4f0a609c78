//! `pack`: the main job.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rayon::ThreadPool;
use serde::Serialize;

use super::dataset::{Context, write_dataset};
use super::inputs::{self, InputUnit, SourceInput};
use super::monitor::{Monitor, Stage};
use super::stored::StoredCorpus;
use super::{run, tokenize as stage};
use crate::disk::{self, Lock};
use crate::error::{Error, Result};
use crate::pack::{Corpus, Rules};
use crate::recipe::{self, LoadedRecipe};
use crate::shard::{InputEntry, Manifest, StoreUnit};
use crate::store::{Store, UnitLock};
use crate::tokenize::Tokenizer;

/// Where and how to pack.
#[derive(Debug, Clone)]
pub struct Options {
    /// Output directory.
    pub out: PathBuf,
    /// Token store.
    pub store: PathBuf,
    /// Worker threads.
    pub threads: usize,
    /// Whether an output that belongs to another build is replaced.
    pub restart: bool,
}

/// One dataset that `pack` made or found complete.
#[derive(Debug, Serialize)]
pub struct PackedDataset {
    /// Its directory.
    pub directory: PathBuf,
    /// Whether it was complete before this run.
    pub was_complete: bool,
    /// What it is.
    pub manifest: Manifest,
}

/// What a run of `pack` did.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// One dataset per `seq_len`.
    pub datasets: Vec<PackedDataset>,
    /// Wall time in seconds.
    pub wall_secs: f64,
    /// Seconds per stage, in order.
    pub stages: Vec<(Stage, f64)>,
    /// UTF-8 bytes of text tokenized in this run; 0 when all came from the store.
    pub text_bytes: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Everything up to the plan: the corpus is in the store and its lengths are known.
pub struct Corpora {
    /// The sources.
    pub sources: Arc<Vec<SourceInput>>,
    /// The tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Where the tokens are.
    pub stored: StoredCorpus,
    /// Lengths for the planner.
    pub corpus: Corpus,
    /// The units in document order.
    pub units: Vec<InputUnit>,
    /// The same for the manifest.
    pub store_units: Vec<StoreUnit>,
    /// The input for the manifest.
    pub inputs: Vec<InputEntry>,
}

/// The store beside an output directory.
pub fn default_store(out: &Path) -> PathBuf {
    out.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .join("ultrapack-store")
}

/// The dataset directories of a recipe: `out` itself, or one below it per `seq_len`.
pub fn output_directories(recipe: &recipe::Recipe, out: &Path) -> Vec<(u32, PathBuf)> {
    match recipe.pack.seq_len.all() {
        [one] => vec![(*one, out.to_owned())],
        many => many
            .iter()
            .map(|len| (*len, out.join(format!("seq-{len}"))))
            .collect(),
    }
}

/// Packs a recipe. Finished work of an earlier, interrupted run is kept and used.
///
/// # Errors
/// Any class of [`Error`]; nothing that looks like a dataset is left behind.
pub fn pack(loaded: &LoadedRecipe, options: &Options, monitor: &Monitor) -> Result<Outcome> {
    let started = Instant::now();
    let mut clock = Clock::new(monitor);
    let directories = output_directories(&loaded.recipe, &options.out);
    let mut locks = Vec::new();
    for (_, directory) in &directories {
        refuse_foreign(directory, options.restart)?;
        disk::create_directory(directory)?;
        locks.push(Lock::take(directory)?);
    }
    let pool = pool(options.threads)?;
    let store = Store::open(&options.store)?;
    let opened = open(loaded)?;
    let corpora = prepare(
        loaded,
        opened,
        &store,
        &pool,
        monitor,
        &mut clock,
        |tokenizer, inputs| {
            directories.iter().try_for_each(|(_, directory)| {
                let meaning = recipe::meaning(&loaded.recipe);
                super::dataset::refuse_other_build(directory, &meaning, inputs, tokenizer, options.restart)
            })
        },
    )?;
    let mut datasets = Vec::new();
    for (seq_len, directory) in &directories {
        let rules = Rules::new(&loaded.recipe, *seq_len);
        let context = Context {
            loaded,
            corpora: &corpora,
            pool: &pool,
            monitor,
        };
        let (manifest, was_complete) = write_dataset(&context, directory, &rules, &mut clock)?;
        datasets.push(PackedDataset {
            directory: directory.clone(),
            was_complete,
            manifest,
        });
    }
    clock.enter(Stage::Done);
    let outcome = Outcome {
        datasets,
        wall_secs: started.elapsed().as_secs_f64(),
        stages: clock.stages,
        text_bytes: monitor.text_bytes.load(Ordering::Relaxed),
        warnings: monitor.warnings(),
    };
    for dataset in &outcome.datasets {
        if !dataset.was_complete || !dataset.directory.join(run::RUN).exists() {
            run::write(&dataset.directory, loaded, options, &outcome)?;
        }
    }
    drop(locks);
    Ok(outcome)
}

/// Everything up to the plan, without an output directory: what `plan` and `verify --deep` need.
///
/// # Errors
/// Any class of [`Error`].
pub fn tokenize(loaded: &LoadedRecipe, store: &Path, threads: usize, monitor: &Monitor) -> Result<Corpora> {
    tokenize_opened(loaded, open(loaded)?, store, threads, monitor)
}

/// As [`tokenize`], with files and tokenizer already opened.
pub(super) fn tokenize_opened(
    loaded: &LoadedRecipe,
    opened: Opened,
    store: &Path,
    threads: usize,
    monitor: &Monitor,
) -> Result<Corpora> {
    let store = Store::open(store)?;
    prepare(
        loaded,
        opened,
        &store,
        &pool(threads)?,
        monitor,
        &mut Clock::new(monitor),
        |_, _| Ok(()),
    )
}

/// What a recipe names, found and checked: nothing of the documents is read yet.
pub(super) struct Opened {
    pub sources: Arc<Vec<SourceInput>>,
    pub tokenizer: Arc<Tokenizer>,
}

/// Finds the files, checks the filters, loads the tokenizer. The tokenizer takes half a second.
pub(super) fn open(loaded: &LoadedRecipe) -> Result<Opened> {
    let sources = inputs::find(loaded)?;
    inputs::metadata_columns(&sources)?;
    let recipe = &loaded.recipe.tokenizer;
    let tokenizer = Tokenizer::load(&loaded.base.join(&recipe.file), recipe)?;
    Ok(Opened {
        sources: Arc::new(sources),
        tokenizer: Arc::new(tokenizer),
    })
}

fn prepare(
    loaded: &LoadedRecipe,
    opened: Opened,
    store: &Store,
    pool: &ThreadPool,
    monitor: &Monitor,
    clock: &mut Clock<'_>,
    identified: impl FnOnce(&Tokenizer, &[InputEntry]) -> Result<()>,
) -> Result<Corpora> {
    let recipe = &loaded.recipe;
    loaded.warnings.iter().for_each(|warning| monitor.warn(warning));
    let Opened { sources, tokenizer } = opened;
    tokenizer.notes().iter().for_each(|note| monitor.warn(note));
    let total = sources.iter().flat_map(|s| &s.files).map(|f| f.n_bytes).sum();
    monitor.input_total.store(total, Ordering::Relaxed);

    clock.enter(Stage::Hash);
    let (units, inputs) = inputs::identify(&sources, &tokenizer, store, monitor)?;
    identified(&tokenizer, &inputs)?;

    clock.enter(Stage::Tokenize);
    attest_once(&tokenizer, store)?;
    monitor.input_bytes.store(0, Ordering::Relaxed);
    let job = stage::Job {
        sources: &sources,
        tokenizer: &tokenizer,
        store,
        pool,
        memory: recipe.run.memory,
        limits: &recipe.limits,
        monitor,
    };
    let parts = stage::ensure(&job, &units)?;

    clock.enter(Stage::Plan);
    let sum = |parts: &[crate::store::StoredPart], count: fn(&crate::store::PartHeader) -> u64| {
        parts.iter().map(|p| count(p.header())).sum()
    };
    let store_units = units
        .iter()
        .zip(&parts)
        .map(|(unit, parts)| StoreUnit {
            source: unit.unit.source as u32,
            address: unit.address.clone(),
            n_documents: sum(parts, |h| h.n_documents),
            n_tokens: sum(parts, |h| h.n_tokens),
        })
        .collect();
    let located = units.iter().map(|u| u.unit.source).zip(parts).collect();
    let (stored, corpus) = StoredCorpus::load(
        located,
        &recipe.sources,
        recipe.pack.deduplicate,
        tokenizer.ids().eod,
    )?;
    Ok(Corpora {
        sources,
        tokenizer,
        stored,
        corpus,
        units,
        store_units,
        inputs,
    })
}

/// Holds the fast engine to the reference engine once per tokenizer and store, on text of many
/// kinds; the store remembers that it was done.
fn attest_once(tokenizer: &Tokenizer, store: &Store) -> Result<()> {
    let name = blake3::hash(tokenizer.identity().to_string().as_bytes()).to_hex();
    let path = store.root().join(format!("attested-{}", &name[..32]));
    if path.exists() {
        return Ok(());
    }
    tokenizer.attest([])?;
    let _lock = UnitLock::wait(store, "attested")?;
    disk::write_atomic(&path, format!("{}\n", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// Refuses to write into a directory with files that no run of ours left there.
fn refuse_foreign(directory: &Path, restart: bool) -> Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("open output directory", directory)(e)),
    };
    let names: Vec<String> = entries
        .filter_map(|e| e.ok())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    let ours = names.iter().any(|n| super::dataset::is_mark(n)) || names.iter().all(|n| n == disk::LOCK);
    match ours || restart && names.iter().all(|n| super::dataset::is_ours(n)) {
        true => Ok(()),
        false => Err(Error::Conflict {
            path: directory.into(),
            message: "is not empty and holds no dataset\nhint: choose another `--out`, or empty it yourself"
                .into(),
        }),
    }
}

/// A pool of `threads` workers.
pub(super) fn pool(threads: usize) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("worker-{i}"))
        .build()
        .map_err(|e| Error::usage(format!("failed to start {threads} threads: {e}")))
}

/// Runs `work` with a pool of `threads` workers as rayon's current pool.
///
/// # Errors
/// The threads cannot be started.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    Ok(pool(threads)?.install(work))
}

/// A recipe that was checked against the files it names; nothing was read or written.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The sources in order.
    pub sources: Vec<CheckedSource>,
    /// What the user should know of the tokenizer.
    pub notes: Vec<String>,
}

/// The files of one source.
#[derive(Debug, Serialize)]
pub struct CheckedSource {
    /// The source's name.
    pub name: String,
    /// Number of files.
    pub n_files: u64,
    /// Their length in bytes, as stored.
    pub n_bytes: u64,
}

/// Checks everything that can be checked before reading documents: files, filters, tokenizer, ids.
///
/// # Errors
/// What `pack` would fail with before its first document.
pub fn check(loaded: &LoadedRecipe) -> Result<Checked> {
    let Opened { sources, tokenizer } = open(loaded)?;
    let sources = sources
        .iter()
        .map(|s| CheckedSource {
            name: s.name.clone(),
            n_files: s.files.len() as u64,
            n_bytes: s.files.iter().map(|f| f.n_bytes).sum(),
        })
        .collect();
    Ok(Checked {
        sources,
        notes: tokenizer.notes().to_vec(),
    })
}

/// Seconds per stage.
pub(super) struct Clock<'a> {
    monitor: &'a Monitor,
    current: (Stage, Instant),
    stages: Vec<(Stage, f64)>,
}

impl<'a> Clock<'a> {
    pub(super) fn new(monitor: &'a Monitor) -> Self {
        Self {
            monitor,
            current: (Stage::Prepare, Instant::now()),
            stages: Vec::new(),
        }
    }

    /// Ends the current stage and begins `stage`.
    pub(super) fn enter(&mut self, stage: Stage) {
        let (before, since) = std::mem::replace(&mut self.current, (stage, Instant::now()));
        let seconds = since.elapsed().as_secs_f64();
        match self.stages.iter_mut().find(|(s, _)| *s == before) {
            Some((_, total)) => *total += seconds,
            None => self.stages.push((before, seconds)),
        }
        self.monitor.enter(stage);
    }
}
