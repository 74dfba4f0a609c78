//! Whether a prediction contains what was asked for.

/// The share of references that the prediction contains, whatever the case; 0 without references.
///
/// Source: `string_match_all` of RULER's published evaluation; its `string_match_part` asks whether the
/// share is above 0.
pub(crate) fn share_contained(prediction: &str, references: &[String]) -> f64 {
    if references.is_empty() {
        return 0.0;
    }
    let prediction = prediction.to_lowercase();
    let contained = |reference: &&String| prediction.contains(&reference.to_lowercase());
    references.iter().filter(contained).count() as f64 / references.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_counts_the_same_and_case_does_not() {
        let references = ["Alpha".to_owned(), "beta".to_owned()];
        assert_eq!(share_contained("xALPHAx", &references), 0.5);
        assert_eq!(share_contained("beta, alpha", &references), 1.0);
        assert_eq!(share_contained("", &references), 0.0);
        assert_eq!(share_contained("x", &[]), 0.0);
    }
}
