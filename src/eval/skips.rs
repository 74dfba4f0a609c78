//! What was left out, in bounded memory.

use std::ops::Deref;

use super::item::Skip;

/// How many are told one by one: a file of other content has as many as it has lines.
const MAX_KEPT: usize = 1000;

/// Records that were left out while files were read.
#[derive(Debug, Default)]
pub(super) struct Skips {
    kept: Vec<Skip>,
    /// The last one that is not kept, and how many there are.
    more: Option<(Skip, u64)>,
}

impl Skips {
    pub(super) fn push(&mut self, skip: Skip) {
        if self.kept.len() < MAX_KEPT {
            self.kept.push(skip);
        } else {
            let n = self.more.as_ref().map_or(0, |(_, n)| *n);
            self.more = Some((skip, n + 1));
        }
    }

    /// All that are kept, and one entry for the others.
    pub(super) fn into_vec(mut self) -> Vec<Skip> {
        if let Some((last, n)) = self.more {
            self.kept.push(Skip {
                reason: format!("{n} more records were left out, this the last: {}", last.reason),
                place: last.place,
            });
        }
        self.kept
    }
}

impl Deref for Skips {
    type Target = [Skip];

    fn deref(&self) -> &[Skip] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    #[test]
    fn many_are_told_in_one_line() {
        let mut skips = Skips::default();
        for line in 1..=1007 {
            let place = Place {
                line: Some(line),
                ..Place::file("x.jsonl")
            };
            skips.push(Skip {
                place,
                reason: "bad".into(),
            });
        }
        let skips = skips.into_vec();
        assert_eq!(skips.len(), 1001);
        let last = skips.last().unwrap();
        assert_eq!(last.place.line, Some(1007));
        assert_eq!(last.reason, "7 more records were left out, this the last: bad");
    }
}
