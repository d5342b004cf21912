//! Images, points, and the steps that come of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::super::{Node, OUTSIDE, resolve};
use super::*;
use crate::job::Access;

struct Fake(BTreeMap<PathBuf, Node>);

impl ImageTree for Fake {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        Ok(if path == Path::new("/") { Some(Node::Directory) } else { self.0.get(path).cloned() })
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
    Point { target: target.into(), what, role: Role::Asked, supplied: false }
}

fn of(role: Role, target: &str, directory: bool) -> Point {
    Point { role, ..point(target, directory) }
}

/// A machine that has nothing but directories.
fn machine() -> Fake {
    image("/src/ /src/in/ /src/deep/ /src/deep/er/")
}

fn laid(tree: &Fake, points: &[Point]) -> Result<Layout, LayoutError> {
    layout(Ground::Skeleton(Path::new("/root")), (tree, &machine()), points)
}

fn show(tree: &Fake, points: &[Point]) -> Result<String, LayoutError> {
    Ok(laid(tree, points)?
        .steps
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
    let tree =
        image("/bin>usr/bin /usr/ /usr/bin/ /opt/ /opt/tools/ /etc/ /etc/hosts /etc/passwd /init");
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
fn a_served_image_is_asked_for_what_it_lacks_alone() {
    let tree = image("/usr/ /usr/bin/ /etc/ /etc/hosts /proc>usr /a /bin>usr/bin");
    let points = [
        of(Role::Fixed, "/proc", true),
        of(Role::File, "/etc/hosts", false),
        of(Role::File, "/etc/passwd", false),
        point("/bin/x/y", true),
        point("/bin/x/y/in", true),
        point("/usr", true),
    ];
    let laid = |points: &[Point]| layout(Ground::Served, (&tree, &machine()), points).unwrap();
    let shown = |layout: Layout| -> Vec<String> {
        let end = |directory| if directory { "/" } else { "" };
        let name = |l: &Lacking| format!("{}{}", l.target.display(), end(l.directory));
        layout.lacking.iter().map(name).collect()
    };
    let all = laid(&points[..5]);
    let mounts = |step: &Step| matches!(step, Step::Mount { .. });
    assert!(all.steps.iter().all(mounts) && all.steps.len() == 5, "{:?}", all.steps);
    assert_eq!(shown(all), [&format!("{OUTSIDE}/"), "/etc/passwd", "/proc/", "/usr/bin/x/y/"]);
    assert_eq!(shown(laid(&points[5..])), [format!("{OUTSIDE}/")]);
    assert!(laid(&[]).steps.is_empty());
    assert!(
        super::super::layout(Ground::Skeleton(Path::new("/r")), (&tree, &machine()), &[])
            .is_ok_and(|layout| layout.lacking.is_empty())
    );
}

#[test]
fn of_two_points_with_one_target_the_more_important_stays() {
    let ours = of(Role::Default, "/a/", false);
    // also when the mount comes later
    for points in [[point("/a", true), ours.clone()], [ours.clone(), point("/a", true)]] {
        let steps = laid(&image(""), &points).unwrap().steps;
        let what = point("/a", true).what;
        assert_eq!(steps[1..], [Step::Mount { target: "/a".into(), what }]);
    }
    // two that were asked for: none is lost silently, whatever leads them to one place
    let other = Point {
        what: What::Bind { source: "/other".into(), access: Access::Rw, directory: true },
        ..point("/b/./c//", true)
    };
    let error = laid(&image(""), &[point("/b/c", true), other]).unwrap_err().to_string();
    assert!(error.contains("/src:/b/c") && error.contains("/other:/b/./c//"), "{error}");
    assert_eq!(
        laid(&image(""), &[point("/b/c", true), point("//b/c", true)]).unwrap().steps.len(),
        3
    );
}

/// What is mounted by default gives way: every image starts (openwrt's `/var -> tmp` and
/// `/etc/resolv.conf -> /tmp/resolv.conf` among them).
#[test]
fn odd_images_start() {
    let mut tmp = of(Role::Default, "/tmp", true);
    tmp.supplied = true;
    let defaults = [
        of(Role::Fixed, "/proc", true),
        of(Role::File, "/etc/hosts", false),
        tmp,
        of(Role::Default, "/var/tmp", true),
        of(Role::Asked, "/work_dir/in", true),
        of(Role::Fixed, "/work_dir", true),
    ];
    let all = "@/etc/hosts @/proc @/tmp @/var/tmp @/work_dir @/work_dir/in";
    let no_etc = "@/proc @/tmp @/var/tmp @/work_dir @/work_dir/in";
    let no_tmp = "@/etc/hosts @/proc @/var/tmp @/work_dir @/work_dir/in";
    let no_var = "@/etc/hosts @/proc @/tmp @/work_dir @/work_dir/in";
    for (tree, mounts, notes) in [
        ("", all, 0),
        ("/etc/ /etc/hosts /proc/ /tmp/ /var/ /var/tmp/ /work_dir/ /work_dir/x", all, 0),
        // the link itself is replaced
        ("/etc/ /etc/hosts>/tmp/hosts", all, 0),
        ("/etc/ /etc/hosts>/dev/null", all, 0),
        ("/etc/ /etc/hosts>hosts", all, 0),
        ("/etc/ /etc/hosts>/nowhere/hosts", all, 0),
        // steps aside
        ("/etc/ /etc/hosts/", no_etc, 1),
        ("/etc", no_etc, 1),
        ("/etc>etc", no_etc, 1),
        ("/etc>/proc/x", no_etc, 1),
        ("/etc>/work_dir", no_etc, 1),
        ("/tmp", no_tmp, 1),
        ("/tmp>/tmp", no_tmp, 1),
        ("/tmp>/file /file", no_tmp, 1),
        ("/tmp>/work_dir/x", no_tmp, 1),
        ("/var", no_var, 1),
        ("/var>a /a>b /b>/var", no_var, 1),
        // what must be there replaces
        ("/proc", all, 1),
        ("/proc>/nowhere", all, 1),
        ("/proc>/proc", all, 1),
        ("/work_dir", all, 1),
        ("/work_dir>/etc", all, 1),
        ("/work_dir>work_dir", all, 1),
        // an image cannot move what lies in another mount, nor take the place of the machine's root
        ("/work_dir/ /work_dir/in>/tmp/elsewhere", all, 0),
        ("/work_dir>/usr /usr/ /usr/in>/etc", all, 1),
        ("/.moorline-outside/ /.moorline-outside/x", all, 0),
    ] {
        let found = laid(&image(tree), &defaults).unwrap();
        let shown = show(&image(tree), &defaults).unwrap();
        let order = shown.split(' ').filter(|word| word.starts_with('@'));
        assert_eq!(order.collect::<Vec<_>>().join(" "), mounts, "{tree}: {:?}", found.notes);
        assert_eq!(found.notes.len(), notes, "{tree}: {:?}", found.notes);
        assert_eq!(found.covers, [], "{tree}");
        assert!(!shown.contains(OUTSIDE), "{shown}");
    }
    // where the image's link leads is not where the working directory is
    let linked = laid(&image("/work_dir>/usr /usr/ /etc"), &defaults).unwrap();
    assert_eq!(linked.place_of(Path::new("/work_dir/")), Some(Path::new("/work_dir")));
    assert_eq!(linked.place_of(Path::new("/work_dir/in")), Some(Path::new("/work_dir/in")));
    assert_eq!(linked.place_of(Path::new("/etc/hosts")), None);
    // below a mount that a link leads elsewhere
    let led = laid(&image("/l>/usr /usr/"), &[point("/l/d", true)]).unwrap();
    assert_eq!(led.place_below(Path::new("/l/d")), Some("/usr/d".into()));
    assert_eq!(led.place_below(Path::new("/l/d/in/it")), Some("/usr/d/in/it".into()));
    assert_eq!(led.place_below(Path::new("/l/d2")), None);
    // openwrt: /var/tmp is made in our own /tmp; two names of one directory are one mount
    let shown = show(&image("/var>tmp /tmp/"), &defaults).unwrap();
    assert!(shown.contains("@/tmp /tmp/tmp/ @/tmp/tmp"), "{shown}");
    let shown = show(&image("/tmp>var/tmp /var/ /var/tmp/"), &defaults).unwrap();
    assert_eq!(shown.matches('@').count(), 5, "{shown}");
    let shown = show(&image("/etc>/tmp/etc /tmp/"), &defaults).unwrap();
    assert!(shown.contains("@/tmp /tmp/etc/ /tmp/etc/hosts @/tmp/etc/hosts"), "{shown}");
}

#[test]
fn mount_points_are_made_in_directories_that_we_supply() {
    let mut tmp = of(Role::Default, "/tmp", true);
    tmp.supplied = true;
    let dev = Point {
        what: What::Dev { own_shm: false },
        supplied: true,
        ..of(Role::Fixed, "/dev", true)
    };
    let own = [tmp, dev];
    let with = |target: &str, directory| [&own[..], &[point(target, directory)]].concat();
    let tree = image("/tmp/ /link>/dev/x /etc/ /etc/hosts>/dev/null");
    for (points, expected) in [
        (with("/tmp/x509up_u1000", false), "@/tmp /tmp/x509up_u1000 @/tmp/x509up_u1000"),
        (with("/tmp/a/b/c", true), "@/tmp /tmp/a/ /tmp/a/b/ /tmp/a/b/c/ @/tmp/a/b/c"),
        (with("/dev/shm/x", true), "@/dev /dev/shm/ /dev/shm/x/ @/dev/shm/x @/tmp"),
        (with("/dev/fuse", false), "@/dev /dev/fuse @/dev/fuse @/tmp"),
        // the name itself, not what its link leads to
        (with("/etc/hosts", false), "/etc/hosts /link>/dev/x /tmp/ @/dev @/etc/hosts @/tmp"),
        (with("/link/in", true), "@/dev /dev/x/ /dev/x/in/ @/dev/x/in @/tmp"),
    ] {
        let shown = show(&tree, &points).unwrap();
        assert!(shown.ends_with(expected), "{shown}");
        let own_shm = laid(&tree, &points)
            .unwrap()
            .steps
            .contains(&Step::Mount { target: "/dev".into(), what: What::Dev { own_shm: true } });
        assert_eq!(own_shm, expected.contains("shm/x"), "{expected}");
    }
    // over the machine's own, which stays
    let shm = laid(&tree, &with("/dev/shm", true)).unwrap();
    assert_eq!(shm.notes, Vec::<String>::new());
}

#[test]
fn below_the_users_directories_a_mount_point_must_exist() {
    let tree = image("/d/ /f");
    for (inner, directory, expected) in [
        ("/d/in", true, Ok("@/d @/d/in")),
        ("/d/deep/er", true, Ok("@/d @/d/deep/er")),
        ("/d/none", true, Err("there is no /src/none on this machine")),
        ("/d/none", false, Err("(touch /src/none)")),
        ("/d/in", false, Err("it is a directory in /src and a file on this machine")),
    ] {
        // whatever their order
        for points in [
            [point("/d", true), point(inner, directory)],
            [point(inner, directory), point("/d", true)],
        ] {
            match (show(&tree, &points), expected) {
                (Ok(shown), Ok(end)) => assert!(shown.ends_with(end), "{shown}"),
                (Err(error), Err(why)) => {
                    assert!(error.to_string().contains(why), "{error}");
                }
                (found, _) => panic!("{inner}: {found:?}"),
            }
        }
    }
    let file = [point("/f", false), point("/f/x", true)];
    assert!(matches!(show(&tree, &file), Err(LayoutError::NotDirectory { .. })));
}

/// Names are bytes: they come back as they are.
#[test]
fn names_that_are_not_utf_8() {
    let odd = PathBuf::from(OsString::from_vec(b"/o\xffdd".to_vec()));
    let text = OsString::from_vec(b"to\xfe//./".to_vec());
    let tree = Fake(BTreeMap::from([
        (odd.clone(), Node::Directory),
        ("/l".into(), Node::Link(text.clone().into())),
    ]));
    let steps = laid(&tree, &[point("/x", true)]).unwrap().steps;
    let json = serde_json::to_string(&steps).unwrap();
    let back: Vec<Step> = serde_json::from_str(&json).unwrap();
    let link = back.iter().find_map(|step| match step {
        Step::Link { to, .. } => Some(to.as_os_str().as_bytes()),
        _ => None,
    });
    assert_eq!(link, Some(text.as_bytes()));
    assert!(back.contains(&Step::Image {
        source: Path::new("/root").join(odd.strip_prefix("/").unwrap()),
        target: odd,
    }));
}

#[test]
fn links_stay_in_the_image() {
    let tree =
        image("/etc/ /etc/passwd>../../../host/passwd /a>/b /b>/a /run>/var/run /var/ /var/run/");
    assert_eq!(resolve(&tree, Path::new("/etc/passwd")).unwrap(), Path::new("/host/passwd"));
    assert_eq!(resolve(&tree, Path::new("/run/x/../y")).unwrap(), Path::new("/var/run/y"));
    assert!(matches!(resolve(&tree, Path::new("/a/x")), Err(LayoutError::Links(_))));
}

#[test]
fn refusals() {
    let tree = image("/file /dir/ /circle>circle /to>/file");
    for (target, directory, why) in [
        ("/file", true, "it is a file in the image and a directory on this machine"),
        ("/dir", false, "it is a directory in the image and a file on this machine"),
        ("/file/x", true, "/file is a file in the image, not a directory"),
        ("/to/x", true, "/file is a file in the image, not a directory"),
        ("/circle/x", true, "too many symbolic links"),
        ("/.moorline-outside/x", true, "Moorline's own"),
    ] {
        let error = show(&tree, &[point(target, directory)]).unwrap_err().to_string();
        assert!(error.contains(why), "{target}: {error}");
    }
}
