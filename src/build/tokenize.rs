//! Input files to parts of the token store, on all cores, in order, with bounded memory.
//!
//! ```text
//! reader thread ──chunks──► workers: parse, filter, encode ──in order──► writer thread ─► parts
//! ```
//!
//! One reader decompresses and cuts chunks, the pool's workers do everything that costs time, one
//! writer takes the results in the order of the chunks. Where a part ends depends on the documents
//! alone, so parts are the same for any number of threads, and a run that was killed goes on behind
//! its last part.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex};

use rayon::ThreadPool;
use xxhash_rust::xxh3::xxh3_128;

use super::inputs::{InputUnit, SourceInput, still_the_same};
use super::monitor::{Monitor, add};
use crate::disk;
use crate::error::{Error, Result, shown};
use crate::recipe::Limits;
use crate::source::{Chunk, Counts, InputFile, MetadataValue, Position, Reader, Record};
use crate::store::{DocumentRow, PartWriter, Store, StoredPart, UnitLock};
use crate::tokenize::Tokenizer;

/// Text in flight unless the recipe says otherwise.
const DEFAULT_MEMORY: u64 = 256 << 20;

/// One reader per this many threads: a reader decompresses faster than this many workers encode.
const THREADS_PER_READER: usize = 8;

/// What the tokenizing of all units shares.
pub struct Job<'a> {
    /// The sources.
    pub sources: &'a Arc<Vec<SourceInput>>,
    /// The tokenizer.
    pub tokenizer: &'a Arc<Tokenizer>,
    /// Where parts go.
    pub store: &'a Store,
    /// The workers.
    pub pool: &'a ThreadPool,
    /// Bytes of text in flight.
    pub memory: Option<u64>,
    /// How many bad records to tolerate in all.
    pub limits: &'a Limits,
    /// Who watches.
    pub monitor: &'a Monitor,
}

/// Brings every unit into the store and returns its parts, in the order of the units.
///
/// # Errors
/// The first error in document order within a unit; finished parts stay.
pub fn ensure(job: &Job<'_>, units: &[InputUnit]) -> Result<Vec<Vec<StoredPart>>> {
    let n_readers = (job.pool.current_num_threads() / THREADS_PER_READER).clamp(1, units.len().max(1));
    let next = AtomicUsize::new(0);
    let met = Mutex::new(Counts::default());
    let results: Vec<Mutex<Option<Result<Vec<StoredPart>>>>> =
        units.iter().map(|_| Mutex::new(None)).collect();
    let failed = AtomicBool::new(false);
    let budget = Arc::new(Budget::new(job.memory.unwrap_or(DEFAULT_MEMORY)));
    std::thread::scope(|scope| {
        for _ in 0..n_readers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= units.len() || failed.load(Ordering::Relaxed) {
                        break;
                    }
                    let result = ensure_unit(job, &units[index], &met, &budget);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    *results[index].lock().expect("no panic while held") = Some(result);
                }
            });
        }
    });
    let mut parts = Vec::with_capacity(units.len());
    let mut skipped = false;
    for result in results {
        match result.into_inner().expect("no panic while held") {
            Some(result) => parts.push(result?),
            None => skipped = true,
        }
    }
    assert!(!skipped, "a unit is left out only after another one failed");
    Ok(parts)
}

