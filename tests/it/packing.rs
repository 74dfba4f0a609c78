//! Real documents through everything: what comes out of the shards is what went into the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use ultrapack::error::{Error, ExitCode};
use ultrapack::shard::{Level, Manifest};
use xxhash_rust::xxh3::xxh3_128;

use crate::scratch::{
    Scratch, documents, files_below, fixture, hashes, ids, jsonl, numbers, passages, placed, put_together,
    recipe, recipe_of, tokenizer,
};

/// Texts of many kinds: short and long, other scripts, line ends inside, special-token names.
fn texts() -> Vec<String> {
    let mut texts = passages(60, 300, 5);
    texts.extend(passages(3, 3000, 6));
    for text in [
        "one\n\ntwo\n  three",
        "学而时习之，不亦说乎？",
        "a <|endoftext|> inside is text",
        "e\u{301} \u{1f469}\u{200d}\u{1f4bb} \u{fb01}",
        " ",
        "x",
    ] {
        texts.push(text.to_owned());
    }
    texts
}

/// The tokens that documents have in a dataset: their ids, and EOD if asked for.
fn tokens<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, eod: bool) -> BTreeMap<u64, Vec<u32>> {
    let eod = eod.then_some(tokenizer().ids().eod);
    let tokens = |text: T| ids(text.as_ref()).into_iter().chain(eod).collect();
    (0..).zip(texts.into_iter().map(tokens)).collect()
}

/// `n` tokens of text.
fn the(n: usize) -> String {
    let text = " the".repeat(n);
    assert_eq!(ids(&text).len(), n);
    text
}

#[test]
fn every_format_gives_the_tokens_of_its_documents() {
    let texts = texts();
    let column: ArrayRef = Arc::new(StringArray::from(texts.clone()));
    let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let halves = [batch.slice(0, 30), batch.slice(30, batch.num_rows() - 30)];
    let lines = jsonl(&texts);
    let (first, second) = lines.split_at(lines[..lines.len() / 2].rfind('\n').unwrap() + 1);

    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", &lines);
    for (index, text) in texts.iter().enumerate() {
        scratch.write(&format!("files/{index:03}.txt"), text);
    }
    scratch.write("separated.txt", texts.join("\n=====\n"));
    let mut parquet = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    let mut file = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    for half in &halves {
        parquet.write(half).unwrap();
        parquet.flush().unwrap();
        file.write(half).unwrap();
        stream.write(half).unwrap();
    }
    scratch.write("corpus.parquet", parquet.into_inner().unwrap());
    scratch.write("corpus.arrow", file.into_inner().unwrap());
    scratch.write("corpus.arrows", stream.into_inner().unwrap());
    // Two members and two frames: a reader that stops behind the first one loses documents.
    let gz = |text: &str| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let zst = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    scratch.write("corpus.jsonl.gz", [gz(first), gz(second)].concat());
    scratch.write("corpus.jsonl.zst", [zst(first), zst(second)].concat());

    let expected = tokens(&texts, true);
    for (name, more) in [
        ("corpus.jsonl", ""),
        ("files/*.txt", ""),
        ("separated.txt", ", format: text, separator: \"=====\""),
        ("corpus.parquet", ""),
        ("corpus.arrow", ""),
        ("corpus.arrows", ""),
        ("corpus.jsonl.gz", ""),
        ("corpus.jsonl.zst", ""),
    ] {
        let recipe = recipe_of(&[format!("{{ name: a, paths: [\"{name}\"]{more} }}")], "");
        let out = format!("out-{}", name.replace(['*', '/'], ""));
        scratch.pack_here(&recipe, &out, 2).unwrap();
        assert!(put_together(&scratch.open(&out)) == expected, "{name}");
    }
}

