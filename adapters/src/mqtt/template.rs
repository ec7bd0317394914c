//! Value templates of announced devices: Jinja, as Home Assistant's users write it, within bounds.
//!
//! A template comes from outside: it runs on a fixed amount of fuel, sees only the message, and its output is cut off.

use minijinja::value::{Rest, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use std::sync::{PoisonError, RwLock};

/// Longest template taken, bytes.
pub const MAX_TEMPLATE: usize = 4 << 10;
/// Longest result, bytes.
const MAX_OUTPUT: usize = 4 << 10;
/// Instructions per evaluation: zigbee2mqtt's longest templates use a few hundred.
const FUEL: u64 = 20_000;
/// Different templates kept compiled; announcers share a handful.
const MAX_COMPILED: usize = 20_000;

/// Compiled templates, by their source.
#[derive(Debug)]
pub struct Templates {
    environment: RwLock<(Environment<'static>, usize)>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut env = Environment::new();
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(40);
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        env.add_filter("float", |value: &Jinja, rest: Rest<Jinja>| number(value, &rest));
        env.add_filter("int", |value: &Jinja, rest: Rest<Jinja>| number(value, &rest).map(whole));
        env.add_function("float", |value: &Jinja, rest: Rest<Jinja>| number(value, &rest));
        env.add_function("int", |value: &Jinja, rest: Rest<Jinja>| number(value, &rest).map(whole));
        env.add_filter("is_defined", |value: &Jinja| match value.is_undefined() {
            true => Err(Error::new(ErrorKind::UndefinedError, "value is not defined")),
            false => Ok(value.clone()),
        });
        env.add_filter("iif", iif);
        env.add_function("iif", iif);
        env.set_unknown_method_callback(|_, value, method, args| python_method(value, method, args));
        Self { environment: RwLock::new((env, 0)) }
    }
}

impl Templates {
    /// Compiles a template; its source names it afterwards.
    pub fn add(&self, source: &str) -> Result<(), String> {
        if source.len() > MAX_TEMPLATE {
            return Err(format!("template of {} bytes is longer than {MAX_TEMPLATE}", source.len()));
        }
        let mut guard = self.environment.write().unwrap_or_else(PoisonError::into_inner);
        if guard.0.get_template(source).is_ok() {
            return Ok(());
        }
        if guard.1 >= MAX_COMPILED {
            return Err(format!("more than {MAX_COMPILED} different templates"));
        }
        guard
            .0
            .add_template_owned(source.to_owned(), source.to_owned())
            .map_err(|e| format!("template: {}", e.kind()))?;
        guard.1 += 1;
        Ok(())
    }

    /// What the template makes of a message. Trimmed; at most 4 KiB.
    pub fn render(&self, source: &str, payload: &str) -> Result<String, String> {
        let json = serde_json::from_str::<serde_json::Value>(payload).ok();
        let context = match json {
            Some(json) => minijinja::context! { value => payload, value_json => json },
            None => minijinja::context! { value => payload },
        };
        let guard = self.environment.read().unwrap_or_else(PoisonError::into_inner);
        let template = guard.0.get_template(source).map_err(|e| format!("template: {}", e.kind()))?;
        let mut out = Bounded(Vec::new());
        template.render_captured_to(context, &mut out).map_err(|e| format!("template: {}", e.kind()))?;
        Ok(String::from_utf8_lossy(&out.0).trim().to_owned())
    }
}

struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn number(value: &Jinja, rest: &Rest<Jinja>) -> Result<Jinja, Error> {
    let parsed = match value.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    match (parsed, rest.first()) {
        (Some(n), _) => Ok(Jinja::from(n)),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(Error::new(ErrorKind::InvalidOperation, "not a number")),
    }
}

fn whole(value: Jinja) -> Jinja {
    // `as` saturates: an infinite reading becomes the largest whole number.
    f64::try_from(value.clone()).map_or(value, |n| Jinja::from(n.trunc() as i64))
}

fn iif(value: &Jinja, rest: Rest<Jinja>) -> Jinja {
    let pick = |at: usize, otherwise: Jinja| rest.get(at).cloned().unwrap_or(otherwise);
    if value.is_true() { pick(0, Jinja::from(true)) } else { pick(1, Jinja::from(false)) }
}

/// The methods of Python's dict and str that templates in the field call.
fn python_method(value: &Jinja, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    let arg = |at: usize| args.get(at).cloned().unwrap_or_default();
    match (value.kind(), method, value.as_str()) {
        (ValueKind::Map, "get", _) => {
            let found = value.get_item(&arg(0))?;
            Ok(if found.is_undefined() { args.get(1).cloned().unwrap_or(Jinja::from(())) } else { found })
        }
        (_, "lower", Some(text)) => Ok(text.to_lowercase().into()),
        (_, "upper", Some(text)) => Ok(text.to_uppercase().into()),
        (_, "strip", Some(text)) => Ok(text.trim().into()),
        (_, "startswith", Some(text)) => Ok(arg(0).as_str().is_some_and(|a| text.starts_with(a)).into()),
        (_, "endswith", Some(text)) => Ok(arg(0).as_str().is_some_and(|a| text.ends_with(a)).into()),
        (_, "replace", Some(text)) if text.len() <= MAX_TEMPLATE => {
            let (Some(from), to) = (arg(0).as_str().map(str::to_owned), arg(1)) else {
                return Err(Error::from(ErrorKind::MissingArgument));
            };
            let to = to.as_str().unwrap_or_default();
            if from.is_empty() || to.len() > 64 {
                return Err(Error::from(ErrorKind::InvalidOperation));
            }
            Ok(text.replace(&from, to).into())
        }
        (_, "split", Some(text)) if text.len() <= 64 << 10 => {
            let separator = arg(0);
            let parts: Vec<Jinja> = match separator.as_str() {
                Some(separator) if !separator.is_empty() => text.split(separator).map(Jinja::from).collect(),
                _ => text.split_whitespace().map(Jinja::from).collect(),
            };
            Ok(parts.into())
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn render(template: &str, payload: &str) -> Result<String, String> {
        let templates = Templates::default();
        templates.add(template)?;
        templates.render(template, payload)
    }

    fn check(template: &str, payload: &str, expect: &str) {
        assert_eq!(render(template, payload).as_deref(), Ok(expect), "{template} of {payload}");
    }

    #[test]
    fn templates_seen_in_the_field() {
        // Booleans read as Python writes them: payloads are compared with that in mind.
        check("{{ value_json.smoke }}", r#"{"smoke":true}"#, "True");
        check("{{ value_json['temperature'] | round(1) }}", r#"{"temperature":21.46}"#, "21.5");
        check("{{ value_json.ENERGY.Power }}", r#"{"ENERGY":{"Power":12}}"#, "12");
        check("{{ value | float(0) / 10 }}", "215", "21.5");
        check("{{ value_json.get('state', 'OFF') }}", "{}", "OFF");
        check("{% if value_json.contact %}OFF{% else %}ON{% endif %}", r#"{"contact":false}"#, "ON");
        check("{{ 'online' if value_json.state == 'online' else 'offline' }}", r#"{"state":"online"}"#, "online");
        check("{{ iif(value_json.open, 'ON', 'OFF') }}", r#"{"open":true}"#, "ON");
        check("{{ value.split(';')[1] | int(0) }}", "a;7.9", "7");
        check("{{ value_json.a.b.c }}", "{}", "");
    }

    #[test]
    fn a_template_cannot_run_or_grow_without_end() {
        let spin = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}";
        assert!(render(spin, "").is_err());
        assert!(render("{{ 'x' * 100000 }}", "").is_err());
        assert!(render("{% for a in range(5000) %}{{ value }}{% endfor %}", "0123456789").is_err());
        assert!(render(&"x".repeat(MAX_TEMPLATE + 1), "").is_err());
        assert!(render("{{ nope(", "").is_err());
        assert!(render("{% include 'other' %}", "").is_err());
    }

    proptest! {
        #[test]
        fn any_template_and_payload_end(template in r"(\{\{|\}\}|\{%|%\}|value|value_json|\.[a-z]|\||[a-z0-9 '()\[\]*+]){0,30}", payload in ".{0,60}") {
            let _ = render(&template, &payload);
        }
    }
}
