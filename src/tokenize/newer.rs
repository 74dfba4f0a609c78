//! Characters that the two engines' Unicode tables do not agree on.
//!
//! The fast engine knows Unicode 17. The reference splits by Unicode 16 and normalises by an older
//! version, so letters, digits and marks that came later are cut, ordered or composed in another way.
//! Models were trained with the reference's ids: a piece of text with such a character is left to the
//! reference engine. The characters are rare: new scripts, and marks that were added to old ones.

use memchr::{memchr2_iter, memchr3_iter};

/// The characters, in ascending ranges; those of a block that composes new characters are all here.
const NEWER: [(char, char); 55] = [
    ('\u{7fd}', '\u{7fd}'),
    ('\u{88f}', '\u{88f}'),
    ('\u{897}', '\u{89f}'),
    ('\u{8ca}', '\u{8d3}'),
    ('\u{9fe}', '\u{9fe}'),
    ('\u{c3c}', '\u{c3c}'),
    ('\u{c5c}', '\u{c5c}'),
    ('\u{cdc}', '\u{cdc}'),
    ('\u{d3b}', '\u{d3c}'),
    ('\u{eba}', '\u{eba}'),
    ('\u{1715}', '\u{1715}'),
    ('\u{1abf}', '\u{1aff}'),
    ('\u{1df6}', '\u{1dfa}'),
    ('\u{a7ce}', '\u{a7d4}'),
    ('\u{a7f1}', '\u{a7f1}'),
    ('\u{a82c}', '\u{a82c}'),
    ('\u{10940}', '\u{1095f}'),
    ('\u{10d24}', '\u{10d27}'),
    ('\u{10d69}', '\u{10d6d}'),
    ('\u{10eab}', '\u{10eac}'),
    ('\u{10ec5}', '\u{10ec7}'),
    ('\u{10efa}', '\u{10eff}'),
    ('\u{10f46}', '\u{10f50}'),
    ('\u{10f82}', '\u{10f85}'),
    ('\u{11070}', '\u{11070}'),
    ('\u{1133b}', '\u{1133b}'),
    ('\u{11380}', '\u{113ff}'),
    ('\u{1145e}', '\u{1145e}'),
    ('\u{11839}', '\u{1183a}'),
    ('\u{11900}', '\u{1195f}'),
    ('\u{119e0}', '\u{119e0}'),
    ('\u{11a34}', '\u{11a34}'),
    ('\u{11a47}', '\u{11a47}'),
    ('\u{11a99}', '\u{11a99}'),
    ('\u{11d42}', '\u{11d45}'),
    ('\u{11d97}', '\u{11d97}'),
    ('\u{11db0}', '\u{11def}'),
    ('\u{11f41}', '\u{11f42}'),
    ('\u{16100}', '\u{1613f}'),
    ('\u{16d40}', '\u{16d7f}'),
    ('\u{16ea0}', '\u{16edf}'),
    ('\u{16ff0}', '\u{16ff6}'),
    ('\u{187f8}', '\u{187ff}'),
    ('\u{18d09}', '\u{18d1e}'),
    ('\u{18d80}', '\u{18dff}'),
    ('\u{1e08f}', '\u{1e08f}'),
    ('\u{1e130}', '\u{1e136}'),
    ('\u{1e2ae}', '\u{1e2ae}'),
    ('\u{1e2ec}', '\u{1e2ef}'),
    ('\u{1e4ec}', '\u{1e4ef}'),
    ('\u{1e5ee}', '\u{1e5ef}'),
    ('\u{1e6c0}', '\u{1e6ff}'),
    ('\u{2b73a}', '\u{2b73f}'),
    ('\u{2cea2}', '\u{2cead}'),
    ('\u{323b0}', '\u{3347f}'),
];

/// Whether `text` holds one of the characters.
pub fn occur_in(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Their first bytes in UTF-8: all other text is passed over at the speed of `memchr`.
    let mut firsts = memchr3_iter(0xe0, 0xe1, 0xea, bytes).chain(memchr2_iter(0xdf, 0xf0, bytes));
    firsts.any(|at| text[at..].chars().next().is_some_and(is_newer))
}

fn is_newer(c: char) -> bool {
    let after = NEWER.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= NEWER[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_ascend_and_each_end_is_found() {
        assert!(NEWER.is_sorted_by(|a, b| a.0 <= a.1 && a.1 < b.0));
        for (first, last) in NEWER {
            assert!(occur_in(&format!("a é{first}")) && occur_in(&format!("{last}中")));
        }
    }

    #[test]
    fn common_text_holds_none() {
        for text in [
            "",
            "plain",
            "Καλημέρα Привет שלום مرحبا नमस्ते ไทย 안녕 中文 \u{1f469}\u{200d}\u{1f4bb} e\u{301}",
        ] {
            assert!(!occur_in(text), "{text}");
        }
    }
}
