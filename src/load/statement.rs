//! A statement in the form in which it is sent, by one of three protocols.

use tokio_postgres::types::Type;

use crate::pg::Frontend;
use crate::pg::error::Result;
use crate::pg::ident::literal;
use crate::scenario::draw::{Drawing, Value};
use crate::scenario::{Piece, Protocol, pieces};

/// A statement of an operation, for all connections alike.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) sql: String,
    pub(super) form: Form,
    pub(super) drawing: Drawing,
    /// Types of its parameters; none by the simple protocol.
    pub(super) types: Vec<Type>,
}

/// How a statement is sent.
#[derive(Debug)]
pub(super) enum Form {
    /// By the name under which each connection has prepared it.
    Prepared(String),
    /// With its text and the types of its parameters.
    Unnamed,
    /// With the values in its text.
    Simple(Vec<Piece>),
}

impl Form {
    /// The form of the statement with number `number` of a scenario.
    pub(super) fn of(protocol: Protocol, sql: &str, number: usize) -> Self {
        match protocol {
            Protocol::Prepared => Self::Prepared(format!("omtdb_{number}")),
            Protocol::Unnamed => Self::Unnamed,
            Protocol::Simple => Self::Simple(pieces(sql)),
        }
    }
}

impl Text {
    /// Makes it ready to be executed over `frontend`.
    pub(super) async fn prepare(&self, frontend: &mut Frontend) -> Result<()> {
        match &self.form {
            Form::Prepared(name) => frontend.prepare(name, &self.sql).await,
            Form::Unnamed | Form::Simple(_) => Ok(()),
        }
    }

    /// Executes it with the values of execution `i` and lets go of the rows as they come. `values` is room that is used
    /// again.
    pub(super) async fn execute(
        &self,
        frontend: &mut Frontend,
        i: u64,
        values: &mut Vec<Value>,
    ) -> Result<()> {
        values.clear();
        self.drawing.draw(i, values);
        match &self.form {
            Form::Prepared(name) => frontend.execute(name, &self.types, values).await,
            Form::Unnamed => frontend.execute_unnamed(&self.sql, &self.types, values).await,
            Form::Simple(pieces) => frontend.simple(&written(pieces, values)).await,
        }
    }
}

/// The statement with its values in place.
fn written(pieces: &[Piece], values: &[Value]) -> String {
    let mut sql = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => sql.push_str(text),
            Piece::Parameter(number) => match values.get(number.wrapping_sub(1)) {
                // After an operator a minus would be read as part of it.
                Some(Value::Int(value)) => {
                    for part in ["(", &value.to_string(), ")"] {
                        sql.push_str(part);
                    }
                }
                Some(value) => sql.push_str(&literal(&value.to_string())),
                None => {}
            },
        }
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_where_their_placeholders_are() {
        let pieces = pieces("SELECT '$1', a - $2 FROM t WHERE b = $1 -- $2");
        let values = [Value::Text("it's".to_owned()), Value::Int(-5)];
        assert_eq!(written(&pieces, &values), "SELECT '$1', a - (-5) FROM t WHERE b = 'it''s' -- $2");
    }
}
