//! Finds damage in a dataset. Never repairs, reads with plain reads, believes nothing unchecked.
//!
//! | code | meaning |
//! |---|---|
//! | V001 | the manifest is missing, damaged or contradicts itself |
//! | V002 | a file is missing or has another length |
//! | V003 | a header or footer was changed |
//! | V004 | the BLAKE3 of a file differs |
//! | V005 | a record batch is damaged |
//! | V006 | boundaries in a row are impossible |
//! | V007 | a token id is outside the vocabulary |
//! | V008 | padding does not hold the padding id |
//! | V009 | a row is not the one the plan says |
//! | V010 | the counts do not add up to the ledger |
//! | V011 | a file lies in the directory that does not belong to the dataset |
//! | V012 | a document's tokens are not those of its text (`--deep`) |
//! | V013 | planning again gives another plan (`--deep`) |

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;

use super::manifest::{MANIFEST, Manifest, ShardEntry};
use super::rows::{RowSlices, Rows};
use super::schema::{N_ROWS, N_SEGMENTS, N_TOKENS, ShardInfo};
use super::{PlanFile, documents};
use crate::disk::{LOCK, ReadFile};
use crate::error::{Error, Result};
use crate::ipc::CheckedFile;
use crate::pack::seed;
use crate::sequence::Sequence;

/// How much to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Manifest, lengths, headers and footers.
    Quick,
    /// Everything in `Quick`, and some record batches of each shard.
    Sample(Sample),
    /// Every byte, every row against the plan, every count against the ledger.
    Full,
}

/// A share of the record batches, chosen by a fixed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Batches wanted …
    pub numerator: u64,
    /// … out of this many.
    pub denominator: u64,
}

impl Sample {
    fn takes(&self, shard: usize, batch: usize) -> bool {
        let index = ((shard as u64) << 32) | batch as u64;
        seed::derive(0, "verify", index) % self.denominator < self.numerator
    }
}

impl std::str::FromStr for Sample {
    type Err = String;

    /// `5%`, `0.5%` or `3/20`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a percentage like `5%` nor a share like `3/20`");
        let sample = if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            Self {
                numerator: (percent * 1e4) as u64,
                denominator: 1_000_000,
            }
        } else {
            let (numerator, denominator) = text.split_once('/').ok_or_else(wrong)?;
            Self {
                numerator: numerator.trim().parse().map_err(|_| wrong())?,
                denominator: denominator.trim().parse().map_err(|_| wrong())?,
            }
        };
        let usable = sample.numerator > 0 && sample.numerator <= sample.denominator;
        usable.then_some(sample).ok_or_else(wrong)
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `V001` …: see the table in the documentation.
    pub code: &'static str,
    /// The file it is in, by name.
    pub file: String,
    /// What is wrong, with row and position.
    pub message: String,
}

/// What `verify` looked at and found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The dataset's id, if it has a readable manifest.
    pub dataset: Option<String>,
    /// Number of shards.
    pub n_shards: u64,
    /// Rows looked at.
    pub n_rows: u64,
    /// Bytes read and checked.
    pub n_bytes: u64,
    /// The problems, in order of files and rows.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds a problem.
    pub fn find(&mut self, code: &'static str, file: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding {
            code,
            file: file.into(),
            message: message.into(),
        });
    }
}

/// Most findings reported per shard: a shard that is all wrong is one problem, not a million.
const MAX_FINDINGS: usize = 20;

