//! Properties of whole plans.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing::{balance, corpus_of, log_normal, rules};
use super::*;
use crate::recipe::{Boundary, LongDocuments, Placement, Tail};
use crate::sequence::Sequence;

const PLACEMENTS: [Placement; 5] = [
    Placement::Stream,
    Placement::FirstFit,
    Placement::BestFit,
    Placement::BestFitDecreasing,
    Placement::Bucket,
];

fn planned(corpus: &Corpus, rules: &Rules) -> (Vec<PlannedSequence>, Summary) {
    let mut sequences = Vec::new();
    let summary = plan(corpus, rules, &mut |sequence| {
        sequences.push(sequence.clone());
        Ok(())
    });
    (sequences, summary.expect("the plan is defined"))
}

/// Length and source of each document.
fn documents(corpus: &Corpus) -> Vec<(u32, usize)> {
    corpus
        .parts
        .iter()
        .flat_map(|part| part.lens.iter().map(|&len| (len, part.source)))
        .collect()
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let long = prop_oneof![
        Just(LongDocuments::Split),
        Just(LongDocuments::Truncate),
        Just(LongDocuments::Drop),
        Just(LongDocuments::Overlap),
    ];
    let boundary = prop_oneof![
        Just(Boundary::Direct),
        Just(Boundary::Eod),
        Just(Boundary::Adaptive),
        Just(Boundary::Hybrid),
    ];
    let balanced = proptest::option::of((1u32..4, 1u32..4, 1u32..4));
    (
        (1u32..40, 0usize..5, long, boundary, any::<bool>(), any::<bool>()),
        (1u32..5, 1u32..9, 1u32..7, 0u32..40, any::<bool>(), any::<u64>()),
        (
            proptest::option::of(0u64..4),
            proptest::option::of(20u64..90),
            balanced,
        ),
        proptest::option::of(0u64..3000),
    )
        .prop_map(|(a, b, c, mixture_tokens)| {
            let (seq_len, placement, long_documents, boundary, eod, shuffle) = a;
            let (open_sequences, bucket_min, align, overlap, drop_tail, seed) = b;
            let (min_len, max_len, balanced) = c;
            Rules {
                boundary,
                eod,
                placement: PLACEMENTS[placement],
                open_sequences,
                bucket_min,
                long_documents,
                overlap: overlap % seq_len,
                min_len,
                max_len,
                tail: if drop_tail { Tail::Drop } else { Tail::Pad },
                align,
                shuffle,
                mixture_tokens,
                balance: balanced.map(|(ranks, accumulate, group)| balance(ranks, accumulate, group)),
                seed,
                ..rules(seq_len)
            }
        })
}

/// Up to three sources in up to six parts, with duplicates, and epochs or weights or neither.
fn any_corpus() -> impl Strategy<Value = Corpus> {
    let part = (0usize..3, proptest::collection::vec((0u32..100, 0u32..10), 0..30));
    let shares = proptest::option::of((any::<bool>(), proptest::array::uniform3(0.05f64..2.6)));
    (proptest::collection::vec(part, 0..6), shares).prop_map(|(parts, shares)| {
        let duplicate = |docs: &[(u32, u32)]| {
            (0u32..)
                .zip(docs)
                .filter(|(_, (_, dice))| *dice == 0)
                .map(|(i, _)| i)
                .collect()
        };
        let duplicates: Vec<Vec<u32>> = parts.iter().map(|(_, docs)| duplicate(docs)).collect();
        let lens = |docs: Vec<(u32, u32)>| docs.into_iter().map(|(len, _)| len).collect();
        let mut corpus = corpus_of(
            parts
                .into_iter()
                .map(|(source, docs)| (source, lens(docs)))
                .collect(),
        );
        for (part, duplicates) in corpus.parts.iter_mut().zip(duplicates) {
            part.duplicates = duplicates;
        }
        if let Some((weighted, shares)) = shares {
            for (source, share) in corpus.sources.iter_mut().zip(shares) {
                if weighted {
                    source.weight = Some(share);
                } else {
                    source.epochs = Some(share);
                }
            }
        }
        corpus
    })
}

/// A corpus and rules under which it has a plan: a weighted source without a usable document, or a
/// total of tokens and no documents, would be refused.
fn any_case() -> impl Strategy<Value = (Corpus, Rules)> {
    (any_corpus(), any_rules()).prop_map(|(mut corpus, mut rules)| {
        if plan(&corpus, &rules, &mut |_| Ok(())).is_err() {
            corpus.sources.iter_mut().for_each(|source| source.weight = None);
            rules.mixture_tokens = None;
        }
        (corpus, rules)
    })
}

