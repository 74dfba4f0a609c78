//! Perplexity as a curve, a needle's grid as a heat map.

use maud::{Markup, html};

use super::grid::figure;
use super::heat;
use crate::eval::Table;
use crate::eval::run::{CurveFigures, Summary};
use crate::inspect::{self, Chart, Frame, px, visible};
use crate::numbers::length;

/// The pictures that a summary has, each with the name of its file and as SVG.
pub fn pictures(summary: &Summary) -> Vec<(&'static str, String)> {
    let mut pictures = Vec::new();
    let names = summary
        .subjects
        .iter()
        .map(|subject| visible(subject.name.as_bytes()));
    let names: Vec<String> = names.collect();
    if let (Some(settings), Some(chart)) = (&summary.perplexity, perplexity(summary)) {
        let facts = format!("texts: {} · {}", settings.n_texts, settings.estimator);
        let panels = [("Perplexity by length", chart)];
        pictures.push(("perplexity", inspect::sheet(&names.join(", "), &facts, &panels)));
    }
    let (titles, charts): (Vec<String>, Vec<Chart>) = heat_maps(summary).into_iter().unzip();
    if !titles.is_empty() {
        let panels: Vec<(&str, Chart)> = titles.iter().map(String::as_str).zip(charts).collect();
        let facts = "score 0 to 100 by depth of the needle and length of the prompt";
        pictures.push(("niah", inspect::sheet("Needle in a haystack", facts, &panels)));
    }
    pictures
}

/// The grids of lengths and depths, with titles.
pub fn heat_maps(summary: &Summary) -> Vec<(String, Chart)> {
    let of_subject = summary.subjects.iter().flat_map(|subject| {
        let tables = subject.benchmarks.iter().flat_map(|benchmark| &benchmark.tables);
        tables
            .filter(|table| table.rows_are == "depth")
            .map(move |table| {
                (
                    visible(format!("{}: {}", subject.name, table.title).as_bytes()),
                    heat_map(table),
                )
            })
    });
    of_subject.collect()
}

/// Depths downwards, lengths to the right.
fn heat_map(table: &Table) -> Chart {
    const CELL: (f64, f64) = (46.0, 24.0);
    const LEFT: f64 = 52.0;
    const TOP: f64 = 26.0;
    let width = LEFT + CELL.0 * table.columns.len() as f64 + 8.0;
    let height = TOP + CELL.1 * table.rows.len() as f64 + 8.0;
    let x = |column: usize| LEFT + CELL.0 * column as f64;
    let y = |row: usize| TOP + CELL.1 * row as f64;
    let label = |text: &str| text.parse::<u64>().map_or(text.to_owned(), length);
    let body = html! {
        text class="faint" x=(px(LEFT - 8.0)) y=(px(TOP - 9.0)) text-anchor="end" { (table.rows_are) }
        @for (column, name) in table.columns.iter().enumerate() {
            text class="faint" x=(px(x(column) + CELL.0 / 2.0)) y=(px(TOP - 9.0)) text-anchor="middle" { (label(name)) }
        }
        @for (r, row) in table.rows.iter().enumerate() {
            text class="ink" x=(px(LEFT - 8.0)) y=(px(y(r) + 16.0)) text-anchor="end" { (row.name) }
            @for (c, cell) in row.cells.iter().enumerate() {
                @if let Some(cell) = cell {
                    @let (red, green, blue) = heat::color(cell.mean);
                    @let ink = if heat::ink_is_dark(cell.mean) { "#000000" } else { "#ffffff" };
                    rect x=(px(x(c))) y=(px(y(r))) width=(px(CELL.0 - 1.0)) height=(px(CELL.1 - 1.0)) fill=(format!("#{red:02x}{green:02x}{blue:02x}")) {}
                    text fill=(ink) x=(px(x(c) + CELL.0 / 2.0)) y=(px(y(r) + 16.0)) text-anchor="middle" { (format!("{:.0}", cell.mean)) }
                } @else {
                    rect class="panel" x=(px(x(c))) y=(px(y(r))) width=(px(CELL.0 - 1.0)) height=(px(CELL.1 - 1.0)) {}
                }
            }
        }
    };
    Chart {
        width,
        height,
        label: format!("{} by {} and {}", table.title, table.rows_are, table.columns_are),
        body,
    }
}

