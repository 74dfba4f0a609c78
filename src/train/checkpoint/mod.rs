//! Checkpoints: a run's whole state, published in one rename.
//!
//! ```text
//! out/step-00000100/
//!     config.json  model.safetensors  tokenizer.json    the model, as it is published
//!     optimizer.safetensors                             moments, and 32-bit weights where needed
//!     trainer.json                                      where the run was, hashes of all files
//! ```
//!
//! The directory is filled under a temporary name, every file and the directory are synced, and the
//! rename makes it a checkpoint. Whatever happens before leaves the one before it as the newest. The
//! newest is found by looking, not by a pointer that could itself be torn.

mod state;
mod tensors;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::state::{Identity, SavedFile, TRAINER_STATE, TrainerState};
pub use self::tensors::{Content, NamedTensor, TensorFile, write as write_tensors};
use crate::disk::{self, ReadFile, TEMPORARY};
use crate::error::{Error, Result};

/// A checkpoint that was found whole.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its directory.
    pub directory: PathBuf,
    /// Where the run was.
    pub state: TrainerState,
}

impl Checkpoint {
    /// Opens a checkpoint and checks all its files.
    ///
    /// # Errors
    /// It is none, or a file is missing or damaged.
    pub fn open(directory: &Path) -> Result<Self> {
        let state = TrainerState::read(directory)?;
        state.verify(directory)?;
        Ok(Self {
            directory: directory.into(),
            state,
        })
    }

    /// The newest whole checkpoint of a run, if it has any; `warn` is told of damaged ones that are
    /// passed over.
    ///
    /// # Errors
    /// The directory cannot be read, or it has checkpoints and none is whole.
    pub fn newest(out: &Path, mut warn: impl FnMut(String)) -> Result<Option<Self>> {
        let mut first = None;
        for (_, directory) in list(out)?.into_iter().rev() {
            match Self::open(&directory) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => {
                    warn(format!("{error}; the checkpoint before it is used"));
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(None),
            Some(_) => Err(Error::Conflict {
                path: out.into(),
                message: "holds checkpoints, but none is whole\nhint: remove them to train from the start"
                    .into(),
            }),
        }
    }
}

/// Saves a run: `fill` writes the files into the directory it is given.
///
/// # Errors
/// The operating system refuses; what was there before is then as it was.
pub fn save(out: &Path, mut state: TrainerState, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = out.join(name(state.step));
    let temporary = out.join(format!("{}{TEMPORARY}", name(state.step)));
    remove(&temporary)?;
    let written = (|| {
        disk::create_directory(&temporary)?;
        fill(&temporary)?;
        state.files = saved_files(&temporary, &temporary)?;
        state.write(&temporary)?;
        disk::sync_directory(&temporary)?;
        // A checkpoint of this step can only be one that was passed over as damaged.
        remove(&directory)?;
        fs::rename(&temporary, &directory).map_err(Error::io("rename to", &directory))?;
        disk::sync_directory(out)
    })();
    if written.is_err() {
        // The space is needed more than the torso.
        fs::remove_dir_all(&temporary).ok();
    }
    written.map(|()| directory)
}

/// Removes all but the newest `keep` checkpoints.
///
/// # Errors
/// The operating system refuses.
pub fn prune(out: &Path, keep: u32) -> Result<()> {
    let all = list(out)?;
    let n_old = all.len().saturating_sub(keep as usize);
    for (step, directory) in all.into_iter().take(n_old) {
        // Renamed first, so that a kill leaves no half of one under its name.
        let doomed = out.join(format!("{}.old{TEMPORARY}", name(step)));
        fs::rename(&directory, &doomed).map_err(Error::io("rename to", &doomed))?;
        remove(&doomed)?;
    }
    Ok(())
}

fn name(step: u64) -> String {
    format!("step-{step:08}")
}

/// Step and directory of everything in `out` that has the name of a checkpoint, in order of steps.
fn list(out: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(out).map_err(Error::io("list", out))? {
        let entry = entry.map_err(Error::io("list", out))?;
        let file_name = entry.file_name();
        let step = file_name.to_str().and_then(|text| text.strip_prefix("step-"));
        if let Some(step) = step.and_then(|digits| digits.parse().ok())
            && Some(name(step).as_str()) == file_name.to_str()
        {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Syncs and hashes every file below `directory`; names are relative to `root`, in bytewise order.
fn saved_files(directory: &Path, root: &Path) -> Result<Vec<SavedFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let path = entry.map_err(Error::io("list", directory))?.path();
        if path.is_dir() {
            files.extend(saved_files(&path, root)?);
            disk::sync_directory(&path)?;
            continue;
        }
        let file = ReadFile::open(&path)?;
        file.file().sync_all().map_err(Error::io("sync", &path))?;
        let name = path.strip_prefix(root).expect("it is below the root");
        files.push(SavedFile {
            name: name.to_string_lossy().into_owned(),
            n_bytes: file.n_bytes(),
            blake3: file.blake3()?,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
