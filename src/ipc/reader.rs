//! Opens a checked file and decodes its batches, trusting nothing.
//!
//! Arrow's decoder panics on some damaged metadata and cannot see a flipped bit in the data. The
//! order here is: length, magic, footer (verified flatbuffer), schema equal to the expected one,
//! every block inside the file and in a row without gaps, number of checksums equal to the number
//! of batches; then per batch: checksum, verified message, no compression, no dictionaries, no
//! nulls, every buffer inside its body; only then Arrow decodes, with its own validation on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, MetadataVersion, root_as_footer, root_as_message};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{BATCH_XXH3, MappedFile};
use crate::disk::ReadFile;
use crate::error::{Error, Result};
use crate::guard::guarded;

const MAGIC: &[u8] = b"ARROW1";
/// Footer length and magic at the end of the file.
const TAIL: u64 = 10;
/// A footer holds 24 bytes per batch plus metadata; more than this is not one of ours.
const MAX_FOOTER: u64 = 256 << 20;
/// Magic and schema before the first batch; a schema of ours takes a few kilobytes.
const MAX_HEAD: u64 = 16 << 20;

/// Where each batch lies, from a footer that passed every check.
#[derive(Debug)]
pub struct Geometry {
    blocks: Vec<Block>,
    batch_xxh3: Vec<u64>,
    metadata: BTreeMap<String, String>,
    schema: SchemaRef,
    data_end: u64,
}

/// An open, checked file that is read with positioned reads.
#[derive(Debug)]
pub struct CheckedFile {
    file: ReadFile,
    kind: &'static str,
    geometry: Geometry,
}

impl CheckedFile {
    /// Opens a file and checks its frame. `expected` builds the only acceptable schema from the one
    /// found: return an error to refuse.
    ///
    /// # Errors
    /// [`Error::Damaged`] with `kind` for anything that is not as the writer leaves it.
    pub fn open(
        path: &Path,
        kind: &'static str,
        expected: impl FnOnce(&Schema) -> Result<Schema, String>,
    ) -> Result<Self> {
        let file = ReadFile::open(path)?;
        let geometry = geometry(&file, expected).map_err(|fault| fault.at(kind, path))?;
        Ok(Self { file, kind, geometry })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The open file.
    pub fn file(&self) -> &ReadFile {
        &self.file
    }

    /// The schema, equal to the expected one.
    pub fn schema(&self) -> &SchemaRef {
        &self.geometry.schema
    }

    /// Footer metadata by key.
    pub fn metadata(&self, key: &str) -> Result<&str> {
        self.geometry
            .metadata
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| self.damaged(format!("the footer has no `{key}`")))
    }

    /// Number of batches.
    pub fn n_batches(&self) -> usize {
        self.geometry.blocks.len()
    }

