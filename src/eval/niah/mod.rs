//! Needle in a haystack: one sentence in a long text, asked for at its end.
//!
//! The rules are those of NeedleBench's `origin_en` task in OpenCompass, in the variant of UltraLLaDA's
//! evaluation: lengths × depths × repeats, where a repeat has its own order of documents and its own needle,
//! the same in every cell. Without files, haystack and needles are made up, and results say so.
//!
//! The order of the documents and the needle of a repeat come from this project's own random numbers, so
//! prompts equal the published ones in rule, not letter by letter.

mod context;
mod grid;
mod needles;
mod settings;

use std::sync::OnceLock;

use serde_json::json;

use super::draw::{Draw, SCHEME};
use super::gold::{Gold, Metric};
use super::haystack::Haystack;
use super::item::{Benchmark, Case, EvalText, Item, Outcome, Skip};
use super::meter::Meter;
use super::skips::Skips;
use super::table::Table;
use crate::error::{Error, Place, Result};
use grid::grid;
use needles::{Needle, Needles};

pub use settings::NiahSettings;

/// Whose rules the prompts follow.
const RULES: &str = "needlebench origin_en";

/// The only task.
const TASK: &str = "niah";

/// Needle in a haystack.
pub struct Niah<'a> {
    meter: &'a dyn Meter,
    settings: NiahSettings,
    haystack: Haystack,
    needles: Needles,
    skips: Vec<Skip>,
    /// Tokens of the documents of a file, once they are needed.
    tokens: Vec<OnceLock<Vec<u32>>>,
}

impl<'a> Niah<'a> {
    /// Reads the files, and checks that every prompt can be made.
    ///
    /// # Errors
    /// A setting is out of range, a file cannot be used, or the haystack is too short for a length.
    pub fn new(settings: NiahSettings, meter: &'a dyn Meter) -> Result<Self> {
        settings.check()?;
        let mut skips = Skips::default();
        let haystack = match &settings.haystack {
            Some(path) => Haystack::read(path, &mut skips)?,
            None => Haystack::Synthetic { seed: settings.seed },
        };
        let needles = match &settings.needles {
            Some(path) => Needles::read(path, &mut skips)?,
            None => Needles::Synthetic,
        };
        let tokens = std::iter::repeat_with(OnceLock::new)
            .take(haystack.n_documents().unwrap_or(0))
            .collect();
        let niah = Self {
            meter,
            settings,
            haystack,
            needles,
            skips: skips.into_vec(),
            tokens,
        };
        niah.check_room()?;
        Ok(niah)
    }

    /// Whether the shortest length has room for the prompt, and the haystack has text for the longest.
    fn check_room(&self) -> Result<()> {
        let lengths = &self.settings.lengths;
        let (shortest, longest) = (lengths.iter().min(), lengths.iter().max());
        let (shortest, longest) = (*shortest.expect("checked"), *longest.expect("checked"));
        let mut most = 0;
        for repeat in 0..self.settings.repeats {
            let needle = self.needles.draw(self.settings.seed, repeat);
            self.room(shortest, &needle)?;
            most = most.max(self.room(longest, &needle)?);
        }
        let mut n_tokens = 0;
        for index in 0..self.tokens.len() {
            n_tokens += self.document(index)?.len();
            if n_tokens >= most {
                return Ok(());
            }
        }
        if self.tokens.is_empty() {
            return Ok(());
        }
        let path = self.settings.haystack.clone().unwrap_or_default();
        let message = format!(
            "the haystack has {n_tokens} tokens, a prompt of {longest} needs {most}\nhint: ask for shorter lengths or give a longer haystack"
        );
        Err(Error::input(Place::file(path), message))
    }

    /// Tokens of haystack in a prompt of `length` tokens with `needle`.
    fn room(&self, length: u32, needle: &Needle) -> Result<usize> {
        let needle_len = self.meter.count(&framed(&needle.text))?;
        let reserve = match self.settings.reserve {
            Some(reserve) => reserve as usize,
            None => self.meter.count(&prompt("", &needle.question))? + self.settings.max_new_tokens as usize,
        };
        let room = (length as usize).checked_sub(reserve + needle_len);
        room.filter(|&room| room > 0).ok_or_else(|| {
            Error::usage(format!(
                "a length of {length} tokens leaves no room for a haystack: {reserve} are reserved and the needle takes {needle_len}\nhint: ask for longer prompts or reserve less"
            ))
        })
    }

    /// The tokens of a document of the haystack's file.
    fn document(&self, index: usize) -> Result<&[u32]> {
        let slot = &self.tokens[index];
        if let Some(tokens) = slot.get() {
            return Ok(tokens);
        }
        let tokens = self.meter.encode(&self.haystack.document(index))?;
        Ok(slot.get_or_init(|| tokens))
    }

    /// The first `n` tokens of the documents in the order of a repeat.
    fn hay(&self, repeat: u32, n: usize) -> Result<Vec<u32>> {
        let mut tokens = Vec::with_capacity(n);
        let repeat = u64::from(repeat);
        match self.haystack.n_documents() {
            Some(n_documents) => {
                let mut order: Vec<usize> = (0..n_documents).collect();
                Draw::new(self.settings.seed, "niah/documents", repeat).shuffle(&mut order);
                for index in order {
                    if tokens.len() >= n {
                        break;
                    }
                    tokens.extend_from_slice(self.document(index)?);
                }
            }
            None => {
                let mut index = (repeat as usize) << 32;
                while tokens.len() < n {
                    let text = format!("{}\n\n", self.haystack.document(index));
                    tokens.extend(self.meter.encode(&text)?);
                    index += 1;
                }
            }
        }
        tokens.truncate(n);
        let end = context::boundary(self.meter, &tokens, tokens.len())?;
        tokens.truncate(end);
        Ok(tokens)
    }

