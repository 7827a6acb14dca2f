//! Creates the tables, brings older ones up to date, and refuses newer ones that this program cannot use.

use super::convert::store_error;
use super::schema::{KNOWN, NEEDED, VERSION_1};
use crate::error::OpenError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// The steps from each version to the next. Step `n` leads to version `n + 1`.
const STEPS: &[&str] = &[VERSION_1];

/// The statements that lead from version `from` to the newest version.
pub(super) fn statements(prefix: &str, from: u32) -> String {
    let mut statements: String = STEPS.iter().skip(from as usize).map(|step| step.replace("{p}", prefix)).collect();
    for (key, version) in [("schema_version", KNOWN), ("schema_needed", NEEDED)] {
        statements += &format!("INSERT OR REPLACE INTO {prefix}meta(key, value) VALUES ('{key}', '{version}');\n");
    }
    statements
}

/// Makes sure that the tables exist and that this program can use them.
pub(super) fn migrate(conn: &mut Connection, prefix: &str) -> Result<(), OpenError> {
    if check(conn, prefix)?.is_some_and(|found| found >= KNOWN) {
        return Ok(());
    }
    let failed = |error| OpenError::from(store_error("create the tables", error));
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have done it while this one waited for the lock.
    let found = check(&tx, prefix)?.unwrap_or(0);
    if found < KNOWN {
        tx.execute_batch(&statements(prefix, found)).map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

/// Checks that this program can use the tables as they are. Changes nothing.
pub(super) fn require(conn: &Connection, prefix: &str) -> Result<(), OpenError> {
    let found = check(conn, prefix)?.unwrap_or(0);
    if found >= KNOWN { Ok(()) } else { Err(OpenError::OlderSchema { found, known: KNOWN }) }
}

/// Returns the version of the tables, or `None` if there are none.
///
/// Tables of a newer version are accepted if they say that this version of the library can use them.
fn check(conn: &Connection, prefix: &str) -> Result<Option<u32>, OpenError> {
    let failed = |error| OpenError::from(store_error("read the version of the tables", error));
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let exists = conn.query_row(sql, [format!("{prefix}meta")], |_| Ok(())).optional().map_err(failed)?;
    if exists.is_none() {
        return Ok(None);
    }
    let number = |key: &str| -> Result<Option<u32>, OpenError> {
        let sql = format!("SELECT value FROM {prefix}meta WHERE key = ?1");
        let text: Option<String> = conn.query_row(&sql, [key], |row| row.get(0)).optional().map_err(failed)?;
        let invalid = |text: &str| OpenError::Invalid(format!("`{text}` in table `{prefix}meta` is not a version"));
        text.map(|text| text.parse().map_err(|_| invalid(&text))).transpose()
    };
    let Some(found) = number("schema_version")? else { return Ok(None) };
    let needed = number("schema_needed")?.unwrap_or(found);
    if found > KNOWN && needed > KNOWN {
        return Err(OpenError::NewerSchema { found, needed, known: KNOWN });
    }
    Ok(Some(found.min(KNOWN)))
}
