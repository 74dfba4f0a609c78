//! The recipe's `where`: a SQL condition over the metadata columns.
//!
//! The condition is translated once and evaluated once per chunk, over a table of that chunk's
//! metadata. Since chunks are an implementation detail, only expressions that look at one row at a
//! time are allowed: `score > avg(score)` would depend on where chunks are cut.

use polars::prelude::*;
use polars::sql::sql_expr;

use super::record::{MetadataValue, Record};
use crate::guard::with_deep_stack;
use crate::recipe::{MetadataType, looks_at_several_rows};

/// A compiled condition.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    sql: String,
    expression: Expr,
    columns: Vec<(PlSmallStr, MetadataType)>,
}

impl Filter {
    /// Translates a condition and tries it on an empty table.
    ///
    /// # Errors
    /// A message when it is not SQL, names an unknown column, is not boolean, or looks at several
    /// rows at a time.
    pub(super) fn new(sql: &str, columns: &[(String, MetadataType)]) -> Result<Self, String> {
        with_deep_stack(|| Self::compile(sql, columns))
    }

    fn compile(sql: &str, columns: &[(String, MetadataType)]) -> Result<Self, String> {
        let expression = sql_expr(sql).map_err(|error| error.to_string())?;
        if let Some(what) = expression.into_iter().find_map(looks_at_several_rows) {
            return Err(format!("`{sql}` uses {what}: it must look at one row at a time"));
        }
        let columns = columns.iter().map(|(name, kind)| (name.into(), *kind)).collect();
        let filter = Self {
            sql: sql.to_owned(),
            expression,
            columns,
        };
        let empty = filter.evaluate(&[]).map_err(|error| error.to_string())?;
        match empty.dtype() {
            DataType::Boolean => Ok(filter),
            other => Err(format!(
                "`{sql}` must be true or false for each record, and is {other}"
            )),
        }
    }

    /// The condition as the recipe has it.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// For each record whether the condition is true; null is not true.
    ///
    /// # Errors
    /// A message when the values cannot be evaluated.
    pub(super) fn keeps(&self, records: &[Record<'_>]) -> Result<Vec<bool>, String> {
        let evaluate = || {
            let result = self.evaluate(records)?;
            let result = result.bool()?;
            // A condition without columns has one value for all rows.
            let constant = result.len() == 1 && records.len() != 1;
            let keeps = |row: usize| result.get(if constant { 0 } else { row }).unwrap_or(false);
            Ok((0..records.len()).map(keeps).collect())
        };
        with_deep_stack(evaluate).map_err(|error: PolarsError| error.to_string())
    }

    fn evaluate(&self, records: &[Record<'_>]) -> PolarsResult<Column> {
        let columns = self.columns.iter().enumerate().map(|(index, (name, kind))| {
            let values = records.iter().map(|record| &record.metadata[index]);
            column(name.clone(), *kind, values)
        });
        let table = DataFrame::new(records.len(), columns.collect())?;
        let keep = self.expression.clone().alias("keep");
        let result = table.lazy().without_optimizations().select([keep]).collect()?;
        result.column("keep").cloned()
    }
}

fn column<'a>(
    name: PlSmallStr,
    kind: MetadataType,
    values: impl Iterator<Item = &'a MetadataValue>,
) -> Column {
    match kind {
        MetadataType::String => {
            let values = values.map(|value| match value {
                MetadataValue::String(text) => Some(text.as_str()),
                _ => None,
            });
            StringChunked::from_iter_options(name, values).into_column()
        }
        MetadataType::Integer => {
            let values = values.map(|value| match value {
                MetadataValue::Integer(value) => Some(*value),
                _ => None,
            });
            Int64Chunked::from_iter_options(name, values).into_column()
        }
        MetadataType::Float => {
            let values = values.map(|value| match value {
                MetadataValue::Float(value) => Some(*value),
                _ => None,
            });
            Float64Chunked::from_iter_options(name, values).into_column()
        }
        MetadataType::Boolean => {
            let values = values.map(|value| match value {
                MetadataValue::Boolean(value) => Some(*value),
                _ => None,
            });
            BooleanChunked::from_iter_options(name, values).into_column()
        }
    }
}
