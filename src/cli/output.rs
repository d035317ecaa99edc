//! Standard output and standard error.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    color: bool,
}

impl Output {
    pub(crate) fn new(json: bool, choice: ColorChoice) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match choice {
            ColorChoice::Auto => !plain && io::stdout().is_terminal(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Self { json, color }
    }

    /// Writes a result: `text` for people, or `value` as the one JSON document of `--json`.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl fmt::Display) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut stdout, value).map_err(io::Error::from)?;
            writeln!(stdout)?;
        } else {
            let text = text.to_string();
            if !text.is_empty() {
                writeln!(stdout, "{}", text.trim_end())?;
            }
        }
        Ok(stdout.flush()?)
    }

    /// Whether colours are wanted on standard output.
    pub(crate) fn color(&self) -> bool {
        self.color
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes an error with its causes on standard error.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let mut stderr = io::stderr().lock();
        // There is nowhere left to report that standard error is closed.
        drop(writeln!(stderr, "error: {error:#}"));
    }
}

/// Rows in columns under `header`, for people; cut to no width, so that names can be copied whole.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    table.force_no_tty().load_style(comfy_table::presets::NOTHING).set_header(header);
    for row in rows {
        // A name in a database may hold what a terminal would obey.
        table.add_row(row.map(|cell| cell.replace(char::is_control, " ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Sends the log of this process and its libraries to standard error.
pub(crate) fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "omtdb=info,warn",
        _ => "omtdb=debug,info",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(io::stderr)
        .without_time()
        .with_target(false)
        .init();
}
