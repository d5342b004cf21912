//! What every verb needs: the global flags, the environment, the directories, the configuration.
//!
//! The only file that reads the process's environment and home directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{CliError, Report, Voice};
use crate::failure::Kind;

/// Flags that stand before or after any verb.
#[derive(Debug, Args)]
pub struct Global {
    /// Say only errors, warnings and data
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more of what is done; twice for traces of the network (never a secret)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Read this file instead of the user configuration
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Allow plain http, or a certificate that cannot be verified, for this registry
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// Trust the certificates of this PEM file as well
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
}
