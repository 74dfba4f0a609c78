//! Means of RULER's tasks.

use super::task::Task;
use crate::eval::item::Outcome;
use crate::eval::table::{Cell, Row, Table};

/// The groups of UltraLLaDA's tables; LongLLaDA counts `vt` among aggregation.
const GROUPS: [(&str, &[Task]); 5] = [
    (
        "NIAH",
        &[
            Task::Single1,
            Task::Single2,
            Task::Single3,
            Task::MultiKey1,
            Task::MultiKey2,
            Task::MultiKey3,
            Task::MultiValue,
            Task::MultiQuery,
        ],
    ),
    ("AGG", &[Task::CommonWords, Task::FrequentWords]),
    ("QA", &[Task::Squad, Task::HotpotQa]),
    ("VT", &[Task::Tracking]),
    (
        "AGG with vt (LongLLaDA)",
        &[Task::Tracking, Task::CommonWords, Task::FrequentWords],
    ),
];

/// Tasks by lengths, with the groups and the average.
///
/// The average is over all thirteen tasks, (8 NIAH + 2 AGG + 2 QA + VT) / 13. LongLLaDA's
/// (8 NIAH + 3 AGG + 2 QA) / 13, where AGG has `vt`, is the same number.
pub(super) fn table(
    name: &'static str,
    title: &str,
    (lengths, tasks): (&[u32], &[Task]),
    outcomes: &[Outcome],
    value: fn(&Outcome) -> f64,
) -> Table {
    let of_task = |task: Task, length: u32| {
        let here =
            |outcome: &&Outcome| outcome.case.task == task.name() && outcome.case.length == Some(length);
        Cell::of(outcomes.iter().filter(here).map(value))
    };
    let mean = |tasks: &[Task], length: u32| {
        let parts = tasks.iter().map(|&task| (of_task(task, length), 1.0));
        Cell::average(&parts.collect::<Vec<_>>())
    };
    let row = |name: &str, summary: bool, tasks: &[Task]| Row {
        name: name.into(),
        summary,
        cells: lengths.iter().map(|&length| mean(tasks, length)).collect(),
    };
    let mut rows: Vec<Row> = tasks
        .iter()
        .map(|&task| Row {
            name: task.name().into(),
            summary: false,
            cells: lengths.iter().map(|&length| of_task(task, length)).collect(),
        })
        .collect();
    rows.extend(GROUPS.iter().map(|(name, tasks)| row(name, true, tasks)));
    rows.push(row("AVG", true, &Task::ALL));
    Table {
        name,
        title: title.into(),
        rows_are: "task",
        columns_are: "length",
        columns: lengths.iter().map(u32::to_string).collect(),
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Case, Score};

    /// One outcome per task, of the mean of its group.
    fn table_of(niah: f64, agg: f64, qa: f64, vt: f64) -> Table {
        let outcomes: Vec<Outcome> = Task::ALL
            .iter()
            .map(|task| {
                let value = match task {
                    Task::CommonWords | Task::FrequentWords => agg,
                    Task::Squad | Task::HotpotQa => qa,
                    Task::Tracking => vt,
                    _ => niah,
                };
                Outcome {
                    case: Case {
                        id: task.name().into(),
                        task: task.name().into(),
                        length: Some(4096),
                        depth: None,
                        repeat: 0,
                    },
                    score: Score { value, exact: None },
                }
            })
            .collect();
        table("score", "", (&[4096], &Task::ALL), &outcomes, |outcome| {
            outcome.score.value
        })
    }

    fn mean(table: &Table, row: &str) -> Option<f64> {
        let row = table.rows.iter().find(|r| r.name == row).unwrap();
        row.cells[0].map(|cell| (cell.mean * 100.0).round() / 100.0)
    }

    #[test]
    fn the_average_is_that_of_published_rows() {
        // UltraLLaDA's table at 48K, diffusion-aware NTK with EOD.
        let row = table_of(68.22, 25.12, 24.50, 95.20);
        assert_eq!(mean(&row, "AVG"), Some(56.94));
        assert_eq!(mean(&row, "NIAH"), Some(68.22));
        assert_eq!(mean(&row, "VT"), Some(95.2));
        // LongLLaDA's row at 16K, lambda 31: NIAH 97.2, AGG with vt 51.8, QA 41.0, average 78.0 or 78.1.
        let row = table_of(97.2, 51.8, 41.0, 51.8);
        assert_eq!(mean(&row, "AGG with vt (LongLLaDA)"), Some(51.8));
        assert!((mean(&row, "AVG").unwrap() - 78.05).abs() < 0.06);
    }

    #[test]
    fn groups_without_all_their_tasks_have_no_mean() {
        let mut outcomes = Vec::new();
        for task in [Task::CommonWords, Task::FrequentWords] {
            outcomes.push(Outcome {
                case: Case {
                    id: String::new(),
                    task: task.name().into(),
                    length: Some(4096),
                    depth: None,
                    repeat: 0,
                },
                score: Score {
                    value: 50.0,
                    exact: None,
                },
            });
        }
        let tasks = [Task::CommonWords, Task::FrequentWords];
        let table = table("score", "", (&[4096], &tasks), &outcomes, |outcome| {
            outcome.score.value
        });
        assert_eq!((mean(&table, "AGG"), mean(&table, "AVG")), (Some(50.0), None));
        assert_eq!(mean(&table, "AGG with vt (LongLLaDA)"), None);
    }
}
