//! Squawk's rules: which of them are taken, how much each matters, and why the others are not.

use std::fmt;
use std::ops::Range;

use squawk_linter::{Linter, LinterSettings, Rule, Violation};
use squawk_syntax::{SourceFile, SyntaxKind};

use super::ddl::{Change, What};
use super::finding::{Finding, Severity};
use super::reading::Reading;
use super::rules::Here;
use Severity::{Error, Warning};

/// The rules that are taken. Those that break what is running, or run for long under a lock, are errors.
const TAKEN: [(Rule, Severity, &str); 42] = [
    (
        Rule::AddingFieldWithDefault,
        Error,
        "a new column whose default is computed for each row rewrites the table",
    ),
    (
        Rule::AddingForeignKeyConstraint,
        Error,
        "a foreign key that is checked at once keeps writes out of both tables",
    ),
    (Rule::AddingNotNullableField, Error, "SET NOT NULL reads the whole table while nobody else can"),
    (Rule::AddingRequiredField, Error, "a new NOT NULL column without a default fails where there are rows"),
    (
        Rule::AddingSerialPrimaryKeyField,
        Error,
        "a primary key builds its index while nobody can use the table",
    ),
    (Rule::BanAlterDomainWithAddConstraint, Error, "a domain's constraint reads every table that uses it"),
    (Rule::BanAlterIdentity, Warning, "changes where the values of a column come from"),
    (Rule::BanCharField, Warning, "CHAR pads with spaces"),
    (
        Rule::BanCreateDomainWithConstraint,
        Warning,
        "the constraint of a domain cannot be changed online later",
    ),
    (Rule::BanDropColumn, Error, "a running application may still read or write it"),
    (Rule::BanDropConstraint, Warning, "what it kept out may come in"),
    (Rule::BanDropDatabase, Error, "everything in it is lost"),
    (Rule::BanDropDefault, Warning, "a running application may count on it"),
    (Rule::BanDropDomain, Error, "a running application may still use it"),
    (Rule::BanDropExtension, Error, "what it provides is gone"),
    (Rule::BanDropFunction, Error, "a running application may still call it"),
    (Rule::BanDropGeneratedExpression, Warning, "a running application may count on it"),
    (Rule::BanDropNotNull, Warning, "a running application may not expect NULL"),
    (Rule::BanDropSchema, Error, "a running application may still use what is in it"),
    (Rule::BanDropSequence, Error, "a running application may still draw from it"),
    (Rule::BanDropTable, Error, "a running application may still use it, and its rows are lost"),
    (Rule::BanDropType, Error, "a running application may still use it"),
    (Rule::BanDropView, Error, "a running application may still read it"),
    (Rule::BanDuplicateColumnAssignments, Error, "an UPDATE sets one column twice, which PostgreSQL refuses"),
    (Rule::BanSetSchema, Error, "a running application looks for it where it was"),
    (Rule::BanTruncateCascade, Error, "empties tables that the statement does not name"),
    (
        Rule::ChangingColumnType,
        Error,
        "rewrites the table, and a running application may expect the old type",
    ),
    (
        Rule::ConstraintMissingNotValid,
        Error,
        "a constraint that is checked at once reads the whole table under its lock",
    ),
    (
        Rule::DisallowedUniqueConstraint,
        Error,
        "a unique constraint builds its index while nobody can use the table",
    ),
    (Rule::IdentifierTooLong, Error, "PostgreSQL cuts names after 63 bytes"),
    (Rule::PreferBigintOverInt, Warning, "an INT ends at two billion, and to change it rewrites the table"),
    (
        Rule::PreferBigintOverSmallint,
        Warning,
        "a SMALLINT ends at 32,767, and to change it rewrites the table",
    ),
    (Rule::PreferIdentity, Warning, "a serial column's sequence has privileges and an owner of its own"),
    (Rule::PreferTextField, Warning, "to change the length of a VARCHAR may rewrite the table"),
    (Rule::PreferTimestampTz, Warning, "a TIMESTAMP without a zone is not an instant"),
    (Rule::RenamingColumn, Error, "a running application knows it by its old name"),
    (Rule::RenamingObject, Error, "a running application knows it by its old name"),
    (Rule::RenamingTable, Error, "a running application knows it by its old name"),
    (
        Rule::RequireConcurrentIndexDeletion,
        Error,
        "a plain DROP INDEX waits for every query, and everybody behind it",
    ),
    (Rule::RequireConcurrentReindex, Error, "a plain REINDEX keeps writes out until it is done"),
    (Rule::RequireEnumValueOrdering, Warning, "a new value of an enum says where it comes in the order"),
    // Squawk leaves this one to choice; here no name depends on search_path.
    (Rule::RequireTableSchema, Error, "a table without its schema is another one under another search_path"),
];