#[test]
fn every_boundary_and_placement_keeps_every_token() {
    let scratch = Scratch::new();
    let texts = texts();
    scratch.write("corpus.jsonl", jsonl(&texts));
    for boundary in ["direct", "eod", "adaptive", "hybrid"] {
        let expected = tokens(&texts, boundary != "direct");
        for placement in ["stream", "first_fit", "best_fit", "best_fit_decreasing", "bucket"] {
            let name = format!("{boundary}-{placement}");
            let pack = format!("pack: {{ seq_len: 1024, boundary: {boundary}, placement: {placement} }}\n");
            scratch
                .pack_here(&recipe(&["corpus.jsonl"], &pack), &name, 2)
                .unwrap();
            let dataset = scratch.open(&name);
            assert!(put_together(&dataset) == expected, "{name}");
            assert_eq!(scratch.findings(&name, Level::Full), [], "{name}");
            let n_full = (0..dataset.len())
                .filter(|row| dataset.row(*row).unwrap().full_attention)
                .count();
            let all = dataset.len() as usize;
            let right = match boundary {
                "direct" | "eod" => n_full == all,
                "adaptive" => n_full == 0,
                _ => 0 < n_full && n_full < all,
            };
            assert!(right, "{name}: {n_full} of {all} sequences have full attention");
        }
    }
}

#[test]
fn hybrid_isolates_documents_in_the_wanted_share_of_sequences() {
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", jsonl(passages(150, 300, 3)));
    let full = |share: f64, seed: u64| -> Vec<bool> {
        let more =
            format!("pack: {{ seq_len: 64, boundary: hybrid, hybrid_share: {share:?} }}\nseed: {seed}\n");
        let out = format!("{share}-{seed}");
        scratch
            .pack_here(&recipe(&["corpus.jsonl"], &more), &out, 2)
            .unwrap();
        let dataset = scratch.open(&out);
        (0..dataset.len())
            .map(|row| dataset.row(row).unwrap().full_attention)
            .collect()
    };
    for share in [0.0, 0.2, 0.7, 1.0] {
        let full = full(share, 1);
        let found = full.iter().filter(|full| !**full).count() as f64 / full.len() as f64;
        // Six standard deviations of so many draws.
        let margin = 6.0 * (share * (1.0 - share) / full.len() as f64).sqrt();
        assert!((found - share).abs() <= margin, "{found} instead of {share}");
    }
    assert_ne!(full(0.7, 1), full(0.7, 2));
}

#[test]
fn the_documents_table_tells_where_each_document_comes_from() {
    let row = |text: &str, more: Value| {
        let mut row = json!({ "text": text });
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        row.to_string()
    };
    let rows = [
        row("too old", json!({ "year": 1899, "lang": "en" })),
        row(
            "the first é",
            json!({ "year": 1900, "lang": "en", "meta": { "score": 0.5, "ok": true } }),
        ),
        row("other language", json!({ "year": 1950, "lang": "de" })),
        row("without a year", json!({ "lang": "en" })),
        row(
            "the second",
            json!({ "year": 2000, "lang": "en", "meta": { "score": -1.0 } }),
        ),
        row("", json!({ "year": 2001, "lang": "en" })),
    ];
    let file = rows.join("\n");
    let scratch = Scratch::new();
    scratch.write("in/b.jsonl", &file);
    scratch.write(
        "in/a.jsonl",
        row("of another file", json!({ "year": 1901, "lang": "en" })),
    );
    let source = "{ name: web, paths: [\"in/*.jsonl\"], where: \"year >= 1900 AND lang = 'en'\", metadata: \
                  { year: integer, lang: string, meta.score: float, meta.ok: boolean } }";
    let outcome = scratch.pack_here(&recipe_of(&[source], ""), "out", 2).unwrap();

    let table = documents(&scratch.path("out"));
    let kept = ["of another file", "the first é", "the second", ""];
    let text = |name: &str| -> Vec<String> {
        let column = table.column_by_name(name).unwrap().as_string::<i32>();
        column
            .iter()
            .map(|value| value.unwrap_or("null").to_owned())
            .collect()
    };
    let as_u64 = |values: &[usize]| values.iter().map(|v| *v as u64).collect::<Vec<u64>>();
    assert_eq!(text("source"), ["web"; 4]);
    assert_eq!(text("file"), ["a.jsonl", "b.jsonl", "b.jsonl", "b.jsonl"]);
    assert_eq!(numbers(&table, "document"), [0, 1, 2, 3]);
    assert_eq!(numbers(&table, "record"), [0, 1, 4, 5]);
    assert_eq!(
        text("hash"),
        kept.map(|t| format!("{:032x}", xxh3_128(t.as_bytes())))
    );
    assert_eq!(numbers(&table, "text_bytes"), as_u64(&kept.map(str::len)));
    assert_eq!(numbers(&table, "n_tokens"), as_u64(&kept.map(|t| ids(t).len())));
    assert_eq!(
        numbers(&table, "n_placed"),
        as_u64(&kept.map(|t| if t.is_empty() { 0 } else { ids(t).len() + 1 }))
    );
    for (index, text) in kept.iter().enumerate().skip(1) {
        let range =
            numbers(&table, "byte_start")[index] as usize..numbers(&table, "byte_end")[index] as usize;
        let record: Value = serde_json::from_str(&file[range]).unwrap();
        assert_eq!(record["text"], **text);
    }
    let years = table.column_by_name("year").unwrap().as_primitive::<Int64Type>();
    assert_eq!(
        years.iter().collect::<Vec<_>>(),
        [Some(1901), Some(1900), Some(2000), Some(2001)]
    );
    assert_eq!(text("lang"), ["en"; 4]);
    let scores = table
        .column_by_name("meta.score")
        .unwrap()
        .as_primitive::<Float64Type>();
    assert_eq!(
        scores.iter().collect::<Vec<_>>(),
        [None, Some(0.5), Some(-1.0), None]
    );
    let oks = table.column_by_name("meta.ok").unwrap().as_boolean();
    assert_eq!(oks.iter().collect::<Vec<_>>(), [None, Some(true), None, None]);
    let counts = outcome.datasets[0].manifest.ledger.total.documents;
    assert_eq!(
        (counts.read, counts.filtered, counts.empty, counts.used),
        (7, 3, 1, 3)
    );
}

