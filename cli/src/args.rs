//! Options that several commands share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use omcp_proto::v1::SettingsValidation;

use crate::output::Format;
use crate::output::time;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Form of the output
    #[arg(short, long, global = true, value_name = "FORMAT", help_heading = "Global options")]
    pub output: Option<Format>,

    /// Admin address of the control plane
    #[arg(
        long,
        global = true,
        env = "OMCP_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:4181",
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub server: String,

    /// Longest wait for an answer of the control plane
    #[arg(long, global = true, default_value = "10s", value_parser = time::parse, value_name = "DURATION",
        help_heading = "Global options")]
    pub timeout: Duration,

    /// When to use colours; NO_COLOR, CLICOLOR_FORCE and TERM=dumb are honoured
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN", help_heading = "Global options")]
    pub color: Color,

    /// Say more about what happens
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// Options of every command that sends definitions.
#[derive(Args, Clone, Copy, Debug)]
pub struct CheckOptions {
    /// Refuse runtime types that no node has described yet, instead of warning
    #[arg(long)]
    pub strict: bool,

    /// What to do about settings that their runtime type forbids
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub validate: Validate,
}

/// What to do about settings that their runtime type forbids.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Validate {
    /// Refuse everything, with all mistakes at once
    #[default]
    Refuse,
    /// Warn and send them all the same: each node rejects what it cannot build, and says why
    Warn,
}

impl From<Validate> for SettingsValidation {
    fn from(validate: Validate) -> Self {
        match validate {
            Validate::Refuse => Self::Refuse,
            Validate::Warn => Self::Warn,
        }
    }
}

/// Options of every command that changes something.
#[derive(Args, Clone, Debug)]
pub struct WriteOptions {
    /// Let the control plane check everything and write nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,

    /// Wait until every node is done with it
    #[arg(long)]
    pub wait: bool,

    /// Longest wait of --wait
    #[arg(long, default_value = "60s", value_parser = time::parse, value_name = "DURATION", requires = "wait")]
    pub wait_timeout: Duration,
}
