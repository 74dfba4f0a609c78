//! Rules about packing: lengths that must fit together, and choices that exclude each other.

use super::Check;
use crate::recipe::findings::Step::{self, Item, Key};
use crate::recipe::report::Code;
use crate::recipe::types::{Boundary, LongDocuments, Placement, Tail};

impl Check<'_, '_> {
    /// Calls `rule` with each sequence length and its place.
    fn each_seq_len(&mut self, mut rule: impl FnMut(&mut Self, usize, u32, &[Step<'_>])) {
        let recipe = self.recipe;
        for (index, len) in recipe.pack.seq_len.all().iter().enumerate() {
            rule(self, index, *len, &[Key("pack"), Key("seq_len"), Item(index)]);
        }
    }

    pub(super) fn seq_len(&mut self) {
        let pack = &self.recipe.pack;
        self.each_seq_len(|check, index, len, place| {
            if pack.seq_len.all()[..index].contains(&len) {
                check.error(
                    Code::Twice,
                    place,
                    format!("sequence length {len} is listed twice"),
                    "remove one",
                );
            }
            if pack.align > len {
                let message = format!(
                    "`pack.align: {}` is more than a sequence of {len} tokens",
                    pack.align
                );
                check.error(Code::Lengths, &[Key("pack"), Key("align")], message, "");
            }
        });
        if let (Some(min), Some(max)) = (pack.min_len, pack.max_len)
            && min > max
        {
            let message = format!("`pack.min_len: {min}` is more than `pack.max_len: {max}`");
            self.error(
                Code::Lengths,
                &[Key("pack"), Key("min_len")],
                message,
                "no document passes both",
            );
        }
    }

    pub(super) fn long_documents(&mut self) {
        let pack = &self.recipe.pack;
        let overlap = [Key("pack"), Key("overlap")];
        if pack.long_documents != LongDocuments::Overlap {
            if pack.overlap > 0 {
                let message = "`pack.overlap` is set, but long documents are not cut with overlap";
                self.error(
                    Code::Contradiction,
                    &overlap,
                    message,
                    "add `long_documents: overlap`, or remove it",
                );
            }
            return;
        }
        if pack.overlap == 0 {
            let message = "`long_documents: overlap` needs `overlap`, the number of tokens to repeat";
            let place = if self.findings.given("pack", "overlap") {
                "overlap"
            } else {
                "long_documents"
            };
            self.error(
                Code::MissingKey,
                &[Key("pack"), Key(place)],
                message,
                "for example `overlap: 1024`",
            );
        }
        self.each_seq_len(|check, _, len, _| {
            if pack.overlap >= len {
                let message = format!(
                    "`pack.overlap: {}` leaves nothing new in a sequence of {len}",
                    pack.overlap
                );
                check.error(Code::Lengths, &overlap, message, "must be less than `seq_len`");
            }
        });
    }

    pub(super) fn placement(&mut self) {
        let pack = &self.recipe.pack;
        let align = [Key("pack"), Key("align")];
        if pack.tail == Tail::Drop && pack.placement != Placement::Stream {
            let message = "`tail: drop` is for `placement: stream` only";
            let label = "other placements leave room in many sequences, not in the last one";
            self.error(Code::Contradiction, &[Key("pack"), Key("tail")], message, label);
        }
        match pack.placement {
            Placement::Stream if pack.align != 1 => {
                let message = "`placement: stream` cuts everywhere and cannot align segments";
                self.error(
                    Code::Contradiction,
                    &align,
                    message,
                    "remove `align`, or choose another placement",
                );
            }
            Placement::Bucket => {
                let bucket_min = [Key("pack"), Key("bucket_min")];
                if !pack.bucket_min.is_power_of_two() {
                    let message = format!("`pack.bucket_min: {}` is not a power of two", pack.bucket_min);
                    self.error(Code::Lengths, &bucket_min, message, near_power(pack.bucket_min));
                }
                if !pack.align.is_power_of_two() || pack.align > pack.bucket_min {
                    let message = "`placement: bucket` needs an `align` that divides every bucket";
                    let label = format!("a power of two, at most `bucket_min` ({})", pack.bucket_min);
                    self.error(Code::Lengths, &align, message, label);
                }
                self.each_seq_len(|check, _, len, place| {
                    if !len.is_power_of_two() {
                        let message = format!("`placement: bucket` needs powers of two, {len} is none");
                        check.error(Code::Lengths, place, message, near_power(len));
                    }
                    if pack.bucket_min > len {
                        let message = format!(
                            "`pack.bucket_min: {}` is more than a sequence of {len} tokens",
                            pack.bucket_min
                        );
                        check.error(Code::Lengths, &bucket_min, message, "");
                    }
                });
            }
            _ => {}
        }
    }

    pub(super) fn eod(&mut self) {
        let pack = &self.recipe.pack;
        let place = [Key("pack"), Key("eod")];
        match (pack.boundary, pack.eod) {
            (Boundary::Direct, Some(true)) => {
                let message = "`boundary: direct` puts nothing between documents, `eod: true` does";
                self.error(
                    Code::Contradiction,
                    &place,
                    message,
                    "remove this key, or use `boundary: eod`",
                );
            }
            (Boundary::Eod | Boundary::Hybrid, Some(false)) => {
                let message =
                    "with this `boundary` only EOD tokens separate documents, `eod: false` removes them";
                self.error(
                    Code::Contradiction,
                    &place,
                    message,
                    "remove this key, or change `boundary`",
                );
            }
            _ => {}
        }
    }
}

/// The powers of two around a length that is none.
fn near_power(len: u32) -> String {
    let below = 1u64 << (31 - len.max(1).leading_zeros());
    format!("nearest: {below} and {}", below * 2)
}
