//! One input file as a stream of chunks.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, Content};
use super::columnar::Table;
use super::decompress::Stream;
use super::detect::{self, Compression, Detected, format_name};
use super::discover::InputFile;
use super::harvest::Bad;
use super::record::OwnedRecord;
use super::rules::Rules;
use super::{jsonl, text};
use crate::error::{Error, Place, Result};
use crate::recipe::{Format, OnBadRecord};

/// Where a chunk starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Zero-based number of the next record: a line, a row, or a document of plain text.
    pub record: u64,
    /// Byte offset in the decompressed file; 0 for Parquet and Arrow.
    pub byte: u64,
}

/// Reads one file, chunk by chunk: input and decompression, and no more work than it takes to see
/// where records end.
pub struct Reader {
    path: Arc<Path>,
    position: Position,
    sizes: Sizes,
    on_bad_record: OnBadRecord,
    detected: Detected,
    warnings: Vec<String>,
    body: Body,
}

/// The part of a reader that depends on the format.
enum Body {
    /// An empty file of no known format.
    Empty,
    /// A stream of bytes, and how records lie in it.
    Bytes(Stream, Layout),
    /// A table of a binary format.
    Rows(Box<Table>),
}

/// How records lie in a stream of bytes.
enum Layout {
    Lines,
    Whole,
    /// Between lines that equal this separator.
    Pieces(String),
}

/// The sizes by which chunks are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Target size of a chunk in bytes.
    pub(super) window: usize,
    pub(super) max_document_bytes: usize,
}

/// What a format found at the current position.
pub(super) enum Cut {
    /// This content, with so many records (lines, for JSON lines).
    Records(Content, u64),
    /// A record over the limit, still to be passed over.
    TooLarge,
}

impl Reader {
    /// Opens a file at its start or where an earlier chunk ended.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Input`] when its content contradicts
    /// the format that the recipe names, lacks the text column, is damaged where it has to be looked
    /// at, or is shorter than `from` says.
    pub fn open(file: &InputFile, rules: &Rules, from: Position) -> Result<Self> {
        Self::open_with(file, rules, from, rules.window)
    }

    fn open_with(file: &InputFile, rules: &Rules, from: Position, window: usize) -> Result<Self> {
        let path: Arc<Path> = file.path.as_path().into();
        let sizes = Sizes {
            window,
            max_document_bytes: rules.max_document_bytes,
        };
        let mut stream = Stream::open(path.clone(), rules)?;
        for n in detect::HEADS {
            if detect::first_byte(stream.data()).is_none() {
                stream.fill(n)?;
            }
        }
        let detected = identify(&path, &stream, rules.format)?;
        let is_empty = stream.data().is_empty();
        let mut warnings = if is_empty {
            Vec::new()
        } else {
            detect::mismatches(&path, detected)
        };
        // An empty file has nothing to go back to, and one document is read whole or not at all.
        let is_whole = detected.format == Format::Text && rules.separator.is_none();
        if from.byte > 0 && !(is_whole && from.record > 0) {
            stream.skip_to(from.byte)?;
        }
        let body = match (detected.format, &rules.separator) {
            (Format::Parquet | Format::Arrow, _) => {
                let table = Table::open(&path, detected.format, rules, from.record, window)?;
                warnings.extend(table.warnings().iter().cloned());
                Body::Rows(Box::new(table))
            }
            (_, _) if is_empty && rules.format == Format::Auto => Body::Empty,
            (Format::Jsonl, _) => Body::Bytes(stream, Layout::Lines),
            (_, None) => Body::Bytes(stream, Layout::Whole),
            (_, Some(separator)) => Body::Bytes(stream, Layout::Pieces(separator.clone())),
        };
        let on_bad_record = rules.on_bad_record;
        Ok(Self {
            path,
            position: from,
            sizes,
            on_bad_record,
            detected,
            warnings,
            body,
        })
    }

