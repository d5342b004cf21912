//! Archives from a seed: several sound entries in every dialect, and in most archives one or two
//! things that are rare, old, doubtful or wrong. What was put in is noted as [`Trait`]s.

mod fields;
mod paths;

use std::collections::BTreeSet;

use crate::differential::block::{Dialect, Dice, Form, Header, extended, long, pad, record};

/// Something that an archive holds; rules and the count of what was tried go by these names.
pub type Trait = &'static str;

/// An archive and what is in it.
pub struct Archive {
    pub bytes: Vec<u8>,
    pub traits: BTreeSet<Trait>,
}

/// Extended records: key and value.
type Records = [(&'static [u8], &'static [u8])];

/// One entry before it has bytes.
#[derive(Clone, Debug)]
struct Spec {
    path: Vec<u8>,
    type_flag: u8,
    mode: i64,
    uid: i64,
    gid: i64,
    mtime: i64,
    data: Vec<u8>,
    link: Vec<u8>,
    device: (i64, i64),
}

struct Generator {
    dice: Dice,
    out: Vec<u8>,
    traits: BTreeSet<Trait>,
    /// What was written, as it means; below directories more is put.
    taken: Vec<Vec<u8>>,
    directories: Vec<Vec<u8>>,
    /// The length of the archive behind the entry that was written last, and how much of it is padding.
    padded: (usize, usize),
}

/// Everything an archive may hold beside sound entries.
const ODDITIES: &[fn(&mut Generator)] = &[
    Generator::pax_size_differs,
    Generator::pax_size_alone,
    Generator::nested,
    Generator::duplicate,
    Generator::type_change,
    Generator::symlink_parent,
    Generator::symlink_then_directory,
    Generator::hard_links,
    Generator::hard_link_oddly,
    Generator::global_header,
    Generator::checksum,
    Generator::lone_zero_block,
    Generator::big_numbers,
    Generator::negative_numbers,
    Generator::data_without_a_file,
    Generator::two_extended_headers,
    Generator::pax_odd_records,
    Generator::pax_broken_records,
    Generator::odd_type,
    Generator::sparse_gnu,
    Generator::sparse_pax,
    Generator::sparse_broken,
    Generator::xattrs,
    Generator::xattrs_special,
    Generator::xattrs_libarchive,
    Generator::devices,
    Generator::modes,
    Generator::odd_symlink,
    Generator::climbs,
    Generator::absolute,
    Generator::spelled_oddly,
    Generator::below_a_file,
    Generator::root_entry,
    Generator::long_everything,
    Generator::not_utf8,
    Generator::nul_in_pax_path,
    Generator::times,
    Generator::whiteout,
    Generator::slash_on_a_file,
    Generator::number_forms,
    Generator::prefix_of_go,
    Generator::times_of_gnu,
    Generator::prefix_or_times,
];

/// The archive of a seed.
pub fn archive(seed: u64) -> Archive {
    let mut generator = Generator {
        dice: Dice::new(seed),
        out: Vec::new(),
        traits: BTreeSet::new(),
        taken: Vec::new(),
        directories: Vec::new(),
        padded: (0, 0),
    };
    let odd = generator.dice.index(3);
    for _ in 0..generator.dice.index(3) {
        generator.sound();
    }
    for _ in 0..odd {
        let oddity = *generator.dice.pick(ODDITIES);
        oddity(&mut generator);
        for _ in 0..generator.dice.index(3) {
            generator.sound();
        }
    }
    generator.end();
    Archive { bytes: generator.out, traits: generator.traits }
}

impl Generator {
    fn note(&mut self, name: Trait) {
        self.traits.insert(name);
    }

    fn name(&mut self) -> Vec<u8> {
        let n = self.dice.below(30);
        match self.dice.below(12) {
            0 => format!("name with blanks {n}").into_bytes(),
            1 => format!("{}{n}", "x".repeat(70)).into_bytes(),
            2 => format!("ümläut{n}").into_bytes(),
            _ => format!("n{n}").into_bytes(),
        }
    }

    /// A path that nothing has yet.
    fn path(&mut self) -> Vec<u8> {
        loop {
            let mut path = match self.directories.len() {
                0 => Vec::new(),
                count if self.dice.chance(60) => {
                    let at = self.dice.index(count);
                    [&self.directories[at][..], b"/"].concat()
                }
                _ => Vec::new(),
            };
            path.extend(self.name());
            if !self.taken.contains(&path) {
                return path;
            }
        }
    }

