//! The walk that holds a recipe against its JSON Schema.
//!
//! It knows exactly the keywords that the generator emits for our types (a test checks that it knows
//! all), reports every violation instead of the first, and says what would have been right.

use regex::Regex;
use serde_json::{Map, Value as Json};

use super::hint::{Kind, did_you_mean, found, instead};
use super::report::{Code, Diagnostic, Span, quoted};
use super::yaml::{Key, Node, Value};

/// Adds an error for everything in the tree that the schema does not allow.
pub(super) fn check(root_schema: &Json, root: &Node, errors: &mut Vec<Diagnostic>) {
    let top = Site {
        path: String::new(),
        span: root.head(),
    };
    Walk {
        root: root_schema,
        errors,
    }
    .walk(root_schema, root, &top);
}

/// What the walk looks at: the path for messages, and where an error about all of it is shown.
struct Site {
    path: String,
    span: Span,
}

impl Site {
    fn named(&self) -> String {
        if self.path.is_empty() {
            "the recipe".into()
        } else {
            quoted(&self.path)
        }
    }

    fn key(&self, key: &Key) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self {
            path: format!("{}{dot}{}", self.path, key.name),
            span: key.span,
        }
    }

    fn item(&self, index: usize, item: &Node) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            span: item.head(),
        }
    }
}

