//! XML from cameras: bytes to a tree, total and bounded. No document type, no entities but the five of XML itself.

use quick_xml::NsReader;
use quick_xml::escape::{escape, resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{QName, ResolveResult};
use std::fmt::Write as _;

/// Largest document taken, bytes: a camera with a hundred profiles answers in a tenth of it.
pub const BYTES_MAX: usize = 1 << 20;
/// Deepest nesting taken.
const DEPTH_MAX: usize = 64;
/// Most elements taken.
const ELEMENTS_MAX: usize = 50_000;

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Too long, too deep or too many elements.
    #[error("the document is larger than {0}")]
    TooLarge(&'static str),
    /// It brings its own entities.
    #[error("the document has a document type: that is refused")]
    DocumentType,
    /// It names an entity that XML does not define.
    #[error("the document names the entity {0:?}")]
    Entity(String),
    /// It is not well-formed.
    #[error("not well-formed at byte {at}: {what}")]
    Malformed {
        /// Where.
        at: u64,
        /// What the parser said.
        what: String,
    },
    /// There is no element.
    #[error("the document is empty")]
    Empty,
}

/// An element. Names are local; the namespace is kept for what is sent back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Element {
    /// Name without prefix.
    pub name: String,
    /// Its namespace, empty for none.
    pub namespace: String,
    /// Namespace, name and value of its attributes.
    pub attributes: Vec<(String, String, String)>,
    /// Text directly in it, trimmed.
    pub text: String,
    /// Elements in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document. Bytes that are not UTF-8 are replaced: what is needed of an answer is ASCII, and some cameras name
    /// their profiles in GB 18030 whatever they declare.
    pub fn read(bytes: &[u8]) -> Result<Self, XmlError> {
        if bytes.len() > BYTES_MAX {
            return Err(XmlError::TooLarge("1 MiB"));
        }
        let text = String::from_utf8_lossy(bytes);
        let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
        let mut open = vec![Element::default()];
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(|error| malformed(reader.buffer_position(), &error))?;
            let Some(top) = open.last_mut() else { return Err(XmlError::Empty) };
            match event {
                Event::Start(start) => {
                    elements += 1;
                    if open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                        return Err(XmlError::TooLarge("64 levels or 50,000 elements"));
                    }
                    open.push(Element::named(&start, &reader)?);
                }
                Event::Empty(start) => {
                    elements += 1;
                    if elements > ELEMENTS_MAX {
                        return Err(XmlError::TooLarge("64 levels or 50,000 elements"));
                    }
                    top.children.push(Element::named(&start, &reader)?);
                }
                Event::End(_) => {
                    let mut done = std::mem::take(top);
                    done.text = done.text.trim().to_owned();
                    open.pop();
                    open.last_mut().ok_or(XmlError::Empty)?.children.push(done);
                }
                Event::Text(text) => top.text.push_str(&text),
                Event::CData(text) => top.text.push_str(&text),
                Event::GeneralRef(name) => match name.resolve_char_ref() {
                    Ok(Some(letter)) => top.text.push(letter),
                    Ok(None) => match resolve_predefined_entity(&name) {
                        Some(text) => top.text.push_str(text),
                        None => return Err(XmlError::Entity(name.chars().take(32).collect())),
                    },
                    Err(error) => return Err(malformed(reader.buffer_position(), &error)),
                },
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match (open.len(), open.pop().and_then(|root| root.children.into_iter().next())) {
            (1, Some(root)) => Ok(root),
            (1, None) => Err(XmlError::Empty),
            (_, _) => Err(malformed(reader.buffer_position(), &"the document ends within an element")),
        }
    }

    fn named(start: &BytesStart<'_>, reader: &NsReader<&[u8]>) -> Result<Self, XmlError> {
        let wrong = |what: &dyn std::fmt::Display| malformed(reader.buffer_position(), what);
        // Namespaces in XML 1.0 §4: at most one colon, and something on its right.
        let sound = |name: &str| !name.is_empty() && !name.contains(':');
        let (namespace, name) = reader.resolver().resolve_element(start.name());
        if !sound(name.as_ref()) {
            return Err(wrong(&"an element without a name"));
        }
        let mut element = Self { name: name.as_ref().to_owned(), namespace: space(&namespace), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| wrong(&error))?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let QName(_) = attribute.key;
            let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
            if !sound(name.as_ref()) {
                return Err(wrong(&"an attribute without a name"));
            }
            let value = unescape(&attribute.value).map_err(|error| wrong(&error))?.into_owned();
            element.attributes.push((space(&namespace), name.as_ref().to_owned(), value));
        }
        Ok(element)
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The element at the end of a path of names.
    pub fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The text at the end of a path of names, empty when it is not there.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).map_or("", |element| element.text.as_str())
    }

    /// The first descendant of this name.
    pub fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// An attribute by its name, empty when it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(_, key, _)| key == name).map_or("", |(_, _, value)| value.as_str())
    }

    /// Writes the element as it was, with namespaces declared where they are used; `more` goes into its start tag.
    pub fn write(&self, more: &str, out: &mut String) {
        let (prefix, declared) = match self.namespace.as_str() {
            "" => ("", String::new()),
            namespace => ("n:", format!(" xmlns:n=\"{}\"", escape(namespace))),
        };
        let _ = write!(out, "<{prefix}{}{declared}{more}", self.name);
        for (nth, (namespace, name, value)) in self.attributes.iter().enumerate() {
            let value = escape(value.as_str());
            let _ = match namespace.as_str() {
                "" => write!(out, " {name}=\"{value}\""),
                namespace => write!(out, " xmlns:a{nth}=\"{}\" a{nth}:{name}=\"{value}\"", escape(namespace)),
            };
        }
        let _ = write!(out, ">{}", escape(self.text.as_str()));
        for child in &self.children {
            child.write("", out);
        }
        let _ = write!(out, "</{prefix}{}>", self.name);
    }
}

