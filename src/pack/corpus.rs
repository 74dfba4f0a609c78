//! What the planner knows of the documents: lengths, nothing else.
//!
//! Documents are numbered through all parts in order; that number is the document's row in
//! `documents.parquet` and the `document` of every segment.

use super::rules::{Class, Rules};

/// All documents, as lengths.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corpus {
    /// What the recipe says about each source.
    pub sources: Vec<SourceRules>,
    /// The token store's immutable parts in document order.
    pub parts: Vec<PartLens>,
}

/// What the recipe says about how much of a source is used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceRules {
    /// The source's name.
    pub name: String,
    /// Share in the mixture, before normalisation. All sources have one or none has.
    pub weight: Option<f64>,
    /// How often each document is used; 1 if absent.
    pub epochs: Option<f64>,
}

/// The lengths of one part of the token store. A part belongs to one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartLens {
    /// Index into [`Corpus::sources`].
    pub source: usize,
    /// `[n_documents]`: tokens of each document, without EOD; 0 = empty document.
    pub lens: Vec<u32>,
    /// Ascending indices into `lens` of documents whose text occurred before; empty unless
    /// deduplication is on.
    pub duplicates: Vec<u32>,
}

/// The corpus with documents numbered: finds a document's part in constant time, for parts of any
/// sizes.
///
/// A coarse table narrows the search to the parts that begin in one of at most 65,536 equal ranges of
/// documents; a binary search over all parts would cost more than a placement does.
pub(super) struct Numbered<'a> {
    corpus: &'a Corpus,
    /// `[n_parts + 1]`: the first document of each part, then the number of documents.
    first: Vec<u64>,
    /// The part that holds document `i << shift`.
    coarse: Vec<u32>,
    shift: u32,
}

impl<'a> Numbered<'a> {
    pub(super) fn new(corpus: &'a Corpus) -> Self {
        let mut first = Vec::with_capacity(corpus.parts.len() + 1);
        let mut n_documents = 0;
        for part in &corpus.parts {
            first.push(n_documents);
            n_documents += part.lens.len() as u64;
        }
        first.push(n_documents);
        let shift = (u64::BITS - n_documents.leading_zeros()).saturating_sub(16);
        let coarse = (0..=n_documents >> shift)
            .map(|i| first[1..].partition_point(|&end| end <= i << shift) as u32)
            .collect();
        Self {
            corpus,
            first,
            coarse,
            shift,
        }
    }

    /// The sources.
    pub(super) fn sources(&self) -> &'a [SourceRules] {
        &self.corpus.sources
    }

    /// The source of each part.
    pub(super) fn part_sources(&self) -> impl Iterator<Item = usize> {
        self.corpus.parts.iter().map(|part| part.source)
    }

    /// Number, length and class of each document of a part, in order.
    pub(super) fn documents(&self, part: usize, rules: &Rules) -> impl Iterator<Item = (u64, u32, Class)> {
        let PartLens { lens, duplicates, .. } = &self.corpus.parts[part];
        let first = self.first[part];
        let mut duplicates = duplicates.iter().map(move |&i| first + u64::from(i)).peekable();
        (first..).zip(lens).map(move |(document, &len)| {
            let duplicate = duplicates.next_if_eq(&document).is_some();
            (document, len, rules.class(len, duplicate))
        })
    }

    /// The source of a document.
    pub(super) fn source(&self, document: u64) -> usize {
        self.corpus.parts[self.part(document)].source
    }

    /// Tokens of a document, without EOD.
    pub(super) fn len(&self, document: u64) -> u32 {
        let part = self.part(document);
        self.corpus.parts[part].lens[(document - self.first[part]) as usize]
    }

    fn part(&self, document: u64) -> usize {
        let cell = (document >> self.shift) as usize;
        let from = self.coarse[cell] as usize;
        if document < self.first[from + 1] {
            return from;
        }
        let to = self
            .coarse
            .get(cell + 1)
            .map_or(self.first.len() - 1, |&part| part as usize + 1);
        from + self.first[from + 1..to].partition_point(|&end| end <= document)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{corpus_of, rules};
    use super::*;

    #[test]
    fn a_document_is_found_in_parts_of_any_sizes() {
        let sizes = [0, 3, 0, 0, 200_000, 1, 0, 1, 1, 70_000, 0];
        let part = |n| PartLens {
            lens: vec![1; n],
            ..PartLens::default()
        };
        let corpus = Corpus {
            sources: vec![],
            parts: sizes.map(part).into(),
        };
        let numbered = Numbered::new(&corpus);
        let mut document = 0;
        for (part, n) in sizes.into_iter().enumerate() {
            for _ in 0..n {
                assert_eq!(numbered.part(document), part, "document {document}");
                document += 1;
            }
        }
    }

    #[test]
    fn a_duplicate_is_known_by_its_index_in_its_part() {
        let mut corpus = corpus_of(vec![(0, vec![7, 8]), (0, vec![9, 10, 11])]);
        corpus.parts[1].duplicates = vec![0, 2];
        let numbered = Numbered::new(&corpus);
        let documents: Vec<_> = numbered.documents(1, &rules(100)).collect();
        assert_eq!(
            documents,
            [
                (2, 9, Class::Duplicate),
                (3, 10, Class::Eligible),
                (4, 11, Class::Duplicate)
            ]
        );
        assert_eq!(numbered.len(3), 10);
    }
}
