//! Counts and paragraph numbers.

use super::python::{is_digit, numbers};

/// The share of the prediction's numbers that equal `reference` digit by digit; 0 without numbers.
///
/// Source: LongBench's published metrics.
pub(crate) fn share_equal(prediction: &str, reference: &str) -> f64 {
    let (mut n, mut n_right) = (0u32, 0u32);
    for number in numbers(prediction) {
        n += 1;
        n_right += u32::from(number == reference);
    }
    if n == 0 {
        return 0.0;
    }
    f64::from(n_right) / f64::from(n)
}

/// The first number that directly follows `mark`: 7 in `Paragraph 7`.
pub(crate) fn first_number_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let after = text.match_indices(mark).map(|(at, _)| &text[at + mark.len()..]);
    after
        .map(|rest| &rest[..rest.find(|c| !is_digit(c)).unwrap_or(rest.len())])
        .find(|number| !number.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_share_of_right_numbers() {
        assert_eq!(share_equal("17", "17"), 1.0);
        assert_eq!(share_equal("17 of 30, so 17.", "17"), 2.0 / 3.0);
        assert_eq!(share_equal("seventeen", "17"), 0.0);
        assert_eq!(share_equal("017", "17"), 0.0);
    }

    #[test]
    fn the_reference_is_the_number_after_the_mark() {
        assert_eq!(
            first_number_after("Paragraph x, Paragraph 15.", "Paragraph "),
            Some("15")
        );
        assert_eq!(first_number_after("段落7", "段落"), Some("7"));
        assert_eq!(first_number_after("paragraph 15", "Paragraph "), None);
    }
}
