//! How the records of one source become documents: the recipe's words, checked and compiled.

use serde_json::json;

use super::filter::Filter;
use super::json::Fields;
use crate::error::{Error, Result};
use crate::recipe::{Format, InvalidUtf8, Limits, MetadataType, Newlines, OnBadRecord, Source, Text};

/// Target size of a chunk of lines or pieces, in decompressed bytes.
const WINDOW: usize = 1 << 20;

/// How records of a source become documents. Built once per source and shared by all threads.
#[derive(Debug)]
pub struct Rules {
    pub(super) format: Format,
    pub(super) text: String,
    pub(super) separator: Option<String>,
    pub(super) metadata: Vec<(String, MetadataType)>,
    pub(super) filter: Option<Filter>,
    pub(super) fields: Fields,
    pub(super) invalid_utf8: InvalidUtf8,
    pub(super) newlines: Newlines,
    pub(super) on_bad_record: OnBadRecord,
    pub(super) max_document_bytes: usize,
    pub(super) max_file_bytes: u64,
    pub(super) zstd_window_log: u32,
    pub(super) window: usize,
}

impl Rules {
    /// Compiles the rules of a source.
    ///
    /// # Errors
    /// [`Error::Usage`] when `where` is not a boolean SQL expression, row by row, over the metadata
    /// columns, when the separator is not a single line, or when a document could not be addressed.
    pub fn new(source: &Source, text: &Text, limits: &Limits) -> Result<Self> {
        let fail = |message: String| Error::usage(format!("source `{}`: {message}", source.name));
        if source
            .separator
            .as_ref()
            .is_some_and(|separator| separator.contains(['\n', '\r']))
        {
            return Err(fail(
                "`separator` must be a single line, without its line end".into(),
            ));
        }
        let max_document_bytes = usize::try_from(limits.max_document_bytes)
            .map_err(|_| fail("`limits.max_document_bytes` does not fit this machine".into()))?;
        let metadata: Vec<_> = source
            .metadata
            .iter()
            .map(|(name, &kind)| (name.clone(), kind))
            .collect();
        let filter = match &source.filter {
            Some(sql) => {
                Some(Filter::new(sql, &metadata).map_err(|message| fail(format!("`where`: {message}")))?)
            }
            None => None,
        };
        let paths = std::iter::once(&source.text).chain(metadata.iter().map(|(name, _)| name));
        Ok(Self {
            format: source.format,
            text: source.text.clone(),
            separator: source.separator.clone(),
            fields: Fields::new(paths.cloned()),
            metadata,
            filter,
            invalid_utf8: text.invalid_utf8,
            newlines: text.newlines,
            on_bad_record: limits.on_bad_record,
            max_document_bytes,
            max_file_bytes: limits.max_file_bytes,
            zstd_window_log: limits.zstd_window_log,
            window: WINDOW,
        })
    }

    /// Everything that decides which documents and texts come out of given bytes, as JSON.
    ///
    /// `on_bad_record` and the limits that only stop a run are not part of it: a run that stops at
    /// a bad record may go on under `skip` and keep its work. Whoever uses the work of an earlier
    /// run checks its counts with [`Counts::check`](super::Counts::check).
    pub fn identity(&self) -> serde_json::Value {
        json!({
            "version": 1,
            "format": self.format,
            "text": self.text,
            "separator": self.separator,
            "metadata": self.metadata,
            "where": self.filter.as_ref().map(Filter::sql),
            "invalid_utf8": self.invalid_utf8,
            "newlines": self.newlines,
            "max_document_bytes": self.max_document_bytes,
        })
    }

    /// Names and types of the metadata columns, in bytewise order of the names.
    pub fn metadata_columns(&self) -> &[(String, MetadataType)] {
        &self.metadata
    }

    /// The same rules with smaller chunks, so that a test meets many chunk boundaries.
    #[cfg(test)]
    pub(super) fn with_window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    #[test]
    fn a_where_that_cannot_be_evaluated_is_refused_before_anything_is_read() {
        let rules = |sql: &str| {
            let mut source = source();
            source.metadata.insert("score".into(), MetadataType::Float);
            source.filter = Some(sql.into());
            Rules::new(&source, &Text::default(), &Limits::default()).map_err(|error| error.to_string())
        };
        assert!(rules("score > 0.5").is_ok());
        for (sql, part) in [
            ("score >", "`where`"),
            ("score + 1", "true or false"),
            ("missing > 1", "missing"),
            ("score > AVG(score)", "row"),
        ] {
            let message = rules(sql).unwrap_err();
            assert!(
                message.contains("source `s`") && message.contains(part),
                "{sql}: {message}"
            );
        }
    }

    #[test]
    fn the_identity_changes_with_what_decides_the_text_only() {
        let identity = |change: fn(&mut Source, &mut Text, &mut Limits)| {
            let (mut source, mut text, mut limits) = (source(), Text::default(), Limits::default());
            change(&mut source, &mut text, &mut limits);
            Rules::new(&source, &text, &limits).unwrap().identity()
        };
        let plain = identity(|_, _, _| {});
        assert_eq!(
            plain,
            identity(|source, _, limits| {
                source.name = "other".into();
                source.weight = Some(2.0);
                limits.on_bad_record = OnBadRecord::Skip;
            })
        );
        assert_ne!(plain, identity(|source, _, _| source.text = "body".into()));
        assert_ne!(plain, identity(|_, text, _| text.newlines = Newlines::Keep));
        assert_ne!(plain, identity(|_, _, limits| limits.max_document_bytes = 7));
    }
}
