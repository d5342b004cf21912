//! Names and what they lead to: duplicates, links, parents, spellings.

use super::{Generator, Trait};
use crate::differential::block::Dialect;

impl Generator {
    pub(super) fn duplicate(&mut self) {
        self.note("duplicate");
        let spec = self.spec(b'0');
        self.put(&spec);
        let mut again = self.spec(b'0');
        again.path = spec.path;
        self.put(&again);
    }

    /// A name that means one type and then another.
    pub(super) fn type_change(&mut self) {
        let flags = [b'0', b'5', b'2', b'6', b'3'];
        let (one, two) = (*self.dice.pick(&flags), *self.dice.pick(&flags));
        let name = match (one, two) {
            (b'5', b'5') => "directory-twice",
            (b'5', _) => "directory-then-other",
            (b'2', b'5') => "symlink-then-directory",
            (b'2', _) => "symlink-then-other",
            (_, b'5') => "other-then-directory",
            _ => "type-change",
        };
        self.note(name);
        let mut first = self.spec(one);
        let mut second = self.spec(two);
        second.path.clone_from(&first.path);
        for spec in [&mut first, &mut second] {
            if spec.type_flag == b'2' {
                spec.link = b"elsewhere".to_vec();
                spec.mode = 0o777;
            }
        }
        let inside = [&first.path[..], b"/inside"].concat();
        self.put(&first);
        if one == b'5' && self.dice.chance(30) {
            self.note("directory-with-content");
            let mut spec = self.spec(b'0');
            spec.path = inside;
            self.put(&spec);
        }
        self.put(&second);
        if two != b'5' {
            self.directories.retain(|d| *d != second.path);
        }
    }

    /// A link may come by chance over what an earlier one became.
    fn note_if_taken(&mut self, path: &[u8]) {
        if self.taken.iter().any(|taken| taken == path) {
            self.note("directory-with-content");
        }
    }

    pub(super) fn symlink_parent(&mut self) {
        let directory = self.spec(b'5');
        let mut link = self.spec(b'2');
        let target: &[u8] = match self.dice.below(4) {
            0 => {
                self.note("symlink-parent-absolute");
                &[b"/", &directory.path[..]].concat()
            }
            1 => {
                self.note("symlink-parent-climbs");
                &[b"../", &directory.path[..]].concat()
            }
            _ => {
                self.note("symlink-parent");
                &directory.path.clone()
            }
        };
        // beside the root, so that the target means the same everywhere
        link.path = format!("link{}", self.dice.below(100)).into_bytes();
        self.note_if_taken(&link.path);
        link.link = target.to_vec();
        link.mode = 0o777;
        self.put(&directory);
        self.put(&link);
        let mut below = self.spec(b'0');
        below.path = [&link.path[..], b"/through"].concat();
        self.put(&below);
    }

    /// CVE-2026-33056.
    pub(super) fn symlink_then_directory(&mut self) {
        self.note("symlink-then-directory");
        let target = self.spec(b'5');
        let mut link = self.spec(b'2');
        link.link = [&b"/"[..], &target.path].concat();
        link.path = format!("link{}", self.dice.below(100)).into_bytes();
        self.note_if_taken(&link.path);
        link.mode = 0o777;
        let mut directory = self.spec(b'5');
        directory.path.clone_from(&link.path);
        directory.mode = 0o700;
        self.put(&target);
        self.put(&link);
        self.put(&directory);
    }

    pub(super) fn hard_links(&mut self) {
        let spec = self.spec(b'0');
        self.put(&spec);
        let mut link = self.spec(b'1');
        // an honest archiver repeats the target's attributes
        (link.mode, link.uid, link.gid, link.mtime) = (spec.mode, spec.uid, spec.gid, spec.mtime);
        link.link = spec.path;
        self.note("hard-link");
        self.put(&link);
    }

    pub(super) fn hard_link_oddly(&mut self) {
        let spec = self.spec(b'0');
        let mut link = self.spec(b'1');
        (link.mode, link.uid, link.gid, link.mtime) = (spec.mode, spec.uid, spec.gid, spec.mtime);
        link.link.clone_from(&spec.path);
        match self.dice.below(9) {
            0 => {
                self.note("hard-link-missing");
                link.link = b"nothing/here".to_vec();
                self.put(&link);
            }
            1 => {
                self.note("hard-link-later");
                self.put(&link);
                self.put(&spec);
            }
            2 => {
                self.note("hard-link-self");
                self.put(&spec);
                link.path = spec.path;
                self.put(&link);
            }
            3 => {
                self.note("hard-link-directory");
                let directory = self.spec(b'5');
                link.link.clone_from(&directory.path);
                self.put(&directory);
                self.put(&link);
            }
            4 => {
                self.note("hard-link-symlink");
                let mut soft = self.spec(b'2');
                soft.link = b"anywhere".to_vec();
                soft.mode = 0o777;
                link.link.clone_from(&soft.path);
                (link.mode, link.uid, link.gid, link.mtime) =
                    (0o777, soft.uid, soft.gid, soft.mtime);
                self.put(&soft);
                self.put(&link);
            }
            5 => {
                self.note("hard-link-over-file");
                self.put(&spec);
                let other = self.spec(b'0');
                link.path.clone_from(&other.path);
                self.put(&other);
                self.put(&link);
            }
            6 => {
                self.note("hard-link-attributes");
                self.put(&spec);
                link.mode = 0o640;
                link.uid = 77;
                link.mtime = 1_400_000_000;
                self.put(&link);
            }
            7 => {
                self.note("hard-link-climbs");
                self.put(&spec);
                link.link = [b"../", &spec.path[..]].concat();
                self.put(&link);
            }
            _ => {
                self.note("hard-link-dotted");
                self.put(&spec);
                link.link = [b"./", &spec.path[..]].concat();
                self.put(&link);
            }
        }
    }

