//! What holds for every corpus and every recipe, on random small ones.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use ultrapack::dataset::Dataset;
use ultrapack::error::Error;
use ultrapack::sequence::{Attention, PositionMode, Segment, Sequence};
use ultrapack::shard::Level;

use crate::scratch::{Scratch, documents, ids, jsonl, numbers, placed, recipe_of, runner, tokenizer};

/// A random recipe over two random files of JSON lines.
#[derive(Debug, Clone)]
struct Case {
    texts: [Vec<String>; 2],
    seq_len: u32,
    align: u32,
    boundary: &'static str,
    placement: &'static str,
    long_documents: &'static str,
    share: &'static str,
    min_len: u64,
    flags: [bool; 3],
    ranks: u32,
    seed: u64,
    threads: usize,
}

impl Case {
    fn recipe(&self) -> String {
        let Self {
            seq_len,
            align,
            boundary,
            placement,
            long_documents,
            min_len,
            ..
        } = self;
        let [shuffle, deduplicate, drop_tail] = self.flags;
        let mut pack = format!(
            "boundary: {boundary}, placement: {placement}, shuffle: {shuffle}, deduplicate: {deduplicate}, \
             min_len: {min_len}, long_documents: {long_documents}"
        );
        pack += &match *placement {
            // Buckets need powers of two.
            "bucket" => {
                let (seq_len, align) = (
                    seq_len.next_power_of_two().max(4),
                    align.next_power_of_two().min(4),
                );
                format!(", seq_len: {seq_len}, bucket_min: 4, align: {align}")
            }
            // A stream is cut everywhere.
            "stream" => format!(
                ", seq_len: {seq_len}, tail: {}",
                if drop_tail { "drop" } else { "pad" }
            ),
            _ => format!(", seq_len: {seq_len}, align: {}", align.min(seq_len)),
        };
        let sources = [0, 1].map(|i| format!("{{ name: s{i}, paths: [in/{i}.jsonl], {} }}", self.share));
        let more = format!(
            "pack: {{ {pack} }}\nbalance: {{ ranks: {} }}\nseed: {}\n",
            self.ranks, self.seed
        );
        recipe_of(&sources, &more)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let text = prop_oneof![
        Just(String::new()),
        Just("again and again".to_owned()),
        "[a-z]{1,8}( [a-z]{1,8}){0,60}",
        "[\\PC\n]{0,40}",
    ];
    let texts = || prop::collection::vec(text.clone(), 0..25);
    let packing = (
        3u32..90,
        1u32..9,
        prop::sample::select(vec!["direct", "eod", "adaptive", "hybrid"]),
        prop::sample::select(vec![
            "stream",
            "first_fit",
            "best_fit",
            "best_fit_decreasing",
            "bucket",
        ]),
        prop::sample::select(vec!["split", "truncate", "drop", "overlap, overlap: 2"]),
        prop::sample::select(vec!["epochs: 1", "epochs: 2.5", "epochs: 0.5", "weight: 2"]),
    );
    let others = (0u64..4, any::<[bool; 3]>(), 1u32..5, 0u64..1000, 1usize..4);
    ([texts(), texts()], packing, others).prop_map(|(texts, packing, others)| {
        let (seq_len, align, boundary, placement, long_documents, share) = packing;
        let (min_len, flags, ranks, seed, threads) = others;
        Case {
            texts,
            seq_len,
            align,
            boundary,
            placement,
            long_documents,
            share,
            min_len,
            flags,
            ranks,
            seed,
            threads,
        }
    })
}

#[test]
fn a_packed_dataset_verifies_and_its_counts_add_up() {
    let scratch = Scratch::new();
    let n_packed = Cell::new(0);
    let result = runner(40).run(&cases(), |case| {
        std::fs::remove_dir_all(scratch.path("out")).ok();
        for (index, texts) in case.texts.iter().enumerate() {
            scratch.write(&format!("in/{index}.jsonl"), jsonl(texts));
        }
        let manifest = match scratch.pack_here(&case.recipe(), "out", case.threads) {
            Ok(mut outcome) => outcome.datasets.remove(0).manifest,
            Err(Error::Input { message, .. }) if message.contains("nothing is left") => return Ok(()),
            Err(Error::Usage { message }) if message.contains("usable document") => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(scratch.findings("out", Level::Full), []);
        manifest
            .ledger
            .check()
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        let table = documents(&scratch.path("out"));
        let sum = |column: &str| numbers(&table, column).iter().sum::<u64>();
        let total = &manifest.ledger.total.tokens;
        prop_assert_eq!((sum("n_tokens"), sum("n_placed")), (total.read, total.placed));
        let lens: Vec<u64> = case
            .texts
            .iter()
            .flatten()
            .map(|text| ids(text).len() as u64)
            .collect();
        prop_assert_eq!(numbers(&table, "n_tokens"), lens);
        check_rows(&scratch.open("out"), &case)?;
        n_packed.set(n_packed.get() + 1);
        Ok(())
    });
    result.unwrap();
    assert!(n_packed.get() >= 20, "only {} cases were packed", n_packed.get());
}

/// Every row: its segments hold their documents' tokens, the rest is padding.
fn check_rows(dataset: &Dataset, case: &Case) -> Result<(), TestCaseError> {
    let eod = (case.boundary != "direct").then_some(tokenizer().ids().eod);
    let texts: Vec<&String> = case.texts.iter().flatten().collect();
    for (document, segments) in placed(dataset) {
        let tokens: Vec<u32> = ids(texts[document as usize]).into_iter().chain(eod).collect();
        for (start, segment) in segments {
            let end = start as usize + segment.len();
            prop_assert_eq!(tokens.get(start as usize..end), Some(&segment[..]));
        }
    }
    for row in 0..dataset.len() {
        let (slices, sequence) = (dataset.row(row).unwrap(), dataset.sequence(row).unwrap());
        prop_assert_eq!(slices.tokens.len(), dataset.manifest().seq_len as usize);
        prop_assert_eq!(slices.cu_seqlens, sequence.cu_seqlens());
        let padding = sequence
            .segment_ids()
            .into_iter()
            .zip(slices.tokens)
            .filter(|(id, _)| *id == 0);
        prop_assert!(
            padding
                .into_iter()
                .all(|(_, token)| *token == tokenizer().ids().pad)
        );
    }
    Ok(())
}

/// Random segments that fit into a random sequence.
fn sequences() -> impl Strategy<Value = (Sequence, u32)> {
    let segment = (0u64..9, 0u64..99, 1u32..9);
    (
        prop::collection::vec(segment, 1..9),
        1u32..6,
        any::<bool>(),
        0u32..9,
    )
        .prop_map(|(segments, align, full, padding)| {
            let segments: Vec<Segment> = segments
                .into_iter()
                .map(|(document, start, len)| Segment { document, start, len })
                .collect();
            let used = segments
                .iter()
                .fold(0u32, |at, s| at.next_multiple_of(align) + s.len);
            let attention = if full { Attention::Full } else { Attention::Segment };
            let seq_len = used + padding;
            (
                Sequence::try_new(segments, seq_len, align, attention).unwrap(),
                seq_len,
            )
        })
}

#[test]
fn every_way_to_write_the_mask_says_the_same() {
    let result = runner(200).run(&sequences(), |(sequence, seq_len)| {
        let (ids, offsets) = (sequence.segment_ids(), sequence.offsets());
        let cu = sequence.cu_seqlens();
        let full = sequence.attention() == Attention::Full;
        // As a kernel reads it: the lengths from `cu_seqlens`, their places from the padded offsets.
        let segment_of = |at: u32| {
            (0..offsets.len()).find(|i| {
                let len = (cu[i + 1] - cu[*i]) as u32;
                (offsets[*i]..offsets[*i] + len).contains(&at)
            })
        };
        let mut n_pairs = 0;
        for q in 0..seq_len {
            for k in 0..seq_len {
                let (id_q, id_k) = (ids[q as usize], ids[k as usize]);
                let by_ids = id_q != 0 && id_k != 0 && (full || id_q == id_k);
                let by_cu = match (segment_of(q), segment_of(k)) {
                    (Some(a), Some(b)) => full || a == b,
                    _ => false,
                };
                let attends = sequence.attends(q, k);
                prop_assert_eq!((by_ids, by_cu), (attends, attends), "{} {}", q, k);
                prop_assert_eq!(attends, sequence.attends(k, q));
                n_pairs += u64::from(attends);
            }
        }
        prop_assert_eq!(n_pairs, sequence.attention_pairs());
        for mode in [
            PositionMode::Sequence,
            PositionMode::Segment,
            PositionMode::Document,
        ] {
            for (at, position) in sequence.position_ids(mode).into_iter().enumerate() {
                let expected = segment_of(at as u32).map_or(0, |i| match mode {
                    PositionMode::Sequence => at as u64,
                    PositionMode::Segment => at as u64 - u64::from(offsets[i]),
                    PositionMode::Document => {
                        sequence.segments()[i].start + at as u64 - u64::from(offsets[i])
                    }
                });
                prop_assert_eq!(position as u64, expected);
            }
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn segments_never_reach_over_the_end_of_their_sequence() {
    let result = runner(200).run(&sequences(), |(sequence, seq_len)| {
        let segments = sequence.segments().to_vec();
        let used = *sequence.offsets().last().unwrap() + segments.last().unwrap().len;
        prop_assert!(used <= seq_len);
        let align = 1; // without alignment the segments need their own length and no more
        let n_tokens = sequence.n_tokens() as u32;
        prop_assert!(Sequence::try_new(segments.clone(), n_tokens, align, Attention::Full).is_ok());
        prop_assert!(Sequence::try_new(segments, n_tokens - 1, align, Attention::Full).is_err());
        Ok(())
    });
    result.unwrap();
}
