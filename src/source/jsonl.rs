//! JSON lines: where chunks are cut, and what each line becomes.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memrchr};

use super::chunk::Content;
use super::decompress::Stream;
use super::detect::BOM;
use super::harvest::{Bad, Changes, Harvest};
use super::json::Values;
use super::mend::mend;
use super::reader::{Cut, Position, Sizes};
use super::record::{Record, Scalar, type_name};
use super::rules::Rules;
use crate::error::{Place, Result};
use crate::recipe::InvalidUtf8;

/// The next chunk of lines, from `start` to the last line end in the window that begins there. A
/// line longer than the window is a chunk of its own, up to the document limit.
pub(super) fn next(stream: &mut Stream, sizes: Sizes) -> Result<Option<Cut>> {
    let window = sizes.window;
    // One byte more than the window tells its end from the file's.
    stream.fill(window + 1)?;
    if stream.data().is_empty() {
        return Ok(None);
    }
    let n = if stream.data().len() <= window {
        stream.data().len()
    } else if let Some(end) = memrchr(b'\n', &stream.data()[..window]) {
        end + 1
    } else {
        match long_line(stream, window, sizes.max_document_bytes.max(window))? {
            Some(n) => n,
            None => return Ok(Some(Cut::TooLarge)),
        }
    };
    let bytes = stream.take(n);
    let unended = usize::from(bytes.last() != Some(&b'\n'));
    let n_lines = memchr_iter(b'\n', &bytes).count() + unended;
    Ok(Some(Cut::Records(Content::Lines(bytes), n_lines as u64)))
}

/// Length, with its line end, of a line that fills the window; `None` when it exceeds the limit.
fn long_line(stream: &mut Stream, window: usize, limit: usize) -> Result<Option<usize>> {
    let fits = |line: &[u8]| without_cr(line).len() <= limit;
    let mut searched = window;
    loop {
        let data = stream.data();
        if let Some(n) = memchr(b'\n', &data[searched..]) {
            let end = searched + n;
            return Ok(fits(&data[..end]).then_some(end + 1));
        }
        searched = data.len();
        if stream.ended() || !fits(data) {
            return Ok(fits(data).then_some(searched));
        }
        stream.fill(searched.saturating_mul(2).min(limit.saturating_add(2)))?;
    }
}

/// A line without the CR of its line end.
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Passes over the rest of the current line, without keeping it.
pub(super) fn skip_line(stream: &mut Stream, sizes: Sizes) -> Result<()> {
    loop {
        if let Some(end) = memchr(b'\n', stream.data()) {
            stream.consume(end + 1);
            return Ok(());
        }
        stream.consume(stream.data().len());
        if stream.ended() {
            return Ok(());
        }
        stream.fill(sizes.window)?;
    }
}

/// Turns lines into records.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    start: Position,
    rules: &Rules,
    harvest: &mut Harvest<'a, '_>,
) -> Result<()> {
    let mut at = 0;
    if start.byte == 0 && bytes.starts_with(BOM) {
        harvest.byte_order_mark();
        at = BOM.len();
    }
    // One fast check for the whole chunk; line by line only where it fails.
    let valid = simdutf8::basic::from_utf8(bytes).ok();
    let mut line_number = start.record;
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
        let raw = without_cr(&bytes[at..end]);
        if !raw.iter().all(u8::is_ascii_whitespace) {
            let line = Line {
                number: line_number,
                byte: start.byte + at as u64,
                raw,
            };
            let text = valid.map(|text| &text[at..at + raw.len()]);
            line.parse(text, rules, harvest)?;
        }
        line_number += 1;
        at = end + 1;
    }
    Ok(())
}

/// One line that is not blank.
struct Line<'a> {
    /// Zero-based.
    number: u64,
    /// Offset in the decompressed file.
    byte: u64,
    raw: &'a [u8],
}

