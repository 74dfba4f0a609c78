//! Chinese words.

use std::sync::OnceLock;

use jieba_rs::Jieba;

use super::python::is_space;

/// Punctuation that is no word, besides that of ASCII.
///
/// Source: LongBench's published metrics.
const PUNCTUATION: &str = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏";

/// The words of a text, with everything between them; together they are the text.
pub(crate) fn words(text: &str) -> Vec<&str> {
    static JIEBA: OnceLock<Jieba> = OnceLock::new();
    let tokens = JIEBA.get_or_init(Jieba::new).cut(text, true);
    tokens.into_iter().map(|token| token.word).collect()
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
    fn punctuation_and_white_space_alone_are_no_words() {
        assert!(words_without_punctuation(" 。，\n…》.").is_empty());
        // The opening mark is missing from the published list.
        assert_eq!(words_without_punctuation("《"), ["《"]);
        assert!(words_without_punctuation("").is_empty());
    }
}