/// Whether the rules allow the document at all, said in other words than the planner's.
fn usable(rules: &Rules, part: &PartLens, i: usize) -> bool {
    let len = u64::from(part.lens[i]);
    let too_long_for_a_sequence = len + u64::from(rules.eod) > u64::from(rules.seq_len);
    len > 0
        && !part.duplicates.contains(&(i as u32))
        && (rules.min_len.unwrap_or(0)..=rules.max_len.unwrap_or(u64::MAX)).contains(&len)
        && !(rules.long_documents == LongDocuments::Drop && too_long_for_a_sequence)
}

/// How often each token of a stream of `len` tokens must be placed per occurrence.
fn expected_coverage(rules: &Rules, len: u64) -> Vec<u64> {
    let seq_len = u64::from(rules.seq_len);
    let (step, pieces) = match rules.long_documents {
        LongDocuments::Split | LongDocuments::Drop => (seq_len, u64::MAX),
        LongDocuments::Truncate => (seq_len, 1),
        LongDocuments::Overlap => (seq_len - u64::from(rules.overlap), u64::MAX),
    };
    let mut coverage = vec![0; len as usize];
    let mut start = 0;
    for _ in 0..pieces {
        let end = len.min(start + seq_len);
        coverage[start as usize..end as usize]
            .iter_mut()
            .for_each(|n| *n += 1);
        if end == len {
            break;
        }
        start += step;
    }
    coverage
}

proptest! {
    #[test]
    fn every_token_is_placed_as_often_as_its_document_is_used((corpus, rules) in any_case()) {
        let rules = Rules { tail: Tail::Pad, ..rules };
        let (sequences, summary) = planned(&corpus, &rules);
        summary.ledger.check().unwrap();

        let mut placed: BTreeMap<u64, Vec<(u64, u32)>> = BTreeMap::new();
        for sequence in &sequences {
            let laid_out =
                Sequence::try_new(sequence.segments.clone(), rules.seq_len, rules.align, sequence.attention);
            prop_assert!(laid_out.is_ok(), "{:?}", sequence);
            prop_assert!(!sequence.segments.is_empty());
            for segment in &sequence.segments {
                placed.entry(segment.document).or_default().push((segment.start, segment.len));
            }
        }
        let mut document = 0;
        let (mut used, mut occurrences) = (0, 0);
        for part in &corpus.parts {
            for (i, &len) in part.lens.iter().enumerate() {
                let segments = placed.remove(&document).unwrap_or_default();
                document += 1;
                let times = segments.iter().filter(|(start, _)| *start == 0).count() as u64;
                let source = &corpus.sources[part.source];
                if !usable(&rules, part, i) {
                    prop_assert_eq!(times, 0);
                } else if source.weight.is_none() && rules.mixture_tokens.is_none() {
                    let epochs = source.epochs.unwrap_or(1.0);
                    prop_assert!((epochs.floor()..=epochs.ceil()).contains(&(times as f64)));
                }
                let stream_len = u64::from(len) + u64::from(rules.eod);
                let mut coverage = vec![0; stream_len as usize];
                for (start, len) in segments {
                    coverage[start as usize..][..len as usize].iter_mut().for_each(|n| *n += 1);
                }
                let expected: Vec<u64> =
                    expected_coverage(&rules, stream_len).into_iter().map(|n| n * times).collect();
                prop_assert_eq!(coverage, expected, "document {} of {} tokens", document - 1, len);
                used += u64::from(times > 0);
                occurrences += times;
            }
        }
        prop_assert!(placed.is_empty(), "documents that do not exist: {:?}", placed);
        prop_assert_eq!(summary.ledger.total.documents.used, used);
        prop_assert_eq!(summary.ledger.total.documents.placed_times, occurrences);
        let tokens: u64 = sequences.iter().flat_map(|s| &s.segments).map(|s| u64::from(s.len)).sum();
        prop_assert_eq!(summary.ledger.total.tokens.placed, tokens);
        prop_assert_eq!(summary.statistics.n_sequences, sequences.len() as u64);
    }

    #[test]
    fn a_dropped_tail_is_the_last_unfinished_sequence_and_nothing_else((corpus, rules) in any_case()) {
        let tail = |tail| Rules { tail, balance: None, placement: Placement::Stream, ..rules.clone() };
        let (padded, _) = planned(&corpus, &tail(Tail::Pad));
        let (dropped, summary) = planned(&corpus, &tail(Tail::Drop));
        prop_assert!(padded.len() - dropped.len() <= 1);
        prop_assert_eq!(&padded[..dropped.len()], &dropped[..]);
        let tail: u64 = padded[dropped.len()..].iter().flat_map(|s| &s.segments).map(|s| u64::from(s.len)).sum();
        let tokens = summary.ledger.total.tokens;
        prop_assert!(tokens.tail_dropped <= tail && (tail == 0 || tokens.tail_dropped + 40 >= tail));
        prop_assert!(rules.eod || tokens.tail_dropped == tail);
    }

    #[test]
    fn best_fit_cuts_no_document_that_fits((corpus, rules) in any_case()) {
        for placement in [Placement::FirstFit, Placement::BestFit, Placement::BestFitDecreasing] {
            let rules = Rules { placement, ..rules.clone() };
            let documents = documents(&corpus);
            for segment in planned(&corpus, &rules).0.iter().flat_map(|s| &s.segments) {
                let len = rules.stream_len(documents[segment.document as usize].0);
                let whole = segment.start == 0 && u64::from(segment.len) == len;
                prop_assert!(whole || len > u64::from(rules.seq_len));
            }
        }
    }

    #[test]
    fn balance_only_reorders_inside_each_window(
        (corpus, rules) in any_case(),
        shape in (1u32..4, 1u32..4, 1u32..4),
    ) {
        let plain = Rules { balance: None, ..rules };
        let balanced = Rules { balance: Some(balance(shape.0, shape.1, shape.2)), ..plain.clone() };
        let (before, _) = planned(&corpus, &plain);
        let (after, summary) = planned(&corpus, &balanced);
        prop_assert_eq!(before.len(), after.len());
        let batch = (shape.0 * shape.1) as usize;
        let window = batch * shape.2 as usize;
        for (before, after) in before.chunks(window).zip(after.chunks(window)) {
            let complete = before.len() / batch * batch;
            prop_assert_eq!(&before[complete..], &after[complete..]);
            let sorted = |rows: &[PlannedSequence]| {
                let mut rows: Vec<_> = rows.iter().map(|s| (s.segments.clone(), s.attention == Attention::Full)).collect();
                rows.sort_unstable();
                rows
            };
            prop_assert_eq!(sorted(before), sorted(after));
        }
        prop_assert!(summary.statistics.balance.is_some());
    }

    #[test]
    fn equal_input_gives_an_equal_plan((corpus, rules) in any_case()) {
        prop_assert_eq!(planned(&corpus, &rules), planned(&corpus, &rules));
    }
}

