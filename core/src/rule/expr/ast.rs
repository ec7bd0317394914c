//! A rule as written, and how it is written back.

use super::diagnostic::At;
use super::lex::{hour, name, quoted};
use crate::access::Day;
use std::fmt;

/// A whole rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleAst {
    /// `for each …`: it is judged for each of these devices apart.
    pub each: Option<Selection>,
    /// `when …`
    pub when: Cond,
    /// `for …`: how long it must stand, milliseconds.
    pub on_ms: i64,
    /// `off after …`: how long it must be gone, milliseconds.
    pub off_ms: i64,
    /// `during …`
    pub during: Option<During>,
    /// `then …`
    pub actions: Vec<At<Action>>,
}

/// `for each sensor where class = "temperature" and place = "tower-a"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// A kind, or `device` for all.
    pub kind: At<String>,
    /// `where …`, all of them.
    pub filters: Vec<Filter>,
}

/// One filter of a selection.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// `key`, `class` or `place`.
    pub field: At<String>,
    /// One of these.
    pub any: Vec<At<String>>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a rule has at most 16 terms")]
pub enum Cond {
    /// One of them.
    Any(Vec<Cond>),
    /// All of them.
    All(Vec<Cond>),
    /// Not.
    Not(Box<Cond>),
    /// A term.
    Term(At<Term>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Cmp {
    More,
    AtLeast,
    Less,
    AtMost,
    Is,
    IsNot,
}

impl Cmp {
    /// The sign.
    pub fn sign(self) -> &'static str {
        match self {
            Cmp::More => ">",
            Cmp::AtLeast => ">=",
            Cmp::Less => "<",
            Cmp::AtMost => "<=",
            Cmp::Is => "=",
            Cmp::IsNot => "!=",
        }
    }

    /// The comparison of a sign.
    pub fn of_sign(sign: &str) -> Option<Self> {
        [Cmp::More, Cmp::AtLeast, Cmp::Less, Cmp::AtMost, Cmp::Is, Cmp::IsNot]
            .into_iter()
            .find(|cmp| cmp.sign() == sign)
    }
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// With its unit, empty for the point's own.
    Number(f64, String),
    /// `true`, `false`, `on`, `off`.
    Bool(bool),
    /// `"…"`.
    Word(String),
}

/// What can be true or false.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// `point temperature of "temp-1" > 30 °C deadband 1`.
    Point {
        /// Which point.
        point: At<String>,
        /// Of which device; without, of the one that is judged.
        of: Option<At<String>>,
        /// How.
        cmp: Cmp,
        /// With what.
        to: At<Literal>,
        /// How far back it is quiet again.
        deadband: Option<At<(f64, String)>>,
    },
    /// `state of "door-lobby" = "held_open"`.
    State {
        /// Of which device.
        of: Option<At<String>>,
        /// `=` or `!=`.
        is: bool,
        /// The state word.
        word: At<String>,
    },
    /// `count(access.denied where reason = "Unauthorized" at "door-lobby") >= 3 in 60 s`.
    Count {
        /// Code of an event.
        event: At<String>,
        /// Field and value that it must have.
        filter: Option<(At<String>, At<Literal>)>,
        /// Where.
        at: Option<Where>,
        /// So many.
        n: At<u32>,
        /// Within, milliseconds.
        within_ms: At<i64>,
    },
    /// `no report from "meter-1" for 10 min`.
    Silent {
        /// From which device.
        of: Option<At<String>>,
        /// For how long, milliseconds.
        for_ms: At<i64>,
    },
}

/// Where an event is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// At a device.
    Device(At<String>),
    /// At a place and all within it.
    Place(At<String>),
}

/// When the rule is awake.
#[derive(Clone, Debug, PartialEq)]
pub enum During {
    /// `during schedule "night"`.
    Schedule(At<String>),
    /// `during 22:00 to 06:00 on mon, tue`.
    Hours {
        /// Minutes of the day.
        from: u16,
        /// Minutes of the day.
        to: u16,
        /// On which days it begins; empty for all.
        days: Vec<Day>,
    },
}

/// What it does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `alarm priority 2 title "…"`.
    Alarm {
        /// 1 to 4.
        priority: u8,
        /// What operators read.
        title: String,
    },
    /// `command lock at "door-1"`, `command set brightness 80 at "lamp-1"`.
    Command {
        /// The verb.
        verb: At<String>,
        /// Point and value of `set`.
        set: Option<(String, Literal)>,
        /// At which device; without, the one that is judged.
        at: Option<At<String>>,
    },
}

fn duration(ms: i64) -> String {
    for (unit, word) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")] {
        if ms != 0 && ms % unit == 0 {
            return format!("{} {word}", ms / unit);
        }
    }
    format!("{ms} ms")
}

