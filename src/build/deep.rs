//! `verify --deep`: proves a dataset against its sources.
//!
//! Planning again must give the same plan, row by row. And for some documents, chosen by a fixed
//! hash: the source file is read again, its text must have the recorded hash, the *reference*
//! tokenizer must give the tokens, and these must stand in the shards where the plan says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::xxh3_128;

use super::monitor::Monitor;
use super::pack::{Corpora, tokenize};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::pack::{self, Rules, seed};
use crate::recipe::{self, LoadedRecipe};
use crate::shard::{MANIFEST, Manifest, PlanFile, Report};
use crate::source::{Position, read_record};
use crate::store::STORE_VERSION;

/// What a deep check needs besides the dataset.
#[derive(Debug, Clone)]
pub struct DeepOptions {
    /// The dataset.
    pub directory: PathBuf,
    /// The token store.
    pub store: PathBuf,
    /// Worker threads.
    pub threads: usize,
    /// How many documents are read and tokenized again.
    pub n_documents: u64,
}

/// Adds what a deep check finds to `report`; the other levels have passed. Returns how many documents
/// were tokenized again.
///
/// # Errors
/// The recipe is not the dataset's, sources are missing, or the operating system refuses.
pub fn verify_deep(
    loaded: &LoadedRecipe,
    options: &DeepOptions,
    monitor: &Monitor,
    report: &mut Report,
) -> Result<u64> {
    let manifest = Manifest::read(&options.directory)?;
    let differences = recipe::difference(&manifest.recipe, &recipe::meaning(&loaded.recipe));
    if !differences.is_empty() {
        let list = differences.join("\n  ");
        return Err(Error::Conflict {
            path: options.directory.clone(),
            message: format!(
                "was made by another recipe:\n  {list}\nhint: pass the right one with `--recipe FILE`"
            ),
        });
    }
    let corpora = tokenize(loaded, &options.store, options.threads, monitor)?;
    for (entry, now) in manifest.inputs.iter().zip(&corpora.inputs) {
        if entry != now {
            let message = format!(
                "the files of source `{}` are not those the dataset was made from",
                entry.name
            );
            report.find("V012", &entry.name, message);
        }
    }
    if manifest.store.version != STORE_VERSION || manifest.store.units != corpora.store_units {
        let message = "the units of the token store are not those of the sources";
        report.find("V012", MANIFEST, message);
    }
    if !report.findings.is_empty() {
        return Ok(0);
    }
    plan_again(loaded, &manifest, &corpora, options, report)?;
    tokenize_again(&manifest, &corpora, options, monitor, report)
}

fn plan_again(
    loaded: &LoadedRecipe,
    manifest: &Manifest,
    corpora: &Corpora,
    options: &DeepOptions,
    report: &mut Report,
) -> Result<()> {
    let rules = Rules::new(&loaded.recipe, manifest.seq_len);
    let plan = PlanFile::open(&options.directory.join(&manifest.plan.name))?;
    let mut rows = plan.rows(0, plan.n_rows());
    let mut row = 0u64;
    let mut first_difference = None;
    let summary = pack::plan(&corpora.corpus, &rules, &mut |sequence| {
        let same = match rows.next().transpose()? {
            Some(stored) => stored.segments == sequence.segments && stored.attention == sequence.attention,
            None => false,
        };
        if !same && first_difference.is_none() {
            first_difference = Some(row);
        }
        row += 1;
        Ok(())
    })?;
    if first_difference.is_some() || row != manifest.plan.n_rows {
        let at = first_difference.unwrap_or(row);
        report.find(
            "V013",
            &manifest.plan.name,
            format!("planning again gives another row {at}"),
        );
    }
    if summary.statistics != manifest.statistics {
        report.find("V013", MANIFEST, "planning again gives other statistics");
    }
    Ok(())
}

/// A document to check: where it comes from.
struct Chosen {
    source: usize,
    file: usize,
    position: Position,
    hash: u128,
}

fn tokenize_again(
    manifest: &Manifest,
    corpora: &Corpora,
    options: &DeepOptions,
    monitor: &Monitor,
    report: &mut Report,
) -> Result<u64> {
    let n_documents = corpora.stored.n_documents();
    let wanted = options.n_documents.min(n_documents);
    let permutation = pack::Permutation::new(n_documents, seed::derive(0, "deep", 0));
    let numbers: Vec<u64> = (0..wanted).map(|i| permutation.get(i)).collect();
    let chosen = choose(corpora, &numbers)?;
    let reference = corpora.tokenizer.reference()?;
    let mut ids: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (&document, chosen) in &chosen {
        monitor.check()?;
        let source = &corpora.sources[chosen.source];
        let file = &source.files[chosen.file];
        let record = read_record(file, &source.rules, chosen.position)?;
        if xxh3_128(record.text.as_bytes()) != chosen.hash {
            report.find(
                "V012",
                &file.name,
                format!("document {document}: its text does not have the recorded hash"),
            );
            continue;
        }
        let mut expected = reference.encode(&record.text)?;
        // What follows the tokens in a document's stream, where the boundary has it.
        expected.push(manifest.ids.eod);
        ids.insert(document, expected);
        monitor.documents.fetch_add(1, Ordering::Relaxed);
    }
    compare_with_shards(&options.directory, manifest, &ids, report)?;
    Ok(wanted)
}

fn choose(corpora: &Corpora, numbers: &[u64]) -> Result<BTreeMap<u64, Chosen>> {
    let mut chosen = BTreeMap::new();
    corpora.stored.for_each_part(|first, unit, source, documents| {
        let range = first..first + documents.len() as u64;
        for &document in numbers.iter().filter(|n| range.contains(n)) {
            let row = documents.row((document - first) as usize);
            let position = Position {
                record: row.record,
                byte: row.bytes.as_ref().map_or(0, |b| b.start),
            };
            let file = corpora.units[unit].unit.files.start + row.file as usize;
            chosen.insert(
                document,
                Chosen {
                    source,
                    file,
                    position,
                    hash: row.hash,
                },
            );
        }
        Ok(())
    })?;
    Ok(chosen)
}

/// Every segment of a chosen document, wherever it lies, must hold the expected ids.
fn compare_with_shards(
    directory: &std::path::Path,
    manifest: &Manifest,
    ids: &BTreeMap<u64, Vec<u32>>,
    report: &mut Report,
) -> Result<()> {
    let dataset = Dataset::open(directory)?;
    for row in 0..dataset.len() {
        let sequence = dataset.sequence(row)?;
        for (segment, &offset) in sequence.segments().iter().zip(sequence.offsets()) {
            let Some(expected) = ids.get(&segment.document) else {
                continue;
            };
            let found = &dataset.row(row)?.tokens[offset as usize..][..segment.len as usize];
            let range = segment.start as usize..segment.start as usize + segment.len as usize;
            if expected.get(range) != Some(found) {
                let message = format!(
                    "row {row}: document {}: its tokens are not those of its text",
                    segment.document
                );
                report.find(
                    "V012",
                    &manifest.shards[(row / manifest.rows_per_shard) as usize].name,
                    message,
                );
            }
        }
    }
    Ok(())
}
