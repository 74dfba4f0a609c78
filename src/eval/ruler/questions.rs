//! Questions with their documents, from the files of SQuAD 2.0 and HotpotQA.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::settings::RulerSettings;
use super::task::Task;
use crate::error::{Error, Place, Result};
use crate::eval::elements::{Found, elements};
use crate::eval::item::Skip;
use crate::eval::lines;
use crate::eval::skips::Skips;

/// Both files are below 60 MB as published.
const MAX_BYTES: u64 = 512 << 20;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub query: String,
    pub answers: Vec<String>,
    /// Documents that hold the answer.
    pub documents: Vec<usize>,
    /// Documents about the same, preferred as company.
    pub related: Vec<usize>,
}

/// The questions of a file and all its documents, sorted and without doubles.
#[derive(Debug)]
pub(super) struct Questions {
    pub name: String,
    pub digest: String,
    pub questions: Vec<Question>,
    pub documents: Vec<String>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    question: String,
    answers: Vec<Answer>,
    is_impossible: bool,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

#[derive(Deserialize)]
struct Hotpot {
    question: String,
    answer: String,
    context: Vec<(String, Vec<String>)>,
}

impl Questions {
    /// The questions that a task asks; `None` if it asks none of a file.
    ///
    /// # Errors
    /// The file is not named, or cannot be used.
    pub(super) fn of(task: Task, settings: &RulerSettings, skips: &mut Skips) -> Result<Option<Self>> {
        let (path, what, read): (_, _, fn(&Path, &mut Skips) -> Result<Self>) = match task {
            Task::Squad => (&settings.squad, "SQuAD's dev-v2.0.json", Self::squad),
            Task::HotpotQa => (
                &settings.hotpotqa,
                "HotpotQA's dev set with distractors",
                Self::hotpotqa,
            ),
            _ => return Ok(None),
        };
        match path {
            Some(path) => read(path, skips).map(Some),
            None => Err(Error::usage(format!(
                "task {task} needs {what}\nhint: name the file, or leave the task out"
            ))),
        }
    }

    /// The answerable questions of a file in SQuAD 2.0's form: `data`, its `paragraphs`, their `qas`.
    ///
    /// # Errors
    /// The file cannot be read or holds no question.
    pub(super) fn squad(path: &Path, skips: &mut Skips) -> Result<Self> {
        let (articles, digest): (Vec<(Place, Article)>, _) = read(path, skips)?;
        let contexts = articles.iter().flat_map(|(_, article)| &article.paragraphs);
        let pool = Pool::new(contexts.map(|paragraph| paragraph.context.clone()));
        let mut questions = Vec::new();
        for (place, article) in &articles {
            let ids = article
                .paragraphs
                .iter()
                .map(|paragraph| pool.id(&paragraph.context));
            let ids: Vec<usize> = ids.collect();
            for (paragraph, &id) in article.paragraphs.iter().zip(&ids) {
                for asked in paragraph.qas.iter().filter(|asked| !asked.is_impossible) {
                    let question = Question {
                        query: asked.question.clone(),
                        answers: asked.answers.iter().map(|answer| answer.text.clone()).collect(),
                        documents: vec![id],
                        related: ids.iter().copied().filter(|&other| other != id).collect(),
                    };
                    keep(question, place, &mut questions, skips);
                }
            }
        }
        pool.finish(path, digest, questions)
    }

    /// The questions of a file in HotpotQA's form: an array of objects with `question`, `answer` and
    /// `context`, which holds titles with sentences.
    ///
    /// # Errors
    /// The file cannot be read or holds no question.
    pub(super) fn hotpotqa(path: &Path, skips: &mut Skips) -> Result<Self> {
        let (asked, digest): (Vec<(Place, Hotpot)>, _) = read(path, skips)?;
        let document =
            |(title, sentences): &(String, Vec<String>)| format!("{title}\n{}", sentences.concat());
        let pool = Pool::new(
            asked
                .iter()
                .flat_map(|(_, asked)| asked.context.iter().map(document)),
        );
        let mut questions = Vec::new();
        for (place, asked) in asked {
            let question = Question {
                documents: asked
                    .context
                    .iter()
                    .map(|context| pool.id(&document(context)))
                    .collect(),
                query: asked.question,
                answers: vec![asked.answer],
                related: Vec::new(),
            };
            keep(question, &place, &mut questions, skips);
        }
        pool.finish(path, digest, questions)
    }
}

/// A question without an answer would score by chance: it is left out.
fn keep(question: Question, place: &Place, questions: &mut Vec<Question>, skips: &mut Skips) {
    let empty = |text: &String| text.trim().is_empty();
    if question.answers.is_empty() || question.answers.iter().any(empty) || question.documents.is_empty() {
        skips.push(Skip {
            place: place.clone(),
            reason: format!("question {:?} has an empty answer or no document", question.query),
        });
    } else {
        questions.push(question);
    }
}

/// The elements of the file that are whole and right, each with its place.
fn read<T: DeserializeOwned>(path: &Path, skips: &mut Skips) -> Result<(Vec<(Place, T)>, String)> {
    let bytes = lines::read(path, MAX_BYTES)?;
    let digest = format!("blake3:{}", blake3::hash(&bytes).to_hex());
    let Some(mut elements) = elements(&bytes, "data") else {
        let message = "neither an array of questions nor an object with `data`\nhint: SQuAD's dev-v2.0.json or HotpotQA's dev set is expected";
        return Err(Error::input(Place::file(path), message));
    };
    let mut parsed = Vec::new();
    while let Some(found) = elements.next(&bytes) {
        let (range, cut) = match found {
            Found::Element(range) => (range, false),
            Found::Cut(range) => (range, true),
        };
        let place = Place {
            record: Some(parsed.len() as u64),
            byte: Some(range.start as u64),
            ..Place::file(path)
        };
        if cut {
            let reason = format!(
                "the file ends inside this record, after {} bytes of it",
                range.len()
            );
            skips.push(Skip { place, reason });
            continue;
        }
        match lines::json(&bytes[range]) {
            Ok(element) => parsed.push((place, element)),
            Err(reason) => skips.push(Skip { place, reason }),
        }
    }
    Ok((parsed, digest))
}

/// Documents under numbers.
struct Pool {
    documents: Vec<String>,
    ids: HashMap<String, usize>,
}

impl Pool {
    fn new(documents: impl Iterator<Item = String>) -> Self {
        let documents: Vec<String> = documents.collect::<BTreeSet<_>>().into_iter().collect();
        let ids = documents.iter().cloned().enumerate().map(|(id, text)| (text, id));
        Self {
            ids: ids.collect(),
            documents,
        }
    }

