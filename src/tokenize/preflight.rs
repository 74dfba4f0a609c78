//! Looks at a `tokenizer.json` before any tokenizer library does.
//!
//! The file may come from anybody. Libraries allocate tables as large as the largest id, panic on
//! merges that are not in the vocabulary, and honour `truncation` and `padding` settings that would
//! cut or lengthen documents in silence. Here such files are refused with a reason, and those
//! settings are taken out with a note.

use serde_json::Value;

/// Largest accepted file. The largest published tokenizers are about 35 MB.
pub const MAX_BYTES: u64 = 128 << 20;

/// What the rest of the room needs to know about a file that passed.
#[derive(Debug)]
pub struct Preflight {
    /// The file's content with `truncation` and `padding` removed.
    pub config: Value,
    /// Highest id of the vocabulary and the added tokens.
    pub max_id: u32,
    /// The split pattern, when the pre-tokenizer is one of the GPT family.
    pub pattern: Option<String>,
    /// Whether long text may be cut and encoded in pieces; see [`super::cut`].
    pub may_cut: bool,
    /// What was changed or noticed, for the user.
    pub notes: Vec<String>,
}

/// Parses and checks the bytes of a `tokenizer.json`.
///
/// # Errors
/// A message that says what is wrong with the file.
pub fn check(bytes: &[u8]) -> Result<Preflight, String> {
    let mut config: Value = serde_json::from_slice(bytes).map_err(|e| format!("not valid JSON: {e}"))?;
    let object = config
        .as_object_mut()
        .ok_or("expected a JSON object at the top")?;
    let mut notes = Vec::new();
    for key in ["truncation", "padding"] {
        if object.get(key).is_some_and(|v| !v.is_null()) {
            object.insert(key.into(), Value::Null);
            notes.push(format!(
                "the tokenizer's `{key}` setting is ignored: documents are never cut or padded by it"
            ));
        }
    }
    let model = object
        .get("model")
        .and_then(Value::as_object)
        .ok_or("it has no `model`")?;
    if model
        .get("dropout")
        .and_then(Value::as_f64)
        .is_some_and(|p| p > 0.0)
    {
        return Err("`model.dropout` is set: encoding would not be reproducible".into());
    }
    let mut n_entries = 0u64;
    let mut max_id = 0u64;
    match model.get("vocab") {
        Some(Value::Object(vocab)) => {
            for (token, id) in vocab {
                let id = id
                    .as_u64()
                    .ok_or_else(|| format!("the id of {token:?} is not a whole number"))?;
                n_entries += 1;
                max_id = max_id.max(id);
            }
            check_merges(model.get("merges"), vocab)?;
        }
        Some(Value::Array(vocab)) => {
            n_entries = vocab.len() as u64;
            max_id = n_entries.saturating_sub(1);
        }
        _ => return Err("`model.vocab` is missing or neither an object nor a list".into()),
    }
    if n_entries == 0 {
        return Err("the vocabulary is empty".into());
    }
    let no_added = Vec::new();
    let added = match object.get("added_tokens") {
        None | Some(Value::Null) => &no_added,
        Some(Value::Array(list)) => list,
        Some(_) => return Err("`added_tokens` is not a list".into()),
    };
    let mut added_allow_cuts = true;
    for token in added {
        let content = token
            .get("content")
            .and_then(Value::as_str)
            .ok_or("an added token has no `content`")?;
        let id = token
            .get("id")
            .and_then(Value::as_u64)
            .ok_or_else(|| format!("added token {content:?} has no id"))?;
        n_entries += 1;
        max_id = max_id.max(id);
        let strips = token.get("rstrip").and_then(Value::as_bool).unwrap_or(false);
        let inside = content.trim_matches(|c: char| c.is_ascii_whitespace());
        added_allow_cuts &= !strips && !inside.contains(|c: char| c.is_ascii_whitespace());
    }
    if max_id > 4 * n_entries + 65_536 || max_id >= u64::from(u32::MAX / 2) {
        return Err(format!(
            "the largest id is {max_id}, but there are only {n_entries} entries"
        ));
    }
    let pattern = pattern_of(object.get("pre_tokenizer"));
    let may_cut = added_allow_cuts
        && normalizer_allows_cuts(object.get("normalizer"))
        && pattern.as_deref().is_some_and(super::pattern::cuts_after_letters)
        && model
            .get("type")
            .and_then(Value::as_str)
            .is_none_or(|t| t == "BPE");
    Ok(Preflight {
        config,
        max_id: max_id as u32,
        pattern,
        may_cut,
        notes,
    })
}

