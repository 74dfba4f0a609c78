//! Data files of benchmarks, line by line: published ones are often cut off, and whoever evaluates must
//! learn what was left out, not lose the run.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::item::Skip;
use crate::error::{Error, Place, Result};

/// Longer lines are not kept in memory.
const MAX_LINE: usize = 64 << 20;

/// A file that is read line by line and hashed on the way.
pub(super) struct Lines<R> {
    reader: R,
    place: Place,
    hasher: blake3::Hasher,
    next: (u64, u64),
    line: Vec<u8>,
}

/// One line.
pub(super) struct Line<'a> {
    /// File, line number from 1 and byte offset.
    pub place: Place,
    /// Bytes in the file, the line end included.
    pub n_bytes: u64,
    content: Option<&'a [u8]>,
    ended: bool,
}

/// Opens a regular file for reading; links are followed, since data sets are often kept as links.
pub(super) fn open(path: &Path) -> Result<File> {
    // A pipe must be refused, not waited for.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(Error::io("open", path))?;
    if !file.metadata().map_err(Error::io("read", path))?.is_file() {
        return Err(Error::input(Place::file(path), "not a regular file"));
    }
    Ok(file)
}

impl Lines<BufReader<File>> {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self::over(BufReader::with_capacity(1 << 18, open(path)?), path))
    }
}

impl<R: BufRead> Lines<R> {
    /// The lines of a reader; messages call it `name`.
    pub(super) fn over(reader: R, name: &Path) -> Self {
        Self {
            reader,
            place: Place::file(name),
            hasher: blake3::Hasher::new(),
            next: (1, 0),
            line: Vec::new(),
        }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>> {
        self.line.clear();
        let (number, byte) = self.next;
        let (mut n_bytes, mut ended) = (0u64, false);
        while !ended {
            let available = self
                .reader
                .fill_buf()
                .map_err(Error::io("read", &self.place.path))?;
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|&b| b == b'\n');
            let n = end.map_or(available.len(), |at| at + 1);
            self.hasher.update(&available[..n]);
            if n_bytes as usize <= MAX_LINE {
                self.line.extend_from_slice(&available[..n]);
            }
            n_bytes += n as u64;
            ended = end.is_some();
            self.reader.consume(n);
        }
        if n_bytes == 0 {
            return Ok(None);
        }
        self.next = (number + 1, byte + n_bytes);
        let place = Place {
            line: Some(number),
            byte: Some(byte),
            ..self.place.clone()
        };
        Ok(Some(Line {
            place,
            n_bytes,
            content: (n_bytes as usize <= MAX_LINE).then_some(&self.line[..]),
            ended,
        }))
    }

    /// `blake3:…` of the lines so far.
    pub(super) fn digest(&self) -> String {
        format!("blake3:{}", self.hasher.finalize().to_hex())
    }
}

impl Line<'_> {
    /// Whether there is nothing in it.
    pub(super) fn is_blank(&self) -> bool {
        self.content
            .is_some_and(|content| content.iter().all(u8::is_ascii_whitespace))
    }

    /// The line with its end; nothing of one that is too long.
    pub(super) fn bytes(&self) -> &[u8] {
        self.content.unwrap_or_default()
    }

    /// The line as JSON; what is wrong with it otherwise.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Skip> {
        let parsed = match self.content {
            None => Err(format!("a line of {} bytes, more than {MAX_LINE}", self.n_bytes)),
            Some(content) => json(content),
        };
        parsed.map_err(|reason| Skip {
            place: self.place.clone(),
            reason: match self.ended {
                true => reason,
                false => format!("the file ends inside this line: {reason}"),
            },
        })
    }
}

/// Bytes as JSON; what is wrong with them otherwise.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| format!("not UTF-8 at byte {} of the line", e.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// Reads a whole file of at most `max_bytes`.
///
/// # Errors
/// It is larger, no regular file, or cannot be read.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("more than {max_bytes} bytes, which is all that is read");
        return Err(Error::input(Place::file(path), message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn every_line_has_its_number_and_byte_and_the_digest_is_the_file_s() {
        let content = b"{\"a\":1}\n\n{\"a\":2}";
        let file = file(content);
        let mut lines = Lines::open(file.path()).unwrap();
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((
                line.place.line.unwrap(),
                line.place.byte.unwrap(),
                line.is_blank(),
            ));
        }
        assert_eq!(seen, [(1, 0, false), (2, 8, true), (3, 9, false)]);
        let digest = format!("blake3:{}", blake3::hash(content).to_hex());
        assert_eq!(lines.digest(), digest);
    }

    #[test]
    fn a_bad_line_says_what_is_wrong_with_it() {
        let file = file(b"\xff\n{\"a\":\n[1]\n{\"a\": \"cut");
        let mut lines = Lines::open(file.path()).unwrap();
        let mut reasons = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let parsed = line.parse::<std::collections::BTreeMap<String, u32>>();
            reasons.push(parsed.unwrap_err().reason);
        }
        assert!(reasons[0].contains("not UTF-8 at byte 0"), "{}", reasons[0]);
        assert!(reasons[1].contains("EOF"), "{}", reasons[1]);
        assert!(reasons[2].contains("invalid type"), "{}", reasons[2]);
        assert!(
            reasons[3].starts_with("the file ends inside this line"),
            "{}",
            reasons[3]
        );
    }

    #[test]
    fn a_line_of_a_million_bytes_is_read_and_a_directory_is_refused() {
        let long = format!("[\"{}\"]\n", "x".repeat(1_000_000));
        let file = file(long.as_bytes());
        let mut lines = Lines::open(file.path()).unwrap();
        let text: Vec<String> = lines.next().unwrap().unwrap().parse().unwrap();
        assert_eq!(text[0].len(), 1_000_000);
        let directory = tempfile::tempdir().unwrap();
        assert!(Lines::open(directory.path()).is_err());
        assert!(read(file.path(), 1000).is_err());
    }
}
