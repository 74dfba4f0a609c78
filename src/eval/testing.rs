//! Meters for tests.

use std::collections::HashMap;
use std::sync::Mutex;

use super::meter::Meter;
use crate::error::Result;

/// A token is a word with the one white space before it, or a white space.
#[derive(Default)]
pub(super) struct Words(Mutex<(HashMap<String, u32>, Vec<String>)>);

impl Meter for Words {
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut known = self.0.lock().unwrap();
        let (ids, words) = &mut *known;
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let skip = if first.is_whitespace() {
                first.len_utf8()
            } else {
                0
            };
            let end = rest[skip..]
                .find(char::is_whitespace)
                .map_or(rest.len(), |at| skip + at);
            let (word, after) = rest.split_at(end);
            let id = *ids.entry(word.to_owned()).or_insert_with(|| {
                words.push(word.to_owned());
                words.len() as u32 - 1
            });
            tokens.push(id);
            rest = after;
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        let known = self.0.lock().unwrap();
        Ok(tokens.iter().map(|&id| known.1[id as usize].as_str()).collect())
    }
}

/// A token is a byte.
pub(super) struct Bytes;

impl Meter for Bytes {
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        let bytes: Vec<u8> = tokens.iter().map(|&id| id as u8).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
