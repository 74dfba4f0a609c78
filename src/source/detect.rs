//! What a file is, by its first bytes. Names are hints at most: files are renamed, and an archive
//! tool that leaves `.gz` on a decompressed file is common.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::recipe::Format;

/// The byte order mark of UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// How many bytes of a file are looked at; more, in turn, while they are nothing but white space.
pub(super) const HEADS: [usize; 2] = [4 << 10, 64 << 10];

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip, one or more members.
    Gzip,
    /// Zstandard, one or more frames.
    Zstd,
}

/// What a file was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detected {
    /// The format; never `auto`.
    pub format: Format,
    /// The compression.
    pub compression: Compression,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The compression of a file that starts with `head`.
pub(super) fn compression(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The binary table format of decompressed content that starts with `head`, if it is one.
pub(super) fn table(head: &[u8]) -> Option<Format> {
    if head.starts_with(b"PAR1") {
        Some(Format::Parquet)
    } else if head.starts_with(b"ARROW1") || head.starts_with(&[0xff; 4]) {
        Some(Format::Arrow)
    } else {
        None
    }
}

/// The first byte of `head` that is neither white space nor part of a byte order mark.
pub(super) fn first_byte(head: &[u8]) -> Option<u8> {
    let text = head.strip_prefix(BOM).unwrap_or(head);
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// The format of decompressed content that starts with `head`.
pub(super) fn format(head: &[u8]) -> Format {
    let text = if first_byte(head) == Some(b'{') {
        Format::Jsonl
    } else {
        Format::Text
    };
    table(head).unwrap_or(text)
}

/// How a format is named in messages.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Auto => "auto",
        Format::Jsonl => "JSON lines",
        Format::Parquet => "Parquet",
        Format::Arrow => "Arrow",
        Format::Text => "plain text",
    }
}

/// What the file's name claims and its content denies.
pub(super) fn mismatches(path: &Path, found: Detected) -> Vec<String> {
    let mut warnings = Vec::new();
    let extension = |path: &Path| {
        path.extension()
            .and_then(OsStr::to_str)
            .map(str::to_ascii_lowercase)
    };
    let mut name = path.to_owned();
    let claimed = match extension(&name).as_deref() {
        Some("gz" | "gzip") => Compression::Gzip,
        Some("zst" | "zstd") => Compression::Zstd,
        _ => Compression::None,
    };
    if claimed != found.compression {
        warnings.push(format!(
            "the name says {claimed}, the content is {}",
            found.compression
        ));
    }
    if claimed != Compression::None {
        name.set_extension("");
    }
    let claimed = match extension(&name).as_deref() {
        Some("jsonl" | "ndjson") => Format::Jsonl,
        Some("parquet") => Format::Parquet,
        Some("arrow" | "feather" | "ipc") => Format::Arrow,
        Some("txt" | "md") => Format::Text,
        _ => found.format,
    };
    if claimed != found.format {
        let (claimed, found) = (format_name(claimed), format_name(found.format));
        warnings.push(format!("the name says {claimed}, and it is read as {found}"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_what_a_file_is() {
        for (head, expected) in [
            (&b"PAR1...."[..], Format::Parquet),
            (b"ARROW1\0\0", Format::Arrow),
            (b"\xff\xff\xff\xff\x10\0\0\0", Format::Arrow),
            (b"\n \t{\"text\":", Format::Jsonl),
            (b"\xef\xbb\xbf{\"text\":", Format::Jsonl),
            (b"[1, 2]", Format::Text),
            (b"", Format::Text),
        ] {
            assert_eq!(format(head), expected, "{head:?}");
        }
        assert_eq!(compression(&[0x1f, 0x8b, 8]), Compression::Gzip);
        assert_eq!(compression(&[0x28, 0xb5, 0x2f, 0xfd]), Compression::Zstd);
        assert_eq!(compression(&[0x54, 0x2a, 0x4d, 0x18]), Compression::Zstd);
        assert_eq!(compression(b"P*"), Compression::None);
    }

    #[test]
    fn a_name_that_contradicts_the_content_is_a_warning() {
        let found = Detected {
            format: Format::Jsonl,
            compression: Compression::Zstd,
        };
        assert_eq!(mismatches(Path::new("a.jsonl.zst"), found), [] as [String; 0]);
        assert_eq!(mismatches(Path::new("a.txt.gz"), found).len(), 2);
        assert_eq!(mismatches(Path::new("data"), found).len(), 1);
    }
}
