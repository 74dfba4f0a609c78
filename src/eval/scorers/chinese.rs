//! Chinese words.

use std::sync::OnceLock;

use jieba_rs::Jieba;

use super::python::is_space;

/// Punctuation that is no word, besides that of ASCII.
///
/// Source: LongBench's published metrics.
const PUNCTUATION: &str = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏";

/// The words of a text, with everything between them; together they are the text.
///
/// `jieba-rs` takes more characters for Chinese than the Python package, and joins `GPT-4` where the
/// package gives `GPT`, `-`, `4`. So the text is taken apart here, by the package's expressions, and what is
/// joined is parted again.
pub(crate) fn words(text: &str) -> Vec<&str> {
    static JIEBA: OnceLock<Jieba> = OnceLock::new();
    let jieba = JIEBA.get_or_init(Jieba::new);
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if !is_cut(first) {
            let (alone, after) = rest.split_at(first.len_utf8());
            words.push(alone);
            rest = after;
            continue;
        }
        let end = rest.find(|c| !is_cut(c)).unwrap_or(rest.len());
        let (block, after) = rest.split_at(end);
        for token in jieba.cut(block, true) {
            match token.word.len() > 1 && token.word.is_ascii() && !jieba.has_word(token.word) {
                true => part(token.word, &mut words),
                false => words.push(token.word),
            }
        }
        rest = after;
    }
    words
}

/// What is looked up in the dictionary; any other character is a word of its own.
///
/// Source: `re_han_default` of the Python package.
fn is_cut(c: char) -> bool {
    matches!(
        c,
        '\u{4e00}'..='\u{9fd5}' | '+' | '#' | '&' | '.' | '_' | '%' | '-'
    ) || c.is_ascii_alphanumeric()
}

/// Parts an unknown word of ASCII characters.
///
/// Source: `re_skip` of the package's `finalseg`, `[a-zA-Z0-9]+(?:\.\d+)?%?`.
fn part<'a>(word: &'a str, words: &mut Vec<&'a str>) {
    let bytes = word.as_bytes();
    let run =
        |from: usize, is: fn(&u8) -> bool| from + bytes[from..].iter().take_while(|&byte| is(byte)).count();
    let mut from = 0;
    while from < bytes.len() {
        let mut to = run(from, u8::is_ascii_alphanumeric);
        if to == from {
            to = run(from, |byte| !byte.is_ascii_alphanumeric());
        } else {
            if bytes.get(to) == Some(&b'.') {
                let digits = run(to + 1, u8::is_ascii_digit);
                to = if digits > to + 1 { digits } else { to };
            }
            to += usize::from(bytes.get(to) == Some(&b'%'));
        }
        words.push(&word[from..to]);
        from = to;
    }
}

/// The words of a text in lower case, without punctuation and white space.
pub(crate) fn words_without_punctuation(text: &str) -> Vec<String> {
    let bare = |word: &str| -> String {
        word.to_lowercase()
            .chars()
            .filter(|&c| !(c.is_ascii_punctuation() || PUNCTUATION.contains(c) || is_space(c)))
            .collect()
    };
    words(text)
        .into_iter()
        .map(bare)
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_nothing_is_lost() {
        let text = "我来到北京清华大学, OK。";
        assert_eq!(words(text).concat(), text);
        assert_eq!(
            words_without_punctuation(text),
            ["我", "来到", "北京", "清华大学", "ok"]
        );
    }

    #[test]
    fn unknown_words_of_ascii_are_parted_as_the_package_parts_them() {
        assert_eq!(words("GPT-4是3.5.2%"), ["GPT", "-", "4", "是", "3.5", ".", "2%"]);
        assert_eq!(words("a.b--c.5_"), ["a", ".", "b", "--", "c.5", "_"]);
        // A character of an extension is no Chinese for the package.
        assert_eq!(words("㐀㐁。\n"), ["㐀", "㐁", "。", "\n"]);
    }

    #[test]
    fn punctuation_and_white_space_alone_are_no_words() {
        assert!(words_without_punctuation(" 。，\n…》.").is_empty());
        // The opening mark is missing from the published list.
        assert_eq!(words_without_punctuation("《"), ["《"]);
        assert!(words_without_punctuation("").is_empty());
    }
}
