//! Collects what parsing a chunk yields, under the recipe's rule for bad records.

use std::path::Path;

use super::chunk::Parsed;
use super::counts::{Counts, N_DESCRIBED};
use super::record::Record;
use super::rules::Rules;
use crate::error::{Error, Place, Result};
use crate::recipe::OnBadRecord;

/// Why a record cannot be used: a stable word for the counts, and a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Bad {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// A record of `n_bytes`, or of more than the limit when that is all that is known.
    pub(super) fn too_large(n_bytes: Option<u64>, limit: usize) -> Self {
        let message = match n_bytes {
            Some(n) => format!("the record has {n} bytes, and `limits.max_document_bytes` allows {limit}"),
            None => format!("the record has more bytes than `limits.max_document_bytes` allows ({limit})"),
        };
        Self::new("too_large", message)
    }

    /// The error that ends a run under `on_bad_record: fail`.
    pub(super) fn into_error(self, place: Place) -> Error {
        let hint = match self.reason {
            "too_large" => "raise that limit, or leave such records out with `limits.on_bad_record: skip`",
            "invalid_utf8" | "lone_surrogate" => {
                "`text.invalid_utf8: replace` mends such records, `limits.on_bad_record: skip` leaves them out"
            }
            _ => "`limits.on_bad_record: skip` leaves such records out and counts them",
        };
        Error::input(place, format!("{}\nhint: {hint}", self.message))
    }
}

/// What was changed in a text on its way out of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) replaced: bool,
    pub(super) crlf: bool,
}

/// Records and counts of one chunk, while it is parsed.
pub(super) struct Harvest<'a, 'r> {
    rules: &'r Rules,
    path: &'r Path,
    records: Vec<Record<'a>>,
    changes: Vec<Changes>,
    counts: Counts,
}

impl<'a, 'r> Harvest<'a, 'r> {
    pub(super) fn new(rules: &'r Rules, path: &'r Path) -> Self {
        Self {
            rules,
            path,
            records: Vec::new(),
            changes: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn byte_order_mark(&mut self) {
        self.counts.n_bom += 1;
    }

    pub(super) fn document(&mut self, record: Record<'a>, changes: Changes) {
        self.counts.n_records += 1;
        self.records.push(record);
        self.changes.push(changes);
    }

    /// Counts a bad record, or ends the run. `place` needs no path.
    pub(super) fn bad(&mut self, place: Place, bad: Bad) -> Result<()> {
        let place = Place {
            path: self.path.to_owned(),
            ..place
        };
        if self.rules.on_bad_record == OnBadRecord::Fail {
            return Err(bad.into_error(place));
        }
        self.counts.n_records += 1;
        self.counts.n_bad += 1;
        *self.counts.bad.entry(bad.reason.to_owned()).or_default() += 1;
        if self.counts.first_bad.len() < N_DESCRIBED {
            self.counts.first_bad.push(format!("{place}: {}", bad.message));
        }
        Ok(())
    }

    /// Applies the filter. A bad record was counted as bad whatever the filter says of it.
    pub(super) fn finish(mut self) -> Result<Parsed<'a>> {
        if let Some(filter) = &self.rules.filter {
            let keeps = filter.keeps(&self.records).map_err(|message| {
                let place = Place {
                    record: self.records.first().map(|r| r.record),
                    ..Place::file(self.path)
                };
                Error::input(
                    place,
                    format!("failed to evaluate `where` from here on: {message}"),
                )
            })?;
            let n_before = self.records.len();
            let mut keep = keeps.iter();
            self.records.retain(|_| keep.next() == Some(&true));
            let mut keep = keeps.iter();
            self.changes.retain(|_| keep.next() == Some(&true));
            self.counts.n_filtered += (n_before - self.records.len()) as u64;
        }
        for change in &self.changes {
            self.counts.n_replaced += u64::from(change.replaced);
            self.counts.n_crlf += u64::from(change.crlf);
        }
        Ok(Parsed {
            records: self.records,
            counts: self.counts,
        })
    }
}
