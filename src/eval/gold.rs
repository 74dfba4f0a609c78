//! What a prediction is judged by, kept with it so that it can be judged again.

use serde::{Deserialize, Serialize};

use crate::error::Result;

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

impl Gold {
    /// Scores a prediction.
    ///
    /// # Errors
    /// The references do not fit the rule, or the texts are too long to compare.
    pub fn score(&self, _prediction: &str) -> Result<Score> {
        todo!()
    }
}
