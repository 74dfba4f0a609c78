//! Text to token ids.
//!
//! ```text
//! tokenizer.json ─► preflight ─► engine ─► probe
//! document text ─► safe pieces (all cores) ─► ids
//! ```
//!
//! The room guarantees that ids are those of the reference implementation, that no setting inside
//! the tokenizer's file cuts, pads or decorates a document, that special-token names inside a text
//! are plain text unless the recipe allows them, and that a long document needs no more memory than
//! its ids. It knows nothing of sequences.

mod cut;
mod engine;
mod newer;
mod pattern;
mod preflight;
mod vocabulary;

pub use vocabulary::Vocabulary;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::recipe::{self, SpecialTokens, TokenRef};
use engine::Engine;

/// Raised by whoever changes the engines in a way that may change ids, so that old tokens are not met
/// again.
const ENGINE_REVISION: u32 = 1;

/// Texts longer than this are cut at safe places and encoded in parallel.
const LONG_TEXT: usize = 256 << 10;

/// Size of the pieces of a long text, in bytes.
const PIECE: usize = 64 << 10;

/// How long the probe texts may take. A pattern that backtracks without end would stall a run.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// A loaded, checked tokenizer with the ids the recipe names.
pub struct Tokenizer {
    path: PathBuf,
    bytes: Vec<u8>,
    engine: Arc<Engine>,
    /// For text that the fast engine takes in another way; loaded when the first one comes.
    reference: OnceLock<Result<Engine, String>>,
    may_cut: bool,
    encode_special: bool,
    ids: SpecialIds,
    digest: String,
    notes: Vec<String>,
}

/// The ids that packing and training need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SpecialIds {
    /// End of document.
    pub eod: u32,
    /// Written into padding positions.
    pub pad: u32,
    /// The model's mask token, when the recipe names it.
    pub mask: Option<u32>,
    /// Every id is below this.
    pub vocab_size: u32,
}

