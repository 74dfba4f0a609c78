//! What became of the records that were met: the first lines of the ledger.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Place, Result};
use crate::recipe::{Limits, OnBadRecord};

/// How many bad records are described, not only counted.
pub(super) const N_DESCRIBED: usize = 5;

/// How many records were met, and what became of them.
///
/// `n_records` = records that became documents + `n_filtered` + `n_bad`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All records met.
    pub n_records: u64,
    /// Records left out because the recipe's `where` is not true for them.
    pub n_filtered: u64,
    /// Records that cannot be used.
    pub n_bad: u64,
    /// Bad records by reason: `json`, `text_missing`, `too_large`, …
    pub bad: BTreeMap<String, u64>,
    /// Documents in which invalid sequences became U+FFFD.
    pub n_replaced: u64,
    /// Byte order marks dropped from the start of files.
    pub n_bom: u64,
    /// Plain-text documents in which CR LF became LF.
    pub n_crlf: u64,
    /// Places and reasons of the first bad records, at most five.
    pub first_bad: Vec<String>,
}

impl Counts {
    /// Adds the counts of what comes after.
    pub fn add(&mut self, other: &Self) {
        self.n_records += other.n_records;
        self.n_filtered += other.n_filtered;
        self.n_bad += other.n_bad;
        for (reason, n) in &other.bad {
            *self.bad.entry(reason.clone()).or_default() += n;
        }
        self.n_replaced += other.n_replaced;
        self.n_bom += other.n_bom;
        self.n_crlf += other.n_crlf;
        let room = N_DESCRIBED.saturating_sub(self.first_bad.len());
        self.first_bad.extend(other.first_bad.iter().take(room).cloned());
    }

    /// Checks the bad records against the recipe's limits: none under `fail`, at most
    /// `max_bad_records` under `skip`. Counts that come from an earlier run, under other limits,
    /// need this check before what they belong to is used again.
    ///
    /// # Errors
    /// [`Error::Input`] with the first bad records when there are more than allowed.
    pub fn check(&self, limits: &Limits, path: &Path) -> Result<()> {
        let allowed = match limits.on_bad_record {
            OnBadRecord::Fail => 0,
            OnBadRecord::Skip => limits.max_bad_records.unwrap_or(u64::MAX),
        };
        if self.n_bad <= allowed {
            return Ok(());
        }
        let first = self.first_bad.join("\n  ");
        Err(Error::input(
            Place::file(path),
            format!(
                "{} bad record(s), and the recipe allows {allowed}:\n  {first}\n\
                 hint: mend them, or see `limits.on_bad_record` and `limits.max_bad_records`",
                self.n_bad
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_keeps_the_first_five_places_and_sums_the_rest() {
        let one = Counts {
            n_records: 3,
            n_bad: 3,
            bad: [("json".to_owned(), 3)].into(),
            first_bad: vec!["a".into(), "b".into(), "c".into()],
            ..Counts::default()
        };
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.n_records, sum.bad["json"]), (6, 6));
        assert_eq!(sum.first_bad, ["a", "b", "c", "a", "b"]);
    }

    #[test]
    fn bad_records_of_an_earlier_run_are_refused_under_fail() {
        let counts = Counts {
            n_records: 9,
            n_bad: 1,
            first_bad: vec!["x, line 3".into()],
            ..Counts::default()
        };
        let strict = Limits::default();
        let message = counts
            .check(&strict, Path::new("corpus"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("x, line 3"), "{message}");
        let skip = Limits {
            on_bad_record: OnBadRecord::Skip,
            max_bad_records: Some(1),
            ..strict
        };
        assert!(counts.check(&skip, Path::new("corpus")).is_ok());
    }
}
