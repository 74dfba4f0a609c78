//! Pictures for papers: SVG that stands alone, and PNG drawn from it with a font that comes along, so
//! that the same figures give the same pixels everywhere.

use std::sync::{Arc, LazyLock};

use maud::{Markup, PreEscaped, html};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use super::charts::{self, Chart, Theme, mask_chart, panels, px};
use super::figures::{Kind, Overview, SegmentFigures, SequenceFigures};
use super::look;
use super::visible::{shorten, visible};
use crate::numbers::{count, length, percent, short};

/// Space around things.
const MARGIN: f64 = 24.0;
/// Height of a heading.
const HEADING: f64 = 58.0;

/// The charts of a dataset, two in a row.
pub fn overview_svg(overview: &Overview) -> String {
    let identity = &overview.identity;
    let kind = match identity.kind {
        Kind::Dataset => "Dataset",
        Kind::Shard => "Shard",
    };
    let name = format!("{kind}  {}", shorten(&identity.path, 60));
    let dataset = identity.dataset.as_deref().map(|id| {
        format!(
            " · {}",
            visible(id.chars().take(23).collect::<String>().as_bytes())
        )
    });
    let facts = format!(
        "{} sequences of {} tokens · {} filled · boundary {}{}",
        count(overview.fill.n_sequences),
        length(u64::from(identity.seq_len)),
        percent(overview.fill.fill_ratio),
        look::boundary(identity.boundary),
        dataset.unwrap_or_default()
    );
    sheet(&name, &facts, &panels(overview))
}

/// Charts with their titles as one picture, two in a row.
pub fn sheet(title: &str, facts: &str, panels: &[(&str, Chart)]) -> String {
    let (mut placed, mut width, mut y) = (Vec::new(), 0.0, HEADING + MARGIN);
    for row in panels.chunks(2) {
        let mut x = MARGIN;
        for (title, chart) in row {
            placed.push(html! {
                g class="chart" { text class="ink" x=(px(x + 4.0)) y=(px(y + 14.0)) style="font-size:14px;font-weight:bold" { (title) } }
                (chart.placed(x, y + 20.0))
            });
            x += chart.width + MARGIN;
        }
        width = f64::max(width, x);
        y += 20.0 + MARGIN + row.iter().map(|(_, chart)| chart.height).fold(0.0, f64::max);
    }
    document(
        width,
        y,
        &html! { (heading(title, facts)) @for panel in &placed { (panel) } },
    )
}

/// The mask of a sequence, and beside it what its documents are.
pub fn sequence_svg(sequence: &SequenceFigures) -> String {
    let mask = mask_chart(sequence);
    let title = format!("Sequence {}", count(sequence.sequence));
    let facts = format!(
        "{} tokens, {} padding · {} segments · {} of all pairs attend",
        count(sequence.n_tokens),
        count(u64::from(sequence.seq_len).saturating_sub(sequence.n_tokens)),
        count(sequence.segments.len() as u64),
        percent(sequence.density)
    );
    let legend_x = MARGIN + mask.width + 8.0;
    let width = legend_x + LEGEND_WIDTH + MARGIN;
    let height = HEADING + mask.height + MARGIN;
    let body = html! {
        (heading(&title, &facts))
        (mask.placed(MARGIN, HEADING))
        (legend(sequence, legend_x, HEADING + 42.0))
    };
    document(width, height, &body)
}

const LEGEND_WIDTH: f64 = 330.0;
const LEGEND_LINE: f64 = 20.0;
/// Documents named at most; of more, the longest are.
const NAMED: usize = 17;