impl Tokenizer {
    /// Loads `tokenizer.json`, refuses hostile files, resolves the recipe's ids.
    ///
    /// # Errors
    /// The file cannot be read, fails a check, encodes a probe text too slowly, or lacks an id.
    pub fn load(path: &Path, recipe: &recipe::Tokenizer) -> Result<Self> {
        let fail = |message: String| Error::Tokenizer {
            path: path.into(),
            message,
        };
        let n_bytes = std::fs::metadata(path)
            .map_err(Error::io("read the tokenizer", path))?
            .len();
        if n_bytes > preflight::MAX_BYTES {
            return Err(fail(format!(
                "{n_bytes} bytes, more than {} allowed",
                preflight::MAX_BYTES
            )));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read the tokenizer", path))?;
        let digest = format!("blake3:{}", blake3::hash(&bytes).to_hex());
        let mut checked = preflight::check(&bytes).map_err(fail)?;
        let encode_special = recipe.special_tokens == SpecialTokens::Text;
        let ids = resolve_ids(recipe, &checked).map_err(fail)?;
        let mut notes = std::mem::take(&mut checked.notes);
        let may_cut = checked.may_cut;
        let engine = match Engine::pipeline(checked) {
            Ok(engine) => engine,
            Err(reason) => {
                notes.push(format!(
                    "the fast engine does not cover this tokenizer ({reason}); the reference engine is used, at about 1.5 MB of text per second and core"
                ));
                reference_engine(&bytes, encode_special).map_err(fail)?
            }
        };
        let engine = Arc::new(engine);
        probe(&engine, encode_special).map_err(fail)?;
        Ok(Self {
            path: path.into(),
            bytes,
            engine,
            reference: OnceLock::new(),
            may_cut,
            encode_special,
            ids,
            digest,
            notes,
        })
    }

    /// The ids the recipe names.
    pub fn ids(&self) -> SpecialIds {
        self.ids
    }

    /// `blake3:…` of the file as it is.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The file's bytes as they are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the user should know: ignored settings, a slow engine.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Everything that decides which ids come out of a given text: part of the store's address.
    pub fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "tokenizer": self.digest,
            "special_tokens": if self.encode_special { "text" } else { "allow" },
            "engine": ENGINE_REVISION,
        })
    }

    /// Appends the ids of a document's text to `out`. Long text is cut where it is safe and encoded
    /// by all threads of the current rayon pool; the ids do not depend on it.
    ///
    /// # Errors
    /// The tokenizer library refuses the text.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<()> {
        let result = if text.len() <= LONG_TEXT || !self.may_cut {
            self.encode_piece(text, out)
        } else {
            let pieces: Result<Vec<Vec<u32>>, String> = cut::pieces(text, PIECE)
                .into_par_iter()
                .map(|piece| {
                    let mut ids = Vec::new();
                    self.encode_piece(piece, &mut ids).map(|()| ids)
                })
                .collect();
            pieces.map(|pieces| pieces.iter().for_each(|ids| out.extend_from_slice(ids)))
        };
        result.map_err(|message| self.error(message))
    }

    fn encode_piece(&self, text: &str, out: &mut Vec<u32>) -> Result<(), String> {
        let mut engine = &*self.engine;
        if matches!(engine, Engine::Pipeline(_)) && newer::occur_in(text) {
            let reference = || reference_engine(&self.bytes, self.encode_special);
            engine = self
                .reference
                .get_or_init(reference)
                .as_ref()
                .map_err(String::clone)?;
        }
        engine.encode(text, self.encode_special, out)
    }

    /// The text of `ids`, special tokens included.
    ///
    /// # Errors
    /// An id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.engine.decode(ids).map_err(|message| self.error(message))
    }

    /// Loads the reference engine for the same file, to compare with.
    ///
    /// # Errors
    /// The reference library refuses the file.
    pub fn reference(&self) -> Result<Reference> {
        reference_engine(&self.bytes, self.encode_special)
            .map(|engine| Reference {
                engine,
                path: self.path.clone(),
                encode_special: self.encode_special,
            })
            .map_err(|message| self.error(message))
    }

    /// Encodes `texts` with both engines and stops on the first difference.
    ///
    /// # Errors
    /// The engines disagree, or one refuses a text.
    pub fn attest<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
        if matches!(*self.engine, Engine::Reference(_)) {
            return Ok(());
        }
        let reference = self.reference()?;
        for text in PROBES.into_iter().chain(texts) {
            let mut ids = Vec::new();
            self.encode(text, &mut ids)?;
            if ids != reference.encode(text)? {
                let start: String = text.chars().take(40).collect();
                return Err(self.error(format!(
                    "the two engines give different ids for a text that starts with {start:?}\nhint: please report this tokenizer"
                )));
            }
        }
        Ok(())
    }

    fn error(&self, message: String) -> Error {
        Error::Tokenizer {
            path: self.path.clone(),
            message,
        }
    }
}

/// The reference engine: slow, and right by definition.
pub struct Reference {
    engine: Engine,
    path: PathBuf,
    encode_special: bool,
}

impl Reference {
    /// The ids of a text.
    ///
    /// # Errors
    /// The library refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.engine
            .encode(text, self.encode_special, &mut ids)
            .map_err(|message| Error::Tokenizer {
                path: self.path.clone(),
                message,
            })?;
        Ok(ids)
    }

    /// The ids of a text, each with the bytes of the text that became it.
    ///
    /// # Errors
    /// The library refuses the text.
    pub fn locate(&self, text: &str) -> Result<Vec<(u32, std::ops::Range<usize>)>> {
        self.engine.locate(text).map_err(|message| Error::Tokenizer {
            path: self.path.clone(),
            message,
        })
    }
}

/// The reference engine for a file that has passed the checks before.
fn reference_engine(bytes: &[u8], encode_special: bool) -> Result<Engine, String> {
    Engine::reference(&preflight::check(bytes)?.config, encode_special)
}

