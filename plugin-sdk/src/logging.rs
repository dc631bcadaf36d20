//! Structured fields of log lines.

use log::{
    Record,
    kv::{Error, Key, Value, VisitSource},
};

/// The fields of a line as in `log::info!(user = "x"; "…")`, as text.
pub(crate) fn fields_of(record: &Record<'_>) -> Vec<(String, String)> {
    struct Fields(Vec<(String, String)>);

    impl<'kvs> VisitSource<'kvs> for Fields {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
            self.0.push((key.as_str().to_owned(), value.to_string()));
            Ok(())
        }
    }

    let mut fields = Fields(Vec::new());
    // A field that can't be had ends the visit; the line goes out with those before.
    let _ = record.key_values().visit(&mut fields);
    fields.0
}
