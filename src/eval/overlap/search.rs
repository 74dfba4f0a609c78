//! The texts of evaluation in memory, and the rows of a dataset that go by.

use super::index::Index;
use super::report::{Passage, TaskOverlap};
use super::units::{Unit, Vocabulary};
use crate::error::Result;
use crate::eval::meter::Meter;
use crate::shard::RowSlices;

/// Characters of a passage that are shown.
const SHOWN: usize = 200;

/// What is kept of a text.
struct Text {
    /// Number of its task.
    task: usize,
    id: String,
}

/// Where the segments of a row stand: position and length of each.
fn segments<'a>(row: &RowSlices<'a>) -> impl Iterator<Item = (usize, usize)> + use<'a> {
    let (lens, starts) = (row.cu_seqlens, row.cu_seqlens_padded.unwrap_or(row.cu_seqlens));
    let lens = lens.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
    starts.iter().map(|&start| start as usize).zip(lens)
}

/// The document at a position of a row.
pub(super) fn document(row: &RowSlices<'_>, position: u32) -> u64 {
    let index = segments(row)
        .take_while(|(start, _)| *start <= position as usize)
        .count();
    row.segment_document[index.saturating_sub(1)]
}

/// The texts of evaluation, and what was met of them.
pub(super) struct Search {
    unit: Unit,
    index: Index,
    vocabulary: Vocabulary,
    tasks: Vec<TaskOverlap>,
    texts: Vec<Text>,
}

