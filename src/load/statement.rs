//! A statement in the form in which it is sent, by one of three protocols.

use futures_util::{StreamExt as _, pin_mut};
use tokio_postgres::Statement as Prepared;
use tokio_postgres::types::{ToSql, Type};

use crate::pg::Session;
use crate::pg::ident::literal;
use crate::scenario::draw::{Drawing, Value};
use crate::scenario::{Piece, pieces};

/// A statement of an operation, for all connections alike.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) sql: String,
    pub(super) drawing: Drawing,
    /// Types of its parameters, where they are sent with it.
    pub(super) types: Vec<Type>,
}

/// A statement as one connection sends it.
pub(super) enum Form {
    /// By its name.
    Prepared(Prepared),
    /// With its text and the types of its parameters.
    Unnamed,
    /// With the values in its text.
    Simple(Vec<Piece>),
}

impl Form {
    pub(super) fn simple(text: &Text) -> Self {
        Self::Simple(pieces(&text.sql))
    }

    /// Executes `text` with the values of execution `i` and lets go of the rows as they come. `values` is room that is used
    /// again.
    pub(super) async fn execute(
        &self,
        session: &Session,
        text: &Text,
        i: u64,
        values: &mut Vec<Value>,
    ) -> Result<(), tokio_postgres::Error> {
        values.clear();
        text.drawing.draw(i, values);
        match self {
            Self::Prepared(statement) => {
                let bound = values.iter().map(|value| value as &(dyn ToSql + Sync));
                let rows = session.query_raw(statement, bound).await?;
                pin_mut!(rows);
                while let Some(row) = rows.next().await {
                    row?;
                }
            }
            Self::Unnamed => {
                let values = values.iter().map(|value| value as &(dyn ToSql + Sync));
                let bound = values.zip(text.types.iter().cloned());
                let rows = session.query_typed_raw(&text.sql, bound).await?;
                pin_mut!(rows);
                while let Some(row) = rows.next().await {
                    row?;
                }
            }
            Self::Simple(pieces) => {
                let messages = session.simple_query_raw(&written(pieces, values)).await?;
                pin_mut!(messages);
                while let Some(message) = messages.next().await {
                    message?;
                }
            }
        }
        Ok(())
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