/// Text of many kinds, short: scripts, white space, digits, contractions, special-token names.
const PROBES: [&str; 4] = [
    "Call me Ishmael. It's 1851, isn't it?\n\n  \tHe'll pay $12,345.67 \u{2014} we've  seen   worse!\r\n",
    "学而时习之，不亦说乎？ Καλημέρα κόσμε, Привет мир, שלום, مرحبا 안녕하세요 नमस्ते ไทย",
    "fn main() {\n    let x = vec![0u8; 1 << 20];\n\n\n}\t\t// e\u{301} \u{1f469}\u{200d}\u{1f4bb} \u{fb01}\u{fffd}\u{0}\u{7f}",
    "<|endoftext|> <|mdm_mask|> [CLS] <s></s> <|im_start|>user\n<role> ...   ",
];

/// Encodes degenerate text within a time limit: patterns that backtrack without end show here.
fn probe(engine: &Arc<Engine>, encode_special: bool) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    let engine = Arc::clone(engine);
    // A thread that hangs cannot be stopped; it is left behind and ends with the process.
    std::thread::spawn(move || {
        let texts = [
            "a".repeat(65_536),
            " ".repeat(65_536),
            "7".repeat(65_536),
            "中".repeat(21_845),
        ];
        let mut ids = Vec::new();
        let result = texts
            .iter()
            .map(String::as_str)
            .chain(PROBES)
            .try_for_each(|text| engine.encode(text, encode_special, &mut ids));
        sender.send(result).ok();
    });
    match receiver.recv_timeout(PROBE_LIMIT) {
        Ok(result) => result.map_err(|message| format!("it cannot encode a probe text: {message}")),
        Err(_) => Err(format!(
            "64 KB of simple text take longer than {} s",
            PROBE_LIMIT.as_secs()
        )),
    }
}

/// Finds EOD, padding and mask ids by name or number and checks them against the vocabulary.
fn resolve_ids(recipe: &recipe::Tokenizer, checked: &preflight::Preflight) -> Result<SpecialIds, String> {
    let n_ids = checked.max_id + 1;
    let vocab_size = recipe.vocab_size.unwrap_or(n_ids);
    if vocab_size < n_ids {
        return Err(format!(
            "`vocab_size` is {vocab_size}, but the tokenizer has ids up to {}",
            checked.max_id
        ));
    }
    let resolve = |key: &str, token: &TokenRef| match token {
        TokenRef::Id(id) if *id < vocab_size => Ok(*id),
        TokenRef::Id(id) => Err(format!("`{key}` is id {id}, but ids end at {}", vocab_size - 1)),
        TokenRef::Name(name) => id_of(&checked.config, name)
            .ok_or_else(|| format!("`{key}` is {name:?}, which {}", nearest(&checked.config, name))),
    };
    let eod = resolve("eod", &recipe.eod)?;
    let pad = recipe
        .pad
        .as_ref()
        .map_or(Ok(eod), |token| resolve("pad", token))?;
    let mask = recipe
        .mask
        .as_ref()
        .map(|token| resolve("mask", token))
        .transpose()?;
    Ok(SpecialIds {
        eod,
        pad,
        mask,
        vocab_size,
    })
}

fn added_tokens(config: &serde_json::Value) -> impl Iterator<Item = (&str, u32)> {
    config["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| {
            Some((
                token.get("content")?.as_str()?,
                u32::try_from(token.get("id")?.as_u64()?).ok()?,
            ))
        })
}

fn id_of(config: &serde_json::Value, name: &str) -> Option<u32> {
    added_tokens(config)
        .find(|(content, _)| *content == name)
        .map(|(_, id)| id)
        .or_else(|| {
            let vocab = config.pointer("/model/vocab")?;
            match vocab {
                serde_json::Value::Array(list) => list
                    .iter()
                    .position(|entry| entry.get(0).and_then(|t| t.as_str()) == Some(name))
                    .map(|i| i as u32),
                vocab => u32::try_from(vocab.get(name)?.as_u64()?).ok(),
            }
        })
}

/// Why a name was not found, with the nearest special token.
fn nearest(config: &serde_json::Value, name: &str) -> String {
    let best = added_tokens(config)
        .map(|(content, _)| (strsim::damerau_levenshtein(content, name), content))
        .min()
        .filter(|(distance, _)| *distance <= name.len() / 2);
    match best {
        Some((_, content)) => format!("is not in the vocabulary\nhint: did you mean {content:?}?"),
        None => "is not in the vocabulary".into(),
    }
}
