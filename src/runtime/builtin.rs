//! The built-in runtime: which mounts make a container's root out of an image, as a list of steps.
//!
//! Pure: the image is looked at through [`ImageTree`], `execute` carries the steps out in a mount
//! namespace of its own. The image cannot be written, so a mount point that it lacks is made in a
//! skeleton on a tmpfs, which binds the image's own entries beside it:
//!
//! ```text
//! /            tmpfs, read-only in the end
//!   bin        symbolic link as in the image
//!   usr/       bind of the image's /usr, read-only
//!   opt/       skeleton, because /opt/data is asked for and the image has only /opt/tools
//!     tools/   bind of the image's /opt/tools
//!     data/    bind of what the job asked for
//!   proc dev sys tmp etc/hosts work_dir ...
//! ```
//!
//! Symbolic links of the image on the way to a mount point are followed inside the image, never on
//! the machine (CVE-2024-9676), and paths are compared by component: `/scratch` says nothing of
//! `/scratch2` (CVE-2026-48785).

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::job::Access;

/// What is at a path of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link to this text.
    Link(String),
    /// A device, pipe or socket: left out.
    Other,
}

/// An image's tree; paths are absolute in the image and hold no links.
pub trait ImageTree {
    /// What is there, `None` for nothing; links are not followed.
    ///
    /// # Errors
    /// When the tree cannot be read.
    fn node(&self, path: &str) -> io::Result<Option<Node>>;
    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// When the tree cannot be read, or a name is not UTF-8.
    fn names(&self, path: &str) -> io::Result<Vec<String>>;
}

/// What is mounted somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// A file or directory of this machine with everything mounted below it.
    Bind {
        /// Without symbolic links.
        source: PathBuf,
        /// Read only or not.
        access: Access,
        /// Whether it is a directory.
        directory: bool,
    },
    /// A new `/proc` for the container's own processes, else the machine's.
    Proc,
    /// A `/dev` with the harmless devices only.
    Dev,
    /// An empty directory that cannot be written: hides what is below.
    Hidden,
}

impl What {
    fn directory(&self) -> bool {
        !matches!(self, Self::Bind { directory: false, .. })
    }
}

/// Something to be mounted at a path of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Absolute, as the user or Moorline asked.
    pub target: String,
    /// What.
    pub what: What,
}

/// One step; targets are absolute in the container and are taken in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Step {
    /// An empty directory in the skeleton.
    Directory {
        /// Where.
        target: String,
    },
    /// An empty file in the skeleton, to be mounted over.
    File {
        /// Where.
        target: String,
    },
    /// A symbolic link in the skeleton.
    Link {
        /// Where.
        target: String,
        /// Its text.
        to: String,
    },
    /// A part of the image, read-only.
    Image {
        /// Its path on this machine.
        source: PathBuf,
        /// Where.
        target: String,
    },
    /// A mount.
    Mount {
        /// Where.
        target: String,
        /// What.
        what: What,
    },
}

/// Why a container cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Directory over file, or the other way round.
    #[error(
        "cannot mount at {target}: it is a {image} in the image and a {source_kind} on this machine"
    )]
    Kind {
        /// Where.
        target: String,
        /// What the image has there.
        image: &'static str,
        /// What the machine has.
        source_kind: &'static str,
    },
    /// A part of the path is no directory.
    #[error("cannot mount at {target}: {part} is no directory in the image")]
    NotDirectory {
        /// Where.
        target: String,
        /// What is in the way.
        part: String,
    },
    /// The links on the way to it lead in a circle.
    #[error("cannot mount at {0}: too many symbolic links in the image")]
    Links(String),
    /// The image's tree cannot be read.
    #[error("the image's tree cannot be read at {path}: {source}")]
    Tree {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The steps that make a container's root: the image at `root` on this machine, and `points`; of two
/// points with one target the later wins.
///
/// # Errors
/// See [`LayoutError`]. A mount point below another mount is not looked at here: it must exist there.
pub fn layout(
    root: &Path,
    tree: &dyn ImageTree,
    points: &[Point],
) -> Result<Vec<Step>, LayoutError> {
    let mut resolved: Vec<Point> = Vec::new();
    for point in points {
        let target = resolve(tree, &point.target)?;
        resolved.retain(|p| p.target != target);
        resolved.push(Point { target, what: point.what.clone() });
    }
    // parents before children
    resolved.sort_by(|a, b| Path::new(&a.target).cmp(Path::new(&b.target)));
    let outermost: Vec<&Point> = resolved
        .iter()
        .filter(|p| !resolved.iter().any(|other| is_below(&p.target, &other.target)))
        .collect();
    let mut steps = Vec::new();
    skeleton(root, tree, "/", &outermost, &mut steps)?;
    steps.extend(
        resolved.iter().map(|p| Step::Mount { target: p.target.clone(), what: p.what.clone() }),
    );
    Ok(steps)
}

/// Where a path of the container leads when the image's symbolic links are followed inside the
/// image; parts that the image lacks are kept as they are.
///
/// # Errors
/// When links lead in a circle or the tree cannot be read.
pub fn resolve(tree: &dyn ImageTree, path: &str) -> Result<String, LayoutError> {
    let mut rest: Vec<String> = parts(path).rev().map(String::from).collect();
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        let here = format!("/{}", done.join("/"));
        if let Some(Node::Link(to)) = node(tree, &here)? {
            links += 1;
            if links > 40 {
                return Err(LayoutError::Links(path.to_owned()));
            }
            done.pop();
            if to.starts_with('/') {
                done.clear();
            }
            rest.extend(parts(&to).rev().map(String::from));
        }
    }
    Ok(format!("/{}", done.join("/")))
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|p| !p.is_empty() && *p != ".")
}

