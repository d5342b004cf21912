//! Which of the machine's programs come into the image, and how its shell is started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::tree::{Node, Tree, read_bounded};
use super::{DemoImageError, libraries};
use crate::elf;
use crate::files;

/// The one program that must be there.
const SHELL: &str = "/bin/sh";
/// Programs that come along where the machine has them, most wanted first.
const TOOLS: [&str; 18] = [
    "cat",
    "ls",
    "id",
    "env",
    "sha256sum",
    "uname",
    "sleep",
    "true",
    "false",
    "pwd",
    "date",
    "head",
    "wc",
    "mkdir",
    "touch",
    "cp",
    "rm",
    "stat",
];
/// Where programs are on machines that follow the file system hierarchy standard; `PATH` of the
/// image names them as well.
const STANDARD: [&str; 2] = ["/usr/bin", "/bin"];
/// Links and directories that a merged-usr machine has at its root.
const ROOTS: [&str; 7] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr/sbin"];
/// No tool is taken that would make the image's files larger than this together.
const WANTED_BYTES: u64 = 24 << 20;
/// No shell is taken that, with its libraries, is larger than this.
const MOST_BYTES: u64 = 64 << 20;

/// How to start the image's shell from a directory into which the image was unpacked, without any
/// isolation: through the image's own program interpreter and libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// The shell's file in the image, behind all links.
    pub shell: PathBuf,
    /// Its program interpreter, behind all links; `None` for a static shell.
    pub interpreter: Option<PathBuf>,
    /// The directories of its libraries.
    pub library_path: Vec<PathBuf>,
}

impl Launcher {
    /// Program and first arguments; what follows is for the shell (`-c`, a script, ...). Paths
    /// that contain `:` are not served, because the interpreter splits at it.
    #[must_use]
    pub fn argv(&self, root: &Path) -> Vec<std::ffi::OsString> {
        let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let mut argv = Vec::new();
        if let Some(interpreter) = &self.interpreter {
            let path: Vec<PathBuf> = self.library_path.iter().map(|p| inside(p)).collect();
            let mut joined = std::ffi::OsString::new();
            for (i, directory) in path.iter().enumerate() {
                joined.push(if i == 0 { "" } else { ":" });
                joined.push(directory);
            }
            argv.extend([inside(interpreter).into(), "--library-path".into(), joined]);
        }
        argv.push(inside(&self.shell).into());
        // these look at their own name, which is now the file's and not `sh`
        let name = self.shell.file_name().and_then(|n| n.to_str());
        if matches!(name, Some("busybox" | "toybox")) {
            argv.push("sh".into());
        }
        argv
    }
}

/// A program of the machine and the files that it needs.
struct Program {
    path: PathBuf,
    interpreter: Option<PathBuf>,
    /// The interpreter's list, itself included.
    libraries: Vec<PathBuf>,
}

impl Program {
    fn look(path: &Path) -> Result<Self, DemoImageError> {
        let unread = |source| DemoImageError::Read { path: path.to_owned(), source };
        // $ORIGIN of a library path is relative to the real file
        let real = path.canonicalize().map_err(unread)?;
        let interpreter = elf::interpreter(&read_bounded(&real)?)
            .map_err(|source| DemoImageError::Program { path: path.to_owned(), source })?;
        let libraries = match &interpreter {
            Some(interpreter) => libraries::list(interpreter, &real)?,
            None => Vec::new(),
        };
        Ok(Self { path: path.to_owned(), interpreter, libraries })
    }

    /// The real files that are not yet in `taken`, and their bytes.
    fn new_files(
        &self,
        taken: &BTreeSet<PathBuf>,
    ) -> Result<(BTreeSet<PathBuf>, u64), DemoImageError> {
        let mut files = BTreeSet::new();
        let mut bytes = 0;
        for path in self.libraries.iter().chain([&self.path]) {
            let unread = |source| DemoImageError::Read { path: path.clone(), source };
            let real = path.canonicalize().map_err(unread)?;
            if !taken.contains(&real) && !files.contains(&real) {
                bytes += real.metadata().map_err(unread)?.len();
                files.insert(real);
            }
        }
        Ok((files, bytes))
    }
}

