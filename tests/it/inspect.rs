//! Looking into datasets: every number agrees with one computed another way, hostile text stays text,
//! and a damaged file is an error with a name.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use regex::Regex;
use serde_json::Value;
use ultrapack::dataset::Dataset;
use ultrapack::error::Error;
use ultrapack::inspect::{self, Inspection, Kind, Look, Opened, Raster, TokenTexts};
use ultrapack::sequence::PositionMode;

use crate::scratch::{Finished, Random, Scratch, fixture, jsonl, overwrite, recipe};

/// Rules of packing that between them give every kind of sequence.
const KINDS: [&str; 5] = [
    "pack: { seq_len: 512, boundary: adaptive }\n",
    "pack: { seq_len: 512, boundary: hybrid, align: 16 }\n",
    "pack: { seq_len: 768, boundary: direct, placement: stream }\n",
    "pack: { seq_len: 256, boundary: eod, placement: stream, positions: document }\n",
    "pack: { seq_len: 512, boundary: adaptive, positions: segment }\nbalance: { ranks: 2, accumulate: 2 }\n",
];

/// The dense mask of a row, from its segment ids alone: what `query` and `key` may do.
struct Dense {
    ids: Vec<i32>,
    full: bool,
}

impl Dense {
    fn of(dataset: &Dataset, row: u64) -> Self {
        Self {
            ids: dataset.sequence(row).unwrap().segment_ids(),
            full: dataset.row(row).unwrap().full_attention,
        }
    }

    fn attends(&self, query: usize, key: usize) -> bool {
        let (q, k) = (self.ids[query], self.ids[key]);
        q != 0 && k != 0 && (self.full || q == k)
    }

    fn pairs(&self) -> u64 {
        let n = self.ids.len();
        (0..n * n).filter(|at| self.attends(at / n, at % n)).count() as u64
    }
}

#[test]
fn every_cell_of_the_mask_and_every_count_equals_the_dense_mask() {
    for rules in KINDS {
        let scratch = Scratch::packed(20, rules);
        let dataset = scratch.open("out");
        let opened = Opened::open(&scratch.path("out")).unwrap();
        let surveyed = inspect::survey(&opened).unwrap();
        let seq_len = dataset.manifest().seq_len;
        let (mut tokens, mut most) = (0, 0.0f64);
        for row in 0..dataset.len() {
            let dense = Dense::of(&dataset, row);
            let figures = inspect::sequence(&opened, &opened.row(row).unwrap()).unwrap();
            assert_eq!(figures.attention_pairs, dense.pairs(), "{rules} row {row}");
            assert_eq!(surveyed.rows[row as usize].attention_pairs, dense.pairs());
            let real = dense.ids.iter().filter(|id| **id != 0).count() as u64;
            assert_eq!(figures.n_tokens, real);
            tokens += real;
            most = most.max(figures.density);
            let n = seq_len as usize;
            let raster = Raster::new(&figures, 0..seq_len, 0..seq_len, n, n);
            for at in 0..n * n {
                let cell = raster.cell(at / n, at % n);
                let padding = dense.ids[at / n] == 0 || dense.ids[at % n] == 0;
                let expected = [dense.attends(at / n, at % n), padding].map(|yes| f64::from(u8::from(yes)));
                assert_eq!(
                    [cell.attends, cell.padding],
                    expected,
                    "{rules} row {row} pair {at}"
                );
            }
        }
        let fill = &surveyed.overview.fill;
        assert_eq!(fill.tokens, tokens);
        assert_eq!(fill.slots, dataset.len() * u64::from(seq_len));
        assert_eq!(fill.tokens + fill.padding_tail + fill.padding_align, fill.slots);
        assert_eq!(surveyed.overview.attention.density.max, most);
    }
}