#[test]
fn documents_around_multiples_of_seq_len_lose_nothing() {
    for seq_len in [1, 2, 7, 16] {
        let around = |k: u32| [k * seq_len - 1, k * seq_len, k * seq_len + 1];
        let lens: Vec<u32> = (1..=4).flat_map(around).collect();
        for placement in PLACEMENTS {
            for long_documents in [
                LongDocuments::Split,
                LongDocuments::Truncate,
                LongDocuments::Overlap,
            ] {
                let rules = Rules {
                    placement,
                    long_documents,
                    overlap: seq_len / 2,
                    ..rules(seq_len)
                };
                let (_, summary) = planned(&corpus_of(vec![(0, lens.clone())]), &rules);
                let documents = summary.ledger.total.documents;
                assert_eq!(
                    documents.used + documents.empty,
                    12,
                    "{seq_len} {placement:?} {long_documents:?}"
                );
            }
        }
    }
}

#[test]
fn best_fit_reaches_the_ideal_number_of_sequences() {
    let corpus = corpus_of(vec![(0, log_normal(200_000, 1080.0, 1.1, 1))]);
    for placement in PLACEMENTS {
        let rules = Rules {
            placement,
            bucket_min: 256,
            ..rules(131_072)
        };
        let statistics = plan(&corpus, &rules, &mut |_| Ok(())).unwrap().statistics;
        assert!(
            statistics.n_sequences <= statistics.ideal_sequences + 1,
            "{placement:?}: {} sequences, ideal {}",
            statistics.n_sequences,
            statistics.ideal_sequences
        );
    }
}

#[test]
fn many_groups_leave_one_tail() {
    let mut corpus = corpus_of(vec![(0, log_normal(30_000, 400.0, 1.0, 5))]);
    corpus.sources[0].epochs = Some(5.0); // one group each
    for placement in [Placement::Stream, Placement::BestFit] {
        let statistics = plan(
            &corpus,
            &Rules {
                placement,
                ..rules(32_768)
            },
            &mut |_| Ok(()),
        )
        .unwrap()
        .statistics;
        assert!(
            statistics.n_sequences <= statistics.ideal_sequences + 1,
            "{placement:?}: {} sequences, ideal {}",
            statistics.n_sequences,
            statistics.ideal_sequences
        );
    }
}

