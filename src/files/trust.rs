//! Who besides the caller can write a file or a directory.
//!
//! ```text
//! owner     the caller's or root's                             root can do everything anyway
//! group     may write where it is the caller's private group   RHEL's and Debian's umask 002
//!           or one that the caller trusts by configuration
//! others    may not write
//! ```
//!
//! A group is private when it is the caller's primary one, has the caller's name, no other member, and no
//! other account of `/etc/passwd` has it as its primary group. The name is asked for because a directory
//! service does not list its accounts: a group `users` that is everybody's primary group looks empty there.
//! login.defs(5), `USERGROUPS_ENAB`, and `pam_umask(8)`, `usergroups`, decide by the name as well.
//!
//! Where a file has a POSIX access list, the group's bits of the mode are the list's mask (acl(5)): then
//! "the group may write" can mean another user, so such a file is refused as soon as these bits allow writing.
//!
//! Not promised: `NFSv4`'s own access lists, which do not show in the mode; and the rights of whoever can write
//! the directories further above.

use std::fmt;
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Group, Uid, User};
use rustix::io::Errno;

/// Somebody besides the caller and root who owns or can write a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outsider {
    /// Another user owns it.
    Owner {
        /// The user.
        uid: u32,
    },
    /// The members of a group can write it.
    Group {
        /// The group.
        gid: u32,
        /// Its name, where it has one.
        name: Option<String>,
        /// The mode.
        mode: u32,
    },
    /// An access list lets somebody else write it.
    AccessList,
    /// Everybody can write it.
    Everybody {
        /// The mode.
        mode: u32,
    },
}

impl fmt::Display for Outsider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { uid } => write!(f, "it belongs to another user (uid {uid})"),
            Self::Group { gid, name: Some(name), mode } => {
                write!(f, "the group {name} ({gid}) may write it (mode {mode:04o})")
            }
            Self::Group { gid, name: None, mode } => {
                write!(f, "the group {gid} may write it (mode {mode:04o})")
            }
            Self::AccessList => f.write_str("its access list lets others write it (see getfacl)"),
            Self::Everybody { mode } => write!(f, "everybody may write it (mode {mode:04o})"),
        }
    }
}

/// A group that may write besides the caller: by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trusted {
    Number(u32),
    Name(String),
}

/// Whose writing is accepted: the caller's, root's, and that of some groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writers {
    me: u32,
    trusted: Vec<Trusted>,
    everybody: bool,
}

impl Writers {
    /// The caller, root, and the caller's private group.
    #[must_use]
    pub fn of_caller() -> Self {
        Self::of_user(rustix::process::geteuid().as_raw())
    }

    /// Another user in the caller's place, root, and that user's private group.
    #[must_use]
    pub fn of_user(me: u32) -> Self {
        Self { me, trusted: Vec::new(), everybody: false }
    }

    /// And the members of these groups, each a name or a number.
    #[must_use]
    pub fn and_groups<'a>(mut self, groups: impl IntoIterator<Item = &'a str>) -> Self {
        self.trusted.extend(groups.into_iter().map(|group| match group.parse() {
            Ok(gid) => Trusted::Number(gid),
            Err(_) => Trusted::Name(group.to_owned()),
        }));
        self
    }

    /// And everybody, for a directory that nobody else can reach. The owner still has to be the caller or
    /// root.
    #[must_use]
    pub fn and_everybody(mut self) -> Self {
        self.everybody = true;
        self
    }

    /// Whether a user is the caller or root.
    #[must_use]
    pub fn trusts(&self, uid: u32) -> bool {
        uid == self.me || uid == 0
    }

    /// Who else owns or can write an opened file or directory; `None` when nobody can.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn outsider(&self, file: &File) -> std::io::Result<Option<Outsider>> {
        let meta = file.metadata()?;
        let found = self.by_mode(&meta);
        if found.is_none() && !self.everybody && meta.mode() & 0o020 != 0 && has_access_list(file)?
        {
            return Ok(Some(Outsider::AccessList));
        }
        Ok(found)
    }

    fn by_mode(&self, meta: &Metadata) -> Option<Outsider> {
        let mode = meta.mode() & 0o7777;
        if !self.trusts(meta.uid()) {
            return Some(Outsider::Owner { uid: meta.uid() });
        }
        if self.everybody {
            return None;
        }
        if mode & 0o002 != 0 {
            return Some(Outsider::Everybody { mode });
        }
        if mode & 0o020 != 0 && !self.accepts_group(meta.gid()) {
            let name = Group::from_gid(Gid::from_raw(meta.gid())).ok().flatten();
            return Some(Outsider::Group { gid: meta.gid(), name: name.map(|g| g.name), mode });
        }
        None
    }

    pub(super) fn accepts_group(&self, gid: u32) -> bool {
        let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        let trusted = self.trusted.iter().any(|trusted| match trusted {
            Trusted::Number(number) => *number == gid,
            Trusted::Name(name) => group.as_ref().is_some_and(|group| group.name == *name),
        });
        let me = || User::from_uid(Uid::from_raw(self.me)).ok().flatten();
        trusted
            || group.zip(me()).is_some_and(|(group, me)| {
                let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
                is_private(
                    &Account { name: &me.name, gid: me.gid.as_raw() },
                    gid,
                    &group.name,
                    &group.mem,
                    &accounts,
                )
            })
    }
}