#[test]
fn a_text_that_occurs_again_is_used_once() {
    let scratch = Scratch::new();
    scratch.write("a.jsonl", jsonl(["one", "two", "one", "", ""]));
    scratch.write("b.jsonl", jsonl(["two", "three", "One"]));
    let more = "pack: { seq_len: 64, deduplicate: true }\n";
    let outcome = scratch
        .pack_here(&recipe(&["a.jsonl", "b.jsonl"], more), "out", 2)
        .unwrap();
    let used: Vec<u64> = placed(&scratch.open("out")).into_keys().collect();
    assert_eq!(used, [0, 1, 6, 7]);
    let counts = outcome.datasets[0].manifest.ledger.total.documents;
    assert_eq!((counts.duplicate, counts.empty), (2, 2));
}

#[test]
fn epochs_use_each_document_as_often_as_asked() {
    let scratch = Scratch::new();
    for name in ["a", "b"] {
        scratch.write(
            &format!("{name}.jsonl"),
            jsonl((0..40).map(|i| format!("{name} {i}"))),
        );
    }
    let sources = [
        "{ name: a, paths: [a.jsonl], epochs: 3 }",
        "{ name: b, paths: [b.jsonl], epochs: 0.5 }",
    ];
    scratch.pack_here(&recipe_of(&sources, ""), "out", 2).unwrap();
    let placed = placed(&scratch.open("out"));
    assert!((0..40).all(|document| placed[&document].len() == 3));
    let n_half = placed
        .range(40..)
        .inspect(|(_, segments)| assert_eq!(segments.len(), 1))
        .count();
    assert!(
        (15..=25).contains(&n_half),
        "{n_half} of 40 documents at half an epoch"
    );
}

#[test]
fn weights_give_each_source_its_share_of_the_tokens() {
    let scratch = Scratch::new();
    scratch.write("a.jsonl", jsonl(passages(60, 60, 1)));
    scratch.write("b.jsonl", jsonl(passages(200, 60, 2)));
    let sources = [
        "{ name: a, paths: [a.jsonl], weight: 3 }",
        "{ name: b, paths: [b.jsonl], weight: 1 }",
    ];
    let longest = |seed, n| passages(n, 60, seed).iter().map(|t| ids(t).len()).max().unwrap() as f64;
    let longest = longest(1, 60).max(longest(2, 200));
    for (more, total) in [("", None), ("mixture: { tokens: 20000 }\n", Some(20_000.0))] {
        let outcome = scratch
            .pack_here(&recipe_of(&sources, more), &format!("out{}", more.len()), 2)
            .unwrap();
        let manifest = &outcome.datasets[0].manifest;
        let used: Vec<f64> = manifest
            .ledger
            .sources
            .iter()
            .map(|source| (source.account.tokens.used + source.account.tokens.repeated) as f64)
            .collect();
        let sum: f64 = used.iter().sum();
        for (used, share) in used.iter().zip([0.75, 0.25]) {
            let wanted = share * total.unwrap_or(sum);
            assert!(
                (used - wanted).abs() <= longest,
                "{used} tokens instead of {wanted}"
            );
        }
    }
}

