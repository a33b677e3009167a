//! The paths one file names, read from its tokens: comments and strings do not count, macros do.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What one file says about other places.
#[derive(Default)]
pub struct Named {
    /// `mod name;`: children in files of their own.
    pub children: Vec<String>,
    /// Those of them that exist only in tests.
    pub test_children: Vec<String>,
    /// `mod name { .. }`: children in this file.
    pub inline: Vec<String>,
    /// Paths inside the crate, from its root.
    pub inside: Vec<Vec<String>>,
    /// `pub use`: paths inside the crate that are passed on under their last name.
    pub passed_on: Vec<Vec<String>>,
    /// First words of paths that do not start with `crate`, `self` or `super`.
    pub first_words: Vec<String>,
    /// Whether it holds an `impl RuntimeType for`.
    pub is_runtime: bool,
}

/// Reads `source`, the file of the module `place` (its path from the crate's root).
pub fn named(source: &str, place: &[String]) -> Named {
    let tokens: TokenStream = source.parse().expect("a source file is Rust");
    let mut reader = Reader { named: Named::default(), place: place.to_vec() };
    reader.read(&tokens.into_iter().collect::<Vec<_>>());
    reader.named
}

struct Reader {
    named: Named,
    place: Vec<String>,
}

impl Reader {
    fn read(&mut self, tokens: &[TokenTree]) {
        let words = |pair: &[TokenTree]| (word(pair.first()), word(pair.get(1)));
        let runtime = (Some("RuntimeType".to_owned()), Some("for".to_owned()));
        self.named.is_runtime |= tokens.windows(2).any(|pair| words(pair) == runtime);
        let mut at = 0;
        while at < tokens.len() {
            at += self.item(tokens, at);
        }
    }

    /// Reads what begins at `at` and says how many tokens that was.
    fn item(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match &tokens[at] {
            TokenTree::Group(group) => self.read(&group.stream().into_iter().collect::<Vec<_>>()),
            TokenTree::Ident(ident) if ident == "mod" => {
                return self.module(&tokens[at..], is_test(tokens, at));
            }
            TokenTree::Ident(ident) if ident == "use" => return self.import(tokens, at),
            TokenTree::Ident(_) if !follows_colons(tokens, at) => return self.path(&tokens[at..]),
            _ => {}
        }
        1
    }

    /// Test code may look where it likes in its own crate, so what it names does not count.
    fn module(&mut self, tokens: &[TokenTree], test: bool) -> usize {
        let Some(name) = word(tokens.get(1)) else { return 1 };
        match tokens.get(2) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                self.named.inline.push(name.clone());
                if !test {
                    self.place.push(name);
                    self.read(&group.stream().into_iter().collect::<Vec<_>>());
                    self.place.pop();
                }
            }
            _ => {
                self.named.test_children.extend(test.then(|| name.clone()));
                self.named.children.push(name);
            }
        }
        3
    }

    /// A `use`: its paths count like any other, and are remembered if they are passed on.
    fn import(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if tokens.get(at + 1).is_some_and(|next| is_punct(next, '<')) {
            return 1; // what a type captures
        }
        let public = at > 0 && word(tokens.get(at - 1)).as_deref() == Some("pub");
        let end = tokens[at..].iter().position(|token| is_punct(token, ';')).unwrap_or(tokens.len() - at);
        let start = self.named.inside.len();
        for path in expand(&tokens[at + 1..at + end]) {
            self.keep(path);
        }
        if public {
            let passed_on = self.named.inside.split_off(start);
            self.named.passed_on.extend(passed_on);
        }
        end
    }

    /// A path in the middle of code; only those of two words or more say where they lead.
    fn path(&mut self, tokens: &[TokenTree]) -> usize {
        let mut length = 1;
        while colons(tokens, length) && matches!(tokens.get(length + 2), Some(TokenTree::Ident(_))) {
            length += 3;
        }
        if length > 1 {
            expand(&tokens[..length]).into_iter().for_each(|path| self.keep(path));
        }
        length
    }

    /// Sorts a path by its first word, and makes those inside the crate start at its root.
    fn keep(&mut self, mut path: Vec<String>) {
        let mut from = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.place.clone(),
            Some(first) => {
                self.named.first_words.push(first.to_owned());
                if !self.named_here(&path) {
                    return;
                }
                self.place.clone()
            }
            None => return,
        };
        while let Some("crate" | "self" | "super") = path.first().map(String::as_str) {
            if path.remove(0) == "super" {
                from.pop();
            }
        }
        from.extend(path);
        self.named.inside.push(from);
    }

    /// Whether a relative path starts at a child of this module. Children stand above their uses.
    fn named_here(&self, path: &[String]) -> bool {
        self.named.children.contains(&path[0]) || self.named.inline.contains(&path[0])
    }
}

/// All paths of a path or a tree of them: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tokens: &[TokenTree]) -> Vec<Vec<String>> {
    let mut prefix = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "as" => break,
            TokenTree::Ident(ident) => prefix.push(ident.to_string()),
            TokenTree::Group(group) => {
                let inner = group.stream().into_iter().collect::<Vec<_>>();
                let branches = inner.split(|token| is_punct(token, ',')).flat_map(expand);
                return branches.map(|branch| [prefix.clone(), branch].concat()).collect();
            }
            _ => {}
        }
    }
    if prefix.is_empty() { Vec::new() } else { vec![prefix] }
}

/// Whether `#[cfg(test)]` stands before the module at `at`.
fn is_test(tokens: &[TokenTree], at: usize) -> bool {
    let before = tokens[..at].iter().rev().take_while(|token| !is_punct(token, ';'));
    let attributes = before.take_while(
        |token| !matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace),
    );
    attributes.into_iter().any(|token| token.to_string().replace(' ', "") == "[cfg(test)]")
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn colons(tokens: &[TokenTree], at: usize) -> bool {
    tokens.len() > at + 1 && is_punct(&tokens[at], ':') && is_punct(&tokens[at + 1], ':')
}

fn follows_colons(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && colons(tokens, at - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(source: &str) -> Vec<String> {
        named(source, &["a".into(), "b".into()]).inside.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn finds_paths_wherever_they_stand() {
        let source = r#"
            use crate::{c::D, e::{self, F as G}};
            use super::h::I;
            /// Not [`crate::comment`].
            fn f(j: crate::j::J) { println!("crate::text {}", super::super::k()); vec![self::l::m()] }
            mod n { use super::o; }
            pub(crate) fn p() { std::mem::drop(1) }
        "#;
        let want = ["c::D", "e::self", "e::F", "a::h::I", "j::J", "k", "a::b::l::m", "a::b::o"];
        assert_eq!(inside(source), want);
    }

    #[test]
    fn test_code_does_not_count() {
        let found =
            named("#[cfg(test)] mod a { use crate::b::C; } use crate::d::E; #[cfg(test)] mod f;", &[]);
        assert_eq!(found.inside, [["d", "E"]]);
        assert_eq!(found.test_children, ["f"]);
    }

    #[test]
    fn a_public_use_is_passed_on() {
        let found = named("pub mod a; pub use a::{B, C}; use a::D;", &[]);
        assert_eq!(found.passed_on, [["a", "B"], ["a", "C"]]);
        assert_eq!(found.inside, [["a", "D"]]);
    }

    #[test]
    fn a_runtime_is_known_by_its_implementation() {
        assert!(named("impl RuntimeType for Pipe {}", &[]).is_runtime);
        assert!(!named("use x::RuntimeType; fn f(_: impl RuntimeType) {}", &[]).is_runtime);
    }
}