    fn spec(&mut self, type_flag: u8) -> Spec {
        let modes: &[i64] = match type_flag {
            b'5' => &[0o755, 0o700, 0o1777, 0o2775, 0o555],
            _ => &[0o644, 0o755, 0o600, 0o444, 0o4755, 0o2755],
        };
        let data = match self.dice.below(5) {
            0 => Vec::new(),
            1 => vec![b'b'; 512],
            2 => vec![b'x'; 1025],
            _ => format!("content {}", self.dice.below(1000)).into_bytes(),
        };
        Spec {
            path: self.path(),
            type_flag,
            mode: *self.dice.pick(modes),
            uid: *self.dice.pick(&[0, 1, 1000, 65534, 2_097_151]),
            gid: *self.dice.pick(&[0, 5, 1000, 2_097_151]),
            mtime: 1_500_000_000 + i64::try_from(self.dice.below(100_000_000)).unwrap(),
            data: if matches!(type_flag, b'0' | 0 | b'7') { data } else { Vec::new() },
            link: Vec::new(),
            device: (0, 0),
        }
    }

    /// A sound entry: file, directory, link, fifo.
    fn sound(&mut self) {
        let kind = self.dice.below(12);
        match kind {
            0..=4 => {
                let spec = self.spec(b'0');
                self.put(&spec);
            }
            5..=7 => {
                let spec = self.spec(b'5');
                self.put(&spec);
            }
            8 => {
                let mut spec = self.spec(b'2');
                spec.link = b"some/where".to_vec();
                spec.mode = 0o777;
                self.put(&spec);
            }
            9 => {
                let spec = self.spec(b'6');
                self.put(&spec);
            }
            10 => self.hard_links(),
            _ => {
                let mut spec = self.spec(b'0');
                spec.data = vec![b'z'; self.dice.index(5000)];
                self.put(&spec);
            }
        }
    }

    /// Writes an entry in a dialect that can hold it.
    fn put(&mut self, spec: &Spec) {
        let dialect = match self.dice.below(10) {
            0 if !matches!(spec.type_flag, b'3' | b'4' | b'6') => Dialect::Old,
            0..=4 => Dialect::Ustar,
            _ => Dialect::Gnu,
        };
        self.put_as(spec, dialect, &[], |_, _| {});
    }

    /// Writes an entry with extended records; `change` sees the header before its checksum.
    fn put_as(
        &mut self,
        spec: &Spec,
        dialect: Dialect,
        records: &[(&[u8], &[u8])],
        change: impl FnOnce(&mut Dice, &mut Header),
    ) {
        let mut path = spec.path.clone();
        if spec.type_flag == b'5' {
            if self.dice.chance(70) || dialect == Dialect::Old {
                path.push(b'/');
            }
            self.directories.push(spec.path.clone());
        }
        let meant = spec.path.strip_suffix(b"/").unwrap_or(&spec.path);
        self.taken.push(meant.to_vec());
        if self.dice.chance(30) {
            path.splice(0..0, *b"./");
        }
        let mut pax: Vec<u8> = records.iter().flat_map(|(k, v)| record(k, v)).collect();
        let mut header = Header::new(dialect, spec.type_flag);
        // where the name stands
        let split = path
            .iter()
            .enumerate()
            .rposition(|(at, b)| *b == b'/' && at > 0 && at <= 155 && at + 1 < path.len());
        let mut gnu_name = None;
        match (dialect, split) {
            _ if path.len() <= 100 && self.dice.chance(80) => header.text(0, 100, &path),
            (Dialect::Ustar, Some(at)) if path.len() - at - 1 <= 100 && self.dice.chance(60) => {
                self.note("ustar-prefix");
                header.text(345, 155, &path[..at]);
                header.text(0, 100, &path[at + 1..]);
            }
            (Dialect::Gnu, _) if pax.is_empty() => {
                self.note("gnu-long-name");
                gnu_name = Some(path.clone());
                header.text(0, 100, &path);
            }
            (Dialect::Old, _) if path.len() <= 100 => header.text(0, 100, &path),
            _ => {
                self.note("pax-path");
                pax.extend(record(b"path", &path));
                header.text(0, 99, &path);
            }
        }
        let mut gnu_link = None;
        if spec.link.len() <= 100 {
            header.text(157, 100, &spec.link);
        } else if dialect == Dialect::Gnu && pax.is_empty() {
            self.note("gnu-long-link");
            gnu_link = Some(spec.link.clone());
            header.text(157, 100, &spec.link);
        } else {
            self.note("pax-linkpath");
            pax.extend(record(b"linkpath", &spec.link));
            if self.dice.chance(30) {
                self.note("linkpath-only-in-pax");
            } else {
                header.text(157, 100, &spec.link);
            }
        }
        self.numbers(spec, dialect, &mut header, &mut pax);
        change(&mut self.dice, &mut header);
        header.close();
        if let Some(link) = gnu_link {
            long(&mut self.out, b'K', &link);
        }
        if let Some(name) = gnu_name {
            long(&mut self.out, b'L', &name);
        }
        if !pax.is_empty() {
            self.note("pax");
            extended(&mut self.out, b'x', &pax);
        }
        self.out.extend(header.0);
        self.out.extend(&spec.data);
        let fill = if self.dice.chance(10) { b'#' } else { 0 };
        let end = self.out.len();
        pad(&mut self.out, fill);
        self.padded = (self.out.len(), self.out.len() - end);
    }

