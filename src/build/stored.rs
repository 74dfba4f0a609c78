//! The stored corpus: what the planner needs of it, and where each token is.

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::error::Result;
use crate::pack::{Corpus, PartLens, SourceRules};
use crate::recipe;
use crate::sequence::Segment;
use crate::source::Counts;
use crate::store::{Documents, StoredPart, TokenFile};

/// All parts of all units, in document order.
pub struct StoredCorpus {
    parts: Vec<Located>,
    eod: u32,
}

/// One part with the numbers its documents have in the whole corpus.
struct Located {
    part: StoredPart,
    /// Index of the unit the part belongs to.
    unit: usize,
    source: usize,
    first_document: u64,
    /// `[n_documents + 1]`: running sum of token counts.
    offsets: Vec<u64>,
    tokens: OnceLock<TokenFile>,
}

impl StoredCorpus {
    /// Reads the document indices of `units`: source and parts of each, in document order. Gives the
    /// lengths for the planner; with `deduplicate`, documents whose text occurred before are marked.
    ///
    /// # Errors
    /// A part is damaged.
    pub fn load(
        units: Vec<(usize, Vec<StoredPart>)>,
        sources: &[recipe::Source],
        deduplicate: bool,
        eod: u32,
    ) -> Result<(Self, Corpus)> {
        let rules = |s: &recipe::Source| SourceRules {
            name: s.name.clone(),
            weight: s.weight,
            epochs: s.epochs,
        };
        let mut corpus = Corpus {
            sources: sources.iter().map(rules).collect(),
            parts: Vec::new(),
        };
        let mut parts = Vec::new();
        let mut seen = HashSet::new();
        let mut first_document = 0;
        for (unit, (source, stored)) in units.into_iter().enumerate() {
            for part in stored {
                let documents = part.documents()?;
                let lens = documents.n_tokens().to_vec();
                let mut duplicates = Vec::new();
                if deduplicate {
                    let repeated = |i: &usize| lens[*i] > 0 && !seen.insert(documents.hash(*i));
                    duplicates = (0..lens.len()).filter(repeated).map(|i| i as u32).collect();
                }
                let offsets = std::iter::once(0)
                    .chain(lens.iter().scan(0, |at, &len| {
                        *at += u64::from(len);
                        Some(*at)
                    }))
                    .collect();
                let n_documents = lens.len() as u64;
                corpus.parts.push(PartLens {
                    source,
                    lens,
                    duplicates,
                });
                parts.push(Located {
                    part,
                    unit,
                    source,
                    first_document,
                    offsets,
                    tokens: OnceLock::new(),
                });
                first_document += n_documents;
            }
        }
        Ok((Self { parts, eod }, corpus))
    }

    /// Number of documents.
    pub fn n_documents(&self) -> u64 {
        self.parts
            .last()
            .map_or(0, |p| p.first_document + p.offsets.len() as u64 - 1)
    }

    /// Copies the tokens of a segment to `out`, the document's EOD included if the segment reaches it.
    ///
    /// # Errors
    /// A part is damaged.
    ///
    /// # Panics
    /// If the segment is not one of a plan over this corpus.
    pub fn fill(&self, segment: &Segment, out: &mut [u32]) -> Result<()> {
        let located = self.locate(segment.document);
        let index = (segment.document - located.first_document) as usize;
        let (from, to) = (located.offsets[index], located.offsets[index + 1]);
        let end = from + segment.start + u64::from(segment.len);
        assert!(end <= to + 1, "a segment ends behind its document and its EOD");
        let n_stored = (end.min(to) - from - segment.start) as usize;
        let (stored, eod) = out.split_at_mut(n_stored);
        eod.fill(self.eod);
        if stored.is_empty() {
            return Ok(());
        }
        located.token_file()?.read(from + segment.start, stored)
    }

    /// Hands every document to `each`, in order: its number, its unit, its source and its part's
    /// index with its place in it.
    ///
    /// # Errors
    /// A part is damaged, or `each` fails.
    pub fn for_each_part(
        &self,
        mut each: impl FnMut(u64, usize, usize, &Documents) -> Result<()>,
    ) -> Result<()> {
        self.parts
            .iter()
            .try_for_each(|l| each(l.first_document, l.unit, l.source, &l.part.documents()?))
    }

    /// What became of records that are no documents, per source.
    pub fn counts(&self, n_sources: usize) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); n_sources];
        self.parts
            .iter()
            .for_each(|l| counts[l.source].add(&l.part.header().counts));
        counts
    }

    fn locate(&self, document: u64) -> &Located {
        let after = self.parts.partition_point(|p| p.first_document <= document);
        // Parts without documents share their first number with the next part; the last one that
        // starts at or before the document is the one that holds it.
        &self.parts[after - 1]
    }
}

impl Located {
    fn token_file(&self) -> Result<&TokenFile> {
        match self.tokens.get() {
            Some(file) => Ok(file),
            None => {
                let file = self.part.tokens()?;
                Ok(self.tokens.get_or_init(|| file))
            }
        }
    }
}