    /// The prompt, shortened as long as it is over its length: joined texts may have more tokens than
    /// their parts.
    fn fitting(&self, case: &Case, needle: &Needle) -> Result<String> {
        let length = case.length.expect("every case has one");
        let depth = case.depth.expect("every case has one");
        let inserted = self.meter.encode(&framed(&needle.text))?;
        let mut room = self.room(length, needle)?;
        loop {
            let hay = self.hay(case.repeat, room)?;
            let text = context::insert(self.meter, &hay, &inserted, depth)?;
            let prompt = prompt(&text, &needle.question);
            let n_tokens = self.meter.count(&prompt)? + self.settings.max_new_tokens as usize;
            let Some(over) = n_tokens.checked_sub(length as usize).filter(|&over| over > 0) else {
                self.check_once(&text, needle)?;
                return Ok(prompt);
            };
            room = room.checked_sub(over).filter(|&room| room > 0).ok_or_else(|| {
                Error::usage(format!(
                    "no prompt of {length} tokens can be made: instruction, question and answer take {over} more"
                ))
            })?;
        }
    }

    /// Whether the haystack gives the answer nowhere but in the needle.
    fn check_once(&self, text: &str, needle: &Needle) -> Result<()> {
        let in_needle = needle.text.matches(&needle.keyword).count();
        let wrong = match text.matches(&needle.text).count() {
            0 => "does not survive the tokenizer",
            1 if text.matches(&needle.keyword).count() == in_needle => return Ok(()),
            _ => "is answered by the haystack as well",
        };
        let path = self.settings.haystack.clone().unwrap_or_default();
        let keyword = &needle.keyword;
        let message = format!("the needle about {keyword:?} {wrong}\nhint: use other needles");
        Err(Error::input(Place::file(path), message))
    }
}

impl Benchmark for Niah<'_> {
    fn name(&self) -> &'static str {
        "niah"
    }

    fn settings(&self) -> serde_json::Value {
        let settings = &self.settings;
        json!({
            "rules": RULES,
            "lengths": settings.lengths,
            "depths": settings.depths,
            "repeats": settings.repeats,
            "seed": settings.seed,
            "random": SCHEME,
            "haystack": self.haystack.settings(),
            "needles": self.needles.settings(),
            "reserve": settings.reserve,
            "max_new_tokens": settings.max_new_tokens,
        })
    }

    fn identity(&self, _: &Case) -> serde_json::Value {
        let settings = &self.settings;
        json!({
            "rules": RULES,
            "seed": settings.seed,
            "random": SCHEME,
            "haystack": self.haystack.settings(),
            "needles": self.needles.settings(),
            "reserve": settings.reserve,
            "max_new_tokens": settings.max_new_tokens,
        })
    }

    fn skips(&self) -> &[Skip] {
        &self.skips
    }

    fn n_cases(&self) -> usize {
        let settings = &self.settings;
        settings.lengths.len() * settings.depths.len() * settings.repeats as usize
    }

    fn case(&self, index: usize) -> Case {
        assert!(index < self.n_cases(), "prompt {index} of {}", self.n_cases());
        let (repeats, n_depths) = (self.settings.repeats as usize, self.settings.depths.len());
        let length = self.settings.lengths[index / repeats / n_depths];
        let depth = self.settings.depths[index / repeats % n_depths];
        let repeat = (index % repeats) as u32;
        Case {
            id: format!("{length}/{depth}/{repeat}"),
            task: TASK.into(),
            length: Some(length),
            depth: Some(depth),
            repeat,
        }
    }

    fn item(&self, index: usize) -> Result<Item> {
        let case = self.case(index);
        let needle = self.needles.draw(self.settings.seed, case.repeat);
        let prompt = self.fitting(&case, &needle)?;
        Ok(Item {
            case,
            prompt,
            gold: Gold::new(Metric::Needle, vec![needle.keyword, framed(&needle.text)]),
            max_new_tokens: self.settings.max_new_tokens,
            max_prompt_len: None,
        })
    }

    fn tables(&self, outcomes: &[Outcome]) -> Vec<Table> {
        let exact = |outcome: &Outcome| 100.0 * f64::from(u8::from(outcome.score.exact == Some(true)));
        let axes = (&*self.settings.depths, &*self.settings.lengths);
        let title = "answers with the keyword, in percent";
        vec![
            grid("score", "NeedleBench score", axes, outcomes, |outcome| {
                outcome.score.value
            }),
            grid("exact", title, axes, outcomes, exact),
        ]
    }

    fn texts(&self) -> Box<dyn Iterator<Item = Result<EvalText>> + '_> {
        let needles = self.needles.of_file().iter().enumerate();
        let needles = needles.map(|(index, needle)| EvalText {
            task: TASK.into(),
            id: format!("needle {index}"),
            text: format!("{}\n{}", needle.text, needle.question),
        });
        Box::new(self.haystack.texts(TASK).chain(needles).map(Ok))
    }
}

/// The needle as it is put into the haystack.
fn framed(needle: &str) -> String {
    format!("\n{needle}\n")
}

/// Source: the English prompt of OpenCompass's `NeedleBenchOriginDataset`, question at the end.
fn prompt(text: &str, question: &str) -> String {
    format!(
        "You are an intelligent AI assistant skilled in answering user questions.\nPlease keep your answers concise and clear. Do not talk about irrelevant topics or repeat your answers.\nThe document given to you by the user is {text}\n\nNow, the question is: {question}"
    )
}

#[cfg(test)]
mod tests;
