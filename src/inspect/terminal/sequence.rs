//! One sequence: a ruler with a letter per document, the mask, and where the documents came from.

use std::cmp::Reverse;

use unicode_width::UnicodeWidthStr;

use super::Look;
use super::cells::{Owner, Picture};
use super::pen::{Ink, Pen};
use crate::inspect::figures::{SegmentFigures, SequenceFigures};
use crate::inspect::visible::visible;
use crate::numbers::{count, length};

/// Columns before the mask: a position and a letter.
const LEFT: usize = 9;
/// Columns of the mask at most, and with the documents beside it.
const WIDEST: usize = 72;
/// From this width on the documents stand beside the mask.
const WIDE: usize = 110;
/// Documents listed below a mask; of more, the longest are.
const LISTED: usize = 24;
/// Columns between positions on the ruler at least.
const TICK: usize = 8;

/// One sequence.
pub fn sequence(sequence: &SequenceFigures, look: &Look) -> String {
    let mut pen = Pen::new(look);
    head(&mut pen, sequence);
    let beside = look.width >= WIDE;
    let room = look
        .width
        .saturating_sub(if beside { LEFT + 58 } else { LEFT })
        .clamp(1, WIDEST);
    // An even number, so that the last line has two halves.
    let picture = Picture::new(sequence, if room > 1 { room & !1 } else { 1 });
    let listed = listed(
        sequence,
        if beside {
            picture.n_lines().saturating_sub(1).max(1)
        } else {
            LISTED
        },
    );
    let hidden = sequence.segments.len() - listed.len();

    let column = LEFT + picture.n + 3;
    let ticks = ticks(sequence, picture.n);
    for (at, label) in ticks.iter().filter(|(at, label)| at + label.width() <= picture.n) {
        pen.to(LEFT + at).say(Ink::Faint, label);
    }
    if beside {
        list_head(&mut pen, column);
    }
    pen.end().to(LEFT);
    (0..picture.n).for_each(|i| letter(&mut pen, sequence, picture.owners[i]));
    if beside {
        list_line(&mut pen, &listed, 0, column, hidden);
    }
    pen.end();
    for line in 0..picture.n_lines() {
        if let Some((_, label)) = ticks.iter().find(|(at, _)| at / 2 == line) {
            pen.right(Ink::Faint, label, LEFT - 2);
        }
        pen.to(LEFT - 1);
        letter(&mut pen, sequence, picture.owners[2 * line]);
        for i in 0..picture.n {
            let (glyph, ink) = picture.glyph(line, i);
            pen.say(ink, glyph.encode_utf8(&mut [0; 4]));
        }
        if beside {
            list_line(&mut pen, &listed, line + 1, column, hidden);
        }
        pen.end();
    }
    // A list may be longer than a very small mask.
    let first = if beside { picture.n_lines() + 1 } else { 0 };
    if !beside {
        pen.end();
        list_head(&mut pen, 0);
        pen.end();
    }
    for line in first..listed.len() + usize::from(hidden > 0) {
        list_line(&mut pen, &listed, line, if beside { column } else { 0 }, hidden);
        pen.end();
    }
    pen.end();
    key(&mut pen, sequence);
    pen.finish()
}

fn head(pen: &mut Pen, sequence: &SequenceFigures) {
    let padding = u64::from(sequence.seq_len).saturating_sub(sequence.n_tokens);
    pen.say(Ink::Bold, &format!("sequence {}", count(sequence.sequence)))
        .say(Ink::Plain, "  ");
    pen.quote(Ink::Faint, &visible(sequence.shard.as_bytes())).end();
    let rule = match sequence.full_attention {
        true => "every token attends to every token",
        false => "documents attend within themselves",
    };
    let n = sequence.segments.len() as u64;
    let facts = format!(
        "{} tokens, {} padding · {} segment{} · {rule}: {:.2} % of dense",
        count(sequence.n_tokens),
        count(padding),
        count(n),
        if n == 1 { "" } else { "s" },
        100.0 * sequence.density
    );
    pen.wrap(Ink::Plain, &facts, 0).end();
}

