//! The units of MTConnect (part 2, `units` and `nativeUnits`): how UCUM writes them, and how one becomes another.
//!
//! Only the atoms are listed; powers, prefixes and quotients are worked out. Must not know of data items.

/// Powers of length, mass, time, current, temperature, angle; and a mark for what is measured on a scale of its own.
type Dimension = [i8; 7];

const NONE: Dimension = [0; 7];
const LENGTH: Dimension = [1, 0, 0, 0, 0, 0, 0];
const MASS: Dimension = [0, 1, 0, 0, 0, 0, 0];
const TIME: Dimension = [0, 0, 1, 0, 0, 0, 0];
const CURRENT: Dimension = [0, 0, 0, 1, 0, 0, 0];
const TEMPERATURE: Dimension = [0, 0, 0, 0, 1, 0, 0];
const ANGLE: Dimension = [0, 0, 0, 0, 0, 1, 0];
const VOLUME: Dimension = [3, 0, 0, 0, 0, 0, 0];
const ACCELERATION: Dimension = [1, 0, -2, 0, 0, 0, 0];
const FREQUENCY: Dimension = [0, 0, -1, 0, 0, 0, 0];
const FORCE: Dimension = [1, 1, -2, 0, 0, 0, 0];
const ENERGY: Dimension = [2, 1, -2, 0, 0, 0, 0];
const POWER: Dimension = [2, 1, -3, 0, 0, 0, 0];
const PRESSURE: Dimension = [-1, 1, -2, 0, 0, 0, 0];
const VISCOSITY: Dimension = [-1, 1, -1, 0, 0, 0, 0];
const VOLTAGE: Dimension = [2, 1, -3, -1, 0, 0, 0];
const RESISTANCE: Dimension = [2, 1, -3, -2, 0, 0, 0];
const RESISTIVITY: Dimension = [3, 1, -3, -2, 0, 0, 0];
const CONDUCTANCE: Dimension = [-2, -1, 3, 2, 0, 0, 0];
const CHARGE: Dimension = [0, 0, 1, 1, 0, 0, 0];
const DECIBEL: Dimension = [0, 0, 0, 0, 0, 0, 1];
const PH: Dimension = [0, 0, 0, 0, 0, 0, 2];
const COUNT: Dimension = [0, 0, 0, 0, 0, 0, 3];
const PERCENT: Dimension = [0, 0, 0, 0, 0, 0, 4];
const REACTIVE: Dimension = [2, 1, -3, 0, 0, 0, 5];

