//! The parts of the page that need no script: figures at a glance, findings, and each chart with one
//! sentence that says what is to be seen in it, and its table.

use maud::{Markup, html};

use super::super::charts;
use super::super::figures::{Finding, Identity, Kind, Overview, RankFigures, Severity};
use super::tables;
use crate::numbers::{bytes, count, percent, short};
use crate::recipe::Boundary;
use crate::sequence::PositionMode;

/// The bar on top.
pub fn header(overview: &Overview) -> Markup {
    let identity = &overview.identity;
    html! {
        header.top {
            div.name {
                span.brand { "ultrapack " b { "inspect" } }
                h1 { bdi { (identity.path) } }
            }
            ul.chips {
                @match identity.kind {
                    Kind::Dataset => { li.good { "committed" } }
                    Kind::Shard => { li { "one shard" } }
                }
                @if let Some(dataset) = &identity.dataset { li.mono title=(dataset) { (abridged(dataset)) } }
                li { (boundary(identity.boundary)) }
                li { (count(u64::from(identity.seq_len))) " positions" }
            }
            button #theme type="button" aria-label="Light or dark" { "Light / dark" }
        }
    }
}

/// A digest's first characters: enough to recognize it.
fn abridged(digest: &str) -> String {
    let end = digest.char_indices().nth(19).map_or(digest.len(), |(at, _)| at);
    match end < digest.len() {
        true => format!("{}…", &digest[..end]),
        false => digest.to_owned(),
    }
}

fn boundary(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Direct => "direct",
        Boundary::Eod => "eod",
        Boundary::Adaptive => "adaptive",
        Boundary::Hybrid => "hybrid",
    }
}

fn position_mode(mode: PositionMode) -> &'static str {
    match mode {
        PositionMode::Sequence => "over the sequence",
        PositionMode::Segment => "from 0 in each segment",
        PositionMode::Document => "as in the document",
    }
}

/// Six figures that answer the first questions.
pub fn glance(overview: &Overview) -> Markup {
    let (fill, attention) = (&overview.fill, &overview.attention);
    let shards = match overview.identity.n_shards {
        1 => "in one shard".into(),
        n => format!("in {} shards, {}", count(n), bytes(overview.identity.n_bytes)),
    };
    let documents = match overview.identity.n_documents {
        Some(n) => format!("of {} documents", count(n)),
        None => "placed".into(),
    };
    let density = &attention.density;
    let padding = fill.padding_tail + fill.padding_align;
    let kept = overview
        .context_kept
        .iter()
        .rev()
        .find(|kept| kept.documents > 0.0);
    html! {
        dl.glance aria-label="At a glance" {
            (tile("Sequences", count(fill.n_sequences), shards))
            (tile("Tokens", short(fill.tokens), documents))
            (tile("Fill", percent(fill.fill_ratio), format!("{} padding", short(padding))))
            @if let Some(kept) = kept {
                @let input = format!("in segments ≥ {} (input {})", count(kept.len), percent(kept.documents));
                (tile("Context kept", percent(kept.segments), input))
            }
            (tile("Attention", percent(density.p50), format!("of dense at the median, at most {}", percent(density.max))))
            (slowest_rank(&attention.ranks))
        }
    }
}

fn tile(name: &str, value: String, more: String) -> Markup {
    html! { div.tile { dt { (name) } dd { b { (value) } span { (more) } } } }
}

fn slowest_rank(ranks: &RankFigures) -> Markup {
    let (value, more) = match ranks.slowdown_after {
        Some(slowdown) => (
            format!("{slowdown:.3}×"),
            format!("the mean of {} ranks", ranks.n_ranks),
        ),
        None => (
            "—".into(),
            format!("too few sequences for {} ranks", ranks.n_ranks),
        ),
    };
    tile("Slowest rank", value, more)
}

