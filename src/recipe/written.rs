//! What every kind of recipe goes through, from the file to checked types.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::findings::Findings;
use super::report::{Code, Diagnostic, Renderer, Severity, Span};
use super::walk;
use super::yaml::{self, Node, Value};
use crate::error::{Error, Result};

/// A kind of recipe: its types, their schema, and the rules between its keys.
pub(crate) trait Written: DeserializeOwned {
    /// Where to find a recipe of this kind to start from, for whoever wrote an empty one.
    const START: &'static str;

    /// The JSON Schema that is generated from the types.
    fn schema() -> &'static serde_json::Value;

    /// Adds what the schema cannot say: rules between keys.
    fn check(&self, findings: &mut Findings<'_>);
}

/// A checked recipe and where it was found.
#[derive(Debug, Clone)]
pub struct Loaded<R> {
    /// What it says.
    pub recipe: R,
    /// The file it was read from, as given.
    pub path: PathBuf,
    /// The directory that the recipe's relative paths refer to: the one that holds it.
    pub base: PathBuf,
    /// What is suspicious but not wrong, rendered like errors.
    pub warnings: Vec<String>,
}

/// Reads and checks a recipe. `color` is whether findings are rendered with terminal colours.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Recipe`] with all errors if it is wrong.
pub(crate) fn load_as<R: Written>(path: &Path, color: bool) -> Result<Loaded<R>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    // One byte more than allowed, so that a longer file is noticed without being read.
    file.take(yaml::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    match String::from_utf8(bytes) {
        Ok(text) => parse_as(&text, path, color),
        // A file that is too long may have been cut inside a character; its length is the news.
        Err(error) if error.as_bytes().len() > yaml::MAX_BYTES => {
            parse_as(&String::from_utf8_lossy(error.as_bytes()), path, color)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let message = format!(
                "the recipe is not UTF-8 text: byte 0x{:02x} at offset {at}",
                error.as_bytes()[at]
            );
            let text = String::from_utf8_lossy(error.as_bytes());
            let finding = Diagnostic::new(Code::NotUtf8, Span { start: at, end: at }, message);
            Err(refused(
                &text,
                path,
                color,
                &[finding.label("save the file as UTF-8")],
            ))
        }
    }
}

/// Checks the text of a recipe; `path` is where it stands, for messages and relative paths.
///
/// # Errors
/// [`Error::Recipe`] with all errors.
pub(crate) fn parse_as<R: Written>(text: &str, path: &Path, color: bool) -> Result<Loaded<R>> {
    let (recipe, warnings) = checked(text).map_err(|errors| refused(text, path, color, &errors))?;
    let renderer = Renderer::new(text, path, color);
    let warnings = warnings
        .iter()
        .map(|warning| renderer.render(warning, Severity::Warning))
        .collect();
    let base = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(Loaded {
        recipe,
        path: path.to_owned(),
        base,
        warnings,
    })
}

/// The recipe and its warnings, or everything that is wrong with it.
fn checked<R: Written>(text: &str) -> Result<(R, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let Some(root) = yaml::parse(text, R::START, &mut errors) else {
        return Err(errors);
    };
    walk::check(R::schema(), &root, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let recipe: R = serde_json::from_value(json(&root)).map_err(|error| {
        let message = format!("the schema accepts this recipe, the types do not: {error}");
        vec![Diagnostic::new(Code::Bug, root.head(), message).label("this is a bug in Ultrapack")]
    })?;
    let mut findings = Findings::new(&root);
    recipe.check(&mut findings);
    if findings.errors.is_empty() {
        Ok((recipe, findings.warnings))
    } else {
        Err(findings.errors)
    }
}

fn refused(text: &str, path: &Path, color: bool, errors: &[Diagnostic]) -> Error {
    let report = Renderer::new(text, path, color).report(errors);
    Error::Recipe {
        path: path.to_owned(),
        n_errors: errors.len(),
        report,
    }
}

/// A tree that the schema accepted, as JSON.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null | Value::Reported => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            // Only a key that takes any number gets here.
            _ => (*value as f64).into(),
        },
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.clone().into(),
        Value::Seq(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, node)| (key.name.clone(), json(node)))
            .collect(),
    }
}
