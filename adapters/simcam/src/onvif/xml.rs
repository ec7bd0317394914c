//! The little XML that requests need: a tree of local names.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

/// Deepest nesting taken.
const DEPTH_MAX: usize = 64;

/// An element; namespaces are left out, as no two names of these requests differ by them alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// Name without prefix.
    pub name: String,
    /// Attributes, without prefixes.
    pub attributes: Vec<(String, String)>,
    /// Text directly in it.
    pub text: String,
    /// Elements in it.
    pub children: Vec<Node>,
}

impl Node {
    /// Reads a document; `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(bytes).ok()?);
        let mut open = vec![Node::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    if open.len() >= DEPTH_MAX {
                        return None;
                    }
                    open.push(named(&start)?);
                }
                Event::Empty(start) => open.last_mut()?.children.push(named(&start)?),
                Event::End(_) => {
                    let done = open.pop()?;
                    open.last_mut()?.children.push(done);
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text),
                Event::CData(text) => open.last_mut()?.text.push_str(&text),
                Event::GeneralRef(name) => {
                    let text = &mut open.last_mut()?.text;
                    match name.resolve_char_ref().ok()? {
                        Some(letter) => text.push(letter),
                        None => text.push_str(resolve_predefined_entity(&name)?),
                    }
                }
                Event::DocType(_) => return None,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        let root = open.pop()?;
        open.is_empty().then(|| root.children.into_iter().next())?
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first descendant of this name.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.children.iter().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// The trimmed text of the first descendant of this name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.find(name).map(|node| node.text.trim())
    }

    /// An attribute as a number.
    pub fn number(&self, name: &str) -> Option<f32> {
        self.attributes.iter().find(|(key, _)| key == name)?.1.trim().parse().ok()
    }
}

fn named(start: &BytesStart<'_>) -> Option<Node> {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.ok()?;
        Some((attribute.key.local_name().as_ref().to_owned(), unescape(&attribute.value).ok()?.into_owned()))
    });
    let attributes = attributes.collect::<Option<_>>()?;
    Some(Node { name: start.local_name().as_ref().to_owned(), attributes, ..Node::default() })
}

/// Text as it stands between tags or in quotes.
pub fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_lose_their_prefix_and_references_are_resolved() {
        let node = Node::read(b"<?xml version='1.0'?><s:A x:t='1.5'><B>a &amp; &#98;</B><B/></s:A>").unwrap();
        assert_eq!((node.name.as_str(), node.number("t")), ("A", Some(1.5)));
        assert_eq!(node.text_of("B"), Some("a & b"));
        assert_eq!(Node::read(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), None);
        assert_eq!(Node::read("<a>".repeat(1000).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Node::read(&bytes);
        }
    }
}
