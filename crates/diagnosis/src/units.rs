//! Units after UCUM, as far as signals have them: what measures the same, and by how much one differs from another. Knows no
//! signal and no rule.

use std::fmt;

/// Powers of what is measured: length, time, mass, plane angle, temperature, electric charge, luminous intensity, amount of
/// substance, and two that stand for themselves, level in decibel and acidity.
type Dimension = [i8; 10];

/// What is measured in, for example `km/h`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    text: String,
    dimension: Dimension,
    /// How many of the base unit one of these is.
    factor: f64,
    /// Where a scale of points begins, in the base unit: 273.15 for degrees Celsius. Amounts have none.
    origin: Option<f64>,
}

/// A unit that can stand by itself: symbol, dimension, factor, whether it takes a prefix.
type Atom = (&'static str, Dimension, f64, bool);

const fn powers(length: i8, time: i8, mass: i8, charge: i8) -> Dimension {
    [length, time, mass, 0, 0, charge, 0, 0, 0, 0]
}

const fn only(place: usize) -> Dimension {
    let mut dimension = [0; 10];
    dimension[place] = 1;
    dimension
}

const NONE: Dimension = [0; 10];
const TEMPERATURE: Dimension = only(4);
const DEGREE: f64 = std::f64::consts::PI / 180.0;
/// The base units are those of UCUM: metre, second, gram, radian, kelvin, coulomb, candela; mole, decibel and pH stand for themselves.
const ATOMS: [Atom; 49] = [
    ("m", only(0), 1.0, true),
    ("s", only(1), 1.0, true),
    ("g", only(2), 1.0, true),
    ("rad", only(3), 1.0, true),
    ("K", TEMPERATURE, 1.0, true),
    ("C", only(5), 1.0, true),
    ("cd", only(6), 1.0, true),
    ("mol", only(7), 1.0, true),
    ("dB", only(8), 1.0, false),
    ("[pH]", only(9), 1.0, false),
    ("%", NONE, 0.01, false),
    ("[ppm]", NONE, 1e-6, false),
    ("deg", only(3), DEGREE, false),
    ("min", only(1), 60.0, false),
    ("h", only(1), 3_600.0, false),
    ("d", only(1), 86_400.0, false),
    ("wk", only(1), 604_800.0, false),
    ("Hz", powers(0, -1, 0, 0), 1.0, true),
    ("L", powers(3, 0, 0, 0), 1e-3, true),
    ("l", powers(3, 0, 0, 0), 1e-3, true),
    ("t", only(2), 1e6, true),
    ("N", powers(1, -2, 1, 0), 1e3, true),
    ("J", powers(2, -2, 1, 0), 1e3, true),
    ("W", powers(2, -3, 1, 0), 1e3, true),
    ("Pa", powers(-1, -2, 1, 0), 1e3, true),
    ("bar", powers(-1, -2, 1, 0), 1e8, true),
    ("A", powers(0, -1, 0, 1), 1.0, true),
    ("V", powers(2, -2, 1, -1), 1e3, true),
    ("Ohm", powers(2, -1, 1, -2), 1e3, true),
    ("S", powers(-2, 1, -1, 2), 1e-3, true),
    ("F", powers(-2, 2, -1, 2), 1e-3, true),
    ("Wb", powers(2, -1, 1, -1), 1e3, true),
    ("T", powers(0, -1, 1, -1), 1e3, true),
    ("H", powers(2, 0, 1, -2), 1e3, true),
    ("P", powers(-1, -1, 1, 0), 100.0, true),
    ("lm", only(6), 1.0, true),
    ("lx", [-2, 0, 0, 0, 0, 0, 1, 0, 0, 0], 1.0, true),
    ("[g]", powers(1, -2, 0, 0), 9.806_65, true),
    ("[ft_i]", only(0), 0.304_8, false),
    ("[in_i]", only(0), 0.025_4, false),
    ("[lb_av]", only(2), 453.592_37, false),
    ("[oz_av]", only(2), 28.349_523_125, false),
    ("[lbf_av]", powers(1, -2, 1, 0), 4_448.221_615_260_5, false),
    ("[psi]", powers(-1, -2, 1, 0), 6_894_757.293_168_361, false),
    ("m[Hg]", powers(-1, -2, 1, 0), 133_322_387.415, true),
    ("[gal_us]", powers(3, 0, 0, 0), 3.785_411_784e-3, false),
    ("[pt_us]", powers(3, 0, 0, 0), 4.731_764_73e-4, false),
    ("[degR]", TEMPERATURE, 5.0 / 9.0, false),
    ("bit", NONE, 1.0, true),
];
const PREFIXES: [(&str, f64); 14] = [
    ("da", 1e1),
    ("T", 1e12),
    ("G", 1e9),
    ("M", 1e6),
    ("k", 1e3),
    ("h", 1e2),
    ("d", 1e-1),
    ("c", 1e-2),
    ("m", 1e-3),
    ("u", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
    ("f", 1e-15),
    ("a", 1e-18),
];
/// Powers beyond this are a mistake.
const POWER_MAX: i8 = 12;

impl Unit {
    /// What is counted.
    pub(crate) fn one() -> Self {
        Self { text: "1".to_owned(), dimension: NONE, factor: 1.0, origin: None }
    }

    /// Seconds.
    pub(crate) fn second() -> Self {
        Self { text: "s".to_owned(), dimension: only(1), factor: 1.0, origin: None }
    }

    /// Reads a unit of UCUM.
    ///
    /// # Errors
    /// When it is none, or one that is not known here; says which part.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let point = match text {
            "Cel" => Some((1.0, 273.15)),
            "[degF]" => Some((5.0 / 9.0, 459.67 * 5.0 / 9.0)),
            _ => None,
        };
        if let Some((factor, origin)) = point {
            return Ok(Self { text: text.to_owned(), dimension: TEMPERATURE, factor, origin: Some(origin) });
        }
        let mut reading = Reading { rest: text, depth: 0 };
        let (dimension, factor) = reading.terms()?;
        if !reading.rest.is_empty() {
            return Err(format!("`{text}` is no unit of UCUM: expected its end, got `{}`", reading.rest));
        }
        Ok(Self { text: text.to_owned(), dimension, factor, origin: None })
    }

    /// Whether both measure the same, so that they can be compared: amounts with amounts, points with points.
    pub(crate) fn measures_as(&self, other: &Self) -> bool {
        self.dimension == other.dimension && self.origin.is_some() == other.origin.is_some()
    }

    /// What a value in `self` is in `other`, which measures the same: `value * factor + offset`.
    pub(crate) fn to(&self, other: &Self) -> (f64, f64) {
        let origin = self.origin.unwrap_or_default() - other.origin.unwrap_or_default();
        (self.factor / other.factor, origin / other.factor)
    }

    /// What two points on a scale are apart in.
    pub(crate) fn difference(&self) -> Self {
        match self.origin {
            None => self.clone(),
            Some(_) => {
                let text = if self.text == "Cel" { "K" } else { "[degR]" };
                Self { text: text.to_owned(), origin: None, ..*self }
            }
        }
    }

    pub(crate) fn is_point(&self) -> bool {
        self.origin.is_some()
    }

    /// The unit of a product, or of a quotient where `sign` is −1.
    pub(crate) fn times(&self, other: &Self, sign: i8) -> Result<Self, String> {
        if self.is_point() || other.is_point() {
            let point = if self.is_point() { self } else { other };
            return Err(format!("values in {point} cannot be multiplied: it is a scale of points"));
        }
        let mut dimension = self.dimension;
        for (mine, theirs) in dimension.iter_mut().zip(other.dimension) {
            *mine = mine.saturating_add(theirs.saturating_mul(sign));
            if mine.abs() > POWER_MAX {
                return Err(format!("{self} and {other} make a power above {POWER_MAX}"));
            }
        }
        let factor = if sign < 0 { self.factor / other.factor } else { self.factor * other.factor };
        let text = match (self.text.as_str(), other.text.as_str(), sign) {
            (_, "1", _) => self.text.clone(),
            ("1", _, 1) => other.text.clone(),
            ("1", _, _) => format!("/({other})"),
            (_, _, 1) => format!("{self}.{other}"),
            _ => format!("{self}/({other})"),
        };
        Ok(Self { text, dimension, factor, origin: None })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Reading<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reading<'_> {
    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `a.b/c`, also with a solidus in front.
    fn terms(&mut self) -> Result<(Dimension, f64), String> {
        let (mut dimension, mut factor) = (NONE, 1.0);
        let mut sign = if self.take('/') { -1 } else { 1 };
        loop {
            let (of_term, of_factor) = self.term()?;
            for (all, one) in dimension.iter_mut().zip(of_term) {
                *all += one * sign;
            }
            factor = if sign < 0 { factor / of_factor } else { factor * of_factor };
            sign = if self.take('.') {
                1
            } else if self.take('/') {
                -1
            } else {
                return Ok((dimension, factor));
            };
        }
    }

    /// A symbol, a number, an annotation or what stands in parentheses, with its power.
    fn term(&mut self) -> Result<(Dimension, f64), String> {
        let (mut dimension, mut factor) = self.base()?;
        let digits = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '-' || c == '+')).unwrap_or(self.rest.len());
        if digits > 0 {
            let (power, rest) = self.rest.split_at(digits);
            let power: i8 = power
                .parse()
                .ok()
                .filter(|power: &i8| power.abs() <= POWER_MAX)
                .ok_or_else(|| format!("`{power}` is no power: expected one from -{POWER_MAX} to {POWER_MAX}"))?;
            self.rest = rest;
            dimension = dimension.map(|one| one.saturating_mul(power));
            factor = factor.powi(i32::from(power));
        }
        self.annotation()?;
        Ok((dimension, factor))
    }

    fn annotation(&mut self) -> Result<bool, String> {
        let Some(within) = self.rest.strip_prefix('{') else { return Ok(false) };
        let (_, rest) = within.split_once('}').ok_or_else(|| format!("`{}` has no end", self.rest))?;
        self.rest = rest;
        Ok(true)
    }

    fn base(&mut self) -> Result<(Dimension, f64), String> {
        if self.annotation()? {
            return Ok((NONE, 1.0));
        }
        if self.take('(') {
            self.depth += 1;
            if self.depth > 8 {
                return Err("too many parentheses within one another".to_owned());
            }
            let terms = self.terms()?;
            self.depth -= 1;
            return if self.take(')') { Ok(terms) } else { Err("expected `)`".to_owned()) };
        }
        if let Some(rest) = self.rest.strip_prefix("10*").or_else(|| self.rest.strip_prefix("10^")) {
            self.rest = rest;
            return Ok((NONE, 10.0));
        }
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        if digits > 0 {
            let (number, rest) = self.rest.split_at(digits);
            self.rest = rest;
            return number.parse().map(|number| (NONE, number)).map_err(|_| format!("`{number}` is too long"));
        }
        let symbol = self.symbol();
        let (name, rest) = self.rest.split_at(symbol);
        self.rest = rest;
        atom(name).ok_or_else(|| format!("`{name}` is no unit that is known here"))
    }

    /// How long the symbol is that comes next: up to a sign or a power, square brackets being part of it.
    fn symbol(&self) -> usize {
        let mut is_within = false;
        let is_end = |c: char| {
            is_within = (is_within || c == '[') && c != ']';
            !is_within && (matches!(c, '.' | '/' | '(' | ')' | '{' | '}' | '-' | '+') || c.is_ascii_digit())
        };
        self.rest.find(is_end).unwrap_or(self.rest.len())
    }
}