fn node(tree: &dyn ImageTree, path: &str) -> Result<Option<Node>, LayoutError> {
    tree.node(path).map_err(|source| LayoutError::Tree { path: path.to_owned(), source })
}

/// Whether `path` lies below `above` and is not `above` itself.
fn is_below(path: &str, above: &str) -> bool {
    path != above && Path::new(path).starts_with(above)
}

/// Makes one directory of the skeleton: everything that the image has in it, and the mount points.
fn skeleton(
    root: &Path,
    tree: &dyn ImageTree,
    directory: &str,
    points: &[&Point],
    steps: &mut Vec<Step>,
) -> Result<(), LayoutError> {
    let in_image = node(tree, directory)? == Some(Node::Directory);
    let names = if in_image {
        tree.names(directory)
            .map_err(|source| LayoutError::Tree { path: directory.to_owned(), source })?
    } else {
        Vec::new()
    };
    let mut names: BTreeSet<String> = names.into_iter().collect();
    for point in points {
        if let Ok(rest) = Path::new(&point.target).strip_prefix(directory)
            && let Some(first) = rest.components().next()
        {
            names.insert(first.as_os_str().to_string_lossy().into_owned());
        }
    }
    for name in names {
        let target = format!("{}/{name}", directory.trim_end_matches('/'));
        let found = node(tree, &target)?;
        let below: Vec<&Point> =
            points.iter().filter(|p| is_below(&p.target, &target)).copied().collect();
        if let Some(point) = points.iter().find(|p| p.target == target) {
            check_kind(point, found.as_ref())?;
            steps.push(if point.what.directory() {
                Step::Directory { target }
            } else {
                Step::File { target }
            });
        } else if below.is_empty() {
            entry(root, target, found, steps);
        } else if found.as_ref().is_some_and(|n| *n != Node::Directory) {
            return Err(LayoutError::NotDirectory {
                target: below[0].target.clone(),
                part: target,
            });
        } else if found.is_some() && all_there(tree, &below)? {
            entry(root, target, found, steps);
        } else {
            steps.push(Step::Directory { target: target.clone() });
            skeleton(root, tree, &target, &below, steps)?;
        }
    }
    Ok(())
}

/// Shows an entry of the image as it is.
fn entry(root: &Path, target: String, found: Option<Node>, steps: &mut Vec<Step>) {
    match found {
        Some(kind @ (Node::Directory | Node::File)) => {
            let source = root.join(target.trim_start_matches('/'));
            steps.push(if kind == Node::Directory {
                Step::Directory { target: target.clone() }
            } else {
                Step::File { target: target.clone() }
            });
            steps.push(Step::Image { source, target });
        }
        Some(Node::Link(to)) => steps.push(Step::Link { target, to }),
        Some(Node::Other) | None => {}
    }
}

