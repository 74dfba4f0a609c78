use std::fs;
use std::path::PathBuf;

use super::*;
use crate::eval::testing::{Bytes, Words};

fn small() -> NiahSettings {
    NiahSettings {
        lengths: vec![300, 1000],
        depths: vec![0.0, 50.0, 100.0],
        repeats: 2,
        ..NiahSettings::default()
    }
}

/// A haystack of `n` documents of 100 words.
fn haystack(n: usize) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hay.jsonl");
    let text = |i: usize| {
        (0..100)
            .map(|j| format!("w{i}.{j}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: Vec<String> = (0..n).map(|i| json!({ "text": text(i) }).to_string()).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    (directory, path)
}

#[test]
fn every_prompt_holds_its_needle_once_at_its_depth_and_is_never_too_long() {
    let meter = Words::default();
    let niah = Niah::new(small(), &meter).unwrap();
    assert_eq!(niah.n_cases(), 12);
    let mut ids = std::collections::BTreeSet::new();
    for index in 0..niah.n_cases() {
        let item = niah.item(index).unwrap();
        let (length, depth) = (item.case.length.unwrap(), item.case.depth.unwrap());
        let n_tokens = meter.count(&item.prompt).unwrap() + 32;
        assert!(n_tokens <= length as usize, "{}: {n_tokens} tokens", item.case.id);
        assert!(
            n_tokens + 8 >= length as usize,
            "{}: {n_tokens} tokens only",
            item.case.id
        );
        let needle = &item.gold.references[1];
        assert_eq!(item.prompt.matches(needle.trim()).count(), 1, "{}", item.case.id);
        let (_, text) = item.prompt.split_once("by the user is ").unwrap();
        let (text, _) = text.split_once("\n\nNow, the question is").unwrap();
        let (before, after) = text.split_once(needle.as_str()).unwrap();
        let n = |text: &str| meter.count(text).unwrap() as f64;
        let at = 100.0 * n(before) / (n(before) + n(after));
        assert!((at - depth).abs() < 2.0, "{}: at {at} %", item.case.id);
        assert!(ids.insert(item.case.id));
    }
}

#[test]
fn prompts_depend_on_the_seed_and_on_nothing_else() {
    let meter = Words::default();
    let prompts = |settings: NiahSettings| {
        let niah = Niah::new(settings, &meter).unwrap();
        (0..niah.n_cases())
            .rev()
            .map(|i| niah.item(i).unwrap())
            .collect::<Vec<_>>()
    };
    let first = prompts(small());
    assert_eq!(first, prompts(small()));
    let other = prompts(NiahSettings { seed: 43, ..small() });
    assert!(first.iter().zip(&other).all(|(a, b)| a.prompt != b.prompt));
    // A repeat keeps its needle and its documents in every cell.
    assert_eq!(first[0].gold, first[4].gold);
    assert_ne!(first[0].gold, first[1].gold);
}

#[test]
fn documents_of_a_file_come_in_another_order_for_each_repeat() {
    let (_directory, path) = haystack(30);
    let meter = Words::default();
    let settings = NiahSettings {
        haystack: Some(path),
        reserve: Some(200),
        ..small()
    };
    let niah = Niah::new(settings, &meter).unwrap();
    let start = |index: usize| {
        let prompt = niah.item(index).unwrap().prompt;
        let (_, text) = prompt.split_once("by the user is \n").unwrap();
        text.lines()
            .nth(1)
            .unwrap()
            .split(' ')
            .find(|word| !word.is_empty())
            .unwrap()
            .to_owned()
    };
    assert!(start(0).ends_with(".0") && start(1).ends_with(".0"));
    assert_ne!(start(0), start(1));
    assert_eq!(start(0), start(6), "the same documents at another length");
    assert_eq!(niah.texts().count(), 30);
}

#[test]
fn what_cannot_be_measured_is_refused_with_a_reason() {
    let (_directory, path) = haystack(3);
    let meter = Words::default();
    let refused = |settings: NiahSettings, reason: &str| {
        let error = Niah::new(settings, &meter).err().expect(reason).to_string();
        assert!(error.contains(reason), "{error}");
    };
    let with = |lengths: &[u32]| NiahSettings {
        lengths: lengths.to_vec(),
        ..small()
    };
    refused(with(&[]), "at least one length");
    refused(with(&[512, 512]), "twice");
    refused(with(&[30]), "leaves no room");
    refused(
        NiahSettings {
            reserve: Some(600),
            ..small()
        },
        "600 are reserved",
    );
    refused(
        NiahSettings {
            depths: vec![101.0],
            ..small()
        },
        "0 to 100",
    );
    refused(
        NiahSettings {
            depths: vec![f64::NAN],
            ..small()
        },
        "0 to 100",
    );
    refused(
        NiahSettings {
            depths: vec![10.0, 10.0],
            ..small()
        },
        "depth 10 is there twice",
    );
    refused(
        NiahSettings {
            repeats: 0,
            ..small()
        },
        "repeats",
    );
    refused(
        NiahSettings {
            haystack: Some(path),
            ..small()
        },
        "the haystack has 300 tokens",
    );
    refused(
        NiahSettings {
            haystack: Some("no/such.jsonl".into()),
            ..small()
        },
        "no/such.jsonl",
    );
}

#[test]
fn a_haystack_that_gives_the_answer_is_refused() {
    let meter = Words::default();
    let keyword = Needles::Synthetic.draw(small().seed, 0).keyword;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hay.txt");
    fs::write(&path, format!("{keyword} ").repeat(2000)).unwrap();
    let niah = Niah::new(
        NiahSettings {
            haystack: Some(path),
            ..small()
        },
        &meter,
    )
    .unwrap();
    let error = niah.item(0).unwrap_err().to_string();
    assert!(error.contains("answered by the haystack as well"), "{error}");
}

#[test]
fn a_meter_of_bytes_never_cuts_a_character() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hay.txt");
    fs::write(&path, "中é".repeat(2000)).unwrap();
    let settings = NiahSettings {
        haystack: Some(path),
        lengths: vec![2001, 2002, 2003],
        depths: vec![33.0],
        ..small()
    };
    let niah = Niah::new(settings, &Bytes).unwrap();
    for index in 0..niah.n_cases() {
        let item = niah.item(index).unwrap();
        assert!(
            !item.prompt.contains(char::REPLACEMENT_CHARACTER),
            "{}",
            item.case.id
        );
    }
}

#[test]
fn cells_are_means_and_the_overall_score_is_the_mean_of_cells() {
    let meter = Words::default();
    let niah = Niah::new(small(), &meter).unwrap();
    let outcome = |index: usize, value: f64| Outcome {
        case: niah.case(index),
        score: crate::eval::Score {
            value,
            exact: Some(value == 100.0),
        },
    };
    // Case order: length, depth, repeat. All hits but one of (300, depth 0).
    let mut outcomes: Vec<Outcome> = (0..12).map(|i| outcome(i, 100.0)).collect();
    outcomes[1] = outcome(1, 10.0);
    let tables = niah.tables(&outcomes);
    let mean = |table: &Table, row: usize, column: usize| table.rows[row].cells[column].unwrap().mean;
    assert_eq!(tables[0].columns, ["300", "1000", "all"]);
    assert_eq!(mean(&tables[0], 0, 0), 55.0);
    assert_eq!(mean(&tables[1], 0, 0), 50.0);
    assert_eq!(mean(&tables[0], 3, 0), 85.0);
    assert!((mean(&tables[0], 3, 2) - 92.5).abs() < 1e-9);
    assert_eq!(tables[0].rows[3].cells[2].unwrap().n, 12);
    // Without one cell there is no overall score.
    let tables = niah.tables(&outcomes[2..]);
    assert_eq!(tables[0].rows[0].cells[0], None);
    assert_eq!(tables[0].rows[3].cells[2], None);
    assert!(tables[0].rows[3].cells[1].is_some());
}
