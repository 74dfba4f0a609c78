//! Sequences and overviews for the tests of this room.

use super::figures::{
    AttentionFigures, FillFigures, Finding, Identity, Kind, LedgerFigures, LeftOut, Origin, Overview,
    ProfileBin, RankFigures, SeamFigures, SegmentFigures, SequenceFigures, Severity, TokenFigures,
    WhenceFigures,
};
use super::look;
use super::visible::visible;
use crate::pack::{ContextKept, LengthRange, Quantiles, SourceShare};
use crate::recipe::Boundary;
use crate::sequence::PositionMode;

/// A name that tries to act on whatever shows it.
pub const HOSTILE: &str = "a\u{202e}<b>\u{1b}[31m\u{9b}2J\u{7}漢字";

/// A sequence of whole documents with these lengths, one behind the other.
pub fn sequence(lens: &[u32], seq_len: u32, full_attention: bool) -> SequenceFigures {
    let mut offset = 0;
    let segments: Vec<SegmentFigures> = lens
        .iter()
        .enumerate()
        .map(|(index, &len)| {
            let segment = SegmentFigures {
                letter: look::letter(index),
                offset,
                len,
                document: index as u64,
                start: 0,
                origin: None,
            };
            offset += len;
            segment
        })
        .collect();
    let pairs = |lens: &mut dyn Iterator<Item = u64>| lens.map(|len| len * len).sum::<u64>();
    let n_tokens = u64::from(offset);
    let attention_pairs = match full_attention {
        true => n_tokens * n_tokens,
        false => pairs(&mut lens.iter().map(|&len| u64::from(len))),
    };
    SequenceFigures {
        sequence: 0,
        shard: "shard-00000.arrow".into(),
        seq_len,
        n_tokens,
        full_attention,
        position_mode: PositionMode::Sequence,
        attention_pairs,
        density: attention_pairs as f64 / f64::from(seq_len).powi(2),
        segments,
    }
}

/// Where a document with a hostile name came from.
pub fn origin() -> Origin {
    Origin {
        source: "books".into(),
        file: format!("shelf/{HOSTILE}.jsonl"),
        record: 12,
        bytes: Some((7_312_001, 7_400_129)),
        n_tokens: 41_000,
    }
}

/// A sequence of documents of every size, one of them with a hostile name, and padding.
pub fn mixed(full_attention: bool) -> SequenceFigures {
    let mut lens = vec![40_000, 9_000, 24_000, 3_000];
    lens.extend([90; 200]);
    lens.extend([12_345, 10_000]);
    let mut sequence = sequence(&lens, 131_072, full_attention);
    sequence.segments[1].origin = Some(origin());
    sequence.segments[1].start = 32_000;
    sequence
}

