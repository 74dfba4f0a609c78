//! The tokens on both sides of a boundary.

use super::Look;
use super::pen::{Ink, Pen};
use super::sequence::origin;
use crate::inspect::figures::{SeamFigures, SegmentFigures, TokenFigures};
use crate::numbers::count;

/// Ends of the columns.
const POSITION: usize = 10;
const ID: usize = 18;
const LETTER: usize = 22;
const DOCUMENT: usize = 33;
const POSITION_ID: usize = 43;
const LOSS: usize = 49;
const FLAG: usize = 51;
const TEXT: usize = 60;
/// Below this width only the position, the id, the letter and the text are shown.
const NARROW: usize = 76;

/// The tokens around a position.
pub fn seam(seam: &SeamFigures, look: &Look) -> String {
    let mut pen = Pen::new(look);
    let narrow = look.width < NARROW;
    let text = if narrow { LETTER + 12 } else { TEXT };
    pen.say(Ink::Bold, &format!("sequence {}", count(seam.sequence)));
    pen.say(
        Ink::Plain,
        &format!("  position {}", count(u64::from(seam.position))),
    );
    let boundary = match seam.boundary {
        Some(at) => format!("  the nearest boundary is at {}", count(u64::from(at))),
        None => "  no boundary in sight".into(),
    };
    pen.say(Ink::Faint, &boundary).end().end();
    let heads = [
        ("position", POSITION),
        ("id", ID),
        ("doc", LETTER),
        ("in doc", DOCUMENT),
        ("pos id", POSITION_ID),
        ("loss", LOSS),
    ];
    for (head, end) in heads.iter().filter(|(_, end)| !narrow || *end <= LETTER) {
        pen.right(Ink::Faint, head, *end);
    }
    pen.to(if narrow { LETTER + 2 } else { FLAG })
        .say(Ink::Faint, "flag");
    pen.to(text).say(Ink::Faint, "text").end();

    let mut segment = None;
    for (i, token) in seam.tokens.iter().enumerate() {
        if i == 0 || token.segment != segment {
            let next = token.segment.and_then(|_| at(seam, token.position));
            rule(&mut pen, i > 0, token, next);
            segment = token.segment;
        }
        let asked = token.position == seam.position;
        let ink = if asked { Ink::Bold } else { Ink::Plain };
        if asked {
            pen.say(Ink::Warning, "▶");
        }
        pen.right(ink, &count(u64::from(token.position)), POSITION);
        pen.right(ink, &token.id.to_string(), ID).to(LETTER - 1);
        match (token.segment, at(seam, token.position)) {
            (Some(index), Some(segment)) => {
                pen.say(
                    Ink::OnSegment(index as usize),
                    segment.letter.encode_utf8(&mut [0; 4]),
                );
            }
            _ => {
                pen.say(Ink::Faint, "╱");
            }
        }
        if !narrow {
            pen.right(ink, &token.document_position.map_or("–".into(), count), DOCUMENT);
            pen.right(ink, &token.position_id.to_string(), POSITION_ID);
            pen.right(ink, if token.loss { "1" } else { "0" }, LOSS);
        }
        pen.to(if narrow { LETTER + 2 } else { FLAG });
        if let Some(flag) = &token.flag {
            pen.say(Ink::Warning, flag);
        }
        pen.to(text)
            .say(Ink::Faint, "'")
            .quote(ink, &token.text)
            .say(Ink::Faint, "'")
            .end();
    }
    pen.finish()
}

/// The segment in sight that holds a position.
fn at(seam: &SeamFigures, position: u32) -> Option<&SegmentFigures> {
    seam.segments
        .iter()
        .find(|segment| segment.offset <= position && position - segment.offset < segment.len)
}

/// The line between two documents, with what the next one is.
fn rule(pen: &mut Pen, boundary: bool, token: &TokenFigures, next: Option<&SegmentFigures>) {
    let line = if boundary {
        "────────── boundary ── "
    } else {
        "── "
    };
    pen.say(Ink::Faint, line);
    match (token.segment, next) {
        (Some(index), Some(segment)) => {
            pen.say(
                Ink::OnSegment(index as usize),
                segment.letter.encode_utf8(&mut [0; 4]),
            );
            pen.say(Ink::Plain, " ");
            origin(pen, segment);
            if let Some((from, to)) = segment.origin.as_ref().and_then(|origin| origin.bytes) {
                pen.say(Ink::Faint, &format!(", bytes {}–{}", count(from), count(to)));
            }
        }
        _ => {
            pen.say(Ink::Plain, "padding");
        }
    }
    pen.say(Ink::Faint, " ");
    let rest = "─".repeat(pen.room());
    pen.say(Ink::Faint, &rest).end();
}
