//! The recipe: the YAML a user writes, as types, checked before anything is read.
//!
//! A recipe is checked in three stages, and each reports everything it finds: the text must be plain
//! YAML (`yaml`), its keys and values must be those of the types (`schema`, `walk`), and they must make sense
//! together (`check`). A later stage runs only when the earlier one is satisfied, so that one mistake
//! is not reported twice. `meaning` gives the identity of a recipe, `report` draws the findings.
//!
//! The stages serve every kind of recipe ([`Written`]); the types here are those of the recipe that
//! says what to pack.

mod check;
mod condition;
mod excerpt;
mod findings;
mod hint;
mod meaning;
mod report;
mod schema;
mod template;
mod types;
mod walk;
mod written;
mod yaml;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value as Json;

pub(crate) use self::condition::looks_at_several_rows;
pub(crate) use self::findings::{Findings, Step};
pub use self::meaning::{canonical_json, difference, digest, digest_of, meaning};
pub(crate) use self::meaning::{remove, sorted};
pub(crate) use self::report::Code;
pub(crate) use self::schema::generate;
pub use self::template::template;
pub use self::types::*;
pub use self::written::Loaded;
pub(crate) use self::written::{Written, load_as, parse_as};
use crate::error::Result;

/// A checked recipe of what to pack, and where it was found.
pub type LoadedRecipe = Loaded<Recipe>;

impl Recipe {
    /// The dataset's name: as in the recipe, else the recipe's file name without extension.
    pub fn name_or(&self, path: &Path) -> String {
        let stem = || {
            path.file_stem()
                .map_or("recipe".into(), |stem| stem.to_string_lossy())
        };
        self.name.clone().unwrap_or_else(|| stem().into_owned())
    }
}

impl Written for Recipe {
    const START: &'static str = "`ultrapack init` writes a commented recipe to start from";

    fn schema() -> &'static Json {
        static SCHEMA: OnceLock<Json> = OnceLock::new();
        SCHEMA.get_or_init(|| generate::<Self>("recipe", "Ultrapack recipe"))
    }

    fn check(&self, findings: &mut Findings<'_>) {
        check::check(self, findings);
    }
}

/// The JSON Schema (draft 2020-12) of version 1 of the recipe.
///
/// `schemas/recipe.schema.json` is this value, for editors.
pub fn schema() -> Json {
    Recipe::schema().clone()
}

/// Reads and checks a recipe. `color` is whether findings are rendered with terminal colours.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if the file cannot be read,
/// [`Error::Recipe`](crate::error::Error::Recipe) with all errors if it is wrong.
pub fn load(path: &Path, color: bool) -> Result<LoadedRecipe> {
    load_as(path, color)
}

/// Checks the text of a recipe; `path` is where it stands, for messages and relative paths.
///
/// # Errors
/// [`Error::Recipe`](crate::error::Error::Recipe) with all errors.
pub fn parse(text: &str, path: &Path, color: bool) -> Result<LoadedRecipe> {
    parse_as(text, path, color)
}

#[cfg(test)]
mod tests;