    pub(super) fn odd_symlink(&mut self) {
        let mut spec = self.spec(b'2');
        spec.mode = 0o777;
        let (name, link): (Trait, Vec<u8>) = match self.dice.below(6) {
            0 => ("symlink-empty", Vec::new()),
            1 => ("symlink-absolute", b"/etc/passwd".to_vec()),
            2 => ("symlink-climbs", b"../../../etc/passwd".to_vec()),
            3 => ("symlink-slashes", b"a//b/./c/".to_vec()),
            4 => ("symlink-long", vec![b'l'; 101 + self.dice.index(400)]),
            _ => ("symlink-self", spec.path.clone()),
        };
        self.note(name);
        spec.link = link;
        self.put(&spec);
    }

    pub(super) fn climbs(&mut self) {
        self.note("climbs");
        let mut spec = self.spec(b'0');
        let path = self.dice.pick(&["../up", "a/../b", "a/..", "a/../../up", ".."]);
        spec.path = path.as_bytes().to_vec();
        self.put(&spec);
    }

    pub(super) fn absolute(&mut self) {
        self.note("absolute");
        let mut spec = self.spec(b'0');
        spec.path = [b"/", &spec.path[..]].concat();
        let dialect = *self.dice.pick(&[Dialect::Ustar, Dialect::Gnu]);
        let path = spec.path.clone();
        self.put_as(&spec, dialect, &[], |_, header| {
            // without the ./ that others may have
            header.0[..100].fill(0);
            header.0[345..500].fill(0);
            header.text(0, 100, &path);
        });
    }

    pub(super) fn spelled_oddly(&mut self) {
        self.note("spelled-oddly");
        let mut spec = self.spec(b'0');
        spec.path = [&b"odd//./dir/."[..], b"//", &self.name()].concat();
        self.put(&spec);
    }

    pub(super) fn below_a_file(&mut self) {
        self.note("below-a-file");
        let spec = self.spec(b'0');
        self.put(&spec);
        let mut below = self.spec(b'0');
        below.path = [&spec.path[..], b"/below"].concat();
        self.put(&below);
    }

    pub(super) fn root_entry(&mut self) {
        let mut spec = self.spec(b'5');
        spec.path = b".".to_vec();
        if self.traits.contains("root-entry") {
            self.note("directory-twice");
        }
        self.note("root-entry");
        if self.dice.chance(20) {
            self.note("root-replaced");
            let flag = *self.dice.pick(b"02");
            spec = self.spec(flag);
            spec.path = b".".to_vec();
            spec.link = b"x".to_vec();
            spec.data.clear();
        }
        self.put(&spec);
        self.directories.retain(|d| d != b".");
    }

    pub(super) fn long_everything(&mut self) {
        let mut spec = self.spec(b'0');
        let part = format!("{}/", "p".repeat(60 + self.dice.index(190)));
        spec.path =
            format!("{}{}", part.repeat(1 + self.dice.index(4)), "e".repeat(101)).into_bytes();
        self.note("long-path");
        if self.dice.chance(15) {
            self.note("name-too-long");
            spec.path = vec![b'n'; 256];
        }
        let dialect = *self.dice.pick(&[Dialect::Ustar, Dialect::Gnu]);
        self.put_as(&spec, dialect, &[], |_, _| {});
    }

    pub(super) fn not_utf8(&mut self) {
        self.note("not-utf8");
        let mut spec = self.spec(b'0');
        spec.path = [&b"\xff\xfe"[..], &self.name()].concat();
        let dialect = *self.dice.pick(&[Dialect::Ustar, Dialect::Gnu]);
        self.put_as(&spec, dialect, &[], |_, _| {});
    }

    pub(super) fn whiteout(&mut self) {
        self.note("whiteout");
        let spec = self.file(b"");
        let mut white = spec.clone();
        let name: &[u8] = match self.dice.below(4) {
            0 => b".wh..wh..opq",
            1 => b".wh..wh.plnk",
            2 => b".wh.",
            _ => b".wh.some",
        };
        let at = spec.path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        white.path = [&spec.path[..at], name].concat();
        self.put(&white);
    }

    pub(super) fn slash_on_a_file(&mut self) {
        self.note("file-with-slash");
        let mut spec = self.spec(b'0');
        spec.path.push(b'/');
        let dialect = *self.dice.pick(&[Dialect::Old, Dialect::Ustar, Dialect::Gnu]);
        if dialect == Dialect::Old {
            spec.type_flag = 0;
            spec.data.clear();
        }
        self.put_as(&spec, dialect, &[], |_, _| {});
    }
}
