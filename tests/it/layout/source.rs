//! Just enough of Rust's grammar to find the paths in a file: tokens without comments and literals, modules, `use` trees.

use std::path::Path;

/// A word or a sign, and the line on which it stands (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A path that begins at the crate's root, as written out: `["streams", "kv", "Kv"]` for `crate::streams::kv::Kv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path, with slashes, relative to the project.
    pub(crate) path: String,
    /// Its module: `["streams", "kv"]` for `src/streams/kv/mod.rs`, none for `src/lib.rs` and `src/main.rs`.
    pub(crate) module: Vec<String>,
    pub(crate) tokens: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let parts: Vec<String> = path.with_extension("").iter().skip(1).map(|part| part.to_str().unwrap().to_owned()).collect();
        let module = match parts.last().map(String::as_str) {
            Some("mod") => parts[..parts.len() - 1].to_vec(),
            Some("lib" | "main") if parts.len() == 1 => Vec::new(),
            _ => parts,
        };
        let path = path.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/");
        Self { path, module, tokens: tokens(text) }
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// Names of the modules that this file declares as files of their own.
    pub(crate) fn declared_modules(&self) -> Vec<&str> {
        (0..self.tokens.len()).filter(|&at| self.text(at) == "mod" && self.text(at + 2) == ";").map(|at| self.text(at + 1)).collect()
    }

    /// The places where these words follow each other.
    pub(crate) fn find(&self, words: &[&str]) -> Vec<usize> {
        let here = |at: usize| words.iter().enumerate().all(|(index, word)| self.text(at + index) == *word);
        (0..self.tokens.len()).filter(|&at| here(at)).map(|at| self.tokens[at].line).collect()
    }

    /// All paths into this crate, in `use` trees and elsewhere.
    pub(crate) fn mentions(&self) -> Vec<Mention> {
        let declared = self.declared_modules();
        let mut found = Vec::new();
        // The module in which we are, and the depth of braces at which each inline module ends.
        let mut module = self.module.clone();
        let mut ends = Vec::new();
        let mut depth = 0;
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text(at) {
                "mod" if self.text(at + 2) == "{" => {
                    module.push(self.text(at + 1).to_owned());
                    ends.push(depth);
                    depth += 1;
                    at += 3;
                    continue;
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if ends.last() == Some(&depth) {
                        ends.pop();
                        module.pop();
                    }
                }
                word if self.begins_path(at, word, &declared) => {
                    let mut base = module.clone();
                    at = self.tree(at, &mut base, &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    fn begins_path(&self, at: usize, word: &str, declared: &[&str]) -> bool {
        let continues_another = at > 0 && self.text(at - 1) == "::";
        if continues_another {
            return false;
        }
        match word {
            // `pub(crate)` and `pub(super)` are no paths, `use crate as x` is one.
            "crate" | "super" | "self" | "tidewatch" => self.text(at + 1) == "::" || (word == "crate" && self.text(at + 1) == "as"),
            _ => at > 0 && self.text(at - 1) == "use" && declared.contains(&word),
        }
    }

    /// Reads one path or tree that begins at `at`, relative to `base`; returns the place after it.
    fn tree(&self, mut at: usize, base: &mut Vec<String>, found: &mut Vec<Mention>) -> usize {
        let mut line = self.tokens[at].line;
        loop {
            match self.text(at) {
                "crate" | "tidewatch" => base.clear(),
                "super" => drop(base.pop()),
                "self" => {}
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        let mut inner = base.clone();
                        at = self.tree(at, &mut inner, found);
                        // What an item may bring along: `as name`, the comma.
                        while !matches!(self.text(at), "}" | "" | ",") {
                            at += 1;
                        }
                        at += usize::from(self.text(at) == ",");
                    }
                    return at + 1;
                }
                word => base.push(word.to_owned()),
            }
            line = line.max(self.tokens.get(at).map_or(line, |token| token.line));
            at += 1;
            if self.text(at) != "::" || !goes_on(self.text(at + 1)) {
                break;
            }
            at += 1;
        }
        found.push(Mention { path: base.clone(), line });
        at
    }
}

/// Whether a path goes on with this after `::`; a turbofish, for example, ends it.
fn goes_on(word: &str) -> bool {
    matches!(word, "{" | "*") || word.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: text, line: 1, tokens: Vec::new() };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.tokens
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        let first = rest.chars().next().unwrap_or_default();
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment(rest));
        } else if let Some(length) = raw_string(rest) {
            self.skip(length);
        } else if first == '"' {
            self.skip(quoted(rest, '"'));
        } else if first == '\'' {
            self.skip(char_or_lifetime(rest));
        } else if first.is_alphanumeric() || first == '_' {
            self.token(rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()));
        } else if rest.starts_with("::") {
            self.token(2);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.token(first.len_utf8());
        }
    }

    fn token(&mut self, length: usize) {
        self.tokens.push(Token { text: self.rest[..length].to_owned(), line: self.line });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `r"..."`, `r#"..."#`, `br#"..."#` at the start of the text.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| text.starts_with(prefix) && text[prefix.len()..].starts_with(['"', '#']))?;
    let hashes = text[prefix.len()..].chars().take_while(|&c| c == '#').count();
    let open = prefix.len() + hashes;
    text[open..].starts_with('"').then_some(())?;
    let close = format!("\"{}", "#".repeat(hashes));
    let body = open + 1;
    Some(text[body..].find(&close).map_or(text.len(), |end| body + end + close.len()))
}

/// The length of a literal in these quotes at the start of the text, with its escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn char_or_lifetime(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    let (second, third) = (chars.next(), chars.next());
    if second == Some('\\') || third == Some('\'') { quoted(text, '\'') } else { 1 }
}
