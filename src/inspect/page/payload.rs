//! Sequences as the page's script reads them: deflated, in base64, in elements that nothing runs.
//!
//! A sequence has two payloads. Its layout is small and drawn at once; its tokens are inflated only
//! when it is looked at, and left out first when the page would grow too large.
//!
//! | payload | inflated |
//! |---|---|
//! | `layout` | JSON: [`Layout`] |
//! | `tokens` | `u32` little-endian: bytes of the JSON that follows; JSON: [`Words`]; `[seq_len]` LEB128 indices into it |
//!
//! Words are ordered by how often they occur, so that most indices take one byte or two.

use std::collections::HashMap;
use std::io::Write;

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use maud::{Markup, PreEscaped, html};
use rayon::prelude::*;
use serde::Serialize;

use super::Embedded;
use crate::inspect::visible;
use crate::sequence::PositionMode;

/// Bytes of an element around its base64.
const ELEMENT: usize = 120;

/// One sequence as it is embedded.
#[derive(Debug)]
pub struct Payload {
    sequence: u64,
    layout: String,
    tokens: Option<String>,
}

impl Payload {
    /// Which sequence this is.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether its tokens are embedded as well.
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// The elements that hold it.
    pub fn markup(&self) -> Markup {
        let element = |part: &str, base64: &str| {
            html! {
                script type="application/octet-stream" data-part=(part) data-sequence=(self.sequence) {
                    (PreEscaped(base64))
                }
            }
        };
        html! {
            (element("layout", &self.layout))
            @if let Some(tokens) = &self.tokens { (element("tokens", tokens)) }
        }
    }
}

/// As many sequences as fit into `room` bytes, in order: layouts before tokens.
pub fn within(
    mut room: usize,
    sequences: &[Embedded],
    text: &(dyn Fn(u32) -> String + Sync),
) -> Vec<Payload> {
    let encoded: Vec<(String, String)> = sequences
        .par_iter()
        .map(|embedded| {
            (
                deflated(&layout(embedded)),
                deflated(&tokens(&embedded.tokens, text)),
            )
        })
        .collect();
    let mut admit = |base64: &String| {
        let fits = base64.len() + ELEMENT <= room;
        room -= if fits { base64.len() + ELEMENT } else { 0 };
        fits
    };
    let layouts: Vec<bool> = encoded.iter().map(|(layout, _)| admit(layout)).collect();
    let admitted = sequences
        .iter()
        .zip(encoded)
        .zip(layouts)
        .filter(|(_, fits)| *fits);
    admitted
        .map(|((embedded, (layout, tokens)), _)| Payload {
            sequence: embedded.figures.sequence,
            layout,
            tokens: admit(&tokens).then_some(tokens),
        })
        .collect()
}

/// What is drawn of a sequence, column by column. `[n_segments]` each, unless stated otherwise.
#[derive(Serialize)]
struct Layout {
    shard: String,
    seq_len: u32,
    n_tokens: u64,
    full_attention: bool,
    positions: PositionMode,
    /// One character per segment.
    letters: String,
    offset: Vec<u32>,
    len: Vec<u32>,
    document: Vec<u64>,
    start: Vec<u64>,
    /// Index into `places`; -1 if nobody knows where the document came from.
    place: Vec<i32>,
    record: Vec<u64>,
    /// First byte and one past the last of the record; `null` if unknown.
    bytes: Vec<Option<(u64, u64)>>,
    /// Source and file, made visible, each pair once.
    places: Vec<(String, String)>,
}

/// The different tokens of a sequence, most frequent first.
#[derive(Serialize)]
struct Words {
    id: Vec<u32>,
    text: Vec<String>,
}

fn layout(embedded: &Embedded) -> Vec<u8> {
    let figures = &embedded.figures;
    let segments = &figures.segments;
    let mut places = Vec::new();
    let mut known: HashMap<(&str, &str), i32> = HashMap::new();
    let place = segments.iter().map(|segment| match &segment.origin {
        None => -1,
        Some(origin) => *known.entry((&origin.source, &origin.file)).or_insert_with(|| {
            places.push((visible(origin.source.as_bytes()), visible(origin.file.as_bytes())));
            places.len() as i32 - 1
        }),
    });
    let place = place.collect();
    let layout = Layout {
        shard: visible(figures.shard.as_bytes()),
        seq_len: figures.seq_len,
        n_tokens: figures.n_tokens,
        full_attention: figures.full_attention,
        positions: figures.position_mode,
        letters: segments.iter().map(|segment| segment.letter).collect(),
        offset: segments.iter().map(|segment| segment.offset).collect(),
        len: segments.iter().map(|segment| segment.len).collect(),
        document: segments.iter().map(|segment| segment.document).collect(),
        start: segments.iter().map(|segment| segment.start).collect(),
        record: segments
            .iter()
            .map(|s| s.origin.as_ref().map_or(0, |origin| origin.record))
            .collect(),
        bytes: segments
            .iter()
            .map(|s| s.origin.as_ref().and_then(|origin| origin.bytes))
            .collect(),
        place,
        places,
    };
    json(&layout)
}

