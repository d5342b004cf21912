//! Whether this machine's processor runs an image, asked before anything of it is started.
//!
//! ```text
//! its processor       the SIF's; of an archive or a published tree the pin's: this machine's own, one that it runs too (386 on amd64), or one for which
//!                     binfmt_misc has a program (qemu)
//! the image's variant amd64/v2, v3, v4: every flag of /proc/cpuinfo that it stands for
//! ```
//!
//! The variant is the pin's; of an image in an archive, which has none, the plan's (`terms.platform`).
//! What is not known refuses nothing: a SIF of the user's says no variant, some kernels have no flags.
//! Sources: x86-64 psABI, "Micro-Architecture Levels"; Linux `admin-guide/binfmt-misc.rst`.

use std::fs::{self, File};
use std::path::Path;

use super::ExecuteError;
use crate::elf::MACHINES;
use crate::oci::Platform;
use crate::sif::SifReader;

const CPUINFO: &str = "/proc/cpuinfo";
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// What each level of amd64 adds, by the kernel's names.
const LEVELS: [(&str, &[&str]); 3] = [
    ("v2", &["cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"]),
    ("v3", &["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]),
    ("v4", &["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"]),
];

/// Refuses an image that this machine cannot run.
///
/// # Errors
/// [`ExecuteError::Processor`] says what is missing.
pub(super) fn check(platform: Option<&Platform>, sif: Option<&File>) -> Result<(), ExecuteError> {
    let own = Platform::host();
    // who runs it says what is wrong with a file that cannot be read
    let partition =
        sif.and_then(|sif| sif.try_clone().ok()).and_then(|file| SifReader::open(file).ok());
    let partition = partition.and_then(|sif| sif.partition().ok());
    let of_sif = partition.and_then(|partition| partition.arch.name()).map(str::to_owned);
    // an archive or a published tree is what its pin says
    let of_pin = || platform.map(Platform::go_architecture).filter(|name| !name.is_empty());
    let needed = if sif.is_some() { of_sif } else { of_pin() };
    if let Some(name) = needed.as_deref()
        && !runs(&own.architecture, name)
        && !has_program(Path::new(BINFMT), name)
    {
        let needs = "another processor, and binfmt_misc has no program for that one".to_owned();
        return Err(ExecuteError::Processor { image: format!("linux/{name}"), needs });
    }
    let Some(platform) = platform else { return Ok(()) };
    if platform.go_architecture() != own.architecture {
        return Ok(());
    }
    let flags = fs::read_to_string(CPUINFO).ok().and_then(|text| flags(&text));
    let lacks = flags.map(|flags| lacking(platform, &flags)).unwrap_or_default();
    if lacks.is_empty() {
        return Ok(());
    }
    let needs = format!("a younger processor: this one has no {}", lacks.join(", "));
    Err(ExecuteError::Processor { image: platform.to_string(), needs })
}

/// Whether a processor runs programs of another without help.
fn runs(own: &str, other: &str) -> bool {
    own == other || matches!((own, other), ("amd64", "386") | ("arm64", "arm"))
}

/// The flags of the first processor.
fn flags(cpuinfo: &str) -> Option<Vec<String>> {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("flags"))?;
    let words = line.split_once(':')?.1;
    Some(words.split_whitespace().map(str::to_owned).collect())
}

/// The flags that a variant of amd64 needs and that are not there.
fn lacking(platform: &Platform, flags: &[String]) -> Vec<&'static str> {
    let variant = platform.variant.as_deref().unwrap_or_default();
    let known = LEVELS.iter().position(|(name, _)| *name == variant);
    let Some(last) = known.filter(|_| platform.go_architecture() == "amd64") else {
        return Vec::new();
    };
    let needed = LEVELS[..=last].iter().flat_map(|(_, needed)| needed.iter());
    needed.filter(|flag| flags.iter().all(|f| f != **flag)).copied().collect()
}

