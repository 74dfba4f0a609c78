//! The JSON Schema of a kind of recipe, generated from its types.
//!
//! The types stay the only description of the keys: `walk` holds recipes against the schema, and the
//! files in `schemas/` are its checked-in form for editors.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

/// The JSON Schema (draft 2020-12) of `T` as version 1 of the recipes called `name`.
pub(crate) fn generate<T: JsonSchema>(name: &str, title: &str) -> Json {
    let generated = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    let mut schema = Map::new();
    for (key, value) in generated
        .as_object()
        .expect("the schema of a struct is an object")
    {
        schema.insert(key.clone(), value.clone());
        if key == "$schema" {
            schema.insert("$id".into(), format!("urn:ultrapack:schema:{name}:1").into());
            schema.insert("version".into(), 1.into());
        }
    }
    schema.insert("title".into(), title.into());
    Json::Object(schema)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::recipe::schema;

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