/// Name, UCUM, dimension, and the value of one in base units (millimetre, gram, second, ampere, degree Celsius, degree)
/// as numerator and denominator, so that common conversions stay exact.
const ATOMS: &[(&str, &str, Dimension, f64, f64)] = &[
    ("AMPERE", "A", CURRENT, 1.0, 1.0),
    ("AMPERE_HOUR", "A.h", CHARGE, 3_600.0, 1.0),
    ("BAR", "bar", PRESSURE, 1e5, 1.0),
    ("CELSIUS", "Cel", TEMPERATURE, 1.0, 1.0),
    ("CENTIPOISE", "cP", VISCOSITY, 1.0, 1_000.0),
    ("COULOMB", "C", CHARGE, 1.0, 1.0),
    ("COUNT", "{count}", COUNT, 1.0, 1.0),
    ("DECIBEL", "dB", DECIBEL, 1.0, 1.0),
    ("DEGREE", "deg", ANGLE, 1.0, 1.0),
    ("FAHRENHEIT", "[degF]", TEMPERATURE, 5.0, 9.0),
    ("FOOT", "[ft_i]", LENGTH, 304.8, 1.0),
    ("GALLON", "[gal_us]", VOLUME, 3_785_411.784, 1.0),
    ("GRAM", "g", MASS, 1.0, 1.0),
    ("GRAVITATIONAL_ACCELERATION", "[g]", ACCELERATION, 9_806.65, 1.0),
    ("GRAVITATIONAL_FORCE", "[g]", ACCELERATION, 9_806.65, 1.0),
    ("HERTZ", "Hz", FREQUENCY, 1.0, 1.0),
    ("HOUR", "h", TIME, 3_600.0, 1.0),
    ("INCH", "[in_i]", LENGTH, 25.4, 1.0),
    ("INCH_POUND", "[in_i].[lbf_av]", ENERGY, 112_984_829.027_616_7, 1.0),
    ("JOULE", "J", ENERGY, 1e9, 1.0),
    ("KELVIN", "K", TEMPERATURE, 1.0, 1.0),
    ("LITER", "L", VOLUME, 1e6, 1.0),
    ("METER", "m", LENGTH, 1_000.0, 1.0),
    ("MILLIMETER_MERCURY", "mm[Hg]", PRESSURE, 133.322_387_415, 1.0),
    ("MINUTE", "min", TIME, 60.0, 1.0),
    ("NEWTON", "N", FORCE, 1e6, 1.0),
    ("NEWTON_METER", "N.m", ENERGY, 1e9, 1.0),
    ("OHM", "Ohm", RESISTANCE, 1e9, 1.0),
    ("OHM_METER", "Ohm.m", RESISTIVITY, 1e12, 1.0),
    ("OUNCE", "[oz_av]", MASS, 28.349_523_125, 1.0),
    ("PASCAL", "Pa", PRESSURE, 1.0, 1.0),
    ("PASCAL_SECOND", "Pa.s", VISCOSITY, 1.0, 1.0),
    ("PERCENT", "%", PERCENT, 1.0, 1.0),
    ("PH", "[pH]", PH, 1.0, 1.0),
    ("PINT", "[pt_us]", VOLUME, 473_176.473, 1.0),
    ("POUND", "[lb_av]", MASS, 453.592_37, 1.0),
    ("POUND/INCH^2", "[psi]", PRESSURE, 6_894.757_293_168_361, 1.0),
    ("RADIAN", "rad", ANGLE, 180.0, std::f64::consts::PI),
    ("RANKINE", "[degR]", TEMPERATURE, 5.0, 9.0),
    ("REVOLUTION", "{rev}", ANGLE, 360.0, 1.0),
    ("SECOND", "s", TIME, 1.0, 1.0),
    ("SIEMENS", "S", CONDUCTANCE, 1.0, 1e9),
    ("TORR", "mm[Hg]", PRESSURE, 101_325.0, 760.0),
    ("UNIT_VECTOR", "1", NONE, 1.0, 1.0),
    ("VOLT", "V", VOLTAGE, 1e9, 1.0),
    ("VOLT_AMPERE", "V.A", POWER, 1e9, 1.0),
    ("VOLT_AMPERE_REACTIVE", "V.A{reactive}", REACTIVE, 1e9, 1.0),
    ("WATT", "W", POWER, 1e9, 1.0),
    ("WATT_HOUR", "W.h", ENERGY, 3.6e12, 1.0),
    ("WATT_SECOND", "W.s", ENERGY, 1e9, 1.0),
];

/// Prefix, UCUM, numerator, denominator.
const PREFIXES: &[(&str, &str, f64, f64)] = &[
    ("GIGA", "G", 1e9, 1.0),
    ("MEGA", "M", 1e6, 1.0),
    ("KILO", "k", 1e3, 1.0),
    ("DECI", "d", 1.0, 10.0),
    ("CENTI", "c", 1.0, 100.0),
    ("MILLI", "m", 1.0, 1e3),
    ("MICRO_", "u", 1.0, 1e6),
    ("MICRO", "u", 1.0, 1e6),
    ("NANO", "n", 1.0, 1e9),
];

/// A unit that is understood.
#[derive(Debug, Clone, PartialEq)]
struct Unit {
    ucum: String,
    dimension: Dimension,
    numerator: f64,
    denominator: f64,
    /// Added before scaling; temperatures only.
    offset: f64,
}

/// How UCUM writes the MTConnect unit `name`; `None` for units that are not known.
pub fn ucum(name: &str) -> Option<String> {
    Unit::parse(name).map(|unit| unit.ucum)
}

