//! How deep a question may be nested. Operators that follow one another make a tree as deep as there are of them, and
//! planning a tree takes stack for each level; at the end of the stack the whole program would end.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;

/// Operators in one question. Long lists of values are not concerned: `IN` has them side by side.
const OPERATORS_MAX: usize = 1_000;
/// Stack of each thread that plans: enough for [`OPERATORS_MAX`] levels in a build without optimisation. What is not
/// used is not taken from the memory.
pub(crate) const STACK_BYTES: usize = 256 << 20;

/// Whether `sql` can be planned without danger.
///
/// # Errors
/// When it has too many operators.
pub(crate) fn check(sql: &str) -> Result<(), QueryError> {
    // What is no SQL is found out by the parser, with a better message.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else { return Ok(()) };
    let operators = tokens.iter().filter(|token| is_operator(token)).count();
    if operators > OPERATORS_MAX {
        return Err(QueryError::Invalid(format!(
            "the question is nested too deeply: {operators} operators, {OPERATORS_MAX} are allowed; long lists can be \
             written with IN"
        )));
    }
    Ok(())
}

fn is_operator(token: &Token) -> bool {
    const WORDS: [&str; 9] = ["AND", "OR", "NOT", "UNION", "EXCEPT", "INTERSECT", "IS", "LIKE", "COLLATE"];
    match token {
        Token::Word(word) => word.quote_style.is_none() && WORDS.iter().any(|w| word.value.eq_ignore_ascii_case(w)),
        Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::RParen
        | Token::RBracket
        | Token::EOF => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_allowed_and_long_chains_are_not() {
        let list = (0..20_000).map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
        assert!(check(&format!("SELECT 1 WHERE 1 IN ({list})")).is_ok());
        assert!(check(&format!("SELECT 1{}", " + 1".repeat(999))).is_ok());
        for chain in [" + 1", " OR true", " UNION SELECT 1", "::int", "[1]", " IS NULL"] {
            let error = check(&format!("SELECT 1{}", chain.repeat(1_001))).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains("nested too deeply")), "{chain}");
        }
    }
}
