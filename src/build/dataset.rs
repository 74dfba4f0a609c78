//! One dataset: plan, documents table, shards, manifest, in that order, each committed.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rayon::ThreadPool;
use rayon::prelude::*;
use serde_json::Value;

use super::inputs::metadata_columns;
use super::journal::{JOURNAL, Journal, Planned, conflict, differences};
use super::monitor::{Monitor, Stage, add};
use super::pack::{Clock, Corpora};
use super::run::RUN;
use super::stored::StoredCorpus;
use crate::disk::{self, LOCK, TEMPORARY};
use crate::error::{Error, Result};
use crate::pack::{self, Bytes, Rules, Summary};
use crate::recipe::{self, LoadedRecipe};
use crate::sequence::Sequence;
use crate::shard::{
    DOCUMENTS, DocumentRecord, DocumentsTable, FORMAT_VERSION, FileEntry, InputEntry, MANIFEST, Manifest,
    PLAN, PlanFile, PlanWriter, ShardEntry, ShardInfo, ShardWriter, StoreEntry, TOKENIZER, TokenizerEntry,
    rows_per_batch,
};
use crate::store::STORE_VERSION;
use crate::tokenize::Tokenizer;

/// What the datasets of one run share.
pub(super) struct Context<'a> {
    pub loaded: &'a LoadedRecipe,
    pub corpora: &'a Corpora,
    pub pool: &'a ThreadPool,
    pub monitor: &'a Monitor,
}

/// Whether a file name shows that the directory is ours.
pub(super) fn is_mark(name: &str) -> bool {
    name == MANIFEST || name == JOURNAL
}

/// Whether a file name is one that we write.
pub(super) fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(TEMPORARY).unwrap_or(name);
    let shard = name.strip_prefix("shard-").and_then(|n| n.strip_suffix(".arrow"));
    let shard = shard.is_some_and(|n| n.len() >= 5 && n.bytes().all(|b| b.is_ascii_digit()));
    shard || is_mark(name) || [PLAN, DOCUMENTS, TOKENIZER, LOCK, RUN].contains(&name)
}

/// Refuses, before anything is tokenized, an output that belongs to another build; with `restart`
/// removes our files from it instead.
pub(super) fn refuse_other_build(
    directory: &Path,
    meaning: &Value,
    inputs: &[InputEntry],
    tokenizer: &Tokenizer,
    restart: bool,
) -> Result<()> {
    let found = if directory.join(MANIFEST).exists() {
        match Manifest::read(directory) {
            Ok(old) => {
                let digest = format!("blake3:{}", old.tokenizer.blake3);
                let old = (&old.recipe, old.inputs.as_slice(), digest.as_str());
                let found = differences(old, (meaning, inputs, tokenizer.digest()));
                (!found.is_empty()).then(|| conflict(directory, &found))
            }
            Err(damaged) => Some(damaged),
        }
    } else {
        Journal::open(directory, meaning, inputs, tokenizer.digest()).err()
    };
    match found {
        None => Ok(()),
        Some(error @ (Error::Conflict { .. } | Error::Damaged { .. })) if !restart => Err(error),
        Some(Error::Conflict { .. } | Error::Damaged { .. }) => {
            // The manifest goes first: from then on the directory is no dataset.
            for name in [MANIFEST, JOURNAL] {
                disk::remove_if_there(&directory.join(name))?;
            }
            for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
                let name = entry.map_err(Error::io("list", directory))?.file_name();
                if name.to_str().is_some_and(|n| is_ours(n) && n != LOCK) {
                    disk::remove_if_there(&directory.join(name))?;
                }
            }
            Ok(())
        }
        Some(other) => Err(other),
    }
}

