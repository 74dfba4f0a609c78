//! What is hidden, and how it is asked for.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Place, Result};
use crate::eval::draw::Draw;
use crate::eval::item::Skip;
use crate::eval::lines::Lines;
use crate::eval::skips::Skips;

/// Name of the made-up needles, for results.
const SYNTHETIC: &str = "numbers-of-towns-1";

/// Towns of made-up needles: names that stand in no text.
const TOWNS: [&str; 24] = [
    "Abrindel",
    "Borsweth",
    "Calvenor",
    "Dornick Vale",
    "Eskermouth",
    "Fennaby",
    "Garrowick",
    "Hallenstead",
    "Ilverdon",
    "Jarrowmere",
    "Kestrigg",
    "Lowenby",
    "Marlisham",
    "Nethercombe",
    "Orrinford",
    "Pellowick",
    "Quenby",
    "Rosterleigh",
    "Sundermere",
    "Tavenholt",
    "Ulverby",
    "Vennick",
    "Wexley Down",
    "Yarmsworth",
];

/// Where a published question tells the form of its answer.
const FORMAT: &str = "Please answer in the format";

/// What the benchmark puts before it.
const ADVICE: &str =
    "Before answering, please consider what in the document is most relevant to this question.";

/// A sentence to hide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needle {
    /// The sentence.
    pub text: String,
    /// The question, with the beginning of its answer: a base model goes on from there.
    pub question: String,
    /// What a right answer contains.
    pub keyword: String,
}

/// Where needles come from.
#[derive(Debug)]
pub(super) enum Needles {
    /// The English ones of a file.
    File {
        name: String,
        digest: String,
        needles: Vec<Needle>,
    },
    /// A town and a number of seven digits.
    Synthetic,
}

#[derive(Deserialize)]
struct Record {
    needle: String,
    retrieval_question: String,
    arg2: String,
    language: String,
}

impl Needles {
    /// The English needles of a file in the form of NeedleBench's `needles.jsonl`: `needle`,
    /// `retrieval_question`, `arg2` (the keyword), `language`.
    ///
    /// # Errors
    /// The file cannot be read or has no English needle.
    pub(super) fn read(path: &Path, skips: &mut Skips) -> Result<Self> {
        let mut lines = Lines::open(path)?;
        let mut needles = Vec::new();
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let needle = line.parse::<Record>().and_then(|record| {
                needle(record).map_err(|reason| Skip {
                    place: line.place.clone(),
                    reason: reason.into(),
                })
            });
            match needle {
                Ok(Some(needle)) => needles.push(needle),
                Ok(None) => {}
                Err(skip) => skips.push(skip),
            }
        }
        if needles.is_empty() {
            let message = "it has no English needle\nhint: each line is an object with `needle`, `retrieval_question`, `arg2` and `language`";
            return Err(Error::input(Place::file(path), message));
        }
        Ok(Self::File {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            digest: lines.digest(),
            needles,
        })
    }

    /// The needle of a repeat: the same for every length and depth.
    pub(super) fn draw(&self, seed: u64, repeat: u32) -> Needle {
        let mut draw = Draw::new(seed, "niah/needle", u64::from(repeat));
        match self {
            Self::File { needles, .. } => draw.choice(needles).clone(),
            Self::Synthetic => {
                let town = draw.choice(&TOWNS);
                let number = 1_000_000 + draw.below(9_000_000);
                Needle {
                    text: format!("The registry number of {town} is {number}."),
                    question: format!(
                        "What is the registry number of {town}? {ADVICE} The registry number of {town} is"
                    ),
                    keyword: number.to_string(),
                }
            }
        }
    }

    /// All needles of a file.
    pub(super) fn of_file(&self) -> &[Needle] {
        match self {
            Self::File { needles, .. } => needles,
            Self::Synthetic => &[],
        }
    }

    /// What they are, for results.
    pub(super) fn settings(&self) -> serde_json::Value {
        match self {
            Self::File {
                name,
                digest,
                needles,
            } => {
                json!({ "file": name, "digest": digest, "n_needles": needles.len() })
            }
            Self::Synthetic => json!({ "synthetic": SYNTHETIC }),
        }
    }
}

/// An English needle; `None` if it is in another language.
fn needle(record: Record) -> Result<Option<Needle>, &'static str> {
    if record.language != "English" {
        return Ok(None);
    }
    if record.needle.trim().is_empty() || record.arg2.is_empty() {
        return Err("an empty `needle` or `arg2`");
    }
    let question = question(&record.retrieval_question)
        .ok_or("`retrieval_question` does not contain `Please answer in the format '`")?;
    Ok(Some(Needle {
        text: record.needle,
        question,
        keyword: record.arg2,
    }))
}

/// The question with its advice and the answer's beginning, without the blank to be filled in.
///
/// Source: `_modify_retrieval_question` and the end of the prompt in OpenCompass's `NeedleBenchOriginDataset`.
fn question(published: &str) -> Option<String> {
    let (asked, format) = published.split_once(FORMAT)?;
    let answer = format.strip_prefix(" '")?;
    // The blank: eight underscores, a full stop and a quote.
    let end = answer.char_indices().rev().nth(9)?.0;
    Some(format!("{asked}{ADVICE} {}", &answer[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "What legendary item is hidden on Emerald Island? Please answer in the format 'The legendary item hidden on the Emerald Island is________.'";

    #[test]
    fn a_question_ends_where_a_base_model_goes_on() {
        let expected = "What legendary item is hidden on Emerald Island? Before answering, please consider what in the document is most relevant to this question. The legendary item hidden on the Emerald Island is";
        assert_eq!(question(PUBLISHED).as_deref(), Some(expected));
        assert_eq!(question("What? Please answer in the format 'x.'"), None);
        assert_eq!(question("What?"), None);
    }

    #[test]
    fn needles_of_other_languages_are_passed_over_and_broken_lines_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("needles.jsonl");
        let line = |needle: &str, question: &str, language: &str| json!({ "needle": needle, "retrieval_question": question, "arg2": "K", "language": language });
        let lines = [
            line("Hidden is K.", PUBLISHED, "English").to_string(),
            line("K", "?", "Chinese").to_string(),
            line("No form.", "What?", "English").to_string(),
            "{\"needle\": 3}".into(),
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let mut skips = Skips::default();
        let needles = Needles::read(&path, &mut skips).unwrap();
        assert_eq!(needles.of_file().len(), 1);
        let lines: Vec<Option<u64>> = skips.iter().map(|skip| skip.place.line).collect();
        assert_eq!(lines, [Some(3), Some(4)]);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Needles::read(&path, &mut skips).is_err());
    }

    #[test]
    fn made_up_needles_ask_for_what_they_hide() {
        let needle = Needles::Synthetic.draw(1, 0);
        assert!(needle.text.ends_with(&format!("{}.", needle.keyword)));
        assert!(
            needle
                .question
                .ends_with(needle.text.split(&needle.keyword).next().unwrap().trim_end())
        );
        assert_eq!(needle, Needles::Synthetic.draw(1, 0));
        assert_ne!(needle.keyword, Needles::Synthetic.draw(1, 1).keyword);
        assert_ne!(needle.keyword, Needles::Synthetic.draw(2, 0).keyword);
    }
}