/// What deserves attention, the most severe first.
pub fn findings(findings: &[Finding]) -> Markup {
    html! {
        section #findings aria-labelledby="findings-title" {
            h2 #findings-title { "Findings" }
            @if findings.is_empty() {
                p.fine { "✓ Nothing that deserves attention." }
            } @else {
                ol.findings {
                    @for finding in findings {
                        @let (class, sign, word) = severity(finding.severity);
                        li class=(class) {
                            span.sign aria-hidden="true" { (sign) }
                            div {
                                p {
                                    span.code { (finding.code) } " " b { (word) } " "
                                    bdi { (with_code(&finding.message)) }
                                }
                                p.hint { bdi { (with_code(&finding.hint)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Text in which what stands between backticks is something to type.
fn with_code(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html! { (text) };
    }
    html! {
        @for (index, part) in parts.iter().enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn severity(severity: Severity) -> (&'static str, &'static str, &'static str) {
    match severity {
        Severity::Error => ("error", "✕", "Error"),
        Severity::Warning => ("warning", "!", "Warning"),
        Severity::Note => ("note", "i", "Note"),
    }
}

/// One chart with its title, what is to be seen, and its numbers.
fn figure(id: &str, title: &str, lead: &str, chart: Markup, table: Markup) -> Markup {
    html! {
        figure id=(id) {
            figcaption { h3 { (title) } p { (lead) } }
            div.plot { (chart) }
            // The account is worth reading in full; the other tables are for looking things up.
            details.numbers open[id == "ledger"] {
                summary { "Table" }
                (table)
            }
        }
    }
}

/// Every chart of the dataset.
pub fn charts(overview: &Overview) -> Markup {
    html! {
        section #charts aria-labelledby="charts-title" {
            h2 #charts-title { "The dataset in figures" }
            div.figures {
                @if let Some(ledger) = &overview.ledger {
                    (figure(
                        "ledger",
                        "Where the tokens went",
                        &format!(
                            "{} tokens read and {} EOD added; {} placed, {} truncated, {} dropped with the tail.",
                            short(ledger.tokens_read), short(ledger.eod_added), short(ledger.tokens_placed),
                            short(ledger.tokens_truncated), short(ledger.tokens_tail_dropped),
                        ),
                        charts::ledger(overview),
                        tables::ledger(ledger),
                    ))
                }
                (figure(
                    "lengths",
                    "Lengths before and after",
                    "Tokens by length of their document, and of the segment that packing made of it.",
                    charts::lengths(overview),
                    tables::lengths(overview),
                ))
                (figure(
                    "context",
                    "Context kept",
                    "Share of tokens that have at least so many tokens of their own document around them.",
                    charts::context(overview),
                    tables::context(&overview.context_kept),
                ))
                (figure(
                    "fill",
                    "Fill per sequence",
                    &format!(
                        "{} of all positions hold a token; {} pad the end, {} align segments.",
                        percent(overview.fill.fill_ratio),
                        count(overview.fill.padding_tail), count(overview.fill.padding_align),
                    ),
                    charts::fill(overview),
                    tables::profile("fill", &overview.fill.profile),
                ))
                @if let Some(mixture) = overview.mixture.as_ref().filter(|sources| !sources.is_empty()) {
                    (figure(
                        "mixture",
                        "Sources, wanted and got",
                        "Share of each source in the tokens placed, and the share that was asked for.",
                        charts::mixture(overview),
                        tables::mixture(mixture),
                    ))
                }
                (figure(
                    "density",
                    "Attention cost of a sequence",
                    &format!(
                        "Attending pairs over all: {} at the median, {} at p99. {} of {} sequences attend fully.",
                        percent(overview.attention.density.p50), percent(overview.attention.density.p99),
                        count(overview.attention.n_full), count(overview.fill.n_sequences),
                    ),
                    charts::density(overview),
                    tables::density(&overview.attention),
                ))
                @if !overview.attention.ranks.loads.is_empty() {
                (figure(
                    "ranks",
                    "Attention cost by rank",
                    &ranks(&overview.attention.ranks),
                    charts::ranks(overview),
                    tables::ranks(&overview.attention.ranks),
                ))
                }
            }
        }
    }
}

fn ranks(ranks: &RankFigures) -> String {
    let slowdown = |slowdown: Option<f64>| slowdown.map_or("unknown".into(), |x| format!("{x:.3}×"));
    format!(
        "The slowest of {} ranks takes {} the mean of a step; in the order as placed: {}.",
        ranks.n_ranks,
        slowdown(ranks.slowdown_after),
        slowdown(ranks.slowdown_before),
    )
}

/// What it is and how it was made.
pub fn identity(identity: &Identity) -> Markup {
    let optional = |text: &Option<String>| text.clone().unwrap_or("—".into());
    let number = |n: u32| count(u64::from(n));
    let rows: [(&str, String); 14] = [
        ("Path", identity.path.clone()),
        ("Dataset", optional(&identity.dataset)),
        ("Recipe digest", identity.recipe_digest.clone()),
        ("Tokenizer digest", identity.tokenizer_digest.clone()),
        ("Format", identity.format_version.clone()),
        ("Sequence length", number(identity.seq_len)),
        ("Boundary", boundary(identity.boundary).into()),
        ("Positions count", position_mode(identity.position_mode).into()),
        ("Alignment", number(identity.align)),
        ("Vocabulary", number(identity.vocab_size)),
        (
            "EOD, padding, mask",
            format!(
                "{}, {}, {}",
                identity.eod_id,
                identity.pad_id,
                identity.mask_id.map_or("—".into(), |id| id.to_string())
            ),
        ),
        ("Shards", count(identity.n_shards)),
        ("Bytes", bytes(identity.n_bytes)),
        ("Documents", identity.n_documents.map_or("—".into(), count)),
    ];
    html! {
        section #identity aria-labelledby="identity-title" {
            h2 #identity-title { "Identity" }
            dl.identity { @for (name, value) in rows { div { dt { (name) } dd { bdi { (value) } } } } }
        }
    }
}

/// How the page came about.
pub fn footer() -> Markup {
    html! {
        footer {
            p { "Made by ultrapack " (env!("CARGO_PKG_VERSION")) ". One file: it loads nothing and sends nothing." }
        }
    }
}
