//! The bytes of single tokens, read off a `tokenizer.json` without loading an engine.
//!
//! A token may be part of a character, so its text is bytes. Byte-level BPE writes each byte as one
//! printable character (source: OpenAI's GPT-2 encoder, `bytes_to_unicode`); SentencePiece writes a
//! space as `▁` and a single byte as `<0xE2>`.

use std::collections::HashMap;

use serde_json::Value;

use super::preflight;

/// What each id stands for.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokens: HashMap<u32, Box<[u8]>>,
    special: HashMap<u32, Box<str>>,
}

impl Vocabulary {
    /// Reads the vocabulary of a tokenizer file.
    ///
    /// # Errors
    /// A message that says what is wrong with the file.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > preflight::MAX_BYTES {
            return Err(format!(
                "{} bytes, more than {} allowed",
                bytes.len(),
                preflight::MAX_BYTES
            ));
        }
        let config: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let plain: fn(&str) -> Box<[u8]> =
            match has_byte_level(&config["decoder"]) || has_byte_level(&config["pre_tokenizer"]) {
                true => byte_level,
                false => sentence_piece,
            };
        let mut tokens = HashMap::new();
        match &config["model"]["vocab"] {
            Value::Object(vocabulary) => {
                for (token, id) in vocabulary {
                    let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                    tokens.insert(id.ok_or("an id is not a number")?, plain(token));
                }
            }
            // Unigram models list pairs of token and score.
            Value::Array(vocabulary) => {
                for (id, entry) in (0u32..).zip(vocabulary) {
                    tokens.insert(id, plain(entry[0].as_str().ok_or("a token is not a string")?));
                }
            }
            _ => return Err("`model.vocab` is missing".into()),
        }
        let mut special = HashMap::new();
        for added in config["added_tokens"].as_array().into_iter().flatten() {
            let id = added["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(content)) = (id, added["content"].as_str()) else {
                return Err("an added token has no id or no content".into());
            };
            tokens.insert(id, content.as_bytes().into());
            if added["special"] == true {
                special.insert(id, content.into());
            }
        }
        Ok(Self { tokens, special })
    }

    /// The bytes of token `id`; `None` if there is no such token.
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(&id).map(|bytes| &**bytes)
    }

    /// Whether `id` is a special token: no part of any text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains_key(&id)
    }
}

fn has_byte_level(part: &Value) -> bool {
    let list = |key: &str| part[key].as_array().into_iter().flatten();
    part["type"] == "ByteLevel"
        || list("pretokenizers").any(has_byte_level)
        || list("decoders").any(has_byte_level)
}

fn byte_level(token: &str) -> Box<[u8]> {
    let byte = |c: char| match c as u32 {
        // Printable bytes stand for themselves; the others follow from 256 on, in order.
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(c as u8),
        0x100..=0x120 => Some((c as u32 - 0x100) as u8),
        0x121..=0x142 => Some((c as u32 - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    };
    let bytes: Option<Box<[u8]>> = token.chars().map(byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().into())
}

fn sentence_piece(token: &str) -> Box<[u8]> {
    let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    match hex
        .filter(|hex| hex.len() == 2)
        .map(|hex| u8::from_str_radix(hex, 16))
    {
        Some(Ok(byte)) => [byte].into(),
        _ => token.replace('▁', " ").into_bytes().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_character() {
        // DEL is not one of the characters that stand for bytes: it stands for itself.
        let mut seen: Vec<u8> = (0x21..=0x143)
            .filter_map(char::from_u32)
            .filter(|&c| c != '\u{7f}')
            .map(|c| byte_level(&c.to_string()))
            .filter(|bytes| bytes.len() == 1)
            .map(|bytes| bytes[0])
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
        assert_eq!(&*byte_level("Ġthe"), b" the");
    }

    #[test]
    fn pieces_with_a_byte_fallback() {
        assert_eq!(&*sentence_piece("▁the"), b" the");
        assert_eq!(&*sentence_piece("<0xE2>"), [0xe2]);
        assert_eq!(&*sentence_piece("<0xZZ>"), b"<0xZZ>");
    }

    #[test]
    fn the_tokens_of_a_text_put_together_are_its_bytes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizer/tokenizer.json");
        let rules = serde_json::from_str(r#"{"file": "", "eod": "<|endoftext|>"}"#).unwrap();
        let tokenizer = super::super::Tokenizer::load(path.as_ref(), &rules).unwrap();
        let vocabulary = Vocabulary::read(tokenizer.bytes()).unwrap();
        let text = "Seventy-six naïve 漢字\u{1f600}\r\n\ttrombones";
        let mut ids = Vec::new();
        tokenizer.encode(text, &mut ids).unwrap();
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|&id| vocabulary.bytes(id).unwrap().to_vec())
            .collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        assert!(vocabulary.is_special(tokenizer.ids().eod) && !vocabulary.is_special(ids[0]));
    }
}