/// Looks at the dataset in `directory`. `checked_bytes` grows while it runs, for a progress display.
///
/// # Errors
/// [`Error::NoDataset`] if there is no manifest; I/O errors other than missing files. Damage is not
/// an error here: it is in the report.
pub fn verify(directory: &Path, level: Level, checked_bytes: &AtomicU64) -> Result<Report> {
    let mut report = Report {
        dataset: None,
        n_shards: 0,
        n_rows: 0,
        n_bytes: 0,
        findings: Vec::new(),
    };
    let manifest = match Manifest::read(directory) {
        Ok(manifest) => manifest,
        Err(Error::Damaged { message, .. }) => {
            report.find("V001", MANIFEST, message);
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    report.dataset = Some(manifest.dataset.clone());
    report.n_shards = manifest.shards.len() as u64;

    let plan = check_side_files(directory, &manifest, level, &mut report);
    let shards: Vec<Outcome> = (0..manifest.shards.len())
        .into_par_iter()
        .map(|index| {
            let mut outcome = Outcome::new(&manifest.shards[index].name);
            let context = Context {
                directory,
                manifest: &manifest,
                level,
                plan: plan.as_ref(),
                checked_bytes,
            };
            if let Err(error) = context.shard(index, &mut outcome) {
                outcome.error(error);
            }
            outcome
        })
        .collect();
    let mut padding_tail = 0u64;
    let mut padding_align = 0u64;
    for outcome in shards {
        report.n_rows += outcome.n_rows;
        padding_tail += outcome.padding_tail;
        padding_align += outcome.padding_align;
        report.findings.extend(outcome.findings);
    }
    if level == Level::Full && report.findings.is_empty() {
        let slots = &manifest.ledger.slots;
        let counted = (report.n_rows, padding_tail, padding_align);
        let stated = (slots.sequences, slots.padding_tail, slots.padding_align);
        if counted != stated {
            let message =
                format!("rows, padding_tail, padding_align: counted {counted:?}, the ledger says {stated:?}");
            report.find("V010", MANIFEST, message);
        }
    }
    check_extra_files(directory, &manifest, &mut report)?;
    report.n_bytes = checked_bytes.load(Ordering::Relaxed);
    Ok(report)
}

/// Plan, documents table and tokenizer. Returns the plan if it can be compared with.
fn check_side_files(
    directory: &Path,
    manifest: &Manifest,
    level: Level,
    report: &mut Report,
) -> Option<PlanFile> {
    let files = [
        (&manifest.plan.name, manifest.plan.n_bytes, &manifest.plan.blake3),
        (
            &manifest.documents.name,
            manifest.documents.n_bytes,
            &manifest.documents.blake3,
        ),
        (
            &manifest.tokenizer.name,
            manifest.tokenizer.n_bytes,
            &manifest.tokenizer.blake3,
        ),
    ];
    let mut whole = true;
    for (name, n_bytes, blake3) in files {
        let before = report.findings.len();
        check_whole_file(&directory.join(name), name, n_bytes, blake3, level, report);
        whole &= report.findings.len() == before;
    }
    if !whole {
        return None;
    }
    let plan = match PlanFile::open(&directory.join(&manifest.plan.name)) {
        Ok(plan) if plan.n_rows() == manifest.plan.n_rows => plan,
        Ok(plan) => {
            let message = format!("{} rows instead of {}", plan.n_rows(), manifest.plan.n_rows);
            report.find("V010", &manifest.plan.name, message);
            return None;
        }
        Err(error) => {
            report.find("V003", &manifest.plan.name, error.to_string());
            return None;
        }
    };
    if level == Level::Full {
        match documents::sums(&directory.join(&manifest.documents.name)) {
            Ok(sums) => {
                let total = &manifest.ledger.total;
                let counted = [sums.n_rows, sums.n_tokens, sums.n_placed, sums.text_bytes];
                let stated = [
                    manifest.documents.n_rows,
                    total.tokens.read,
                    total.tokens.placed,
                    total.bytes.read,
                ];
                if counted != stated {
                    let message = format!(
                        "rows, n_tokens, n_placed, text_bytes: counted {counted:?}, the ledger says {stated:?}"
                    );
                    report.find("V010", &manifest.documents.name, message);
                }
            }
            Err(error) => report.find("V005", &manifest.documents.name, error.to_string()),
        }
    }
    Some(plan)
}

fn check_whole_file(path: &Path, name: &str, n_bytes: u64, blake3: &str, level: Level, report: &mut Report) {
    let file = match ReadFile::open(path) {
        Ok(file) => file,
        Err(error) => return report.find("V002", name, error.to_string()),
    };
    if file.n_bytes() != n_bytes {
        return report.find(
            "V002",
            name,
            format!("{} bytes instead of {n_bytes}", file.n_bytes()),
        );
    }
    if level == Level::Quick {
        return;
    }
    match file.blake3() {
        Ok(hash) if hash == blake3 => {}
        Ok(_) => report.find(
            "V004",
            name,
            "its BLAKE3 is not the one in the manifest: bytes were changed after writing",
        ),
        Err(error) => report.find("V002", name, error.to_string()),
    }
}

fn check_extra_files(directory: &Path, manifest: &Manifest, report: &mut Report) -> Result<()> {
    let known: BTreeSet<&str> = [
        MANIFEST,
        LOCK,
        "run.json",
        &manifest.plan.name,
        &manifest.documents.name,
        &manifest.tokenizer.name,
    ]
    .into_iter()
    .chain(manifest.shards.iter().map(|s| s.name.as_str()))
    .collect();
    let mut extra = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let name = entry
            .map_err(Error::io("list", directory))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if !known.contains(name.as_str()) {
            extra.push(name);
        }
    }
    extra.sort();
    for name in extra {
        report.find(
            "V011",
            crate::error::shown_text(&name),
            "it does not belong to the dataset",
        );
    }
    Ok(())
}

/// What the check of one shard gives.
struct Outcome {
    name: String,
    findings: Vec<Finding>,
    n_rows: u64,
    padding_tail: u64,
    padding_align: u64,
}

impl Outcome {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            findings: Vec::new(),
            n_rows: 0,
            padding_tail: 0,
            padding_align: 0,
        }
    }

    fn find(&mut self, code: &'static str, message: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                code,
                file: self.name.clone(),
                message: message.into(),
            });
        }
    }

    fn error(&mut self, error: Error) {
        let code = if matches!(error, Error::Io { .. }) {
            "V002"
        } else {
            "V003"
        };
        self.find(code, error.to_string());
    }
}

