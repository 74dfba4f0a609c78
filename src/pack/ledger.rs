//! The ledger: the account that shows where every input token went.
//!
//! Both sides of each equation are counted in different places. What was handed to placement
//! (`used`, `repeated`, `overlap`, `truncated`, `eod_added`) is counted where documents are drawn and
//! cut; what came out (`placed`, `placed_times`, padding) is counted from the emitted sequences alone.
//! So [`Ledger::check`] fails when a placement loses or invents a token.
//!
//! Words: a *document* is counted once, however often it is used; an *occurrence* is one use of a
//! document. Token counts are without EOD unless they say otherwise.

use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Class;
use crate::error::{Error, Result};

/// Declares a struct of counts that can be listed and added up field by field, so that a new count
/// cannot be forgotten in a sum.
macro_rules! counts {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)+ }

        impl $name {
            /// Name and value of each count, in order.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),+]
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                // Saturating: a damaged ledger must fail its check, not panic.
                $(self.$field = self.$field.saturating_add(other.$field);)+
            }
        }
    };
}

counts! {
    /// Documents and occurrences.
    ///
    /// `read = bad + filtered + empty + duplicate + too_short + too_long + long_dropped + unselected + used`
    /// and `used + repeated = placed_times + tail_dropped`.
    Documents {
        /// Records of the input files.
        read,
        /// Records without usable text.
        bad,
        /// Left out by the source's `where`.
        filtered,
        /// Without a token.
        empty,
        /// Same text as an earlier document.
        duplicate,
        /// Fewer tokens than `min_len`.
        too_short,
        /// More tokens than `max_len`.
        too_long,
        /// Longer than a sequence, EOD included, under `long_documents: drop`.
        long_dropped,
        /// Usable, but more than the mixture asks for.
        unselected,
        /// Handed to placement at least once.
        used,
        /// Occurrences beyond the first of each document.
        repeated,
        /// Occurrences whose beginning is in a sequence.
        placed_times,
        /// Occurrences cut into more than one segment.
        split,
        /// Occurrences that lost their end to `long_documents: truncate`.
        truncated,
        /// Occurrences that lie wholly in the dropped tail.
        tail_dropped,
    }
}

counts! {
    /// Tokens.
    ///
    /// `read = empty + duplicate + too_short + too_long + long_dropped + unselected + used` and
    /// `used + repeated + overlap + eod_added = placed + truncated + tail_dropped`.
    Tokens {
        /// Tokens of all documents in the token store.
        read,
        /// Of empty documents: always 0, here so that each class of documents has its tokens.
        empty,
        /// Of duplicates.
        duplicate,
        /// Of documents shorter than `min_len`.
        too_short,
        /// Of documents longer than `max_len`.
        too_long,
        /// Of documents dropped by `long_documents: drop`.
        long_dropped,
        /// Of usable documents that the mixture does not ask for.
        unselected,
        /// Of documents handed to placement, each document once.
        used,
        /// Of occurrences beyond the first of each document.
        repeated,
        /// Repeated at the start of a piece by `long_documents: overlap`, EOD included.
        overlap,
        /// Cut off by `long_documents: truncate`.
        truncated,
        /// In the unfinished last sequence that `tail: drop` drops; overlap included.
        tail_dropped,
        /// EOD tokens in sequences. An EOD that is cut off or in the dropped tail is not added.
        eod_added,
        /// In sequences, EOD included.
        placed,
    }
}

counts! {
    /// Bytes of text. `read = used + dropped`.
    Bytes {
        /// Of all documents read.
        read,
        /// Of documents used, each document once.
        used,
        /// Of documents left out.
        dropped,
    }
}

counts! {
    /// Positions of the sequences. `total = placed + padding_align + padding_tail`, where `placed`
    /// are the tokens of all sources.
    Slots {
        /// Number of sequences.
        sequences,
        /// Positions per sequence.
        seq_len,
        /// `sequences × seq_len`.
        total,
        /// Padding between segments, by `align`.
        padding_align,
        /// Padding behind the last segment of a sequence.
        padding_tail,
    }
}

/// What became of the documents of one source, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Documents and occurrences.
    pub documents: Documents,
    /// Tokens.
    pub tokens: Tokens,
    /// Bytes of text; the planner, which sees no text, leaves them 0.
    pub bytes: Bytes,
}

