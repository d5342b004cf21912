//! The recipe of a conversion: everything besides the image that decides the SIF's bytes.
//!
//! Same manifest digest + same recipe = the same bytes. The recipe stands in the SIF and in the
//! ledger; [`Recipe::key`] names it in the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Squashfs compressors that Moorline writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// zstd; needs Linux 4.14 or a squashfuse built with it.
    Zstd,
    /// gzip, for older kernels.
    Gzip,
    /// lz4: quick to make and to read, larger; needs Linux 3.19.
    Lz4,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
        })
    }
}

impl FromStr for Codec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "zstd" => Ok(Self::Zstd),
            "gzip" => Ok(Self::Gzip),
            "lz4" => Ok(Self::Lz4),
            other => Err(format!("unknown compression {other:?}: zstd, gzip or lz4")),
        }
    }
}

/// Every option that changes the bytes of a SIF.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipe {
    /// The version of this document.
    pub schema: u32,
    /// The version of the layout rule: order of files, deduplication, fragments.
    pub layout: u32,
    /// The version of the `.singularity.d` files that are added.
    pub template: u32,
    /// The compressor.
    pub codec: Codec,
    /// The compressor library's version, for example `1.5.7`.
    pub codec_version: String,
    /// Its level.
    pub level: i32,
    /// Squashfs block size in bytes; a power of two from 4 KiB to 1 MiB.
    pub block_size: u32,
}

impl Recipe {
    /// Whether the SIF has a hash tree: since layout 7.
    #[must_use]
    pub fn has_tree(&self) -> bool {
        self.layout >= 7
    }

    /// A short name for file names: `l1-t4-zstd1.5.7-3-128k`.
    #[must_use]
    pub fn key(&self) -> String {
        format!(
            "l{}-t{}-{}{}-{}-{}k",
            self.layout,
            self.template,
            self.codec,
            self.codec_version,
            self.level,
            self.block_size / 1024
        )
    }
}
