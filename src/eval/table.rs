//! Tables of means.

use serde::Serialize;

/// A mean over judged predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Cell {
    /// The mean, 0..100.
    pub mean: f64,
    /// Over how many predictions.
    pub n: u64,
    /// Standard error of the mean over the predictions; `None` below two, and for averages of means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std_error: Option<f64>,
}

impl Cell {
    /// The mean of some scores; `None` if there are none.
    pub fn of(scores: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (mut n, mut mean, mut squares) = (0u64, 0.0, 0.0);
        for score in scores {
            n += 1;
            let distance = score - mean;
            mean += distance / n as f64;
            squares += distance * (score - mean);
        }
        (n > 0).then(|| Self {
            mean,
            n,
            std_error: (n > 1).then(|| (squares / (n - 1) as f64 / n as f64).sqrt()),
        })
    }

    /// The weighted average of some means; `None` if one of them is missing.
    pub fn average(parts: &[(Option<Self>, f64)]) -> Option<Self> {
        let mut all = Self {
            mean: 0.0,
            n: 0,
            std_error: None,
        };
        let weights: f64 = parts.iter().map(|(_, weight)| weight).sum();
        for (cell, weight) in parts {
            let cell = (*cell)?;
            all.mean += cell.mean * weight / weights;
            all.n += cell.n;
        }
        (weights > 0.0).then_some(all)
    }
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Row {
    /// What it is about.
    pub name: String,
    /// Whether it sums up other rows.
    pub summary: bool,
    /// One for each column; `None` where there is nothing, or not enough, to average.
    pub cells: Vec<Option<Cell>>,
}

/// Means by two things: tasks by lengths, depths by lengths.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Table {
    /// Stable name: `score`, `exact`, …
    pub name: &'static str,
    /// What is in the cells.
    pub title: String,
    /// What the rows are: `task`, `depth`.
    pub rows_are: &'static str,
    /// What the columns are: `length`, `score`.
    pub columns_are: &'static str,
    /// The columns' names, in order.
    pub columns: Vec<String>,
    /// The rows, in order.
    pub rows: Vec<Row>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_a_standard_error_from_two_scores_on() {
        assert_eq!(Cell::of([]), None);
        let one = Cell::of([40.0]).unwrap();
        assert_eq!((one.mean, one.n, one.std_error), (40.0, 1, None));
        // Variance 5000 with n - 1, over 2 scores.
        let two = Cell::of([0.0, 100.0]).unwrap();
        assert_eq!((two.mean, two.n, two.std_error), (50.0, 2, Some(50.0)));
    }

    #[test]
    fn an_average_with_a_missing_part_is_missing() {
        let cell = Cell::of([10.0]);
        assert_eq!(Cell::average(&[(cell, 1.0), (None, 1.0)]), None);
        assert_eq!(Cell::average(&[]), None);
        let average = Cell::average(&[(cell, 3.0), (Cell::of([50.0]), 1.0)]).unwrap();
        assert_eq!((average.mean, average.n), (20.0, 2));
    }
}
