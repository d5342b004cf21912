//! The libraries of NVIDIA's driver on this machine. They must be of the very version that runs in the kernel, so no
//! image has them; apptainer (`--nv`, its `nvliblist.conf`) and NVIDIA's toolkit look for the same ones.
//!
//! Neutral loaders (`libGL`, `libOpenCL`) are the image's own business. AMD's programs bring their libraries.
//!
//! ```text
//! /etc/ld.so.cache        an old cache may stand before it: "ld.so-1.7.0\0", u32 n, n entries of 12 bytes, padding to 8
//! 0    "glibc-ld.so.cache1.1"
//! 20   u32 n, u32 length of the texts, u8 flags ...
//! 48   n entries of 24 bytes: i32 flags, u32 name, u32 path, u32 version, u64 hardware
//!      name, path: where a NUL-ended text begins, counted from the magic bytes
//! ```
//!
//! Numbers are in the machine's own byte order. Source: glibc, `sysdeps/generic/dl-cache.h`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::found::{Found, Vendor};
use crate::elf;
use crate::execute::ExecuteError;
use crate::files::ForeignFile;
use crate::job::Access;
use crate::oci::Platform;
use crate::runtime::Bind;

/// Where the program finds them.
pub(in crate::execute) const PLACE: &str = "/run/moorline/gpu/lib";
/// Where the driver's tool is.
const TOOL: &str = "/run/moorline/gpu/bin/nvidia-smi";

const CACHE: &str = "etc/ld.so.cache";
/// A cache of 10,000 libraries has some 500 kB.
const MOST: u64 = 64 << 20;
/// The library without which nothing works.
const NEEDED: &str = "libcuda.so.1";
/// How the names of the driver's libraries begin.
const OF_DRIVER: [&str; 11] = [
    "libcuda.so.",
    "libcudadebugger.so.",
    "libEGL_nvidia.so.",
    "libGLESv1_CM_nvidia.so.",
    "libGLESv2_nvidia.so.",
    "libGLX_nvidia.so.",
    "libnvcuvid.so.",
    "libnvidia-",
    "libnvoptix.so.",
    "libvdpau_nvidia.so.",
    "libnvsdm.so.",
];

/// What of the driver is to be bound into a container, besides the device nodes.
///
/// # Errors
/// [`ExecuteError::NoGpu`] when its libraries are not there.
pub(in crate::execute) fn binds(found: &Found) -> Result<Vec<Bind>, ExecuteError> {
    match found.vendor {
        Vendor::Nvidia => binds_below(Path::new("/")).map_err(ExecuteError::NoGpu),
        Vendor::Amd => Ok(Vec::new()),
    }
}