/// The account of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceAccount {
    /// The source's name.
    pub name: String,
    /// What became of its documents.
    pub account: Account,
}

/// Where every input token went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// All sources together.
    pub total: Account,
    /// Each source, in the order of the recipe.
    pub sources: Vec<SourceAccount>,
    /// What the sequences consist of.
    pub slots: Slots,
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
    }
}

impl Account {
    /// Counts a document of the store that is not handed to placement.
    pub(super) fn leave_out(&mut self, class: Class, len: u32) {
        let (documents, tokens) = match class {
            Class::Empty => (&mut self.documents.empty, &mut self.tokens.empty),
            Class::Duplicate => (&mut self.documents.duplicate, &mut self.tokens.duplicate),
            Class::TooShort => (&mut self.documents.too_short, &mut self.tokens.too_short),
            Class::TooLong => (&mut self.documents.too_long, &mut self.tokens.too_long),
            Class::LongDropped => (&mut self.documents.long_dropped, &mut self.tokens.long_dropped),
            Class::Unselected => (&mut self.documents.unselected, &mut self.tokens.unselected),
            Class::Eligible => return,
        };
        *documents += 1;
        *tokens += u64::from(len);
    }

    fn check(&self, whose: &str) -> Result<()> {
        let (d, t, b) = (&self.documents, &self.tokens, &self.bytes);
        equal(
            &format!("documents of {whose}"),
            &[("read", d.read)],
            &[
                ("bad", d.bad),
                ("filtered", d.filtered),
                ("empty", d.empty),
                ("duplicate", d.duplicate),
                ("too_short", d.too_short),
                ("too_long", d.too_long),
                ("long_dropped", d.long_dropped),
                ("unselected", d.unselected),
                ("used", d.used),
            ],
        )?;
        equal(
            &format!("occurrences of {whose}"),
            &[("used", d.used), ("repeated", d.repeated)],
            &[("placed_times", d.placed_times), ("tail_dropped", d.tail_dropped)],
        )?;
        equal(
            &format!("tokens of {whose}"),
            &[("read", t.read)],
            &[
                ("empty", t.empty),
                ("duplicate", t.duplicate),
                ("too_short", t.too_short),
                ("too_long", t.too_long),
                ("long_dropped", t.long_dropped),
                ("unselected", t.unselected),
                ("used", t.used),
            ],
        )?;
        equal(
            &format!("tokens of {whose}"),
            &[
                ("used", t.used),
                ("repeated", t.repeated),
                ("overlap", t.overlap),
                ("eod_added", t.eod_added),
            ],
            &[
                ("placed", t.placed),
                ("truncated", t.truncated),
                ("tail_dropped", t.tail_dropped),
            ],
        )?;
        equal(
            &format!("bytes of {whose}"),
            &[("read", b.read)],
            &[("used", b.used), ("dropped", b.dropped)],
        )
    }
}

impl Ledger {
    /// Adds up the sources.
    pub fn new(sources: Vec<SourceAccount>, slots: Slots) -> Self {
        let mut total = Account::default();
        for source in &sources {
            total += source.account;
        }
        Self {
            total,
            sources,
            slots,
        }
    }