/// Text as it stands between tags or in quotes.
pub fn escaped(text: &str) -> String {
    escape(text).into_owned()
}

fn space(namespace: &ResolveResult<'_>) -> String {
    match namespace {
        ResolveResult::Bound(namespace) => namespace.0.to_owned(),
        ResolveResult::Unbound | ResolveResult::Unknown(_) => String::new(),
    }
}

fn malformed(at: u64, what: &dyn std::fmt::Display) -> XmlError {
    XmlError::Malformed { at, what: what.to_string().chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tree_keeps_names_namespaces_and_resolved_text() {
        let text = b"<?xml version='1.0'?><s:A xmlns:s='urn:s' xmlns:t='urn:t' t:k='a&lt;b'><B> x &amp; &#x4e2d; </B><s:C/></s:A>";
        let root = Element::read(text).unwrap();
        assert_eq!((root.name.as_str(), root.namespace.as_str(), root.attribute("k")), ("A", "urn:s", "a<b"));
        assert_eq!(root.text_at(&["B"]), "x & 中");
        assert_eq!(root.text_at(&["C", "D"]), "");
        let mut again = String::new();
        root.write("", &mut again);
        assert_eq!(Element::read(again.as_bytes()).unwrap(), root);
    }

    #[test]
    fn what_could_blow_up_is_refused() {
        let bomb = b"<!DOCTYPE l [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><l>&b;</l>";
        assert_eq!(Element::read(bomb), Err(XmlError::DocumentType));
        assert_eq!(Element::read(b"<l>&file;</l>"), Err(XmlError::Entity("file".into())));
        assert!(matches!(Element::read("<a>".repeat(100).as_bytes()), Err(XmlError::TooLarge(_))));
        assert!(matches!(Element::read("<a/>".repeat(60_000).as_bytes()), Err(XmlError::TooLarge(_))));
        assert!(matches!(Element::read(&vec![b' '; BYTES_MAX + 1]), Err(XmlError::TooLarge(_))));
        assert_eq!(Element::read(b"  "), Err(XmlError::Empty));
        assert!(matches!(Element::read(b"<a><b></a>"), Err(XmlError::Malformed { .. })));
        assert!(matches!(Element::read(b"<a><b>"), Err(XmlError::Malformed { .. })));
        assert!(matches!(Element::read(b"<a x:=''/>"), Err(XmlError::Malformed { .. })));
        assert!(matches!(Element::read(b"<a:/>"), Err(XmlError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_a_tree_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Element::read(&bytes);
        }

        #[test]
        fn almost_xml_gives_a_tree_or_an_error_and_a_tree_survives_being_written(
            text in "(<[a-c:]{1,3}( x[a:]?='[a-z&;#]{0,4}')?/?>|</[a-c:]{1,3}>|[a-z &;#]{0,5}|<!--|]]>|<!\\[CDATA\\[){0,20}"
        ) {
            if let Ok(root) = Element::read(text.as_bytes()) {
                let mut again = String::new();
                root.write("", &mut again);
                prop_assert!(Element::read(again.as_bytes()).is_ok(), "{}", again);
            }
        }
    }
}