    fn numbers(&mut self, spec: &Spec, dialect: Dialect, header: &mut Header, pax: &mut Vec<u8>) {
        let form = *self.dice.pick(&[Form::Nul, Form::Nul, Form::Nul, Form::Blanks]);
        let size = i64::try_from(spec.data.len()).unwrap();
        let fields: [(usize, usize, i64, &[u8]); 5] = [
            (100, 8, spec.mode, b""),
            (108, 8, spec.uid, b"uid"),
            (116, 8, spec.gid, b"gid"),
            (124, 12, size, b""),
            (136, 12, spec.mtime, b"mtime"),
        ];
        for (at, length, value, key) in fields {
            let largest = (1_i64 << (3 * (length - 1))) - 1;
            if value >= 0 && value <= largest {
                header.number(at, length, value, form);
            } else if dialect == Dialect::Gnu && self.dice.chance(60) {
                self.note("base-256");
                header.number(at, length, value, Form::Base256);
            } else {
                header.number(at, length, 0, form);
                pax.extend(record(key, value.to_string().as_bytes()));
            }
        }
        if dialect != Dialect::Old {
            header.number(329, 8, spec.device.0, form);
            header.number(337, 8, spec.device.1, form);
        }
    }

    fn file(&mut self, data: &[u8]) -> Spec {
        let mut spec = self.spec(b'0');
        spec.data = data.to_vec();
        spec
    }

    /// The end of the archive, as it should be or not.
    fn end(&mut self) {
        if self.taken.is_empty() {
            self.note("no-entries");
        }
        match self.dice.below(20) {
            0 => self.note("end-missing"),
            1 => {
                self.note("end-one-block");
                self.out.extend([0; 512]);
            }
            2 => {
                self.note("end-garbage");
                self.out.extend([0; 1024]);
                let garbage = self.dice.bytes(1024);
                self.out.extend(garbage);
            }
            3 => {
                self.note("end-another-archive");
                self.out.extend([0; 1024]);
                self.out.extend(archive_of_one(b"behind-the-end"));
            }
            4 if self.out.len() > 512 => {
                let cut = 1 + self.dice.index(511);
                // whose writer was never closed (umoci#436), or whose data was lost
                let padding = if self.padded.0 == self.out.len() { self.padded.1 } else { 0 };
                self.note(if cut <= padding { "end-padding-cut" } else { "end-cut" });
                self.out.truncate(self.out.len() - cut);
            }
            5 if self.padded.0 == self.out.len() && self.padded.1 > 0 => {
                self.note("end-padding-cut");
                self.out.truncate(self.out.len() - self.padded.1);
            }
            6 => {
                self.note("end-mark-cut");
                let length = self.out.len() + 1 + self.dice.index(1023);
                self.out.resize(length, 0);
            }
            _ => {
                self.out.extend([0; 1024]);
                let whole = self.out.len().next_multiple_of(10240);
                if self.dice.chance(50) {
                    self.out.resize(whole, 0);
                }
            }
        }
    }
}

/// A whole archive of one file.
fn archive_of_one(name: &[u8]) -> Vec<u8> {
    let mut header = Header::new(Dialect::Ustar, b'0');
    header.text(0, 100, name);
    header.number(100, 8, 0o644, Form::Nul);
    for (at, length) in [(108, 8), (116, 8), (136, 12)] {
        header.number(at, length, 0, Form::Nul);
    }
    header.number(124, 12, 5, Form::Nul);
    header.close();
    let mut out = header.0.to_vec();
    out.extend(b"inner");
    pad(&mut out, 0);
    out.extend([0; 1024]);
    out
}
