//! What an unfinished dataset remembers: for which recipe and inputs it is, and what is committed.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::records::Records;
use crate::disk;
use crate::error::{Error, Result};
use crate::pack::Summary;
use crate::recipe;
use crate::shard::{FileEntry, InputEntry, ShardEntry};

/// The journal's name in an output directory; it is removed when the manifest is there.
pub const JOURNAL: &str = "journal";

/// One finished step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// Always first: what this output is for.
    Start {
        recipe: Box<Value>,
        inputs: Vec<InputEntry>,
        tokenizer: String,
    },
    /// Plan and documents table are committed.
    Planned(Box<Planned>),
    /// A shard is committed.
    Shard { index: usize, entry: ShardEntry },
}

/// What the plan stage leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Planned {
    /// The plan file.
    pub plan: FileEntry,
    /// The documents table.
    pub documents: FileEntry,
    /// Ledger and statistics.
    pub summary: Summary,
}

/// The journal of one output directory.
#[derive(Debug)]
pub struct Journal {
    records: Records,
    /// The plan stage, if it is committed.
    pub planned: Option<Planned>,
    /// Committed shards by index.
    pub shards: Vec<Option<ShardEntry>>,
}

impl Journal {
    /// Opens the journal of `directory`, or starts one.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it was started for another recipe, other inputs or another tokenizer.
    pub fn open(directory: &Path, recipe: &Value, inputs: &[InputEntry], tokenizer: &str) -> Result<Self> {
        let (mut records, entries) = Records::open::<Entry>(&directory.join(JOURNAL))?;
        let mut entries = entries.into_iter();
        match entries.next() {
            None => records.append(&Entry::Start {
                recipe: Box::new(recipe.clone()),
                inputs: inputs.to_vec(),
                tokenizer: tokenizer.into(),
            })?,
            Some(Entry::Start {
                recipe: r,
                inputs: i,
                tokenizer: t,
            }) => {
                let differences = differences((&r, &i, &t), (recipe, inputs, tokenizer));
                if !differences.is_empty() {
                    return Err(conflict(directory, &differences));
                }
            }
            Some(_) => {
                return Err(Error::damaged(
                    "journal",
                    directory.join(JOURNAL),
                    "it does not begin with a start",
                ));
            }
        }
        let mut journal = Self {
            records,
            planned: None,
            shards: Vec::new(),
        };
        for entry in entries {
            match entry {
                Entry::Start { .. } => {}
                Entry::Planned(planned) => journal.planned = Some(*planned),
                Entry::Shard { index, entry } => journal.remember(index, entry),
            }
        }
        journal.recheck(directory);
        Ok(journal)
    }

    /// Forgets what is recorded but not on the disk with the recorded length, or, for the newest
    /// shard, with the recorded hash.
    fn recheck(&mut self, directory: &Path) {
        let length = |name: &str| std::fs::metadata(directory.join(name)).map(|m| m.len()).ok();
        let whole = |planned: &Planned| {
            [&planned.plan, &planned.documents]
                .iter()
                .all(|f| length(&f.name) == Some(f.n_bytes) && same_hash(directory, &f.name, &f.blake3))
        };
        if !self.planned.as_ref().is_some_and(whole) {
            self.planned = None;
            self.shards.clear();
        }
        let newest = self.shards.iter().rposition(Option::is_some);
        for (index, slot) in self.shards.iter_mut().enumerate() {
            let kept = slot.as_ref().is_some_and(|shard| {
                length(&shard.name) == Some(shard.n_bytes)
                    && (Some(index) != newest || same_hash(directory, &shard.name, &shard.blake3))
            });
            if !kept {
                *slot = None;
            }
        }
    }

    fn remember(&mut self, index: usize, entry: ShardEntry) {
        if self.shards.len() <= index {
            self.shards.resize(index + 1, None);
        }
        self.shards[index] = Some(entry);
    }

    /// Records the plan stage.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn planned(&mut self, planned: Planned) -> Result<()> {
        self.records.append(&Entry::Planned(Box::new(planned.clone())))?;
        self.planned = Some(planned);
        Ok(())
    }

    /// Records a committed shard.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn shard(&mut self, index: usize, entry: ShardEntry) -> Result<()> {
        self.records.append(&Entry::Shard {
            index,
            entry: entry.clone(),
        })?;
        self.remember(index, entry);
        Ok(())
    }
}

fn same_hash(directory: &Path, name: &str, expected: &str) -> bool {
    let found = disk::ReadFile::open(&directory.join(name)).and_then(|file| file.blake3());
    found.is_ok_and(|hash| hash == expected)
}

type Identity<'a> = (&'a Value, &'a [InputEntry], &'a str);

/// In what two builds differ, for people.
pub fn differences(old: Identity<'_>, new: Identity<'_>) -> Vec<String> {
    let mut found = recipe::difference(old.0, new.0);
    if old.2 != new.2 {
        found.push("the tokenizer file is another one".into());
    }
    for entry in new.1 {
        match old.1.iter().find(|e| e.name == entry.name) {
            Some(before) if before != entry => {
                found.push(format!("the files of source `{}` changed", entry.name))
            }
            _ => {}
        }
    }
    found
}

/// The error for an output directory that belongs to another build.
pub fn conflict(directory: &Path, differences: &[String]) -> Error {
    let list = differences.join("\n  ");
    Error::Conflict {
        path: directory.into(),
        message: format!(
            "belongs to another build:\n  {list}\nhint: choose another `--out`, or pass `--restart` to replace it"
        ),
    }
}
