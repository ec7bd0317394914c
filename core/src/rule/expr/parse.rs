//! From words to a rule: recursive descent; the first thing that does not fit ends it.

use super::ast::{Action, Cmp, Cond, During, Filter, Literal, RuleAst, Selection, Term, Where};
use super::diagnostic::{At, Span, Wrong};
use super::lex::{KEYWORDS, Token, lex};
use crate::access::Day;

/// Longest text, characters.
pub const MOST_CHARS: usize = 4_000;
/// Terms of one rule.
pub const MOST_TERMS: usize = 16;
/// Parentheses and negations within each other.
const MOST_DEPTH: usize = 16;
/// Longest time, milliseconds: 31 days.
const MOST_MS: f64 = 31.0 * 86_400_000.0;

const DAYS: [(Day, &str); 7] = [
    (Day::Mon, "mon"),
    (Day::Tue, "tue"),
    (Day::Wed, "wed"),
    (Day::Thu, "thu"),
    (Day::Fri, "fri"),
    (Day::Sat, "sat"),
    (Day::Sun, "sun"),
];

/// The word of a day.
pub fn day_word(day: Day) -> &'static str {
    DAYS.iter().find(|(known, _)| *known == day).map_or("mon", |(_, word)| word)
}

/// Reads a rule.
pub fn parse(text: &str) -> Result<RuleAst, Wrong> {
    if text.chars().count() > MOST_CHARS {
        let span = Span { from: 0, to: text.len() };
        let wrong = Wrong::new(span, "too_long", format!("a rule has at most {MOST_CHARS} characters: split it"));
        return Err(wrong.with("most", MOST_CHARS));
    }
    let mut parser = Parser { tokens: lex(text)?, at: 0, terms: 0, depth: 0 };
    let rule = parser.rule()?;
    match parser.peek() {
        Token::End => Ok(rule),
        _ => Err(parser.wanted(&["and", "the end"])),
    }
}

struct Parser {
    tokens: Vec<At<Token>>,
    at: usize,
    terms: usize,
    depth: usize,
}

type Parsed<T> = Result<T, Wrong>;

impl Parser {
    fn peek(&self) -> &Token {
        self.nth(0)
    }

    fn nth(&self, n: usize) -> &Token {
        self.tokens.get(self.at + n).map_or(&Token::End, |token| &token.node)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map(|token| token.span).unwrap_or_default()
    }

    fn before(&self) -> Span {
        self.tokens.get(self.at.saturating_sub(1)).map(|token| token.span).unwrap_or_default()
    }

    fn is(&self, word: &str) -> bool {
        match self.peek() {
            Token::Word(said) => said == word,
            Token::Sign(sign) => *sign == word,
            Token::Text(_) | Token::Number(_) | Token::Hour(_) | Token::End => false,
        }
    }

    /// Takes a word or sign when it is there.
    fn take(&mut self, word: &str) -> bool {
        let is = self.is(word);
        self.at += usize::from(is);
        is
    }

    fn want(&mut self, word: &str) -> Parsed<()> {
        if self.take(word) { Ok(()) } else { Err(self.wanted(&[word])) }
    }

    fn wanted(&self, words: &[&str]) -> Wrong {
        let found = self.peek().shown();
        let wanted = words.join(", ");
        let wrong = Wrong::new(self.span(), "wanted", format!("here stands {found}, wanted is {wanted}"));
        wrong.with("found", &found).with("wanted", &wanted).near(&found, words.iter().copied())
    }

    /// A name, bare or in quotes.
    fn name(&mut self, what: &str) -> Parsed<At<String>> {
        let span = self.span();
        match self.peek().clone() {
            Token::Text(name) => {
                self.at += 1;
                Ok(At { node: name, span })
            }
            Token::Word(name) if !KEYWORDS.contains(&name.as_str()) => {
                self.at += 1;
                Ok(At { node: name, span })
            }
            _ => Err(self.wanted(&[what])),
        }
    }

    /// A field of an event: there a keyword is a name too.
    fn field(&mut self) -> Parsed<At<String>> {
        let span = self.span();
        match self.peek().clone() {
            Token::Text(name) | Token::Word(name) => {
                self.at += 1;
                Ok(At { node: name, span })
            }
            _ => Err(self.wanted(&["a field of the event"])),
        }
    }

    fn quoted(&mut self, what: &str) -> Parsed<At<String>> {
        let span = self.span();
        match self.peek().clone() {
            Token::Text(text) => {
                self.at += 1;
                Ok(At { node: text, span })
            }
            _ => Err(self.wanted(&[what])),
        }
    }

    fn number(&mut self, what: &str) -> Parsed<At<f64>> {
        let span = self.span();
        match *self.peek() {
            Token::Number(n) => {
                self.at += 1;
                Ok(At { node: n, span })
            }
            _ => Err(self.wanted(&[what])),
        }
    }

    fn unit(&mut self) -> String {
        match self.peek().clone() {
            Token::Word(unit) if !KEYWORDS.contains(&unit.as_str()) => {
                self.at += 1;
                unit
            }
            _ => String::new(),
        }
    }

