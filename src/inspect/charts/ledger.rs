//! Where the input's tokens went, as a flow from left to right.
//!
//! ```text
//!   read ──► used ──┬──► placed
//!       └► left out │
//!   EOD, repeats ───┴──► truncated, dropped
//! ```

use maud::{Markup, html};

use super::frame::{Chart, HEIGHT, WIDTH, px};
use crate::inspect::figures::{LedgerFigures, Overview};
use crate::numbers::{count, short};

/// Width of a node, and the least height of one that is not empty.
const NODE: f64 = 14.0;
const LEAST: f64 = 2.0;
/// Where the three columns of nodes stand.
const COLUMNS: [f64; 3] = [18.0, 212.0, 372.0];
const TOP: f64 = 22.0;
const BOTTOM: f64 = HEIGHT - 22.0;
const GAP: f64 = 18.0;

/// One amount, from one node to another.
struct Node {
    name: String,
    tokens: u64,
    class: &'static str,
}

/// The flow of tokens.
pub fn draw(overview: &Overview) -> Chart {
    let body = match &overview.ledger {
        Some(ledger) => flow(ledger),
        None => {
            html! { text class="faint" x="20" y="40" { "a single shard does not know where its tokens came from" } }
        }
    };
    Chart {
        width: WIDTH,
        height: HEIGHT,
        label: "Where the tokens of the input went".into(),
        body,
    }
}

fn flow(ledger: &LedgerFigures) -> Markup {
    let node = |name: &str, tokens: u64, class| Node {
        name: name.into(),
        tokens,
        class,
    };
    let kept = |nodes: Vec<Node>| -> Vec<Node> { nodes.into_iter().filter(|node| node.tokens > 0).collect() };
    let left: Vec<Node> = vec![node("read", ledger.tokens_read, "after")];
    let mut middle = vec![node("used", ledger.tokens_used, "after")];
    middle.extend(ledger.left_out.iter().map(|left_out| {
        node(
            &left_out.reason.replace('_', " "),
            left_out.tokens.unwrap_or(0),
            "before",
        )
    }));
    let added = kept(vec![
        node("EOD added", ledger.eod_added, "before"),
        node("repeated", ledger.tokens_repeated, "before"),
        node("overlap", ledger.tokens_overlap, "before"),
    ]);
    let middle = kept(middle);
    let right = kept(vec![
        node("placed", ledger.tokens_placed, "after"),
        node("truncated", ledger.tokens_truncated, "loss"),
        node("tail dropped", ledger.tokens_tail_dropped, "loss"),
    ]);

    // One scale for all columns; the tallest fills the height.
    let columns: [Vec<&Node>; 3] = [
        left.iter().collect(),
        added.iter().chain(&middle).collect(),
        right.iter().collect(),
    ];
    let scale = columns
        .iter()
        .map(|nodes| {
            let room = BOTTOM - TOP - GAP * nodes.len().saturating_sub(1) as f64 - LEAST * nodes.len() as f64;
            room / nodes.iter().map(|node| node.tokens as f64).sum::<f64>().max(1.0)
        })
        .fold(f64::INFINITY, f64::min);
    let height = |tokens: u64| LEAST + tokens as f64 * scale;
    let placed: Vec<Vec<(f64, f64)>> = columns
        .iter()
        .map(|nodes| {
            let mut y = TOP;
            nodes
                .iter()
                .map(|node| {
                    let (from, to) = (y, y + height(node.tokens));
                    y = to + GAP;
                    (from, to)
                })
                .collect()
        })
        .collect();

    // `read` splits into the nodes of the middle that were not added there.
    let mut ribbons = Vec::new();
    let mut at = placed[0].first().map_or(TOP, |place| place.0);
    for &(from, to) in placed[1].iter().skip(added.len()) {
        ribbons.push(ribbon(0, (at, at + (to - from)), (from, to)));
        at += to - from - LEAST;
    }
    // What was added and what was used go on together, and end in the nodes at the right.
    let used: Vec<(f64, f64)> = placed[1].iter().take(added.len() + 1).copied().collect();
    ribbons.extend(joined(&used, &placed[2]));
    html! {
        @for d in ribbons { path class="before" fill-opacity="0.35" d=(d) {} }
        @for (column, (nodes, places)) in columns.iter().zip(&placed).enumerate() {
            @for (node, (from, to)) in nodes.iter().zip(places) {
                g {
                    title { (node.name) ": " (count(node.tokens)) " tokens" }
                    rect class=(node.class) x=(px(COLUMNS[column])) y=(px(*from)) width=(px(NODE)) height=(px(to - from)) {}
                    text class="ink" x=(px(COLUMNS[column] + NODE + 5.0)) y=(px((from + to) / 2.0 + 1.0)) {
                        (node.name) " " tspan class="faint" { (short(node.tokens)) }
                    }
                }
            }
        }
    }
}

/// Ribbons from nodes on the left to nodes on the right that hold as much together, both in order.
fn joined(from: &[(f64, f64)], to: &[(f64, f64)]) -> Vec<String> {
    let len = |place: &(f64, f64)| place.1 - place.0;
    let (whole_from, whole_to) = (from.iter().map(len).sum::<f64>(), to.iter().map(len).sum::<f64>());
    let stretch = whole_to / whole_from.max(f64::MIN_POSITIVE);
    let mut ribbons = Vec::new();
    let (mut i, mut j, mut used_i, mut used_j) = (0, 0, 0.0, 0.0);
    while i < from.len() && j < to.len() {
        let (left_i, left_j) = ((len(&from[i]) - used_i) * stretch, len(&to[j]) - used_j);
        let step = left_i.min(left_j);
        let a = (from[i].0 + used_i, from[i].0 + used_i + step / stretch);
        let b = (to[j].0 + used_j, to[j].0 + used_j + step);
        ribbons.push(ribbon(1, a, b));
        used_i += step / stretch;
        used_j += step;
        if left_i - step < 1e-6 {
            (i, used_i) = (i + 1, 0.0);
        }
        if left_j - step < 1e-6 {
            (j, used_j) = (j + 1, 0.0);
        }
    }
    ribbons
}

/// A band from column `column` to the next.
fn ribbon(column: usize, a: (f64, f64), b: (f64, f64)) -> String {
    let (x0, x1) = (COLUMNS[column] + NODE, COLUMNS[column + 1]);
    let mid = (x0 + x1) / 2.0;
    let [x0, x1, mid, a0, a1, b0, b1] = [x0, x1, mid, a.0, a.1, b.0, b.1].map(px);
    format!("M{x0} {a0}C{mid} {a0} {mid} {b0} {x1} {b0}L{x1} {b1}C{mid} {b1} {mid} {a1} {x0} {a1}Z")
}
