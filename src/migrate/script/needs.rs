//! What a statement needs around it: whether PostgreSQL lets it run in a transaction, and whether it ends one.

use squawk_syntax::SyntaxKind as K;
use squawk_syntax::SyntaxNode;

use super::tree::{find, says};

/// Whether PostgreSQL refuses `statement` in a transaction block (`PreventInTransactionBlock` in its sources). `REINDEX`
/// and `CLUSTER` of a partitioned table are refused too, which only the catalog can tell.
pub(super) fn refuses_transaction(statement: &SyntaxNode) -> bool {
    let concurrently = says(statement, K::CONCURRENTLY_KW);
    match statement.kind() {
        K::CREATE_INDEX | K::DROP_INDEX | K::ALTER_TABLE => concurrently,
        K::REINDEX => {
            let whole = [K::REINDEX_TARGET_SCHEMA, K::REINDEX_TARGET_DATABASE, K::REINDEX_TARGET_SYSTEM];
            concurrently || whole.iter().any(|&kind| find(statement, kind).is_some())
        }
        K::CLUSTER => find(statement, K::TABLE_NAME_REF).is_none(),
        K::ALTER_DATABASE => find(statement, K::SET_TABLESPACE).is_some(),
        K::VACUUM
        | K::CREATE_DATABASE
        | K::DROP_DATABASE
        | K::CREATE_TABLESPACE
        | K::DROP_TABLESPACE
        | K::ALTER_SYSTEM
        | K::CREATE_SUBSCRIPTION
        | K::DROP_SUBSCRIPTION
        | K::ALTER_SUBSCRIPTION => true,
        _ => false,
    }
}

/// Whether `statement` begins, ends or divides a transaction, which is the runner's to do.
pub(super) fn controls_transaction(statement: &SyntaxNode) -> bool {
    matches!(
        statement.kind(),
        K::BEGIN
            | K::COMMIT_TRANSACTION
            | K::COMMIT_PREPARED
            | K::ROLLBACK_TRANSACTION
            | K::ROLLBACK_PREPARED
            | K::ROLLBACK_TO_SAVEPOINT
            | K::PREPARE_TRANSACTION
            | K::SAVEPOINT_CREATE
            | K::RELEASE_SAVEPOINT
    )
}

/// Whether `statement` changes the session, or its transaction, and not the database: what comes after it would depend on
/// its having run in the same one.
pub(super) fn changes_session(statement: &SyntaxNode) -> bool {
    matches!(
        statement.kind(),
        K::SET | K::RESET | K::DISCARD | K::LISTEN | K::UNLISTEN | K::DECLARE | K::DEALLOCATE
    )
}

/// Whether `statement` reads data that follows it, which a migration's file does not hold.
pub(super) fn reads_input(statement: &SyntaxNode) -> bool {
    statement.kind() == K::COPY && (find(statement, K::COPY_STDIN).is_some())
}
