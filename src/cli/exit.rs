//! From outcome to exit code, and what an interrupt does.

use std::process::ExitCode;

use omtdb::migrate::{PlanChanged, SourceError, Unsafe};
use omtdb::pg::cluster::ClusterError;
use omtdb::report::RecordError;
use omtdb::scenario::Rejected;
use omtdb::verdict::{Interrupted, UsageError, Verdict};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::output::Output;

const INTERRUPTED: u8 = 130;
/// A verdict, found before anything was done.
const NEGATIVE: u8 = 1;

/// Prints an error once and turns the outcome into the exit code of the contract.
pub(crate) fn report(out: &Output, outcome: Outcome) -> ExitCode {
    ExitCode::from(match outcome {
        Ok(Verdict::Pass) => 0,
        Ok(Verdict::Fail) => 1,
        Ok(Verdict::Inconclusive) => 3,
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            out.error(&error);
            code(&error)
        }
    })
}

fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Interrupted>()) {
        INTERRUPTED
    } else if error.chain().any(is_usage) {
        2
    } else if error.chain().any(|cause| cause.is::<PlanChanged>() || cause.is::<Unsafe>()) {
        NEGATIVE
    } else {
        4
    }
}

fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    let cluster = cause.downcast_ref::<ClusterError>();
    cause.is::<UsageError>()
        || cause.is::<Rejected>()
        || cause.is::<SourceError>()
        || cause.downcast_ref::<RecordError>().is_some_and(RecordError::is_usage)
        || matches!(
            cluster,
            Some(
                ClusterError::BadName(_)
                    | ClusterError::Unknown { .. }
                    | ClusterError::NotOurs { .. }
                    | ClusterError::Closed { .. }
            )
        )
}

/// Whoever reads our output has seen enough (`omtdb … | head`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Cancels `interrupt` at the first SIGINT or SIGTERM; returns at the second.
pub(crate) async fn second_interrupt(interrupt: CancellationToken) -> anyhow::Error {
    let (mut int, mut term) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(int), Ok(term)) => (int, term),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    for _ in 0..2 {
        if interrupt.is_cancelled() {
            tracing::warn!("stopping; interrupt again to stop at once");
        }
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        interrupt.cancel();
    }
    Interrupted.into()
}