fn tokens(ids: &[u32], text: &dyn Fn(u32) -> String) -> Vec<u8> {
    let mut counts: HashMap<u32, u32> = HashMap::new();
    for &id in ids {
        *counts.entry(id).or_default() += 1;
    }
    let mut words: Vec<(u32, u32)> = counts.into_iter().collect();
    words.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    let index: HashMap<u32, u32> = words
        .iter()
        .zip(0..)
        .map(|(&(id, _), index)| (id, index))
        .collect();
    let words = json(&Words {
        id: words.iter().map(|&(id, _)| id).collect(),
        text: words.iter().map(|&(id, _)| text(id)).collect(),
    });
    let mut out = (words.len() as u32).to_le_bytes().to_vec();
    out.extend(words);
    for id in ids {
        let mut rest = index[id];
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and strings")
}

fn deflated(bytes: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    BASE64_STANDARD_NO_PAD.encode(compressed.expect("memory takes every write"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::inspect::figures::Origin;
    use crate::inspect::testing::sequence;

    fn inflated(base64: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let compressed = BASE64_STANDARD_NO_PAD.decode(base64).unwrap();
        flate2::read::ZlibDecoder::new(&compressed[..])
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    }

    fn embedded() -> Embedded {
        let mut figures = sequence(&[300, 200], 512, false);
        figures.segments[1].origin = Some(Origin {
            source: "</script>".into(),
            file: "\u{202e}a".into(),
            record: 7,
            bytes: Some((10, 20)),
            n_tokens: 200,
        });
        let tokens = (0..512).map(|at| at * at % 700).collect();
        Embedded {
            reasons: vec!["asked for".into()],
            figures,
            tokens,
        }
    }

    #[test]
    fn tokens_and_layout_come_back_as_they_went_in() {
        let payload = within(1 << 20, &[embedded()], &|id| format!("<{id}>")).remove(0);
        let layout: serde_json::Value = serde_json::from_slice(&inflated(&payload.layout)).unwrap();
        assert_eq!(layout["offset"], serde_json::json!([0, 300]));
        assert_eq!(layout["place"], serde_json::json!([-1, 0]));
        assert_eq!(layout["places"], serde_json::json!([["</script>", "⟨U+202E⟩a"]]));

        let bytes = inflated(payload.tokens.as_ref().unwrap());
        let (words, indices) =
            bytes[4..].split_at(u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize);
        let words: serde_json::Value = serde_json::from_slice(words).unwrap();
        let (mut ids, mut value, mut shift) = (Vec::new(), 0, 0);
        for byte in indices {
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                ids.push(words["id"][value].as_u64().unwrap() as u32);
                assert_eq!(words["text"][value], format!("<{}>", ids[ids.len() - 1]));
                (value, shift) = (0, 0);
            }
        }
        assert_eq!(ids, embedded().tokens);
    }

    #[test]
    fn tokens_go_before_layouts_when_room_is_short() {
        let three = [embedded(), embedded(), embedded()];
        let text = |id: u32| id.to_string();
        let all = within(1 << 20, &three, &text);
        let layout = all[0].layout.len() + ELEMENT;
        let tokens = all[0].tokens.as_ref().unwrap().len() + ELEMENT;
        let shape = |room| {
            let payloads = within(room, &three, &text);
            payloads.iter().map(Payload::has_tokens).collect::<Vec<_>>()
        };
        assert_eq!(shape(3 * layout + 3 * tokens), [true, true, true]);
        assert_eq!(shape(3 * layout + 3 * tokens - 1), [true, true, false]);
        assert_eq!(shape(3 * layout), [false, false, false]);
        assert_eq!(shape(2 * layout), [false, false]);
        assert_eq!(shape(layout - 1), [] as [bool; 0]);
    }
}
