//! Rebuilds one shard from the plan and the token store, to the hash in the manifest.

use std::path::Path;

use super::dataset::{shard_rows, write_shard};
use super::monitor::Monitor;
use super::stored::StoredCorpus;
use crate::disk::{self, Lock};
use crate::error::{Error, Result};
use crate::shard::{Manifest, PlanFile, ShardEntry, shard_name};
use crate::store::Store;

/// Rebuilds shard `index` of the dataset in `directory`. The old file is replaced only by one with
/// the recorded hash.
///
/// # Errors
/// There is no such shard; the plan or the store is damaged or missing; the rebuilt shard is not
/// the recorded one.
pub fn repair(directory: &Path, store: &Path, index: usize, monitor: &Monitor) -> Result<ShardEntry> {
    let manifest = Manifest::read(directory)?;
    let Some(expected) = manifest.shards.get(index) else {
        return Err(Error::usage(format!(
            "there is no shard {index}; the last one is {}",
            manifest.shards.len() - 1
        )));
    };
    let _lock = Lock::take(directory)?;
    let stored = stored_corpus(&manifest, &Store::open(store)?)?;
    let plan = PlanFile::open(&directory.join(&manifest.plan.name))?;
    if plan.n_rows() != manifest.plan.n_rows {
        return Err(Error::damaged(
            "plan",
            directory.join(&manifest.plan.name),
            "it is not the dataset's plan",
        ));
    }
    // Built in a directory of its own and moved only if it is right.
    let workshop = directory.join(format!("repair{}", disk::TEMPORARY));
    disk::create_directory(&workshop)?;
    let rows = shard_rows(&manifest, index);
    let result = write_shard(
        &workshop,
        manifest.shard_info(index),
        &plan,
        rows,
        &stored,
        monitor,
    )
    .and_then(|entry| {
        let rebuilt = workshop.join(shard_name(index));
        if entry != *expected {
            return Err(Error::damaged(
                "shard",
                &rebuilt,
                "the rebuilt shard does not have the recorded hash: plan or store were changed",
            ));
        }
        let target = directory.join(&entry.name);
        std::fs::rename(&rebuilt, &target).map_err(Error::io("rename to", &target))?;
        disk::sync_directory(directory)?;
        Ok(entry)
    });
    std::fs::remove_dir_all(&workshop).map_err(Error::io("remove", &workshop))?;
    result
}

/// The corpus of a dataset, found in the store by the addresses in the manifest.
pub(super) fn stored_corpus(manifest: &Manifest, store: &Store) -> Result<StoredCorpus> {
    let mut units = Vec::new();
    for unit in &manifest.store.units {
        let hex = unit.address.len() == 32 && unit.address.bytes().all(|b| b.is_ascii_hexdigit());
        let parts = if hex {
            store.parts(&unit.address)?
        } else {
            Vec::new()
        };
        let n_documents: u64 = parts.iter().map(|p| p.header().n_documents).sum();
        if n_documents != unit.n_documents || !parts.last().is_some_and(|p| p.header().last) {
            return Err(Error::Conflict {
                path: store.root().into(),
                message: format!(
                    "does not hold the tokens of this dataset (unit {})\nhint: pass the right `--store`, or run `pack` again to fill it",
                    crate::error::shown_text(&unit.address)
                ),
            });
        }
        units.push((unit.source as usize, parts));
    }
    let n_sources = manifest.inputs.len();
    if units.iter().any(|(source, _)| *source >= n_sources) {
        return Err(Error::damaged(
            "manifest",
            store.root(),
            "a unit names a source that does not exist",
        ));
    }
    StoredCorpus::load(units, &[], false, manifest.ids.eod).map(|(stored, _)| stored)
}
