//! `moorline convert`: an image as a SIF file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args as ClapArgs, ValueEnum};

use crate::acquire::{Asked, Conversion, Copied, Obtained, folder};
use crate::cli::args::credential_args::CredentialArgs;
use crate::cli::args::from_gitlab::FromGitlab;
use crate::cli::context::Context;
use crate::cli::context::machine::manners;
use crate::cli::context::push;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::failure::Kind;
use crate::files::{ForeignFile, sha256};
use crate::oci::{Digest, Platform, Sha256Digest};
use crate::pin::{Codec, Recipe};
use crate::sign::SigningKey;
use crate::squashfs;
use crate::stage::verify::Claim;
use crate::store::StoredSif;

/// Convert an image to a SIF file, or to a bare squashfs.
///
/// Without -o the SIF stays in the store and its path is printed.
#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("published").args(["site", "push"]).multiple(true))]
#[command(after_help = "\
Examples:
  moorline convert group/project:v1 -o project.sif
  moorline convert group/project:v1 --to squashfs -o project.squashfs
  moorline convert group/project:v1 --push group/project \\
      --signing-key ~/moorline.key")]
pub struct Args {
    /// Image: group/project:tag, registry/..., docker://..., oci:DIR, oci-archive:FILE,
    /// docker-archive:FILE (with :TAG behind it), or a name of moorline.toml
    #[arg(value_name = "IMAGE")]
    what: Option<String>,
    #[command(flatten)]
    from: FromGitlab,
    /// What is written: sif, or squashfs, the file system of the SIF alone (charliecloud, enroot, pyxis)
    #[arg(long, value_name = "sif|squashfs", default_value = "sif", hide_possible_values = true)]
    to: To,
    /// Write it here; an existing file is kept unless --force is given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, requires = "output")]
    force: bool,
    /// Compression inside the SIF; gzip is for kernels before 4.14
    #[arg(long, value_name = "zstd|gzip|lz4", default_value = "zstd")]
    compression: Codec,
    /// Compression level; default 3 for zstd, 9 for gzip
    #[arg(long, value_name = "N")]
    level: Option<i32>,
    /// zstd level 1: a third less time, some 6 % more bytes
    #[arg(long, conflicts_with_all = ["compression", "level"])]
    fast: bool,
    /// Block size in bytes: a power of two from 4096 to 1048576
    #[arg(long, value_name = "BYTES", default_value_t = 131_072)]
    block_size: u32,
    /// Threads that compress; default: this machine's cores, at most 16, on a login node 4
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Platform of the image, for example linux/arm64; default: this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Also publish the SIF in the site's store ([store] site); for the account that owns it
    #[arg(long, requires = "signing_key")]
    site: bool,
    /// Also put the SIF beside its image in this registry/group/project[:TAG], where others find it
    #[arg(long, value_name = "REF")]
    push: Option<String>,
    /// Sign what is published with the secret key in this file, made by `moorline cache key FILE`
    #[arg(long, value_name = "FILE", requires = "published")]
    signing_key: Option<PathBuf>,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    Sif,
    Squashfs,
}

/// How the SIF is to be made.
///
/// # Errors
/// When level or block size are none of the format's.
fn recipe(args: &Args) -> Result<Recipe, Report> {
    let level = args.level.unwrap_or(match args.compression {
        _ if args.fast => 1,
        Codec::Zstd => 3,
        Codec::Gzip => 9,
        Codec::Lz4 => 1,
    });
    let range = squashfs::levels(args.compression);
    if !range.contains(&level) {
        let (low, high) = (range.start(), range.end());
        let message = format!("--level {level}: {} takes {low} to {high}", args.compression);
        return Err(CliError::usage(message)
            .with_hint(format!("leave it out, or write --level {high} for the smallest file"))
            .into());
    }
    if !args.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&args.block_size) {
        return Err(CliError::usage(format!(
            "--block-size {}: not a power of two from 4096 to 1048576",
            args.block_size
        ))
        .with_hint("leave it out for 131072, which suits most images")
        .into());
    }
    Ok(crate::stage::convert::recipe(args.compression, level, args.block_size))
}

