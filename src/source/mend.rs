//! Makes JSON of what writers in the wild take for JSON: the slow path of lines that do not parse.
//!
//! Python writes `NaN` and `Infinity` for numbers, and JavaScript writes half a surrogate pair where
//! a string was cut. Neither is JSON, and neither need cost the text beside it.

/// The line with bare `NaN`, `Infinity` and `-Infinity` outside strings replaced by `null`, and,
/// when asked, lone surrogate escapes inside strings by `\ufffd`; `None` when it has none of them.
pub(super) fn mend(line: &str, surrogates: bool) -> Option<String> {
    let bytes = line.as_bytes();
    let mut mended = String::new();
    let (mut kept, mut at, mut in_string) = (0, 0, false);
    let mut replace = |from: usize, to: usize, by: &str| {
        mended.push_str(&line[kept..from]);
        mended.push_str(by);
        kept = to;
    };
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let n = match byte {
            b'"' => {
                in_string = !in_string;
                1
            }
            b'\\' if in_string => match (escape(rest), escape(rest.get(6..).unwrap_or_default())) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(0xd800..=0xdfff), _) => {
                    if surrogates {
                        replace(at, at + 6, "\\ufffd");
                    }
                    6
                }
                _ => 2,
            },
            b'N' | b'I' | b'-' if !in_string => {
                let word = ["NaN", "Infinity", "-Infinity"]
                    .into_iter()
                    .find(|w| rest.starts_with(w.as_bytes()));
                if let Some(word) = word {
                    replace(at, at + word.len(), "null");
                }
                word.map_or(1, str::len)
            }
            _ => 1,
        };
        at += n;
    }
    (kept > 0).then(|| {
        mended.push_str(&line[kept..]);
        mended
    })
}

/// The code unit of a four-digit `\u` escape at the start of `bytes`.
fn escape(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| {
        Some(unit << 4 | char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mending_changes_only_what_is_not_json() {
        let line = r#"{"a":NaN,"b":[-Infinity,Infinity],"text":"NaN \"-Infinity\" \ud83d\ude00","n":-1}"#;
        let mended = r#"{"a":null,"b":[null,null],"text":"NaN \"-Infinity\" \ud83d\ude00","n":-1}"#;
        assert_eq!(mend(line, true).as_deref(), Some(mended));
        assert_eq!(mend(mended, true), None);
        let lone = r#"{"text":"\ud800 \udc00\\ud800 \ud800\ud83d\ude00"}"#;
        assert_eq!(
            mend(lone, true).as_deref(),
            Some(r#"{"text":"\ufffd \ufffd\\ud800 \ufffd\ud83d\ude00"}"#)
        );
        assert_eq!(mend(lone, false), None);
    }
}
