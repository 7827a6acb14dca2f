//! A strict reader of OpenMetrics text, as far as the status server writes it.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

pub(crate) struct Metrics(BTreeMap<(String, Labels), f64>);

impl Metrics {
    /// Panics with the line that breaks a rule of the format.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        assert!(text.is_empty() || text.ends_with('\n'));
        let (mut family, mut kind) = (String::new(), String::new());
        let mut families = BTreeSet::new();
        let mut samples = BTreeMap::new();
        for line in text.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, of_kind) = rest.split_once(' ').expect(line);
                assert!(families.insert(name.to_owned()), "twice: {line}");
                assert!(["gauge", "counter"].contains(&of_kind), "{line}");
                (family, kind) = (name.to_owned(), of_kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').expect(line);
                assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.starts_with(&format!("{family} ")), "{line}");
            } else {
                let (name, labels, value) = sample(line);
                let expected = if kind == "counter" { format!("{family}_total") } else { family.clone() };
                assert_eq!(name, expected, "{line}");
                assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
            }
        }
        Metrics(samples)
    }

    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.0.get(&(name.to_owned(), labels)).copied()
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').expect(line);
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, tail) = rest.split_once("=\"").expect(line);
            let (value, tail) = unquote(tail, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            match tail.strip_prefix(',') {
                Some(tail) => rest = tail,
                None => break rest = tail.strip_prefix('}').expect(line),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line).parse().expect(line);
    (name.to_owned(), labels, value)
}

/// The text up to the closing quote, and what follows it.
fn unquote<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().expect(line).1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                c => panic!("\\{c} in {line}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no closing quote: {line}");
}
