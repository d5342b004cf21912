//! From tokens to objects.

use super::super::error::ImportError;
use super::token::{Kind, Token, tokens};
use super::value::{Module, Object, ObjectId, Value};
use crate::secret::Secret;

/// Longer texts are refused before they are read.
const MOST_BYTES: usize = 1 << 20;
/// Deeper nests are not read.
const DEEPEST: usize = 64;
/// Statements that begin with one of these say nothing of a job by themselves.
const KEYWORDS: [&str; 22] = [
    "if", "elif", "else", "for", "while", "def", "class", "with", "try", "except", "finally",
    "import", "from", "return", "del", "assert", "raise", "pass", "lambda", "global", "print",
    "not",
];

/// Reads a text.
///
/// # Errors
/// When it is too long, or a string or bracket has no end.
pub fn parse(text: &str) -> Result<Module, ImportError> {
    if text.len() > MOST_BYTES {
        return Err(ImportError::TooLong { bytes: text.len(), most: MOST_BYTES });
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, module: Module::default() };
    while parser.at < parser.tokens.len() {
        parser.statement();
    }
    Ok(parser.module)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    module: Module,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn skip(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(&Kind::Sign(sign));
        self.at += usize::from(is);
        is
    }

    fn statement(&mut self) {
        let line = self.line();
        let read = match self.peek() {
            Some(Kind::End) | None => true,
            Some(Kind::Name(word)) if KEYWORDS.contains(&word.as_str()) => false,
            _ => self.assignment(),
        };
        let ended = matches!(self.peek(), Some(Kind::End) | None);
        if !(read && ended) {
            self.module.unread.push(line);
        }
        while !matches!(self.peek(), Some(Kind::End) | None) {
            self.at += 1;
        }
        self.at += 1;
    }

    /// `NAME.NAME = VALUE`, also several targets, or a value by itself. Whether it was read.
    fn assignment(&mut self) -> bool {
        let mut targets = Vec::new();
        loop {
            let before = self.at;
            let Some(path) = self.path() else { break };
            // `==` compares
            if self.skip('=') && self.peek() != Some(&Kind::Sign('=')) {
                targets.push(path);
            } else {
                self.at = before;
                break;
            }
        }
        let secret = targets.iter().any(|path| path.last().is_some_and(|name| is_secret(name)));
        let value = kept(self.value(0), secret);
        let read = !matches!(value, Value::Unread);
        for path in targets {
            self.set(&path, value.clone());
        }
        read
    }

    /// `NAME.NAME`, and nothing else.
    fn path(&mut self) -> Option<Vec<String>> {
        let mut path = Vec::new();
        loop {
            let Some(Kind::Name(name)) = self.peek() else { return None };
            path.push(name.clone());
            self.at += 1;
            if !self.skip('.') {
                return Some(path);
            }
        }
    }

    fn set(&mut self, path: &[String], value: Value) {
        let [name, inner @ ..] = path else { return };
        let [inner @ .., last] = inner else {
            self.module.names.insert(name.clone(), value);
            return;
        };
        let mut object = self.module.names.get(name).cloned();
        for name in inner {
            let Some(Value::Object(id)) = object else { return };
            object = self.module.object(id).and_then(|object| object.named.get(name)).cloned();
        }
        if let Some(Value::Object(ObjectId(at))) = object
            && let Some(object) = self.module.heap.get_mut(at)
        {
            object.named.insert(last.clone(), value);
        }
    }

    /// One value. What is not understood is passed over up to where the value ends.
    fn value(&mut self, depth: usize) -> Value {
        let mut value = self.atom(depth);
        // 'a' 'b', as Python joins them
        while let (Value::Text(text), Some(Kind::Text(more))) = (&mut value, self.peek()) {
            text.push_str(more);
            self.at += 1;
        }
        let ends = match self.peek() {
            None | Some(Kind::End) => true,
            Some(Kind::Sign(sign)) => matches!(sign, ',' | ')' | ']' | '}' | ':' | '='),
            Some(_) => false,
        };
        if ends {
            return value;
        }
        self.pass_over();
        Value::Unread
    }

    /// Goes to the end of a value in brackets, or of the statement.
    fn pass_over(&mut self) {
        let mut open = 0_usize;
        while let Some(kind) = self.peek() {
            match kind {
                Kind::End => return,
                Kind::Sign('(' | '[' | '{') => open += 1,
                Kind::Sign(',' | ')' | ']' | '}') if open == 0 => return,
                Kind::Sign(')' | ']' | '}') => open -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn atom(&mut self, depth: usize) -> Value {
        let (line, Some(kind)) = (self.line(), self.peek().cloned()) else { return Value::Unread };
        if depth > DEEPEST {
            self.pass_over();
            return Value::Unread;
        }
        match kind {
            Kind::Text(text) => {
                self.at += 1;
                Value::Text(text)
            }
            Kind::Number(number) => {
                self.at += 1;
                Value::Number(number)
            }
            Kind::Sign('-')
                if matches!(
                    self.tokens.get(self.at + 1),
                    Some(Token { kind: Kind::Number(_), .. })
                ) =>
            {
                self.at += 1;
                match self.atom(depth) {
                    Value::Number(number) => Value::Number(format!("-{number}")),
                    _ => Value::Unread,
                }
            }
            Kind::Sign('[') => Value::List(self.list(']', depth)),
            Kind::Sign('(') => self.tuple(depth),
            Kind::Sign('{') => self.dict(depth),
            Kind::Name(_) => self.named(line, depth),
            Kind::Computed => {
                self.at += 1;
                Value::Unread
            }
            Kind::Sign(_) | Kind::End => Value::Unread,
        }
    }

    /// Behind the opening bracket up to the closing one.
    fn list(&mut self, close: char, depth: usize) -> Vec<Value> {
        self.at += 1;
        let mut values = Vec::new();
        while !self.skip(close) {
            let before = self.at;
            values.push(self.value(depth + 1));
            self.separator(before);
            if matches!(self.peek(), None | Some(Kind::End)) {
                break;
            }
        }
        values
    }

    /// A comma, or what nobody understands there: each step goes on.
    fn separator(&mut self, before: usize) {
        if !self.skip(',') && self.at == before {
            self.at += 1;
        }
    }

    /// `(a)` is `a`, `(a,)` and `(a, b)` are lists.
    fn tuple(&mut self, depth: usize) -> Value {
        let begin = self.at;
        let mut values = self.list(')', depth);
        let comma = self.at.checked_sub(2).and_then(|at| self.tokens.get(at));
        let comma = comma.is_some_and(|token| token.kind == Kind::Sign(',')) && self.at > begin + 2;
        match values.len() {
            1 if !comma => values.pop().unwrap_or(Value::Unread),
            _ => Value::List(values),
        }
    }

    fn dict(&mut self, depth: usize) -> Value {
        self.at += 1;
        let (mut pairs, mut set) = (Vec::new(), Vec::new());
        while !self.skip('}') {
            let before = self.at;
            let key = self.value(depth + 1);
            if self.skip(':') {
                let secret = matches!(&key, Value::Text(name) if is_secret(name));
                pairs.push((key, kept(self.value(depth + 1), secret)));
            } else {
                set.push(key);
            }
            self.separator(before);
            if matches!(self.peek(), None | Some(Kind::End)) {
                break;
            }
        }
        if set.is_empty() { Value::Dict(pairs) } else { Value::List(set) }
    }

    /// A name, a name's attribute, or a call.
    fn named(&mut self, line: usize, depth: usize) -> Value {
        let Some(path) = self.path() else { return Value::Unread };
        let Some(last) = path.last().cloned() else { return Value::Unread };
        if self.peek() == Some(&Kind::Sign('(')) {
            let id = ObjectId(self.module.heap.len());
            // its place first: objects stand in the order in which they begin
            let (positional, named) = Default::default();
            self.module.heap.push(Object { class: last, positional, named, line });
            self.arguments(id, depth);
            return Value::Object(id);
        }
        match (last.as_str(), path.len()) {
            ("True", 1) => return Value::Truth(true),
            ("False", 1) => return Value::Truth(false),
            ("None", 1) => return Value::Nothing,
            _ => {}
        }
        let mut value = self.module.names.get(&path[0]).cloned();
        for name in &path[1..] {
            value = match value {
                Some(Value::Object(id)) => {
                    self.module.object(id).and_then(|object| object.named.get(name)).cloned()
                }
                _ => None,
            };
        }
        value.unwrap_or(Value::Unread)
    }

    fn arguments(&mut self, of: ObjectId, depth: usize) {
        self.at += 1;
        while !self.skip(')') {
            let before = self.at;
            let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
            let name = match (self.peek(), next) {
                (Some(Kind::Name(name)), Some(Kind::Sign('='))) => Some(name.clone()),
                _ => None,
            };
            if name.is_some() {
                self.at += 2;
            }
            let secret = name.as_deref().is_some_and(is_secret);
            let value = kept(self.value(depth + 1), secret);
            if let Some(object) = self.module.heap.get_mut(of.0) {
                match name {
                    Some(name) => drop(object.named.insert(name, value)),
                    None => object.positional.push(value),
                }
            }
            self.separator(before);
            if matches!(self.peek(), None | Some(Kind::End)) {
                break;
            }
        }
    }
}

/// Whether a name is a password's.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret"].iter().any(|word| name.contains(word)) || name == "token"
}

/// A text under a password's name is a secret from here on.
fn kept(value: Value, secret: bool) -> Value {
    match value {
        Value::Text(text) if secret && !text.is_empty() => Value::Secret(Secret::new(text)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str, name: &str) -> Value {
        parse(text).unwrap().names.get(name).cloned().unwrap_or(Value::Unread)
    }

    #[test]
    fn names_stand_for_objects() {
        let module = parse(
            "from ganga import *\napp = Executable()\nj = Job(application=app, name='a' 'b')\napp.exe = 'x'\n\
             j.application.args = ['1', 2, (3), (4,), -5]\nj.submit()\n",
        )
        .unwrap();
        assert_eq!(module.unread, [1]);
        let app = module.of_class("Executable").next().unwrap();
        assert!(matches!(&app.named["exe"], Value::Text(text) if text == "x"));
        let Value::List(args) = &app.named["args"] else { panic!() };
        assert!(matches!(&args[2], Value::Number(n) if n == "3"));
        assert!(matches!(&args[3], Value::List(l) if l.len() == 1));
        assert!(matches!(&args[4], Value::Number(n) if n == "-5"));
        let job = module.of_class("Job").next().unwrap();
        assert!(matches!(&job.named["name"], Value::Text(text) if text == "ab"));
    }

    #[test]
    fn nothing_is_computed() {
        for python in
            ["x = 'a' + 'b'", "x = f()[0]", "x = 1 if y else 2", "x = y", "x = f'{y}'", "x == 1"]
        {
            assert!(matches!(one(python, "x"), Value::Unread), "{python}");
        }
        assert!(
            matches!(one("x = {'a': 1, 'b': [2]}", "x"), Value::Dict(pairs) if pairs.len() == 2)
        );
    }

    #[test]
    fn passwords_are_secrets_at_once() {
        let module =
            parse("v = Docker('i', tokenpassword='gldt-1')\nv.tokenpassword = 'gldt-2'").unwrap();
        assert!(!format!("{module:?}").contains("gldt"), "{module:?}");
    }

    #[test]
    fn a_nest_without_end_is_not_followed() {
        let deep = format!("x = {}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&deep).is_ok());
        let deep = format!("x = {}{}", "f(".repeat(5000), ")".repeat(5000));
        assert!(parse(&deep).is_ok());
    }

    proptest! {
        /// Errors are fine, panics and endless loops are bugs.
        #[test]
        fn any_text_is_survived(text in "(Job|j|exe|[()\\[\\]{}=,.:;'\"\\\\#\n -]|[0-9]|f'|'''|\\PC){0,80}") {
            let _ = parse(&text);
        }

        /// What Python would print of a text is read as that text.
        #[test]
        fn texts_come_through(text in "[^\\x00]{0,40}") {
            let quoted = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
            match one(&format!("x = '{quoted}'"), "x") {
                Value::Text(read) => prop_assert_eq!(read, text),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