#[test]
fn documents_outside_the_wanted_lengths_are_left_out_and_counted() {
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", jsonl([4, 5, 6, 9, 10, 11].map(the)));
    let more = "pack: { seq_len: 64, min_len: 5, max_len: 10 }\n";
    let outcome = scratch
        .pack_here(&recipe(&["corpus.jsonl"], more), "out", 2)
        .unwrap();
    let used: Vec<u64> = placed(&scratch.open("out")).into_keys().collect();
    assert_eq!(used, [1, 2, 3, 4]);
    let total = &outcome.datasets[0].manifest.ledger.total;
    assert_eq!((total.documents.too_short, total.documents.too_long), (1, 1));
    assert_eq!((total.tokens.too_short, total.tokens.too_long), (4, 11));
}

/// `(document, start, len)` of every segment.
type Cuts = Vec<(u64, u64, usize)>;

#[test]
fn a_long_document_becomes_what_the_recipe_says() {
    let scratch = Scratch::new();
    // With its EOD, the second document is one token longer than a sequence.
    scratch.write("corpus.jsonl", jsonl([the(15), the(16), the(40)]));
    let cases: [(&str, Cuts); 4] = [
        (
            "split",
            vec![
                (0, 0, 16),
                (1, 0, 16),
                (1, 16, 1),
                (2, 0, 16),
                (2, 16, 16),
                (2, 32, 9),
            ],
        ),
        ("truncate", vec![(0, 0, 16), (1, 0, 16), (2, 0, 16)]),
        ("drop", vec![(0, 0, 16)]),
        (
            "overlap, overlap: 4",
            vec![
                (0, 0, 16),
                (1, 0, 16),
                (1, 12, 5),
                (2, 0, 16),
                (2, 12, 16),
                (2, 24, 16),
                (2, 36, 5),
            ],
        ),
    ];
    for (rule, expected) in cases {
        let more = format!("pack: {{ seq_len: 16, long_documents: {rule} }}\n");
        let out = &rule[..4];
        scratch
            .pack_here(&recipe(&["corpus.jsonl"], &more), out, 2)
            .unwrap();
        let all = tokens([15, 16, 40].map(the), true);
        let mut cuts = Cuts::new();
        for (document, segments) in placed(&scratch.open(out)) {
            for (start, segment) in segments {
                assert_eq!(
                    segment,
                    all[&document][start as usize..][..segment.len()],
                    "{rule}"
                );
                cuts.push((document, start, segment.len()));
            }
        }
        assert_eq!(cuts, expected, "{rule}");
    }
}

#[test]
fn aligned_segments_start_at_multiples_with_padding_between() {
    let scratch = Scratch::new();
    let texts = texts();
    scratch.write("corpus.jsonl", jsonl(&texts));
    let (align, pad) = (32, tokenizer().ids().pad);
    scratch
        .pack_here(
            &recipe(&["corpus.jsonl"], "pack: { seq_len: 1024, align: 32 }\n"),
            "out",
            2,
        )
        .unwrap();
    let dataset = scratch.open("out");
    assert!(put_together(&dataset) == tokens(&texts, true));
    let mut n_gaps = 0;
    for row in 0..dataset.len() {
        let row = dataset.row(row).unwrap();
        let padded = row.cu_seqlens_padded.unwrap();
        assert_eq!(padded.len(), row.cu_seqlens.len());
        let mut end = 0;
        for (at, lens) in padded.iter().zip(row.cu_seqlens.windows(2)) {
            assert_eq!((at % align, *at), (0, (end + align - 1) / align * align));
            assert!(
                row.tokens[end as usize..*at as usize]
                    .iter()
                    .all(|token| *token == pad)
            );
            n_gaps += usize::from(end < *at);
            end = at + lens[1] - lens[0];
        }
        assert_eq!(padded.last(), Some(&end));
        assert!(row.tokens[end as usize..].iter().all(|token| *token == pad));
    }
    assert!(n_gaps > 10, "only {n_gaps} segments had to be moved");
    scratch
        .pack_here(&recipe(&["corpus.jsonl"], ""), "plain", 2)
        .unwrap();
    assert!(scratch.open("plain").row(0).unwrap().cu_seqlens_padded.is_none());
}

