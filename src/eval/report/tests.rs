//! What a summary looks like, with names that mean harm.

use serde_json::json;

use super::*;
use crate::eval::perplexity::{Estimator, Point};
use crate::eval::run::{
    BenchmarkFigures, BenchmarkSettings, CurveFigures, PerplexityFigures, SubjectFigures,
};
use crate::eval::{Cell, Row, Table};
use crate::inspect::Look;

const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[31m\u{202e}";

fn cell(mean: f64) -> Option<Cell> {
    Cell::of([mean])
}

fn needles(low: f64) -> Table {
    let row = |name: &str, summary, cells| Row {
        name: name.into(),
        summary,
        cells,
    };
    Table {
        name: "score",
        title: "NeedleBench score".into(),
        rows_are: "depth",
        columns_are: "length",
        columns: vec!["4096".into(), "8192".into()],
        rows: vec![
            row("0", false, vec![cell(100.0), cell(low)]),
            row("100", false, vec![cell(50.0), None]),
            row("all", true, vec![cell(75.0), None]),
        ],
    }
}

fn subject(name: &str, perplexity: [f64; 2]) -> SubjectFigures {
    let point = |length, perplexity| Point {
        length,
        perplexity,
        std_error: Some(0.25),
        std_error_texts: None,
        local: None,
        n: 4,
    };
    SubjectFigures {
        name: name.into(),
        model: "m".into(),
        digest: "blake3:0".into(),
        rope: json!({ "method": "none" }),
        max_len: 4096,
        benchmarks: vec![BenchmarkFigures {
            name: "niah".into(),
            n_prompts: 4,
            n_answered: 3,
            n_too_long: 1,
            tables: vec![needles(20.0)],
            n_steps: 48,
            n_forwards: 48,
            n_partial: 0,
            n_new_tokens: 96,
            secs: 1.5,
        }],
        perplexity: Some(CurveFigures {
            points: vec![point(4096, perplexity[0]), point(8192, perplexity[1])],
            beyond: vec![16384],
            n_forwards: 64,
            secs: 2.0,
        }),
    }
}

fn summary() -> Summary {
    Summary {
        subjects: vec![
            subject(HOSTILE, [12.0, 343.88]),
            subject("scaled", [11.27, 10.45]),
        ],
        benchmarks: vec![BenchmarkSettings {
            name: "niah".into(),
            settings: json!({ "seed": 42 }),
            left_out: Vec::new(),
        }],
        perplexity: Some(PerplexityFigures {
            source: HOSTILE.into(),
            digest: "blake3:1".into(),
            n_texts: 2,
            n_too_short: 1,
            estimator: Estimator::Window { draws: 16 },
            seed: 1,
            lengths: vec![4096, 8192, 16384],
        }),
        sampling: json!({}),
        tokenizer: "blake3:2".into(),
        dtype: "f32".into(),
    }
}

fn look(width: usize) -> Look {
    Look {
        width,
        color: false,
        ascii: false,
    }
}

#[test]
fn the_terminal_shows_curves_grids_and_what_has_no_score() {
    let mut summary = summary();
    summary.subjects[0].name = "plain".into();
    summary.perplexity.as_mut().unwrap().source = "book.txt".into();
    let text = text(&summary, &look(100));
    for expected in [
        "343.9 ± 0.25",
        "10.45 ± 0.25",
        "niah: NeedleBench score, side by side",
        "all · scaled",
        "plain: 1 of 4 prompts of niah are longer than 4,096 tokens and have no score",
        "plain: no perplexity at 16,384 tokens",
        "48 steps, 48 passes over the sequence",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_and_colour_is_never_alone() {
    let mut summary = summary();
    summary.subjects[0].name = "plain".into();
    let colored = Look {
        color: true,
        ..look(60)
    };
    let plain: String = anstream::adapter::strip_str(&text(&summary, &colored)).to_string();
    let grid = plain.lines().skip_while(|line| !line.starts_with(" depth"));
    let grid: Vec<&str> = grid.take(4).collect();
    assert_eq!(grid[1].split_whitespace().collect::<Vec<_>>(), ["0", "100", "20"]);
    for width in [30, 60] {
        let text = text(&summary, &look(width));
        let tables = text.lines().filter(|line| line.starts_with(' '));
        assert!(tables.clone().count() > 10);
        for line in tables {
            assert!(line.chars().count() <= width.max(32), "{width}: {line:?}");
        }
    }
}

#[test]
fn names_from_outside_stay_text_everywhere() {
    let summary = summary();
    let directory = tempfile::tempdir().unwrap();
    let files = write(&summary, directory.path()).unwrap();
    assert_eq!(files.len(), 6);
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    for text in [text(&summary, &look(100)), page.clone()] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    }
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert!(page.contains("style-src 'sha256-") && !page.contains("script-src"));
    let svg = std::fs::read_to_string(directory.path().join("perplexity.svg")).unwrap();
    assert!(!svg.contains("<script") && !svg.contains('\u{1b}'));
}

#[test]
fn colours_grow_lighter_with_the_score() {
    let lightness = |score| {
        let (r, g, b) = heat::color(score);
        0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
    };
    let all: Vec<f64> = (0..=10).map(|tenth| lightness(10.0 * f64::from(tenth))).collect();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
}
