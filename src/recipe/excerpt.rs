//! One line of a recipe as it may be shown: cut around the place it is about, without secrets.

use std::ops::Range;

use unicode_width::UnicodeWidthStr as _;

use super::report::Span;
use crate::error::shown_text;

/// Columns of the source line that are shown at most.
pub(super) const MAX_COLUMNS: usize = 100;
/// Columns of the source line kept before a caret that is further right.
const COLUMNS_BEFORE: usize = 40;
/// Bytes of the line that are looked at on either side of the caret.
const MAX_NEAR: usize = 1000;

/// The part of a line that is shown, and which columns of it are marked.
pub(super) struct Excerpt {
    pub line: String,
    pub before: usize,
    pub marked: usize,
}

impl Excerpt {
    /// Shows the line that starts at byte `line_start` of the recipe, with the part of `span` on it
    /// marked: at least one column.
    pub(super) fn cut(line: &str, line_start: usize, span: Span) -> Self {
        let line = line.trim_end();
        let marked = span.start.saturating_sub(line_start)..span.end.saturating_sub(line_start);
        // What is further away cannot be shown; a line may be as long as the largest recipe.
        let near = line.floor_char_boundary(marked.start.saturating_sub(MAX_NEAR))
            ..line.ceil_char_boundary(marked.start.saturating_add(MAX_NEAR).min(line.len()));
        let cells = cells(line, near);

        let mut starts = Vec::with_capacity(cells.len() + 1);
        let mut columns = 0;
        for cell in &cells {
            starts.push(columns);
            columns += cell.shown.width();
        }
        starts.push(columns);
        let column_of = |byte: usize| starts[cells.partition_point(|cell| cell.bytes.end <= byte)];
        let mark_start = column_of(marked.start);
        let mark_end = column_of(marked.end).max(mark_start + 1);

        let from = if columns > MAX_COLUMNS {
            mark_start.saturating_sub(COLUMNS_BEFORE)
        } else {
            0
        };
        let first = starts.partition_point(|&start| start < from);
        let last = starts
            .partition_point(|&start| start < starts[first] + MAX_COLUMNS)
            .min(cells.len());
        let kept: String = cells[first..last]
            .iter()
            .map(|cell| cell.shown.as_str())
            .collect();
        let cut_before = cells.get(first).is_some_and(|cell| cell.bytes.start > 0);
        let cut_after =
            cells.get(last).is_some() || cells.last().is_some_and(|cell| cell.bytes.end < line.len());
        let (head, tail) = (
            if cut_before { "…" } else { "" },
            if cut_after { "…" } else { "" },
        );
        Self {
            line: format!("{head}{kept}{tail}"),
            before: head.width() + mark_start - starts[first],
            marked: mark_end.min(starts[last].max(mark_start + 1)) - mark_start,
        }
    }
}

/// A character of a line, or a stretch that is shown as one thing.
struct Cell {
    bytes: Range<usize>,
    shown: String,
}

/// The cells of a line that touch a range of its bytes.
fn cells(line: &str, near: Range<usize>) -> Vec<Cell> {
    let mut secrets = secrets(line)
        .into_iter()
        .skip_while(|secret| secret.end <= near.start)
        .peekable();
    let mut out = Vec::new();
    let mut at = near.start;
    while let Some(c) = line[at..].chars().next().filter(|_| at < near.end) {
        let (end, shown) = match secrets.next_if(|secret| secret.start <= at) {
            Some(secret) => (secret.end, "…".to_owned()),
            // A tab has no width of its own.
            None if c == '\t' => (at + 1, "    ".to_owned()),
            None => (at + c.len_utf8(), shown_text(&line[at..at + c.len_utf8()])),
        };
        out.push(Cell {
            bytes: at..end,
            shown,
        });
        at = end;
    }
    out
}

/// Byte ranges that must not be shown: what stands before an `@` of a URL, and its query.
///
/// It rather hides too much: a URL ends at white space or a quote, and a password may hold anything
/// else.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("://") {
        let start = at + found + 3;
        let rest = &text[start..];
        let len = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
            .unwrap_or(rest.len());
        let url = &rest[..len];
        let host = url.rfind('@').unwrap_or(0);
        if host > 0 {
            out.push(start..start + host);
        }
        if let Some(query) = url[host..]
            .find('?')
            .map(|query| host + query + 1)
            .filter(|&query| query < len)
        {
            out.push(start + query..start + len);
        }
        at = start + len;
    }
    out
}

/// Text without the secrets of its URLs.
pub(super) fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets(text) {
        out.push_str(&text[at..secret.start]);
        out.push('…');
        at = secret.end;
    }
    out.push_str(&text[at..]);
    out
}
