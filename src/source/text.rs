//! Plain text: a file is one document, or a separator line stands between documents.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memmem};

use super::chunk::Content;
use super::decompress::Stream;
use super::detect::BOM;
use super::harvest::{Bad, Changes, Harvest};
use super::reader::{Cut, Position, Sizes};
use super::record::{MetadataValue, Record};
use super::rules::Rules;
use crate::error::{Place, Result};
use crate::recipe::{InvalidUtf8, Newlines};

/// The whole file as one piece, once.
pub(super) fn next_whole(stream: &mut Stream, start: Position, sizes: Sizes) -> Result<Option<Cut>> {
    if start.record > 0 {
        return Ok(None);
    }
    let limit = sizes.max_document_bytes;
    let mut n = sizes.window;
    loop {
        // One byte more than the limit tells a document at the limit from one over it.
        stream.fill(n.min(limit.saturating_add(1)))?;
        if stream.data().len() > limit {
            return Ok(Some(Cut::TooLarge));
        }
        if stream.ended() {
            let bytes = stream.take(stream.data().len());
            let whole = bom(start, &bytes)..bytes.len();
            return Ok(Some(Cut::Records(
                Content::Pieces {
                    bytes,
                    pieces: vec![whole],
                },
                1,
            )));
        }
        n = n.saturating_mul(2);
    }
}

/// The pieces from `start` to the first separator line that ends outside the window.
pub(super) fn next_pieces(
    stream: &mut Stream,
    start: Position,
    separator: &str,
    sizes: Sizes,
) -> Result<Option<Cut>> {
    let mut pieces = Vec::new();
    let mut n = sizes.window.max(BOM.len());
    stream.fill(n)?;
    if stream.data().is_empty() {
        return Ok(None);
    }
    let first = bom(start, stream.data());
    // The open piece, the open line in it, and the place up to which that line holds no line end.
    let (mut piece, mut line, mut searched) = (first, first, first);
    loop {
        let data = stream.data();
        while let Some(end) = memchr(b'\n', &data[searched..]).map(|n| searched + n) {
            if is_separator(&data[line..end], separator) {
                push(&mut pieces, data, piece..line);
                piece = end + 1;
            }
            line = end + 1;
            searched = line;
            if piece == line && piece >= sizes.window {
                return Ok(Some(cut(stream, pieces, piece)));
            }
        }
        searched = data.len();
        if stream.ended() {
            let end = if is_separator(&data[line..], separator) {
                line
            } else {
                data.len()
            };
            push(&mut pieces, data, piece..end);
            return Ok(Some(cut(stream, pieces, searched)));
        }
        // The rest may hold the line end and the separator line, beside a piece of full size.
        if data.len() - piece > sizes.max_document_bytes + separator.len() + "\r\n\r\n".len() {
            // What precedes the large piece is a chunk; the large piece comes next, alone.
            return Ok(Some(if piece > first {
                cut(stream, pieces, piece)
            } else {
                Cut::TooLarge
            }));
        }
        n = n.saturating_mul(2);
        stream.fill(n)?;
    }
}

/// Passes over everything up to the end of the next separator line, without keeping it.
pub(super) fn skip_piece(stream: &mut Stream, separator: &str, sizes: Sizes) -> Result<()> {
    let mut at_line_start = true;
    loop {
        let data = stream.data();
        if let Some(end) = memchr(b'\n', data) {
            let found = at_line_start && is_separator(&data[..end], separator);
            stream.consume(end + 1);
            if found {
                return Ok(());
            }
            at_line_start = true;
            continue;
        }
        let n = data.len();
        if stream.ended() {
            stream.consume(n);
            return Ok(());
        }
        // What is longer than a separator line is none, and need not be kept.
        if n > separator.len() + "\r".len() {
            stream.consume(n);
            at_line_start = false;
            stream.fill(sizes.window)?;
        } else {
            stream.fill(n + sizes.window)?;
        }
    }
}

fn is_separator(line: &[u8], separator: &str) -> bool {
    line.strip_suffix(b"\r").unwrap_or(line) == separator.as_bytes()
}

/// Adds a piece, without its final line end, unless nothing is left of it.
fn push(pieces: &mut Vec<Range<usize>>, data: &[u8], piece: Range<usize>) {
    let text = &data[piece.clone()];
    let text = text
        .strip_suffix(b"\n")
        .map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    if !text.is_empty() {
        pieces.push(piece.start..piece.start + text.len());
    }
}

fn cut(stream: &mut Stream, pieces: Vec<Range<usize>>, n: usize) -> Cut {
    let n_records = pieces.len() as u64;
    Cut::Records(
        Content::Pieces {
            bytes: stream.take(n),
            pieces,
        },
        n_records,
    )
}

/// Length of the byte order mark at the start of a file.
fn bom(start: Position, bytes: &[u8]) -> usize {
    if start.byte == 0 && bytes.starts_with(BOM) {
        BOM.len()
    } else {
        0
    }
}

/// Turns pieces into records.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    pieces: &[Range<usize>],
    start: Position,
    rules: &Rules,
    harvest: &mut Harvest<'a, '_>,
) -> Result<()> {
    if bom(start, bytes) > 0 {
        harvest.byte_order_mark();
    }
    for (number, piece) in (start.record..).zip(pieces) {
        let raw = &bytes[piece.clone()];
        let from = start.byte + piece.start as u64;
        match document(raw, rules) {
            Ok((text, changes)) => {
                let bytes = Some(from..from + raw.len() as u64);
                let metadata = vec![MetadataValue::Null; rules.metadata.len()];
                harvest.document(
                    Record {
                        text,
                        record: number,
                        bytes,
                        metadata,
                    },
                    changes,
                );
            }
            Err((bad, offset)) => {
                let byte = Some(from + offset as u64);
                harvest.bad(
                    Place {
                        record: Some(number),
                        byte,
                        ..Place::default()
                    },
                    bad,
                )?;
            }
        }
    }
    Ok(())
}

fn document<'a>(raw: &'a [u8], rules: &Rules) -> Result<(Cow<'a, str>, Changes), (Bad, usize)> {
    if raw.len() > rules.max_document_bytes {
        return Err((
            Bad::too_large(Some(raw.len() as u64), rules.max_document_bytes),
            0,
        ));
    }
    let text = match simdutf8::compat::from_utf8(raw) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) if rules.invalid_utf8 == InvalidUtf8::Replace => String::from_utf8_lossy(raw),
        Err(error) => {
            return Err((
                Bad::new("invalid_utf8", "the text is not UTF-8"),
                error.valid_up_to(),
            ));
        }
    };
    let replaced = matches!(text, Cow::Owned(_));
    let crlf = rules.newlines == Newlines::Lf && memmem::find(text.as_bytes(), b"\r\n").is_some();
    let text = if crlf {
        Cow::Owned(text.replace("\r\n", "\n"))
    } else {
        text
    };
    Ok((text, Changes { replaced, crlf }))
}