impl Unit {
    fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        let name = name.strip_suffix("_3D").unwrap_or(name);
        if let Some(atom) = Self::atom(name) {
            return Some(atom);
        }
        let Some((above, below)) = name.split_once('/') else { return Self::power(name) };
        let (above, below) = (Self::power(above)?, Self::power(below)?);
        let mut dimension = above.dimension;
        for (power, subtracted) in dimension.iter_mut().zip(below.dimension) {
            *power -= subtracted;
        }
        Some(Self {
            ucum: format!("{}/{}", above.ucum, below.ucum),
            dimension,
            numerator: above.numerator * below.denominator,
            denominator: above.denominator * below.numerator,
            offset: 0.0,
        })
    }

    /// `CUBIC_X`, `SQUARE_X`, `X^2` or `X`.
    fn power(name: &str) -> Option<Self> {
        let (name, power) = if let Some(rest) = name.strip_prefix("CUBIC_") {
            (rest, 3)
        } else if let Some(rest) = name.strip_prefix("SQUARE_") {
            (rest, 2)
        } else if let Some((rest, power)) = name.split_once('^') {
            (rest, power.parse::<i8>().ok().filter(|power| (1..=4).contains(power))?)
        } else {
            (name, 1)
        };
        let unit = Self::atom(name)?;
        if power == 1 {
            return Some(unit);
        }
        Some(Self {
            ucum: format!("{}{power}", unit.ucum),
            dimension: unit.dimension.map(|exponent| exponent * power),
            numerator: unit.numerator.powi(i32::from(power)),
            denominator: unit.denominator.powi(i32::from(power)),
            offset: 0.0,
        })
    }

    /// A listed unit, with or without prefix.
    fn atom(name: &str) -> Option<Self> {
        if let Some((_, ucum, dimension, numerator, denominator)) = ATOMS.iter().find(|(known, ..)| *known == name) {
            let offset = match name {
                "FAHRENHEIT" => -32.0,
                "KELVIN" => -273.15,
                "RANKINE" => -491.67,
                _ => 0.0,
            };
            let (numerator, denominator) = (*numerator, *denominator);
            return Some(Self { ucum: (*ucum).to_owned(), dimension: *dimension, numerator, denominator, offset });
        }
        PREFIXES.iter().find_map(|(prefix, symbol, numerator, denominator)| {
            let rest = name.strip_prefix(prefix)?;
            let (_, ucum, dimension, above, below) = ATOMS.iter().find(|(known, ..)| *known == rest)?;
            Some(Self {
                ucum: format!("{symbol}{ucum}"),
                dimension: *dimension,
                numerator: above * numerator,
                denominator: below * denominator,
                offset: 0.0,
            })
        })
    }
}

/// How native values become values in the published units: `(native + offset) × numerator ÷ denominator + shift`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    offset: f64,
    numerator: f64,
    denominator: f64,
    shift: f64,
}

impl Conversion {
    /// The published value of `native`.
    pub fn apply(&self, native: f64) -> f64 {
        (native + self.offset) * self.numerator / self.denominator + self.shift
    }