    /// xxh3-64 of all bytes outside batches: everything a bit flip could hide in besides data.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn frame_xxh3(&self) -> Result<u64> {
        let mut hash = Xxh3::new();
        let head_end = self
            .geometry
            .blocks
            .first()
            .map_or(self.geometry.data_end, |b| b.offset() as u64);
        for (from, to) in [(0, head_end), (self.geometry.data_end, self.file.n_bytes())] {
            let mut bytes = vec![0; (to - from) as usize];
            self.file.read_at(&mut bytes, from)?;
            hash.update(&bytes);
        }
        Ok(hash.digest())
    }

    /// Reads, checks and decodes batch `index`.
    ///
    /// # Errors
    /// The checksum differs, or the batch is not well formed.
    pub fn batch(&self, index: usize) -> Result<RecordBatch> {
        self.batch_and_bytes(index).map(|(_, batch)| batch)
    }

    /// As [`CheckedFile::batch`], with the bytes that the arrays of the batch point into.
    ///
    /// # Errors
    /// The checksum differs, or the batch is not well formed.
    pub fn batch_and_bytes(&self, index: usize) -> Result<(Buffer, RecordBatch)> {
        let bytes = self.batch_bytes(index)?;
        let batch = self.geometry.decode(index, &bytes);
        batch
            .map(|batch| (bytes, batch))
            .map_err(|m| self.damaged(format!("batch {index}: {m}")))
    }

    /// As [`CheckedFile::batch`], but one buffer, counted over all columns, is not read: it decodes
    /// as zeros. The batch's checksum covers it too and is therefore not compared; form and bounds of
    /// the rest are checked as ever.
    ///
    /// # Errors
    /// The batch is not well formed.
    pub fn batch_without_buffer(&self, index: usize, buffer: usize) -> Result<RecordBatch> {
        let block = &self.geometry.blocks[index];
        let at = block.offset() as u64;
        // Words, so that untouched pages of the allocation need never exist.
        let mut words = vec![0u64; self.geometry.block_len(index).div_ceil(8)];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let metadata = block.metaDataLength() as usize;
        self.file.read_at(&mut bytes[..metadata], at)?;
        let skipped = check_message(block, bytes)
            .and_then(|buffers| {
                buffers
                    .get(buffer)
                    .cloned()
                    .ok_or("it has too few buffers".into())
            })
            .map_err(|m| self.damaged(format!("batch {index}: {m}")))?;
        let (from, to) = (metadata + skipped.start, metadata + skipped.end);
        self.file
            .read_at(&mut bytes[metadata..from], at + metadata as u64)?;
        let end = self.geometry.block_len(index);
        self.file.read_at(&mut bytes[to..end], at + to as u64)?;
        let bytes = Buffer::from_vec(words).slice_with_length(0, end);
        let decoded = self.geometry.decode(index, &bytes);
        decoded.map_err(|m| self.damaged(format!("batch {index}: {m}")))
    }

    /// Length in bytes of batch `index`.
    pub fn batch_n_bytes(&self, index: usize) -> u64 {
        self.geometry.block_len(index) as u64
    }

    /// The checksummed bytes of batch `index`.
    fn batch_bytes(&self, index: usize) -> Result<Buffer> {
        let block = &self.geometry.blocks[index];
        let mut bytes = MutableBuffer::from_len_zeroed(self.geometry.block_len(index));
        self.file.read_at(bytes.as_slice_mut(), block.offset() as u64)?;
        let bytes: Buffer = bytes.into();
        if xxh3_64(&bytes) != self.geometry.batch_xxh3[index] {
            return Err(self.damaged(format!(
                "batch {index}: its checksum differs: bytes were changed after writing"
            )));
        }
        Ok(bytes)
    }

    /// Byte offset of batch `index` in the file.
    pub fn batch_offset(&self, index: usize) -> u64 {
        self.geometry.blocks[index].offset() as u64
    }

    /// An error that says this file is damaged.
    pub fn damaged(&self, message: impl Into<String>) -> Error {
        Error::damaged(self.kind, self.path(), message)
    }

    /// Maps the file and gives up the positioned reads.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn map(self) -> Result<(Buffer, Geometry, PathBuf)> {
        let map = MappedFile::new(&self.file)?;
        Ok((map.into_buffer(), self.geometry, self.file.path().to_owned()))
    }
}

impl Geometry {
    /// Number of batches.
    pub fn n_batches(&self) -> usize {
        self.blocks.len()
    }

    /// The schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes batch `index` out of the mapped file without copying; the checksum is not looked at.
    ///
    /// # Errors
    /// A message that says what is not well formed.
    pub fn decode_mapped(&self, index: usize, file: &Buffer) -> Result<RecordBatch, String> {
        let block = &self.blocks[index];
        let bytes = file.slice_with_length(block.offset() as usize, self.block_len(index));
        self.decode(index, &bytes)
    }

    /// Compares batch `index` of the mapped file with its checksum.
    pub fn checksum_matches(&self, index: usize, file: &Buffer) -> bool {
        let from = self.blocks[index].offset() as usize;
        xxh3_64(&file[from..from + self.block_len(index)]) == self.batch_xxh3[index]
    }

    fn block_len(&self, index: usize) -> usize {
        let block = &self.blocks[index];
        block.metaDataLength() as usize + block.bodyLength() as usize
    }

    fn decode(&self, index: usize, bytes: &Buffer) -> Result<RecordBatch, String> {
        let block = &self.blocks[index];
        check_message(block, bytes)?;
        guarded(|| {
            FileDecoder::new(Arc::clone(&self.schema), MetadataVersion::V5)
                .with_require_alignment(true)
                .read_record_batch(block, bytes)
                .map_err(|e| e.to_string())?
                .ok_or_else(|| "no record batch in it".to_owned())
        })
    }
}

/// Checks the message of one block before Arrow looks at it, and tells where in the body its buffers
/// lie.
fn check_message(block: &Block, bytes: &[u8]) -> Result<Vec<std::ops::Range<usize>>, String> {
    let metadata = &bytes[..block.metaDataLength() as usize];
    // Four bytes of continuation mark, four of length, then the flatbuffer.
    let message = match metadata {
        [0xff, 0xff, 0xff, 0xff, a, b, c, d, rest @ ..] => {
            let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            rest.get(..len).ok_or("the message is longer than its block")?
        }
        _ => return Err("the message does not start with a continuation mark".into()),
    };
    let message = root_as_message(message).map_err(|e| format!("the message is not valid: {e}"))?;
    if message.version() != MetadataVersion::V5 || message.bodyLength() != block.bodyLength() {
        return Err("the message and the footer disagree".into());
    }
    let batch = message
        .header_as_record_batch()
        .ok_or("the message is not a record batch")?;
    if batch.compression().is_some() || batch.variadicBufferCounts().is_some_and(|c| !c.is_empty()) {
        return Err("compressed or variadic buffers".into());
    }
    let nodes = batch.nodes().ok_or("no field nodes")?;
    if nodes
        .iter()
        .any(|node| node.null_count() != 0 || node.length() < 0)
    {
        return Err("a column has nulls or a negative length".into());
    }
    let body = block.bodyLength();
    let inside = |buffer: &arrow::ipc::Buffer| {
        let end = buffer.offset().checked_add(buffer.length());
        let whole = buffer.offset() >= 0
            && buffer.length() >= 0
            && buffer.offset() % 8 == 0
            && end.is_some_and(|end| end <= body);
        whole.then(|| buffer.offset() as usize..(buffer.offset() + buffer.length()) as usize)
    };
    let buffers = batch.buffers().ok_or("no buffers")?;
    let buffers: Option<Vec<_>> = buffers.iter().map(inside).collect();
    buffers.ok_or_else(|| "a buffer lies outside its batch".into())
}

