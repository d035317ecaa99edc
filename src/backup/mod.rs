//! Base backups with a continuous write-ahead-log archive, and restores to a point.