#[test]
fn what_is_counted_in_the_shards_is_what_the_manifest_says() {
    for rules in KINDS {
        let scratch = Scratch::packed(60, rules);
        let dataset = scratch.open("out");
        let stated = &dataset.manifest().statistics;
        let overview = inspect::survey(&Opened::open(&scratch.path("out")).unwrap())
            .unwrap()
            .overview;
        assert_eq!(overview.segment_lens, stated.segment_lens);
        assert_eq!(overview.context_kept, stated.context_kept);
        assert_eq!(overview.fill.segments_per_sequence, stated.segments_per_sequence);
        assert_eq!(overview.attention.density, stated.attention_density);
        assert_eq!(
            overview.fill.padding_tail,
            dataset.manifest().ledger.slots.padding_tail
        );
        if let Some(effect) = &stated.balance {
            assert_eq!(overview.attention.ranks.slowdown_before, effect.slowdown_before);
            let (counted, stated) = (overview.attention.ranks.slowdown_after, effect.slowdown_after);
            assert!((counted.unwrap() - stated.unwrap()).abs() < 1e-9);
            assert_eq!(overview.attention.ranks.loads.len(), 2);
        }
        assert!(
            !overview
                .findings
                .iter()
                .any(|finding| finding.code.starts_with("I00")),
            "{:?}",
            overview.findings
        );
    }
}

#[test]
fn a_shard_alone_shows_the_same_sequences() {
    let scratch = Scratch::packed(40, KINDS[1]);
    let whole = Opened::open(&scratch.path("out")).unwrap();
    let alone = Opened::open(&scratch.path("out/shard-00000.arrow")).unwrap();
    let (a, b) = (inspect::survey(&whole).unwrap(), inspect::survey(&alone).unwrap());
    assert_eq!(b.overview.identity.kind, Kind::Shard);
    assert_eq!(a.rows, b.rows);
    assert_eq!(a.overview.fill, b.overview.fill);
    assert_eq!(b.overview.ledger, None);
    let [mut in_dataset, in_shard] =
        [&whole, &alone].map(|opened| inspect::sequence(opened, &opened.row(1).unwrap()).unwrap());
    in_dataset
        .segments
        .iter_mut()
        .for_each(|segment| segment.origin = None);
    assert_eq!(in_dataset, in_shard);
    // The manifest's name stands for its directory.
    assert_eq!(
        Opened::open(&scratch.path("out/manifest.json")).unwrap().n_rows(),
        whole.n_rows()
    );
}

#[test]
fn the_seam_shows_the_tokens_and_positions_that_a_trainer_gets() {
    for rules in KINDS {
        let scratch = Scratch::packed(20, rules);
        let dataset = scratch.open("out");
        let opened = Opened::open(&scratch.path("out")).unwrap();
        let texts = TokenTexts::open(&opened).unwrap();
        let seq_len = dataset.manifest().seq_len;
        for row in 0..dataset.len() {
            let opened_row = opened.row(row).unwrap();
            let sequence = dataset.sequence(row).unwrap();
            let ids = sequence.segment_ids();
            let positions = sequence.position_ids(dataset.position_mode());
            let all = inspect::seam(&opened, &opened_row, &texts, 0, seq_len).unwrap();
            assert_eq!(all.tokens.len(), seq_len as usize);
            for (at, token) in all.tokens.iter().enumerate() {
                assert_eq!(token.id, dataset.row(row).unwrap().tokens[at]);
                assert_eq!(token.segment.map_or(0, |index| index as i32 + 1), ids[at]);
                assert_eq!(token.position_id, positions[at]);
                assert_eq!(token.loss, ids[at] != 0);
                assert_eq!(token.flag.as_deref() == Some("padding"), ids[at] == 0);
                if dataset.position_mode() == PositionMode::Document && ids[at] != 0 {
                    assert_eq!(token.document_position, Some(positions[at] as u64));
                }
            }
            let near = inspect::seam(&opened, &opened_row, &texts, seq_len - 1, 4).unwrap();
            assert_eq!(near.tokens[..], all.tokens[seq_len as usize - 5..]);
        }
    }
}

#[test]
fn whence_proves_every_token_of_every_kind_of_source() {
    let scratch = Scratch::new();
    let inputs = ["speeches.jsonl.gz", "short.jsonl.zst", "declaration.parquet"]
        .map(|name| fixture("corpus").join(name).to_str().unwrap().to_owned());
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    scratch.write("recipe.yaml", recipe(&inputs, "pack: { seq_len: 4096 }\n"));
    scratch.pack("out").expect_code(0);
    let opened = Opened::open(&scratch.path("out")).unwrap();
    let texts = TokenTexts::open(&opened).unwrap();
    let mut random = Random(7);
    let mut sources = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let row = opened.row(random.below(opened.n_rows() as usize) as u64).unwrap();
        let position = random.below(row.layout.n_tokens() as usize) as u32;
        let proof = inspect::whence(&opened, &row, &texts, position, None).unwrap();
        let token = inspect::seam(&opened, &row, &texts, position, 0)
            .unwrap()
            .tokens
            .remove(0);
        assert_eq!(proof.token, token);
        if token.flag.is_none() {
            // A token that is a whole piece of text shows the text that it came from.
            let (from, to) = proof.text_bytes.unwrap();
            assert!(to > from, "{proof:?}");
            assert!(
                proof.text.1.contains(token.text.trim_matches('⟩')) || token.text.contains('⟨'),
                "{proof:?}"
            );
        }
        sources.insert(proof.origin.source);
    }
    assert!(sources.len() >= 2, "{sources:?}");
}

