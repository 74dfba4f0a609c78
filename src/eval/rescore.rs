//! Scores predictions that were kept, by the gold that was kept with them.

use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;

use super::gold::{Gold, Metric, Score};
use super::lines::Lines;
use crate::error::{Error, Result};

/// A prediction with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescored {
    /// The task, where the line tells it.
    pub task: Option<String>,
    /// The rule.
    pub metric: Metric,
    /// The score.
    pub score: Score,
}

#[derive(Deserialize)]
struct Line {
    gold: Gold,
    prediction: String,
    #[serde(default)]
    case: Option<OfTask>,
}

#[derive(Deserialize)]
struct OfTask {
    task: String,
}

/// Scores each line of `input`, an object with `gold`, `prediction` and perhaps a `case` with its `task`;
/// other fields do not matter. Messages call the input `name`. Only one line is in memory at a time.
///
/// # Errors
/// A line is not such an object, or its prediction cannot be scored; or `each` fails.
pub fn rescore(input: impl BufRead, name: &Path, mut each: impl FnMut(Rescored) -> Result<()>) -> Result<()> {
    let mut lines = Lines::over(input, name);
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        let parsed = line.parse::<Line>();
        let Line {
            gold,
            prediction,
            case,
        } = parsed.map_err(|skip| Error::input(skip.place, skip.reason))?;
        let score = gold.score(&prediction);
        let score = score.map_err(|reason| Error::input(line.place.clone(), reason.to_string()))?;
        each(Rescored {
            task: case.map(|case| case.task),
            metric: gold.metric,
            score,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(text: &str) -> Result<Vec<(Option<String>, f64)>> {
        let mut scores = Vec::new();
        rescore(text.as_bytes(), Path::new("p.jsonl"), |rescored| {
            scores.push((rescored.task, rescored.score.value));
            Ok(())
        })?;
        Ok(scores)
    }

    #[test]
    fn every_line_is_scored_by_its_own_gold() {
        let text = r#"{"gold":{"metric":"f1","references":["the cat"]},"prediction":"cat","other":1}

{"prediction":"b","gold":{"metric":"contains_all","references":["a","b"]},"case":{"task":"vt","id":"vt/1"}}"#;
        assert_eq!(scores(text).unwrap(), [(None, 100.0), (Some("vt".into()), 50.0)]);
    }

    #[test]
    fn a_line_that_cannot_be_scored_is_an_error_with_its_number() {
        for line in [
            "{}",
            "[1]",
            r#"{"gold":{"metric":"f1","references":[]},"prediction":"x"}"#,
            r#"{"gold":{"metric":"f2","references":["a"]},"prediction":"x"}"#,
        ] {
            let error = scores(&format!("\n{line}\n")).unwrap_err();
            assert!(
                error.to_string().starts_with("`p.jsonl`, line 2, byte 1: "),
                "{error}"
            );
        }
    }
}
