//! Ids are those of the reference implementation, however long the text and wherever it is cut.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers_reference::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers_reference::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
};
use ultrapack::tokenize::Tokenizer;

use crate::scratch::{Random, Scratch, fixture, ids, passages, runner, tokenizer};

/// LLaDA's split pattern, and Qwen2's, which must match the same pieces.
const LLADA: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What the split patterns tell apart, and what has been got wrong before.
const PARTS: [&str; 40] = [
    "a",
    "word",
    "Don't",
    "'s",
    "'LL",
    "'ſ",
    "I'Ve",
    "x'd",
    "é",
    "e\u{301}",
    "\u{301}",
    "中文",
    "，",
    "。",
    "かな",
    "한글",
    "नमस्ते",
    "ไทย",
    "שלום",
    "مرحبا",
    "7",
    "2024",
    "٣",
    "Ⅷ",
    "½",
    ".",
    "...",
    "—",
    "'",
    "\"",
    "<|endoftext|>",
    "\u{1f469}\u{200d}\u{1f4bb}",
    "ﬁ",
    "Å",
    "\u{fffd}",
    "\u{0}",
    "\u{7f}",
    "\u{200b}",
    "$",
    "_",
];
const SPACES: [&str; 14] = [
    " ", "  ", "\n", "\r\n", "\r", "\t", " \n", "\n ", "   ", "\u{a0}", "\u{3000}", "\u{2028}", "\u{85}",
    "\u{b}",
];

/// Text mixed from letters, marks, digits, punctuation, white space and any other characters.
fn texts(max_parts: usize) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(&PARTS[..]).prop_map(str::to_owned),
        4 => prop::sample::select(&SPACES[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..max_parts).prop_map(|parts| parts.concat())
}

/// The reference implementation with a `tokenizer.json`, special tokens as text, settings removed
/// that would cut or pad.
fn reference(file: &Path) -> tokenizers_reference::Tokenizer {
    let mut tokenizer = tokenizers_reference::Tokenizer::from_file(file).unwrap();
    tokenizer.with_truncation(None).unwrap();
    tokenizer.with_padding(None);
    tokenizer.set_encode_special_tokens(true);
    tokenizer
}

fn reference_ids(reference: &tokenizers_reference::Tokenizer, text: &str) -> Vec<u32> {
    reference.encode_fast(text, false).unwrap().get_ids().to_vec()
}

/// The texts of a file: a plain text, or the `text` of JSON lines, compressed or not.
fn texts_of(file: &Path) -> Vec<String> {
    let bytes = fs::read(file).unwrap();
    let name = file.to_str().unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
    } else if name.ends_with(".zst") {
        text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    } else if name.ends_with(".parquet") {
        return Vec::new();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    if !name.contains(".jsonl") {
        return vec![text];
    }
    let text_of = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    text.lines().map(text_of).collect()
}

#[test]
fn fixture_texts_have_the_ids_of_the_reference() {
    let reference = reference(&fixture("tokenizer/tokenizer.json"));
    let mut n_tokens = 0;
    // The novels are longer than 256 KiB, so they are cut.
    for file in [
        "books/rosary.txt",
        "books/treasure_island.txt",
        "speeches.jsonl.gz",
        "short.jsonl.zst",
    ] {
        for text in texts_of(&fixture(&format!("corpus/{file}"))) {
            let found = ids(&text);
            assert!(
                found == reference_ids(&reference, &text),
                "{file}: {:?}",
                &text[..40]
            );
            n_tokens += found.len();
        }
    }
    assert!(n_tokens > 300_000);
}

#[test]
fn any_text_has_the_ids_of_the_reference() {
    let reference = reference(&fixture("tokenizer/tokenizer.json"));
    let result = runner(2000).run(&texts(30), |text| {
        prop_assert_eq!(ids(&text), reference_ids(&reference, &text));
        Ok(())
    });
    result.unwrap();
}

