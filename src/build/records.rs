//! Lines that prove themselves: 16 hexadecimal digits of xxh3-64, a space, JSON.
//!
//! An append-only file of such lines survives a kill at any byte: a torn or changed line does not
//! have its checksum, and reading stops there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk;
use crate::error::{Error, Result};

/// Longest file of records that is read.
const MAX_BYTES: u64 = 4 << 30;

/// An append-only file of records.
#[derive(Debug)]
pub struct Records {
    file: File,
    path: PathBuf,
}

impl Records {
    /// Opens or creates the file, reads the records up to the first torn one, and drops the rest.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>)> {
        let (file, bytes) = disk::open_growing(path, MAX_BYTES)?;
        let (records, n_bytes) = parse(&bytes);
        disk::keep_whole(&file, path, n_bytes)?;
        Ok((
            Self {
                file,
                path: path.into(),
            },
            records,
        ))
    }

    /// Appends a record and makes it durable.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        self.file
            .write_all(line(record).as_bytes())
            .map_err(Error::io("write", &self.path))?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }
}

/// A record as a line.
pub fn line(record: &impl Serialize) -> String {
    let json = serde_json::to_string(record).expect("plain data");
    format!("{:016x} {json}\n", xxh3_64(json.as_bytes()))
}

/// The records up to the first that is torn or changed, and the bytes they take.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> (Vec<T>, usize) {
    let mut records = Vec::new();
    let mut at = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let Some(record) = parse_line(line) else { break };
        records.push(record);
        at += line.len();
    }
    (records, at)
}

fn parse_line<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (hash, json) = line.split_once(' ')?;
    // Compared as text: `a` and `A` are the same number but not the same byte.
    (hash == format!("{:016x}", xxh3_64(json.as_bytes()))).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_tail_is_dropped_and_writing_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut records, found) = Records::open::<u32>(&path).unwrap();
        assert!(found.is_empty());
        records.append(&7).unwrap();
        records.append(&8).unwrap();
        drop(records);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 1);
        std::fs::write(&path, bytes).unwrap();
        let (mut records, found) = Records::open::<u32>(&path).unwrap();
        assert_eq!(found, [7]);
        records.append(&9).unwrap();
        assert_eq!(Records::open::<u32>(&path).unwrap().1, [7, 9]);
    }

    #[test]
    fn every_single_bit_flip_in_a_line_is_seen() {
        let line = line(&"some text");
        for bit in 0..line.len() * 8 {
            let mut bytes = line.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse::<String>(&bytes).0.is_empty(), "bit {bit}");
        }
    }
}
