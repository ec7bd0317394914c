//! What a Chinese number plate may say: the forms of GA 36, by colour.
//!
//! A form is a row of slots; each slot is a set of characters. Serials have neither I nor O (GA 36-2018, 5.9), so a
//! reader restricted to the forms cannot mistake 1 and 0 for them.

use serde::{Deserialize, Serialize};

/// The provincial character that starts a civil plate.
pub const PROVINCES: &str = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新";

/// The ground colour of a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlateColour {
    /// Small cars.
    Blue,
    /// Large vehicles, coaches, training cars, trailers.
    Yellow,
    /// New-energy vehicles.
    Green,
    /// Police.
    White,
    /// Consulates, embassies, Hong Kong and Macao.
    Black,
    /// Not told by the picture.
    Unknown,
}

/// The layout of a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlateKind {
    /// One row, 440 or 480 × 140 mm.
    Single,
    /// Two rows, 440 × 220 mm: province and authority above, serial below.
    Double,
}

/// A set of characters in one place of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// One of [`PROVINCES`].
    Province,
    /// The issuing authority: A–Z without I.
    Authority,
    /// A serial place: 0–9, A–Z without I and O.
    Serial,
    /// 0–9.
    Digit,
    /// The letter that marks a new-energy car: A B C D E F G H J K.
    Energy,
    /// Exactly this character.
    Is(char),
}

impl Slot {
    /// Whether `c` may stand here.
    pub fn admits(self, c: char) -> bool {
        match self {
            Slot::Province => PROVINCES.contains(c),
            Slot::Authority => c.is_ascii_uppercase() && c != 'I',
            Slot::Serial => (c.is_ascii_uppercase() && c != 'I' && c != 'O') || c.is_ascii_digit(),
            Slot::Digit => c.is_ascii_digit(),
            Slot::Energy => matches!(c, 'A'..='H' | 'J' | 'K'),
            Slot::Is(only) => c == only,
        }
    }
}

/// One form of plate text, the colours it is issued in, and how much less likely it is than the ordinary form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Form {
    /// What the form is for, in English.
    pub name: &'static str,
    /// Its places, first to last.
    pub slots: &'static [Slot],
    /// Colours of plate it is issued on.
    pub colours: &'static [PlateColour],
}

use PlateColour::{Black, Blue, Green, White, Yellow};
use Slot::{Authority as A, Digit as D, Energy as E, Is, Province as P, Serial as S};

/// Every form known here.
pub const FORMS: &[Form] = &[
    Form { name: "civil", slots: &[P, A, S, S, S, S, S], colours: &[Blue, Yellow, White, Black] },
    Form { name: "new energy, small", slots: &[P, A, E, S, D, D, D, D], colours: &[Green] },
    Form { name: "new energy, large", slots: &[P, A, D, D, D, D, D, E], colours: &[Green] },
    Form { name: "training car", slots: &[P, A, S, S, S, S, Is('学')], colours: &[Yellow] },
    Form { name: "trailer", slots: &[P, A, S, S, S, S, Is('挂')], colours: &[Yellow] },
    Form { name: "police", slots: &[P, A, S, S, S, S, Is('警')], colours: &[White] },
    Form { name: "Hong Kong", slots: &[Is('粤'), Is('Z'), S, S, S, S, Is('港')], colours: &[Black] },
    Form { name: "Macao", slots: &[Is('粤'), Is('Z'), S, S, S, S, Is('澳')], colours: &[Black] },
    Form { name: "consulate", slots: &[P, A, S, S, S, S, Is('领')], colours: &[Black] },
    Form { name: "consulate, numbered", slots: &[P, D, D, D, D, D, Is('领')], colours: &[Black] },
    Form { name: "embassy", slots: &[Is('使'), D, D, D, D, D, D], colours: &[Black] },
    Form { name: "embassy, since 2017", slots: &[D, D, D, D, D, D, Is('使')], colours: &[Black] },
];

impl Form {
    /// Whether the form is issued on plates of this colour; an unknown colour may be any.
    pub fn issued_on(&self, colour: PlateColour) -> bool {
        colour == PlateColour::Unknown || self.colours.contains(&colour)
    }

    /// Whether the form is the ordinary one of its colour (civil, new energy) and not a special mark.
    pub fn is_ordinary(&self) -> bool {
        self.slots.iter().all(|slot| !matches!(slot, Slot::Is(_)))
    }

    /// Whether `text` fills the form exactly.
    pub fn matches(&self, text: &str) -> bool {
        text.chars().count() == self.slots.len() && text.chars().zip(self.slots).all(|(c, slot)| slot.admits(c))
    }
}

/// The form a text fills, if any.
pub fn form_of(text: &str) -> Option<&'static Form> {
    // The marked forms first: `civil` has no mark in its alphabet, so at most one answers; order only fixes the reading.
    FORMS.iter().find(|form| form.matches(text))
}

/// Brings a typed plate to the stored form: upper case, full-width letters and digits made plain, separators dropped.
pub fn normalise(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            c => c,
        })
        .filter(|c| !matches!(c, '·' | '•' | '-' | '.' | ' ' | '\u{3000}' | '\t'))
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_plate_finds_its_form() {
        for (text, name) in [
            ("京A88731", "civil"),
            ("浙JP291Q", "civil"),
            ("京AD12345", "new energy, small"),
            ("粤B12345D", "new energy, large"),
            ("渝B3587学", "training car"),
            ("津A1234挂", "trailer"),
            ("苏A1234警", "police"),
            ("粤ZAB12港", "Hong Kong"),
            ("粤ZAB12澳", "Macao"),
            ("沪A0023领", "consulate"),
            ("沪22478领", "consulate, numbered"),
            ("使014578", "embassy"),
            ("224578使", "embassy, since 2017"),
        ] {
            assert_eq!(form_of(text).map(|form| form.name), Some(name), "{text}");
        }
        for text in ["", "京A8873", "京I88731", "京A8873O", "AA88731", "京A887311", "京AI12345", "京A12345L"] {
            assert_eq!(form_of(text).map(|form| form.name), None, "{text}");
        }
    }

    #[test]
    fn a_typed_plate_is_brought_to_the_stored_form() {
        assert_eq!(normalise("京a·88 731"), "京A88731");
        assert_eq!(normalise("京Ａ８８７３１"), "京A88731");
        assert_eq!(normalise("京Ａ－８８．７３１"), "京A88731", "full-width separators too");
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{0,12}") {
            let once = normalise(&text);
            proptest::prop_assert_eq!(normalise(&once), once);
        }
    }
}