impl Search {
    /// No text yet.
    pub(super) fn new(n: usize, unit: Unit) -> Self {
        Self {
            unit,
            index: Index::new(n),
            vocabulary: Vocabulary::default(),
            tasks: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// Adds a text of a task, if there is room for it.
    pub(super) fn add(
        &mut self,
        task: String,
        id: String,
        text: &str,
        meter: &dyn Meter,
        max_units: usize,
    ) -> Result<()> {
        let known = self.tasks.iter().position(|known| known.task == task);
        let index = known.unwrap_or_else(|| {
            self.tasks.push(TaskOverlap::new(task));
            self.tasks.len() - 1
        });
        self.tasks[index].n_texts += 1;
        let units = match self.unit {
            Unit::Tokens => meter.encode(text)?,
            Unit::Words => self.vocabulary.learn(text),
        };
        if self.index.len() + units.len() > max_units {
            self.tasks[index].n_texts_left_out += 1;
            return Ok(());
        }
        self.index.add(&units);
        self.texts.push(Text { task: index, id });
        Ok(())
    }

    /// Ends the adding; rows can be scanned from here on.
    pub(super) fn finish(&mut self) {
        self.index.finish();
    }

    /// Looks for the texts in a row; its number of tokens.
    pub(super) fn scan(&self, row: u64, slices: &RowSlices<'_>, meter: &dyn Meter) -> Result<u64> {
        let mut n_tokens = 0;
        for (start, len) in segments(slices) {
            let tokens = &slices.tokens[start..start + len];
            let place = |position: usize| row << 32 | position as u64;
            match self.unit {
                Unit::Tokens => self.index.meet(tokens, |at| place(start + at)),
                Unit::Words => {
                    let words = self.vocabulary.look_up(meter, tokens)?;
                    self.index.meet(&words, |_| place(start));
                }
            }
            n_tokens += len as u64;
        }
        Ok(n_tokens)
    }

    /// The sums of each task, with its longest passages.
    pub(super) fn tasks(mut self, n_examples: usize, meter: &dyn Meter) -> Result<Vec<TaskOverlap>> {
        for (index, text) in self.texts.iter().enumerate() {
            let met = Met::of(&self.index, index);
            let task = &mut self.tasks[text.task];
            task.n_grams += met.n_grams;
            task.n_grams_met += met.n_met;
            task.n_texts_met += u64::from(met.n_met > 0);
            task.n_texts_mostly_met += u64::from(met.n_met > 0 && 2 * met.n_met >= met.n_grams);
            let Some((from, n, place)) = met.longest else {
                continue;
            };
            let n_units = n + self.index.n() - 1;
            // Ties stay in the order of the texts.
            let rank = task
                .examples
                .partition_point(|other| other.n_units >= n_units as u64);
            if rank < n_examples {
                let shown = &self.index.text(index)[from..][..n_units.min(SHOWN)];
                let passage = Passage {
                    text: text.id.clone(),
                    at: from as u64,
                    n_units: n_units as u64,
                    begins: match self.unit {
                        Unit::Tokens => meter.decode(shown)?,
                        Unit::Words => self.vocabulary.text(shown),
                    },
                    row: place >> 32,
                    position: place as u32,
                    document: 0,
                    source: String::new(),
                    file: String::new(),
                    record: 0,
                };
                task.examples.insert(rank, passage);
                task.examples.truncate(n_examples);
            }
        }
        for passage in self.tasks.iter_mut().flat_map(|task| &mut task.examples) {
            passage.begins = passage.begins.chars().take(SHOWN).collect();
        }
        Ok(self.tasks)
    }
}

/// What was met of one text.
#[derive(Debug, Default)]
struct Met {
    n_grams: u64,
    n_met: u64,
    /// The most n-grams in a row: the first, how many, and its place in the dataset.
    longest: Option<(usize, usize, u64)>,
}

impl Met {
    fn of(index: &Index, text: usize) -> Self {
        let mut met = Self::default();
        let mut run: Option<(usize, u64)> = None;
        for (at, place) in index.places(text).enumerate() {
            met.n_grams += 1;
            met.n_met += u64::from(place.is_some());
            run = place.map(|place| run.unwrap_or((at, place)));
            if let Some((from, place)) = run {
                let n = at - from + 1;
                if met.longest.is_none_or(|(_, most, _)| n > most) {
                    met.longest = Some((from, n, place));
                }
            }
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::Words;

    /// A row of segments, one behind the other.
    fn scan(search: &Search, meter: &dyn Meter, row: u64, texts: &[&str]) -> u64 {
        let (mut tokens, mut cu_seqlens) = (Vec::new(), vec![0]);
        for text in texts {
            tokens.extend(meter.encode(text).unwrap());
            cu_seqlens.push(tokens.len() as i32);
        }
        let documents: Vec<u64> = (0..texts.len() as u64).collect();
        let slices = RowSlices {
            tokens: &tokens,
            cu_seqlens: &cu_seqlens,
            cu_seqlens_padded: None,
            segment_document: &documents,
            segment_start: &vec![0; texts.len()],
            full_attention: false,
        };
        search.scan(row, &slices, meter).unwrap()
    }

    fn search(unit: Unit, meter: &dyn Meter, texts: &[(&str, &str)]) -> Search {
        let mut search = Search::new(3, unit);
        for (i, (task, text)) in texts.iter().enumerate() {
            search
                .add((*task).into(), format!("text {i}"), text, meter, 100)
                .unwrap();
        }
        search.finish();
        search
    }

    #[test]
    fn passages_are_counted_by_task_and_the_longest_are_shown() {
        let meter = Words::default();
        let texts = [
            ("a", "one two three four five"),
            ("a", "six seven eight"),
            ("b", "x y z"),
        ];
        let search = search(Unit::Tokens, &meter, &texts);
        assert_eq!(
            scan(&search, &meter, 5, &["nothing here", "zero two three four five"]),
            7
        );
        scan(&search, &meter, 2, &["q two three four"]);
        let tasks = search.tasks(3, &meter).unwrap();
        let a = &tasks[0];
        assert_eq!((a.n_texts, a.n_texts_met, a.n_texts_mostly_met), (2, 1, 1));
        assert_eq!((a.n_grams, a.n_grams_met), (4, 2));
        let [passage] = &a.examples[..] else {
            panic!("{:?}", a.examples)
        };
        assert_eq!(
            (passage.at, passage.n_units, passage.begins.as_str()),
            (1, 4, " two three four five")
        );
        // The first n-gram stands first in row 2, behind `q`.
        assert_eq!((passage.row, passage.position), (2, 1));
        assert_eq!((tasks[1].n_texts_met, tasks[1].examples.len()), (0, 0));
    }

    #[test]
    fn an_n_gram_over_the_end_of_a_segment_is_no_overlap() {
        let meter = Words::default();
        let search = search(Unit::Tokens, &meter, &[("a", " one two three")]);
        scan(&search, &meter, 0, &[" one two", " three"]);
        assert_eq!(search.tasks(1, &meter).unwrap()[0].n_grams_met, 0);
    }

    #[test]
    fn words_are_found_in_other_case_and_other_white_space() {
        let meter = Words::default();
        let text = "The cat, sat down.";
        for (unit, n) in [(Unit::Tokens, 0), (Unit::Words, 2)] {
            let search = search(unit, &meter, &[("a", text)]);
            scan(&search, &meter, 1, &["x", "so the CAT\nsat   down"]);
            let task = search.tasks(1, &meter).unwrap().remove(0);
            assert_eq!(task.n_grams_met, n);
            if unit == Unit::Words {
                let passage = &task.examples[0];
                assert_eq!(
                    (passage.begins.as_str(), passage.row, passage.position),
                    ("the cat sat down", 1, 1)
                );
            }
        }
    }

    #[test]
    fn texts_beyond_the_room_for_them_are_counted_as_left_out() {
        let meter = Words::default();
        let long = "w ".repeat(60);
        let search = search(Unit::Words, &meter, &[("a", &long), ("a", &long), ("a", "x y z")]);
        let task = search.tasks(1, &meter).unwrap().remove(0);
        assert_eq!((task.n_texts, task.n_texts_left_out), (3, 1));
    }

    #[test]
    fn the_document_at_a_position_is_that_of_its_segment() {
        let row = RowSlices {
            tokens: &[0; 10],
            cu_seqlens: &[0, 3, 5],
            cu_seqlens_padded: Some(&[0, 4, 8]),
            segment_document: &[70, 71],
            segment_start: &[0, 0],
            full_attention: false,
        };
        let documents = [0, 2, 3, 4, 5].map(|position| document(&row, position));
        assert_eq!(documents, [70, 70, 70, 71, 71]);
    }
}
