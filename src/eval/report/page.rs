//! One self-contained page in the style of `inspect`'s.

use maud::{Markup, html};

use super::charts;
use super::grid::{self, Grid};
use crate::eval::run::Summary;
use crate::inspect::{Chart, still, visible};
use crate::numbers::count;

/// The page.
pub fn html(summary: &Summary) -> String {
    let names: Vec<String> = summary
        .subjects
        .iter()
        .map(|subject| shown(&subject.name))
        .collect();
    let title = names.join(", ");
    let body = html! {
        header.top {
            div.name {
                span.brand { "ultrapack " b { "eval" } }
                h1 { bdi { (title) } }
            }
            ul.chips {
                @for benchmark in &summary.benchmarks { li { (benchmark.name) } }
                @if summary.perplexity.is_some() { li { "perplexity" } }
                li { (summary.dtype) }
            }
        }
        main {
            (remarks(summary))
            (perplexity(summary))
            (needles(summary))
            (tables("Side by side", &grid::beside(summary)))
            @for (subject, name) in summary.subjects.iter().zip(&names) {
                (tables(name, &grid::of_subject(subject)))
            }
            (settings(summary))
        }
        footer { p { "Made by ultrapack " (env!("CARGO_PKG_VERSION")) ". This page is one file: it loads nothing and sends nothing." } }
    };
    still(&format!("{title} · ultrapack eval"), &body)
}

fn remarks(summary: &Summary) -> Markup {
    let remarks = grid::remarks(summary);
    html! {
        section {
            h2 { "Findings" }
            @if remarks.is_empty() {
                p.fine { "✓ Every prompt was answered and scored." }
            } @else {
                ol.findings {
                    @for remark in &remarks {
                        li.warning { span.sign aria-hidden="true" { "!" } div { p { bdi { (shown(remark)) } } } }
                    }
                }
            }
        }
    }
}

fn perplexity(summary: &Summary) -> Markup {
    let (Some(grid), Some(settings)) = (grid::perplexity(summary), &summary.perplexity) else {
        return html! {};
    };
    html! {
        section {
            h2 { "Perplexity by length" }
            p.lead {
                "An upper bound from masked cross entropy: comparable with itself only. "
                "Texts: " (count(settings.n_texts)) " from " bdi { (shown(&settings.source)) } "; " (settings.estimator) "; seed " (settings.seed) "."
            }
            div.figures {
                @if let Some(chart) = charts::perplexity(summary) { (figure("Curve", &chart)) }
                figure { figcaption { h3 { "Numbers" } } (table(&grid)) }
            }
        }
    }
}

fn needles(summary: &Summary) -> Markup {
    let maps = charts::heat_maps(summary);
    html! {
        @if !maps.is_empty() {
            section {
                h2 { "Needle in a haystack" }
                div.figures { @for (title, chart) in &maps { (figure(title, chart)) } }
            }
        }
    }
}

fn tables(title: &str, grids: &[Grid]) -> Markup {
    html! {
        @if !grids.is_empty() {
            section {
                h2 { bdi { (title) } }
                div.figures {
                    @for grid in grids {
                        figure { figcaption { h3 { bdi { (shown(&grid.title)) } } } (table(grid)) }
                    }
                }
            }
        }
    }
}

fn settings(summary: &Summary) -> Markup {
    let entry = |name: &str, value: String| html! { div { dt { (name) } dd { bdi { (shown(&value)) } } } };
    html! {
        section {
            h2 { "What was run" }
            dl.identity {
                @for subject in &summary.subjects {
                    (entry("Model", subject.model.clone()))
                    (entry("Digest", subject.digest.clone()))
                    (entry("RoPE", subject.rope.to_string()))
                    @for line in grid::cost(subject) { (entry("Cost", line)) }
                }
                (entry("Tokenizer", summary.tokenizer.clone()))
                (entry("Sampling", summary.sampling.to_string()))
                @for benchmark in &summary.benchmarks { (entry(&benchmark.name, benchmark.settings.to_string())) }
            }
        }
    }
}

fn figure(title: &str, chart: &Chart) -> Markup {
    html! { figure { figcaption { h3 { bdi { (shown(title)) } } } div.plot { (chart.svg()) } } }
}

fn table(grid: &Grid) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { @for name in &grid.header { th scope="col" { (shown(name)) } } } }
                tbody {
                    @for (name, cells, summary) in &grid.rows {
                        tr {
                            th scope="row" { @if *summary { b { (shown(name)) } } @else { (shown(name)) } }
                            @for cell in cells { td { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// Names come from arguments and files.
fn shown(text: &str) -> String {
    visible(text.as_bytes())
}