#[test]
fn a_list_of_lengths_gives_one_dataset_each_from_one_store() {
    let scratch = Scratch::new();
    let texts = texts();
    scratch.write("corpus.jsonl", jsonl(&texts));
    let more = "pack: { seq_len: [2048, 256, 64] }\n";
    let outcome = scratch
        .pack_here(&recipe(&["corpus.jsonl"], more), "out", 2)
        .unwrap();
    assert_eq!(
        outcome.text_bytes,
        texts.iter().map(|t| t.len() as u64).sum::<u64>()
    );
    for (dataset, seq_len) in outcome.datasets.iter().zip([2048, 256, 64]) {
        let name = format!("out/seq-{seq_len}");
        assert_eq!(dataset.directory, scratch.path(&name));
        assert_eq!(dataset.manifest.seq_len, seq_len);
        assert!(put_together(&scratch.open(&name)) == tokens(&texts, true));
        assert_eq!(scratch.findings(&name, Level::Full), []);
    }
    assert_eq!(outcome.datasets.len(), 3);
}

#[test]
fn packing_again_in_another_way_reads_the_store_and_leaves_it_as_it_is() {
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", jsonl(texts()));
    let first = scratch
        .pack_here(&recipe(&["corpus.jsonl"], ""), "first", 2)
        .unwrap();
    assert!(first.text_bytes > 0);
    let stored = || -> Vec<_> {
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        files_below(&scratch.path("store"))
            .into_iter()
            .map(|path| (modified(&path), path))
            .collect()
    };
    let before = stored();
    for (index, more) in [
        "pack: { seq_len: 1024, boundary: eod }\n",
        "pack: { seq_len: 1024, placement: stream }\n",
        "pack: { seq_len: 333, align: 3, min_len: 2, positions: segment }\n",
        "seed: 9\nbalance: { ranks: 2 }\n",
    ]
    .iter()
    .enumerate()
    {
        let out = format!("again{index}");
        let outcome = scratch
            .pack_here(&recipe(&["corpus.jsonl"], more), &out, 2)
            .unwrap();
        assert_eq!(outcome.text_bytes, 0, "{more}");
        assert_eq!(scratch.findings(&out, Level::Full), []);
    }
    assert_eq!(stored(), before);
    // What decides the tokens makes new ones.
    let other = recipe(&["corpus.jsonl"], "").replace("  mask:", "  special_tokens: allow\n  mask:");
    assert!(scratch.pack_here(&other, "other", 2).unwrap().text_bytes > 0);
    assert_ne!(stored(), before);
}

#[test]
fn a_dataset_larger_than_a_shard_has_several() {
    let scratch = Scratch::new();
    let file = fixture("corpus/books/*.txt");
    let source = format!("{{ name: books, paths: [{file:?}], epochs: 10 }}");
    let more = "pack: { seq_len: 8192 }\nshards: { bytes: 1048576 }\n";
    let outcome = scratch.pack_here(&recipe_of(&[source], more), "out", 2).unwrap();
    let manifest = &outcome.datasets[0].manifest;
    let rows: Vec<u64> = manifest.shards.iter().map(|shard| shard.n_rows).collect();
    // A shard holds at least one whole record batch of 8 MiB.
    assert_eq!(rows, [256, manifest.n_rows() - 256]);
    assert_eq!(scratch.findings("out", Level::Full), []);
    let texts = ["rosary", "treasure_island"]
        .map(|name| fs::read_to_string(fixture(&format!("corpus/books/{name}.txt"))).unwrap());
    let expected = tokens(&texts, true);
    for (document, segments) in placed(&scratch.open("out")) {
        let n_tokens: usize = segments.iter().map(|(_, segment)| segment.len()).sum();
        assert_eq!(n_tokens, 10 * expected[&document].len());
        for (start, segment) in segments {
            assert!(segment == expected[&document][start as usize..][..segment.len()]);
        }
    }
}