#[test]
fn a_shuffled_sequence_mixes_sources_and_an_ordered_one_keeps_their_order() {
    let corpus = corpus_of(vec![(1, vec![10; 500]), (0, vec![10; 500])]);
    let order = |shuffle| {
        let rules = Rules {
            shuffle,
            eod: false,
            placement: Placement::Stream,
            ..rules(1000)
        };
        let sequences = planned(&corpus, &rules).0;
        sequences
            .iter()
            .flat_map(|s| &s.segments)
            .map(|s| s.document)
            .collect::<Vec<u64>>()
    };
    assert!(order(false).into_iter().eq((500..1000).chain(0..500)));
    let first = &order(true)[..100];
    let of_first_part = first.iter().filter(|&&document| document < 500).count();
    assert!((30..70).contains(&of_first_part), "{of_first_part} of 100");
}

#[test]
fn the_seed_decides_the_plan() {
    let corpus = corpus_of(vec![(0, log_normal(1000, 50.0, 1.0, 1))]);
    let with = |seed| planned(&corpus, &Rules { seed, ..rules(256) }).0;
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn hybrid_gives_about_the_wanted_share_of_sequences_their_own_attention() {
    let corpus = corpus_of(vec![(0, vec![9; 4000])]);
    let rules = Rules {
        boundary: Boundary::Hybrid,
        hybrid_share: 0.25,
        ..rules(10)
    };
    let sequences = planned(&corpus, &rules).0;
    let own = sequences
        .iter()
        .filter(|s| s.attention == Attention::Segment)
        .count();
    assert!((890..1110).contains(&own), "{own} of 4000");
}

#[test]
fn the_ledger_counts_each_class_of_documents() {
    let mut corpus = corpus_of(vec![(0, vec![0, 5, 5, 1, 60, 30, 8])]);
    corpus.parts[0].duplicates = vec![2];
    let rules = Rules {
        min_len: Some(2),
        max_len: Some(50),
        long_documents: LongDocuments::Drop,
        ..rules(20)
    };
    let total = planned(&corpus, &rules).1.ledger.total;
    let expected = Documents {
        read: 7,
        empty: 1,
        duplicate: 1,
        too_short: 1,
        too_long: 1,
        long_dropped: 1,
        used: 2,
        placed_times: 2,
        ..Documents::default()
    };
    assert_eq!(total.documents, expected);
    let expected = Tokens {
        read: 109,
        duplicate: 5,
        too_short: 1,
        too_long: 60,
        long_dropped: 30,
        used: 13,
        eod_added: 2,
        placed: 15,
        ..Tokens::default()
    };
    assert_eq!(total.tokens, expected);
}

#[test]
fn a_truncated_document_loses_its_eod_too() {
    let rules = Rules {
        long_documents: LongDocuments::Truncate,
        ..rules(10)
    };
    let total = planned(&corpus_of(vec![(0, vec![10, 25])]), &rules)
        .1
        .ledger
        .total;
    assert_eq!(
        (
            total.tokens.truncated,
            total.tokens.eod_added,
            total.documents.truncated
        ),
        (15, 0, 2)
    );
}

#[test]
fn the_mixture_is_reported_as_wanted_and_as_achieved() {
    let mut corpus = corpus_of(vec![(0, vec![10; 300]), (1, vec![10; 100])]);
    corpus.sources[0].weight = Some(1.0);
    corpus.sources[1].weight = Some(1.0);
    let (_, summary) = planned(
        &corpus,
        &Rules {
            mixture_tokens: Some(4000),
            ..rules(100)
        },
    );
    let share = |name: &str| SourceShare {
        name: name.into(),
        wanted: 0.5,
        achieved: 0.5,
    };
    assert_eq!(summary.statistics.mixture, [share("s0"), share("s1")]);
    assert_eq!(summary.ledger.sources[1].account.documents.repeated, 100);
    assert_eq!(summary.ledger.sources[0].account.documents.unselected, 100);
}

#[test]
fn a_corpus_without_documents_has_an_empty_plan() {
    for placement in PLACEMENTS {
        let (sequences, summary) = planned(
            &Corpus::default(),
            &Rules {
                placement,
                ..rules(10)
            },
        );
        assert!(sequences.is_empty());
        assert_eq!(summary.statistics.fill_ratio, 0.0);
    }
}

#[test]
fn an_error_of_the_sink_ends_the_plan() {
    let corpus = corpus_of(vec![(0, vec![9; 10])]);
    let mut n = 0;
    let failed = plan(&corpus, &rules(10), &mut |_| {
        n += 1;
        Err(crate::error::Error::usage("full"))
    });
    assert_eq!((failed.unwrap_err().to_string().as_str(), n), ("full", 1));
}
