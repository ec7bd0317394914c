//! The language that operators write rules in.
//!
//! ```text
//! for each sensor where class = "temperature" and place = "tower-a"
//! when point temperature > 30 °C deadband 1 or no report for 10 min
//! for 5 min
//! off after 1 min
//! during schedule "night"
//! then alarm priority 2 title "Too warm"
//! and command arm at "fence-north"
//!
//! text ── parse ──▶ RuleAst ── plan (devices, types, cost) ──▶ Plan ── Judge ──▶ turns
//!            └───────── Diagnostic: where, what, what would be right ┘
//! ```
//! Terms: `point NAME [of "device"] > >= < <= = != value [deadband n]`, `state [of "device"] = "word"`,
//! `count(EVENT [where FIELD = value] [at "device" | at place "key"]) >= n in TIME`, `no report [from "device"] for TIME`;
//! joined by `and`, `or`, `not` and parentheses. A rule raises an alarm, and may lock, arm or set: it never opens.

mod ast;
mod diagnostic;
mod fact;
mod judge;
mod lex;
mod parse;
mod plan;
#[cfg(test)]
mod tests;
mod unit;

pub use ast::{Action, Cmp, Cond, During, Filter, Literal, RuleAst, Selection, Term, Where};
pub use diagnostic::{At, Diagnostic, Span};
pub use fact::{FACTS, Fact, Shape, states};
pub use judge::{Input, Judge, Subject, Turn};
pub use parse::{MOST_CHARS, MOST_TERMS, parse};
pub use plan::{MOST_KEPT, MOST_SUBJECTS, Plan, PlanAction, PlanTerm, Points, Scene, Target, Test};

pub(super) use fact::code_of;

/// Reads and checks a rule: what runs, or everything that is wrong with it.
pub fn compile(text: &str, scene: Scene<'_>) -> Result<Plan, Vec<Diagnostic>> {
    let rule = parse(text).map_err(|wrong| vec![Diagnostic::new(text, &wrong)])?;
    plan::plan(&rule, scene).map_err(|all| all.iter().map(|wrong| Diagnostic::new(text, wrong)).collect())
}
