//! Which run a directory belongs to.

use std::path::Path;

use super::checkpoint::{Identity, TrainerState};
use crate::disk;
use crate::error::{Error, Result, shown_text};
use crate::recipe::{difference, remove};

/// Name of the file that says which run a directory belongs to.
const IDENTITY: &str = "identity.json";
/// Largest identity that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Takes an output directory for a run, unless it has another one.
pub fn belongs_to(out: &Path, identity: &Identity) -> Result<()> {
    let path = out.join(IDENTITY);
    if !path.exists() {
        let mut text = serde_json::to_vec_pretty(identity).expect("plain data");
        text.push(b'\n');
        return disk::write_atomic(&path, &text);
    }
    let bytes = disk::read_small(&path, MAX_BYTES)?;
    let other: Identity = serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged("identity", &path, shown_text(&error.to_string())))?;
    refuse_other(out, &other, identity)
}

pub fn same_run(directory: &Path, state: &TrainerState, identity: &Identity) -> Result<()> {
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
        remove(&mut json, &["recipe_digest"]);
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
