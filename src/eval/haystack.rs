//! The text that a needle is hidden in.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::draw::Draw;
use super::item::EvalText;
use super::lines::{self, Lines};
use super::skips::Skips;
use super::synthetic;
use crate::error::{Error, Place, Result};

/// The largest haystack that is kept in memory.
const MAX_BYTES: usize = 256 << 20;

/// A source of documents.
#[derive(Debug)]
pub(super) enum Haystack {
    /// Documents of a file.
    File {
        /// Name of the file, without its directory.
        name: String,
        /// `blake3:…` of it.
        digest: String,
        /// Its documents.
        documents: Vec<String>,
    },
    /// Prose that is made as it is needed.
    Synthetic {
        /// Seed of the prose.
        seed: u64,
    },
}

#[derive(Deserialize)]
struct Record {
    text: String,
}

impl Haystack {
    /// Documents of a file: the field `text` of each line of JSON, or else the whole text.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or holds no text.
    pub(super) fn read(path: &Path, skips: &mut Skips) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str());
        let (documents, digest) = match extension {
            Some("jsonl" | "ndjson") => json_lines(path, skips)?,
            _ => {
                let bytes = lines::read(path, MAX_BYTES as u64)?;
                let digest = format!("blake3:{}", blake3::hash(&bytes).to_hex());
                let text = String::from_utf8(bytes).map_err(|e| {
                    let place = Place {
                        byte: Some(e.utf8_error().valid_up_to() as u64),
                        ..Place::file(path)
                    };
                    Error::input(
                        place,
                        "a haystack must be UTF-8\nhint: name a file of JSON lines `.jsonl`",
                    )
                })?;
                (vec![text], digest)
            }
        };
        let documents: Vec<String> = documents
            .into_iter()
            .filter(|text| !text.trim().is_empty())
            .collect();
        if documents.is_empty() {
            let message = match skips.last() {
                Some(skip) => format!(
                    "a haystack without text; its last line was left out: {}",
                    skip.reason
                ),
                None => "a haystack without text".into(),
            };
            return Err(Error::input(Place::file(path), message));
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self::File {
            name,
            digest,
            documents,
        })
    }

    /// What it is, for results.
    pub(super) fn settings(&self) -> serde_json::Value {
        match self {
            Self::File {
                name,
                digest,
                documents,
            } => json!({ "file": name, "digest": digest, "n_documents": documents.len() }),
            Self::Synthetic { seed } => json!({ "synthetic": synthetic::NAME, "seed": seed }),
        }
    }

    /// What a reader of results should call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File { name, .. } => name,
            Self::Synthetic { .. } => synthetic::NAME,
        }
    }

    /// Number of documents; `None` if there is no end of them.
    pub(super) fn n_documents(&self) -> Option<usize> {
        match self {
            Self::File { documents, .. } => Some(documents.len()),
            Self::Synthetic { .. } => None,
        }
    }

    /// Document number `index`.
    ///
    /// # Panics
    /// If there is no such document.
    pub(super) fn document(&self, index: usize) -> std::borrow::Cow<'_, str> {
        match self {
            Self::File { documents, .. } => documents[index].as_str().into(),
            Self::Synthetic { seed } => {
                synthetic::document(&mut Draw::new(*seed, synthetic::NAME, index as u64)).into()
            }
        }
    }

    /// The documents of a file as texts of evaluation; made-up prose is not among them.
    pub(super) fn texts(&self, task: &str) -> impl Iterator<Item = EvalText> + '_ {
        let documents = match self {
            Self::File { documents, .. } => &documents[..],
            Self::Synthetic { .. } => &[],
        };
        let task = task.to_owned();
        documents.iter().enumerate().map(move |(index, text)| EvalText {
            task: task.clone(),
            id: format!("{}, document {index}", self.name()),
            text: text.clone(),
        })
    }
}

fn json_lines(path: &Path, skips: &mut Skips) -> Result<(Vec<String>, String)> {
    let mut lines = Lines::open(path)?;
    let (mut documents, mut n_bytes) = (Vec::new(), 0);
    while let Some(line) = lines.next()? {
        if line.is_blank() {
            continue;
        }
        match line.parse::<Record>() {
            Ok(record) if record.text.trim().is_empty() => {}
            Ok(record) => {
                n_bytes += record.text.len();
                documents.push(record.text);
            }
            Err(skip) => skips.push(skip),
        }
        if n_bytes > MAX_BYTES {
            let message = format!("a haystack of more than {MAX_BYTES} bytes\nhint: a part of it is enough");
            return Err(Error::input(Place::file(path), message));
        }
    }
    let digest = lines.digest();
    Ok((documents, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(name: &str, content: &[u8]) -> (Result<Haystack>, Skips) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        let mut skips = Skips::default();
        (Haystack::read(&path, &mut skips), skips)
    }

    #[test]
    fn a_cut_last_line_is_reported_and_the_others_are_read() {
        let (haystack, skips) = read(
            "h.jsonl",
            b"{\"text\":\"one\"}\n\n{\"text\":\"two\"}\n{\"text\":\"thr",
        );
        let haystack = haystack.unwrap();
        assert_eq!(haystack.n_documents(), Some(2));
        assert_eq!(haystack.document(1), "two");
        assert_eq!(skips.len(), 1);
        assert_eq!((skips[0].place.line, skips[0].place.byte), (Some(4), Some(31)));
    }

    #[test]
    fn a_plain_file_is_one_document() {
        let (haystack, _) = read("h.txt", "Tränen\nund Salz".as_bytes());
        assert_eq!(haystack.unwrap().document(0), "Tränen\nund Salz");
    }

    #[test]
    fn a_haystack_without_text_or_of_other_bytes_is_refused() {
        for (name, content) in [
            ("a.txt", &b" \n"[..]),
            ("a.jsonl", b"{\"text\":\"\"}\n"),
            ("b.jsonl", b"{\"tex"),
            ("c.txt", b"ab\xff"),
        ] {
            let error = read(name, content).0.unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
