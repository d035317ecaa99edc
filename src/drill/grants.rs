//! What a drill needs on the source, and the statements that grant exactly that to a role.

use super::barrier::LockBy;
use super::relation::SCHEMAS;
use super::sentinel;
use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::ident::{literal, quoted};
use crate::verdict::UsageError;

const QUERY: &str = include_str!("rights.sql");
const GRANTS: &str = include_str!("grants.sql");

/// What the role behind a session may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rights {
    is_superuser: bool,
    has_lock_function: bool,
    may_mark: bool,
    may_write: bool,
    sees_all: bool,
    may_end_segment: bool,
    unreadable: Vec<String>,
}

impl Rights {
    pub(super) async fn ask(session: &Session) -> Result<Self, PgError> {
        let doing = || "ask what the role may do".to_owned();
        let row = session.query_one(QUERY, &[&SCHEMAS.as_slice()]).await.doing(doing)?;
        let rights = || -> Result<Self, tokio_postgres::Error> {
            Ok(Self {
                is_superuser: row.try_get("is_superuser")?,
                has_lock_function: row.try_get("has_lock_function")?,
                may_mark: row.try_get("may_mark")?,
                may_write: row.try_get("may_write")?,
                sees_all: row.try_get("sees_all")?,
                may_end_segment: row.try_get("may_end_segment")?,
                unreadable: row.try_get("unreadable")?,
            })
        };
        rights().doing(doing)
    }

    /// How this role keeps writers out.
    ///
    /// # Errors
    /// [`UsageError`] that names every right that is missing.
    pub(super) fn lock_by(&self) -> Result<LockBy, UsageError> {
        if self.is_superuser {
            return Ok(LockBy::Statement);
        }
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(LockBy::Function);
        }
        Err(UsageError(format!(
            "the role may not drill this server: it lacks {}\n  help: a superuser runs what `omtdb drill grants` prints",
            missing.join(", ")
        )))
    }

    fn missing(&self) -> Vec<String> {
        let rights = [
            (self.has_lock_function, "the function omtdb.drill_lock()"),
            (self.may_write, "SELECT, INSERT and DELETE on omtdb.drill_sentinel"),
            (self.sees_all, "BYPASSRLS"),
            (self.may_mark, "EXECUTE on pg_create_restore_point"),
            (self.may_end_segment, "EXECUTE on pg_switch_wal"),
        ];
        let unreadable = self.unreadable.iter().take(3).map(|table| format!("SELECT on {table}"));
        let lacking = rights.iter().filter(|(has, _)| !has).map(|(_, what)| (*what).to_owned());
        lacking.chain(unreadable).collect()
    }
}

/// The statements that let the role `name`, which they make, drill `database`; for a superuser to read and to run there.
#[must_use]
pub fn statements(name: &str, database: &str) -> String {
    let role = quoted(name);
    let schemas: Vec<String> = SCHEMAS.iter().map(|schema| literal(schema)).collect();
    let content: String = SCHEMAS
        .iter()
        .map(|schema| {
            let schema = quoted(schema);
            format!(
                "GRANT USAGE ON SCHEMA {schema} TO {role};\n\
                 GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};\n"
            )
        })
        .collect();
    GRANTS
        .replace("{content}", &content)
        .replace("{sentinel}", sentinel::TABLE.trim_end())
        .replace("{schemas}", &format!("ARRAY[{}]", schemas.join(", ")))
        .replace("{database}", &quoted(database))
        .replace("{role literal}", &literal(name))
        .replace("{role}", &role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_lacks_something_is_told_all_of_it() {
        let rights = Rights {
            is_superuser: false,
            has_lock_function: false,
            may_mark: true,
            may_write: false,
            sees_all: true,
            may_end_segment: false,
            unreadable: vec!["media.media".to_owned()],
        };
        let error = rights.lock_by().unwrap_err().to_string();
        for part in ["omtdb.drill_lock()", "pg_switch_wal", "SELECT on media.media", "drill grants"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("pg_create_restore_point"), "{error}");
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let sql = statements("x\"; DROP ROLE y; --", "d b");
        assert!(sql.contains("CREATE ROLE \"x\"\"; DROP ROLE y; --\" LOGIN"), "{sql}");
        assert!(sql.contains("ON DATABASE \"d b\"") && !sql.contains('{'), "{sql}");
    }
}