impl<'a> Line<'a> {
    /// `valid` is the line as text when it is known to be UTF-8.
    fn parse(&self, valid: Option<&'a str>, rules: &Rules, harvest: &mut Harvest<'a, '_>) -> Result<()> {
        match self.document(valid, rules) {
            Ok((record, changes)) => harvest.document(record, changes),
            Err((bad, offset)) => {
                let place = Place {
                    record: Some(self.number),
                    line: Some(self.number + 1),
                    byte: Some(self.byte + offset as u64),
                    ..Place::default()
                };
                harvest.bad(place, bad)?;
            }
        }
        Ok(())
    }

    fn document(&self, valid: Option<&'a str>, rules: &Rules) -> Result<(Record<'a>, Changes), (Bad, usize)> {
        let limit = rules.max_document_bytes;
        if self.raw.len() > limit {
            return Err((Bad::too_large(Some(self.raw.len() as u64), limit), 0));
        }
        let replace = rules.invalid_utf8 == InvalidUtf8::Replace;
        let line = match valid.map_or_else(|| simdutf8::compat::from_utf8(self.raw), Ok) {
            Ok(line) => Cow::Borrowed(line),
            Err(_) if replace => String::from_utf8_lossy(self.raw),
            Err(error) => {
                return Err((
                    Bad::new("invalid_utf8", "the line is not UTF-8"),
                    error.valid_up_to(),
                ));
            }
        };
        let mut replaced = matches!(line, Cow::Owned(_));
        let mut values = match &line {
            Cow::Borrowed(line) => find(line, rules, &mut replaced)?,
            Cow::Owned(line) => owned(find(line, rules, &mut replaced)?),
        }
        .into_iter();
        let text = match values.next().flatten() {
            Some(Scalar::String(text)) => text,
            Some(Scalar::Null) => {
                return Err((
                    Bad::new("text_null", format!("the field `{}` is null", rules.text)),
                    0,
                ));
            }
            Some(other) => {
                let message = format!("the field `{}` is {}, not a string", rules.text, other.kind());
                return Err((Bad::new("text_type", message), 0));
            }
            None => {
                let message = format!("there is no field `{}`", rules.text);
                return Err((Bad::new("text_missing", message), 0));
            }
        };
        let mut metadata = Vec::with_capacity(rules.metadata.len());
        for (value, (name, kind)) in values.zip(&rules.metadata) {
            let value = value.unwrap_or(Scalar::Null).typed(*kind).map_err(|found| {
                let message = format!("the field `{name}` is {}, not {}", found.kind(), type_name(*kind));
                (Bad::new("metadata_type", message), 0)
            })?;
            metadata.push(value);
        }
        // What was replaced may be in a field that nobody asked for.
        let replaced = replaced && text.contains(char::REPLACEMENT_CHARACTER);
        let bytes = Some(self.byte..self.byte + self.raw.len() as u64);
        Ok((
            Record {
                text,
                record: self.number,
                bytes,
                metadata,
            },
            Changes {
                replaced,
                crlf: false,
            },
        ))
    }
}

/// Finds the fields, if need be in a mended copy of the line. Sets `replaced` when a lone surrogate
/// had to be replaced for that.
fn find<'a>(line: &'a str, rules: &Rules, replaced: &mut bool) -> Result<Values<'a>, (Bad, usize)> {
    let (bad, offset) = match rules.fields.find(line) {
        Err((bad, offset)) if bad.reason == "json" => (bad, offset),
        other => return other,
    };
    if let Some(values) = mend(line, false).and_then(|mended| rules.fields.find(&mended).ok().map(owned)) {
        return Ok(values);
    }
    match mend(line, true).map(|mended| rules.fields.find(&mended).map(owned)) {
        Some(Ok(values)) if rules.invalid_utf8 == InvalidUtf8::Replace => {
            *replaced = true;
            Ok(values)
        }
        Some(Ok(_)) => Err((
            Bad::new("lone_surrogate", "half a surrogate pair in a string"),
            offset,
        )),
        _ => Err((bad, offset)),
    }
}

fn owned(values: Values<'_>) -> Values<'static> {
    values
        .into_iter()
        .map(|value| value.map(Scalar::into_owned))
        .collect()
}
