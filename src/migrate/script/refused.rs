//! What is SQL, and no file of migrations may hold, or not in this way.

use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::{Act, Fault, Form, Mode, Name, Position, ScriptError, Statement, needs, tree};

/// Of a setting in a file whose statements run each for itself.
pub(super) fn lost_setting(at: Position) -> ScriptError {
    ScriptError::new(
        at,
        "a setting of the session would be gone when a later run continues after it",
        "take it out: lock and statement limits are omtdb's to set",
    )
    .of_fault(Fault::Lacking)
}

/// What no file may hold, whatever stands around it.
pub(super) fn what_no_file_may_hold(node: &SyntaxNode, at: Position) -> Result<(), ScriptError> {
    if needs::controls_transaction(node) {
        return Err(ScriptError::new(
            at,
            "a migration does not begin or end transactions: its statements and its row of the history are one",
            "take BEGIN, COMMIT, ROLLBACK and SAVEPOINT out of the file",
        )
        .of_fault(Fault::Transaction));
    }
    if needs::reads_input(node) {
        return Err(ScriptError::new(
            at,
            "COPY FROM STDIN has no data here",
            "write an INSERT, or load data by `omtdb generate`",
        )
        .of_fault(Fault::Lacking));
    }
    Ok(())
}

/// Whether the statement is one that its directive can run.
pub(super) fn form(statement: &Statement, node: &SyntaxNode) -> Result<(), ScriptError> {
    let refuse = |what: &str, help: &str| Err(ScriptError::new(statement.at, what, help));
    let has = |parameter: &str| {
        node.descendants_with_tokens()
            .any(|one| one.as_token().is_some_and(|token| token.text() == parameter))
    };
    let select = matches!(node.kind(), SyntaxKind::SELECT | SyntaxKind::COMPOUND_SELECT);
    let change = matches!(
        node.kind(),
        SyntaxKind::INSERT | SyntaxKind::UPDATE | SyntaxKind::DELETE | SyntaxKind::MERGE
    );
    match &statement.form {
        Form::Plain if tree::says(node, SyntaxKind::POSITIONAL_PARAM) && (select || change) => refuse(
            "a statement without a directive has no parameters",
            "write `-- omtdb: backfill TABLE by KEY` before it, or values",
        )
        .map_err(|error| error.of_fault(Fault::Lacking)),
        Form::Plain => Ok(()),
        Form::Online { .. } => online_form(statement, node),
        Form::Backfill(_) if !(select || change) => {
            refuse("a backfill is an INSERT, UPDATE, DELETE, MERGE or SELECT", "take the directive away")
        }
        Form::Check(_) if !select => {
            refuse("a check is a SELECT of the rows that are wrong", "take the directive away")
        }
        Form::Backfill(_) | Form::Check(_) if !(has("$1") && has("$2")) => refuse(
            "the statement does not say which keys of a batch it is about",
            "write `WHERE key BETWEEN $1 AND $2`",
        ),
        Form::Backfill(_) | Form::Check(_) => Ok(()),
    }
}

fn online_form(statement: &Statement, node: &SyntaxNode) -> Result<(), ScriptError> {
    let refuse = |what: &str, help: &str| Err(ScriptError::new(statement.at, what, help));
    let without_schema = |name: &Name| name.schema.is_none();
    if [SyntaxKind::IF_NOT_EXISTS, SyntaxKind::IF_EXISTS].iter().any(|&kind| tree::find(node, kind).is_some())
    {
        return refuse(
            "IF EXISTS hides what an online step is to prove",
            "take it out; a step that was done is known as done",
        );
    }
    if tree::says(node, SyntaxKind::ONLY_KW) {
        return refuse(
            "an online index is one of the whole table",
            "take ONLY out; leaves are done one by one",
        );
    }
    match &statement.act {
        Act::CreateIndex(index) if index.name.is_empty() => {
            refuse("an online index needs a name", "write CREATE INDEX name ON …")
        }
        Act::CreateIndex(index) if without_schema(&index.table) => {
            refuse("the table does not say its schema", "write schema.table")
        }
        Act::DropIndex(names) if names.len() > 1 || names.iter().any(without_schema) => refuse(
            "an online drop is of one index, with its schema",
            "write DROP INDEX schema.name, a directive for each",
        ),
        Act::Reindex(name) if without_schema(name) => {
            refuse("the index does not say its schema", "write REINDEX INDEX schema.name")
        }
        Act::CreateIndex(_) | Act::DropIndex(_) | Act::Reindex(_) => Ok(()),
        Act::Detach { .. } | Act::Other => refuse(
            "online runs CREATE INDEX, DROP INDEX and REINDEX INDEX",
            "take the directive away, or write `-- omtdb: no-transaction` in the header",
        ),
    }
}

/// Together unless declared otherwise, or PostgreSQL demands otherwise; never half and half.
pub(super) fn mode(statements: &[Statement], declared: bool) -> Result<Mode, ScriptError> {
    let alone = |one: &&Statement| one.refuses_transaction || one.form != Form::Plain;
    let Some(first) = statements.iter().find(alone) else {
        return Ok(if declared { Mode::Stepwise } else { Mode::Together });
    };
    let Some(other) = statements.iter().find(|one| !alone(one)) else { return Ok(Mode::Stepwise) };
    let later = if first.at.offset > other.at.offset { first } else { other };
    Err(ScriptError::new(
        later.at,
        format!(
            "the statement of line {} cannot run in a transaction and that of line {} can: a file is one or the other",
            first.at.line, other.at.line
        ),
        "divide the file: what is left half done is then never more than one kind of work",
    )
    .of_fault(Fault::Mixed))
}
