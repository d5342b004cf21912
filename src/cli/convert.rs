//! `moorline convert`: an image as a SIF file.

use std::fs;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::context::Context;
use super::output::{self, CliError, Outcome};
use crate::failure::Kind;
use crate::oci::Platform;
use crate::pin::Codec;

/// Convert an image to a SIF file.
///
/// Without -o the SIF stays in the store and its path is printed.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Image: group/project:tag, registry/..., docker://..., or a name of moorline.toml
    #[arg(value_name = "IMAGE")]
    what: String,
    /// Write the SIF here; an existing file is kept unless --force is given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, requires = "output")]
    force: bool,
    /// Compression inside the SIF; gzip is for kernels before 4.14
    #[arg(long, value_name = "zstd|gzip", default_value = "zstd")]
    compression: Codec,
    /// Compression level; default 3 for zstd, 9 for gzip
    #[arg(long, value_name = "N")]
    level: Option<i32>,
    /// Block size in bytes: a power of two from 4096 to 1048576
    #[arg(long, value_name = "BYTES", default_value_t = 131_072)]
    block_size: u32,
    /// Platform of the image, for example linux/arm64; default: this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
}
