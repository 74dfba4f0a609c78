//! Text from documents as it may be shown: whatever a terminal or a browser would act on, or would
//! not draw, becomes a visible symbol.
//!
//! | in the document | shown |
//! |---|---|
//! | C0 controls, space excepted | their picture: `␊`, `␉`, `␛` |
//! | other controls, format characters (bidi, zero width, tags), separators, private and unassigned characters | `⟨U+202E⟩` |
//! | bytes that are not UTF-8 | `⟨E2⟩` |
//! | more than four combining marks in a row | four of them, then `⟨+9,996 marks⟩` |

use unicode_properties::{GeneralCategory as G, UnicodeGeneralCategory};

/// Combining marks kept behind a character: enough for Vietnamese, Hebrew and Thai.
const MAX_MARKS: usize = 4;

/// Bytes of a document, or of one token, with everything invisible made visible.
pub fn visible(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut marks = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_mark(c) {
                // A mark with nothing before it would sit on whatever is drawn to its left.
                if marks == 0 && out.is_empty() {
                    out.push('\u{25cc}');
                }
                marks += 1;
                if marks <= MAX_MARKS {
                    out.push(c);
                }
                continue;
            }
            end_marks(&mut marks, &mut out);
            push(c, &mut out);
        }
        end_marks(&mut marks, &mut out);
        for byte in chunk.invalid() {
            out += &format!("⟨{byte:02X}⟩");
        }
    }
    end_marks(&mut marks, &mut out);
    out
}

fn end_marks(marks: &mut usize, out: &mut String) {
    if *marks > MAX_MARKS {
        *out += &format!("⟨+{} marks⟩", *marks - MAX_MARKS);
    }
    *marks = 0;
}

fn push(c: char, out: &mut String) {
    match c {
        '\0'..='\x1f' => out.push(char::from_u32(0x2400 + c as u32).expect("control pictures")),
        '\x7f' => out.push('\u{2421}'),
        ' '..='\x7e' => out.push(c),
        _ if is_hidden(c) => *out += &format!("⟨U+{:04X}⟩", c as u32),
        _ => out.push(c),
    }
}

fn is_mark(c: char) -> bool {
    c >= '\u{300}'
        && matches!(c.general_category(), G::NonspacingMark | G::EnclosingMark)
        // Variation selectors are marks by category but nothing to be seen.
        && !matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{17b4}'..='\u{17b5}')
}

fn is_hidden(c: char) -> bool {
    match c.general_category() {
        G::Control | G::Format | G::LineSeparator | G::ParagraphSeparator | G::PrivateUse | G::Unassigned => {
            true
        }
        G::Surrogate => true,
        G::SpaceSeparator => c != ' ',
        G::NonspacingMark | G::EnclosingMark => true,
        // Letters that are drawn as nothing: Hangul fillers, Braille blank.
        _ => matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}'),
    }
}

/// The same in characters that every terminal has: what is not ASCII becomes `\u{…}`.
pub fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='\x7e' => out.push(c),
            '\u{2400}'..='\u{241f}' => out.extend(char::from((c as u32 - 0x2400) as u8).escape_default()),
            '⟨' => out.push('<'),
            '⟩' => out.push('>'),
            _ => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// The end of a text is what tells names apart: at most `room` characters, an ellipsis for the rest.
pub fn shorten(text: &str, room: usize) -> String {
    let n = text.chars().count();
    match n > room {
        true => format!("…{}", text.chars().skip(n + 1 - room.max(1)).collect::<String>()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_acts_on_a_terminal_or_a_page_becomes_a_symbol() {
        assert_eq!(visible(b"a\x1b[31m\tb\n\x7f"), "a␛[31m␉b␊␡");
        assert_eq!(
            visible("a\u{202e}b\u{200b}\u{ad}\u{2028}".as_bytes()),
            "a⟨U+202E⟩b⟨U+200B⟩⟨U+00AD⟩⟨U+2028⟩"
        );
        assert_eq!(visible("\u{9b}31m\u{e0041}".as_bytes()), "⟨U+009B⟩31m⟨U+E0041⟩");
        assert_eq!(visible(b"caf\xc3 \xe2\x82"), "caf⟨C3⟩ ⟨E2⟩⟨82⟩");
        assert_eq!(visible(b"<script>alert(1)</script>"), "<script>alert(1)</script>");
        assert_eq!(
            visible("naïve, 漢字, ไทย, e\u{301}".as_bytes()),
            "naïve, 漢字, ไทย, e\u{301}"
        );
    }

    #[test]
    fn a_tower_of_combining_marks_is_counted_instead_of_drawn() {
        let tower = format!("a{}b", "\u{301}".repeat(10_000));
        assert_eq!(
            visible(tower.as_bytes()),
            format!("a{}⟨+9996 marks⟩b", "\u{301}".repeat(4))
        );
    }

    #[test]
    fn ascii_has_only_ascii() {
        assert_eq!(ascii(&visible("é\n\u{202e}".as_bytes())), "\\u{e9}\\n<U+202E>");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "\\PC*|.*") {
            for shown in [visible(&bytes), visible(text.as_bytes())] {
                prop_assert!(!shown.chars().any(|c| c.is_control() || (!is_mark(c) && c != ' ' && is_hidden(c))), "{shown:?}");
                prop_assert!(ascii(&shown).bytes().all(|b| (b' '..=b'~').contains(&b)));
            }
        }
    }
}