/// Round positions, so many that they can be told apart, each with the column that it lies in.
fn ticks(sequence: &SequenceFigures, n: usize) -> Vec<(usize, String)> {
    let parts = [8, 4, 2, 1]
        .into_iter()
        .find(|parts| n / parts >= TICK)
        .unwrap_or(1);
    let seq_len = u64::from(sequence.seq_len);
    (0..parts as u64)
        .map(|i| seq_len * i / parts as u64)
        .map(|at| ((at * n as u64 / seq_len.max(1)) as usize, length(at)))
        .collect()
}

/// The letter of what a column or a line shows.
fn letter(pen: &mut Pen, sequence: &SequenceFigures, owner: Owner) {
    match owner {
        Owner::Padding => pen.say(Ink::Faint, "╱"),
        Owner::Segment { alone: false, .. } => pen.say(Ink::Before, ":"),
        Owner::Segment { index, .. } => {
            let letter = sequence.segments[index].letter;
            pen.say(Ink::OnSegment(index), letter.encode_utf8(&mut [0; 4]))
        }
    };
}

/// The segments that are listed, in order: all, or the longest.
fn listed(sequence: &SequenceFigures, room: usize) -> Vec<(usize, &SegmentFigures)> {
    let mut listed: Vec<(usize, &SegmentFigures)> = sequence.segments.iter().enumerate().collect();
    if listed.len() > room {
        listed.sort_by_key(|(index, segment)| (Reverse(segment.len), *index));
        listed.truncate(room);
        listed.sort_by_key(|(index, _)| *index);
    }
    listed
}

fn list_head(pen: &mut Pen, column: usize) {
    pen.right(Ink::Faint, "position", column + 11)
        .right(Ink::Faint, "tokens", column + 20);
    pen.to(column + 22).say(Ink::Faint, "document");
}

fn list_line(pen: &mut Pen, listed: &[(usize, &SegmentFigures)], line: usize, column: usize, hidden: usize) {
    match listed.get(line) {
        Some((index, segment)) => {
            pen.to(column)
                .say(Ink::OnSegment(*index), segment.letter.encode_utf8(&mut [0; 4]));
            pen.right(Ink::Plain, &count(u64::from(segment.offset)), column + 11);
            pen.right(Ink::Plain, &count(u64::from(segment.len)), column + 20)
                .to(column + 22);
            origin(pen, segment);
        }
        None if line == listed.len() && hidden > 0 => {
            let more = format!("and {} shorter ones: `--json` lists all", count(hidden as u64));
            pen.to(column + 2).say(Ink::Faint, &more);
        }
        None => {}
    }
}

/// Where a segment came from, as far as there is room; the end of a file's name tells the most.
pub fn origin(pen: &mut Pen, segment: &SegmentFigures) {
    match &segment.origin {
        Some(origin) => {
            let source = visible(origin.source.as_bytes());
            let file = visible(origin.file.as_bytes());
            let file = file.rsplit('/').next().unwrap_or_default();
            pen.quote(Ink::Plain, &source).say(Ink::Plain, " ");
            pen.quote(Ink::Faint, file)
                .say(Ink::Faint, &format!("#{}", origin.record));
        }
        None => {
            pen.say(Ink::Plain, &count(segment.document));
        }
    }
    if segment.start > 0 {
        pen.say(Ink::Faint, &format!(" from token {}", count(segment.start)));
    }
}

fn key(pen: &mut Pen, sequence: &SequenceFigures) {
    pen.say(Ink::Faint, "rows are queries, columns are keys").end();
    let padding = sequence.n_tokens < u64::from(sequence.seq_len);
    let marks = [
        ("█", "attends", true),
        ("·", "does not", true),
        ("╱", "padding", padding),
        (
            "░▒▓",
            "share of pairs, where documents are smaller than a cell",
            true,
        ),
    ];
    for (mark, meaning, _) in marks.iter().filter(|(_, _, occurs)| *occurs) {
        if pen.column() > 0 && pen.room() < mark.width() + meaning.width() + 4 {
            pen.end();
        }
        let start = if pen.column() > 0 { "   " } else { "" };
        pen.say(Ink::Plain, &format!("{start}{mark}"))
            .say(Ink::Faint, &format!(" {meaning}"));
    }
    pen.end();
}
