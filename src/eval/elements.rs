//! The elements of a JSON array, one by one, as far as a file goes.
//!
//! Published question files are single JSON documents of many megabytes, and some copies are cut off. What
//! comes before the cut is good: elements are found by their brackets and parsed one at a time.

use std::ops::Range;

/// Byte ranges of the objects of an array: of the array that the document is, or of the one under `key` of
/// the object that it is. The last range ends with the bytes where the array does not end. `None` if there
/// is no such array.
pub(super) fn elements(bytes: &[u8], key: &str) -> Option<Elements> {
    let mut depth = 0usize;
    let mut at = 0;
    // Whether the last string at depth 1 was the key, and a colon followed.
    let mut under_key = false;
    while at < bytes.len() {
        match bytes[at] {
            b'[' if depth == 0 || (depth == 1 && under_key) => return Some(Elements::from(at + 1)),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let end = string_end(bytes, at)?;
                under_key = depth == 1 && &bytes[at + 1..end - 1] == key.as_bytes();
                at = end;
                continue;
            }
            b':' => {}
            byte if byte.is_ascii_whitespace() => {}
            0xef | 0xbb | 0xbf if at < 3 => {}
            _ if depth == 0 => return None,
            _ => under_key = false,
        }
        at += 1;
    }
    None
}

/// Where the next element is looked for.
#[derive(Debug, Clone)]
pub(super) struct Elements {
    next: usize,
    open: bool,
}

/// What is found in an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole element.
    Element(Range<usize>),
    /// The bytes end inside the array.
    Cut(Range<usize>),
}

impl Elements {
    fn from(next: usize) -> Self {
        Self { next, open: true }
    }

    /// The next element of the array in `bytes`, the bytes that it was found in; `None` at its end.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<Found> {
        if !self.open {
            return None;
        }
        let separator = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let skipped = bytes[self.next..].iter().position(|byte| !separator(byte));
        let start = skipped.map_or(bytes.len(), |n| self.next + n);
        if bytes.get(start) == Some(&b']') {
            self.open = false;
            return None;
        }
        let mut depth = 0usize;
        let mut at = start;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => match string_end(bytes, at) {
                    Some(end) => at = end - 1,
                    None => break,
                },
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                _ => {}
            }
            at += 1;
            let ends = at < bytes.len() && matches!(bytes[at], b',' | b']');
            if depth == 0 && (matches!(bytes[at - 1], b'}' | b']') || ends) {
                self.next = at;
                return Some(Found::Element(start..at));
            }
        }
        self.open = false;
        Some(Found::Cut(start..bytes.len()))
    }
}

/// Behind the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    loop {
        match bytes.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, key: &str) -> Option<(Vec<String>, Option<String>)> {
        let mut elements = elements(text.as_bytes(), key)?;
        let (mut whole, mut cut) = (Vec::new(), None);
        while let Some(found) = elements.next(text.as_bytes()) {
            match found {
                Found::Element(range) => whole.push(text[range].to_owned()),
                Found::Cut(range) => cut = Some(text[range].to_owned()),
            }
        }
        Some((whole, cut))
    }

    #[test]
    fn elements_of_an_array_and_of_an_array_under_a_key_are_found() {
        let whole = |text| found(text, "data").unwrap();
        let expected = vec![r#"{"a": "]},{"}"#.to_owned(), "[1, 2]".into()];
        assert_eq!(whole(r#"[{"a": "]},{"}, [1, 2]]"#), (expected.clone(), None));
        let text = r#"{"version": "data", "x": {"data": [9]}, "data" : [{"a": "]},{"}, [1, 2]], "y": [3]}"#;
        assert_eq!(whole(text), (expected, None));
        assert_eq!(whole("[]"), (vec![], None));
        assert_eq!(found(r#"{"other": []}"#, "data"), None);
        assert_eq!(found("text", "data"), None);
        assert_eq!(found("", "data"), None);
    }

    #[test]
    fn what_comes_before_a_cut_is_kept() {
        let (whole, cut) = found(r#"{"data": [{"a": 1}, {"b": "\"]}"#, "data").unwrap();
        assert_eq!(whole, [r#"{"a": 1}"#]);
        assert_eq!(cut.as_deref(), Some(r#"{"b": "\"]}"#));
        let (whole, cut) = found(r#"[{"a": 1}, "#, "data").unwrap();
        assert_eq!((whole.len(), cut.as_deref()), (1, Some("")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_hang_or_fail(bytes in prop::collection::vec(prop::sample::select(b"[]{}\",:\\ a".to_vec()), 0..60)) {
            if let Some(mut elements) = elements(&bytes, "a") {
                let mut n = 0;
                while elements.next(&bytes).is_some() {
                    n += 1;
                    prop_assert!(n <= bytes.len() + 1);
                }
            }
        }

        #[test]
        fn every_cut_of_an_array_leaves_its_whole_elements(values in prop::collection::vec("[a\\\\\"\\]}{,]{0,6}", 1..6), cut in 0.0f64..1.0) {
            let elements: Vec<String> = values.iter().map(|value| serde_json::json!({ "k": value }).to_string()).collect();
            let text = format!("[{}]", elements.join(","));
            let cut = (text.len() as f64 * cut) as usize;
            let part = &text[..cut];
            let n_whole = (0..=elements.len()).rev().find(|&n| elements[..n].join(",").len() < cut || n == 0).unwrap();
            let whole = found(part, "k").map_or(0, |(whole, _)| whole.len());
            prop_assert_eq!(whole, n_whole);
        }
    }
}
