//! The recipe that `ultrapack init` writes.

/// A commented recipe with the keys that are used most, each at its default.
///
/// It is valid as it stands; the paths are to be edited. A key behind `#` without a space after it
/// is one that may be switched on as it is.
pub fn template() -> &'static str {
    include_str!("template.yaml")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::template;
    use crate::recipe::{Limits, Pack, Shards, Text, parse};

    #[test]
    fn the_template_is_a_valid_recipe_that_shows_the_defaults() {
        let loaded = parse(template(), Path::new("recipe.yaml"), false).expect("the template is a recipe");
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let recipe = loaded.recipe;
        assert_eq!(
            recipe.pack,
            Pack {
                eod: recipe.pack.eod,
                ..Pack::default()
            }
        );
        assert_eq!((recipe.text, recipe.limits), (Text::default(), Limits::default()));
        assert_eq!((recipe.shards, recipe.seed), (Shards::default(), 0));
    }

    #[test]
    fn every_key_that_the_template_has_behind_a_comment_sign_can_be_switched_on() {
        let lines: Vec<&str> = template().lines().collect();
        let mut n_switched = 0;
        for (index, line) in lines.iter().enumerate() {
            let bare = line.trim_start();
            let Some(setting) = bare
                .strip_prefix('#')
                .filter(|rest| rest.starts_with(char::is_alphabetic))
            else {
                continue;
            };
            let indent = &line[..line.len() - bare.len()];
            let switched = format!("{indent}{setting}");
            let mut edited = lines.clone();
            edited[index] = &switched;
            let outcome = parse(&edited.join("\n"), Path::new("recipe.yaml"), false);
            assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
            n_switched += 1;
        }
        assert!(n_switched >= 8, "the template shows {n_switched} optional keys");
    }
}