/// Writes, or finds complete, the dataset for `rules` in `directory`.
pub(super) fn write_dataset(
    context: &Context<'_>,
    directory: &Path,
    rules: &Rules,
    clock: &mut Clock<'_>,
) -> Result<(Manifest, bool)> {
    if directory.join(MANIFEST).exists() {
        // It is for this recipe and these inputs: that was checked before tokenizing. A run that was
        // killed behind its manifest leaves these.
        disk::remove_if_there(&directory.join(JOURNAL))?;
        disk::remove_temporaries(directory)?;
        return Ok((Manifest::read(directory)?, true));
    }
    let corpora = context.corpora;
    let meaning = recipe::meaning(&context.loaded.recipe);
    let mut journal = Journal::open(directory, &meaning, &corpora.inputs, corpora.tokenizer.digest())?;
    disk::remove_temporaries(directory)?;

    clock.enter(Stage::Plan);
    context.monitor.check()?;
    let planned = match journal.planned.clone() {
        Some(planned) => planned,
        None => {
            let planned = plan(context, directory, rules)?;
            journal.planned(planned.clone())?;
            planned
        }
    };

    clock.enter(Stage::Shards);
    let tokenizer = corpora.tokenizer.bytes();
    disk::write_atomic(&directory.join(TOKENIZER), tokenizer)?;
    let entry = TokenizerEntry {
        name: TOKENIZER.into(),
        n_bytes: tokenizer.len() as u64,
        blake3: blake3::hash(tokenizer).to_hex().to_string(),
    };
    let recipe = &context.loaded.recipe;
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION.into(),
        dataset: String::new(),
        recipe_digest: recipe::digest_of(&meaning),
        recipe: meaning,
        seq_len: rules.seq_len,
        boundary: rules.boundary,
        position_mode: recipe.pack.positions,
        align: rules.align,
        rows_per_batch: rows_per_batch(rules.seq_len),
        rows_per_shard: rows_per_shard(recipe.shards.bytes, rules.seq_len),
        batch_rows: rules
            .balance
            .as_ref()
            .map_or(1, |b| u64::from(b.ranks) * u64::from(b.accumulate)),
        ids: corpora.tokenizer.ids(),
        tokenizer: entry,
        inputs: corpora.inputs.clone(),
        store: StoreEntry {
            version: STORE_VERSION,
            units: corpora.store_units.clone(),
        },
        plan: planned.plan,
        documents: planned.documents,
        shards: Vec::new(),
        ledger: planned.summary.ledger,
        statistics: planned.summary.statistics,
    };
    check_space(directory, &manifest, &journal)?;
    manifest.shards = write_shards(context, directory, &manifest, journal)?;
    manifest.check().map_err(|equation| Error::Ledger { equation })?;
    let (manifest, bytes) = manifest.seal();
    context.monitor.check()?;
    disk::write_atomic(&directory.join(MANIFEST), &bytes)?;
    disk::remove_if_there(&directory.join(JOURNAL))?;
    Ok((manifest, false))
}

/// Rows in a shard of about `bytes` of tokens: whole record batches.
pub(super) fn rows_per_shard(bytes: u64, seq_len: u32) -> u64 {
    let batch = u64::from(rows_per_batch(seq_len));
    (bytes / (4 * u64::from(seq_len)) / batch).max(1) * batch
}

/// Plans, writes `plan.arrow` and `documents.parquet`, and completes the ledger.
fn plan(context: &Context<'_>, directory: &Path, rules: &Rules) -> Result<Planned> {
    let corpora = context.corpora;
    let mut n_placed = vec![0u64; corpora.stored.n_documents() as usize];
    let mut writer = PlanWriter::create(directory)?;
    let Summary {
        mut ledger,
        statistics,
    } = pack::plan(&corpora.corpus, rules, &mut |sequence| {
        context.monitor.check()?;
        for segment in &sequence.segments {
            n_placed[segment.document as usize] += u64::from(segment.len);
        }
        writer.push(&sequence.segments, sequence.attention)
    })?;
    if ledger.slots.sequences == 0 {
        let reasons: Vec<String> = ledger
            .total
            .documents
            .fields()
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        let reasons = if reasons.is_empty() {
            "no document was read".into()
        } else {
            reasons.join(", ")
        };
        return Err(Error::input(
            crate::error::Place::file(&context.loaded.path),
            format!("nothing is left to pack: {reasons}"),
        ));
    }
    let plan = writer.finish()?;
    let documents = write_documents(context, directory, &n_placed, &mut ledger)?;
    for (source, counts) in corpora.stored.counts(corpora.sources.len()).iter().enumerate() {
        ledger.add_unstored(source, counts.n_bad, counts.n_filtered);
    }
    ledger.check()?;
    Ok(Planned {
        plan,
        documents,
        summary: Summary { ledger, statistics },
    })
}