/// Fills layer 0 of `tree` with loader, libraries and links, and layer 1 with the programs.
///
/// `search` names more directories in which tools may be, for machines whose programs are not in
/// `/usr/bin` or `/bin`. A tool that is absent, a script, unreadable or too large is left out.
pub(super) fn gather(tree: &mut Tree, search: &[PathBuf]) -> Result<Launcher, DemoImageError> {
    let shell = Program::look(Path::new(SHELL))?;
    let (mut taken, mut total) = shell.new_files(&BTreeSet::new())?;
    if total > MOST_BYTES {
        return Err(DemoImageError::TooLarge {
            path: SHELL.into(),
            bytes: total,
            limit: MOST_BYTES,
        });
    }
    let mut tools = Vec::new();
    for name in TOOLS {
        // a tool is a gift: whatever is wrong with it, the image is made without it
        let Some(tool) = find(name, search).and_then(|path| Program::look(&path).ok()) else {
            continue;
        };
        let Ok((files, bytes)) = tool.new_files(&taken) else { continue };
        if total + bytes <= WANTED_BYTES {
            total += bytes;
            taken.extend(files);
            tools.push((name, tool));
        }
    }

    for root in ROOTS {
        if tree.host(Path::new(root)).is_symlink() {
            tree.add(Path::new(root))?;
        }
    }
    let mut configuration = BTreeSet::from([PathBuf::from("/etc/ld.so.cache")]);
    for program in [&shell].into_iter().chain(tools.iter().map(|(_, tool)| tool)) {
        for library in &program.libraries {
            tree.add(library)?;
        }
        if let Some(interpreter) = &program.interpreter {
            tree.add(interpreter)?;
            configuration.extend(musl_path_file(interpreter));
        }
    }
    // libraries outside the interpreter's built-in directories are found through these
    for path in configuration {
        if tree.host(&path).is_file() {
            tree.add(&path)?;
        }
    }

    tree.next_layer();
    let file = tree.add(&shell.path)?;
    for (name, tool) in tools {
        if STANDARD.iter().any(|directory| tool.path.starts_with(directory)) {
            tree.add(&tool.path)?;
        } else {
            let target = tree.add(&tool.path)?;
            let link = format!("/usr/bin/{name}");
            if !tree.has(Path::new(&link)) {
                tree.put(&link, Node::Link { target })?;
            }
        }
    }

    let mut library_path: Vec<PathBuf> = Vec::new();
    for library in &shell.libraries {
        let real = tree.add(library)?;
        if let Some(directory) = real.parent().filter(|d| !library_path.iter().any(|p| p == d)) {
            library_path.push(directory.to_owned());
        }
    }
    let interpreter = shell.interpreter.as_deref().map(|path| tree.add(path)).transpose()?;
    Ok(Launcher { shell: file, interpreter, library_path })
}

fn find(name: &str, search: &[PathBuf]) -> Option<PathBuf> {
    let directories = STANDARD.iter().map(PathBuf::from).chain(search.iter().cloned());
    files::in_path(&std::env::join_paths(directories).ok()?, name)
}

/// `/lib/ld-musl-ARCH.so.1` reads `/etc/ld-musl-ARCH.path`.
fn musl_path_file(interpreter: &Path) -> Option<PathBuf> {
    let name = interpreter.file_name()?.to_str()?.strip_suffix(".so.1")?;
    name.starts_with("ld-musl-").then(|| PathBuf::from(format!("/etc/{name}.path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_names_only_files_below_the_root() {
        let mut launcher = Launcher {
            shell: "/usr/bin/dash".into(),
            interpreter: Some("/usr/lib/ld.so".into()),
            library_path: vec!["/usr/lib".into(), "/opt/lib".into()],
        };
        assert_eq!(
            launcher.argv(Path::new("/r")),
            ["/r/usr/lib/ld.so", "--library-path", "/r/usr/lib:/r/opt/lib", "/r/usr/bin/dash"]
        );
        launcher.interpreter = None;
        launcher.shell = "/bin/busybox".into();
        assert_eq!(launcher.argv(Path::new("/r")), ["/r/bin/busybox", "sh"]);
    }

    #[test]
    fn musl_configuration() {
        assert_eq!(
            musl_path_file(Path::new("/lib/ld-musl-x86_64.so.1")),
            Some("/etc/ld-musl-x86_64.path".into())
        );
        assert_eq!(musl_path_file(Path::new("/lib64/ld-linux-x86-64.so.2")), None);
    }
}
