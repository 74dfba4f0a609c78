//! The recipe's `where`: a SQL condition over the metadata columns.
//!
//! The condition is translated once and evaluated once per chunk, over a table of that chunk's
//! metadata. Since chunks are an implementation detail, only expressions that look at one row at a
//! time are allowed: `score > avg(score)` would depend on where chunks are cut.

use polars::prelude::*;
use polars::sql::sql_expr;

use super::record::{MetadataValue, Record};
use crate::guard::with_deep_stack;
use crate::recipe::MetadataType;

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
        if let Some(other) = expression.into_iter().find(|node| !looks_at_one_row(node)) {
            return Err(format!(
                "`{sql}` looks at more than one row at a time, or uses something that is not supported \
                 here: {other}"
            ));
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

/// Whether the result of this node for a row depends on that row alone. A list of what is known to,
/// so that an expression of a later version of the engine is refused and not misread.
fn looks_at_one_row(node: &Expr) -> bool {
    use BooleanFunction as B;
    use StringFunction as S;
    match node {
        Expr::Column(_)
        | Expr::Literal(_)
        | Expr::Alias(..)
        | Expr::BinaryExpr { .. }
        | Expr::Cast { .. }
        | Expr::Ternary { .. } => true,
        // The list of an `IN`.
        Expr::Agg(AggExpr::Implode { input, .. }) => matches!(**input, Expr::Literal(_)),
        Expr::Function { function, .. } => match function {
            FunctionExpr::Negate
            | FunctionExpr::Pow(_)
            | FunctionExpr::FillNull
            | FunctionExpr::Coalesce
            | FunctionExpr::MinHorizontal
            | FunctionExpr::MaxHorizontal => true,
            FunctionExpr::Boolean(function) => matches!(
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
            FunctionExpr::StringExpr(function) => matches!(
                function,
                S::Contains { .. }
                    | S::CountMatches(_)
                    | S::StartsWith
                    | S::EndsWith
                    | S::Extract(_)
                    | S::Find { .. }
                    | S::LenBytes
                    | S::LenChars
                    | S::Lowercase
                    | S::Uppercase
                    | S::Replace { .. }
                    | S::Slice
                    | S::Head
                    | S::Tail
                    | S::StripChars
                    | S::StripCharsStart
                    | S::StripCharsEnd
                    | S::StripPrefix
                    | S::StripSuffix
            ),
            _ => false,
        },
        _ => false,
    }
}
