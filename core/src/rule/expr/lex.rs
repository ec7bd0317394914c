//! Words, numbers, texts and signs of a rule. Blank space and `# remarks` are passed over.

use super::diagnostic::{At, Span, Wrong};

/// One word of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A word or unit: letters, digits and `_ . - / % °`.
    Word(String),
    /// `"…"`, with `\"`, `\\` and `\n`.
    Text(String),
    /// A number.
    Number(f64),
    /// `HH:MM`, as minutes of the day.
    Hour(u16),
    /// `> >= < <= = != ( ) ,`
    Sign(&'static str),
    /// The end.
    End,
}

impl Token {
    /// As it is shown in a message.
    pub fn shown(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Text(text) => format!("{text:?}"),
            Token::Number(n) => n.to_string(),
            Token::Hour(minutes) => hour(*minutes),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "the end".to_owned(),
        }
    }
}

/// `HH:MM`.
pub fn hour(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A text in quotes, as the lexer reads it back.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Words with a meaning of their own: what is called like one is written in quotes.
pub const KEYWORDS: [&str; 36] = [
    "for", "each", "where", "when", "and", "or", "not", "off", "after", "during", "schedule", "then", "point", "of",
    "deadband", "state", "count", "at", "place", "in", "no", "report", "from", "to", "on", "alarm", "priority",
    "title", "command", "set", "true", "false", "key", "class", "device", "is",
];

/// A name: bare where the lexer reads it back as one word, else in quotes.
pub fn name(word: &str) -> String {
    let plain = word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.chars().all(of_word);
    if plain && !KEYWORDS.contains(&word) { word.to_owned() } else { quoted(word) }
}

const SIGNS: [&str; 9] = [">=", "<=", "!=", ">", "<", "=", "(", ")", ","];

fn of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '%' | '°' | '³' | '²' | 'µ')
}

/// The words of a text, the end last.
pub fn lex(text: &str) -> Result<Vec<At<Token>>, Wrong> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let span = |length: usize| Span { from: at, to: at + length };
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if c == '"' {
            let (said, length) = read_text(rest).ok_or_else(|| {
                let line = rest.find('\n').unwrap_or(rest.len());
                Wrong::new(span(line), "text_open", "this text has no closing quote: end it with \"")
            })?;
            tokens.push(At { node: Token::Text(said), span: span(length) });
            at += length;
        } else if c.is_ascii_digit() || (c == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let (token, length) = number(rest, at)?;
            tokens.push(At { node: token, span: span(length) });
            at += length;
        } else if of_word(c) {
            let length = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
            tokens.push(At { node: Token::Word(rest[..length].to_owned()), span: span(length) });
            at += length;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(At { node: Token::Sign(sign), span: span(sign.len()) });
            at += sign.len();
        } else {
            let wrong =
                Wrong::new(span(c.len_utf8()), "stray_sign", format!("{c:?} has no meaning here: leave it out"));
            return Err(wrong.with("sign", c));
        }
    }
    tokens.push(At { node: Token::End, span: Span { from: text.len(), to: text.len() } });
    Ok(tokens)
}

fn read_text(rest: &str) -> Option<(String, usize)> {
    let mut said = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((said, at + 1)),
            '\n' => return None,
            '\\' => match chars.next()? {
                (_, 'n') => said.push('\n'),
                (_, c @ ('"' | '\\')) => said.push(c),
                _ => return None,
            },
            c => said.push(c),
        }
    }
    None
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Wrong> {
    let digits = |from: usize| rest[from..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| from + n);
    let mut end = digits(1);
    if rest[end..].starts_with(':') && !rest.starts_with('-') {
        let minutes_end = digits(end + 1);
        let wrong = || {
            let span = Span { from: at, to: at + minutes_end };
            Wrong::new(span, "no_hour", "this is no hour: write HH:MM from 00:00 to 24:00")
        };
        let hours: u16 = rest[..end].parse().map_err(|_| wrong())?;
        let minutes: u16 = rest[end + 1..minutes_end].parse().map_err(|_| wrong())?;
        if minutes > 59 || hours > 24 || (hours == 24 && minutes > 0) {
            return Err(wrong());
        }
        return Ok((Token::Hour(hours * 60 + minutes), minutes_end));
    }
    if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end = digits(end + 1);
    }
    match rest[..end].parse::<f64>() {
        Ok(n) if n.is_finite() => Ok((Token::Number(n), end)),
        Ok(_) | Err(_) => {
            Err(Wrong::new(Span { from: at, to: at + end }, "no_number", "this number is too large to compare with"))
        }
    }
}