/// The verb: prints the SIF's path.
///
/// # Errors
/// As the steps of the line say; an existing output file is kept.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let recipe = recipe(args)?;
    if let Some(dir) = args.output.as_deref().filter(|path| path.is_dir()) {
        let hint = format!("name a file in it: -o {}", dir.join("IMAGE.sif").display());
        let text = format!("--output {}: this is a directory", dir.display());
        return Err(CliError::usage(text).with_hint(hint).into());
    }
    // an existing SIF may be the very one; whether it is shows when this one is made
    let there = args.output.as_ref().filter(|path| path.symlink_metadata().is_ok() && !args.force);
    match (args.to, there) {
        (To::Sif, Some(output)) if Claim::read(output).is_err() => {
            return Err(exists(output, "is no SIF"));
        }
        (To::Squashfs, _) if args.output.is_none() => {
            return Err(CliError::usage("--to squashfs writes a file: --output FILE is missing")
                .with_hint("the store keeps SIFs; add -o FILE.squashfs")
                .into());
        }
        _ => {}
    }
    if let Some(dir) = args.output.as_deref().map(folder).filter(|dir| !dir.is_dir()) {
        return Err(CliError::usage(format!("--output: there is no directory {}", dir.display()))
            .with_hint(format!("mkdir -p {}", dir.display()))
            .into());
    }
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let asked = Asked::read(context, args.what.as_deref(), args.from.build(), false)?;
    let to = args.push.as_deref().map(|text| push::target(context, text)).transpose()?;
    let key = args.signing_key.as_deref().map(SigningKey::read).transpose()?;
    let registry = asked.what.as_ref().and_then(|what| what.registry(context));
    args.credential.apply(context, [registry, to.as_ref().map(|to| to.registry.clone())])?;
    let conversion = Conversion {
        asked: &asked,
        platform: &platform,
        recipe: &recipe,
        manners: manners(context, args.threads),
    };
    let for_others = args.site || to.is_some();
    let mut made =
        if for_others { conversion.whole(context)? } else { conversion.make(context)? };
    let sif = made.sif()?;
    if let (true, Some(key)) = (args.site, &key) {
        publish(context, &sif, &made.manifest, &recipe, key)?;
    }
    let pushed = match &to {
        Some(to) => {
            let of = (&made.manifest, made.pin.as_ref());
            Some(push::push(context, to, &sif, of, &recipe, key.as_ref())?)
        }
        None => None,
    };
    let mut squashfs = None;
    let path = match &args.output {
        Some(output) if args.to == To::Squashfs => {
            let (now, copied) = conversion.extracted(context, made, output)?;
            made = now;
            squashfs = Some(bare(context, copied, output, there.is_some())?);
            output.clone()
        }
        Some(output) if there.is_some() => {
            let found = Claim::read(output)?.digest;
            if found != sif.digest {
                return Err(exists(output, &format!("is another SIF, {found}")));
            }
            context.voice.say(format!("{} is this SIF already", output.display()));
            output.clone()
        }
        Some(output) => {
            made = conversion.copied(context, made, output)?;
            output.clone()
        }
        None => sif.path.clone(),
    };
    let Obtained { staged, manifest, pin } = made;
    let digest = sif.digest;
    let known = if staged.known { " (known already)" } else { "" };
    context.voice.say(format!("{digest}, {}{known}", output::size(staged.size)));
    if let Some((sha256, size)) = &squashfs {
        context.voice.say(format!("its squashfs is {sha256}, {}", output::size(*size)));
    }
    if context.voice.json {
        document::print(&serde_json::json!({
            "path": path, "sif": digest, "size": staged.size, "known": staged.known,
            "squashfs": squashfs.map(|(sha256, size)| serde_json::json!({"sha256": sha256, "size": size})),
            "recipe": recipe, "manifest": manifest, "pin": pin, "warnings": staged.warnings,
            "counters": staged.done, "signed_by": staged.signed_by, "pushed": pushed,
        }));
    } else {
        output::path(&path);
    }
    Ok(0)
}

/// Gives a bare squashfs its name, unless the very same stands there; its SHA-256 and size.
fn bare(
    context: &Context,
    copied: Copied,
    output: &Path,
    there: bool,
) -> Result<(Digest, u64), Report> {
    let made = (copied.sha256, copied.size);
    if !there {
        copied.published(output, 0o644)?;
        return Ok(made);
    }
    let found = ForeignFile::anyones(u64::MAX).through_links().open(output);
    let found = found.ok().and_then(|opened| sha256(&mut opened.into_file()).ok());
    match found.map(|sum| Digest::from_bytes(sum.sha256)) {
        Some(found) if found == made.0 => {
            context.voice.say(format!("{} is this squashfs already", output.display()));
            Ok(made)
        }
        Some(found) => Err(exists(output, &format!("is another file, {found}"))),
        None => Err(exists(output, "cannot be read")),
    }
}

fn publish(
    context: &Context,
    sif: &StoredSif,
    manifest: &Digest,
    recipe: &Recipe,
    key: &SigningKey,
) -> Result<(), Report> {
    let site = context.site_store().ok_or_else(|| {
        CliError::new(Kind::Configuration, "--site: no site store is configured")
            .with_hint("set site, site_owner and site_keys of [store] in /etc/moorline/config.toml")
    })?;
    let published = site.publish(sif, manifest, recipe, key)?;
    context.voice.say(format!("published {}", published.path.display()));
    Ok(())
}

fn exists(output: &Path, is: &str) -> Report {
    CliError::usage(format!("{} exists already, and {is}", output.display()))
        .with_hint("--force replaces it")
        .into()
}