#[test]
fn whence_refuses_padding_changed_files_and_shards_alone() {
    let scratch = Scratch::packed(20, "");
    let ask = |path: &str, at: &str| scratch.ultrapack(&["inspect", path, "--seq", "0", "--whence", at]);
    assert!(ask("out", "0").expect_code(0).stdout().contains("corpus.jsonl"));
    assert!(ask("out", "1024").expect_code(2).stderr().contains("0 to 1023"));
    assert!(
        ask("out/shard-00000.arrow", "0")
            .expect_code(2)
            .stderr()
            .contains("dataset directory")
    );
    let last = scratch.open("out").len() - 1;
    let padding = ["inspect", "out", "--seq", &last.to_string(), "--whence", "1023"];
    assert!(
        scratch
            .ultrapack(&padding)
            .expect_code(2)
            .stderr()
            .contains("padding")
    );

    let corpus = fs::read_to_string(scratch.path("corpus.jsonl")).unwrap();
    let changed = corpus.replace('e', "a").replace("\"taxt\"", "\"text\"");
    overwrite(&scratch.path("corpus.jsonl"), changed);
    let refused = ask("out", "0").expect_code(3).stderr();
    assert!(
        refused.contains("corpus.jsonl") && refused.contains("hash"),
        "{refused}"
    );
    fs::remove_file(scratch.path("out/run.json")).unwrap();
    assert!(ask("out", "0").expect_code(2).stderr().contains("--recipe"));
}

#[test]
fn wrong_arguments_are_one_clear_error_each() {
    let scratch = Scratch::packed(20, "");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["inspect", "nowhere"], 10, "no such file or directory"),
        (&["inspect", "."], 10, "manifest.json"),
        (&["inspect", "out/plan.arrow"], 4, "ultrapack.format_version"),
        (&["inspect", "corpus.jsonl"], 4, "ARROW1"),
        (&["inspect", "out", "--seq", "99"], 2, "there is no sequence 99"),
        (&["inspect", "out", "--seq", "0", "--at", "9999"], 2, "0 to 1023"),
        (&["inspect", "out", "--at", "9"], 2, "--seq"),
        (&["inspect", "out", "--html", "out/report.html"], 2, "dataset"),
        (
            &["inspect", "out", "--svg", "no/such/place.svg"],
            74,
            "no/such/place.svg",
        ),
    ];
    for (args, code, word) in cases {
        let output = scratch.ultrapack(args).expect_code(code);
        assert!(output.stderr().contains(word), "{args:?}: {}", output.stderr());
        assert_eq!(output.stdout(), "", "{args:?}");
    }
    assert!(!scratch.path("out/report.html").exists());
}

