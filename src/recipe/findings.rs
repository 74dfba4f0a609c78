//! What the rules of a kind of recipe find, each with the place of the key it is about.

use super::report::{Code, Diagnostic, Span};
use super::yaml::{Node, Value};

/// Errors and warnings about a recipe whose keys and values are already those of its types.
pub(crate) struct Findings<'a> {
    pub(super) root: &'a Node,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// One step into the recipe's text.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// The value of a key.
    Key(&'a str),
    /// An item of a list.
    Item(usize),
}
use Step::{Item, Key};

impl<'a> Findings<'a> {
    pub(super) fn new(root: &'a Node) -> Self {
        Self {
            root,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds an error about the value at a path; `label` is the remedy, in a few words.
    pub(crate) fn error(
        &mut self,
        code: Code,
        path: &[Step<'_>],
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        let span = self.span(path);
        self.errors
            .push(Diagnostic::new(code, span, message).label(label));
    }

    /// Warns that a key of a section has no effect unless `used`, which `when` describes.
    pub(crate) fn without_effect(&mut self, section: &str, key: &str, used: bool, when: &str) {
        if !used && self.given(section, key) {
            let message = format!("`{section}.{key}` has no effect without {when}");
            let span = self.span(&[Key(section), Key(key)]);
            self.warnings.push(Diagnostic::new(Code::NoEffect, span, message));
        }
    }

    /// Adds an error unless the path at `place` can be one of the local file system.
    pub(crate) fn local_path(&mut self, place: &[Step<'_>], path: &str) {
        if path.is_empty() || path.contains('\0') {
            let message = "the path is empty or holds a NUL character";
            self.error(Code::NotLocal, place, message, "");
        } else if is_url(path) {
            let message = format!("{} is not a local path", super::report::quoted(path));
            let label = "download it first: only local files are read and written";
            self.error(Code::NotLocal, place, message, label);
        }
    }

    /// Where the value at a path stands; if it is left to its default, the nearest thing around it.
    pub(super) fn span(&self, path: &[Step<'_>]) -> Span {
        let (mut node, mut span) = (self.root, self.root.head());
        for step in path {
            let next = match (step, &node.value) {
                (Key(name), _) => node.get(name).map(|(key, node)| (node, key.span)),
                (Item(index), Value::Seq(items)) => items.get(*index).map(|item| (item, item.head())),
                (Item(_), _) => None,
            };
            let Some((next, at)) = next else { return span };
            // A collection is shown by its key, everything else by its value.
            span = match &next.value {
                Value::Seq(_) | Value::Map(_) => at,
                _ => next.span,
            };
            node = next;
        }
        span
    }

    /// Whether the recipe's text holds the key.
    pub(crate) fn given(&self, section: &str, key: &str) -> bool {
        self.root
            .get(section)
            .is_some_and(|(_, node)| node.get(key).is_some())
    }
}

/// Whether a path names a place on the network: `SCHEME://…`.
fn is_url(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}