    /// From `native` units with `native_scale` to `units`; `Ok(None)` where nothing has to be done.
    ///
    /// # Errors
    /// When one of the units is not known or they are not of the same kind.
    pub fn between(
        native: Option<&str>,
        native_scale: Option<f64>,
        units: Option<&str>,
    ) -> Result<Option<Self>, String> {
        let scale = native_scale.filter(|scale| scale.is_finite() && *scale != 0.0).unwrap_or(1.0);
        let scaled = Self { offset: 0.0, numerator: 1.0, denominator: scale, shift: 0.0 };
        let scaled_only = if scale == 1.0 { None } else { Some(scaled) };
        let (Some(native), Some(units)) = (native, units) else { return Ok(scaled_only) };
        if native == units {
            return Ok(scaled_only);
        }
        let (Some(from), Some(to)) = (Unit::parse(native), Unit::parse(units)) else {
            return Err(format!("cannot convert {native} to {units}: one of them is not a unit of the standard"));
        };
        if from.dimension != to.dimension {
            return Err(format!("cannot convert {native} to {units}: they measure different things"));
        }
        // The scale belongs to the native value, so it also divides what is added before.
        Ok(Some(Self {
            offset: from.offset * scale,
            numerator: from.numerator * to.denominator,
            denominator: from.denominator * to.numerator * scale,
            shift: -to.offset,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_the_standard_has_a_ucum_form() {
        for (name, expected) in [
            ("AMPERE", "A"),
            ("CELSIUS", "Cel"),
            ("COUNT", "{count}"),
            ("DECIBEL", "dB"),
            ("DEGREE", "deg"),
            ("DEGREE_3D", "deg"),
            ("DEGREE/SECOND", "deg/s"),
            ("DEGREE/SECOND^2", "deg/s2"),
            ("HERTZ", "Hz"),
            ("JOULE", "J"),
            ("KILOGRAM", "kg"),
            ("LITER", "L"),
            ("LITER/SECOND", "L/s"),
            ("MICRO_RADIAN", "urad"),
            ("MILLIMETER", "mm"),
            ("MILLIMETER_3D", "mm"),
            ("MILLIMETER/REVOLUTION", "mm/{rev}"),
            ("MILLIMETER/SECOND", "mm/s"),
            ("MILLIMETER/SECOND^2", "mm/s2"),
            ("NEWTON", "N"),
            ("NEWTON_METER", "N.m"),
            ("OHM", "Ohm"),
            ("PASCAL", "Pa"),
            ("PASCAL_SECOND", "Pa.s"),
            ("PERCENT", "%"),
            ("PH", "[pH]"),
            ("REVOLUTION/MINUTE", "{rev}/min"),
            ("SECOND", "s"),
            ("SIEMENS/METER", "S/m"),
            ("VOLT", "V"),
            ("VOLT_AMPERE", "V.A"),
            ("VOLT_AMPERE_REACTIVE", "V.A{reactive}"),
            ("WATT", "W"),
            ("WATT_SECOND", "W.s"),
            ("GRAM/CUBIC_METER", "g/m3"),
            ("CUBIC_MILLIMETER", "mm3"),
            ("CUBIC_MILLIMETER/SECOND", "mm3/s"),
            ("CUBIC_MILLIMETER/SECOND^2", "mm3/s2"),
            ("MILLIGRAM", "mg"),
            ("MILLIGRAM/CUBIC_MILLIMETER", "mg/mm3"),
            ("MILLILITER", "mL"),
            ("COUNT/SECOND", "{count}/s"),
            ("PASCAL/SECOND", "Pa/s"),
            ("UNIT_VECTOR_3D", "1"),
            ("REVOLUTION/SECOND^2", "{rev}/s2"),
            ("REVOLUTION/SECOND", "{rev}/s"),
            ("GRAM", "g"),
            ("METER/SECOND^2", "m/s2"),
            ("COULOMB", "C"),
            ("CUBIC_METER", "m3"),
            ("SQUARE_MILLIMETER", "mm2"),
            ("OHM_METER", "Ohm.m"),
            ("MILLIGRAM/LITER", "mg/L"),
            ("CENTIPOISE", "cP"),
            ("DEGREE/MINUTE", "deg/min"),
            ("FAHRENHEIT", "[degF]"),
            ("FOOT_3D", "[ft_i]"),
            ("FOOT/SECOND^2", "[ft_i]/s2"),
            ("GALLON/MINUTE", "[gal_us]/min"),
            ("INCH/MINUTE", "[in_i]/min"),
            ("INCH_POUND", "[in_i].[lbf_av]"),
            ("KELVIN", "K"),
            ("KILOWATT", "kW"),
            ("KILOWATT_HOUR", "kW.h"),
            ("POUND", "[lb_av]"),
            ("POUND/INCH^2", "[psi]"),
            ("RADIAN/MINUTE", "rad/min"),
            ("BAR", "bar"),
            ("TORR", "mm[Hg]"),
            ("MILLIMETER_MERCURY", "mm[Hg]"),
            ("PASCAL/MINUTE", "Pa/min"),
            ("GRAVITATIONAL_FORCE", "[g]"),
            ("GRAVITATIONAL_ACCELERATION", "[g]"),
            ("AMPERE_HOUR", "A.h"),
            ("CUBIC_FOOT/HOUR", "[ft_i]3/h"),
            ("CUBIC_FOOT/MINUTE", "[ft_i]3/min"),
            ("SQUARE_INCH", "[in_i]2"),
            ("CUBIC_FOOT", "[ft_i]3"),
            ("INCH/REVOLUTION", "[in_i]/{rev}"),
            ("MICROMETER", "um"),
            ("RANKINE", "[degR]"),
            ("MICROTORR", "umm[Hg]"),
        ] {
            assert_eq!(ucum(name).as_deref(), Some(expected), "{name}");
        }
        for unknown in ["OTHER", "", "x:PIECES", "MILLIMETER/", "/SECOND", "SECOND^99"] {
            assert_eq!(ucum(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn native_values_become_published_ones() {
        for (native, scale, units, value, expected) in [
            ("INCH", None, "MILLIMETER", 2.0, 50.8),
            ("INCH_3D", None, "MILLIMETER_3D", 1.0, 25.4),
            ("MILLIMETER/MINUTE", None, "MILLIMETER/SECOND", 600.0, 10.0),
            ("INCH/MINUTE", None, "MILLIMETER/SECOND", 60.0, 25.4),
            ("DEGREE/MINUTE", None, "DEGREE/SECOND", 90.0, 1.5),
            ("FAHRENHEIT", None, "CELSIUS", 212.0, 100.0),
            ("KELVIN", None, "CELSIUS", 273.15, 0.0),
            ("KILOWATT", None, "WATT", 1.5, 1_500.0),
            ("KILOAMPERE", None, "AMPERE", 0.5, 500.0),
            ("KILOWATT_HOUR", None, "WATT_SECOND", 1.0, 3.6e6),
            ("HOUR", None, "SECOND", 0.5, 1_800.0),
            ("BAR", None, "PASCAL", 2.0, 200_000.0),
            ("POUND/INCH^2", None, "PASCAL", 1.0, 6_894.757_293_168_361),
            ("FOOT/SECOND^2", None, "MILLIMETER/SECOND^2", 1.0, 304.8),
            ("CUBIC_FOOT/MINUTE", None, "CUBIC_MILLIMETER/SECOND", 60.0, 28_316_846.592),
            ("GRAVITATIONAL_ACCELERATION", None, "METER/SECOND^2", 1.0, 9.806_65),
            ("RADIAN", None, "DEGREE", std::f64::consts::PI, 180.0),
            ("REVOLUTION/SECOND", None, "REVOLUTION/MINUTE", 2.0, 120.0),
            ("MILLIMETER", Some(10.0), "MILLIMETER", 25.0, 2.5),
            ("INCH", Some(0.5), "MILLIMETER", 1.0, 50.8),
            ("FAHRENHEIT", Some(10.0), "CELSIUS", 2_120.0, 100.0),
        ] {
            let conversion = Conversion::between(Some(native), scale, Some(units)).unwrap().unwrap();
            let got = conversion.apply(value);
            assert!((got - expected).abs() <= expected.abs() * 1e-12, "{value} {native}: {got} {units}");
        }
        assert_eq!(Conversion::between(Some("PERCENT"), None, Some("PERCENT")), Ok(None));
        assert_eq!(Conversion::between(None, Some(1.0), Some("MILLIMETER")), Ok(None));
        for (native, units, reason) in [
            ("OTHER", "MILLIMETER", "not a unit of the standard"),
            ("SECOND", "MILLIMETER", "measure different things"),
            ("PERCENT", "COUNT", "measure different things"),
        ] {
            let error = Conversion::between(Some(native), None, Some(units)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