struct Walk<'a> {
    root: &'a Json,
    errors: &'a mut Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    fn resolve(&self, schema: &'a Json) -> &'a Json {
        match schema.get("$ref").and_then(Json::as_str) {
            Some(target) => {
                let pointer = target.strip_prefix('#').expect("references stay in the document");
                self.resolve(self.root.pointer(pointer).expect("references have a target"))
            }
            None => schema,
        }
    }

    fn walk(&mut self, schema: &'a Json, node: &Node, site: &Site) {
        let schema = self.resolve(schema);
        if matches!(node.value, Value::Reported) {
            return;
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Json::as_array) {
            // The alternatives of our types differ in type, so at most one fits.
            match alternatives
                .iter()
                .find(|one| self.kinds(one).iter().any(|kind| kind.fits(&node.value)))
            {
                Some(one) => self.walk(one, node, site),
                None => self.wrong_type(schema, node, site),
            }
            return;
        }
        if !self.kinds(schema).iter().any(|kind| kind.fits(&node.value)) {
            return self.wrong_type(schema, node, site);
        }
        match &node.value {
            Value::String(text) => self.walk_string(schema, text, node, site),
            Value::Int(int) => self.walk_integer(schema, *int, node, site),
            Value::Float(float) => self.walk_number(schema, *float, node, site),
            Value::Seq(items) => self.walk_list(schema, items, site),
            Value::Map(entries) => self.walk_mapping(schema, entries, site),
            Value::Null | Value::Bool(_) | Value::Reported => {}
        }
    }

    fn walk_string(&mut self, schema: &'a Json, text: &str, node: &Node, site: &Site) {
        let allowed = choices(schema);
        if !allowed.is_empty() && !allowed.contains(&text) {
            let message = format!("{} cannot be {}", site.named(), quoted(text));
            let error = Diagnostic::new(Code::NotAllowed, node.span, message);
            self.errors
                .push(error.label(did_you_mean(text, &allowed)).allowed(&allowed));
        }
        let shortest = schema.get("minLength").and_then(Json::as_u64).unwrap_or(0);
        if (text.chars().count() as u64) < shortest {
            let message = format!("{} must not be empty", site.named());
            self.errors.push(Diagnostic::new(Code::Form, node.span, message));
        } else if let Some(pattern) = schema.get("pattern").and_then(Json::as_str) {
            let regex = Regex::new(pattern).expect("the patterns of our types compile");
            if !regex.is_match(text) {
                let message = format!("{} cannot be {}", site.named(), quoted(text));
                let error = describe(Diagnostic::new(Code::Form, node.span, message), None, schema);
                self.errors.push(error.note(format!("pattern: {pattern}")));
            }
        }
    }

    fn walk_integer(&mut self, schema: &'a Json, int: i128, node: &Node, site: &Site) {
        let kinds = self.kinds(schema);
        if !kinds.contains(&Kind::Integer) {
            return self.walk_number(schema, int as f64, node, site);
        }
        if let Some(what) = out_of_bounds(schema, int) {
            let message = format!("{} must be {what}, found {int}", site.named());
            self.errors
                .push(Diagnostic::new(Code::OutOfRange, node.span, message));
        }
    }

    fn walk_number(&mut self, schema: &'a Json, number: f64, node: &Node, site: &Site) {
        let bound = |key| schema.get(key).and_then(Json::as_f64);
        let what = match (bound("minimum"), bound("maximum")) {
            _ if !number.is_finite() => "a finite number".to_owned(),
            (Some(min), Some(max)) if number < min || number > max => format!("between {min} and {max}"),
            (Some(min), None) if number < min => format!("at least {min}"),
            (None, Some(max)) if number > max => format!("at most {max}"),
            _ => return,
        };
        let message = format!("{} must be {what}, found {number}", site.named());
        self.errors
            .push(Diagnostic::new(Code::OutOfRange, node.span, message));
    }

    fn walk_list(&mut self, schema: &'a Json, items: &[Node], site: &Site) {
        let fewest = schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < fewest {
            let message = format!("{} is empty", site.named());
            let error = Diagnostic::new(Code::OutOfRange, site.span, message);
            self.errors.push(error.label(format!("at least {fewest} needed")));
        }
        if let Some(schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.walk(schema, item, &site.item(index, item));
            }
        }
    }

    fn walk_mapping(&mut self, schema: &'a Json, entries: &[(Key, Node)], site: &Site) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        for (key, node) in entries {
            match (
                properties.and_then(|properties| properties.get(&key.name)),
                others,
            ) {
                (Some(schema), _) | (None, Some(schema @ Json::Object(_))) => {
                    self.walk(schema, node, &site.key(key));
                }
                _ => self.unknown_key(properties, key, site),
            }
        }
        for name in schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let name = name.as_str().expect("`required` lists names");
            if !entries.iter().any(|(key, _)| key.name == name) {
                let message = format!("missing key `{name}` in {}", site.named());
                let error = Diagnostic::new(Code::MissingKey, site.span, message);
                self.errors.push(match properties.and_then(|all| all.get(name)) {
                    Some(property) => describe(error, Some(name), property),
                    None => error,
                });
            }
        }
    }

    fn unknown_key(&mut self, properties: Option<&'a Map<String, Json>>, key: &Key, site: &Site) {
        let allowed: Vec<&str> = properties
            .into_iter()
            .flat_map(|all| all.keys().map(String::as_str))
            .collect();
        let label = match did_you_mean(&key.name, &allowed) {
            label if label.is_empty() => match self.home_of(&key.name) {
                Some(home) => format!("`{}` belongs to {home}", key.name),
                None => label,
            },
            label => label,
        };
        let message = format!("unknown key {} in {}", quoted(&key.name), site.named());
        self.errors.push(
            Diagnostic::new(Code::UnknownKey, key.span, message)
                .label(label)
                .allowed(&allowed),
        );
    }

    /// The mapping that a key would be right in, if there is exactly one.
    fn home_of(&self, key: &str) -> Option<String> {
        let top = self.root.get("properties")?.as_object()?;
        let mut homes = top.iter().filter_map(|(name, schema)| {
            let schema = self.resolve(schema);
            let item = schema
                .get("items")
                .or_else(|| schema.get("anyOf")?.get(0))
                .unwrap_or(schema);
            self.resolve(item).get("properties")?.get(key)?;
            Some(if schema.get("items").is_some() {
                format!("each of `{name}`")
            } else {
                format!("`{name}`")
            })
        });
        let home = if top.contains_key(key) {
            Some("the top level".into())
        } else {
            homes.next()
        };
        home.filter(|_| homes.next().is_none())
    }

    fn wrong_type(&mut self, schema: &'a Json, node: &Node, site: &Site) {
        let kinds = self.kinds(schema);
        let wanted: Vec<&str> = kinds
            .iter()
            .filter(|kind| **kind != Kind::Null)
            .map(|kind| kind.name())
            .collect();
        let wanted = wanted.join(" or ");
        let message = format!("{} must be {wanted}, found {}", site.named(), found(&node.value));
        // Nothing stands where the value is missing, so the key is shown.
        let empty = node.span.start == node.span.end;
        let span = if empty { site.span } else { node.span };
        let error = Diagnostic::new(Code::WrongType, span, message).label(instead(&kinds, &node.value));
        self.errors.push(error.allowed(&choices(schema)));
    }

    fn kinds(&self, schema: &'a Json) -> Vec<Kind> {
        let schema = self.resolve(schema);
        let mut kinds = Vec::new();
        for one in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten() {
            kinds.extend(self.kinds(one));
        }
        match schema.get("type") {
            Some(Json::Array(names)) => kinds.extend(names.iter().filter_map(Kind::of)),
            Some(name) => kinds.extend(Kind::of(name)),
            None if !choices(schema).is_empty() => kinds.push(Kind::String),
            None => {}
        }
        kinds
    }
}

