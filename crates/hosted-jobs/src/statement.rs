//! A job as SQL text and parameters, for any driver in any language.

/// The statement that stores a job, for a driver that this library does not know. See
/// [`Jobs::statement`](crate::Jobs::statement).
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub(crate) sql: String,
    pub(crate) params: Vec<Value>,
}

/// A parameter of a [`Statement`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Statement {
    /// Returns the text, with the parameters `?1`, `?2` and so on.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns the parameters in order.
    pub fn params(&self) -> &[Value] {
        &self.params
    }
}

#[cfg(feature = "sqlite")]
impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
