//! What all workers of a scenario share, made before any of them starts.

use std::sync::Arc;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::outage::Outage;
use super::pace::Demand;
use super::run::Options;
use super::schedule::{Course, Mix};
use super::statement::{Form, Text};
use super::worker::{Sent, Shared};
use crate::datagen::Model;
use crate::pg::error::Doing as _;
use crate::pg::{PgError, Session, Target};
use crate::scenario::draw::Drawing;
use crate::scenario::{Arrival, Load, Protocol, Scenario};

/// Draws the schedule of `load` and asks the server what it has to be asked.
pub(super) async fn shared(
    target: &Target,
    scenario: &Scenario,
    load: &Load,
    options: &Options,
    model: &Arc<Model>,
) -> anyhow::Result<Shared> {
    let course = Course::of(load);
    let demand = match load.arrival {
        Arrival::Open { process, .. } => Demand::Open {
            arrivals: course.arrivals(scenario, options.seed, process).into(),
            saturation: load.saturation,
        },
        Arrival::Closed { think, .. } => Demand::Closed { end: course.length(), think },
    };
    Ok(Shared {
        target: target.clone(),
        purpose: format!("bench {}", scenario.name),
        ops: sent(target, scenario, load.protocol, options.seed, model).await?,
        mix: Mix::new(scenario, options.seed),
        course,
        demand,
        plan_cache: load.plan_cache,
        stop: CancellationToken::new(),
        outage: Outage::new(load.connections),
    })
}

/// The operations as they are sent. How values are bound follows from the types of parameters, for which the server is
/// asked once, before anything is executed.
async fn sent(
    target: &Target,
    scenario: &Scenario,
    protocol: Protocol,
    seed: u64,
    model: &Arc<Model>,
) -> anyhow::Result<Vec<Sent>> {
    let mut session = match protocol {
        Protocol::Prepared | Protocol::Unnamed => Some(Session::connect(target, "bench").await?),
        Protocol::Simple => None,
    };
    let (mut all, mut numbers) = (Vec::new(), 0..);
    for op in &scenario.ops {
        let mut statements = Vec::new();
        for (statement, number) in op.statements.iter().zip(&mut numbers) {
            let types = match &mut session {
                Some(session) if op.weight > 0 => {
                    types(session, &statement.sql).await.doing(|| format!("prepare {}", op.name))?
                }
                _ => Vec::new(),
            };
            statements.push(Text {
                sql: statement.sql.clone(),
                form: Form::of(protocol, &statement.sql, number),
                drawing: Drawing::new(scenario, op, statement, seed, model),
                types,
            });
        }
        all.push(Sent {
            name: op.name.clone(),
            statements,
            transaction: op.transaction,
            retry: op.retry.clone(),
            is_sent: op.weight > 0,
        });
    }
    if let Some(session) = session {
        session.close().await;
    }
    Ok(all)
}

/// The types of the parameters of `sql`. In a transaction: a pooler then keeps to one server between the two messages.
async fn types(session: &mut Session, sql: &str) -> Result<Vec<Type>, PgError> {
    let transaction = session.transaction().await?;
    let types = transaction.prepare(sql).await?.params().to_vec();
    transaction.rollback().await?;
    Ok(types)
}
