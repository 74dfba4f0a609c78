//! One self-contained page: the figures, their charts and tables, and a map of the attention mask
//! that can be zoomed from a whole sequence down to two tokens.
//!
//! ```text
//! figures ─► sections, tables, charts ─► markup ─┐
//! tokens  ─► payload: deflate, base64 ───────────┼─► page, its script and style allowed by hash
//! page.css, script/*.js ─────────────────────────┘
//! ```
//!
//! The page asks for nothing: its policy forbids every request and every script but its own. Text
//! from elsewhere is in it in two ways only: escaped by the markup, or compressed in an alphabet
//! that has no `<`, and then the script hands it to `textContent`.

mod map;
mod payload;
mod sections;
mod tables;

use base64::prelude::{BASE64_STANDARD, Engine};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::charts::{self, Theme};
use super::figures::{Overview, SequenceFigures};

/// A page stays below five megabytes, so that it can be mailed and opens at once; the notes on what did
/// not fit need a little of that.
const MAX_BYTES: usize = 5_000_000 - 2_000;

/// The page's own style; that of the charts comes from them.
const STYLE: &str = include_str!("page.css");

/// The script, in the order in which its parts build on each other.
const SCRIPT: &str = concat!(
    include_str!("script/sequence.js"),
    include_str!("script/view.js"),
    include_str!("script/draw.js"),
    include_str!("script/ruler.js"),
    include_str!("script/minimap.js"),
    include_str!("script/readout.js"),
    include_str!("script/input.js"),
    include_str!("script/map.js"),
    include_str!("script/tables.js"),
    include_str!("script/start.js"),
);

/// A sequence to look into.
#[derive(Debug)]
pub struct Embedded {
    /// Why this one was chosen.
    pub reasons: Vec<String>,
    /// Its figures.
    pub figures: SequenceFigures,
    /// `[seq_len]`: its ids.
    pub tokens: Vec<u32>,
}

/// The page of a dataset. `text` gives what a token looks like, everything invisible made visible.
///
/// Sequences are embedded in order as long as the page stays below five megabytes; of one that does not
/// fit, the segments are there without the tokens, or a note says that it is missing.
pub fn html(overview: &Overview, sequences: &[Embedded], text: &(dyn Fn(u32) -> String + Sync)) -> String {
    let frame = document(overview, sequences, &[]).into_string();
    let room = MAX_BYTES.saturating_sub(frame.len());
    let payloads = payload::within(room, sequences, text);
    document(overview, sequences, &payloads).into_string()
}

fn document(overview: &Overview, sequences: &[Embedded], payloads: &[payload::Payload]) -> Markup {
    let style = style();
    let title = format!("{} · ultrapack inspect", overview.identity.path);
    let body = html! {
        (sections::header(overview))
        main {
            (sections::glance(overview))
            (sections::findings(&overview.findings))
            (map::section(overview, sequences, payloads))
            (sections::charts(overview))
            (sections::identity(&overview.identity))
        }
        (sections::footer())
        @for payload in payloads { (payload.markup()) }
        script type="module" { (PreEscaped(SCRIPT)) }
    };
    framed(
        &title,
        &policy(&style, &format!("script-src {};", hash(SCRIPT))),
        &style,
        &body,
    )
}

/// A page of the same look without a script.
pub fn still(title: &str, body: &Markup) -> String {
    let style = style();
    framed(title, &policy(&style, ""), &style, body).into_string()
}

fn framed(title: &str, policy: &str, style: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    }
}

/// The style of page and charts. What is printed is light.
fn style() -> String {
    format!(
        "{STYLE}{}@media screen and (prefers-color-scheme:dark){{\n{}}}\n@media screen{{\n{}}}\n",
        charts::css("", Theme::Light),
        charts::css(":root:not([data-theme=light])", Theme::Dark),
        charts::css(":root[data-theme=dark]", Theme::Dark),
    )
}

/// Nothing may be loaded, sent, framed or run but the style with its hash, and what `scripts` allows.
fn policy(style: &str, scripts: &str) -> String {
    format!(
        "default-src 'none'; {scripts} style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(style)
    )
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_and_style_cannot_end_their_own_elements() {
        assert!(!SCRIPT.to_ascii_lowercase().contains("</script") && !SCRIPT.contains("<!--"));
        assert!(!style().to_ascii_lowercase().contains("</style"));
    }
}