    /// Adds records that never reached the token store: they count as read, and as `bad` or
    /// `filtered`.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn add_unstored(&mut self, source: usize, bad: u64, filtered: u64) {
        let documents = Documents {
            read: bad + filtered,
            bad,
            filtered,
            ..Documents::default()
        };
        self.sources[source].account.documents += documents;
        self.total.documents += documents;
    }

    /// Adds bytes of text.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn add_bytes(&mut self, source: usize, bytes: Bytes) {
        self.sources[source].account.bytes += bytes;
        self.total.bytes += bytes;
    }

    /// Tests every equation of the ledger.
    ///
    /// # Errors
    /// [`Error::Ledger`] with the first equation that does not hold, and its numbers.
    pub fn check(&self) -> Result<()> {
        let mut sum = Account::default();
        for source in &self.sources {
            source.account.check(&format!("source `{}`", source.name))?;
            sum += source.account;
        }
        self.total.check("all sources")?;
        let listed = |a: &Account| {
            let named = |what, fields: Vec<_>| fields.into_iter().map(move |(name, n)| (what, name, n));
            named("documents", a.documents.fields())
                .chain(named("tokens", a.tokens.fields()))
                .chain(named("bytes", a.bytes.fields()))
                .collect::<Vec<_>>()
        };
        for ((what, name, total), (_, _, sum)) in listed(&self.total).into_iter().zip(listed(&sum)) {
            equal(
                &format!("{what} `{name}`"),
                &[("total", total)],
                &[("sum over sources", sum)],
            )?;
        }
        let s = &self.slots;
        let product = s.sequences.saturating_mul(s.seq_len);
        equal(
            "slots",
            &[("total", s.total)],
            &[("sequences × seq_len", product)],
        )?;
        equal(
            "slots",
            &[("total", s.total)],
            &[
                ("placed", self.total.tokens.placed),
                ("padding_align", s.padding_align),
                ("padding_tail", s.padding_tail),
            ],
        )
    }
}

/// Fails unless both sums are the same.
fn equal(what: &str, left: &[(&str, u64)], right: &[(&str, u64)]) -> Result<()> {
    let sum = |side: &[(&str, u64)]| side.iter().map(|&(_, n)| u128::from(n)).sum::<u128>();
    if sum(left) == sum(right) {
        return Ok(());
    }
    let shown = |side: &[(&str, u64)]| {
        let terms: Vec<String> = side.iter().map(|(name, n)| format!("{name} {n}")).collect();
        terms.join(" + ")
    };
    Err(Error::Ledger {
        equation: format!(
            "{what}: {} = {} ≠ {} = {}",
            shown(left),
            sum(left),
            sum(right),
            shown(right)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced() -> Ledger {
        let documents = Documents {
            read: 3,
            bad: 1,
            used: 2,
            repeated: 1,
            placed_times: 3,
            ..Documents::default()
        };
        let tokens = Tokens {
            read: 50,
            used: 50,
            repeated: 20,
            eod_added: 3,
            placed: 73,
            ..Tokens::default()
        };
        let bytes = Bytes {
            read: 9,
            used: 8,
            dropped: 1,
        };
        let source = SourceAccount {
            name: "web".into(),
            account: Account {
                documents,
                tokens,
                bytes,
            },
        };
        Ledger::new(
            vec![source],
            Slots {
                sequences: 2,
                seq_len: 40,
                total: 80,
                padding_align: 3,
                padding_tail: 4,
            },
        )
    }

    #[test]
    fn a_ledger_that_balances_passes() {
        balanced().check().unwrap();
        let mut more = balanced();
        more.add_unstored(0, 2, 5);
        more.add_bytes(
            0,
            Bytes {
                read: 7,
                used: 0,
                dropped: 7,
            },
        );
        more.check().unwrap();
        assert_eq!(more.total.documents.read, 10);
    }

    #[test]
    fn one_lost_token_is_an_error_with_its_equation() {
        let mut lost = balanced();
        lost.sources[0].account.tokens.placed -= 1;
        let message = lost.check().unwrap_err().to_string();
        assert!(
            message.contains(
                "tokens of source `web`: used 50 + repeated 20 + overlap 0 + eod_added 3 = 73 ≠ 72"
            ),
            "{message}"
        );
    }

    #[test]
    fn every_equation_can_fail() {
        let damage: [fn(&mut Ledger); 8] = [
            |l| l.sources[0].account.documents.read += 1,
            |l| l.sources[0].account.documents.placed_times += 1,
            |l| l.sources[0].account.tokens.read += 1,
            |l| l.sources[0].account.bytes.dropped += 1,
            |l| l.total.documents.split += 1,
            |l| l.total.tokens.truncated += u64::MAX,
            |l| l.slots.padding_tail -= 1,
            |l| l.slots.sequences += 1,
        ];
        for (i, damage) in damage.into_iter().enumerate() {
            let mut ledger = balanced();
            damage(&mut ledger);
            assert!(ledger.check().is_err(), "damage {i}");
        }
    }

    #[test]
    fn a_ledger_survives_json() {
        let text = serde_json::to_string(&balanced()).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), balanced());
    }
}