fn write_documents(
    context: &Context<'_>,
    directory: &Path,
    n_placed: &[u64],
    ledger: &mut pack::Ledger,
) -> Result<FileEntry> {
    let corpora = context.corpora;
    let columns = metadata_columns(&corpora.sources)?;
    let mut table = DocumentsTable::create(directory, &columns)?;
    let mut bytes = vec![Bytes::default(); corpora.sources.len()];
    corpora
        .stored
        .for_each_part(|first, unit, source_index, documents| {
            context.monitor.check()?;
            let source = &corpora.sources[source_index];
            let files = &source.files[corpora.units[unit].unit.files.clone()];
            let name: Arc<str> = source.name.as_str().into();
            let mut file: Option<(u32, Arc<str>)> = None;
            let declared = source.rules.metadata_columns();
            for index in 0..documents.len() {
                let row = documents.row(index);
                if file.as_ref().is_none_or(|(number, _)| *number != row.file) {
                    file = Some((row.file, files[row.file as usize].name.as_str().into()));
                }
                let values: Vec<Value> = serde_json::from_str(&row.metadata).unwrap_or_default();
                let value = |column: &String| {
                    let position = declared.iter().position(|(name, _)| name == column)?;
                    values.get(position).cloned()
                };
                let placed = n_placed[first as usize + index];
                let account = &mut bytes[source_index];
                account.read += row.text_bytes;
                *(if placed > 0 {
                    &mut account.used
                } else {
                    &mut account.dropped
                }) += row.text_bytes;
                table.push(DocumentRecord {
                    source: Arc::clone(&name),
                    file: file
                        .as_ref()
                        .map_or_else(|| "".into(), |(_, name)| Arc::clone(name)),
                    record: row.record,
                    bytes: row.bytes,
                    hash: row.hash,
                    text_bytes: row.text_bytes,
                    n_tokens: u64::from(row.n_tokens),
                    n_placed: placed,
                    metadata: columns
                        .iter()
                        .map(|(column, _)| value(column).unwrap_or(Value::Null))
                        .collect(),
                })?;
            }
            Ok(())
        })?;
    bytes
        .into_iter()
        .enumerate()
        .for_each(|(source, bytes)| ledger.add_bytes(source, bytes));
    table.finish()
}

/// Writes the shards that are not committed yet, several at a time.
fn write_shards(
    context: &Context<'_>,
    directory: &Path,
    manifest: &Manifest,
    journal: Journal,
) -> Result<Vec<ShardEntry>> {
    let n_shards = manifest.n_rows().div_ceil(manifest.rows_per_shard) as usize;
    let monitor = context.monitor;
    monitor.shards_total.store(n_shards as u64, Ordering::Relaxed);
    monitor.rows_total.store(manifest.n_rows(), Ordering::Relaxed);
    monitor.shards.store(0, Ordering::Relaxed);
    monitor.rows.store(0, Ordering::Relaxed);
    let done: Vec<Option<ShardEntry>> = (0..n_shards)
        .map(|i| journal.shards.get(i).cloned().flatten())
        .collect();
    let plan = PlanFile::open(&directory.join(PLAN))?;
    let journal = Mutex::new(journal);
    context.pool.install(|| {
        done.into_par_iter()
            .enumerate()
            .map(|(index, done)| {
                let entry = match done {
                    Some(entry) => {
                        add(&monitor.rows, entry.n_rows);
                        entry
                    }
                    None => {
                        let info = manifest.shard_info(index);
                        let rows = shard_rows(manifest, index);
                        let entry =
                            write_shard(directory, info, &plan, rows, &context.corpora.stored, monitor)?;
                        journal
                            .lock()
                            .expect("no panic while held")
                            .shard(index, entry.clone())?;
                        entry
                    }
                };
                add(&monitor.shards, 1);
                Ok(entry)
            })
            .collect()
    })
}

/// The rows of shard `index`.
pub(super) fn shard_rows(manifest: &Manifest, index: usize) -> std::ops::Range<u64> {
    let first = index as u64 * manifest.rows_per_shard;
    first..(first + manifest.rows_per_shard).min(manifest.n_rows())
}

/// Writes one shard from plan and store: copies and checksums, nothing else.
pub(super) fn write_shard(
    directory: &Path,
    info: ShardInfo,
    plan: &PlanFile,
    rows: std::ops::Range<u64>,
    stored: &StoredCorpus,
    monitor: &Monitor,
) -> Result<ShardEntry> {
    let (seq_len, align) = (info.seq_len, info.align);
    let mut writer = ShardWriter::create(directory, info)?;
    for row in plan.rows(rows.start, rows.end) {
        monitor.check()?;
        let row = row?;
        let sequence = Sequence::try_new(row.segments, seq_len, align, row.attention)?;
        writer.push(&sequence, |segment, out| {
            stored.fill(&sequence.segments()[segment], out)
        })?;
        add(&monitor.rows, 1);
    }
    writer.finish()
}

/// Bytes that shards of `n_rows` sequences take, within a per cent.
pub(super) fn shards_bytes(n_rows: u64, seq_len: u32) -> u64 {
    n_rows.saturating_mul(4 * u64::from(seq_len)).saturating_mul(1002) / 1000
}

/// Fails before the first shard is begun if the file system cannot hold them all.
fn check_space(directory: &Path, manifest: &Manifest, journal: &Journal) -> Result<()> {
    let written: u64 = journal.shards.iter().flatten().map(|shard| shard.n_bytes).sum();
    let needed = shards_bytes(manifest.n_rows(), manifest.seq_len).saturating_sub(written);
    let free = disk::free_bytes(directory)?;
    match needed <= free {
        true => Ok(()),
        false => {
            let message = format!("the shards need {needed} bytes, {free} are free");
            Err(Error::io("write shards to", directory)(std::io::Error::new(
                std::io::ErrorKind::StorageFull,
                message,
            )))
        }
    }
}
