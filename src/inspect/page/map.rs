//! The frame of the mask map, which the script fills, and the sequences to choose from.

use maud::{Markup, html};

use super::Embedded;
use super::payload::Payload;
use crate::inspect::figures::Overview;
use crate::inspect::look;
use crate::numbers::{count, percent};

/// Keys and what they do, for the help.
const KEYS: [(&str, &str); 8] = [
    (
        "← ↑ → ↓",
        "move by an eighth of the view; with Shift by one token",
    ),
    ("+  −", "zoom in, zoom out"),
    ("0", "the whole sequence"),
    (
        "g",
        "go to a token: “65532”, or “65532, 65100” for a query and a key",
    ),
    ("[  ]", "the previous, the next document on the diagonal"),
    ("n  p", "the next, the previous sequence"),
    ("?", "this help"),
    ("Esc", "back to the map"),
];

/// The mask map and everything around it.
pub fn section(overview: &Overview, sequences: &[Embedded], payloads: &[Payload]) -> Markup {
    if sequences.is_empty() {
        return html! {};
    }
    let first = first_shown(sequences);
    let palette = look::PALETTE.map(|(r, g, b)| format!("#{r:02x}{g:02x}{b:02x}"));
    let identity = &overview.identity;
    html! {
        section #mask aria-labelledby="mask-title" {
            h2 #mask-title { "Attention mask" }
            p.lead {
                "Which token sees which: a row per query, a column per key. "
                "Scroll to zoom, drag to move, or press " kbd { "?" } " for the keys."
            }
            div.toolbar {
                label.field.wide {
                    span { "Sequence" }
                    select #sequence {
                        @for (index, embedded) in sequences.iter().enumerate() {
                            (choice(embedded, payloads, index == first))
                        }
                    }
                }
                form #go autocomplete="off" {
                    label.field {
                        span { "Token" }
                        input #go-to type="text" inputmode="numeric" placeholder="65532" size="12";
                    }
                    button type="submit" { "Go" }
                }
                div.group role="group" aria-label="Zoom" {
                    button #zoom-out type="button" aria-label="Zoom out" { "−" }
                    button #zoom-in type="button" aria-label="Zoom in" { "+" }
                    button #zoom-fit type="button" { "Whole" }
                    button #help-open type="button" aria-label="Keys" { "?" }
                }
            }
            @let missing = sequences.len() - payloads.len();
            @let bare = payloads.iter().filter(|payload| !payload.has_tokens()).count();
            @if missing > 0 {
                p.note {
                    (missing) " of " (sequences.len()) " sequences are not embedded: the page would exceed 5 MB."
                }
            }
            @if bare > 0 {
                p.note { (bare) " sequences are embedded without their tokens: the page would exceed 5 MB." }
            }
            div.map {
                div.stage {
                    canvas #map tabindex="0" role="application" aria-roledescription="mask map"
                        aria-label="Attention mask. Arrows move, plus and minus zoom, g goes to a token, ? lists the keys."
                        aria-describedby="pair"
                        data-palette=(palette.join(" "))
                        data-eod=(identity.eod_id) data-pad=(identity.pad_id)
                        data-mask=[identity.mask_id] {}
                    ul.legend aria-label="Legend" {
                        li { span.swatch.same {} "same document" }
                        li #legend-across hidden { span.swatch.across {} "across documents" }
                        li { span.swatch.masked {} "masked" }
                        li { span.swatch.padding {} "padding" }
                    }
                }
                div.side {
                    div.overview {
                        canvas #minimap aria-hidden="true" {}
                        dl #facts.facts {}
                    }
                    div #readout.readout {
                        p #pair.pair aria-live="polite" {}
                        div.end data-side="query" { h3 {} p.where {} p.text {} }
                        div.end data-side="key" { h3 {} p.where {} p.text {} }
                    }
                }
            }
            details.segments {
                summary { "Documents of this sequence" }
                div #segments.scroll {}
            }
            dialog #help aria-labelledby="help-title" {
                h3 #help-title { "Keys on the map" }
                dl.keys { @for (keys, what) in KEYS { dt { kbd { (keys) } } dd { (what) } } }
                p {
                    "Wheel or pinch zooms at the pointer, dragging moves. "
                    "The address keeps the view: copy it to share a place."
                }
                form method="dialog" { button autofocus { "Close" } }
            }
            noscript { p.note { "The map needs JavaScript; everything else on this page does not." } }
        }
    }
}

/// The sequence that was asked for; else one with enough documents to show what a mask is, and few
/// enough to see them.
fn first_shown(sequences: &[Embedded]) -> usize {
    const TO_SEE: f64 = 16.0;
    let asked = |embedded: &Embedded| embedded.reasons.iter().any(|reason| reason == "asked for");
    let off =
        |embedded: &Embedded| ((embedded.figures.segments.len().max(1) as f64).ln() - TO_SEE.ln()).abs();
    let by_documents =
        || (0..sequences.len()).min_by(|&a, &b| off(&sequences[a]).total_cmp(&off(&sequences[b])));
    sequences
        .iter()
        .position(asked)
        .or_else(by_documents)
        .unwrap_or(0)
}

fn choice(embedded: &Embedded, payloads: &[Payload], first: bool) -> Markup {
    let figures = &embedded.figures;
    let embedded_too = payloads
        .iter()
        .any(|payload| payload.sequence() == figures.sequence);
    let documents = figures.segments.len() as u64;
    html! {
        option value=(figures.sequence) disabled[!embedded_too] selected[first && embedded_too] {
            "#" (count(figures.sequence)) " — " (embedded.reasons.join(", ")) " · "
            (count(documents)) @if documents == 1 { " document · " } @else { " documents · " }
            (percent(figures.n_tokens as f64 / f64::from(figures.seq_len))) " full"
            @if figures.full_attention { " · full attention" }
        }
    }
}
