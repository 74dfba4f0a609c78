//! The `where` of a source: a SQL condition over its metadata columns.
//!
//! A condition must give the same answer for a document whatever other documents it is read with,
//! or the output would depend on how files are cut into batches. So aggregates, window functions and
//! everything else that looks at several rows are refused. Names and types are checked by running
//! the condition over no rows at all.

use std::collections::BTreeMap;

use polars::prelude::{
    AggExpr, BooleanFunction, Column, DataFrame, DataType, Expr, FunctionExpr, IntoLazy as _, PlSmallStr,
    PolarsError, StringFunction,
};
use polars::sql::sql_expr;

use super::types::MetadataType;
use crate::guard::with_deep_stack;

/// Longest condition, in bytes. It bounds the depth of the parsed expression, which is walked by
/// recursion.
const MAX_BYTES: usize = 4096;

/// What is wrong with a condition, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub message: String,
    pub hint: String,
}

fn problem(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem {
        message: message.into(),
        hint: hint.into(),
    }
}

/// Checks a condition against the columns that the source declares.
pub(super) fn check(sql: &str, metadata: &BTreeMap<String, MetadataType>) -> Result<(), Problem> {
    if sql.len() > MAX_BYTES {
        return Err(problem(
            format!("the condition is longer than {MAX_BYTES} bytes"),
            "",
        ));
    }
    with_deep_stack(|| check_parsed(sql, metadata))
}

fn check_parsed(sql: &str, metadata: &BTreeMap<String, MetadataType>) -> Result<(), Problem> {
    let expr =
        sql_expr(sql).map_err(|error| problem(format!("not a SQL condition: {}", reason(&error)), ""))?;
    for name in expr.clone().meta().root_names() {
        check_column(&name, sql, metadata)?;
    }
    if let Some(what) = expr.into_iter().find_map(looks_at_several_rows) {
        let hint = "a condition is decided for each document alone";
        return Err(problem(format!("the condition uses {what}"), hint));
    }
    let columns = metadata
        .iter()
        .map(|(name, kind)| Column::new_empty(name.as_str().into(), &data_type(*kind)));
    let probe = DataFrame::new(0, columns.collect()).expect("the names of a map are unique");
    let answer = probe
        .lazy()
        .select([expr.alias(PlSmallStr::from_static("answer"))])
        .collect();
    let answer = answer.and_then(|frame| Ok(frame.column("answer")?.dtype().clone()));
    match answer {
        Ok(DataType::Boolean) => Ok(()),
        Ok(other) => {
            let message = format!("the condition gives {other}, not true or false");
            Err(problem(message, "compare it with something"))
        }
        Err(error) => Err(problem(
            format!("the condition does not work: {}", reason(&error)),
            "",
        )),
    }
}

/// The start of an engine error; what follows repeats the condition or shows the engine's plan.
fn reason(error: &PolarsError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(160)
        .collect()
}

fn check_column(name: &str, sql: &str, metadata: &BTreeMap<String, MetadataType>) -> Result<(), Problem> {
    if metadata.contains_key(name) {
        return Ok(());
    }
    let dotted = metadata
        .keys()
        .find(|key| key.split('.').next() == Some(name) && sql.contains(key.as_str()));
    let hint = match dotted {
        Some(key) => format!("put the name of the column in double quotes: \"{key}\""),
        None if metadata.is_empty() => "declare it: metadata: {NAME: TYPE}".to_owned(),
        None => format!(
            "declared: {}",
            metadata.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
        ),
    };
    Err(problem(
        format!("`{name}` is not among the metadata columns of this source"),
        hint,
    ))
}

fn data_type(kind: MetadataType) -> DataType {
    match kind {
        MetadataType::String => DataType::String,
        MetadataType::Integer => DataType::Int64,
        MetadataType::Float => DataType::Float64,
        MetadataType::Boolean => DataType::Boolean,
    }
}

