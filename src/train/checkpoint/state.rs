//! `trainer.json`: where a run was when it was saved, and the hashes of everything saved with it.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::dataset::Progress;
use crate::disk::{self, ReadFile};
use crate::error::{Error, Result, shown_text};

/// The file's name. It is written last, and a directory without it is no checkpoint.
pub const TRAINER_STATE: &str = "trainer.json";
/// What the file says it is.
const FORMAT: &str = "ultrapack/trainer/1";
/// Largest state that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Where a run was. Holds nothing about time or machine, so that equal runs save equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Kind and version of this file.
    pub format: String,
    /// `blake3:…` of this file with an empty `digest`.
    pub digest: String,
    /// Optimizer steps done.
    pub step: u64,
    /// The next place in the order of the data.
    pub progress: Progress,
    /// `blake3:…` of `recipe`.
    pub recipe_digest: String,
    /// The recipe's meaning: defaults filled in, nothing about places and machines.
    pub recipe: serde_json::Value,
    /// Id of the dataset.
    pub dataset: String,
    /// BLAKE3 of the tokenizer file that the dataset was packed with.
    pub tokenizer: String,
    /// With adapters: `blake3:…` of the frozen model's files.
    pub base: Option<String>,
    /// Version of the program.
    pub version: String,
    /// The other files of the checkpoint, by name.
    pub files: Vec<SavedFile>,
}

/// A file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFile {
    /// Path below the checkpoint's directory.
    pub name: String,
    /// Length in bytes.
    pub n_bytes: u64,
    /// BLAKE3 of the file, hexadecimal.
    pub blake3: String,
}

impl TrainerState {
    /// A state of a run: what is not in `of` comes from the caller.
    pub fn at(step: u64, progress: Progress, identity: &Identity) -> Self {
        Self {
            format: FORMAT.into(),
            digest: String::new(),
            step,
            progress,
            recipe_digest: identity.recipe_digest.clone(),
            recipe: identity.recipe.clone(),
            dataset: identity.dataset.clone(),
            tokenizer: identity.tokenizer.clone(),
            base: identity.base.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            files: Vec::new(),
        }
    }

    /// Writes the state into `directory` with its digest.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn write(mut self, directory: &Path) -> Result<()> {
        self.digest = self.expected_digest();
        disk::write_atomic(&directory.join(TRAINER_STATE), &self.text())
    }

    /// Reads the state in `directory` and checks it against its digest.
    ///
    /// # Errors
    /// There is none, or it is not as it was written.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(TRAINER_STATE);
        let bytes = disk::read_small(&path, MAX_BYTES)?;
        let damaged = |message: String| Error::damaged("trainer state", &path, message);
        let state: Self = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(format!("not a trainer state: {}", shown_text(&error.to_string()))))?;
        if state.format != FORMAT {
            let found = shown_text(&state.format);
            return Err(damaged(format!(
                "its format is `{found}`, this program reads `{FORMAT}`"
            )));
        }
        if state.digest != state.expected_digest() {
            return Err(damaged("it does not have the digest that it names".into()));
        }
        let local = |name: &str| {
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        match state.files.iter().find(|file| !local(&file.name)) {
            Some(file) => Err(damaged(format!("`{}` is no file name", shown_text(&file.name)))),
            None => Ok(state),
        }
    }

    /// Compares length and hash of every file with what was saved.
    ///
    /// # Errors
    /// The first file that is missing or differs.
    pub fn verify(&self, directory: &Path) -> Result<()> {
        for saved in &self.files {
            let path = directory.join(&saved.name);
            let file = ReadFile::open(&path)?;
            let damaged = |message: String| Error::damaged("checkpoint file", &path, message);
            if file.n_bytes() != saved.n_bytes {
                let message = format!("{} bytes, {} were saved", file.n_bytes(), saved.n_bytes);
                return Err(damaged(message));
            }
            if file.blake3()? != saved.blake3 {
                return Err(damaged("its content is not what was saved".into()));
            }
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("plain data");
        text.push(b'\n');
        text
    }

    fn expected_digest(&self) -> String {
        let mut unsealed = self.clone();
        unsealed.digest.clear();
        format!("blake3:{}", blake3::hash(&unsealed.text()).to_hex())
    }
}

/// What makes a run this run and no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `blake3:…` of `recipe`.
    pub recipe_digest: String,
    /// The recipe's meaning.
    pub recipe: serde_json::Value,
    /// Id of the dataset.
    pub dataset: String,
    /// BLAKE3 of the dataset's tokenizer file.
    pub tokenizer: String,
    /// With adapters: `blake3:…` of the frozen model's files.
    pub base: Option<String>,
}