fn measure(n: f64, unit: &str) -> String {
    if unit.is_empty() { n.to_string() } else { format!("{n} {unit}") }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Number(n, unit) => f.write_str(&measure(*n, unit)),
            Literal::Bool(on) => write!(f, "{on}"),
            Literal::Word(word) => f.write_str(&quoted(word)),
        }
    }
}

fn of(device: &Option<At<String>>, word: &str) -> String {
    device.as_ref().map_or_else(String::new, |device| format!(" {word} {}", quoted(&device.node)))
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Point { point, of: device, cmp, to, deadband } => {
                write!(f, "point {}{} {} {}", name(&point.node), of(device, "of"), cmp.sign(), to.node)?;
                match deadband {
                    Some(band) => write!(f, " deadband {}", measure(band.node.0, &band.node.1)),
                    None => Ok(()),
                }
            }
            Term::State { of: device, is, word } => {
                write!(f, "state{} {} {}", of(device, "of"), if *is { "=" } else { "!=" }, quoted(&word.node))
            }
            Term::Count { event, filter, at, n, within_ms } => {
                write!(f, "count({}", name(&event.node))?;
                if let Some((field, value)) = filter {
                    write!(f, " where {} = {}", name(&field.node), value.node)?;
                }
                match at {
                    Some(Where::Device(device)) => write!(f, " at {}", quoted(&device.node))?,
                    Some(Where::Place(place)) => write!(f, " at place {}", quoted(&place.node))?,
                    None => {}
                }
                write!(f, ") >= {} in {}", n.node, duration(within_ms.node))
            }
            Term::Silent { of: device, for_ms } => {
                write!(f, "no report{} for {}", of(device, "from"), duration(for_ms.node))
            }
        }
    }
}

impl Cond {
    /// Writes it; `within` says how tightly what is around it binds: 0 `or`, 1 `and`, 2 `not`.
    fn write(&self, f: &mut fmt::Formatter<'_>, within: u8) -> fmt::Result {
        let (binds, word) = match self {
            Cond::Any(_) => (0, " or "),
            Cond::All(_) => (1, " and "),
            Cond::Not(_) | Cond::Term(_) => (2, ""),
        };
        if binds < within {
            f.write_str("(")?;
        }
        match self {
            Cond::Any(all) | Cond::All(all) => {
                for (nth, cond) in all.iter().enumerate() {
                    if nth > 0 {
                        f.write_str(word)?;
                    }
                    cond.write(f, binds + 1)?;
                }
            }
            Cond::Not(cond) => {
                f.write_str("not ")?;
                cond.write(f, 2)?;
            }
            Cond::Term(term) => write!(f, "{}", term.node)?,
        }
        if binds < within { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Display for RuleAst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(each) = &self.each {
            let kind = if each.kind.node == "device" { "device".to_owned() } else { name(&each.kind.node) };
            write!(f, "for each {kind}")?;
            for (nth, filter) in each.filters.iter().enumerate() {
                write!(f, " {} {} = ", if nth == 0 { "where" } else { "and" }, filter.field.node)?;
                let any: Vec<_> = filter.any.iter().map(|value| quoted(&value.node)).collect();
                f.write_str(&any.join(" or "))?;
            }
            writeln!(f)?;
        }
        f.write_str("when ")?;
        self.when.write(f, 0)?;
        if self.on_ms > 0 {
            write!(f, "\nfor {}", duration(self.on_ms))?;
        }
        if self.off_ms > 0 {
            write!(f, "\noff after {}", duration(self.off_ms))?;
        }
        match &self.during {
            Some(During::Schedule(key)) => write!(f, "\nduring schedule {}", quoted(&key.node))?,
            Some(During::Hours { from, to, days }) => {
                write!(f, "\nduring {} to {}", hour(*from), hour(*to))?;
                let days: Vec<_> = days.iter().map(|day| super::parse::day_word(*day)).collect();
                if !days.is_empty() {
                    write!(f, " on {}", days.join(", "))?;
                }
            }
            None => {}
        }
        for (nth, action) in self.actions.iter().enumerate() {
            f.write_str(if nth == 0 { "\nthen " } else { "\nand " })?;
            match &action.node {
                Action::Alarm { priority, title } => write!(f, "alarm priority {priority} title {}", quoted(title))?,
                Action::Command { verb, set, at } => {
                    write!(f, "command {}", name(&verb.node))?;
                    if let Some((point, value)) = set {
                        write!(f, " {} {value}", name(point))?;
                    }
                    f.write_str(&of(at, "at"))?;
                }
            }
        }
        Ok(())
    }
}
