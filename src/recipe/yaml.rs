//! YAML text as a tree that remembers where everything stands.
//!
//! The grammar is the parser's; the scalars are those of the YAML 1.2 core schema, so that `no` and
//! `12:30` are text. Recipes use plain YAML only: anchors, aliases, tags, merge keys and several
//! documents are refused, because what a reader sees is then what is packed. A recipe may come from
//! anywhere, hence the limits on size, depth and number of nodes.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::report::{Code, Diagnostic, Span, quoted};

/// Largest recipe, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 64;
/// Most keys and values.
const MAX_NODES: usize = 100_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub span: Span,
    pub value: Value,
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub name: String,
    pub span: Span,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    String(String),
    Seq(Vec<Node>),
    /// In the order of the text, each key once.
    Map(Vec<(Key, Node)>),
    /// Something that has been reported already; it fits everywhere, so that it is reported once.
    Reported,
}

impl Node {
    /// The entry of a mapping with this key.
    pub(super) fn get(&self, name: &str) -> Option<&(Key, Node)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name),
            _ => None,
        }
    }

    /// The place to name when the node as a whole is meant: its first key or item.
    pub(super) fn head(&self) -> Span {
        match &self.value {
            Value::Map(entries) => entries.first().map_or(self.span, |(key, _)| key.span),
            Value::Seq(items) => items.first().map_or(self.span, Node::head),
            _ => self.span,
        }
    }
}

/// Reads one YAML document. `None` if nothing can be said beyond the errors added; `start` says where
/// to find a recipe to start from.
pub(super) fn parse(text: &str, start: &str, errors: &mut Vec<Diagnostic>) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the recipe has {} bytes, more than the {MAX_BYTES} that are read",
            text.len()
        );
        errors.push(Diagnostic::new(
            Code::TooLarge,
            Span { start: 0, end: 0 },
            message,
        ));
        return None;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        // A glob pattern without quotes looks like an alias; reported below with the remedy.
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut tree = Tree {
        text,
        errors,
        open: Vec::new(),
        n_nodes: 0,
        root: None,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => tree.event(event, &span),
            Err(error) => Err(syntax(text, &error)),
        };
        if let Err(error) = step {
            tree.errors.push(error);
            return None;
        }
    }
    let root = tree.root;
    if root.as_ref().is_none_or(|root| matches!(root.value, Value::Null)) {
        let message = "the recipe is empty";
        errors.push(Diagnostic::new(Code::Empty, Span { start: 0, end: 0 }, message).label(start));
        return None;
    }
    root
}

/// The tree while it grows: the collections that are still open, outermost first.
struct Tree<'a> {
    text: &'a str,
    errors: &'a mut Vec<Diagnostic>,
    open: Vec<Open>,
    n_nodes: usize,
    root: Option<Node>,
}

enum Open {
    Seq {
        span: Span,
        items: Vec<Node>,
    },
    Map {
        span: Span,
        entries: Vec<(Key, Node)>,
        seen: BTreeMap<String, Span>,
        key: Option<Key>,
    },
}

