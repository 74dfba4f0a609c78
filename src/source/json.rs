//! Looks for a few fields in one JSON object, without building the object.
//!
//! Strings are borrowed from the line where they contain no escape, and fields that nobody asked
//! for are skipped: their numbers are never parsed, so `1e999` beside the text does no harm. What
//! JSON writers in the wild add to JSON, bare `NaN` and lone surrogates, is not read here: see
//! [`mend`](super::mend).

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::harvest::Bad;
use super::record::Scalar;

/// The fields that are looked for, as dotted paths.
///
/// A path is followed into nested objects, and matches a key that itself contains dots as well:
/// `a.b` is found in `{"a": {"b": 1}}` and in `{"a.b": 1}`.
#[derive(Debug)]
pub(super) struct Fields {
    paths: Vec<String>,
}

/// Values of the [`Fields`], in their order; `None` for what is missing.
pub(super) type Values<'a> = Vec<Option<Scalar<'a>>>;

/// A field, by index, and what is left of its path below the current object.
type Wanted<'p> = (usize, &'p str);

impl Fields {
    pub(super) fn new(paths: impl Iterator<Item = String>) -> Self {
        Self {
            paths: paths.collect(),
        }
    }

    /// Finds the fields in a line that holds one JSON object and nothing else.
    ///
    /// # Errors
    /// The reason, and the offset in the line where reading stopped.
    pub(super) fn find<'a>(&self, line: &'a str) -> Result<Values<'a>, (Bad, usize)> {
        if !line.trim_ascii_start().starts_with('{') {
            return Err((Bad::new("not_an_object", "expected a JSON object"), 0));
        }
        let wanted: Vec<Wanted<'_>> = self.paths.iter().map(String::as_str).enumerate().collect();
        let mut search = Search {
            values: vec![None; self.paths.len()],
            duplicate: None,
        };
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let seed = Value {
            fields: &[],
            below: &wanted,
            search: &mut search,
        };
        let found = seed
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end());
        if let Err(error) = found {
            let text = error.to_string();
            let text = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(message, _)| message);
            return Err((
                Bad::new("json", format!("not valid JSON: {text}")),
                error.column().saturating_sub(1),
            ));
        }
        if let Some(index) = search.duplicate {
            let message = format!("the field `{}` occurs twice", self.paths[index]);
            return Err((Bad::new("duplicate_field", message), 0));
        }
        Ok(search.values)
    }
}

/// The state of one search.
struct Search<'a> {
    values: Values<'a>,
    duplicate: Option<usize>,
}

/// A value that belongs to `fields`, and below which `below` are looked for.
struct Value<'s, 'p, 'a> {
    fields: &'s [usize],
    below: &'s [Wanted<'p>],
    search: &'s mut Search<'a>,
}

impl<'a> Value<'_, '_, 'a> {
    fn found(self, value: Scalar<'a>) {
        for &index in self.fields {
            if self.search.values[index].replace(value.clone()).is_some() {
                self.search.duplicate = Some(index);
            }
        }
    }
}

impl<'a> DeserializeSeed<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.found(Scalar::String(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found(Scalar::String(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found(Scalar::Integer(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found(i64::try_from(value).map_or(Scalar::Unsigned(value), Scalar::Integer));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found(Scalar::Float(value));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found(Scalar::Boolean(value));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found(Scalar::Null);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        self.found(Scalar::Nested);
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key_seed(Key(self.below))? {
            match key {
                Matches::Nothing => {
                    object.next_value::<IgnoredAny>()?;
                }
                Matches::Field(index) => {
                    let value = Value {
                        fields: &[index],
                        below: &[],
                        search: &mut *self.search,
                    };
                    object.next_value_seed(value)?;
                }
                Matches::Several { fields, below } => {
                    let value = Value {
                        fields: &fields,
                        below: &below,
                        search: &mut *self.search,
                    };
                    object.next_value_seed(value)?;
                }
            }
        }
        self.found(Scalar::Nested);
        Ok(())
    }
}

/// What a key of an object leads to.
enum Matches<'p> {
    Nothing,
    /// One field and no path below: the common case, kept free of allocations.
    Field(usize),
    Several {
        fields: Vec<usize>,
        below: Vec<Wanted<'p>>,
    },
}

/// Reads a key and compares it with the paths that are looked for.
struct Key<'s, 'p>(&'s [Wanted<'p>]);

