//! Question answering: the documents of a question among others.

use std::collections::HashSet;

use super::questions::Questions;
use super::{Generate, Sample};
use crate::eval::draw::Draw;
use crate::eval::suite::Suite;

/// One question of the tasks `qa_squad` and `qa_hotpotqa`.
pub(super) struct Answering<'a> {
    pub suite: Suite,
    pub questions: &'a Questions,
    /// Number of the question.
    pub index: usize,
}

impl Answering<'_> {
    /// Numbers of `n` documents: those of the question, then its neighbours, then any.
    fn documents(&self, n: usize, draw: &mut Draw) -> Vec<usize> {
        let question = &self.questions.questions[self.index];
        let n_documents = self.questions.documents.len();
        if n >= n_documents {
            let n = if self.suite == Suite::Official {
                n
            } else {
                n_documents
            };
            return (0..n).map(|i| i % n_documents).collect();
        }
        let mut documents = question.documents.clone();
        let wanted = n.saturating_sub(documents.len());
        if wanted <= question.related.len() {
            let drawn = draw.sample(question.related.len(), wanted);
            documents.extend(drawn.into_iter().map(|i| question.related[i]));
            return documents;
        }
        documents.extend(&question.related);
        let taken: HashSet<usize> = documents.iter().copied().collect();
        let others: Vec<usize> = (0..n_documents).filter(|i| !taken.contains(i)).collect();
        let drawn = draw.sample(others.len(), n.saturating_sub(documents.len()));
        documents.extend(drawn.into_iter().map(|i| others[i]));
        documents
    }
}

impl Generate for Answering<'_> {
    /// Source: RULER's `qa` template.
    fn generate(&self, n_units: usize, draw: &mut Draw) -> Sample {
        let question = &self.questions.questions[self.index];
        let mut documents = self.documents(n_units, draw);
        draw.shuffle(&mut documents);
        let texts = documents.iter().enumerate();
        let texts = texts.map(|(i, &id)| format!("Document {}:\n{}", i + 1, self.questions.documents[id]));
        let context = texts.collect::<Vec<_>>().join("\n\n");
        let instruction = "Answer the question based on the given documents. Only give me the answer and do not output any other words.";
        Sample {
            prompt: format!(
                "{instruction}\n\nThe following are given documents.\n\n{context}\n\n{instruction}\n\nQuestion: {} Answer:",
                question.query
            ),
            references: question.answers.clone(),
        }
    }

    fn max_units(&self) -> usize {
        match self.suite {
            Suite::Official => usize::MAX,
            Suite::Port => self.questions.documents.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::ruler::questions::Question;

    fn questions() -> Questions {
        Questions {
            name: "q.json".into(),
            digest: String::new(),
            questions: vec![Question {
                query: "who?".into(),
                answers: vec!["me".into()],
                documents: vec![4],
                related: vec![5, 6],
            }],
            documents: (0..10).map(|i| format!("text {i}")).collect(),
        }
    }

    fn prompt(suite: Suite, n: usize) -> String {
        let questions = questions();
        let answering = Answering {
            suite,
            questions: &questions,
            index: 0,
        };
        answering.generate(n, &mut Draw::new(1, "test", 0)).prompt
    }

    #[test]
    fn the_question_s_document_is_there_and_its_neighbours_come_first() {
        for n in 1..=9 {
            let prompt = prompt(Suite::Port, n);
            assert_eq!(prompt.matches("Document ").count(), n, "{n}");
            assert!(prompt.contains(":\ntext 4\n"));
            let n_related = ["text 5", "text 6"]
                .iter()
                .filter(|text| prompt.contains(*text))
                .count();
            assert_eq!(n_related, (n - 1).min(2));
        }
        assert!(prompt(Suite::Port, 3).ends_with("\n\nQuestion: who? Answer:"));
    }

    #[test]
    fn the_port_ends_with_all_documents_and_the_official_generator_repeats_them() {
        assert_eq!(prompt(Suite::Port, 25).matches("Document ").count(), 10);
        assert_eq!(prompt(Suite::Official, 25).matches("Document ").count(), 25);
        assert_eq!(prompt(Suite::Official, 25).matches(":\ntext 4\n").count(), 3);
    }
}
