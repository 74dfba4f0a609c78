//! Which class name a prediction gives.

/// 1 over the number of class names found in the prediction, if the right one is among them; else 0.
///
/// Names that are a proper part of the right one are not counted. The published rule removes them from the
/// list while it walks over the list, so that the name after a removed one is never looked at: two such
/// names in a row leave the second. This is kept, for equal scores.
///
/// Source: LongBench's published metrics.
pub(crate) fn class(prediction: &str, reference: &str, classes: &[String]) -> f64 {
    let contained = |name: &&str| prediction.contains(*name);
    let mut found: Vec<&str> = classes.iter().map(String::as_str).filter(contained).collect();
    let mut at = 0;
    while at < found.len() {
        let name = found[at];
        if reference.contains(name) && name != reference {
            // The first of equal names goes, which need not be the one at hand.
            let first = found.iter().position(|other| *other == name).unwrap_or(at);
            found.remove(first);
        }
        at += 1;
    }
    if found.contains(&reference) {
        1.0 / found.len() as f64
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(prediction: &str, reference: &str, classes: &[&str]) -> f64 {
        let classes: Vec<String> = classes.iter().map(|&name| name.into()).collect();
        class(prediction, reference, &classes)
    }

    #[test]
    fn the_right_class_alone_scores_one_and_with_others_a_share() {
        let classes = ["City", "Country", "Food"];
        assert_eq!(score("It is a City", "City", &classes), 1.0);
        assert_eq!(score("City or Country", "City", &classes), 0.5);
        assert_eq!(score("Country", "City", &classes), 0.0);
        assert_eq!(score("", "City", &classes), 0.0);
    }

    #[test]
    fn a_part_of_the_right_name_is_not_counted() {
        assert_eq!(
            score("Other number", "Other number", &["number", "Other number"]),
            1.0
        );
    }

    #[test]
    fn the_second_of_two_parts_in_a_row_is_counted_as_in_the_published_rule() {
        let classes = ["Other", "number", "Other number"];
        assert_eq!(score("Other number", "Other number", &classes), 0.5);
    }
}