/// Squawk's default rules that are left out, and why.
const LEFT_OUT: [(Rule, &str); 10] = [
    (Rule::BanConcurrentIndexCreationInTransaction, "a file with CONCURRENTLY is not run in a transaction"),
    (Rule::BanUncommittedTransaction, "a file does not begin transactions: transaction-control"),
    (Rule::PreferRepack, "it says nothing before PostgreSQL 19, which has REPACK: table-rewrite does"),
    (
        Rule::PreferRobustStmts,
        "IF NOT EXISTS hides an invalid index; what was done is known from the journal",
    ),
    (
        Rule::RequireConcurrentIndexCreation,
        "index-blocks-writes knows `-- omtdb: online` and partitioned tables",
    ),
    (
        Rule::RequireConcurrentPartitionDetach,
        "partition-under-lock knows where CONCURRENTLY is wrong or refused",
    ),
    (Rule::RequireLockTimeout, "every statement runs with a limit to lock waits that omtdb sets"),
    (Rule::RequireStatementTimeout, "how long a statement may run is omtdb's to limit, not the file's"),
    (Rule::TransactionNesting, "a file does not begin transactions: transaction-control"),
    (Rule::UnusedIgnore, "no `-- squawk-ignore` holds here: directive"),
];

const ONLINE: &str = "write `-- omtdb: online` on the line before it";

/// Name, severity and a line about each rule that is taken.
pub(super) fn taken() -> impl Iterator<Item = (String, Severity, &'static str)> {
    TAKEN.iter().map(|(rule, severity, summary)| (rule.to_string(), *severity, *summary))
}

/// Name of each default rule that is left out, and why.
pub(super) fn left_out() -> impl Iterator<Item = (String, &'static str)> {
    LEFT_OUT.iter().map(|(rule, why)| (rule.to_string(), *why))
}

/// What squawk finds in `reading`, whatever comments of its own say.
pub(super) fn check(reading: &Reading<'_>) -> Vec<Finding> {
    let text = &without_obeyed(&reading.file.text);
    let mut linter = Linter::from(TAKEN.iter().map(|(rule, ..)| *rule));
    // What it takes as given where nothing else is said: PostgreSQL 15, the oldest that omtdb works with.
    linter.settings =
        LinterSettings { assume_in_transaction: reading.is_together(), ..LinterSettings::default() };
    let found = linter.lint(&SourceFile::parse(text), text);
    found.into_iter().filter_map(|violation| finding(reading, violation)).collect()
}

/// A comment that squawk obeys: its bytes, and the first rule that it names.
pub(super) struct Obeyed {
    pub(super) span: Range<usize>,
    pub(super) rule: Option<String>,
}

/// How the comments begin that squawk obeys.
const OBEYED: [&str; 2] = ["squawk-ignore", "squawk-disable-assume-in-transaction"];

/// The comments in `text` that squawk obeys.
pub(super) fn obeyed(text: &str) -> Vec<Obeyed> {
    if !text.contains("squawk-") {
        return Vec::new();
    }
    let tokens = SourceFile::parse(text).syntax_node().descendants_with_tokens();
    let comments = tokens.filter(|one| one.kind() == SyntaxKind::COMMENT);
    let places = comments.map(|one| Range::<usize>::from(one.text_range()));
    let one = |span: Range<usize>| {
        let words = text.get(span.clone())?.trim_start_matches(['-', '/', '*']).trim_start();
        OBEYED.iter().any(|word| words.starts_with(word)).then_some(())?;
        let mut names = words.split(|c: char| !c.is_alphanumeric() && c != '-');
        let rule = names.find_map(|name| Rule::try_from(name).ok()).map(|rule| rule.to_string());
        Some(Obeyed { span, rule })
    };
    places.filter_map(one).collect()
}

/// `text` with spaces for the comments that squawk obeys.
fn without_obeyed(text: &str) -> String {
    obeyed(text).into_iter().fold(text.to_owned(), |mut text, comment| {
        text.replace_range(comment.span.clone(), &" ".repeat(comment.span.len()));
        text
    })
}

fn finding(reading: &Reading<'_>, violation: Violation) -> Option<Finding> {
    let (rule, severity, summary) = TAKEN.iter().find(|(rule, ..)| *rule == violation.code)?;
    let span = violation.text_range.start().into()..violation.text_range.end().into();
    let has_online_form =
        matches!(rule, Rule::RequireConcurrentIndexDeletion | Rule::RequireConcurrentReindex);
    if has_online_form && reading.is_online(&span) {
        return None;
    }
    let help = match violation.help {
        _ if has_online_form => ONLINE.to_owned(),
        Some(help) => help,
        None => (*summary).to_owned(),
    };
    Some(Finding::new(&rule.to_string(), *severity, reading.file, span, plain(violation.message), help))
}

/// Whether what is known where the statement runs disproves `finding`, which squawk made by the file alone: a column that
/// an earlier file has proven to be not null is not read again.
pub(super) fn is_disproven(here: &Here<'_>, finding: &Finding) -> bool {
    let is_not_null = |change: &Change| match &change.what {
        What::SetNull { table, column, nullable: false } => {
            change.span.contains(&finding.span.start)
                && (here.now.is_not_null(table, column) || here.now.is_empty(table, here.reading.at))
        }
        _ => false,
    };
    finding.rule == Rule::AddingNotNullableField.to_string() && here.said.changes.iter().any(is_not_null)
}

/// A message on one line.
fn plain(message: impl fmt::Display) -> String {
    message.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
