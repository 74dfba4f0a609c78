//! The dataset at a glance.

use unicode_width::UnicodeWidthStr;

use super::Look;
use super::glyphs::{bar, columns};
use super::pen::{Ink, Pen};
use crate::inspect::figures::{Identity, Kind, Overview, Severity};
use crate::inspect::look;
use crate::inspect::visible::visible;
use crate::numbers::{bytes, count, length, percent};
use crate::pack::LengthRange;
use crate::sequence::PositionMode;

/// Where text starts behind the headings.
const INDENT: usize = 10;
/// Ranges of lengths that get a line each; shorter ones share one, and so do those beyond a sequence.
const MAX_RANGES: u32 = 8;
/// Sources that get a line each.
const MAX_SOURCES: usize = 12;

/// The dataset at a glance: findings first.
pub fn overview(overview: &Overview, look: &Look) -> String {
    let mut pen = Pen::new(look);
    identity(&mut pen, overview);
    findings(&mut pen, overview);
    ledger(&mut pen, overview);
    fill(&mut pen, overview);
    let bars = Bars::new(look);
    lengths(&mut pen, overview, &bars);
    context(&mut pen, overview, &bars);
    cost(&mut pen, overview);
    mixture(&mut pen, overview);
    pen.finish()
}

fn heading(pen: &mut Pen, name: &str) {
    pen.end().say(Ink::Bold, name).to(INDENT);
}

/// Facts with their names, on as many lines as they need.
fn facts(pen: &mut Pen, indent: usize, facts: &[(String, Ink)]) {
    for (i, (fact, ink)) in facts.iter().enumerate() {
        if i > 0 && fact.width() + 3 > pen.room() {
            pen.end();
        } else if i > 0 {
            pen.say(Ink::Faint, " · ");
        }
        if pen.column() == 0 {
            pen.to(indent);
        }
        pen.say(*ink, fact);
    }
    pen.end();
}

fn identity(pen: &mut Pen, overview: &Overview) {
    let identity = &overview.identity;
    pen.quote(Ink::Bold, &identity.path);
    match (&identity.dataset, identity.kind) {
        (Some(dataset), _) => {
            let id: String = dataset.chars().take(23).collect();
            pen.say(Ink::Plain, "  ")
                .quote(Ink::Faint, &visible(id.as_bytes()));
            pen.say(Ink::Plain, "  ").say(Ink::Good, "committed");
        }
        (None, _) => {
            pen.say(Ink::Plain, "  ")
                .say(Ink::Warning, "one shard, without its dataset");
        }
    }
    pen.end();
    let plain = |text: String| (text, Ink::Plain);
    let mut line = vec![
        plain(format!(
            "{} × {}",
            plural(overview.fill.n_sequences, "sequence"),
            length(u64::from(identity.seq_len))
        )),
        plain(format!(
            "{}, {}",
            plural(identity.n_shards, "shard"),
            bytes(identity.n_bytes)
        )),
    ];
    if let Some(n) = identity.n_documents {
        line.push(plain(plural(n, "document")));
    }
    line.extend(rules(identity).into_iter().map(plain));
    facts(pen, 0, &line);
}

fn rules(identity: &Identity) -> Vec<String> {
    let positions = match identity.position_mode {
        PositionMode::Sequence => None,
        PositionMode::Segment => Some("positions per segment"),
        PositionMode::Document => Some("positions per document"),
    };
    let mut rules = vec![format!("boundary {}", look::boundary(identity.boundary))];
    rules.extend(positions.map(str::to_owned));
    if identity.align > 1 {
        rules.push(format!("align {}", identity.align));
    }
    rules
}

fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

fn findings(pen: &mut Pen, overview: &Overview) {
    heading(pen, "FINDINGS");
    if overview.findings.is_empty() {
        pen.say(Ink::Good, "none").end();
    }
    for (i, finding) in overview.findings.iter().enumerate() {
        let (ink, word) = match finding.severity {
            Severity::Error => (Ink::Bad, "error"),
            Severity::Warning => (Ink::Warning, "warning"),
            Severity::Note => (Ink::After, "note"),
        };
        if i > 0 {
            pen.to(INDENT);
        }
        pen.say(ink, &format!("{} {word}", finding.code)).to(INDENT + 14);
        pen.wrap(Ink::Plain, &finding.message, INDENT + 14);
        pen.to(INDENT + 14)
            .wrap(Ink::Faint, &format!("hint: {}", finding.hint), INDENT + 14);
    }
    if overview.identity.kind == Kind::Shard {
        pen.to(INDENT).wrap(
            Ink::Faint,
            "a shard alone has no plan or ledger to be compared with",
            INDENT,
        );
    }
}

