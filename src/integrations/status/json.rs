//! JSON: a value and its text.

use std::fmt::{self, Write};

pub(super) enum Json {
    Null,
    Bool(bool),
    Count(u64),
    /// A number of seconds. JSON has no text for a number that is not finite: such a number is `null`.
    Seconds(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Json::Text(text.into())
    }

    pub(super) fn text_or_null(text: Option<impl Into<String>>) -> Self {
        text.map_or(Json::Null, Json::text)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Count(value) => write!(f, "{value}"),
            Json::Seconds(value) if value.is_finite() => write!(f, "{value:.3}"),
            Json::Seconds(_) => f.write_str("null"),
            Json::Text(text) => write_text(text, f),
            Json::List(values) => {
                f.write_char('[')?;
                for (n, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if n == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Json::Object(members) => {
                f.write_char('{')?;
                for (n, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}\"{name}\":{value}", if n == 0 { "" } else { "," })?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\0'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_and_number_comes_back_from_a_parser() {
        let odd: String = (0..0x300).chain([0x2028, 0x2029, 0xfeff, 0x1f980]).filter_map(char::from_u32).collect();
        let numbers = vec![Json::Count(u64::MAX), Json::Seconds(0.0625), Json::Seconds(f64::NAN), Json::Bool(true)];
        let value = Json::Object(vec![
            ("text", Json::text(odd.clone())),
            ("numbers", Json::List(numbers)),
            ("nothing", Json::text_or_null(None::<String>)),
            ("empty", Json::Object(Vec::new())),
        ]);
        let parsed: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
        let expected = serde_json::json!({
            "text": odd, "numbers": [u64::MAX, 0.063, null, true], "nothing": null, "empty": {},
        });
        // Half a millisecond is rounded to even by `format`.
        let numbers = &parsed["numbers"];
        assert!(numbers[1] == 0.062 || numbers[1] == 0.063, "{numbers}");
        assert_eq!((&parsed["text"], &numbers[0]), (&expected["text"], &expected["numbers"][0]));
        assert_eq!((&numbers[2], &numbers[3]), (&serde_json::Value::Null, &serde_json::Value::Bool(true)));
        assert_eq!((&parsed["nothing"], &parsed["empty"]), (&expected["nothing"], &expected["empty"]));
    }
}
