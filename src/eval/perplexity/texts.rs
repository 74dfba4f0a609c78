//! The texts whose perplexity is measured: raw files, or the rows of a packed dataset.

use std::path::Path;

use crate::dataset::{Dataset, RealTokens};
use crate::disk;
use crate::error::{Error, Place, Result, shown};
use crate::eval::Meter;

/// Largest text file that is read.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// One text.
#[derive(Debug, Clone)]
pub struct Text {
    /// Where it comes from, for messages and results.
    pub name: String,
    /// Its tokens; boundaries of attention as packed.
    pub tokens: RealTokens,
}

/// Texts that all have the same number of tokens at least.
#[derive(Debug)]
pub struct Texts {
    /// The texts.
    pub texts: Vec<Text>,
    /// Files or rows that were too short.
    pub n_too_short: u64,
    /// `blake3:…` of all tokens and boundaries.
    pub digest: String,
}

impl Texts {
    /// The first `limit` rows of a dataset with at least `len` tokens, cut there.
    ///
    /// # Errors
    /// It is no dataset, it is damaged, or no row is long enough.
    pub fn of_dataset(directory: &Path, len: u32, limit: u32) -> Result<Self> {
        let dataset = Dataset::open(directory)?;
        let mut found = Found::new(len, limit);
        for row in 0..dataset.len() {
            if found.is_full() {
                break;
            }
            found.push(format!("row {row}"), dataset.real_tokens(row)?);
        }
        found.finish(directory)
    }

    /// `limit` windows of `len` tokens from UTF-8 files, each the beginning of a file or where the window
    /// before it ends: first the first window of every file.
    ///
    /// # Errors
    /// A file cannot be read or is not UTF-8, the tokenizer refuses it, or none is long enough.
    pub fn of_files(paths: &[impl AsRef<Path>], meter: &dyn Meter, len: u32, limit: u32) -> Result<Self> {
        let mut found = Found::new(len, limit);
        let mut files = Vec::with_capacity(paths.len());
        for path in paths.iter().map(AsRef::as_ref) {
            let bytes = disk::read_small(path, MAX_FILE_BYTES)?;
            let text = std::str::from_utf8(&bytes).map_err(|error| {
                let at = error.valid_up_to() as u64;
                let place = Place {
                    byte: Some(at),
                    ..Place::file(path)
                };
                Error::input(place, "not UTF-8")
            })?;
            files.push((shown(path), meter.encode(text)?));
        }
        let mut window = 0;
        while !found.is_full() {
            let start = window * len as usize;
            let before = found.texts.len();
            for (name, ids) in &files {
                let rest = ids.get(start..).unwrap_or_default();
                if window == 0 || rest.len() >= len as usize {
                    found.push(format!("{name} token {start}"), whole(rest));
                }
            }
            if found.texts.len() == before {
                break;
            }
            window += 1;
        }
        let first = paths.first().map_or(Path::new("no file"), AsRef::as_ref);
        found.finish(first)
    }
}

/// A text whose tokens all see each other.
fn whole(ids: &[u32]) -> RealTokens {
    let n = ids.len() as u32;
    RealTokens {
        ids: ids.to_vec(),
        positions: (0..n).collect(),
        segments: vec![0, n],
        cu_seqlens: vec![0, n],
    }
}

struct Found {
    len: u32,
    limit: u32,
    longest: usize,
    n_too_short: u64,
    texts: Vec<Text>,
}

impl Found {
    fn new(len: u32, limit: u32) -> Self {
        Self {
            len,
            limit,
            longest: 0,
            n_too_short: 0,
            texts: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.texts.len() >= self.limit as usize
    }

    fn push(&mut self, name: String, mut tokens: RealTokens) {
        self.longest = self.longest.max(tokens.len());
        if tokens.len() < self.len as usize {
            self.n_too_short += 1;
        } else if !self.is_full() {
            tokens.cut(self.len);
            self.texts.push(Text { name, tokens });
        }
    }

    fn finish(self, path: &Path) -> Result<Texts> {
        if self.texts.is_empty() {
            return Err(Error::input(
                Place::file(path),
                format!(
                    "no text has {} tokens; the longest has {}\nhint: ask for shorter lengths, or give longer texts",
                    self.len, self.longest
                ),
            ));
        }
        let mut hash = blake3::Hasher::new();
        for text in &self.texts {
            for numbers in [&text.tokens.ids, &text.tokens.positions, &text.tokens.cu_seqlens] {
                hash.update(&(numbers.len() as u64).to_le_bytes());
                hash.update(bytemuck::cast_slice(numbers));
            }
        }
        Ok(Texts {
            texts: self.texts,
            n_too_short: self.n_too_short,
            digest: format!("blake3:{}", hash.finalize().to_hex()),
        })
    }
}