    fn id(&self, document: &str) -> usize {
        self.ids[document]
    }

    fn finish(self, path: &Path, digest: String, questions: Vec<Question>) -> Result<Questions> {
        if questions.is_empty() {
            return Err(Error::input(
                Place::file(path),
                "there is no question with an answer in it",
            ));
        }
        Ok(Questions {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            digest,
            questions,
            documents: self.documents,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SQUAD: &str = r#"{"version": "v2.0", "data": [
        {"title": "A", "paragraphs": [
            {"context": "a one", "qas": [
                {"question": "q1", "id": "1", "answers": [{"text": "one", "answer_start": 2}, {"text": "a one"}], "is_impossible": false},
                {"question": "q2", "answers": [], "is_impossible": true},
                {"question": "q3", "answers": [], "is_impossible": false}]},
            {"context": "a two", "qas": []}]},
        {"title": "B", "paragraphs": [{"context": "b", "qas": [{"question": "q4", "answers": [{"text": "b"}], "is_impossible": false}]}]}]}"#;

    const HOTPOT: &str = r#"[{"_id": "x", "question": "q1", "answer": "yes", "context": [["T2", ["s1.", " s2."]], ["T1", ["s"]]]},
        {"question": "q2", "answer": 3}, {"question": "q3", "answer": "no", "context": [["T1", ["s"]]]}]"#;

    fn questions(text: &str, read: fn(&Path, &mut Skips) -> Result<Questions>) -> (Result<Questions>, Skips) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("q.json");
        fs::write(&path, text).unwrap();
        let mut skips = Skips::default();
        (read(&path, &mut skips), skips)
    }

    #[test]
    fn answerable_questions_of_squad_know_their_paragraph_and_its_neighbours() {
        let (squad, skips) = questions(SQUAD, Questions::squad);
        let squad = squad.unwrap();
        assert_eq!(squad.documents, ["a one", "a two", "b"]);
        let queries: Vec<&str> = squad.questions.iter().map(|q| q.query.as_str()).collect();
        assert_eq!(queries, ["q1", "q4"]);
        let first = &squad.questions[0];
        assert_eq!(first.answers, ["one", "a one"]);
        assert_eq!((&first.documents[..], &first.related[..]), (&[0][..], &[1][..]));
        assert_eq!(skips.len(), 1);
        assert!(skips[0].reason.contains("q3"), "{}", skips[0].reason);
    }

    #[test]
    fn questions_of_hotpotqa_know_their_documents() {
        let (hotpot, skips) = questions(HOTPOT, Questions::hotpotqa);
        let hotpot = hotpot.unwrap();
        assert_eq!(hotpot.documents, ["T1\ns", "T2\ns1. s2."]);
        assert_eq!(hotpot.questions[0].documents, [1, 0]);
        assert_eq!(hotpot.questions.len(), 2);
        assert_eq!(skips.len(), 1);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_what_is_whole() {
        for (text, read) in [
            (SQUAD, Questions::squad as fn(&Path, &mut Skips) -> _),
            (HOTPOT, Questions::hotpotqa),
        ] {
            let mut n_questions = 0;
            for end in 0..text.len() {
                let (result, skips) = questions(&text[..end], read);
                match result {
                    Ok(result) => {
                        assert!(result.questions.len() >= n_questions);
                        n_questions = result.questions.len();
                        assert!(!skips.is_empty(), "the cut at {end} is reported");
                    }
                    Err(error) => assert_eq!(error.exit_code() as u8, 3, "{error}"),
                }
            }
            assert!(n_questions >= 1);
        }
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "text", "{\"a\": 1}", "[]", "[1, 2]", "{\"data\": 3}", "\u{0}"] {
            let (result, _) = questions(text, Questions::squad);
            assert!(result.is_err(), "{text:?}");
        }
    }
}