#[test]
fn documents_around_a_multiple_of_the_length_are_cut_exactly() {
    let scratch = Scratch::new();
    for seq_len in [1usize, 2, 7, 64] {
        let lens = [
            1,
            seq_len - 1,
            seq_len,
            seq_len + 1,
            3 * seq_len - 1,
            3 * seq_len,
            3 * seq_len + 1,
        ];
        let texts = lens.map(the);
        scratch.write(&format!("{seq_len}.jsonl"), jsonl(&texts));
        for (boundary, placement) in [
            ("direct", "stream"),
            ("eod", "first_fit"),
            ("adaptive", "best_fit"),
        ] {
            let out = format!("{seq_len}-{placement}");
            let more =
                format!("pack: {{ seq_len: {seq_len}, boundary: {boundary}, placement: {placement} }}\n");
            scratch
                .pack_here(&recipe(&[&format!("{seq_len}.jsonl")], &more), &out, 2)
                .unwrap();
            let mut expected = tokens(&texts, boundary != "direct");
            expected.retain(|document, _| !texts[*document as usize].is_empty());
            assert!(put_together(&scratch.open(&out)) == expected, "{out}");
            assert_eq!(scratch.findings(&out, Level::Full), [], "{out}");
        }
    }
}

#[test]
fn a_corpus_without_a_token_is_refused() {
    let scratch = Scratch::new();
    for (name, content) in [
        ("none", String::new()),
        ("empty", jsonl(["", ""])),
        ("short", jsonl(["x"])),
    ] {
        scratch.write(&format!("{name}.jsonl"), content);
        let source = format!("{{ name: a, paths: [{name}.jsonl], format: jsonl }}");
        let recipe = recipe_of(&[source], "pack: { seq_len: 64, min_len: 5 }\n");
        let error = scratch.pack_here(&recipe, name, 2).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Input);
        assert!(error.to_string().contains("nothing is left to pack"), "{error}");
        let refused = Manifest::read(&scratch.path(name)).unwrap_err();
        assert!(matches!(refused, Error::NoDataset { .. }), "{refused}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    let books = fixture("corpus/books/*.txt");
    let sources = [
        format!("{{ name: books, paths: [{books:?}] }}"),
        format!(
            "{{ name: speeches, paths: [{:?}], metadata: {{ year: integer }}, where: year >= 1900 }}",
            fixture("corpus/speeches.jsonl.gz")
        ),
        format!(
            "{{ name: short, paths: [{:?}], epochs: 1.5 }}",
            fixture("corpus/short.jsonl.zst")
        ),
        format!(
            "{{ name: rights, paths: [{:?}] }}",
            fixture("corpus/declaration.parquet")
        ),
    ];
    let recipe = recipe_of(
        &sources,
        "pack: { seq_len: 8192, align: 16 }\nbalance: { ranks: 2 }\n",
    );
    let scratches = [1, 2, 3, 8].map(|threads| {
        let scratch = Scratch::new();
        scratch.pack_here(&recipe, "out", threads).unwrap();
        scratch
    });
    let [first, others @ ..] = scratches.each_ref().map(|scratch| hashes(&scratch.path("out")));
    assert_eq!(first.len(), 5, "{first:?}");
    others.iter().for_each(|other| assert_eq!(*other, first));
}

#[test]
fn documents_stand_in_the_order_of_names_whatever_order_files_were_made_in() {
    let names = [
        "b/1.txt", "a.txt", "Z.txt", "b-1.txt", "b/10.txt", "ä.txt", "b/2.txt",
    ];
    let datasets = [names.to_vec(), names.iter().rev().copied().collect()].map(|names: Vec<&str>| {
        let scratch = Scratch::new();
        names
            .iter()
            .for_each(|name| drop(scratch.write(&format!("in/{name}"), format!("this is {name}"))));
        scratch
            .pack_here(&recipe(&["in/**/*.txt"], ""), "out", 2)
            .unwrap();
        let table = documents(&scratch.path("out"));
        let files = table.column_by_name("file").unwrap().as_string::<i32>().clone();
        let files: Vec<String> = files.iter().map(|name| name.unwrap().to_owned()).collect();
        (files, hashes(&scratch.path("out")))
    });
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(datasets[0].0, sorted);
    assert_eq!(datasets[0], datasets[1]);
}
