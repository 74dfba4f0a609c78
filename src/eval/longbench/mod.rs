//! LongBench: twenty-one published datasets of questions about long texts.
//!
//! Records stay in their files: they are found and checked once, and read again when they are asked for.
//! A record that cannot be scored (a line that is cut off or no JSON, no answer, no class names) is left
//! out and reported, never scored.

mod records;
mod task;

use std::path::PathBuf;

use serde_json::json;

use super::item::{Benchmark, Case, EvalText, Item, Outcome, Skip};
use super::skips::Skips;
use super::suite::Suite;
use super::table::{Cell, Row, Table};
use crate::error::{Error, Place, Result};
use records::Records;
use task::Group;

pub use task::Task;

/// Which records to ask.
#[derive(Debug, Clone)]
pub struct LongBenchSettings {
    /// Whose prompts.
    pub suite: Suite,
    /// The directory of the published files, `narrativeqa.jsonl` and so on.
    pub data: PathBuf,
    /// Which datasets, in the order of the prompts.
    pub tasks: Vec<Task>,
    /// Records of each dataset at most, from the first on.
    pub limit: Option<u32>,
    /// The longest prompt, in the model's tokens; of a longer one the middle is left out. UltraLLaDA's
    /// evaluation allows 16,000.
    pub max_prompt_len: Option<u32>,
}

/// The benchmark.
pub struct LongBench {
    settings: LongBenchSettings,
    /// Records of each task, with the number of its first prompt.
    records: Vec<(Records, usize)>,
    n_cases: usize,
    skips: Vec<Skip>,
}

impl LongBench {
    /// Reads and checks all files of the tasks.
    ///
    /// # Errors
    /// A setting is out of range, or a file is missing or has nothing to ask.
    pub fn new(settings: LongBenchSettings) -> Result<Self> {
        if settings.tasks.is_empty() || settings.limit == Some(0) || settings.max_prompt_len == Some(0) {
            return Err(Error::usage(
                "LongBench needs at least one task, and limits of at least 1",
            ));
        }
        let (mut records, mut n_cases, mut skips) = (Vec::new(), 0, Skips::default());
        for (i, &task) in settings.tasks.iter().enumerate() {
            if settings.tasks[..i].contains(&task) {
                return Err(Error::usage(format!("task {task} is there twice")));
            }
            let path = settings.data.join(task.file_name());
            if !path.exists() {
                let message =
                    "no such file\nhint: name the directory of LongBench's files, or leave the task out";
                return Err(Error::input(Place::file(path), message));
            }
            let limit = settings.limit.map(|limit| limit as usize);
            let of_task = Records::open(&path, task, limit, &mut skips)?;
            let first = n_cases;
            n_cases += of_task.len();
            records.push((of_task, first));
        }
        Ok(Self {
            settings,
            records,
            n_cases,
            skips: skips.into_vec(),
        })
    }

    /// Task, its records, and the number of prompt `index` among them.
    fn find(&self, index: usize) -> (Task, &Records, usize) {
        assert!(index < self.n_cases, "prompt {index} of {}", self.n_cases);
        let at = self.records.partition_point(|(_, first)| *first <= index) - 1;
        let (records, first) = &self.records[at];
        (self.settings.tasks[at], records, index - first)
    }
}

impl Benchmark for LongBench {
    fn name(&self) -> &'static str {
        "longbench"
    }

    fn settings(&self) -> serde_json::Value {
        let files = self.settings.tasks.iter().zip(&self.records);
        let files: serde_json::Map<String, serde_json::Value> = files
            .map(|(task, (records, _))| {
                let value = json!({ "digest": records.digest(), "n_records": records.len() });
                (task.to_string(), value)
            })
            .collect();
        json!({
            "suite": self.settings.suite,
            "files": files,
            "limit": self.settings.limit,
            "max_prompt_len": self.settings.max_prompt_len,
        })
    }

    fn identity(&self, case: &Case) -> serde_json::Value {
        let mut files = self.settings.tasks.iter().zip(&self.records);
        let file = files.find(|(task, _)| task.name() == case.task);
        json!({
            "suite": self.settings.suite,
            "file": file.map(|(_, (records, _))| records.digest()),
            "max_prompt_len": self.settings.max_prompt_len,
        })
    }

    fn skips(&self) -> &[Skip] {
        &self.skips
    }

    fn n_cases(&self) -> usize {
        self.n_cases
    }

    fn case(&self, index: usize) -> Case {
        let (task, records, record) = self.find(index);
        Case {
            id: format!("{task}/{}", records.line(record)),
            task: task.name().into(),
            length: None,
            depth: None,
            repeat: record as u32,
        }
    }

    fn item(&self, index: usize) -> Result<Item> {
        let (task, records, number) = self.find(index);
        let record = records.read(number)?;
        Ok(Item {
            case: self.case(index),
            prompt: task.prompt(self.settings.suite, &record.context, &record.input),
            gold: record.gold(task),
            max_new_tokens: task.max_new_tokens(self.settings.suite),
            max_prompt_len: self.settings.max_prompt_len,
        })
    }

    /// Group means and the average weigh a task by its published number of questions.
    fn tables(&self, outcomes: &[Outcome]) -> Vec<Table> {
        let of_task = |task: Task| {
            let here = |outcome: &&Outcome| outcome.case.task == task.name();
            Cell::of(outcomes.iter().filter(here).map(|outcome| outcome.score.value))
        };
        let mean = |tasks: &mut dyn Iterator<Item = Task>| {
            let parts = tasks.map(|task| (of_task(task), f64::from(task.n_questions())));
            Cell::average(&parts.collect::<Vec<_>>())
        };
        let row = |name: &str, summary: bool, cell: Option<Cell>| Row {
            name: name.into(),
            summary,
            cells: vec![cell],
        };
        let tasks = self.settings.tasks.iter();
        let mut rows: Vec<Row> = tasks
            .map(|&task| row(task.name(), false, of_task(task)))
            .collect();
        rows.extend(Group::ALL.iter().map(|(group, name)| {
            row(
                name,
                true,
                mean(&mut Task::all().filter(|task| task.group() == *group)),
            )
        }));
        rows.push(row("AVG", true, mean(&mut Task::all())));
        vec![Table {
            name: "score",
            title: "LongBench score".into(),
            rows_are: "task",
            columns_are: "score",
            columns: vec!["score".into()],
            rows,
        }]
    }

    fn texts(&self) -> Box<dyn Iterator<Item = Result<EvalText>> + '_> {
        Box::new((0..self.n_cases).map(|index| {
            let (task, records, number) = self.find(index);
            let record = records.read(number)?;
            Ok(EvalText {
                task: task.name().into(),
                id: format!("line {}", records.line(number)),
                text: format!(
                    "{}\n{}\n{}",
                    record.context,
                    record.input,
                    record.answers.join("\n")
                ),
            })
        }))
    }
}

#[cfg(test)]
mod tests;
