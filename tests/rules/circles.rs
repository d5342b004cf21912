//! No circles of files inside a room, and no logic in `mod.rs`.
//!
//! ```text
//! use super::{Thing, other};  --Thing is re-exported by mod.rs-->  thing.rs     the file that defines it
//!                             --other is a file----------------->  other.rs
//! ```
//!
//! A file needs another one of its room when it names something that is defined there: in a `use` line or in a
//! path (`crate::`, `super::`, `self::`, the name of a child). A name that a `mod.rs`, or another file,
//! re-exports counts for the file that defines it. Unit tests do not count: they may use what they like.
//!
//! Not seen: a method that another file of the room adds to a type (`impl Store` in several files), for its
//! file is not named where it is called.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::floors::{Source, none, sources};

/// Rooms, or parts of one, that are rebuilt right now. A room leaves the list as soon as its rebuilt files
/// are merged.
const NOT_YET: &[(&str, &str)] = &[];

/// A part of the code: a name or a sign. Comments are left out, of a text only its quotes stay.
type Token<'a> = (usize, &'a str);

/// The code of a file without its unit tests.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            found.push((line, "\"\""));
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push((line, &rest[..end]));
            end
        } else if rest.starts_with("::") {
            found.push((line, &rest[..2]));
            2
        } else {
            if !first.is_whitespace() {
                found.push((line, &rest[..first.len_utf8()]));
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    without_tests(&found)
}

/// The length of the text, byte string or character that the code starts with.
fn literal(code: &str) -> Option<usize> {
    let (prefix, rest) = ["br", "b", "cr", "c", "r", ""]
        .iter()
        .find_map(|prefix| Some((*prefix, code.strip_prefix(prefix)?)))
        .filter(|(_, rest)| rest.starts_with(['"', '\'', '#']))?;
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let body = rest[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let closed = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + closed);
    }
    let quote = rest.chars().next().filter(|c| *c != '#')?;
    let mut chars = rest.char_indices().skip(1);
    if quote == '\'' {
        // a lifetime has no second quote behind its first letter
        let (_, first) = chars.next()?;
        if first != '\\' {
            return chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| prefix.len() + at + 1);
        }
        chars.next();
    }
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(prefix.len() + at + 1);
        }
    }
    Some(code.len())
}

/// Leaves out what stands behind `#[cfg(test)]`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let here = &tokens[at..];
        if here.len() < MARK.len() || !here.iter().zip(MARK).all(|((_, t), mark)| *t == mark) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        at += MARK.len();
        // an item ends with its outermost `}` or with `;`
        let mut depth = 0_usize;
        while let Some((_, token)) = tokens.get(at) {
            at += 1;
            match *token {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(*token, "}" | ";") {
                break;
            }
        }
    }
    kept
}

/// A name that a file brings in, and the path that it stands for.
struct Import<'a> {
    line: usize,
    name: &'a str,
    path: Vec<&'a str>,
}

