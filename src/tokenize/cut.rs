//! Where a long text may be cut without changing a single token.
//!
//! Between a letter and a following ASCII white-space character no piece of a known split pattern
//! continues, no pattern looks back, white space is a normalisation starter that composes with
//! nothing, and a piece that ends in a letter never notices that the text ends. The same holds
//! between a Han character and CJK punctuation. Nowhere else is a cut taken: after a white space,
//! or at a line end, several tokenizers give other tokens.

/// Pieces of `text` of at least `target` bytes, cut only where it is safe; text without a safe cut
/// stays whole.
pub fn pieces(text: &str, target: usize) -> Vec<&str> {
    let mut pieces = Vec::with_capacity(text.len() / target.max(1) + 1);
    let mut rest = text;
    while rest.len() > target {
        match next_cut(rest, target) {
            Some(at) => {
                let (piece, tail) = rest.split_at(at);
                pieces.push(piece);
                rest = tail;
            }
            None => break,
        }
    }
    pieces.push(rest);
    pieces
}

/// The first safe cut at or after byte `from`.
fn next_cut(text: &str, from: usize) -> Option<usize> {
    let from = (from..=text.len()).find(|&i| text.is_char_boundary(i))?;
    let mut before = text[..from].chars().next_back();
    for (offset, c) in text[from..].char_indices() {
        if before.is_some_and(|b| is_safe(b, c)) {
            return Some(from + offset);
        }
        before = Some(c);
    }
    None
}

/// Whether text may be cut between `before` and `after`.
fn is_safe(before: char, after: char) -> bool {
    match after {
        ' ' | '\n' | '\r' | '\t' => is_letter(before),
        '，' | '。' | '、' | '；' | '：' | '？' | '！' | '”' => is_han(before),
        _ => false,
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}')
}

/// Letters (`\p{L}`) of the common scripts. A subset on purpose: a letter missing here costs a
/// possible cut, a mark taken for a letter would change tokens.
fn is_letter(c: char) -> bool {
    matches!(c,
        'a'..='z' | 'A'..='Z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' // Latin
        | '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3f5}' // Greek
        | '\u{400}'..='\u{481}' | '\u{48a}'..='\u{52f}' // Cyrillic
        | '\u{5d0}'..='\u{5ea}' // Hebrew
        | '\u{620}'..='\u{64a}' // Arabic
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' // Kana
        | '\u{ac00}'..='\u{d7a3}') // Hangul
        || is_han(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_between_a_letter_and_white_space_only() {
        assert_eq!(
            pieces("one two. three\nfour", 2),
            ["one", " two. three", "\nfour"]
        );
        assert_eq!(pieces("........ ........ ", 2), ["........ ........ "]);
        assert_eq!(
            pieces("学而时习之，不亦说乎？", 3),
            ["学而时习之", "，不亦说乎", "？"]
        );
    }

    #[test]
    fn a_combining_mark_is_not_a_letter() {
        assert_eq!(pieces("क\u{93f} x", 1), ["क\u{93f} x"]);
        assert_eq!(pieces("e\u{301} x", 1), ["e\u{301} x"]);
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(text in "\\PC*", target in 1usize..64) {
            prop_assert_eq!(pieces(&text, target).concat(), text);
        }
    }
}
