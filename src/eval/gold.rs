//! What a prediction is judged by, kept with it so that it can be judged again.

use serde::{Deserialize, Serialize};

use super::scorers::{self, TooLong};

/// A rule of scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// NeedleBench: 100 if the prediction contains the first reference, the keyword; else a fifth of its
    /// similarity to the second, the needle.
    Needle,
    /// RULER: share of the references that the prediction contains, whatever the case.
    ContainsAll,
    /// RULER's question answering: whether the prediction contains one of the references.
    ContainsAny,
    /// LongBench: F1 over English words, best over references.
    F1,
    /// LongBench: F1 over Chinese words, best over references.
    F1Zh,
    /// LongBench: ROUGE-L over English words, best over references.
    RougeL,
    /// LongBench: ROUGE-L over Chinese words, best over references.
    RougeLZh,
    /// LongBench: the right one among the class names that the prediction contains.
    Class,
    /// LongBench: share of the prediction's numbers that are the right count.
    Count,
    /// LongBench: share of the prediction's numbers that are the right `Paragraph N`.
    Retrieval,
    /// LongBench: share of the prediction's numbers that are the right `段落N`.
    RetrievalZh,
    /// LongBench: similarity of the first line of code, best over references.
    Code,
}

/// What a prediction is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gold {
    /// The rule.
    pub metric: Metric,
    /// What the rule compares with.
    pub references: Vec<String>,
    /// All class names, for [`Metric::Class`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Judge only the first line that is not empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_line: bool,
}

/// How good a prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The benchmark's own score, 0..100.
    pub value: f64,
    /// Whether the prediction holds everything asked for, where that is a question of yes or no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<bool>,
}

/// Why a prediction cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unscorable {
    /// The references or the classes are not what the rule needs.
    #[error("metric `{metric:?}`: {expected}")]
    Gold {
        /// The rule.
        metric: Metric,
        /// What it needs.
        expected: &'static str,
    },
    /// The comparison would take too long.
    #[error("the texts are too long to compare: {prediction_bytes} bytes predicted")]
    TooLong {
        /// Size of the prediction.
        prediction_bytes: usize,
    },
}

impl Gold {
    /// What `metric` needs to compare with nothing but references.
    pub fn new(metric: Metric, references: Vec<String>) -> Self {
        Self {
            metric,
            references,
            classes: Vec::new(),
            first_line: false,
        }
    }

    /// Whether predictions can be scored with it at all.
    ///
    /// # Errors
    /// The references or the classes are not what the rule needs.
    pub fn check(&self) -> Result<(), Unscorable> {
        let expected = match self.metric {
            Metric::Needle if self.references.len() != 2 => {
                "two references are needed, a keyword and its needle"
            }
            // An empty text is contained in every prediction.
            Metric::Needle | Metric::ContainsAll | Metric::ContainsAny
                if self.references.iter().any(String::is_empty) =>
            {
                "a reference is empty"
            }
            _ if self.references.is_empty() => "there is no reference",
            Metric::Class if self.classes.is_empty() => "there are no class names",
            Metric::Retrieval if !self.all_have_a_number() => "a reference must contain `Paragraph N`",
            Metric::RetrievalZh if !self.all_have_a_number() => "a reference must contain `段落N`",
            _ => return Ok(()),
        };
        Err(Unscorable::Gold {
            metric: self.metric,
            expected,
        })
    }