impl<'a, 'p> DeserializeSeed<'a> for Key<'_, 'p> {
    type Value = Matches<'p>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Matches<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a, 'p> Visitor<'a> for Key<'_, 'p> {
    type Value = Matches<'p>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Matches<'p>, E> {
        let mut matches = Matches::Nothing;
        for &(index, path) in self.0 {
            let Some(rest) = path.strip_prefix(key) else {
                continue;
            };
            if rest.is_empty() {
                matches = match matches {
                    Matches::Nothing => Matches::Field(index),
                    Matches::Field(first) => Matches::Several {
                        fields: vec![first, index],
                        below: vec![],
                    },
                    Matches::Several { mut fields, below } => {
                        fields.push(index);
                        Matches::Several { fields, below }
                    }
                };
            } else if let Some(rest) = rest.strip_prefix('.') {
                let (fields, mut below) = match matches {
                    Matches::Nothing => (vec![], vec![]),
                    Matches::Field(first) => (vec![first], vec![]),
                    Matches::Several { fields, below } => (fields, below),
                };
                below.push((index, rest));
                matches = Matches::Several { fields, below };
            }
        }
        Ok(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(paths: &[&str], line: &'a str) -> Result<Values<'a>, &'static str> {
        let fields = Fields::new(paths.iter().map(|&path| path.to_owned()));
        fields.find(line).map_err(|(bad, _)| bad.reason)
    }

    fn text(line: &str) -> Result<Option<Scalar<'_>>, &'static str> {
        find(&["text"], line).map(|values| values.into_iter().next().unwrap())
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        assert!(matches!(
            text(r#"{"a":1,"text":"plain"}"#),
            Ok(Some(Scalar::String(Cow::Borrowed("plain"))))
        ));
        assert!(
            matches!(text(r#"{"text":"a\nb"}"#), Ok(Some(Scalar::String(Cow::Owned(text)))) if text == "a\nb")
        );
        assert!(matches!(
            text(r#"{"t\u0065xt":"x"}"#),
            Ok(Some(Scalar::String(Cow::Borrowed("x"))))
        ));
    }

    #[test]
    fn a_dotted_path_matches_nested_objects_and_literal_keys() {
        let one = |line| find(&["a.b.c"], line).map(|values| values[0].clone());
        for line in [
            r#"{"a":{"b":{"c":7}}}"#,
            r#"{"a.b":{"c":7}}"#,
            r#"{"a":{"b.c":7}}"#,
            r#"{"a.b.c":7}"#,
        ] {
            assert_eq!(one(line), Ok(Some(Scalar::Integer(7))), "{line}");
        }
        assert_eq!(one(r#"{"a":{"b":5},"ab.c":1,"a.b.cd":2}"#), Ok(None));
        assert_eq!(
            one(r#"{"a":{"b":{"c":7}},"a.b":{"c":8}}"#),
            Err("duplicate_field")
        );
    }

    #[test]
    fn one_value_serves_several_fields() {
        let values = find(&["a", "a.b", "a"], r#"{"a":{"b":1.5}}"#).unwrap();
        assert_eq!(
            values,
            [
                Some(Scalar::Nested),
                Some(Scalar::Float(1.5)),
                Some(Scalar::Nested)
            ]
        );
    }

    #[test]
    fn fields_that_nobody_asked_for_are_not_parsed() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for ignored in ["1e999", "123456789012345678901234567890", r#""\ud800""#, &deep] {
            let line = format!(r#"{{"x":{ignored},"text":"t"}}"#);
            assert_eq!(
                text(&line),
                Ok(Some(Scalar::String("t".into()))),
                "{}",
                &line[..30.min(line.len())]
            );
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_refused() {
        for (line, reason) in [
            (r#"{"text":"a"} x"#, "json"),
            (r#"{"text":"a""#, "json"),
            (r#"{"text":"a\ud800"}"#, "json"),
            (r#"{"x":NaN,"text":"a"}"#, "json"),
            (r#"["text"]"#, "not_an_object"),
            (r#"{"text":"a","text":"b"}"#, "duplicate_field"),
        ] {
            assert_eq!(text(line), Err(reason), "{line}");
        }
        let bomb = r#"{"text":"#.to_owned() + &"[".repeat(1_000_000);
        assert_eq!(text(&bomb), Err("json"));
    }
}