#[test]
fn other_boundaries_than_planned_are_found_and_a_damaged_shard_has_a_name() {
    let scratch = Scratch::packed(40, KINDS[0]);
    let shard = scratch.path("out/shard-00000.arrow");
    let whole = fs::read(&shard).unwrap();
    fs::set_permissions(&shard, fs::Permissions::from_mode(0o644)).unwrap();
    let file = OpenOptions::new().write(true).open(&shard).unwrap();
    let mut random = Random(3);
    let (mut n_errors, mut n_found, mut n_unseen) = (0, 0, 0);
    for _ in 0..600 {
        let bit = random.below(whole.len() * 8) as u64;
        let byte = whole[(bit / 8) as usize];
        file.write_all_at(&[byte ^ (1 << (bit % 8))], bit / 8).unwrap();
        for path in ["out", "out/shard-00000.arrow"] {
            let looked = Opened::open(&scratch.path(path)).and_then(|opened| {
                let surveyed = inspect::survey(&opened)?;
                for row in 0..opened.n_rows() {
                    inspect::sequence(&opened, &opened.row(row)?)?;
                }
                Ok(surveyed.overview)
            });
            match looked {
                Err(Error::Damaged { path, .. }) => {
                    assert_eq!(path, shard);
                    n_errors += 1;
                }
                Err(other) => panic!("{other}"),
                Ok(overview) if overview.findings.iter().any(|f| f.code.starts_with("I00")) => n_found += 1,
                Ok(_) => n_unseen += 1,
            }
        }
        file.write_all_at(&[byte], bit / 8).unwrap();
    }
    // A single shard has no manifest to hold its frame against: flips in unused bytes there go unseen.
    assert!(
        n_errors > 1000,
        "{n_errors} errors, {n_found} found, {n_unseen} unseen"
    );
    for len in [0, 8, 100, whole.len() / 2, whole.len() - 1] {
        overwrite(&shard, &whole[..len]);
        for path in ["out", "out/shard-00000.arrow"] {
            let output = scratch.ultrapack(&["inspect", path]).expect_code(4);
            assert!(
                output.stderr().contains("shard-00000.arrow"),
                "{}",
                output.stderr()
            );
        }
    }
}

/// The overview reads no tokens, so it must notice changed boundaries by itself.
#[test]
fn a_changed_boundary_is_the_first_finding() {
    let scratch = Scratch::packed(40, KINDS[0]);
    let dataset = scratch.open("out");
    let first = |row| dataset.row(row).unwrap().cu_seqlens[1];
    let wanted = first(0);
    let n_alike = (0..dataset.len()).filter(|&row| first(row) == wanted).count();
    drop(dataset);
    let shard = scratch.path("out/shard-00000.arrow");
    let mut bytes = fs::read(&shard).unwrap();
    let pattern = [0i32.to_le_bytes(), wanted.to_le_bytes()].concat();
    // Tokens may look like it as well, but they are not read.
    let places: Vec<usize> = (0..bytes.len() - 8)
        .filter(|&at| bytes[at..at + 8] == pattern[..])
        .collect();
    let mut found = 0;
    for at in places {
        bytes[at + 4] ^= 1;
        overwrite(&shard, &bytes);
        bytes[at + 4] ^= 1;
        if let Ok(surveyed) = Opened::open(&scratch.path("out")).and_then(|opened| inspect::survey(&opened)) {
            found += usize::from(
                surveyed
                    .overview
                    .findings
                    .first()
                    .is_some_and(|f| f.code == "I001"),
            );
        }
    }
    // The start of a continued document may look like it too, and is compared with the plan as well.
    assert!(found >= n_alike, "{found} of {n_alike}");
}

/// Everything that a document, a file name or a source name might try.
pub fn hostile() -> Scratch {
    let scratch = Scratch::new();
    let texts = [
        "plain words, then \u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} and \u{9b}31m".to_owned(),
        "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>".to_owned(),
        "\u{202e}reversed\u{202c} \u{2066}isolated\u{2069} \u{200b}\u{feff}\u{ad}".to_owned(),
        format!("a tower: e{} end", "\u{301}".repeat(10_000)),
        "]]> --> ]]&gt; & &amp; \" ' ` ${x} {{x}} \u{2028}\u{2029}\u{0}".to_owned(),
        "\u{fffd}\u{10ffff}\u{e000}\u{1f600}\u{1f468}\u{200d}\u{1f469} 漢字 ไทย".to_owned(),
    ];
    let name = "a\u{202e}<script>b&'\"\u{1b}[1m.jsonl";
    scratch.write(name, jsonl(&texts));
    scratch.write(
        "recipe.yaml",
        recipe(&["*.jsonl"], "pack: { seq_len: 256, boundary: adaptive }\n"),
    );
    scratch.pack("out").expect_code(0);
    scratch
}