/// One unit: found in the store, or finished from where it stands.
fn ensure_unit(
    job: &Job<'_>,
    input: &InputUnit,
    met: &Mutex<Counts>,
    budget: &Arc<Budget>,
) -> Result<Vec<StoredPart>> {
    let _lock = UnitLock::wait(job.store, &input.address)?;
    let source = &job.sources[input.unit.source];
    let mut parts = job.store.parts(&input.address)?;
    for part in &parts {
        add(&job.monitor.documents, part.header().n_documents);
        add(&job.monitor.tokens, part.header().n_tokens);
        check_bad(
            job,
            met,
            &part.header().counts,
            &source.files[input.unit.files.start],
        )?;
    }
    if parts.last().is_some_and(|part| part.header().last) {
        add(
            &job.monitor.input_bytes,
            input.files.iter().map(|f| f.n_bytes).sum(),
        );
        return Ok(parts);
    }
    let directory = job.store.unit_directory(&input.address);
    disk::create_directory(&directory)?;
    disk::remove_temporaries(&directory)?;

    let (first_file, first_position) = parts.last().map_or((0, Position::default()), |part| {
        (part.header().next_file, part.header().next)
    });
    let capacity = 2 * job.pool.current_num_threads() + 2;
    let (to_writer, from_reader) = sync_channel::<Pending>(capacity);
    let stop = AtomicBool::new(false);
    let first_part = parts.len();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let result = write_parts(job, input, first_part, from_reader, met, budget);
            if result.is_err() {
                // The reader must not wait for memory that nobody will give back.
                stop.store(true, Ordering::Relaxed);
                budget.open();
            }
            result
        });
        let mut position = first_position;
        let mut read = || -> Result<()> {
            for number in first_file..input.files.len() {
                let file = &source.files[input.unit.files.start + number];
                let mut reader = Reader::open(file, &source.rules, std::mem::take(&mut position))?;
                let mut passed = 0;
                while let Some(chunk) = reader.next_chunk()? {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    job.monitor.check()?;
                    let now = reader.bytes_read();
                    add(&job.monitor.input_bytes, now.saturating_sub(passed));
                    passed = now;
                    let n_bytes = chunk.n_bytes() as u64;
                    budget.acquire(n_bytes);
                    let end = chunk.end();
                    let (done, result) = sync_channel(1);
                    let (sources, tokenizer) = (Arc::clone(job.sources), Arc::clone(job.tokenizer));
                    let source_index = input.unit.source;
                    job.pool.spawn_fifo(move || {
                        // The writer may have failed and gone; then nobody wants the result.
                        done.send(encode(&chunk, &sources[source_index], &tokenizer, number))
                            .ok();
                    });
                    let pending = Pending::Chunk {
                        result,
                        file: number,
                        end,
                        n_bytes,
                    };
                    if to_writer.send(pending).is_err() {
                        return Ok(());
                    }
                }
                for warning in reader.warnings() {
                    job.monitor.warn(format!("`{}`: {warning}", shown(&file.path)));
                }
                add(&job.monitor.input_bytes, file.n_bytes.saturating_sub(passed));
                still_the_same(file, &input.files[number])?;
            }
            to_writer.send(Pending::End).ok();
            Ok(())
        };
        let read = read();
        drop(to_writer);
        let written = writer.join().expect("the writer does not panic");
        // The writer's error is about an earlier document than the reader's.
        written.and(read)
    })?;
    parts = job.store.parts(&input.address)?;
    match parts.last().is_some_and(|part| part.header().last) {
        true => Ok(parts),
        false => Err(Error::damaged(
            "store part",
            directory,
            "the unit is not complete after writing",
        )),
    }
}

/// What the reader hands to the writer, in order.
enum Pending {
    Chunk {
        result: Receiver<Result<Encoded>>,
        file: usize,
        end: Position,
        n_bytes: u64,
    },
    End,
}

/// The documents of one chunk.
struct Encoded {
    rows: Vec<DocumentRow>,
    ids: Vec<u32>,
    counts: Counts,
    text_bytes: u64,
}

/// Parses and encodes a chunk: where the time goes.
fn encode(chunk: &Chunk, source: &SourceInput, tokenizer: &Tokenizer, file: usize) -> Result<Encoded> {
    let parsed = chunk.parse(&source.rules)?;
    let text_bytes: usize = parsed.records.iter().map(|r| r.text.len()).sum();
    let mut ids = Vec::with_capacity(text_bytes / 3);
    let mut rows = Vec::with_capacity(parsed.records.len());
    for record in &parsed.records {
        let before = ids.len();
        tokenizer.encode(&record.text, &mut ids)?;
        rows.push(row(record, file, ids.len() - before));
    }
    Ok(Encoded {
        rows,
        ids,
        counts: parsed.counts,
        text_bytes: text_bytes as u64,
    })
}

