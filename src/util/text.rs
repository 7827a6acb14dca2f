//! Text for people: escaping of untrusted text, the width of text in a terminal, and durations.

use std::fmt::{self, Write};
use std::time::Duration;

/// Displays untrusted text with control and bidirectional characters escaped. A service name or an error message
/// therefore cannot forge a log line, or look like different text.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_control_or_bidi(c) { write!(f, "{}", c.escape_debug())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Returns `true` if `c` controls a terminal, ends a line, or changes the direction of text. Joiners return `false`:
/// emoji and some scripts need them.
fn is_control_or_bidi(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns how many terminal columns `text` takes. East Asian wide characters and most emoji take two columns.
/// Combining characters take none.
pub(crate) fn columns(text: &str) -> usize {
    let is_in = |table: &[(u32, u32)], c: char| {
        let after = table.partition_point(|range| range.0 <= c as u32);
        after.checked_sub(1).is_some_and(|at| c as u32 <= table[at].1)
    };
    let columns = |c: char| match c {
        ' '..='~' => 1, // the common case, without a table lookup
        c if is_in(ZERO_WIDTH, c) => 0,
        c if is_in(WIDE, c) => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

/// The characters of width `W` or `F` in `EastAsianWidth.txt` of Unicode 15. Unassigned characters between two ranges are
/// treated like their neighbours, which keeps the table short.
const WIDE: &[(u32, u32)] = &[
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x2329, 0x232a),
    (0x23e9, 0x23ec),
    (0x23f0, 0x23f0),
    (0x23f3, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x267f, 0x267f),
    (0x2693, 0x2693),
    (0x26a1, 0x26a1),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x26ce, 0x26ce),
    (0x26d4, 0x26d4),
    (0x26ea, 0x26ea),
    (0x26f2, 0x26f3),
    (0x26f5, 0x26f5),
    (0x26fa, 0x26fa),
    (0x26fd, 0x26fd),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x274e, 0x274e),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2795, 0x2797),
    (0x27b0, 0x27b0),
    (0x27bf, 0x27bf),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b50),
    (0x2b55, 0x2b55),
    (0x2e80, 0x303e),
    (0x3041, 0x3247),
    (0x3250, 0x4dbf),
    (0x4e00, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe10, 0xfe19),
    (0xfe30, 0xfe6f),
    (0xff01, 0xff60),
    (0xffe0, 0xffe6),
    (0x16fe0, 0x18d08),
    (0x1aff0, 0x1b2ff),
    (0x1f004, 0x1f004),
    (0x1f0cf, 0x1f0cf),
    (0x1f18e, 0x1f18e),
    (0x1f191, 0x1f19a),
    (0x1f200, 0x1f320),
    (0x1f32d, 0x1f335),
    (0x1f337, 0x1f37c),
    (0x1f37e, 0x1f393),
    (0x1f3a0, 0x1f3ca),
    (0x1f3cf, 0x1f3d3),
    (0x1f3e0, 0x1f3f0),
    (0x1f3f4, 0x1f3f4),
    (0x1f3f8, 0x1f43e),
    (0x1f440, 0x1f440),
    (0x1f442, 0x1f4fc),
    (0x1f4ff, 0x1f53d),
    (0x1f54b, 0x1f54e),
    (0x1f550, 0x1f567),
    (0x1f57a, 0x1f57a),
    (0x1f595, 0x1f596),
    (0x1f5a4, 0x1f5a4),
    (0x1f5fb, 0x1f64f),
    (0x1f680, 0x1f6c5),
    (0x1f6cc, 0x1f6cc),
    (0x1f6d0, 0x1f6d2),
    (0x1f6d5, 0x1f6d7),
    (0x1f6dc, 0x1f6df),
    (0x1f6eb, 0x1f6ec),
    (0x1f6f4, 0x1f6fc),
    (0x1f7e0, 0x1f7eb),
    (0x1f7f0, 0x1f7f0),
    (0x1f90c, 0x1f93a),
    (0x1f93c, 0x1f945),
    (0x1f947, 0x1f9ff),
    (0x1fa70, 0x1faff),
    (0x20000, 0x3fffd),
];

