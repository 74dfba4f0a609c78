//! Record batches of an Arrow IPC file or stream.
//!
//! The messages of both variants are found here, and only the decoding of one message at a time is
//! left to the `arrow` crate: every length that a file claims is compared with the file before
//! memory is set aside for it, batches before the wanted row are passed over by their headers, and
//! a stream without an end mark is known to be cut off.
//!
//! Source: Arrow columnar format, "Serialization and Interprocess Communication (IPC)",
//! <https://arrow.apache.org/docs/format/Columnar.html>

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::vec;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, Message, MessageHeader, MetadataVersion, RecordBatch as Header};
use arrow::ipc::{root_as_footer, root_as_message};

use super::columns::{Columns, is_string};
use super::rules::Rules;
use crate::error::{Error, Place, Result};

const MAGIC: &[u8] = b"ARROW1";
/// `ARROW1` and two bytes of padding.
const HEAD_BYTES: u64 = 8;
/// The footer's length and `ARROW1`.
const TAIL_BYTES: u64 = 10;
/// The continuation mark and the length of a message's metadata.
const PREFIX_BYTES: usize = 8;
/// A batch is decoded as a whole. It may be this many times as large as a document.
const BATCH_DOCUMENTS: u64 = 8;

/// An Arrow IPC file or stream, read from some row on.
pub(super) struct ArrowBatches {
    input: Input,
    decoder: FileDecoder,
    /// The blocks that are left, of a file; a stream has its messages one behind the other.
    blocks: Option<vec::IntoIter<Extent>>,
    /// Rows before this one are passed over, batch by batch.
    from: u64,
    /// The first row of the next batch.
    next: u64,
    max_batch_bytes: u64,
}

/// Where a message lies.
#[derive(Clone, Copy)]
struct Extent {
    offset: u64,
    metadata_len: usize,
    body_len: u64,
}

impl ArrowBatches {
    pub(super) fn open(
        path: &Arc<Path>,
        rules: &Rules,
        from: u64,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Columns)> {
        let mut input = Input::open(path)?;
        let is_file = input.bytes(0, MAGIC.len())? == MAGIC;
        let max_batch_bytes = (rules.max_document_bytes as u64).saturating_mul(BATCH_DOCUMENTS);
        let contents = if is_file {
            file_contents(&mut input)?
        } else {
            stream_contents(&mut input)?
        };
        let columns = Columns::find(path, &contents.schema, rules, is_string, warnings)?;
        let mut roots: Vec<usize> = columns
            .all()
            .filter_map(|column| contents.schema.index_of(&column.names[0]).ok())
            .collect();
        roots.sort_unstable();
        roots.dedup();
        let decoder = FileDecoder::new(contents.schema, contents.version).with_projection(roots);
        let blocks = is_file.then(|| contents.batches.into_iter());
        let mut batches = Self {
            input,
            decoder,
            blocks,
            from,
            next: 0,
            max_batch_bytes,
        };
        for extent in contents.dictionaries {
            batches.read_dictionary(extent)?;
        }
        Ok((batches, columns))
    }

    /// The next batch and the number of its first row.
    pub(super) fn next(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        loop {
            let extent = match &mut self.blocks {
                Some(blocks) => blocks.next(),
                None => self.input.next_message()?,
            };
            let Some(extent) = extent else { return Ok(None) };
            let metadata = self.input.bytes(extent.offset, extent.metadata_len)?;
            let message = self.input.message(&metadata, extent)?;
            match message.header_type() {
                MessageHeader::DictionaryBatch if self.blocks.is_none() => self.read_dictionary(extent)?,
                MessageHeader::RecordBatch => {
                    let header = message.header_as_record_batch();
                    let n_rows = header.and_then(|header| u64::try_from(header.length()).ok());
                    let Some(n_rows) = n_rows else {
                        return Err(self.input.damaged(extent.offset, "a batch has no size"));
                    };
                    let first = self.next;
                    self.next = first
                        .checked_add(n_rows)
                        .ok_or_else(|| self.input.damaged(extent.offset, "too many rows"))?;
                    if self.next > self.from {
                        let batch = self.read_batch(extent)?;
                        if batch.num_rows() as u64 != n_rows {
                            return Err(self
                                .input
                                .damaged(extent.offset, "a batch contradicts its own size"));
                        }
                        return Ok(Some((first, batch)));
                    }
                    self.input.at = extent.end();
                }
                other => {
                    let message = format!("unexpected message {other:?}");
                    return Err(self.input.damaged(extent.offset, &message));
                }
            }
        }
    }

    /// Rows met so far.
    pub(super) fn n_rows(&self) -> u64 {
        self.next
    }