    /// Scores a prediction.
    ///
    /// # Errors
    /// The references do not fit the rule, or the texts are too long to compare.
    pub fn score(&self, prediction: &str) -> Result<Score, Unscorable> {
        self.check()?;
        let judged = match self.first_line {
            true => first_line(prediction),
            false => prediction,
        };
        let share = match self.metric {
            Metric::Needle => return self.needle(judged),
            Metric::ContainsAll => {
                let share = scorers::share_contained(judged, &self.references);
                return Ok(Score::new(share, Some(share == 1.0)));
            }
            Metric::ContainsAny => {
                let any = scorers::share_contained(judged, &self.references) > 0.0;
                return Ok(Score::new(f64::from(u8::from(any)), Some(any)));
            }
            Metric::F1 => self.best_f1(judged, scorers::english_words),
            Metric::F1Zh => self.best_f1(judged, scorers::words_without_punctuation),
            Metric::RougeL => self.best(|reference| scorers::rouge_l(judged, reference)),
            Metric::RougeLZh => {
                let spaced = |text: &str| scorers::chinese_words(text).join(" ");
                let judged = spaced(judged);
                self.best(|reference| scorers::rouge_l(&judged, &spaced(reference)))
            }
            Metric::Class => self.best(|reference| Ok(scorers::class(judged, reference, &self.classes))),
            Metric::Count => self.best(|reference| Ok(scorers::share_equal(judged, reference))),
            Metric::Retrieval | Metric::RetrievalZh => {
                let mark = self.mark();
                self.best(|reference| {
                    let right = scorers::first_number_after(reference, mark).unwrap_or_default();
                    Ok(scorers::share_equal(judged, right))
                })
            }
            Metric::Code => self.best(|reference| scorers::code(judged, reference)),
        };
        share
            .map(|share| Score::new(share, None))
            .map_err(|_| too_long(prediction))
    }

    /// NeedleBench's score: a wrong answer earns up to 20.
    fn needle(&self, prediction: &str) -> Result<Score, Unscorable> {
        let [keyword, needle] = &*self.references else {
            unreachable!("checked before");
        };
        if prediction.contains(keyword.as_str()) {
            return Ok(Score::new(1.0, Some(true)));
        }
        let similarity = scorers::similarity(prediction, needle).map_err(|_| too_long(prediction))?;
        Ok(Score::new(0.2 * similarity, Some(false)))
    }

    fn best(&self, score: impl Fn(&str) -> Result<f64, TooLong>) -> Result<f64, TooLong> {
        self.references
            .iter()
            .try_fold(0.0, |best, reference| Ok(score(reference)?.max(best)))
    }

    fn best_f1(&self, prediction: &str, words: fn(&str) -> Vec<String>) -> Result<f64, TooLong> {
        let prediction = words(prediction);
        self.best(|reference| Ok(scorers::f1(&prediction, &words(reference))))
    }

    /// What stands before the number of the right paragraph.
    fn mark(&self) -> &'static str {
        match self.metric {
            Metric::RetrievalZh => "段落",
            _ => "Paragraph ",
        }
    }

    fn all_have_a_number(&self) -> bool {
        let number = |reference: &String| scorers::first_number_after(reference, self.mark()).is_some();
        self.references.iter().all(number)
    }
}

impl Score {
    fn new(share: f64, exact: Option<bool>) -> Self {
        Self {
            value: 100.0 * share,
            exact,
        }
    }
}

fn first_line(text: &str) -> &str {
    let text = text.trim_start_matches('\n');
    text.split_once('\n').map_or(text, |(line, _)| line)
}