/// The characters of category `Mn`, `Me` or `Cf` in `DerivedGeneralCategory.txt` of Unicode 15, and the vowels and final
/// consonants of Hangul syllables that are written as separate jamo. The table has the common combining marks, and those
/// of Hebrew, Arabic, Devanagari, Bengali, Tamil, Telugu, Thai, Lao and kana. Marks of other scripts count as letters.
const ZERO_WIDTH: &[(u32, u32)] = &[
    (0x300, 0x36f),
    (0x483, 0x489),
    (0x591, 0x5bd),
    (0x5bf, 0x5bf),
    (0x5c1, 0x5c2),
    (0x5c4, 0x5c5),
    (0x5c7, 0x5c7),
    (0x610, 0x61a),
    (0x61c, 0x61c),
    (0x64b, 0x65f),
    (0x670, 0x670),
    (0x6d6, 0x6dc),
    (0x6df, 0x6e4),
    (0x6e7, 0x6e8),
    (0x6ea, 0x6ed),
    (0x900, 0x902),
    (0x93a, 0x93a),
    (0x93c, 0x93c),
    (0x941, 0x948),
    (0x94d, 0x94d),
    (0x951, 0x957),
    (0x962, 0x963),
    (0x981, 0x981),
    (0x9bc, 0x9bc),
    (0x9c1, 0x9c4),
    (0x9cd, 0x9cd),
    (0x9e2, 0x9e3),
    (0x9fe, 0x9fe),
    (0xb82, 0xb82),
    (0xbc0, 0xbc0),
    (0xbcd, 0xbcd),
    (0xc00, 0xc00),
    (0xc04, 0xc04),
    (0xc3c, 0xc3c),
    (0xc3e, 0xc40),
    (0xc46, 0xc56),
    (0xc62, 0xc63),
    (0xe31, 0xe31),
    (0xe34, 0xe3a),
    (0xe47, 0xe4e),
    (0xeb1, 0xeb1),
    (0xeb4, 0xebc),
    (0xec8, 0xecd),
    (0x1160, 0x11ff),
    (0x1ab0, 0x1ace),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x2064),
    (0x20d0, 0x20f0),
    (0x302a, 0x302d),
    (0x3099, 0x309a),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xe0001, 0xe01ef),
];

/// Returns the name of a thread that runs stop callbacks of the service `name`.
pub(crate) fn callback_thread_name(name: &str) -> String {
    format!("{}:on_stop", Escaped(name))
}

/// Displays a duration: `2.25 s`, `310 ms`, `85 µs`. Every log line and error message uses this format.
pub(crate) struct HumanDuration(pub(crate) Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_micros() {
            0 => "0 s".to_owned(),
            micros @ ..1_000 => format!("{micros} µs"),
            micros @ ..1_000_000 => format!("{} ms", micros / 1_000),
            _ => format!("{:.2} s", self.0.as_secs_f64()),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::{WIDE, ZERO_WIDTH, columns};

    #[test]
    fn columns_counts_terminal_columns_of_wide_and_combining_characters() {
        for (text, expected) in [
            ("", 0),
            ("mailer", 6),
            ("größe", 5),
            ("gro\u{308}ße", 5), // the same word, with a combining mark
            ("日本語のサービス", 16),
            ("ﾃｽﾄ", 3),  // half width
            ("ＡＢ", 4), // full width
            ("한국어", 6),
            ("\u{1112}\u{1161}\u{11ab}", 2), // one syllable in three letters
            ("สวัสดี", 4),
            ("שָׁלוֹם", 4),
            ("नमस्ते", 4), // two of its six characters are combining marks
            ("🦀", 2),
            ("✔\u{fe0f}", 1),
            ("a\u{200b}b", 2),
        ] {
            assert_eq!(columns(text), expected, "{text}");
        }
    }

    #[test]
    fn width_tables_are_sorted_and_do_not_overlap() {
        for table in [WIDE, ZERO_WIDTH] {
            assert!(table.iter().all(|range| range.0 <= range.1));
            assert!(table.windows(2).all(|two| two[0].1 < two[1].0));
        }
        let marks_among_wide = [0x302a, 0x3099]; // `columns` looks these up in `ZERO_WIDTH` first
        for range in ZERO_WIDTH.iter().filter(|range| !marks_among_wide.contains(&range.0)) {
            assert!(WIDE.iter().all(|wide| wide.1 < range.0 || range.1 < wide.0), "{range:x?}");
        }
    }
}