/// Whether the kernel starts a program of this processor with another program's help.
fn has_program(binfmt: &Path, name: &str) -> bool {
    let Some((_, class, order, number)) = MACHINES.iter().find(|(n, ..)| *n == name) else {
        return false;
    };
    let mut header = [0; 20];
    header[..7].copy_from_slice(&[0x7F, b'E', b'L', b'F', *class, *order, 1]);
    header[16..].copy_from_slice(&match order {
        1 => [[2, 0], number.to_le_bytes()].concat(),
        _ => [[0, 2], number.to_be_bytes()].concat(),
    });
    let Ok(entries) = fs::read_dir(binfmt) else { return false };
    entries
        .flatten()
        .any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| takes(&text, &header)))
}

/// Whether an entry of `binfmt_misc` is for files that begin like this.
fn takes(entry: &str, header: &[u8]) -> bool {
    let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bytes = |hex: &str| -> Option<Vec<u8>> {
        let pairs = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2));
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    };
    if !entry.starts_with("enabled") || field("offset").is_some_and(|at| at != "0") {
        return false;
    }
    let Some(magic) = field("magic").and_then(bytes).filter(|magic| !magic.is_empty()) else {
        return false;
    };
    let mask = field("mask").and_then(bytes).unwrap_or_else(|| vec![0xFF; magic.len()]);
    mask.len() == magic.len()
        && magic.len() <= header.len()
        && magic.iter().zip(&mask).zip(header).all(|((m, mask), byte)| m & mask == byte & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_need_their_flags_and_those_below() {
        let of = |text: &str| text.parse::<Platform>().unwrap();
        let old =
            "processor\t: 0\nflags\t\t: fpu cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3 avx\n";
        let flags = flags(old).unwrap();
        for name in ["linux/amd64", "linux/amd64/v1", "linux/amd64/v2", "linux/arm64/v8"] {
            assert!(lacking(&of(name), &flags).is_empty(), "{name}");
        }
        let lacks = lacking(&of("linux/amd64/v3"), &flags);
        assert_eq!(lacks, ["abm", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]);
        assert_eq!(lacking(&of("linux/x86_64/v4"), &flags).len(), 13);
        assert_eq!(super::flags("processor : 0\nFeatures : fp asimd\n"), None);
    }

    #[test]
    fn without_a_sif_the_pin_says_the_processor() {
        let own = Platform::host();
        check(Some(&own), None).unwrap();
        check(None, None).unwrap();
        check(Some(&Platform::unknown()), None).unwrap();
        // no machine of today, so no program of binfmt_misc is for it
        let other: Platform = "linux/z80".parse().unwrap();
        let error = check(Some(&other), None).unwrap_err();
        assert!(matches!(error, ExecuteError::Processor { .. }), "{error}");
        assert!(error.to_string().contains("linux/z80"), "{error}");
    }

    #[test]
    fn who_runs_what() {
        assert!(runs("amd64", "amd64") && runs("amd64", "386") && runs("arm64", "arm"));
        assert!(!runs("amd64", "arm64") && !runs("386", "amd64"));
    }

    #[test]
    fn programs_of_binfmt_misc() {
        let dir = tempfile::tempdir().unwrap();
        // as Debian's qemu-user-static registers it
        let magic = "7f454c460201010000000000000000000200b700";
        let mask = "ffffffffffffff00fffffffffffffffffeffffff";
        let entry = |state: &str| {
            format!(
                "{state}\ninterpreter /usr/libexec/qemu\nflags: F\noffset 0\nmagic {magic}\nmask {mask}\n"
            )
        };
        fs::write(dir.path().join("status"), "enabled\n").unwrap();
        assert!(!has_program(dir.path(), "arm64"));
        fs::write(dir.path().join("qemu-aarch64"), entry("enabled")).unwrap();
        assert!(has_program(dir.path(), "arm64"));
        assert!(!has_program(dir.path(), "s390x") && !has_program(dir.path(), "z80"));
        fs::write(dir.path().join("qemu-aarch64"), entry("disabled")).unwrap();
        assert!(!has_program(dir.path(), "arm64"));
        assert!(!has_program(&dir.path().join("nothing"), "arm64"));
    }
}
