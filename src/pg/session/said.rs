//! What a server says in words: errors and notices.
//!
//! <https://www.postgresql.org/docs/current/protocol-error-fields.html>: fields, each a letter and a text that ends with a
//! zero; a zero ends them.

use tokio::sync::mpsc::UnboundedSender;

use super::framing::Part;
use super::notice;
use crate::pg::error::Refusal;

/// As much of one message is kept.
const MOST_BYTES: usize = 16 << 20;

/// Puts messages together from their parts.
#[derive(Debug, Default)]
pub(super) struct Said {
    body: Vec<u8>,
    refusal: Option<Refusal>,
    /// A notice that the session is about to end.
    farewell: Option<Refusal>,
}

/// The fields of a message that people need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields {
    /// As the protocol knows it. Servers also tell it in their language, before; a pooler tells it once.
    severity: String,
    sqlstate: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Fields {
    fn of(body: &[u8]) -> Self {
        let mut fields = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((letter, text)) = field.split_first() else { break };
            let text = String::from_utf8_lossy(text).into_owned();
            match letter {
                b'S' | b'V' => fields.severity = text,
                b'C' => fields.sqlstate = text,
                b'M' => fields.message = text,
                b'D' => fields.detail = Some(text),
                b'H' => fields.hint = Some(text),
                _ => {}
            }
        }
        fields
    }

    /// Whether the server ends the session with it.
    fn is_end(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    /// Whether it tells that the server is going down. Where another backend has crashed, that is but a warning.
    fn is_farewell(&self) -> bool {
        self.sqlstate.starts_with("57P")
    }

    fn into_refusal(self) -> Refusal {
        let Self { sqlstate, message, detail, hint, .. } = self;
        Refusal { sqlstate, message, detail, hint }
    }
}

impl Said {
    /// Takes a part of an error; tells whether it is whole and ends the session.
    pub(super) fn error(&mut self, part: &Part<'_>) -> bool {
        let Some(fields) = self.whole(part) else { return false };
        let is_end = fields.is_end();
        self.refusal.get_or_insert_with(|| fields.into_refusal());
        is_end
    }

    /// Takes a part of a notice, and passes it on when it is whole: to `notices`, or to the log.
    pub(super) fn notice(&mut self, part: &Part<'_>, notices: Option<&UnboundedSender<String>>) {
        let Some(fields) = self.whole(part) else { return };
        let Fields { severity, sqlstate, message, hint, .. } = &fields;
        match notices {
            _ if fields.is_farewell() => {
                notice::log(severity, sqlstate, message, hint.as_deref());
                self.farewell = Some(fields.into_refusal());
            }
            // Nobody listens any more: nobody misses it.
            Some(notices) => drop(notices.send(fields.message)),
            None => notice::log(severity, sqlstate, message, hint.as_deref()),
        }
    }

    /// What the server said of its end, if the session is over.
    pub(super) fn farewell(&mut self) -> Option<Refusal> {
        self.farewell.take()
    }

    /// What the server has refused since this was asked last.
    pub(super) fn refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    fn whole(&mut self, part: &Part<'_>) -> Option<Fields> {
        let room = MOST_BYTES - self.body.len();
        self.body.extend_from_slice(&part.body[..part.body.len().min(room)]);
        if !part.is_last {
            return None;
        }
        let fields = Fields::of(&self.body);
        self.body.clear();
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    const FATAL: &[u8] = b"SFATAL\0VFATAL\0C57P01\0Mterminating\0Dwhy\0Hdo\0Fpostgres.c\0\0";

    fn part(body: &[u8], is_last: bool) -> Part<'_> {
        Part { tag: b'E', body, is_last }
    }

    #[test]
    fn an_error_is_put_together() {
        let mut said = Said::default();
        assert!(!said.error(&part(&FATAL[..20], false)) && said.refusal().is_none());
        assert!(said.error(&part(&FATAL[20..], true)));
        let refusal = said.refusal().unwrap();
        assert_eq!((refusal.sqlstate.as_str(), refusal.message.as_str()), ("57P01", "terminating"));
        assert_eq!((refusal.detail.as_deref(), refusal.hint.as_deref()), (Some("why"), Some("do")));
        assert!(said.refusal().is_none());
    }

    #[test]
    fn the_first_of_two_errors_counts() {
        let mut said = Said::default();
        assert!(!said.error(&part(b"VERROR\0C42P01\0Mfirst\0\0", true)));
        said.error(&part(FATAL, true));
        assert_eq!(said.refusal().unwrap().message, "first");
    }

    #[test]
    fn notices_reach_whoever_listens() {
        let (notices, mut told) = unbounded_channel();
        let mut said = Said::default();
        said.notice(&part(b"VLOG\0Mplan\0\0", true), Some(&notices));
        assert_eq!(told.try_recv().unwrap(), "plan");
    }

    #[test]
    fn a_warning_of_the_end_is_no_refusal_yet() {
        let mut said = Said::default();
        said.notice(&part(b"SWARNING\0VWARNING\0C57P02\0Mterminating because of a crash\0\0", true), None);
        assert!(said.refusal().is_none());
        assert_eq!(said.farewell().unwrap().sqlstate, "57P02");
    }

    #[test]
    fn a_message_without_end_takes_no_more_memory() {
        let mut said = Said::default();
        for _ in 0..3 {
            said.error(&part(&vec![b'M'; MOST_BYTES], false));
        }
        assert_eq!(said.body.len(), MOST_BYTES);
        said.error(&part(b"\xff\0\0", true));
        assert!(said.refusal().unwrap().message.starts_with("MMM"));
    }
}