fn atom(name: &str) -> Option<(Dimension, f64)> {
    let known = |name: &str| ATOMS.iter().find(|(symbol, ..)| *symbol == name);
    if let Some((_, dimension, factor, _)) = known(name) {
        return Some((*dimension, *factor));
    }
    PREFIXES.iter().find_map(|(prefix, by)| {
        let (_, dimension, factor, takes_prefix) = known(name.strip_prefix(prefix)?)?;
        takes_prefix.then_some((*dimension, factor * by))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        Unit::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_measures_the_same_is_converted() {
        for (from, to, value, expected) in [
            ("km/h", "m/s", 36.0, 10.0),
            ("Cel", "[degF]", 100.0, 212.0),
            ("[degF]", "Cel", 32.0, 0.0),
            ("kOhm", "V/A", 2.0, 2_000.0),
            ("N.m", "J", 3.0, 3.0),
            ("W.h", "J", 1.0, 3_600.0),
            ("L/(100.km)", "L/km", 7.0, 0.07),
            ("/min", "Hz", 60.0, 1.0),
            ("{rev}/min", "/min", 60.0, 60.0),
            ("mm2/s", "m2/s", 1.0, 1e-6),
            ("%", "1", 50.0, 0.5),
            ("10*3/uL", "/L", 1.0, 1e9),
            ("mm[Hg]", "kPa", 760.0, 101.325),
            ("mg/kg", "[ppm]", 5.0, 5.0),
            ("A.h", "C", 1.0, 3_600.0),
        ] {
            let (from, to) = (unit(from), unit(to));
            assert!(from.measures_as(&to), "{from} and {to}");
            let (factor, offset) = from.to(&to);
            let got = value * factor + offset;
            assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{value} {from} is {got} {to}");
        }
    }

    #[test]
    fn what_measures_something_else_is_told_apart() {
        for (one, other) in [("km/h", "/min"), ("Cel", "K"), ("V", "A"), ("deg", "1"), ("N.m", "N"), ("Hz", "s")] {
            assert!(!unit(one).measures_as(&unit(other)), "{one} and {other}");
        }
        assert_eq!(unit("Cel").difference().to_string(), "K");
        assert!(unit("V").times(&unit("A"), 1).unwrap().measures_as(&unit("kW")));
        assert!(unit("km").times(&unit("h"), -1).unwrap().measures_as(&unit("m/s")));
        assert!(unit("Cel").times(&unit("A"), 1).is_err());
    }

    #[test]
    fn what_is_no_unit_is_told() {
        for (text, expected) in [
            ("furlong", "`furlong` is no unit that is known here"),
            ("m/", "`` is no unit"),
            ("m99", "`99` is no power"),
            ("(m", "expected `)`"),
            ("m)", "expected its end, got `)`"),
            ("{rev", "`{rev` has no end"),
            ("kmin", "`kmin` is no unit"),
        ] {
            let error = Unit::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
