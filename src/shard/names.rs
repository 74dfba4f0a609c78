//! File names inside a dataset.

/// The plan.
pub const PLAN: &str = "plan.arrow";
/// The documents table.
pub const DOCUMENTS: &str = "documents.parquet";
/// The copy of the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// The name of shard `index`.
pub fn shard_name(index: usize) -> String {
    format!("shard-{index:05}.arrow")
}

/// Whether a name from a manifest may be opened: flat, lower case, no surprises. A manifest may come
/// from anybody and must not reach outside its directory.
pub fn is_safe_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 81
        && bytes.next().is_some_and(plain)
        && bytes.all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_directory() {
        assert!(is_safe_name(&shard_name(99_999)) && is_safe_name(PLAN));
        for name in [
            "../x",
            "/etc/passwd",
            "",
            ".",
            "..",
            "a/b",
            "C:x",
            "a\0",
            "a\n",
            "Shard",
            &"a".repeat(300),
        ] {
            assert!(!is_safe_name(name), "{name:?}");
        }
    }
}
