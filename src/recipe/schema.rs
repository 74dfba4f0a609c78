//! The JSON Schema of recipes, generated from the types.
//!
//! The types stay the only description of the keys: `walk` holds recipes against this schema, and
//! `schemas/recipe.schema.json` is its checked-in form for editors.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::types::Recipe;

/// The JSON Schema (draft 2020-12) of version 1 of the recipe.
///
/// `schemas/recipe.schema.json` is this value, for editors.
pub fn schema() -> Json {
    cached().clone()
}

pub(super) fn cached() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let generated = SchemaSettings::draft2020_12()
            .into_generator()
            .into_root_schema_for::<Recipe>();
        let mut schema = Map::new();
        for (key, value) in generated
            .as_object()
            .expect("the schema of a struct is an object")
        {
            schema.insert(key.clone(), value.clone());
            if key == "$schema" {
                schema.insert("$id".into(), "urn:ultrapack:schema:recipe:1".into());
                schema.insert("version".into(), 1.into());
            }
        }
        schema.insert("title".into(), "Ultrapack recipe".into());
        Json::Object(schema)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::schema;

    #[test]
    fn the_checked_in_recipe_schema_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/recipe.schema.json");
        let expected = serde_json::to_string_pretty(&schema()).expect("a schema is JSON") + "\n";
        if std::env::var_os("ULTRAPACK_UPDATE_SCHEMAS").is_some() {
            std::fs::create_dir_all(file.parent().expect("the file is in a folder"))
                .expect("the folder can be made");
            std::fs::write(&file, &expected).expect("the schema can be written");
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == expected,
            "run `ULTRAPACK_UPDATE_SCHEMAS=1 cargo test schema` and commit {}",
            file.display()
        );
    }
}
