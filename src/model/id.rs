//! Ids: the names that people give to things.

use std::sync::Arc;

use crate::limits;

/// Why a string is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The empty string.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than [`limits::ID_LEN_MAX`] characters.
    #[error("an id has at most {} characters", limits::ID_LEN_MAX)]
    TooLong,
    /// A character that would be ambiguous on a command line, in a URL or in a list.
    #[error("{0:?} cannot stand in an id; letters, digits, '_', '-' and '.' can")]
    Character(char),
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.chars().count() > limits::ID_LEN_MAX {
        return Err(IdError::TooLong);
    }
    match text.chars().find(|&c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Letters (of any script), digits, `_`, `-` and `.`; at most [`limits::ID_LEN_MAX`]
            /// characters. Ids compare as written.
            pub fn new(text: &str) -> Result<$name, IdError> {
                check(text)?;
                Ok($name(text.into()))
            }

            /// As written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// An id is found by its text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id!(
    /// A data centre.
    DatacenterId
);
id!(
    /// An endpoint, unique in its service.
    EndpointId
);
id!(
    /// Several data centres under one name, such as a city.
    GroupId
);
id!(
    /// A named set of client locations.
    RegionId
);
id!(
    /// A health check.
    CheckId
);
id!(
    /// Who saw a probe's result: this node, another node, an outside reporter.
    ObserverId
);

impl ObserverId {
    /// Sorts before every observer: the start of a range, never an observer itself.
    pub fn first() -> ObserverId {
        ObserverId(Arc::from(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_letters_of_any_script_and_nothing_that_needs_quoting() {
        assert!(DatacenterId::new("dc1_beijing-primary.a").is_ok());
        assert!(RegionId::new("北京").is_ok());
        assert_eq!(EndpointId::new(""), Err(IdError::Empty));
        assert_eq!(EndpointId::new("a b"), Err(IdError::Character(' ')));
        assert_eq!(EndpointId::new("a,b"), Err(IdError::Character(',')));
        assert_eq!(EndpointId::new(&"x".repeat(129)), Err(IdError::TooLong));
    }
}