/// Adds what the documentation of the types says about a key.
fn describe(error: Diagnostic, key: Option<&str>, schema: &Json) -> Diagnostic {
    let Some(text) = schema.get("description").and_then(Json::as_str) else {
        return error;
    };
    let text = text.replace('\n', " ");
    error.note(match key {
        Some(key) => format!("{key}: {text}"),
        None => text,
    })
}

/// The strings that an enum allows, in the order of the type.
fn choices(schema: &Json) -> Vec<&str> {
    let mut out: Vec<&str> = schema.get("const").and_then(Json::as_str).into_iter().collect();
    out.extend(
        schema
            .get("enum")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str),
    );
    for one in schema.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
        out.extend(choices(one));
    }
    out
}

/// What an integer must be, if it is not. A `format` implies the bounds of its Rust type.
fn out_of_bounds(schema: &Json, int: i128) -> Option<String> {
    let bound = |key| {
        schema
            .get(key)
            .and_then(|bound| bound.as_u64().map(i128::from).or(bound.as_i64().map(i128::from)))
    };
    let highest = match schema.get("format").and_then(Json::as_str) {
        Some("uint32") => i128::from(u32::MAX),
        _ => i128::from(u64::MAX),
    };
    let min = bound("minimum").unwrap_or(0);
    match bound("maximum") {
        _ if (min..=bound("maximum").unwrap_or(highest)).contains(&int) => None,
        Some(max) if min == max => Some(min.to_string()),
        Some(max) => Some(format!("between {min} and {max}")),
        None if int < min => Some(format!("at least {min}")),
        None => Some(format!("at most {highest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every keyword that changes what a schema allows, found anywhere in the generated schema.
    fn keywords(schema: &Json, out: &mut Vec<String>) {
        let Json::Object(map) = schema else { return };
        for (key, value) in map {
            out.push(key.clone());
            match key.as_str() {
                "properties" | "$defs" => value
                    .as_object()
                    .into_iter()
                    .flat_map(Map::values)
                    .for_each(|one| keywords(one, out)),
                "oneOf" | "anyOf" => value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|one| keywords(one, out)),
                "items" | "additionalProperties" => keywords(value, out),
                _ => {}
            }
        }
    }

    #[test]
    fn the_walk_knows_every_keyword_of_the_schema() {
        let known = [
            "$schema",
            "$id",
            "version",
            "title",
            "description",
            "default",
            "format",
            "$ref",
            "$defs",
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "minItems",
            "minimum",
            "maximum",
            "pattern",
            "minLength",
            "oneOf",
            "anyOf",
            "const",
            "enum",
        ];
        let mut found = Vec::new();
        keywords(&crate::recipe::schema(), &mut found);
        found.retain(|key| !known.contains(&key.as_str()));
        assert!(found.is_empty(), "the walk ignores {found:?}");
    }

    #[test]
    fn the_format_of_an_integer_bounds_it_too() {
        let schema = serde_json::json!({"format": "uint32", "minimum": 1});
        assert_eq!(out_of_bounds(&schema, i128::from(u32::MAX)), None);
        assert_eq!(
            out_of_bounds(&schema, 1 << 32).as_deref(),
            Some("at most 4294967295")
        );
        assert_eq!(out_of_bounds(&schema, 0).as_deref(), Some("at least 1"));
    }
}
