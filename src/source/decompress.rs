//! A file as a stream of decompressed bytes, with a buffer in which a record can be looked for.
//!
//! A stream ends where the file ends, never earlier: truncation, damage and trailing bytes are
//! errors with their offset, every gzip member and every zstd frame is read, and what a small file
//! may grow into is limited.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::detect::{self, Compression};
use super::rules::Rules;
use crate::error::{Error, Place, Result};

/// Bytes read from the file at a time.
const READ: usize = 256 << 10;

/// A buffered stream of decompressed bytes.
pub(super) struct Stream {
    path: Arc<Path>,
    input: Input,
    compression: Compression,
    buffer: Vec<u8>,
    /// How much of the front of `buffer` has been consumed.
    head: usize,
    /// Offset of `buffer[head]` in the decompressed file.
    position: u64,
    ended: bool,
    max_file_bytes: u64,
}

enum Input {
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<Counted>>),
    Zstd(Box<Frames>),
}

impl Stream {
    /// Opens a file at its start and finds out how it is compressed.
    pub(super) fn open(path: Arc<Path>, rules: &Rules) -> Result<Self> {
        let file = File::open(&path).map_err(Error::io("open", &*path))?;
        let mut counted = Counted {
            file: BufReader::with_capacity(READ, file),
            n_read: 0,
        };
        let head = counted.fill_buf().map_err(Error::io("read", &*path))?;
        let compression = detect::compression(head);
        let input = match compression {
            Compression::None => Input::Plain(counted),
            Compression::Gzip => Input::Gzip(Box::new(MultiGzDecoder::new(counted))),
            Compression::Zstd => {
                let frames = Frames::new(counted, rules.zstd_window_log);
                Input::Zstd(Box::new(frames.map_err(Error::io("read", &*path))?))
            }
        };
        let max_file_bytes = rules.max_file_bytes;
        Ok(Self {
            path,
            input,
            compression,
            buffer: Vec::new(),
            head: 0,
            position: 0,
            ended: false,
            max_file_bytes,
        })
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Buffers at least `n` bytes, or all there are.
    pub(super) fn fill(&mut self, n: usize) -> Result<()> {
        let missing = n.saturating_sub(self.data().len());
        if missing == 0 || self.ended {
            return Ok(());
        }
        self.buffer.drain(..self.head);
        self.head = 0;
        self.buffer.reserve(missing.min(READ << 4));
        let limit = missing as u64;
        let read = match &mut self.input {
            Input::Plain(input) => input.take(limit).read_to_end(&mut self.buffer),
            Input::Gzip(input) => input.take(limit).read_to_end(&mut self.buffer),
            Input::Zstd(input) => input.take(limit).read_to_end(&mut self.buffer),
        };
        let n_read = read.map_err(|error| self.failure(error))?;
        self.ended = n_read < missing;
        if self.position + self.buffer.len() as u64 > self.max_file_bytes {
            let message = format!(
                "the {} content is larger than `limits.max_file_bytes` allows ({})\n\
                 hint: raise the limit if the file is what it should be",
                self.compression, self.max_file_bytes
            );
            return Err(Error::input(self.place(self.max_file_bytes), message));
        }
        Ok(())
    }

    /// What is buffered and not consumed.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.head..]
    }

    /// Whether nothing follows what is buffered.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Offset in the decompressed file of the first byte that is not consumed.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file consumed so far.
    pub(super) fn bytes_read(&self) -> u64 {
        match &self.input {
            Input::Plain(input) => input.n_read,
            Input::Gzip(input) => input.get_ref().n_read,
            Input::Zstd(input) => input.input.n_read,
        }
    }

    /// Forgets the first `n` buffered bytes.
    pub(super) fn consume(&mut self, n: usize) {
        assert!(n <= self.data().len(), "only buffered bytes are consumed");
        self.head += n;
        self.position += n as u64;
    }

