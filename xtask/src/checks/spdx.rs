//! SPDX licence expressions, as far as crates use them: `AND`, `OR`, `WITH`, brackets, and cargo's old `/`.

/// Whether the terms that `allowed` accepts are enough to satisfy the expression. `None` if it is malformed.
///
/// A term is handed over whole, so `Apache-2.0 WITH LLVM-exception` is one term.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let answer = parser.any()?;
    parser.words.is_empty().then_some(answer)
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn next_is(&mut self, word: &str) -> bool {
        let found = self.words.first().is_some_and(|first| first.eq_ignore_ascii_case(word));
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut answer = self.all()?;
        while self.next_is("OR") {
            answer |= self.all()?;
        }
        Some(answer)
    }

    fn all(&mut self) -> Option<bool> {
        let mut answer = self.term()?;
        while self.next_is("AND") {
            answer &= self.term()?;
        }
        Some(answer)
    }

    fn term(&mut self) -> Option<bool> {
        if self.next_is("(") {
            let answer = self.any()?;
            return self.next_is(")").then_some(answer);
        }
        let (first, rest) = self.words.split_first()?;
        if matches!(*first, ")" | "OR" | "AND" | "WITH") {
            return None;
        }
        self.words = rest;
        if self.next_is("WITH") {
            let (exception, rest) = self.words.split_first()?;
            self.words = rest;
            return Some((self.allowed)(&format!("{first} WITH {exception}")));
        }
        Some((self.allowed)(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> Option<bool> {
        satisfied(expression, &|term| matches!(term, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception"))
    }

    #[test]
    fn or_needs_one_side_and_needs_both() {
        assert_eq!(check("MIT OR GPL-3.0"), Some(true));
        assert_eq!(check("MIT AND GPL-3.0"), Some(false));
        assert_eq!(check("GPL-3.0/MIT"), Some(true));
        assert_eq!(check("ISC AND (MIT OR OpenSSL)"), Some(true));
        assert_eq!(check("GPL-2.0 OR MIT AND OpenSSL"), Some(false));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        assert_eq!(check("Apache-2.0 WITH LLVM-exception"), Some(true));
        assert_eq!(check("MIT WITH LLVM-exception"), Some(false));
    }

    #[test]
    fn malformed_expressions_are_not_satisfied_by_luck() {
        for text in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH"] {
            assert_eq!(check(text), None, "{text}");
        }
    }
}