/// Says what in a node of an expression looks at more than one row, or is not known not to.
pub(crate) fn looks_at_several_rows(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Alias(..)
        | Expr::Column(_)
        | Expr::Literal(_)
        | Expr::BinaryExpr { .. }
        | Expr::Cast { .. }
        | Expr::Ternary { .. } => None,
        // The list of `x IN (…)`.
        Expr::Agg(AggExpr::Implode { input, .. }) if matches!(**input, Expr::Literal(_)) => None,
        Expr::Agg(_) | Expr::Len => Some("an aggregate"),
        Expr::Over { .. } => Some("a window function"),
        Expr::Function { function, .. } if is_per_row(function) => None,
        _ => Some("something that is not a plain comparison or function"),
    }
}

/// Whether a function decides each row from that row alone. A list of those known to, because a new
/// function of the engine must not become usable by accident.
fn is_per_row(function: &FunctionExpr) -> bool {
    use BooleanFunction as B;
    use FunctionExpr as F;
    match function {
        F::StringExpr(function) => !matches!(function, StringFunction::ConcatVertical { .. }),
        F::Boolean(function) => matches!(
            function,
            B::IsNull
                | B::IsNotNull
                | B::IsFinite
                | B::IsInfinite
                | B::IsNan
                | B::IsNotNan
                | B::IsBetween { .. }
                | B::IsIn { .. }
                | B::AllHorizontal
                | B::AnyHorizontal
                | B::Not
        ),
        F::Abs | F::Negate | F::Pow(_) | F::Sign | F::Log | F::Log1p | F::Exp => true,
        F::Round { .. } | F::Truncate { .. } | F::Floor | F::Ceil => true,
        F::Coalesce | F::FillNull | F::MaxHorizontal | F::MinHorizontal => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> BTreeMap<String, MetadataType> {
        [
            ("lang", MetadataType::String),
            ("meta.score", MetadataType::Float),
            ("year", MetadataType::Integer),
        ]
        .map(|(name, kind)| (name.to_owned(), kind))
        .into()
    }

    #[test]
    fn conditions_over_declared_columns_are_accepted() {
        for sql in [
            "lang = 'en'",
            "lang IN ('en', 'de') AND \"meta.score\" >= 0.5",
            "year BETWEEN 1990 AND 2000 OR year IS NULL",
            "lang LIKE 'e%' AND NOT starts_with(lang, 'x')",
            "upper(lang) = 'EN' AND coalesce(year, 0) > 1 AND abs(year) < 3000",
            "CASE WHEN year > 2000 THEN lang = 'en' ELSE false END",
            "CAST(year AS DOUBLE) > \"meta.score\"",
        ] {
            assert_eq!(check(sql, &columns()), Ok(()), "{sql}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        for (sql, reason) in [
            ("", "not a SQL condition"),
            ("lang = ", "not a SQL condition"),
            ("lang = 'en'; drop table x", "not a SQL condition"),
            ("year > (SELECT 1)", "not a SQL condition"),
            ("langage = 'en'", "not among the metadata columns"),
            ("meta.score > 1", "not among the metadata columns"),
            ("year", "gives i64"),
            ("lang > 5", "does not work"),
            ("regexp_like(lang, '(')", "does not work"),
            ("max(year) > 3", "an aggregate"),
            ("count(*) > 3", "an aggregate"),
            ("row_number() > 1", "not a plain comparison"),
            ("lag(year) OVER (ORDER BY year) > 1", "a window function"),
            ("columns('a')", "not a plain comparison"),
        ] {
            let problem = check(sql, &columns()).expect_err(sql);
            assert!(problem.message.contains(reason), "{sql}: {problem:?}");
        }
        let problem = check("meta.score > 1", &columns()).expect_err("the column needs quotes");
        assert!(problem.hint.contains("\"meta.score\""), "{problem:?}");
    }

    #[test]
    fn a_condition_as_deep_as_allowed_does_not_exhaust_the_stack() {
        for part in ["year=1 or ", "not ", "(", "-"] {
            let sql = part.repeat((MAX_BYTES - 10) / part.len()) + "year=1";
            // Whether it is accepted depends on the part; it must come back.
            let _ = check(&sql, &columns());
        }
    }
}
