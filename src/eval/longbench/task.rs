//! The twenty-one datasets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::Error;
use crate::eval::gold::Metric;
use crate::eval::suite::Suite;

/// A group of datasets, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    SingleDocument,
    MultiDocument,
    Summary,
    FewShot,
    Synthetic,
    Code,
}

impl Group {
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::SingleDocument, "SD"),
        (Self::MultiDocument, "MD"),
        (Self::Summary, "Sum"),
        (Self::FewShot, "ICL"),
        (Self::Synthetic, "Syn"),
        (Self::Code, "Code"),
    ];
}

/// What is fixed about a dataset.
#[derive(Debug)]
struct Facts {
    name: &'static str,
    group: Group,
    /// Questions as published.
    n_questions: u32,
    max_new_tokens: u32,
    metric: Metric,
}

/// A dataset of LongBench.
#[derive(Clone, Copy)]
pub struct Task(&'static Facts);

use Group::{Code, FewShot, MultiDocument, SingleDocument, Summary, Synthetic};

/// Source: `dataset2maxlen.json`, `eval.py` and the task list of LongBench's repository.
static FACTS: [Facts; 21] = [
    facts("narrativeqa", SingleDocument, 200, 128, Metric::F1),
    facts("qasper", SingleDocument, 200, 128, Metric::F1),
    facts("multifieldqa_en", SingleDocument, 150, 64, Metric::F1),
    facts("multifieldqa_zh", SingleDocument, 200, 64, Metric::F1Zh),
    facts("hotpotqa", MultiDocument, 200, 32, Metric::F1),
    facts("2wikimqa", MultiDocument, 200, 32, Metric::F1),
    facts("musique", MultiDocument, 200, 32, Metric::F1),
    facts("dureader", MultiDocument, 200, 128, Metric::RougeLZh),
    facts("gov_report", Summary, 200, 512, Metric::RougeL),
    facts("qmsum", Summary, 200, 512, Metric::RougeL),
    facts("multi_news", Summary, 200, 512, Metric::RougeL),
    facts("vcsum", Summary, 200, 512, Metric::RougeLZh),
    facts("trec", FewShot, 200, 64, Metric::Class),
    facts("triviaqa", FewShot, 200, 32, Metric::F1),
    facts("samsum", FewShot, 200, 128, Metric::RougeL),
    facts("lsht", FewShot, 200, 64, Metric::Class),
    facts("passage_count", Synthetic, 200, 32, Metric::Count),
    facts("passage_retrieval_en", Synthetic, 200, 32, Metric::Retrieval),
    facts("passage_retrieval_zh", Synthetic, 200, 32, Metric::RetrievalZh),
    facts("lcc", Code, 500, 64, Metric::Code),
    facts("repobench-p", Code, 500, 64, Metric::Code),
];

const fn facts(
    name: &'static str,
    group: Group,
    n_questions: u32,
    max_new_tokens: u32,
    metric: Metric,
) -> Facts {
    Facts {
        name,
        group,
        n_questions,
        max_new_tokens,
        metric,
    }
}

impl Task {
    /// All of them, in the order of the tables.
    pub fn all() -> impl Iterator<Item = Self> {
        FACTS.iter().map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The name of its published file.
    pub fn file_name(self) -> String {
        format!("{}.jsonl", self.name())
    }

    pub(super) fn group(self) -> Group {
        self.0.group
    }

    /// Questions of the published file: the weight in averages.
    pub(super) fn n_questions(self) -> u32 {
        self.0.n_questions
    }

    pub(super) fn metric(self) -> Metric {
        self.0.metric
    }

    /// Whether only the first line of a prediction is judged.
    pub(super) fn first_line(self) -> bool {
        self.group() == FewShot
    }

    /// Tokens for the answer.
    pub fn max_new_tokens(self, suite: Suite) -> u32 {
        match (suite, self.name()) {
            (Suite::Port, "qasper") => 32,
            _ => self.0.max_new_tokens,
        }
    }

    /// The prompt of a record. The port has another text for three datasets.
    ///
    /// Source: `dataset2prompt.json` of LongBench, and the configurations of OpenCompass.
    pub(super) fn prompt(self, suite: Suite, context: &str, input: &str) -> String {
        let name = match (suite, self.name()) {
            (Suite::Port, "qasper") => "hotpotqa",
            (_, name) => name,
        };
        let published = prompts()[name].as_str();
        let changed = match (suite, name) {
            (Suite::Port, "narrativeqa") => Some(published.replace("asconcisely", "as concisely")),
            (Suite::Port, "multi_news") => Some(format!("{published}\n")),
            _ => None,
        };
        fill(changed.as_deref().unwrap_or(published), context, input)
    }
}

/// The published prompts, by name.
fn prompts() -> &'static BTreeMap<String, String> {
    static PROMPTS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    PROMPTS.get_or_init(|| {
        serde_json::from_str(include_str!("prompts/dataset2prompt.json")).expect("a file of this crate")
    })
}

/// The template with its places filled; what looks like a place in the texts stays as it is.
fn fill(template: &str, context: &str, input: &str) -> String {
    let mut prompt = String::with_capacity(template.len() + context.len() + input.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, place) = rest.split_at(at);
        prompt.push_str(before);
        if let Some(after) = place.strip_prefix("{context}") {
            prompt.push_str(context);
            rest = after;
        } else if let Some(after) = place.strip_prefix("{input}") {
            prompt.push_str(input);
            rest = after;
        } else {
            prompt.push('{');
            rest = &place[1..];
        }
    }
    prompt.push_str(rest);
    prompt
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Task {}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::all().find(|task| task.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(Self::name).collect();
            Error::usage(format!(
                "LongBench has no task {name:?}\nhint: its tasks are {}",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dataset_has_a_prompt_with_its_places() {
        assert_eq!(prompts().len(), 21);
        for task in Task::all() {
            for suite in [Suite::Official, Suite::Port] {
                let prompt = task.prompt(suite, "<<{input}>>", "?");
                assert_eq!(prompt.matches("<<{input}>>").count(), 1, "{task}");
                assert!(!prompt.contains("{context}"), "{task}");
            }
            assert_eq!(task.name().parse::<Task>().unwrap(), task);
        }
        assert!("trek".parse::<Task>().is_err());
    }

    #[test]
    fn groups_have_the_published_numbers_of_questions() {
        let n = |group: Group| -> u32 {
            Task::all()
                .filter(|task| task.group() == group)
                .map(Task::n_questions)
                .sum()
        };
        let counts: Vec<u32> = Group::ALL.iter().map(|(group, _)| n(*group)).collect();
        assert_eq!(counts, [750, 800, 800, 800, 600, 1000]);
        assert_eq!(counts.iter().sum::<u32>(), 4750);
    }

    #[test]
    fn the_port_differs_in_three_prompts() {
        let differs =
            |task: &Task| task.prompt(Suite::Port, "c", "i") != task.prompt(Suite::Official, "c", "i");
        let names: Vec<&str> = Task::all().filter(differs).map(Task::name).collect();
        assert_eq!(names, ["narrativeqa", "qasper", "multi_news"]);
        let qasper: Task = "qasper".parse().unwrap();
        let tokens = [Suite::Official, Suite::Port].map(|suite| qasper.max_new_tokens(suite));
        assert_eq!(tokens, [128, 32]);
    }
}