fn legend(sequence: &SequenceFigures, x: f64, y: f64) -> Markup {
    let mut named: Vec<(usize, &SegmentFigures)> = sequence.segments.iter().enumerate().collect();
    if named.len() > NAMED {
        named.sort_by_key(|(index, segment)| (std::cmp::Reverse(segment.len), *index));
        named.truncate(NAMED);
        named.sort_by_key(|(index, _)| *index);
    }
    let hidden = sequence.segments.len() - named.len();
    let line = |i: usize| y + LEGEND_LINE * i as f64;
    let padding = u64::from(sequence.seq_len).saturating_sub(sequence.n_tokens);
    let keys = y + 416.0 - 34.0;
    html! {
        g class="chart" {
            @for (i, (index, segment)) in named.iter().enumerate() {
                @let (r, g, b) = look::color(*index);
                rect x=(px(x)) y=(px(line(i))) width="15" height="15" rx="2" fill=(format!("#{r:02x}{g:02x}{b:02x}")) {}
                text fill=(look::label_color(*index)) x=(px(x + 7.5)) y=(px(line(i) + 11.5)) text-anchor="middle" { (segment.letter) }
                text class="ink" x=(px(x + 23.0)) y=(px(line(i) + 11.5)) { (shorten(&provenance(segment), 40)) }
                text class="faint" x=(px(x + LEGEND_WIDTH)) y=(px(line(i) + 11.5)) text-anchor="end" { (count(u64::from(segment.len))) }
            }
            @if hidden > 0 {
                text class="faint" x=(px(x + 23.0)) y=(px(line(named.len()) + 11.5)) { "and " (count(hidden as u64)) " shorter ones" }
            }
            @if padding > 0 {
                rect class="panel" x=(px(x)) y=(px(keys)) width="15" height="15" rx="2" {}
                rect fill=(format!("url(#padding-{})", sequence.sequence)) x=(px(x)) y=(px(keys)) width="15" height="15" rx="2" {}
                text class="ink" x=(px(x + 23.0)) y=(px(keys + 11.5)) { "padding: attends to nothing" }
                text class="faint" x=(px(x + LEGEND_WIDTH)) y=(px(keys + 11.5)) text-anchor="end" { (count(padding)) }
            }
            @if sequence.full_attention {
                rect class="cross" fill-opacity="0.45" x=(px(x)) y=(px(keys + LEGEND_LINE)) width="15" height="15" rx="2" {}
                text class="ink" x=(px(x + 23.0)) y=(px(keys + LEGEND_LINE + 11.5)) { "different documents: attend here as well" }
            } @else {
                rect class="panel" x=(px(x)) y=(px(keys + LEGEND_LINE)) width="15" height="15" rx="2" {}
                text class="ink" x=(px(x + 23.0)) y=(px(keys + LEGEND_LINE + 11.5)) { "different documents: do not attend" }
            }
        }
    }
}

/// Where a segment came from, in a line.
fn provenance(segment: &SegmentFigures) -> String {
    let part = match (segment.start, &segment.origin) {
        (0, _) => String::new(),
        (start, _) => format!(", from token {}", short(start)),
    };
    match &segment.origin {
        Some(origin) => {
            let file = visible(origin.file.as_bytes());
            let file = file.rsplit('/').next().unwrap_or_default();
            format!(
                "{} · {file}#{}{part}",
                visible(origin.source.as_bytes()),
                origin.record
            )
        }
        None => format!("document {}{part}", count(segment.document)),
    }
}

fn heading(title: &str, facts: &str) -> Markup {
    html! {
        g class="chart" {
            text class="ink" x=(px(MARGIN + 4.0)) y="32" style="font-size:18px" { (title) }
            text class="faint" x=(px(MARGIN + 4.0)) y="51" style="font-size:12px" { (facts) }
        }
    }
}

fn document(width: f64, height: f64, body: &Markup) -> String {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(px(width)) height=(px(height))
            viewBox=(format!("0 0 {} {}", px(width), px(height))) {
            style { (PreEscaped(charts::css("", Theme::Light))) }
            g class="chart" { rect class="paper" width=(px(width)) height=(px(height)) {} }
            (body)
        }
    }
    .into_string()
        + "\n"
}

/// The fonts of pictures: what the system has would make them differ from machine to machine.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    fonts.load_font_data(epaint_default_fonts::HACK_REGULAR.to_vec());
    Arc::new(fonts)
});

