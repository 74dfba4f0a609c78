//! Units: which input files are tokenized together, and under which address.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use serde_json::Value;

use super::{STORE_VERSION, Store};
use crate::error::{Error, Result};

/// Files up to this size share a unit; a larger one has its own.
const UNIT_BYTES: u64 = 64 << 20;

/// Most files in one unit.
const UNIT_FILES: usize = 4096;

/// One input file of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Index of the file in its source.
    pub file: usize,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
    /// Its length in bytes.
    pub n_bytes: u64,
    /// Its modification time in nanoseconds since 1970, to see a change while it is read. Not part of
    /// any address.
    pub modified_ns: i128,
}

/// Some files of one source that are tokenized together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Index of the source.
    pub source: usize,
    /// Indices of its files, consecutive.
    pub files: std::ops::Range<usize>,
}

impl Unit {
    /// The unit's address: a hash of everything that decides its tokens. Names and places of files
    /// are not part of it.
    pub fn address(tokenizer: &Value, rules: &Value, files: &[UnitFile]) -> String {
        let hashes: Vec<&str> = files.iter().map(|f| f.blake3.as_str()).collect();
        let content = serde_json::json!({
            "store": STORE_VERSION, "tokenizer": tokenizer, "rules": rules, "files": hashes
        });
        blake3::hash(content.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}

/// Cuts a source's files, given their sizes, into units: a function of the sizes only.
pub fn units(source: usize, sizes: &[u64]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut from = 0;
    let mut bytes = 0u64;
    for (index, &size) in sizes.iter().enumerate() {
        let full = index > from && (bytes.saturating_add(size) > UNIT_BYTES || index - from >= UNIT_FILES);
        if full {
            units.push(Unit {
                source,
                files: from..index,
            });
            (from, bytes) = (index, 0);
        }
        bytes = bytes.saturating_add(size);
    }
    if from < sizes.len() {
        units.push(Unit {
            source,
            files: from..sizes.len(),
        });
    }
    units
}

/// The right to write a unit. Another process that wants the same unit waits for it, and then
/// finds it done.
#[derive(Debug)]
pub struct UnitLock {
    _file: File,
}

impl UnitLock {
    /// Waits for the lock of a unit.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn wait(store: &Store, address: &str) -> Result<Self> {
        let path: PathBuf = store.root().join(format!("{address}.lock"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_share_a_unit_and_large_ones_stand_alone() {
        let cut: Vec<_> = units(0, &[10, 20, 100 << 20, 5])
            .into_iter()
            .map(|u| u.files)
            .collect();
        assert_eq!(cut, [0..2, 2..3, 3..4]);
        assert!(units(0, &[]).is_empty());
    }

    #[test]
    fn the_address_depends_on_content_and_rules_only() {
        let file = |file, hash: &str| UnitFile {
            file,
            blake3: hash.into(),
            n_bytes: 1,
            modified_ns: 0,
        };
        let (a, b) = (Value::from("a"), Value::from("b"));
        let address = Unit::address(&a, &b, &[file(0, "x")]);
        assert_eq!(address, Unit::address(&a, &b, &[file(7, "x")]));
        assert_ne!(address, Unit::address(&b, &b, &[file(0, "x")]));
        assert_ne!(address, Unit::address(&a, &b, &[file(0, "y")]));
    }
}
