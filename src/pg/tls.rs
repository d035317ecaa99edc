//! Encryption of sessions, with libpq's six modes.
