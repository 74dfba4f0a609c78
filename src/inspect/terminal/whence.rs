//! Where a token came from, and the proof of it.

use unicode_width::UnicodeWidthStr;

use super::Look;
use super::pen::{Ink, Pen};
use crate::inspect::figures::WhenceFigures;
use crate::inspect::visible::{ascii, visible};
use crate::numbers::count;

/// Where text starts behind the headings.
const INDENT: usize = 10;

/// Where a token came from.
pub fn whence(whence: &WhenceFigures, look: &Look) -> String {
    let mut pen = Pen::new(look);
    let (token, origin) = (&whence.token, &whence.origin);
    pen.say(Ink::Bold, &format!("sequence {}", count(whence.sequence)));
    pen.say(
        Ink::Plain,
        &format!(
            "  position {}  token {}  ",
            count(u64::from(token.position)),
            token.id
        ),
    );
    pen.say(Ink::Faint, "'")
        .quote(Ink::Bold, &token.text)
        .say(Ink::Faint, "'")
        .end();

    let line = |pen: &mut Pen, name: &str| {
        pen.say(Ink::Bold, name).to(INDENT);
    };
    line(&mut pen, "source");
    pen.quote(Ink::Plain, &visible(origin.source.as_bytes())).end();
    line(&mut pen, "file");
    pen.quote(Ink::Plain, &visible(origin.file.as_bytes())).end();
    line(&mut pen, "record");
    let bytes = origin.bytes.map_or(String::new(), |(from, to)| {
        format!(
            ", bytes {} to {} of the decompressed file",
            count(from),
            count(to)
        )
    });
    pen.wrap(Ink::Plain, &format!("{}{bytes}", count(origin.record)), INDENT);
    line(&mut pen, "text");
    let place = match (whence.text_bytes, token.document_position) {
        (Some((from, to)), Some(at)) => {
            format!(
                "bytes {} to {} of the record's text, its token {}",
                count(from),
                count(to),
                count(at)
            )
        }
        _ => "no text: it marks the end of the document".into(),
    };
    pen.wrap(Ink::Plain, &place, INDENT).to(INDENT);
    excerpt(&mut pen, &whence.text);
    line(&mut pen, "proof");
    let same = format!(
        "text read again: xxh3 {}, as recorded; tokenized again: all {} tokens of the segment are the same",
        whence.text_xxh3,
        count(whence.tokens_compared)
    );
    pen.say(Ink::Good, "ok")
        .say(Ink::Plain, " ")
        .wrap(Ink::Plain, &same, INDENT + 3);
    pen.finish()
}

/// The token's text between what surrounds it, as much as fits.
fn excerpt(pen: &mut Pen, (before, own, after): &(String, String, String)) {
    let width = |text: &str| {
        if pen.look.ascii {
            ascii(text).width()
        } else {
            text.width()
        }
    };
    let room = pen.look.width.saturating_sub(INDENT + 4 + width(own)) / 2;
    // What stands right before the token tells more than what stands further away.
    let mut start = 0;
    while width(&before[start..]) > room {
        start += before[start..].chars().next().map_or(1, char::len_utf8);
    }
    let mut end = after.len();
    while width(&after[..end]) > room {
        end -= after[..end].chars().next_back().map_or(1, char::len_utf8);
    }
    pen.quote(Ink::Faint, &before[start..])
        .say(Ink::Warning, "▶")
        .quote(Ink::Bold, own);
    pen.say(Ink::Warning, "◀").quote(Ink::Faint, &after[..end]).end();
}
