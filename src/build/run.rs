//! `run.json`: facts about a run that must not touch the dataset's bytes.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::monitor::Stage;
use super::pack::{Options, Outcome};
use crate::disk;
use crate::error::{Error, Result};
use crate::recipe::LoadedRecipe;

/// The file's name.
pub const RUN: &str = "run.json";

/// Where a dataset came from on this machine. Lost, the dataset is still whole: `verify --deep` and
/// `repair` then need `--recipe` or `--store`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// Version of the program.
    pub ultrapack: String,
    /// The recipe file.
    pub recipe: PathBuf,
    /// The token store.
    pub store: PathBuf,
    /// Worker threads.
    pub threads: usize,
    /// Host name.
    pub host: String,
    /// End of the run, seconds since 1970.
    pub finished_unix_secs: u64,
    /// Wall time in seconds.
    pub wall_secs: f64,
    /// UTF-8 bytes of text tokenized in the run.
    pub text_bytes: u64,
    /// Seconds per stage.
    pub stages: Vec<(String, f64)>,
    /// What the user was told.
    pub warnings: Vec<String>,
}

impl Run {
    /// Reads the facts about the run that made the dataset in `directory`.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(RUN);
        let bytes = disk::read_small(&path, 16 << 20)?;
        serde_json::from_slice(&bytes).map_err(|e| Error::damaged("run.json", path, e.to_string()))
    }
}

pub(super) fn write(
    directory: &Path,
    loaded: &LoadedRecipe,
    options: &Options,
    outcome: &Outcome,
) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = |stage: &Stage| {
        serde_json::to_value(stage)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
    };
    let run = Run {
        ultrapack: env!("CARGO_PKG_VERSION").into(),
        recipe: absolute(&loaded.path),
        store: absolute(&options.store),
        threads: options.threads,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        finished_unix_secs: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
        wall_secs: outcome.wall_secs,
        text_bytes: outcome.text_bytes,
        stages: outcome
            .stages
            .iter()
            .filter_map(|(stage, secs)| Some((name(stage)?, *secs)))
            .collect(),
        warnings: outcome.warnings.clone(),
    };
    let mut bytes = serde_json::to_vec_pretty(&run).expect("plain data");
    bytes.push(b'\n');
    disk::write_atomic(&directory.join(RUN), &bytes)
}
