//! The two engines behind one door: text in, ids out.
//!
//! The *pipeline* engine (crate `tokenizers` 1.0, ids only) is 20–60 times faster per core and is
//! used for every tokenizer whose components it covers natively. The *reference* engine (crate
//! `tokenizers` 0.23 with Oniguruma) loads everything else and is the oracle that the first is
//! held to: in tests on whole corpora, and at run time by [`super::Tokenizer::attest`].

use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer};

use super::preflight::Preflight;
use crate::guard::guarded;

/// An encoder that is ready to use from many threads.
pub enum Engine {
    /// Fast, ids only.
    Pipeline(PipelineTokenizer),
    /// Slow, covers every `tokenizer.json`.
    Reference(Box<tokenizers_reference::Tokenizer>),
}

impl Engine {
    /// The fast engine, or the reason why it does not cover the tokenizer.
    pub fn pipeline(checked: Preflight) -> Result<Self, String> {
        let Preflight {
            mut config, pattern, ..
        } = checked;
        if let Some(pattern) = &pattern {
            let known = super::pattern::canonical(pattern);
            if known != pattern
                && let Some(slot) = config.pointer_mut("/pre_tokenizer/pretokenizers/0/pattern/Regex")
            {
                *slot = Value::String(known.to_owned());
            }
        }
        guarded(|| {
            tokenizers::canonicalize_value(&mut config).map_err(|e| e.to_string())?;
            let canonical = config.to_string();
            drop(config);
            tokenizers::from_json(&canonical)
                .map(Self::Pipeline)
                .map_err(|e| e.to_string())
        })
    }

    /// The reference engine; `encode_special` makes special tokens in text plain text.
    pub fn reference(config: &Value, encode_special: bool) -> Result<Self, String> {
        guarded(|| {
            let mut tokenizer: tokenizers_reference::Tokenizer = config
                .to_string()
                .parse()
                .map_err(|e: tokenizers_reference::Error| e.to_string())?;
            tokenizer.set_encode_special_tokens(encode_special);
            Ok(Self::Reference(Box::new(tokenizer)))
        })
    }

    /// Appends the ids of `text` to `out`; nothing is added around them.
    pub fn encode(&self, text: &str, encode_special: bool, out: &mut Vec<u32>) -> Result<(), String> {
        guarded(|| match self {
            Self::Pipeline(tokenizer) => {
                let options = EncodeOptions {
                    add_special_tokens: false,
                    encode_special_tokens: encode_special,
                    padding: Override::Off,
                    truncation: Override::Off,
                };
                let mut tokens: Vec<PipelineToken> = Vec::with_capacity(text.len() / 3 + 16);
                tokenizer
                    .encode_into(text, &options, &mut tokens)
                    .map_err(|e| e.to_string())?;
                out.extend_from_slice(PipelineToken::cast_slice(&tokens));
                Ok(())
            }
            Self::Reference(tokenizer) => {
                let encoding = tokenizer.encode_fast(text, false).map_err(|e| e.to_string())?;
                out.extend_from_slice(encoding.get_ids());
                Ok(())
            }
        })
    }

    /// The ids of `text`, each with the bytes of `text` that became it; the reference engine alone
    /// knows them.
    pub fn locate(&self, text: &str) -> Result<Vec<(u32, std::ops::Range<usize>)>, String> {
        guarded(|| match self {
            Self::Pipeline(_) => Err("the fast engine does not know places".into()),
            Self::Reference(tokenizer) => {
                let encoding = tokenizer.encode(text, false).map_err(|e| e.to_string())?;
                let places = encoding.get_offsets().iter().map(|&(from, to)| from..to);
                Ok(encoding.get_ids().iter().copied().zip(places).collect())
            }
        })
    }

    /// The text of `ids`, special tokens included.
    pub fn decode(&self, ids: &[u32]) -> Result<String, String> {
        guarded(|| match self {
            Self::Pipeline(tokenizer) => tokenizer.decode(ids, false).map_err(|e| e.to_string()),
            Self::Reference(tokenizer) => tokenizer.decode(ids, false).map_err(|e| e.to_string()),
        })
    }
}
