//! Names in which `*` stands for any characters. Knows not what is named.

/// Whether `name` is what `pattern` says, where `*` stands for any characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves most room for the parts behind.
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_what_it_says_with_any_characters_in_between() {
        let check = |pattern, name, expected| assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        check("machine/lathe-1", "machine/lathe-1", true);
        check("machine/lathe-1", "machine/lathe-12", false);
        check("machine/*", "machine/lathe-1", true);
        check("machine/*", "machine/", true);
        check("*lathe*", "machine/lathe-1", true);
        check("*-1", "machine/lathe-12", false);
        check("*a*b*c", "xaxbxbxc", true);
        check("*a*b*c", "xbxaxc", false);
        check("a*a", "a", false);
        check("*", "", true);
        check("车*", "车间/一", true);
    }
}