/// Why a frame was refused.
enum Fault {
    Error(Error),
    Message(String),
}

impl Fault {
    fn at(self, kind: &'static str, path: &Path) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Message(message) => Error::damaged(kind, path, message),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

fn geometry(
    file: &ReadFile,
    expected: impl FnOnce(&Schema) -> Result<Schema, String>,
) -> Result<Geometry, Fault> {
    let n_bytes = file.n_bytes();
    if n_bytes < 64 + TAIL {
        return Err(format!("{n_bytes} bytes: too short for an Arrow file; it was cut off").into());
    }
    let mut head = [0; 8];
    let mut tail = [0; TAIL as usize];
    file.read_at(&mut head, 0)?;
    file.read_at(&mut tail, n_bytes - TAIL)?;
    if &head[..6] != MAGIC {
        return Err("it does not start with `ARROW1`".into());
    }
    if &tail[4..] != MAGIC {
        return Err("it does not end with `ARROW1`: it was cut off or never finished".into());
    }
    let footer_len = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if footer_len > MAX_FOOTER.min(n_bytes - TAIL - 8) {
        return Err(format!("the footer cannot be {footer_len} bytes long").into());
    }
    let data_limit = n_bytes - TAIL - footer_len;
    let mut footer = vec![0; footer_len as usize];
    file.read_at(&mut footer, data_limit)?;
    let footer = root_as_footer(&footer).map_err(|e| format!("the footer is not valid: {e}"))?;
    if footer.version() != MetadataVersion::V5 {
        return Err("the metadata version is not V5".into());
    }
    let found = footer.schema().ok_or("the footer has no schema")?;
    let found = guarded(|| try_fb_to_schema(found).map_err(|e| e.to_string()))?;
    let schema = expected(&found)?;
    if found != schema {
        return Err("the schema is not the one this format version has".into());
    }
    if footer.dictionaries().is_some_and(|d| !d.is_empty()) {
        return Err("it has dictionaries".into());
    }
    let blocks: Vec<Block> = footer
        .recordBatches()
        .map(|b| b.iter().copied().collect())
        .unwrap_or_default();
    let mut at: Option<i64> = None;
    for (index, block) in blocks.iter().enumerate() {
        let (offset, meta, body) = (
            block.offset(),
            i64::from(block.metaDataLength()),
            block.bodyLength(),
        );
        let end = offset.checked_add(meta).and_then(|x| x.checked_add(body));
        let whole = offset >= 64
            && offset % 8 == 0
            && meta >= 16
            && body >= 0
            && at.is_none_or(|at| at == offset)
            && end.is_some_and(|end| end as u64 <= data_limit);
        if !whole {
            return Err(format!("block {index} does not lie inside the file").into());
        }
        at = end;
    }
    let mut metadata = BTreeMap::new();
    for pair in footer.custom_metadata().iter().flatten() {
        let (Some(key), Some(value)) = (pair.key(), pair.value()) else {
            return Err("footer metadata without a key or a value".into());
        };
        if metadata.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("footer metadata has `{key}` twice").into());
        }
    }
    let words = metadata
        .remove(BATCH_XXH3)
        .ok_or("the footer has no batch checksums")?;
    let batch_xxh3: Vec<u64> = words
        .split(',')
        .filter(|word| !word.is_empty())
        .map(|word| match word.len() {
            16 => u64::from_str_radix(word, 16).map_err(|_| "a batch checksum is not hexadecimal"),
            _ => Err("a batch checksum does not have 16 digits"),
        })
        .collect::<Result<_, _>>()?;
    if batch_xxh3.len() != blocks.len() {
        return Err(format!("{} batches but {} checksums", blocks.len(), batch_xxh3.len()).into());
    }
    let data_end = at.map_or(data_limit, |end| end as u64);
    let head_end = blocks.first().map_or(data_end, |block| block.offset() as u64);
    if head_end > MAX_HEAD || data_limit - data_end > 64 {
        return Err("there are bytes between its parts that belong to nothing".into());
    }
    Ok(Geometry {
        blocks,
        batch_xxh3,
        metadata,
        schema: Arc::new(schema),
        data_end,
    })
}