/// An SVG of ours as PNG with `scale` pixels per unit.
///
/// # Errors
/// It is no SVG, or too large to draw.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, String> {
    let options = usvg::Options {
        fontdb: FONTS.clone(),
        font_family: "Ubuntu".into(),
        ..Default::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| e.to_string())?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(scale)
        .ok_or("it has no size")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or("it is too large")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing;
    use proptest::prelude::*;
    use regex::Regex;

    #[test]
    fn pictures_look_as_recorded() {
        insta::assert_snapshot!("overview_svg", overview_svg(&testing::overview()));
        insta::assert_snapshot!("block_diagonal_svg", sequence_svg(&testing::mixed(false)));
        insta::assert_snapshot!("full_attention_svg", sequence_svg(&testing::mixed(true)));
    }

    #[test]
    fn a_picture_decodes_and_has_the_size_that_it_states() {
        let drawn = png(&sequence_svg(&testing::mixed(false)), 2.0).unwrap();
        let pixels = Pixmap::decode_png(&drawn).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (1740, 1100));
        assert!(png("<p>", 1.0).is_err());
        assert!(png(&sequence_svg(&testing::mixed(false)), 1e6).is_err());
    }

    /// What is painted last in the middle of each pair of a mask, from the marks of its SVG.
    fn painted(svg: &str, seq_len: u32) -> Vec<char> {
        let rect = Regex::new("<rect([^>]*)>").unwrap();
        let attribute = Regex::new(r#" ([a-z-]+)="([^"]*)""#).unwrap();
        // The square is the panel; what comes after it and before the rulers lies in it.
        let marks: Vec<std::collections::HashMap<&str, &str>> = rect
            .captures_iter(svg)
            .map(|mark| attribute.captures_iter(mark.get(1).unwrap().as_str()))
            .map(|mark| {
                mark.map(|a| (a.get(1).unwrap().as_str(), a.get(2).unwrap().as_str()))
                    .collect()
            })
            .collect();
        let number = |mark: &std::collections::HashMap<&str, &str>, name: &str| -> f64 {
            mark.get(name).map_or(0.0, |value| value.parse().unwrap())
        };
        let panel = marks
            .iter()
            .find(|mark| mark.get("class") == Some(&"panel"))
            .unwrap();
        let (left, top, side) = (number(panel, "x"), number(panel, "y"), number(panel, "width"));
        let mut pairs = Vec::new();
        for at in 0..seq_len * seq_len {
            let middle = |position: u32| (f64::from(position) + 0.5) / f64::from(seq_len) * side;
            let (x, y) = (left + middle(at % seq_len), top + middle(at / seq_len));
            let mut found = '?';
            for mark in &marks {
                let (from_x, from_y) = (number(mark, "x"), number(mark, "y"));
                let within = x > from_x
                    && x < from_x + number(mark, "width")
                    && y > from_y
                    && y < from_y + number(mark, "height");
                let fill = mark.get("fill").copied().unwrap_or_default();
                found = match mark.get("class").copied() {
                    _ if !within || fill == "none" => found,
                    Some("panel") => '.',
                    Some("paper") => found,
                    Some("cross") => '#',
                    _ if fill.starts_with("url") => '/',
                    _ => '#',
                };
            }
            pairs.push(found);
        }
        pairs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_mask_is_painted_as_the_dense_mask_says(
            lens in prop::collection::vec(1u32..6, 1..6), padding in 0u32..5, gap in 0u32..3, full: bool,
        ) {
            let seq_len = lens.iter().sum::<u32>() + padding + gap * lens.len() as u32;
            let mut figures = testing::sequence(&lens, seq_len, full);
            let mut ids = Vec::new();
            for (segment, id) in figures.segments.iter_mut().zip(1..) {
                segment.offset += gap * (id - 1);
                ids.resize(segment.offset as usize, 0);
                ids.extend(std::iter::repeat_n(id, segment.len as usize));
            }
            ids.resize(seq_len as usize, 0);
            let mask = mask_chart(&figures).body.into_string();
            for (at, found) in painted(&mask, seq_len).into_iter().enumerate() {
                let (q, k) = (ids[at / ids.len()], ids[at % ids.len()]);
                let expected = match (q, k) {
                    (0, _) | (_, 0) => '/',
                    _ if full || q == k => '#',
                    _ => '.',
                };
                prop_assert_eq!(found, expected, "pair {} of {:?}", at, ids);
            }
        }
    }
}
