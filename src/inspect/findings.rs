//! What deserves attention in a dataset.
//!
//! | code | severity | meaning |
//! |---|---|---|
//! | I001 | error | sequences have other boundaries than the plan says |
//! | I002 | error | counts of the shards differ from those of the manifest |
//! | I010 | warning | tokens were cut off or dropped |
//! | I011 | warning | documents that could not be read were skipped |
//! | I012 | note | documents were left out on purpose |
//! | I020 | warning | a tenth or more of the positions is padding |
//! | I021 | note | a sequence is mostly padding |
//! | I030 | warning | half or more of the input's long context is gone |
//! | I031 | note | there is no document as long as a quarter of a sequence |
//! | I040 | warning | ranks are loaded unevenly |
//! | I050 | warning | the mixture is not the one that was asked for |
//! | I051 | warning | a token is used more than four times on average |
//! | I060 | warning | documents attend to each other |

use super::figures::{Finding, Overview, Severity};
use super::opened::Opened;
use super::overview::RowSummary;
use crate::error::shown_text;
use crate::numbers::count;
use crate::pack::Statistics;

/// The first row of a shard that is not as planned.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// Its number.
    pub row: u64,
}

/// All findings, the most severe first.
pub fn all(
    opened: &Opened,
    overview: &Overview,
    counted: &Statistics,
    differences: &[Difference],
    rows: &[RowSummary],
) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.of_the_shards(opened, overview, counted, differences);
    findings.of_the_ledger(overview);
    findings.of_the_padding(overview, rows);
    findings.of_the_context(overview);
    findings.of_the_cost(overview);
    findings.of_the_mixture(overview);
    findings.0.sort_by_key(|finding| finding.severity);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: &str, severity: Severity, message: String, hint: &str) {
        self.0.push(Finding {
            code: code.into(),
            severity,
            message,
            hint: hint.into(),
        });
    }

    fn of_the_shards(
        &mut self,
        opened: &Opened,
        overview: &Overview,
        counted: &Statistics,
        differences: &[Difference],
    ) {
        let Some(manifest) = opened.manifest() else {
            return;
        };
        let hint = "run `ultrapack verify` on it; `repair` makes a damaged shard again";
        for difference in differences {
            let message = format!(
                "sequence {} has other boundaries than the plan says",
                difference.row
            );
            self.add("I001", Severity::Error, message, hint);
        }
        let stated = &manifest.statistics;
        let slots = &manifest.ledger.slots;
        let same = counted.segment_lens == stated.segment_lens
            && counted.segments_per_sequence == stated.segments_per_sequence
            && counted.attention_density == stated.attention_density
            && (overview.fill.padding_tail, overview.fill.padding_align)
                == (slots.padding_tail, slots.padding_align);
        if !same {
            let message = "lengths, padding or attention counted in the shards are not those of the manifest";
            self.add("I002", Severity::Error, message.into(), hint);
        }
    }

    fn of_the_ledger(&mut self, overview: &Overview) {
        let Some(ledger) = &overview.ledger else {
            return;
        };
        let lost = ledger.tokens_truncated.saturating_add(ledger.tokens_tail_dropped);
        if lost > 0 {
            let message = format!(
                "{} tokens of used documents are in no sequence: {} truncated, {} in the dropped tail",
                count(lost),
                count(ledger.tokens_truncated),
                count(ledger.tokens_tail_dropped)
            );
            self.add(
                "I010",
                Severity::Warning,
                message,
                "`long_documents: split` and `tail: pad` lose nothing",
            );
        }
        let mut chosen = Vec::new();
        for left_out in &ledger.left_out {
            let tokens = left_out.tokens.filter(|&n| n > 0);
            let tokens = tokens.map_or(String::new(), |n| format!(" ({} tokens)", count(n)));
            let text = format!(
                "{} {}{tokens}",
                count(left_out.documents),
                left_out.reason.replace('_', " ")
            );
            if left_out.reason == "bad" {
                let message = format!(
                    "{} records could not be read and were skipped",
                    count(left_out.documents)
                );
                self.add(
                    "I011",
                    Severity::Warning,
                    message,
                    "`on_bad_record: stop` names the first of them",
                );
            } else {
                chosen.push(text);
            }
        }
        if !chosen.is_empty() {
            let message = format!("documents left out: {}", chosen.join(", "));
            self.add(
                "I012",
                Severity::Note,
                message,
                "the recipe's filters and limits decide this",
            );
        }
    }

    fn of_the_padding(&mut self, overview: &Overview, rows: &[RowSummary]) {
        let fill = &overview.fill;
        if fill.slots > 0 && fill.fill_ratio < 0.9 {
            let message = format!(
                "{:.1} % of all positions are padding",
                100.0 * (1.0 - fill.fill_ratio)
            );
            let hint =
                "compare placements with `ultrapack plan`; a smaller `align` or more documents help too";
            self.add("I020", Severity::Warning, message, hint);
        }
        let half = overview.identity.seq_len / 2;
        let empty: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].n_tokens < half).collect();
        if let Some(first) = empty.first() {
            let message = format!(
                "{} of {} sequences are more than half padding, the first is sequence {first}",
                count(empty.len() as u64),
                count(rows.len() as u64)
            );
            let hint = "`tail: drop` leaves an unfinished last sequence out";
            self.add("I021", Severity::Note, message, hint);
        }
    }

    fn of_the_context(&mut self, overview: &Overview) {
        if overview.document_lens.is_none() {
            return;
        }
        for kept in overview.context_kept.iter().filter(|kept| kept.len >= 8192) {
            if kept.documents >= 0.05 && kept.segments < 0.5 * kept.documents {
                let message = format!(
                    "{:.1} % of the input's tokens are in documents of {} tokens or more, but only {:.1} % in segments as long",
                    100.0 * kept.documents,
                    count(kept.len),
                    100.0 * kept.segments
                );
                let hint = "`placement: best_fit` cuts only documents longer than a sequence";
                self.add("I030", Severity::Warning, message, hint);
                return;
            }
        }
        let longest = overview.segment_lens.last().map_or(0, |range| range.at_least * 2);
        if overview.fill.n_sequences > 0 && longest < u64::from(overview.identity.seq_len) / 4 {
            let message = format!(
                "no document is as long as a quarter of a sequence ({} positions)",
                count(u64::from(overview.identity.seq_len))
            );
            let hint = "short documents teach no long context: add longer ones, or pack shorter sequences";
            self.add("I031", Severity::Note, message, hint);
        }
    }

    fn of_the_cost(&mut self, overview: &Overview) {
        let ranks = &overview.attention.ranks;
        if let Some(slowdown) = ranks.slowdown_after.filter(|&slowdown| slowdown > 1.15) {
            let message = format!(
                "the slowest of {} ranks works {slowdown:.2} times as long as the mean",
                ranks.n_ranks
            );
            let hint =
                "`balance` in the recipe orders sequences by cost; a larger `accumulate` evens out more";
            self.add("I040", Severity::Warning, message, hint);
        }
        let several = overview.fill.segments_per_sequence.max > 1;
        if overview.attention.n_full > 0 && several {
            use crate::recipe::Boundary;
            let message = format!(
                "in {} of {} sequences every token attends to every token: documents see each other",
                count(overview.attention.n_full),
                count(overview.fill.n_sequences)
            );
            // `direct`, `eod` and `hybrid` ask for it; anything else would be wrong.
            let severity = match overview.identity.boundary {
                Boundary::Adaptive => Severity::Error,
                _ => Severity::Note,
            };
            self.add(
                "I060",
                severity,
                message,
                "`boundary: adaptive` keeps documents apart",
            );
        }
    }

    fn of_the_mixture(&mut self, overview: &Overview) {
        for share in overview.mixture.iter().flatten() {
            if (share.wanted - share.achieved).abs() > 0.01 {
                let message = format!(
                    "source `{}` is {:.1} % of the tokens, wanted were {:.1} %",
                    shown_text(&share.name),
                    100.0 * share.achieved,
                    100.0 * share.wanted
                );
                self.add(
                    "I050",
                    Severity::Warning,
                    message,
                    "only whole documents are drawn; more documents come closer",
                );
            }
        }
        if let Some(ledger) = &overview.ledger
            && ledger.tokens_used > 0
        {
            let uses = 1.0 + ledger.tokens_repeated as f64 / ledger.tokens_used as f64;
            if uses > 4.0 {
                let message = format!("each token is used {uses:.1} times on average");
                self.add(
                    "I051",
                    Severity::Warning,
                    message,
                    "lower `epochs` or `mixture.tokens`",
                );
            }
        }
    }
}
