//! Units of points and what they are to each other.

/// Unit, what it measures, and its size in that quantity's first unit.
const UNITS: [(&str, &str, f64); 31] = [
    ("°C", "temperature", 1.0),
    ("W", "power", 1.0),
    ("kW", "power", 1e3),
    ("MW", "power", 1e6),
    ("Wh", "energy", 1.0),
    ("kWh", "energy", 1e3),
    ("MWh", "energy", 1e6),
    ("Pa", "pressure", 1.0),
    ("hPa", "pressure", 1e2),
    ("kPa", "pressure", 1e3),
    ("mbar", "pressure", 1e2),
    ("bar", "pressure", 1e5),
    ("MPa", "pressure", 1e6),
    ("l", "volume", 1.0),
    ("L", "volume", 1.0),
    ("m³", "volume", 1e3),
    ("m3", "volume", 1e3),
    ("l/h", "flow", 1.0),
    ("l/min", "flow", 60.0),
    ("m³/h", "flow", 1e3),
    ("m3/h", "flow", 1e3),
    ("mV", "voltage", 1e-3),
    ("V", "voltage", 1.0),
    ("kV", "voltage", 1e3),
    ("mA", "current", 1e-3),
    ("A", "current", 1.0),
    ("mm", "length", 1e-3),
    ("m", "length", 1.0),
    ("%", "share", 1.0),
    ("ppm", "parts", 1.0),
    ("lx", "light", 1.0),
];

/// A number in one unit as a number in another; none when they measure different things.
pub fn convert(n: f64, from: &str, to: &str) -> Option<f64> {
    if from.is_empty() || from == to {
        return Some(n);
    }
    let find = |unit: &str| UNITS.iter().find(|(known, _, _)| *known == unit);
    let ((_, one, size), (_, other, other_size)) = (find(from)?, find(to)?);
    (one == other).then(|| n * size / other_size)
}

/// Every unit there is.
pub fn all() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(unit, _, _)| *unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_quantity_convert_and_others_do_not() {
        assert_eq!(convert(2.0, "bar", "MPa"), Some(0.2));
        assert_eq!(convert(1500.0, "W", "kW"), Some(1.5));
        assert_eq!(convert(5.0, "", "kW"), Some(5.0));
        assert_eq!(convert(5.0, "kW", "°C"), None);
    }
}
