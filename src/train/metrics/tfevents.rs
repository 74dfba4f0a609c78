//! TensorBoard event files: scalars as protocol-buffer messages in checked records.
//!
//! ```text
//! record = length u64 | masked crc32c of length | message | masked crc32c of message   (little endian)
//! ```
//!
//! A run that goes on after a kill starts another file; its first message after the version tells
//! readers to forget the steps that are done again.
//!
//! Source: tensorflow/core/util/event.proto, framework/summary.proto and lib/io/record_writer.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// An event file that grows by one record per call.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Starts a file in `directory` for a run whose next step is `step`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(directory: &Path, step: u64) -> Result<Self> {
        let now = since_epoch();
        let mut suffix = 0;
        let (file, path) = loop {
            let name = format!("events.out.tfevents.{}.{suffix}.ultrapack", now as u64);
            let path = directory.join(name);
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => suffix += 1,
                Err(error) => return Err(Error::io("create", &path)(error)),
            }
        };
        let mut events = Self { file, path };
        let mut version = event(now, 0);
        bytes(&mut version, 3, b"brain.Event:2");
        events.append(&version)?;
        let mut start = event(now, step);
        bytes(&mut start, 7, &[0x08, 1]); // SessionLog { status: START }
        events.append(&start)?;
        Ok(events)
    }

    /// Adds scalars of one step.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let message = scalars(since_epoch(), step, values);
        self.append(&message)
    }

    fn append(&mut self, message: &[u8]) -> Result<()> {
        self.file
            .write_all(&record(message))
            .map_err(Error::io("write", &self.path))
    }
}

fn since_epoch() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked_crc(message).to_le_bytes());
    record
}

/// The checksum as record files store it, so that a checksum of checksums is none of them.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `Event { wall_time = 1, step = 2 }`.
fn event(wall_time: f64, step: u64) -> Vec<u8> {
    let mut message = vec![1 << 3 | 1];
    message.extend(wall_time.to_le_bytes());
    message.push(2 << 3);
    varint(&mut message, step);
    message
}

/// `Event { summary = 5 { value = 1 { tag = 1, simple_value = 2 } … } }`.
fn scalars(wall_time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        bytes(&mut one, 1, tag.as_bytes());
        one.push(2 << 3 | 5);
        one.extend((*value as f32).to_le_bytes());
        bytes(&mut summary, 1, &one);
    }
    let mut message = event(wall_time, step);
    bytes(&mut message, 5, &summary);
    message
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_masked() {
        // The check value of CRC-32C over "123456789" is e3069283.
        let crc = 0xe306_9283u32;
        let expected = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked_crc(b"123456789"), expected);
        assert_eq!(crc32c::crc32c(b"123456789"), crc);
    }

    #[test]
    fn a_scalar_is_the_bytes_that_protocol_buffers_give() {
        let message = scalars(1.5, 300, &[("loss", 2.0)]);
        let expected: &[u8] = &[
            0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, // wall_time: 1.5
            0x10, 0xac, 0x02, // step: 300
            0x2a, 13, // summary
            0x0a, 11, // value
            0x0a, 4, b'l', b'o', b's', b's', // tag
            0x15, 0, 0, 0, 0x40, // simple_value: 2
        ];
        assert_eq!(message, expected);
        let record = record(&message);
        assert_eq!(record.len(), 8 + 4 + message.len() + 4);
        assert_eq!(record[..8], (message.len() as u64).to_le_bytes());
    }

    #[test]
    fn a_second_file_of_the_same_second_gets_another_name() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            EventFile::create(directory.path(), 0).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }
}