/// What a file says of other files.
struct Code<'a> {
    path: &'a str,
    module: Vec<&'a str>,
    imports: Vec<Import<'a>>,
    /// Paths in the code itself.
    paths: Vec<(usize, Vec<&'a str>)>,
    /// The names of its own items.
    defined: BTreeSet<&'a str>,
    /// The first line that is neither `mod` nor `use`.
    logic: Option<(usize, &'a str)>,
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

impl<'a> Code<'a> {
    /// `None` for files of unit tests, and for the crate's roots.
    fn of(source: &'a Source) -> Option<Self> {
        let path = source.path.as_str();
        let module = path.strip_suffix(".rs")?;
        let module: Vec<&str> = module.strip_suffix("/mod").unwrap_or(module).split('/').collect();
        let last = module.last().copied().unwrap_or_default();
        if module.contains(&"tests") || matches!(last, "tests" | "testing" | "lib" | "main") {
            return None;
        }
        let mut code = Self {
            path,
            module,
            imports: Vec::new(),
            paths: Vec::new(),
            defined: BTreeSet::new(),
            logic: None,
        };
        code.read(&tokens(&source.text));
        Some(code)
    }

    fn read(&mut self, tokens: &[Token<'a>]) {
        const ITEMS: [&str; 8] =
            ["fn", "struct", "enum", "trait", "const", "static", "type", "union"];
        let mut at = 0;
        let mut item = 0;
        while let Some(&(line, token)) = tokens.get(at) {
            let next = |n: usize| tokens.get(at + n).map_or("", |(_, token)| *token);
            let before = if at == 0 { "" } else { tokens[at - 1].1 };
            match token {
                // `use<'a>` is a bound
                "use" if next(1) != "<" => {
                    at = self.import(tokens, at + 1, &mut Vec::new());
                    item = at + 1;
                }
                "mod" if next(2) == ";" => {
                    at += 2;
                    item = at + 1;
                }
                // an attribute, of the file or of an item
                "#" if matches!(next(1), "[" | "!") => {
                    let mut depth = 0_usize;
                    while let Some((_, token)) = tokens.get(at) {
                        match *token {
                            "[" => depth += 1,
                            "]" => depth -= 1,
                            _ => {}
                        }
                        if depth == 0 && *token == "]" {
                            break;
                        }
                        at += 1;
                    }
                    item = at + 1;
                }
                "macro_rules" => {
                    self.defined.insert(next(2));
                }
                _ if ITEMS.contains(&token) => {
                    self.defined.insert(next(1));
                }
                _ if is_name(token) && next(1) == "::" && before != "::" && before != "in" => {
                    let mut path = vec![token];
                    while tokens.get(at + 1).is_some_and(|(_, t)| *t == "::")
                        && tokens.get(at + 2).is_some_and(|(_, t)| is_name(t))
                    {
                        path.push(tokens[at + 2].1);
                        at += 2;
                    }
                    self.paths.push((line, path));
                }
                _ => {}
            }
            // `pub` and `pub(super)` may stand before either
            let silent = ["pub", "(", ")", "crate", "super"];
            let allowed = at < item || silent.contains(&token);
            if self.logic.is_none() && !allowed {
                self.logic = Some((line, token));
            }
            at += 1;
        }
    }

    /// Reads a tree of imports up to its end, and gives the place of that end.
    fn import(&mut self, tokens: &[Token<'a>], from: usize, path: &mut Vec<&'a str>) -> usize {
        let (start, mut at) = (path.len(), from);
        while let Some(&(line, token)) = tokens.get(at) {
            match token {
                "{" => loop {
                    at = self.import(tokens, at + 1, path);
                    if tokens.get(at).is_none_or(|(_, token)| *token != ",") {
                        at += 1;
                        path.truncate(start);
                        break;
                    }
                },
                "," | "}" | ";" => {
                    if path.len() > start {
                        let name = path[path.len() - 1];
                        self.bring(line, name, path.clone());
                    }
                    path.truncate(start);
                    return at;
                }
                "as" => {
                    let name = tokens.get(at + 1).map_or("", |(_, token)| *token);
                    self.bring(line, name, path.clone());
                    path.truncate(start);
                    at += 2;
                }
                "::" => at += 1,
                _ => {
                    path.push(token);
                    at += 1;
                }
            }
        }
        at
    }

    fn bring(&mut self, line: usize, name: &'a str, mut path: Vec<&'a str>) {
        // `use super::x::{self}`
        let itself = path.len() > 1 && path[path.len() - 1] == "self";
        let name = if itself && name == "self" { path[path.len() - 2] } else { name };
        if itself {
            path.pop();
        }
        self.imports.push(Import { line, name, path });
    }
}

/// The files of the project by their modules.
struct House<'a>(BTreeMap<Vec<&'a str>, Code<'a>>);

impl<'a> House<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let all = sources.iter().filter_map(Code::of);
        Self(all.map(|code| (code.module.clone(), code)).collect())
    }

    /// The path from the crate's root; `None` for paths into other crates.
    fn absolute(&self, of: &Code<'a>, path: &[&'a str]) -> Option<Vec<&'a str>> {
        let mut full = of.module.clone();
        let rest = match *path.first()? {
            "crate" => {
                full.clear();
                &path[1..]
            }
            "self" => &path[1..],
            "super" => {
                let up = path.iter().take_while(|part| **part == "super").count();
                full.truncate(full.len().checked_sub(up)?);
                &path[up..]
            }
            child => {
                full.push(child);
                let known = self.0.contains_key(&full);
                full.pop();
                if !known {
                    return None;
                }
                path
            }
        };
        full.extend_from_slice(rest);
        Some(full)
    }

    /// The files that a path leads to: a module and a function may have the same name.
    fn leads_to(&self, path: &[&'a str], steps: usize) -> BTreeSet<Vec<&'a str>> {
        let mut found = BTreeSet::new();
        let Some(length) = (1..=path.len()).rev().find(|n| self.0.contains_key(&path[..*n])) else {
            return found;
        };
        if length == path.len() {
            found.insert(path.to_vec());
        }
        // the module that may re-export the next name
        let holder = if length == path.len() { length - 1 } else { length };
        let Some(code) = self.0.get(&path[..holder]).filter(|_| steps > 0) else { return found };
        let name = path[holder];
        if code.defined.contains(name) {
            found.insert(code.module.clone());
            return found;
        }
        for import in code.imports.iter().filter(|import| import.name == name || import.name == "*")
        {
            let Some(mut to) = self.absolute(code, &import.path) else {
                // of another crate
                found.extend((import.name == name).then(|| code.module.clone()));
                continue;
            };
            if import.name == "*" {
                to.pop();
                if !self.0.get(&to).is_some_and(|code| code.defined.contains(name)) {
                    continue;
                }
                found.insert(to);
            } else if to != path {
                to.extend_from_slice(&path[holder + 1..]);
                found.extend(self.leads_to(&to, steps - 1));
            }
        }
        if found.is_empty() {
            found.insert(code.module.clone());
        }
        found
    }

    /// The files of its room that a file needs, each with the place that says so.
    fn needs(&self, code: &Code<'a>) -> BTreeMap<Vec<&'a str>, (usize, String)> {
        let imports = code.imports.iter().map(|import| (import.line, &import.path));
        let paths = code.paths.iter().map(|(line, path)| (*line, path));
        let mut needs = BTreeMap::new();
        for (line, path) in imports.chain(paths) {
            let Some(mut full) = self.absolute(code, path) else { continue };
            if full.last() == Some(&"*") {
                full.pop();
            }
            for to in self.leads_to(&full, 8) {
                if to[0] == code.module[0] && to != code.module {
                    needs.entry(to).or_insert_with(|| (line, path.join("::")));
                }
            }
        }
        needs
    }

    /// The shortest circle of each knot of files, as sentences.
    fn circles(&self) -> Vec<String> {
        let needs: BTreeMap<&Vec<&str>, _> =
            self.0.iter().map(|(module, code)| (module, self.needs(code))).collect();
        let mut told: BTreeSet<&Vec<&str>> = BTreeSet::new();
        let mut found = Vec::new();
        for start in self.0.keys() {
            // the shortest way back
            let mut from: BTreeMap<&Vec<&str>, &Vec<&str>> = BTreeMap::new();
            let mut queue = VecDeque::from([start]);
            while let Some(module) = queue.pop_front() {
                for to in needs[module].keys() {
                    if let Some((to, _)) = needs.get_key_value(to)
                        && !from.contains_key(to)
                    {
                        from.insert(to, module);
                        queue.push_back(to);
                    }
                }
            }
            if !from.contains_key(start) || told.contains(start) {
                continue;
            }
            let mut way = vec![start];
            let mut at = from[start];
            while at != start {
                way.insert(1, at);
                at = from[at];
            }
            told.extend(&way);
            let mut text = format!("src/{}", self.0[start].path);
            for (n, module) in way.iter().enumerate() {
                let to = way[(n + 1) % way.len()];
                let (line, name) = &needs[module][to];
                let path = self.0[to].path;
                text.push_str(&format!("\n    :{line} names `{name}` of src/{path}"));
            }
            found.push(text);
        }
        found
    }

    /// What a `mod.rs` holds besides documentation, `mod` and `use`.
    fn logic(&self) -> Vec<String> {
        let folders = self.0.values().filter(|code| code.path.ends_with("/mod.rs"));
        let with = folders.filter_map(|code| Some((code.path, code.logic?)));
        with.map(|(path, (line, token))| format!("src/{path}:{line}: `{token}`")).collect()
    }
}

/// Whether an offence is of a room that is not rebuilt yet.
fn is_due(offence: &str) -> bool {
    !NOT_YET.iter().any(|(room, _)| offence.starts_with(&format!("src/{room}/")))
}

#[test]
fn no_circles_inside_a_room() {
    let sources = sources();
    let mut circles = House::new(&sources).circles();
    circles.retain(|circle| is_due(circle));
    none(
        &circles,
        "files of one room do not need each other in a circle: move what both need down",
    );
}

#[test]
fn folders_hold_no_logic() {
    let sources = sources();
    let mut logic = House::new(&sources).logic();
    logic.retain(|offence| is_due(offence));
    none(
        &logic,
        "a mod.rs holds documentation, `mod` and `use`: move the rest into a file with its name",
    );
}

/// The rules themselves: each finds what it is there to find.
mod the_rules {
    use super::*;

    fn all(files: &[(&str, &str)]) -> Vec<Source> {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        files.iter().map(source).collect()
    }

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        House::new(&all(files)).circles()
    }

    fn logic(text: &str) -> Vec<String> {
        House::new(&all(&[("store/mod.rs", text)])).logic()
    }

    #[test]
    fn a_circle_is_found_also_through_a_re_export() {
        let folder = "mod pins;\nmod safe;\nmod own;\npub use own::{Store, open as start};\npub use pins::Pins;\n";
        let found = circles(&[
            ("store/mod.rs", folder),
            ("store/own.rs", "use super::Pins;\npub struct Store(Pins);\npub fn open() {}\n"),
            ("store/pins.rs", "use super::{safe,\n    start};\npub struct Pins;\n"),
            ("store/safe.rs", "/// see [`super::Pins`]\npub fn safe() {}\n"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        let told = [
            "src/store/own.rs",
            "    :1 names `super::Pins` of src/store/pins.rs",
            "    :2 names `super::start` of src/store/own.rs",
        ];
        assert_eq!(found[0], told.join("\n"));
    }

    #[test]
    fn each_way_to_name_a_file_counts() {
        for text in [
            "use super::own::Store;",
            "use super::{own};",
            "use super::own::{self as mine};",
            "use super::*;",
            "use crate::store::Store;",
            "fn f() -> super::Store { todo!() }",
            "fn f() { crate::store::own::start() }",
            "const TEXT: &str = \"{\"; #[cfg(test)] mod tests { } fn f() { super::own::start() }",
            "fn f<'a>(c: &'a u8) { let _ = ('{', b'\\'', r#\"\"{\"#); super::own::start() }",
        ] {
            let found = circles(&[
                ("store/mod.rs", "mod own; mod pins; pub use own::Store;"),
                ("store/own.rs", "use super::pins::Pins; pub struct Store; pub fn start() {}"),
                ("store/pins.rs", &format!("{text} pub struct Pins;")),
            ]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
        }
    }

    #[test]
    fn parents_and_children_may_not_need_each_other() {
        let found = circles(&[
            ("job/mod.rs", "mod mount; pub use mount::Mount;"),
            ("job/mount.rs", "mod spelling; pub struct Mount; fn f() { spelling::parse() }"),
            ("job/mount/spelling.rs", "use super::Mount;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        // to declare a child is not to need it
        let found = circles(&[
            ("job/mount.rs", "mod spelling; pub struct Mount;"),
            ("job/mount/spelling.rs", "use super::Mount;"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn tests_comments_texts_and_other_rooms_do_not_count() {
        for text in [
            "#[cfg(test)] mod tests { use super::super::own; fn f() { \"}\"; } }",
            "#[cfg(test)] use super::own;",
            "// use super::own;",
            "/* use super::own; */",
            "const TEXT: &str = \"use super::own;\";",
            "use crate::job::own;",
            "use std::fs::own;",
        ] {
            let found = circles(&[
                ("job/own.rs", "use crate::store::pins;"),
                ("store/mod.rs", "mod own; mod pins;"),
                ("store/own.rs", "use super::pins::Pins;"),
                ("store/pins.rs", &format!("pub struct Pins; {text}")),
                ("store/tests.rs", "use super::*;"),
            ]);
            assert_eq!(found, [""; 0], "{text}");
        }
    }

    #[test]
    fn a_folder_holds_names_only() {
        let text = "//! Docs.\n#![allow(dead_code)]\nmod own;\n#[macro_use]\nmod other;\npub mod more;\npub(crate) use own::{self, A,\n    B as C};\npub use other::*;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod testing { fn f() {} }\n";
        assert_eq!(logic(text), [""; 0]);
        for (item, word) in [
            ("pub const A: u8 = 1;", "const"),
            ("struct A;", "struct"),
            ("fn f() {}", "fn"),
            ("impl A {}", "impl"),
            ("mod inner { fn f() {} }", "mod"),
            ("#[derive(Debug)] enum A {}", "enum"),
        ] {
            let found = logic(&format!("mod own;\nuse own::A;\n{item}"));
            assert_eq!(found.len(), 1, "{item}: {found:?}");
            assert!(
                found[0].starts_with("src/store/mod.rs:3: ") && found[0].contains(word),
                "{found:?}"
            );
        }
    }
}