fn ledger(pen: &mut Pen, overview: &Overview) {
    let Some(ledger) = &overview.ledger else {
        return;
    };
    heading(pen, "LEDGER");
    let sum = |whole: (&str, u64), parts: &[(&str, u64)]| -> String {
        let mut text = format!("{} {}", whole.0, count(whole.1));
        for (i, (name, n)) in parts.iter().filter(|(_, n)| *n > 0).enumerate() {
            text += &format!(" {} {name} {}", if i == 0 { '=' } else { '+' }, count(*n));
        }
        text
    };
    let mut read = vec![("used", ledger.tokens_used)];
    let names: Vec<String> = ledger
        .left_out
        .iter()
        .map(|left_out| left_out.reason.replace('_', " "))
        .collect();
    read.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(ledger.left_out.iter().map(|l| l.tokens.unwrap_or(0))),
    );
    pen.wrap(
        Ink::Plain,
        &sum(("tokens read", ledger.tokens_read), &read),
        INDENT,
    );
    let added = [
        ("EOD added", ledger.eod_added),
        ("repeated", ledger.tokens_repeated),
        ("overlap", ledger.tokens_overlap),
    ];
    let mut used = format!("used {}", count(ledger.tokens_used));
    for (name, n) in added.iter().filter(|(_, n)| *n > 0) {
        used += &format!(" + {name} {}", count(*n));
    }
    used += &format!(" = placed {}", count(ledger.tokens_placed));
    for (name, n) in [
        ("truncated", ledger.tokens_truncated),
        ("tail dropped", ledger.tokens_tail_dropped),
    ] {
        if n > 0 {
            used += &format!(" + {name} {}", count(n));
        }
    }
    pen.to(INDENT).wrap(Ink::Plain, &used, INDENT);
    let documents = format!(
        "documents read {}, used {}, split {}",
        count(ledger.documents_read),
        count(ledger.documents_used),
        count(ledger.documents_split)
    );
    pen.to(INDENT).wrap(Ink::Faint, &documents, INDENT);
}

fn fill(pen: &mut Pen, overview: &Overview) {
    let fill = &overview.fill;
    heading(pen, "FILL");
    let cells = (pen.look.width.saturating_sub(INDENT + 12)).min(48);
    pen.right(Ink::Bold, &percent(fill.fill_ratio), INDENT + 8)
        .to(INDENT + 10)
        .say(Ink::Faint, "▕");
    let full = bar(fill.fill_ratio, cells, pen.look.ascii);
    pen.say(Ink::After, &full).pad(INDENT + 11 + cells);
    pen.say(Ink::Faint, "▏").end().to(INDENT);
    let per_sequence = &fill.segments_per_sequence;
    let line = [
        format!(
            "padding {} at the end, {} alignment",
            count(fill.padding_tail),
            count(fill.padding_align)
        ),
        format!(
            "segments per sequence p50 {}, p99 {}, max {}",
            count(per_sequence.p50),
            count(per_sequence.p99),
            count(per_sequence.max)
        ),
    ];
    facts(pen, INDENT, &line.map(|text| (text, Ink::Faint)));
}

/// Where the two columns of bars stand that compare the input with the sequences.
struct Bars {
    first: usize,
    second: usize,
    /// Columns of a bar.
    cells: usize,
}

impl Bars {
    fn new(look: &Look) -> Self {
        let first = INDENT + 11;
        let room = look.width.saturating_sub(first) / 2;
        let cells = room.saturating_sub(10).clamp(4, 28);
        Self {
            first,
            second: first + cells + 10,
            cells,
        }
    }

    fn heads(&self, pen: &mut Pen, what: &str, before: &str, after: &str) {
        pen.say(Ink::Faint, what).to(self.first).say(Ink::Faint, before);
        pen.to(self.second).say(Ink::Faint, after).end();
    }

    fn line(&self, pen: &mut Pen, label: &str, before: Option<f64>, after: f64) {
        pen.right(Ink::Plain, label, self.first - 2);
        let values = [
            (before, self.first, Ink::Before),
            (Some(after), self.second, Ink::After),
        ];
        for (value, column, ink) in values {
            let Some(share) = value else { continue };
            let drawn = bar(share, self.cells, pen.look.ascii);
            pen.to(column).say(ink, &drawn);
            pen.right(
                Ink::Plain,
                &format!("{:.1} %", 100.0 * share),
                column + self.cells + 8,
            );
        }
        pen.end();
    }
}