impl Tree<'_> {
    /// Takes one event. An error that makes the rest meaningless is returned; others are added.
    fn event(&mut self, event: Event<'_>, span: &granit_parser::Span) -> Result<(), Diagnostic> {
        let at = self.span(span);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                let message = "a recipe is one YAML document; here a second one starts";
                Err(Diagnostic::new(Code::Feature, at, message).label("use one file per recipe"))
            }
            Event::Scalar(text, style, _, tag) => {
                let plain = matches!(style, ScalarStyle::Plain);
                if let Some(key) = self.awaited_key() {
                    *key = Some(Key {
                        name: text.into_owned(),
                        span: at,
                    });
                    self.check_tag(tag.is_some(), span, at);
                    return self.count(at);
                }
                let value = if plain {
                    scalar(&text)
                } else {
                    Value::String(text.into_owned())
                };
                let value = if self.check_tag(tag.is_some(), span, at) {
                    value
                } else {
                    Value::Reported
                };
                self.add(Node { span: at, value })
            }
            Event::SequenceStart(_, _, tag) => {
                self.check_tag(tag.is_some(), span, at);
                self.open(
                    Open::Seq {
                        span: at,
                        items: Vec::new(),
                    },
                    at,
                )
            }
            Event::MappingStart(_, _, tag) => {
                self.check_tag(tag.is_some(), span, at);
                let map = Open::Map {
                    span: at,
                    entries: Vec::new(),
                    seen: BTreeMap::new(),
                    key: None,
                };
                self.open(map, at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::Seq { span, items }) => self.add(Node {
                    span,
                    value: Value::Seq(items),
                }),
                Some(Open::Map { span, entries, .. }) => self.add(Node {
                    span,
                    value: Value::Map(entries),
                }),
                None => Ok(()),
            },
            Event::Anchor(..) => {
                let error = Diagnostic::new(Code::Feature, at, "recipes have no YAML anchors (`&name`)");
                self.errors
                    .push(error.label("remove it, or put the value in quotes"));
                Ok(())
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let written = self.text.get(at.start..at.end).unwrap_or("*").trim_end();
                let message = format!("{} is a YAML alias, which recipes do not have", quoted(written));
                let error = Diagnostic::new(Code::Feature, at, message);
                self.errors.push(if written.contains(['.', '/', '?', '[']) {
                    error.label(format!(
                        "write a pattern that starts with `*` in quotes: '{written}'"
                    ))
                } else {
                    error.label("write the value out")
                });
                self.add(Node {
                    span: at,
                    value: Value::Reported,
                })
            }
            _ => Ok(()),
        }
    }

    /// The slot for a key, if a mapping waits for one.
    fn awaited_key(&mut self) -> Option<&mut Option<Key>> {
        match self.open.last_mut() {
            Some(Open::Map { key, .. }) if key.is_none() => Some(key),
            _ => None,
        }
    }

    fn open(&mut self, collection: Open, at: Span) -> Result<(), Diagnostic> {
        if self.awaited_key().is_some() {
            let message = "a key must be a word; here a list or mapping stands in its place";
            return Err(Diagnostic::new(Code::Feature, at, message).label("was a quote or `:` forgotten?"));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(collection);
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node) -> Result<(), Diagnostic> {
        let at = node.span;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Seq { items, .. }) => items.push(node),
            Some(Open::Map {
                entries, seen, key, ..
            }) => {
                let Some(key) = key.take() else {
                    let message = "a key must be a word, not an alias";
                    return Err(Diagnostic::new(Code::Feature, at, message));
                };
                if key.name == "<<" {
                    let message = "recipes have no merge keys";
                    self.errors
                        .push(Diagnostic::new(Code::Feature, key.span, message).label("write the keys out"));
                } else if let Some(first) = seen.get(&key.name) {
                    let line = line_of(self.text, first.start);
                    let message = format!("key {} stands twice in the same mapping", quoted(&key.name));
                    let label = format!("first on line {line}; remove one of the two");
                    self.errors
                        .push(Diagnostic::new(Code::DuplicateKey, key.span, message).label(label));
                } else {
                    seen.insert(key.name.clone(), key.span);
                    entries.push((key, node));
                }
            }
        }
        self.count(at)
    }

    fn count(&mut self, at: Span) -> Result<(), Diagnostic> {
        self.n_nodes += 1;
        if self.n_nodes <= MAX_NODES {
            return Ok(());
        }
        Err(Diagnostic::new(
            Code::TooLarge,
            at,
            format!("the recipe has more than {MAX_NODES} keys and values"),
        ))
    }

    /// Reports a tag. Whether there was none.
    fn check_tag(&mut self, tagged: bool, span: &granit_parser::Span, at: Span) -> bool {
        if tagged {
            let at = span.tag_span().map_or(at, |tag| self.span(&tag));
            let error = Diagnostic::new(Code::Feature, at, "recipes have no YAML tags (`!name`)");
            self.errors
                .push(error.label("remove it, or put the value in quotes"));
        }
        !tagged
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let start = byte(self.text, &span.start);
        Span {
            start,
            end: byte(self.text, &span.end).max(start),
        }
    }
}

fn byte(text: &str, marker: &granit_parser::Marker) -> usize {
    // The parser knows byte offsets whenever it reads from a `&str`, as here.
    text.floor_char_boundary(marker.byte_offset().unwrap_or(0))
}

fn line_of(text: &str, byte: usize) -> usize {
    memchr::memchr_iter(b'\n', &text.as_bytes()[..byte]).count() + 1
}

fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::new(
        Code::TooLarge,
        at,
        format!("lists and mappings are nested more than {MAX_DEPTH} deep"),
    )
}