/// What the account database says of a user.
struct Account<'a> {
    name: &'a str,
    gid: u32,
}

/// Whether a group is this account's alone. `accounts` is the text of passwd(5).
fn is_private(me: &Account<'_>, gid: u32, group: &str, members: &[String], accounts: &str) -> bool {
    let another = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        // NAME:PASSWORD:UID:GID:...; root may do everything anyway
        let (uid, primary) = (fields.nth(1), fields.next());
        name != me.name && uid != Some("0") && primary.and_then(|n| n.parse().ok()) == Some(gid)
    };
    me.gid == gid
        && group == me.name
        && members.iter().all(|member| member == me.name)
        && !accounts.lines().any(another)
}

/// Whether a file has a POSIX access list besides its mode.
fn has_access_list(file: &File) -> std::io::Result<bool> {
    // a list never fits; an empty buffer would give 0 whatever there is
    let mut beginning = [0; 1];
    match rustix::fs::fgetxattr(file.as_fd(), "system.posix_acl_access", &mut beginning) {
        Ok(length) => Ok(length > 0),
        Err(Errno::RANGE) => Ok(true),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_group_is_the_callers_alone() {
        let me = Account { name: "anna", gid: 1000 };
        let accounts =
            "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/:/bin/sh\nben:x:1001:100::/:/\n";
        let private = |gid, group, members: &[&str], accounts: &str| {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            is_private(&me, gid, group, &members, accounts)
        };
        assert!(private(1000, "anna", &[], accounts));
        assert!(private(1000, "anna", &["anna"], ""), "a directory service lists no account");
        assert!(!private(100, "users", &[], accounts), "it is not the primary group");
        assert!(!private(1000, "users", &[], ""), "everybody's primary group looks empty");
        assert!(!private(1000, "anna", &["anna", "ben"], accounts), "another member");
        let second = format!("{accounts}carl:x:1002:1000::/:/bin/sh\n");
        assert!(!private(1000, "anna", &[], &second), "another's primary group");
        // root with the same primary group changes nothing
        assert!(private(1000, "anna", &[], "root:x:0:1000::/:/\n\n:::\nx\n"));
    }

    #[test]
    fn the_mode_decides() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        let of = |writers: &Writers, mode: u32| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            writers.outsider(&file).unwrap()
        };
        let caller = Writers::of_caller();
        for mode in [0o400, 0o600, 0o644, 0o755] {
            assert_eq!(of(&caller, mode), None, "{mode:o}");
        }
        assert_eq!(of(&caller, 0o666), Some(Outsider::Everybody { mode: 0o666 }));
        assert_eq!(of(&caller, 0o602), Some(Outsider::Everybody { mode: 0o602 }));
        assert_eq!(of(&caller.clone().and_everybody(), 0o666), None);
        let gid = file.metadata().unwrap().gid().to_string();
        assert_eq!(of(&caller.clone().and_groups([gid.as_str()]), 0o664), None);
        // somebody else's, whatever the mode
        let uid = file.metadata().unwrap().uid();
        let other = Writers { me: uid + 1, ..caller.and_everybody() };
        if uid != 0 {
            assert_eq!(of(&other, 0o600), Some(Outsider::Owner { uid }));
        }
        let stranger = Writers { me: 4_000_000, trusted: Vec::new(), everybody: false };
        assert!(!stranger.accepts_group(file.metadata().unwrap().gid()));
    }

    /// What `setfacl -m u:65534:rw` writes (acl(5), `posix_acl_xattr.h`): then the group's bits are a mask.
    #[expect(clippy::print_stderr, reason = "people must see what was not tested")]
    #[test]
    fn an_access_list_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let mut list = vec![2, 0, 0, 0];
        for (tag, rights, id) in [
            (1u16, 6u16, u32::MAX),
            (2, 6, 65534),
            (4, 4, u32::MAX),
            (16, 6, u32::MAX),
            (32, 4, u32::MAX),
        ] {
            list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        if let Err(error) = rustix::fs::setxattr(&path, "system.posix_acl_access", &list, flags) {
            eprintln!("SKIPPED: this file system has no access lists: {error}");
            return;
        }
        let file = File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o664);
        assert!(has_access_list(&file).unwrap());
        let gid = file.metadata().unwrap().gid().to_string();
        let writers = Writers::of_caller().and_groups([gid.as_str()]);
        assert_eq!(writers.outsider(&file).unwrap(), Some(Outsider::AccessList));
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        assert!(!has_access_list(&File::open(&plain).unwrap()).unwrap());
    }

    #[test]
    fn every_outsider_is_described() {
        for (outsider, words) in [
            (Outsider::Owner { uid: 7 }, "uid 7"),
            (Outsider::Group { gid: 8, name: Some("physics".into()), mode: 0o664 }, "physics (8)"),
            (
                Outsider::Group { gid: 8, name: None, mode: 0o664 },
                "the group 8 may write it (mode 0664)",
            ),
            (Outsider::AccessList, "access list"),
            (Outsider::Everybody { mode: 0o666 }, "mode 0666"),
        ] {
            assert!(outsider.to_string().contains(words), "{outsider}");
        }
    }
}
