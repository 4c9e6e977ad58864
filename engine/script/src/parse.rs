//! CEL's grammar (language definition, "Syntax"): text to a tree with places, within caps on size and depth.

use crate::token::{At, Kind, Slip, Token, tokens};

/// Bytes of the longest expression.
pub(crate) const LONGEST: usize = 16 << 10;
/// Nodes of the largest tree.
pub(crate) const NODES: usize = 1_000;
/// Depth of the deepest tree.
pub(crate) const DEPTH: u16 = 100;

/// A name and its place.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) at: At,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    /// The whole of it, its parentheses included.
    pub(crate) at: At,
    pub(crate) kind: ExprKind,
    depth: u16,
}

/// An operator with two sides that are both evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterEqual => ">=",
            Operator::In => "in",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
        }
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Ident(String),
    Select(Box<Expr>, Name),
    Index(Box<Expr>, Box<Expr>),
    Call(Option<Box<Expr>>, Name, Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    Slip(Slip),
    TooLarge(Slip),
}

/// The tree of an expression.
pub(crate) fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > LONGEST {
        let message = format!("the expression is longer than {LONGEST} bytes");
        return Err(ParseError::TooLarge(Slip::new(0..1, message)));
    }
    let tokens = tokens(text).map_err(ParseError::Slip)?;
    let mut parser = Parser { tokens, next: 0, nodes: 0, open: 0 };
    let expr = parser.expr()?;
    match parser.peek() {
        Kind::End => Ok(expr),
        kind => {
            // What other languages write.
            let word = match kind {
                Kind::Name(word) => word.as_str(),
                _ => "",
            };
            let message = match word {
                "and" | "AND" => "`and` is written `&&`",
                "or" | "OR" => "`or` is written `||`",
                "not" => "`not in` is written `!(a in b)`, and `not` is written `!`",
                "is" => "`is` is written `==`",
                "if" | "else" | "then" => "a choice is written `condition ? a : b`",
                _ => "the expression should end here",
            };
            Err(parser.unexpected(message))
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    nodes: usize,
    open: u16,
}

static END: Token = Token { kind: Kind::End, at: 0..0 };

impl Parser {
    fn token(&self) -> &Token {
        self.tokens.get(self.next).or(self.tokens.last()).unwrap_or(&END)
    }

    fn peek(&self) -> &Kind {
        &self.token().kind
    }

    fn bump(&mut self) -> Token {
        let token = self.token().clone();
        self.next += 1;
        token
    }

    fn end(&self) -> u32 {
        self.next.checked_sub(1).and_then(|n| self.tokens.get(n)).map_or(0, |token| token.at.end)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Kind::Sign(have) if *have == sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("expected `{sign}` here"))) }
    }

    fn unexpected(&self, message: &str) -> ParseError {
        let token = self.token();
        // At the end there is nothing to point at but the last token.
        let at = match (&token.kind, self.tokens.len().checked_sub(2).and_then(|n| self.tokens.get(n))) {
            (Kind::End, Some(last)) => last.at.clone(),
            _ => token.at.clone(),
        };
        let message = match token.kind {
            Kind::End => format!("the expression ends too soon: {message}"),
            _ => message.to_owned(),
        };
        ParseError::Slip(Slip::new(at, message))
    }

    fn node(&mut self, at: At, kind: ExprKind) -> Result<Expr, ParseError> {
        let deepest = |many: &[Expr]| many.iter().map(|e| e.depth).max().unwrap_or(0);
        let depth = 1 + match &kind {
            ExprKind::Select(a, _) | ExprKind::Not(a) | ExprKind::Negate(a) => a.depth,
            ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => a.depth.max(b.depth),
            ExprKind::If(a, b, c) => a.depth.max(b.depth).max(c.depth),
            ExprKind::Call(target, _, args) => target.as_ref().map_or(0, |t| t.depth).max(deepest(args)),
            ExprKind::And(list) | ExprKind::Or(list) | ExprKind::List(list) => deepest(list),
            ExprKind::Map(entries) => entries.iter().map(|(k, v)| k.depth.max(v.depth)).max().unwrap_or(0),
            _ => 0,
        };
        self.nodes += 1;
        if self.nodes > NODES {
            let message = format!("the expression has more than {NODES} parts");
            return Err(ParseError::TooLarge(Slip::new(at, message)));
        }
        if depth > DEPTH {
            return Err(Self::too_deep(at));
        }
        Ok(Expr { at, kind, depth })
    }

    fn too_deep(at: At) -> ParseError {
        ParseError::TooLarge(Slip::new(at, format!("the expression is nested deeper than {DEPTH}")))
    }

    fn expr(&mut self) -> Result<Expr, ParseError> {
        self.open += 1;
        if self.open > DEPTH {
            return Err(Self::too_deep(self.token().at.clone()));
        }
        let condition = self.chain("||")?;
        let out = if self.sign("?") {
            let yes = self.chain("||")?;
            self.expect(":")?;
            let no = self.expr()?;
            let at = condition.at.start..no.at.end;
            self.node(at, ExprKind::If(Box::new(condition), Box::new(yes), Box::new(no)))
        } else {
            Ok(condition)
        };
        self.open -= 1;
        out
    }

    /// `a || b || …` or `a && b && …`.
    fn chain(&mut self, sign: &'static str) -> Result<Expr, ParseError> {
        let or = sign == "||";
        let first = if or { self.chain("&&")? } else { self.binary(0)? };
        let start = first.at.start;
        let mut all = vec![first];
        while self.sign(sign) {
            all.push(if or { self.chain("&&")? } else { self.binary(0)? });
        }
        if all.len() == 1 {
            return all.pop().ok_or_else(|| self.unexpected("expected an expression"));
        }
        let at = start..self.end();
        self.node(at, if or { ExprKind::Or(all) } else { ExprKind::And(all) })
    }

    /// Comparisons (level 0), sums (1) and products (2), all binding to the left.
    fn binary(&mut self, level: u8) -> Result<Expr, ParseError> {
        let mut left = if level == 2 { self.unary()? } else { self.binary(level + 1)? };
        while let Some(operator) = self.operator(level) {
            self.next += 1;
            let right = if level == 2 { self.unary()? } else { self.binary(level + 1)? };
            let at = left.at.start..right.at.end;
            left = self.node(at, ExprKind::Binary(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn operator(&self, level: u8) -> Option<Operator> {
        let sign = match self.peek() {
            Kind::Sign(sign) => sign,
            Kind::Name(name) if name == "in" => "in",
            _ => return None,
        };
        Some(match (level, sign) {
            (0, "==") => Operator::Equal,
            (0, "!=") => Operator::NotEqual,
            (0, "<") => Operator::Less,
            (0, "<=") => Operator::LessEqual,
            (0, ">") => Operator::Greater,
            (0, ">=") => Operator::GreaterEqual,
            (0, "in") => Operator::In,
            (1, "+") => Operator::Add,
            (1, "-") => Operator::Subtract,
            (2, "*") => Operator::Multiply,
            (2, "/") => Operator::Divide,
            (2, "%") => Operator::Modulo,
            _ => return None,
        })
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
        let start = self.token().at.start;
        let mut signs = Vec::new();
        while let Kind::Sign(sign @ ("!" | "-")) = *self.peek() {
            signs.push((sign, self.token().at.start));
            self.next += 1;
            if signs.len() > usize::from(DEPTH) {
                return Err(Self::too_deep(start..self.end()));
            }
        }
        // The smallest whole number has no positive twin, so its sign belongs to it.
        let literal = match (signs.last(), self.peek()) {
            (Some(("-", at)), Kind::Int(n)) => Some((*at, ExprKind::Int(0i64.wrapping_sub_unsigned(*n)), *n)),
            (Some(("-", at)), Kind::Double(n)) => Some((*at, ExprKind::Double(-n), 0)),
            _ => None,
        };
        let mut out = if let Some((at, kind, size)) = literal {
            signs.pop();
            self.next += 1;
            if size > 1 << 63 {
                return Err(ParseError::Slip(Slip::new(at..self.end(), "the number is too large")));
            }
            let node = self.node(at..self.end(), kind)?;
            self.members(node)?
        } else {
            let primary = self.primary()?;
            self.members(primary)?
        };
        for (sign, at) in signs.into_iter().rev() {
            let inner = Box::new(out);
            let end = inner.at.end;
            out =
                self.node(at..end, if sign == "!" { ExprKind::Not(inner) } else { ExprKind::Negate(inner) })?;
        }
        Ok(out)
    }

    /// `.field`, `.method(…)` and `[…]` behind a value.
    fn members(&mut self, mut out: Expr) -> Result<Expr, ParseError> {
        loop {
            let start = out.at.start;
            if self.sign(".") {
                let Kind::Name(text) = self.peek().clone() else {
                    return Err(self.unexpected("expected a name after `.`"));
                };
                let name = Name { text, at: self.bump().at };
                let target = Box::new(out);
                let kind = if self.sign("(") {
                    ExprKind::Call(Some(target), name, self.list(")")?)
                } else {
                    ExprKind::Select(target, name)
                };
                out = self.node(start..self.end(), kind)?;
            } else if self.sign("[") {
                let index = self.expr()?;
                self.expect("]")?;
                out = self.node(start..self.end(), ExprKind::Index(Box::new(out), Box::new(index)))?;
            } else {
                return Ok(out);
            }
        }
    }

    fn list(&mut self, close: &str) -> Result<Vec<Expr>, ParseError> {
        let mut out = Vec::new();
        while !self.sign(close) {
            out.push(self.expr()?);
            if !self.sign(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(out)
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let token = self.bump();
        let at = token.at.clone();
        let kind = match token.kind {
            Kind::Int(n) => match i64::try_from(n) {
                Ok(n) => ExprKind::Int(n),
                Err(_) => return Err(ParseError::Slip(Slip::new(at, "the number is too large"))),
            },
            Kind::Uint(n) => ExprKind::Uint(n),
            Kind::Double(n) => ExprKind::Double(n),
            Kind::Text(text) => ExprKind::Text(text),
            Kind::Bytes(bytes) => ExprKind::Bytes(bytes),
            Kind::Name(name) => match name.as_str() {
                "null" => ExprKind::Null,
                "true" => ExprKind::Bool(true),
                "false" => ExprKind::Bool(false),
                "in" => {
                    self.next -= 1;
                    return Err(self.unexpected("expected a value before `in`"));
                }
                _ if self.sign("(") => {
                    let args = self.list(")")?;
                    let name = Name { text: name, at: at.clone() };
                    return self.node(at.start..self.end(), ExprKind::Call(None, name, args));
                }
                _ => ExprKind::Ident(name),
            },
            Kind::Sign("(") => {
                let mut inner = self.expr()?;
                self.expect(")")?;
                inner.at = at.start..self.end();
                return Ok(inner);
            }
            Kind::Sign("[") => {
                let list = self.list("]")?;
                return self.node(at.start..self.end(), ExprKind::List(list));
            }
            Kind::Sign("{") => {
                let mut entries = Vec::new();
                while !self.sign("}") {
                    let key = self.expr()?;
                    self.expect(":")?;
                    entries.push((key, self.expr()?));
                    if !self.sign(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                return self.node(at.start..self.end(), ExprKind::Map(entries));
            }
            Kind::Sign(_) | Kind::End => {
                self.next -= 1;
                return Err(self.unexpected("expected a value here"));
            }
        };
        self.node(at, kind)
    }
}