fn lengths(pen: &mut Pen, overview: &Overview, bars: &Bars) {
    let held = |ranges: &[LengthRange]| {
        ranges
            .iter()
            .filter(|range| range.count > 0)
            .map(|range| range.at_least.max(1).ilog2())
            .collect::<Vec<_>>()
    };
    let documents = overview.document_lens.as_deref();
    let mut powers = held(&overview.segment_lens);
    powers.extend(held(documents.unwrap_or_default()));
    let (Some(&least), Some(&most)) = (powers.iter().min(), powers.iter().max()) else {
        return;
    };
    heading(pen, "LENGTH");
    let before = if documents.is_some() {
        "tokens by document"
    } else {
        ""
    };
    bars.heads(pen, "", before, "tokens by segment");
    let last = most.min(overview.identity.seq_len.max(1).ilog2());
    let first = least.max((last + 1).saturating_sub(MAX_RANGES)).min(last);
    let share = |ranges: &[LengthRange], power: u32| {
        let all: u64 = ranges.iter().map(|range| range.tokens).sum();
        let own = ranges
            .iter()
            .filter(|range| range.at_least.max(1).ilog2().clamp(first, last) == power);
        own.map(|range| range.tokens).sum::<u64>() as f64 / all.max(1) as f64
    };
    for power in first..=last {
        let (from, to) = (length(1 << power), length(2 << power));
        let label = match power {
            _ if power == first && first > least => format!("< {to}"),
            _ if power == last => format!("≥ {from}"),
            _ => format!("{from}–{to}"),
        };
        let before = documents.map(|ranges| share(ranges, power));
        bars.line(pen, &label, before, share(&overview.segment_lens, power));
    }
}

fn context(pen: &mut Pen, overview: &Overview, bars: &Bars) {
    heading(pen, "CONTEXT");
    let input = overview.document_lens.is_some();
    bars.heads(
        pen,
        "",
        if input { "in the input" } else { "" },
        "in the sequences",
    );
    for kept in &overview.context_kept {
        bars.line(
            pen,
            &format!("≥ {}", length(kept.len)),
            input.then_some(kept.documents),
            kept.segments,
        );
    }
}

fn cost(pen: &mut Pen, overview: &Overview) {
    let attention = &overview.attention;
    heading(pen, "COST");
    let density = &attention.density;
    pen.say(Ink::Plain, "attention per sequence, of dense: ");
    let values = [("p50", density.p50), ("p99", density.p99), ("max", density.max)];
    let values: Vec<(String, Ink)> = values
        .iter()
        .map(|(name, value)| (format!("{name} {value:.3}×"), Ink::Bold))
        .collect();
    facts(pen, INDENT, &values);
    pen.to(INDENT)
        .say(Ink::Faint, "0 ▕")
        .say(Ink::After, &columns(&attention.histogram));
    pen.pad(INDENT + 3 + attention.histogram.len())
        .say(Ink::Faint, "▏ 1")
        .end();
    let ranks = &attention.ranks;
    let slower = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}×"));
    let line = match (ranks.slowdown_before, ranks.slowdown_after) {
        (None, None) => format!("too few sequences for a step of {} ranks", ranks.n_ranks),
        (before, after) => format!(
            "slowest of {} ranks over their mean: {} as placed → {} as written",
            ranks.n_ranks,
            slower(before),
            slower(after)
        ),
    };
    pen.to(INDENT).wrap(Ink::Plain, &line, INDENT);
}

fn mixture(pen: &mut Pen, overview: &Overview) {
    let Some(sources) = overview.mixture.as_ref().filter(|sources| !sources.is_empty()) else {
        return;
    };
    heading(pen, "MIXTURE");
    let names: Vec<String> = sources
        .iter()
        .map(|source| visible(source.name.as_bytes()))
        .collect();
    let widest = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let start = INDENT + widest.clamp(4, pen.look.width.saturating_sub(INDENT + 36).clamp(9, 30)) + 2;
    let cells = pen.look.width.saturating_sub(start + 28).clamp(4, 28);
    for (i, (source, name)) in sources.iter().zip(&names).take(MAX_SOURCES).enumerate() {
        if i > 0 {
            pen.to(INDENT);
        }
        let name = super::pen::fit(name, start - INDENT - 2, "…");
        pen.quote(Ink::Plain, &name).to(start);
        let drawn = bar(source.achieved, cells, pen.look.ascii);
        pen.say(Ink::After, &drawn)
            .right(Ink::Plain, &percent(source.achieved), start + cells + 9);
        let off = (source.achieved - source.wanted).abs() > 0.01;
        let ink = if off { Ink::Warning } else { Ink::Faint };
        pen.to(start + cells + 11)
            .say(ink, &format!("wanted {}", percent(source.wanted)))
            .end();
    }
    if sources.len() > MAX_SOURCES {
        pen.to(INDENT)
            .say(Ink::Faint, &format!("and {} more", sources.len() - MAX_SOURCES))
            .end();
    }
}