#[test]
fn every_character_has_the_ids_of_the_reference() {
    let reference = reference(&fixture("tokenizer/tokenizer.json"));
    let differ = |text: &str| ids(text) != reference_ids(&reference, text);
    // What is a letter, a digit or white space decides where these are cut; marks are put into order,
    // before and after others, and composed. Planes 4 to 13 are empty.
    let show = |c: char| format!("x{c}'s 1{c} {c}\n{c}{c}.a{c}\u{334}b\u{35c}{c}.");
    let characters: Vec<char> = ('\0'..'\u{40000}').chain('\u{e0000}'..'\u{e1000}').collect();
    let mut wrong: Vec<char> = Vec::new();
    for some in characters.chunks(64) {
        if differ(&some.iter().copied().map(show).collect::<String>()) {
            wrong.extend(some.iter().filter(|c| differ(&show(**c))));
        }
    }
    let ranges = wrong.chunk_by(|a, b| *a as u32 + 1 == *b as u32);
    let ranges = ranges.map(|range| format!("{:x}..={:x}", range[0] as u32, range[range.len() - 1] as u32));
    assert_eq!(
        ranges.collect::<Vec<_>>(),
        Vec::<String>::new(),
        "{} characters",
        wrong.len()
    );
}

#[test]
fn long_mixed_texts_have_the_ids_of_the_reference_wherever_they_are_cut() {
    let reference = reference(&fixture("tokenizer/tokenizer.json"));
    let mut random = Random(1);
    for case in 0..8 {
        let mut text = String::new();
        while text.len() < 300 << 10 {
            // Some cases are mostly letters, some mostly white space.
            let parts: &[&str] = if random.below(10) < 2 + case {
                &SPACES
            } else {
                &PARTS
            };
            text += parts[random.below(parts.len())];
        }
        assert!(ids(&text) == reference_ids(&reference, &text), "case {case}");
    }
}

#[test]
fn text_without_a_safe_cut_has_the_ids_of_the_reference() {
    let reference = reference(&fixture("tokenizer/tokenizer.json"));
    for unit in ["7 ", ". \n", "e\u{301} ", "，", "x1", "नि "] {
        let text = unit.repeat((257 << 10) / unit.len());
        assert!(ids(&text) == reference_ids(&reference, &text), "{unit:?}");
    }
}

#[test]
fn a_cut_between_a_letter_and_white_space_changes_no_id() {
    const LETTERS: [&str; 12] = ["a", "Z", "é", "ß", "Ω", "ж", "א", "ع", "か", "カ", "한", "中"];
    let strategy = (
        texts(12),
        prop::sample::select(&LETTERS[..]),
        prop::sample::select(vec![" ", "\n", "\r", "\t"]),
        texts(12),
    );
    let result = runner(3000).run(&strategy, |(before, letter, space, after)| {
        let (before, after) = (before + letter, space.to_owned() + &after);
        prop_assert_eq!([ids(&before), ids(&after)].concat(), ids(&(before + &after)));
        Ok(())
    });
    result.unwrap();
}

#[test]
fn the_patterns_of_llada_and_qwen2_match_the_same_pieces() {
    let config = fs::read_to_string(fixture("tokenizer/tokenizer.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        config["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"],
        LLADA
    );
    let split = |pattern: &str| {
        Split::new(
            SplitPattern::Regex(pattern.into()),
            SplitDelimiterBehavior::Isolated,
            false,
        )
        .unwrap()
    };
    let pieces = |split: &Split, text: &str| -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        split.pre_tokenize(&mut pieces).unwrap();
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(piece, ..)| piece.to_owned()).collect()
    };
    let (llada, qwen2) = (split(LLADA), split(QWEN2));
    assert_eq!(
        pieces(&llada, "It's 12\n\n  x"),
        ["It", "'s", " ", "1", "2", "\n\n", " ", " x"]
    );
    let result = runner(5000).run(&texts(30), |text| {
        prop_assert_eq!(pieces(&llada, &text), pieces(&qwen2, &text));
        Ok(())
    });
    result.unwrap();
}

/// The fixture tokenizer with another configuration.
fn changed(scratch: &Scratch, rules: Value, change: impl FnOnce(&mut Value)) -> Tokenizer {
    let mut config = serde_json::from_slice(&fs::read(fixture("tokenizer/tokenizer.json")).unwrap()).unwrap();
    change(&mut config);
    let path = scratch.write("tokenizer.json", config.to_string());
    let mut all = json!({ "file": "", "eod": "<|endoftext|>" });
    all.as_object_mut()
        .unwrap()
        .extend(rules.as_object().unwrap().clone());
    Tokenizer::load(&path, &serde_json::from_value(all).unwrap()).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    tokenizer.encode(text, &mut ids).unwrap();
    ids
}