/// An overview in which everything occurs.
pub fn overview() -> Overview {
    let ranges = |counts: [u64; 6]| -> Vec<LengthRange> {
        let powers = 12..18;
        let range = |(power, count): (u32, u64)| LengthRange {
            at_least: 1 << power,
            count,
            tokens: count * (3 << power) / 2,
        };
        powers.zip(counts).map(range).collect()
    };
    let bin = |first: u64| ProfileBin {
        first,
        count: 8,
        min: 0.91,
        mean: 0.97,
        max: 1.0,
    };
    Overview {
        identity: Identity {
            path: "out/mixed".into(),
            kind: Kind::Dataset,
            dataset: Some("blake3:0123456789abcdef0123456789abcdef".into()),
            recipe_digest: "blake3:ab".into(),
            tokenizer_digest: "blake3:cd".into(),
            format_version: "1.0".into(),
            seq_len: 131_072,
            boundary: Boundary::Hybrid,
            position_mode: PositionMode::Segment,
            align: 16,
            vocab_size: 126_464,
            eod_id: 126_081,
            pad_id: 126_081,
            mask_id: Some(126_336),
            n_shards: 2,
            n_bytes: 33_600_000,
            n_documents: Some(1_234),
        },
        findings: vec![
            Finding {
                code: "I020".into(),
                severity: Severity::Warning,
                message: "12.3 % of all positions are padding".into(),
                hint:
                    "compare placements with `ultrapack plan`; a smaller `align` or more documents help too"
                        .into(),
            },
            Finding {
                code: "I012".into(),
                severity: Severity::Note,
                message: "documents left out: 10 filtered, 3 too short (41 tokens)".into(),
                hint: "the recipe's filters and limits decide this".into(),
            },
        ],
        ledger: Some(LedgerFigures {
            documents_read: 1_247,
            documents_used: 1_234,
            documents_split: 3,
            tokens_read: 7_600_041,
            tokens_used: 7_600_000,
            tokens_repeated: 500_000,
            tokens_overlap: 0,
            eod_added: 1_234,
            tokens_placed: 8_000_000,
            tokens_truncated: 101_000,
            tokens_tail_dropped: 234,
            left_out: vec![
                LeftOut {
                    reason: "filtered".into(),
                    documents: 10,
                    tokens: None,
                },
                LeftOut {
                    reason: "too_short".into(),
                    documents: 3,
                    tokens: Some(41),
                },
            ],
        }),
        fill: FillFigures {
            n_sequences: 64,
            slots: 8_388_608,
            tokens: 8_000_000,
            padding_tail: 380_000,
            padding_align: 8_608,
            fill_ratio: 8_000_000.0 / 8_388_608.0,
            segments_per_sequence: Quantiles {
                p50: 9,
                p99: 211,
                max: 240,
            },
            profile: (0..8).map(|i| bin(8 * i)).collect(),
        },
        document_lens: Some(ranges([40, 30, 50, 20, 10, 4])),
        segment_lens: ranges([60, 35, 50, 20, 8, 0]),
        context_kept: [
            (8_192, 0.94, 0.91),
            (32_768, 0.71, 0.68),
            (65_536, 0.4, 0.37),
            (131_072, 0.11, 0.06),
        ]
        .map(|(len, documents, segments)| ContextKept {
            len,
            documents,
            segments,
        })
        .to_vec(),
        attention: AttentionFigures {
            density: Quantiles {
                p50: 0.18,
                p99: 0.71,
                max: 1.0,
            },
            histogram: (0..20)
                .map(|i| [3, 9, 14, 12, 8, 6, 4, 2, 0, 1][i % 10] / (1 + i as u64 / 10))
                .collect(),
            profile: (0..8).map(bin).collect(),
            n_full: 6,
            ranks: RankFigures {
                n_ranks: 4,
                accumulate: 2,
                slowdown_before: Some(1.62),
                slowdown_after: Some(1.09),
                loads: vec![1.02, 0.99, 1.0, 0.99],
                most: vec![1.5, 1.2, 1.3, 1.9],
            },
        },
        mixture: Some(vec![
            SourceShare {
                name: "books".into(),
                wanted: 0.42,
                achieved: 0.45,
            },
            SourceShare {
                name: visible(HOSTILE.as_bytes()),
                wanted: 0.3,
                achieved: 0.295,
            },
            SourceShare {
                name: "papers-with-a-very-long-name-of-a-source".into(),
                wanted: 0.28,
                achieved: 0.255,
            },
        ]),
    }
}

/// Tokens around the end of a document, with hostile text, and padding behind them.
pub fn seam() -> SeamFigures {
    let mut segments = sequence(&[4_000, 6], 4_096, false).segments;
    segments[1].origin = Some(origin());
    segments[1].start = 77;
    let token = |(i, text): (usize, &str)| {
        let position = 3_997 + i as u32;
        let segment = match position {
            0..4_000 => Some(0),
            4_000..4_006 => Some(1),
            _ => None,
        };
        let within = |index: u32| u64::from(position) - u64::from(segments[index as usize].offset);
        TokenFigures {
            position,
            id: 1_131 + 7 * i as u32,
            segment,
            document_position: segment.map(|index| within(index) + segments[index as usize].start),
            position_id: segment.map_or(0, |index| within(index) as i32),
            flag: match (position, segment) {
                (3_999, _) => Some("eod".into()),
                (_, None) => Some("padding".into()),
                _ => None,
            },
            loss: segment.is_some(),
            text: visible(text.as_bytes()),
        }
    };
    let texts = [
        " therefore",
        ".",
        "<|endoftext|>",
        "use",
        HOSTILE,
        "\u{1b}[2J",
        "\u{200b}",
        "漢字漢字",
        "e\u{301}\u{301}",
        "",
        "",
    ];
    SeamFigures {
        sequence: 17,
        position: 4_001,
        boundary: Some(4_000),
        tokens: texts.into_iter().enumerate().map(token).collect(),
        segments,
    }
}

/// Where a token of a hostile document came from.
pub fn whence() -> WhenceFigures {
    WhenceFigures {
        sequence: 17,
        token: seam().tokens[4].clone(),
        document: 88,
        origin: origin(),
        path: "shelf/a.jsonl".into(),
        text_xxh3: "00112233445566778899aabbccddeeff".into(),
        tokens_compared: 6,
        text_bytes: Some((120, 131)),
        text: (
            "In the beginning there was a rather long text before the token, ".into(),
            visible(HOSTILE.as_bytes()),
            " and a rather long one behind it as well, which is cut somewhere.".into(),
        ),
    }
}
