//! From points to steps.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::tree::{ImageTree, Node, node, resolve};
use super::{LayoutError, Step, What};

/// Something to be mounted at a path of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Absolute, as the user or Moorline asked.
    pub target: PathBuf,
    /// What.
    pub what: What,
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
    resolved.sort_by(|a, b| a.target.cmp(&b.target));
    let outermost: Vec<&Point> = resolved
        .iter()
        .filter(|p| !resolved.iter().any(|other| is_below(&p.target, &other.target)))
        .collect();
    let mut steps = Vec::new();
    skeleton(root, tree, Path::new("/"), &outermost, &mut steps)?;
    steps.extend(
        resolved.iter().map(|p| Step::Mount { target: p.target.clone(), what: p.what.clone() }),
    );
    Ok(steps)
}

/// Whether `path` lies below `above` and is not `above` itself.
fn is_below(path: &Path, above: &Path) -> bool {
    path != above && path.starts_with(above)
}

/// Makes one directory of the skeleton: everything that the image has in it, and the mount points.
fn skeleton(
    root: &Path,
    tree: &dyn ImageTree,
    directory: &Path,
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
    let mut names: BTreeSet<OsString> = names.into_iter().collect();
    for point in points {
        if let Ok(rest) = point.target.strip_prefix(directory)
            && let Some(first) = rest.components().next()
        {
            names.insert(first.as_os_str().to_owned());
        }
    }
    for name in names {
        let target = directory.join(name);
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
fn entry(root: &Path, target: PathBuf, found: Option<Node>, steps: &mut Vec<Step>) {
    match found {
        Some(kind @ (Node::Directory | Node::File)) => {
            let source = root.join(target.strip_prefix("/").unwrap_or(&target));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use super::*;
    use crate::job::Access;

    struct Fake(BTreeMap<PathBuf, Node>);

    impl ImageTree for Fake {
        fn node(&self, path: &Path) -> io::Result<Option<Node>> {
            Ok(if path == Path::new("/") {
                Some(Node::Directory)
            } else {
                self.0.get(path).cloned()
            })
        }

        fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
            let below = self.0.keys().filter(|p| p.parent() == Some(path));
            Ok(below.filter_map(|p| Some(p.file_name()?.to_owned())).collect())
        }
    }

    /// `dir/` is a directory, `a>b` a link.
    fn image(text: &str) -> Fake {
        Fake(
            text.split_whitespace()
                .map(|word| {
                    if let Some((link, to)) = word.split_once('>') {
                        (link.into(), Node::Link(to.into()))
                    } else if let Some(dir) = word.strip_suffix('/') {
                        (dir.into(), Node::Directory)
                    } else {
                        (word.into(), Node::File)
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
                Step::Directory { target } => format!("{}/", target.display()),
                Step::File { target } => target.display().to_string(),
                Step::Link { target, to } => format!("{}>{}", target.display(), to.display()),
                Step::Image { source, target } => {
                    format!("{}={}", source.display(), target.display())
                }
                Step::Mount { target, .. } => format!("@{}", target.display()),
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
        assert_eq!(resolve(&tree, Path::new("/etc/passwd")).unwrap(), Path::new("/host/passwd"));
        assert_eq!(resolve(&tree, Path::new("/run/x/../y")).unwrap(), Path::new("/var/run/y"));
        assert!(matches!(resolve(&tree, Path::new("/a/x")), Err(LayoutError::Links(_))));
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
