//! What Python's strings and regular expressions take for white space, digits and words.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// `str.isspace`, which is what `str.split()` and `\s` go by: Unicode's white space and the four
/// information separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// `\d`: a decimal digit of any script.
pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.general_category() == GeneralCategory::DecimalNumber)
}

/// `\w`: a letter, a number or the underscore. Unlike Rust's `\w`, no combining marks.
pub(super) fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number
    )
}

/// `str.split()`.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|part| !part.is_empty())
}

/// `re.findall(r"\d+", text)`.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_digit(c)).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_that_of_python() {
        let parts: Vec<&str> = split("\u{3000}a\u{1c}b\u{85}c\u{200b}d \n").collect();
        assert_eq!(parts, ["a", "b", "c\u{200b}d"]);
    }

    #[test]
    fn digits_of_every_script_are_digits_and_superscripts_are_not() {
        let found: Vec<&str> = numbers("a12b\u{ff13}\u{661}x²3").collect();
        assert_eq!(found, ["12", "\u{ff13}\u{661}", "3"]);
    }

    #[test]
    fn a_combining_mark_is_no_part_of_a_word() {
        assert!(is_word('é') && is_word('中') && is_word('²') && is_word('_'));
        assert!(!is_word('\u{301}') && !is_word('-'));
    }
}
