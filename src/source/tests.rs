//! The whole room at work: files in, records out.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as Codec;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::{Error, Result};
use crate::recipe::{Format, InvalidUtf8, Limits, MetadataType, OnBadRecord, Source, Text};

/// A source with nothing but defaults.
pub(super) fn source() -> Source {
    serde_json::from_str(r#"{"name":"s","paths":["*"]}"#).expect("a minimal source")
}

/// A source, its text options and its limits, to be changed by a test.
struct Setup {
    source: Source,
    text: Text,
    limits: Limits,
    window: usize,
}

impl Setup {
    fn new() -> Self {
        Self {
            source: source(),
            text: Text::default(),
            limits: Limits::default(),
            window: 1 << 20,
        }
    }

    fn skip(mut self) -> Self {
        self.limits.on_bad_record = OnBadRecord::Skip;
        self
    }

    fn replace(mut self) -> Self {
        self.text.invalid_utf8 = InvalidUtf8::Replace;
        self
    }

    fn window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    fn format(mut self, format: Format) -> Self {
        self.source.format = format;
        self
    }

    fn separator(mut self, separator: &str) -> Self {
        self.source.separator = Some(separator.to_owned());
        self.format(Format::Text)
    }

    fn metadata(mut self, name: &str, kind: MetadataType) -> Self {
        self.source.metadata.insert(name.to_owned(), kind);
        self
    }

    fn filter(mut self, sql: &str) -> Self {
        self.source.filter = Some(sql.to_owned());
        self
    }

    fn max_document_bytes(mut self, n: u64) -> Self {
        self.limits.max_document_bytes = n;
        self
    }

    fn rules(&self) -> Rules {
        Rules::new(&self.source, &self.text, &self.limits)
            .expect("valid rules")
            .with_window(self.window)
    }

    /// The texts of a file with this content.
    fn texts(&self, content: &[u8]) -> Result<Vec<String>> {
        Ok(self
            .read(content)?
            .0
            .into_iter()
            .map(|record| record.text)
            .collect())
    }

    fn counts(&self, content: &[u8]) -> Counts {
        self.read(content).expect("readable").1
    }

    fn message(&self, content: &[u8]) -> String {
        self.read(content).expect_err("an error").to_string()
    }

    fn read(&self, content: &[u8]) -> Result<(Vec<OwnedRecord>, Counts)> {
        let file = Scratch::new(content);
        read(&file.file, &self.rules(), Position::default()).map(|(records, counts, _)| (records, counts))
    }
}

struct Scratch {
    file: InputFile,
    _dir: TempDir,
}

impl Scratch {
    fn new(content: &[u8]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("data");
        fs::write(&path, content).expect("a temporary file");
        let file = InputFile {
            path,
            name: "data".to_owned(),
            n_bytes: content.len() as u64,
        };
        Self { file, _dir: dir }
    }
}

/// All records, their counts, and the end of every chunk.
fn read(
    file: &InputFile,
    rules: &Rules,
    from: Position,
) -> Result<(Vec<OwnedRecord>, Counts, Vec<Position>)> {
    let mut reader = Reader::open(file, rules, from)?;
    let (mut records, mut counts, mut ends) = (Vec::new(), Counts::default(), Vec::new());
    while let Some(chunk) = reader.next_chunk()? {
        let parsed = chunk.parse(rules)?;
        counts.add(&parsed.counts);
        records.extend(parsed.records.into_iter().map(OwnedRecord::from));
        ends.push(chunk.end());
    }
    assert_eq!(
        counts.n_records,
        records.len() as u64 + counts.n_filtered + counts.n_bad
    );
    Ok((records, counts, ends))
}

fn gzip(content: &[u8], n_members: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in content.chunks(content.len().div_ceil(n_members).max(1)) {
        let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    bytes
}

/// Frames with a skippable one between them.
fn zst(content: &[u8], n_frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in content.chunks(content.len().div_ceil(n_frames).max(1)) {
        bytes.extend(zstd::encode_all(part, 1).unwrap());
        bytes.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    }
    bytes
}

/// A table with a text column, a nested one, a dictionary and a number.
fn table(texts: &[Option<&str>]) -> RecordBatch {
    let text: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let field = Arc::new(Field::new("body", DataType::Utf8, true));
    let nested: ArrayRef = Arc::new(StructArray::from(vec![(field, text.clone())]));
    let words: ArrayRef = Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>());
    let score: ArrayRef = Arc::new(
        (0..texts.len())
            .map(|row| Some(row as f64 / 2.0))
            .collect::<Float64Array>(),
    );
    RecordBatch::try_from_iter([
        ("text", text),
        ("data", nested),
        ("words", words),
        ("score", score),
    ])
    .unwrap()
}

fn parquet_file(texts: &[Option<&str>], rows_per_group: usize) -> Vec<u8> {
    let batch = table(texts);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows_per_group))
        .set_compression(Codec::SNAPPY)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn ipc(texts: &[Option<&str>], rows: usize, codec: Option<CompressionType>, is_file: bool) -> Vec<u8> {
    let batch = table(texts);
    let batches = (0..texts.len())
        .step_by(rows)
        .map(|row| batch.slice(row, rows.min(texts.len() - row)));
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let mut bytes = Vec::new();
    if is_file {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        batches.for_each(|batch| writer.write(&batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        batches.for_each(|batch| writer.write(&batch).unwrap());
        writer.finish().unwrap();
    }
    bytes
}

/// The same texts in every binary container.
fn containers(texts: &[Option<&str>]) -> Vec<Vec<u8>> {
    vec![
        parquet_file(texts, 3),
        ipc(texts, 2, None, true),
        ipc(texts, 2, Some(CompressionType::ZSTD), true),
        ipc(texts, 3, Some(CompressionType::LZ4_FRAME), false),
        ipc(texts, 2, None, false),
    ]
}

#[test]
fn readers_and_chunks_go_to_other_threads() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Reader>();
    is_send::<Chunk>();
    is_sync::<Rules>();
}

#[test]
fn blank_lines_and_line_ends_do_not_make_records_and_are_counted_in_lines() {
    let content = b"\xef\xbb\xbf{\"text\":\"a\"}\r\n\n  \r\n{\"text\":\"b\\r\\n\"}\n{\"text\":\"\"}";
    let (records, counts) = Setup::new().read(content).unwrap();
    let found: Vec<_> = records
        .iter()
        .map(|record| (record.record, record.text.as_str()))
        .collect();
    assert_eq!(found, [(0, "a"), (3, "b\r\n"), (4, "")]);
    assert_eq!((counts.n_records, counts.n_bom, counts.n_bad), (3, 1, 0));
    assert_eq!(&content[3..15], b"{\"text\":\"a\"}");
    assert_eq!(records[0].bytes, Some(3..15));
}

#[test]
fn a_bad_record_stops_the_run_with_its_place() {
    for (line, part) in [
        (&br#"{"txt":"a"}"#[..], "there is no field `text`"),
        (br#"{"text":null}"#, "is null"),
        (br#"{"text":7}"#, "is a number, not a string"),
        (br#"{"text":["a"]}"#, "not a string"),
        (br#"{"text":"a","text":"b"}"#, "occurs twice"),
        (br#"{"text":"a"#, "not valid JSON"),
        (br#"{"text":"\ud800"}"#, "half a surrogate pair"),
        (b"{\"text\":\"a\xff\"}", "byte 23: the line is not UTF-8"),
        (b"7", "expected a JSON object"),
    ] {
        let content = [b"{\"text\":\"a\"}\n", line].concat();
        let message = Setup::new().format(Format::Jsonl).message(&content);
        assert!(
            message.contains(part) && message.contains("line 2, byte") && message.contains("hint:"),
            "{message}"
        );
    }
}

#[test]
fn skipped_records_are_counted_by_reason_with_the_first_places() {
    let content = b"{\"text\":\"a\"}\n{\"text\":1}\n{\"text\":2}\n{}\n{\n\xff\n{\"text\":\"\\udc00\"}\n";
    let counts = Setup::new().skip().counts(content);
    assert_eq!((counts.n_records, counts.n_bad), (7, 6));
    let by_reason: Vec<_> = counts
        .bad
        .iter()
        .map(|(reason, n)| (reason.as_str(), *n))
        .collect();
    let expected = [
        ("invalid_utf8", 1),
        ("json", 1),
        ("lone_surrogate", 1),
        ("text_missing", 1),
        ("text_type", 2),
    ];
    assert_eq!(by_reason, expected);
    assert_eq!(counts.first_bad.len(), 5);
    assert!(counts.first_bad[0].contains("line 2"), "{:?}", counts.first_bad);
}

#[test]
fn what_is_not_unicode_is_replaced_and_counted_when_the_recipe_says_so() {
    let content =
        b"{\"text\":\"a\xffb\"}\n{\"text\":\"\\ud800!\",\"x\":NaN}\n{\"x\":\"\xff\",\"text\":\"c\"}\n";
    let setup = Setup::new().replace();
    assert_eq!(setup.texts(content).unwrap(), ["a\u{fffd}b", "\u{fffd}!", "c"]);
    assert_eq!(setup.counts(content).n_replaced, 2);
}

#[test]
fn bare_nan_in_a_field_beside_the_text_does_no_harm() {
    let content = b"{\"x\":NaN,\"y\":[-Infinity],\"text\":\"NaN\"}\n{\"z\":1e999,\"text\":\"b\"}\n";
    assert_eq!(Setup::new().texts(content).unwrap(), ["NaN", "b"]);
}

#[test]
fn a_record_over_the_limit_is_an_error_or_skipped_without_its_neighbours() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(3000));
    let content = format!("{{\"text\":\"a\"}}\n{long}\n{{\"text\":\"b\"}}\n{long}");
    for window in [16, 100, 4096, 1 << 20] {
        let setup = Setup::new().window(window).max_document_bytes(1000);
        let message = setup.message(content.as_bytes());
        assert!(
            message.contains("line 2, byte 13") && message.contains("max_document_bytes"),
            "{message}"
        );
        let setup = setup.skip();
        assert_eq!(
            setup.texts(content.as_bytes()).unwrap(),
            ["a", "b"],
            "window {window}"
        );
        assert_eq!(setup.counts(content.as_bytes()).bad["too_large"], 2);
    }
}

#[test]
fn a_text_file_is_one_document_even_when_it_is_empty() {
    let setup = Setup::new().format(Format::Text).window(8);
    assert_eq!(
        setup.texts(b"\xef\xbb\xbfone\r\ntwo\r three\n").unwrap(),
        ["one\ntwo\r three\n"]
    );
    assert_eq!(setup.counts(b"\xef\xbb\xbfone\r\ntwo").n_crlf, 1);
    assert_eq!(setup.texts(b"").unwrap(), [""]);
    assert_eq!(setup.texts(b"0123456789").unwrap(), ["0123456789"]);
    let limited = setup.skip().max_document_bytes(9);
    assert_eq!(limited.texts(b"0123456789").unwrap(), [] as [String; 0]);
    assert_eq!(limited.texts(b"012345678").unwrap(), ["012345678"]);
}

#[test]
fn an_empty_file_of_no_known_format_has_no_documents() {
    assert_eq!(Setup::new().texts(b"").unwrap(), [] as [String; 0]);
    assert_eq!(
        Setup::new().format(Format::Jsonl).texts(b"").unwrap(),
        [] as [String; 0]
    );
    let empty_frame = zstd::encode_all(&b""[..], 1).unwrap();
    assert_eq!(Setup::new().texts(&empty_frame).unwrap(), [] as [String; 0]);
}

#[test]
fn separator_lines_stand_between_documents() {
    let content = b"\xef\xbb\xbf---\na\r\nb\r\n---\r\n---\n\n---\n--- \nc\n---\nd";
    for window in [1, 7, 1 << 20] {
        let setup = Setup::new().separator("---").window(window);
        assert_eq!(
            setup.texts(content).unwrap(),
            ["a\nb", "--- \nc", "d"],
            "window {window}"
        );
    }
    assert_eq!(
        Setup::new().separator("").texts(b"a\nb\n\n\nc\n").unwrap(),
        ["a\nb", "c"]
    );
}

#[test]
fn a_piece_over_the_limit_is_skipped_up_to_the_next_separator() {
    let long = "x".repeat(500);
    let content = format!("a\n--\n{long}\n{long}--\n--x\n--\nb\n--\n{long}{long}");
    for window in [1, 64, 1 << 20] {
        let setup = Setup::new()
            .separator("--")
            .window(window)
            .skip()
            .max_document_bytes(100);
        let (records, counts) = setup.read(content.as_bytes()).unwrap();
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.record, record.text.as_str()))
            .collect();
        assert_eq!(found, [(0, "a"), (2, "b")], "window {window}");
        assert_eq!(counts.bad["too_large"], 2);
    }
}

#[test]
fn metadata_is_typed_and_filtered() {
    let content = br#"{"text":"a","meta":{"lang":"en"},"score":1}
{"text":"b","meta":{"lang":"de"},"score":0.9}
{"text":"c","score":null}
{"text":"d","meta":{"lang":"en"},"score":0.1}
"#;
    let setup = Setup::new()
        .metadata("meta.lang", MetadataType::String)
        .metadata("score", MetadataType::Float);
    let (records, _) = setup.read(content).unwrap();
    assert_eq!(
        records[0].metadata,
        [MetadataValue::String("en".into()), MetadataValue::Float(1.0)]
    );
    assert_eq!(records[2].metadata, [MetadataValue::Null, MetadataValue::Null]);
    let setup = setup.filter(r#""meta.lang" = 'en' AND score > 0.5"#);
    assert_eq!(setup.texts(content).unwrap(), ["a"]);
    assert_eq!(setup.counts(content).n_filtered, 3);
    let message = setup.message(br#"{"text":"a","score":"high"}"#);
    assert!(message.contains("`score` is a string, not a number"), "{message}");
}

#[test]
fn filters_may_use_the_usual_conditions() {
    let content = br#"{"text":"a","n":1,"s":"xay"}
{"text":"b","n":5,"s":"b"}
{"text":"c"}"#;
    let setup = || {
        Setup::new()
            .metadata("n", MetadataType::Integer)
            .metadata("s", MetadataType::String)
    };
    for (sql, expected) in [
        ("n BETWEEN 0 AND 2", vec!["a"]),
        ("n IN (5, 7) OR s LIKE '%a%'", vec!["a", "b"]),
        ("s IS NULL", vec!["c"]),
        ("COALESCE(n, 9) >= 5", vec!["b", "c"]),
        ("LENGTH(s) = 3 AND NOT STARTS_WITH(s, 'y')", vec!["a"]),
        ("CASE WHEN n > 2 THEN true ELSE false END", vec!["b"]),
        ("LOWER(s) ~ 'A|b'", vec!["b"]),
        ("true", vec!["a", "b", "c"]),
    ] {
        assert_eq!(setup().filter(sql).texts(content).unwrap(), expected, "{sql}");
    }
}

#[test]
fn tables_give_the_same_documents_in_every_container() {
    let texts = [
        Some("a"),
        Some(""),
        None,
        Some("ü"),
        Some("long enough for a view of its own"),
        Some("a"),
        None,
        Some("z"),
    ];
    let expected: Vec<String> = texts.iter().flatten().map(|&text| text.to_owned()).collect();
    for (index, content) in containers(&texts).into_iter().enumerate() {
        for column in ["text", "data.body", "words"] {
            let mut setup = Setup::new()
                .skip()
                .window(20)
                .metadata("score", MetadataType::Float);
            setup.source.text = column.to_owned();
            let (records, counts) = setup.read(&content).unwrap();
            let found: Vec<_> = records.iter().map(|record| record.text.as_str()).collect();
            assert_eq!(found, expected, "container {index}, column {column}");
            assert_eq!(counts.bad["text_null"], 2);
            assert_eq!(
                (records[2].record, &records[2].metadata[..]),
                (3, &[MetadataValue::Float(1.5)][..])
            );
        }
        let mut setup = Setup::new();
        setup.source.text = "body".to_owned();
        let message = setup.message(&content);
        assert!(
            message.contains("no column `body`") && message.contains("`words`"),
            "{message}"
        );
        let message = Setup::new().message(&content);
        assert!(
            message.contains("record 2") && message.contains("is null"),
            "{message}"
        );
    }
}

#[test]
fn compressed_files_end_where_their_data_ends() {
    let content = b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
    let setup = Setup::new();
    for (compressed, name) in [(gzip(content, 3), "gzip"), (zst(content, 3), "zstd")] {
        assert_eq!(setup.texts(&compressed).unwrap(), ["a", "b"]);
        let message = setup.message(&[&compressed[..], b"garbage"].concat());
        assert!(
            message.contains(name) && message.contains("compressed byte"),
            "{message}"
        );
        let message = setup.message(&gzip(&compressed, 1));
        assert!(message.contains(&format!("{name} inside gzip")), "{message}");
        let message = setup.message(&compressed[..compressed.len() - 2]);
        assert!(message.contains("truncated"), "{message}");
    }
    let message = setup.message(&zst(&parquet_file(&[Some("a")], 1), 1));
    assert!(
        message.contains("Parquet inside zstd") && message.contains("decompress"),
        "{message}"
    );
}

#[test]
fn a_window_over_the_limit_is_refused_with_the_value_to_set() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(b"{\"text\":\"a\"}").unwrap();
    let long = encoder.finish().unwrap();
    let content = [zst(b"{\"text\":\"b\"}\n", 1), long].concat();
    let mut setup = Setup::new();
    assert_eq!(setup.texts(&content).unwrap(), ["b", "a"]);
    setup.limits.zstd_window_log = 20;
    assert!(
        setup
            .message(&content)
            .contains("set `limits.zstd_window_log: 24`")
    );
}

#[test]
fn a_file_that_outgrows_its_limit_is_an_error() {
    let content = "{\"text\":\"aaaaaaaa\"}\n".repeat(1000);
    let mut setup = Setup::new().window(64);
    setup.limits.max_file_bytes = 10_000;
    for content in [
        zst(content.as_bytes(), 1),
        gzip(content.as_bytes(), 1),
        content.into_bytes(),
    ] {
        let message = setup.message(&content);
        assert!(
            message.contains("byte 10000") && message.contains("max_file_bytes"),
            "{message}"
        );
    }
    let text = "x".repeat(4000);
    setup.source.text = "words".to_owned();
    for content in containers(&[Some(text.as_str()); 9]) {
        let message = setup.message(&content);
        assert!(message.contains("max_file_bytes"), "{message}");
    }
}

#[test]
fn a_format_that_the_content_contradicts_is_an_error_that_names_both() {
    let table = parquet_file(&[Some("a")], 1);
    let message = Setup::new().format(Format::Jsonl).message(&table);
    assert!(
        message.contains("says JSON lines") && message.contains("is Parquet"),
        "{message}"
    );
    let message = Setup::new().format(Format::Arrow).message(&table);
    assert!(
        message.contains("says Arrow") && message.contains("is Parquet"),
        "{message}"
    );
    assert_eq!(
        Setup::new().format(Format::Text).texts(b"{\"text\":1}").unwrap(),
        ["{\"text\":1}"]
    );
}

#[test]
fn a_name_that_contradicts_the_content_is_only_a_warning() {
    let mut scratch = Scratch::new(&zst(b"{\"text\":\"a\"}", 1));
    let renamed = scratch.file.path.with_extension("jsonl.gz");
    fs::rename(&scratch.file.path, &renamed).unwrap();
    scratch.file.path = renamed;
    let reader = Reader::open(&scratch.file, &Setup::new().rules(), Position::default()).unwrap();
    assert_eq!(
        reader.detected(),
        Detected {
            format: Format::Jsonl,
            compression: Compression::Zstd
        }
    );
    assert!(
        reader.warnings()[0].contains("says gzip"),
        "{:?}",
        reader.warnings()
    );
}

#[test]
fn a_file_that_shrank_is_not_resumed() {
    let rules = Setup::new().rules();
    let content = b"{\"text\":\"a\"}\n";
    let tables = containers(&[Some("a")]);
    for content in [content.to_vec(), gzip(content, 1), zst(content, 1)]
        .into_iter()
        .chain(tables)
    {
        let scratch = Scratch::new(&content);
        let read = read(
            &scratch.file,
            &rules,
            Position {
                record: 9,
                byte: 500_000,
            },
        );
        assert!(read.unwrap_err().to_string().contains("changed"));
    }
}

#[test]
fn truncation_is_an_error_or_a_shorter_list_that_ends_with_a_line() {
    let lines = "{\"text\":\"some words\"}\n".repeat(40);
    let texts = ["some words"; 12].map(Some);
    let mut damaged = vec![gzip(lines.as_bytes(), 3), zst(lines.as_bytes(), 3)];
    damaged.extend(containers(&texts));
    let setup = Setup::new().window(64);
    for (index, content) in damaged.iter().enumerate() {
        let step = (content.len() / 256).max(1);
        // The first bytes alone do not tell what a file was.
        for n in (8..content.len())
            .step_by(step)
            .chain(content.len() - 12..content.len())
        {
            let result = setup.texts(&content[..n]);
            // A cut between members or frames leaves a whole file; nothing in the format tells.
            let whole = result
                .as_ref()
                .is_ok_and(|texts| index < 2 && lines.starts_with(&as_lines(texts)));
            assert!(
                result.is_err() || whole,
                "container {index}, {n} of {} bytes",
                content.len()
            );
        }
    }
    for n in 0..lines.len() {
        match setup.texts(&lines.as_bytes()[..n]) {
            Ok(texts) => assert!(
                [0, 21].contains(&(n % 22)) && texts.len() == n.div_ceil(22),
                "{n}"
            ),
            Err(error) => assert!(matches!(error, Error::Input { .. }), "{error}"),
        }
    }
}

fn as_lines(texts: &[String]) -> String {
    texts
        .iter()
        .map(|text| format!("{{\"text\":\"{text}\"}}\n"))
        .collect()
}

#[test]
fn one_record_is_read_again_from_any_container() {
    let content = b"{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n{\"text\":1}\n{\"text\":\"c\"}\n";
    let setup = Setup::new().skip();
    let mut files = vec![content.to_vec(), gzip(content, 2), zst(content, 2)];
    files.extend(containers(&[Some("a"), None, Some("b"), None, Some("c")]));
    for content in files {
        let scratch = Scratch::new(&content);
        let (records, ..) = read(&scratch.file, &setup.rules(), Position::default()).unwrap();
        assert_eq!(records.len(), 3);
        for record in records {
            // Not even a strict reader stumbles over the neighbours.
            let rules = Setup::new().rules();
            let byte = record.bytes.as_ref().map_or(0, |bytes| bytes.start);
            let at = Position {
                record: record.record,
                byte,
            };
            assert_eq!(read_record(&scratch.file, &rules, at).unwrap(), record);
            let at = Position {
                record: record.record,
                byte: 0,
            };
            assert_eq!(read_record(&scratch.file, &setup.rules(), at).unwrap(), record);
        }
        let missing = read_record(&scratch.file, &setup.rules(), Position { record: 1, byte: 0 });
        assert!(missing.unwrap_err().to_string().contains("no such document"));
    }
}

#[test]
fn an_empty_table_has_no_documents() {
    let schema = Schema::new(vec![Field::new("text", DataType::Utf8, true)]);
    let mut bytes = Vec::new();
    ArrowWriter::try_new(&mut bytes, schema.clone().into(), None)
        .unwrap()
        .close()
        .unwrap();
    assert_eq!(Setup::new().texts(&bytes).unwrap(), [] as [String; 0]);
    let mut bytes = Vec::new();
    FileWriter::try_new(&mut bytes, &schema)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(Setup::new().texts(&bytes).unwrap(), [] as [String; 0]);
}

/// A line of a JSON lines file: a document, a blank, something damaged, or a document too long.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let document = "[ -~üß日\\n\\t\"\\\\]{0,40}"
        .prop_map(|text| serde_json::json!({"n": 1.5, "text": text}).to_string());
    prop_oneof![
        6 => document.prop_map(String::into_bytes),
        1 => Just(b" \t".to_vec()),
        1 => Just(b"{\"text\":".to_vec()),
        1 => Just(b"{\"text\":\"\xff\"}".to_vec()),
        1 => (60usize..400).prop_map(|n| format!("{{\"text\":\"{}\"}}", "x".repeat(n)).into_bytes()),
    ]
}

/// A file of such lines, with either line end, and with or without a last one.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line_end = prop_oneof![3 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..])];
    (prop::collection::vec((line(), line_end), 1..40), any::<bool>()).prop_map(|(lines, unended)| {
        let mut content: Vec<u8> = lines
            .into_iter()
            .flat_map(|(line, end)| [&line[..], end].concat())
            .collect();
        if unended {
            content.pop();
        }
        content
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_depend_on_content_alone(content in lines(), window in 1usize..300, parts in 1usize..5) {
        let setup = || Setup::new().format(Format::Jsonl).skip().max_document_bytes(200);
        let (expected, expected_counts) = setup().read(&content).unwrap();
        let rules = setup().window(window).rules();
        let mut first_ends = None;
        for file in [content.clone(), gzip(&content, parts), zst(&content, parts)] {
            let scratch = Scratch::new(&file);
            let (records, counts, ends) = read(&scratch.file, &rules, Position::default()).unwrap();
            prop_assert_eq!(&records, &expected);
            prop_assert_eq!((counts.n_records, &counts.bad), (expected_counts.n_records, &expected_counts.bad));
            prop_assert_eq!(first_ends.get_or_insert_with(|| ends.clone()), &ends);
            for (index, &end) in ends.iter().enumerate() {
                let (rest, _, rest_ends) = read(&scratch.file, &rules, end).unwrap();
                prop_assert_eq!(&rest_ends, &ends[index + 1..]);
                let n_before = expected.iter().take_while(|record| record.record < end.record).count();
                prop_assert_eq!(&rest, &expected[n_before..]);
            }
        }
    }

    #[test]
    fn a_line_is_read_as_serde_json_reads_it(content in lines()) {
        let setup = Setup::new().format(Format::Jsonl).skip();
        let expected: Vec<String> = content
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
            .filter_map(|value| Some(value.get("text")?.as_str()?.to_owned()))
            .collect();
        prop_assert_eq!(setup.texts(&content).unwrap(), expected);
    }

    #[test]
    fn pieces_and_rows_depend_on_content_alone(
        texts in prop::collection::vec("[a-z\\r\\n-]{0,30}", 1..30),
        window in 2usize..200,
    ) {
        let joined = texts.join("\n--\n");
        let rows: Vec<_> = texts.iter().map(|text| Some(text.as_str())).collect();
        let mut cases = vec![(Setup::new().separator("--"), joined.into_bytes())];
        cases.extend(containers(&rows).into_iter().map(|content| (Setup::new(), content)));
        for (setup, content) in cases {
            let (expected, _) = setup.read(&content).unwrap();
            let rules = setup.window(window).rules();
            let scratch = Scratch::new(&content);
            let (records, _, ends) = read(&scratch.file, &rules, Position::default()).unwrap();
            prop_assert_eq!(&records, &expected);
            for (index, &end) in ends.iter().enumerate() {
                let (rest, _, rest_ends) = read(&scratch.file, &rules, end).unwrap();
                prop_assert_eq!(&rest_ends, &ends[index + 1..]);
                let n_before = expected.iter().take_while(|record| record.record < end.record).count();
                prop_assert_eq!(&rest, &expected[n_before..]);
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 30)) {
        let lines = "{\"text\":\"some words, and more of them\"}\n".repeat(9);
        let mut files = containers(&[Some("some words"), None, Some("some words"), Some("others")]);
        files.extend([gzip(lines.as_bytes(), 2), zst(lines.as_bytes(), 2)]);
        // Small enough that no claimed length can be set aside in vain.
        let setup = Setup::new().skip().max_document_bytes(1 << 20);
        for content in files {
            for (at, bit) in &flips {
                let mut flipped = content.clone();
                flipped[at.index(content.len())] ^= 1 << bit;
                let _ = setup.read(&flipped);
            }
        }
    }
}