    /// Bytes of the file read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.input.at
    }

    fn read_dictionary(&mut self, extent: Extent) -> Result<()> {
        let buffer = self.read(extent)?;
        let read = self.decoder.read_dictionary(&extent.block(), &buffer);
        read.map_err(|error| self.input.damaged(extent.offset, &error.to_string()))
    }

    fn read_batch(&mut self, extent: Extent) -> Result<RecordBatch> {
        let buffer = self.read(extent)?;
        let read = self.decoder.read_record_batch(&extent.block(), &buffer);
        read.map_err(|error| self.input.damaged(extent.offset, &error.to_string()))?
            .ok_or_else(|| self.input.damaged(extent.offset, "a batch without content"))
    }

    /// A message with its body, after a look at the sizes it claims.
    fn read(&mut self, extent: Extent) -> Result<Buffer> {
        if extent.body_len > self.max_batch_bytes {
            return Err(self.too_large(extent.offset, extent.body_len));
        }
        let n = usize::try_from(extent.body_len)
            .unwrap_or(usize::MAX)
            .saturating_add(extent.metadata_len);
        let bytes = self.input.bytes(extent.offset, n)?;
        let (metadata, body) = bytes.split_at(extent.metadata_len);
        let message = self.input.message(metadata, extent)?;
        let header = match message.header_type() {
            MessageHeader::DictionaryBatch => message
                .header_as_dictionary_batch()
                .and_then(|batch| batch.data()),
            _ => message.header_as_record_batch(),
        };
        let n_decoded = header.map_or(Some(0), |header| decoded_bytes(&header, body));
        match n_decoded {
            None => {
                return Err(self
                    .input
                    .damaged(extent.offset, "a buffer lies outside its batch"));
            }
            Some(n) if n > self.max_batch_bytes => return Err(self.too_large(extent.offset, n)),
            Some(_) => {}
        }
        self.input.at = extent.end();
        Ok(Buffer::from_vec(bytes))
    }

    fn too_large(&self, offset: u64, n_bytes: u64) -> Error {
        let message = format!(
            "a record batch has {n_bytes} bytes, and it is decoded as a whole\n\
             hint: write smaller batches, or raise `limits.max_document_bytes` (a batch may be {BATCH_DOCUMENTS} times as large)"
        );
        Error::input(self.input.place(offset), message)
    }
}

impl Extent {
    /// Of a block in a file's footer, if it lies between the head and `end`.
    fn of_block(block: &Block, end: u64) -> Option<Self> {
        let offset = u64::try_from(block.offset())
            .ok()
            .filter(|&offset| offset >= HEAD_BYTES)?;
        let metadata_len = usize::try_from(block.metaDataLength())
            .ok()
            .filter(|&n| n > PREFIX_BYTES)?;
        let body_len = u64::try_from(block.bodyLength()).ok()?;
        let last = offset.checked_add(metadata_len as u64)?.checked_add(body_len)?;
        (last <= end).then_some(Self {
            offset,
            metadata_len,
            body_len,
        })
    }

    fn end(self) -> u64 {
        self.offset + self.metadata_len as u64 + self.body_len
    }

    fn block(self) -> Block {
        const INSIDE: &str = "an extent lies inside a file, whose offsets are signed";
        Block::new(
            i64::try_from(self.offset).expect(INSIDE),
            i32::try_from(self.metadata_len).expect("the length was read as 32 bits"),
            i64::try_from(self.body_len).expect(INSIDE),
        )
    }
}

/// What a file or stream says of itself before the first batch.
struct Contents {
    schema: SchemaRef,
    version: MetadataVersion,
    dictionaries: Vec<Extent>,
    batches: Vec<Extent>,
}

/// From the footer of a file.
fn file_contents(input: &mut Input) -> Result<Contents> {
    let truncated = |input: &Input| {
        input.damaged(
            input.n_bytes,
            "the footer is missing or damaged: the file is truncated",
        )
    };
    let Some(tail_at) = input.n_bytes.checked_sub(TAIL_BYTES) else {
        return Err(truncated(input));
    };
    let tail = input.bytes(tail_at, TAIL_BYTES as usize)?;
    let tail = tail.try_into().expect("as many bytes as were asked for");
    let footer_len = read_footer_length(tail).map_err(|_| truncated(input))?;
    let footer_at = tail_at
        .checked_sub(footer_len as u64)
        .filter(|&at| at >= HEAD_BYTES);
    let Some(footer_at) = footer_at else {
        return Err(truncated(input));
    };
    let bytes = input.bytes(footer_at, footer_len)?;
    let damaged = |input: &Input, message: &str| input.damaged(footer_at, message);
    let footer = root_as_footer(&bytes).map_err(|error| damaged(input, &format!("the footer: {error}")))?;
    let schema = footer
        .schema()
        .ok_or_else(|| damaged(input, "the footer has no schema"))?;
    let schema = try_fb_to_schema(schema).map_err(|error| damaged(input, &error.to_string()))?;
    let extents = |blocks: &mut dyn Iterator<Item = &Block>| {
        let extents: Option<Vec<_>> = blocks.map(|block| Extent::of_block(block, footer_at)).collect();
        extents.ok_or_else(|| damaged(input, "the footer names a block outside the file"))
    };
    let dictionaries = extents(&mut footer.dictionaries().into_iter().flatten())?;
    let batches = extents(&mut footer.recordBatches().into_iter().flatten())?;
    Ok(Contents {
        schema: schema.into(),
        version: footer.version(),
        dictionaries,
        batches,
    })
}