    /// The next chunk, or `None` at the end of the file. After an error the reader is of no use.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Input`] for a damaged or truncated file, for one that outgrows
    /// the limits, and under `on_bad_record: fail` for a record that does.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let (start, sizes) = (self.position, self.sizes);
        let (content, end) = match &mut self.body {
            Body::Empty => return Ok(None),
            Body::Rows(table) => {
                let Some((rows, record)) = table.next()? else {
                    return Ok(None);
                };
                (Content::Rows(rows), Position { record, byte: 0 })
            }
            Body::Bytes(stream, layout) => {
                let cut = match layout {
                    Layout::Lines => jsonl::next(stream, sizes)?,
                    Layout::Whole => text::next_whole(stream, start, sizes)?,
                    Layout::Pieces(separator) => text::next_pieces(stream, start, separator, sizes)?,
                };
                let (content, n_records) = match cut {
                    None => return Ok(None),
                    Some(Cut::Records(content, n_records)) => (content, n_records),
                    Some(Cut::TooLarge) => {
                        let place = Place {
                            path: self.path.to_path_buf(),
                            record: Some(start.record),
                            line: matches!(layout, Layout::Lines).then_some(start.record + 1),
                            byte: Some(start.byte),
                        };
                        if self.on_bad_record == OnBadRecord::Fail {
                            return Err(Bad::too_large(None, sizes.max_document_bytes).into_error(place));
                        }
                        match layout {
                            Layout::Lines => jsonl::skip_line(stream, sizes)?,
                            Layout::Whole => {}
                            Layout::Pieces(separator) => text::skip_piece(stream, separator, sizes)?,
                        }
                        (Content::TooLarge(place), 1)
                    }
                };
                (
                    content,
                    Position {
                        record: start.record + n_records,
                        byte: stream.position(),
                    },
                )
            }
        };
        self.position = end;
        Ok(Some(Chunk {
            path: self.path.clone(),
            start,
            end,
            content,
        }))
    }

    /// What the file was found to be.
    pub fn detected(&self) -> Detected {
        self.detected
    }

    /// What looks odd and is no error: a name that contradicts the content, a metadata column that
    /// a table does not have.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Bytes of the file, as it lies on disk, that have been read so far.
    pub fn bytes_read(&self) -> u64 {
        match &self.body {
            Body::Empty => 0,
            Body::Bytes(stream, _) => stream.bytes_read(),
            Body::Rows(table) => table.bytes_read(),
        }
    }
}

/// What the file is, by its first decompressed bytes and the recipe's word.
fn identify(path: &Path, stream: &Stream, told: Format) -> Result<Detected> {
    let (compression, head) = (stream.compression(), stream.data());
    let fail = |message: String| Err(Error::input(Place::file(path), message));
    if compression != Compression::None {
        let inner = detect::compression(head);
        if inner != Compression::None {
            return fail(format!(
                "{inner} inside {compression}\nhint: decompress the file once"
            ));
        }
        if let Some(table) = detect::table(head) {
            let table = format_name(table);
            return fail(format!(
                "{table} inside {compression}\nhint: decompress the file first"
            ));
        }
    }
    let found = detect::format(head);
    let format = match told {
        Format::Auto => found,
        Format::Jsonl | Format::Text if detect::table(head).is_none() => told,
        told if told == found => told,
        _ => {
            let (told, found) = (format_name(told), format_name(found));
            return fail(format!(
                "the recipe says {told}, and the content is {found}\nhint: `format: auto`"
            ));
        }
    };
    Ok(Detected { format, compression })
}

/// Reads one record again, for proof of where a document came from: the same record as the chunks
/// gave. `at.byte` is the start of the record's bytes, or 0 to look for the record from the start of
/// the file; compressed files are read through in either case.
///
/// # Errors
/// Those of [`Reader`] and [`Chunk::parse`], and [`Error::Input`] when the file has no document of
/// that number: it does not exist, is bad, or is left out by the filter.
pub fn read_record(file: &InputFile, rules: &Rules, at: Position) -> Result<OwnedRecord> {
    let found = Reader::open_with(file, rules, Position::default(), 1)?;
    let is_table = matches!(found.body, Body::Rows(_));
    // A window of one byte makes a chunk of each record, so that no other record is parsed.
    let mut reader = if is_table || at.byte > 0 || at.record == 0 {
        Reader::open_with(file, rules, at, 1)?
    } else {
        Reader::open(file, rules, Position::default())?
    };
    while let Some(chunk) = reader.next_chunk()? {
        if chunk.end().record <= at.record {
            continue;
        }
        let parsed = chunk.parse(rules)?;
        if let Some(record) = parsed
            .records
            .into_iter()
            .find(|record| record.record == at.record)
        {
            return Ok(record.into());
        }
        break;
    }
    let place = Place {
        record: Some(at.record),
        ..Place::file(&file.path)
    };
    Err(Error::input(
        place,
        "there is no such document in the file: it has changed, or the recipe has",
    ))
}