/// One line per subject over a logarithmic scale of lengths and of perplexity, with one standard error.
pub fn perplexity(summary: &Summary) -> Option<Chart> {
    let curves: Vec<(usize, &str, &CurveFigures)> = summary
        .subjects
        .iter()
        .enumerate()
        .filter_map(|(index, subject)| Some((index, subject.name.as_str(), subject.perplexity.as_ref()?)))
        .collect();
    let points = || curves.iter().flat_map(|(_, _, curve)| &curve.points);
    let finite: Vec<f64> = points()
        .map(|point| point.perplexity)
        .filter(|p| p.is_finite())
        .collect();
    if finite.is_empty() {
        return None;
    }
    let lengths = &summary.perplexity.as_ref()?.lengths;
    let (first, last) = (f64::from(*lengths.first()?), f64::from(*lengths.last()?));
    let lowest = finite.iter().copied().fold(f64::INFINITY, f64::min) / 1.15;
    let highest = finite.iter().copied().fold(0.0, f64::max) * 1.15;
    let across = |value: f64| match last > first {
        true => (value / first).ln() / (last / first).ln(),
        false => 0.5,
    };
    let up =
        |value: f64| ((value.clamp(lowest, highest) / lowest).ln() / (highest / lowest).ln()).clamp(0.0, 1.0);
    let legend = 20.0 * curves.len() as f64;
    let frame = Frame {
        bottom: 240.0,
        ..Frame::default()
    };
    let every = lengths.len().div_ceil(8).max(1);
    let below: Vec<(f64, String)> = lengths
        .iter()
        .step_by(every)
        .map(|&len| (across(f64::from(len)), length(u64::from(len))))
        .collect();
    let ticks: Vec<(f64, String)> = ticks(lowest, highest)
        .into_iter()
        .map(|t| (up(t), figure(t)))
        .collect();
    let body = html! {
        (frame.across(&ticks))
        (frame.below(&below, "tokens of context"))
        (frame.above("perplexity", &[]))
        @for (index, name, curve) in &curves { (line(*index, name, curve, &frame, (&across, &up))) }
    };
    Some(Chart {
        width: frame.right + 14.0,
        height: 284.0 + legend,
        label: "Perplexity by length, one line per subject".into(),
        body,
    })
}

type Scale<'a> = &'a dyn Fn(f64) -> f64;

fn line(
    index: usize,
    name: &str,
    curve: &CurveFigures,
    frame: &Frame,
    scales: (Scale<'_>, Scale<'_>),
) -> Markup {
    let (across, up) = scales;
    let (r, g, b) = inspect::color(index);
    let color = format!("#{r:02x}{g:02x}{b:02x}");
    let points = curve.points.iter().filter(|point| point.perplexity.is_finite());
    let places: Vec<(f64, f64, f64, f64)> = points
        .map(|point| {
            let error = point.std_error.unwrap_or(0.0);
            (
                frame.x(across(f64::from(point.length))),
                frame.y(up(point.perplexity)),
                frame.y(up(point.perplexity + error)),
                frame.y(up(point.perplexity - error)),
            )
        })
        .collect();
    let path: Vec<String> = places
        .iter()
        .map(|(x, y, ..)| format!("{},{}", px(*x), px(*y)))
        .collect();
    // Lines are told apart without colour by their dashes.
    let dashes = ["", "6 3", "2 2", "8 3 2 3"][index % 4];
    let y = 290.0 + 20.0 * index as f64;
    html! {
        polyline points=(path.join(" ")) fill="none" stroke=(color) stroke-width="2" stroke-dasharray=(dashes) {}
        @for (x, y, high, low) in &places {
            line x1=(px(*x)) x2=(px(*x)) y1=(px(*high)) y2=(px(*low)) stroke=(color) stroke-width="1" {}
            circle cx=(px(*x)) cy=(px(*y)) r="2.5" fill=(color) {}
        }
        line x1=(px(frame.left)) x2=(px(frame.left + 26.0)) y1=(px(y - 4.0)) y2=(px(y - 4.0)) stroke=(color) stroke-width="2" stroke-dasharray=(dashes) {}
        text class="ink" x=(px(frame.left + 32.0)) y=(px(y)) { (visible(name.as_bytes())) }
    }
}

/// One, two and five times powers of ten between two numbers; the ends, if there is none.
fn ticks(lowest: f64, highest: f64) -> Vec<f64> {
    let powers = lowest.log10().floor() as i32..=highest.log10().ceil() as i32;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power)));
    let inside: Vec<f64> = all.filter(|tick| (lowest..=highest).contains(tick)).collect();
    match inside.len() {
        0 | 1 => vec![lowest, highest],
        _ => inside,
    }
}