/// From the first message of a stream.
fn stream_contents(input: &mut Input) -> Result<Contents> {
    let Some(extent) = input.next_message()? else {
        return Err(input.damaged(0, "there is no schema"));
    };
    let metadata = input.bytes(extent.offset, extent.metadata_len)?;
    let message = input.message(&metadata, extent)?;
    let schema = message
        .header_as_schema()
        .ok_or_else(|| input.damaged(0, "the stream has no schema"))?;
    let schema = try_fb_to_schema(schema).map_err(|error| input.damaged(0, &error.to_string()))?;
    let version = message.version();
    input.at = extent.end();
    Ok(Contents {
        schema: schema.into(),
        version,
        dictionaries: Vec::new(),
        batches: Vec::new(),
    })
}

/// Bytes of a batch once its buffers are decompressed; `None` when a buffer lies outside the body.
fn decoded_bytes(header: &Header<'_>, body: &[u8]) -> Option<u64> {
    let is_compressed = header.compression().is_some();
    let mut n_bytes = 0u64;
    for buffer in header.buffers().into_iter().flatten() {
        let offset = usize::try_from(buffer.offset()).ok()?;
        let n = usize::try_from(buffer.length()).ok()?;
        let bytes = body.get(offset..offset.checked_add(n)?)?;
        n_bytes = n_bytes.checked_add(n as u64)?;
        if is_compressed && !bytes.is_empty() {
            // The decompressed length, or -1 for a buffer that was left as it is.
            let claimed = i64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
            n_bytes = n_bytes.checked_add(u64::try_from(claimed).unwrap_or(0))?;
        }
    }
    Some(n_bytes)
}

/// The file, read at offsets that are known to lie in it.
struct Input {
    path: Arc<Path>,
    file: File,
    n_bytes: u64,
    /// Where the next message of a stream starts; for a file, up to where it has been read.
    at: u64,
}

impl Input {
    fn open(path: &Arc<Path>) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", &**path))?;
        let n_bytes = file.metadata().map_err(Error::io("read", &**path))?.len();
        Ok(Self {
            path: path.clone(),
            file,
            n_bytes,
            at: 0,
        })
    }

    fn bytes(&mut self, offset: u64, n: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(n as u64).filter(|&end| end <= self.n_bytes);
        if end.is_none() {
            return Err(self.damaged(offset, "a message ends outside the file: the file is truncated"));
        }
        let mut bytes = vec![0; n];
        let mut read = || {
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut bytes)
        };
        read().map_err(Error::io("read", &*self.path))?;
        Ok(bytes)
    }

    /// The next message of a stream, or `None` at its end mark.
    fn next_message(&mut self) -> Result<Option<Extent>> {
        let offset = self.at;
        if offset == self.n_bytes {
            return Err(self.damaged(offset, "the stream has no end mark: the file is truncated"));
        }
        let prefix = self.bytes(offset, PREFIX_BYTES)?;
        let (mark, len) = prefix.split_at(4);
        if mark != [0xff; 4] {
            return Err(self.damaged(offset, "no message starts here"));
        }
        let len = i32::from_le_bytes(len.try_into().expect("half of eight bytes"));
        let metadata_len = match usize::try_from(len) {
            Ok(0) if offset + PREFIX_BYTES as u64 == self.n_bytes => return Ok(None),
            Ok(0) => return Err(self.damaged(offset, "bytes follow the end mark")),
            Ok(len) if i32::try_from(len + PREFIX_BYTES).is_ok() => len + PREFIX_BYTES,
            _ => return Err(self.damaged(offset, "a message has an impossible length")),
        };
        let metadata = self.bytes(offset, metadata_len)?;
        let unbounded = Extent {
            offset,
            metadata_len,
            body_len: 0,
        };
        let body_len = u64::try_from(self.message(&metadata, unbounded)?.bodyLength()).ok();
        let extent = body_len.map(|body_len| Extent {
            body_len,
            ..unbounded
        });
        let inside = |extent: &Extent| extent.body_len <= self.n_bytes - offset - metadata_len as u64;
        let extent = extent.filter(inside);
        extent
            .map(Some)
            .ok_or_else(|| self.damaged(offset, "a message ends outside the file: the file is truncated"))
    }

    /// The metadata of a message, checked by flatbuffers' verifier.
    fn message<'m>(&self, metadata: &'m [u8], extent: Extent) -> Result<Message<'m>> {
        // Files older than Arrow 0.15 have no continuation mark before the length.
        let prefix = if metadata.starts_with(&[0xff; 4]) {
            PREFIX_BYTES
        } else {
            4
        };
        let message = metadata.get(prefix..).unwrap_or_default();
        root_as_message(message).map_err(|error| self.damaged(extent.offset, &error.to_string()))
    }

    fn place(&self, offset: u64) -> Place {
        Place {
            byte: Some(offset),
            ..Place::file(&*self.path)
        }
    }

    fn damaged(&self, offset: u64, message: &str) -> Error {
        Error::input(
            self.place(offset),
            format!("the Arrow data is damaged: {message}"),
        )
    }
}
