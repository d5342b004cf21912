//! What a header says of an entry: sizes, numbers, extended records, types, sparse maps.

use super::{Generator, Records, Trait, archive_of_one};
use crate::differential::block::{Dialect, Form, Header, extended, long, pad, record};

impl Generator {
    /// CVE-2025-62518, CVE-2026-33055: whoever believes the other size reads other entries.
    pub(super) fn pax_size_differs(&mut self) {
        self.note("pax-size-differs");
        let mut inner = Vec::new();
        let mut header = Header::new(Dialect::Ustar, b'0');
        header.text(0, 100, b"smuggled");
        for (at, length) in [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12)] {
            header.number(at, length, 0, Form::Nul);
        }
        header.close();
        inner.extend(header.0);
        inner.extend(self.dice.bytes(512));
        let spec = self.file(&inner);
        let real = inner.len();
        let (said, in_header) = match self.dice.below(4) {
            0 => (real, 0),
            1 => (0, real),
            2 => (512, real),
            _ => (real, 512),
        };
        let (said, in_header) = (said.to_string(), i64::try_from(in_header).unwrap());
        self.put_as(&spec, Dialect::Ustar, &[(b"size", said.as_bytes())], |_, header| {
            header.number(124, 12, in_header, Form::Nul);
        });
    }

    pub(super) fn pax_size_alone(&mut self) {
        self.note("pax-size-same");
        let length = self.dice.index(2000);
        let spec = self.file(&vec![b's'; length]);
        let size = spec.data.len().to_string();
        self.put_as(&spec, Dialect::Ustar, &[(b"size", size.as_bytes())], |_, _| {});
    }

    pub(super) fn nested(&mut self) {
        self.note("nested-tar");
        let inner = archive_of_one(b"nested");
        let spec = self.file(&inner);
        self.put(&spec);
    }

    pub(super) fn global_header(&mut self) {
        let body = match self.dice.below(4) {
            0 => {
                self.note("global-path");
                record(b"path", b"global")
            }
            1 => {
                self.note("global-mtime");
                record(b"mtime", b"1234567890")
            }
            2 => {
                self.note("global-uid");
                record(b"uid", b"4242")
            }
            _ => {
                self.note("global-comment");
                record(b"comment", b"0123456789abcdef")
            }
        };
        extended(&mut self.out, b'g', &body);
        self.sound();
    }

    pub(super) fn checksum(&mut self) {
        let signed = self.dice.chance(60);
        let mut header = Header::new(Dialect::Gnu, b'0');
        let name = format!("sum\u{fc}{}", self.dice.below(100));
        header.text(0, 100, name.as_bytes());
        for (at, length) in [(108, 8), (116, 8), (124, 12), (136, 12)] {
            header.number(at, length, 0, Form::Nul);
        }
        header.number(100, 8, 0o644, Form::Nul);
        header.close_with(signed, !signed);
        self.note(if signed { "checksum-signed" } else { "checksum-wrong" });
        self.out.extend(header.0);
    }

    pub(super) fn lone_zero_block(&mut self) {
        self.note("lone-zero-block");
        self.out.extend([0; 512]);
        self.sound();
    }

    pub(super) fn big_numbers(&mut self) {
        self.note("big-numbers");
        let mut spec = self.spec(b'0');
        match self.dice.below(5) {
            0 => spec.uid = 2_097_152,
            1 => spec.gid = 4_294_967_294,
            2 => {
                spec.uid = 1 << 32;
                self.note("owner-too-big");
            }
            3 => spec.mtime = 1 << 33,
            _ => {
                spec.mtime = 1 << 40;
                self.note("time-far");
            }
        }
        self.put_as(&spec, Dialect::Gnu, &[], |_, _| {});
    }

    pub(super) fn negative_numbers(&mut self) {
        let mut spec = self.spec(b'0');
        match self.dice.below(4) {
            0 => {
                self.note("time-before-1970");
                spec.mtime = -100;
                self.put_as(&spec, Dialect::Gnu, &[], |_, _| {});
            }
            1 => {
                self.note("owner-negative");
                spec.uid = -2;
                self.put_as(&spec, Dialect::Gnu, &[], |_, _| {});
            }
            2 => {
                self.note("size-negative");
                spec.data.clear();
                self.put_as(&spec, Dialect::Gnu, &[], |_, h| {
                    h.number(124, 12, -512, Form::Base256);
                });
            }
            _ => {
                self.note("size-huge");
                spec.data.clear();
                self.put_as(&spec, Dialect::Gnu, &[], |_, h| {
                    h.number(124, 12, i64::MAX, Form::Base256);
                });
            }
        }
    }

    pub(super) fn data_without_a_file(&mut self) {
        let flag = *self.dice.pick(b"12356");
        let name = match flag {
            b'1' => "hard-link-with-size",
            b'2' => "symlink-with-size",
            b'5' => "directory-with-size",
            _ => "special-with-size",
        };
        self.note(name);
        let target = self.file(b"target");
        self.put(&target);
        let mut spec = self.spec(flag);
        spec.link = target.path;
        let stored = self.dice.chance(50);
        if stored {
            spec.data = vec![0; 512];
        }
        self.put_as(&spec, Dialect::Ustar, &[], |_, h| h.number(124, 12, 512, Form::Nul));
    }

    pub(super) fn two_extended_headers(&mut self) {
        let spec = self.file(b"twice described");
        match self.dice.below(3) {
            0 => {
                self.note("two-pax-headers");
                extended(&mut self.out, b'x', &record(b"path", b"first-name"));
                extended(&mut self.out, b'x', &record(b"mtime", b"1000000000"));
            }
            1 => {
                self.note("two-long-names");
                long(&mut self.out, b'L', b"first-name");
                long(&mut self.out, b'L', b"second-name");
            }
            _ => {
                self.note("gnu-and-pax-name");
                long(&mut self.out, b'L', b"gnu-name");
                extended(&mut self.out, b'x', &record(b"path", b"pax-name"));
            }
        }
        self.put_as(&spec, Dialect::Gnu, &[], |_, _| {});
    }

    pub(super) fn pax_odd_records(&mut self) {
        let spec = self.file(b"odd records");
        let records: (Trait, &Records) = match self.dice.below(8) {
            0 => ("pax-unknown-key", &[(b"VENDOR.key", b"value")]),
            1 => ("pax-empty-value", &[(b"path", b"")]),
            2 => ("pax-empty-value", &[(b"mtime", b"")]),
            3 => ("pax-repeated-key", &[(b"path", b"pax-one"), (b"path", b"pax-two")]),
            4 => ("pax-comment", &[(b"comment", b"line\nline = x")]),
            5 => ("pax-atime", &[(b"atime", b"1500000000.5"), (b"ctime", b"1500000000")]),
            6 => ("pax-names", &[(b"uname", b"nobody"), (b"gname", b"nogroup")]),
            _ => ("pax-charset", &[(b"hdrcharset", b"BINARY"), (b"path", b"bin\xff\xfe")]),
        };
        self.note(records.0);
        self.put_as(&spec, Dialect::Ustar, records.1, |_, _| {});
    }

    pub(super) fn pax_broken_records(&mut self) {
        let spec = self.file(b"broken records");
        let (name, body): (Trait, &[u8]) = match self.dice.below(9) {
            0 => ("pax-broken", b"11 path=abc"),
            1 => ("pax-broken", b"99 path=abc\n"),
            2 => ("pax-broken", b"8 patha\n"),
            3 => ("pax-broken", b"5 path=abc\n"),
            4 => ("pax-leading-zero", b"012 path=abc\n"),
            5 => ("pax-broken", b"0 path=abc\n"),
            6 => ("pax-broken-number", b"11 size=x1\n"),
            7 => ("pax-broken-number", b"13 mtime=abc\n"),
            _ => ("pax-broken-number", b"11 uid=-12\n"),
        };
        self.note(name);
        extended(&mut self.out, b'x', body);
        self.put_as(&spec, Dialect::Ustar, &[], |_, _| {});
    }

    pub(super) fn odd_type(&mut self) {
        let flag = *self.dice.pick(b"\x007ADMVNXZ9s");
        let name = match flag {
            0 => "type-nul",
            b'7' => "type-contiguous",
            _ => "type-odd",
        };
        self.note(name);
        let mut spec = self.spec(flag);
        if self.dice.chance(50) {
            spec.data = vec![b't'; 100];
        }
        let dialect = if flag == 0 { Dialect::Old } else { Dialect::Gnu };
        self.put_as(&spec, dialect, &[], |_, _| {});
    }

    /// Pieces in order with holes between, the file's length, and the stored bytes.
    pub(super) fn holes(&mut self, count: usize) -> (Vec<(u64, u64)>, u64, Vec<u8>) {
        let (mut pieces, mut at, mut data) = (Vec::new(), 0, Vec::new());
        for n in 0..count {
            if n > 0 || self.dice.chance(50) {
                at += 4096 * (1 + self.dice.below(4));
            }
            let length = 512 * (1 + self.dice.below(3));
            pieces.push((at, length));
            data.extend(self.dice.bytes(usize::try_from(length).unwrap()));
            at += length;
        }
        let mut real = at;
        if self.dice.chance(50) {
            // GNU tar ends such a file with an empty piece
            real += 4096;
            pieces.push((real, 0));
        }
        (pieces, real, data)
    }

    pub(super) fn sparse_gnu(&mut self) {
        let count = *self.dice.pick(&[0, 1, 2, 3, 4, 6, 30]);
        self.note(if count > 3 { "sparse-gnu-extended" } else { "sparse-gnu" });
        let (pieces, real, data) = self.holes(count);
        let mut spec = self.file(&[]);
        spec.type_flag = b'S';
        let put = |block: &mut [u8], list: &[(u64, u64)]| {
            for (slot, (offset, length)) in block.chunks_exact_mut(24).zip(list) {
                slot[..12].copy_from_slice(format!("{offset:011o}\0").as_bytes());
                slot[12..].copy_from_slice(format!("{length:011o}\0").as_bytes());
            }
        };
        let (first, mut rest) = pieces.split_at(pieces.len().min(4));
        let stored = i64::try_from(data.len()).unwrap();
        self.put_as(&spec, Dialect::Gnu, &[], |_, header| {
            header.number(124, 12, stored, Form::Nul);
            put(&mut header.0[386..482], first);
            header.0[482] = u8::from(!rest.is_empty());
            header.number(483, 12, i64::try_from(real).unwrap(), Form::Nul);
        });
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(21));
            let mut block = [0; 512];
            put(&mut block[..504], now);
            block[504] = u8::from(!later.is_empty());
            self.out.extend(block);
            rest = later;
        }
        self.out.extend(data);
        pad(&mut self.out, 0);
    }

    pub(super) fn sparse_pax(&mut self) {
        let count = 1 + self.dice.index(5);
        let (pieces, real, data) = self.holes(count);
        let mut spec = self.file(&data);
        let (name, size) = (spec.path.clone(), real.to_string());
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |key: &str, value: &[u8]| {
            records.push((format!("GNU.sparse.{key}").into_bytes(), value.to_vec()));
        };
        match self.dice.below(3) {
            0 => {
                self.traits.insert("sparse-pax-0.0");
                add("size", size.as_bytes());
                add("numblocks", pieces.len().to_string().as_bytes());
                for (offset, length) in &pieces {
                    add("offset", offset.to_string().as_bytes());
                    add("numbytes", length.to_string().as_bytes());
                }
            }
            1 => {
                self.traits.insert("sparse-pax-0.1");
                let map: Vec<String> = pieces.iter().map(|(o, l)| format!("{o},{l}")).collect();
                add("size", size.as_bytes());
                add("numblocks", pieces.len().to_string().as_bytes());
                add("name", &name);
                add("map", map.join(",").as_bytes());
                spec.path = b"GNUSparseFile.1/placeholder".to_vec();
            }
            _ => {
                self.traits.insert("sparse-pax-1.0");
                let mut map = format!("{}\n", pieces.len());
                for (offset, length) in &pieces {
                    map += &format!("{offset}\n{length}\n");
                }
                add("major", b"1");
                add("minor", b"0");
                add("name", &name);
                add("realsize", size.as_bytes());
                let mut stored = map.into_bytes();
                pad(&mut stored, 0);
                stored.extend(&spec.data);
                spec.data = stored;
                spec.path = b"GNUSparseFile.1/placeholder".to_vec();
            }
        }
        let records: Vec<(&[u8], &[u8])> =
            records.iter().map(|(k, v)| (k.as_slice(), v.as_slice())).collect();
        self.put_as(&spec, Dialect::Ustar, &records, |_, _| {});
        self.taken.push(name);
    }

    pub(super) fn sparse_broken(&mut self) {
        self.note("sparse-broken");
        let spec = self.file(b"data");
        let map = *self.dice.pick(&["1000,5", "1000,4,900,0", "4999,4", "1,2,3", "x,4", "5000,4"]);
        let records: [(&[u8], &[u8]); 2] =
            [(b"GNU.sparse.size", b"5000"), (b"GNU.sparse.map", map.as_bytes())];
        self.put_as(&spec, Dialect::Ustar, &records, |_, _| {});
    }

    pub(super) fn xattrs(&mut self) {
        let flag = if self.dice.chance(70) { b'0' } else { b'5' };
        let spec = self.spec(flag);
        let capability: &[u8] = b"\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let records: (Trait, &Records) = match self.dice.below(4) {
            0 => ("xattr-user", &[(b"SCHILY.xattr.user.note", b"a value")]),
            1 => (
                "xattr-user",
                &[(b"SCHILY.xattr.user.odd", b"line\n=\0\xff"), (b"SCHILY.xattr.user.b", b"2")],
            ),
            2 if flag == b'0' => {
                ("xattr-capability", &[(b"SCHILY.xattr.security.capability", capability)])
            }
            _ => ("xattr-trusted", &[(b"SCHILY.xattr.trusted.t", b"t")]),
        };
        self.note(records.0);
        self.put_as(&spec, Dialect::Ustar, records.1, |_, _| {});
    }

    /// On what is neither file nor directory Linux takes no `user.` attributes, but these.
    pub(super) fn xattrs_special(&mut self) {
        let flag = *self.dice.pick(b"2346");
        let mut spec = self.spec(flag);
        if flag == b'2' {
            spec.link = b"anywhere".to_vec();
        }
        self.note(if flag == b'2' { "xattr-symlink" } else { "xattr-special" });
        let records: [(&[u8], &[u8]); 2] =
            [(b"SCHILY.xattr.trusted.t", b"\0t"), (b"SCHILY.xattr.security.note", b"n")];
        let count = 1 + self.dice.index(2);
        self.put_as(&spec, Dialect::Ustar, &records[..count], |_, _| {});
    }

    pub(super) fn xattrs_libarchive(&mut self) {
        self.note("xattr-libarchive");
        let spec = self.spec(b'0');
        let records: [(&[u8], &[u8]); 1] = [(b"LIBARCHIVE.xattr.user.own", b"dmFsdWU")];
        self.put_as(&spec, Dialect::Ustar, &records, |_, _| {});
    }

    pub(super) fn devices(&mut self) {
        let flag = *self.dice.pick(b"34");
        let mut spec = self.spec(flag);
        spec.device = *self.dice.pick(&[(1, 3), (0, 0), (8, 16), (259, 0xF_FFFF), (4095, 1)]);
        self.note("device");
        if self.dice.chance(15) {
            self.note("device-too-big");
            spec.device = (1 << 20, 1);
        }
        self.put_as(&spec, Dialect::Ustar, &[], |_, _| {});
    }

    pub(super) fn modes(&mut self) {
        self.note("mode-with-type");
        let mut spec = self.spec(b'0');
        spec.mode = *self.dice.pick(&[0o100_644, 0o106_755, 0, 0o7777]);
        self.put(&spec);
    }

    pub(super) fn nul_in_pax_path(&mut self) {
        self.note("pax-path-nul");
        let spec = self.file(b"nul");
        let key: &[u8] = b"path";
        self.put_as(&spec, Dialect::Ustar, &[(key, b"with\0nul")], |_, _| {});
    }

    pub(super) fn times(&mut self) {
        let spec = self.file(b"time");
        let (name, value): (Trait, &[u8]) = match self.dice.below(5) {
            0 => ("pax-time-fraction", b"1500000000.123456789"),
            1 => ("pax-time-fraction", b"1500000000.9999999999999"),
            2 => ("pax-time-negative", b"-5"),
            3 => ("pax-time-negative-fraction", b"-5.5"),
            _ => ("pax-time-odd", b"1500000000."),
        };
        self.note(name);
        self.put_as(&spec, Dialect::Ustar, &[(b"mtime", value)], |_, _| {});
    }

    pub(super) fn number_forms(&mut self) {
        let spec = self.file(b"number");
        let form = *self.dice.pick(&[Form::BlankNul, Form::Full, Form::Base256, Form::Blanks]);
        self.note(match form {
            Form::Base256 => "base-256",
            Form::Full => "number-full",
            _ => "number-blanks",
        });
        self.put_as(&spec, Dialect::Gnu, &[], |_, header| {
            header.number(100, 8, 0o640, form);
            header.number(108, 8, 7, form);
            header.number(116, 8, 8, form);
            header.number(124, 12, 6, form);
            header.number(136, 12, 1_000_000_000, form);
        });
    }

    /// What Go up to 1.7 wrote when a number had needed base-256: a prefix under GNU's magic
    /// (golang/go#21005).
    pub(super) fn prefix_of_go(&mut self) {
        let prefixes: [&[u8]; 4] =
            [b"go-prefix", b"go-prefix/of several/parts", b"00000000000/x", b"7777777777777"];
        let prefix = *self.dice.pick(&prefixes);
        let kind = *self.dice.pick(b"0052");
        self.under_gnu(prefix, kind, "go-prefix");
    }

    /// What GNU tar writes there for incremental archives.
    pub(super) fn times_of_gnu(&mut self) {
        let times: [&[u8]; 3] = [
            b"14000000001\x0014000000002\0",
            b"14000000001 ",
            b"\0\0\0\0\0\0\0\0\0\0\0\x0014000000002\0",
        ];
        let times = *self.dice.pick(&times);
        self.under_gnu(times, b'0', "gnu-times");
    }

    /// What is neither as GNU tar writes it nor as Go did.
    pub(super) fn prefix_or_times(&mut self) {
        let doubtful: [&[u8]; 4] = [b"755", b"20170101", b"7\0\x37", b"\xfc-dir/x"];
        let doubtful = *self.dice.pick(&doubtful);
        self.under_gnu(doubtful, b'0', "go-prefix-or-times");
    }

    /// Writes an entry with something where GNU has times and POSIX a prefix.
    fn under_gnu(&mut self, there: &[u8], kind: u8, name: Trait) {
        self.note(name);
        let mut spec = self.spec(kind);
        spec.path = format!("under-gnu{}", self.dice.below(1_000_000)).into_bytes();
        if kind == b'2' {
            spec.link = b"elsewhere".to_vec();
            spec.mode = 0o777;
        }
        let mut header = Header::new(Dialect::Gnu, kind);
        header.text(0, 100, &spec.path);
        header.text(157, 100, &spec.link);
        header.text(345, 155, there);
        let mut pax = Vec::new();
        self.numbers(&spec, Dialect::Gnu, &mut header, &mut pax);
        assert!(pax.is_empty(), "its numbers fit");
        header.close();
        self.out.extend(header.0);
        self.out.extend(&spec.data);
        let end = self.out.len();
        pad(&mut self.out, 0);
        self.padded = (self.out.len(), self.out.len() - end);
        self.taken.push(spec.path);
    }
}