/// Every merge joins two tokens of the vocabulary to a third one.
fn check_merges(merges: Option<&Value>, vocab: &serde_json::Map<String, Value>) -> Result<(), String> {
    let Some(Value::Array(merges)) = merges else {
        return Ok(());
    };
    let mut joined = String::new();
    for (index, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
                _ => None,
            },
            _ => None,
        };
        let (left, right) = pair.ok_or_else(|| format!("merge {index} is not a pair of tokens"))?;
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        for token in [left, right, joined.as_str()] {
            if !vocab.contains_key(token) {
                return Err(format!(
                    "merge {index} needs the token {token:?}, which is not in the vocabulary"
                ));
            }
        }
    }
    Ok(())
}

/// The pattern of a GPT-family pre-tokenizer: `ByteLevel` with its own regular expression, or
/// `Sequence[Split(Regex, Isolated), ByteLevel]`.
fn pattern_of(pre_tokenizer: Option<&Value>) -> Option<String> {
    let kind = |v: &Value| v.get("type").and_then(Value::as_str).map(str::to_owned);
    let prefix_space = |v: &Value| v.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(true);
    let own_regex = |v: &Value| v.get("use_regex").and_then(Value::as_bool).unwrap_or(true);
    let pre_tokenizer = pre_tokenizer?;
    match kind(pre_tokenizer)?.as_str() {
        "ByteLevel" if own_regex(pre_tokenizer) && !prefix_space(pre_tokenizer) => {
            Some(super::pattern::GPT2.to_owned())
        }
        "Sequence" => match pre_tokenizer.get("pretokenizers")?.as_array()?.as_slice() {
            [split, bytes]
                if kind(split)? == "Split"
                    && kind(bytes)? == "ByteLevel"
                    && !own_regex(bytes)
                    && !prefix_space(bytes)
                    && split.get("behavior").and_then(Value::as_str) == Some("Isolated")
                    && split.get("invert").and_then(Value::as_bool) == Some(false) =>
            {
                split.get("pattern")?.get("Regex")?.as_str().map(str::to_owned)
            }
            _ => None,
        },
        _ => None,
    }
}

/// NFC, or nothing: other normalizers may look across a cut.
fn normalizer_allows_cuts(normalizer: Option<&Value>) -> bool {
    match normalizer {
        None | Some(Value::Null) => true,
        Some(normalizer) => match normalizer.get("type").and_then(Value::as_str) {
            Some("NFC") => true,
            Some("Sequence") => normalizer
                .get("normalizers")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().all(|n| normalizer_allows_cuts(Some(n)))),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn small() -> Value {
        json!({
            "truncation": {"max_length": 50},
            "added_tokens": [{"id": 3, "content": "<eod>", "special": true}],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
        })
    }

    fn checked(config: &Value) -> Result<Preflight, String> {
        check(config.to_string().as_bytes())
    }

    #[test]
    fn truncation_is_taken_out_with_a_note() {
        let found = checked(&small()).unwrap();
        assert_eq!(found.config["truncation"], Value::Null);
        assert_eq!((found.max_id, found.may_cut, found.notes.len()), (3, true, 1));
    }

    #[test]
    fn hostile_files_are_refused_with_a_reason() {
        let mut cases = Vec::new();
        let mut sparse = small();
        sparse["model"]["vocab"]["b"] = json!(4_000_000_000u64);
        cases.push((sparse.to_string(), "largest id"));
        let mut merge = small();
        merge["model"]["merges"] = json!(["a x"]);
        cases.push((merge.to_string(), "not in the vocabulary"));
        let mut dropout = small();
        dropout["model"]["dropout"] = json!(0.1);
        cases.push((dropout.to_string(), "not be reproducible"));
        cases.push(("[".repeat(100_000), "not valid JSON"));
        cases.push(("{}".into(), "no `model`"));
        cases.push((r#"{"model":{"vocab":{}}}"#.into(), "vocabulary is empty"));
        for (text, reason) in cases {
            let message = check(text.as_bytes()).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
    }

    #[test]
    fn an_added_token_with_white_space_inside_forbids_cuts() {
        let mut config = small();
        config["added_tokens"][0]["content"] = json!("a b");
        assert!(!checked(&config).unwrap().may_cut);
        config["added_tokens"][0]["content"] = json!("    ");
        assert!(checked(&config).unwrap().may_cut);
    }
}