fn row(record: &Record<'_>, file: usize, n_tokens: usize) -> DocumentRow {
    let metadata = match record.metadata.as_slice() {
        [] => String::new(),
        values => serde_json::Value::from_iter(values.iter().map(metadata_json)).to_string(),
    };
    DocumentRow {
        file: file as u32,
        record: record.record,
        bytes: record.bytes.clone(),
        text_bytes: record.text.len() as u64,
        hash: xxh3_128(record.text.as_bytes()),
        n_tokens: n_tokens as u32,
        metadata,
    }
}

fn metadata_json(value: &MetadataValue) -> serde_json::Value {
    match value {
        MetadataValue::Null => serde_json::Value::Null,
        MetadataValue::String(text) => text.as_str().into(),
        MetadataValue::Integer(number) => (*number).into(),
        MetadataValue::Float(number) => (*number).into(),
        MetadataValue::Boolean(truth) => (*truth).into(),
    }
}

/// Takes the results in order and closes parts where the documents say.
fn write_parts(
    job: &Job<'_>,
    input: &InputUnit,
    first_part: usize,
    from_reader: Receiver<Pending>,
    met: &Mutex<Counts>,
    budget: &Budget,
) -> Result<()> {
    let source = &job.sources[input.unit.source];
    let directory = job.store.unit_directory(&input.address);
    let mut index = first_part;
    let mut part = PartWriter::create(&directory, &input.address, index)?;
    for pending in from_reader {
        let (result, file, end, n_bytes) = match pending {
            Pending::Chunk {
                result,
                file,
                end,
                n_bytes,
            } => (result, file, end, n_bytes),
            Pending::End => return part.finish(input.files.len(), Position::default(), true),
        };
        let encoded = result.recv().map_err(|_| {
            Error::damaged(
                "worker",
                &directory,
                "it panicked\nhint: this is a bug; nothing was committed",
            )
        })??;
        budget.release(n_bytes);
        check_bad(
            job,
            met,
            &encoded.counts,
            &source.files[input.unit.files.start + file],
        )?;
        let mut at = 0;
        for row in &encoded.rows {
            let end = at + row.n_tokens as usize;
            part.push(row, &encoded.ids[at..end])?;
            at = end;
        }
        part.count(&encoded.counts);
        add(&job.monitor.documents, encoded.rows.len() as u64);
        add(&job.monitor.tokens, encoded.ids.len() as u64);
        add(&job.monitor.text_bytes, encoded.text_bytes);
        if part.is_full() {
            part.finish(file, end, false)?;
            index += 1;
            part = PartWriter::create(&directory, &input.address, index)?;
        }
    }
    // The reader failed or was told to stop: the open part is abandoned, its temporary file goes
    // when the unit is taken up again.
    Ok(())
}

/// Adds what became of some records of `file`, now or in an earlier run under other limits, and gives
/// up when the recipe does not allow so many bad ones.
fn check_bad(job: &Job<'_>, met: &Mutex<Counts>, counts: &Counts, file: &InputFile) -> Result<()> {
    if counts.n_bad == 0 {
        return Ok(());
    }
    for example in &counts.first_bad {
        job.monitor.warn(format!("skipped: {example}"));
    }
    let mut met = met.lock().expect("no panic while held");
    met.add(counts);
    met.check(job.limits, &file.path)
}

/// Bytes of text that may be in flight. A chunk larger than all of it waits until it is alone.
struct Budget {
    limit: u64,
    used: Mutex<u64>,
    released: Condvar,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Mutex::new(0),
            released: Condvar::new(),
        }
    }

    fn acquire(&self, n: u64) {
        let used = self.used.lock().expect("no panic while held");
        let mut used = self
            .released
            .wait_while(used, |used| *used > 0 && used.saturating_add(n) > self.limit)
            .expect("no panic while held");
        *used = used.saturating_add(n);
    }

    /// Lets everybody pass: the run is failing.
    fn open(&self) {
        self.release(u64::MAX);
    }

    fn release(&self, n: u64) {
        let mut used = self.used.lock().expect("no panic while held");
        *used = used.saturating_sub(n);
        self.released.notify_all();
    }
}