/// Whether the image has every one of these mount points.
fn all_there(tree: &dyn ImageTree, points: &[&Point]) -> Result<bool, LayoutError> {
    for point in points {
        match node(tree, &point.target)? {
            Some(found) => check_kind(point, Some(&found))?,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn check_kind(point: &Point, found: Option<&Node>) -> Result<(), LayoutError> {
    let name = |directory| if directory { "directory" } else { "file" };
    match found {
        Some(kind) if (*kind == Node::Directory) != point.what.directory() => {
            Err(LayoutError::Kind {
                target: point.target.clone(),
                image: name(*kind == Node::Directory),
                source_kind: name(point.what.directory()),
            })
        }
        _ => Ok(()),
    }
}

/// What the tests of this folder make their jobs from.
#[cfg(test)]
pub(crate) mod testing {
    use crate::job::{Access, JobId, JobSpec, Resources, RuntimeChoice, Terms};
    use crate::oci::{Sha256Digest, SifDigest};
    use crate::pin::Image;
    use crate::runtime::Bind;

    pub(crate) fn job(command: &[&str]) -> JobSpec {
        JobSpec {
            id: JobId::from_parts(1_700_000_000_000, 1),
            name: None,
            image: Image::Sif {
                pin: None,
                manifest: None,
                digest: SifDigest::of(b"x"),
                recipe: None,
                place: "/store/x.sif".into(),
            },
            command: command.iter().map(|w| (*w).to_owned()).collect(),
            mounts: vec![],
            env: vec![],
            runtime: RuntimeChoice::Auto,
            options: vec![],
            resources: Resources::default(),
            workdir: None,
            rerun_of: None,
            terms: Terms::default(),
        }
    }

    pub(in crate::runtime) fn bind(source: &str, target: &str, access: Access) -> Bind {
        Bind { source: source.into(), target: target.into(), access, directory: true }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Fake(BTreeMap<String, Node>);

    impl ImageTree for Fake {
        fn node(&self, path: &str) -> io::Result<Option<Node>> {
            Ok(if path == "/" { Some(Node::Directory) } else { self.0.get(path).cloned() })
        }

        fn names(&self, path: &str) -> io::Result<Vec<String>> {
            let above = format!("{}/", path.trim_end_matches('/'));
            Ok(self
                .0
                .keys()
                .filter_map(|p| p.strip_prefix(&above))
                .filter(|p| !p.contains('/'))
                .map(String::from)
                .collect())
        }
    }

    /// `dir/` is a directory, `a>b` a link.
    fn image(text: &str) -> Fake {
        Fake(
            text.split_whitespace()
                .map(|word| {
                    if let Some((link, to)) = word.split_once('>') {
                        (link.to_owned(), Node::Link(to.to_owned()))
                    } else if let Some(dir) = word.strip_suffix('/') {
                        (dir.to_owned(), Node::Directory)
                    } else {
                        (word.to_owned(), Node::File)
                    }
                })
                .collect(),
        )
    }

    fn point(target: &str, directory: bool) -> Point {
        let source = PathBuf::from("/src");
        let what = What::Bind { source, access: Access::Rw, directory };
        Point { target: target.into(), what }
    }

    fn show(tree: &Fake, points: &[Point]) -> Result<String, LayoutError> {
        Ok(layout(Path::new("/root"), tree, points)?
            .iter()
            .map(|step| match step {
                Step::Directory { target } => format!("{target}/"),
                Step::File { target } => target.clone(),
                Step::Link { target, to } => format!("{target}>{to}"),
                Step::Image { source, target } => format!("{}={target}", source.display()),
                Step::Mount { target, .. } => format!("@{target}"),
            })
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn layouts() {
        let tree = image(
            "/bin>usr/bin /usr/ /usr/bin/ /opt/ /opt/tools/ /etc/ /etc/hosts /etc/passwd /init",
        );
        for (points, expected) in [
            (
                vec![],
                "/bin>usr/bin /etc/ /root/etc=/etc /init /root/init=/init /opt/ /root/opt=/opt \
                 /usr/ /root/usr=/usr",
            ),
            (
                // there: bound over in place
                vec![point("/etc/hosts", false)],
                "/bin>usr/bin /etc/ /root/etc=/etc /init /root/init=/init /opt/ /root/opt=/opt \
                 /usr/ /root/usr=/usr @/etc/hosts",
            ),
            (
                // not there: a skeleton on the way to it
                vec![point("/opt/data/x", true)],
                "/bin>usr/bin /etc/ /root/etc=/etc /init /root/init=/init /opt/ /opt/data/ \
                 /opt/data/x/ /opt/tools/ /root/opt/tools=/opt/tools /usr/ /root/usr=/usr \
                 @/opt/data/x",
            ),
            (
                // through a link of the image, one point below another, one name a prefix of another
                vec![
                    point("/s/in", true),
                    point("/s", true),
                    point("/s2", true),
                    point("/bin/x", false),
                ],
                "/bin>usr/bin /etc/ /root/etc=/etc /init /root/init=/init /opt/ /root/opt=/opt \
                 /s/ /s2/ /usr/ /usr/bin/ /usr/bin/x @/s @/s/in @/s2 @/usr/bin/x",
            ),
        ] {
            assert_eq!(show(&tree, &points).unwrap(), expected);
        }
    }

    #[test]
    fn of_two_points_with_one_target_the_later_wins() {
        let hidden = Point { target: "/a/".into(), what: What::Hidden };
        let steps = layout(Path::new("/r"), &image(""), &[point("/a", true), hidden]).unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1], Step::Mount { target: "/a".into(), what: What::Hidden });
    }

    #[test]
    fn links_stay_in_the_image() {
        let tree = image(
            "/etc/ /etc/passwd>../../../host/passwd /a>/b /b>/a /run>/var/run /var/ /var/run/",
        );
        assert_eq!(resolve(&tree, "/etc/passwd").unwrap(), "/host/passwd");
        assert_eq!(resolve(&tree, "/run/x/../y").unwrap(), "/var/run/y");
        assert!(matches!(resolve(&tree, "/a/x"), Err(LayoutError::Links(_))));
    }

    #[test]
    fn refusals() {
        let tree = image("/file /dir/");
        assert!(matches!(show(&tree, &[point("/file", true)]), Err(LayoutError::Kind { .. })));
        assert!(matches!(show(&tree, &[point("/dir", false)]), Err(LayoutError::Kind { .. })));
        assert!(matches!(
            show(&tree, &[point("/file/x", true)]),
            Err(LayoutError::NotDirectory { .. })
        ));
    }
}
