//! **secret-in-file**: a password or a connection string with one. A file lies in a repository, its statements in the journal
//! of every database and perhaps in the server's log, and none of them forgets: once applied, the secret is to be changed.
//! What is shown of such a line has no secret in it, whichever rule shows it.
//! See [ALTER ROLE](https://www.postgresql.org/docs/current/sql-alterrole.html) on clear text.

use super::{Check, Rule};
use crate::migrate::lint::ddl::{self, Of, Secret};
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;

pub(super) const NAME: &str = "secret-in-file";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a file holds a password, and so does everything that keeps it",
    check: Check::Read(check),
};

fn check(reading: &Reading<'_>) -> Vec<Finding> {
    ddl::secrets(&reading.file.text).into_iter().map(|secret| finding(reading, secret)).collect()
}

fn finding(reading: &Reading<'_>, secret: Secret) -> Finding {
    let (what, help) = match secret.of {
        Of::Role => (
            "the password of a role",
            r"leave it out, and set it outside of migrations: psql's \password sends no clear text",
        ),
        Of::Connection => (
            "the password of a connection",
            "name a service or a passfile of the server instead, `service=…` or `passfile=…`",
        ),
        Of::UserMapping => (
            "the password of a user mapping",
            "leave it out, and set it outside of migrations, or sign in by a certificate",
        ),
    };
    let message = format!("{what} is kept by the repository, the journal and whoever has read either");
    reading.error(NAME, secret.span, message, help)
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn secrets_are_found_and_not_shown() {
        let sql = "CREATE ROLE app LOGIN PASSWORD 'hush' VALID UNTIL '2030-01-01';\n\
                   DO $$ BEGIN ALTER USER app WITH ENCRYPTED PASSWORD 'hush'; END $$;\n\
                   CREATE USER MAPPING FOR app SERVER other OPTIONS (user 'app', password 'hush');";
        let shown = found(NAME, sql);
        assert!(!shown.contains("hush"));
        insta::assert_snapshot!(shown, @r"
        error[secret-in-file]: the password of a role is kept by the repository, the journal and whoever has read either
         --> V40__example.sql:1:32
          |
        1 | CREATE ROLE app LOGIN PASSWORD '…' VALID UNTIL '2030-01-01';
          |                                ^^^
          |
          = help: leave it out, and set it outside of migrations: psql's \password sends no clear text

        error[secret-in-file]: the password of a role is kept by the repository, the journal and whoever has read either
         --> V40__example.sql:2:52
          |
        2 | DO $$ BEGIN ALTER USER app WITH ENCRYPTED PASSWORD '…'; END $$;
          |                                                    ^^^
          |
          = help: leave it out, and set it outside of migrations: psql's \password sends no clear text

        error[secret-in-file]: the password of a user mapping is kept by the repository, the journal and whoever has read either
         --> V40__example.sql:3:72
          |
        3 | CREATE USER MAPPING FOR app SERVER other OPTIONS (user 'app', password '…');
          |                                                                        ^^^
          |
          = help: leave it out, and set it outside of migrations, or sign in by a certificate
        ");
    }

    /// A file that is not understood otherwise still tells.
    #[test]
    fn connections_are_found_and_not_shown() {
        let sql = "CREATE SUBSCRIPTION s\n    CONNECTION 'host=a password=hush\n    port=5433' PUBLICATION p;\nSELECT 1;";
        let shown = found(NAME, sql);
        assert!(!shown.contains("hush"));
        insta::assert_snapshot!(shown, @r"
        error[secret-in-file]: the password of a connection is kept by the repository, the journal and whoever has read either
         --> V40__example.sql:2:16
          |
        2 |     CONNECTION '…'
          |                ^^^
          |
          = help: name a service or a passfile of the server instead, `service=…` or `passfile=…`
        ");
        assert!(!found("mixed-transaction", sql).contains("hush"));
    }

    #[test]
    fn roles_without_a_password_are_fine() {
        let sql = "CREATE ROLE app LOGIN;\nALTER ROLE app PASSWORD NULL;\n\
                   COMMENT ON ROLE app IS 'its password is in the vault';";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
