//! The prompts themselves, for other programs to answer or to learn from.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::Monitor;
use crate::disk::AtomicFile;
use crate::error::{Error, Result};
use crate::eval::{Benchmark, Case, Gold, Item};

#[derive(Serialize)]
struct Line<'a> {
    benchmark: &'static str,
    case: &'a Case,
    gold: &'a Gold,
    max_new_tokens: u32,
    prompt: &'a str,
}

/// Writes every prompt with what judges its answer, one JSON line each; gives their number.
///
/// # Errors
/// A prompt cannot be made, the run is stopped, or the operating system refuses.
pub fn export(benchmarks: &[&dyn Benchmark], path: &Path, monitor: &Monitor) -> Result<u64> {
    let mut file = AtomicFile::create(path)?;
    let mut n_prompts = 0;
    for benchmark in benchmarks {
        for index in 0..benchmark.n_cases() {
            monitor.check()?;
            let Item {
                case,
                prompt,
                gold,
                max_new_tokens,
                ..
            } = benchmark.item(index)?;
            let line = Line {
                benchmark: benchmark.name(),
                case: &case,
                gold: &gold,
                max_new_tokens,
                prompt: &prompt,
            };
            let line = serde_json::to_string(&line).expect("plain data") + "\n";
            file.write_all(line.as_bytes())
                .map_err(Error::io("write", path))?;
            n_prompts += 1;
        }
    }
    file.commit()?;
    Ok(n_prompts)
}