#[test]
fn settings_that_would_cut_or_pad_documents_are_ignored_with_a_note() {
    let scratch = Scratch::new();
    let text = passages(1, 300, 1).remove(0);
    let plain = changed(&scratch, json!({}), |_| {});
    assert_eq!(plain.notes(), Vec::<String>::new());
    let tokenizer = changed(&scratch, json!({}), |config| {
        config["truncation"] =
            json!({ "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0 });
        config["padding"] = json!({ "strategy": { "Fixed": 5000 }, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "!" });
    });
    assert_eq!(encode(&tokenizer, &text), ids(&text));
    assert_eq!(tokenizer.reference().unwrap().encode(&text).unwrap(), ids(&text));
    let [truncation, padding] = tokenizer.notes() else {
        panic!("{:?}", tokenizer.notes())
    };
    assert!(
        truncation.contains("`truncation` setting is ignored"),
        "{truncation}"
    );
    assert!(padding.contains("`padding` setting is ignored"), "{padding}");
    // Other bytes of the file, another identity: tokens of the two never mix in a store.
    assert_ne!(tokenizer.identity(), plain.identity());
}

#[test]
fn a_special_name_in_a_text_is_text_unless_the_recipe_allows_it() {
    let scratch = Scratch::new();
    let text = "a<|endoftext|>b <|mdm_mask|>";
    let special = [tokenizer().ids().eod, tokenizer().ids().mask.unwrap()];
    let is_special = |id: &&u32| special.contains(id);
    for (policy, n_special) in [("text", 0), ("allow", 2)] {
        let tokenizer = changed(&scratch, json!({ "special_tokens": policy }), |_| {});
        let ids = encode(&tokenizer, text);
        assert_eq!(ids.iter().filter(is_special).count(), n_special, "{policy}");
        assert_eq!(tokenizer.reference().unwrap().encode(text).unwrap(), ids);
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        // The same inside a document that is long enough to be cut.
        let long = format!("{0}{text}{0}", "many words ".repeat(15_000));
        let ids = encode(&tokenizer, &long);
        assert_eq!(ids.iter().filter(is_special).count(), n_special, "{policy}");
        assert!(tokenizer.decode(&ids).unwrap() == long);
    }
}

/// Compares every tokenizer below `ULTRAPACK_TOKENIZERS` with the reference on every text below
/// `ULTRAPACK_CORPORA`; `ULTRAPACK_EVERY=10` takes every tenth text. Does nothing without them.
#[test]
fn whole_corpora_have_the_ids_of_the_reference() {
    let directory = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(corpora), Some(tokenizers)) =
        (directory("ULTRAPACK_CORPORA"), directory("ULTRAPACK_TOKENIZERS"))
    else {
        return;
    };
    let every = std::env::var("ULTRAPACK_EVERY").map_or(1, |n| n.parse().unwrap());
    let files = crate::scratch::files_below(&corpora);
    let texts = files
        .iter()
        .flat_map(|file| texts_of(file).into_iter().step_by(every));
    let texts: Vec<String> = texts.collect();
    let mut n_wrong = 0;
    for file in crate::scratch::files_below(&tokenizers) {
        let reference = reference(&file);
        let rules = serde_json::from_value(json!({ "file": "", "eod": 0 })).unwrap();
        let tokenizer = Tokenizer::load(&file, &rules).unwrap();
        let wrong: Vec<String> = texts
            .iter()
            .filter(|text| encode(&tokenizer, text) != reference_ids(&reference, text))
            .map(|text| text.chars().take(60).collect())
            .collect();
        let n_bytes: usize = texts.iter().map(String::len).sum();
        println!(
            "{}: {} texts, {n_bytes} bytes, {} wrong; {:?}",
            file.display(),
            texts.len(),
            wrong.len(),
            tokenizer.notes()
        );
        wrong.iter().take(5).for_each(|start| println!("  {start:?}"));
        n_wrong += wrong.len();
    }
    assert_eq!(n_wrong, 0);
}