    fn duration(&mut self) -> Parsed<At<i64>> {
        const UNITS: [&str; 5] = ["ms", "s", "min", "h", "d"];
        let n = self.number("a time such as 5 min")?;
        let Token::Word(unit) = self.peek().clone() else { return Err(self.wanted(&UNITS)) };
        let unit_ms = match unit.as_str() {
            "ms" => 1.0,
            "s" => 1_000.0,
            "min" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return Err(self.wanted(&UNITS)),
        };
        let span = n.span.with(self.span());
        self.at += 1;
        let ms = n.node * unit_ms;
        if !(1.0..=MOST_MS).contains(&ms) {
            return Err(Wrong::new(span, "no_duration", "a time is from 1 ms to 31 d"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked to be within 31 days")]
        Ok(At { node: ms.round() as i64, span })
    }

    fn rule(&mut self) -> Parsed<RuleAst> {
        let each = if self.take("for") {
            self.want("each")?;
            Some(self.selection()?)
        } else {
            None
        };
        if !self.take("when") {
            return Err(self.wanted(if each.is_some() { &["where", "when"] } else { &["for each", "when"] }));
        }
        let when = self.any()?;
        let on_ms = if self.take("for") { self.duration()?.node } else { 0 };
        self.take(",");
        let off_ms = if self.take("off") {
            self.want("after")?;
            self.duration()?.node
        } else {
            0
        };
        let during = if self.take("during") { Some(self.during()?) } else { None };
        if !self.take("then") {
            return Err(self.wanted(&["and", "or", "for", "off after", "during", "then"]));
        }
        let mut actions = vec![self.action()?];
        while self.take("and") {
            actions.push(self.action()?);
        }
        Ok(RuleAst { each, when, on_ms, off_ms, during, actions })
    }

    fn selection(&mut self) -> Parsed<Selection> {
        let span = self.span();
        let kind =
            if self.take("device") { At { node: "device".into(), span } } else { self.name("a kind of device")? };
        let mut filters = Vec::new();
        if self.take("where") {
            loop {
                let span = self.span();
                let Some(field) = ["key", "class", "place"].into_iter().find(|field| self.take(field)) else {
                    return Err(self.wanted(&["key", "class", "place"]));
                };
                self.want("=")?;
                let mut any = vec![self.quoted("a text in quotes")?];
                while self.take("or") {
                    any.push(self.quoted("a text in quotes")?);
                }
                filters.push(Filter { field: At { node: field.into(), span }, any });
                if !self.take("and") {
                    break;
                }
            }
        }
        Ok(Selection { kind, filters })
    }

    fn any(&mut self) -> Parsed<Cond> {
        let mut all = vec![self.all()?];
        while self.take("or") {
            all.push(self.all()?);
        }
        Ok(one_or(all, Cond::Any))
    }

    fn all(&mut self) -> Parsed<Cond> {
        let mut all = vec![self.negation()?];
        while self.take("and") {
            all.push(self.negation()?);
        }
        Ok(one_or(all, Cond::All))
    }

    fn negation(&mut self) -> Parsed<Cond> {
        if self.depth >= MOST_DEPTH {
            return Err(Wrong::new(self.span(), "too_deep", "too many conditions within each other: split the rule"));
        }
        self.depth += 1;
        let cond = if self.take("not") {
            Cond::Not(Box::new(self.negation()?))
        } else if self.take("(") {
            let cond = self.any()?;
            self.want(")")?;
            cond
        } else {
            Cond::Term(self.term()?)
        };
        self.depth -= 1;
        Ok(cond)
    }

    fn term(&mut self) -> Parsed<At<Term>> {
        let from = self.span();
        self.terms += 1;
        if self.terms > MOST_TERMS {
            let wrong = Wrong::new(from, "too_many_terms", format!("a rule has at most {MOST_TERMS} terms: split it"));
            return Err(wrong.with("most", MOST_TERMS));
        }
        let node = if self.take("point") {
            self.point()?
        } else if self.take("state") {
            let of = self.device("of")?;
            let is = match (self.take("="), self.take("!=")) {
                (true, _) => true,
                (false, true) => false,
                (false, false) => return Err(self.wanted(&["of", "=", "!="])),
            };
            Term::State { of, is, word: self.quoted("a state in quotes")? }
        } else if self.take("count") {
            self.count()?
        } else if self.take("no") {
            self.want("report")?;
            let of = self.device("from")?;
            if !self.take("for") {
                return Err(self.wanted(if of.is_some() { &["for"] } else { &["from", "for"] }));
            }
            Term::Silent { of, for_ms: self.duration()? }
        } else {
            return Err(self.wanted(&["point", "state", "count", "no report", "not", "("]));
        };
        Ok(At { node, span: from.with(self.before()) })
    }

    fn device(&mut self, word: &str) -> Parsed<Option<At<String>>> {
        if self.take(word) { self.quoted("a device's key in quotes").map(Some) } else { Ok(None) }
    }

    fn point(&mut self) -> Parsed<Term> {
        let point = self.name("the name of a point")?;
        let of = self.device("of")?;
        let cmp = match self.peek() {
            Token::Sign(sign) => Cmp::of_sign(sign),
            _ => None,
        };
        let Some(cmp) = cmp else { return Err(self.wanted(&["of", ">", ">=", "<", "<=", "=", "!="])) };
        self.at += 1;
        let to = self.literal()?;
        let deadband = if self.take("deadband") {
            let n = self.number("a number")?;
            let unit = self.unit();
            Some(At { node: (n.node, unit), span: n.span.with(self.before()) })
        } else {
            None
        };
        Ok(Term::Point { point, of, cmp, to, deadband })
    }

    fn literal(&mut self) -> Parsed<At<Literal>> {
        let from = self.span();
        let node = match self.peek().clone() {
            Token::Number(n) => {
                self.at += 1;
                Literal::Number(n, self.unit())
            }
            Token::Text(text) => {
                self.at += 1;
                Literal::Word(text)
            }
            Token::Word(word) if matches!(word.as_str(), "true" | "on") => {
                self.at += 1;
                Literal::Bool(true)
            }
            Token::Word(word) if matches!(word.as_str(), "false" | "off") => {
                self.at += 1;
                Literal::Bool(false)
            }
            _ => return Err(self.wanted(&["a number", "true", "false", "a text in quotes"])),
        };
        Ok(At { node, span: from.with(self.before()) })
    }

    fn count(&mut self) -> Parsed<Term> {
        self.want("(")?;
        let event = self.name("the code of an event")?;
        let filter = if self.take("where") {
            let field = self.field()?;
            self.want("=")?;
            Some((field, self.literal()?))
        } else {
            None
        };
        let at = if self.take("at") {
            Some(if self.take("place") {
                Where::Place(self.quoted("a place's key in quotes")?)
            } else {
                Where::Device(self.quoted("a device's key in quotes")?)
            })
        } else {
            None
        };
        if !self.take(")") {
            return Err(self.wanted(&["where", "at", ")"]));
        }
        self.want(">=")?;
        let n = self.number("a number")?;
        if n.node.fract() != 0.0 || !(1.0..=1_000.0).contains(&n.node) {
            return Err(Wrong::new(n.span, "no_count", "a count is a whole number from 1 to 1000"));
        }
        self.want("in")?;
        let within_ms = self.duration()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be 1 to 1000")]
        let n = At { node: n.node as u32, span: n.span };
        Ok(Term::Count { event, filter, at, n, within_ms })
    }

    fn during(&mut self) -> Parsed<During> {
        if self.take("schedule") {
            return self.quoted("a schedule's key in quotes").map(During::Schedule);
        }
        let from = self.hour()?;
        self.want("to")?;
        let to = self.hour()?;
        let mut days = Vec::new();
        if self.take("on") {
            loop {
                let day = DAYS.iter().find(|(_, word)| self.is(word)).map(|(day, _)| *day);
                let Some(day) = day else { return Err(self.wanted(&DAYS.map(|(_, word)| word))) };
                self.at += 1;
                if !days.contains(&day) {
                    days.push(day);
                }
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok(During::Hours { from, to, days })
    }

    fn hour(&mut self) -> Parsed<u16> {
        match *self.peek() {
            Token::Hour(minutes) => {
                self.at += 1;
                Ok(minutes)
            }
            _ => Err(self.wanted(&["schedule", "an hour such as 22:00"])),
        }
    }

    fn action(&mut self) -> Parsed<At<Action>> {
        let from = self.span();
        let node = if self.take("alarm") {
            self.want("priority")?;
            let n = self.number("1, 2, 3 or 4")?;
            let priority = [1_u8, 2, 3, 4].into_iter().find(|known| f64::from(*known) == n.node).ok_or_else(|| {
                Wrong::new(n.span, "no_priority", "a priority is 1 critical, 2 high, 3 medium or 4 low")
            })?;
            self.want("title")?;
            let title = self.quoted("the alarm's title in quotes")?;
            if title.node.trim().is_empty() || title.node.chars().count() > 120 {
                return Err(Wrong::new(title.span, "no_title", "a title has 1 to 120 characters"));
            }
            Action::Alarm { priority, title: title.node }
        } else if self.take("command") {
            let span = self.span();
            let (verb, set) = if self.take("set") {
                let point = self.name("the name of a point")?.node;
                (At { node: "set".to_owned(), span }, Some((point, self.literal()?.node)))
            } else {
                (self.name("lock, arm or set")?, None)
            };
            Action::Command { verb, set, at: self.device("at")? }
        } else {
            return Err(self.wanted(&["alarm", "command"]));
        };
        Ok(At { node, span: from.with(self.before()) })
    }
}

fn one_or(mut all: Vec<Cond>, many: impl FnOnce(Vec<Cond>) -> Cond) -> Cond {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            many(all)
        }
        None => many(all),
    }
}