struct Context<'a> {
    directory: &'a Path,
    manifest: &'a Manifest,
    level: Level,
    plan: Option<&'a PlanFile>,
    checked_bytes: &'a AtomicU64,
}

impl Context<'_> {
    fn shard(&self, index: usize, outcome: &mut Outcome) -> Result<()> {
        let entry = &self.manifest.shards[index];
        let info = self.manifest.shard_info(index);
        let path: PathBuf = self.directory.join(&entry.name);
        let found = ReadFile::open(&path)?.n_bytes();
        if found != entry.n_bytes {
            outcome.find("V002", format!("{found} bytes instead of {}", entry.n_bytes));
            return Ok(());
        }
        let file = CheckedFile::open(&path, "shard", |_| Ok(info.schema()))?;
        if format!("{:016x}", file.frame_xxh3()?) != entry.frame_xxh3 {
            outcome.find("V003", "its header or footer was changed after writing");
        }
        let counts = [
            (N_ROWS, entry.n_rows),
            (N_TOKENS, entry.n_tokens),
            (N_SEGMENTS, entry.n_segments),
        ];
        for (key, expected) in counts {
            if file.metadata(key)? != expected.to_string() {
                outcome.find("V010", format!("its `{key}` is not {expected}"));
            }
        }
        let expected_batches = entry.n_rows.div_ceil(u64::from(info.rows_per_batch));
        if file.n_batches() as u64 != expected_batches {
            outcome.find(
                "V003",
                format!("{} batches instead of {expected_batches}", file.n_batches()),
            );
            return Ok(());
        }
        match self.level {
            Level::Quick => Ok(()),
            Level::Sample(sample) => {
                let mut wanted: Vec<usize> = (0..file.n_batches())
                    .filter(|&batch| sample.takes(index, batch))
                    .collect();
                if wanted.is_empty() {
                    // A small shard still gives one batch: "ok" must never mean "nothing looked at".
                    let any = seed::derive(1, "verify", index as u64) % file.n_batches().max(1) as u64;
                    wanted.extend((any < file.n_batches() as u64).then_some(any as usize));
                }
                wanted
                    .into_iter()
                    .try_for_each(|batch| self.batch(index, &file, &info, batch, outcome).map(drop))
            }
            Level::Full => self.whole_shard(index, &file, &info, entry, outcome),
        }
    }

    /// Every byte of a shard, in one pass.
    fn whole_shard(
        &self,
        index: usize,
        file: &CheckedFile,
        info: &ShardInfo,
        entry: &ShardEntry,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut totals = [0u64; 3];
        for batch in 0..file.n_batches() {
            let counted = self.batch(index, file, info, batch, outcome)?;
            totals
                .iter_mut()
                .zip(counted)
                .for_each(|(total, count)| *total += count);
        }
        if outcome.findings.is_empty() && totals != [entry.n_rows, entry.n_tokens, entry.n_segments] {
            outcome.find(
                "V010",
                format!("rows, tokens, segments: counted {totals:?}, the manifest says otherwise"),
            );
        }
        // The batches are in the page cache now; the whole-file hash reads them from there.
        if file.file().blake3()? != entry.blake3 {
            outcome.find(
                "V004",
                "its BLAKE3 is not the one in the manifest: bytes were changed after writing",
            );
        }
        Ok(())
    }

    /// One record batch; returns its rows, real tokens and segments.
    fn batch(
        &self,
        index: usize,
        file: &CheckedFile,
        info: &ShardInfo,
        batch: usize,
        outcome: &mut Outcome,
    ) -> Result<[u64; 3]> {
        let decoded = match file.batch(batch) {
            Ok(decoded) => decoded,
            Err(Error::Damaged { message, .. }) => {
                outcome.find("V005", message);
                return Ok([0; 3]);
            }
            Err(other) => return Err(other),
        };
        let rows = match Rows::try_new(&decoded, info) {
            Ok(rows) => rows,
            Err(message) => {
                outcome.find("V006", format!("batch {batch}: {message}"));
                return Ok([0; 3]);
            }
        };
        let first = batch as u64 * u64::from(info.rows_per_batch);
        let entry = &self.manifest.shards[index];
        if rows.len() as u64 != (entry.n_rows - first).min(u64::from(info.rows_per_batch)) {
            outcome.find("V006", format!("batch {batch}: {} rows", rows.len()));
            return Ok([0; 3]);
        }
        let first_global = index as u64 * self.manifest.rows_per_shard + first;
        let mut planned = self
            .plan
            .map(|plan| plan.rows(first_global, first_global + rows.len() as u64));
        let mut counts = [rows.len() as u64, 0, 0];
        for i in 0..rows.len() {
            let row = rows.row(i);
            let number = first + i as u64;
            let sequence = as_sequence(&row, info)?;
            if let Some(planned) = planned.as_mut().and_then(Iterator::next) {
                let planned = planned?;
                if planned.segments != sequence.segments() || planned.attention != sequence.attention() {
                    outcome.find(
                        "V009",
                        format!("row {number}: its segments are not those of the plan"),
                    );
                }
            }
            self.tokens(&row, &sequence, info, number, outcome);
            counts[1] += sequence.n_tokens();
            counts[2] += sequence.segments().len() as u64;
        }
        outcome.n_rows += counts[0];
        self.checked_bytes
            .fetch_add(file.batch_n_bytes(batch), Ordering::Relaxed);
        Ok(counts)
    }

    /// Ids inside the vocabulary, padding where no segment is.
    fn tokens(
        &self,
        row: &RowSlices<'_>,
        sequence: &Sequence,
        info: &ShardInfo,
        number: u64,
        outcome: &mut Outcome,
    ) {
        let vocab_size = info.ids.vocab_size;
        let largest = row.tokens.iter().fold(0, |a, &b| a.max(b));
        if largest >= vocab_size {
            let at = row
                .tokens
                .iter()
                .position(|&id| id >= vocab_size)
                .expect("the largest is one");
            outcome.find(
                "V007",
                format!(
                    "row {number}, position {at}: id {} of {vocab_size}",
                    row.tokens[at]
                ),
            );
        }
        let mut at = 0;
        let ends = sequence
            .segments()
            .iter()
            .zip(sequence.offsets())
            .map(|(s, &o)| (o as usize, (o + s.len) as usize));
        let seq_len = row.tokens.len();
        for (start, end) in ends.chain([(seq_len, seq_len)]) {
            if let Some(wrong) = row.tokens[at..start].iter().position(|&id| id != info.ids.pad) {
                let position = at + wrong;
                outcome.find(
                    "V008",
                    format!("row {number}, position {position}: id {}", row.tokens[position]),
                );
            }
            let gap = (start - at) as u64;
            if start == seq_len {
                outcome.padding_tail += gap;
            } else {
                outcome.padding_align += gap;
            }
            at = end;
        }
    }
}

/// The sequence that a row's columns describe; they have passed [`Rows::try_new`].
fn as_sequence(row: &RowSlices<'_>, info: &ShardInfo) -> Result<Sequence> {
    Sequence::try_new(row.segments(), info.seq_len, info.align, row.attention())
}