fn too_long(prediction: &str) -> Unscorable {
    Unscorable::TooLong {
        prediction_bytes: prediction.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gold(metric: Metric, references: &[&str]) -> Gold {
        Gold::new(metric, references.iter().map(|&r| r.into()).collect())
    }

    fn value(metric: Metric, references: &[&str], prediction: &str) -> f64 {
        gold(metric, references).score(prediction).unwrap().value
    }

    #[test]
    fn a_needle_is_found_by_its_keyword_and_a_miss_earns_a_fifth_of_its_similarity() {
        let gold = gold(Metric::Needle, &["Ghost Pearl", "\nHidden is the Ghost Pearl.\n"]);
        let hit = gold.score(" the Ghost Pearl, I think").unwrap();
        assert_eq!((hit.value, hit.exact), (100.0, Some(true)));
        // `HiddenistheGhostPear.`: one letter of 22 is missing.
        let miss = gold.score("Hidden is the Ghost Pear.").unwrap();
        assert_eq!(miss.exact, Some(false));
        assert!(
            (miss.value - 20.0 * (1.0 - 1.0 / 22.0)).abs() < 1e-9,
            "{}",
            miss.value
        );
        assert_eq!(gold.score("").unwrap().value, 0.0);
        // The keyword's case counts.
        assert_eq!(gold.score("ghost pearl").unwrap().exact, Some(false));
    }

    #[test]
    fn ruler_counts_all_references_and_question_answering_one() {
        let references = ["Alpha", "Beta"];
        assert_eq!(value(Metric::ContainsAll, &references, "alpha"), 50.0);
        assert_eq!(value(Metric::ContainsAny, &references, "alpha"), 100.0);
        assert_eq!(value(Metric::ContainsAny, &references, "gamma"), 0.0);
        let exact = gold(Metric::ContainsAll, &references)
            .score("beta alpha")
            .unwrap()
            .exact;
        assert_eq!(exact, Some(true));
    }

    #[test]
    fn the_best_reference_counts() {
        assert_eq!(value(Metric::F1, &["x", "the cat"], "A cat."), 100.0);
        assert!(value(Metric::RougeL, &["x", "a b"], "a b") > 99.999);
        assert_eq!(value(Metric::Code, &["x", "abc"], "abc"), 100.0);
    }

    #[test]
    fn only_the_first_line_is_judged_where_the_benchmark_says_so() {
        let mut gold = gold(Metric::F1, &["cat"]);
        gold.first_line = true;
        assert_eq!(gold.score("\n\ncat\ndog dog dog").unwrap().value, 100.0);
        gold.first_line = false;
        assert_eq!(gold.score("\n\ncat\ndog dog dog").unwrap().value, 40.0);
    }

    #[test]
    fn a_paragraph_is_judged_by_its_number() {
        assert_eq!(
            value(Metric::Retrieval, &["Paragraph 7"], "It is paragraph 7"),
            100.0
        );
        assert_eq!(value(Metric::RetrievalZh, &["段落12"], "段落12或13"), 50.0);
        assert_eq!(value(Metric::Count, &["12"], "12"), 100.0);
    }

    #[test]
    fn an_empty_prediction_scores_nothing_by_any_rule() {
        let all = [
            gold(Metric::ContainsAll, &["a"]),
            gold(Metric::ContainsAny, &["a"]),
            gold(Metric::F1, &["a"]),
            gold(Metric::F1Zh, &["北京"]),
            gold(Metric::RougeL, &["a"]),
            gold(Metric::RougeLZh, &["北京"]),
            gold(Metric::Count, &["1"]),
            gold(Metric::Retrieval, &["Paragraph 1"]),
            gold(Metric::RetrievalZh, &["段落1"]),
            gold(Metric::Code, &["x"]),
        ];
        for gold in all {
            assert_eq!(gold.score("").unwrap().value, 0.0, "{:?}", gold.metric);
        }
    }

    #[test]
    fn a_gold_that_would_score_wrongly_is_refused() {
        let bad = [
            gold(Metric::F1, &[]),
            gold(Metric::Needle, &["only a keyword"]),
            gold(Metric::ContainsAll, &["a", ""]),
            gold(Metric::Class, &["a"]),
            gold(Metric::Retrieval, &["the seventh"]),
        ];
        for gold in bad {
            let error = gold.score("x").unwrap_err();
            assert!(
                matches!(error, Unscorable::Gold { metric, .. } if metric == gold.metric),
                "{error}"
            );
        }
    }

    #[test]
    fn a_gold_survives_the_way_through_json() {
        let mut class = gold(Metric::Class, &["City"]);
        class.classes = vec!["City".into(), "Food".into()];
        class.first_line = true;
        let text = serde_json::to_string(&class).unwrap();
        assert_eq!(serde_json::from_str::<Gold>(&text).unwrap(), class);
        let short = serde_json::to_string(&gold(Metric::RougeLZh, &["a"])).unwrap();
        assert_eq!(short, r#"{"metric":"rouge_l_zh","references":["a"]}"#);
    }
}