/// The same on the machine whose root this is.
fn binds_below(root: &Path) -> Result<Vec<Bind>, String> {
    let of_driver = |name: &str| OF_DRIVER.iter().any(|begin| name.starts_with(begin));
    let mut names = BTreeSet::new();
    let mut binds = Vec::new();
    for (name, path) in cache(root)? {
        let Ok(real) = fs::canonicalize(below(root, &path)) else { continue };
        let plain = !name.contains(['/', ':', ',']) && of_driver(&name);
        if plain && is_for_this_processor(&real) && names.insert(name.clone()) {
            let target = Path::new(PLACE).join(name);
            binds.push(Bind { source: real, target, access: Access::Ro, directory: false });
        }
    }
    if !names.contains(NEEDED) {
        return Err(format!(
            "the driver's library {NEEDED} is not in /{CACHE} (ldconfig -p lists what is there)"
        ));
    }
    if let Ok(tool) = fs::canonicalize(root.join("usr/bin/nvidia-smi")) {
        let target = TOOL.into();
        binds.push(Bind { source: tool, target, access: Access::Ro, directory: false });
    }
    Ok(binds)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn cache(root: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let path = root.join(CACHE);
    let bytes = ForeignFile::own_or_roots(MOST).through_links().bytes(&path);
    let bytes = bytes.map_err(|error| format!("/{CACHE} cannot be read: {error}"))?;
    libraries(&bytes).ok_or_else(|| format!("/{CACHE} is not a cache of libraries"))
}

fn is_for_this_processor(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let here = Platform::host().go_architecture();
    read.is_ok() && elf::processor(&head) == Some(here.as_str())
}

/// Names and paths of a cache, as it has them; `None` for what is no cache.
fn libraries(bytes: &[u8]) -> Option<Vec<(String, PathBuf)>> {
    const OLD: &[u8] = b"ld.so-1.7.0\0";
    const NEW: &[u8] = b"glibc-ld.so.cache1.1";
    const ENTRIES: usize = 48;
    const ENTRY: usize = 24;
    let start = if bytes.starts_with(OLD) {
        let old = usize::try_from(number(bytes, OLD.len())?).ok()?.checked_mul(12)?;
        OLD.len().checked_add(4)?.checked_add(old)?.checked_next_multiple_of(8)?
    } else {
        0
    };
    let cache = bytes.get(start..).filter(|cache| cache.starts_with(NEW))?;
    let count = usize::try_from(number(cache, NEW.len())?).ok()?;
    let entries = cache.get(ENTRIES..)?.get(..count.checked_mul(ENTRY)?)?;
    let text = |at: u32| {
        let rest = cache.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let entry = |entry: &[u8]| {
        Some((text(number(entry, 4)?)?.to_owned(), PathBuf::from(text(number(entry, 8)?)?)))
    };
    // one that points nowhere is left out
    Some(entries.chunks_exact(ENTRY).filter_map(entry).collect())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::found::tests::write;
    use super::*;

    /// A cache as ldconfig writes it.
    fn made(all: &[(&str, &str)], old: bool) -> Vec<u8> {
        let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
        bytes.extend(u32::try_from(all.len()).unwrap().to_ne_bytes());
        bytes.resize(48, 0);
        let mut texts = Vec::new();
        for (name, path) in all {
            let mut at = |text: &str| {
                let at = 48 + 24 * all.len() + texts.len();
                texts.extend(text.bytes().chain([0]));
                u32::try_from(at).unwrap()
            };
            bytes.extend(0x0303_u32.to_ne_bytes());
            bytes.extend(at(name).to_ne_bytes());
            bytes.extend(at(path).to_ne_bytes());
            bytes.extend([0; 12]);
        }
        bytes.extend(texts);
        if !old {
            return bytes;
        }
        let mut both = b"ld.so-1.7.0\0".to_vec();
        both.extend(1_u32.to_ne_bytes());
        both.extend([0; 12 + 4]);
        both.extend(bytes);
        both
    }

    #[test]
    fn both_forms_of_a_cache() {
        let all = [("libcuda.so.1", "/lib/libcuda.so.1"), ("libc.so.6", "/lib/libc.so.6")];
        for old in [false, true] {
            let found = libraries(&made(&all, old)).unwrap();
            let expected = all.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
            assert_eq!(found, expected);
        }
        assert_eq!(libraries(b"ELF"), None);
        assert_eq!(libraries(b""), None);
        assert_eq!(libraries(&made(&all, false)[..60]), None);
    }

    #[test]
    fn the_cache_of_this_machine() {
        let Ok(bytes) = fs::read("/etc/ld.so.cache") else { return };
        let found = libraries(&bytes).unwrap();
        assert!(found.iter().any(|(name, path)| name == "libc.so.6" && path.exists()), "{found:?}");
    }

    #[test]
    fn simulated_driver() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let program = fs::read("/proc/self/exe").unwrap();
        let library = |path: &str, bytes: &[u8]| {
            write(&root, path, "");
            fs::write(root.join(path), bytes).unwrap();
        };
        library("lib/libcuda.so.535", &program[..64]);
        library("lib/libnvidia-ml.so.1", &program[..64]);
        library("lib32/libcuda.so.1", b"\x7fELF\x01\x01\x01............\x03\x00");
        library("lib/libGL.so.1", &program[..64]);
        std::os::unix::fs::symlink("libcuda.so.535", root.join("lib/libcuda.so.1")).unwrap();
        let all = [
            ("libcuda.so.1", "/lib32/libcuda.so.1"),
            ("libcuda.so.1", "/lib/libcuda.so.1"),
            ("libnvidia-ml.so.1", "/lib/libnvidia-ml.so.1"),
            ("libnvidia-gone.so.1", "/lib/libnvidia-gone.so.1"),
            ("libGL.so.1", "/lib/libGL.so.1"),
        ];
        library(CACHE, &made(&all, false));
        let found: Vec<_> =
            binds_below(&root).unwrap().into_iter().map(|b| (b.source, b.target)).collect();
        let at = |source: &str, name: &str| (root.join(source), Path::new(PLACE).join(name));
        let expected = [
            at("lib/libcuda.so.535", "libcuda.so.1"),
            at("lib/libnvidia-ml.so.1", "libnvidia-ml.so.1"),
        ];
        assert_eq!(found, expected);
        library("usr/bin/nvidia-smi", &program[..64]);
        assert_eq!(binds_below(&root).unwrap().pop().unwrap().target, Path::new(TOOL));
        library(CACHE, &made(&all[2..], false));
        let why = binds_below(&root).unwrap_err();
        assert!(why.contains("libcuda.so.1 is not in /etc/ld.so.cache"), "{why}");
        fs::remove_file(root.join(CACHE)).unwrap();
        assert!(binds_below(&root).unwrap_err().contains("cannot be read"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(old: bool, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut cache = made(&[("a", "/b")], old);
            let _ = libraries(&bytes);
            for (at, byte) in bytes.iter().enumerate().take(cache.len()) {
                cache[at] ^= byte;
            }
            let _ = libraries(&cache);
        }
    }
}