    /// Hands out the first `n` buffered bytes.
    pub(super) fn take(&mut self, n: usize) -> Vec<u8> {
        self.buffer.drain(..self.head);
        self.head = 0;
        let rest = self.buffer.split_off(n);
        self.position += n as u64;
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Moves forward to `byte`, which an earlier run has met.
    pub(super) fn skip_to(&mut self, byte: u64) -> Result<()> {
        if let Input::Plain(input) = &mut self.input {
            let mut seek = || -> io::Result<u64> {
                input.file.seek(SeekFrom::Start(byte))?;
                Ok(input.file.get_ref().metadata()?.len())
            };
            let n_bytes = seek().map_err(Error::io("seek", &*self.path))?;
            if byte > n_bytes {
                return Err(self.shrunk(n_bytes));
            }
            input.n_read = byte;
            (self.buffer, self.head, self.position, self.ended) = (Vec::new(), 0, byte, false);
            return Ok(());
        }
        while self.position < byte {
            self.fill(READ)?;
            let n = usize::try_from(byte - self.position)
                .unwrap_or(usize::MAX)
                .min(self.data().len());
            if n == 0 {
                return Err(self.shrunk(self.position));
            }
            self.consume(n);
        }
        Ok(())
    }

    fn shrunk(&self, n_bytes: u64) -> Error {
        let message = "the file ends before the place where an earlier run stopped: it has changed since";
        Error::input(self.place(n_bytes), message)
    }

    fn place(&self, byte: u64) -> Place {
        Place {
            byte: Some(byte),
            ..Place::file(&*self.path)
        }
    }

    /// An error of the operating system, or damage of the compressed data.
    fn failure(&self, error: io::Error) -> Error {
        if self.compression == Compression::None || error.raw_os_error().is_some() {
            return Error::io("read", &*self.path)(error);
        }
        let at = self.bytes_read();
        let message = match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!(
                    "the {} data ends too early, at compressed byte {at}: the file is truncated",
                    self.compression
                )
            }
            _ => format!(
                "the {} data is damaged before compressed byte {at}: {error}",
                self.compression
            ),
        };
        Error::input(self.place(self.position + self.data().len() as u64), message)
    }
}

/// A file that counts the bytes that were consumed.
struct Counted {
    file: BufReader<File>,
    n_read: u64,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        self.n_read += n as u64;
        Ok(n)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.file.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.n_read += n as u64;
        self.file.consume(n);
    }
}

/// All frames of a zstd file. Unlike the reader of the `zstd` crate it knows where frames start,
/// and so can say which window a frame asks for.
struct Frames {
    input: Counted,
    decoder: Decoder<'static>,
    in_frame: bool,
    window_log: u32,
    /// The first bytes of the current frame.
    header: Vec<u8>,
}

/// Magic number, descriptor and window descriptor, dictionary id and content size: the longest
/// frame header.
const MAX_HEADER: usize = 18;

impl Frames {
    fn new(input: Counted, window_log: u32) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log))?;
        Ok(Self {
            input,
            decoder,
            in_frame: false,
            window_log,
            header: Vec::with_capacity(MAX_HEADER),
        })
    }
}

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            if at_end && !self.in_frame {
                return Ok(0);
            }
            if !self.in_frame {
                self.header.clear();
            }
            let room = MAX_HEADER - self.header.len();
            self.header.extend_from_slice(&input[..room.min(input.len())]);
            let status =
                self.decoder
                    .run_on_buffers(input, out)
                    .map_err(|error| match window_log(&self.header) {
                        Some(needed) if needed > self.window_log => io::Error::other(format!(
                            "a frame needs a window of 2^{needed} bytes\n\
                         hint: set `limits.zstd_window_log: {needed}`, at the cost of that much memory"
                        )),
                        _ => error,
                    })?;
            self.input.consume(status.bytes_read);
            // The decoder says 0 when a frame is decoded and flushed, and not before.
            self.in_frame = status.remaining != 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if at_end && self.in_frame {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The window a frame asks for, as a power of two, rounded up.
///
/// Source: RFC 8878, sections 3.1.1.1.1 (descriptor), 3.1.1.1.2 (window), 3.1.1.1.4 (content size).
fn window_log(header: &[u8]) -> Option<u32> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = header else {
        return None;
    };
    let single_segment = descriptor & 0x20 != 0;
    let window = if single_segment {
        let n_dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let n_size = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let mut size = [0; 8];
        size[..n_size].copy_from_slice(rest.get(n_dictionary..n_dictionary + n_size)?);
        u64::from_le_bytes(size)
    } else {
        let [window, ..] = rest else { return None };
        let base = 1u64 << (10 + (window >> 3));
        base + base / 8 * u64::from(window & 7)
    };
    window.checked_next_power_of_two().map(u64::trailing_zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_frame_is_read_from_its_header() {
        let header = |rest: &[u8]| window_log(&[&[0x28, 0xb5, 0x2f, 0xfd], rest].concat());
        assert_eq!(header(&[0x00, 17 << 3]), Some(27));
        assert_eq!(header(&[0x00, 17 << 3 | 1]), Some(28));
        assert_eq!(header(&[0xa0, 0, 0, 0, 0x10]), Some(28));
        assert_eq!(header(&[0xa0]), None);
        assert_eq!(window_log(b"{\"a\"}"), None);
    }
}
