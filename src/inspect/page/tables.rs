//! The numbers under each chart, exact, to be copied or saved.

use maud::{Markup, html};

use super::super::figures::{AttentionFigures, LedgerFigures, Overview, ProfileBin, RankFigures};
use crate::numbers::{count, percent};
use crate::pack::{ContextKept, SourceShare};

/// A table: the first column names, the others hold numbers.
fn table(name: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Markup {
    html! {
        div.scroll {
            table data-name=(name) {
                thead { tr { @for title in head { th scope="col" { (title) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { bdi { (cell) } } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Documents and tokens, read and left out and placed.
pub fn ledger(ledger: &LedgerFigures) -> Markup {
    let row = |name: &str, documents: Option<u64>, tokens: Option<u64>| {
        vec![
            name.to_owned(),
            documents.map_or("—".into(), count),
            tokens.map_or("—".into(), count),
        ]
    };
    let mut rows = vec![row("read", Some(ledger.documents_read), Some(ledger.tokens_read))];
    rows.extend(ledger.left_out.iter().map(|left| {
        let name = format!("− {}", left.reason.replace('_', " "));
        row(&name, Some(left.documents), left.tokens)
    }));
    rows.extend([
        row("= used", Some(ledger.documents_used), Some(ledger.tokens_used)),
        row("+ repeated", None, Some(ledger.tokens_repeated)),
        row("+ overlap of pieces", None, Some(ledger.tokens_overlap)),
        row("+ EOD", None, Some(ledger.eod_added)),
        row("− truncated", None, Some(ledger.tokens_truncated)),
        row("− dropped with the tail", None, Some(ledger.tokens_tail_dropped)),
        row("= placed", None, Some(ledger.tokens_placed)),
        row("documents split", Some(ledger.documents_split), None),
    ]);
    table("ledger", &["", "documents", "tokens"], rows)
}

/// Documents and segments by powers of two.
pub fn lengths(overview: &Overview) -> Markup {
    let documents = overview.document_lens.as_deref().unwrap_or_default();
    let segments = &overview.segment_lens;
    let mut lens: Vec<u64> = documents
        .iter()
        .chain(segments)
        .map(|range| range.at_least)
        .collect();
    lens.sort_unstable();
    lens.dedup();
    let rows = lens.into_iter().map(|len| {
        let of = |ranges: &[crate::pack::LengthRange]| {
            let found = ranges.iter().find(|range| range.at_least == len);
            found
                .map_or([0, 0], |range| [range.count, range.tokens])
                .map(count)
        };
        let mut row = vec![format!("{} – {}", count(len), count(2 * len - 1))];
        if overview.document_lens.is_some() {
            row.extend(of(documents));
        }
        row.extend(of(segments));
        row
    });
    let head: &[&str] = match overview.document_lens.is_some() {
        true => &["length", "documents", "their tokens", "segments", "their tokens"],
        false => &["length", "segments", "their tokens"],
    };
    table("lengths", head, rows)
}

/// Share of tokens with so much context.
pub fn context(kept: &[ContextKept]) -> Markup {
    let row = |kept: &ContextKept| {
        vec![
            format!("≥ {}", count(kept.len)),
            percent(kept.documents),
            percent(kept.segments),
        ]
    };
    table(
        "context",
        &["context", "input", "sequences"],
        kept.iter().map(row),
    )
}

/// A figure along the sequences.
pub fn profile(name: &str, bins: &[ProfileBin]) -> Markup {
    let row = |bin: &ProfileBin| {
        let rows = match bin.count {
            1 => count(bin.first),
            n => format!("{} – {}", count(bin.first), count(bin.first + n - 1)),
        };
        vec![rows, percent(bin.min), percent(bin.mean), percent(bin.max)]
    };
    table(
        name,
        &["sequences", "least", "mean", "most"],
        bins.iter().map(row),
    )
}

/// Shares of the sources.
pub fn mixture(sources: &[SourceShare]) -> Markup {
    let row = |source: &SourceShare| {
        let off = (source.achieved - source.wanted) * 100.0;
        let name = crate::error::shown_text(&source.name);
        vec![
            name,
            percent(source.wanted),
            percent(source.achieved),
            format!("{off:+.2}"),
        ]
    };
    table(
        "mixture",
        &["source", "wanted", "got", "points off"],
        sources.iter().map(row),
    )
}

/// Sequences by density, and density along them.
pub fn density(attention: &AttentionFigures) -> Markup {
    let steps = attention.histogram.len().max(1);
    let row = |(step, n): (usize, &u64)| {
        let edge = |step: usize| format!("{} %", step * 100 / steps);
        vec![format!("{} – {}", edge(step), edge(step + 1)), count(*n)]
    };
    html! {
        (table("density", &["of dense", "sequences"], attention.histogram.iter().enumerate().map(row)))
        (profile("density-profile", &attention.profile))
    }
}

/// Load of each rank.
pub fn ranks(ranks: &RankFigures) -> Markup {
    let rows = ranks.loads.iter().zip(&ranks.most).enumerate();
    let row = |(rank, (load, most)): (usize, (&f64, &f64))| {
        vec![rank.to_string(), format!("{load:.4}"), format!("{most:.3}")]
    };
    table(
        "ranks",
        &["rank", "load / mean", "dearest sequence / mean"],
        rows.map(row),
    )
}