#[test]
fn hostile_text_is_shown_as_symbols_everywhere() {
    let scratch = hostile();
    let opened = Opened::open(&scratch.path("out")).unwrap();
    let sgr = Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    let mut shown = Vec::new();
    for row in 0..opened.n_rows() {
        let opened_row = opened.row(row).unwrap();
        let texts = TokenTexts::open(&opened).unwrap();
        let seam = inspect::seam(&opened, &opened_row, &texts, 0, 256).unwrap();
        let figures = inspect::sequence(&opened, &opened_row).unwrap();
        for (width, color, ascii) in [(60, false, true), (200, true, false), (80, false, false)] {
            let look = Look { width, color, ascii };
            shown.push(inspect::text::seam(&seam, &look));
            shown.push(inspect::text::sequence(&figures, &look));
        }
        shown.push(inspect::sequence_svg(&figures));
    }
    for args in [
        &["--seq", "0", "--whence", "3"][..],
        &[],
        &["--html", "page.html"],
        &["--svg", "a.svg"],
    ] {
        let output = scratch
            .ultrapack(&[&["inspect", "out"], args].concat())
            .expect_code(0);
        shown.push(output.stdout());
    }
    let markup = ["page.html", "a.svg"].map(|name| fs::read_to_string(scratch.path(name)).unwrap());
    for text in &markup {
        assert!(!text.contains("<img") && !text.contains("<script>b"), "{text}");
    }
    shown.extend(markup);
    for text in shown {
        let text = sgr.replace_all(&text, "");
        let bad = |c: &char| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}')
        };
        assert_eq!(text.chars().find(bad), None, "{text}");
        let markup = text.starts_with("<!DOCTYPE") || text.starts_with("<svg");
        assert!(
            !markup || !(text.contains("<img") || text.contains("<script>b")),
            "{text}"
        );
        assert!(!text.contains(&"\u{301}".repeat(5)));
    }
}

#[test]
fn the_page_is_one_file_under_five_megabytes_that_asks_for_nothing() {
    let scratch = Scratch::packed(60, KINDS[1]);
    let output = scratch
        .ultrapack(&["inspect", "out", "--html", "page.html", "--json", "--seq", "2"])
        .expect_code(0);
    let page = fs::read_to_string(scratch.path("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(page.len() < 5_000_000);
    let policy = "default-src 'none'; script-src 'sha256-";
    assert!(page.contains(policy) || page.contains(&policy.replace('\'', "&#39;")));
    // No place that a browser would load from, besides the page itself.
    let address = Regex::new(r#"(?i)\b(src|href|action|data|poster)\s*=\s*["']?([^"'\s>]+)"#).unwrap();
    for found in address.captures_iter(&page) {
        assert!(
            found[2].starts_with("data:") || found[2].starts_with('#'),
            "{}",
            &found[0]
        );
    }
    let inspection: Value = serde_json::from_slice(&output.stdout).unwrap();
    let inspection: Inspection = serde_json::from_value(inspection["inspect"].clone()).unwrap();
    assert!(inspection.overview.is_some());
    assert_eq!(inspection.sequences[0].sequence, 2);
    assert!(inspection.sequences.len() <= 8);
}

#[test]
fn pictures_are_the_same_every_time_and_decode() {
    let scratch = Scratch::packed(30, KINDS[0]);
    for args in [&[][..], &["--seq", "1"]] {
        let draw = |name: &str| {
            let (svg, png) = (format!("{name}.svg"), format!("{name}.png"));
            let files = ["inspect", "out", "--svg", &svg, "--png", &png];
            scratch.ultrapack(&[&files, args].concat()).expect_code(0);
            [svg, png].map(|file| fs::read(scratch.path(&file)).unwrap())
        };
        let [svg, png] = draw("a");
        assert_eq!([&svg, &png], [&draw("b")[0], &draw("b")[1]]);
        assert!(svg.starts_with(b"<svg") || svg.starts_with(b"<?xml"));
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    }
}

#[test]
fn a_dataset_without_a_sequence_can_be_looked_at() {
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", jsonl(["short"]));
    scratch.write(
        "recipe.yaml",
        recipe(&["corpus.jsonl"], "pack: { seq_len: 256, min_len: 100 }\n"),
    );
    let packed = scratch.pack("out");
    if !scratch.path("out/manifest.json").exists() {
        packed.expect_code(3);
        return;
    }
    for args in [&[][..], &["--json"], &["--svg", "a.svg"], &["--html", "a.html"]] {
        scratch
            .ultrapack(&[&["inspect", "out"], args].concat())
            .expect_code(0);
    }
    scratch
        .ultrapack(&["inspect", "out", "--seq", "0"])
        .expect_code(2);
}