fn syntax(text: &str, error: &ScanError) -> Diagnostic {
    // An error at the end of the file is shown at the last thing written.
    let start = byte(text, error.marker()).min(text.trim_end().len());
    let at = Span { start, end: start };
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(at),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => {
            let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
            let start = text[line..].find('\t').map_or(start, |tab| line + tab);
            let message = "a tab in the indentation; YAML indents with spaces";
            let at = Span {
                start,
                end: start + 1,
            };
            Diagnostic::new(Code::Syntax, at, message).label("replace the tab by spaces")
        }
        ErrorKind::MappingValueNotAllowed => {
            Diagnostic::new(Code::Syntax, at, "a `:` where no key can stand")
                .label("put a value that holds `: ` in quotes, or check the indentation")
        }
        ErrorKind::UnexpectedCharacter { character } => Diagnostic::new(
            Code::Syntax,
            at,
            format!("a value cannot start with `{character}`"),
        )
        .label("put the value in quotes"),
        kind => Diagnostic::new(Code::Syntax, at, format!("not YAML: {kind}")),
    }
}

/// A scalar without quotes, by the core schema of YAML 1.2.
///
/// Source: YAML 1.2.2, section 10.3.2.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        // `from_str_radix` takes a sign, the schema does not.
        if digits.starts_with(['+', '-']) {
            None
        } else {
            i128::from_str_radix(digits, radix).ok()
        }
    };
    if let Some(int) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return Value::Int(int);
    }
    let (sign, unsigned) = match text.as_bytes()[0] {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Value::Float(sign * f64::INFINITY);
    }
    // What is left is a number if it holds a digit and nothing but the characters of one: Rust's
    // parsers agree with the schema on the rest, except for the words `inf`, `infinity` and `nan`.
    let number = unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if number && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        if let Ok(int) = text.parse() {
            return Value::Int(int);
        }
        if let Ok(float) = text.parse() {
            return Value::Float(float);
        }
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_follow_the_core_schema_of_yaml_1_2() {
        let show = |text: &str| format!("{:?}", scalar(text));
        for (text, value) in [
            ("131072", "Int(131072)"),
            ("-1", "Int(-1)"),
            ("+7", "Int(7)"),
            ("007", "Int(7)"),
            ("0x1F", "Int(31)"),
            ("0o17", "Int(15)"),
            ("0x-1", "String(\"0x-1\")"),
            ("1.5", "Float(1.5)"),
            (".5", "Float(0.5)"),
            ("1e3", "Float(1000.0)"),
            ("-.inf", "Float(-inf)"),
            (".nan", "Float(NaN)"),
            ("nan", "String(\"nan\")"),
            ("inf", "String(\"inf\")"),
            ("131_072", "String(\"131_072\")"),
            ("12:30", "String(\"12:30\")"),
            ("no", "String(\"no\")"),
            ("True", "Bool(true)"),
            ("~", "Null"),
            ("e", "String(\"e\")"),
            (".", "String(\".\")"),
            ("-", "String(\"-\")"),
            ("1.2.3", "String(\"1.2.3\")"),
        ] {
            assert_eq!(show(text), value, "{text}");
        }
    }

    #[test]
    fn spans_are_bytes_of_the_text_as_written() {
        let text = "\u{feff}a: é\r\nb:\r\n  - 'x'\r\n";
        let mut errors = Vec::new();
        let root = parse(text, "", &mut errors).expect("this is YAML");
        let (key, list) = root.get("b").expect("b is there");
        assert_eq!(&text[key.span.start..key.span.end], "b");
        let Value::Seq(items) = &list.value else {
            panic!("a list")
        };
        assert_eq!(&text[items[0].span.start..items[0].span.end], "'x'");
        assert!(matches!(&root.get("a").expect("a is there").1.value, Value::String(text) if text == "é"));
    }

    #[test]
    fn a_megabyte_of_nesting_is_refused_quickly() {
        for text in [
            "[".repeat(MAX_BYTES),
            "- ".repeat(MAX_BYTES / 2),
            "{a: ".repeat(MAX_BYTES / 4),
        ] {
            let mut errors = Vec::new();
            assert!(parse(&text, "", &mut errors).is_none());
            assert_eq!(errors.len(), 1);
        }
    }

    #[test]
    fn more_nodes_than_any_recipe_has_are_refused() {
        let mut errors = Vec::new();
        assert!(parse(&format!("[{}]", "1,".repeat(MAX_NODES + 1)), "", &mut errors).is_none());
        assert_eq!(errors.len(), 1);
    }
}
