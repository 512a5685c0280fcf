//! Matching a certificate's subject by the part of it that an operator wrote.
//!
//! Works on the form that is shown to people (`C=XX, O=Example, CN=Example CA`): whole attributes
//! in any number and order, never pieces of one. It does not take DER names apart (RFC 4514 is not
//! implemented here).

/// Attributes that a subject must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamePattern {
    attributes: Vec<String>,
}

impl NamePattern {
    /// Reads `CN=Example CA` or `O=Example, CN=Example CA`; `None` where an attribute has no `=`.
    pub fn parse(text: &str) -> Option<Self> {
        let attributes = attributes(text);
        let valid = attributes.iter().all(|attribute| {
            attribute
                .split_once('=')
                .is_some_and(|(key, _)| !key.is_empty())
        });
        valid.then_some(NamePattern { attributes })
    }

    /// Whether a subject, as `Certificate::subject_display` shows it, has all of them.
    pub fn matches(&self, subject: &str) -> bool {
        let subject = attributes(subject);
        self.attributes
            .iter()
            .all(|attribute| subject.contains(attribute))
    }
}

fn attributes(name: &str) -> Vec<String> {
    name.split(", ")
        .map(|part| part.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_attributes_match_in_any_order() {
        let subject = "C=XX, O=Example, CN=Example CA 1";
        let matches = |pattern| NamePattern::parse(pattern).unwrap().matches(subject);
        assert!(matches("CN=Example CA 1"));
        assert!(matches("CN=Example CA 1, O=Example"));
        assert!(matches(subject));
        assert!(!matches("CN=Example CA"));
        assert!(!matches("CN=Example CA 1, O=Other"));
    }

    #[test]
    fn text_without_an_attribute_is_no_pattern() {
        for text in ["", "Example CA", "=x", "CN=a, b"] {
            assert_eq!(NamePattern::parse(text), None, "{text}");
        }
    }
}
